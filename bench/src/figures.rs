//! Numbers out of repeated measurements, and how they are shown. Megabytes are 10^6 bytes.

use serde::{Deserialize, Serialize};

/// Middle and ends of repeated measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// The middle one, or the mean of the two in the middle.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) min: f64,
    /// The largest.
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one value; all values are finite.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        debug_assert!(min <= median && median <= max);
        Some(Self { median, min, max })
    }

    /// As `1.23 (1.20-1.31)`, or the median alone where there is nothing more to say.
    pub(crate) fn text(&self, decimals: usize) -> String {
        let median = format!("{:.decimals$}", self.median);
        let ends = format!("{:.decimals$}-{:.decimals$}", self.min, self.max);
        if ends == format!("{median}-{median}") { median } else { format!("{median} ({ends})") }
    }
}

/// The median of at least one value.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    Spread::of(values).map(|spread| spread.median)
}

/// `bytes` in megabytes.
pub(crate) fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// `part` in percent of `whole`; 0 of nothing.
pub(crate) fn percent(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole * 100.0 }
}

/// As `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The whole number nearest to `value`, as `-1,234`.
pub(crate) fn grouped_signed(value: f64) -> String {
    let sign = if value < -0.5 { "-" } else { "" };
    format!("{sign}{}", grouped(value.abs().round() as u64))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0, 3.0]), Some(3.0));
        let spread = Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!(spread, Spread { median: 2.5, min: 1.0, max: 4.0 });
    }

    #[test]
    fn spreads_as_text() {
        assert_eq!(Spread::of([1.0, 2.0, 3.0]).unwrap().text(1), "2.0 (1.0-3.0)");
        assert_eq!(Spread::of([2.0, 2.01]).unwrap().text(1), "2.0");
    }

    #[test]
    fn numbers_as_text() {
        let texts = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        for (number, text) in texts {
            assert_eq!(grouped(number), text);
        }
        assert!((percent(1.0, 4.0) - 25.0).abs() < 1e-9);
        assert!(percent(1.0, 0.0).abs() < 1e-9);
    }
}
