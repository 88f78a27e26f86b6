//! Folders as measurements need them: how much is in them, and are they in the page cache.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use walkdir::WalkDir;

/// How much is in a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Size {
    /// Regular files.
    pub(crate) files: u64,
    /// Sum of their lengths: exact bytes, not disk blocks.
    pub(crate) bytes: u64,
}

/// Regular files below `folder` (or `folder` itself, if it is one), sorted by path.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.with_context(|| format!("listing {}", folder.display()))?;
        if entry.file_type().is_file() {
            paths.push(entry.into_path());
        }
    }
    Ok(paths)
}

/// How much is below `folder`; nothing if it is not there.
pub(crate) fn size(folder: &Path) -> Result<Size> {
    let mut size = Size::default();
    if !folder.exists() {
        return Ok(size);
    }
    for path in list(folder)? {
        let metadata = path.metadata().with_context(|| format!("{}", path.display()))?;
        size.files += 1;
        size.bytes += metadata.len();
    }
    Ok(size)
}

/// Reads everything below `folder`, so that who comes next reads it from memory.
pub(crate) fn warm(folder: &Path) -> Result<Size> {
    let mut size = Size::default();
    for path in list(folder)? {
        let mut file = File::open(&path).with_context(|| format!("{}", path.display()))?;
        size.files += 1;
        size.bytes += io::copy(&mut file, &mut io::sink())?;
    }
    Ok(size)
}

/// The BLAKE3 hash of a file.
pub(crate) fn hash(path: &Path) -> Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let file = File::open(path).with_context(|| format!("{}", path.display()))?;
    hasher.update_reader(file)?;
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sizes_are_sums_of_lengths() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        std::fs::write(folder.path().join("a"), [0; 10]).unwrap();
        std::fs::write(folder.path().join("in/b"), [0; 32]).unwrap();
        let expected = Size { files: 2, bytes: 42 };
        assert_eq!(size(folder.path()).unwrap(), expected);
        assert_eq!(warm(folder.path()).unwrap(), expected);
        assert_eq!(size(&folder.path().join("gone")).unwrap(), Size::default());
        assert_eq!(hash(&folder.path().join("a")).unwrap(), blake3::hash(&[0; 10]));
    }
}
