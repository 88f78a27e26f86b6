//! What an earlier run left in the spool, as work for the drainer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::scan::{self, Scanned};
use super::segment::{SEGMENT_HEADER_BYTES, SegmentReader};
use super::{Segment, State, Waiting, tell_damage, weight};
use crate::error::{Error, Result};
use crate::ingest::buffer::Pool;
use crate::layout::segment_of;
use crate::limits::{SLAB_BYTES, SPOOL_SEGMENT_BYTES_MAX};
use crate::store::Shared;

/// Does a run that ended leave anything in the spool?
pub(crate) fn is_left(shared: &Shared) -> Result<bool> {
    Ok(segments(shared)?.iter().any(|(_, is_aside, _)| !is_aside))
}

/// Bytes of records in the spool, of this process or another one.
pub(crate) fn spooled_bytes(shared: &Shared) -> u64 {
    // A file may go while it is looked at.
    let length = |path: &PathBuf| std::fs::metadata(path).map_or(0, |found| found.len());
    let all = segments(shared).unwrap_or_default();
    let left = all.iter().filter(|(_, is_aside, _)| !is_aside);
    left.map(|(_, _, path)| length(path).saturating_sub(SEGMENT_HEADER_BYTES as u64)).sum()
}

/// Segments by number; with each, whether it was set aside.
fn segments(shared: &Shared) -> Result<Vec<(u64, bool, PathBuf)>> {
    let directory = shared.layout.spool();
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        other => other.map_err(Error::io("list", &directory))?,
    };
    for entry in entries {
        let path = entry.map_err(Error::io("list", &directory))?.path();
        found.extend(segment_of(&path).map(|(no, is_aside)| (no, is_aside, path)));
    }
    found.sort();
    Ok(found)
}

impl State {
    /// Takes over what is on the disk. Returns the number of the next segment, and that of the last
    /// record.
    pub(super) fn recover(&mut self, shared: &Shared, memory: &Arc<Pool>) -> Result<(u64, u64)> {
        let all = segments(shared)?;
        let next_segment = all.last().map_or(1, |(no, ..)| no + 1);
        let left: Vec<_> = all.into_iter().filter(|(_, is_aside, _)| !is_aside).collect();
        let newest = left.last().map(|(no, ..)| *no);
        let now = Instant::now();
        let mut last = 0;
        for (no, _, path) in left {
            let reader =
                SegmentReader::open(shared, no, &path).map_err(Error::io("open", &path))?;
            // Nothing in it could be read, and nothing of it is damaged.
            if reader.is_of_another_key(shared) {
                let why = "this segment of the spool was written under another site key; open the \
                           archive with that one until the spool is empty";
                return Err(Error::Key { path, why: why.into() });
            }
            let bytes = reader.bytes().map_err(Error::io("read", &path))?;
            let scanned = if bytes > SPOOL_SEGMENT_BYTES_MAX {
                Scanned { damaged: vec![0], ..Scanned::default() }
            } else {
                let mut buffer = memory.acquire(SLAB_BYTES);
                scan::scan(&reader, newest == Some(no), &mut buffer)
                    .map_err(Error::io("read", &path))?
            };
            for offset in &scanned.damaged {
                tell_damage(&path, *offset, "what may have been acknowledged cannot be read");
            }
            if let Some(offset) = scanned.torn {
                tracing::info!(
                    segment = %path.display(), offset,
                    "the end of the spool was never acknowledged and is cut off"
                );
            }
            let segment = Segment {
                path,
                bytes,
                left: scanned.records.len(),
                open: false,
                damaged: !scanned.damaged.is_empty(),
            };
            self.segments.insert(no, segment);
            for found in scanned.records {
                last += 1;
                self.pending.insert(last, now);
                self.backlog += found.bytes;
                self.weight += weight(found.bytes);
                self.waiting.push_back(Waiting {
                    no: last,
                    segment: no,
                    offset: found.offset,
                    bytes: found.bytes,
                    held: None,
                });
            }
        }
        self.appended.no = last;
        self.durable.no = last;
        if last > 0 {
            tracing::info!(objects = last, "objects that were received are taken into the archive");
        }
        Ok((next_segment, last))
    }
}
