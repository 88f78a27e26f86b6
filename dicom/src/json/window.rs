//! The part of a source that is at hand.

use std::io;

use bytes::{Bytes, BytesMut};

use crate::limits::READ_BYTES;
use crate::source::Source;

/// Reads a source in pieces, mostly forwards, and gives out runs of bytes without copying them unless
/// they pass over the end of what the source gave.
pub(super) struct Window<'s> {
    source: &'s mut dyn Source,
    chunk: Bytes,
    chunk_at: u64,
    /// Length of the data set.
    pub(super) length: u64,
}

impl<'s> Window<'s> {
    pub(super) fn new(source: &'s mut dyn Source) -> Self {
        let length = source.len();
        Self { source, chunk: Bytes::new(), chunk_at: 0, length }
    }

    pub(super) fn fragments_end(&self) -> Option<u64> {
        self.source.fragments_end()
    }

    /// At least `least` bytes from `at`, fewer only at the end of the data set; up to `most` if they are
    /// at hand anyway.
    #[inline]
    pub(super) fn some(&mut self, at: u64, least: usize, most: usize) -> io::Result<&[u8]> {
        let start = at.wrapping_sub(self.chunk_at);
        if start.saturating_add(least as u64) > self.chunk.len() as u64 {
            let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(least);
            self.fetch(at, least.min(left))?;
        }
        let start = (at - self.chunk_at) as usize;
        let end = start.saturating_add(most).min(self.chunk.len());
        Ok(self.chunk.get(start..end).unwrap_or_default())
    }

    /// `length` bytes from `at`, fewer only at the end of the data set.
    pub(super) fn get(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        self.some(at, length, length)
    }

    /// Makes `least` bytes from `at` the start of the chunk. They are inside the data set.
    fn fetch(&mut self, at: u64, least: usize) -> io::Result<()> {
        let mut chunk = Bytes::new();
        if at >= self.chunk_at && at < self.chunk_at + self.chunk.len() as u64 {
            chunk = self.chunk.slice((at - self.chunk_at) as usize..);
        }
        if chunk.is_empty() && least > 0 {
            chunk = self.source.read(at, READ_BYTES.max(least))?;
        }
        if chunk.len() < least {
            let mut joined = BytesMut::from(chunk.as_ref());
            while joined.len() < least {
                let missing = least - joined.len();
                let more = self.source.read(at + joined.len() as u64, READ_BYTES.max(missing))?;
                if more.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                joined.extend_from_slice(&more);
            }
            chunk = joined.freeze();
        }
        self.chunk = chunk;
        self.chunk_at = at;
        Ok(())
    }
}
