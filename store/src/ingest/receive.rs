//! From a stream of bytes to chunks on their way.
//!
//! Runs on the caller's thread. The stream is read into pooled buffers; the splitter says where spans
//! start, the cutter where chunks end; each chunk is a slice of its buffer. What is left over at the
//! end of a full buffer, at most one chunk, is laid aside and moves to the start of the next.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;

use bytes::Bytes;
use cairn_chunker::cut::Cutter;
use cairn_chunker::id::{ChunkId, DatasetHash};
use cairn_chunker::limits::ENVELOPE_INLINE_BYTES_MAX;
use cairn_chunker::span::{Boundary, SpanKind};
use cairn_dicom::flags::Flags;
use cairn_dicom::object::{Identity, Object};
use cairn_dicom::probe::{Framing, PROBE_BYTES, probe};
use cairn_dicom::split::Splitter;

use super::assembly::{Assembly, Ending};
use super::buffer::Charge;
use super::early::{Early, Known};
use super::encode::{Cut, dispatch};
use super::in_flight::Name;
use super::message::{Ack, Group, Message, Receipt};
use super::spool::{Candidate, Owed, Packing};
use super::{Counters, Pipeline, Stage, now_ms};
use crate::catalog::VersionRow;
use crate::commit::{Outcome, Source};
use crate::error::{Error, Result};
use crate::keys::StoredId;
use crate::limits::{FIRST_BUFFER_BYTES, SLAB_BYTES};

/// How an object arrives.
#[derive(Debug, Clone)]
pub enum Arrival {
    /// As a file: with envelope, or whatever stands in a file.
    File,
    /// As a data set, whose transfer syntax was told: DIMSE.
    Dataset {
        /// Its transfer syntax UID.
        transfer_syntax: String,
    },
}

/// What has to be true of an object for it to be taken in. By default nothing: an archive keeps what it
/// is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admission {
    /// It has to belong to this study.
    pub study_uid: Option<String>,
    /// It has to say its study, series and SOP Instance UID itself.
    pub uids_required: bool,
    /// It has to be of this class.
    pub sop_class_uid: Option<String>,
    /// It has to be this instance.
    pub sop_instance_uid: Option<String>,
    /// Who sent it; noted with its commit.
    pub sender: Option<Sender>,
}

/// Sending Application Entity Title (PS3.10 §7.1): where a commit says who sent an instance. Tags of
/// group 0002 are of no level, so no search and no metadata show them.
pub(crate) const SENDING_AE: u32 = 0x0002_0017;
/// Receiving Application Entity Title.
pub(crate) const RECEIVING_AE: u32 = 0x0002_0018;

/// The two ends of an association.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sender {
    /// AE title of who sends.
    pub calling: String,
    /// AE title under which this archive was called.
    pub called: String,
}

impl Sender {
    /// Notes who sent an object, if that is known.
    fn stamp(sender: Option<&Self>, object: &mut Object) {
        if let Some(Self { calling, called }) = sender {
            object.attributes.set(SENDING_AE, calling.clone());
            object.attributes.set(RECEIVING_AE, called.clone());
        }
    }
}

/// What is amiss with an object that was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Inadmissible {
    /// It belongs to another study.
    #[error("the object belongs to another study")]
    OtherStudy,
    /// It is another instance, or of another class, than was said.
    #[error("the object is another instance, or of another class, than was said")]
    OtherInstance,
    /// A study, series or SOP Instance UID is missing.
    #[error("a study, series or SOP Instance UID is missing")]
    MissingUid,
}

impl Admission {
    fn check(&self, object: &Object, identity: &Identity) -> std::result::Result<(), Inadmissible> {
        let missing = Flags::NO_STUDY_UID | Flags::NO_SERIES_UID | Flags::NO_SOP_UID;
        if self.uids_required && object.flags.bits() & missing.bits() != 0 {
            return Err(Inadmissible::MissingUid);
        }
        let is_other = |said: &Option<String>, found: &str| {
            said.as_deref().is_some_and(|said| cairn_dicom::uid::usable(said) != found)
        };
        if self.study_uid.as_deref().is_some_and(|uid| uid != identity.study_uid) {
            return Err(Inadmissible::OtherStudy);
        }
        if is_other(&self.sop_class_uid, &identity.sop_class_uid)
            || is_other(&self.sop_instance_uid, &identity.sop_instance_uid)
        {
            return Err(Inadmissible::OtherInstance);
        }
        Ok(())
    }
}

/// An object to be taken in.
pub struct Incoming<'a> {
    /// What has been read of it already.
    pub early: Option<&'a mut Early>,
    /// Its bytes, or those that follow.
    pub reader: &'a mut (dyn Read + Send),
    /// Its length, if known; a hint only.
    pub bytes: Option<u64>,
    /// How it came.
    pub source: Source,
    /// In which form.
    pub arrival: Arrival,
    /// On what terms.
    pub admission: Admission,
}

/// The most that is read before a buffer is asked for.
const FIRST_READ_BYTES: usize = 8 << 10;

/// Plain bytes of chunks that make one job for rayon.
const JOB_BYTES: usize = 1 << 20;

pub(super) fn receive(
    pipeline: &Arc<Pipeline>,
    messages: &SyncSender<Message>,
    incoming: Incoming<'_>,
    ack: Ack,
) -> Result<()> {
    let Incoming { mut early, reader, bytes, source, arrival, admission } = incoming;
    pipeline.spool.arrived();
    let ack = match &mut early {
        Some(early) => match receive_early(pipeline, early, (source, &arrival, &admission), ack)? {
            None => return Ok(()),
            Some(ack) => ack,
        },
        None => ack,
    };
    let whole = early.as_deref().filter(|early| early.is_whole());
    let bytes = bytes.or(whole.map(|early| early.bytes().len() as u64));
    let mut reader = early.as_deref().map_or(&[][..], Early::bytes).chain(reader);
    let mut input = Input { reader: &mut reader, window: Bytes::new(), at: 0, ended: false };
    let hint = bytes.map_or(FIRST_BUFFER_BYTES, |bytes| bytes.min(SLAB_BYTES as u64) as usize);
    // One byte more, so that the end is seen with the first buffer.
    pipeline.time(Stage::Read, || input.fill(pipeline, hint.saturating_add(1)))?;
    let framing = framing(&arrival, &input.window, input.ended)?;
    let mut splitter = Splitter::new(framing);
    let mut boundaries = Vec::new();
    pipeline
        .time(Stage::Split, || splitter.advance(&input.window, 0, input.ended, &mut boundaries))?;
    Counters::add(&pipeline.counters.objects, 1);
    if input.ended {
        Counters::add(&pipeline.counters.bytes_in, input.window.len() as u64);
        let whole = Whole::of(splitter, boundaries, &input.window);
        let terms = (source, arrival, admission);
        return receive_whole(pipeline, messages, whole, &input.window, terms, ack);
    }
    Stream {
        pipeline,
        splitter,
        assembly: Assembly::new(Arc::clone(pipeline), messages.clone(), None),
        cuts: Cuts::new(boundaries),
        hasher: blake3::Hasher::new(),
        dataset_bytes: 0,
        envelope: Some(Vec::new()),
        admission,
    }
    .run(input, source, ack)
}

/// The part of the stream that is in memory.
struct Input<'a> {
    reader: &'a mut (dyn Read + Send),
    window: Bytes,
    /// Offset of the window in the object.
    at: u64,
    ended: bool,
}

impl Input<'_> {
    /// Reads on into a buffer of `want` bytes, which begins with what is left of the window.
    fn fill(&mut self, pipeline: &Pipeline, want: usize) -> Result<()> {
        // Whoever waits for memory must not hold any, or all could wait for each other.
        let left = self.window.to_vec();
        self.window = Bytes::new();
        // Nor may whoever waits for a sender hold more than what that sender sent: a few that stand
        // still would keep all others from being served.
        let mut kept = Charge::new(&pipeline.pool);
        kept.add(left.len());
        let mut first = [0; FIRST_READ_BYTES];
        let most = want.saturating_sub(left.len()).clamp(1, FIRST_READ_BYTES);
        let got = self.read(&mut first[..most])?;
        drop(kept);
        let want = want.max(left.len() + got);
        let mut buffer = pipeline.pool.acquire(want);
        buffer[..left.len()].copy_from_slice(&left);
        let mut end = left.len() + got;
        buffer[left.len()..end].copy_from_slice(&first[..got]);
        let room = buffer.len().min(want);
        while end < room && !self.ended {
            end += self.read(&mut buffer[end..room])?;
        }
        self.window = buffer.freeze().slice(..end);
        Ok(())
    }

    /// What comes next, once there is some; nothing only at the end.
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        loop {
            match self.reader.read(into) {
                Ok(got) => {
                    self.ended = got == 0;
                    return Ok(got);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Source(error)),
            }
        }
    }
}

/// Turns spans into chunks as far as both are known.
struct Cuts {
    ahead: VecDeque<Boundary>,
    cutter: Cutter,
    /// Next byte of the object to be cut.
    at: u64,
}

impl Cuts {
    fn new(boundaries: Vec<Boundary>) -> Self {
        Self { ahead: boundaries.into(), cutter: Cutter::new(SpanKind::Opaque), at: 0 }
    }

    /// The next chunk: its kind and its end in the object.
    fn next(
        &mut self,
        window: &[u8],
        window_at: u64,
        settled: u64,
        ended: bool,
    ) -> Option<(SpanKind, u64)> {
        while let Some(boundary) = self.ahead.front().filter(|boundary| boundary.at <= self.at) {
            self.cutter = Cutter::new(boundary.kind);
            self.ahead.pop_front();
        }
        let known = self.ahead.front().map(|boundary| boundary.at);
        let end = known.unwrap_or(settled).min(settled);
        let complete = known.is_some_and(|known| known <= settled) || ended;
        let bytes = window.get((self.at - window_at) as usize..(end - window_at) as usize)?;
        let length = self.cutter.next(bytes, complete)?;
        self.at += length as u64;
        Some((self.cutter.kind(), self.at))
    }
}

/// How the bytes of an object are to be read; `ended`: there are no more than these.
pub(super) fn framing(arrival: &Arrival, bytes: &[u8], ended: bool) -> Result<Framing> {
    match arrival {
        Arrival::Dataset { transfer_syntax } => {
            Ok(Framing::Dataset { transfer_syntax: transfer_syntax.clone() })
        }
        Arrival::File => {
            let head = &bytes[..bytes.len().min(PROBE_BYTES)];
            Ok(probe(head, ended && head.len() == bytes.len())?)
        }
    }
}

/// An object that fits into one buffer, all of which has been seen: its name is known before any chunk
/// is looked at.
struct Whole<'a> {
    bytes: &'a [u8],
    boundaries: Vec<Boundary>,
    object: Object,
    /// Where the data set starts.
    start: usize,
    dataset_hash: DatasetHash,
    identity: Identity,
}

impl<'a> Whole<'a> {
    fn of(splitter: Splitter, boundaries: Vec<Boundary>, bytes: &'a [u8]) -> Self {
        let object = splitter.finish();
        let start = (object.envelope_bytes as usize).min(bytes.len());
        let dataset_hash = DatasetHash::of(&bytes[start..]);
        let identity = object.identity(&dataset_hash.0);
        Self { bytes, boundaries, object, start, dataset_hash, identity }
    }

    /// A data set of which all is known already.
    fn of_known(known: Known, bytes: &'a [u8]) -> Self {
        let Known { splitter, boundaries, dataset_hash } = known;
        let object = splitter.finish();
        let identity = object.identity(&dataset_hash.0);
        Self { bytes, boundaries, object, start: 0, dataset_hash, identity }
    }

    /// Is this the very same object?
    fn is(&self, version: &VersionRow) -> bool {
        version.dataset_hash == self.dataset_hash
            && version.transfer_syntax_uid == self.identity.transfer_syntax_uid
            && version.sop_class_uid == self.identity.sop_class_uid
    }

    /// What is here by its name, deleted versions included.
    fn versions(&self, pipeline: &Pipeline) -> Result<Vec<VersionRow>> {
        let Identity { study_uid, series_uid, sop_instance_uid, .. } = &self.identity;
        pipeline.shared.catalog.versions(study_uid, series_uid, sop_instance_uid)
    }

    /// The version that is this very object and this archive's own, if one is here. What is only
    /// entrusted becomes its own by this: the writer sees to it.
    fn duplicate(&self, known: Vec<VersionRow>, source: Source) -> Option<VersionRow> {
        let is_own = |version: &VersionRow| source == Source::Entrusted || !version.entrusted;
        let same = |version: &VersionRow| !version.deleted && self.is(version) && is_own(version);
        known.into_iter().find(same)
    }

    /// Answers for an object that is here.
    fn answer(&self, pipeline: &Pipeline, version: VersionRow, ack: Ack) {
        Counters::add(&pipeline.counters.duplicate_bytes, self.bytes.len() as u64);
        Counters::add(&pipeline.counters.acknowledged, 1);
        ack.answer(Ok(duplicate(version, self.object.flags)));
    }

    /// The receipt if it is the first by its name.
    fn receipt(&self) -> Receipt {
        Receipt {
            study_uid: self.identity.study_uid.clone(),
            series_uid: self.identity.series_uid.clone(),
            sop_instance_uid: self.identity.sop_instance_uid.clone(),
            outcome: Outcome::New,
            visible: true,
            flags: self.object.flags,
            dataset_bytes: (self.bytes.len() - self.start) as u64,
        }
    }
}

/// A duplicate costs one hash and one look into the catalog. What is new is spooled if it may be; all
/// else is cut, and its fate is the writer's to decide.
fn receive_whole(
    pipeline: &Arc<Pipeline>,
    messages: &SyncSender<Message>,
    mut whole: Whole<'_>,
    bytes: &Bytes,
    (source, arrival, admission): (Source, Arrival, Admission),
    ack: Ack,
) -> Result<()> {
    admission.check(&whole.object, &whole.identity)?;
    let name = Name::of(&whole.identity);
    let spools = pipeline.spool.takes(&pipeline.config, source, whole.bytes.len());
    let alone = if spools { pipeline.in_flight.alone(&name) } else { None };
    let (reservation, ack, known) = match alone {
        None => {
            let reservation = pipeline.join(&name, || {})?;
            (reservation, ack, whole.versions(pipeline)?)
        }
        Some(reservation) => {
            let known = whole.versions(pipeline)?;
            if known.is_empty() {
                let candidate = Candidate {
                    object: whole.bytes,
                    boundaries: &whole.boundaries,
                    packing: &mut Packing::default(),
                    dataset_hash: whole.dataset_hash.0,
                    source,
                    arrival,
                    sender: admission.sender.clone(),
                };
                let receipt = whole.receipt();
                let owed = Owed { reservation, study: Arc::clone(&name.study), ack, receipt };
                match pipeline.spool.append(pipeline, candidate, owed)? {
                    None => return Ok(()),
                    Some(Owed { reservation, ack, .. }) => (reservation.into_shared(), ack, known),
                }
            } else {
                (reservation.into_shared(), ack, known)
            }
        }
    };
    let ack = ack.holding(reservation);
    if let Some(version) = whole.duplicate(known, source) {
        whole.answer(pipeline, version, ack);
        return Ok(());
    }
    Sender::stamp(admission.sender.as_ref(), &mut whole.object);
    cut(pipeline, messages, whole, bytes, (source, now_ms(), None), ack);
    Ok(())
}

/// Takes an object in of which everything was read and known before, if it is a duplicate or can be
/// spooled; otherwise gives the answer that is owed back.
fn receive_early(
    pipeline: &Arc<Pipeline>,
    early: &mut Early,
    (source, arrival, admission): (Source, &Arrival, &Admission),
    ack: Ack,
) -> Result<Option<Ack>> {
    if !pipeline.spool.takes(&pipeline.config, source, early.bytes().len()) {
        return Ok(Some(ack));
    }
    let Some(known) = early.known() else { return Ok(Some(ack)) };
    let mut whole = Whole::of_known(known, &[]);
    admission.check(&whole.object, &whole.identity)?;
    let name = Name::of(&whole.identity);
    let Some(reservation) = pipeline.in_flight.alone(&name) else { return Ok(Some(ack)) };
    let known = whole.versions(pipeline)?;
    let is_resent = !known.is_empty();
    let (bytes, packing) = early.parts(is_resent);
    whole.bytes = bytes;
    let ack = if is_resent {
        let Some(version) = whole.duplicate(known, source) else { return Ok(Some(ack)) };
        whole.answer(pipeline, version, ack.holding(reservation));
        None
    } else {
        let candidate = Candidate {
            object: bytes,
            boundaries: &whole.boundaries,
            packing,
            dataset_hash: whole.dataset_hash.0,
            source,
            arrival: arrival.clone(),
            sender: admission.sender.clone(),
        };
        let receipt = whole.receipt();
        let owed = Owed { reservation, study: Arc::clone(&name.study), ack, receipt };
        pipeline.spool.append(pipeline, candidate, owed)?.map(|owed| owed.ack)
    };
    if ack.is_none() {
        Counters::add(&pipeline.counters.objects, 1);
        Counters::add(&pipeline.counters.bytes_in, bytes.len() as u64);
    }
    Ok(ack)
}

/// An object out of the spool.
pub(super) struct Again {
    /// As it was received.
    pub(super) object: Bytes,
    /// Stored id of the hash of its data set, as it was worked out then.
    pub(super) id: StoredId,
    pub(super) source: Source,
    pub(super) received_ms: u64,
    pub(super) arrival: Arrival,
    /// Who sent it.
    pub(super) sender: Option<Sender>,
}

/// Takes an object in that was acknowledged before. Its name is reserved, so nothing came between.
pub(super) fn receive_again(
    pipeline: &Arc<Pipeline>,
    messages: &SyncSender<Message>,
    again: Again,
    ack: Ack,
) -> Result<()> {
    let Again { object: bytes, id, source, received_ms, arrival, sender } = again;
    let mut splitter = Splitter::new(framing(&arrival, &bytes, true)?);
    let mut boundaries = Vec::new();
    pipeline.time(Stage::Split, || splitter.advance(&bytes, 0, true, &mut boundaries))?;
    let mut whole = Whole::of(splitter, boundaries, &bytes);
    // What is coded now is what was hashed when it was acknowledged.
    if pipeline.shared.site.stored_id(&ChunkId(whole.dataset_hash.0)) != id {
        return Err(Error::Spooled);
    }
    // It was committed, and the process ended before it left the spool. If it was deleted since, it
    // must not come back.
    let known = whole.versions(pipeline)?;
    if let Some(version) = known.into_iter().find(|it| whole.is(it) && !it.entrusted) {
        ack.answer(Ok(duplicate(version, whole.object.flags)));
        return Ok(());
    }
    Sender::stamp(sender.as_ref(), &mut whole.object);
    // From here on nothing keeps it from the writer.
    let turn = pipeline.turns.fetch_add(1, Ordering::Relaxed);
    cut(pipeline, messages, whole, &bytes, (source, received_ms, Some(turn)), ack);
    Ok(())
}

/// Cuts an object and sends its chunks on their way.
fn cut(
    pipeline: &Arc<Pipeline>,
    messages: &SyncSender<Message>,
    whole: Whole<'_>,
    bytes: &Bytes,
    (source, received_ms, turn): (Source, u64, Option<u64>),
    ack: Ack,
) {
    let Whole { boundaries, object, start, dataset_hash, identity, .. } = whole;
    let group = Group {
        study: identity.study_uid.as_str().into(),
        series: identity.series_uid.as_str().into(),
    };
    let assembly = Assembly::new(Arc::clone(pipeline), messages.clone(), Some(group));
    let inline = start <= ENVELOPE_INLINE_BYTES_MAX;
    let mut cuts = Cuts::new(boundaries);
    let mut job = Vec::new();
    let mut from = 0;
    let total = bytes.len() as u64;
    while let Some((kind, to)) = cuts.next(bytes, 0, total, true) {
        let chunk = bytes.slice(from as usize..to as usize);
        from = to;
        if kind == SpanKind::Envelope && inline {
            continue;
        }
        job.push(Cut { place: assembly.expect(kind, chunk.len()), bytes: chunk, kind });
        if job.iter().map(|cut: &Cut| cut.bytes.len()).sum::<usize>() >= JOB_BYTES {
            dispatch(&assembly, std::mem::take(&mut job));
        }
    }
    dispatch(&assembly, job);
    pipeline.submitted.fetch_add(1, Ordering::SeqCst);
    assembly.end(Ending {
        envelope: inline.then(|| bytes[..start].to_vec()),
        dataset_bytes: total - start as u64,
        object,
        identity,
        dataset_hash,
        source,
        received_ms,
        turn,
        ack: ack.owed(),
    });
}

/// The receipt of an instance that is here already, bit for bit.
fn duplicate(version: VersionRow, flags: Flags) -> Receipt {
    Receipt {
        study_uid: version.study_uid,
        series_uid: version.series_uid,
        sop_instance_uid: version.sop_instance_uid,
        outcome: Outcome::Duplicate,
        visible: version.visible,
        flags,
        dataset_bytes: version.dataset_bytes,
    }
}

/// An object that passes through several buffers.
struct Stream<'a> {
    pipeline: &'a Arc<Pipeline>,
    splitter: Splitter,
    assembly: Arc<Assembly>,
    cuts: Cuts,
    hasher: blake3::Hasher,
    dataset_bytes: u64,
    /// The envelope so far, while it is short enough to stay in the manifest.
    envelope: Option<Vec<u8>>,
    admission: Admission,
}

impl Stream<'_> {
    fn run(mut self, mut input: Input<'_>, source: Source, ack: Ack) -> Result<()> {
        let mut boundaries = Vec::new();
        loop {
            let length = self.cut(&input);
            input.at += length as u64;
            input.window = input.window.slice(length..);
            if input.ended && input.window.is_empty() {
                break;
            }
            if length == 0 && (input.ended || input.window.len() >= SLAB_BYTES) {
                return Err(Error::Internal("the cutter does not move"));
            }
            self.pipeline.check()?;
            self.pipeline.time(Stage::Read, || input.fill(self.pipeline, SLAB_BYTES))?;
            self.pipeline.time(Stage::Split, || {
                self.splitter.advance(&input.window, input.at, input.ended, &mut boundaries)
            })?;
            self.cuts.ahead.extend(boundaries.drain(..));
        }
        Counters::add(&self.pipeline.counters.bytes_in, input.at);
        let mut object = self.splitter.finish();
        let dataset_hash = DatasetHash(*self.hasher.finalize().as_bytes());
        let identity = object.identity(&dataset_hash.0);
        self.admission.check(&object, &identity)?;
        Sender::stamp(self.admission.sender.as_ref(), &mut object);
        // What is spooled by the same name may be the same object, and need chunks that this one claimed.
        let reservation = self.pipeline.join(&Name::of(&identity), || self.assembly.let_go())?;
        let ack = ack.holding(reservation);
        self.pipeline.submitted.fetch_add(1, Ordering::SeqCst);
        self.assembly.end(Ending {
            envelope: self.envelope,
            dataset_bytes: self.dataset_bytes,
            object,
            identity,
            dataset_hash,
            source,
            received_ms: now_ms(),
            turn: None,
            ack: ack.owed(),
        });
        Ok(())
    }

    /// Cuts what can be cut; returns how many bytes of the window are done with.
    fn cut(&mut self, input: &Input<'_>) -> usize {
        let settled = self.splitter.settled();
        let mut job = Vec::new();
        let mut job_bytes = 0;
        let mut from = self.cuts.at;
        while let Some((kind, to)) = self.cuts.next(&input.window, input.at, settled, input.ended) {
            let range = (from - input.at) as usize..(to - input.at) as usize;
            from = to;
            let bytes = input.window.slice(range);
            if kind == SpanKind::Envelope {
                if self.keep_envelope(&bytes) {
                    continue;
                }
            } else {
                self.hasher.update(&bytes);
                self.dataset_bytes += bytes.len() as u64;
            }
            job_bytes += bytes.len();
            job.push(Cut { place: self.assembly.expect(kind, bytes.len()), bytes, kind });
            if job_bytes >= JOB_BYTES {
                dispatch(&self.assembly, std::mem::take(&mut job));
                job_bytes = 0;
            }
        }
        dispatch(&self.assembly, job);
        (from - input.at) as usize
    }

    /// An envelope of one short chunk stays inline; any other becomes chunks. The cutter gives a
    /// short span as one chunk, so the first chunk decides.
    fn keep_envelope(&mut self, bytes: &Bytes) -> bool {
        match &mut self.envelope {
            Some(kept) if kept.is_empty() && bytes.len() <= ENVELOPE_INLINE_BYTES_MAX => {
                kept.extend_from_slice(bytes);
                true
            }
            _ => {
                self.envelope = None;
                false
            }
        }
    }
}
