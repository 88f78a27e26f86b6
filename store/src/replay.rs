//! After a crash: what the journal holds becomes part of the archive.
//!
//! Every pack left in the journal is scanned. What stands behind its last sound record was never
//! acknowledged and is cut off; everything before is named by the catalog, again or for the first
//! time; then the pack is sealed. Doing it twice changes nothing.

use std::path::Path;
use std::sync::Arc;

use cairn_chunker::codec;
use cairn_chunker::id::ChunkId;

use crate::catalog::{Batch, Location, NewInstance, PackRow, PackState};
use crate::commit::{Commit, Entry, StudyEntry};
use crate::error::{Damage, Error, Result};
use crate::keys::StoredId;
use crate::layout::pack_of;
use crate::pack::{
    FooterEntry, OpenPack, PackHeader, PackId, RecordKind, ScannedRecord, open_block, scan,
};
use crate::read::Reader;
use crate::store::Shared;

/// What scanning a pack brings to light for the catalog.
#[derive(Default)]
pub(crate) struct PackContent {
    pub(crate) records: Vec<FooterEntry>,
    pub(crate) locations: Vec<(StoredId, Location)>,
    /// Each with the offset of its record.
    pub(crate) commits: Vec<(u64, Commit)>,
}

impl PackContent {
    /// Takes in one sound record. A commit or block that cannot be read though its tag is right is
    /// reported, not skipped.
    pub(crate) fn add(
        &mut self,
        shared: &Shared,
        pack: &PackRow,
        record: &ScannedRecord,
    ) -> Result<()> {
        let entry = record.entry;
        let damaged = |why: &str| Damage { pack: pack.id, offset: entry.offset, why: why.into() };
        let place = |inner, bytes| Location {
            pack: pack.no,
            offset: entry.offset,
            record_bytes: entry.record_bytes() as u32,
            inner,
            bytes,
        };
        match entry.kind {
            RecordKind::Chunk => self.locations.push((entry.id, place(None, entry.plain_bytes))),
            RecordKind::Block => {
                let block =
                    open_block(entry.codec, &record.payload, entry.plain_bytes).map_err(damaged)?;
                for range in &block.members {
                    let bytes = &block.plain[range.start as usize..range.end as usize];
                    let id = shared.site.stored_id(&ChunkId::of(bytes));
                    self.locations.push((id, place(Some(range.start), range.end - range.start)));
                }
            }
            RecordKind::Commit => {
                let plain = codec::decode(entry.codec, &record.payload, entry.plain_bytes as usize)
                    .map_err(|_| damaged("the commit cannot be decoded"))?;
                self.commits.push((entry.offset, Commit::decode(&plain)?));
            }
            RecordKind::Footer => return Ok(()),
        }
        self.records.push(entry);
        Ok(())
    }

    /// Tells the catalog where this pack's chunks lie.
    pub(crate) fn index(&self, shared: &Shared, pack: &PackRow, pack_bytes: u64) -> Result<()> {
        shared.catalog.commit(&Batch {
            pack: pack.no,
            pack_bytes,
            locations: &self.locations,
            instances: &[],
            studies: &[],
            all_recorded: false,
        })
    }
}

/// Applies a commit whose chunks are indexed already. Returns what it names and cannot be read: those
/// instances are left out, the others are named.
pub(crate) fn apply_commit(
    shared: &Shared,
    reader: &Reader,
    pack: &PackRow,
    pack_bytes: u64,
    (offset, commit): &(u64, Commit),
) -> Result<Vec<Damage>> {
    let mut damage = Vec::new();
    let mut manifests = Vec::new();
    let mut studies: Vec<(u64, StudyEntry)> = Vec::new();
    for (seq, entry) in (commit.first_seq..).zip(&commit.entries) {
        match entry {
            Entry::Instance(entry) => match reader.manifest(&entry.manifest) {
                Ok(manifest) => manifests.push((seq, &**entry, manifest)),
                Err(Error::Damaged(found)) => damage.push(found),
                Err(Error::NotFound { .. } | Error::Format(_)) => damage.push(Damage {
                    pack: pack.id,
                    offset: *offset,
                    why: format!("entry {seq} names a manifest that is gone"),
                }),
                Err(error) => return Err(error),
            },
            Entry::Study(entry) => studies.push((seq, entry.clone())),
        }
    }
    let instances: Vec<_> = manifests
        .iter()
        .map(|(seq, entry, manifest)| NewInstance { seq: *seq, entry, manifest })
        .collect();
    shared.catalog.commit(&Batch {
        pack: pack.no,
        pack_bytes,
        locations: &[],
        instances: &instances,
        studies: &studies,
        all_recorded: false,
    })?;
    Ok(damage)
}

/// Replays every pack in the journal.
pub(crate) fn replay(shared: &Arc<Shared>) -> Result<()> {
    let mut left = Vec::new();
    let journal = shared.layout.journal();
    for entry in std::fs::read_dir(&journal).map_err(Error::io("list", &journal))? {
        let path = entry.map_err(Error::io("list", &journal))?.path();
        if let Some(pack) = pack_of(&path) {
            let created = std::fs::read(&path)
                .ok()
                .and_then(|bytes| PackHeader::decode(&bytes))
                .map(|header| header.created_ms);
            left.push((created, pack, path));
        }
    }
    left.sort();
    let reader = Reader::new(Arc::clone(shared));
    for (created_ms, pack, path) in left {
        replay_pack(shared, &reader, created_ms, pack, &path)?;
    }
    finish_moves(shared)?;
    remove_lone_keys(shared, &journal)
}

fn replay_pack(
    shared: &Shared,
    reader: &Reader,
    created_ms: Option<u64>,
    pack: PackId,
    path: &Path,
) -> Result<()> {
    let no = shared.catalog.add_pack(pack, created_ms.unwrap_or(0))?;
    let row = shared.catalog.pack(no)?;
    if row.state != PackState::Open {
        return Ok(());
    }
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let header = PackHeader::decode(&bytes).filter(|header| header.pack == pack);
    if header.is_none() {
        if row.bytes == 0 {
            return discard(shared, &row, path);
        }
        return Err(Damage { pack, offset: 0, why: "its header is damaged".into() }.into());
    }
    let cipher = shared.cipher(pack)?;
    let mut content = PackContent::default();
    let mut fault = None;
    let mut last = 0;
    let found = scan(&cipher, pack, &bytes, |record| {
        last = record.entry.offset + record.entry.record_bytes();
        if fault.is_none() {
            fault = content.add(shared, &row, &record).err();
        }
    });
    if let Some(fault) = fault {
        return Err(fault);
    }
    // Damage behind what was durable is the tail of a crash. Damage before it happened to acknowledged
    // bytes: what is sound around it is kept, and the damaged record stays where it is to be named.
    let keep = if found.sound_bytes >= row.bytes { found.sound_bytes } else { last.max(row.bytes) };
    if found.sound_bytes >= row.bytes {
        content.records.retain(|record| record.offset < keep);
        content.locations.retain(|(_, place)| place.offset < keep);
        content.commits.retain(|(offset, _)| *offset < keep);
    }
    if content.records.is_empty() && row.bytes == 0 {
        return discard(shared, &row, path);
    }
    let keep = keep.min(bytes.len() as u64);
    shared.disk.truncate(path, keep).map_err(Error::io("truncate", path))?;
    seal(shared, reader, &row, path, cipher, &content, &bytes[..keep as usize])
}

fn seal(
    shared: &Shared,
    reader: &Reader,
    row: &PackRow,
    path: &Path,
    cipher: crate::pack::Cipher,
    content: &PackContent,
    bytes: &[u8],
) -> Result<()> {
    let kept = bytes.len() as u64;
    let mut open =
        OpenPack::resume(&*shared.disk, path, row.id, cipher, content.records.clone(), bytes)?;
    let (length, checksum) = open.finish()?;
    open.syncer()?.sync().map_err(Error::io("sync", path))?;
    content.index(shared, row, kept)?;
    for commit in &content.commits {
        for damage in apply_commit(shared, reader, row, kept, commit)? {
            // Only acknowledged bytes that went bad since: the catalog names them still, and `verify`
            // tells whom it harms.
            tracing::error!(%damage, "the journal is damaged");
        }
    }
    shared.catalog.seal_pack(row.no, length, checksum)
}

/// Removes a pack that never held anything.
fn discard(shared: &Shared, row: &PackRow, path: &Path) -> Result<()> {
    shared.catalog.drop_pack(row.no)?;
    for path in [path.to_owned(), shared.layout.journal_key(row.id)] {
        match shared.disk.remove(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Brings sealed packs into a bucket that is a directory. Uploads are left to the next ingest, so that
/// a bucket out of reach keeps nobody from reading.
fn finish_moves(shared: &Shared) -> Result<()> {
    if shared.bucket.directory().is_none() {
        return Ok(());
    }
    for pack in shared.catalog.packs()? {
        if pack.state == PackState::Sealed {
            shared.store_sealed(&pack)?;
        }
    }
    Ok(())
}

/// Keys whose pack was never begun.
fn remove_lone_keys(shared: &Shared, journal: &Path) -> Result<()> {
    for entry in std::fs::read_dir(journal).map_err(Error::io("list", journal))? {
        let path = entry.map_err(Error::io("list", journal))?.path();
        let is_key = path.extension().is_some_and(|extension| extension == "key");
        if is_key && !path.with_extension("pack").exists() && !is_known(shared, &path) {
            shared.disk.remove(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

fn is_known(shared: &Shared, key: &Path) -> bool {
    let pack = key.file_stem().and_then(|stem| stem.to_str()).and_then(PackId::parse);
    let packs = shared.catalog.packs().unwrap_or_default();
    pack.is_some_and(|pack| {
        packs.iter().any(|row| row.id == pack && row.state != PackState::Stored)
    })
}
