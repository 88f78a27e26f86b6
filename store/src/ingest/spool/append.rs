//! Appending to the spool: is there room, and in which segment.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use cairn_chunker::id::ChunkId;
use cairn_chunker::span::Boundary;

use super::head::HEAD_BYTES;
use super::record::{Description, Kind, record_bytes};
use super::segment::{OpenSegment, Spooling};
use super::{Log, Mark, Packing, Segment, Spool, Syncer, Waiting, weight};
use crate::commit::Source;
use crate::error::{Error, Result};
use crate::ingest::in_flight::Reservation;
use crate::ingest::message::{Ack, Receipt};
use crate::ingest::{Arrival, Pipeline, Sender, Stage, lock, now_ms};
use crate::limits::SPOOL_FREE_BYTES_MIN;

/// An object that may be spooled.
pub(in crate::ingest) struct Candidate<'a> {
    pub(in crate::ingest) object: &'a [u8],
    /// Where its spans start.
    pub(in crate::ingest) boundaries: &'a [Boundary],
    /// What is packed of it already.
    pub(in crate::ingest) packing: &'a mut Packing,
    pub(in crate::ingest) dataset_hash: [u8; 32],
    pub(in crate::ingest) source: Source,
    pub(in crate::ingest) arrival: Arrival,
    pub(in crate::ingest) sender: Option<Sender>,
}

/// The answer that goes with it.
pub(in crate::ingest) struct Owed {
    pub(in crate::ingest) reservation: Reservation,
    pub(in crate::ingest) study: Arc<str>,
    pub(in crate::ingest) ack: Ack,
    pub(in crate::ingest) receipt: Receipt,
}

impl Spool {
    /// Appends an object; its answer follows the next [`Self::sync`]. Gives the answer back if there is
    /// no room for it.
    pub(in crate::ingest) fn append(
        &self,
        pipeline: &Pipeline,
        candidate: Candidate<'_>,
        owed: Owed,
    ) -> Result<Option<Owed>> {
        let Candidate { object, boundaries, packing, dataset_hash, .. } = candidate;
        let Candidate { source, arrival, sender, .. } = candidate;
        let description = Description { source, received_ms: now_ms(), arrival, sender };
        let Some(description) = description.encode() else { return Ok(Some(owed)) };
        // Not under the lock: senders do it beside each other.
        let how = self.packs(pipeline);
        let packed = pipeline.time(Stage::Encode, || packing.finish(object, boundaries, how));
        let (kind, object) = match &packed {
            Some(packed) => (Kind::Packed, packed.as_slice()),
            None => (Kind::Object, object),
        };
        let bytes = record_bytes(description.len() + object.len());
        let id = pipeline.shared.site.stored_id(&ChunkId(dataset_hash));
        let mut log = lock(&self.log);
        if !self.has_room(pipeline, &mut log, bytes)? || !self.ready(pipeline, &mut log, bytes)? {
            return Ok(Some(owed));
        }
        let durable = lock(&self.state).durable.bytes;
        let no = log.last + 1;
        let record = Spooling { kind, no, id, description: &description, object };
        let open = log.open.as_mut().ok_or(Error::Internal("no segment is open"))?;
        let append = || open.append(&pipeline.shared, &record, durable);
        let placed = pipeline.time(Stage::Spool, append);
        let Some(offset) = placed.map_err(|error| pipeline.stop(error))? else {
            return Ok(Some(owed));
        };
        let (segment, end) = (open.no(), open.bytes());
        log.last = no;
        self.appended(Mark { no, bytes: end }, segment, (offset, bytes), owed);
        Ok(None)
    }

    /// Notes a record that was appended.
    fn appended(&self, mark: Mark, segment: u64, (offset, bytes): (u64, u64), owed: Owed) {
        let Owed { reservation, study, ack, receipt } = owed;
        let no = mark.no;
        let now = Instant::now();
        // Before anybody can be told of it, so that whoever is told finds it pending.
        self.pending.fetch_add(1, Ordering::SeqCst);
        let mut state = lock(&self.state);
        if let Some(known) = state.segments.get_mut(&segment) {
            known.bytes = known.bytes.max(mark.bytes);
            known.left += 1;
        }
        state.pending.insert(no, now);
        state.by_study.entry(Arc::clone(&study)).or_default().insert(no);
        let held = Some((study, reservation));
        state.waiting.push_back(Waiting { no, segment, offset, bytes, held });
        state.backlog += bytes;
        state.weight += weight(bytes);
        state.appended = mark;
        if state.owed.is_empty() {
            state.owed_since = now;
        }
        state.owed.push_back((no, ack.owed(), receipt));
    }

    /// May so many bytes be added, by all bounds but that of the disk itself?
    fn has_room(&self, pipeline: &Pipeline, log: &mut Log, bytes: u64) -> Result<bool> {
        let (disk_bytes, grows, weighs, is_spent) = {
            let state = lock(&self.state);
            let open = log.open.as_ref();
            let known = open.and_then(|open| state.segments.get(&open.no()));
            let is_spent = known.is_some_and(|segment| segment.left == 0);
            let grows = match open.filter(|open| self.fits(open, bytes)) {
                Some(open) => {
                    let end = open.bytes() + bytes;
                    end.saturating_sub(known.map_or(0, |segment| segment.bytes))
                }
                // Another one is begun.
                None => (bytes + HEAD_BYTES as u64)
                    .saturating_sub(state.spares.last().map_or(0, |spare| spare.bytes)),
            };
            let disk_bytes = state.disk_bytes() + state.spare_bytes();
            (disk_bytes, grows, state.weight + weight(bytes), is_spent)
        };
        let is_full = disk_bytes + grows > self.bytes_max;
        if is_full && is_spent {
            // It takes room for what is in the archive.
            self.close(pipeline, log)?;
        }
        let waits = pipeline.waiting_bytes.load(Ordering::SeqCst) + disk_bytes + grows;
        Ok(!is_full && weighs <= self.bytes_max && waits <= pipeline.config.journal_bytes_max)
    }

    /// Does a segment take a record of this length?
    fn fits(&self, open: &OpenSegment, bytes: u64) -> bool {
        open.is_empty() || open.bytes() + bytes <= self.segment_bytes
    }

    /// Makes sure that a segment is open which takes a record of this length.
    fn ready(&self, pipeline: &Pipeline, log: &mut Log, bytes: u64) -> Result<bool> {
        if log.open.as_ref().is_some_and(|open| self.fits(open, bytes)) {
            return Ok(true);
        }
        self.close(pipeline, log)?;
        let shared = &pipeline.shared;
        // Where nobody can tell, the disk itself tells.
        let free = shared.disk.free_bytes(&shared.layout.spool()).unwrap_or(u64::MAX);
        let spare = {
            let mut state = lock(&self.state);
            let laid = state.spares.last().map_or(0, |spare| spare.bytes);
            let wants = SPOOL_FREE_BYTES_MIN + self.segment_bytes.saturating_sub(laid);
            if free < wants || state.segments.values().any(|segment| segment.torn) {
                return Ok(false);
            }
            state.spares.pop()
        };
        let no = log.next_segment;
        let begun = match &spare {
            Some(spare) => OpenSegment::create_over(shared, no, now_ms(), &spare.path),
            None => OpenSegment::create(shared, no, now_ms()),
        };
        let Some((open, sync)) = begun.map_err(|e| pipeline.stop(e))? else { return Ok(false) };
        log.next_segment += 1;
        let path = open.path().to_owned();
        let bytes = spare.map_or(0, |spare| spare.bytes).max(open.bytes());
        *lock(&self.syncer) = Some(Syncer { sync, path: path.clone() });
        let mut state = lock(&self.state);
        state.appended.bytes = open.bytes();
        state.durable.bytes = 0;
        let segment = Segment { path, bytes, left: 0, open: true, damaged: false, torn: false };
        state.segments.insert(no, segment);
        drop(state);
        log.open = Some(open);
        Ok(true)
    }

    /// Syncs the open segment with its end, and appends to it no more.
    pub(super) fn close(&self, pipeline: &Pipeline, log: &mut Log) -> Result<()> {
        let Some(open) = &mut log.open else { return Ok(()) };
        self.sync(pipeline)?;
        open.end(&pipeline.shared, log.last).map_err(|error| pipeline.stop(error))?;
        if let Some(Syncer { sync, path }) = lock(&self.syncer).take() {
            let synced = sync.sync().map_err(Error::io("sync", &path));
            synced.map_err(|error| pipeline.stop(error))?;
        }
        if let Some(segment) = lock(&self.state).segments.get_mut(&open.no()) {
            segment.bytes = segment.bytes.max(open.bytes());
            segment.open = false;
        }
        log.open = None;
        self.work.notify_one();
        Ok(())
    }
}
