//! The file that keeps a series' metadata: made from packs, and made again wherever it is missing, out
//! of date or damaged. Nothing else depends on its form, which may change with any build.
//!
//! ```text
//! magic (8) | header length (4) | header (CBOR) | BLAKE3 of the header (32) | run | run | …
//! ```
//! A run is one zstd frame, sealed with a key of the site where the archive is encrypted. Plain, it is
//! whole JSON objects with commas between them.

use cairn_chunker::cbor::{Reader, Writer};
use cairn_chunker::id::{ChunkId, SeriesRoot};

use crate::error::Result;

const MAGIC: &[u8; 8] = b"CAIRNMET";
const WHAT: &str = "series metadata";
/// Raised with every change of this form or of how metadata are written.
const VERSION: u64 = 1;
/// Longest header that is read: a million instances.
const HEADER_BYTES_MAX: usize = 64 << 20;

/// Where the metadata of one instance lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Name of the instance's manifest: what was described.
    pub(super) manifest: ChunkId,
    /// Length of its JSON.
    pub(super) bytes: u32,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Length of the JSON, commas included.
    pub(super) plain_bytes: u32,
    /// Length of the sealed frame in the file.
    pub(super) stored_bytes: u32,
    /// Its instances, in order.
    pub(super) entries: Vec<Entry>,
}

/// What the file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// [`crate::catalog::SeriesState::changed`] of the series that is described.
    pub(super) changed: u64,
    /// Its root.
    pub(super) root: SeriesRoot,
    /// All runs, in order.
    pub(super) runs: Vec<Run>,
}

impl Header {
    /// Everything before the first run.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(4).uint(VERSION).uint(self.changed).bytes(&self.root.0);
        writer.array(self.runs.len());
        for run in &self.runs {
            writer.array(2 + run.entries.len() * 2);
            writer.uint(u64::from(run.plain_bytes)).uint(u64::from(run.stored_bytes));
            for entry in &run.entries {
                writer.bytes(entry.manifest.as_bytes()).uint(u64::from(entry.bytes));
            }
        }
        let header = writer.finish();
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&(header.len() as u32).to_le_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(blake3::hash(&header).as_bytes());
        out
    }

    /// Reads the header of a file; also says where the first run starts. `None` if this is no such file,
    /// or one of another version.
    pub(super) fn decode(file: &[u8]) -> Option<(Self, usize)> {
        let rest = file.strip_prefix(MAGIC)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > HEADER_BYTES_MAX {
            return None;
        }
        let (header, rest) = rest.split_at_checked(length)?;
        let (check, _) = rest.split_first_chunk::<32>()?;
        if blake3::hash(header).as_bytes() != check {
            return None;
        }
        Some((read_header(header).ok()?, MAGIC.len() + 4 + length + 32))
    }
}

fn read_header(bytes: &[u8]) -> Result<Header> {
    let mut reader = Reader::new(bytes, WHAT);
    reader.array_of(4)?;
    if reader.uint()? != VERSION {
        return Err(reader.fault("it is of another version").into());
    }
    let changed = reader.uint()?;
    let root = SeriesRoot(reader.hash()?);
    let mut runs = Vec::new();
    for _ in 0..reader.array()? {
        let values = reader.array()?;
        let (plain_bytes, stored_bytes) = (short(&mut reader)?, short(&mut reader)?);
        let mut entries = Vec::new();
        for _ in 0..values.saturating_sub(2) / 2 {
            let manifest = ChunkId(reader.hash()?);
            entries.push(Entry { manifest, bytes: short(&mut reader)? });
        }
        runs.push(Run { plain_bytes, stored_bytes, entries });
    }
    reader.end()?;
    Ok(Header { changed, root, runs })
}

fn short(reader: &mut Reader<'_>) -> Result<u32> {
    let value = reader.uint()?;
    Ok(u32::try_from(value).map_err(|_| reader.fault("a length is over its bound"))?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Header {
        let entry = |n: u8| Entry { manifest: ChunkId([n; 32]), bytes: u32::from(n) * 1000 };
        let run = |n: u8| Run {
            plain_bytes: 5000,
            stored_bytes: 500,
            entries: (0..n).map(entry).collect(),
        };
        Header { changed: 77, root: SeriesRoot([9; 32]), runs: vec![run(3), run(0), run(1)] }
    }

    #[test]
    fn headers_come_back() {
        let mut bytes = sample().encode();
        let length = bytes.len();
        bytes.extend_from_slice(b"runs follow");
        assert_eq!(Header::decode(&bytes).unwrap(), (sample(), length));
    }

    proptest! {
        #[test]
        fn a_damaged_header_is_none(at: prop::sample::Index, with in 1u8.., cut: prop::sample::Index) {
            let whole = sample().encode();
            let mut bytes = whole.clone();
            let at = at.index(bytes.len());
            bytes[at] ^= with;
            prop_assert_eq!(Header::decode(&bytes), None);
            prop_assert_eq!(Header::decode(&whole[..cut.index(whole.len())]), None);
        }

        #[test]
        fn hostile_headers_never_panic(bytes: Vec<u8>) {
            let _ = Header::decode(&bytes);
            let _ = read_header(&bytes);
        }
    }
}
