//! One received object in the spool: a header of fixed length, then what is encrypted.
//!
//! ```text
//! header (112) | description (CBOR) | the object as it was received, or packed | zeros, to a full block
//! ```
//! The header is authenticated with the rest, together with the segment, its present use and the place
//! in it, so a record can be neither changed nor moved, nor taken for one of another use of the same
//! file. The last record of a segment that is complete is an end: without it nobody could tell where
//! what an earlier use left begins. See `FORMAT.md` §9.

use cairn_chunker::cbor::{Reader, Writer};

use crate::commit::Source;
use crate::ingest::{Arrival, Sender};
use crate::keys::{NONCE_BYTES, SPOOL_MARK_BYTES, StoredId, TAG_BYTES};
use crate::layout::SPOOLED_MAGIC;
use crate::limits::{SLAB_BYTES, SPOOL_BLOCK_BYTES};

/// Length of a record's header in bytes.
pub(super) const HEADER_BYTES: usize = 112;
/// Bytes of the header that are authenticated with the rest.
const BOUND_BYTES: usize = 80;
/// Longest description: a transfer syntax has 64 bytes and an AE title 16; what declares longer ones
/// goes the ordinary way.
const DESCRIPTION_BYTES_MAX: usize = 256;
/// Longest object: with its description and tag it fits into one buffer.
pub(super) const OBJECT_BYTES_MAX: usize = SLAB_BYTES - DESCRIPTION_BYTES_MAX - TAG_BYTES;

const WHAT: &str = "spooled object";
const VERSION: u64 = 1;

/// What all records of one use of a segment have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    /// Number of the segment.
    pub(super) segment: u64,
    /// Of the use.
    pub(super) mark: [u8; SPOOL_MARK_BYTES],
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object = 1,
    /// Nothing of this use stands behind it.
    End = 2,
    /// An object that was packed ([`super::packed`]).
    Packed = 3,
}

/// The fixed start of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Its place in the order of arrival.
    pub(super) no: u64,
    /// How much of the segment was durable when this was written: damage before it harms something
    /// that may have been acknowledged.
    pub(super) durable_bytes: u64,
    /// Length of the description.
    pub(super) description_bytes: u32,
    /// Length of the object, as it stands here.
    pub(super) object_bytes: u32,
    /// Stored id of the hash of its data set.
    pub(super) id: StoredId,
    /// Of the use of the segment in which it was written.
    pub(super) mark: [u8; SPOOL_MARK_BYTES],
    /// Nonce; zeros where nothing is encrypted.
    pub(super) nonce: [u8; NONCE_BYTES],
    /// Tag, or check value where nothing is encrypted.
    pub(super) tag: [u8; TAG_BYTES],
}

impl Header {
    /// Bytes from this record's start to the next one's.
    pub(super) fn record_bytes(&self) -> u64 {
        record_bytes(self.payload_bytes())
    }

    /// Bytes behind the header.
    pub(super) fn payload_bytes(&self) -> usize {
        self.description_bytes as usize + self.object_bytes as usize
    }

    fn bound(&self) -> [u8; BOUND_BYTES] {
        let mut out = [0; BOUND_BYTES];
        out[..4].copy_from_slice(&SPOOLED_MAGIC);
        out[4] = self.kind as u8;
        out[8..16].copy_from_slice(&self.no.to_le_bytes());
        out[16..24].copy_from_slice(&self.durable_bytes.to_le_bytes());
        out[24..28].copy_from_slice(&self.description_bytes.to_le_bytes());
        out[28..32].copy_from_slice(&self.object_bytes.to_le_bytes());
        out[32..64].copy_from_slice(&self.id.0);
        out[64..80].copy_from_slice(&self.mark);
        out
    }

    /// What the tag covers beside the payload: the header's fields, the segment, the place in it.
    pub(super) fn aad(&self, segment: u64, offset: u64) -> [u8; BOUND_BYTES + 16] {
        let mut out = [0; BOUND_BYTES + 16];
        out[..BOUND_BYTES].copy_from_slice(&self.bound());
        out[BOUND_BYTES..BOUND_BYTES + 8].copy_from_slice(&segment.to_le_bytes());
        out[BOUND_BYTES + 8..].copy_from_slice(&offset.to_le_bytes());
        out
    }

    /// The bytes on disk.
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..BOUND_BYTES].copy_from_slice(&self.bound());
        out[80..92].copy_from_slice(&self.nonce);
        out[92..108].copy_from_slice(&self.tag);
        let check = crc32c::crc32c(&out[..108]);
        out[108..].copy_from_slice(&check.to_le_bytes());
        out
    }

    /// Reads a header; says what is wrong with it otherwise.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err("the header is cut short");
        };
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
        let long = |at: usize| u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| bytes[at + i]));
        if bytes[..4] != SPOOLED_MAGIC {
            return Err("no record starts here");
        }
        if crc32c::crc32c(&bytes[..108]) != word(108) {
            return Err("the header has a flipped bit");
        }
        let kind = match bytes[4..8] {
            [1, 0, 0, 0] => Kind::Object,
            [2, 0, 0, 0] => Kind::End,
            [3, 0, 0, 0] => Kind::Packed,
            _ => return Err("the record needs a later version"),
        };
        let mut header = Self {
            kind,
            no: long(8),
            durable_bytes: long(16),
            description_bytes: word(24),
            object_bytes: word(28),
            id: StoredId([0; 32]),
            mark: [0; SPOOL_MARK_BYTES],
            nonce: [0; NONCE_BYTES],
            tag: [0; TAG_BYTES],
        };
        header.id.0.copy_from_slice(&bytes[32..64]);
        header.mark.copy_from_slice(&bytes[64..80]);
        header.nonce.copy_from_slice(&bytes[80..92]);
        header.tag.copy_from_slice(&bytes[92..108]);
        if header.description_bytes as usize > DESCRIPTION_BYTES_MAX
            || header.object_bytes as usize > OBJECT_BYTES_MAX
        {
            return Err("the record is longer than any");
        }
        Ok(header)
    }
}

/// Length on the disk of a record with so much payload.
pub(super) fn record_bytes(payload_bytes: usize) -> u64 {
    ((HEADER_BYTES + payload_bytes) as u64).next_multiple_of(SPOOL_BLOCK_BYTES)
}

/// What has to be known of an object beside its bytes to take it in as if it came just now.
#[derive(Clone, Debug)]
pub(super) struct Description {
    /// How it came.
    pub(super) source: Source,
    /// When, in ms since 1970.
    pub(super) received_ms: u64,
    /// In which form.
    pub(super) arrival: Arrival,
    /// Who sent it, if that is known.
    pub(super) sender: Option<Sender>,
}

impl Description {
    /// The bytes at rest; `None` if they would be too long.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new();
        writer.array(6).uint(VERSION).uint(self.source as u64).uint(self.received_ms);
        match &self.arrival {
            Arrival::File => writer.null(),
            Arrival::Dataset { transfer_syntax } => writer.text(transfer_syntax),
        };
        match &self.sender {
            None => writer.null().null(),
            Some(Sender { calling, called }) => writer.text(calling).text(called),
        };
        Some(writer.finish()).filter(|bytes| bytes.len() <= DESCRIPTION_BYTES_MAX)
    }

    /// Reads [`Self::encode`].
    pub(super) fn decode(bytes: &[u8]) -> cairn_chunker::Result<Self> {
        let mut reader = Reader::new(bytes, WHAT);
        reader.array_of(6)?;
        if reader.uint()? != VERSION {
            return Err(reader.fault("it needs a later version"));
        }
        let source = reader.uint()?;
        let source = Source::from_code(source).ok_or_else(|| reader.fault("unknown source"))?;
        let received_ms = reader.uint()?;
        let arrival = if reader.null() {
            Arrival::File
        } else {
            let transfer_syntax = reader.text(DESCRIPTION_BYTES_MAX)?.to_owned();
            Arrival::Dataset { transfer_syntax }
        };
        let calling = title(&mut reader)?;
        let called = title(&mut reader)?;
        let sender = match (calling, called) {
            (Some(calling), Some(called)) => Some(Sender { calling, called }),
            (None, None) => None,
            _ => return Err(reader.fault("half of a sender")),
        };
        reader.end()?;
        Ok(Self { source, received_ms, arrival, sender })
    }
}

/// An AE title, or null.
fn title(reader: &mut Reader<'_>) -> cairn_chunker::Result<Option<String>> {
    if reader.null() {
        return Ok(None);
    }
    Ok(Some(reader.text(DESCRIPTION_BYTES_MAX)?.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn header() -> Header {
        Header {
            kind: Kind::Object,
            no: 7,
            durable_bytes: 64,
            description_bytes: 30,
            object_bytes: 512 << 10,
            id: StoredId([3; 32]),
            mark: [4; 16],
            nonce: [1; 12],
            tag: [2; 16],
        }
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let bytes = header().encode();
        assert_eq!(Header::decode(&bytes).unwrap(), header());
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&damaged).is_err(), "bit {bit}");
        }
        assert!(Header::decode(&bytes[..HEADER_BYTES - 1]).is_err());
        let end = Header { kind: Kind::End, ..header() };
        assert_eq!(Header::decode(&end.encode()).unwrap(), end);
    }

    #[test]
    fn lengths_are_bounded_before_anything_is_read() {
        let long = Header { object_bytes: OBJECT_BYTES_MAX as u32 + 1, ..header() };
        assert!(Header::decode(&long.encode()).is_err());
        let long = Header { description_bytes: 257, ..header() };
        assert!(Header::decode(&long.encode()).is_err());
    }

    #[test]
    fn a_description_comes_back() {
        for arrival in [Arrival::File, Arrival::Dataset { transfer_syntax: "1.2.840".into() }] {
            for sender in [None, Some(Sender { calling: "CT1".into(), called: "CAIRN".into() })] {
                let arrival = arrival.clone();
                let said =
                    Description { source: Source::Web, received_ms: 1 << 41, arrival, sender };
                let read = Description::decode(&said.encode().unwrap()).unwrap();
                assert_eq!(format!("{read:?}"), format!("{said:?}"));
            }
        }
        let transfer_syntax = "1".repeat(300);
        let arrival = Arrival::Dataset { transfer_syntax };
        let long = Description { source: Source::Dimse, received_ms: 0, arrival, sender: None };
        assert!(long.encode().is_none());
        assert!(Description::decode(&[0x86, 1, 9, 0, 0xf6, 0xf6, 0xf6]).is_err());
    }
}
