//! What an earlier run left in a segment.
//!
//! Each record is read and checked. What stands behind the last sound record, at the end of the last
//! segment, was never synced and never acknowledged: it is passed over. Anything else that cannot be
//! read may have been acknowledged, and is told.

use super::record::{HEADER_BYTES, Header};
use super::segment::{SEGMENT_HEADER_BYTES, SegmentReader, Unreadable};
use crate::layout::SPOOLED_MAGIC;

/// What is read at once where the next record is looked for.
const WINDOW_BYTES: usize = 1 << 20;

/// How much is passed over where the disk gives nothing.
const SECTOR_BYTES: u64 = 4096;

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
    /// Where the tail begins that was never acknowledged.
    pub(super) torn: Option<u64>,
}

/// Reads a segment; `is_last`: none was begun after it. `buffer` has room for any record.
pub(super) fn scan(
    reader: &SegmentReader,
    is_last: bool,
    buffer: &mut [u8],
) -> std::io::Result<Scanned> {
    let length = reader.bytes()?;
    let mut found = Scanned::default();
    let mut amiss = Vec::new();
    // A segment is synced before the next one is begun.
    let mut durable = if is_last { 0 } else { length };
    let mut at = SEGMENT_HEADER_BYTES as u64;
    if !reader.has_header() {
        amiss.push(0);
        at = next(reader, 0, length, buffer);
    }
    while at < length {
        match read(reader, at, buffer) {
            Ok(header) => {
                durable = durable.max(header.durable_bytes);
                found.records.push(Found { offset: at, bytes: header.record_bytes() });
                at += header.record_bytes();
            }
            Err(skip) => {
                amiss.push(at);
                at = match skip {
                    Some(bytes) => at + bytes,
                    None => next(reader, at + 1, length, buffer),
                };
            }
        }
    }
    let end = found.records.last().map_or(0, |last| last.offset + last.bytes);
    match amiss[..] {
        [from] if from >= durable && from >= end => found.torn = Some(from),
        _ => found.damaged = amiss,
    }
    Ok(found)
}

/// Reads and checks one record. Otherwise: its length, if its header can be trusted.
fn read(reader: &SegmentReader, at: u64, buffer: &mut [u8]) -> Result<Header, Option<u64>> {
    let header = reader.header(at).map_err(|_: Unreadable| None)?;
    match reader.payload(at, &header, buffer) {
        Ok(_) => Ok(header),
        Err(_) => Err(Some(header.record_bytes())),
    }
}

/// Where the next sound record starts from `from` on; `length` if there is none.
fn next(reader: &SegmentReader, mut from: u64, length: u64, buffer: &mut [u8]) -> u64 {
    let mut window = vec![0; WINDOW_BYTES];
    while from + HEADER_BYTES as u64 <= length {
        let Ok(got) = reader.read_at(&mut window, from) else {
            // A bad sector: what lies behind it may be sound.
            from += SECTOR_BYTES;
            continue;
        };
        let bytes = &window[..got];
        for place in places(bytes) {
            let at = from + place as u64;
            if read(reader, at, buffer).is_ok() {
                return at;
            }
        }
        // The windows overlap by what a magic number may be cut to.
        let step = got.saturating_sub(SPOOLED_MAGIC.len() - 1).max(1);
        from += step as u64;
    }
    length
}

fn places(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let windows = bytes.windows(SPOOLED_MAGIC.len()).enumerate();
    windows.filter(|(_, window)| **window == SPOOLED_MAGIC).map(|(place, _)| place)
}
