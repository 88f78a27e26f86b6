//! What the fuzz targets share: the shapes of their inputs, so that seeds are made as they are read.
//!
//! Every input begins with a few control bytes, and the bytes under test follow. That keeps a real
//! file a good seed: only the control bytes have to be put before it.

pub mod arrival;
pub mod dimse;
pub mod frames;
pub mod input;
pub mod packs;
