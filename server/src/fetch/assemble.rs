//! An instance is read as it arrived at its owner, from chunks that were fetched and chunks that are here.
//!
//! The bytes go through the same door as everything else: split, cut and named anew. That its data set
//! has the registered hash is known at its last byte; if it has not, the read fails there, and what
//! was read becomes nothing.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use cairn_chunker::id::ChunkId;
use cairn_chunker::manifest::{ChunkRef, Envelope, Manifest};
use cairn_store::ingest::Arrival;
use cairn_store::read::Reader;

use super::stage::Staged;

/// See the [module](self).
pub(super) struct Instance {
    manifest: Arc<Manifest>,
    staged: HashMap<ChunkId, Staged>,
    reader: Arc<Reader>,
    /// Bytes to be read next.
    now: Bytes,
    /// The next chunk: those of the envelope come first.
    next: usize,
    envelope_chunks: usize,
    hasher: blake3::Hasher,
}

impl Instance {
    pub(super) fn new(
        manifest: Arc<Manifest>,
        staged: HashMap<ChunkId, Staged>,
        reader: &Arc<Reader>,
    ) -> Self {
        let (now, envelope_chunks) = match &manifest.envelope {
            Envelope::Absent => (Bytes::new(), 0),
            Envelope::Inline(bytes) => (Bytes::copy_from_slice(bytes), 0),
            Envelope::Chunked(chunks) => (Bytes::new(), chunks.len()),
        };
        let (reader, hasher) = (Arc::clone(reader), blake3::Hasher::new());
        Self { manifest, staged, reader, now, next: 0, envelope_chunks, hasher }
    }

    /// In which form it arrives.
    pub(super) fn arrival(&self) -> Arrival {
        match self.manifest.envelope {
            Envelope::Absent => {
                let transfer_syntax = self.manifest.transfer_syntax_uid.clone();
                Arrival::Dataset { transfer_syntax }
            }
            Envelope::Inline(_) | Envelope::Chunked(_) => Arrival::File,
        }
    }

    /// The length of all of it.
    pub(super) fn bytes(&self) -> u64 {
        let envelope = match &self.manifest.envelope {
            Envelope::Absent => 0,
            Envelope::Inline(bytes) => bytes.len() as u64,
            Envelope::Chunked(chunks) => chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum(),
        };
        envelope + self.manifest.dataset_bytes
    }

    fn chunk(&self, chunk: &ChunkRef) -> io::Result<Bytes> {
        let bytes = match self.staged.get(&chunk.id) {
            Some(staged) => {
                let bytes = staged.read()?;
                // It lay on a disk since it was checked.
                if ChunkId::of(&bytes) != chunk.id {
                    return Err(fault("a chunk changed while it was kept"));
                }
                bytes
            }
            None => self.reader.chunk(&chunk.id).map_err(io::Error::other)?,
        };
        if bytes.len() == chunk.bytes as usize { Ok(bytes) } else { Err(fault(OTHER_LENGTH)) }
    }

    /// Goes on to the next chunk; false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        let Some(chunk) = self.manifest.all_chunks().nth(self.next).copied() else {
            let whole = self.hasher.finalize();
            let right = *whole.as_bytes() == self.manifest.dataset_hash.0;
            return if right { Ok(false) } else { Err(fault(OTHER_HASH)) };
        };
        self.now = self.chunk(&chunk)?;
        if self.next >= self.envelope_chunks {
            self.hasher.update(&self.now);
        }
        self.next += 1;
        Ok(true)
    }
}

const OTHER_LENGTH: &str = "a chunk has another length than its manifest says";
/// What is said where a data set is not the one that was registered.
pub(super) const OTHER_HASH: &str = "a data set does not have the hash that was registered";

fn fault(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Read for Instance {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            if !self.advance()? {
                return Ok(0);
            }
        }
        let bytes = out.len().min(self.now.len());
        out[..bytes].copy_from_slice(&self.now[..bytes]);
        self.now.advance(bytes);
        Ok(bytes)
    }
}
