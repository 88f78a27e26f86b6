//! The catalog from packs alone.
//!
//! Every pack in the bucket and the journal is read: by its footer, of which only blocks and commits
//! are fetched; or from end to end where the footer is not sound. All commits are then applied in the
//! order of their sequence numbers. The new catalog takes the old one's place only when it is whole.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::catalog::{PackRow, PackState};
use crate::commit::Commit;
use crate::config::StoreConfig;
use crate::error::{Damage, Error, Result};
use crate::footer::footer;
use crate::layout::{PACKS_PREFIX, pack_object, pack_of};
use crate::pack::{
    Cipher, FooterEntry, PACK_HEADER_BYTES, PackHeader, PackId, RecordKind, ScannedRecord,
    open_record, scan,
};
use crate::read::Reader;
use crate::replay::{Buried, LeftOut, PackContent, apply_commit};
use crate::store::{Shared, Store};

/// What came back.
#[derive(Debug, Clone, Default)]
pub struct RebuildReport {
    /// Packs read.
    pub packs: u64,
    /// Chunks found.
    pub chunks: u64,
    /// Versions of instances named again.
    pub versions: u64,
    /// Studies.
    pub studies: u64,
    /// Records that could not be read; what stood in them is missing.
    pub damage: Vec<Damage>,
}

/// Makes the catalog anew. The old one stays beside it as `catalog.sqlite.before-rebuild`.
pub fn rebuild(config: &StoreConfig, progress: &dyn Fn(u64, u64)) -> Result<RebuildReport> {
    let fresh = Store::open_to_rebuild(config)?;
    let shared = Arc::clone(fresh.shared());
    let mut report = RebuildReport::default();
    let mut commits = Vec::new();
    let mut buried = Buried::default();
    let packs = shared.bucket.list(PACKS_PREFIX)?;
    let total = packs.len() as u64;
    for (done, (object, bytes)) in packs.iter().enumerate() {
        progress(done as u64, total);
        if let Some(id) = pack_of(&PathBuf::from(object)) {
            let found = index_pack(&shared, id, *bytes, &mut report.damage)?;
            for (found, commit) in found {
                buried.note(&commit);
                commits.push(found);
            }
        }
    }
    progress(total, total);
    commits.sort_by_key(|found| found.first_seq);
    let reader = Reader::new(Arc::clone(&shared));
    for found in &commits {
        let FoundCommit { row, offset, .. } = found;
        match reader.commit(row.no, *offset, found.record_bytes) {
            Ok(commit) => {
                let applied =
                    apply_commit(&shared, &reader, row, row.bytes, &(*offset, commit), &buried)?;
                report.damage.extend(applied.into_iter().map(named));
            }
            Err(Error::Damaged(damage)) => report.damage.push(damage),
            Err(error) => return Err(error),
        }
    }
    drop(reader);
    if let Err(error) = shared.catalog.take_over_outbox(&shared.layout.catalog()) {
        tracing::warn!(%error, "the old catalog does not say what is owed to others");
    }
    drop(shared);
    // Opening replays the journal into the new catalog.
    let store = fresh.adopt_rebuilt(config)?;
    let totals = store.catalog().totals()?;
    report.packs = totals.packs;
    report.chunks = totals.chunks;
    report.versions = totals.versions;
    report.studies = totals.studies;
    Ok(report)
}

/// Says whose instance is missing: whoever rebuilds has to look for it elsewhere.
fn named(left_out: LeftOut) -> Damage {
    let LeftOut { mut damage, sop_instance_uid } = left_out;
    if let Some(uid) = sop_instance_uid {
        damage.why = format!("instance {uid} is not whole: {}", damage.why);
    }
    damage
}

/// A commit to be applied when all are known: they come in the order of packs, not of time.
struct FoundCommit {
    first_seq: u64,
    row: PackRow,
    offset: u64,
    record_bytes: u32,
}

/// Finds what is in one pack. Nothing that is wrong with it keeps the others from being read.
fn index_pack(
    shared: &Shared,
    id: PackId,
    bytes: u64,
    damage: &mut Vec<Damage>,
) -> Result<Vec<(FoundCommit, Commit)>> {
    let head = match bytes {
        0 => Bytes::new(), // no range can be asked of it
        _ => shared.bucket.get_range(&pack_object(id), 0..bytes.min(PACK_HEADER_BYTES as u64))?,
    };
    let header = PackHeader::decode(&head).filter(|header| header.pack == id);
    if header.is_none() {
        // The records say enough by themselves.
        damage.push(Damage { pack: id, offset: 0, why: "the pack's header is damaged".into() });
    }
    let created_ms = header.map_or(0, |header| header.created_ms);
    let no = shared.catalog.add_pack(id, created_ms)?;
    shared.catalog.seal_stored(no, bytes)?;
    let row = PackRow { no, id, state: PackState::Stored, bytes, checksum: None, created_ms };
    let cipher = match shared.cipher(id) {
        Ok(cipher) => cipher,
        Err(error @ Error::Key { .. }) => {
            damage.push(Damage { pack: id, offset: 0, why: error.to_string() });
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let content = read_pack(shared, &row, &cipher, damage)?;
    content.index(shared, &row, bytes)?;
    let sizes: HashMap<u64, u64> =
        content.records.iter().map(|record| (record.offset, record.record_bytes())).collect();
    let found = content.commits.into_iter().map(|(offset, commit)| {
        let record_bytes = sizes.get(&offset).map_or(0, |bytes| *bytes as u32);
        let (first_seq, row) = (commit.first_seq, row.clone());
        (FoundCommit { first_seq, row, offset, record_bytes }, commit)
    });
    Ok(found.collect())
}

/// Reads what the catalog needs of a pack in the bucket.
fn read_pack(
    shared: &Shared,
    row: &PackRow,
    cipher: &Cipher,
    damage: &mut Vec<Damage>,
) -> Result<PackContent> {
    let mut content = PackContent::default();
    if let Some(entries) = footer(shared, row, cipher)? {
        for entry in entries {
            let payload = match entry.kind {
                RecordKind::Block | RecordKind::Commit => {
                    match fetch(shared, row, cipher, &entry)? {
                        Ok(payload) => payload,
                        Err(found) => {
                            damage.push(found);
                            continue;
                        }
                    }
                }
                RecordKind::Chunk | RecordKind::Footer => Vec::new(),
            };
            content.add(shared, row, &ScannedRecord { entry, payload })?;
        }
    } else {
        let object = pack_object(row.id);
        let bytes = shared.bucket.get(&object)?.unwrap_or_default();
        let mut records = Vec::new();
        let found = scan(cipher, row.id, &bytes, |record| records.push(record));
        for record in &records {
            content.add(shared, row, record)?;
        }
        damage.extend(found.damage.into_iter().map(|(offset, why)| Damage {
            pack: row.id,
            offset,
            why: why.into(),
        }));
    }
    Ok(content)
}

fn fetch(
    shared: &Shared,
    row: &PackRow,
    cipher: &Cipher,
    entry: &FooterEntry,
) -> Result<std::result::Result<Vec<u8>, Damage>> {
    let range = entry.offset..entry.offset + entry.record_bytes();
    let bytes = shared.bucket.get_range(&pack_object(row.id), range)?;
    let opened = open_record(cipher, row.id, entry.offset, &bytes);
    Ok(opened.map(|(_, payload)| payload).map_err(|why| Damage {
        pack: row.id,
        offset: entry.offset,
        why: why.into(),
    }))
}
