//! From a stream of bytes to chunks on their way.
//!
//! Runs on the caller's thread. The stream is read into pooled buffers; the splitter says where spans
//! start, the cutter where chunks end; each chunk is a slice of its buffer. What is left over at the
//! end of a full buffer, at most one chunk, is laid aside and moves to the start of the next.

use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use bytes::Bytes;
use cairn_dicom::probe::{Framing, PROBE_BYTES, probe};
use cairn_dicom::split::Splitter;

use super::admission::Admission;
use super::assembly::Assembly;
use super::buffer::Charge;
use super::cuts::Cuts;
use super::early::Early;
use super::message::{Ack, Message};
use super::stream::Stream;
use super::whole::{Whole, receive_early, receive_whole};
use super::{Counters, Pipeline, Stage};
use crate::commit::Source;
use crate::error::{Error, Result};
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

pub(super) fn receive(
    pipeline: &Arc<Pipeline>,
    messages: &SyncSender<Message>,
    incoming: Incoming<'_>,
    ack: Ack,
) -> Result<()> {
    let Incoming { mut early, reader, bytes, source, arrival, admission } = incoming;
    pipeline.spool.arrived();
    let terms = (source, arrival, admission);
    let ack = match &mut early {
        Some(early) => match receive_early(pipeline, early, &terms, ack)? {
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
    let framing = framing(&terms.1, &input.window, input.ended)?;
    let mut splitter = Splitter::new(framing);
    let mut boundaries = Vec::new();
    pipeline
        .time(Stage::Split, || splitter.advance(&input.window, 0, input.ended, &mut boundaries))?;
    Counters::add(&pipeline.counters.objects, 1);
    if input.ended {
        Counters::add(&pipeline.counters.bytes_in, input.window.len() as u64);
        let whole = Whole::of(splitter, boundaries, &input.window);
        return receive_whole(pipeline, messages, whole, &input.window, terms, ack);
    }
    let (source, _, admission) = terms;
    let assembly = Assembly::new(Arc::clone(pipeline), messages.clone(), None);
    Stream::new(pipeline, splitter, assembly, Cuts::new(boundaries), admission)
        .run(input, source, ack)
}

/// The part of the stream that is in memory.
pub(super) struct Input<'a> {
    reader: &'a mut (dyn Read + Send),
    pub(super) window: Bytes,
    /// Offset of the window in the object.
    pub(super) at: u64,
    pub(super) ended: bool,
}

impl Input<'_> {
    /// Reads on into a buffer of `want` bytes, which begins with what is left of the window.
    pub(super) fn fill(&mut self, pipeline: &Pipeline, want: usize) -> Result<()> {
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
