//! From the spool into the archive.
//!
//! One thread reads records and hands them to the ordinary way in, which codes them on all cores. It
//! gives way to senders ([`Load`]), but not to whoever waits to see what was acknowledged.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use super::pace::Load;
use super::prepare::Preparing;
use super::record::{self, Description, OBJECT_BYTES_MAX};
use super::segment::{SegmentReader, Unreadable};
use super::{Spool, State, Waiting, packed, tell_damage, wait, weight};
use crate::error::{Error, Kind, Result};
use crate::ingest::in_flight::Reservation;
use crate::ingest::message::{Ack, Message, Receipt};
use crate::ingest::whole::{Again, receive_again};
use crate::ingest::{Counters, Pipeline, lock};
use crate::keys::TAG_BYTES;

/// How often to look while somebody waits.
const HASTE: Duration = Duration::from_millis(5);
/// How often to look while records are on their way.
const LOOK: Duration = Duration::from_millis(20);
/// How often to look otherwise.
const IDLE: Duration = Duration::from_millis(500);
/// How often to look whether the disk is short of room.
const LOOK_AT_DISK: Duration = Duration::from_secs(1);
/// The open segment is closed when all of it is in the archive and nothing came for so long.
const CLOSE_AFTER: Duration = Duration::from_secs(1);

/// What to do next.
enum Next {
    Take(Waiting),
    Look,
    Stop,
}

/// Segments that are read, and memory for a packed record.
#[derive(Default)]
struct Readers {
    by_segment: HashMap<u64, SegmentReader>,
    scratch: Vec<u8>,
}

/// A record that was handed on.
struct Taken {
    no: u64,
    segment: u64,
    bytes: u64,
    held: Option<(Arc<str>, Reservation)>,
}

/// The thread. Ends when it is asked to; what is still spooled then stays.
pub(crate) fn run(pipeline: &Arc<Pipeline>, messages: &SyncSender<Message>) {
    let spool = &pipeline.spool;
    let mut readers = Readers::default();
    let mut preparing = Preparing::default();
    let mut looked = Instant::now();
    loop {
        if let Err(error) = spool.tidy(pipeline) {
            pipeline.stop(error);
        }
        if looked.elapsed() >= LOOK_AT_DISK {
            looked = Instant::now();
            if let Err(error) = spool.give_back(&pipeline.shared) {
                pipeline.stop(error);
            }
        }
        let is_preparing = preparing.step(pipeline);
        match spool.next(pipeline, is_preparing) {
            Next::Stop => return,
            Next::Take(waiting) => hand_on(pipeline, messages, &mut readers, waiting),
            Next::Look => {
                let known = lock(&spool.state);
                readers.by_segment.retain(|no, _| known.segments.contains_key(no));
            }
        }
        if spool.is_awaited() {
            // A writer with a full queue is busy anyhow.
            let _ = messages.try_send(Message::Hurry);
        }
    }
}

impl Spool {
    /// Does somebody wait to see what is spooled?
    fn is_awaited(&self) -> bool {
        lock(&self.state).is_awaited()
    }

    /// Decides what to do, and waits for a moment if that is nothing.
    fn next(&self, pipeline: &Pipeline, is_preparing: bool) -> Next {
        let since_arrival = self.quiet();
        let mut state = lock(&self.state);
        if state.stopping {
            return Next::Stop;
        }
        let stopped = pipeline.check().is_err();
        let place = if stopped { None } else { state.place() };
        let is_wanted = place.is_some_and(|place| state.is_wanted(place));
        let patience = match place {
            Some(place) => {
                let load = Load {
                    since_arrival,
                    oldest: state.pending.values().next().map_or(Duration::ZERO, Instant::elapsed),
                    backlog: state.backlog,
                    high_water: self.bytes_max / 2,
                };
                match load.pause().filter(|_| !is_wanted) {
                    None => {
                        if let Some(waiting) = state.waiting.remove(place) {
                            state.backlog -= waiting.bytes;
                            return Next::Take(waiting);
                        }
                        LOOK
                    }
                    Some(pause) => pause.min(LOOK),
                }
            }
            None if state.is_awaited() => HASTE,
            None if state.pending.is_empty() && !is_preparing => IDLE,
            None => LOOK,
        };
        drop(wait(&self.work, state, patience));
        Next::Look
    }

    /// What has to be done now and then: answers that nobody asked haste for, segments that are done
    /// with.
    pub(crate) fn tidy(&self, pipeline: &Pipeline) -> Result<()> {
        let (overdue, idle) = {
            let state = lock(&self.state);
            let waited = state.owed_since.elapsed();
            let overdue = !state.owed.is_empty() && waited >= pipeline.config.commit_interval;
            let is_spent = |no: &u64| state.segments.get(no).is_some_and(|s| s.open && s.left == 0);
            (overdue, state.segments.keys().last().is_some_and(is_spent))
        };
        if overdue {
            // A failure is on record, and those who wait were told.
            let _ = self.sync(pipeline);
        }
        if pipeline.check().is_err() {
            // What is there is for the next opening.
            return Ok(());
        }
        if idle && self.quiet() >= CLOSE_AFTER {
            self.close_spent(pipeline)?;
        }
        self.remove_done(pipeline)
    }

    /// Since an object last arrived.
    pub(super) fn quiet(&self) -> Duration {
        let arrived = Duration::from_micros(self.arrived_us.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(arrived)
    }

    /// Closes the open segment if all of it is in the archive.
    fn close_spent(&self, pipeline: &Pipeline) -> Result<()> {
        let mut log = lock(&self.log);
        let open = log.open.as_ref().map(super::OpenSegment::no);
        let is_spent =
            open.is_some_and(|no| lock(&self.state).segments.get(&no).is_some_and(|s| s.left == 0));
        if is_spent { self.close(pipeline, &mut log) } else { Ok(()) }
    }

    /// Removes what is done with when the ingest ends.
    pub(crate) fn finish(&self, pipeline: &Pipeline) -> Result<()> {
        self.close_spent(pipeline)?;
        self.remove_done(pipeline)
    }

    /// Removes segments of which everything is in the archive, from the first on: of those that are
    /// there, the last by number is the one that may have a torn end.
    fn remove_done(&self, pipeline: &Pipeline) -> Result<()> {
        loop {
            let (no, path, bytes, damaged) = {
                let state = lock(&self.state);
                match state.segments.first_key_value() {
                    Some((no, segment)) if !segment.open && segment.left == 0 => {
                        (*no, segment.path.clone(), segment.bytes, segment.damaged)
                    }
                    _ => return Ok(()),
                }
            };
            let disk = &pipeline.shared.disk;
            if damaged {
                let mut aside = path.clone().into_os_string();
                aside.push(".aside");
                disk.rename(&path, &PathBuf::from(aside)).map_err(Error::io("rename", &path))?;
            } else if !self.keep(pipeline, no, &path, bytes)? {
                match disk.remove(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(Error::io("remove", &path)(error));
                    }
                    _ => {}
                }
            }
            lock(&self.state).segments.remove(&no);
        }
    }

    /// What became of a record that was handed on.
    fn done(&self, pipeline: &Pipeline, taken: Taken, result: Result<Receipt>) {
        match result {
            Ok(_) => self.settled(taken, false),
            // It stays in the spool: the next opening takes it in.
            Err(_) if pipeline.check().is_err() || lock(&self.state).stopping => {}
            Err(error) => {
                let cause = Error::Internal("an acknowledged object was refused");
                tracing::error!(%error, "an object in the spool cannot be taken into the archive");
                pipeline.stop(cause);
            }
        }
    }

    /// A record is in the archive, or cannot be brought there.
    fn settled(&self, taken: Taken, damaged: bool) {
        let Taken { no, segment, bytes, held } = taken;
        let mut state = lock(&self.state);
        state.pending.remove(&no);
        state.weight -= weight(bytes);
        if let Some((study, _)) = &held
            && let Some(all) = state.by_study.get_mut(study)
        {
            all.remove(&no);
            if all.is_empty() {
                state.by_study.remove(study);
            }
        }
        if let Some(segment) = state.segments.get_mut(&segment) {
            segment.left -= 1;
            segment.damaged |= damaged;
        }
        drop(state);
        drop(held);
        self.pending.fetch_sub(1, Ordering::SeqCst);
        self.changed.notify_all();
    }
}

impl State {
    fn is_awaited(&self) -> bool {
        self.wanted > 0 || !self.wanted_studies.is_empty()
    }

    /// The record to be taken next: one that somebody waits for, else the first. Only what is synced.
    fn place(&self) -> Option<usize> {
        let synced = |waiting: &&Waiting| waiting.no <= self.durable.no;
        let first = self.waiting.front().filter(synced).map(|_| 0);
        if self.wanted > 0 || self.wanted_studies.is_empty() {
            return first;
        }
        let all = self.waiting.iter().take_while(synced);
        let wanted = all.enumerate().find(|(_, waiting)| self.is_of_wanted_study(waiting));
        wanted.map(|(place, _)| place).or(first)
    }

    fn is_wanted(&self, place: usize) -> bool {
        self.wanted > 0
            || self.waiting.get(place).is_some_and(|waiting| self.is_of_wanted_study(waiting))
    }

    fn is_of_wanted_study(&self, waiting: &Waiting) -> bool {
        waiting.held.as_ref().is_some_and(|(study, _)| self.wanted_studies.contains_key(study))
    }
}

/// Why a record was not handed on.
enum Stays {
    /// It is not what was acknowledged.
    Damaged(String),
    /// The archive takes nothing now.
    Failed(Error),
}

fn hand_on(
    pipeline: &Arc<Pipeline>,
    messages: &SyncSender<Message>,
    readers: &mut Readers,
    waiting: Waiting,
) {
    let spool = &pipeline.spool;
    let Waiting { no, segment, offset, bytes, held } = waiting;
    let again = match read(pipeline, readers, segment, offset, bytes) {
        Ok(again) => again,
        Err(unreadable) => {
            let taken = Taken { no, segment, bytes, held };
            return damaged(pipeline, taken, offset, &unreadable.to_string());
        }
    };
    // The answer and the refusal share what is to be told: one of them comes.
    let taken = Arc::new(std::sync::Mutex::new(Some(Taken { no, segment, bytes, held })));
    let (owner, share) = (Arc::clone(pipeline), Arc::clone(&taken));
    let ack = Ack::spooled(move |result| {
        if let Some(taken) = lock(&share).take() {
            owner.spool.done(&owner, taken, result);
        }
    });
    let stays = match receive_again(pipeline, messages, again, ack) {
        Ok(()) => return,
        Err(error) => match error.kind() {
            Kind::Input | Kind::Damage => Stays::Damaged(error.to_string()),
            _ => Stays::Failed(error),
        },
    };
    let Some(taken) = lock(&taken).take() else { return };
    match stays {
        Stays::Damaged(why) => damaged(pipeline, taken, offset, &why),
        Stays::Failed(error) => spool.done(pipeline, taken, Err(pipeline.stop(error))),
    }
}

/// Keeps a record's segment and tells of it; nobody waits for it any longer.
fn damaged(pipeline: &Pipeline, taken: Taken, offset: u64, why: &str) {
    let path = pipeline.shared.layout.spool_segment(taken.segment);
    tell_damage(&path, offset, why);
    Counters::add(&pipeline.counters.spool_damaged, 1);
    pipeline.spool.settled(taken, true);
}

fn read(
    pipeline: &Pipeline,
    readers: &mut Readers,
    segment: u64,
    offset: u64,
    bytes: u64,
) -> std::result::Result<Again, Unreadable> {
    let shared = &pipeline.shared;
    let reader = match readers.by_segment.entry(segment) {
        std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
        std::collections::hash_map::Entry::Vacant(place) => {
            let path = shared.layout.spool_segment(segment);
            place.insert(SegmentReader::open(shared, segment, &path)?)
        }
    };
    let header = reader.header(offset)?;
    if header.record_bytes() != bytes {
        return Err(Unreadable::Damaged("the record has another length"));
    }
    let length = header.payload_bytes();
    let description_bytes = header.description_bytes as usize;
    let memory = &pipeline.spool.memory;
    let (description, object) = if header.kind == record::Kind::Packed {
        // Not of the pool: whoever waits for memory there must not hold any of it.
        let scratch = &mut readers.scratch;
        scratch.resize(scratch.len().max(length + TAG_BYTES), 0);
        let description = reader.object(offset, &header, scratch)?;
        let packed = &scratch[description_bytes..length];
        let why = Unreadable::Damaged("the object cannot be unpacked");
        let Some(bytes) = packed::plain_bytes(packed, OBJECT_BYTES_MAX) else { return Err(why) };
        let mut buffer = memory.acquire(bytes);
        if !packed::unpack(packed, &mut buffer[..bytes]) {
            return Err(why);
        }
        (description, buffer.freeze().slice(..bytes))
    } else {
        let mut buffer = memory.acquire(length + TAG_BYTES);
        let description = reader.object(offset, &header, &mut buffer)?;
        (description, buffer.freeze().slice(description_bytes..length))
    };
    let Description { source, received_ms, arrival, sender } = description;
    Ok(Again { object, id: header.id, source, received_ms, arrival, sender })
}
