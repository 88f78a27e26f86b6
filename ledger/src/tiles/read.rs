//! Reading a log's files at a size that a head has named.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{
    LogFile, TILE_HEIGHT, TILE_WIDTH, bundle_path, push_entry, split_bundle, tile_path, tile_width,
};
use crate::limits::ENTRY_BYTES_MAX;
use crate::merkle::{Hash, Nodes, root_of, subtree_root};
use crate::{Error, Result};

/// Reads entries and hashes of the first `size` entries of a log. Cheap to make; the files of a size
/// never change, so it may be used while the log grows.
#[derive(Debug, Clone)]
pub struct TileReader {
    directory: PathBuf,
    size: u64,
}

impl TileReader {
    /// A reader of the log in `directory` as it was at `size`.
    #[must_use]
    pub fn new(directory: &Path, size: u64) -> Self {
        Self { directory: directory.to_owned(), size }
    }

    /// Number of entries.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads a file that may be partial; the full one does as well, since it begins alike.
    /// Gives its bytes and the width that was read.
    fn read(
        &self,
        path: impl Fn(u64) -> String,
        width: u64,
        longest: u64,
    ) -> Result<(Vec<u8>, u64)> {
        for width in [width, TILE_WIDTH] {
            let path = self.directory.join(path(width));
            let (mut bytes, io) = (Vec::new(), Error::io("read", &path));
            match File::open(&path) {
                Ok(file) => file.take(longest + 1).read_to_end(&mut bytes).map_err(io)?,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(io(error)),
            };
            if bytes.len() as u64 > longest {
                return Err(Error::damaged(&path, "it is too long"));
            }
            return Ok((bytes, width));
        }
        Err(Error::damaged(&self.directory.join(path(width)), "it is missing"))
    }

    /// The hashes of a tile.
    pub fn tile(&self, level: u32, index: u64) -> Result<Vec<Hash>> {
        let width = tile_width(level, index, self.size);
        if width == 0 {
            return Err(Error::OutOfRange);
        }
        let (bytes, _) =
            self.read(|width| tile_path(level, index, width), width, TILE_WIDTH * 32)?;
        let path = self.directory.join(tile_path(level, index, width));
        match bytes.as_chunks() {
            (hashes, []) if hashes.len() as u64 >= width => Ok(hashes[..width as usize].to_vec()),
            _ => Err(Error::damaged(&path, "it has another length")),
        }
    }

    /// The bytes of a bundle, and how many entries are in them.
    fn bundle(&self, index: u64) -> Result<(Vec<u8>, u64)> {
        let width = tile_width(0, index, self.size);
        let longest = TILE_WIDTH * (ENTRY_BYTES_MAX as u64 + 2);
        // Where the full bundle had to do, it has more entries than this size.
        self.read(|width| bundle_path(index, width), width, longest)
    }

    /// Gives each entry of the range to `visit`, in order, bundle by bundle.
    pub fn for_each(
        &self,
        range: Range<u64>,
        visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        if range.end > self.size {
            return Err(Error::OutOfRange);
        }
        let mut at = range.start;
        while at < range.end {
            let index = at / TILE_WIDTH;
            let (bytes, count) = self.bundle(index)?;
            let path = self.directory.join(bundle_path(index, tile_width(0, index, self.size)));
            let entries = split_bundle(&bytes, count)
                .map_err(|_| Error::damaged(&path, "it is not a bundle of that many entries"))?;
            let end = range.end.min((index + 1) * TILE_WIDTH);
            for entry in &entries[(at % TILE_WIDTH) as usize..(end - index * TILE_WIDTH) as usize] {
                visit(at, entry)?;
                at += 1;
            }
        }
        Ok(())
    }

    /// The entries of a range.
    pub fn entries(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>> {
        let mut entries = Vec::new();
        self.for_each(range, &mut |_, entry| {
            entries.push(entry.to_vec());
            Ok(())
        })?;
        Ok(entries)
    }

    /// The bytes of the file at a path relative to the log, as of this size; `None` where it has none
    /// that wide. Partial ones are made from what there is now.
    pub fn file(&self, file: LogFile) -> Result<Option<Vec<u8>>> {
        match file {
            LogFile::Checkpoint => Ok(None),
            LogFile::Tile { level, index, width } => {
                if width > tile_width(level, index, self.size) {
                    return Ok(None);
                }
                let mut hashes = self.tile(level, index)?;
                hashes.truncate(width as usize);
                Ok(Some(hashes.into_flattened()))
            }
            LogFile::Entries { index, width } => {
                if width > tile_width(0, index, self.size) {
                    return Ok(None);
                }
                let (first, mut bundle) = (index * TILE_WIDTH, Vec::new());
                self.for_each(first..first + width, &mut |_, entry| {
                    push_entry(&mut bundle, entry);
                    Ok(())
                })?;
                Ok(Some(bundle))
            }
        }
    }

    /// Root of the tree of the first `size` entries.
    pub fn root_at(&self, size: u64) -> Result<Hash> {
        match size {
            0 => Ok(crate::merkle::empty_root()),
            size if size > self.size => Err(Error::OutOfRange),
            size => subtree_root(self, 0, size),
        }
    }

    /// Reads every tile and compares it with the entries: for an audit of the disk.
    pub fn verify(&self) -> Result<()> {
        let mut edge = super::edge::Edge::default();
        let compare = |files: BTreeMap<String, Vec<u8>>| {
            for (path, bytes) in files {
                let path = self.directory.join(path);
                if std::fs::read(&path).map_err(Error::io("read", &path))? != bytes {
                    return Err(Error::damaged(&path, "it is not that of its entries"));
                }
            }
            Ok(())
        };
        self.for_each(0..self.size, &mut |_, entry| {
            edge.push(entry);
            compare(edge.take_full())
        })?;
        compare(edge.take_due(0).0)
    }
}

impl Nodes for TileReader {
    fn node(&self, level: u32, index: u64) -> Result<Hash> {
        let (tile_level, height) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
        let first = index << height;
        let tile = self.tile(tile_level, first / TILE_WIDTH)?;
        let at = (first % TILE_WIDTH) as usize;
        tile.get(at..at + (1 << height)).map(root_of).ok_or(Error::OutOfRange)
    }
}
