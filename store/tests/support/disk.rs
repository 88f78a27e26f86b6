//! A disk that has little room.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use cairn_store::disk::{Disk, DiskFile, DiskSync, OsDisk};

/// How much room there is, and how much it says there is.
#[derive(Debug)]
pub struct Room {
    /// Bytes that new files find.
    pub left: AtomicU64,
    /// Of those with this extension; all others find room.
    pub extension: &'static str,
    pub free: AtomicU64,
}

#[derive(Debug, Clone)]
pub struct SmallDisk(pub Arc<Room>);

impl SmallDisk {
    pub fn new(extension: &'static str, left: u64, free: u64) -> Self {
        let (left, free) = (AtomicU64::new(left), AtomicU64::new(free));
        Self(Arc::new(Room { left, extension, free }))
    }
}

struct SmallFile {
    room: Arc<Room>,
    inner: Box<dyn DiskFile>,
}

impl DiskFile for SmallFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = bytes.len() as u64;
        let room = self.room.left.load(Relaxed).min(length);
        self.room.left.fetch_sub(room, Relaxed);
        self.inner.append(&bytes[..room as usize])?;
        if room < length { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn syncer(&self) -> io::Result<Box<dyn DiskSync>> {
        self.inner.syncer()
    }
}

impl Disk for SmallDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inner = OsDisk.create(path)?;
        let is_bounded = path.extension().is_some_and(|found| found == self.0.extension);
        let room = Arc::clone(&self.0);
        Ok(if is_bounded { Box::new(SmallFile { room, inner }) } else { inner })
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        OsDisk.open_append(path)
    }

    fn open_over(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        OsDisk.open_over(path)
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        OsDisk.truncate(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.rename(from, to)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        OsDisk.sync_directory(directory)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove(path)
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.0.free.load(Relaxed))
    }
}
