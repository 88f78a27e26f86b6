//! Parts of an instance: byte ranges of its data set, frames, and the data set as a source to read from.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cairn_chunker::frames::Frames;
use cairn_chunker::manifest::Manifest;
use cairn_dicom::source::Source;

use super::Reader;
use crate::error::{Error, Result};

/// The pieces of a range of a data set, in order, each read when it is asked for.
#[derive(Debug)]
pub struct Pieces {
    reader: Arc<Reader>,
    manifest: Arc<Manifest>,
    /// The chunk that holds `at`, and where it starts.
    index: usize,
    chunk_at: u64,
    at: u64,
    end: u64,
}

impl Iterator for Pieces {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let chunk = *self.manifest.chunks.get(self.index)?;
        let bytes = match self.reader.served_chunk(&chunk) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.at = self.end; // nothing may follow a gap
                return Some(Err(error));
            }
        };
        let from = (self.at - self.chunk_at) as usize;
        let to = (self.end - self.chunk_at).min(bytes.len() as u64) as usize;
        self.chunk_at += bytes.len() as u64;
        self.at = self.chunk_at.min(self.end);
        self.index += 1;
        Some(Ok(bytes.slice(from..to)))
    }
}

/// Where in the list of chunks an offset lies: index, and where that chunk starts.
fn chunk_at(manifest: &Manifest, offset: u64) -> (usize, u64) {
    let mut start = 0;
    for (index, chunk) in manifest.chunks.iter().enumerate() {
        let end = start + u64::from(chunk.bytes);
        if offset < end {
            return (index, start);
        }
        start = end;
    }
    (manifest.chunks.len(), start)
}

impl Reader {
    /// The bytes `range` of an instance's data set, cut off at its end.
    #[must_use]
    pub fn range(self: &Arc<Self>, manifest: &Arc<Manifest>, range: Range<u64>) -> Pieces {
        let (index, start) = chunk_at(manifest, range.start);
        Pieces {
            reader: Arc::clone(self),
            manifest: Arc::clone(manifest),
            index,
            chunk_at: start,
            at: range.start,
            end: range.end.min(manifest.dataset_bytes),
        }
    }

    /// Frame `index`, from 0, as it lies in the data set: native samples, or fragments with their item
    /// headers ([`Frames`]). In one piece; copied only where it spans several chunks.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such frame.
    pub fn frame(self: &Arc<Self>, manifest: &Arc<Manifest>, index: u64) -> Result<Bytes> {
        let missing = || Error::NotFound { what: "frame", name: (index + 1).to_string() };
        let range = manifest.frames.range(index).ok_or_else(missing)?;
        let expected = range.end - range.start;
        let mut pieces = self.range(manifest, range);
        let first = pieces.next().ok_or_else(missing)??;
        if first.len() as u64 == expected {
            return Ok(first);
        }
        let mut whole = Vec::with_capacity(expected.min(manifest.dataset_bytes) as usize);
        whole.extend_from_slice(&first);
        for piece in pieces {
            whole.extend_from_slice(&piece?);
        }
        if whole.len() as u64 == expected { Ok(whole.into()) } else { Err(missing()) }
    }

    /// The data set, to be read here and there.
    #[must_use]
    pub fn source(self: &Arc<Self>, manifest: &Arc<Manifest>) -> DatasetSource {
        DatasetSource {
            reader: Arc::clone(self),
            manifest: Arc::clone(manifest),
            index: 0,
            chunk_at: 0,
            held: None,
            fault: None,
        }
    }
}

/// An instance's data set as something to read from. Keeps the chunk that was read last.
#[derive(Debug)]
pub struct DatasetSource {
    reader: Arc<Reader>,
    manifest: Arc<Manifest>,
    index: usize,
    chunk_at: u64,
    held: Option<(usize, Bytes)>,
    fault: Option<Error>,
}

impl DatasetSource {
    /// What made a read fail: the error of [`Source::read`] only says that one did.
    pub fn fault(&mut self, error: io::Error) -> Error {
        self.fault.take().unwrap_or(Error::Source(error))
    }

    /// Goes to the chunk that holds `at`; chunks are mostly read in order.
    fn seek(&mut self, at: u64) {
        if at < self.chunk_at {
            (self.index, self.chunk_at) = chunk_at(&self.manifest, at);
        }
        while let Some(chunk) = self.manifest.chunks.get(self.index) {
            let end = self.chunk_at + u64::from(chunk.bytes);
            if at < end {
                break;
            }
            self.index += 1;
            self.chunk_at = end;
        }
    }
}

impl Source for DatasetSource {
    fn read(&mut self, at: u64, most: usize) -> io::Result<Bytes> {
        self.seek(at);
        let Some(chunk) = self.manifest.chunks.get(self.index).copied() else {
            return Ok(Bytes::new());
        };
        let bytes = match &self.held {
            Some((index, bytes)) if *index == self.index => bytes.clone(),
            _ => match self.reader.served_chunk(&chunk) {
                Ok(bytes) => bytes,
                Err(error) => {
                    let kind = io::ErrorKind::InvalidData;
                    let told = io::Error::new(kind, "a chunk could not be read");
                    self.fault = Some(error);
                    return Err(told);
                }
            },
        };
        self.held = Some((self.index, bytes.clone()));
        let from = (at - self.chunk_at) as usize;
        Ok(bytes.slice(from..from.saturating_add(most).min(bytes.len())))
    }

    fn len(&self) -> u64 {
        self.manifest.dataset_bytes
    }

    fn fragments_end(&self) -> Option<u64> {
        match &self.manifest.frames {
            Frames::Encapsulated { end, .. } => Some(*end),
            Frames::None | Frames::Native { .. } => None,
        }
    }
}
