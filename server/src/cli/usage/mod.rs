//! `cairn usage`: who registered, granted and retrieved how much.

mod chart;
mod csv;
mod page;

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, Session};
use crate::error::{Error, Result};
use crate::output::{Align, Table, clean, count, counted, size, time};
use crate::sharing::control::Request;
use crate::sharing::{LedgerRow, Month, PairRow, Period, SiteRow, UsageRow};

/// Count who registered, granted and retrieved how much, by hospital and month
#[derive(Debug, Args)]
#[command(after_help = "\
Figures come from the ledgers that are known here, this site's and those that it follows, and from \
nothing else: each is audited anew, and counts as far as enough other sites have cosigned it. A \
retrieval counts once, in the month (UTC) in which it ended, as both sides signed; one that stands on one \
ledger only is counted as UNCONFIRMED too: the other side was away, or does not say so. What did not \
verify is counted as failed and not as retrieved. No figure tells of a patient, since no ledger does.

Bytes are the length of the data sets of what was retrieved, as the registered root fixes it, whether or \
not some of it was there before. Who owns that version or has read it knows it, and no other site: there it \
is counted as unknown (bytes_unknown).

With --between a row is of two hospitals, whose studies and who read them, rather than of one.

Exit codes: 0 all ledgers that are known here were counted; 1 one was left out, or holds receipts that \
the other side's does not bear out; 2 wrong usage or settings.

Examples:
  cairn usage
  cairn usage --from 2026-01 --to 2026-12 --between --csv settlement-2026.csv
  cairn usage --from 2026-01 --plot usage-2026.html
  cairn --json usage --between | jq -s 'group_by(.reader_name) | map({(.[0].reader_name): map(.bytes) | add})'")]
pub(crate) struct UsageArgs {
    /// First month, as 2026-01 [default: the first there is]
    #[arg(long, value_name = "MONTH")]
    from: Option<Month>,
    /// Last month [default: the last there is]
    #[arg(long, value_name = "MONTH")]
    to: Option<Month>,
    /// A row for two hospitals each, owner and reader
    #[arg(long)]
    between: bool,
    /// Write the rows into this file, as comma-separated values (RFC 4180)
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write a page with charts into this file: HTML that needs nothing else
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// What was counted.
#[derive(Debug, Default)]
struct Usage {
    sites: Vec<SiteRow>,
    pairs: Vec<PairRow>,
    ledgers: Vec<LedgerRow>,
}

pub(super) fn run(session: &Session, args: &UsageArgs) -> Result<Exit> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        return Err(Error::Usage("the last month is before the first"));
    }
    let period = Period { from: args.from, to: args.to };
    let mut usage = Usage::default();
    session.ask_each(Request::Usage(period), &mut |row: UsageRow| {
        match row {
            UsageRow::Site(row) => usage.sites.push(row),
            UsageRow::Pair(row) => usage.pairs.push(row),
            UsageRow::Ledger(row) => usage.ledgers.push(row),
        }
        Ok(())
    })?;
    if let Some(file) = &args.csv {
        let text = if args.between {
            csv::write(csv::OF_PAIRS, &usage.pairs)
        } else {
            csv::write(csv::OF_SITES, &usage.sites)
        };
        write(file, &text?)?;
    }
    if let Some(file) = &args.plot {
        write(file, &page::page(&usage, period))?;
    }
    match (session.output.json, args.between) {
        (true, true) => usage.pairs.iter().try_for_each(|row| session.output.object(row))?,
        (true, false) => usage.sites.iter().try_for_each(|row| session.output.object(row))?,
        (false, true) => session.output.text(&of_pairs(&usage.pairs))?,
        (false, false) => session.output.text(&of_sites(&usage.sites))?,
    }
    usage.ledgers.iter().flat_map(remarks).for_each(|remark| session.output.note(&remark));
    Ok(Exit::good_if(usage.ledgers.iter().all(LedgerRow::is_good)))
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).map_err(Error::io("write", file))
}

fn of_sites(rows: &[SiteRow]) -> String {
    let mut table = Table::new(&[
        ("MONTH", Align::Left),
        ("HOSPITAL", Align::Left),
        ("STUDIES", Align::Right),
        ("VERSIONS", Align::Right),
        ("GRANTS", Align::Right),
        ("RECEIVED", Align::Right),
        ("REVOKED", Align::Right),
        ("GLASS", Align::Right),
        ("RETRIEVED", Align::Right),
        ("BYTES", Align::Right),
        ("SERVED", Align::Right),
        ("BYTES", Align::Right),
        ("FAILED", Align::Right),
        ("UNCONFIRMED", Align::Right),
    ]);
    for row in rows {
        table.row(vec![
            row.month.to_string(),
            clean(&row.site_name),
            count(row.studies),
            count(row.versions),
            count(row.grants_given),
            count(row.grants_received),
            count(row.grants_revoked),
            count(row.glass_broken),
            count(row.retrieved),
            // Which of the two are unknown is not told apart in a row of one hospital.
            bytes(row.retrieved_bytes, row.retrieved, row.bytes_unknown),
            count(row.served),
            bytes(row.served_bytes, row.served, row.bytes_unknown),
            count(row.failed),
            count(row.unconfirmed),
        ]);
    }
    table.render()
}

fn of_pairs(rows: &[PairRow]) -> String {
    let mut table = Table::new(&[
        ("MONTH", Align::Left),
        ("OWNER", Align::Left),
        ("READER", Align::Left),
        ("GRANTS", Align::Right),
        ("REVOKED", Align::Right),
        ("GLASS", Align::Right),
        ("RETRIEVED", Align::Right),
        ("BYTES", Align::Right),
        ("FAILED", Align::Right),
        ("UNCONFIRMED", Align::Right),
    ]);
    for row in rows {
        table.row(vec![
            row.month.to_string(),
            clean(&row.owner_name),
            clean(&row.reader_name),
            count(row.grants),
            count(row.grants_revoked),
            count(row.glass_broken),
            count(row.retrievals),
            bytes(row.bytes, row.retrievals, row.bytes_unknown),
            count(row.failed),
            count(row.unconfirmed),
        ]);
    }
    table.render()
}

/// A length for people: `?` where nothing of it is known, a plus where some of it is not.
fn bytes(known: u64, of: u64, unknown: u64) -> String {
    match (of, known, unknown) {
        (0, ..) => "-".into(),
        (_, 0, 1..) => "?".into(),
        (_, known, 0) => size(known),
        (_, known, _) => format!("{}+", size(known)),
    }
}

/// What whoever reads the figures has to know of a ledger.
fn remarks(ledger: &LedgerRow) -> Vec<String> {
    let name = clean(&ledger.site_name);
    let mut remarks = Vec::new();
    if let Some(why) = &ledger.left_out {
        remarks.push(format!("cairn: nothing of {name}'s ledger is counted: {}", clean(why)));
    }
    if ledger.receipts_refused > 0 {
        let receipts = counted(ledger.receipts_refused, "receipt");
        remarks.push(format!(
            "cairn: {receipts} on {name}'s ledger are not counted: the other side's does not bear them out"
        ));
    }
    if ledger.entries_uncounted > 0 {
        let entries = counted(ledger.entries_uncounted, "last entry");
        remarks.push(format!(
            "cairn: {entries} of this site's ledger are not counted: no other site cosigned them yet"
        ));
    }
    remarks
}

/// How far a ledger was counted.
fn counted_to(ledger: &LedgerRow) -> String {
    match (&ledger.left_out, ledger.seen_at) {
        (Some(why), _) => format!("left out: {}", clean(why)),
        (None, Some(at)) => {
            format!("{} entries, the latest of {}", count(ledger.entries), time(at * 1000))
        }
        (None, None) => format!("{} entries", count(ledger.entries)),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
