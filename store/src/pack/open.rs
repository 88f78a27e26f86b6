//! A pack that is being written: the journal.

use std::path::{Path, PathBuf};

use cairn_chunker::codec::Codec;

use crate::disk::{Disk, DiskFile, DiskSync};
use crate::error::{Error, Result};
use crate::keys::{StoredId, check_tag};
use crate::layout::TRAILER_MAGIC;
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::pack::scan::{FooterEntry, encode_footer};
use crate::pack::{
    Cipher, PACK_HEADER_BYTES, PackHeader, PackId, RECORD_HEADER_BYTES, RecordHeader, RecordKind,
    TRAILER_BYTES,
};

/// Appends records to one file. Nothing is durable before [`DiskSync::sync`] on its syncer.
pub struct OpenPack {
    pack: PackId,
    path: PathBuf,
    cipher: Cipher,
    file: Box<dyn DiskFile>,
    offset: u64,
    records: Vec<FooterEntry>,
    /// Hash of all bytes of the pack: what a copy in a bucket is checked against.
    hasher: blake3::Hasher,
    /// Header and payload of the record in work: written with one call.
    scratch: Vec<u8>,
}

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Offset of its header in the pack.
    pub offset: u64,
    /// Length of header and payload.
    pub bytes: u32,
}

impl OpenPack {
    /// Begins a pack at `path`.
    pub fn create(
        disk: &dyn Disk,
        path: &Path,
        header: PackHeader,
        cipher: Cipher,
    ) -> Result<Self> {
        let file = disk.create(path).map_err(Error::io("create", path))?;
        let mut made = Self {
            pack: header.pack,
            path: path.to_owned(),
            cipher,
            file,
            offset: 0,
            records: Vec::new(),
            hasher: blake3::Hasher::new(),
            scratch: Vec::new(),
        };
        made.scratch.extend(PackHeader { cipher: made.cipher.id(), ..header }.encode());
        made.write_scratch()?;
        debug_assert_eq!(made.offset, PACK_HEADER_BYTES as u64);
        Ok(made)
    }

    /// Goes on with a pack that a crash left open; `content` is all of it, checked and cut already.
    pub fn resume(
        disk: &dyn Disk,
        path: &Path,
        pack: PackId,
        cipher: Cipher,
        records: Vec<FooterEntry>,
        content: &[u8],
    ) -> Result<Self> {
        let file = disk.open_append(path).map_err(Error::io("open", path))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(content);
        Ok(Self {
            pack,
            path: path.to_owned(),
            cipher,
            file,
            offset: content.len() as u64,
            records,
            hasher,
            scratch: Vec::new(),
        })
    }

    /// The pack's name.
    #[must_use]
    pub fn pack(&self) -> PackId {
        self.pack
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.offset
    }

    /// No record was appended yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// A handle that makes what was appended durable, for another thread.
    pub fn syncer(&self) -> Result<Box<dyn DiskSync>> {
        self.file.syncer().map_err(Error::io("open", &self.path))
    }

    /// Encrypts and appends one record.
    pub fn append(
        &mut self,
        kind: RecordKind,
        codec: Codec,
        id: StoredId,
        payload: &[u8],
        plain_bytes: u32,
    ) -> Result<Placed> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Error::Internal("a record is over its bound"));
        }
        let mut header = RecordHeader {
            kind,
            codec,
            payload_bytes: payload.len() as u32,
            plain_bytes,
            id,
            nonce: [0; 12],
            tag: [0; 16],
        };
        let aad = header.aad(self.pack, self.offset);
        self.scratch.clear();
        self.scratch.resize(RECORD_HEADER_BYTES, 0);
        self.scratch.extend_from_slice(payload);
        let body = &mut self.scratch[RECORD_HEADER_BYTES..];
        match &self.cipher {
            Cipher::Plain => header.tag = check_tag(&aad, body),
            Cipher::Gcm(key) => (header.nonce, header.tag) = key.seal(&id, &aad, body)?,
        }
        self.scratch[..RECORD_HEADER_BYTES].copy_from_slice(&header.encode());
        let placed = Placed { offset: self.offset, bytes: self.scratch.len() as u32 };
        if kind != RecordKind::Footer {
            self.records.push(FooterEntry::new(&header, placed.offset));
        }
        self.write_scratch()?;
        Ok(placed)
    }

    fn write_scratch(&mut self) -> Result<()> {
        self.file.append(&self.scratch).map_err(Error::io("write", &self.path))?;
        self.hasher.update(&self.scratch);
        self.offset += self.scratch.len() as u64;
        Ok(())
    }

    /// Appends footer and trailer. Returns the length and hash of the whole pack; it still has to be
    /// synced.
    pub fn finish(&mut self) -> Result<(u64, [u8; 32])> {
        let footer = encode_footer(&self.records);
        let id = StoredId(*blake3::hash(&footer).as_bytes());
        let length = footer.len() as u32;
        let placed = self.append(RecordKind::Footer, Codec::Stored, id, &footer, length)?;
        let mut trailer = [0; TRAILER_BYTES];
        trailer[..8].copy_from_slice(&TRAILER_MAGIC);
        trailer[8..16].copy_from_slice(&placed.offset.to_le_bytes());
        trailer[16..20].copy_from_slice(&placed.bytes.to_le_bytes());
        let check = crc32c::crc32c(&trailer[..28]);
        trailer[28..].copy_from_slice(&check.to_le_bytes());
        self.scratch.clear();
        self.scratch.extend(trailer);
        self.write_scratch()?;
        Ok((self.offset, *self.hasher.finalize().as_bytes()))
    }
}
