//! `cairn-bench sizes`: what an instance costs by its size, beside a plain copy of the same files.
//!
//! Each size has a series of its own, synthetic, of about the same bytes in all. Small ones show what
//! each instance costs, large ones what each byte costs.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cairn_dicom::phantom::ct;
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::figures::{Spread, grouped, mb};
use crate::files::{Size, warm};
use crate::measure::{Bench, Sample};
use crate::report::Report;
use crate::table::Table;

/// Seed of the instances; even, so that pixels have 12 bits, as most scanners' have.
const SEED: u64 = 20_261_126;
/// Sides of the slices, of two bytes a pixel: 8 KiB to 32 MiB.
const SIDES: [u16; 7] = [64, 128, 256, 512, 1024, 2048, 4096];
/// Instances of one size at most: more teach nothing.
const INSTANCES_MAX: u64 = 10_000;

/// Import instances of 8 KiB, 32 KiB … 32 MiB, beside `cp -r` and a sync
#[derive(Debug, Args)]
pub(crate) struct SizesArgs {
    /// How much is imported of each size
    #[arg(long, default_value_t = 128, value_name = "MB")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000))]
    mb: u64,
    /// How often everything is done
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
}

/// Instances of one size, in all runs.
#[derive(Debug, Serialize)]
struct Line {
    who: &'static str,
    /// Of one instance, on average.
    instance_bytes: u64,
    instances: u64,
    wall_s: Spread,
    /// What counts where others keep the machine busy.
    cpu_s: Spread,
    mb_per_s: Spread,
    instances_per_s: Spread,
}

/// Who brings the files in.
const WHO: [&str; 2] = ["cairn", "cp + sync"];

/// Measures, and adds the table.
pub(crate) fn run(bench: &Bench<'_>, args: &SizesArgs, report: &mut Report) -> Result<()> {
    let mut lines = Vec::new();
    for side in SIDES {
        let folder = bench.scratch.folder("sizes")?;
        let input = folder.join("input");
        let written = write(&input, side, args.mb * 1_000_000)?;
        let each = written.bytes / written.files;
        eprintln!("{} instances of {} bytes", grouped(written.files), grouped(each));
        let mut samples: [Vec<Sample>; 2] = Default::default();
        for run in 0..args.runs as usize {
            for turn in 0..WHO.len() {
                let who = (run + turn) % WHO.len();
                samples[who].push(once(bench, who, &folder, written)?);
            }
        }
        for (who, samples) in WHO.into_iter().zip(samples) {
            lines.push(Line::new(who, written, &samples)?);
        }
        std::fs::remove_dir_all(&folder).context("removing what was measured")?;
    }
    let title = format!("imports by size of an instance; {} runs, median (min-max)", args.runs);
    report.table(&title, &table(&lines));
    report.figures("sizes", &lines)
}

/// Writes instances of one size, at least one.
fn write(folder: &Path, side: u16, bytes: u64) -> Result<Size> {
    std::fs::create_dir_all(folder)?;
    let pixels = u64::from(side).pow(2) * 2;
    let count = (bytes / pixels).clamp(1, INSTANCES_MAX) as u32;
    for (index, file) in ct(SEED, count, side).enumerate() {
        std::fs::write(folder.join(format!("{index:06}.dcm")), file.bytes).context("writing")?;
    }
    warm(folder)
}

/// One import, or copy, into a new folder.
fn once(bench: &Bench<'_>, who: usize, folder: &Path, written: Size) -> Result<Sample> {
    let (input, data) = (folder.join("input"), folder.join("data"));
    warm(&input)?;
    let sample = if who == 0 {
        let mut command = bench.cairn(&data);
        command.arg("import").arg(&input);
        let (sample, stdout) = bench.run(&command)?;
        let summary: Value = serde_json::from_slice(&stdout).context("the import's summary")?;
        let archived = &summary["archived"];
        ensure!(*archived == written.files, "{archived} of {} archived", written.files);
        sample
    } else {
        let mut command = Command::new("sh");
        command.args(["-c", "cp -r \"$1\" \"$2\" && sync -f \"$2\"", "sh"]).arg(&input).arg(&data);
        bench.run(&command)?.0
    };
    std::fs::remove_dir_all(&data).context("removing what was stored")?;
    Ok(sample)
}

impl Line {
    fn new(who: &'static str, written: Size, samples: &[Sample]) -> Result<Self> {
        let spread = |get: &dyn Fn(f64) -> f64| {
            let walls = samples.iter().map(|sample| get(sample.usage.wall_s));
            Spread::of(walls).context("no samples")
        };
        let cpu = samples.iter().map(|sample| sample.usage.cpu_s);
        Ok(Self {
            who,
            cpu_s: Spread::of(cpu).context("no samples")?,
            instance_bytes: written.bytes / written.files,
            instances: written.files,
            wall_s: spread(&|wall_s| wall_s)?,
            mb_per_s: spread(&|wall_s| mb(written.bytes) / wall_s)?,
            instances_per_s: spread(&|wall_s| written.files as f64 / wall_s)?,
        })
    }
}

fn table(lines: &[Line]) -> Table {
    let headings = ["WHO", "BYTES EACH", "INSTANCES", "WALL S", "CPU S", "MB/S", "INSTANCES/S"];
    let mut table = Table::new(headings);
    for line in lines {
        table.row([
            line.who.to_owned(),
            grouped(line.instance_bytes),
            grouped(line.instances),
            line.wall_s.text(2),
            line.cpu_s.text(2),
            line.mb_per_s.text(0),
            line.instances_per_s.text(0),
        ]);
    }
    table
}
