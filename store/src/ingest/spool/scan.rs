//! What an earlier run left in a segment.
//!
//! Each record is read and checked. A segment that is complete ends with a record that says so, and was
//! synced with it before the next one was begun. In the last one, what stands behind the last sound
//! record, and was not known to be durable, was never synced and never acknowledged: half a record, or
//! what an earlier use of the file left. It is passed over. Anything else that cannot be read may have
//! been acknowledged, and is told.

use super::head::HEAD_BYTES;
use super::record::{Header, Kind};
use super::segment::SegmentReader;
use crate::limits::SPOOL_BLOCK_BYTES;

/// A record that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) offset: u64,
    /// Length on the disk.
    pub(super) bytes: u64,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) records: Vec<Found>,
    /// Where something stands that cannot be read and may have been acknowledged.
    pub(super) damaged: Vec<u64>,
    /// Where something begins that was never acknowledged.
    pub(super) torn: Option<u64>,
}

/// What stands somewhere.
enum Place {
    Sound(Header),
    /// A record of this use, which is not what was written.
    Broken(Header),
    /// Nothing of this use.
    Other,
}

/// Reads a segment; `is_last`: none was begun after it. `buffer` has room for any record.
pub(super) fn scan(
    reader: &SegmentReader,
    is_last: bool,
    buffer: &mut [u8],
) -> std::io::Result<Scanned> {
    let length = reader.bytes()?;
    if reader.is_headless() {
        return Ok(without_head(reader, length));
    }
    let mut found = Scanned::default();
    let mut amiss = Vec::new();
    if !reader.has_heads() {
        amiss.push(0);
    }
    // A segment is synced before the next one is begun.
    let mut durable = if is_last { 0 } else { length };
    let mut end = 0;
    let mut at = HEAD_BYTES as u64;
    while at < length {
        match place(reader, at, buffer) {
            Place::Sound(header) => {
                durable = durable.max(header.durable_bytes);
                end = at + header.record_bytes();
                if header.kind == Kind::End {
                    // It is complete, and what is behind is not of this use.
                    break;
                }
                found.records.push(Found { offset: at, bytes: header.record_bytes() });
                at = end;
            }
            Place::Broken(header) => {
                // What it says of those before it was written with it.
                durable = durable.max(header.durable_bytes);
                amiss.push(at);
                at += header.record_bytes();
            }
            Place::Other => {
                amiss.push(at);
                at = next(reader, at, length);
            }
        }
    }
    let is_torn = |from: &&u64| **from >= durable && **from >= end;
    found.torn = amiss.iter().find(is_torn).copied();
    found.damaged = amiss.iter().filter(|from| !is_torn(from)).copied().collect();
    Ok(found)
}

/// Reads and checks what stands at a place.
fn place(reader: &SegmentReader, at: u64, buffer: &mut [u8]) -> Place {
    let Ok(header) = reader.header(at) else { return Place::Other };
    let read = match header.kind {
        Kind::Object | Kind::Packed => reader.object(at, &header, buffer).map(drop),
        Kind::End => reader.payload(at, &header, buffer).map(drop),
    };
    match read {
        Ok(()) => Place::Sound(header),
        Err(_) => Place::Broken(header),
    }
}

/// Where the next record of this use starts behind `from`; `length` if there is none.
fn next(reader: &SegmentReader, from: u64, length: u64) -> u64 {
    let behind = (from + SPOOL_BLOCK_BYTES..length).step_by(SPOOL_BLOCK_BYTES as usize);
    // A bad sector is no reason to give up: what lies behind it may be sound.
    behind.into_iter().find(|at| reader.header(*at).is_ok()).unwrap_or(length)
}

/// Without its head nothing in a segment can be read, nor told from what an earlier use left. Only a
/// file that holds no record at all was never synced.
fn without_head(reader: &SegmentReader, length: u64) -> Scanned {
    let mut places = (0..length).step_by(SPOOL_BLOCK_BYTES as usize);
    if places.any(|at| reader.any_header(at).is_ok()) {
        return Scanned { damaged: vec![0], ..Scanned::default() };
    }
    Scanned { torn: Some(0), ..Scanned::default() }
}
