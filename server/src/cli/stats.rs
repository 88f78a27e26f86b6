//! `cairn stats`: what the archive holds and what it takes.

use cairn_store::stats::{Stats, stats};
use clap::Args;
use serde::Serialize;

use super::{Exit, Session};
use crate::error::Result;
use crate::output::{count, factor, factor_text, pairs, size};

/// Show what the archive holds and what it takes on disk and in the bucket
#[derive(Debug, Args)]
#[command(after_help = "\
Logical bytes are the data sets of all versions as received; stored bytes are the packs. Their \
quotient has two parts: what deduplication saves and what compression saves.

Exit codes: 0 shown; 1 there is no archive, or it cannot be read.

Examples:
  cairn stats
  cairn stats --json")]
pub(crate) struct StatsArgs {}

/// The figures as JSON has them.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    studies: u64,
    series: u64,
    instances: u64,
    versions: u64,
    corrections: u64,
    conflicts: u64,
    flagged: u64,
    logical_bytes: u64,
    chunks: u64,
    chunk_bytes: u64,
    packs: u64,
    stored_bytes: u64,
    dedup_factor: Option<f64>,
    compression_factor: Option<f64>,
    total_factor: Option<f64>,
    catalog_bytes: u64,
    journal_bytes: u64,
    spool_bytes: u64,
    spare_bytes: u64,
    bucket_bytes: u64,
    on_disk_bytes: u64,
    bucket: String,
}

impl Figures {
    fn new(stats: &Stats, bucket: &str) -> Self {
        let totals = stats.totals;
        let spool_bytes = stats.spool_bytes + stats.spare_bytes;
        let on_disk_bytes =
            stats.catalog_bytes + stats.journal_bytes + spool_bytes + stats.bucket_bytes;
        Self {
            studies: totals.studies,
            series: totals.series,
            instances: totals.instances,
            versions: totals.versions,
            corrections: totals.corrections,
            conflicts: totals.conflicts,
            flagged: totals.flagged,
            logical_bytes: totals.dataset_bytes,
            chunks: totals.chunks,
            chunk_bytes: totals.chunk_bytes,
            packs: totals.packs,
            stored_bytes: totals.pack_bytes,
            dedup_factor: factor(totals.dataset_bytes, totals.chunk_bytes),
            compression_factor: factor(totals.chunk_bytes, totals.pack_bytes),
            total_factor: factor(totals.dataset_bytes, on_disk_bytes),
            catalog_bytes: stats.catalog_bytes,
            journal_bytes: stats.journal_bytes,
            spool_bytes: stats.spool_bytes,
            spare_bytes: stats.spare_bytes,
            bucket_bytes: stats.bucket_bytes,
            on_disk_bytes,
            bucket: bucket.to_owned(),
        }
    }

    fn text(&self) -> String {
        pairs(&[
            ("studies", count(self.studies)),
            ("series", count(self.series)),
            ("instances", count(self.instances)),
            ("versions kept", count(self.versions)),
            ("  corrections", count(self.corrections)),
            ("  conflicts", count(self.conflicts)),
            ("  flagged", count(self.flagged)),
            ("logical bytes", size(self.logical_bytes)),
            (
                "unique bytes",
                format!("{} in {} chunks", size(self.chunk_bytes), count(self.chunks)),
            ),
            ("stored bytes", format!("{} in {} packs", size(self.stored_bytes), count(self.packs))),
            ("dedup factor", factor_text(self.dedup_factor)),
            ("compression factor", factor_text(self.compression_factor)),
            ("catalog", size(self.catalog_bytes)),
            ("journal", size(self.journal_bytes)),
            ("spool", size(self.spool_bytes)),
            ("spool, spare files", size(self.spare_bytes)),
            ("bucket", format!("{} at {}", size(self.bucket_bytes), self.bucket)),
            ("all together", size(self.on_disk_bytes)),
            ("logical / all", factor_text(self.total_factor)),
        ])
    }
}

pub(super) fn run(session: &Session, _: &StatsArgs) -> Result<Exit> {
    let store = session.open_to_read()?;
    let figures = Figures::new(&stats(&store)?, store.bucket().url());
    if session.output.json {
        session.output.object(&figures)?;
    } else {
        session.output.text(&figures.text())?;
    }
    Ok(Exit::Good)
}
