//! `multipart/related` (RFC 2387), both ways.
//!
//! Parts are found by the boundary alone: pixels hold empty lines, lengths lie, and header fields
//! are missing. Nothing of a body is copied or kept beyond what was read ahead.

mod reader;
mod writer;

pub(crate) use reader::{Fault, Headers, Reader, boundary};
pub(crate) use writer::Writer;

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;
