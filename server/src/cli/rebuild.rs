//! `cairn rebuild`: the catalog from packs alone.

use std::fmt::Write as _;
use std::time::Instant;

use cairn_store::layout::Layout;
use cairn_store::rebuild::{RebuildReport, rebuild};
use clap::Args;
use serde::Serialize;

use super::{Exit, Session, require_archive, require_bucket};
use crate::error::Result;
use crate::output::{count, counted, pairs, round};

/// Make the catalog anew from the packs, which hold all that it says
#[derive(Debug, Args)]
#[command(after_help = "\
Needs the packs and the site key, nothing else. The catalog that was there is kept beside the new \
one as catalog.sqlite.before-rebuild. Nothing in the bucket is changed. What cannot be read in the \
packs is named, and missing from the new catalog.

Exit codes: 0 all of it is back; 1 some packs are damaged, or the catalog could not be made.

Examples:
  cairn rebuild
  cairn --data /srv/cairn --store s3://hospital-archive/cairn rebuild")]
pub(crate) struct RebuildArgs {}

#[derive(Debug, Serialize)]
struct Report {
    packs: u64,
    chunks: u64,
    versions: u64,
    studies: u64,
    damage: Vec<DamageLine>,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct DamageLine {
    pack: String,
    offset: u64,
    why: String,
}

impl Report {
    fn new(report: &RebuildReport, seconds: f64) -> Self {
        let damage = report.damage.iter().map(|damage| DamageLine {
            pack: damage.pack.to_string(),
            offset: damage.offset,
            why: damage.why.clone(),
        });
        Self {
            packs: report.packs,
            chunks: report.chunks,
            versions: report.versions,
            studies: report.studies,
            damage: damage.collect(),
            seconds: round(seconds),
        }
    }

    fn text(&self) -> String {
        let mut text = pairs(&[
            ("packs read", count(self.packs)),
            ("chunks", count(self.chunks)),
            ("versions", count(self.versions)),
            ("studies", count(self.studies)),
            ("seconds", format!("{:.2}", self.seconds)),
        ]);
        for DamageLine { pack, offset, why } in &self.damage {
            let _ = writeln!(text, "damaged: pack {pack} at {offset}: {why}");
        }
        let _ = match self.damage.len() as u64 {
            0 => writeln!(text, "The catalog is whole again."),
            n => writeln!(text, "The catalog is back without {}.", counted(n, "damaged record")),
        };
        text
    }
}

pub(super) fn run(session: &Session, _: &RebuildArgs) -> Result<Exit> {
    let config = session.store_config()?;
    let layout = Layout { data: config.data.clone() };
    // With the bucket elsewhere a fresh data directory is the very case that this is for; the store
    // refuses it if the key is missing.
    if config.bucket.is_none() {
        require_archive(&layout.data)?;
    }
    require_bucket(&config)?;
    let begun = Instant::now();
    let shows = session.output.shows_progress();
    let report = rebuild(&config, &|done, total| {
        if shows {
            eprint!("\r  {done}/{total} packs ");
        }
    })?;
    if shows {
        eprintln!();
    }
    let report = Report::new(&report, begun.elapsed().as_secs_f64());
    if session.output.json {
        session.output.object(&report)?;
    } else {
        session.output.text(&report.text())?;
    }
    Ok(Exit::good_if(report.damage.is_empty()))
}
