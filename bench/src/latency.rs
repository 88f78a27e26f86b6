//! Percentiles of how long requests took.

use serde::Serialize;

/// Milliseconds that requests of one kind took: nearest-rank percentiles, so that each is a time that
/// was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Latency {
    /// How many requests.
    pub(crate) count: u64,
    /// As many took less as took more.
    pub(crate) p50_ms: f64,
    /// One in twenty took longer.
    pub(crate) p95_ms: f64,
    /// One in a hundred took longer.
    pub(crate) p99_ms: f64,
    /// The slowest.
    pub(crate) max_ms: f64,
}

impl Latency {
    /// Of at least one time in seconds; all are finite.
    pub(crate) fn of(seconds: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = seconds.into_iter().map(|seconds| seconds * 1e3).collect();
        sorted.sort_by(f64::total_cmp);
        let &max_ms = sorted.last()?;
        let at = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100) - 1];
        let (p50_ms, p95_ms, p99_ms) = (at(50), at(95), at(99));
        debug_assert!(p50_ms <= p95_ms && p95_ms <= p99_ms && p99_ms <= max_ms);
        Some(Self { count: sorted.len() as u64, p50_ms, p95_ms, p99_ms, max_ms })
    }

    /// Cells of a table: count, percentiles, maximum.
    pub(crate) fn cells(&self) -> [String; 5] {
        let ms = |ms: f64| if ms < 100.0 { format!("{ms:.2}") } else { format!("{ms:.0}") };
        let count = crate::figures::grouped(self.count);
        [count, ms(self.p50_ms), ms(self.p95_ms), ms(self.p99_ms), ms(self.max_ms)]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ranks() {
        assert_eq!(Latency::of([]), None);
        let one = Latency::of([0.002]).unwrap();
        assert_eq!(one.cells(), ["1", "2.00", "2.00", "2.00", "2.00"]);
        let many = Latency::of((1..=200).rev().map(|ms| f64::from(ms) / 1e3)).unwrap();
        assert_eq!(many.cells(), ["200", "100", "190", "198", "200"]);
    }
}
