//! From spans of bytes to named, encoded chunks, and the hash tree over instances.
//!
//! Owns how an object is cut ([`cut`]), how a chunk is named ([`id`]) and coded ([`codec`]), how an
//! instance is put together again ([`manifest`]), and what names a study's content ([`tree`],
//! [`proof`]). Everything here is a pure function: no files, no sockets, no clocks, no DICOM beyond
//! "a frame of so many bytes, whose samples lie so".
//!
//! `FORMAT.md` beside this crate fixes the bytes; `VECTORS.md` holds vectors to check them against.

pub mod cbor;
pub mod codec;
pub mod cut;
pub mod error;
pub mod frames;
pub mod gear;
pub mod id;
pub mod limits;
pub mod manifest;
pub mod proof;
pub mod span;
pub mod tree;

pub use error::{Error, Result};
