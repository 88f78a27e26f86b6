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
pub mod commit;
pub mod config;
pub mod disk;
pub mod error;
pub mod ingest;
pub mod keys;
pub mod layout;
pub mod limits;
pub mod pack;
pub mod read;
pub mod rebuild;
mod replay;
pub mod stats;
mod store;
pub mod verify;

pub use config::{Acknowledge, DuplicatePolicy, IngestConfig, OnDuplicate, StoreConfig};
pub use error::{Damage, Error, Kind, Result};
pub use store::{Access, Store};
