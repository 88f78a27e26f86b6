//! Packs in memory: a disk double to write them with, and a way past their check values.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_chunker::codec::Codec;
use cairn_store::disk::{Disk, DiskFile, DiskSync};
use cairn_store::keys::{StoredId, check_tag};
use cairn_store::pack::{
    Cipher, OpenPack, PACK_HEADER_BYTES, PackHeader, PackId, RECORD_HEADER_BYTES, RecordHeader,
    RecordKind, TRAILER_BYTES,
};

/// The pack that inputs pretend to be.
pub const PACK: PackId = PackId(*b"a pack to fuzz  ");

/// First bytes of a record and of the trailer (store `FORMAT.md`).
const RECORD_MAGIC: &[u8] = b"CREC";
const TRAILER_MAGIC: &[u8] = b"CAIRNEND";

/// Kind, codec, payload and plain length of a record.
pub type Record<'a> = (RecordKind, Codec, &'a [u8], usize);

/// A sealed plain pack of such records.
///
/// # Panics
/// Never: memory does not fail, and no record here is over its bound.
#[must_use]
pub fn pack_of(records: &[Record<'_>]) -> Vec<u8> {
    let disk = MemoryDisk::default();
    let header = PackHeader { pack: PACK, cipher: 0, created_ms: 1 };
    let path = Path::new("memory");
    let mut pack = OpenPack::create(&disk, path, header, Cipher::Plain).expect("memory");
    for (i, (kind, codec, payload, plain_bytes)) in records.iter().enumerate() {
        let id = StoredId([i as u8; 32]);
        pack.append(*kind, *codec, id, payload, *plain_bytes as u32).expect("memory");
    }
    pack.finish().expect("memory");
    disk.content()
}

/// One file, whatever its name.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<Vec<u8>>>);

impl MemoryDisk {
    /// What was written.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl DiskFile for MemoryDisk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(())
    }

    fn syncer(&self) -> io::Result<Box<dyn DiskSync>> {
        Ok(Box::new(self.clone()))
    }
}

impl DiskSync for MemoryDisk {
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn create(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(self.clone()))
    }

    fn open_append(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(self.clone()))
    }

    fn open_over(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn truncate(&self, _: &Path, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Makes every check value right again that a mutation broke, as somebody who forges a plain pack
/// would: of the pack header, of records that stand where the one before ends, of the trailer.
pub fn heal(bytes: &mut [u8]) {
    if let Some(header) = bytes.first_chunk_mut::<PACK_HEADER_BYTES>() {
        heal_crc(header);
    }
    let pack = PackHeader::decode(bytes).map_or(PACK, |header| header.pack);
    let mut at = PACK_HEADER_BYTES;
    while at < bytes.len() {
        let rest = &mut bytes[at..];
        at += heal_record(rest, pack, at as u64).unwrap_or(1);
    }
    if let Some(trailer) = bytes.last_chunk_mut::<TRAILER_BYTES>()
        && trailer.starts_with(TRAILER_MAGIC)
    {
        heal_crc(trailer);
    }
}

/// The length of the record that `rest` begins with.
fn heal_record(rest: &mut [u8], pack: PackId, offset: u64) -> Option<usize> {
    if !rest.starts_with(RECORD_MAGIC) {
        return None;
    }
    let (head, payload) = rest.split_first_chunk_mut::<RECORD_HEADER_BYTES>()?;
    heal_crc(head);
    let mut header = RecordHeader::decode(head).ok()?;
    let payload = payload.get(..header.payload_bytes as usize)?;
    header.tag = check_tag(&header.aad(pack, offset), payload);
    *head = header.encode();
    Some(RECORD_HEADER_BYTES + payload.len())
}

/// Headers and trailer end with a CRC of all before it.
fn heal_crc(bytes: &mut [u8]) {
    if let Some((body, check)) = bytes.split_last_chunk_mut::<4>() {
        *check = crc32c::crc32c(body).to_le_bytes();
    }
}
