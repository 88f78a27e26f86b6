//! The beginning of an object, worked on while its sender still sends.
//!
//! Who sends one object after the other, and waits for each answer, waits for all that is done after
//! the last byte. Splitting, hashing and packing need not be: the bytes that are here are worked on
//! while others are on the wire. An object that is longer than what is read early, or that may not be
//! spooled, takes the way of all others, and what was done for it early is done again.
//!
//! Memory of the store is not asked for: who stands still must not keep others waiting.

use std::io::{self, Read};

use cairn_chunker::id::DatasetHash;
use cairn_chunker::span::Boundary;
use cairn_dicom::split::Splitter;

use super::receive::framing;
use super::spool::Packing;
use super::{Arrival, Pipeline, Stage};

/// The most that is read of an object. Most slices are whole within this.
pub const EARLY_BYTES_MAX: usize = 1 << 20;
/// What is read at first; twice as much each time it is full.
const FIRST_BYTES: usize = 64 << 10;
/// So much is worked on at once: hashing likes long runs, and an answer short ends.
const STEP_BYTES: usize = 64 << 10;

/// The beginning of an object. One of these serves an association, object after object, and keeps its
/// buffer of [`EARLY_BYTES_MAX`].
#[derive(Default)]
pub struct Early {
    /// Longer than what is in it.
    buffer: Vec<u8>,
    filled: usize,
    is_whole: bool,
    /// `None`: it cannot be read, and whoever reads it again will say why.
    work: Option<Work>,
    packing: Packing,
    /// The object before was here already; so may be this one, and would be packed for nothing.
    is_resent: bool,
}

/// What is known of it so far.
struct Work {
    splitter: Splitter,
    boundaries: Vec<Boundary>,
    hasher: blake3::Hasher,
    /// Bytes that are hashed.
    done: usize,
}

/// What is known of a whole object.
pub(super) struct Known {
    pub(super) splitter: Splitter,
    pub(super) boundaries: Vec<Boundary>,
    pub(super) dataset_hash: DatasetHash,
}

impl Early {
    /// What has been read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// Is that all of the object?
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Reads a data set to its end, or as far as is read early.
    pub(super) fn read(
        &mut self,
        pipeline: &Pipeline,
        arrival: &Arrival,
        reader: &mut dyn Read,
    ) -> io::Result<()> {
        self.begin(arrival);
        while self.filled < EARLY_BYTES_MAX {
            if self.filled == self.buffer.len() {
                let room = (2 * self.filled).clamp(FIRST_BYTES, EARLY_BYTES_MAX);
                self.buffer.resize(room, 0);
            }
            match reader.read(&mut self.buffer[self.filled..]) {
                Ok(0) => {
                    self.is_whole = true;
                    break;
                }
                Ok(got) => self.filled += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            self.work(pipeline, false);
        }
        if self.is_whole {
            self.work(pipeline, true);
        }
        Ok(())
    }

    fn begin(&mut self, arrival: &Arrival) {
        (self.filled, self.is_whole) = (0, false);
        self.packing.begin();
        // Where an envelope may come first, only the split tells where the data set starts.
        let framing = match arrival {
            Arrival::Dataset { .. } => framing(arrival, &[], false).ok(),
            Arrival::File => None,
        };
        self.work = framing.map(|framing| Work {
            splitter: Splitter::new(framing),
            boundaries: Vec::new(),
            hasher: blake3::Hasher::new(),
            done: 0,
        });
    }

    /// Works on what has come since the last time.
    fn work(&mut self, pipeline: &Pipeline, is_last: bool) {
        let Self { buffer, filled, work: Some(work), packing, is_resent, .. } = self else {
            return;
        };
        let bytes = &buffer[..*filled];
        if bytes.len() - work.done < STEP_BYTES && !is_last {
            return;
        }
        pipeline.spool.arrived();
        let Work { splitter, boundaries, hasher, done } = work;
        let split = pipeline.time(Stage::Split, || splitter.advance(bytes, 0, is_last, boundaries));
        pipeline.time(Stage::Hash, || hasher.update(&bytes[*done..]));
        *done = bytes.len();
        if split.is_err() {
            self.work = None;
        } else if !*is_resent && !is_last {
            let how = pipeline.spool.packs(pipeline);
            let settled = splitter.settled() as usize;
            pipeline.time(Stage::Encode, || packing.advance(bytes, boundaries, settled, how));
        }
    }

    /// All that is known of the object, if it is whole and can be read.
    pub(super) fn known(&mut self) -> Option<Known> {
        let Work { splitter, boundaries, hasher, .. } = self.work.take_if(|_| self.is_whole)?;
        let dataset_hash = DatasetHash(*hasher.finalize().as_bytes());
        Some(Known { splitter, boundaries, dataset_hash })
    }

    /// Its bytes and what is packed of them; whether something was here by its name is noted for the
    /// next one.
    pub(super) fn parts(&mut self, is_resent: bool) -> (&[u8], &mut Packing) {
        self.is_resent = is_resent;
        (&self.buffer[..self.filled], &mut self.packing)
    }
}
