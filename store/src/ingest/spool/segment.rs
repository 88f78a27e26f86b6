//! A file of the spool: written from its start to its end, read by offset.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::head::{COPY_BYTES, HEAD_BYTES, Head, is_version_1, key_check};
use super::record::{Binding, Description, HEADER_BYTES, Header, Kind};
use crate::disk::{DiskFile, DiskSync};
use crate::error::{Error, Result};
use crate::keys::{NONCE_BYTES, StoredId, TAG_BYTES, check_tag};
use crate::pack::Cipher;
use crate::store::Shared;

/// Can less be written than is wanted, and is nothing else amiss?
pub(super) fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// The segment that is written to. No record is durable before [`DiskSync::sync`] on its syncer.
pub(super) struct OpenSegment {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    cipher: Cipher,
    binding: Binding,
    bytes: u64,
    /// The record in work: encrypted in place, written with one call.
    scratch: Vec<u8>,
}

/// What is appended.
pub(super) struct Spooling<'a> {
    pub(super) kind: Kind,
    pub(super) no: u64,
    pub(super) id: StoredId,
    pub(super) description: &'a [u8],
    pub(super) object: &'a [u8],
}

/// A segment that was begun, and what syncs it.
pub(super) type Begun = (OpenSegment, Box<dyn DiskSync>);

impl OpenSegment {
    /// Begins a segment in a new file, whose name is then durable. `None`: the disk is full.
    pub(super) fn create(shared: &Shared, no: u64, created_ms: u64) -> Result<Option<Begun>> {
        let path = shared.layout.spool_segment(no);
        let head = Head::new(shared, no, created_ms)?;
        let disk = &*shared.disk;
        let begun = disk.create(&path).and_then(|mut file| {
            file.append(&head.encode())?;
            let syncer = file.syncer()?;
            Ok((file, syncer))
        });
        let (file, syncer) = match begun {
            Ok(begun) => begun,
            Err(error) if is_full(&error) => return remove_unused(shared, &path),
            Err(error) => return Err(Error::io("create", &path)(error)),
        };
        let directory = shared.layout.spool();
        disk.sync_directory(&directory).map_err(Error::io("sync", &directory))?;
        Ok(Some((Self::new(shared, path, file, &head), syncer)))
    }

    /// Begins a segment in a file that was one before. Its head, with a new seed, is durable before its
    /// name is, so what a crash leaves is a spare or a segment with nothing of its own in it.
    /// `None`: the disk is full.
    pub(super) fn create_over(
        shared: &Shared,
        no: u64,
        created_ms: u64,
        spare: &Path,
    ) -> Result<Option<Begun>> {
        let head = Head::new(shared, no, created_ms)?;
        let disk = &*shared.disk;
        let begun = disk.open_over(spare).and_then(|mut file| {
            file.append(&head.encode())?;
            let syncer = file.syncer()?;
            syncer.sync()?;
            Ok((file, syncer))
        });
        let (file, syncer) = match begun {
            Ok(begun) => begun,
            // A file system that never writes in place.
            Err(error) if is_full(&error) => return remove_unused(shared, spare),
            Err(error) => return Err(Error::io("write over", spare)(error)),
        };
        let path = shared.layout.spool_segment(no);
        disk.rename(spare, &path).map_err(Error::io("rename", spare))?;
        Ok(Some((Self::new(shared, path, file, &head), syncer)))
    }

    fn new(shared: &Shared, path: PathBuf, file: Box<dyn DiskFile>, head: &Head) -> Self {
        let (cipher, binding) = (head.cipher(shared), head.binding());
        Self { path, file, cipher, binding, bytes: HEAD_BYTES as u64, scratch: Vec::new() }
    }

    pub(super) fn no(&self) -> u64 {
        self.binding.segment
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How far it is written.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Is no record in it?
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == HEAD_BYTES as u64
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

    /// Says that nothing of this use follows. Where the disk is full the file ends there instead.
    pub(super) fn end(&mut self, shared: &Shared, last: u64) -> Result<()> {
        let (kind, id) = (Kind::End, StoredId([0; 32]));
        let end = Spooling { kind, no: last, id, description: &[], object: &[] };
        self.append(shared, &end, self.bytes).map(drop)
    }

    /// Puts the record on disk into `scratch`.
    fn encrypt(&mut self, record: &Spooling<'_>, durable_bytes: u64) -> Result<()> {
        let mut header = Header {
            kind: record.kind,
            no: record.no,
            durable_bytes,
            description_bytes: record.description.len() as u32,
            object_bytes: record.object.len() as u32,
            id: record.id,
            mark: self.binding.mark,
            nonce: [0; NONCE_BYTES],
            tag: [0; TAG_BYTES],
        };
        self.scratch.clear();
        self.scratch.extend([0; HEADER_BYTES]);
        self.scratch.extend(record.description);
        self.scratch.extend(record.object);
        let aad = header.aad(self.binding.segment, self.bytes);
        let (head, payload) = self.scratch.split_at_mut(HEADER_BYTES);
        match &self.cipher {
            Cipher::Plain => header.tag = check_tag(&aad, payload),
            Cipher::Gcm(key) => {
                (header.nonce, header.tag) = key.seal(&record.id, &aad, payload)?;
            }
        }
        head.copy_from_slice(&header.encode());
        self.scratch.resize(header.record_bytes() as usize, 0);
        Ok(())
    }
}

/// Removes a file in which no segment could be begun, since the disk is full.
fn remove_unused(shared: &Shared, path: &Path) -> Result<Option<Begun>> {
    match shared.disk.remove(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(None),
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
    file: File,
    /// Each copy of its head, if that can be read.
    heads: [Option<Head>; 2],
    /// How its records are protected, and what they are bound to; `None`: the head is lost.
    used: Option<(Cipher, Binding)>,
}

impl SegmentReader {
    pub(super) fn open(shared: &Shared, no: u64, path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let mut copy = [0; COPY_BYTES];
        let heads = [0, COPY_BYTES as u64].map(|at| {
            // What the disk does not give is as bad as what is not a head.
            file.read_exact_at(&mut copy, at).ok()?;
            Head::decode(&copy, no)
        });
        let head = heads[0].or(heads[1]);
        let used = head.map(|head| (head.cipher(shared), head.binding()));
        Ok(Self { file, heads, used })
    }

    pub(super) fn bytes(&self) -> std::io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Are both copies of the head there?
    pub(super) fn has_heads(&self) -> bool {
        self.heads.iter().all(Option::is_some)
    }

    /// Is there no copy of the head, so that nothing can be read?
    pub(super) fn is_headless(&self) -> bool {
        self.used.is_none()
    }

    /// Does it say that it was written under another key than this site has now?
    pub(super) fn is_of_another_key(&self, shared: &Shared) -> bool {
        self.heads.iter().flatten().any(|head| head.key_check != key_check(shared))
    }

    /// Is it of a build that did not use segments again?
    pub(super) fn is_version_1(&self) -> bool {
        let mut start = [0; 64];
        self.file.read_exact_at(&mut start, 0).is_ok() && is_version_1(&start)
    }

    /// The header at `offset`, of this use or another.
    pub(super) fn any_header(&self, offset: u64) -> std::result::Result<Header, Unreadable> {
        let mut bytes = [0; HEADER_BYTES];
        match self.file.read_exact_at(&mut bytes, offset) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(Unreadable::Damaged("the header is cut short"))
            }
            Err(error) => Err(error.into()),
            Ok(()) => Header::decode(&bytes).map_err(Unreadable::Damaged),
        }
    }

    /// The header of the record at `offset`.
    pub(super) fn header(&self, offset: u64) -> std::result::Result<Header, Unreadable> {
        let (_, binding) = self.used()?;
        let header = self.any_header(offset)?;
        if header.mark != binding.mark {
            return Err(Unreadable::Damaged("the record is of an earlier use of the file"));
        }
        Ok(header)
    }

    fn used(&self) -> std::result::Result<&(Cipher, Binding), Unreadable> {
        self.used.as_ref().ok_or(Unreadable::Damaged("the head of the segment is lost"))
    }

    /// Reads and decrypts what stands behind a header into `buffer`, which has room for the payload and
    /// a tag. Returns the length of the payload.
    pub(super) fn payload(
        &self,
        offset: u64,
        header: &Header,
        buffer: &mut [u8],
    ) -> std::result::Result<usize, Unreadable> {
        let (cipher, binding) = self.used()?;
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
        let aad = header.aad(binding.segment, offset);
        let sound = match cipher {
            Cipher::Plain => check_tag(&aad, payload) == header.tag,
            Cipher::Gcm(key) => {
                tag.copy_from_slice(&header.tag);
                key.open(&header.id, header.nonce, &aad, room) == Some(length)
            }
        };
        if !sound {
            return Err(Unreadable::Damaged("the record is not what was written"));
        }
        Ok(length)
    }

    /// Reads an object as [`Self::payload`] does. It stands behind its description.
    pub(super) fn object(
        &self,
        offset: u64,
        header: &Header,
        buffer: &mut [u8],
    ) -> std::result::Result<Description, Unreadable> {
        if header.kind == Kind::End {
            return Err(Unreadable::Damaged("no object stands here"));
        }
        self.payload(offset, header, buffer)?;
        let description = &buffer[..header.description_bytes as usize];
        Description::decode(description)
            .map_err(|_| Unreadable::Damaged("the description cannot be read"))
    }
}
