//! The open pack as the writer sees it: appended to, and handed to the committer piece by piece.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cairn_chunker::codec::Codec;
use cairn_chunker::id::ChunkId;
use cairn_chunker::manifest::Manifest;

use super::message::CommitJob;
use super::{Counters, Pipeline, Stage};
use crate::catalog::{Location, PackNo};
use crate::commit::{Commit, DeletionEntry, Entry, InstanceEntry, StudyEntry};
use crate::disk::DiskSync;
use crate::error::{Error, Result};
use crate::keys::StoredId;
use crate::pack::{Block, OpenPack, RecordKind};

/// How often a writer that waits for the bucket looks again.
const LOOK: Duration = Duration::from_millis(50);

/// See the [module](self).
pub(super) struct Journal {
    pipeline: Arc<Pipeline>,
    open: Option<(PackNo, OpenPack)>,
    /// Chunks appended since the last job.
    locations: Vec<(StoredId, Location)>,
    named: Vec<ChunkId>,
}

impl Journal {
    pub(super) fn new(pipeline: Arc<Pipeline>) -> Self {
        Self { pipeline, open: None, locations: Vec::new(), named: Vec::new() }
    }

    /// The open pack; begins one if there is none, once the bucket has taken enough of the others.
    fn pack(&mut self) -> Result<&mut (PackNo, OpenPack)> {
        if self.open.is_none() {
            self.wait_for_room()?;
            self.open = Some(self.pipeline.shared.begin_pack()?);
        }
        self.open.as_mut().ok_or(Error::Internal("no pack is open"))
    }

    fn wait_for_room(&self) -> Result<()> {
        let bound = self.pipeline.config.journal_bytes_max;
        while self.pipeline.waiting_bytes.load(Ordering::SeqCst) > bound {
            self.pipeline.check()?;
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// The pack should end.
    pub(super) fn is_full(&self) -> bool {
        self.open.as_ref().is_some_and(|(_, pack)| pack.bytes() >= self.pipeline.config.pack_bytes)
    }

    fn append(
        &mut self,
        kind: RecordKind,
        codec: Codec,
        id: StoredId,
        payload: &[u8],
        plain_bytes: u32,
    ) -> Result<Location> {
        let pipeline = Arc::clone(&self.pipeline);
        let (no, pack) = self.pack()?;
        let append = || pack.append(kind, codec, id, payload, plain_bytes);
        let placed = pipeline.time(Stage::Append, append)?;
        let pack = *no;
        Counters::add(&self.pipeline.counters.stored_bytes, u64::from(placed.bytes));
        Ok(Location {
            pack,
            offset: placed.offset,
            record_bytes: placed.bytes,
            inner: None,
            bytes: plain_bytes,
        })
    }

    /// A chunk in a record of its own.
    pub(super) fn append_chunk(
        &mut self,
        id: ChunkId,
        codec: Codec,
        payload: &[u8],
        plain_bytes: u32,
    ) -> Result<()> {
        let stored = self.pipeline.shared.site.stored_id(&id);
        let place = self.append(RecordKind::Chunk, codec, stored, payload, plain_bytes)?;
        self.locations.push((stored, place));
        self.named.push(id);
        Ok(())
    }

    /// Many small chunks.
    pub(super) fn append_block(&mut self, block: &Block) -> Result<()> {
        let site = &self.pipeline.shared.site;
        let stored = site.stored_id(&block.id);
        let ids: Vec<_> = block.members.iter().map(|(id, _)| site.stored_id(id)).collect();
        let place =
            self.append(RecordKind::Block, block.codec, stored, &block.payload, block.plain_bytes)?;
        for (stored, (id, range)) in ids.into_iter().zip(&block.members) {
            let bytes = range.end - range.start;
            self.locations.push((stored, Location { inner: Some(range.start), bytes, ..place }));
            self.named.push(*id);
        }
        Ok(())
    }

    /// What became part of the archive.
    pub(super) fn append_commit(
        &mut self,
        first_seq: u64,
        instances: &[(InstanceEntry, Manifest)],
        studies: &[StudyEntry],
        deletions: &[DeletionEntry],
    ) -> Result<()> {
        let instances = instances.iter().map(|(entry, _)| Entry::Instance(Box::new(entry.clone())));
        let studies = studies.iter().map(|entry| Entry::Study(entry.clone()));
        let deletions = deletions.iter().map(|entry| Entry::Deletion(entry.clone()));
        let entries = instances.chain(studies).chain(deletions).collect();
        let commit = Commit { first_seq, entries };
        let (plain, coded) = commit.coded();
        let id = self.pipeline.shared.site.stored_id(&ChunkId::of(&plain));
        let payload = coded.payload(&plain);
        self.append(RecordKind::Commit, coded.codec, id, payload, plain.len() as u32)?;
        Ok(())
    }

    /// What was appended since the last job, for the committer; with `seal`, the pack ends. `None` if
    /// no pack is open.
    pub(super) fn job(&mut self, seal: bool) -> Result<Option<CommitJob>> {
        let Some((no, pack)) = &mut self.open else { return Ok(None) };
        let no = *no;
        let pack_bytes = pack.bytes();
        let sealed = if seal { Some(pack.finish()?) } else { None };
        let syncer = pack.syncer()?;
        let path = pack.path().to_owned();
        if sealed.is_some() {
            self.open = None;
        }
        let mut job = empty_job(no, pack_bytes, path, syncer);
        job.locations = std::mem::take(&mut self.locations);
        job.released = std::mem::take(&mut self.named);
        job.seal = sealed;
        Ok(Some(job))
    }

    /// A job that does nothing but come after all those before it.
    pub(super) fn barrier(&self) -> CommitJob {
        empty_job(PackNo(0), 0, self.pipeline.shared.layout.journal(), Box::new(NothingToSync))
    }
}

fn empty_job(
    pack: PackNo,
    pack_bytes: u64,
    path: std::path::PathBuf,
    syncer: Box<dyn DiskSync>,
) -> CommitJob {
    CommitJob {
        pack,
        pack_bytes,
        path,
        syncer,
        locations: Vec::new(),
        released: Vec::new(),
        instances: Vec::new(),
        studies: Vec::new(),
        deletions: Vec::new(),
        all_recorded: false,
        acks: Vec::new(),
        told: Vec::new(),
        batch: None,
        charge: None,
        eras: Vec::new(),
        seal: None,
        notify: Vec::new(),
    }
}

struct NothingToSync;

impl DiskSync for NothingToSync {
    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }
}
