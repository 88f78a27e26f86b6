//! Figures of collections.

use cairn_store::collect::CollectReport;
use cairn_store::error::{Error, Result};
use prometheus::{IntCounter, IntCounterVec};

use super::Declare;

/// What became of collections.
pub(crate) struct CollectionMetrics {
    runs: IntCounterVec,
    freed_bytes: IntCounter,
    packs: IntCounter,
    damaged: IntCounter,
}

impl CollectionMetrics {
    pub(super) fn new(add: &Declare<'_>) -> prometheus::Result<Self> {
        let made = Self {
            runs: add.counters(
                "cairn_collections_total",
                "Collections by how they ended.",
                &["result"],
            )?,
            freed_bytes: add.counter(
                "cairn_collection_freed_bytes_total",
                "Bytes that collections took out of the bucket.",
            )?,
            packs: add
                .counter("cairn_collection_packs_total", "Packs that collections removed.")?,
            damaged: add.counter(
                "cairn_collection_damaged_total",
                "Packs that collections left alone since something in them cannot be read.",
            )?,
        };
        for result in ["done", "idle", "broken_off", "failed"] {
            made.runs.with_label_values(&[result]);
        }
        Ok(made)
    }

    /// One ended.
    pub(crate) fn ended(&self, done: &Result<CollectReport>) {
        let result = match done {
            Ok(report) if report.idle => "idle",
            Ok(_) => "done",
            Err(Error::BrokenOff | Error::Busy | Error::Collecting) => "broken_off",
            Err(_) => "failed",
        };
        self.runs.with_label_values(&[result]).inc();
        if let Ok(report) = done {
            self.packs.inc_by(report.packs_removed);
            self.damaged.inc_by(report.damage.len() as u64);
            self.freed_bytes.inc_by(report.freed_bytes());
        }
    }
}
