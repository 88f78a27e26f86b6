//! Objects that were read to their end before anything is decided.
//!
//! A duplicate costs one hash and one look into the catalog. What is new is spooled if it may be; all
//! else is cut, and its fate is the writer's to decide.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;

use bytes::Bytes;
use cairn_chunker::id::{ChunkId, DatasetHash};
use cairn_chunker::limits::ENVELOPE_INLINE_BYTES_MAX;
use cairn_chunker::span::{Boundary, SpanKind};
use cairn_dicom::flags::Flags;
use cairn_dicom::object::{Identity, Object};
use cairn_dicom::split::Splitter;

use super::admission::{Admission, Sender};
use super::assembly::{Assembly, Ending};
use super::cuts::{Cuts, JOB_BYTES};
use super::early::{Early, Known};
use super::encode::{Cut, dispatch};
use super::in_flight::{Name, Reservation};
use super::message::{Ack, Group, Message, Receipt};
use super::receive::{Arrival, framing};
use super::spool::{Candidate, Owed, Packing};
use super::{Counters, Pipeline, Stage, now_ms};
use crate::catalog::VersionRow;
use crate::commit::{Outcome, Source};
use crate::error::{Error, Result};
use crate::keys::StoredId;

/// An object that fits into one buffer, all of which has been seen: its name is known before any chunk
/// is looked at.
pub(super) struct Whole<'a> {
    bytes: &'a [u8],
    boundaries: Vec<Boundary>,
    object: Object,
    /// Where the data set starts.
    start: usize,
    dataset_hash: DatasetHash,
    identity: Identity,
}

impl<'a> Whole<'a> {
    pub(super) fn of(splitter: Splitter, boundaries: Vec<Boundary>, bytes: &'a [u8]) -> Self {
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

    /// Spools it, being the first and alone by its name; gives back what is owed if it may not be.
    fn spool(
        &self,
        pipeline: &Arc<Pipeline>,
        packing: &mut Packing,
        (source, arrival, admission): &Terms,
        (reservation, name, ack): (Reservation, &Name, Ack),
    ) -> Result<Option<(Reservation, Ack)>> {
        let candidate = Candidate {
            object: self.bytes,
            boundaries: &self.boundaries,
            packing,
            dataset_hash: self.dataset_hash.0,
            source: *source,
            arrival: arrival.clone(),
            sender: admission.sender.clone(),
        };
        let study = Arc::clone(&name.study);
        let owed = Owed { reservation, study, ack, receipt: self.receipt() };
        let left = pipeline.spool.append(pipeline, candidate, owed)?;
        Ok(left.map(|Owed { reservation, ack, .. }| (reservation, ack)))
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

/// How an object came, and on what terms.
pub(super) type Terms = (Source, Arrival, Admission);

/// Takes an object in all of which is in `bytes`.
pub(super) fn receive_whole(
    pipeline: &Arc<Pipeline>,
    messages: &SyncSender<Message>,
    mut whole: Whole<'_>,
    bytes: &Bytes,
    terms: Terms,
    ack: Ack,
) -> Result<()> {
    let (source, _, admission) = &terms;
    admission.check(&whole.object, &whole.identity)?;
    let name = Name::of(&whole.identity);
    let spools = pipeline.spool.takes(&pipeline.config, *source, whole.bytes.len());
    let alone = if spools { pipeline.in_flight.alone(&name) } else { None };
    let (reservation, ack, known) = match alone {
        None => {
            let reservation = pipeline.join(&name, || {})?;
            (reservation, ack, whole.versions(pipeline)?)
        }
        Some(reservation) => {
            let known = whole.versions(pipeline)?;
            let left = if known.is_empty() {
                let owed = (reservation, &name, ack);
                whole.spool(pipeline, &mut Packing::default(), &terms, owed)?
            } else {
                Some((reservation, ack))
            };
            let Some((reservation, ack)) = left else { return Ok(()) };
            (reservation.into_shared(), ack, known)
        }
    };
    let ack = ack.holding(reservation);
    let (source, _, admission) = terms;
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
pub(super) fn receive_early(
    pipeline: &Arc<Pipeline>,
    early: &mut Early,
    terms: &Terms,
    ack: Ack,
) -> Result<Option<Ack>> {
    let (source, _, admission) = terms;
    if !pipeline.spool.takes(&pipeline.config, *source, early.bytes().len()) {
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
        let Some(version) = whole.duplicate(known, *source) else { return Ok(Some(ack)) };
        whole.answer(pipeline, version, ack.holding(reservation));
        None
    } else {
        whole.spool(pipeline, packing, terms, (reservation, &name, ack))?.map(|(_, ack)| ack)
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
