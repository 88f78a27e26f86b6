//! The sets of files that everything is measured on.
//!
//! `s1`, `s2` and `cbct4` are made by `bench/make-sets.sh`, which is part of this program. Where the
//! corpus has only what comes from packages, `r1` stands for `s1`: everything but pixels that were
//! blanked and what was derived, and `r2` is `r1` with other names of patients. A quick run takes a
//! part of each, evenly.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cairn_dicom::phantom::correct_demographics;

use crate::figures::grouped;
use crate::files::{list, size};
use crate::measure::output;

const MAKE_SETS: &str = include_str!("../../make-sets.sh");
/// Of `r1`: nibabel's pixels are zeros, the derived files are others over again.
const NOT_IN_R1: [&str; 2] = ["nibabel", "derived"];
/// The series that was exported four times.
const EXPORTS: [&str; 4] = [
    "pylinac-linac/cbct/head",
    "derived/reexport-renamed",
    "derived/reexport-new-uids",
    "derived/reexport-explicit-le",
];
/// Bytes that a quick run takes of each set.
const QUICK_BYTES: u64 = 64_000_000;

/// Where the sets are.
#[derive(Debug)]
pub(super) struct Sets {
    /// Real studies.
    pub(super) main: PathBuf,
    /// The same after a correction of every header.
    pub(super) changed: PathBuf,
    /// One series exported four times, if the corpus has it.
    pub(super) exports: Option<PathBuf>,
    /// Folders of images that codecs are measured on.
    pub(super) images: Vec<PathBuf>,
    /// What they are, a sentence each.
    pub(super) about: Vec<String>,
}

impl Sets {
    /// Makes them below `folder`, or finds them there. The folders in `images` are those that codecs are
    /// measured on; without it, those of the main set are.
    pub(super) fn make(
        corpus: &Path,
        folder: &Path,
        images: Option<&Path>,
        is_quick: bool,
    ) -> Result<Self> {
        ensure!(corpus.is_dir(), "no folder {}", corpus.display());
        std::fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
        eprintln!("making the sets");
        let mut about = Vec::new();
        let mut names = ["s1", "s2", "cbct4"].map(str::to_owned);
        let mut make = Command::new("bash");
        make.args(["-c", MAKE_SETS, "make-sets"]).arg(corpus).arg(folder);
        if let Err(error) = output(&mut make) {
            let reason = format!("{error:#}");
            let last = reason.lines().next_back().unwrap_or_default();
            about.push(format!("s1 could not be made, so r1 stands for it: {last}"));
            names = ["r1", "r2", "cbct4"].map(str::to_owned);
            make_others(corpus, folder)?;
        }
        if is_quick {
            let take = |name: &String| -> Result<String> {
                let part = format!("{name}-quick");
                take_part(&folder.join(name), &folder.join(&part))?;
                Ok(part)
            };
            names = [take(&names[0])?, take(&names[1])?, take(&names[2])?];
        }
        let [main, changed, exports] = names.map(|name| folder.join(name));
        for path in [&main, &changed, &exports] {
            let name = path.file_name().unwrap_or_default().display();
            let size = size(path)?;
            about.push(format!("{name}: {} files, {} bytes", size.files, grouped(size.bytes)));
        }
        let exports = (size(&exports)?.files > 0).then_some(exports);
        let is_of_main = images.is_none();
        let images = folders(images.unwrap_or(&main))?;
        if !is_of_main {
            about.push(format!("images, for the codecs: {} sets", images.len()));
        }
        Ok(Self { main, changed, exports, images, about })
    }

    /// Folders of the main set, each of another origin.
    pub(super) fn origins(&self) -> Result<Vec<PathBuf>> {
        folders(&self.main)
    }
}

/// The folders in a folder, in the order of their names.
fn folders(parent: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    let entries = std::fs::read_dir(parent).with_context(|| format!("{}", parent.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// `r1`, `r2` and what there is of `cbct4`.
fn make_others(corpus: &Path, folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(corpus)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if NOT_IN_R1.contains(&&*name) || name.starts_with('.') || !path.is_dir() {
            continue;
        }
        for file in list(&path)? {
            let bytes = std::fs::read(&file)?;
            let below = Path::new(&name).join(file.strip_prefix(&path)?);
            let changed = correct_demographics(&bytes, "CORRECTED^NAME", "ID-2026", "ACC-2026");
            put(&folder.join("r1").join(&below), &bytes)?;
            put(&folder.join("r2").join(&below), changed.as_deref().unwrap_or(&bytes))?;
        }
    }
    for (number, origin) in EXPORTS.iter().enumerate() {
        let origin = corpus.join(origin);
        for file in list(&origin).unwrap_or_default() {
            let to = folder.join(format!("cbct4/{number}")).join(file.strip_prefix(&origin)?);
            put(&to, &std::fs::read(&file)?)?;
        }
    }
    Ok(())
}

/// Every so many files of each folder below `from`, so that `QUICK_BYTES` come together.
fn take_part(from: &Path, to: &Path) -> Result<()> {
    if to.exists() || !from.exists() {
        return Ok(());
    }
    let step = size(from)?.bytes.div_ceil(QUICK_BYTES).max(1) as usize;
    let mut folder = PathBuf::new();
    let mut number = 0;
    for file in list(from)? {
        let below = file.strip_prefix(from)?;
        // Counted anew in each folder: copies of a series lose the same slices.
        if below.parent() != Some(&folder) {
            below.parent().unwrap_or(Path::new("")).clone_into(&mut folder);
            number = 0;
        }
        if number % step == 0 {
            put(&to.join(below), &std::fs::read(&file)?)?;
        }
        number += 1;
    }
    Ok(())
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))
        .and_then(|()| std::fs::write(path, bytes))
        .with_context(|| format!("{}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use cairn_dicom::phantom;

    #[test]
    fn without_repositories() {
        let folder = tempfile::tempdir().unwrap();
        let (corpus, out) = (folder.path().join("corpus"), folder.path().join("sets"));
        for file in phantom::ct(5, 4, 64) {
            put(&corpus.join("hospital").join(&file.name), &file.bytes).unwrap();
            put(&corpus.join("nibabel").join(&file.name), &file.bytes).unwrap();
            put(&corpus.join(EXPORTS[1]).join(&file.name), &file.bytes).unwrap();
        }
        let sets = Sets::make(&corpus, &out, None, false).unwrap();
        assert!(sets.main.ends_with("r1"), "{sets:?}");
        assert_eq!(size(&sets.main).unwrap().files, 4);
        assert_eq!(sets.origins().unwrap(), [sets.main.join("hospital")]);
        assert_eq!(sets.images, sets.origins().unwrap());
        let others = Sets::make(&corpus, &out, Some(&corpus), false).unwrap();
        assert_eq!(others.about.last().unwrap(), "images, for the codecs: 3 sets");
        assert_eq!(others.images, ["derived", "hospital", "nibabel"].map(|name| corpus.join(name)));
        let (one, other) = (list(&sets.main).unwrap(), list(&sets.changed).unwrap());
        assert_ne!(std::fs::read(&one[0]).unwrap(), std::fs::read(&other[0]).unwrap());
        assert_eq!(size(&sets.exports.unwrap()).unwrap().files, 4);
        assert!(sets.about[0].contains("missing"), "{:?}", sets.about);
    }

    #[test]
    fn a_part_takes_the_same_slices_of_each_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let file = vec![0; QUICK_BYTES as usize / 4];
        for name in ["a/1", "a/2", "a/3", "b/1", "b/2", "b/3"] {
            put(&from.join(name), &file).unwrap();
        }
        take_part(&from, &to).unwrap();
        let names: Vec<_> = list(&to).unwrap();
        let names: Vec<_> = names.iter().map(|path| path.strip_prefix(&to).unwrap()).collect();
        assert_eq!(names, ["a/1", "a/3", "b/1", "b/3"].map(Path::new));
    }
}
