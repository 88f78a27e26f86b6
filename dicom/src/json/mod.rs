//! Stored data sets as other people read them: DICOM JSON (PS3.18 annex F), single values, Explicit VR
//! Little Endian; and DICOM JSON back to a data set.
//!
//! Everything reads through [`Source`](crate::source::Source) and touches only what it needs; values that
//! are large are named by where they lie, not copied. Nothing recurses on what is read, and every length
//! is bounded by bytes that are there or by a limit of [`crate::limits`].

pub(crate) mod base64;
mod explicit;
mod find;
mod inflate;
mod pass;
mod piece;
mod place;
mod read;
mod scalar;
mod text;
mod value;
mod vr;
mod walk;
mod window;
mod write;

pub use explicit::{Change, Rewritten, explicit_le};
pub use find::{Found, find};
pub use inflate::inflate;
pub use piece::Piece;
pub use read::{Bulk, Composed, ReadError, read};
pub use value::swap;
pub use write::{Written, write};
