//! A log as files: the resources of C2SP tlog-tiles, under the names that the specification gives
//! them, so that a folder can be served as it is.
//!
//! | file | content |
//! |---|---|
//! | `checkpoint` | the last tree head that is published, with its cosignatures |
//! | `head` | the last tree head signed: what is durable; never behind `checkpoint` |
//! | `tile/<level>/<n>[.p/<width>]` | hashes of the tree |
//! | `tile/entries/<n>[.p/<width>]` | entries, each behind its length (u16, big-endian) |
//! | `lock` | held by the one process that writes |
//!
//! Files of tiles are written and synced, their folders are synced, and only then `head` names the
//! size at which they count. What a crash leaves of tiles that no head names is overwritten.

mod edge;
mod files;
mod read;

pub use files::TileWriter;
pub(crate) use files::{read_head, replace_file};
pub use read::TileReader;

use crate::{Error, Result};

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;
/// Levels of the tree in a tile.
pub(crate) const TILE_HEIGHT: u32 = 8;
/// Name of the tree head that is published.
pub const CHECKPOINT: &str = "checkpoint";
/// Name of the tree head that is durable.
pub const HEAD: &str = "head";
pub(crate) const LOCK: &str = "lock";

/// Where the tile `index` of a level is, relative to the log: `tile/0/x001/x234/067.p/12`. `width` is
/// that of a partial tile, or 256.
#[must_use]
pub fn tile_path(level: u32, index: u64, width: u64) -> String {
    format!("tile/{level}/{}{}", index_path(index), width_suffix(width))
}

/// Where the entry bundle `index` is, relative to the log.
#[must_use]
pub fn bundle_path(index: u64, width: u64) -> String {
    format!("tile/entries/{}{}", index_path(index), width_suffix(width))
}

fn width_suffix(width: u64) -> String {
    if width == TILE_WIDTH { String::new() } else { format!(".p/{width}") }
}

fn index_path(index: u64) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}

/// A file of a log, as its path names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFile {
    /// The tree head that is published.
    Checkpoint,
    /// The first `width` hashes of a tile.
    Tile {
        /// Level of the tile.
        level: u32,
        /// Which of that level.
        index: u64,
        /// 256, or that of a partial tile.
        width: u64,
    },
    /// The first `width` entries of a bundle.
    Entries {
        /// Which bundle.
        index: u64,
        /// 256, or that of a partial bundle.
        width: u64,
    },
}

impl LogFile {
    /// Reads a path relative to the log, in the one form that [`tile_path`] and [`bundle_path`] give it.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        if path == CHECKPOINT {
            return Some(Self::Checkpoint);
        }
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let (indexes, width) = match rest.split_once(".p/") {
            Some((indexes, width)) => (indexes, width.parse().ok()?),
            None => (rest, TILE_WIDTH),
        };
        let mut index = 0u64;
        for part in indexes.split('/') {
            let digits: u64 = part.trim_start_matches('x').parse().ok()?;
            index = index.checked_mul(1000)?.checked_add(digits)?;
        }
        let file = match level {
            "entries" => Self::Entries { index, width },
            level => Self::Tile { level: level.parse().ok()?, index, width },
        };
        // Every other way to write it is another path, which is not there.
        (file.path() == path && (1..=TILE_WIDTH).contains(&width)).then_some(file)
    }

    fn path(&self) -> String {
        match *self {
            Self::Checkpoint => CHECKPOINT.to_owned(),
            Self::Tile { level, index, width } => tile_path(level, index, width),
            Self::Entries { index, width } => bundle_path(index, width),
        }
    }
}

/// Width of tile `index` of a level in a tree of `size` leaves: 0 if it is not there.
#[must_use]
pub fn tile_width(level: u32, index: u64, size: u64) -> u64 {
    let shift = level * TILE_HEIGHT;
    let hashes = if shift < u64::BITS { size >> shift } else { 0 };
    hashes.saturating_sub(index.saturating_mul(TILE_WIDTH)).min(TILE_WIDTH)
}

/// Appends an entry to a bundle.
pub(crate) fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) {
    // `ENTRY_BYTES_MAX` is below 2^16.
    bundle.extend((entry.len() as u16).to_be_bytes());
    bundle.extend_from_slice(entry);
}

/// Splits a bundle into its entries, of which there have to be exactly `count`.
pub fn split_bundle(bundle: &[u8], count: u64) -> Result<Vec<&[u8]>> {
    let fault = |why| Error::Note { what: "entry bundle", why };
    if count > TILE_WIDTH {
        return Err(fault("it has more than 256 entries"));
    }
    let (mut rest, mut entries) = (bundle, Vec::with_capacity(count as usize));
    for _ in 0..count {
        let Some((length, after)) = rest.split_first_chunk() else {
            return Err(fault("it ends too early"));
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > crate::limits::ENTRY_BYTES_MAX {
            return Err(fault("an entry is too long"));
        }
        let (entry, after) =
            after.split_at_checked(length).ok_or_else(|| fault("it ends too early"))?;
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() { Ok(entries) } else { Err(fault("bytes follow its end")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(tile_path(0, 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(tile_path(1, 0, 12), "tile/1/000.p/12");
        assert_eq!(bundle_path(1000, 255), "tile/entries/x001/000.p/255");
    }

    #[test]
    fn paths_are_read_in_their_one_form() {
        for file in [
            LogFile::Checkpoint,
            LogFile::Tile { level: 0, index: 1_234_067, width: 256 },
            LogFile::Tile { level: 1, index: 0, width: 12 },
            LogFile::Entries { index: 1000, width: 255 },
        ] {
            assert_eq!(LogFile::parse(&file.path()), Some(file));
        }
        for other in [
            "",
            "head",
            "tile/0",
            "tile/0/1",
            "tile/0/0001",
            "tile/0/x000/001",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/300",
            "tile/+1/001",
            "tile/entries/../head",
            "tile/entries/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(LogFile::parse(other), None, "{other}");
        }
    }

    /// The two examples of the specification.
    #[test]
    fn widths_are_those_of_the_specification() {
        let size = 70_000;
        assert_eq!((tile_width(0, 272, size), tile_width(0, 273, size)), (256, 112));
        assert_eq!(tile_width(0, 274, size), 0);
        assert_eq!((tile_width(1, 0, size), tile_width(1, 1, size)), (256, 17));
        assert_eq!((tile_width(2, 0, size), tile_width(3, 0, size)), (1, 0));
        assert_eq!((tile_width(0, 0, 256), tile_width(1, 0, 256)), (256, 1));
        assert_eq!(tile_width(8, 0, u64::MAX), 0);
        assert_eq!(tile_width(0, u64::MAX, u64::MAX), 0);
    }

    #[test]
    fn bundles_have_exactly_their_entries() {
        let mut bundle = Vec::new();
        push_entry(&mut bundle, b"one");
        push_entry(&mut bundle, b"");
        assert_eq!(split_bundle(&bundle, 2).unwrap(), [&b"one"[..], b""]);
        assert!(split_bundle(&bundle, 1).is_err());
        assert!(split_bundle(&bundle, 3).is_err());
        assert!(split_bundle(&bundle[..4], 1).is_err());
        assert!(split_bundle(&[0xff, 0xff], 1).is_err());
        assert!(split_bundle(&[], 257).is_err());
    }
}
