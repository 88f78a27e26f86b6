//! A whole archive, by dates: C-FIND for each span of days, then what is missing of each study.
//!
//! ```text
//! dates ─▶ slices ─▶ C-FIND ─▶ studies ─▶ workers: held already? ─▶ C-GET, or C-MOVE to this archive
//!            ▲          │ many answers, or cut short
//!            └─ halves ─┘
//! ```
//!
//! How far it has come is nowhere noted: what is here is what the catalog says, so whatever ended it,
//! run again it goes on where it was.

pub(super) mod find;
mod slices;
pub(super) mod take;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::pull::{PullError, Pulled};
use super::settings::{Peer, Settings};
use crate::http::App;
use crate::http::limits::SETTLE_PATIENCE;
use find::{Asked, Remote};
pub(crate) use slices::{By, Slice};

/// Studies that wait for a worker.
const STUDIES_MAX: usize = 64;
/// How often a query or a study is tried,
const TRIES: u32 = 3;
/// and the pause after the first try; it doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// Failures that are listed; more are only counted.
const FAILURES_MAX: usize = 10_000;

/// How studies come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// Over the association that asks for them.
    Get,
    /// Sent to this archive, under this title.
    Move(String),
}

/// What is to be had from whom.
pub(crate) struct Migration<'a> {
    pub(crate) app: &'a App,
    pub(crate) settings: &'a Settings,
    pub(crate) from: &'a Peer,
    pub(crate) slices: Vec<Slice>,
    pub(crate) modality: Option<String>,
    pub(crate) way: Way,
    /// Studies at once.
    pub(crate) associations: usize,
    /// A slice with so many studies is asked for in halves: the other archive may have cut its answer.
    pub(crate) answers_max: usize,
}

/// What it came to.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Summary {
    /// Studies that the other archive has.
    pub(crate) studies: u64,
    /// Those of them that were here, whole.
    pub(crate) held: u64,
    /// Those of which something came.
    pub(crate) pulled: u64,
    /// Objects that came.
    pub(crate) instances: u64,
    /// Those of them that were here before.
    pub(crate) duplicates: u64,
    /// Objects that did not come.
    pub(crate) failed_instances: u64,
    /// Bytes of data sets.
    pub(crate) bytes: u64,
    /// Studies and spans of days that are not all here.
    pub(crate) failed: u64,
    /// The first of them.
    pub(crate) failures: Vec<Failure>,
    /// Days with so many studies that the other archive may not have listed all.
    pub(crate) maybe_cut: Vec<String>,
    /// Somebody asked to end.
    pub(crate) interrupted: bool,
}

/// Something that is not all here.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Failure {
    /// A study; or, where it could not even be asked for, nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) study_uid: Option<String>,
    /// The days that were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dates: Option<String>,
    /// Why.
    pub(crate) why: String,
}

/// How far it is.
pub(crate) struct Progress {
    /// Slices that were asked for, and all that are known.
    pub(crate) slices: (usize, usize),
    /// So far.
    pub(crate) summary: Summary,
}

struct Shared<'a> {
    migration: &'a Migration<'a>,
    summary: Mutex<Summary>,
    stopped: AtomicBool,
    /// Studies that were handed out and are not done with.
    open: AtomicUsize,
    /// What keeps anything more from being taken in.
    fatal: Mutex<Option<PullError>>,
}

/// Does it; `told` is called now and then, and says whether to go on.
///
/// # Errors
/// This archive cannot take anything in.
pub(crate) fn migrate(
    migration: &Migration<'_>,
    told: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Summary, PullError> {
    let shared = Shared {
        migration,
        summary: Mutex::default(),
        stopped: AtomicBool::new(false),
        open: AtomicUsize::new(0),
        fatal: Mutex::default(),
    };
    let (studies, queue) = sync_channel(STUDIES_MAX);
    let queue = Mutex::new(queue);
    std::thread::scope(|scope| {
        for _ in 0..migration.associations.max(1) {
            scope.spawn(|| shared.work(&queue));
        }
        shared.ask_all(&studies, told);
        drop(studies);
    });
    let mut summary = std::mem::take(&mut *shared.summary());
    summary.interrupted = shared.is_stopped();
    match shared.fatal.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(fatal) => Err(fatal),
        None => Ok(summary),
    }
}

impl Shared<'_> {
    /// Asks for slice after slice, and hands out the studies.
    fn ask_all(&self, studies: &SyncSender<Remote>, told: &mut dyn FnMut(&Progress) -> bool) {
        let mut left: Vec<Slice> = self.migration.slices.iter().rev().copied().collect();
        let mut asked = 0;
        while let Some(slice) = left.pop() {
            let all = asked + left.len() + 1;
            if !self.tell(told, (asked, all)) {
                return;
            }
            asked += 1;
            let found = match self.tried(|| self.ask(slice)) {
                Ok(found) => found,
                Err(PullError::Query(_)) if slice.halves().is_some() => {
                    left.extend(slice.halves().into_iter().flat_map(|(early, late)| [late, early]));
                    continue;
                }
                Err(why) => {
                    self.fail(None, Some(slice.text()), why.to_string());
                    continue;
                }
            };
            if found.cut.is_some() || found.studies.len() >= self.migration.answers_max {
                if let Some((early, late)) = slice.halves() {
                    left.extend([late, early]);
                    continue;
                }
                match found.cut {
                    Some(code) => {
                        let why = format!("it ends the query with status {code:04X}");
                        self.fail(None, Some(slice.text()), why);
                    }
                    None => self.summary().maybe_cut.push(slice.text()),
                }
            }
            for study in found.studies {
                self.summary().studies += 1;
                self.open.fetch_add(1, Ordering::SeqCst);
                let mut study = study;
                // The queue is full most of the time: that is when there is time to tell.
                while let Err(std::sync::mpsc::TrySendError::Full(back)) = studies.try_send(study) {
                    study = back;
                    if !self.tell(told, (asked, all)) {
                        return;
                    }
                    std::thread::sleep(crate::progress::TICK);
                }
            }
        }
        while self.open.load(Ordering::SeqCst) > 0 && self.tell(told, (asked, asked)) {
            std::thread::sleep(crate::progress::TICK);
        }
        self.tell(told, (asked, asked));
    }

    fn ask(&self, slice: Slice) -> Result<find::Found, PullError> {
        let Migration { settings, from, modality, .. } = self.migration;
        let asked =
            Asked { dates: Some(slice.text()), modality: modality.clone(), ..Asked::default() };
        find::studies(settings, from, &asked)
    }

    /// Shows how far it is; false: nobody wants more.
    fn tell(&self, told: &mut dyn FnMut(&Progress) -> bool, slices: (usize, usize)) -> bool {
        let summary = self.summary().clone();
        if !told(&Progress { slices, summary }) {
            self.stopped.store(true, Ordering::Relaxed);
        }
        !self.is_stopped() && self.fatal().is_none()
    }

    fn work(&self, queue: &Mutex<Receiver<Remote>>) {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(study) = next else { return };
            // The rest of the queue is emptied: whoever fills it may be waiting.
            if !self.is_stopped() && self.fatal().is_none() {
                self.take(&study);
            }
            self.open.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn take(&self, study: &Remote) {
        let Migration { app, settings, from, way, .. } = self.migration;
        let catalog = app.store.catalog();
        let taken = self.tried(|| {
            // What came before it broke off is not asked for again. Not in time: it is, and is a duplicate.
            let _ = app.settle(Some(&study.uid), SETTLE_PATIENCE);
            match way {
                Way::Move(own) => take::study_moved(settings, from, catalog, study, own),
                Way::Get => {
                    let ingest = app.ingest().map_err(|_| {
                        PullError::Store(cairn_store::Error::Internal("ingest is closed"))
                    })?;
                    take::study(settings, from, catalog, &ingest, study)
                }
            }
        });
        match taken {
            Ok(taken) if taken.was_held => self.summary().held += 1,
            Ok(taken) => {
                let Pulled { instances, duplicates, failed, bytes, status } = taken.pulled;
                {
                    let mut summary = self.summary();
                    summary.pulled += u64::from(instances > 0);
                    summary.instances += instances;
                    summary.duplicates += duplicates;
                    summary.failed_instances += failed;
                    summary.bytes += bytes;
                }
                if failed > 0 || status != 0 || instances == 0 {
                    let why = format!("{failed} objects did not come; it ended with {status:04X}");
                    self.fail(Some(study.uid.clone()), None, why);
                }
            }
            Err(PullError::Store(error)) => {
                let mut fatal = self.fatal();
                fatal.get_or_insert(PullError::Store(error));
            }
            Err(why) => self.fail(Some(study.uid.clone()), None, why.to_string()),
        }
    }

    /// What breaks or is out of reach is tried again.
    fn tried<T>(&self, mut job: impl FnMut() -> Result<T, PullError>) -> Result<T, PullError> {
        let mut tries = 0;
        loop {
            match job() {
                Err(PullError::Unreached(_) | PullError::Broken(_))
                    if tries + 1 < TRIES && !self.is_stopped() =>
                {
                    std::thread::sleep(PAUSE * (1 << tries));
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    fn fail(&self, study_uid: Option<String>, dates: Option<String>, why: String) {
        let mut summary = self.summary();
        summary.failed += 1;
        if summary.failures.len() < FAILURES_MAX {
            summary.failures.push(Failure { study_uid, dates, why });
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn summary(&self) -> MutexGuard<'_, Summary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fatal(&self) -> MutexGuard<'_, Option<PullError>> {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
