//! Files inside a zip, read as they are inflated: nothing is unpacked to disk.
//!
//! The archive's directory is read once; every thread then reads its entry through a position of
//! its own in the one open file. Names inside are labels only, never paths. A zip inside a zip is
//! named and not entered: a few KiB of those can hold more than any archive.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use zip::ZipArchive;
use zip::result::ZipError;

use super::tally::Status;
use super::walk::Item;

/// A file with a position of its own, cheap to copy.
#[derive(Clone)]
struct Shared {
    file: Arc<File>,
    at: u64,
}

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.file.read_at(buffer, self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}

impl Seek for Shared {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

/// A file inside a zip.
pub(crate) struct Entry {
    archive: ZipArchive<Shared>,
    index: usize,
    /// `archive.zip!inner/name.dcm`.
    pub(super) name: String,
    /// Its length as the zip says.
    pub(super) bytes: u64,
}

impl Entry {
    /// Reads it: `use_it` gets the inflated bytes, as a stream.
    pub(super) fn read<T>(
        mut self,
        use_it: impl FnOnce(&mut (dyn Read + Send), u64) -> T,
    ) -> Result<T, String> {
        let mut entry = self.archive.by_index(self.index).map_err(|error| explain(&error))?;
        Ok(use_it(&mut entry, self.bytes))
    }
}

/// Visits the files inside `path`; a file that only bears the name is visited as itself.
pub(super) fn entries(path: &Path, visit: &mut dyn FnMut(Item) -> bool) -> bool {
    let failed = |why: String| Item::odd(path, Status::Failed, why);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return visit(failed(format!("it cannot be opened: {error}"))),
    };
    let mut magic = [0; 2];
    if file.read_exact(&mut magic).is_err() || &magic != b"PK" {
        return visit(Item::File { path: path.to_owned() });
    }
    let mut archive = match ZipArchive::new(Shared { file: Arc::new(file), at: 0 }) {
        Ok(archive) => archive,
        Err(error) => return visit(failed(explain(&error))),
    };
    for index in 0..archive.len() {
        if let Some(item) = entry(path, &mut archive, index)
            && !visit(item)
        {
            return false;
        }
    }
    true
}

fn entry(path: &Path, archive: &mut ZipArchive<Shared>, index: usize) -> Option<Item> {
    let inner = archive.name_for_index(index).unwrap_or("?").to_owned();
    let name = format!("{}!{inner}", path.display());
    let odd =
        |status, why: &str| Some(Item::Odd { name: name.clone(), status, why: why.to_owned() });
    let (bytes, encrypted, special) = match archive.by_index_raw(index) {
        Ok(entry) if entry.is_dir() => return None,
        Ok(entry) => (entry.size(), entry.encrypted(), entry.is_symlink()),
        Err(error) => return odd(Status::Failed, &explain(&error)),
    };
    if encrypted {
        return odd(Status::Failed, "it is encrypted inside the zip");
    }
    if special {
        return odd(Status::LeftAlone, "this is a link inside a zip");
    }
    let nested = Path::new(&inner).extension().is_some_and(|e| e.eq_ignore_ascii_case("zip"));
    if nested {
        return odd(Status::LeftAlone, "this is a zip inside a zip, which is not entered");
    }
    Some(Item::Entry(Box::new(Entry { archive: archive.clone(), index, name, bytes })))
}

fn explain(error: &ZipError) -> String {
    format!("the zip cannot be read: {error}")
}
