//! Pixel data: one frame as it is stored, to samples that anybody can read.
//!
//! The bytes are hostile and so is the header. Before a decoder of somebody else sees them, the size
//! that the code stream claims must agree with the header, whose size is bounded
//! ([`crate::limits::FRAME_BYTES_MAX`]). A decoder that panics is an error like any other. A frame comes
//! out whole or not at all: missing samples are never made up.
//!
//! The decoders are mostly those of dicom-rs, called without its adapters: those hide whether colours
//! were converted, convert RGB that is coded without an Adobe marker, leave planes of JPEG-LS apart, and
//! refuse large images that compress well. Of our own are RLE, and the kinds of JPEG that `jpeg-decoder`
//! lacks or gets wrong (12 bits, lossless).

mod fragments;
mod jpeg;
mod jpeg2000;
mod jpeg_entropy;
mod jpeg_extended;
mod jpeg_head;
mod jpeg_lossless;
mod jpegls;
mod jpegxl;
mod layout;
mod media;
mod native;
mod rle;
mod samples;
#[cfg(test)]
mod tests;
mod told;
mod transcode;

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

pub use fragments::{codestream, fragments};
pub use layout::{ImageLayout, Numbers, Photometric};
pub use media::{MediaType, media_type};
pub use native::{NativeValue, bit_frame};
pub(crate) use told::{told_syntax, without_boxes};
pub use transcode::{Change, header_changes, pixel_data_vr, transcodable};

use crate::limits::CODED_FRAME_BYTES_MAX;
use crate::syntax::{self, Syntax};

/// One frame of plain samples.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// Little-endian samples, exactly [`ImageLayout::frame_bytes`] of `layout`.
    pub bytes: Bytes,
    /// How they lie.
    pub layout: ImageLayout,
}

/// Why a frame cannot be decoded. Nothing here says anything about a patient.
#[derive(Debug, thiserror::Error)]
pub enum PixelError {
    /// The header does not describe an image.
    #[error("the header does not describe an image: {0}")]
    Layout(&'static str),
    /// A frame is longer than this archive decodes.
    #[error("a frame of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// Bytes of the frame.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The items of an encapsulated frame are damaged.
    #[error("damaged fragments: {0}")]
    Fragments(&'static str),
    /// There is no decoder for this transfer syntax.
    #[error("no decoder for this transfer syntax")]
    TransferSyntax,
    /// The code stream uses something that no decoder here knows.
    #[error("not supported: {0}")]
    Unsupported(&'static str),
    /// The code stream is damaged.
    #[error("damaged code stream: {0}")]
    Coding(&'static str),
    /// The code stream is another image than the header says.
    #[error("{what}: {header} in the header, {stream} in the code stream")]
    Mismatch {
        /// What differs.
        what: &'static str,
        /// By the header.
        header: u64,
        /// By the code stream.
        stream: u64,
    },
    /// There are fewer samples than the header says.
    #[error("{found} of {wanted} bytes or samples are there")]
    Short {
        /// How many there should be.
        wanted: u64,
        /// How many there are.
        found: u64,
    },
    /// A decoder's own words.
    #[error("{codec} decoder: {message}")]
    Codec {
        /// Which one.
        codec: &'static str,
        /// What it says.
        message: String,
    },
    /// A decoder panicked.
    #[error("the decoder gave up")]
    Panicked,
}

/// What a transfer syntax does to pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Native {
        big_endian: bool,
    },
    Rle,
    Jpeg,
    JpegLs,
    Jpeg2000,
    JpegXl,
    /// Each frame is one deflate stream (PS3.5 A.4.13).
    DeflatedFrame,
    /// Each frame is one fragment of native samples (PS3.5 A.4.11).
    Uncompressed,
}

impl Coding {
    fn of(transfer_syntax: &str) -> Option<Self> {
        let Some(rest) = transfer_syntax.strip_prefix("1.2.840.10008.1.2.4.") else {
            return match transfer_syntax {
                syntax::RLE => Some(Self::Rle),
                syntax::ENCAPSULATED_UNCOMPRESSED => Some(Self::Uncompressed),
                syntax::DEFLATED_FRAME => Some(Self::DeflatedFrame),
                uid => {
                    let syntax = Syntax::of(uid);
                    (syntax.known && !syntax::is_encapsulated(uid))
                        .then_some(Self::Native { big_endian: syntax.big_endian_pixels })
                }
            };
        };
        Some(match rest {
            // 52 to 66 are retired; none of them is decoded by anybody but where the stream is an
            // ordinary one.
            "50" | "51" | "53" | "55" | "57" | "70" => Self::Jpeg,
            "80" | "81" => Self::JpegLs,
            "90" | "91" | "92" | "93" | "201" | "202" | "203" => Self::Jpeg2000,
            "110" | "111" | "112" => Self::JpegXl,
            _ => return None,
        })
    }
}

/// Decodes one frame.
///
/// `frame` is what [`cairn_chunker::frames::Frames::range`] names: native samples, or fragments with
/// their item heads. Of native 1-bit data only frames that end at a byte have such a range; cut others
/// with [`bit_frame`] first.
///
/// What comes out, by transfer syntax (PS3.5 §8.2):
///
/// | | photometric interpretation | planes |
/// |---|---|---|
/// | native, encapsulated uncompressed, deflated frame | as it is | as they are |
/// | RLE, JPEG-LS | as it is, YBR_FULL_422 becomes YBR_FULL | side by side |
/// | JPEG, lossy, 3 samples | RGB | side by side |
/// | JPEG, lossless | as it is, YBR_FULL_422 becomes YBR_FULL | side by side |
/// | JPEG 2000, HTJ2K | RGB if the stream has a component transform or the header names one | side by side |
/// | JPEG XL | RGB if the stream holds XYB or YCbCr, else as it is | side by side |
///
/// Bits Allocated stays in every case; signed samples are extended to it.
pub fn decode(
    transfer_syntax: &str,
    layout: &ImageLayout,
    frame: &Bytes,
) -> Result<Decoded, PixelError> {
    layout.check()?;
    let coding = Coding::of(transfer_syntax).ok_or(PixelError::TransferSyntax)?;
    if let Coding::Native { big_endian } = coding {
        return native::decode(big_endian, layout, frame);
    }
    let bytes = layout.frame_bytes() as u64;
    if bytes > CODED_FRAME_BYTES_MAX {
        return Err(PixelError::TooLarge { bytes, limit: CODED_FRAME_BYTES_MAX });
    }
    let stream = codestream(frame)?;
    let decoded = guarded(|| decode_stream(coding, layout, &stream))?;
    let (wanted, found) = (decoded.layout.frame_bytes(), decoded.bytes.len());
    if wanted != found {
        return Err(PixelError::Short { wanted: wanted as u64, found: found as u64 });
    }
    Ok(decoded)
}

fn decode_stream(
    coding: Coding,
    layout: &ImageLayout,
    stream: &Bytes,
) -> Result<Decoded, PixelError> {
    if layout.numbers != Numbers::Whole
        && !matches!(coding, Coding::DeflatedFrame | Coding::Uncompressed)
    {
        return Err(PixelError::Unsupported("floating samples in an image code stream"));
    }
    match coding {
        Coding::Native { .. } | Coding::Uncompressed => native::decode(false, layout, stream),
        Coding::Rle => rle::decode(layout, stream),
        Coding::Jpeg => jpeg::decode(layout, stream),
        Coding::JpegLs => jpegls::decode(layout, stream),
        Coding::Jpeg2000 => jpeg2000::decode(layout, stream),
        Coding::JpegXl => jpegxl::decode(layout, stream),
        Coding::DeflatedFrame => native::decode(false, layout, &inflate(layout, stream)?),
    }
}

/// Inflates as much as a frame holds; what comes after it is padding or a lie.
fn inflate(layout: &ImageLayout, stream: &Bytes) -> Result<Bytes, PixelError> {
    use std::io::Read;
    let mut out = Vec::with_capacity(layout.frame_bytes());
    let inflater = flate2::read::DeflateDecoder::new(stream.as_ref());
    let read = inflater.take(layout.frame_bytes() as u64).read_to_end(&mut out);
    read.map_err(|error| PixelError::Codec { codec: "deflate", message: error.to_string() })?;
    Ok(Bytes::from(out))
}

/// Decoders work on bytes of their own; after a panic nothing of theirs is used again.
fn guarded<T>(decode: impl FnOnce() -> Result<T, PixelError>) -> Result<T, PixelError> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or(Err(PixelError::Panicked))
}

/// Do the 8-bit samples of an Explicit VR Big Endian object lie in words? `head` is the 12 bytes before
/// native pixel data: tag, VR, two reserved bytes, length.
#[must_use]
pub fn in_words(head: &[u8]) -> bool {
    head.get(4..6) == Some(b"OW")
}
