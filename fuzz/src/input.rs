//! How the control bytes of each target are read, and written for seeds.

use cairn_chunker::codec::{Compression, Content, Effort};
use cairn_chunker::limits::{CHUNK_BYTES_MAX, GEAR_BYTES_MAX};
use cairn_chunker::span::{Geometry, SpanKind};
use cairn_dicom::Framing;
use cairn_dicom::syntax::{DEFLATED, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, RLE};

/// Transfer syntaxes that a sender may tell: one of each way to be read, and two of none.
pub const SYNTAXES: [&str; 11] = [
    IMPLICIT_LE,
    EXPLICIT_LE,
    EXPLICIT_BE,
    DEFLATED,
    RLE,
    "1.2.840.10008.1.2.4.50", // JPEG Baseline: frames of several fragments, told by their magic
    "1.2.840.10008.1.2.1.98", // Encapsulated Uncompressed: no magic
    "1.2.840.10008.1.2.4.102", // MPEG-4: a stream without frames
    "1.2.840.113619.5.2",     // GE: big-endian pixels in a little-endian data set
    "1.2.3",
    "",
];

/// The framing that the first byte of a `splitter` input forces; `None` leaves it to the probe.
#[must_use]
pub fn framing(control: u8) -> Option<Framing> {
    match control as usize % (SYNTAXES.len() + 3) {
        0 => None,
        1 => Some(Framing::Part10),
        2 => Some(Framing::MetaOnly),
        other => {
            let transfer_syntax = SYNTAXES[other - 3].to_owned();
            Some(Framing::Dataset { transfer_syntax })
        }
    }
}

/// The first byte of a `splitter` input whose data set is in `SYNTAXES[index]`.
#[must_use]
pub fn dataset_control(index: usize) -> u8 {
    index as u8 + 3
}

/// Control bytes of a `cutter` input.
pub const CUTTER_BYTES: usize = 10;

/// What a `cutter` input asks for.
#[derive(Debug)]
pub struct Cutting {
    /// The kind of the span.
    pub kind: SpanKind,
    /// Its length: longer than an input is, to reach the bounds.
    pub span_bytes: usize,
    /// Chooses how it arrives.
    pub arrival: u64,
}

impl Cutting {
    /// Reads the control bytes.
    #[must_use]
    pub fn new(control: [u8; CUTTER_BYTES]) -> Self {
        let [kind, f0, f1, f2, f3, l0, l1, l2, a0, a1] = control;
        let frame = u64::from(u32::from_le_bytes([f0, f1, f2, f3]));
        let kind = match kind % 9 {
            0 => SpanKind::Envelope,
            1 => SpanKind::Header,
            2 => SpanKind::Bulk,
            3 => SpanKind::Frame,
            4 => SpanKind::FrameTable,
            5 => SpanKind::Opaque,
            6 => SpanKind::Pixels { frame_bytes: frame % 4096, geometry: None },
            7 => SpanKind::Pixels { frame_bytes: frame % (3 << 20), geometry: None },
            _ => SpanKind::Pixels { frame_bytes: frame << 32 | frame, geometry: None },
        };
        // Mostly a few gear chunks, which are quick to cut; sometimes over the longest chunk.
        let most = if a0 % 8 == 0 { 3 * CHUNK_BYTES_MAX } else { 3 * GEAR_BYTES_MAX };
        let span_bytes = u32::from_le_bytes([l0, l1, l2, 0]) as usize % most;
        Self { kind, span_bytes, arrival: u64::from(u16::from_le_bytes([a0, a1])) }
    }
}

/// Control bytes of a `codec_decode` input: the codec, and the plain length in three bytes.
pub const DECODE_BYTES: usize = 4;

/// Codec id and plain length, up to 1 MiB.
#[must_use]
pub fn decoding([codec, l0, l1, l2]: [u8; DECODE_BYTES]) -> (u8, usize) {
    (codec, u32::from_le_bytes([l0, l1, l2, 0]) as usize % ((1 << 20) + 1))
}

/// Control bytes of a `codec_roundtrip` input.
pub const ROUNDTRIP_BYTES: usize = 8;

/// What a `codec_roundtrip` input is coded as, and how hard.
#[must_use]
pub fn coding(
    [content, shape, left, a0, a1, a2, a3, how]: [u8; ROUNDTRIP_BYTES],
) -> (Content, Effort) {
    let kind = match content % 4 {
        0 => Content::Text,
        1 => Content::Dense,
        _ => Content::Pixels(Geometry {
            sample_bytes: shape & 3,
            big_endian: shape & 4 != 0,
            left,
            above: u32::from_le_bytes([a0, a1, a2, a3]),
        }),
    };
    let effort = Effort {
        text_level: i32::from(how & 7) - 1,
        pixel_level: i32::from(how >> 3 & 3),
        compression: match (how & 128 == 0, how & 4 == 0) {
            (false, _) => Compression::Turbo,
            (true, true) => Compression::Default,
            (true, false) => Compression::Cold,
        },
        filter: how & 32 == 0,
        compress: how & 64 == 0,
    };
    (kind, effort)
}
