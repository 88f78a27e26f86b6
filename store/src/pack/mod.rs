//! Packs: one file or object of many records, self-describing from its first byte.
//!
//! ```text
//! header (64 bytes) | record | record | … | footer record | trailer (32 bytes)
//! ```
//!
//! A pack without footer and trailer is open: it is the journal. Everything in a record but its
//! header is encrypted; the header is authenticated with it, together with the pack and the offset, so
//! a record can be neither changed nor moved. See `FORMAT.md`.

mod block;
mod open;
mod record;
mod scan;

pub(crate) use block::open_block;
pub use block::{Block, BlockBuilder, OpenedBlock};
pub use open::OpenPack;
pub use record::{RECORD_HEADER_BYTES, RecordHeader, RecordKind};
pub use scan::{FooterEntry, Scanned, ScannedRecord, open_record, read_footer, scan};
pub(crate) use scan::{decode_trailer, open_in_place, open_lent};

use std::fmt;

use crate::error::Result;
use crate::keys::PackKey;
use crate::layout::{FORMAT_VERSION, PACK_MAGIC};

/// Length of the pack header in bytes.
pub const PACK_HEADER_BYTES: usize = 64;
/// Length of the trailer in bytes.
pub const TRAILER_BYTES: usize = 32;

/// Random name of a pack.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackId(pub [u8; 16]);

impl PackId {
    /// Draws a new one.
    pub fn generate() -> Result<Self> {
        let mut id = [0; 16];
        crate::keys::random(&mut id)?;
        Ok(Self(id))
    }

    /// Reads 32 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).ok()?;
        Some(Self(id))
    }
}

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// How the records of a pack are protected.
#[derive(Clone, Debug)]
pub enum Cipher {
    /// Not encrypted; a check value still detects any flipped bit.
    Plain,
    /// AES-256-GCM under keys derived from the pack's.
    Gcm(PackKey),
}

impl Cipher {
    fn id(&self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Gcm(_) => 1,
        }
    }
}

/// The fixed start of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackHeader {
    /// Whose pack it is.
    pub pack: PackId,
    /// 0: plain, 1: AES-256-GCM.
    pub cipher: u8,
    /// When it was begun, in ms since 1970.
    pub created_ms: u64,
}

impl PackHeader {
    /// The bytes on disk.
    #[must_use]
    pub fn encode(&self) -> [u8; PACK_HEADER_BYTES] {
        let mut out = [0; PACK_HEADER_BYTES];
        out[..8].copy_from_slice(&PACK_MAGIC);
        out[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        out[10] = self.cipher;
        out[16..32].copy_from_slice(&self.pack.0);
        out[32..40].copy_from_slice(&self.created_ms.to_le_bytes());
        let check = crc32c::crc32c(&out[..60]);
        out[60..].copy_from_slice(&check.to_le_bytes());
        out
    }

    /// Reads the first bytes of a pack; `None` if it is none, or of a later version.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; PACK_HEADER_BYTES] = bytes.first_chunk()?;
        let check = u32::from_le_bytes(bytes[60..].try_into().ok()?);
        let version = u16::from_le_bytes(bytes[8..10].try_into().ok()?);
        let good = bytes[..8] == PACK_MAGIC
            && crc32c::crc32c(&bytes[..60]) == check
            && version == FORMAT_VERSION
            && bytes[10] <= 1;
        good.then_some(Self {
            pack: PackId(bytes[16..32].try_into().ok()?),
            cipher: bytes[10],
            created_ms: u64::from_le_bytes(bytes[32..40].try_into().ok()?),
        })
    }
}
