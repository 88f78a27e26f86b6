//! Bytes at rest: packs, keys, catalog, and the pipelines that fill and read them.
//!
//! The only crate that writes files. A received object is cut and named by `cairn-chunker` and
//! `cairn-dicom`; this crate makes it durable ([`ingest`]), names it in the catalog ([`catalog`]),
//! gives it back verified ([`read`]), and can prove ([`verify`]) or regain ([`rebuild`]) all of it from
//! packs alone. `FORMAT.md` beside this crate fixes the bytes.
//!
//! Order of writing, which everything else rests on: data, then what names it, then the answer to
//! whoever sent it.

pub mod bucket;
pub mod catalog;
pub mod collect;
pub mod commit;
pub mod config;
pub mod disk;
pub mod error;
mod footer;
pub mod ingest;
pub mod keys;
pub mod layout;
pub mod limits;
pub mod metadata;
pub mod pack;
pub mod read;
pub mod rebuild;
mod replay;
pub mod stats;
mod store;
pub mod verify;

/// What the fuzz targets reach beside the public interface. No promise is made about it.
#[doc(hidden)]
pub mod fuzzing {
    use cairn_chunker::codec::Codec;

    use crate::pack::{OpenedBlock, decode_trailer, open_block as open};

    /// Reads a block's payload.
    pub fn open_block(
        codec: Codec,
        payload: &[u8],
        plain_bytes: u32,
    ) -> Result<OpenedBlock, &'static str> {
        open(codec, payload, plain_bytes)
    }

    /// Where the trailer says that the footer record lies: offset and length.
    #[must_use]
    pub fn trailer(bytes: &[u8]) -> Option<(u64, u32)> {
        decode_trailer(bytes)
    }
}

pub use config::{Acknowledge, DuplicatePolicy, IngestConfig, OnDuplicate, StoreConfig};
pub use error::{Damage, Error, Kind, Result};
pub use store::{Access, Store};
