//! Rows as comma-separated values (RFC 4180), under the names that JSON has.

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// Columns of a row of one hospital, in the order of [`crate::sharing::SiteRow`].
pub(super) const OF_SITES: &[&str] = &[
    "month",
    "site",
    "site_name",
    "is_own",
    "studies",
    "versions",
    "handed_over",
    "taken_over",
    "grants_given",
    "grants_received",
    "grants_revoked",
    "glass_broken",
    "glass_suffered",
    "retrieved",
    "retrieved_bytes",
    "served",
    "served_bytes",
    "bytes_unknown",
    "failed",
    "unconfirmed",
];

/// Columns of a row of two hospitals, in the order of [`crate::sharing::PairRow`].
pub(super) const OF_PAIRS: &[&str] = &[
    "month",
    "owner",
    "owner_name",
    "reader",
    "reader_name",
    "grants",
    "grants_revoked",
    "glass_broken",
    "retrievals",
    "bytes",
    "bytes_unknown",
    "failed",
    "unconfirmed",
];

/// All rows under a line of names.
pub(super) fn write<T: Serialize>(columns: &[&str], rows: &[T]) -> Result<String> {
    let mut out = columns.join(",") + "\r\n";
    for row in rows {
        let row = serde_json::to_value(row).map_err(|error| Error::Output(error.into()))?;
        let cells: Vec<String> = columns.iter().map(|name| cell(&row[*name])).collect();
        out.push_str(&cells.join(","));
        out.push_str("\r\n");
    }
    Ok(out)
}

fn cell(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    // A name comes from another site, and a spreadsheet would run it as a formula.
    let steers = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if steers { format!("'{text}") } else { text.clone() };
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}
