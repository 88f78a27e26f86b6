//! The seam to the local file system under everything that must be durable.
//!
//! Production uses [`OsDisk`]; tests put a double here that fails, writes short, or fills up at a
//! chosen operation. Reading does not pass here.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// A file that is appended to and synced.
pub trait DiskFile: Send + Sync {
    /// Appends all of `bytes` at the end, or behind what was written last where a file is written over.
    /// What fails may have been written in part; the next goes to the same place where a file is
    /// written over, and behind that part otherwise.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// A second handle that syncs what was appended, for another thread.
    fn syncer(&self) -> io::Result<Box<dyn DiskSync>>;
}

/// Makes appended bytes durable.
pub trait DiskSync: Send {
    /// `fdatasync`: content and length reach stable storage. A failure is final: the kernel may have
    /// dropped the pages, so it is never tried again on the same file.
    fn sync(&self) -> io::Result<()>;
}

/// What Cairn asks of a file system.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Creates a new file (fails if it is there) readable by the owner alone.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file to append to it.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file to write over it from its start, without giving its blocks back: a file system that
    /// has nothing to note about a write syncs it sooner.
    fn open_over(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Cuts a file to `bytes` and syncs it.
    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()>;

    /// Renames within one file system, then syncs both directories.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes creations, renames and removals in `directory` durable.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Bytes that can still be written where `path` lies. A guess: others write too.
    ///
    /// # Errors
    /// `Unsupported` where nobody can tell.
    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Writes a small file durably, or not at all.
    fn write_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.create(path)?;
        file.append(bytes)?;
        file.syncer()?.sync()?;
        match path.parent() {
            Some(parent) => self.sync_directory(parent),
            None => Ok(()),
        }
    }
}

/// Makes `path` and what is missing above it, each durable in the one above.
pub fn create_directories(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_directories(disk, parent)?;
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    disk.sync_directory(parent)
}

/// The operating system's file system.
#[derive(Debug, Default, Clone, Copy)]
pub struct OsDisk;

struct OsFile(Arc<File>);

impl DiskFile for OsFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&*self.0).write_all(bytes)
    }

    fn syncer(&self) -> io::Result<Box<dyn DiskSync>> {
        Ok(Box::new(OsSync(Arc::clone(&self.0))))
    }
}

/// A file that is written over.
struct OsOver {
    file: Arc<File>,
    at: u64,
}

impl DiskFile for OsOver {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn syncer(&self) -> io::Result<Box<dyn DiskSync>> {
        Ok(Box::new(OsSync(Arc::clone(&self.file))))
    }
}

struct OsSync(Arc<File>);

impl DiskSync for OsSync {
    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Disk for OsDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(OsFile(Arc::new(file))))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OsFile(Arc::new(OpenOptions::new().append(true).open(path)?))))
    }

    fn open_over(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = Arc::new(OpenOptions::new().write(true).open(path)?);
        Ok(Box::new(OsOver { file, at: 0 }))
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)?;
        for directory in [to.parent(), from.parent()].into_iter().flatten() {
            self.sync_directory(directory)?;
        }
        Ok(())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}
