//! Giving content back, verified.
//!
//! Catalog → one range read → decrypt → decode → compare with the name → hand out. Nothing that does
//! not have its name ever leaves here. Packs are read with positioned reads rather than maps: a bad
//! sector or a file cut short under a map would end the process instead of one request.

mod lend;
mod memory;
mod packs;
mod ranges;

pub use lend::Loan;
pub use ranges::{DatasetSource, Pieces};

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use cairn_chunker::codec;
use cairn_chunker::frames::Frames;
use cairn_chunker::id::ChunkId;
use cairn_chunker::limits::MANIFEST_BYTES_MAX;
use cairn_chunker::manifest::{ChunkRef, Envelope, Manifest};
use cairn_dicom::object::Identity;
use moka::sync::Cache;

use crate::catalog::{Location, PackNo, VersionRow};
use crate::commit::Commit;
use crate::error::{Damage, Error, Result};
use crate::limits::{BLOCK_CACHE_BYTES, CHUNK_CACHE_BYTES, MANIFEST_CACHE_BYTES, SMALL_BYTES_MAX};
use crate::pack::{Cipher, OpenedBlock, RecordHeader, RecordKind, open_block};
use crate::store::Shared;

use packs::Packs;

/// Reads chunks, manifests and instances.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    packs: Packs,
    blocks: Cache<(PackNo, u64), Arc<OpenedBlock>>,
    /// Chunks of their own record that were checked against their names, for those who are served.
    chunks: Cache<ChunkId, Bytes>,
    manifests: Cache<ChunkId, Arc<Manifest>>,
    served: Served,
}

/// A chunk in a codec.
#[derive(Debug, Clone)]
pub struct Coded {
    /// The codec.
    pub codec: codec::Codec,
    /// The chunk in it.
    pub payload: Bytes,
}

/// How often those who are served found something in memory.
#[derive(Debug, Default)]
struct Served {
    chunk_hits: AtomicU64,
    chunk_misses: AtomicU64,
    manifest_hits: AtomicU64,
    manifest_misses: AtomicU64,
}

/// One more.
fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let blocks = Cache::builder()
            .max_capacity(BLOCK_CACHE_BYTES)
            .weigher(|_, block: &Arc<OpenedBlock>| block.plain.len() as u32)
            .build();
        let chunks = Cache::builder()
            .max_capacity(CHUNK_CACHE_BYTES)
            .weigher(|_, chunk: &Bytes| chunk.len() as u32)
            .build();
        let manifests = Cache::builder()
            .max_capacity(MANIFEST_CACHE_BYTES)
            .weigher(|_, manifest: &Arc<Manifest>| manifest_bytes(manifest))
            .build();
        Self {
            packs: Packs::new(Arc::clone(&shared)),
            shared,
            blocks,
            chunks,
            manifests,
            served: Served::default(),
        }
    }

    /// Where a chunk lies.
    pub fn locate(&self, id: &ChunkId) -> Result<Location> {
        let stored = self.shared.site.stored_id(id);
        self.shared
            .catalog
            .locate(&stored)?
            .ok_or_else(|| Error::NotFound { what: "chunk", name: id.to_string() })
    }

    /// The bytes of a chunk, which have its name.
    pub fn chunk(&self, id: &ChunkId) -> Result<Bytes> {
        self.wherever(id, |place| self.chunk_at(id, place))
    }

    /// Reads a chunk where it lies; once more if it was moved meanwhile.
    fn wherever<T>(&self, id: &ChunkId, read: impl Fn(Location) -> Result<T>) -> Result<T> {
        let place = self.locate(id)?;
        let error = match read(place) {
            Err(error) => error,
            done => return done,
        };
        match self.locate(id)? {
            moved if moved != place => read(moved),
            _ => Err(error),
        }
    }

    fn chunk_at(&self, id: &ChunkId, place: Location) -> Result<Bytes> {
        let bytes = match place.inner {
            None => self.whole_record(place)?,
            Some(inner) => {
                let block = self.block(place)?;
                let range = inner as usize..inner as usize + place.bytes as usize;
                if range.end > block.plain.len() {
                    return Err(self.damaged(place, "the block is shorter than the catalog says"));
                }
                block.plain.slice(range)
            }
        };
        if ChunkId::of(&bytes) != *id {
            return Err(self.damaged(place, "the bytes do not have the chunk's name"));
        }
        Ok(bytes)
    }

    /// A chunk for another archive: as it is coded where it lies, or plain where it shares a record with
    /// others. What is coded was not compared with its name: whoever decodes it does that.
    pub fn coded(&self, chunk: &ChunkRef) -> Result<Coded> {
        self.wherever(&chunk.id, |place| {
            if place.inner.is_some() {
                let payload = self.served_chunk(chunk)?;
                return Ok(Coded { codec: codec::Codec::Stored, payload });
            }
            let (header, payload) = self.packs.record(place)?;
            if header.kind != RecordKind::Chunk || header.plain_bytes != chunk.bytes {
                return Err(self.damaged(place, "the record is not this chunk"));
            }
            Ok(Coded { codec: header.codec, payload: payload.into() })
        })
    }

    /// A chunk for somebody who is served: from memory if it was checked before. Whoever verifies or
    /// exports reads what is at rest instead.
    fn served_chunk(&self, chunk: &ChunkRef) -> Result<Bytes> {
        if let Some(bytes) = self.chunks.get(&chunk.id) {
            count(&self.served.chunk_hits);
            return Ok(bytes);
        }
        count(&self.served.chunk_misses);
        let bytes = self.chunk_of(chunk)?;
        // Smaller ones are kept with their blocks.
        if bytes.len() > SMALL_BYTES_MAX {
            self.chunks.insert(chunk.id, bytes.clone());
        }
        Ok(bytes)
    }

    /// A manifest for somebody who is served: from memory if it was read before.
    pub fn served_manifest(&self, id: &ChunkId) -> Result<Arc<Manifest>> {
        if let Some(manifest) = self.manifests.get(id) {
            count(&self.served.manifest_hits);
            return Ok(manifest);
        }
        count(&self.served.manifest_misses);
        let manifest = Arc::new(self.manifest(id)?);
        self.manifests.insert(*id, Arc::clone(&manifest));
        Ok(manifest)
    }

    /// Bytes held in memory for who is served: of chunks, blocks and manifests.
    pub fn cached_bytes(&self) -> [(&'static str, u64); 3] {
        [
            ("chunks", self.chunks.weighted_size()),
            ("blocks", self.blocks.weighted_size()),
            ("manifests", self.manifests.weighted_size()),
        ]
    }

    /// How often those who are served found something in memory, and how often not.
    pub fn cache_counts(&self) -> [(&'static str, u64, u64); 2] {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let served = &self.served;
        [
            ("chunks", of(&served.chunk_hits), of(&served.chunk_misses)),
            ("manifests", of(&served.manifest_hits), of(&served.manifest_misses)),
        ]
    }

    fn whole_record(&self, place: Location) -> Result<Bytes> {
        let whole = self.packs.with_record(place, |header, payload| {
            if header.kind != RecordKind::Chunk {
                return Err("the record is no chunk");
            }
            let bytes = header.plain_bytes as usize;
            if bytes > MANIFEST_BYTES_MAX {
                return Err("the chunk is longer than any");
            }
            memory::filled(bytes, |plain| codec::decode_into(header.codec, payload, plain))
                .map_err(|_| "the chunk cannot be decoded")
        })?;
        whole.map_err(|why| self.damaged(place, why))
    }

    fn block(&self, place: Location) -> Result<Arc<OpenedBlock>> {
        let key = (place.pack, place.offset);
        if let Some(block) = self.blocks.get(&key) {
            return Ok(block);
        }
        let block = self.packs.with_record(place, |header, payload| {
            if header.kind != RecordKind::Block {
                return Err("the record is no block");
            }
            open_block(header.codec, payload, header.plain_bytes)
        })?;
        let block = block.map_err(|why| self.damaged(place, why))?;
        let block = Arc::new(block);
        self.blocks.insert(key, Arc::clone(&block));
        Ok(block)
    }

    pub(crate) fn damaged(&self, place: Location, why: &str) -> Error {
        match self.shared.pack(place.pack) {
            Ok(pack) => Damage { pack: pack.id, offset: place.offset, why: why.into() }.into(),
            Err(error) => error,
        }
    }

    /// A manifest by the name under which it is stored.
    pub fn manifest(&self, id: &ChunkId) -> Result<Manifest> {
        Ok(Manifest::decode(&self.chunk(id)?)?)
    }

    /// Writes an instance as the file it came as, or, if it came without envelope, as the Part 10
    /// file that it makes. The whole is checked against the data set's hash: an error after bytes
    /// were written means that those bytes must not be used.
    pub fn write_instance(&self, version: &VersionRow, out: &mut dyn Write) -> Result<u64> {
        let manifest = self.manifest(&version.manifest)?;
        self.write_manifest(&manifest, version, out)
    }

    fn write_manifest(
        &self,
        manifest: &Manifest,
        version: &VersionRow,
        out: &mut dyn Write,
    ) -> Result<u64> {
        let mut sink = Sink { out, written: 0 };
        match &manifest.envelope {
            Envelope::Inline(bytes) => sink.write(bytes)?,
            Envelope::Chunked(chunks) => {
                for chunk in chunks {
                    sink.write(&self.chunk_of(chunk)?)?;
                }
            }
            Envelope::Absent => sink.write(&cairn_dicom::envelope::synthesize(&Identity {
                study_uid: version.study_uid.clone(),
                series_uid: version.series_uid.clone(),
                sop_instance_uid: manifest.sop_instance_uid.clone(),
                sop_class_uid: manifest.sop_class_uid.clone(),
                transfer_syntax_uid: manifest.transfer_syntax_uid.clone(),
            }))?,
        }
        self.write_dataset(manifest, version, &mut sink)?;
        Ok(sink.written)
    }

    fn write_dataset(
        &self,
        manifest: &Manifest,
        version: &VersionRow,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let mut hasher = blake3::Hasher::new();
        for chunk in &manifest.chunks {
            let bytes = self.chunk_of(chunk)?;
            hasher.update(&bytes);
            sink.write(&bytes)?;
        }
        let whole = *hasher.finalize().as_bytes();
        if whole != version.dataset_hash.0 || manifest.dataset_hash != version.dataset_hash {
            let place = self.locate(&version.manifest)?;
            return Err(self.damaged(place, "the data set does not have its hash"));
        }
        Ok(())
    }

    fn chunk_of(&self, chunk: &ChunkRef) -> Result<Bytes> {
        let bytes = self.chunk(&chunk.id)?;
        if bytes.len() == chunk.bytes as usize {
            return Ok(bytes);
        }
        Err(self.damaged(self.locate(&chunk.id)?, "the chunk has another length"))
    }

    /// Reads all of an instance and checks it, without handing it out.
    pub fn check_instance(&self, version: &VersionRow) -> Result<u64> {
        let manifest = self.manifest(&version.manifest)?;
        if manifest.leaf() != version.leaf() {
            let place = self.locate(&version.manifest)?;
            return Err(self.damaged(place, "the manifest is of another instance"));
        }
        self.write_manifest(&manifest, version, &mut std::io::sink())
    }

    /// Reads a commit record.
    pub(crate) fn commit(&self, pack: PackNo, offset: u64, record_bytes: u32) -> Result<Commit> {
        let place = Location { pack, offset, record_bytes, inner: None, bytes: 0 };
        let (header, payload) = self.packs.record(place)?;
        if header.kind != RecordKind::Commit {
            return Err(self.damaged(place, "the record is no commit"));
        }
        let plain = codec::decode(header.codec, &payload, header.plain_bytes as usize)
            .map_err(|_| self.damaged(place, "the commit cannot be decoded"))?;
        Ok(Commit::decode(&plain)?)
    }

    /// Reads any record, checked and decrypted.
    pub(crate) fn record(&self, place: Location) -> Result<(RecordHeader, Vec<u8>)> {
        self.packs.record(place)
    }

    /// How the records of a pack are protected.
    pub(crate) fn cipher(&self, pack: PackNo) -> Result<Cipher> {
        self.packs.cipher(pack)
    }

    /// Lets go of a pack that nobody needs any more: an open file would keep its place on the disk.
    pub(crate) fn release(&self, pack: PackNo) {
        self.packs.release(pack);
    }

    /// Reads the raw bytes of a whole pack.
    pub(crate) fn whole_pack(&self, no: PackNo) -> Result<Vec<u8>> {
        self.packs.whole(no)
    }

    /// Forgets what was decoded; for measuring.
    pub fn forget(&self) {
        self.blocks.invalidate_all();
        self.chunks.invalidate_all();
        self.manifests.invalidate_all();
        self.packs.forget();
    }
}

/// What a manifest takes in memory.
fn manifest_bytes(manifest: &Manifest) -> u32 {
    let frames = match &manifest.frames {
        Frames::Encapsulated { starts, .. } => starts.len() * 8,
        Frames::None | Frames::Native { .. } => 0,
    };
    let envelope = match &manifest.envelope {
        Envelope::Inline(bytes) => bytes.len(),
        Envelope::Absent | Envelope::Chunked(_) => 0,
    };
    let chunks = manifest.chunks.len() * size_of::<ChunkRef>();
    u32::try_from(size_of::<Manifest>() + chunks + frames + envelope).unwrap_or(u32::MAX)
}

struct Sink<'a> {
    out: &'a mut dyn Write,
    written: u64,
}

impl Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out
            .write_all(bytes)
            .map_err(Error::io("write", std::path::Path::new("the export")))?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}
