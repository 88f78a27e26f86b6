//! Chunks that came and are not part of an instance yet: on disk, so that a fetch that was interrupted
//! goes on where it was.
//!
//! Files of records `name (32) | length (4) | bytes`, appended to. Nothing here is ever believed: what is
//! found after a restart counts if its bytes have the name, so no write has to be waited for. A file
//! goes when no instance waits for anything in it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cairn_chunker::id::ChunkId;
use cairn_chunker::limits::MANIFEST_BYTES_MAX;
use cairn_ledger::id::{SiteId, StudyId};
use cairn_store::catalog::editions::FetchState;

use super::error::Error;
use crate::http::App;
use crate::sharing::Site;

/// Length at which the next file is begun.
const FILE_BYTES: u64 = 64 << 20;
const HEAD_BYTES: usize = 36;

/// Where a chunk lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    file: u64,
    offset: u64,
    bytes: u32,
}

#[derive(Debug)]
struct StageFile {
    file: Arc<File>,
    path: PathBuf,
    bytes: u64,
    /// Chunks in it that somebody waits for.
    live: usize,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Stage {
    directory: PathBuf,
    files: HashMap<u64, StageFile>,
    chunks: HashMap<ChunkId, Place>,
    /// The file that is appended to.
    last: u64,
}

/// Where to read a chunk, without holding on to the stage.
#[derive(Debug, Clone)]
pub(super) struct Staged {
    file: Arc<File>,
    offset: u64,
    bytes: u32,
}

impl Staged {
    /// Its bytes. Compared with the name by whoever puts an instance together.
    pub(super) fn read(&self) -> io::Result<Bytes> {
        let mut bytes = vec![0; self.bytes as usize];
        self.file.read_exact_at(&mut bytes, self.offset)?;
        Ok(bytes.into())
    }
}

impl Stage {
    /// Opens the stage in `directory` with what an earlier run left there.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let (files, chunks) = (HashMap::new(), HashMap::new());
        let mut stage = Self { directory: directory.to_owned(), files, chunks, last: 0 };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let number = path.file_name().and_then(|name| name.to_str()?.parse::<u64>().ok());
            found.extend(number.map(|number| (number, path)));
        }
        found.sort_unstable();
        for (number, path) in found {
            stage.take_in(number, &path)?;
            stage.last = stage.last.max(number + 1);
        }
        Ok(stage)
    }

    /// Reads a file of an earlier run up to the first record that is not whole.
    fn take_in(&mut self, number: u64, path: &Path) -> io::Result<()> {
        let file = File::options().read(true).write(true).open(path)?;
        let mut reader = io::BufReader::with_capacity(1 << 20, &file);
        let (mut at, mut head) = (0, [0; HEAD_BYTES]);
        let mut buffer = Vec::new();
        while reader.read_exact(&mut head).is_ok() {
            let (name, length) = head.split_at(32);
            let Ok(name) = <[u8; 32]>::try_from(name).map(ChunkId) else { break };
            let length = length.try_into().map_or(u32::MAX, u32::from_le_bytes);
            if length as usize > MANIFEST_BYTES_MAX {
                break;
            }
            buffer.resize(length as usize, 0);
            if reader.read_exact(&mut buffer).is_err() || ChunkId::of(&buffer) != name {
                break;
            }
            let offset = at + HEAD_BYTES as u64;
            self.chunks.insert(name, Place { file: number, offset, bytes: length });
            at = offset + u64::from(length);
        }
        drop(reader);
        let file = Arc::new(file);
        self.files.insert(number, StageFile { file, path: path.to_owned(), bytes: at, live: 0 });
        Ok(())
    }

    /// Is the chunk here?
    pub(super) fn contains(&self, id: &ChunkId) -> bool {
        self.chunks.contains_key(id)
    }

    /// Lays a chunk down whose bytes have the name.
    pub(super) fn put(&mut self, id: ChunkId, bytes: &[u8]) -> io::Result<()> {
        if self.contains(&id) {
            return Ok(());
        }
        let full = self.files.get(&self.last).is_some_and(|file| file.bytes >= FILE_BYTES);
        if full {
            self.last += 1;
        }
        if !self.files.contains_key(&self.last) {
            let path = self.directory.join(self.last.to_string());
            let file = File::options().read(true).append(true).create_new(true).open(&path)?;
            let file = Arc::new(file);
            self.files.insert(self.last, StageFile { file, path, bytes: 0, live: 0 });
        }
        let Some(file) = self.files.get_mut(&self.last) else {
            return Err(io::Error::other("the stage lost a file"));
        };
        let mut record = Vec::with_capacity(HEAD_BYTES + bytes.len());
        record.extend_from_slice(&id.0);
        record.extend((bytes.len() as u32).to_le_bytes());
        record.extend_from_slice(bytes);
        if let Err(error) = (&*file.file).write_all(&record) {
            // What was written of it would shift what follows.
            self.last += 1;
            return Err(error);
        }
        let offset = file.bytes + HEAD_BYTES as u64;
        file.bytes += record.len() as u64;
        self.chunks.insert(id, Place { file: self.last, offset, bytes: bytes.len() as u32 });
        Ok(())
    }

    /// Where the chunk is to be read.
    pub(super) fn get(&self, id: &ChunkId) -> Option<Staged> {
        let Place { file, offset, bytes } = *self.chunks.get(id)?;
        Some(Staged { file: Arc::clone(&self.files.get(&file)?.file), offset, bytes })
    }

    /// An instance waits for the chunk.
    pub(super) fn hold(&mut self, id: &ChunkId) {
        if let Some(file) = self.chunks.get(id).and_then(|place| self.files.get_mut(&place.file)) {
            file.live += 1;
        }
    }

    /// One that did has it in the archive. Whoever holds what the file goes with has opened it.
    pub(super) fn release(&mut self, id: &ChunkId) {
        let Some(place) = self.chunks.get(id).copied() else { return };
        let Some(file) = self.files.get_mut(&place.file) else { return };
        file.live = file.live.saturating_sub(1);
        if file.live == 0 && file.bytes >= FILE_BYTES {
            self.forget(place.file);
        }
    }

    fn forget(&mut self, number: u64) {
        if let Some(file) = self.files.remove(&number) {
            // It would only be read again for nothing.
            let _ = std::fs::remove_file(&file.path);
        }
        self.chunks.retain(|_, place| place.file != number);
    }

    /// Everything came: the stage goes.
    pub(super) fn clear(&mut self) {
        self.files.clear();
        self.chunks.clear();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Removes what fetches that are over have left: a crash may have come first.
pub(super) fn sweep(app: &App, site: &Site) -> Result<(), Error> {
    for row in app.store.catalog().editions().all_fetched(None)? {
        let study = StudyId(row.study);
        let directory = site.stage(&study, row.version);
        if row.state == FetchState::UnderWay || !directory.exists() {
            continue;
        }
        // Whoever has it is fetching it anew.
        if let Some(_claim) = app.demands.claim((SiteId(row.owner), study, row.version)) {
            std::fs::remove_dir_all(&directory).map_err(Error::Stage)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_staged_is_there_after_a_break_and_what_is_torn_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stage");
        let chunks: Vec<Vec<u8>> = (0u8..5).map(|no| vec![no; 1000 + usize::from(no)]).collect();
        let id = |no: usize| ChunkId::of(&chunks[no]);
        let mut stage = Stage::open(&path).unwrap();
        for chunk in &chunks {
            stage.put(ChunkId::of(chunk), chunk).unwrap();
        }
        assert_eq!(stage.get(&id(3)).unwrap().read().unwrap(), chunks[3]);
        drop(stage);
        // The last one torn, the third one damaged: what comes behind it is not believed either.
        let file = path.join("0");
        let mut bytes = std::fs::read(&file).unwrap();
        bytes.truncate(bytes.len() - 1);
        std::fs::write(&file, &bytes).unwrap();
        let stage = Stage::open(&path).unwrap();
        assert!((0..4).all(|no| stage.contains(&id(no))) && !stage.contains(&id(4)));
        drop(stage);
        bytes[2 * 1036 + 50] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        let mut stage = Stage::open(&path).unwrap();
        assert!(stage.contains(&id(1)) && !stage.contains(&id(2)) && !stage.contains(&id(3)));
        // And it is laid down again beside, never behind it.
        stage.put(id(2), &chunks[2]).unwrap();
        assert_eq!(stage.get(&id(2)).unwrap().read().unwrap(), chunks[2]);
        stage.clear();
        assert!(!path.exists());
    }
}
