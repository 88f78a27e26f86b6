//! The header of a record: 80 bytes.

use cairn_chunker::codec::Codec;

use crate::keys::{NONCE_BYTES, StoredId, TAG_BYTES};
use crate::layout::RECORD_MAGIC;
use crate::pack::PackId;

/// Length of a record header in bytes.
pub const RECORD_HEADER_BYTES: usize = 80;

/// Bytes of the header that are authenticated with the payload.
const BOUND_BYTES: usize = 48;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// One chunk.
    Chunk = 1,
    /// Many small chunks of one study, compressed together.
    Block = 2,
    /// What became part of the archive: see [`crate::commit`].
    Commit = 3,
    /// The list of the pack's records.
    Footer = 4,
}

impl RecordKind {
    fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Chunk),
            2 => Some(Self::Block),
            3 => Some(Self::Commit),
            4 => Some(Self::Footer),
            _ => None,
        }
    }
}

/// The fixed start of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// What it holds.
    pub kind: RecordKind,
    /// How the payload is coded, under the encryption.
    pub codec: Codec,
    /// Length of the payload that follows the header.
    pub payload_bytes: u32,
    /// Length of the payload decoded.
    pub plain_bytes: u32,
    /// Name of the record: of the chunk, or of what else the payload is.
    pub id: StoredId,
    /// Nonce; zeros in a plain pack.
    pub nonce: [u8; NONCE_BYTES],
    /// Tag, or check value in a plain pack.
    pub tag: [u8; TAG_BYTES],
}

impl RecordHeader {
    /// Bytes from this record's start to the next one's.
    #[must_use]
    pub fn record_bytes(&self) -> u64 {
        RECORD_HEADER_BYTES as u64 + u64::from(self.payload_bytes)
    }

    fn bound(&self) -> [u8; BOUND_BYTES] {
        let mut out = [0; BOUND_BYTES];
        out[..4].copy_from_slice(&RECORD_MAGIC);
        out[4] = self.kind as u8;
        out[5] = self.codec.id();
        out[8..12].copy_from_slice(&self.payload_bytes.to_le_bytes());
        out[12..16].copy_from_slice(&self.plain_bytes.to_le_bytes());
        out[16..48].copy_from_slice(&self.id.0);
        out
    }

    /// What the payload's tag covers beside it: the header's fields, the pack, the place in it.
    #[must_use]
    pub fn aad(&self, pack: PackId, offset: u64) -> [u8; BOUND_BYTES + 24] {
        let mut out = [0; BOUND_BYTES + 24];
        out[..BOUND_BYTES].copy_from_slice(&self.bound());
        out[BOUND_BYTES..BOUND_BYTES + 16].copy_from_slice(&pack.0);
        out[BOUND_BYTES + 16..].copy_from_slice(&offset.to_le_bytes());
        out
    }

    /// The bytes on disk.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD_HEADER_BYTES] {
        let mut out = [0; RECORD_HEADER_BYTES];
        out[..BOUND_BYTES].copy_from_slice(&self.bound());
        out[48..60].copy_from_slice(&self.nonce);
        out[60..76].copy_from_slice(&self.tag);
        let check = crc32c::crc32c(&out[..76]);
        out[76..].copy_from_slice(&check.to_le_bytes());
        out
    }

    /// Reads a header; says what is wrong with it otherwise.
    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let Some(bytes) = bytes.first_chunk::<RECORD_HEADER_BYTES>() else {
            return Err("the record header is cut short");
        };
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
        if bytes[..4] != RECORD_MAGIC {
            return Err("no record starts here");
        }
        if crc32c::crc32c(&bytes[..76]) != word(76) {
            return Err("the record header has a flipped bit");
        }
        let kind = RecordKind::from_code(bytes[4]).ok_or("the record kind is unknown")?;
        let codec = Codec::from_id(bytes[5]).map_err(|_| "the codec is unknown")?;
        if bytes[6..8] != [0, 0] {
            return Err("the record needs a later version");
        }
        let mut header = Self {
            kind,
            codec,
            payload_bytes: word(8),
            plain_bytes: word(12),
            id: StoredId([0; 32]),
            nonce: [0; NONCE_BYTES],
            tag: [0; TAG_BYTES],
        };
        header.id.0.copy_from_slice(&bytes[16..48]);
        header.nonce.copy_from_slice(&bytes[48..60]);
        header.tag.copy_from_slice(&bytes[60..76]);
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let header = RecordHeader {
            kind: RecordKind::Block,
            codec: Codec::Zstd,
            payload_bytes: 1234,
            plain_bytes: 99_999,
            id: StoredId([7; 32]),
            nonce: [1; 12],
            tag: [2; 16],
        };
        let bytes = header.encode();
        assert_eq!(RecordHeader::decode(&bytes).unwrap(), header);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(RecordHeader::decode(&damaged).is_err(), "bit {bit}");
        }
        assert!(RecordHeader::decode(&bytes[..79]).is_err());
    }
}
