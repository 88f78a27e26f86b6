//! One flipped bit, in a copy of the archive.

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::error::{Error, Result};

/// Where the bit was.
pub(super) struct Flipped {
    /// The pack's name.
    pub(super) pack: String,
    /// The byte in it.
    pub(super) offset: u64,
}

/// Copies the archive in `data` to `copy`, and flips a bit in the middle of its longest pack. Packs
/// are never written again, so all but that one are linked rather than copied where that is
/// possible.
pub(super) fn copy_and_flip(data: &Path, copy: &Path) -> Result<Flipped> {
    let mut longest: Option<(u64, PathBuf)> = None;
    for entry in WalkDir::new(data) {
        let entry = entry.map_err(|error| Error::Demo(error.to_string()))?;
        let inner = entry.path().strip_prefix(data).unwrap_or(entry.path()).to_owned();
        let target = copy.join(&inner);
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(&target).map_err(Error::io("create", &target))?;
            continue;
        }
        let is_pack = inner.extension().is_some_and(|extension| extension == "pack");
        if !is_pack || std::fs::hard_link(entry.path(), &target).is_err() {
            std::fs::copy(entry.path(), &target).map_err(Error::io("copy", entry.path()))?;
        }
        let bytes = entry.metadata().map_or(0, |meta| meta.len());
        if is_pack && longest.as_ref().is_none_or(|(most, _)| bytes > *most) {
            longest = Some((bytes, target));
        }
    }
    let (bytes, path) = longest.ok_or_else(|| Error::Demo("there is no pack to damage".into()))?;
    let mut content = std::fs::read(&path).map_err(Error::io("read", &path))?;
    let offset = bytes / 2;
    content[offset as usize] ^= 1;
    // Removed first: writing into a link would damage the archive itself.
    std::fs::remove_file(&path).map_err(Error::io("replace", &path))?;
    std::fs::write(&path, content).map_err(Error::io("write", &path))?;
    let pack = path.file_stem().map_or_else(String::new, |stem| stem.display().to_string());
    Ok(Flipped { pack, offset })
}
