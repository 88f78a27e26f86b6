//! What a run of received bytes is, as far as cutting and coding care.
//!
//! A received object is tiled by spans: each starts where the one before it ends. Whoever reads the
//! object (the `dicom` crate) says where spans start; this crate turns spans into chunks. Spans steer
//! cutting and choice of codec only: a wrong or lying span costs compression, never a byte.

/// How the samples of native pixel data lie in memory: a hint for the pixel filter.
///
/// Only what prediction needs. Every value is safe on any bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Bytes in one sample: 1 or 2 (others are not filtered).
    pub sample_bytes: u8,
    /// Two-byte samples are big-endian (Explicit VR Big Endian).
    pub big_endian: bool,
    /// Samples from one value to its left neighbour of the same colour: 1, or samples per pixel when
    /// colours are interleaved. At least 1.
    pub left: u8,
    /// Samples from one value to the one above it. At least 1.
    pub above: u32,
}

/// The meaning of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Everything before the data set: preamble, "DICM" and group 0002. Not part of the data set.
    Envelope,
    /// A run of small top-level elements; also the tag, VR and length of the large ones.
    Header,
    /// The value of one large top-level element other than pixel data, or data of no known form.
    Bulk,
    /// The value of native pixel data: frames of `frame_bytes` each, one after the other from the
    /// start of the span; what remains after the last whole frame belongs to the span too.
    Pixels {
        /// Bytes in one frame; at least 1.
        frame_bytes: u64,
        /// Layout for the pixel filter; `None` where it does not apply (1-bit, 32-bit, float).
        geometry: Option<Geometry>,
    },
    /// One encapsulated frame: its fragments with their item headers (PS3.5 A.4).
    Frame,
    /// Basic offset table, sequence delimiter and whatever else stands between encapsulated frames.
    FrameTable,
    /// Bytes that are not understood, or an encapsulated stream (video): cut by content.
    Opaque,
}

impl SpanKind {
    /// Does a change here change what the image shows? Decides between a correction and a conflict.
    #[must_use]
    pub fn is_pixels(self) -> bool {
        matches!(self, Self::Pixels { .. } | Self::Frame | Self::Opaque)
    }
}

/// A span of kind `kind` starts at `at`, and lasts until the next boundary or the end of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boundary {
    /// Bytes from the start of the received object, envelope included.
    pub at: u64,
    /// What starts here.
    pub kind: SpanKind,
}
