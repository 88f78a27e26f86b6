//! Every figure that `/metrics` shows, declared once.
//!
//! Names are `cairn_…` in base units. Labels have few values, none of them from outside: a route's
//! word, a method, a status, a kind.

mod collection;
mod dimse;
mod routes;
mod sharing;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairn_store::catalog::Totals;
use cairn_store::ingest::{Counters, Stage};
use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Bounds of durations of requests and reads: from a cached frame to a whole study.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    120.0,
];
/// Bounds of the stages of ingest: from naming a small chunk to an upload.
const STAGE_SECONDS: &[f64] =
    &[0.00001, 0.00005, 0.0002, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0];
/// How often the archive is counted at most.
const TOTALS_EVERY: Duration = Duration::from_secs(15);
/// Ticks in a second of /proc: fixed in Linux's interface, whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// What kind of failure is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// The client's: what it asked for makes no sense or is not there.
    Request,
    /// No place was free, or the server is on its way out.
    Busy,
    /// Pixels that cannot be decoded, converted or shown.
    Pixels,
    /// Derived metadata that were damaged, and were made again.
    Derived,
    /// Stored bytes that are not what was stored.
    Damage,
    /// The disk or the bucket does not do what it is asked.
    Storage,
    /// The archive is not set up as it should be.
    Setup,
    /// A bug.
    Internal,
}

impl ErrorKind {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Request,
        Self::Busy,
        Self::Pixels,
        Self::Derived,
        Self::Damage,
        Self::Storage,
        Self::Setup,
        Self::Internal,
    ];

    /// The word under which it is counted.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Busy => "busy",
            Self::Pixels => "pixels",
            Self::Derived => "derived",
            Self::Damage => "damage",
            Self::Storage => "storage",
            Self::Setup => "setup",
            Self::Internal => "internal",
        }
    }
}

/// What becomes of an instance that is sent: the store's words, and what was refused.
pub(crate) const OUTCOMES: [&str; 5] = ["new", "correction", "conflict", "duplicate", "refused"];

/// See the [module](self).
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    /// Requests between head and last byte.
    pub(crate) requests_in_flight: IntGauge,
    /// Bytes of request bodies.
    pub(crate) received_bytes: IntCounter,
    sent_bytes: IntCounterVec,
    /// Open connections.
    pub(crate) connections: IntGauge,
    /// One for each stage, in order: they are told of every chunk.
    stages: Vec<Histogram>,
    ingest_bytes: IntCounterVec,
    ingest_instances: IntCounterVec,
    ingest_in_flight_bytes: IntGauge,
    ingest_queue: IntGaugeVec,
    ingest_queue_max: IntGaugeVec,
    spool_objects: IntGauge,
    spool_oldest_seconds: Gauge,
    spool_damaged: IntCounter,
    read_seconds: HistogramVec,
    cache_bytes: IntGaugeVec,
    cache_requests: IntCounterVec,
    errors: IntCounterVec,
    refused: IntCounterVec,
    store_studies: IntGauge,
    store_series: IntGauge,
    store_instances: IntGauge,
    resident_bytes: IntGauge,
    cpu_seconds: Gauge,
    open_fds: IntGauge,
    /// Taking back what was deleted.
    pub(crate) collection: collection::CollectionMetrics,
    /// Associations and operations.
    pub(crate) dimse: dimse::DimseMetrics,
    /// Forwarding by rules.
    pub(crate) routes: routes::RouteMetrics,
    /// Other sites.
    pub(crate) sharing: sharing::SharingMetrics,
    counted: Mutex<Option<Instant>>,
}

impl Metrics {
    /// All figures at zero.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let add = Declare(&registry);
        let build = add.gauges("cairn_build_info", "The version that runs.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let start = add.number("process_start_time_seconds", "When the process began.")?;
        start.set(
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0.0, |since| since.as_secs_f64()),
        );
        let stages = add.histograms(
            HistogramOpts::new(
                "cairn_ingest_stage_duration_seconds",
                "Time in each stage of taking objects in.",
            )
            .buckets(STAGE_SECONDS.to_vec()),
            "stage",
        )?;
        // A counter that begins with its first event hides that event from rate() and increase().
        let errors =
            add.counters("cairn_errors_total", "Requests that failed, by kind.", &["kind"])?;
        for kind in ErrorKind::ALL {
            errors.with_label_values(&[kind.name()]);
        }
        let ingest_instances = add.counters(
            "cairn_ingest_instances_total",
            "Instances by what became of them.",
            &["outcome"],
        )?;
        for outcome in OUTCOMES {
            ingest_instances.with_label_values(&[outcome]);
        }
        Ok(Self {
            requests: add.counters(
                "cairn_http_requests_total",
                "Requests answered.",
                &["route", "method", "status"],
            )?,
            request_seconds: add.seconds(
                "cairn_http_request_duration_seconds",
                "From the head of a request to the last byte of its reply.",
                "route",
            )?,
            requests_in_flight: add
                .gauge("cairn_http_requests_in_flight", "Requests under way.")?,
            received_bytes: add
                .counter("cairn_http_received_bytes_total", "Bytes of request bodies.")?,
            sent_bytes: add.counters(
                "cairn_http_sent_bytes_total",
                "Bytes of reply bodies.",
                &["route"],
            )?,
            connections: add.gauge("cairn_http_connections", "Open connections.")?,
            stages: Stage::ALL.map(|stage| stages.with_label_values(&[stage.name()])).into(),
            ingest_bytes: add.counters(
                "cairn_ingest_bytes_total",
                "Bytes received, known already, new, and appended to packs.",
                &["kind"],
            )?,
            ingest_instances,
            ingest_in_flight_bytes: add
                .gauge("cairn_ingest_in_flight_bytes", "Received bytes in memory.")?,
            ingest_queue: add.gauges("cairn_ingest_queue", "What waits in ingest.", &["queue"])?,
            ingest_queue_max: add.gauges(
                "cairn_ingest_queue_max",
                "The bounds of what may wait in ingest.",
                &["queue"],
            )?,
            spool_objects: add.gauge(
                "cairn_ingest_spool_objects",
                "Objects that are acknowledged and not in the archive yet.",
            )?,
            spool_oldest_seconds: add.number(
                "cairn_ingest_spool_oldest_seconds",
                "How long the oldest of them has been waiting.",
            )?,
            spool_damaged: add.counter(
                "cairn_ingest_spool_damaged_total",
                "Objects that were acknowledged and cannot be read from the spool any more.",
            )?,
            read_seconds: add.seconds(
                "cairn_read_duration_seconds",
                "Time to read from the archive.",
                "kind",
            )?,
            cache_bytes: add.gauges("cairn_cache_bytes", "Bytes in caches.", &["cache"])?,
            cache_requests: add.counters(
                "cairn_cache_requests_total",
                "Look-ups in caches.",
                &["cache", "result"],
            )?,
            errors,
            refused: add.counters(
                "cairn_http_refused_total",
                "Requests of people and systems that were not let in, by why.",
                &["why"],
            )?,
            store_studies: add.gauge("cairn_store_studies", "Studies in the archive.")?,
            store_series: add.gauge("cairn_store_series", "Series in the archive.")?,
            store_instances: add.gauge("cairn_store_instances", "Instances in the archive.")?,
            resident_bytes: add.gauge("process_resident_memory_bytes", "Memory in use.")?,
            cpu_seconds: add.number("process_cpu_seconds_total", "Processor time used.")?,
            open_fds: add.gauge("process_open_fds", "Open files.")?,
            dimse: dimse::DimseMetrics::new(&add)?,
            collection: collection::CollectionMetrics::new(&add)?,
            routes: routes::RouteMetrics::new(&add)?,
            sharing: sharing::SharingMetrics::new(&add)?,
            counted: Mutex::new(None),
            registry,
        })
    }

    /// A request is over.
    pub(crate) fn request(&self, route: &str, method: &str, status: u16, seconds: f64) {
        let status = status.to_string();
        self.requests.with_label_values(&[route, method, status.as_str()]).inc();
        self.request_seconds.with_label_values(&[route]).observe(seconds);
    }

    /// Bytes of a reply went out.
    pub(crate) fn sent_bytes(&self, route: &str, bytes: u64) {
        self.sent_bytes.with_label_values(&[route]).inc_by(bytes);
    }

    /// Something failed.
    pub(crate) fn error(&self, kind: ErrorKind) {
        self.errors.with_label_values(&[kind.name()]).inc();
    }

    /// Somebody was not let in.
    pub(crate) fn refused(&self, why: &str) {
        self.refused.with_label_values(&[why]).inc();
    }

    /// Instances were taken, or refused.
    pub(crate) fn instances(&self, outcome: &str, count: u64) {
        self.ingest_instances.with_label_values(&[outcome]).inc_by(count);
    }

    /// A stage of ingest took this long. Called for every chunk.
    pub(crate) fn stage(&self, stage: Stage, took: Duration) {
        let place = Stage::ALL.iter().position(|known| *known == stage);
        if let Some(histogram) = place.and_then(|place| self.stages.get(place)) {
            histogram.observe(took.as_secs_f64());
        }
    }

    /// A read took this long: chunk, frame, metadata.
    pub(crate) fn read(&self, kind: &str, took: Duration) {
        self.read_seconds.with_label_values(&[kind]).observe(took.as_secs_f64());
    }

    /// How often a cache had what it was asked for, and how often not, since the beginning.
    pub(crate) fn cache(&self, cache: &str, hits: u64, misses: u64) {
        for (result, count) in [("hit", hits), ("miss", misses)] {
            let counter = self.cache_requests.with_label_values(&[cache, result]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }

    /// How much a cache holds.
    pub(crate) fn cache_holds(&self, cache: &str, bytes: u64) {
        self.cache_bytes.with_label_values(&[cache]).set(signed(bytes));
    }

    /// How much waits, and how much may.
    pub(crate) fn queue(&self, queue: &str, length: u64, max: u64) {
        self.ingest_queue.with_label_values(&[queue]).set(signed(length));
        self.ingest_queue_max.with_label_values(&[queue]).set(signed(max));
    }

    /// What waits in the spool, and what was lost there.
    pub(crate) fn spool(&self, objects: u64, oldest: Duration, damaged: u64) {
        self.spool_objects.set(signed(objects));
        self.spool_oldest_seconds.set(oldest.as_secs_f64());
        self.spool_damaged.inc_by(damaged.saturating_sub(self.spool_damaged.get()));
    }

    /// Takes over what ingest counts itself.
    pub(crate) fn ingest(&self, counters: &Counters, in_flight_bytes: usize) {
        use std::sync::atomic::Ordering::Relaxed;
        let kinds = [
            ("received", &counters.bytes_in),
            ("duplicate", &counters.duplicate_bytes),
            ("new", &counters.new_bytes),
            ("stored", &counters.stored_bytes),
        ];
        for (kind, value) in kinds {
            let counter = self.ingest_bytes.with_label_values(&[kind]);
            counter.inc_by(value.load(Relaxed).saturating_sub(counter.get()));
        }
        self.ingest_in_flight_bytes.set(signed(in_flight_bytes as u64));
    }

    /// Is it time to count the archive again? Says yes once, to one caller.
    pub(crate) fn totals_due(&self) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let due = counted.is_none_or(|at| at.elapsed() >= TOTALS_EVERY);
        if due {
            *counted = Some(Instant::now());
        }
        due
    }

    /// What the archive holds.
    pub(crate) fn totals(&self, totals: &Totals) {
        self.store_studies.set(signed(totals.studies));
        self.store_series.set(signed(totals.series));
        self.store_instances.set(signed(totals.instances));
    }

    /// All figures in Prometheus' text format.
    pub(crate) fn text(&self) -> prometheus::Result<String> {
        self.process();
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Reads /proc; where there is none, the figures stay at zero.
    fn process(&self) {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}"));
        if let Ok(status) = read("status") {
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<i64>().ok());
            self.resident_bytes.set(kib.unwrap_or(0) * 1024);
        }
        if let Ok(stat) = read("stat") {
            // The name may hold blanks; it ends with the last parenthesis. proc_pid_stat(5).
            let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
            let fields: Vec<f64> = after.split(' ').map(|f| f.parse().unwrap_or(0.0)).collect();
            let ticks = fields.get(12).unwrap_or(&0.0) + fields.get(13).unwrap_or(&0.0);
            self.cpu_seconds.set(ticks / TICKS_PER_SECOND);
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            self.open_fds.set(signed(files.count() as u64));
        }
    }
}

/// As gauges count.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Makes and registers in one go.
struct Declare<'a>(&'a Registry);

impl Declare<'_> {
    fn keep<C: Collector + Clone + 'static>(&self, made: C) -> prometheus::Result<C> {
        self.0.register(Box::new(made.clone()))?;
        Ok(made)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.keep(IntCounter::new(name, help)?)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.keep(IntGauge::new(name, help)?)
    }

    fn number(&self, name: &str, help: &str) -> prometheus::Result<Gauge> {
        self.keep(Gauge::new(name, help)?)
    }

    fn numbers(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
        self.keep(GaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.keep(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn seconds(&self, name: &str, help: &str, label: &str) -> prometheus::Result<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        self.histograms(options, label)
    }

    fn histograms(&self, options: HistogramOpts, label: &str) -> prometheus::Result<HistogramVec> {
        self.keep(HistogramVec::new(options, &[label])?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn figures_are_told() {
        let metrics = Metrics::new().unwrap();
        metrics.request("frames", "GET", 200, 0.003);
        metrics.stage(Stage::Sync, Duration::from_millis(4));
        let text = metrics.text().unwrap();
        let line = "cairn_http_requests_total{method=\"GET\",route=\"frames\",status=\"200\"} 1";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("cairn_ingest_stage_duration_seconds_count{stage=\"sync\"} 1"));
        for name in ["cairn_build_info{version", "process_resident_memory_bytes "] {
            assert!(text.contains(name), "{name}");
        }
        assert!(metrics.totals_due() && !metrics.totals_due());
    }

    #[test]
    fn the_first_event_of_a_kind_is_seen_against_a_zero() {
        let metrics = Metrics::new().unwrap();
        metrics.error(ErrorKind::Busy);
        let text = metrics.text().unwrap();
        for kind in ErrorKind::ALL {
            let count = u8::from(kind == ErrorKind::Busy);
            let line = format!("cairn_errors_total{{kind=\"{}\"}} {count}\n", kind.name());
            assert!(text.contains(&line), "{line}{text}");
        }
        for outcome in OUTCOMES {
            let line = format!("cairn_ingest_instances_total{{outcome=\"{outcome}\"}} 0\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}
