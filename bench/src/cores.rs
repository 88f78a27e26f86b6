//! `cairn-bench cores`: does an import, a check and an export go faster with more cores?
//!
//! `cairn` runs under taskset(1), which also tells it how many cores there are, and with as many
//! threads to code with. Everything is done with one core, two, four and so on, in turn.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::figures::{Spread, grouped, mb};
use crate::files::{size, warm};
use crate::limits::hash;
use crate::measure::{Bench, Sample, first_line};
use crate::report::Report;
use crate::table::Table;

/// Bytes that each thread hashes for the line that nothing can pass.
const HASHED_BYTES: u64 = 1_000_000_000;
/// What is done, one after the other.
const STEPS: [&str; 3] = ["import", "verify", "export"];

/// Import, verify and export with one core, two, four …
#[derive(Debug, Args)]
pub(crate) struct CoresArgs {
    /// The folder to store
    #[arg(long, value_name = "DIR")]
    set: PathBuf,
    /// How often everything is done
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Not more than so many cores
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    cores_max: u32,
}

/// A step with so many cores, in all runs.
#[derive(Debug, Serialize)]
struct Line {
    what: &'static str,
    cores: usize,
    wall_s: Spread,
    cpu_s: Spread,
    mb_per_s: Spread,
}

/// Measures, and adds the table.
pub(crate) fn run(bench: &Bench<'_>, args: &CoresArgs, report: &mut Report) -> Result<()> {
    let set = size(&args.set)?;
    ensure!(set.files > 0, "{} holds no files", args.set.display());
    first_line(Command::new("taskset").arg("--version")).context("taskset is not installed")?;
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let counts = counts(all.min(args.cores_max as usize));
    let mut samples = Vec::new();
    for run in 0..args.runs as usize {
        let mut order = counts.clone();
        order.rotate_left(run % counts.len());
        for cores in order {
            for (what, sample) in once(bench, &args.set, cores)? {
                samples.push((what, cores, sample));
            }
        }
    }
    let lines = lines(&samples, &counts, set.bytes)?;
    let blake3: Vec<_> = counts.iter().map(|&cores| (cores, hash(cores, HASHED_BYTES))).collect();
    let title = format!(
        "{} files, {} bytes; {} runs, median (min-max)",
        grouped(set.files),
        grouped(set.bytes),
        args.runs
    );
    report.table(&title, &table(&lines));
    report.figures("bytes", &set.bytes)?;
    report.figures("cores", &lines)?;
    report.figures("blake3_mb_per_s", &blake3)
}

/// 1, 2, 4 … and all of them.
fn counts(all: usize) -> Vec<usize> {
    let mut counts: Vec<usize> =
        std::iter::successors(Some(1), |cores| Some(cores * 2)).take_while(|c| *c < all).collect();
    counts.push(all);
    counts
}

/// Every step with so many cores, on an archive of its own.
fn once(bench: &Bench<'_>, set: &Path, cores: usize) -> Result<Vec<(&'static str, Sample)>> {
    let folder = bench.scratch.folder("cores")?;
    let (data, out) = (folder.join("data"), folder.join("out"));
    let mut samples = Vec::new();
    for what in STEPS {
        eprintln!("{what} with {cores}");
        let arguments: Vec<OsString> = match what {
            "import" => vec![set.into()],
            "verify" => vec!["--all".into()],
            _ => vec!["--all".into(), out.clone().into()],
        };
        warm(if what == "import" { set } else { &data })?;
        let mut command = bench.cairn(&data);
        command.arg(what).args(arguments);
        let (sample, _) = bench.run(&pinned(&command, cores))?;
        samples.push((what, sample));
    }
    std::fs::remove_dir_all(&folder).context("removing an archive")?;
    Ok(samples)
}

/// `command` on the first so many cores.
fn pinned(command: &Command, cores: usize) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.arg("-c").arg(format!("0-{}", cores - 1)).arg(command.get_program());
    pinned.args(command.get_args()).env("RAYON_NUM_THREADS", cores.to_string());
    pinned
}

fn lines(
    samples: &[(&'static str, usize, Sample)],
    counts: &[usize],
    bytes: u64,
) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for what in STEPS {
        for &cores in counts {
            let of = samples.iter().filter(|(w, c, _)| (*w, *c) == (what, cores));
            let spread = |get: &dyn Fn(&Sample) -> f64| {
                Spread::of(of.clone().map(|(_, _, sample)| get(sample))).context("no samples")
            };
            lines.push(Line {
                what,
                cores,
                wall_s: spread(&|sample| sample.usage.wall_s)?,
                cpu_s: spread(&|sample| sample.usage.cpu_s)?,
                mb_per_s: spread(&|sample| mb(bytes) / sample.usage.wall_s)?,
            });
        }
    }
    Ok(lines)
}

fn table(lines: &[Line]) -> Table {
    let mut table = Table::new(["STEP", "CORES", "WALL S", "CPU S", "MB/S"]);
    for line in lines {
        table.row([
            line.what.to_owned(),
            line.cores.to_string(),
            line.wall_s.text(2),
            line.cpu_s.text(2),
            line.mb_per_s.text(0),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_and_all() {
        assert_eq!(counts(1), [1]);
        assert_eq!(counts(2), [1, 2]);
        assert_eq!(counts(6), [1, 2, 4, 6]);
        assert_eq!(counts(8), [1, 2, 4, 8]);
    }
}
