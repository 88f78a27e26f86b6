//! Commits into the full catalog and into small ones, in turn.
//!
//! Filling takes minutes, in which the machine's speed changes by more than what is looked for. So what a
//! commit costs with many instances is measured beside what it costs with few, one after the other.

use anyhow::{Context, Result};
use cairn_store::catalog::{Catalog, PackNo, SqliteCatalog};
use cairn_store::pack::PackId;
use serde::Serialize;

use super::{COMMIT_INSTANCES, CatalogArgs, SLOWER_MAX, add};
use crate::figures::grouped;
use crate::goals::Goal;
use crate::measure::Bench;
use crate::report::Report;
use crate::table::Table;

/// Instances of a small catalog when its turn begins, and when it ends: 10,000 on average. Between them
/// lie several runs of names, so that it has its share of what is not done with each commit.
const SMALL: (u64, u64) = (5_000, 15_000);

/// What all commits into catalogs of one size took.
#[derive(Debug, Default, Serialize)]
struct Side {
    /// Instances that the catalog has, about.
    catalog: u64,
    instances: u64,
    wall_s: f64,
    cpu_s: f64,
}

impl Side {
    fn add(&mut self, (wall_s, cpu_s): (f64, f64)) {
        self.instances += COMMIT_INSTANCES;
        self.wall_s += wall_s;
        self.cpu_s += cpu_s;
    }

    fn row(&self) -> [String; 5] {
        let each = |seconds: f64| format!("{:.1}", seconds * 1e6 / self.instances as f64);
        [
            grouped(self.catalog),
            grouped(self.instances),
            format!("{:.2}", self.wall_s),
            each(self.wall_s),
            each(self.cpu_s),
        ]
    }
}

/// Goes on filling `full`, by a tenth at most: it has to stay what it is called. Gives how many instances
/// it has then.
pub(super) fn measure(
    bench: &Bench<'_>,
    args: &CatalogArgs,
    (full, pack): (&SqliteCatalog, PackNo),
    report: &mut Report,
) -> Result<u64> {
    let mut at = args.instances;
    let mut sides =
        [SMALL.0.midpoint(SMALL.1), at].map(|catalog| Side { catalog, ..Side::default() });
    let turns = args.turns.min(at / (10 * (SMALL.1 - SMALL.0)));
    for turn in 0..turns {
        eprintln!("turn {}: commits into a small and a full catalog", turn + 1);
        let folder = bench.scratch.folder("small-catalog")?;
        let small = SqliteCatalog::open(&folder.join("catalog.sqlite"))?.kept_alone();
        let small_pack = small.add_pack(PackId([8; 16]), 0)?;
        add(&small, small_pack, 0..SMALL.0)?;
        for start in (SMALL.0..SMALL.1).step_by(COMMIT_INSTANCES as usize) {
            sides[0].add(add(&small, small_pack, start..start + COMMIT_INSTANCES)?);
            sides[1].add(add(full, pack, at..at + COMMIT_INSTANCES)?);
            at += COMMIT_INSTANCES;
        }
        drop(small);
        std::fs::remove_dir_all(&folder).context("removing a small catalog")?;
    }
    if turns == 0 {
        return Ok(at);
    }
    let [small, full] = &sides;
    let what = format!("a commit into {} / {}", grouped(full.catalog), grouped(small.catalog));
    report.goal(Goal::at_most(what.clone(), "x", full.wall_s / small.wall_s, SLOWER_MAX));
    let cpu = full.cpu_s / small.cpu_s;
    report.goal(Goal::at_most(format!("{what}, CPU time"), "x", cpu, SLOWER_MAX));
    let mut table = Table::new(["CATALOG", "COMMITTED", "CATALOG S", "US EACH", "CPU US EACH"]);
    table.row(small.row());
    table.row(full.row());
    report.table("commits into a small and a full catalog, in turn", &table);
    report.figures("turns", &sides)?;
    Ok(at)
}
