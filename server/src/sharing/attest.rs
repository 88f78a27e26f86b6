//! The verdict of the ingest checks on what is registered, for whoever reads it.
//!
//! A version of a study is registered, and right behind it the verdict. What was registered without one (a
//! crash came in between, or it was an older build) gets it when the study is shared again. It says
//! nothing of what was odd, which would tell kinds of images apart.

use cairn_dicom::Flags;
use cairn_ledger::entry::{Attest, Body, Verdict};
use cairn_ledger::id::{SiteId, StudyId};
use cairn_store::catalog::Catalog;
use cairn_store::catalog::editions::Edition;

use super::site::Site;
use super::words::verdict_word;
use crate::error::Result;

/// Version of the set of checks: the flags that there are. One more flag, or another verdict for one of
/// them, gets the next number.
const CHECKS: u64 = 1;

/// What keeps some of an instance from being what it says it is. Everything else is oddities.
const FAILURES: [Flags; 3] = [Flags::TRUNCATED, Flags::UNPARSED, Flags::FRAME_COUNT];

impl Site {
    /// Attests the verdict on an edition that is on the ledger, unless that is there already. The caller
    /// registers, and nobody else.
    pub(super) fn attest(&self, catalog: &dyn Catalog, edition: &Edition) -> Result<()> {
        let (study, version) = (StudyId(edition.study), edition.version);
        let known = self.with_state(|state| state.study(&study).copied());
        if known.is_none_or(|known| known.version != version || known.verdict.is_some()) {
            return Ok(());
        }
        let mut flags = Flags::empty();
        catalog.study_versions(&edition.study_uid, true, &mut |row| {
            if edition.seqs.contains(row.seq) {
                flags.insert(Flags::from_bits(row.flags));
            }
            Ok(())
        })?;
        let attest = Attest { study, version, checks: CHECKS, verdict: verdict(flags) };
        self.append(Body::Attest(attest)).map(|_| ())
    }

    /// What the owner of a version attests of it, in a word, as far as is known here. Its log remembers
    /// that of the newest version.
    pub(crate) fn attested(
        &self,
        owner: &SiteId,
        study: &StudyId,
        version: u64,
    ) -> Option<&'static str> {
        self.with_federation(|federation| {
            let known = federation.member(owner)?.state.study(study)?;
            known.verdict.filter(|_| known.version == version).map(verdict_word)
        })
    }
}

/// What all flags of all instances together come to.
fn verdict(flags: Flags) -> Verdict {
    if flags.is_empty() {
        Verdict::Passed
    } else if FAILURES.iter().any(|failure| flags.contains(*failure)) {
        Verdict::Failed
    } else {
        Verdict::Findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_a_finding_or_a_failure() {
        assert_eq!(verdict(Flags::empty()), Verdict::Passed);
        assert_eq!(verdict(Flags::ODD_LENGTH), Verdict::Findings);
        assert_eq!(verdict(Flags::ODD_LENGTH | Flags::TRUNCATED), Verdict::Failed);
        // One that this build does not know is odd at the least.
        assert_eq!(verdict(Flags::from_bits(1 << 31)), Verdict::Findings);
    }

    /// Whoever adds a flag adds a check: others see that by the number.
    #[test]
    fn the_set_of_checks_has_a_version() {
        let flags = Flags::from_bits(u32::MAX).names().count();
        assert_eq!((CHECKS, flags), (1, 19), "a new set of flags is a new set of checks");
    }
}
