//! `cairn-bench catalog`: is a catalog of very many instances as quick to write and to search as a small
//! one?
//!
//! Rows are made up and go straight into the catalog, without objects: an instance brings two chunks,
//! as a slice of a CT does. Commits and searches are measured on the catalog alone, in this process.
//! Then `cairn import` brings real objects into the archive with this catalog and into an empty one.

mod beside;
mod rows;
mod searches;
mod turns;

use std::ops::Range;
use std::time::Instant;

use anyhow::{Context, Result};
use cairn_store::catalog::{Batch, Catalog, Location, NewInstance, PackNo, SqliteCatalog};
use cairn_store::keys::StoredId;
use cairn_store::layout::Layout;
use cairn_store::pack::PackId;
use clap::Args;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::Serialize;

use self::rows::{STUDY_INSTANCES, hash, instance};
use self::searches::{KINDS, latency_table, measure};
use crate::figures::grouped;
use crate::goals::Goal;
use crate::measure::Bench;
use crate::report::Report;
use crate::table::Table;

/// Instances of one commit.
const COMMIT_INSTANCES: u64 = 500;
/// Bytes that an instance takes in the made-up pack.
const PAIR_BYTES: u64 = 2000;
/// How slow a search may be, 95 times of 100.
const P95_MS_MAX: f64 = 50.0;
/// Chunks of an instance.
const CHUNKS: u64 = 2;
/// What memory a chunk may take, in bytes.
const CHUNK_MEMORY_MAX: f64 = 2.0;
/// How much slower a commit and an import may be with a full catalog than with a small or empty one.
const SLOWER_MAX: f64 = 1.1;

/// Fill a catalog with made-up rows, and search it
#[derive(Debug, Args)]
pub(crate) struct CatalogArgs {
    /// How many instances
    #[arg(long, default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(5_000..=20_000_000))]
    instances: u64,
    /// How many searches of each kind
    #[arg(long, default_value_t = 200)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000))]
    searches: u64,
    /// How often 10,000 instances are committed to the full catalog, and in turn to a small one; less
    /// often if the full one would grow by more than a tenth
    #[arg(long, default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=1_000))]
    turns: u64,
    /// How often objects are imported into the full catalog, and into an empty one
    #[arg(long, default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
    /// Slices of 512 x 512 in such an import
    #[arg(long, default_value_t = 400)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    slices: u32,
    /// Small objects in another such import: so many that what it takes to open the catalog hardly counts
    #[arg(long, default_value_t = 20_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    small: u64,
}

/// How quickly the tenth of the instances before a mark was committed: 10,000 of them, ten times as many,
/// and so on.
#[derive(Debug, Serialize)]
struct Rate {
    /// Instances that are in the catalog then.
    mark: u64,
    instances: u64,
    wall_s: f64,
    /// Of this process: what counts where others keep the machine busy.
    cpu_s: f64,
    instances_per_s: f64,
    cpu_us_per_instance: f64,
    /// Memory of this process that is not of files, in bytes.
    memory_bytes: u64,
}

/// Measures, and adds tables and goals.
pub(crate) fn run(bench: &Bench<'_>, args: &CatalogArgs, report: &mut Report) -> Result<()> {
    let data = beside::archive(bench)?;
    let path = Layout { data: data.clone() }.catalog();
    let catalog = SqliteCatalog::open(&path)?.kept_alone();
    let pack = catalog.add_pack(PackId([7; 16]), 0)?;
    let rates = fill(&catalog, pack, args.instances)?;
    let instances = turns::measure(bench, args, (&catalog, pack), report)?;
    // In the bucket, as far as anybody asks, and with roots: nothing is left to do for who opens it.
    catalog.seal_stored(pack, instances * PAIR_BYTES)?;
    catalog.checkpoint()?;
    let bytes = std::fs::metadata(&path).context("the catalog's length")?.len();
    goals(&rates, report);
    let mut latencies = Vec::new();
    for kind in KINDS {
        let latency = measure(&catalog, args, kind)?;
        let goal = format!("search {}, p95", latency.what);
        report.goal(Goal::at_most(goal, "ms", latency.p95_ms, P95_MS_MAX));
        latencies.push(latency);
    }
    let title = format!(
        "{} instances in {} studies, a catalog of {} bytes",
        grouped(instances),
        grouped(instances / STUDY_INSTANCES),
        grouped(bytes),
    );
    report.table(&title, &rate_table(&rates));
    report.table("searches, a page of 101", &latency_table(&latencies));
    report.figures("catalog_bytes", &bytes)?;
    report.figures("rates", &rates)?;
    report.figures("searches", &latencies)?;
    drop(catalog);
    beside::measure(bench, args, &data, report)
}

/// What memory each chunk took between the last two marks.
fn goals(rates: &[Rate], report: &mut Report) {
    let [.., before, last] = rates else { return };
    let chunks = (last.mark - before.mark) * CHUNKS;
    let memory = last.memory_bytes as f64 - before.memory_bytes as f64;
    let what = format!("memory for each chunk above {}", grouped(before.mark * CHUNKS));
    report.goal(Goal::at_most(what, "bytes", memory / chunks as f64, CHUNK_MEMORY_MAX));
}

/// Commits all instances; gives the rates before each mark.
fn fill(catalog: &SqliteCatalog, pack: PackNo, count: u64) -> Result<Vec<Rate>> {
    let (mut rates, mut done) = (Vec::new(), 0);
    let marks = (4..).map(|power| 10u64.pow(power)).take_while(|mark| *mark < count);
    for mark in marks.chain([count]) {
        let from = done.max(mark - mark / 10);
        let instances = mark - from;
        add(catalog, pack, done..from)?;
        let (wall_s, cpu_s) = add(catalog, pack, from..mark)?;
        rates.push(Rate {
            mark,
            instances,
            wall_s,
            cpu_s,
            instances_per_s: instances as f64 / wall_s,
            cpu_us_per_instance: cpu_s * 1e6 / instances as f64,
            memory_bytes: memory_bytes()?,
        });
        done = mark;
        eprintln!("{} instances are in the catalog", grouped(mark));
    }
    Ok(rates)
}

/// Commits instances; gives the seconds that the catalog took, and those of CPU time.
fn add(catalog: &SqliteCatalog, pack: PackNo, range: Range<u64>) -> Result<(f64, f64)> {
    let (mut wall_s, mut cpu_s) = (0.0, 0.0);
    for start in range.clone().step_by(COMMIT_INSTANCES as usize) {
        let end = range.end.min(start + COMMIT_INSTANCES);
        let (wall, cpu) = commit(catalog, pack, start..end)?;
        wall_s += wall;
        cpu_s += cpu;
    }
    Ok((wall_s, cpu_s))
}

/// Memory of this process that is not of files.
fn memory_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("its own memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.context("its own memory")? * 1024)
}

/// Commits some instances; gives the seconds that the catalog took, and those of CPU time.
fn commit(catalog: &SqliteCatalog, pack: PackNo, range: Range<u64>) -> Result<(f64, f64)> {
    let made: Vec<_> = range.clone().map(instance).collect();
    let first_seq = catalog.next_seq()?;
    let instances: Vec<_> = made
        .iter()
        .zip(first_seq..)
        .map(|((entry, manifest), seq)| NewInstance { seq, entry, manifest })
        .collect();
    let location = |i: u64| {
        let place =
            Location { pack, offset: i * 1000, record_bytes: 900, inner: None, bytes: 1000 };
        (StoredId(hash(i, 'c')), place)
    };
    let locations: Vec<_> = (range.start * CHUNKS..range.end * CHUNKS).map(location).collect();
    let batch = Batch {
        pack,
        pack_bytes: range.end * PAIR_BYTES,
        locations: &locations,
        instances: &instances,
        studies: &[],
        deletions: &[],
        all_recorded: true,
        next_seq: 0,
    };
    let (start, cpu) = (Instant::now(), cpu_seconds()?);
    catalog.commit(&batch)?;
    Ok((start.elapsed().as_secs_f64(), cpu_seconds()? - cpu))
}

/// User and system time of this process.
fn cpu_seconds() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let seconds = |time: nix::sys::time::TimeVal| time.num_microseconds() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn rate_table(rates: &[Rate]) -> Table {
    let mut table =
        Table::new(["BEFORE", "INSTANCES", "CATALOG S", "INSTANCES/S", "CPU US EACH", "MEMORY MB"]);
    for rate in rates {
        table.row([
            grouped(rate.mark),
            grouped(rate.instances),
            format!("{:.2}", rate.wall_s),
            grouped(rate.instances_per_s as u64),
            format!("{:.0}", rate.cpu_us_per_instance),
            format!("{:.1}", crate::figures::mb(rate.memory_bytes)),
        ]);
    }
    table
}
