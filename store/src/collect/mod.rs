//! Taking back the place of what was deleted.
//!
//! What is deleted is hidden at once, and its bytes stay in their packs. A collection finds the chunks
//! that no version needs any more, copies what is needed out of packs with much of the other kind, and
//! removes those packs. It goes on beside everything else:
//!
//! 1. **Mark** (`mark`). Every chunk of every version that was not deleted gets a bit. Objects that come
//!    in meanwhile mark what they find (`ingest/collecting.rs`).
//! 2. **Plan** (`plan`). Packs of which enough is not marked, or whose commits name what was deleted;
//!    small packs, if there are many.
//! 3. **Rewrite** (`rewrite`). Marked chunks, and commits without the entries of what was deleted, are
//!    copied into a new pack. Once that is in the bucket, one transaction moves the chunks' rows and
//!    condemns the old pack, unless something in it was marked since. Then it is removed.
//!
//! A crash at any moment leaves chunks twice, never less than once: the new pack is in the bucket before
//! the catalog names it, the catalog names it on disk before the old pack goes, and a condemned pack is
//! removed by the next collection. A pack in which something needed cannot be read is left alone.

mod join;
mod live;
mod mark;
mod output;
mod plan;
mod rewrite;
mod sample;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use live::Live;

use cairn_chunker::codec::Effort;

use crate::Store;
use crate::catalog::{PackRow, PackState};
use crate::error::{Damage, Error, Result};
use crate::ingest::{Era, Ingest, now_ms};

use mark::Marked;
use rewrite::Rewriter;

/// How often whoever waits for objects that are coming in looks again.
const LOOK: Duration = Duration::from_millis(20);

/// How long to wait for the open pack to be in the bucket.
const SEAL_PATIENCE: Duration = Duration::from_secs(60);

/// What to collect.
#[derive(Debug, Clone)]
pub struct CollectConfig {
    /// A pack is rewritten if so many percent of it are not needed; 0: if anything is not. One whose
    /// commits name what was deleted always is: they tell of patients.
    pub dead_percent: u8,
    /// Look even if nothing was deleted since the last time.
    pub thorough: bool,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// Code anew, in packs that become shorter by a fortieth.
    pub recompress: Option<Recompress>,
    /// Threads that read.
    pub threads: usize,
    /// How long to wait for objects that have been coming in since before.
    pub patience: Duration,
}

/// Coding anew what that makes shorter.
#[derive(Debug, Clone, Copy)]
pub struct Recompress {
    /// How.
    pub effort: Effort,
    /// Only what is in packs begun before this, in ms since 1970: what is young is still read often.
    pub before_ms: u64,
}

impl Recompress {
    /// How a pack is coded if it is written anew; `None`: as it is.
    fn effort(self, pack: &PackRow) -> Option<Effort> {
        (pack.created_ms < self.before_ms).then_some(self.effort)
    }

    /// Is it old enough, and was not looked at, as all that were begun before `from_ms` were?
    fn is_due(self, pack: &PackRow, from_ms: u64) -> bool {
        (from_ms..self.before_ms).contains(&pack.created_ms)
    }
}

impl Default for CollectConfig {
    fn default() -> Self {
        Self {
            dead_percent: 0,
            thorough: false,
            dry_run: false,
            recompress: None,
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            patience: Duration::from_secs(600),
        }
    }
}

/// What was done; in a dry run, what would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectReport {
    /// Nothing was deleted since the last time, so nobody looked.
    pub idle: bool,
    /// Versions whose chunks were marked.
    pub versions: u64,
    /// Chunks that nothing needs, in packs that stay included.
    pub dead_chunks: u64,
    /// About what they take.
    pub dead_bytes: u64,
    /// Packs that were rewritten, or had nothing in them that is needed.
    pub packs_removed: u64,
    /// Their length.
    pub removed_bytes: u64,
    /// Packs written.
    pub packs_written: u64,
    /// Their length.
    pub written_bytes: u64,
    /// Chunks that were coded anew.
    pub recoded_chunks: u64,
    /// By how much that made them shorter.
    pub recoded_bytes: u64,
    /// How many fewer blocks of headers and manifests there are, small ones having been put together.
    pub joined_blocks: u64,
    /// Packs that were left alone since somebody came to need what was to be removed.
    pub packs_spared: u64,
    /// Studies of which nothing is shown, whose descriptions were forgotten.
    pub studies_forgotten: u64,
    /// Packs that were left alone since something in them cannot be read.
    pub damage: Vec<Damage>,
}

impl CollectReport {
    /// Bytes that the bucket has less.
    #[must_use]
    pub fn freed_bytes(&self) -> u64 {
        self.removed_bytes.saturating_sub(self.written_bytes)
    }
}

/// What it is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for objects that came in since before.
    Waiting,
    /// Marking, counted in versions. How many there are is not known before.
    Marking,
    /// Rewriting packs, counted in bytes.
    Rewriting,
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// At what.
    pub phase: Phase,
    /// So much is done.
    pub done: u64,
    /// Of so much; 0: not known.
    pub total: u64,
}

/// Who is told of progress, and can end the work.
pub struct Watch<'a> {
    /// Is told.
    pub progress: &'a (dyn Fn(Progress) + Sync),
    /// True: the work ends soon, with [`Error::BrokenOff`]. What was done stays done.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

impl Watch<'_> {
    fn at(&self, phase: Phase, done: u64, total: u64) -> Result<()> {
        (self.progress)(Progress { phase, done, total });
        if (self.stop)() { Err(Error::BrokenOff) } else { Ok(()) }
    }
}

/// Collects, beside whatever is taken in through `ingest`.
///
/// # Errors
/// [`Error::Collecting`] if a collection is under way, [`Error::Busy`] if what was coming in before does not
/// end, [`Error::BrokenOff`]; and whatever keeps the archive from being read or written. Whichever it is,
/// nothing that is needed is gone, and the next collection goes on.
pub fn collect(
    store: &Store,
    ingest: &Ingest,
    config: &CollectConfig,
    watch: &Watch<'_>,
) -> Result<CollectReport> {
    let mut report = CollectReport::default();
    let begun_ms = now_ms();
    let shared = ingest.shared();
    let catalog = shared.catalog.collection();
    if !config.dry_run {
        for pack in catalog.condemned()? {
            shared.remove_condemned(&pack)?;
        }
    }
    let deletion = catalog.last_deletion()?;
    let recoded_ms = if config.thorough { 0 } else { catalog.recoded_ms()? };
    let recodes = match config.recompress {
        Some(how) => shared.catalog.packs()?.iter().any(|pack| how.is_due(pack, recoded_ms)),
        None => false,
    };
    if deletion <= catalog.collected_seq()? && !config.thorough && !recodes {
        return Ok(CollectReport { idle: true, ..report });
    }
    // What is deleted in the open pack is to go as well. Where the bucket is away it waits for the next time.
    if !config.dry_run {
        ingest.archive(config.patience.min(SEAL_PATIENCE))?;
    }
    let live = Arc::new(Live::up_to(catalog.last_chunk()?));
    // What is in packs was committed under smaller numbers; what comes later needs no mark.
    let next_seq = shared.catalog.next_seq()?;
    let packs = shared.catalog.packs()?;
    let _under_way = UnderWay::begin(ingest, &live, config.patience, watch)?;
    let marked = Marked::mark(store, Arc::clone(&live), next_seq, config.threads, watch)?;
    report.versions = marked.versions;
    let recoded_to_ms = recoded_to(config, &packs).min(begun_ms);
    let plan = plan::plan(store, ingest, &marked, packs, (config, recoded_ms), watch)?;
    report.dead_chunks = plan.dead_chunks;
    report.dead_bytes = plan.dead_bytes;
    if config.dry_run {
        report.packs_removed = plan.packs.len() as u64;
        report.removed_bytes = plan.packs.iter().map(|pack| pack.row.bytes).sum();
        report.written_bytes = plan.packs.iter().map(|pack| pack.live_bytes).sum();
        return Ok(report);
    }
    Rewriter::new(store, ingest, &marked, config, &mut report).run(&plan.packs, watch)?;
    report.studies_forgotten = catalog.forget_descriptions()?;
    let is_all = plan.waiting_chunks == 0 && !catalog.has_waiting_entries()?;
    if is_all && report.packs_spared == 0 && report.damage.is_empty() {
        catalog.note_collected(deletion)?;
    }
    // What is damaged cannot be coded, and need not be looked at again.
    if report.packs_spared == 0 {
        catalog.note_recoded(recoded_to_ms)?;
    }
    Ok(report)
}

/// Begun before this, in ms since 1970, all `packs` are in the bucket and old enough to be coded anew.
fn recoded_to(config: &CollectConfig, packs: &[PackRow]) -> u64 {
    let Some(recompress) = config.recompress else { return 0 };
    let waiting = packs.iter().filter(|pack| pack.state != PackState::Stored);
    waiting.map(|pack| pack.created_ms).fold(recompress.before_ms, u64::min)
}

/// While this lives, who comes in marks what it needs.
struct UnderWay<'a>(&'a Ingest);

impl<'a> UnderWay<'a> {
    fn begin(
        ingest: &'a Ingest,
        live: &Arc<Live>,
        patience: Duration,
        watch: &Watch<'_>,
    ) -> Result<Self> {
        let era = ingest.collecting().begin(live)?;
        let under_way = Self(ingest);
        under_way.outlast(&era, patience, watch)?;
        Ok(under_way)
    }

    /// Waits for those who looked chunks up without marking them.
    fn outlast(&self, era: &Era, patience: Duration, watch: &Watch<'_>) -> Result<()> {
        let begun = Instant::now();
        while !era.is_over() {
            watch.at(Phase::Waiting, 0, 0)?;
            if begun.elapsed() > patience {
                return Err(Error::Busy);
            }
            // They are committed the sooner.
            self.0.hurry();
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.collecting().end();
    }
}
