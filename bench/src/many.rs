//! `cairn-bench many`: does an instance cost the same in a full archive as in an empty one?

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cairn_dicom::phantom::many_small;
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::figures::{grouped, mb};
use crate::files::{size, warm};
use crate::goals::Goal;
use crate::ingest::PEAK_MB_MAX;
use crate::measure::{Bench, Sample};
use crate::report::Report;
use crate::table::Table;

/// Seed of the instances.
const SEED: u64 = 20_261_123;
/// Imports that the instances are divided into.
const PARTS: u64 = 10;

/// Import very many small instances, in ten parts and at once
#[derive(Debug, Args)]
pub(crate) struct ManyArgs {
    /// How many instances
    #[arg(long, default_value_t = 100_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(PARTS..=10_000_000))]
    count: u64,
}

/// One import.
#[derive(Debug, Serialize)]
struct Line {
    what: String,
    instances: u64,
    #[serde(flatten)]
    sample: Sample,
    wall_us_per_instance: f64,
    cpu_us_per_instance: f64,
    /// In the archive after it.
    stored_bytes: u64,
}

/// Measures, and adds the table and goals.
pub(crate) fn run(bench: &Bench<'_>, args: &ManyArgs, report: &mut Report) -> Result<()> {
    let folder = bench.scratch.folder("many")?;
    let input = folder.join("input");
    eprintln!("writing {} instances", args.count);
    let parts = write(&input, args.count)?;
    let written = warm(&input)?;
    ensure!(written.files == args.count, "{} files were written", written.files);

    let mut lines = Vec::new();
    let data = folder.join("in-parts");
    for (index, (part, instances)) in parts.iter().enumerate() {
        let what = format!("part {}", index + 1);
        lines.push(import(bench, what, &data, part, *instances)?);
    }
    std::fs::remove_dir_all(&data).context("removing the first archive")?;
    let whole = import(bench, "all at once".to_owned(), &folder.join("whole"), &input, args.count)?;

    let (first, last) = (&lines[0], &lines[lines.len() - 1]);
    let slower = last.wall_us_per_instance / first.wall_us_per_instance;
    report.goal(Goal::at_most("an instance of the last part / the first", "x", slower, 1.2));
    let peak = lines.iter().map(|line| line.sample.usage.peak_bytes).max().unwrap_or(0);
    report.goal(Goal::at_most("peak memory, in parts", "MB", mb(peak), PEAK_MB_MAX));
    let peak = mb(whole.sample.usage.peak_bytes);
    report.goal(Goal::at_most("peak memory, all at once", "MB", peak, PEAK_MB_MAX));
    lines.push(whole);
    let title = format!("{} instances, {} bytes", grouped(written.files), grouped(written.bytes));
    report.table(&title, &table(&lines));
    report.figures("input", &written)?;
    report.figures("imports", &lines)
}

/// Writes `count` instances into a folder for each part; gives the folders, and how many are in each.
fn write(input: &Path, count: u64) -> Result<Vec<(PathBuf, u64)>> {
    let folder = |part: u64| input.join(format!("part-{part:02}"));
    let mut parts: Vec<_> = (0..PARTS).map(|part| (folder(part), 0)).collect();
    let mut made = PathBuf::new();
    for (index, file) in (0..).zip(many_small(SEED, count)) {
        let (part, instances) = &mut parts[part_of(index, count) as usize];
        let path = part.join(file.name);
        if let Some(parent) = path.parent().filter(|parent| *parent != made) {
            parent.clone_into(&mut made);
            std::fs::create_dir_all(&made)?;
        }
        std::fs::write(&path, file.bytes).context("writing an instance")?;
        *instances += 1;
    }
    Ok(parts)
}

/// Which part instance `index` of `count` is in: parts of one size, give or take one.
fn part_of(index: u64, count: u64) -> u64 {
    debug_assert!(index < count);
    index * PARTS / count
}

/// Imports `input` and checks that every instance was archived.
fn import(
    bench: &Bench<'_>,
    what: String,
    data: &Path,
    input: &Path,
    instances: u64,
) -> Result<Line> {
    eprintln!("{what}");
    warm(input)?;
    let mut command = bench.cairn(data);
    command.arg("import").arg(input);
    let (sample, stdout) = bench.run(&command)?;
    let summary: Value = serde_json::from_slice(&stdout).context("the summary of the import")?;
    ensure!(summary["archived"] == instances, "{} of {instances}", summary["archived"]);
    let each = |seconds: f64| seconds * 1e6 / instances as f64;
    Ok(Line {
        what,
        instances,
        sample,
        wall_us_per_instance: each(sample.usage.wall_s),
        cpu_us_per_instance: each(sample.usage.cpu_s),
        stored_bytes: size(data)?.bytes,
    })
}

fn table(lines: &[Line]) -> Table {
    let mut table = Table::new([
        "IMPORT",
        "INSTANCES",
        "WALL S",
        "US EACH",
        "CPU US EACH",
        "PEAK MB",
        "STORED MB",
        "OTHERS, CORES",
    ]);
    for line in lines {
        table.row([
            line.what.clone(),
            grouped(line.instances),
            format!("{:.2}", line.sample.usage.wall_s),
            format!("{:.0}", line.wall_us_per_instance),
            format!("{:.0}", line.cpu_us_per_instance),
            format!("{:.0}", mb(line.sample.usage.peak_bytes)),
            format!("{:.1}", mb(line.stored_bytes)),
            format!("{:.2}", line.sample.other_cores),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_differ_by_one_at_most() {
        for count in [10, 11, 99, 1000, 100_000] {
            let mut sizes = [0u64; PARTS as usize];
            for index in 0..count {
                sizes[part_of(index, count) as usize] += 1;
            }
            let (min, max) = (sizes.iter().min(), sizes.iter().max());
            assert!(max.zip(min).is_some_and(|(max, min)| max - min <= 1), "{count}: {sizes:?}");
        }
    }
}
