//! Where log lines go: standard error, as text or as one JSON object a line.

use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The target of the lines that a server writes for each request.
pub(crate) const ACCESS: &str = "cairn::access";

/// How lines are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// The least of what is written.
    pub(crate) level: Level,
    /// One object a line.
    pub(crate) json: bool,
    /// Say where in the code a line comes from.
    pub(crate) targets: bool,
    /// Write a line for each request.
    pub(crate) access: bool,
}

impl Style {
    /// For how often `-q` and `-v` were given: warnings always, more with `-v`.
    pub(crate) fn new(quiet: bool, verbose: u8) -> Self {
        let level = match (quiet, verbose) {
            (true, _) => Level::ERROR,
            (false, 0) => Level::WARN,
            (false, 1) => Level::INFO,
            (false, _) => Level::DEBUG,
        };
        Self { level, json: false, targets: verbose > 1, access: false }
    }
}

/// Begins to write. Of other crates, warnings only.
pub(crate) fn start(style: Style) {
    let ours = ["cairn", "cairn_store", "cairn_dicom", "cairn_chunker"];
    let access = if style.access { Level::INFO } else { Level::ERROR };
    let targets = Targets::new()
        .with_default(style.level.min(Level::WARN))
        .with_targets(ours.map(|target| (target, style.level)))
        .with_target(ACCESS, access);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(!style.json && std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(style.targets);
    let lines = if style.json {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        lines.boxed()
    };
    // Fails only if a subscriber is set already, which then serves.
    let _ = tracing_subscriber::registry().with(targets).with(lines).try_init();
}
