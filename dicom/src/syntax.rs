//! What is known of a transfer syntax: how its data set is encoded, and what its pixel data holds.

use dicom_encoding::transfer_syntax::{Codec, TransferSyntaxIndex};
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

/// Implicit VR Little Endian, the default of DICOM (PS3.5 A.1).
pub const IMPLICIT_LE: &str = "1.2.840.10008.1.2";
/// Explicit VR Little Endian (PS3.5 A.2).
pub const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";
/// Explicit VR Big Endian (PS3.5 A.3, retired).
pub const EXPLICIT_BE: &str = "1.2.840.10008.1.2.2";
/// Deflated Explicit VR Little Endian (PS3.5 A.5).
pub const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
/// RLE Lossless (PS3.5 A.4.2): each frame is exactly one fragment.
pub const RLE: &str = "1.2.840.10008.1.2.5";

/// Encapsulated Uncompressed: raw pixels may look like any magic, so fragments are not looked at.
pub(crate) const ENCAPSULATED_UNCOMPRESSED: &str = "1.2.840.10008.1.2.1.98";
/// Deflated Image Frame Compression (PS3.5 A.4.13): no magic either.
pub(crate) const DEFLATED_FRAME: &str = "1.2.840.10008.1.2.8.1";
/// GE private: a little-endian data set with big-endian pixels.
const GE_BIG_ENDIAN_PIXELS: &str = "1.2.840.113619.5.2";
/// Papyrus 3, retired.
const PAPYRUS: &str = "1.2.840.10008.1.20";
/// MPEG2, MPEG-4 and HEVC are numbered .100 to .108 here, with ".1" behind for the fragmentable ones.
const VIDEO_ARC: &str = "1.2.840.10008.1.2.4.10";

/// How the elements of a data set are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Each element says its VR.
    pub explicit: bool,
    /// Numbers are big-endian.
    pub big_endian: bool,
}

impl Encoding {
    /// Implicit VR Little Endian.
    pub const IMPLICIT_LE: Self = Self { explicit: false, big_endian: false };
    /// Explicit VR Little Endian.
    pub const EXPLICIT_LE: Self = Self { explicit: true, big_endian: false };
    /// Explicit VR Big Endian.
    pub const EXPLICIT_BE: Self = Self { explicit: true, big_endian: true };
}

/// What the fragments of encapsulated pixel data are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragments {
    /// Pieces of image code streams, with a magic at the start of each frame.
    CodeStreams,
    /// One whole frame each.
    WholeFrames,
    /// Pieces of one long stream that has no frames of its own in the container (video).
    Stream,
}

/// A transfer syntax, as far as finding one's way through an object needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syntax {
    /// Encoding of the elements.
    pub encoding: Encoding,
    /// The two-byte samples of native pixel data are big-endian.
    pub big_endian_pixels: bool,
    /// The data set is one deflate stream (RFC 1951).
    pub deflated: bool,
    /// What fragments hold, if pixel data is encapsulated.
    pub fragments: Fragments,
    /// This crate knows the UID; otherwise all of the above is a guess.
    pub known: bool,
}

impl Syntax {
    /// Looks a UID up. An unknown one reads as Explicit VR Little Endian, what PS3.5 §10 wants of
    /// every syntax but the oldest.
    #[must_use]
    pub fn of(uid: &str) -> Self {
        let plain = Self {
            encoding: Encoding::EXPLICIT_LE,
            big_endian_pixels: false,
            deflated: false,
            fragments: Fragments::CodeStreams,
            known: true,
        };
        match uid {
            EXPLICIT_LE => plain,
            IMPLICIT_LE | PAPYRUS => Self { encoding: Encoding::IMPLICIT_LE, ..plain },
            GE_BIG_ENDIAN_PIXELS => {
                Self { encoding: Encoding::IMPLICIT_LE, big_endian_pixels: true, ..plain }
            }
            EXPLICIT_BE => {
                Self { encoding: Encoding::EXPLICIT_BE, big_endian_pixels: true, ..plain }
            }
            RLE | ENCAPSULATED_UNCOMPRESSED | DEFLATED_FRAME => {
                Self { fragments: Fragments::WholeFrames, ..plain }
            }
            _ if is_video(uid) => Self { fragments: Fragments::Stream, ..plain },
            _ => match TransferSyntaxRegistry.get(uid) {
                // Of what the registry knows, only whole data sets pass through a codec of this kind.
                Some(entry) => {
                    Self { deflated: matches!(entry.codec(), Codec::Dataset(_)), ..plain }
                }
                None => Self { known: false, ..plain },
            },
        }
    }
}

/// What PS3.6 calls a transfer syntax, if the registry has it.
#[must_use]
pub fn name(uid: &str) -> Option<&'static str> {
    TransferSyntaxRegistry.get(uid).map(dicom_encoding::TransferSyntax::name)
}

/// Is pixel data of this syntax encapsulated (PS3.5 A.4)?
#[must_use]
pub fn is_encapsulated(uid: &str) -> bool {
    is_video(uid)
        || TransferSyntaxRegistry
            .get(uid)
            .is_some_and(dicom_encoding::TransferSyntax::is_encapsulated_pixel_data)
}

pub(crate) fn is_video(uid: &str) -> bool {
    let Some(rest) = uid.strip_prefix(VIDEO_ARC) else { return false };
    let number = rest.strip_suffix(".1").unwrap_or(rest);
    matches!(number.as_bytes(), [b'0'..=b'8'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families() {
        assert_eq!(Syntax::of(IMPLICIT_LE).encoding, Encoding::IMPLICIT_LE);
        assert_eq!(Syntax::of(EXPLICIT_BE).encoding, Encoding::EXPLICIT_BE);
        assert!(Syntax::of(EXPLICIT_BE).big_endian_pixels);
        assert!(Syntax::of(DEFLATED).deflated);
        assert!(Syntax::of("1.2.840.10008.1.2.4.95").deflated);
        assert!(Syntax::of("1.2.840.10008.1.2.4.205").deflated);
        assert!(!Syntax::of("1.2.840.10008.1.2.8.1").deflated);
        for uid in ["100", "100.1", "102", "106.1", "107", "108"] {
            let uid = format!("1.2.840.10008.1.2.4.{uid}");
            assert_eq!(Syntax::of(&uid).fragments, Fragments::Stream, "{uid}");
        }
        for uid in ["50", "57", "70", "80", "90", "91", "110", "111", "112", "201", "202", "203"] {
            let uid = format!("1.2.840.10008.1.2.4.{uid}");
            assert!(Syntax::of(&uid).known, "{uid}");
            assert_eq!(Syntax::of(&uid).fragments, Fragments::CodeStreams, "{uid}");
            assert!(is_encapsulated(&uid), "{uid}");
        }
        assert!(!Syntax::of("1.2.3").known);
        assert!(!is_encapsulated(EXPLICIT_LE));
        assert_eq!(name(RLE), Some("RLE Lossless"));
    }
}
