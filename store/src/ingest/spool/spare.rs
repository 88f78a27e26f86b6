//! Segments that are done with and wait to be written over.
//!
//! The first write into a block that a file just got makes a file system write down that the block now
//! counts, and a sync has to wait for that as well. A block that was written before needs no such note.
//! So a segment of which everything is in the archive is kept, up to a bound, for a later use:
//!
//! ```text
//! N.spool ──rename──▶ N.spare ──head wiped──▶ … ──new head, synced──▶ N.spare ──rename──▶ M.spool
//!        everything in it is committed                            names are durable at each step
//! ```
//! Invariants:
//! - A spare's content is needed by nobody, before anything of it is written over.
//! - With its head goes the seed of its key: nobody can read what an earlier use left, and nothing of it
//!   can be taken for a record of a later one.
//! - Where nothing is encrypted nothing is kept, since it would stay readable.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::head::HEAD_BYTES;
use super::{Spool, State};
use crate::error::{Error, Result};
use crate::ingest::{Pipeline, lock};
use crate::limits::{
    SPOOL_FREE_BYTES_MIN, SPOOL_SEGMENT_BYTES_MAX, SPOOL_SPARE_BYTES, SPOOL_SPARES_MAX,
};
use crate::store::Shared;

/// A file to be written over.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) path: PathBuf,
    /// Length of the file.
    pub(super) bytes: u64,
}

/// What may be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// All of them together.
    bytes_max: u64,
    /// Shorter ones are not worth it.
    bytes_min: u64,
}

impl Bounds {
    pub(super) fn new(spool_bytes: u64, segment_bytes: u64) -> Self {
        // Half of the spool at least is for what waits.
        Self { bytes_max: SPOOL_SPARE_BYTES.min(spool_bytes / 2), bytes_min: segment_bytes / 2 }
    }

    /// May any be kept?
    pub(super) fn are_any(self) -> bool {
        self.bytes_max > 0
    }

    /// May another one of this length be kept?
    pub(super) fn admit(self, kept: &[Spare], bytes: u64) -> bool {
        let sum: u64 = kept.iter().map(|spare| spare.bytes).sum();
        kept.len() < SPOOL_SPARES_MAX
            && (self.bytes_min..=SPOOL_SEGMENT_BYTES_MAX).contains(&bytes)
            && sum + bytes <= self.bytes_max
    }
}

impl Spool {
    /// Keeps a segment, if it may be kept. Everything in it is committed, and it is not appended to.
    pub(super) fn keep(
        &self,
        pipeline: &Pipeline,
        no: u64,
        path: &Path,
        bytes: u64,
    ) -> Result<bool> {
        let shared = &pipeline.shared;
        let admitted = self.bounds.admit(&lock(&self.state).spares, bytes);
        if !admitted || !shared.encrypt || self.is_disk_short(shared) {
            return Ok(false);
        }
        let spare = shared.layout.spool_spare(no);
        // Its old name is gone for good before anything in it is touched.
        shared.disk.rename(path, &spare).map_err(Error::io("rename", path))?;
        wipe(shared, &spare)?;
        lock(&self.state).spares.push(Spare { path: spare, bytes });
        Ok(true)
    }

    /// Gives spares back where the disk is short of room: others need it more.
    pub(super) fn give_back(&self, shared: &Shared) -> Result<()> {
        if lock(&self.state).spares.is_empty() || !self.is_disk_short(shared) {
            return Ok(());
        }
        let spares = std::mem::take(&mut lock(&self.state).spares);
        tracing::info!(count = spares.len(), "spare files of the spool are removed to make room");
        spares.iter().try_for_each(|spare| remove(shared, &spare.path))
    }

    fn is_disk_short(&self, shared: &Shared) -> bool {
        // Where nobody can tell, the disk itself tells.
        let free = shared.disk.free_bytes(&shared.layout.spool()).unwrap_or(u64::MAX);
        free < SPOOL_FREE_BYTES_MIN + self.segment_bytes
    }
}

impl State {
    /// Takes over the spares of an earlier run.
    pub(super) fn adopt(
        &mut self,
        shared: &Shared,
        found: &[PathBuf],
        bounds: Bounds,
    ) -> Result<()> {
        for path in found {
            let bytes = std::fs::metadata(path).map_err(Error::io("look at", path))?.len();
            if shared.encrypt && bounds.admit(&self.spares, bytes) {
                // The run may have ended between the two steps.
                if !is_wiped(path).map_err(Error::io("read", path))? {
                    wipe(shared, path)?;
                }
                self.spares.push(Spare { path: path.clone(), bytes });
            } else {
                remove(shared, path)?;
            }
        }
        Ok(())
    }
}

fn is_wiped(path: &Path) -> std::io::Result<bool> {
    let mut head = [0; HEAD_BYTES];
    File::open(path)?.read_exact_at(&mut head, 0)?;
    Ok(head.iter().all(|byte| *byte == 0))
}

fn wipe(shared: &Shared, path: &Path) -> Result<()> {
    let wiped = shared.disk.open_over(path).and_then(|mut file| {
        file.append(&[0; HEAD_BYTES])?;
        file.syncer()?.sync()
    });
    wiped.map_err(Error::io("write over", path))
}

pub(super) fn remove(shared: &Shared, path: &Path) -> Result<()> {
    match shared.disk.remove(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_in_number_and_length() {
        let spare = |bytes| Spare { path: PathBuf::new(), bytes };
        let whole = 64 << 20;
        let bounds = Bounds::new(1 << 30, whole);
        assert!(bounds.admit(&[], whole));
        assert!(!bounds.admit(&[], whole / 2 - 1), "too short");
        assert!(!bounds.admit(&[], SPOOL_SEGMENT_BYTES_MAX + 1), "not ours");
        let most: Vec<_> = (0..8).map(|_| spare(whole)).collect();
        assert!(bounds.admit(&most[1..], whole));
        assert!(!bounds.admit(&most, whole), "512 MiB");
        let short: Vec<_> = (0..8).map(|_| spare(whole / 2)).collect();
        assert!(!bounds.admit(&short, whole / 2), "eight");
        assert!(!bounds.admit(&[spare(whole), spare(3 * whole)], 5 * whole));
        // A spool that is switched off keeps none.
        assert!(!Bounds::new(0, 1 << 20).admit(&[], 1 << 20));
    }
}
