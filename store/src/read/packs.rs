//! Packs as files or objects to read ranges of.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::catalog::{Location, PackNo, PackState};
use crate::error::{Damage, Error, Result};
use crate::layout::pack_object;
use crate::limits::{OPEN_PACKS_MAX, PACK_BYTES_MAX, REMOTE_CACHE_BYTES, REMOTE_READ_BYTES};
use crate::pack::{Cipher, PackId, RecordHeader, open_in_place};
use crate::store::Shared;

/// What a thread keeps for the next record at most: a coded frame seldom takes more.
const RECORD_KEPT_BYTES: usize = 512 << 10;

thread_local! {
    /// Taken for the time of a call.
    static RECORD: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// One pack, ready to be read.
struct OpenedPack {
    id: PackId,
    cipher: Cipher,
    /// The file, in the journal or a bucket that is a directory. It stays readable when a pack is
    /// sealed, renamed or uploaded meanwhile.
    file: Option<File>,
    /// Length on record: for remote reads.
    bytes: u64,
}

/// Opens packs, and keeps some of them open.
pub(super) struct Packs {
    shared: Arc<Shared>,
    open: Mutex<HashMap<PackNo, Arc<OpenedPack>>>,
    segments: Cache<(PackNo, u64), Bytes>,
}

impl std::fmt::Debug for Packs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packs")
    }
}

impl Packs {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        // Who reads a study comes to a new segment all the time, and back to the last ones: by how often
        // they were asked for, new ones would not be let in.
        let segments = Cache::builder()
            .eviction_policy(EvictionPolicy::lru())
            .max_capacity(REMOTE_CACHE_BYTES)
            .weigher(|_, segment: &Bytes| segment.len() as u32)
            .build();
        Self { shared, open: Mutex::default(), segments }
    }

    pub(super) fn forget(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.segments.invalidate_all();
    }

    pub(super) fn release(&self, no: PackNo) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&no);
    }

    fn pack(&self, no: PackNo) -> Result<Arc<OpenedPack>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pack) = open.get(&no) {
            return Ok(Arc::clone(pack));
        }
        let row = self.shared.pack(no)?;
        let in_bucket = || self.shared.bucket.directory().map(|top| top.join(pack_object(row.id)));
        let journal = self.shared.layout.journal_pack(row.id);
        // A pack may move between the look at its row and the look at the disk: try both places.
        let candidates = match row.state {
            PackState::Stored | PackState::Condemned | PackState::Gone => [in_bucket(), None],
            PackState::Open | PackState::Sealed => [Some(journal), in_bucket()],
        };
        let mut file = None;
        for path in candidates.into_iter().flatten() {
            match File::open(&path) {
                Ok(opened) => {
                    file = Some(opened);
                    break;
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("open", &path)(error)),
            }
        }
        if file.is_none() && self.shared.bucket.directory().is_some() {
            return Err(
                Damage { pack: row.id, offset: 0, why: "the pack is missing".into() }.into()
            );
        }
        let cipher = self.shared.cipher(row.id)?;
        let pack = Arc::new(OpenedPack { id: row.id, cipher, file, bytes: row.bytes });
        if open.len() >= OPEN_PACKS_MAX
            && let Some(any) = open.keys().next().copied()
        {
            open.remove(&any);
        }
        open.insert(no, Arc::clone(&pack));
        Ok(pack)
    }

    /// How the records of a pack are protected.
    pub(super) fn cipher(&self, no: PackNo) -> Result<Cipher> {
        Ok(self.pack(no)?.cipher.clone())
    }

    /// Reads, checks and decrypts a record.
    pub(super) fn record(&self, place: Location) -> Result<(RecordHeader, Vec<u8>)> {
        self.with_record(place, |header, payload| (*header, payload.to_vec()))
    }

    /// The same for who needs the payload no longer than `look` takes: it stands in memory of the thread,
    /// which is used again.
    pub(super) fn with_record<T>(
        &self,
        place: Location,
        look: impl FnOnce(&RecordHeader, &[u8]) -> T,
    ) -> Result<T> {
        let pack = self.pack(place.pack)?;
        let damaged =
            |why: &str| Damage { pack: pack.id, offset: place.offset, why: why.to_owned() };
        let mut record = RECORD.take();
        record.clear();
        if let Some(file) = &pack.file {
            record.resize(place.record_bytes as usize, 0);
            file.read_exact_at(&mut record, place.offset)
                .map_err(|error| damaged(&format!("it cannot be read: {error}")))?;
        } else {
            let read = self.remote(place.pack, &pack, place.offset, place.record_bytes)?;
            record.extend_from_slice(&read);
        }
        let (header, payload) =
            open_in_place(&pack.cipher, pack.id, place.offset, &mut record).map_err(damaged)?;
        let seen = look(&header, &record[payload]);
        if record.capacity() <= RECORD_KEPT_BYTES {
            RECORD.set(record);
        }
        Ok(seen)
    }

    /// Reads a range in whole segments, which neighbours will want next.
    fn remote(&self, no: PackNo, pack: &OpenedPack, offset: u64, bytes: u32) -> Result<Bytes> {
        let end = offset + u64::from(bytes);
        let first = offset / REMOTE_READ_BYTES;
        let last = (end - 1) / REMOTE_READ_BYTES;
        let mut joined = Vec::new();
        for segment in first..=last {
            let start = segment * REMOTE_READ_BYTES;
            let stop = (start + REMOTE_READ_BYTES).min(pack.bytes.max(end));
            let get = || self.shared.bucket.get_range(&pack_object(pack.id), start..stop);
            // Whoever wants a segment that is on its way waits for it.
            let part = match self.segments.try_get_with((no, segment), get) {
                Ok(part) => part,
                Err(shared) => match Arc::try_unwrap(shared) {
                    Ok(error) => return Err(error),
                    Err(_) => get()?,
                },
            };
            let from = offset.saturating_sub(start).min(part.len() as u64) as usize;
            let to = (end - start).min(part.len() as u64) as usize;
            if first == last {
                return Ok(part.slice(from..to));
            }
            joined.extend_from_slice(&part[from..to]);
        }
        Ok(joined.into())
    }

    pub(super) fn whole(&self, no: PackNo) -> Result<Vec<u8>> {
        let pack = self.pack(no)?;
        if pack.bytes > PACK_BYTES_MAX {
            return Err(Damage { pack: pack.id, offset: 0, why: "it is too long".into() }.into());
        }
        match &pack.file {
            Some(file) => {
                let length = file.metadata().map_err(Error::io("read", "pack".as_ref()))?.len();
                let mut bytes = vec![0; length.min(PACK_BYTES_MAX) as usize];
                file.read_exact_at(&mut bytes, 0).map_err(|error| Damage {
                    pack: pack.id,
                    offset: 0,
                    why: format!("it cannot be read: {error}"),
                })?;
                Ok(bytes)
            }
            None => Ok(self
                .shared
                .bucket
                .get(&pack_object(pack.id))?
                .ok_or_else(|| Damage {
                    pack: pack.id,
                    offset: 0,
                    why: "the pack is missing".into(),
                })?
                .to_vec()),
        }
    }
}
