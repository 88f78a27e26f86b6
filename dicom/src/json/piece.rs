//! Runs of bytes that are at hand, or that lie in the source.

use std::io;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::value::swap;
use crate::limits::READ_BYTES;
use crate::source::Source;

/// A run of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// At hand.
    Bytes(Bytes),
    /// In the data set that was read.
    Stored {
        /// Where.
        range: Range<u64>,
        /// Bytes of one number, whose order is to be turned around; 1 if nothing is.
        unit: usize,
    },
}

impl Piece {
    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Stored { range, .. } => range.end.saturating_sub(range.start),
        }
    }

    /// Is there nothing?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the next bytes off the front, as many as the source gives cheaply: the way to stream a piece
    /// in constant memory. Nothing at its end.
    ///
    /// # Errors
    /// Those of the source, or that it ends too early.
    pub fn next(&mut self, source: &mut dyn Source) -> io::Result<Option<Bytes>> {
        if self.is_empty() {
            return Ok(None);
        }
        match self {
            Self::Bytes(bytes) => Ok(Some(std::mem::take(bytes))),
            Self::Stored { range, unit } => {
                let left = range.end - range.start;
                let most = usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES);
                let mut bytes = source.read(range.start, most)?;
                if bytes.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                if *unit > 1 {
                    bytes = turned(&bytes, range, *unit, source)?;
                }
                range.start += bytes.len() as u64;
                Ok(Some(bytes))
            }
        }
    }

    /// The part of the piece from `start` to `end`, which is inside of it. Cuts are never inside a number.
    pub(super) fn part(&self, start: u64, end: u64) -> Self {
        match self {
            Self::Bytes(bytes) => {
                let end = (end as usize).min(bytes.len());
                Self::Bytes(bytes.slice((start as usize).min(end)..end))
            }
            Self::Stored { range, unit } => {
                Self::Stored { range: range.start + start..range.start + end, unit: *unit }
            }
        }
    }
}

/// `bytes` from the start of `range`, with whole numbers only and those turned around.
fn turned(
    bytes: &Bytes,
    range: &Range<u64>,
    unit: usize,
    source: &mut dyn Source,
) -> io::Result<Bytes> {
    let left = range.end - range.start;
    let mut turned = BytesMut::from(bytes.as_ref());
    while turned.len() < unit && (turned.len() as u64) < left {
        let at = range.start + turned.len() as u64;
        let missing = unit.min(left as usize) - turned.len();
        let more = source.read(at, missing)?;
        if more.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        turned.extend_from_slice(&more);
    }
    if (turned.len() as u64) < left {
        turned.truncate(turned.len() / unit * unit);
    }
    swap(&mut turned, unit);
    Ok(turned.freeze())
}
