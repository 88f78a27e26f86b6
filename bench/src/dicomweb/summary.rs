//! Tables and goals out of the samples of a set.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::json;

use super::GOAL_SERIES_INSTANCES;
use super::contest::{Sample, Step};
use crate::figures::{Spread, mb, median};
use crate::goals::Goal;
use crate::instances::Set;
use crate::latency::Latency;
use crate::report::Report;
use crate::service::Who;
use crate::table::Table;

/// Whom the goals are about.
const PEER: Who = Who::Orthanc { compressed: false };
/// The kinds of request, as [`super::request`] names them.
const KINDS: [&str; 10] = [
    "store 20",
    "store 20, of 4 clients",
    "metadata, cold process",
    "metadata, warm",
    "frame, first time",
    "frame, again",
    "search studies",
    "study, first time",
    "study, again",
    "study, Explicit VR",
];

/// Requests of one kind to one server, in all runs.
#[derive(Debug, Serialize)]
struct Line {
    who: &'static str,
    request: &'static str,
    latency: Latency,
}

/// How many times something of the peer is that of `cairn`, in each run.
#[derive(Debug, Serialize)]
struct Ratio {
    what: String,
    ratio: Spread,
}

/// What the samples of a set say.
struct Summary<'a> {
    samples: &'a [Sample],
    runs: usize,
}

/// Adds everything about a set.
pub(super) fn add(set: &Set, samples: &[Sample], runs: u32, report: &mut Report) -> Result<()> {
    let summary = Summary { samples, runs: runs as usize };
    let lines = summary.lines();
    let title = format!("{}; {runs} runs; milliseconds of a request", set.about());
    report.table(&title, &latencies(&lines));
    report.table(
        &format!("{}: storing (median of runs, min-max; 10^6 bytes)", set.name),
        &summary.stores(set)?,
    );
    report.table(
        &format!("{}: what the server used (median of runs, min-max)", set.name),
        &summary.used()?,
    );
    let ratios = summary.ratios(set);
    if !ratios.is_empty() {
        let title = format!("{}: Orthanc / cairn in the same run (median, min-max)", set.name);
        report.table(&title, &ratio_table(&ratios));
    }
    summary.goals(set, report);
    let figures = json!({
        "set": set.about(), "instances": set.instances.len(), "bytes": set.bytes,
        "requests": lines, "ratios": ratios, "samples": samples,
    });
    report.figures(&format!("dicomweb: {}", set.name), &figures)
}

impl Summary<'_> {
    fn servers(&self) -> Vec<Who> {
        let all = [Who::Cairn, PEER, Who::Orthanc { compressed: true }];
        all.into_iter().filter(|who| self.samples.iter().any(|s| s.who == *who)).collect()
    }

    fn of(&self, who: Who, step: Step) -> Vec<&Sample> {
        self.samples.iter().filter(|sample| sample.who == who && sample.step == step).collect()
    }

    /// Seconds of each request of a kind, in one run or in all.
    fn times(&self, who: Who, kind: &str, run: Option<usize>) -> Vec<f64> {
        let samples = self.samples.iter();
        let samples = samples.filter(|s| s.who == who && run.is_none_or(|run| s.run == run));
        let requests = samples.flat_map(|sample| &sample.requests);
        requests.filter(|(found, _)| *found == kind).map(|(_, seconds)| *seconds).collect()
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for request in KINDS {
            for who in self.servers() {
                if let Some(latency) = Latency::of(self.times(who, request, None)) {
                    lines.push(Line { who: who.name(), request, latency });
                }
            }
        }
        lines
    }

    fn stores(&self, set: &Set) -> Result<Table> {
        let headings = ["WHO", "CLIENTS", "S", "MB/S", "INST/S", "STORED MB", "PER CENT"];
        let mut table = Table::new(headings);
        for (step, clients) in [(Step::Store, "1"), (Step::StoreFour, "4")] {
            for who in self.servers() {
                let samples = self.of(who, step);
                let spread = |value: &dyn Fn(&Sample) -> f64| {
                    Spread::of(samples.iter().map(|sample| value(sample)))
                };
                let Some(wall) = spread(&|sample| sample.wall_s) else { continue };
                let rate = spread(&|s| mb(set.bytes) / s.wall_s).context("no samples")?;
                let each = spread(&|s| set.instances.len() as f64 / s.wall_s);
                let stored = spread(&|s| mb(s.stored_bytes)).context("no samples")?;
                table.row([
                    who.name().to_owned(),
                    clients.to_owned(),
                    wall.text(2),
                    rate.text(1),
                    each.context("no samples")?.text(0),
                    stored.text(1),
                    format!("{:.1}", stored.median / mb(set.bytes) * 100.0),
                ]);
            }
        }
        Ok(table)
    }

    fn used(&self) -> Result<Table> {
        let mut table = Table::new(["WHO", "STEP", "CPU S", "PEAK MB", "STOP S", "OTHERS, CORES"]);
        let steps = [Step::Store, Step::StoreFour, Step::Metadata, Step::Frames, Step::Study];
        for step in steps {
            for who in self.servers() {
                let samples = self.of(who, step);
                let text = |decimals, value: &dyn Fn(&Sample) -> f64| {
                    let spread = Spread::of(samples.iter().map(|sample| value(sample)));
                    spread.map(|spread| spread.text(decimals)).context("no samples")
                };
                if samples.is_empty() {
                    continue;
                }
                table.row([
                    who.name().to_owned(),
                    step.name().to_owned(),
                    text(2, &|s| s.server_cpu_s)?,
                    text(0, &|s| mb(s.server_peak_bytes))?,
                    text(2, &|s| s.stop_s)?,
                    text(2, &|s| s.other_cores)?,
                ]);
            }
        }
        Ok(table)
    }

    /// A peer's value over that of `cairn`, run by run.
    fn beside(&self, peer: Who, value: impl Fn(Who, usize) -> Option<f64>) -> Option<Spread> {
        let runs = 0..self.runs;
        Spread::of(runs.filter_map(|run| Some(value(peer, run)? / value(Who::Cairn, run)?)))
    }

    /// The same for the peer that the goals are about.
    fn ratio(&self, value: impl Fn(Who, usize) -> Option<f64>) -> Option<Spread> {
        self.beside(PEER, value)
    }

    fn wall(&self, step: Step) -> Option<Spread> {
        self.ratio(|who, run| self.in_run(who, step, run).map(|sample| sample.wall_s))
    }

    fn in_run(&self, who: Who, step: Step, run: usize) -> Option<&Sample> {
        self.samples.iter().find(|s| s.who == who && s.step == step && s.run == run)
    }

    fn p50(&self, kind: &str) -> Option<Spread> {
        self.ratio(|who, run| median(self.times(who, kind, Some(run))))
    }

    fn ratios(&self, set: &Set) -> Vec<Ratio> {
        let series = set.longest_series().len();
        let mut found = vec![
            ("store, 1 client".to_owned(), self.wall(Step::Store)),
            ("store, 4 clients".to_owned(), self.wall(Step::StoreFour)),
            (format!("metadata of {series}, cold process"), self.p50("metadata, cold process")),
            (format!("metadata of {series}, warm"), self.p50("metadata, warm")),
            ("frame, first time, p50".to_owned(), self.p50("frame, first time")),
            ("frame, again, p50".to_owned(), self.p50("frame, again")),
            ("search studies, p50".to_owned(), self.p50("search studies")),
            ("study, first time".to_owned(), self.p50("study, first time")),
            ("study, again".to_owned(), self.p50("study, again")),
            ("study, Explicit VR".to_owned(), self.p50("study, Explicit VR")),
        ];
        let compressed = Who::Orthanc { compressed: true };
        for kind in ["study, first time", "study, again", "study, Explicit VR"] {
            let median = |who, run| median(self.times(who, kind, Some(run)));
            found.push((format!("{kind}, of a compressing one"), self.beside(compressed, median)));
        }
        let bytes =
            |who, run| self.in_run(who, Step::Store, run).map(|sample| sample.stored_bytes as f64);
        for (what, peer) in [("stored bytes", PEER), ("stored bytes, compressed", compressed)] {
            found.push((what.to_owned(), self.beside(peer, bytes)));
        }
        let known = found.into_iter();
        known.filter_map(|(what, ratio)| Some(Ratio { what, ratio: ratio? })).collect()
    }

    /// What issue and design promise about a peer that was measured beside.
    fn goals(&self, set: &Set, report: &mut Report) {
        let name = |what: &str| format!("{}: {what}", set.name);
        let series = set.longest_series().len();
        let times = |what: &str, spread: Option<Spread>, limit: f64| {
            Some(Goal::at_least(name(what), "x", spread?.median, limit))
        };
        let is_long = series >= GOAL_SERIES_INSTANCES as usize;
        let cold = self.p50("metadata, cold process").filter(|_| is_long);
        let frame_ms = Latency::of(self.times(Who::Cairn, "frame, first time", None));
        let stored = self.ratio(|who, run| {
            self.in_run(who, Step::Store, run).map(|sample| sample.stored_bytes as f64)
        });
        let goals = [
            times("store, 1 client, Orthanc / cairn", self.wall(Step::Store), 3.0),
            times("store, 4 clients, Orthanc / cairn", self.wall(Step::StoreFour), 3.0),
            times("series metadata, cold process, Orthanc / cairn", cold, 10.0),
            times("frame p50, Orthanc / cairn", self.p50("frame, first time"), 5.0),
            frame_ms.map(|frame| Goal::at_most(name("frame p50"), "ms", frame.p50_ms, 2.0)),
            times("study as stored, Orthanc / cairn", self.p50("study, first time"), 5.0),
            times("study in Explicit VR, Orthanc / cairn", self.p50("study, Explicit VR"), 5.0),
            stored
                .map(|s| Goal::at_most(name("stored, cairn / Orthanc"), "x", 1.0 / s.median, 0.5)),
        ];
        goals.into_iter().flatten().for_each(|goal| report.goal(goal));
    }
}

fn latencies(lines: &[Line]) -> Table {
    let mut table = Table::new(["WHO", "REQUEST", "COUNT", "P50", "P95", "P99", "MAX"]);
    for Line { who, request, latency } in lines {
        let [count, p50, p95, p99, max] = latency.cells();
        table.row([(*who).to_owned(), (*request).to_owned(), count, p50, p95, p99, max]);
    }
    table
}

fn ratio_table(ratios: &[Ratio]) -> Table {
    let mut table = Table::new(["WHAT", "TIMES"]);
    for Ratio { what, ratio } in ratios {
        table.row([what.clone(), ratio.text(2)]);
    }
    table
}
