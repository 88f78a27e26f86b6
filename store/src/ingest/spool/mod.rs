//! The spool: objects that are safe and acknowledged before they are coded.
//!
//! ```text
//! sender's thread                                        cairn-spool
//! read → split → hash → pack → append → fdatasync → answer    read → unpack → the ordinary way in
//!                          └── DIR/spool/N.spool ──────────▲
//! ```
//! As a mail server does: what was taken is written down whole, and delivered afterwards. Only objects
//! of senders who wait go here, and only those of which nothing is here or on its way by the same name
//! (see [`InFlight`](super::in_flight::InFlight)): whatever else comes, each of them is new and will be
//! shown, so the answer is right before the writer has decided anything.
//!
//! Invariants:
//! - An answer follows the `fdatasync` of the record and of all before it.
//! - A record is handed on only when it is synced, and a segment is removed only when everything in it
//!   is committed, so that a replay of the journal finds it.
//! - Segments are removed in their order, and each is synced before the next is begun.
//! - A segment that is done with may be written over ([`spare`]); what an earlier use left in it is never
//!   taken for a record of a later one.

mod append;
mod drain;
mod head;
mod pace;
mod packed;
mod packers;
mod prepare;
mod record;
mod recover;
mod scan;
mod segment;
mod settle;
mod spare;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::buffer::Pool;
use super::in_flight::Reservation;
use super::message::{Ack, Receipt};
use super::{Counters, Pipeline, Stage, lock};
use crate::commit::Source;
use crate::config::{Acknowledge, IngestConfig};
use crate::disk::DiskSync;
use crate::error::{Error, Result};
use crate::limits::{SPOOL_RECORD_BYTES_MIN, SPOOL_SEGMENT_BYTES};
use crate::store::Shared;

use packers::Packers;
use record::OBJECT_BYTES_MAX;
use segment::OpenSegment;
use spare::{Bounds, Spare};

pub(super) use append::{Candidate, Owed};
pub(super) use drain::run;
pub(super) use packed::Packing;
pub(crate) use recover::{is_left, spooled_bytes};

/// How often a thread that waits looks whether the ingest stopped.
const LOOK: Duration = Duration::from_millis(50);
/// A spool has so many segments at least: one that is full is free again soon.
const SEGMENTS_MIN: u64 = 8;
/// Shortest length at which a segment is closed.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;

/// What waits in the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spooled {
    /// Objects that are not in the archive yet.
    pub objects: u64,
    /// Length of their records in bytes.
    pub bytes: u64,
    /// Length of the files that they are in.
    pub disk_bytes: u64,
    /// Length of files that wait to be written over.
    pub spare_bytes: u64,
    /// How long the oldest has been waiting.
    pub oldest: Duration,
}

/// See the [module](self).
///
/// Locks are taken in the order of the fields; `state` is never held over a call to the disk.
pub(super) struct Spool {
    bytes_max: u64,
    segment_bytes: u64,
    bounds: Bounds,
    log: Mutex<Log>,
    syncer: Mutex<Option<Syncer>>,
    state: Mutex<State>,
    /// A sync is over.
    synced: Condvar,
    /// A record is in the archive.
    changed: Condvar,
    /// There may be something to do for the drainer.
    work: Condvar,
    /// Records that are not in the archive yet.
    pending: AtomicU64,
    begun: Instant,
    /// When an object last arrived, in µs since `begun`.
    arrived_us: AtomicU64,
    /// For records on their way through the pipeline. Not the senders' memory: one of them may wait for
    /// a record here, and must not hold what that record needs.
    memory: Arc<Pool>,
    packers: Packers,
}

/// Where records are appended.
#[derive(Default)]
struct Log {
    open: Option<OpenSegment>,
    /// Of the next segment.
    next_segment: u64,
    /// Of the last record.
    last: u64,
}

struct Syncer {
    sync: Box<dyn DiskSync>,
    path: PathBuf,
}

/// A file of the spool.
#[derive(Debug)]
struct Segment {
    path: PathBuf,
    /// Length of the file: more than is in it, where it is written over.
    bytes: u64,
    /// Records that are not in the archive yet.
    left: usize,
    /// It is appended to.
    open: bool,
    /// Something in it cannot be read: it is kept for a person to look at.
    damaged: bool,
    /// It does not say where it ends. Were another one begun while it is there, what is behind its
    /// records would pass for damage after a crash.
    torn: bool,
}

/// A record that waits.
struct Waiting {
    no: u64,
    segment: u64,
    offset: u64,
    bytes: u64,
    /// `None`: an earlier run left it, and nobody else is at work yet.
    held: Option<(Arc<str>, Reservation)>,
}

/// How far something goes: the number of the last record, and its end in the open segment.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    no: u64,
    bytes: u64,
}

struct State {
    segments: BTreeMap<u64, Segment>,
    spares: Vec<Spare>,
    /// What is written of a file that will be one ([`prepare`]).
    prepared_bytes: u64,
    /// Records not handed on yet, in order of their numbers.
    waiting: VecDeque<Waiting>,
    /// Bytes of `waiting`.
    backlog: u64,
    /// What all records not in the archive yet count for.
    weight: u64,
    /// When each record came that is not in the archive yet.
    pending: BTreeMap<u64, Instant>,
    by_study: HashMap<Arc<str>, BTreeSet<u64>>,
    appended: Mark,
    durable: Mark,
    syncing: bool,
    /// Answers to be given after the sync of their record, in order.
    owed: VecDeque<(u64, Ack, Receipt)>,
    /// Since when the first of them is owed.
    owed_since: Instant,
    /// How many wait for everything, and for each study.
    wanted: usize,
    wanted_studies: HashMap<Arc<str>, usize>,
    stopping: bool,
}

impl Spool {
    /// Reads what an earlier run left. It waits for [`run`], and nothing may be received before it is
    /// settled.
    pub(super) fn open(shared: &Shared, config: &IngestConfig) -> Result<Self> {
        let now = Instant::now();
        let mut state = State {
            segments: BTreeMap::new(),
            spares: Vec::new(),
            prepared_bytes: 0,
            waiting: VecDeque::new(),
            backlog: 0,
            weight: 0,
            pending: BTreeMap::new(),
            by_study: HashMap::new(),
            appended: Mark::default(),
            durable: Mark::default(),
            syncing: false,
            owed: VecDeque::new(),
            owed_since: now,
            wanted: 0,
            wanted_studies: HashMap::new(),
            stopping: false,
        };
        let memory = Pool::new(0);
        let packers = match config.spool_bytes {
            0 => Packers::none(),
            _ => Packers::start(&config.observer),
        };
        let segment_bytes =
            (config.spool_bytes / SEGMENTS_MIN).clamp(SEGMENT_BYTES_MIN, SPOOL_SEGMENT_BYTES);
        let bounds = Bounds::new(config.spool_bytes, segment_bytes);
        let (next_segment, last) = state.recover(shared, &memory, bounds)?;
        Ok(Self {
            bytes_max: config.spool_bytes,
            segment_bytes,
            bounds,
            log: Mutex::new(Log { open: None, next_segment, last }),
            syncer: Mutex::new(None),
            pending: AtomicU64::new(state.pending.len() as u64),
            state: Mutex::new(state),
            synced: Condvar::new(),
            changed: Condvar::new(),
            work: Condvar::new(),
            begun: now,
            arrived_us: AtomicU64::new(0),
            memory,
            packers,
        })
    }

    /// Is there anything to do for [`run`], or may there ever be?
    pub(super) fn is_used(&self) -> bool {
        self.bytes_max > 0 || !lock(&self.state).segments.is_empty()
    }

    /// An object came, by whatever way.
    pub(super) fn arrived(&self) {
        self.arrived_us.store(self.begun.elapsed().as_micros() as u64, Ordering::Relaxed);
    }

    /// May an object be spooled, as far as it alone can tell?
    pub(super) fn takes(&self, config: &IngestConfig, source: Source, bytes: usize) -> bool {
        self.bytes_max > 0
            && config.acknowledge == Acknowledge::Received
            && matches!(source, Source::Dimse | Source::Web)
            && bytes <= OBJECT_BYTES_MAX
    }

    /// How objects are packed: by whom, and whether it is verified.
    pub(super) fn packs(&self, pipeline: &Pipeline) -> (&Packers, bool) {
        (&self.packers, pipeline.config.verify_encoding)
    }

    /// Makes everything appended so far durable and answers for it. Whoever comes while a sync runs
    /// waits for it, and one of them makes the next for all.
    pub(super) fn sync(&self, pipeline: &Pipeline) -> Result<()> {
        let mut state = lock(&self.state);
        let wanted = state.appended.no;
        let mark = loop {
            if state.durable.no >= wanted {
                return Ok(());
            }
            if let Err(error) = pipeline.check() {
                // They hear of it when their answers are dropped, which may call back.
                let lost = std::mem::take(&mut state.owed);
                drop(state);
                drop(lost);
                return Err(error);
            }
            if !state.syncing {
                state.syncing = true;
                break state.appended;
            }
            state = wait(&self.synced, state, LOOK);
        };
        drop(state);
        let synced = match &*lock(&self.syncer) {
            Some(Syncer { sync, path }) => {
                pipeline.time(Stage::SpoolSync, || sync.sync()).map_err(Error::io("sync", path))
            }
            None => Err(Error::Internal("no segment is open")),
        };
        let mut state = lock(&self.state);
        state.syncing = false;
        let due = if synced.is_ok() {
            state.durable = mark;
            let count = state.owed.iter().take_while(|(no, ..)| *no <= mark.no).count();
            let due: Vec<_> = state.owed.drain(..count).collect();
            state.owed_since = Instant::now();
            due
        } else {
            Vec::new()
        };
        drop(state);
        let synced = synced.map_err(|error| pipeline.stop(error));
        self.synced.notify_all();
        Counters::add(&pipeline.counters.acknowledged, due.len() as u64);
        for (_, ack, receipt) in due {
            ack.answer(Ok(receipt));
        }
        synced
    }

    /// Is everything in the archive? Costs next to nothing.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.load(Ordering::SeqCst) == 0
    }

    /// What waits.
    pub(super) fn figures(&self) -> Spooled {
        let state = lock(&self.state);
        let oldest = state.pending.values().next();
        Spooled {
            objects: state.pending.len() as u64,
            bytes: state.backlog,
            disk_bytes: state.disk_bytes(),
            spare_bytes: state.spare_bytes(),
            oldest: oldest.map_or(Duration::ZERO, Instant::elapsed),
        }
    }

    /// Asks [`run`] to end.
    pub(super) fn stop(&self) {
        lock(&self.state).stopping = true;
        self.work.notify_all();
    }
}

/// What a record counts for.
fn weight(bytes: u64) -> u64 {
    bytes.max(SPOOL_RECORD_BYTES_MIN)
}

fn wait<'a>(
    on: &Condvar,
    state: MutexGuard<'a, State>,
    patience: Duration,
) -> MutexGuard<'a, State> {
    on.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0
}

impl State {
    fn disk_bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }

    fn spare_bytes(&self) -> u64 {
        self.spares.iter().map(|spare| spare.bytes).sum::<u64>() + self.prepared_bytes
    }
}

/// Tells an operator of bytes that may be lost. The file is kept.
fn tell_damage(segment: &std::path::Path, offset: u64, why: &str) {
    tracing::error!(
        segment = %segment.display(), offset, why,
        "an object in the spool is damaged; its segment will be set aside"
    );
}
