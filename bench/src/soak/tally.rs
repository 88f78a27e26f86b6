//! What a good client saw.

use std::collections::{BTreeMap, HashSet};

/// Errors that are kept; more are counted.
const ERRORS_KEPT: usize = 50;

/// Times, refusals and errors, and what was acknowledged.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Seconds of requests that were answered, by kind.
    pub(super) times: BTreeMap<&'static str, Vec<f64>>,
    /// Answers 503, which are tried again, by kind.
    pub(super) busy: BTreeMap<&'static str, u64>,
    /// The first errors.
    pub(super) errors: Vec<String>,
    pub(super) error_count: u64,
    /// SOP Instance UIDs that the server said it has.
    pub(super) acknowledged: HashSet<String>,
}

impl Tally {
    pub(super) fn time(&mut self, kind: &'static str, seconds: f64) {
        self.times.entry(kind).or_default().push(seconds);
    }

    pub(super) fn error(&mut self, error: String) {
        self.error_count += 1;
        if self.errors.len() < ERRORS_KEPT {
            self.errors.push(error);
        }
    }

    pub(super) fn requests(&self) -> u64 {
        self.times.values().map(|times| times.len() as u64).sum()
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (kind, times) in other.times {
            self.times.entry(kind).or_default().extend(times);
        }
        for (kind, count) in other.busy {
            *self.busy.entry(kind).or_default() += count;
        }
        self.error_count += other.error_count;
        self.errors.extend(other.errors);
        self.errors.truncate(ERRORS_KEPT);
        self.acknowledged.extend(other.acknowledged);
    }
}
