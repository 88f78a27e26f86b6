//! Figures about an archive.

use std::path::Path;

use crate::Store;
use crate::catalog::Totals;
use crate::error::{Error, Result};
use crate::layout::{SpoolFile, segment_of};

/// Sums over an archive and what it takes at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Sums over the catalog.
    pub totals: Totals,
    /// Length of the catalog's files.
    pub catalog_bytes: u64,
    /// Length of what is in the journal.
    pub journal_bytes: u64,
    /// Length of what was received and is not in the archive yet.
    pub spool_bytes: u64,
    /// Length of files of the spool that wait to be written over.
    pub spare_bytes: u64,
    /// Length of all objects in the bucket.
    pub bucket_bytes: u64,
}

/// Adds up.
pub fn stats(store: &Store) -> Result<Stats> {
    let layout = store.layout();
    let catalog = layout.catalog();
    let mut catalog_bytes = 0;
    for suffix in ["", "-wal", "-shm"] {
        let mut name = catalog.clone().into_os_string();
        name.push(suffix);
        catalog_bytes += std::fs::metadata(name).map_or(0, |meta| meta.len());
    }
    Ok(Stats {
        totals: store.catalog().totals()?,
        catalog_bytes,
        journal_bytes: directory_bytes(&layout.journal(), &|_| true)?,
        spool_bytes: directory_bytes(&layout.spool(), &|path| !is_spare(path))?,
        spare_bytes: directory_bytes(&layout.spool(), &is_spare)?,
        bucket_bytes: store.bucket().list("")?.iter().map(|(_, bytes)| bytes).sum(),
    })
}

fn is_spare(path: &Path) -> bool {
    segment_of(path).is_some_and(|(_, kind)| kind == SpoolFile::Spare)
}

/// Length of all files in a directory that are wanted.
fn directory_bytes(directory: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<u64> {
    let mut sum = 0;
    let entries = match std::fs::read_dir(directory) {
        // An archive that an earlier version made has no spool.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        other => other.map_err(Error::io("list", directory))?,
    };
    for entry in entries {
        let entry = entry.map_err(Error::io("list", directory))?;
        if wanted(&entry.path()) {
            // A pack may leave for the bucket while it is looked at.
            sum += entry.metadata().map_or(0, |meta| meta.len());
        }
    }
    Ok(sum)
}
