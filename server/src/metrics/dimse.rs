//! Figures of DIMSE.

use prometheus::{HistogramVec, IntCounterVec, IntGauge};

use super::Declare;

/// Associations and operations.
pub(crate) struct DimseMetrics {
    /// Open associations, those in negotiation included.
    pub(crate) associations: IntGauge,
    ended: IntCounterVec,
    operations: IntCounterVec,
    seconds: HistogramVec,
    bytes: IntCounterVec,
    reports: IntCounterVec,
    rejected: IntCounterVec,
    handshakes: IntCounterVec,
}

impl DimseMetrics {
    pub(super) fn new(add: &Declare<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            associations: add.gauge("cairn_dimse_associations", "Open associations.")?,
            ended: add.counters(
                "cairn_dimse_associations_total",
                "Associations by how they ended.",
                &["end"],
            )?,
            operations: add.counters(
                "cairn_dimse_operations_total",
                "Operations answered.",
                &["operation", "status"],
            )?,
            seconds: add.seconds(
                "cairn_dimse_operation_duration_seconds",
                "From the command of an operation to its last answer.",
                "operation",
            )?,
            bytes: add.counters(
                "cairn_dimse_bytes_total",
                "Bytes over associations that ended.",
                &["direction"],
            )?,
            reports: add.counters(
                "cairn_dimse_reports_total",
                "Reports of storage commitment by what became of them.",
                &["result"],
            )?,
            rejected: add.counters(
                "cairn_dimse_rejections_total",
                "Associations that were rejected, by what was wrong.",
                &["reason"],
            )?,
            handshakes: add.counters(
                "cairn_dimse_tls_handshakes_total",
                "TLS handshakes of those who call: the version agreed on, or why there is none.",
                &["result"],
            )?,
        })
    }

    /// An association is over.
    pub(crate) fn ended(&self, end: &str) {
        self.ended.with_label_values(&[end]).inc();
    }

    /// An operation was answered.
    pub(crate) fn operation(&self, operation: &str, status: &str, seconds: f64) {
        self.operations.with_label_values(&[operation, status]).inc();
        self.seconds.with_label_values(&[operation]).observe(seconds);
    }

    /// A report of storage commitment was delivered, or not.
    pub(crate) fn report(&self, result: &str) {
        self.reports.with_label_values(&[result]).inc();
    }

    /// An association was rejected.
    pub(crate) fn rejected(&self, reason: &str) {
        self.rejected.with_label_values(&[reason]).inc();
    }

    /// A TLS handshake came to an end.
    pub(crate) fn handshake(&self, result: &str) {
        self.handshakes.with_label_values(&[result]).inc();
    }

    /// Bytes of an association that ended.
    pub(crate) fn bytes(&self, received: u64, sent: u64) {
        self.bytes.with_label_values(&["received"]).inc_by(received);
        self.bytes.with_label_values(&["sent"]).inc_by(sent);
    }
}
