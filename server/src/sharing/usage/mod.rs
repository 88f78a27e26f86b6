//! Who registered, granted and retrieved how much: counted from ledgers, by hospital and month.
//!
//! It is what hospitals settle accounts by, so nothing counts that others could not check: each log is
//! read and audited anew (hashes, head, signatures, rules), the own one as far as enough others have
//! cosigned it, the others as far as they were followed, which they are only with cosignatures. A log that
//! was caught at something, or is damaged, is left out and named.
//!
//! No receipt carries a length. That of a version's data sets follows from its root, to which its owner is
//! committed on the ledger; whoever has the version, owner or reader, knows it, and all the same. What was
//! already there and did not have to come is part of it: it is what was read, not what a line carried.

mod month;
mod rows;
mod tally;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use cairn_ledger::checkpoint::SignedCheckpoint;
use cairn_ledger::entry::{Access, Entry};
use cairn_ledger::federation::{Federation, Member};
use cairn_ledger::id::{SiteId, StudyId};
use cairn_ledger::order::Order;
use cairn_ledger::state::SiteState;
use cairn_store::catalog::Catalog;

use self::tally::{Flow, Own, Tally};
use super::Fault;
use super::site::Site;
use super::verify::{audit, root_of};
use crate::error::Result;
pub(crate) use month::Month;
pub(crate) use rows::{LedgerRow, PairRow, Period, SiteRow, UsageRow};

/// A log that was read.
struct Read {
    row: LedgerRow,
    /// What it says; `None`: it is left out.
    state: Option<SiteState>,
    finding: bool,
}

impl Site {
    /// Counts. Takes as long as the logs are; reads files alone and holds nobody up. Without a catalog no
    /// length of anything is known.
    pub(super) fn usage(
        &self,
        catalog: Option<&dyn Catalog>,
        period: Period,
    ) -> Result<Vec<UsageRow>> {
        let mut tally = Tally::new(period);
        let mut logs = vec![self.count_own(&mut tally)?];
        for peer in self.peers() {
            logs.push(self.count_mirror(&peer.site, &peer.name, &mut tally));
        }
        let unread = SiteState::default();
        let own = logs[0].state.as_ref().unwrap_or(&unread);
        let mirrored = logs[1..].iter().filter(|log| !log.finding).filter_map(|log| {
            let state = log.state.as_ref()?;
            Some(Member { state, fresh_at: log.row.seen_at, finding: None })
        });
        // Whether something is fresh is asked of nobody here: months that are over do not change.
        let federation = Federation::new(own, mirrored, u64::MAX);
        let mut lengths = Lengths { site: self, catalog, known: HashMap::new() };
        let refused = tally.settle(&federation, &mut |access| lengths.of(access));
        let names: BTreeMap<SiteId, String> = logs
            .iter()
            .filter_map(|log| Some((SiteId::from_hex(&log.row.site)?, log.row.site_name.clone())))
            .collect();
        let ledgers = logs.into_iter().map(|log| {
            let of = SiteId::from_hex(&log.row.site).and_then(|site| refused.get(&site));
            UsageRow::Ledger(LedgerRow { receipts_refused: of.copied().unwrap_or(0), ..log.row })
        });
        Ok(ledgers.chain(told(&tally, &names, self.id())).collect())
    }

    /// Counts the own log as far as it is published, after all of it was audited.
    fn count_own(&self, tally: &mut Tally) -> Result<Read> {
        // The published one first: the log may grow in between, and has what was published then.
        let (published, directory) = (self.published()?, self.folder.log());
        let head = self.log.head();
        let size = self.published_size().min(published.checkpoint().size);
        let vouched = || -> Result<()> {
            if size == 0 {
                return Ok(());
            }
            let needed = self.settings.witnesses.min(self.peers().len());
            let is_ours = root_of(&directory, size)? == published.checkpoint().root;
            if is_ours && self.cosigners(&published).len() >= needed {
                return Ok(());
            }
            let (file, why) = (directory.display().to_string(), "others did not cosign it".into());
            Err(Fault::File { file, why }.into())
        };
        let is_own = true;
        let row = row_of(self.id(), self.name(), is_own, None);
        let read = match self.trouble() {
            Some(why) => left_out(row, why),
            None => match vouched() {
                Err(error) => left_out(row, error.to_string()),
                Ok(()) => count(row, &directory, &head, size, tally),
            },
        };
        Ok(read)
    }

    fn count_mirror(&self, site: &SiteId, name: &str, tally: &mut Tally) -> Read {
        let known = self.with_view(site, |view| {
            let finding = view.finding.as_ref().map(ToString::to_string);
            (view.head.clone(), view.fresh_at, finding)
        });
        let row = |seen_at| row_of(*site, name.to_owned(), false, seen_at);
        match known {
            None => left_out(row(None), "its mirror cannot be used".into()),
            Some((_, seen_at, Some(finding))) => left_out(row(seen_at), finding),
            Some((None, ..)) => left_out(row(None), "nothing of it was followed yet".into()),
            Some((Some(head), seen_at, None)) => {
                let size = head.checkpoint().size;
                count(row(seen_at), &self.folder.mirror(site), &head, size, tally)
            }
        }
    }
}

fn row_of(site: SiteId, site_name: String, is_own: bool, seen_at: Option<u64>) -> LedgerRow {
    let (entries, entries_uncounted, receipts_refused, left_out) = (0, 0, 0, None);
    let site = site.to_string();
    LedgerRow {
        site,
        site_name,
        is_own,
        entries,
        entries_uncounted,
        seen_at,
        receipts_refused,
        left_out,
    }
}

fn left_out(row: LedgerRow, why: String) -> Read {
    Read { row: LedgerRow { left_out: Some(why), ..row }, state: None, finding: true }
}

/// Audits a log, and counts its first `size` entries if it is as it should be.
fn count(
    row: LedgerRow,
    directory: &Path,
    head: &SignedCheckpoint,
    size: u64,
    tally: &mut Tally,
) -> Read {
    let Some(site) = SiteId::from_hex(&row.site) else {
        return left_out(row, "it has no name".into());
    };
    // Nothing of a log counts before all of it was looked at.
    let mut counted = Tally::like(tally);
    let audited = audit(directory, head, &site, &mut |state: &SiteState, entry: &Entry| {
        if entry.header.sequence < size {
            counted.note(state, entry);
        }
    });
    match audited {
        Ok(state) => {
            tally.take(counted);
            let entries_uncounted = head.checkpoint().size.saturating_sub(size);
            let row = LedgerRow { entries: size, entries_uncounted, ..row };
            Read { row, state: Some(state), finding: false }
        }
        Err(error) => left_out(row, error.to_string()),
    }
}

/// Lengths of versions that this site owns or has read.
struct Lengths<'a> {
    site: &'a Site,
    catalog: Option<&'a dyn Catalog>,
    known: HashMap<(SiteId, StudyId, u64), Option<u64>>,
}

impl Lengths<'_> {
    fn of(&mut self, access: &Access) -> Option<u64> {
        let Access { owner, study, version, .. } = *access;
        let (site, catalog) = (self.site, self.catalog?);
        // What cannot be read is not known; that it cannot is said by whatever reads the archive.
        let look = || {
            if owner == site.id() {
                return site.edition(catalog, &study, version).ok()?.map(|edition| edition.bytes);
            }
            // Whoever read it here, it is the same version that others read.
            let fetched = catalog.editions().fetched(&owner.0, &study.0, version).ok()?;
            fetched.map(|fetched| fetched.bytes)
        };
        *self.known.entry((owner, study, version)).or_insert_with(look)
    }
}

/// The figures as rows: by month, then by name.
fn told(
    tally: &Tally,
    names: &BTreeMap<SiteId, String>,
    own: SiteId,
) -> impl Iterator<Item = UsageRow> {
    let name = |site: &SiteId| names.get(site).cloned().unwrap_or_else(|| site.to_string());
    let mut sites: BTreeMap<(Month, SiteId), SiteRow> = BTreeMap::new();
    let mut add = |month: Month, site: SiteId, change: &dyn Fn(&mut SiteRow)| {
        let row = sites.entry((month, site)).or_insert_with(|| nothing(month, site, own));
        change(row);
    };
    for ((month, site), said) in &tally.own {
        let Own { studies, versions, handed_over, taken_over } = *said;
        add(*month, *site, &|row| {
            row.studies += studies;
            row.versions += versions;
            row.handed_over += handed_over;
            row.taken_over += taken_over;
        });
    }
    let mut pairs = Vec::new();
    for ((month, owner, reader), flow) in &tally.flows {
        add(*month, *owner, &|row| {
            row.grants_given += flow.grants;
            row.grants_revoked += flow.revoked;
            row.glass_suffered += flow.glass_broken;
            row.served += flow.retrievals;
            row.served_bytes = row.served_bytes.saturating_add(flow.bytes);
            common(row, flow);
        });
        add(*month, *reader, &|row| {
            row.grants_received += flow.grants;
            row.glass_broken += flow.glass_broken;
            row.retrieved += flow.retrievals;
            row.retrieved_bytes = row.retrieved_bytes.saturating_add(flow.bytes);
            common(row, flow);
        });
        pairs.push(PairRow {
            month: *month,
            owner: owner.to_string(),
            owner_name: name(owner),
            reader: reader.to_string(),
            reader_name: name(reader),
            grants: flow.grants,
            grants_revoked: flow.revoked,
            glass_broken: flow.glass_broken,
            retrievals: flow.retrievals,
            bytes: flow.bytes,
            bytes_unknown: flow.bytes_unknown,
            failed: flow.failed,
            unconfirmed: flow.unconfirmed,
        });
    }
    let mut sites: Vec<SiteRow> = sites
        .into_iter()
        .map(|((_, site), row)| SiteRow { site_name: name(&site), ..row })
        .collect();
    sites.sort_by(|a, b| (a.month, &a.site_name).cmp(&(b.month, &b.site_name)));
    pairs.sort_by(|a, b| {
        (a.month, &a.owner_name, &a.reader_name).cmp(&(b.month, &b.owner_name, &b.reader_name))
    });
    sites.into_iter().map(UsageRow::Site).chain(pairs.into_iter().map(UsageRow::Pair))
}

fn common(row: &mut SiteRow, flow: &Flow) {
    row.bytes_unknown += flow.bytes_unknown;
    row.failed += flow.failed;
    row.unconfirmed += flow.unconfirmed;
}

fn nothing(month: Month, site: SiteId, own: SiteId) -> SiteRow {
    SiteRow {
        month,
        site: site.to_string(),
        site_name: String::new(),
        is_own: site == own,
        studies: 0,
        versions: 0,
        handed_over: 0,
        taken_over: 0,
        grants_given: 0,
        grants_received: 0,
        grants_revoked: 0,
        glass_broken: 0,
        glass_suffered: 0,
        retrieved: 0,
        retrieved_bytes: 0,
        served: 0,
        served_bytes: 0,
        bytes_unknown: 0,
        failed: 0,
        unconfirmed: 0,
    }
}
