//! Taking objects in.
//!
//! ```text
//! caller's thread          rayon                    writer thread       committer     uploader
//! read → split → cut  ──▶  name → dedup → encode  ─▶  append to pack  ─▶  sync, name ─▶ bucket
//!                          → decode → compare         in order            → answer
//! ```
//!
//! An object of a sender who waits, of which nothing is here by its name, goes to the spool first:
//! it is acknowledged from there, and takes the way above afterwards.
//!
//! Memory is bounded by [`IngestConfig::in_flight_bytes`] whatever is received. An instance is
//! answered only after its chunks, its manifest and the commit that names it are durable. Whatever
//! fails on the way to the disk stops the ingest: nothing more is acknowledged, and the next opening
//! replays what was.

mod admission;
mod assembly;
mod batch;
mod buffer;
mod claims;
mod collecting;
mod committer;
mod cuts;
mod early;
mod encode;
mod in_flight;
mod journal;
mod message;
mod receive;
mod spool;
mod stage;
mod stream;
pub(crate) mod studies;
mod uploader;
mod whole;
mod writer;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use admission::{Admission, Inadmissible, Sender};
pub(crate) use admission::{RECEIVING_AE, SENDING_AE};
pub use early::{EARLY_BYTES_MAX, Early};
pub use message::{Receipt, StudySummary};
pub use receive::{Arrival, Incoming};
pub use spool::Spooled;
pub(crate) use spool::{is_left, spooled_bytes};
pub use stage::{Observer, Stage};
pub(crate) use uploader::patiently;

use crate::catalog::{Existence, PackState};
use crate::commit::Target;
use crate::config::IngestConfig;
use crate::error::{Error, Result};
use crate::metadata::{Builder, Metadata};
use crate::store::Shared;

use buffer::Pool;
use claims::Claims;
pub(crate) use collecting::{Collecting, Era};
use in_flight::{InFlight, Name, Reservation};
use message::Message;
use spool::Spool;

/// Messages that may wait for the writer; their memory is counted by the buffers they hold.
const MESSAGES_MAX: usize = 64;

/// Commits that may wait for the disk: one, so that the writer is never far ahead of what is durable.
const COMMITS_MAX: usize = 1;

/// How often whoever waits for the spool without end looks around.
const SETTLE: Duration = Duration::from_secs(1);

/// Commits under way at most: those that wait, one at the disk, one that waits for its place.
pub const COMMITS_UNDER_WAY_MAX: u64 = COMMITS_MAX as u64 + 2;

/// What has happened so far; for progress, summaries and metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Objects handed in.
    pub objects: AtomicU64,
    /// Their length in bytes.
    pub bytes_in: AtomicU64,
    /// Bytes that were here already.
    pub duplicate_bytes: AtomicU64,
    /// Bytes that were new.
    pub new_bytes: AtomicU64,
    /// Bytes appended to packs.
    pub stored_bytes: AtomicU64,
    /// Instances acknowledged.
    pub acknowledged: AtomicU64,
    /// Chunks whose encoding did not decode to the same bytes and were stored plain instead. Always
    /// zero unless memory or a codec is broken.
    pub encoding_faults: AtomicU64,
    /// Packs sealed.
    pub packs: AtomicU64,
    /// Objects in the spool that were acknowledged and cannot be read any more.
    pub spool_damaged: AtomicU64,
}

impl Counters {
    fn add(counter: &AtomicU64, value: u64) {
        counter.fetch_add(value, Ordering::Relaxed);
    }
}

/// What the threads of the pipeline share.
pub(crate) struct Pipeline {
    pub(crate) shared: Arc<Shared>,
    config: IngestConfig,
    pool: Arc<Pool>,
    claims: Claims,
    in_flight: Arc<InFlight>,
    /// What a collection beside this must leave alone.
    collecting: Collecting,
    spool: Spool,
    counters: Counters,
    /// Jobs that the pool has, or works on.
    coding: AtomicUsize,
    /// Objects out of the spool that were handed in.
    turns: AtomicU64,
    /// Instances handed in whose fate the writer has to hear of.
    submitted: AtomicU64,
    /// The newest batch that is committed.
    committed_batch: AtomicU64,
    /// Commits on their way to the disk.
    commits_under_way: AtomicU64,
    /// Sealed bytes that wait for the bucket.
    waiting_bytes: AtomicU64,
    /// Studies whose newest content has no record yet, and when they last changed.
    touched: Mutex<BTreeMap<String, Instant>>,
    failure: OnceLock<Arc<Error>>,
}

impl Pipeline {
    /// Has every thread of the pool a job of its own?
    fn has_enough_for_all(&self) -> bool {
        self.coding.load(Ordering::Relaxed) >= rayon::current_num_threads()
    }

    /// Does a step of the way in, and tells how long it took.
    fn time<T>(&self, stage: Stage, step: impl FnOnce() -> T) -> T {
        self.config.observer.time(stage, step)
    }

    /// Stops everything; the first cause is kept.
    fn fail(&self, cause: Error) -> Arc<Error> {
        Arc::clone(self.failure.get_or_init(|| Arc::new(cause)))
    }

    /// [`Self::fail`], told to the operator and in the form for callers.
    fn stop(&self, cause: Error) -> Error {
        tracing::error!(error = %cause, "ingest stopped");
        Error::Stopped(self.fail(cause))
    }

    /// A name for an object that takes the ordinary way; waits for one in the spool. That one may need
    /// what this one holds: `let_go` is called before the first wait.
    fn join(&self, name: &Name, let_go: impl FnOnce()) -> Result<Reservation> {
        let awaited = || {
            let_go();
            // Its sender may be this very one, and has not asked for its answer yet.
            self.spool.sync(self)?;
            Ok(self.spool.want(Some(&name.study)))
        };
        self.in_flight.shared(name, awaited, || self.check())
    }

    /// An error if an earlier failure stopped the ingest.
    fn check(&self) -> Result<()> {
        match self.failure.get() {
            Some(cause) => Err(Error::Stopped(Arc::clone(cause))),
            None => Ok(()),
        }
    }
}

/// What an ingest is for.
pub(crate) enum Purpose {
    /// Taking objects in, and describing their series.
    Receive(Arc<Metadata>),
    /// Taking over what is spooled. What waits for the bucket goes on waiting: who only reads must not
    /// wait for that.
    Absorb,
}

/// See the [module](self).
pub struct Ingest {
    pipeline: Arc<Pipeline>,
    messages: Option<SyncSender<Message>>,
    threads: Vec<JoinHandle<()>>,
    /// Takes what is spooled into the archive; ends before the others.
    drainer: Option<JoinHandle<()>>,
    /// Describes series that changed; ends after the others.
    builder: Option<Builder>,
}

impl Ingest {
    pub(crate) fn start(
        shared: Arc<Shared>,
        purpose: Purpose,
        config: IngestConfig,
    ) -> Result<Self> {
        let absorbs = matches!(purpose, Purpose::Absorb);
        let metadata = match purpose {
            Purpose::Receive(metadata) => Some(metadata).filter(|_| config.metadata),
            Purpose::Absorb => None,
        };
        let builder = metadata.map(Builder::start).transpose()?;
        let spool = Spool::open(&shared, &config)?;
        let unrecorded = shared.catalog.unrecorded_studies()?.into_iter();
        let pipeline = Arc::new(Pipeline {
            pool: Pool::new(config.in_flight_bytes),
            config,
            claims: Claims::new(),
            in_flight: Arc::default(),
            collecting: Collecting::new(),
            spool,
            counters: Counters::default(),
            coding: AtomicUsize::new(0),
            turns: AtomicU64::new(0),
            submitted: AtomicU64::new(0),
            committed_batch: AtomicU64::new(0),
            commits_under_way: AtomicU64::new(0),
            waiting_bytes: AtomicU64::new(0),
            touched: Mutex::new(unrecorded.map(|study| (study, Instant::now())).collect()),
            failure: OnceLock::new(),
            shared,
        });
        let (to_writer, from_all) = sync_channel(MESSAGES_MAX);
        let (to_committer, from_writer) = sync_channel(COMMITS_MAX);
        let (to_uploader, from_committer) = std::sync::mpsc::channel();
        for pack in pipeline.shared.catalog.packs()? {
            if pack.state == PackState::Sealed && !absorbs {
                pipeline.waiting_bytes.fetch_add(pack.bytes, Ordering::Relaxed);
                let job = message::StoreJob { pack: Some(pack), acks: vec![], notify: vec![] };
                let _ = to_uploader.send(job);
            }
        }
        let mut threads = Vec::new();
        let uploads = Arc::clone(&pipeline);
        threads.push(spawn("cairn-upload", move || uploader::run(&uploads, &from_committer))?);
        let commits = Arc::clone(&pipeline);
        let to = committer::Outlets {
            uploads: to_uploader,
            writer: to_writer.clone(),
            changes: builder.as_ref().and_then(Builder::changes),
        };
        threads.push(spawn("cairn-commit", move || {
            committer::run(&commits, &from_writer, &to);
        })?);
        let first_seq = pipeline.shared.catalog.next_seq()?;
        let writes = Arc::clone(&pipeline);
        let own = to_writer.clone();
        threads.push(spawn("cairn-write", move || {
            writer::run(&writes, &from_all, &own, &to_committer, first_seq);
        })?);
        let drainer = pipeline.spool.is_used().then(|| {
            let (drains, to) = (Arc::clone(&pipeline), to_writer.clone());
            spawn("cairn-spool", move || spool::run(&drains, &to))
        });
        let drainer = drainer.transpose()?;
        let ingest = Self { pipeline, messages: Some(to_writer), threads, drainer, builder };
        // Nothing comes before what was acknowledged earlier.
        ingest.settled(None)?;
        Ok(ingest)
    }

    /// Takes into the archive what a run that ended left in the spool, as far as the journal.
    pub(crate) fn absorb(shared: Arc<Shared>) -> Result<()> {
        let config = IngestConfig { spool_bytes: 0, ..IngestConfig::default() };
        let mut ingest = Self::start(shared, Purpose::Absorb, config)?;
        ingest.stop();
        ingest.pipeline.check()
    }

    /// What has happened so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.pipeline.counters
    }

    /// What a collection has to know of what is coming in.
    pub(crate) fn collecting(&self) -> &Collecting {
        &self.pipeline.collecting
    }

    /// A pack is ended once it is this long.
    pub(crate) fn pack_bytes(&self) -> u64 {
        self.pipeline.config.pack_bytes
    }

    /// What this takes objects into.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.pipeline.shared
    }

    /// Bytes of received objects held in memory at this moment.
    #[must_use]
    pub fn in_flight_bytes(&self) -> usize {
        self.pipeline.pool.in_use()
    }

    /// What stopped it, if anything did: then nothing more is taken in.
    #[must_use]
    pub fn failure(&self) -> Option<&Error> {
        self.pipeline.failure.get().map(|cause| &**cause)
    }

    /// Sealed bytes that wait for the bucket.
    #[must_use]
    pub fn waiting_bytes(&self) -> u64 {
        self.pipeline.waiting_bytes.load(Ordering::Relaxed)
    }

    /// What is acknowledged and not in the archive yet.
    #[must_use]
    pub fn spooled(&self) -> Spooled {
        self.pipeline.spool.figures()
    }

    /// Is everything that was acknowledged in the catalog? Costs next to nothing.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.pipeline.spool.is_settled()
    }

    /// Waits until everything that was acknowledged so far, of this study or at all, is in the catalog,
    /// so that whoever reads then sees it. False if that takes longer than `patience`, or the ingest
    /// stopped. Costs next to nothing where nothing is on its way.
    #[must_use]
    pub fn settle(&self, study: Option<&str>, patience: Duration) -> bool {
        self.pipeline.spool.settle(&self.pipeline, study, patience)
    }

    /// [`Self::settle`], however long it takes.
    fn settled(&self, study: Option<&str>) -> Result<()> {
        while !self.settle(study, SETTLE) {
            self.pipeline.check()?;
        }
        Ok(())
    }

    /// Batches that are closed and not durable yet; at most [`COMMITS_UNDER_WAY_MAX`].
    #[must_use]
    pub fn commits_under_way(&self) -> u64 {
        self.pipeline.commits_under_way.load(Ordering::SeqCst)
    }

    /// Reads the beginning of a data set, up to [`EARLY_BYTES_MAX`], for [`Incoming::early`], and works
    /// on it meanwhile: for who sends one object after the other and waits for each.
    ///
    /// # Errors
    /// Those of `reader`.
    pub fn read_early(
        &self,
        early: &mut Early,
        arrival: &Arrival,
        reader: &mut dyn Read,
    ) -> std::io::Result<()> {
        early.read(&self.pipeline, arrival, reader)
    }

    /// Takes an object in, on the caller's thread as far as reading and cutting go.
    ///
    /// An error means that nothing of it was taken, and `done` is not called. Otherwise `done` is
    /// called once, maybe before this returns: with a receipt when the object is durable, or with what
    /// stopped it. What is durable is in the catalog, or will be once it is [settled](Self::settle). Must not be called on a thread of the rayon pool.
    pub fn receive(
        &self,
        incoming: Incoming<'_>,
        done: impl FnOnce(Result<Receipt>) + Send + 'static,
    ) -> Result<()> {
        self.pipeline.check()?;
        let messages = self.messages.as_ref().ok_or(Error::Internal("ingest is closed"))?;
        receive::receive(&self.pipeline, messages, incoming, message::Ack::new(done))
    }

    /// Whoever handed something in now waits for its answer: it is made durable as soon as the disk is
    /// free, without waiting for company. To be called again for what is not answered with the next. May
    /// take as long as a sync of the disk.
    pub fn hurry(&self) {
        // A failure is on record: those who wait hear of it.
        let _ = self.pipeline.spool.sync(&self.pipeline);
        if let Some(messages) = &self.messages
            && self.pipeline.in_flight.ordinary() > 0
        {
            // A writer with a full queue is not waiting for company anyhow.
            let _ = messages.try_send(Message::Hurry);
        }
    }

    /// Deletes a study, a series or an instance, all versions of it, and waits until the tombstone is
    /// durable. The bytes stay until they are collected; nobody is given them any more.
    ///
    /// What is handed in but not acknowledged at this moment may or may not be covered.
    ///
    /// # Errors
    /// [`Error::NotFound`] if nothing by this name is visible.
    pub fn delete(&self, target: &Target) -> Result<()> {
        self.settled(Some(&target.study_uid))?;
        let what = match (&target.series_uid, &target.sop_instance_uid) {
            (_, Some(_)) => "instance",
            (Some(_), None) => "series",
            (None, None) => "study",
        };
        if self.pipeline.shared.catalog.existence(target)? != Existence::Present {
            let uid = target.sop_instance_uid.as_ref().or(target.series_uid.as_ref());
            let name = uid.unwrap_or(&target.study_uid).clone();
            return Err(Error::NotFound { what, name });
        }
        self.ask(|answer| Message::Delete(target.clone(), answer))
    }

    /// Deletes those of these instances of a study of which everything is entrusted
    /// ([`Entrusted`](crate::catalog::Entrusted)), and waits until that is durable. What came by any
    /// other way as well stays, the last moment included.
    pub fn give_back(&self, study_uid: &str, instances: Vec<Target>) -> Result<()> {
        self.settled(Some(study_uid))?;
        self.ask(|answer| Message::GiveBack(instances, answer))
    }

    /// Ends the open pack and waits, but no longer than `patience`, until everything acknowledged so far
    /// is in the bucket. Says whether it is.
    pub fn archive(&self, patience: Duration) -> Result<bool> {
        let begun = Instant::now();
        if !self.settle(None, patience) {
            return self.pipeline.check().map(|()| false);
        }
        let patience = patience.saturating_sub(begun.elapsed());
        let messages = self.messages.as_ref().ok_or(Error::Internal("ingest is closed"))?;
        let (answer, answered) = std::sync::mpsc::channel();
        let asked = messages.send(Message::Seal(answer)).is_ok();
        let got = if asked { answered.recv_timeout(patience) } else { Ok(()) };
        self.pipeline.check()?;
        match got {
            Ok(()) => Ok(asked),
            Err(RecvTimeoutError::Timeout) => Ok(false),
            Err(RecvTimeoutError::Disconnected) => {
                Err(Error::Internal("the ingest threads are gone"))
            }
        }
    }

    /// Names the content of studies that changed and have been quiet for a while; returns how many.
    /// For whoever ingests without end: [`Self::finish`] names the rest.
    pub fn record_studies(&self, quiet: Duration) -> Result<usize> {
        if self.spooled().oldest >= quiet {
            self.settled(None)?;
        }
        let due: BTreeMap<String, Instant> = {
            let touched = lock(&self.pipeline.touched);
            let quiet = touched.iter().filter(|(_, last)| last.elapsed() >= quiet);
            quiet.map(|(study, last)| (study.clone(), *last)).collect()
        };
        if due.is_empty() {
            return Ok(0);
        }
        for study in due.keys() {
            self.settled(Some(study))?;
        }
        let shared = &self.pipeline.shared;
        let (entries, _) = studies::records(shared, due.keys())?;
        if !entries.is_empty() {
            self.ask(|answer| Message::Record(entries, answer))?;
        }
        // What changed in the meantime, or was decided before and committed since, has to wait for the
        // next round.
        let (stale, _) = studies::records(shared, due.keys())?;
        let mut touched = lock(&self.pipeline.touched);
        let mut recorded = 0;
        for (study, last) in due {
            let same = !stale.iter().any(|entry| entry.study_uid == study);
            if same && touched.get(&study) == Some(&last) {
                touched.remove(&study);
                recorded += 1;
            }
        }
        Ok(recorded)
    }

    /// Waits until everything handed in is committed.
    pub fn drain(&self) -> Result<()> {
        self.pipeline.spool.sync(&self.pipeline)?;
        self.settled(None)?;
        self.ask(Message::Drain)
    }

    /// Waits until everything handed in is in the bucket, names the content of every study that
    /// changed, and ends.
    pub fn finish(mut self) -> Result<Vec<StudySummary>> {
        self.drain()?;
        let touched = std::mem::take(&mut *lock(&self.pipeline.touched));
        let (entries, summaries) = studies::records(&self.pipeline.shared, touched.keys())?;
        self.ask(|answer| Message::Close(entries, answer))?;
        self.stop();
        self.pipeline.check()?;
        self.pipeline.spool.finish(&self.pipeline)?;
        if let Some(builder) = self.builder.take() {
            builder.finish();
        }
        Ok(summaries)
    }

    fn ask(&self, question: impl FnOnce(std::sync::mpsc::Sender<()>) -> Message) -> Result<()> {
        let messages = self.messages.as_ref().ok_or(Error::Internal("ingest is closed"))?;
        let (answer, answered) = std::sync::mpsc::channel();
        let asked = messages.send(question(answer)).is_ok();
        // An answer that never comes means that the pipeline stopped: the reason is on record.
        let got = asked && answered.recv().is_ok();
        self.pipeline.check()?;
        if got { Ok(()) } else { Err(Error::Internal("the ingest threads are gone")) }
    }

    fn stop(&mut self) {
        self.pipeline.spool.stop();
        if self.drainer.take().is_some_and(|drainer| drainer.join().is_err()) {
            self.pipeline.fail(Error::Internal("an ingest thread panicked"));
        }
        if let Some(messages) = self.messages.take() {
            let _ = messages.send(Message::Stop);
        }
        // The writer ends, and the others after it.
        for thread in self.threads.drain(..).rev() {
            if thread.join().is_err() {
                self.pipeline.fail(Error::Internal("an ingest thread panicked"));
            }
        }
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(name: &str, job: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(job)
        .map_err(Error::io("start a thread for", std::path::Path::new("ingest")))
}

/// No lock here guards anything that a panic could leave half done.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Now, in ms since 1970.
pub(crate) fn now_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}
