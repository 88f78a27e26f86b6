//! The head of a segment: whose it is, and what is random about its present use.
//!
//! It stands there twice, each in a block of its own: without it no record could be read, so one bad
//! block must not be enough to lose it. Writing over both makes what is behind them unreadable for
//! everybody, which is how a spare segment is left.

use super::record::Binding;
use crate::error::Result;
use crate::keys::{SPOOL_CHECK_BYTES, SpoolSeed};
use crate::layout::{SEGMENT_MAGIC, SEGMENT_VERSION};
use crate::limits::SPOOL_BLOCK_BYTES;
use crate::pack::Cipher;
use crate::store::Shared;

/// Length of what is in front of the first record: the head, twice.
pub(super) const HEAD_BYTES: usize = 2 * COPY_BYTES;
/// One of the two, with what fills its block.
pub(super) const COPY_BYTES: usize = SPOOL_BLOCK_BYTES as usize;
/// Of which so many bytes say something.
const USED_BYTES: usize = 96;
/// The version in which segments were not used again, and its length.
const VERSION_1: u16 = 1;
const VERSION_1_BYTES: usize = 64;

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) no: u64,
    pub(super) created_ms: u64,
    /// What it says of the site key that it was written under; zeros where nothing is encrypted.
    pub(super) key_check: [u8; SPOOL_CHECK_BYTES],
    pub(super) seed: SpoolSeed,
}

/// What this site's segments say of its key.
pub(super) fn key_check(shared: &Shared) -> [u8; SPOOL_CHECK_BYTES] {
    if shared.encrypt { shared.site.spool_check() } else { [0; SPOOL_CHECK_BYTES] }
}

impl Head {
    /// For a use that begins.
    pub(super) fn new(shared: &Shared, no: u64, created_ms: u64) -> Result<Self> {
        let seed = SpoolSeed::generate()?;
        Ok(Self { no, created_ms, key_check: key_check(shared), seed })
    }

    /// How the records of this use are protected.
    pub(super) fn cipher(&self, shared: &Shared) -> Cipher {
        if shared.encrypt { Cipher::Gcm(shared.site.spool_key(&self.seed)) } else { Cipher::Plain }
    }

    /// What the records of this use are bound to.
    pub(super) fn binding(&self) -> Binding {
        Binding { segment: self.no, mark: self.seed.mark() }
    }

    /// The bytes on disk, both times.
    pub(super) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut out = [0; HEAD_BYTES];
        let (first, second) = out.split_at_mut(COPY_BYTES);
        first[..8].copy_from_slice(&SEGMENT_MAGIC);
        first[8..10].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
        first[16..24].copy_from_slice(&self.no.to_le_bytes());
        first[24..32].copy_from_slice(&self.created_ms.to_le_bytes());
        first[32..48].copy_from_slice(&self.key_check);
        first[48..80].copy_from_slice(&self.seed.0);
        let check = crc32c::crc32c(&first[..USED_BYTES - 4]);
        first[USED_BYTES - 4..USED_BYTES].copy_from_slice(&check.to_le_bytes());
        second.copy_from_slice(first);
        out
    }

    /// Reads one of the two; `None`: it is not that of segment `no`.
    pub(super) fn decode(bytes: &[u8], no: u64) -> Option<Self> {
        let bytes = bytes.first_chunk::<USED_BYTES>()?;
        let long = |at: usize| u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| bytes[at + i]));
        let (said, check) = bytes.split_at(USED_BYTES - 4);
        let is_sound = bytes[..8] == SEGMENT_MAGIC
            && bytes[8..10] == SEGMENT_VERSION.to_le_bytes()
            && check == crc32c::crc32c(said).to_le_bytes()
            && long(16) == no;
        let mut head =
            Self { no, created_ms: long(24), key_check: [0; 16], seed: SpoolSeed([0; 32]) };
        head.key_check.copy_from_slice(&bytes[32..48]);
        head.seed.0.copy_from_slice(&bytes[48..80]);
        is_sound.then_some(head)
    }
}

/// Do these bytes begin a segment of version 1?
pub(super) fn is_version_1(bytes: &[u8]) -> bool {
    bytes.first_chunk::<VERSION_1_BYTES>().is_some_and(|bytes| {
        bytes[..8] == SEGMENT_MAGIC
            && bytes[8..10] == VERSION_1.to_le_bytes()
            && bytes[60..] == crc32c::crc32c(&bytes[..60]).to_le_bytes()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn head() -> Head {
        Head { no: 7, created_ms: 1 << 41, key_check: [3; 16], seed: SpoolSeed([9; 32]) }
    }

    #[test]
    fn a_head_comes_back_from_either_copy_and_every_flipped_bit_is_noticed() {
        let bytes = head().encode();
        for copy in bytes.chunks(COPY_BYTES) {
            assert_eq!(Head::decode(copy, 7).unwrap(), head());
            assert_eq!(Head::decode(copy, 8), None);
            for bit in 0..USED_BYTES * 8 {
                let mut damaged = copy.to_vec();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Head::decode(&damaged, 7), None, "bit {bit}");
            }
        }
        assert_eq!(Head::decode(&bytes[..USED_BYTES - 1], 7), None);
        assert!(!is_version_1(&bytes));
    }

    #[test]
    fn the_marks_of_two_uses_differ() {
        let other = Head { seed: SpoolSeed([8; 32]), ..head() };
        assert_ne!(head().binding().mark, other.binding().mark);
    }
}
