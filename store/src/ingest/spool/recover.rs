//! What an earlier run left in the spool, as work for the drainer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::head::HEAD_BYTES;
use super::scan::{self, Scanned};
use super::segment::SegmentReader;
use super::spare::Bounds;
use super::{Segment, State, Waiting, tell_damage, weight};
use crate::error::{Error, Result};
use crate::ingest::buffer::Pool;
use crate::layout::{SpoolFile, segment_of};
use crate::limits::{SLAB_BYTES, SPOOL_SEGMENT_BYTES_MAX};
use crate::store::Shared;

/// Does a run that ended leave anything in the spool?
pub(crate) fn is_left(shared: &Shared) -> Result<bool> {
    Ok(files(shared)?.iter().any(|(_, kind, _)| *kind == SpoolFile::Segment))
}

/// Bytes of records in the spool, of this process or another one.
pub(crate) fn spooled_bytes(shared: &Shared) -> u64 {
    // A file may go while it is looked at.
    let length = |path: &PathBuf| std::fs::metadata(path).map_or(0, |found| found.len());
    let all = files(shared).unwrap_or_default();
    let left = all.iter().filter(|(_, kind, _)| *kind == SpoolFile::Segment);
    left.map(|(_, _, path)| length(path).saturating_sub(HEAD_BYTES as u64)).sum()
}

/// The files of the spool by number, and what each is.
fn files(shared: &Shared) -> Result<Vec<(u64, SpoolFile, PathBuf)>> {
    let directory = shared.layout.spool();
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        other => other.map_err(Error::io("list", &directory))?,
    };
    for entry in entries {
        let path = entry.map_err(Error::io("list", &directory))?.path();
        found.extend(segment_of(&path).map(|(no, kind)| (no, kind, path)));
    }
    found.sort();
    Ok(found)
}

impl State {
    /// Takes over what is on the disk. Returns the number of the next segment, and that of the last
    /// record.
    pub(super) fn recover(
        &mut self,
        shared: &Shared,
        memory: &Arc<Pool>,
        bounds: Bounds,
    ) -> Result<(u64, u64)> {
        let all = files(shared)?;
        let next_segment = all.last().map_or(1, |(no, ..)| no + 1);
        let of = |kind: SpoolFile| {
            let of_kind = all.iter().filter(move |(_, found, _)| *found == kind);
            of_kind.map(|(no, _, path)| (*no, path.clone()))
        };
        let left: Vec<_> = of(SpoolFile::Segment).collect();
        let newest = left.last().map(|(no, _)| *no);
        let now = Instant::now();
        let mut last = 0;
        for (no, path) in left {
            let reader =
                SegmentReader::open(shared, no, &path).map_err(Error::io("open", &path))?;
            refuse(shared, &reader, &path)?;
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
                    "what stands behind the last object in the spool was never acknowledged"
                );
            }
            let segment = Segment {
                path,
                bytes,
                left: scanned.records.len(),
                open: false,
                damaged: !scanned.damaged.is_empty(),
                torn: scanned.torn.is_some(),
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
        if bounds.are_any() || self.segments.is_empty() {
            let spares: Vec<_> = of(SpoolFile::Spare).map(|(_, path)| path).collect();
            self.adopt(shared, &spares, bounds)?;
        }
        if last > 0 {
            tracing::info!(objects = last, "objects that were received are taken into the archive");
        }
        Ok((next_segment, last))
    }
}

/// A segment in which nothing could be read, though nothing of it is damaged, stops everything.
fn refuse(shared: &Shared, reader: &SegmentReader, path: &Path) -> Result<()> {
    let path = path.to_owned();
    if reader.is_of_another_key(shared) {
        let why = "this segment of the spool was written under another site key; open the archive \
                   with that one until the spool is empty";
        return Err(Error::Key { path, why: why.into() });
    }
    if reader.is_version_1() {
        let why = "this segment of the spool has format 1, which no release wrote; open the archive \
                   with the build that wrote it until the spool is empty";
        return Err(Error::Segment { path, why });
    }
    Ok(())
}
