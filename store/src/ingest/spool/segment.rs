//! A file of the spool: written by appending, read by offset.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::record::{Description, HEADER_BYTES, Header};
use crate::disk::{DiskFile, DiskSync};
use crate::error::{Error, Result};
use crate::keys::{NONCE_BYTES, SPOOL_CHECK_BYTES, StoredId, TAG_BYTES, check_tag};
use crate::layout::{FORMAT_VERSION, SEGMENT_MAGIC};
use crate::pack::Cipher;
use crate::store::Shared;

/// Length of a segment's header in bytes.
pub(super) const SEGMENT_HEADER_BYTES: usize = 64;

/// How the records of this site's spool are protected.
pub(super) fn cipher(shared: &Shared) -> Cipher {
    if shared.encrypt { Cipher::Gcm(shared.site.spool_key()) } else { Cipher::Plain }
}

/// What a segment says of the key that it was written under; zeros where nothing is encrypted.
fn key_check(shared: &Shared) -> [u8; SPOOL_CHECK_BYTES] {
    if shared.encrypt { shared.site.spool_check() } else { [0; SPOOL_CHECK_BYTES] }
}

/// The first bytes of a segment.
fn encode_header(
    no: u64,
    created_ms: u64,
    key_check: &[u8; SPOOL_CHECK_BYTES],
) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut out = [0; SEGMENT_HEADER_BYTES];
    out[..8].copy_from_slice(&SEGMENT_MAGIC);
    out[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    out[16..24].copy_from_slice(&no.to_le_bytes());
    out[24..32].copy_from_slice(&created_ms.to_le_bytes());
    out[32..48].copy_from_slice(key_check);
    let check = crc32c::crc32c(&out[..60]);
    out[60..].copy_from_slice(&check.to_le_bytes());
    out
}

/// Are these the first bytes of segment `no`?
fn is_header(bytes: &[u8], no: u64) -> bool {
    let Some(bytes) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else { return false };
    bytes[..8] == SEGMENT_MAGIC
        && bytes[8..10] == FORMAT_VERSION.to_le_bytes()
        && bytes[16..24] == no.to_le_bytes()
        && bytes[60..] == crc32c::crc32c(&bytes[..60]).to_le_bytes()
}

/// Can less be written than is wanted, and is nothing else amiss?
pub(super) fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// The segment that is appended to. Nothing is durable before [`DiskSync::sync`] on its syncer.
pub(super) struct OpenSegment {
    no: u64,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    cipher: Cipher,
    bytes: u64,
    /// The record in work: encrypted in place, written with one call.
    scratch: Vec<u8>,
}

/// What is appended.
pub(super) struct Spooling<'a> {
    pub(super) no: u64,
    pub(super) id: StoredId,
    pub(super) description: &'a [u8],
    pub(super) object: &'a [u8],
}

impl OpenSegment {
    /// Begins a segment, whose name is then durable. `None`: the disk is full.
    pub(super) fn create(
        shared: &Shared,
        no: u64,
        created_ms: u64,
    ) -> Result<Option<(Self, Box<dyn DiskSync>)>> {
        let path = shared.layout.spool_segment(no);
        let disk = &*shared.disk;
        let begun = disk.create(&path).and_then(|mut file| {
            file.append(&encode_header(no, created_ms, &key_check(shared)))?;
            let syncer = file.syncer()?;
            Ok((file, syncer))
        });
        let (file, syncer) = match begun {
            Ok(begun) => begun,
            Err(error) if is_full(&error) => match disk.remove(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path)(error));
                }
                _ => return Ok(None),
            },
            Err(error) => return Err(Error::io("create", &path)(error)),
        };
        let directory = shared.layout.spool();
        disk.sync_directory(&directory).map_err(Error::io("sync", &directory))?;
        let bytes = SEGMENT_HEADER_BYTES as u64;
        let scratch = Vec::new();
        let open = Self { no, path, file, cipher: cipher(shared), bytes, scratch };
        Ok(Some((open, syncer)))
    }

    pub(super) fn no(&self) -> u64 {
        self.no
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Length so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Encrypts and appends a record; returns where it starts. `None`: the disk is full, and what was
    /// written of it is cut off again.
    pub(super) fn append(
        &mut self,
        shared: &Shared,
        record: &Spooling<'_>,
        durable_bytes: u64,
    ) -> Result<Option<u64>> {
        let offset = self.bytes;
        self.encrypt(record, durable_bytes)?;
        match self.file.append(&self.scratch) {
            Ok(()) => {
                self.bytes += self.scratch.len() as u64;
                Ok(Some(offset))
            }
            Err(error) if is_full(&error) => {
                // Behind half a record nothing could be found again.
                shared
                    .disk
                    .truncate(&self.path, offset)
                    .map_err(Error::io("truncate", &self.path))?;
                Ok(None)
            }
            Err(error) => Err(Error::io("write", &self.path)(error)),
        }
    }

    /// Puts the record on disk into `scratch`.
    fn encrypt(&mut self, record: &Spooling<'_>, durable_bytes: u64) -> Result<()> {
        let mut header = Header {
            no: record.no,
            durable_bytes,
            description_bytes: record.description.len() as u32,
            object_bytes: record.object.len() as u32,
            id: record.id,
            nonce: [0; NONCE_BYTES],
            tag: [0; TAG_BYTES],
        };
        self.scratch.clear();
        self.scratch.extend([0; HEADER_BYTES]);
        self.scratch.extend(record.description);
        self.scratch.extend(record.object);
        let aad = header.aad(self.no, self.bytes);
        let (head, payload) = self.scratch.split_at_mut(HEADER_BYTES);
        match &self.cipher {
            Cipher::Plain => header.tag = check_tag(&aad, payload),
            Cipher::Gcm(key) => {
                (header.nonce, header.tag) = key.seal(&record.id, &aad, payload)?;
            }
        }
        head.copy_from_slice(&header.encode());
        Ok(())
    }
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// The disk does not give it.
    #[error("it cannot be read: {0}")]
    Disk(#[from] std::io::Error),
    /// It is not what was written.
    #[error("{0}")]
    Damaged(&'static str),
}

/// A segment that is read.
pub(super) struct SegmentReader {
    no: u64,
    file: File,
    cipher: Cipher,
}

impl SegmentReader {
    pub(super) fn open(shared: &Shared, no: u64, path: &Path) -> std::io::Result<Self> {
        Ok(Self { no, file: File::open(path)?, cipher: cipher(shared) })
    }

    pub(super) fn bytes(&self) -> std::io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// The start of the file, if it is that of this segment.
    fn start(&self) -> Option<[u8; SEGMENT_HEADER_BYTES]> {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        is_header(&bytes, self.no).then_some(bytes)
    }

    /// Is the start of the file that of this segment?
    pub(super) fn has_header(&self) -> bool {
        self.start().is_some()
    }

    /// Does it say that it was written under another key than this site has now?
    pub(super) fn is_of_another_key(&self, shared: &Shared) -> bool {
        self.start().is_some_and(|bytes| bytes[32..48] != key_check(shared))
    }

    /// Some of its bytes.
    pub(super) fn read_at(&self, into: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.file.read_at(into, offset)
    }

    /// The header of the record at `offset`.
    pub(super) fn header(&self, offset: u64) -> std::result::Result<Header, Unreadable> {
        let mut bytes = [0; HEADER_BYTES];
        match self.file.read_exact_at(&mut bytes, offset) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(Unreadable::Damaged("the header is cut short"))
            }
            Err(error) => Err(error.into()),
            Ok(()) => Header::decode(&bytes).map_err(Unreadable::Damaged),
        }
    }

    /// Reads and decrypts what stands behind a header into `buffer`, which has room for the payload and
    /// a tag. The object stands behind the description.
    pub(super) fn payload(
        &self,
        offset: u64,
        header: &Header,
        buffer: &mut [u8],
    ) -> std::result::Result<Description, Unreadable> {
        let length = header.payload_bytes();
        let short = Unreadable::Damaged("the record is longer than its buffer");
        let room = buffer.get_mut(..length + TAG_BYTES).ok_or(short)?;
        let (payload, tag) = room.split_at_mut(length);
        match self.file.read_exact_at(payload, offset + HEADER_BYTES as u64) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(Unreadable::Damaged("the record is cut short"));
            }
            other => other?,
        }
        let aad = header.aad(self.no, offset);
        let sound = match &self.cipher {
            Cipher::Plain => check_tag(&aad, payload) == header.tag,
            Cipher::Gcm(key) => {
                tag.copy_from_slice(&header.tag);
                key.open(&header.id, header.nonce, &aad, room) == Some(length)
            }
        };
        if !sound {
            return Err(Unreadable::Damaged("the record is not what was written"));
        }
        let description = &buffer[..header.description_bytes as usize];
        Description::decode(description)
            .map_err(|_| Unreadable::Damaged("the description cannot be read"))
    }
}
