//! Which chunks that are here already may go unasked.
//!
//! What is not asked for tells the owner that it is here. So only what the owner knows anyway is left
//! out: other versions of the same study, and studies that came from that owner. That another hospital
//! sent the same images is nobody's business.

use std::collections::HashSet;

use cairn_chunker::id::ChunkId;
use cairn_store::{Result, Store};

/// Most studies of the same owner that are looked through: the newest first.
const STUDIES_MAX: usize = 64;
/// Most chunks that are remembered: some 64 bytes each.
const CHUNKS_MAX: usize = 4 << 20;

/// Chunks of a study, and of others that came from its owner (by their UIDs, the newest first).
pub(super) fn held(store: &Store, study: &str, others: &[String]) -> Result<HashSet<ChunkId>> {
    let mut held = HashSet::new();
    let others = others.iter().map(String::as_str).filter(|other| *other != study);
    for study in std::iter::once(study).chain(others.take(STUDIES_MAX)) {
        let mut manifests = Vec::new();
        store.catalog().study_versions(study, true, &mut |version| {
            if !version.deleted {
                manifests.push(version.manifest);
            }
            Ok(())
        })?;
        for manifest in manifests {
            if held.len() >= CHUNKS_MAX {
                return Ok(held);
            }
            let manifest = store.reader().served_manifest(&manifest)?;
            held.extend(manifest.all_chunks().map(|chunk| chunk.id));
        }
    }
    Ok(held)
}
