//! The table that the demo prints, a row as soon as its step is done.

use std::time::Instant;

use serde::Serialize;

use crate::output::{count, round, size};

/// One step: what it did, what it took, whether its claim held.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) step: &'static str,
    pub(super) files: u64,
    pub(super) bytes_in: u64,
    /// By how much everything at rest grew; `null` where a step is not about storing.
    pub(super) stored_bytes: Option<u64>,
    /// The same in per cent of what the first import took.
    pub(super) growth_percent: Option<f64>,
    pub(super) seconds: f64,
    pub(super) mb_per_second: f64,
    pub(super) held: bool,
    pub(super) verdict: String,
}

impl Row {
    pub(super) fn new(step: &'static str, files: u64, bytes_in: u64, seconds: f64) -> Self {
        let rate = if seconds > 0.0 { bytes_in as f64 / seconds / 1e6 } else { 0.0 };
        Self {
            step,
            files,
            bytes_in,
            stored_bytes: None,
            growth_percent: None,
            seconds: round(seconds),
            mb_per_second: round(rate),
            held: false,
            verdict: String::new(),
        }
    }

    /// Says what came of the step.
    pub(super) fn judge(mut self, held: bool, verdict: impl Into<String>) -> Self {
        self.held = held;
        self.verdict = verdict.into();
        self
    }

    /// Says by how much the archive grew.
    pub(super) fn grew(mut self, stored_bytes: u64, first_bytes: u64) -> Self {
        self.stored_bytes = Some(stored_bytes);
        if first_bytes > 0 {
            self.growth_percent = Some(round(stored_bytes as f64 * 100.0 / first_bytes as f64));
        }
        self
    }

    pub(super) fn text(&self) -> String {
        line(&[
            self.step.to_owned(),
            count(self.files),
            size(self.bytes_in),
            self.stored_bytes.map_or_else(|| "-".into(), size),
            self.growth_percent.map_or_else(|| "-".into(), |percent| format!("{percent:.2} %")),
            format!("{:.2}", self.seconds),
            format!("{:.0}", self.mb_per_second),
            format!("{}: {}", if self.held { "holds" } else { "FAILS" }, self.verdict),
        ])
    }
}

/// The line above the rows.
pub(super) fn heading() -> String {
    let names = ["step", "files", "bytes in", "new stored", "growth", "seconds", "MB/s", "verdict"];
    line(&names.map(str::to_owned))
}

fn line(cells: &[String; 8]) -> String {
    let [step, files, bytes, stored, growth, seconds, rate, verdict] = cells;
    format!(
        "{step:20} {files:>7} {bytes:>9} {stored:>10} {growth:>9} {seconds:>8} {rate:>6}  \
         {verdict}\n"
    )
}

/// What a step between hospitals is about, in bytes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Sizes {
    /// Instances of the study.
    pub(super) instances: u64,
    /// Length of its data sets or files.
    pub(super) bytes: u64,
    /// Bytes that came over the network; `null` where nothing was to come.
    #[serde(rename = "bytes_moved")]
    pub(super) moved: Option<u64>,
    /// Bytes that did not have to.
    #[serde(rename = "bytes_saved")]
    pub(super) saved: Option<u64>,
}

/// One step between hospitals.
#[derive(Debug, Serialize)]
pub(super) struct Passage {
    pub(super) step: &'static str,
    #[serde(flatten)]
    pub(super) sizes: Sizes,
    pub(super) seconds: f64,
    pub(super) held: bool,
    pub(super) verdict: String,
}

impl Passage {
    /// A step that ends now.
    pub(super) fn new(step: &'static str, sizes: Sizes, begun: Instant) -> Self {
        let seconds = round(begun.elapsed().as_secs_f64());
        Self { step, sizes, seconds, held: false, verdict: String::new() }
    }

    /// Says what came of the step.
    pub(super) fn judge(mut self, held: bool, verdict: impl Into<String>) -> Self {
        self.held = held;
        self.verdict = verdict.into();
        self
    }

    pub(super) fn text(&self) -> String {
        let or_dash = |bytes: Option<u64>| bytes.map_or_else(|| "-".into(), size);
        let some = |number: u64| (number > 0).then_some(number);
        passage([
            self.step.to_owned(),
            some(self.sizes.instances).map_or_else(|| "-".into(), count),
            or_dash(some(self.sizes.bytes)),
            or_dash(self.sizes.moved),
            or_dash(self.sizes.saved),
            format!("{:.2}", self.seconds),
            format!("{}: {}", if self.held { "holds" } else { "FAILS" }, self.verdict),
        ])
    }
}

/// The line above steps between hospitals.
pub(super) fn passage_heading() -> String {
    let names = ["step", "images", "bytes", "moved", "saved", "seconds", "verdict"];
    passage(names.map(str::to_owned))
}

fn passage([step, images, bytes, moved, saved, seconds, verdict]: [String; 7]) -> String {
    format!("{step:20} {images:>7} {bytes:>9} {moved:>9} {saved:>9} {seconds:>8}  {verdict}\n")
}
