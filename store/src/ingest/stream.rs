//! Objects longer than a buffer: cut while they come, named when they are whole.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use cairn_chunker::id::DatasetHash;
use cairn_chunker::limits::ENVELOPE_INLINE_BYTES_MAX;
use cairn_chunker::span::SpanKind;
use cairn_dicom::split::Splitter;

use super::admission::{Admission, Sender};
use super::assembly::{Assembly, Ending};
use super::cuts::{Cuts, JOB_BYTES};
use super::encode::{Cut, dispatch};
use super::in_flight::Name;
use super::message::Ack;
use super::receive::Input;
use super::{Counters, Pipeline, Stage, now_ms};
use crate::commit::Source;
use crate::error::{Error, Result};
use crate::limits::SLAB_BYTES;

/// An object that passes through several buffers.
pub(super) struct Stream<'a> {
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

impl<'a> Stream<'a> {
    /// Of an object whose first buffer was split, and of which nothing is cut.
    pub(super) fn new(
        pipeline: &'a Arc<Pipeline>,
        splitter: Splitter,
        assembly: Arc<Assembly>,
        cuts: Cuts,
        admission: Admission,
    ) -> Self {
        Self {
            pipeline,
            splitter,
            assembly,
            cuts,
            hasher: blake3::Hasher::new(),
            dataset_bytes: 0,
            envelope: Some(Vec::new()),
            admission,
        }
    }

    /// Takes it in to its end.
    pub(super) fn run(mut self, mut input: Input<'_>, source: Source, ack: Ack) -> Result<()> {
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
