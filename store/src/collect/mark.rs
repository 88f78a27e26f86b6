//! Which chunks are needed: those of every version that was not deleted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_chunker::id::ChunkId;

use super::live::Bits;
use super::{Live, Phase, Watch};
use crate::Store;
use crate::catalog::collection::ChunkNo;
use crate::error::{Error, Result};
use crate::verify::in_parallel;

/// Versions that one thread marks at once.
const VERSIONS_AT_ONCE: usize = 64;

/// See the [module](self).
pub(super) struct Marked {
    pub(super) live: Arc<Live>,
    /// Sequence numbers of versions that were not deleted.
    seqs: Bits,
    pub(super) versions: u64,
}

impl Marked {
    /// A manifest that cannot be read ends it: nobody knows which chunks it needs.
    pub(super) fn mark(
        store: &Store,
        live: Arc<Live>,
        next_seq: u64,
        threads: usize,
        watch: &Watch<'_>,
    ) -> Result<Self> {
        let seqs = Bits::up_to(next_seq);
        let versions = AtomicU64::new(0);
        let catalog = store.catalog().collection();
        // Those that are left out come first, and may well miss their manifests.
        let mut is_left_out = true;
        catalog.live_versions(&mut |rows| {
            let parts: Vec<_> = rows.chunks(VERSIONS_AT_ONCE).collect();
            in_parallel(threads, &parts, |part| {
                for (seq, manifest) in *part {
                    seqs.set(*seq);
                    mark_version(store, &live, manifest, is_left_out)?;
                }
                let count = part.len() as u64;
                let done = versions.fetch_add(count, Ordering::Relaxed) + count;
                watch.at(Phase::Marking, done, 0)
            })?;
            is_left_out = false;
            Ok(())
        })?;
        Ok(Self { live, seqs, versions: versions.into_inner() })
    }

    /// Is an entry of a commit needed?
    pub(super) fn has_version(&self, seq: u64) -> bool {
        self.seqs.has(seq)
    }
}

fn mark_version(store: &Store, live: &Live, manifest: &ChunkId, is_left_out: bool) -> Result<()> {
    let site = &store.shared().site;
    let catalog = store.catalog().collection();
    let mut ids = vec![site.stored_id(manifest)];
    match store.reader().manifest(manifest) {
        Ok(manifest) => ids.extend(manifest.all_chunks().map(|chunk| site.stored_id(&chunk.id))),
        Err(Error::NotFound { .. } | Error::Damaged(_) | Error::Format(_)) if is_left_out => {}
        Err(error) => return Err(error),
    }
    let mut numbers: Vec<ChunkNo> = Vec::with_capacity(ids.len());
    catalog.chunk_numbers(&ids, &mut numbers)?;
    for no in numbers {
        live.set(no);
    }
    Ok(())
}
