//! Counting: entries of ledgers that were checked become figures by month.
//!
//! - A figure counts in the month that its entry names: an access in the one in which it ended, which both
//!   sides signed, so both count it alike; everything else when its entry was written.
//! - An access that stands on both ledgers is one; it is told apart by all that both signed.
//! - A receipt counts if the other side's ledger bears it out: a key of that site signed it, under a right
//!   that is there. Of a site whose ledger is not known nobody can say so; such a one counts as unconfirmed.

use std::collections::BTreeMap;

use cairn_ledger::entry::{Access, Body, Entry, Outcome, Receipt};
use cairn_ledger::federation::Federation;
use cairn_ledger::id::SiteId;
use cairn_ledger::state::SiteState;

use super::month::Month;
use super::rows::Period;

/// What a site said of its own studies in a month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) studies: u64,
    pub(super) versions: u64,
    pub(super) handed_over: u64,
    pub(super) taken_over: u64,
}

/// What went from an owner to a reader in a month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) grants: u64,
    pub(super) revoked: u64,
    pub(super) glass_broken: u64,
    pub(super) retrievals: u64,
    pub(super) bytes: u64,
    pub(super) bytes_unknown: u64,
    pub(super) failed: u64,
    pub(super) unconfirmed: u64,
}

/// An access that some ledger has.
#[derive(Debug, Clone, Copy)]
struct Known {
    access: Access,
    /// Do both ledgers have it?
    both: bool,
    logged_by: SiteId,
}

/// What makes two receipts those of one access: everything that both sides signed but what follows from
/// it.
type AccessKey = (SiteId, u64, u64, SiteId, SiteId, [u64; 4], [u8; 32]);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Tally {
    period: Period,
    pub(super) own: BTreeMap<(Month, SiteId), Own>,
    pub(super) flows: BTreeMap<(Month, SiteId, SiteId), Flow>,
    receipts: BTreeMap<SiteId, Vec<Receipt>>,
}

impl Tally {
    pub(super) fn new(period: Period) -> Self {
        let (own, flows, receipts) = Default::default();
        Self { period, own, flows, receipts }
    }

    /// An empty one for the same months.
    pub(super) fn like(other: &Self) -> Self {
        Self::new(other.period)
    }

    /// Adds what another counted.
    pub(super) fn take(&mut self, other: Self) {
        for (key, own) in other.own {
            let sum = self.own.entry(key).or_default();
            sum.studies += own.studies;
            sum.versions += own.versions;
            sum.handed_over += own.handed_over;
            sum.taken_over += own.taken_over;
        }
        for (key, flow) in other.flows {
            // Accesses are counted once all logs were taken.
            let sum = self.flows.entry(key).or_default();
            sum.grants += flow.grants;
            sum.revoked += flow.revoked;
            sum.glass_broken += flow.glass_broken;
        }
        for (site, receipts) in other.receipts {
            self.receipts.entry(site).or_default().extend(receipts);
        }
    }

    /// Counts an entry of a log. `state`: what the log says up to it.
    pub(super) fn note(&mut self, state: &SiteState, entry: &Entry) {
        let (site, month) = (entry.header.site, Month::of(entry.header.time));
        match &entry.body {
            Body::Register(_) => self.say(month, site, |own| {
                own.studies += 1;
                own.versions += 1;
            }),
            Body::Supersede(_) => self.say(month, site, |own| own.versions += 1),
            Body::TransferOut(_) => self.say(month, site, |own| own.handed_over += 1),
            Body::TransferIn(_) => self.say(month, site, |own| own.taken_over += 1),
            Body::Grant(grant) => self.go(month, site, grant.grantee, |flow| flow.grants += 1),
            Body::Revoke(revoke) => {
                if let Some(grant) = state.grant(revoke.grant) {
                    self.go(month, site, grant.grantee, |flow| flow.revoked += 1);
                }
            }
            Body::BreakGlass(broken) => {
                self.go(month, broken.owner, site, |flow| flow.glass_broken += 1);
            }
            // Counted once all ledgers were read: the other side's has to bear it out.
            Body::Receipt(receipt) if self.period.has(Month::of(receipt.access.ended)) => {
                self.receipts.entry(site).or_default().push((**receipt).clone());
            }
            Body::Receipt(_)
            | Body::Join(_)
            | Body::Rotate(_)
            | Body::Attest(_)
            | Body::Accept(_)
            | Body::Review(_)
            | Body::PatientKey(_)
            | Body::Tombstone(_) => {}
        }
    }

    fn say(&mut self, month: Month, site: SiteId, count: impl FnOnce(&mut Own)) {
        if self.period.has(month) {
            count(self.own.entry((month, site)).or_default());
        }
    }

    fn go(&mut self, month: Month, owner: SiteId, reader: SiteId, count: impl FnOnce(&mut Flow)) {
        if self.period.has(month) {
            count(self.flows.entry((month, owner, reader)).or_default());
        }
    }

    /// Counts the accesses. `length`: of the data sets of what was read, if it is known. Gives how many
    /// receipts of each log were refused.
    pub(super) fn settle(
        &mut self,
        federation: &Federation<'_>,
        length: &mut dyn FnMut(&Access) -> Option<u64>,
    ) -> BTreeMap<SiteId, u64> {
        let (mut known, mut refused) = (BTreeMap::<AccessKey, Known>::new(), BTreeMap::new());
        for (logged_by, receipts) in std::mem::take(&mut self.receipts) {
            for receipt in receipts {
                let access = receipt.access;
                if !is_borne_out(federation, &logged_by, &receipt) {
                    *refused.entry(logged_by).or_default() += 1;
                    continue;
                }
                known
                    .entry(key(&access))
                    .and_modify(|known| known.both |= known.logged_by != logged_by)
                    .or_insert(Known { access, both: false, logged_by });
            }
        }
        for Known { access, both, .. } in known.into_values() {
            let bytes = if access.outcome == Outcome::Verified { length(&access) } else { None };
            self.go(Month::of(access.ended), access.owner, access.reader, |flow| {
                flow.unconfirmed += u64::from(!both);
                if access.outcome == Outcome::Mismatch {
                    flow.failed += 1;
                    return;
                }
                flow.retrievals += 1;
                match bytes {
                    Some(bytes) => flow.bytes = flow.bytes.saturating_add(bytes),
                    None => flow.bytes_unknown += 1,
                }
            });
        }
        refused
    }
}

/// Does the other side's ledger bear the receipt out, if there is one to ask?
fn is_borne_out(federation: &Federation<'_>, logged_by: &SiteId, receipt: &Receipt) -> bool {
    let access = &receipt.access;
    let other = if access.owner == *logged_by { access.reader } else { access.owner };
    federation.member(&other).is_none() || federation.receipt_holds(logged_by, receipt)
}

fn key(access: &Access) -> AccessKey {
    let Access { owner, reader, right, study, version, number, began, ended, outcome } = access;
    let rest = [*version, *began, *ended, outcome.id()];
    (right.site, right.sequence, *number, *owner, *reader, rest, study.0)
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
