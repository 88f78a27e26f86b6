//! Which files there are: folders in order of names, and what is inside `.zip` files.
//!
//! Nothing is passed over in silence: what is no file, or cannot be looked at, is an item too.
//! Links to files are followed, links to folders are not: a loop of them would never end.

use std::fs::{File, FileType};
use std::io::Read;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::tally::Status;
use super::zipped::{self, Entry};

/// One thing found.
pub(crate) enum Item {
    /// A file to read.
    File {
        /// Where it is.
        path: PathBuf,
    },
    /// A file inside a zip.
    Entry(Box<Entry>),
    /// Something that is no file, or cannot be reached.
    Odd {
        /// What it goes by.
        name: String,
        /// [`Status::LeftAlone`] or [`Status::Failed`].
        status: Status,
        /// For a person.
        why: String,
    },
}

impl Item {
    /// What it goes by in reports.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File { path } => path.display().to_string(),
            Self::Entry(entry) => entry.name.clone(),
            Self::Odd { name, .. } => name.clone(),
        }
    }

    /// Its length, as far as it can be told without reading.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::File { path } => std::fs::metadata(path).map_or(0, |meta| meta.len()),
            Self::Entry(entry) => entry.bytes,
            Self::Odd { .. } => 0,
        }
    }

    /// Reads it: `use_it` gets its bytes as a stream, and its length as far as that is known. What
    /// cannot be read says what is to be reported.
    pub(crate) fn read<T>(
        self,
        use_it: impl FnOnce(&mut (dyn Read + Send), u64) -> T,
    ) -> Result<T, (Status, String)> {
        match self {
            Self::File { path } => {
                let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
                let (bytes, mut file) = opened
                    .map_err(|error| (Status::Failed, format!("it cannot be opened: {error}")))?;
                Ok(use_it(&mut file, bytes))
            }
            Self::Entry(entry) => entry.read(use_it).map_err(|why| (Status::Failed, why)),
            Self::Odd { status, why, .. } => Err((status, why)),
        }
    }

    pub(super) fn odd(path: &Path, status: Status, why: impl Into<String>) -> Self {
        Self::Odd { name: path.display().to_string(), status, why: why.into() }
    }
}

/// Visits everything under `paths`, in order, until `visit` says `false`. Folders in `avoid`, given
/// in canonical form, are not entered: an archive must not swallow itself.
pub(crate) fn walk(paths: &[PathBuf], avoid: &[PathBuf], visit: &mut dyn FnMut(Item) -> bool) {
    for path in paths {
        let mut entries = WalkDir::new(path).sort_by_file_name().into_iter();
        while let Some(entry) = entries.next() {
            let go_on = match entry {
                Ok(entry) if is_directory(&entry) => {
                    if is_avoided(entry.path(), avoid) {
                        entries.skip_current_dir();
                        let why = "this is the archive itself";
                        visit(Item::odd(entry.path(), Status::LeftAlone, why))
                    } else {
                        true
                    }
                }
                Ok(entry) => file(entry.path(), entry.file_type(), visit),
                Err(error) => visit(unreachable(&error, path)),
            };
            if !go_on {
                return;
            }
        }
    }
}

fn is_directory(entry: &DirEntry) -> bool {
    // A folder that was named is entered even through a link.
    entry.file_type().is_dir() || (entry.depth() == 0 && entry.path().is_dir())
}

fn is_avoided(path: &Path, avoid: &[PathBuf]) -> bool {
    !avoid.is_empty() && path.canonicalize().is_ok_and(|path| avoid.contains(&path))
}

fn file(path: &Path, kind: FileType, visit: &mut dyn FnMut(Item) -> bool) -> bool {
    let kind = if kind.is_symlink() {
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => {
                let why = "this is a link to a folder, which is not followed";
                return visit(Item::odd(path, Status::LeftAlone, why));
            }
            Ok(meta) => meta.file_type(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let why = "this is a link to a file that is not there";
                return visit(Item::odd(path, Status::LeftAlone, why));
            }
            Err(error) => return visit(Item::odd(path, Status::Failed, error.to_string())),
        }
    } else {
        kind
    };
    if !kind.is_file() {
        let why = "this is a pipe, socket or device, not a file";
        return visit(Item::odd(path, Status::LeftAlone, why));
    }
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip")) {
        return zipped::entries(path, visit);
    }
    visit(Item::File { path: path.to_owned() })
}

fn unreachable(error: &walkdir::Error, root: &Path) -> Item {
    let why = match error.io_error() {
        Some(error) => format!("it cannot be opened: {error}"),
        None => "links form a loop".to_owned(),
    };
    Item::odd(error.path().unwrap_or(root), Status::Failed, why)
}
