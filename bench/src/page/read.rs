//! Figures out of the JSON of parts, and what is common to the plots.
//!
//! Everything is optional: a part may be missing, or have been measured by another version of this
//! program. Then a plot has less in it, or is left out.

use serde_json::Value;

use crate::all::document::{Document, Kind};
use crate::figures::Spread;

/// A number in an object.
pub(super) fn number(value: &Value, name: &str) -> Option<f64> {
    value.get(name)?.as_f64().filter(|number| number.is_finite())
}

/// A text in an object; empty if it is not there.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A spread in an object.
pub(super) fn spread(value: &Value, name: &str) -> Option<Spread> {
    serde_json::from_value(value.get(name)?.clone()).ok()
}

/// The elements of an array in an object.
pub(super) fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> + Clone {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// What the machine can do at most, where that was measured.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    pub(super) memcpy_mb_per_s: Option<f64>,
    pub(super) blake3_mb_per_s: Option<f64>,
    pub(super) blake3_all_mb_per_s: Option<f64>,
    pub(super) write_sync_mb_per_s: Option<f64>,
    pub(super) loopback_mb_per_s: Option<f64>,
    pub(super) round_trip_ms: Option<f64>,
    pub(super) record_sync_ms: Option<f64>,
}

impl Known {
    pub(super) fn of(document: &Document) -> Self {
        let Some(part) = document.done(Kind::Limits).next() else { return Self::default() };
        let limits = part.report.measured.get("limits").unwrap_or(&Value::Null);
        let rate = |name: &str| spread(limits, name).map(|spread| spread.median);
        let p50 = |name: &str| number(limits.get(name)?, "p50_ms");
        Self {
            memcpy_mb_per_s: rate("memcpy_mb_per_s"),
            blake3_mb_per_s: rate("blake3_mb_per_s"),
            blake3_all_mb_per_s: rate("blake3_all_mb_per_s"),
            write_sync_mb_per_s: rate("write_sync_mb_per_s"),
            loopback_mb_per_s: rate("loopback_mb_per_s"),
            round_trip_ms: p50("loopback_round_trip"),
            record_sync_ms: p50("record_sync"),
        }
    }
}

/// The colour of who is drawn; the same in every plot.
pub(super) fn class(who: &str) -> &'static str {
    let fixed = [
        ("cairn", "cairn"),
        ("cairn, turbo", "turbo"),
        ("cp + sync", "floor"),
        ("b3sum", "floor"),
        ("nobody", "floor"),
        ("(nobody)", "floor"),
        ("restic", "c1"),
        ("borg", "c2"),
        ("borg-32k", "c3"),
        ("rustic", "c4"),
        ("casync", "c5"),
        ("desync", "c6"),
        ("kopia", "c7"),
        ("tar + zstd", "c8"),
        ("orthanc", "c1"),
        ("orthanc, compressed", "c2"),
        ("JPEG-LS", "c1"),
        ("HTJ2K", "c2"),
        ("JPEG 2000", "c3"),
        ("JPEG XL", "c4"),
        ("zstd", "c5"),
        ("codec", "c6"),
    ];
    let exact = fixed.iter().find(|(name, _)| *name == who);
    let begins = || fixed.iter().skip(12).find(|(name, _)| who.starts_with(name));
    exact.or_else(begins).map_or("c8", |(_, class)| class)
}
