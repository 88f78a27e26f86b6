//! A study that was deleted here ends on the ledger.
//!
//! Nobody has to remember a deletion: the archive keeps its own tombstone, and what is registered and
//! deleted and has none on the ledger yet gets one at the next look. What counts is what was registered:
//! the same images stored again are not what the study's grants were for, and are registered under a new
//! name when they are shared.

use std::collections::BTreeMap;

use cairn_ledger::entry::{Body, Tombstone, TombstoneReason};
use cairn_ledger::id::StudyId;
use cairn_ledger::state::Standing;
use cairn_store::catalog::Catalog;
use cairn_store::catalog::editions::Edition;

use super::lock;
use super::site::Site;
use crate::error::Result;

impl Site {
    /// Ends all studies of this site of which nothing that was registered is here any more.
    pub(super) fn end_deleted(&self, catalog: &dyn Catalog) -> Result<()> {
        // A study that is being shared anew must not end under it.
        let _turn = lock(&self.registering);
        self.end_among(catalog, catalog.editions().editions_deleted_from()?)
    }

    /// Ends those of these editions' studies. The caller registers, and nobody else.
    pub(super) fn end_among(&self, catalog: &dyn Catalog, editions: Vec<Edition>) -> Result<()> {
        let mut newest: BTreeMap<[u8; 32], Edition> = BTreeMap::new();
        for edition in editions.into_iter().filter(|edition| edition.sequence.is_some()) {
            let known = newest.get(&edition.study).map_or(0, |known| known.version);
            if edition.version > known && self.owns(&edition) {
                newest.insert(edition.study, edition);
            }
        }
        for edition in newest.values() {
            if remains(catalog, edition)? == 0 {
                let (study, reason) = (StudyId(edition.study), TombstoneReason::Unspecified);
                let logged = self.append(Body::Tombstone(Tombstone { study, reason }))?;
                let entry = logged.link.sequence;
                tracing::info!(entry, "a study that was deleted here has ended on the ledger");
            }
        }
        Ok(())
    }

    /// Is the study of an edition this site's, now?
    pub(super) fn owns(&self, edition: &Edition) -> bool {
        self.standing(edition) == Some(Standing::Owned)
    }

    /// Where the study of an edition stands on this site's ledger.
    pub(super) fn standing(&self, edition: &Edition) -> Option<Standing> {
        self.with_state(|state| state.study(&StudyId(edition.study)).map(|study| study.standing))
    }
}

/// How many of the versions of instances that an edition is made of are not deleted.
pub(super) fn remains(catalog: &dyn Catalog, edition: &Edition) -> Result<u64> {
    let mut here = 0;
    catalog.study_versions(&edition.study_uid, true, &mut |version| {
        here += u64::from(!version.deleted && edition.seqs.contains(version.seq));
        Ok(())
    })?;
    Ok(here)
}
