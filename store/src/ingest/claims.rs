//! Chunks on their way: who writes which, so that none is written twice.
//!
//! A chunk that is not in the catalog is claimed by whoever meets it first. The claim ends when the
//! catalog names the chunk; until then others who meet it depend on the claimant. A claim is never
//! given up: once made, its chunk reaches the journal or the whole ingest stops.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cairn_chunker::id::ChunkId;

const SHARDS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Being encoded, or on the way to the journal.
    Made,
    /// In the journal, or certain to stand there before the next commit.
    Placed,
}

#[derive(Debug)]
pub(super) struct Claims(Vec<Mutex<HashMap<ChunkId, Claim>>>);

impl Claims {
    pub(super) fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    fn shard(&self, id: &ChunkId) -> MutexGuard<'_, HashMap<ChunkId, Claim>> {
        let shard = &self.0[usize::from(id.0[0]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims a chunk; `false` if somebody has it already.
    pub(super) fn claim(&self, id: ChunkId) -> bool {
        let mut shard = self.shard(&id);
        let free = !shard.contains_key(&id);
        if free {
            shard.insert(id, Claim::Made);
        }
        free
    }

    pub(super) fn place(&self, id: ChunkId) {
        self.shard(&id).insert(id, Claim::Placed);
    }

    /// The catalog names it, or it was there before.
    pub(super) fn release(&self, id: &ChunkId) {
        self.shard(id).remove(id);
    }

    /// `None`: the catalog names it.
    pub(super) fn of(&self, id: &ChunkId) -> Option<Claim> {
        self.shard(id).get(id).copied()
    }
}
