//! Writing a log's files: data, sync, then the head that names them.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_store::disk::{Disk, create_directories};

use super::edge::Edge;
use super::read::TileReader;
use super::{CHECKPOINT, HEAD, LOCK};
use crate::checkpoint::SignedCheckpoint;
use crate::limits::ENTRY_BYTES_MAX;
use crate::merkle::Hash;
use crate::{Error, Result};

/// Writes a file under another name, syncs it and puts it in the place of the old one.
pub(crate) fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let unfinished = path.with_extension("new");
    write_anew(disk, &unfinished, bytes)?;
    disk.rename(&unfinished, path).map_err(Error::io("rename", path))
}

/// Writes and syncs a file that nothing names yet, over what a crash may have left of it. Its folder
/// is not synced.
fn write_anew(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = match disk.create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            disk.remove(path).map_err(Error::io("remove", path))?;
            disk.create(path)
        }
        other => other,
    }
    .map_err(Error::io("create", path))?;
    file.append(bytes).map_err(Error::io("write", path))?;
    let syncer = file.syncer().map_err(Error::io("sync", path))?;
    syncer.sync().map_err(Error::io("sync", path))
}

/// Appends to a log's files. One for each folder, held by a lock.
#[derive(Debug)]
pub struct TileWriter {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    edge: Edge,
    head: Option<SignedCheckpoint>,
    /// Folders that are there and synced into theirs.
    folders: BTreeSet<PathBuf>,
    /// The lock goes with the handle.
    _lock: Arc<File>,
}

impl TileWriter {
    /// Opens the log in `directory`, or an empty one; gives each entry to `visit`, in order, and checks
    /// that together they have the root that the head signed.
    pub fn open(
        disk: Arc<dyn Disk>,
        directory: &Path,
        visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<Self> {
        create_directories(&*disk, directory).map_err(Error::io("create", directory))?;
        let path = directory.join(LOCK);
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(Error::io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked(path)),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
        }
        let mut log = Self {
            disk,
            directory: directory.to_owned(),
            edge: Edge::default(),
            head: read_head(&directory.join(HEAD))?,
            folders: BTreeSet::new(),
            _lock: Arc::new(lock),
        };
        log.replay(visit)?;
        Ok(log)
    }

    /// Reads the durable entries again, and forgets what was pushed and not committed.
    pub fn replay(&mut self, visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let size = self.committed();
        let mut edge = Edge::default();
        self.reader().for_each(0..size, &mut |index, entry| {
            edge.push(entry);
            edge.take_full(); // it is on disk already
            visit(index, entry)
        })?;
        let root = self.head.as_ref().map(|head| head.checkpoint().root);
        if root.is_some_and(|root| root != edge.frontier().root()) {
            return Err(Error::damaged(
                &self.directory,
                "its entries are not those whose root the head signed",
            ));
        }
        self.edge = edge;
        Ok(())
    }

    /// Reads what is committed.
    #[must_use]
    pub fn reader(&self) -> TileReader {
        TileReader::new(&self.directory, self.committed())
    }

    /// Number of durable entries.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.checkpoint().size)
    }

    /// The last head that is durable.
    #[must_use]
    pub fn head(&self) -> Option<&SignedCheckpoint> {
        self.head.as_ref()
    }

    /// Number of entries, pushed ones included.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.edge.frontier().size()
    }

    /// Root over all entries, pushed ones included.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.edge.frontier().root()
    }

    /// Takes an entry; it counts once [`TileWriter::commit`] has named it.
    pub fn push(&mut self, entry: &[u8]) -> Result<()> {
        if entry.len() > ENTRY_BYTES_MAX {
            return Err(Error::Envelope("it is too long"));
        }
        self.edge.push(entry);
        Ok(())
    }

    /// Writes and syncs all files that were not, without naming them.
    pub fn flush(&mut self) -> Result<Vec<String>> {
        let (due, outgrown) = self.edge.take_due(self.committed());
        let mut touched = BTreeSet::new();
        for (path, bytes) in &due {
            let path = self.directory.join(path);
            if let Some(folder) = path.parent() {
                if !self.folders.contains(folder) {
                    create_directories(&*self.disk, folder).map_err(Error::io("create", folder))?;
                    self.folders.insert(folder.to_owned());
                }
                touched.insert(folder.to_owned());
            }
            write_anew(&*self.disk, &path, bytes)?;
        }
        for folder in touched {
            self.disk.sync_directory(&folder).map_err(Error::io("sync", &folder))?;
        }
        Ok(outgrown)
    }

    /// Makes everything pushed durable under this head, whose size and root are the tree's.
    pub fn commit(&mut self, head: SignedCheckpoint) -> Result<()> {
        let fits = head.checkpoint().size == self.size() && head.checkpoint().root == self.root();
        if !fits {
            return Err(Error::Proof("the head is not that of the tree"));
        }
        let outgrown = self.flush()?;
        replace_file(&*self.disk, &self.directory.join(HEAD), head.format().as_bytes())?;
        self.head = Some(head);
        for folder in outgrown {
            // Partial tiles may go once the full one is there. It costs only room if they stay.
            let folder = self.directory.join(folder);
            let _ = std::fs::remove_dir_all(&folder);
            self.folders.remove(&folder);
        }
        Ok(())
    }

    /// The last tree head that was published.
    pub fn published(&self) -> Result<Option<SignedCheckpoint>> {
        read_head(&self.directory.join(CHECKPOINT))
    }

    /// Publishes a tree head of this very log, durable and not before the last one published.
    pub fn publish(&self, checkpoint: &SignedCheckpoint) -> Result<()> {
        let new = checkpoint.checkpoint();
        let last = self.published()?.map_or(0, |last| last.checkpoint().size);
        if new.size > self.committed() || new.size < last {
            return Err(Error::OutOfRange);
        }
        if self.reader().root_at(new.size)? != new.root {
            return Err(Error::Proof("the checkpoint is of another tree"));
        }
        let path = self.directory.join(CHECKPOINT);
        replace_file(&*self.disk, &path, checkpoint.format().as_bytes())
    }
}

pub(crate) fn read_head(path: &Path) -> Result<Option<SignedCheckpoint>> {
    match std::fs::read(path) {
        Ok(bytes) => SignedCheckpoint::parse(&bytes)
            .map(Some)
            .map_err(|_| Error::damaged(path, "it is not a signed checkpoint")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}
