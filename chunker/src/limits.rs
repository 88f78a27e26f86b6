//! Sizes that bound what this crate makes and what it accepts, each with its reason.

/// Longest chunk, in bytes: one band of a large frame. Long enough that per-chunk cost vanishes,
/// short enough that a few hundred in flight fit in memory.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Frames shorter than this are put together, as many whole ones as fit, so that a cine of tiny
/// frames does not become a million chunks.
pub const FRAME_GROUP_BYTES: usize = 256 << 10;

/// A rest this short at the end of a span joins the chunk before it (the pad byte of PS3.5 §7.1.1
/// would otherwise be a chunk of its own).
pub const TAIL_BYTES_MAX: usize = 64;

/// Content-defined cuts: no chunk but the last is shorter.
pub const GEAR_BYTES_MIN: usize = 16 << 10;

/// Content-defined cuts: no chunk is longer.
pub const GEAR_BYTES_MAX: usize = 256 << 10;

/// Content-defined cuts: a cut is made where this many bits of the rolling hash are zero, so that
/// chunks are `GEAR_BYTES_MIN` + 64 KiB long on average.
pub const GEAR_MASK_BITS: u32 = 16;

/// Envelopes up to this length are kept inside the manifest; real ones have 300 to 500 bytes.
pub const ENVELOPE_INLINE_BYTES_MAX: usize = 4096;

/// Longest encoded manifest accepted: 1.5 million chunks, an instance of over a terabyte.
pub const MANIFEST_BYTES_MAX: usize = 64 << 20;

/// Longest UID text in a manifest or proof (PS3.5 §9.1 allows 64 characters).
pub const UID_BYTES_MAX: usize = 64;

/// Longest inclusion path: a tree over 2^40 leaves.
pub const PATH_HASHES_MAX: usize = 40;

/// Longest encoded proof accepted.
pub const PROOF_BYTES_MAX: usize = 16 << 10;
