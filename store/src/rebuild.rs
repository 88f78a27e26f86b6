//! The catalog from packs alone.
//!
//! Every pack in the bucket and the journal is read: by its footer, of which only blocks and commits
//! are fetched; or from end to end where the footer is not sound. All commits are then applied in the
//! order of their sequence numbers. The new catalog takes the old one's place only when it is whole.

use std::path::PathBuf;
use std::sync::Arc;

use crate::catalog::{Catalog, PackRow, PackState};
use crate::commit::Commit;
use crate::config::StoreConfig;
use crate::error::{Damage, Result};
use crate::layout::{PACKS_PREFIX, pack_object, pack_of};
use crate::pack::{
    Cipher, FooterEntry, PACK_HEADER_BYTES, PackHeader, RecordKind, ScannedRecord, TRAILER_BYTES,
    decode_trailer, open_record, read_footer, scan,
};
use crate::read::Reader;
use crate::replay::{PackContent, apply_commit};
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
    let mut commits: Vec<(PackRow, (u64, Commit))> = Vec::new();
    let packs = shared.bucket.list(PACKS_PREFIX)?;
    let total = packs.len() as u64;
    for (done, (object, bytes)) in packs.iter().enumerate() {
        progress(done as u64, total);
        let Some(id) = pack_of(&PathBuf::from(object)) else { continue };
        let head = shared.bucket.get_range(object, 0..PACK_HEADER_BYTES as u64)?;
        let Some(header) = PackHeader::decode(&head).filter(|header| header.pack == id) else {
            let why = "the pack's header is damaged".into();
            report.damage.push(Damage { pack: id, offset: 0, why });
            continue;
        };
        let no = shared.catalog.add_pack(id, header.created_ms)?;
        let row = PackRow { no, id, state: PackState::Stored, bytes: *bytes, checksum: None };
        let content = read_pack(&shared, &row, &mut report.damage)?;
        content.index(&shared, &row, *bytes)?;
        report.packs += 1;
        report.chunks += content.locations.len() as u64;
        commits.extend(content.commits.into_iter().map(|commit| (row.clone(), commit)));
        shared.catalog.seal_stored(no, *bytes)?;
    }
    progress(total, total);
    commits.sort_by_key(|(_, (_, commit))| commit.first_seq);
    let reader = Reader::new(Arc::clone(&shared));
    for (row, commit) in &commits {
        report.damage.extend(apply_commit(&shared, &reader, row, row.bytes, commit)?);
    }
    drop(reader);
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

/// Reads what the catalog needs of a pack in the bucket.
fn read_pack(shared: &Shared, row: &PackRow, damage: &mut Vec<Damage>) -> Result<PackContent> {
    let cipher = shared.cipher(row.id)?;
    let mut content = PackContent::default();
    if let Some(entries) = footer(shared, row, &cipher)? {
        for entry in entries {
            let payload = match entry.kind {
                RecordKind::Block | RecordKind::Commit => {
                    match fetch(shared, row, &cipher, &entry)? {
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
        let found = scan(&cipher, row.id, &bytes, |record| records.push(record));
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

/// The pack's footer, if it is sound.
fn footer(shared: &Shared, row: &PackRow, cipher: &Cipher) -> Result<Option<Vec<FooterEntry>>> {
    let object = pack_object(row.id);
    let Some(trailer_at) = row.bytes.checked_sub(TRAILER_BYTES as u64) else {
        return Ok(None);
    };
    let trailer = shared.bucket.get_range(&object, trailer_at..row.bytes)?;
    let Some((offset, length)) = decode_trailer(&trailer) else { return Ok(None) };
    let end = offset.saturating_add(u64::from(length));
    if end != trailer_at {
        return Ok(None);
    }
    let bytes = shared.bucket.get_range(&object, offset..end)?;
    Ok(read_footer(cipher, row.id, offset, &bytes).ok())
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
