//! Figures of forwarding by rules. Labels are names of rules, which the settings give.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use super::{Declare, signed};

/// What is owed to others, and what became of it.
pub(crate) struct RouteMetrics {
    depth: IntGaugeVec,
    undelivered: IntGaugeVec,
    oldest: GaugeVec,
    objects: IntCounterVec,
}

impl RouteMetrics {
    pub(super) fn new(add: &Declare<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            depth: add.gauges("cairn_routes_queue", "Objects that are to be sent.", &["route"])?,
            undelivered: add.gauges(
                "cairn_routes_undelivered",
                "Objects that were given up, until somebody retries or drops them.",
                &["route"],
            )?,
            oldest: add.numbers(
                "cairn_routes_oldest_seconds",
                "Since when the oldest object that is to be sent has been waiting.",
                &["route"],
            )?,
            objects: add.counters(
                "cairn_routes_objects_total",
                "Objects by what became of a try to send them.",
                &["route", "result"],
            )?,
        })
    }

    /// What a rule owes at this moment.
    pub(crate) fn depth(&self, route: &str, objects: u64, undelivered: u64, oldest_seconds: f64) {
        self.depth.with_label_values(&[route]).set(signed(objects));
        self.undelivered.with_label_values(&[route]).set(signed(undelivered));
        self.oldest.with_label_values(&[route]).set(oldest_seconds);
    }

    /// Objects of a rule were sent, or not.
    pub(crate) fn objects(&self, route: &str, result: &str, count: u64) {
        self.objects.with_label_values(&[route, result]).inc_by(count);
    }
}
