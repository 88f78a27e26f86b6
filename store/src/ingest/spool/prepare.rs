//! Files for the spool, written full of zeros while nobody sends.
//!
//! An archive that never took anything in has no spares ([`super::spare`]), so its first study would pay
//! for new blocks with every sync. A file of zeros is as good a spare as one that was a segment: its head
//! is that of a wiped one. It bears a number of its own, and whatever a crash leaves of it is a spare, or
//! too short for one and removed by the next opening.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use super::spare::{Spare, remove};
use super::{Spool, lock};
use crate::disk::{DiskFile, DiskSync};
use crate::ingest::Pipeline;
use crate::limits::{SPOOL_PREPARE_FREE_BYTES_MIN, SPOOL_PREPARED_BYTES};
use crate::store::Shared;

/// Nothing is written until nobody sent anything for so long.
const QUIET: Duration = Duration::from_secs(2);
/// Written and synced at once: a sender who comes meanwhile waits for no more.
const STEP_BYTES: u64 = 2 << 20;

/// What the drainer prepares.
#[derive(Default)]
pub(super) struct Preparing {
    begun: Option<Begun>,
    /// It failed, or nothing is to be prepared at all.
    is_over: bool,
}

struct Begun {
    file: Box<dyn DiskFile>,
    syncer: Box<dyn DiskSync>,
    path: PathBuf,
    bytes: u64,
}

impl Preparing {
    /// Writes a little, if there is anything to be written and nobody is in its way. True: there is more.
    pub(super) fn step(&mut self, pipeline: &Pipeline) -> bool {
        let (spool, shared) = (&pipeline.spool, &*pipeline.shared);
        if self.is_over || !pipeline.config.prepare_spool || !shared.encrypt {
            return false;
        }
        if !spool.is_quiet(pipeline) || !spool.wants_prepared(self.begun.is_some()) {
            return false;
        }
        // Where nobody can tell, it is left alone.
        let free = shared.disk.free_bytes(&shared.layout.spool()).unwrap_or(0);
        let written = if free < SPOOL_PREPARE_FREE_BYTES_MIN {
            Err(ErrorKind::StorageFull.into())
        } else {
            self.write(spool, shared)
        };
        if let Err(error) = written {
            // Nothing depends on it, and who writes what does will meet the same error.
            tracing::info!(%error, "no files are prepared for the spool");
            self.give_up(spool, shared);
        }
        !self.is_over
    }

    fn write(&mut self, spool: &Spool, shared: &Shared) -> std::io::Result<()> {
        let begun = match &mut self.begun {
            Some(begun) => begun,
            none => none.insert(Begun::create(spool, shared)?),
        };
        let step = STEP_BYTES.min(spool.segment_bytes - begun.bytes);
        begun.file.append(&vec![0; step as usize])?;
        begun.syncer.sync()?;
        begun.bytes += step;
        let mut state = lock(&spool.state);
        state.prepared_bytes = begun.bytes;
        if begun.bytes >= spool.segment_bytes
            && let Some(Begun { path, bytes, .. }) = self.begun.take()
        {
            state.prepared_bytes = 0;
            state.spares.push(Spare { path, bytes });
        }
        Ok(())
    }

    fn give_up(&mut self, spool: &Spool, shared: &Shared) {
        self.is_over = true;
        lock(&spool.state).prepared_bytes = 0;
        if let Some(Begun { path, .. }) = self.begun.take()
            && let Err(error) = remove(shared, &path)
        {
            tracing::warn!(%error, "a file that was prepared for the spool stays until the next start");
        }
    }
}

impl Begun {
    fn create(spool: &Spool, shared: &Shared) -> std::io::Result<Self> {
        let no = {
            let mut log = lock(&spool.log);
            log.next_segment += 1;
            log.next_segment - 1
        };
        let path = shared.layout.spool_spare(no);
        let file = shared.disk.create(&path)?;
        let syncer = file.syncer()?;
        Ok(Self { file, syncer, path, bytes: 0 })
    }
}

impl Spool {
    /// Did nobody send anything for a while, and is all that came in the archive?
    fn is_quiet(&self, pipeline: &Pipeline) -> bool {
        self.is_settled() && self.quiet() >= QUIET && pipeline.check().is_ok()
    }

    /// Is there less than there should be? What a segment is written to comes back as a spare.
    fn wants_prepared(&self, is_begun: bool) -> bool {
        let state = lock(&self.state);
        let there = state.disk_bytes() + state.spare_bytes() - state.prepared_bytes;
        let enough = SPOOL_PREPARED_BYTES.min(self.bytes_max / 4);
        let is_room = self.bounds.admit(&state.spares, self.segment_bytes);
        !state.stopping && is_room && (is_begun || there + self.segment_bytes <= enough)
    }
}
