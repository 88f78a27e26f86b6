//! Real objects brought into the archive with the full catalog, and into an empty one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cairn_dicom::phantom::{PhantomFile, ct, many_small, structured_report};
use serde::Serialize;
use serde_json::Value;

use super::{CatalogArgs, SLOWER_MAX};
use crate::figures::grouped;
use crate::files::warm;
use crate::goals::Goal;
use crate::measure::{Bench, Sample};
use crate::report::Report;
use crate::table::Table;

/// Seed of the objects; each round has others.
const SEED: u64 = 20_261_125;
/// Rows and columns of a slice.
const SLICE_SIZE: u16 = 512;

/// One import.
#[derive(Debug, Serialize)]
struct Line {
    objects: &'static str,
    /// The catalog that it came into.
    catalog: &'static str,
    instances: u64,
    #[serde(flatten)]
    sample: Sample,
    instances_per_s: f64,
}

/// The kinds of object: slices, for which the catalog hardly counts, and small ones, for which it does.
const KINDS: [&str; 2] = ["slices", "small"];

/// An archive with one object in it: its keys and its catalog are there.
pub(super) fn archive(bench: &Bench<'_>) -> Result<PathBuf> {
    let folder = bench.scratch.folder("catalog")?;
    let input = folder.join("first");
    let count = write(&input, [structured_report(SEED)].into_iter())?;
    let data = folder.join("full");
    import(bench, &data, &input, count)?;
    Ok(data)
}

/// Imports the same objects into `full` and into an archive that was just made, in turn.
pub(super) fn measure(
    bench: &Bench<'_>,
    args: &CatalogArgs,
    full: &Path,
    report: &mut Report,
) -> Result<()> {
    let folder = bench.scratch.folder("catalog")?;
    let mut lines = Vec::new();
    for round in 0..args.rounds {
        for kind in KINDS {
            eprintln!("round {}: {kind} into a full and an empty catalog", round + 1);
            let (input, empty) = (folder.join("input"), folder.join("empty"));
            let seed = SEED + round;
            let instances = if kind == KINDS[0] {
                write(&input, ct(seed, args.slices, SLICE_SIZE))?
            } else {
                write(&input, many_small(seed, args.small))?
            };
            warm(&input)?;
            let mut order = [("full", full), ("empty", &*empty)];
            if round % 2 == 1 {
                order.reverse();
            }
            for (catalog, data) in order {
                let sample = import(bench, data, &input, instances)?;
                let instances_per_s = instances as f64 / sample.usage.wall_s;
                lines.push(Line { objects: kind, catalog, instances, sample, instances_per_s });
            }
            for done in [&input, &empty] {
                std::fs::remove_dir_all(done).context("removing what was measured")?;
            }
        }
    }
    for kind in KINDS {
        let rate = |catalog| median(&lines, kind, catalog);
        let goal = format!("import of {kind}, into an empty / a full catalog");
        report.goal(Goal::at_most(goal, "x", rate("empty") / rate("full"), SLOWER_MAX));
    }
    report.table("imports into a full and an empty catalog", &table(&lines));
    report.figures("imports", &lines)
}

/// Instances a second, of the round in the middle.
fn median(lines: &[Line], objects: &str, catalog: &str) -> f64 {
    let of = |line: &&Line| line.objects == objects && line.catalog == catalog;
    let mut rates: Vec<f64> = lines.iter().filter(of).map(|line| line.instances_per_s).collect();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Gives how many there are.
fn write(folder: &Path, files: impl Iterator<Item = PhantomFile>) -> Result<u64> {
    let mut count = 0;
    for file in files {
        count += 1;
        let path = folder.join(file.name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, file.bytes).context("writing an object")?;
    }
    Ok(count)
}

fn import(bench: &Bench<'_>, data: &Path, input: &Path, instances: u64) -> Result<Sample> {
    let mut command = bench.cairn(data);
    command.arg("import").arg(input);
    let (sample, stdout) = bench.run(&command)?;
    let summary: Value = serde_json::from_slice(&stdout).context("the summary of the import")?;
    ensure!(summary["archived"] == instances, "{} of {instances}", summary["archived"]);
    Ok(sample)
}

fn table(lines: &[Line]) -> Table {
    let mut table = Table::new([
        "OBJECTS",
        "CATALOG",
        "INSTANCES",
        "WALL S",
        "INSTANCES/S",
        "CPU S",
        "PEAK MB",
        "OTHERS, CORES",
    ]);
    for line in lines {
        table.row([
            line.objects.to_owned(),
            line.catalog.to_owned(),
            grouped(line.instances),
            format!("{:.2}", line.sample.usage.wall_s),
            grouped(line.instances_per_s as u64),
            format!("{:.2}", line.sample.usage.cpu_s),
            format!("{:.0}", crate::figures::mb(line.sample.usage.peak_bytes)),
            format!("{:.2}", line.sample.other_cores),
        ]);
    }
    table
}
