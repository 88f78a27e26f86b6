//! The figures as a page: charts for each hospital, who read from whom, all rows, and the ledgers that they
//! were counted from. One file of HTML without scripts that loads nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::chart::{Bars, chart};
use super::{Usage, bytes, counted_to};
use crate::output::{clean, count, size};
use crate::sharing::{Month, Period, SiteRow};

/// Nothing is loaded, whatever a name says.
const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\">\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
<title>Usage between hospitals</title><style>";
const STYLE: &str = include_str!("page.css");
/// The pattern of what one ledger alone shows.
const PATTERN: &str = "<svg width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>\
<pattern id=\"hatch\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" \
patternTransform=\"rotate(45)\"><rect width=\"2.2\" height=\"5\" class=\"stripe\"/></pattern></defs></svg>";
/// Months that charts show; of more, the last ones. The table has them all.
const MONTHS_MAX: usize = 36;

/// What text is as part of a page.
pub(super) fn escape(text: &str) -> String {
    quick_xml::escape::escape(clean(text)).into_owned()
}

/// The page.
pub(super) fn page(usage: &Usage, period: Period) -> String {
    let months = months(usage, period);
    let mut out =
        format!("{HEAD}{STYLE}</style></head><body>{PATTERN}<h1>Usage between hospitals</h1>");
    let _ = write!(out, "<p class=\"lead\">{}</p>", escape(&lead(&months)));
    if usage.sites.is_empty() {
        out.push_str("<p>Nothing was registered, granted or retrieved.</p>");
    }
    charts(&mut out, usage, &months);
    matrix(&mut out, usage);
    table(&mut out, usage);
    ledgers(&mut out, usage);
    out.push_str("</body></html>\n");
    out
}

fn lead(months: &[Month]) -> String {
    let span = match (months.first(), months.last()) {
        (Some(first), Some(last)) if first == last => format!("{first}. "),
        (Some(first), Some(last)) => format!("{first} to {last}. "),
        _ => String::new(),
    };
    format!(
        "{span}Months are those of UTC. Every figure comes from audited ledgers; a retrieval counts once, \
         and what one ledger alone shows is hatched and called unconfirmed."
    )
}

/// The months that charts show: all those asked for between the first and the last with a figure.
fn months(usage: &Usage, period: Period) -> Vec<Month> {
    let told = usage.sites.iter().map(|row| row.month);
    let (first, last) = (told.clone().min(), told.max());
    let (Some(first), Some(last)) = (period.from.or(first), period.to.or(last)) else {
        return Vec::new();
    };
    let mut months: Vec<Month> = first.through(last).collect();
    let before = months.len().saturating_sub(MONTHS_MAX);
    months.split_off(before)
}

/// Rows of a hospital by month.
type Rows<'a> = BTreeMap<Month, &'a SiteRow>;

fn charts(out: &mut String, usage: &Usage, months: &[Month]) {
    // This site first, the others by name.
    let mut sites: BTreeMap<(bool, &str, &str), Rows<'_>> = BTreeMap::new();
    for row in &usage.sites {
        let site = (!row.is_own, row.site_name.as_str(), row.site.as_str());
        sites.entry(site).or_default().insert(row.month, row);
    }
    let top = |of: fn(&SiteRow) -> [u64; 2]| usage.sites.iter().flat_map(of).max().unwrap_or(0);
    let registered: fn(&SiteRow) -> [u64; 2] = |row| [row.versions, row.grants_given];
    let retrieved: fn(&SiteRow) -> [u64; 2] = |row| [row.retrieved, row.served];
    let lengths: fn(&SiteRow) -> [u64; 2] = |row| [row.retrieved_bytes, row.served_bytes];
    let tops = [registered, retrieved, lengths].map(top);
    for ((is_other, name, _), rows) in sites {
        let own = if is_other { "" } else { " <small>this site</small>" };
        let _ = write!(out, "<section><h2>{}{own}</h2><div class=\"charts\">", escape(name));
        let bars = |of: fn(&SiteRow) -> [u64; 2]| {
            let one = |month: &Month| {
                let values = rows.get(month).map(|row| of(row)).unwrap_or_default();
                Bars { month: month.to_string(), values, hatched: [0; 2] }
            };
            months.iter().map(one).collect::<Vec<Bars>>()
        };
        let mut accesses = bars(retrieved);
        for (bars, month) in accesses.iter_mut().zip(months) {
            bars.hatched = hatched(usage, name, *month);
        }
        out.push_str(&chart(
            "Shared",
            ["versions registered", "grants given"],
            &bars(registered),
            tops[0],
            count,
        ));
        out.push_str(&chart("Retrievals", ["retrieved", "served"], &accesses, tops[1], count));
        out.push_str(&chart("Bytes", ["retrieved", "served"], &bars(lengths), tops[2], size));
        out.push_str("</div></section>");
    }
}

/// Of what a hospital retrieved and served, what one ledger alone shows.
fn hatched(usage: &Usage, name: &str, month: Month) -> [u64; 2] {
    let of = usage.pairs.iter().filter(|pair| pair.month == month);
    of.fold([0; 2], |[read, served], pair| {
        let unconfirmed = pair.unconfirmed.min(pair.retrievals);
        [
            read + if pair.reader_name == name { unconfirmed } else { 0 },
            served + if pair.owner_name == name { unconfirmed } else { 0 },
        ]
    })
}

/// Who read from whom, over all months.
fn matrix(out: &mut String, usage: &Usage) {
    #[derive(Default)]
    struct Sum {
        retrievals: u64,
        bytes: u64,
        unknown: u64,
    }
    let (mut sums, mut names) = (BTreeMap::<(&str, &str), Sum>::new(), BTreeSet::new());
    for pair in usage.pairs.iter().filter(|pair| pair.retrievals > 0) {
        names.extend([pair.owner_name.as_str(), &pair.reader_name]);
        let sum = sums.entry((&pair.owner_name, &pair.reader_name)).or_default();
        sum.retrievals += pair.retrievals;
        sum.bytes = sum.bytes.saturating_add(pair.bytes);
        sum.unknown += pair.bytes_unknown;
    }
    if sums.is_empty() {
        return;
    }
    let most = sums.values().map(|sum| sum.retrievals).max().unwrap_or(1).max(1);
    out.push_str("<section><h2>Who read from whom</h2><div class=\"wide\"><table class=\"matrix\"><tr><th>owner ↓ reader →</th>");
    for name in &names {
        let _ = write!(out, "<th>{}</th>", escape(name));
    }
    out.push_str("</tr>");
    for owner in &names {
        let _ = write!(out, "<tr><th>{}</th>", escape(owner));
        for reader in &names {
            match sums.get(&(*owner, *reader)) {
                None => out.push_str("<td class=\"none\">·</td>"),
                Some(sum) => {
                    let share = sum.retrievals * 100 / most;
                    let _ = write!(
                        out,
                        "<td style=\"--share:{share}%\">{}<small>{}</small></td>",
                        count(sum.retrievals),
                        bytes(sum.bytes, sum.retrievals, sum.unknown)
                    );
                }
            }
        }
        out.push_str("</tr>");
    }
    out.push_str("</table></div></section>");
}

fn table(out: &mut String, usage: &Usage) {
    const NAMES: [&str; 13] = [
        "month",
        "hospital",
        "studies",
        "versions",
        "granted",
        "received",
        "revoked",
        "glass",
        "retrieved",
        "bytes",
        "served",
        "bytes",
        "unconfirmed",
    ];
    if usage.sites.is_empty() {
        return;
    }
    out.push_str("<section><h2>All figures</h2><div class=\"wide\"><table><tr>");
    for name in NAMES {
        let _ = write!(out, "<th>{name}</th>");
    }
    out.push_str("</tr>");
    for row in &usage.sites {
        let cells = [
            row.month.to_string(),
            escape(&row.site_name),
            count(row.studies),
            count(row.versions),
            count(row.grants_given),
            count(row.grants_received),
            count(row.grants_revoked),
            count(row.glass_broken),
            count(row.retrieved),
            bytes(row.retrieved_bytes, row.retrieved, row.bytes_unknown),
            count(row.served),
            bytes(row.served_bytes, row.served, row.bytes_unknown),
            count(row.unconfirmed),
        ];
        let _ = write!(out, "<tr><td>{}</td></tr>", cells.join("</td><td>"));
    }
    out.push_str(
        "</table></div><p class=\"note\">Bytes are the length of the data sets that were retrieved, as their \
         registered root fixes it: “?” where this site neither owns nor has read that version.</p></section>",
    );
}

fn ledgers(out: &mut String, usage: &Usage) {
    out.push_str("<section><h2>Counted from</h2><ul>");
    for ledger in &usage.ledgers {
        let class = if ledger.is_good() { "" } else { " class=\"bad\"" };
        let name = escape(&ledger.site_name);
        let _ = write!(out, "<li{class}>{name}: {}</li>", escape(&counted_to(ledger)));
    }
    out.push_str("</ul></section>");
}
