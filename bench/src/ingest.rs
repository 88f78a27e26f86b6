//! `cairn-bench ingest`: one set, stored by everybody, stored again, given back, and stored changed.
//!
//! Every run begins with empty repositories. In a run, the steps follow one another, and within a
//! step the contestants, beginning with another one in each run; each step reads the set first, so
//! that everybody finds it in memory.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::contestant::{Contestant, Peer, Step};
use crate::figures::{Spread, grouped, mb, median, percent};
use crate::files::{Size, size, warm};
use crate::goals::Goal;
use crate::home::Home;
use crate::measure::{Bench, Sample};
use crate::report::Report;
use crate::table::Table;

/// Peak memory of `cairn`, whatever it stores.
pub(crate) const PEAK_MB_MAX: f64 = 400.0;

/// Part of the time of b3sum that reading and hashing may take beside other work of a re-import.
const OF_HASHING_MIN: f64 = 0.7;

/// Time of a first import, as a part of the fastest peer's.
const FASTER_MAX: f64 = 0.25;

/// Speed of an export, as a part of that of `cp` and a sync.
const OF_COPYING_MIN: f64 = 0.6;

/// Store a folder, store it again, export it, store a changed copy; beside other stores and cp
#[derive(Debug, Args)]
pub(crate) struct IngestArgs {
    /// The folder to store
    #[arg(long, value_name = "DIR")]
    set: PathBuf,
    /// The same instances after a correction of their headers
    #[arg(long, value_name = "DIR")]
    changed: Option<PathBuf>,
    /// How often everything is done, with fresh repositories
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Stores to compare with; those that are not installed are left out
    #[arg(long, value_delimiter = ',', value_enum)]
    #[arg(default_values_t = Peer::value_variants().to_vec())]
    peers: Vec<Peer>,
    /// Compare with nobody but cp
    #[arg(long, conflicts_with = "peers")]
    no_peers: bool,
    /// Goal: stored bytes, as a part of the best peer's
    #[arg(long, default_value_t = 0.63, value_name = "RATIO")]
    stored_max: f64,
}

/// One contestant's step in one run.
#[derive(Clone, Copy, Debug, Serialize)]
struct Stored {
    #[serde(flatten)]
    sample: Sample,
    /// In the repository after the step.
    repository: Size,
    /// Of these, in the bucket.
    bucket: Size,
}

/// One contestant's step in all runs.
#[derive(Debug, Serialize)]
struct Line {
    who: &'static str,
    step: &'static str,
    wall_s: Spread,
    cpu_s: Spread,
    sync_s: Spread,
    other_cores: Spread,
    peak_bytes: u64,
    stored_bytes: u64,
    bucket_bytes: u64,
    /// What the step added, in percent of what was there after the first step.
    growth_percent: f64,
    bucket_growth_percent: f64,
    runs: Vec<Stored>,
}

/// What takes part, and its repositories and figures.
struct Contest<'a> {
    bench: &'a Bench<'a>,
    contestants: Vec<Contestant>,
    steps: Vec<(Step, &'a Path)>,
    stored: Vec<(Contestant, Step, Stored)>,
    /// What is to be said of an export.
    exported: Option<String>,
}

/// Measures, and adds the tables and goals.
pub(crate) fn run(bench: &Bench<'_>, args: &IngestArgs, report: &mut Report) -> Result<()> {
    let mut steps =
        [Step::First, Step::Again, Step::Export].map(|step| (step, &*args.set)).to_vec();
    steps.extend(args.changed.as_deref().map(|changed| (Step::Changed, changed)));
    for (_, folder) in &steps {
        ensure!(size(folder)?.files > 0, "{} holds no files", folder.display());
    }
    let peers: &[Peer] = if args.no_peers { &[] } else { &args.peers };
    let contestants = installed(peers, args.no_peers, report);
    let mut contest = Contest { bench, contestants, steps, stored: Vec::new(), exported: None };
    for run in 0..args.runs as usize {
        contest.run(run)?;
    }
    contest.exported.take().into_iter().for_each(|sentence| report.note(sentence));
    let set = size(&args.set)?;
    report.figures("set", &serde_json::json!({ "path": args.set, "size": set }))?;
    let lines = contest.lines()?;
    let title = format!(
        "{}: {} files, {} bytes; {} runs, median (min-max)",
        args.set.file_name().unwrap_or(args.set.as_os_str()).display(),
        grouped(set.files),
        grouped(set.bytes),
        args.runs
    );
    report.table(&title, &times(&lines));
    report.table("stored (10^6 bytes; growth in % of the first step)", &sizes(&lines));
    report.figures("steps", &lines)?;
    compare(&lines, args.stored_max, report)
}

/// `cairn` both ways, the peers that are there, the copy and the hash.
fn installed(peers: &[Peer], is_alone: bool, report: &mut Report) -> Vec<Contestant> {
    let all = [Contestant::Cairn, Contestant::Turbo].into_iter();
    let all = all.chain(peers.iter().map(|&peer| Contestant::Peer(peer))).chain([Contestant::Copy]);
    let all = all.chain((!is_alone).then_some(Contestant::Hash));
    let there = all.filter(|who| {
        let about = who.about();
        let is_there = about.is_some();
        report.note(about.unwrap_or_else(|| format!("{}: NOT INSTALLED, left out", who.name())));
        is_there
    });
    there.collect()
}

/// Everything came back, and is removed. Of several versions of an instance `cairn` gives back the one
/// that is shown: then the sentence says so.
fn check_export(who: Contestant, set: &Path, home: &Home) -> Result<Option<String>> {
    let (asked, given) = (size(set)?, size(&home.exported())?);
    let name = who.name();
    std::fs::remove_dir_all(home.exported()).context("removing an export")?;
    ensure!(given == asked || who.is_cairn(), "{name}: {given:?} back, of {asked:?}");
    ensure!(given.files > 0, "cairn gave nothing back");
    let text = format!("{name}: the export has {} of {} files", given.files, asked.files);
    Ok((given != asked).then(|| text + ", one for each UID"))
}

impl Contest<'_> {
    /// Every step by everybody, with fresh repositories.
    fn run(&mut self, run: usize) -> Result<()> {
        let folder = self.bench.scratch.folder(&format!("run-{run}"))?;
        let mut homes = Vec::new();
        for (index, &who) in self.contestants.iter().enumerate() {
            let home = self.bench.scratch.folder(&format!("run-{run}/{index}"))?;
            homes.push((who, Home::new(who, home)?));
        }
        homes.rotate_left(run % self.contestants.len());
        for &(step, set) in &self.steps {
            for (who, home) in homes.iter().filter(|(who, _)| who.takes_part(step)) {
                eprintln!("run {}, {}: {}", run + 1, step.name(), who.name());
                warm(set)?;
                let command = home.step(self.bench, set, step)?;
                let (sample, _) = self.bench.run(&command).with_context(|| who.name())?;
                if step == Step::Export {
                    self.exported = check_export(*who, set, home)?.or(self.exported.take());
                }
                let repository = size(&home.repository())?;
                let bucket = size(&home.bucket())?;
                self.stored.push((*who, step, Stored { sample, repository, bucket }));
            }
        }
        std::fs::remove_dir_all(&folder).with_context(|| format!("{}", folder.display()))
    }

    /// All runs of each step of each contestant, summed up.
    fn lines(&self) -> Result<Vec<Line>> {
        let mut lines: Vec<Line> = Vec::new();
        for &(step, _) in &self.steps {
            for &who in self.contestants.iter().filter(|who| who.takes_part(step)) {
                let of = self.stored.iter().filter(|(w, s, _)| (*w, *s) == (who, step));
                let mut mine = lines.iter().filter(|line| line.who == who.name());
                let (first, before) = (mine.clone().next(), mine.next_back());
                let line = Line::new(who, step, of.map(|(_, _, stored)| *stored).collect());
                let mut line = line.context("a step without a run")?;
                if let (Some(first), Some(before)) = (first, before) {
                    let grown = line.stored_bytes as f64 - before.stored_bytes as f64;
                    line.growth_percent = percent(grown, first.stored_bytes as f64);
                    let grown = line.bucket_bytes as f64 - before.bucket_bytes as f64;
                    line.bucket_growth_percent = percent(grown, first.bucket_bytes as f64);
                }
                lines.push(line);
            }
        }
        Ok(lines)
    }
}

impl Line {
    /// Growth is left at 0.
    fn new(who: Contestant, step: Step, runs: Vec<Stored>) -> Option<Self> {
        let spread = |get: fn(&Stored) -> f64| Spread::of(runs.iter().map(get));
        Some(Self {
            who: who.name(),
            step: step.name(),
            wall_s: spread(|stored| stored.sample.usage.wall_s)?,
            cpu_s: spread(|stored| stored.sample.usage.cpu_s)?,
            sync_s: spread(|stored| stored.sample.sync_s)?,
            other_cores: spread(|stored| stored.sample.other_cores)?,
            peak_bytes: runs.iter().map(|stored| stored.sample.usage.peak_bytes).max()?,
            stored_bytes: median(runs.iter().map(|stored| stored.repository.bytes as f64))? as u64,
            bucket_bytes: median(runs.iter().map(|stored| stored.bucket.bytes as f64))? as u64,
            growth_percent: 0.0,
            bucket_growth_percent: 0.0,
            runs,
        })
    }
}

fn times(lines: &[Line]) -> Table {
    let headings = ["STEP, WHO", "WALL S", "CPU S", "PEAK MB", "SYNC AFTER S", "OTHERS, CORES"];
    let mut table = Table::new(headings);
    for line in lines {
        table.row([
            format!("{:8} {}", line.step, line.who),
            line.wall_s.text(2),
            line.cpu_s.text(2),
            format!("{:.0}", mb(line.peak_bytes)),
            line.sync_s.text(2),
            line.other_cores.text(2),
        ]);
    }
    table
}

fn sizes(lines: &[Line]) -> Table {
    let mut table = Table::new(["STEP, WHO", "STORED", "GROWTH %", "BUCKET", "GROWTH %", "BYTES"]);
    for line in lines {
        let is_first = line.step == Step::First.name();
        let growth = |value: f64| if is_first { String::new() } else { format!("{value:.3}") };
        let bucket = |text: String| if line.bucket_bytes > 0 { text } else { String::new() };
        table.row([
            format!("{:8} {}", line.step, line.who),
            format!("{:.2}", mb(line.stored_bytes)),
            growth(line.growth_percent),
            bucket(format!("{:.2}", mb(line.bucket_bytes))),
            bucket(growth(line.bucket_growth_percent)),
            grouped(line.stored_bytes),
        ]);
    }
    table
}

/// Adds what `cairn` is to the best peer of each kind, and the goals.
fn compare(lines: &[Line], stored_max: f64, report: &mut Report) -> Result<()> {
    let cairn = |step: Step| {
        lines.iter().find(|line| line.who == Contestant::Cairn.name() && line.step == step.name())
    };
    let of = |step: Step| lines.iter().filter(move |line| line.step == step.name());
    let stores = |step| of(step).filter(|line| Contestant::is_peer_store(line.who));
    let others = |who: Contestant, step| of(step).find(|line| line.who == who.name());
    let in_time = |step| of(step).filter(|line| Contestant::is_peer_for_time(line.who));
    let first = cairn(Step::First).context("cairn did not take part")?;
    let again = cairn(Step::Again).context("cairn did not take part")?;
    if let Some(best) = stores(Step::First).min_by_key(|line| line.stored_bytes) {
        let ratio = first.stored_bytes as f64 / best.stored_bytes as f64;
        report.goal(Goal::at_most(format!("stored / {}", best.who), "x", ratio, stored_max));
    }
    report.goal(Goal::at_most("stored by the re-import", "%", again.growth_percent, 0.1));
    if let Some(changed) = cairn(Step::Changed) {
        let (all, bucket) = (changed.growth_percent, changed.bucket_growth_percent);
        report.goal(Goal::at_most("stored by the changed set", "%", all, 1.5));
        report.goal(Goal::at_most("... in the bucket", "%", bucket, 0.5));
    }
    let by_wall = |a: &&Line, b: &&Line| a.wall_s.median.total_cmp(&b.wall_s.median);
    if let Some(best) = in_time(Step::First).min_by(by_wall) {
        let ratio = first.wall_s.median / best.wall_s.median;
        report.goal(Goal::at_most(format!("first time / {}", best.who), "x", ratio, FASTER_MAX));
        if let Some(turbo) = others(Contestant::Turbo, Step::First) {
            let ratio = turbo.wall_s.median / best.wall_s.median;
            let what = format!("... with turbo / {}", best.who);
            report.goal(Goal::at_most(what, "x", ratio, FASTER_MAX));
        }
    }
    let faster = first.wall_s.median / again.wall_s.median;
    report.goal(Goal::at_least("re-import faster than the first by", "x", faster, 5.0));
    let of_cairn = lines.iter().filter(|line| line.who == Contestant::Cairn.name());
    let peak = of_cairn.map(|line| line.peak_bytes).max().context("cairn did not take part")?;
    report.goal(Goal::at_most("peak memory", "MB", mb(peak), PEAK_MB_MAX));
    if let Some(best) = in_time(Step::Again).min_by(by_wall) {
        let ratio = again.wall_s.median / best.wall_s.median;
        report.note(format!(
            "re-import: {ratio:.2} x the time of {}, which skips files by size and times and reads \
             none; cairn reads and hashes all",
            best.who
        ));
    }
    if let Some(hash) = others(Contestant::Hash, Step::Again) {
        let part = hash.wall_s.median / again.wall_s.median;
        let what = "re-import, speed as a part of b3sum's";
        report.goal(Goal::at_least(what, "x", part, OF_HASHING_MIN));
    }
    if let (Some(export), Some(copy)) =
        (cairn(Step::Export), others(Contestant::Copy, Step::Export))
    {
        let part = copy.wall_s.median / export.wall_s.median;
        let what = "export, speed as a part of that of cp and a sync";
        report.goal(Goal::at_least(what, "x", part, OF_COPYING_MIN));
    }
    Ok(())
}
