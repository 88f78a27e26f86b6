//! After a crash: what the journal holds becomes part of the archive.
//!
//! Every pack left in the journal is scanned. What stands behind its last sound record was never
//! acknowledged and is cut off; everything before is named by the catalog, again or for the first
//! time; then the pack is sealed. Doing it twice changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_chunker::codec;
use cairn_chunker::id::ChunkId;
use cairn_chunker::manifest::Manifest;

use crate::catalog::{Batch, Location, NewInstance, PackRow, PackState};
use crate::commit::{Commit, DeletionEntry, Entry, InstanceEntry, StudyEntry, Target};
use crate::error::{Damage, Error, Result};
use crate::ingest::now_ms;
use crate::keys::StoredId;
use crate::layout::pack_of;
use crate::pack::{
    FooterEntry, OpenPack, PACK_HEADER_BYTES, PackHeader, PackId, RecordKind, Scanned,
    ScannedRecord, open_block, scan,
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
            deletions: &[],
            all_recorded: false,
            next_seq: 0,
        })
    }
}

/// An entry of a commit that was not applied.
pub(crate) struct LeftOut {
    pub(crate) damage: Damage,
    /// Whose instance it is, if its manifest can be read. Not for logs.
    pub(crate) sop_instance_uid: Option<String>,
}

/// Deletions that are known before any commit is applied.
#[derive(Default)]
pub(crate) struct Buried(Vec<(u64, Target)>);

impl Buried {
    pub(crate) fn note(&mut self, commit: &Commit) {
        for (seq, entry) in (commit.first_seq..).zip(&commit.entries) {
            if let Entry::Deletion(deletion) = entry {
                self.0.push((seq, deletion.target.clone()));
            }
        }
    }

    /// Was this deleted later? Without its manifest nobody knows which instance an entry names.
    fn covers(&self, seq: u64, entry: &InstanceEntry, sop: Option<&str>) -> bool {
        self.0.iter().any(|(deleted, target)| {
            *deleted > seq
                && match (&target.sop_instance_uid, sop) {
                    (Some(_), None) => false,
                    (_, sop) => {
                        target.covers(&entry.study_uid, &entry.series_uid, sop.unwrap_or_default())
                    }
                }
        })
    }
}

/// Applies a commit whose chunks are indexed already. Instances that are not whole are left out, and
/// can be sent again; the others are named.
pub(crate) fn apply_commit(
    shared: &Shared,
    reader: &Reader,
    pack: &PackRow,
    pack_bytes: u64,
    (offset, commit): &(u64, Commit),
    buried: &Buried,
) -> Result<Vec<LeftOut>> {
    let mut left_out = Vec::new();
    let mut manifests = Vec::new();
    let mut studies: Vec<(u64, StudyEntry)> = Vec::new();
    let mut deletions: Vec<(u64, DeletionEntry)> = Vec::new();
    let here = |why: String| Damage { pack: pack.id, offset: *offset, why };
    for (seq, entry) in (commit.first_seq..).zip(&commit.entries) {
        let entry = match entry {
            Entry::Instance(entry) => entry,
            Entry::Study(entry) => {
                studies.push((seq, entry.clone()));
                continue;
            }
            Entry::Deletion(entry) => {
                deletions.push((seq, entry.clone()));
                continue;
            }
        };
        let (damage, sop_instance_uid) = match reader.manifest(&entry.manifest) {
            Ok(manifest) if has_all_chunks(shared, &manifest)? => {
                manifests.push((seq, &**entry, manifest));
                continue;
            }
            // A batch may lie in two packs, of which the first was lost before it was synced.
            Ok(manifest) => {
                let why = format!("entry {seq} names a chunk that is gone");
                (here(why), Some(manifest.sop_instance_uid))
            }
            Err(Error::Damaged(found)) => (found, None),
            Err(Error::NotFound { .. } | Error::Format(_)) => {
                (here(format!("entry {seq} names a manifest that is gone")), None)
            }
            Err(error) => return Err(error),
        };
        // It was deleted, and part of it collected.
        if buried.covers(seq, entry, sop_instance_uid.as_deref()) {
            continue;
        }
        shared.catalog.collection().leave_out(seq, &entry.manifest)?;
        left_out.push(LeftOut { damage, sop_instance_uid });
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
        deletions: &deletions,
        all_recorded: false,
        next_seq: commit.first_seq + commit.entries.len() as u64,
    })?;
    Ok(left_out)
}

fn has_all_chunks(shared: &Shared, manifest: &Manifest) -> Result<bool> {
    for chunk in manifest.all_chunks() {
        if shared.catalog.locate(&shared.site.stored_id(&chunk.id))?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Replays every pack in the journal.
pub(crate) fn replay(shared: &Arc<Shared>) -> Result<()> {
    let journal = shared.layout.journal();
    let mut found = Vec::new();
    for (pack, path) in packs_in(&journal)? {
        found.extend(index_pack(shared, pack, &path)?);
    }
    // All packs are indexed before any commit is applied, and commits in the order in which they were
    // made: a commit may name what stands in another pack, and clocks are not to be trusted.
    let mut commits: Vec<_> = found
        .iter()
        .flat_map(|pack| pack.commits.iter().map(move |commit| (&pack.row, pack.kept, commit)))
        .collect();
    commits.sort_by_key(|(_, _, (_, commit))| commit.first_seq);
    let mut buried = Buried::default();
    for (_, _, (_, commit)) in &commits {
        buried.note(commit);
    }
    let reader = Reader::new(Arc::clone(shared));
    for (row, kept, commit) in commits {
        for left_out in apply_commit(shared, &reader, row, kept, commit, &buried)? {
            // Either never acknowledged, or bytes that went bad since: then the catalog names them
            // still, and `verify` tells whom it harms.
            let damage = left_out.damage;
            tracing::warn!(%damage, "an instance in the journal is not whole and is left out");
        }
    }
    for pack in &found {
        shared.catalog.seal_pack(pack.row.no, pack.length, pack.checksum)?;
    }
    finish_moves(shared)?;
    remove_lone_keys(shared, &journal)
}

fn packs_in(journal: &Path) -> Result<Vec<(PackId, PathBuf)>> {
    let mut packs = Vec::new();
    for entry in std::fs::read_dir(journal).map_err(Error::io("list", journal))? {
        let path = entry.map_err(Error::io("list", journal))?.path();
        packs.extend(pack_of(&path).map(|pack| (pack, path)));
    }
    packs.sort();
    Ok(packs)
}

/// A pack of the journal that is complete on the disk and indexed, but not sealed in the catalog.
struct IndexedPack {
    row: PackRow,
    commits: Vec<(u64, Commit)>,
    /// Length of what was there, before the footer.
    kept: u64,
    length: u64,
    checksum: [u8; 32],
}

fn index_pack(shared: &Shared, pack: PackId, path: &Path) -> Result<Option<IndexedPack>> {
    let known = shared.catalog.packs()?.iter().any(|row| row.id == pack);
    let row = shared.catalog.pack(shared.catalog.add_pack(pack, now_ms())?)?;
    match row.state {
        PackState::Open => {}
        PackState::Sealed => return Ok(None),
        // The process ended between telling the catalog and tidying up.
        PackState::Stored | PackState::Condemned | PackState::Gone => {
            return remove_pack(shared, &row, path).map(|()| None);
        }
    }
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    if bytes.len() <= PACK_HEADER_BYTES {
        shared.catalog.drop_pack(row.no)?;
        return remove_pack(shared, &row, path).map(|()| None);
    }
    // Never synced: its first page did not reach the disk, whatever others did.
    if known && row.bytes == 0 && PackHeader::decode(&bytes).is_none() {
        shared.catalog.drop_pack(row.no)?;
        return set_aside(shared, path).map(|()| None);
    }
    let cipher = shared.cipher(pack)?;
    let mut content = PackContent::default();
    let mut last = PACK_HEADER_BYTES as u64;
    let found = scan(&cipher, pack, &bytes, |record| {
        last = record.entry.offset + record.entry.record_bytes();
        if let Err(error) = content.add(shared, &row, &record) {
            tracing::error!(%error, "a record of the journal is left out");
        }
    });
    let keep = kept_bytes(&found, known.then_some(row.bytes), last, bytes.len() as u64);
    if content.records.is_empty() && row.bytes == 0 {
        shared.catalog.drop_pack(row.no)?;
        // Of a known pack the catalog says that nothing was acknowledged, and nothing in it can be read.
        let done = if known { remove_pack(shared, &row, path) } else { set_aside(shared, path) };
        return done.map(|()| None);
    }
    if keep < last {
        set_tail_aside(shared, path, keep, &bytes)?;
        content.records.retain(|record| record.offset < keep);
        content.locations.retain(|(_, place)| place.offset < keep);
        content.commits.retain(|(offset, _)| *offset < keep);
    }
    shared.disk.truncate(path, keep).map_err(Error::io("truncate", path))?;
    let kept = &bytes[..keep as usize];
    let mut open =
        OpenPack::resume(&*shared.disk, path, pack, cipher, content.records.clone(), kept)?;
    let (length, checksum) = open.finish()?;
    open.syncer()?.sync().map_err(Error::io("sync", path))?;
    content.index(shared, &row, keep)?;
    Ok(Some(IndexedPack { row, commits: content.commits, kept: keep, length, checksum }))
}

/// Keeps sound records that are cut off, since nobody can be quite sure that they were never
/// acknowledged.
fn set_tail_aside(shared: &Shared, path: &Path, keep: u64, bytes: &[u8]) -> Result<()> {
    let tail = path.with_extension(format!("pack-from-{keep}.aside"));
    if tail.exists() {
        // Of a replay that did not get further: it may be short.
        shared.disk.remove(&tail).map_err(Error::io("remove", &tail))?;
    }
    shared.disk.write_file(&tail, &bytes[keep as usize..]).map_err(Error::io("write", &tail))
}

/// How much of a pack stays.
///
/// Damage behind what was durable is the tail of a crash, and is cut off. Damage before it happened to
/// acknowledged bytes: what is sound around it is kept, and the damaged record stays where it is to be
/// named. How much was durable the catalog knows (`durable`). Of a pack that the catalog does not know,
/// everything up to its footer is kept, or everything that is sound.
fn kept_bytes(found: &Scanned, durable: Option<u64>, last: u64, length: u64) -> u64 {
    match durable {
        Some(durable) if found.sound_bytes >= durable => found.sound_bytes,
        Some(durable) => last.max(durable).min(length),
        None => found.trailer.unwrap_or(last),
    }
}

/// Removes a pack and its key from the journal.
fn remove_pack(shared: &Shared, row: &PackRow, path: &Path) -> Result<()> {
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

/// Keeps a pack that cannot become part of the archive for a person to look at.
fn set_aside(shared: &Shared, path: &Path) -> Result<()> {
    tracing::error!(pack = %path.display(), "this pack cannot be replayed; it is set aside");
    for path in [path.to_owned(), path.with_extension("key")] {
        let mut aside = path.clone().into_os_string();
        aside.push(".aside");
        if path.exists() {
            shared.disk.rename(&path, Path::new(&aside)).map_err(Error::io("rename", &path))?;
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
    pack.is_some_and(|pack| packs.iter().any(|row| row.id == pack && !row.state.is_archived()))
}
