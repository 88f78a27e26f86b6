//! The rules: what an entry may say after the entries before it.
//!
//! [`SiteState`] is what one log says after so many entries. [`SiteState::apply`] is pure: no clock, no
//! files, no chance, nothing of other logs; whoever replays the log comes to the same state. What
//! needs two logs (a grant that is accepted, a study that changes hands) is judged in
//! [`crate::federation`] from the states of both.

mod reject;
mod rules;

pub use reject::Reject;
pub use rules::Touch;

use std::collections::{BTreeMap, BTreeSet};

use crate::entry::{
    Body, BreakGlassReason, Conditions, Entry, PatientKey, Purpose, ReviewVerdict, SignedEntry,
    Verdict,
};
use crate::id::{Commitment, ConsentId, LeafHash, Link, SiteId, StudyId};
use crate::keys::SiteKeys;

/// Version of the rules: that of the entries which are judged by them. A change of what is accepted gets
/// the next number, and entries of version 1 are judged by these rules for ever, or old logs could not
/// be replayed.
pub const RULES_VERSION: u64 = crate::entry::ENTRY_VERSION;

/// What a log says after so many entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteState {
    site: Option<Site>,
    next: u64,
    time: u64,
    studies: BTreeMap<StudyId, Study>,
    /// Changes of hands, by study and the sequence at which this site took it or handed it over.
    taken: BTreeMap<(StudyId, u64), Option<Link>>,
    handed: BTreeMap<(StudyId, u64), Handed>,
    grants: BTreeMap<u64, GrantRecord>,
    /// Grants by study.
    granted: BTreeSet<(StudyId, u64)>,
    accepted: BTreeMap<(SiteId, u64), LeafHash>,
    broken: BTreeMap<u64, BreakGlassRecord>,
    reviewed: BTreeMap<(SiteId, u64), (LeafHash, ReviewVerdict)>,
    /// Number of the last receipt under a right.
    receipts: BTreeMap<(SiteId, u64), u64>,
    /// Where the receipts of a study stand.
    accessed: BTreeSet<(StudyId, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Site {
    id: SiteId,
    origin: String,
    keys: SiteKeys,
    /// All keys that it has ever had, those in force last.
    history: Vec<SiteKeys>,
}

/// A study as its owner's log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Study {
    /// Its last version.
    pub version: u64,
    /// Commitment to the root of that version.
    pub commitment: Commitment,
    /// The verdict on that version, if it was attested.
    pub verdict: Option<Verdict>,
    /// Who has it.
    pub standing: Standing,
    /// The patient's key, if one is bound.
    pub patient: Option<BoundKey>,
}

/// A patient's key as the log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundKey {
    /// Commitment to it.
    pub commitment: Commitment,
    /// The study is granted with the patient's signature only.
    pub required: bool,
    /// Where the entry stands.
    pub sequence: u64,
}

/// Where a study stands in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// This site owns it.
    Owned,
    /// It was handed to another.
    HandedTo(SiteId),
    /// It has ended.
    Ended,
}

/// A study that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handed {
    /// To whom.
    pub to: SiteId,
    /// Its version then.
    pub version: u64,
    /// The entry that says so.
    pub leaf: LeafHash,
}

/// A grant as the log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantRecord {
    /// Which study.
    pub study: StudyId,
    /// Which version.
    pub version: u64,
    /// To whom.
    pub grantee: SiteId,
    /// What for.
    pub purpose: Purpose,
    /// From when, in seconds since the epoch.
    pub not_before: u64,
    /// Until when.
    pub expires: u64,
    /// What is asked of the grantee.
    pub conditions: Conditions,
    /// The break-glass entry that it answers.
    pub break_glass: Option<Link>,
    /// What the patient signed, if it is given because of that.
    pub consent: Option<ConsentId>,
    /// Since when it is revoked.
    pub revoked: Option<u64>,
    /// The entry that gave it.
    pub leaf: LeafHash,
}

/// A break-glass entry as the log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakGlassRecord {
    /// Whose study.
    pub owner: SiteId,
    /// Which study.
    pub study: StudyId,
    /// Since when, in seconds since the epoch.
    pub opened: u64,
    /// Until when.
    pub expires: u64,
    /// Why.
    pub reason: BreakGlassReason,
    /// The entry.
    pub leaf: LeafHash,
}

impl SiteState {
    /// Applies an entry whose signature is checked first; an entry that is refused changes nothing.
    pub fn apply(&mut self, signed: &SignedEntry) -> Result<(), Reject> {
        self.check_signature(signed)?;
        self.apply_known(signed)
    }

    /// Applies an entry whose signature is known to hold, because this site made it or has checked it
    /// when it wrote it down.
    pub fn apply_known(&mut self, signed: &SignedEntry) -> Result<(), Reject> {
        let Entry { header, body } = signed.entry();
        if header.sequence != self.next {
            return Err(Reject::Sequence { expected: self.next, found: header.sequence });
        }
        self.check(signed.entry())?;
        self.note(header.sequence, header.time, body, signed.leaf());
        self.next += 1;
        self.time = header.time;
        Ok(())
    }

    /// Whose log it is; `None` before the join entry.
    #[must_use]
    pub fn site(&self) -> Option<SiteId> {
        self.site.as_ref().map(|site| site.id)
    }

    /// The log's origin line.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.site.as_ref().map(|site| site.origin.as_str())
    }

    /// The keys in force.
    #[must_use]
    pub fn keys(&self) -> Option<&SiteKeys> {
        self.site.as_ref().map(|site| &site.keys)
    }

    /// Has the site ever signed entries with this key?
    #[must_use]
    pub fn has_signed_with(&self, key: &[u8; 32]) -> bool {
        self.key_history().iter().any(|keys| keys.sign == *key)
    }

    /// All keys that the site has ever had, those in force last.
    #[must_use]
    pub fn key_history(&self) -> &[SiteKeys] {
        self.site.as_ref().map_or(&[], |site| &site.history)
    }

    /// Number of entries applied, and so the next one's sequence.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Time of the last entry, in seconds since the epoch.
    #[must_use]
    pub fn time(&self) -> u64 {
        self.time
    }

    /// A study that this log has ever owned.
    #[must_use]
    pub fn study(&self, id: &StudyId) -> Option<&Study> {
        self.studies.get(id)
    }

    /// All studies that this log has ever owned.
    pub fn studies(&self) -> impl Iterator<Item = (&StudyId, &Study)> {
        self.studies.iter()
    }

    /// A grant by its sequence.
    #[must_use]
    pub fn grant(&self, sequence: u64) -> Option<&GrantRecord> {
        self.grants.get(&sequence)
    }

    /// All grants of this log, with their sequences, in order.
    pub fn grants(&self) -> impl Iterator<Item = (u64, &GrantRecord)> {
        self.grants.iter().map(|(sequence, grant)| (*sequence, grant))
    }

    /// The grants of a study, with their sequences, in order.
    pub fn grants_of(&self, study: StudyId) -> impl Iterator<Item = (u64, &GrantRecord)> {
        let of_study = self.granted.range((study, 0)..=(study, u64::MAX));
        of_study.filter_map(|(_, sequence)| Some((*sequence, self.grants.get(sequence)?)))
    }

    /// Has this site accepted that grant of another?
    #[must_use]
    pub fn has_accepted(&self, grant: &Link) -> bool {
        self.accepted.get(&(grant.site, grant.sequence)) == Some(&grant.leaf)
    }

    /// The break-glass entries of this log, with their sequences.
    pub fn broken(&self) -> impl Iterator<Item = (u64, &BreakGlassRecord)> {
        self.broken.iter().map(|(sequence, record)| (*sequence, record))
    }

    /// What this site's review of a break-glass entry found.
    #[must_use]
    pub fn review(&self, break_glass: &Link) -> Option<ReviewVerdict> {
        let (leaf, verdict) = self.reviewed.get(&(break_glass.site, break_glass.sequence))?;
        (*leaf == break_glass.leaf).then_some(*verdict)
    }

    /// The entry of this log that the study was last taken over by, as of `before`: `Some(None)` if it
    /// was registered here, `None` if it was never here.
    #[must_use]
    pub fn taken_before(&self, study: StudyId, before: u64) -> Option<(u64, Option<Link>)> {
        let mut earlier = self.taken.range((study, 0)..(study, before));
        earlier.next_back().map(|((_, sequence), from)| (*sequence, *from))
    }

    /// The hand-over of a study at `sequence`.
    #[must_use]
    pub fn handed(&self, study: StudyId, sequence: u64) -> Option<&Handed> {
        self.handed.get(&(study, sequence))
    }

    /// The last hand-over of a study, with its sequence.
    #[must_use]
    pub fn last_handed(&self, study: StudyId) -> Option<(u64, &Handed)> {
        let mut of_study = self.handed.range((study, 0)..=(study, u64::MAX));
        of_study.next_back().map(|((_, sequence), handed)| (*sequence, handed))
    }

    /// Number that the next receipt under this right may have at the least.
    #[must_use]
    pub fn next_receipt(&self, right: &Link) -> u64 {
        self.receipts.get(&(right.site, right.sequence)).map_or(1, |last| last + 1)
    }

    /// Where the receipts of a study stand in this log, in order.
    pub fn receipts_of(&self, study: StudyId) -> impl Iterator<Item = u64> {
        self.accessed.range((study, 0)..=(study, u64::MAX)).map(|(_, sequence)| *sequence)
    }

    /// Takes in what was checked.
    fn note(&mut self, sequence: u64, time: u64, body: &Body, leaf: LeafHash) {
        match body {
            Body::Join(join) => {
                let id = SiteId::derive(&join.origin, &join.keys.sign);
                let (origin, history) = (join.origin.clone(), vec![join.keys]);
                self.site = Some(Site { id, origin, keys: join.keys, history });
            }
            Body::Rotate(rotate) => {
                if let Some(site) = &mut self.site {
                    site.keys = rotate.keys;
                    site.history.push(rotate.keys);
                }
            }
            Body::Register(register) => {
                let Some(site) = self.site() else { return };
                let study = StudyId::derive(&site, &register.salt);
                self.take(study, sequence, None, 1, register.commitment);
            }
            Body::TransferIn(taken) => {
                let from = Some(taken.from);
                self.take(taken.study, sequence, from, taken.version, taken.commitment);
            }
            Body::Supersede(new) => self.change(new.study, |study| {
                study.version = new.version;
                study.commitment = new.commitment;
                study.verdict = None;
            }),
            Body::Attest(attest) => {
                self.change(attest.study, |study| study.verdict = Some(attest.verdict));
            }
            Body::PatientKey(bound) => {
                let PatientKey { commitment, required, .. } = *bound;
                let key = BoundKey { commitment, required, sequence };
                self.change(bound.study, |study| study.patient = Some(key));
            }
            Body::Tombstone(stone) => {
                self.change(stone.study, |study| study.standing = Standing::Ended);
            }
            Body::TransferOut(out) => {
                self.change(out.study, |study| study.standing = Standing::HandedTo(out.to));
                let handed = Handed { to: out.to, version: out.version, leaf };
                self.handed.insert((out.study, sequence), handed);
            }
            Body::Grant(grant) => {
                let record = GrantRecord {
                    study: grant.study,
                    version: grant.version,
                    grantee: grant.grantee,
                    purpose: grant.purpose,
                    not_before: grant.not_before,
                    expires: grant.expires,
                    conditions: grant.conditions,
                    break_glass: grant.break_glass,
                    consent: grant.consent,
                    revoked: None,
                    leaf,
                };
                self.grants.insert(sequence, record);
                self.granted.insert((grant.study, sequence));
            }
            Body::Revoke(revoke) => {
                if let Some(grant) = self.grants.get_mut(&revoke.grant) {
                    grant.revoked = Some(time);
                }
            }
            Body::Accept(accept) => {
                let Link { site, sequence, leaf } = accept.grant;
                self.accepted.insert((site, sequence), leaf);
            }
            Body::Receipt(receipt) => {
                let right = receipt.access.right;
                self.receipts.insert((right.site, right.sequence), receipt.access.number);
                self.accessed.insert((receipt.access.study, sequence));
            }
            Body::BreakGlass(broken) => {
                let record = BreakGlassRecord {
                    owner: broken.owner,
                    study: broken.study,
                    opened: time,
                    expires: broken.expires,
                    reason: broken.reason,
                    leaf,
                };
                self.broken.insert(sequence, record);
            }
            Body::Review(review) => {
                let Link { site, sequence, leaf } = review.break_glass;
                self.reviewed.insert((site, sequence), (leaf, review.verdict));
            }
        }
    }

    fn take(
        &mut self,
        id: StudyId,
        sequence: u64,
        from: Option<Link>,
        version: u64,
        commitment: Commitment,
    ) {
        let standing = Standing::Owned;
        let study = Study { version, commitment, verdict: None, standing, patient: None };
        self.studies.insert(id, study);
        self.taken.insert((id, sequence), from);
    }

    fn change(&mut self, id: StudyId, how: impl FnOnce(&mut Study)) {
        if let Some(study) = self.studies.get_mut(&id) {
            how(study);
        }
    }
}

/// The rules as a function: the state after the entry, or why there is none.
pub fn apply(state: &SiteState, entry: &SignedEntry) -> Result<SiteState, Reject> {
    let mut next = state.clone();
    next.apply(entry)?;
    Ok(next)
}
