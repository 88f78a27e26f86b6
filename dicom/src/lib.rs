//! Bytes to meaning: what a received object is, where its parts lie, and what an archive indexes.
//!
//! Everything here is synchronous and works on bytes that somebody else holds; nothing opens files or
//! sockets. Input is never trusted: no declared length is allocated or believed before its bytes are
//! there, nothing recurses, nothing panics. What does not parse is kept as it is and flagged.
//!
//! The way of one object: [`probe::probe`] says what it is, a [`split::Splitter`] reads it in windows
//! and gives out span boundaries, and the [`object::Object`] left at the end says who it is.

pub mod attributes;
pub mod charset;
pub mod element;
pub mod envelope;
pub mod flags;
pub mod json;
pub mod limits;
pub mod object;
pub mod phantom;
pub mod pixels;
pub mod probe;
pub mod query;
pub mod source;

pub mod render;
pub mod split;
pub mod syntax;
pub mod uid;

pub use attributes::{Attributes, Level};
pub use flags::Flags;
pub use object::{Identity, Object};
pub use probe::{Framing, NotDicom, PROBE_BYTES, probe};
pub use source::Source;
pub use split::{Refused, Splitter};
