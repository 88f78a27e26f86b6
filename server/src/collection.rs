//! Collecting: on wish, and by itself every so many hours.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairn_chunker::codec::{Compression, Effort};
use cairn_store::collect::{
    CollectConfig, CollectReport, Phase, Progress, Recompress, Watch, collect,
};
use serde::{Deserialize, Serialize};

use crate::clock::now_ms;
use crate::config::GcSection;
use crate::error::Result;
use crate::http::App;
use crate::output::round;
use crate::progress::TICK;
use crate::sharing::Fault;
use crate::sharing::control::Teller;

/// How long after its start a server looks for the first time.
const FIRST_AFTER: Duration = Duration::from_secs(600);
/// How long a command waits for objects that have been coming in since before.
const PATIENCE: Duration = Duration::from_secs(600);
/// Whoever collects by itself has time.
const OWN_PATIENCE: Duration = Duration::from_secs(2 * 3600);

/// What is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    /// Percent of a pack that have to be dead.
    pub(crate) dead_percent: u8,
    /// Look even if nothing was deleted.
    pub(crate) all: bool,
    /// Do nothing.
    pub(crate) dry_run: bool,
    /// Code pixels anew for size alone.
    pub(crate) recompress: bool,
    /// Only in packs that are so old.
    pub(crate) recompress_days: u32,
}

/// How far it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) phase: String,
    pub(crate) done: u64,
    pub(crate) total: u64,
}

/// What was done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Collected {
    pub(crate) idle: bool,
    pub(crate) dry_run: bool,
    pub(crate) versions: u64,
    pub(crate) dead_chunks: u64,
    pub(crate) dead_bytes: u64,
    pub(crate) packs_removed: u64,
    pub(crate) removed_bytes: u64,
    pub(crate) packs_written: u64,
    pub(crate) written_bytes: u64,
    pub(crate) freed_bytes: u64,
    pub(crate) recoded_chunks: u64,
    pub(crate) recoded_bytes: u64,
    /// From a server that does not count them: none.
    #[serde(default)]
    pub(crate) joined_blocks: u64,
    pub(crate) packs_spared: u64,
    pub(crate) studies_forgotten: u64,
    /// What is wrong with packs that were left alone.
    pub(crate) damage: Vec<String>,
    pub(crate) seconds: f64,
}

impl Collected {
    fn new(report: &CollectReport, dry_run: bool, took: Duration) -> Self {
        Self {
            idle: report.idle,
            dry_run,
            versions: report.versions,
            dead_chunks: report.dead_chunks,
            dead_bytes: report.dead_bytes,
            packs_removed: report.packs_removed,
            removed_bytes: report.removed_bytes,
            packs_written: report.packs_written,
            written_bytes: report.written_bytes,
            freed_bytes: report.freed_bytes(),
            recoded_chunks: report.recoded_chunks,
            recoded_bytes: report.recoded_bytes,
            joined_blocks: report.joined_blocks,
            packs_spared: report.packs_spared,
            studies_forgotten: report.studies_forgotten,
            damage: report.damage.iter().map(ToString::to_string).collect(),
            seconds: round(took.as_secs_f64()),
        }
    }
}

/// Collects, and tells how far it is.
pub(crate) async fn on_wish(app: &Arc<App>, wish: Wish, teller: &Teller) -> Result<Collected> {
    let config = CollectConfig { patience: PATIENCE, ..config(&wish) };
    let (app, teller) = (Arc::clone(app), teller.clone());
    let last = Mutex::new(None::<Instant>);
    let tell = move |progress: Progress| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= TICK) {
            *last = Some(Instant::now());
            let Progress { phase, done, total } = progress;
            teller.try_tell(Step { phase: name(phase).into(), done, total });
        }
    };
    run(app, config, tell).await
}

/// Collects now and then, until the server ends.
pub(crate) async fn now_and_then(app: Arc<App>, section: GcSection) {
    let Some(every) = section.every() else { return };
    let mut due = Instant::now() + FIRST_AFTER.min(every);
    let wish = Wish {
        dead_percent: section.dead_percent,
        all: false,
        dry_run: false,
        recompress: section.recompress,
        recompress_days: section.recompress_days,
    };
    while !app.is_draining() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if Instant::now() < due {
            continue;
        }
        let config = CollectConfig { patience: OWN_PATIENCE, ..config(&wish) };
        match run(Arc::clone(&app), config, |_| ()).await {
            Ok(done) if done.idle => {}
            Ok(done) => tracing::info!(
                freed_bytes = done.freed_bytes,
                packs_removed = done.packs_removed,
                damaged = done.damage.len(),
                seconds = done.seconds,
                "collected what was deleted"
            ),
            Err(error) => tracing::warn!(%error, "what was deleted could not be collected"),
        }
        due = Instant::now() + every;
    }
}

fn config(wish: &Wish) -> CollectConfig {
    let effort = Effort { compression: Compression::Cold, ..Effort::default() };
    let age_ms = u64::from(wish.recompress_days) * 24 * 3600 * 1000;
    let before_ms = now_ms().saturating_sub(age_ms);
    CollectConfig {
        dead_percent: wish.dead_percent,
        thorough: wish.all,
        dry_run: wish.dry_run,
        recompress: wish.recompress.then_some(Recompress { effort, before_ms }),
        ..CollectConfig::default()
    }
}

async fn run(
    app: Arc<App>,
    config: CollectConfig,
    tell: impl Fn(Progress) + Send + Sync + 'static,
) -> Result<Collected> {
    let done = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        let ingest = app.ingest().map_err(|_| Fault::Control("the server is ending".into()))?;
        let stop = || crate::interrupt::asked() || app.is_draining();
        let done = collect(&app.store, &ingest, &config, &Watch { progress: &tell, stop: &stop });
        if !config.dry_run {
            app.metrics.collection.ended(&done);
        }
        Ok(Collected::new(&done?, config.dry_run, begun.elapsed()))
    });
    done.await.unwrap_or_else(|_| Err(Fault::Control("a job panicked".into()).into()))
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => "waiting",
        Phase::Marking => "marking",
        Phase::Rewriting => "rewriting",
    }
}
