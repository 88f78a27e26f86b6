//! The transfer syntax of a code stream, as the stream itself tells it: for frames that came under a media
//! type alone (PS3.18 table 10.5.2-1). What the stream does not tell is the default of its type (table
//! 8.7.3-5).

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use jxl_oxide::frame::Encoding;
use jxl_oxide::{AllocTracker, JxlImage};

use super::MediaType;
use super::jpeg_head::{JPEG_LS, Markers};
use crate::limits::JPEG_XL_BYTES_MAX;

/// How a JP2 or JPH file begins (ISO/IEC 15444-1 annex I.5.1): the signature box.
const JP2_SIGNATURE: [u8; 12] = *b"\x00\x00\x00\x0CjP  \r\n\x87\n";
/// The box that holds the code stream.
const JP2_CODESTREAM: [u8; 4] = *b"jp2c";
/// Start of a JPEG 2000 code stream.
const SOC: [u8; 2] = [0xFF, 0x4F];
const CAP: u8 = 0x50;
const COD: u8 = 0x52;
/// The bit of Pcap that stands for high throughput (ISO/IEC 15444-15 A.3).
const CAP_HIGH_THROUGHPUT: u32 = 1 << 17;
const SOI: u8 = 0xD8;
const SOS: u8 = 0xDA;

/// The transfer syntax of `stream`, which came as `media_type`; nothing if it is not of that type, or if
/// there is no transfer syntax for it, as for progressive JPEG.
pub(crate) fn told_syntax(media_type: &MediaType, stream: &Bytes) -> Option<&'static str> {
    match media_type.name {
        "image/jpeg" => jpeg(stream),
        "image/jls" => jpeg_ls(stream),
        "image/jp2" => jpeg_2000(stream, ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"]),
        "image/jpx" => jpeg_2000(stream, ["1.2.840.10008.1.2.4.92", "1.2.840.10008.1.2.4.93"]),
        "image/jphc" => jpeg_2000(stream, HIGH_THROUGHPUT),
        "image/jxl" => jpeg_xl(stream),
        _ => Some(media_type.default_syntax),
    }
}

/// JPEG 2000 without the boxes of a file around it, which fragments must not have (PS3.5 §A.4.4).
pub(crate) fn without_boxes(stream: Bytes) -> Bytes {
    if !stream.starts_with(&JP2_SIGNATURE) {
        return stream;
    }
    let mut at = 0;
    loop {
        let Some((head, _)) = stream.get(at..).and_then(<[u8]>::split_first_chunk::<8>) else {
            return stream;
        };
        let [a, b, c, d, kind @ ..] = *head;
        let (length, head_bytes) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (stream.len() - at, 8),
            1 => {
                let long = stream.get(at + 8..).and_then(<[u8]>::first_chunk::<8>);
                let long = long.and_then(|long| usize::try_from(u64::from_be_bytes(*long)).ok());
                (long.unwrap_or_default(), 16)
            }
            length => (length as usize, 8),
        };
        let end = at.saturating_add(length).min(stream.len());
        if length < head_bytes || end < at + head_bytes {
            return stream;
        }
        if kind == JP2_CODESTREAM {
            return stream.slice(at + head_bytes..end);
        }
        at = end;
    }
}

/// By the frame header, and for the lossless process by the predictor (ISO/IEC 10918-1 B.2.2, B.2.3).
fn jpeg(stream: &[u8]) -> Option<&'static str> {
    let mut markers = Markers::new(stream);
    markers.next().filter(|first| *first == (SOI, &[]))?;
    let mut process = None;
    for (marker, body) in markers {
        match marker {
            0xC0 | 0xC1 | 0xC3 => process = Some(marker),
            // Progressive, hierarchical, arithmetic: retired, and decoded by nobody here.
            0xC2 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => return None,
            SOS => {
                let selection = body.get(1 + 2 * usize::from(*body.first()?));
                return Some(match (process?, selection) {
                    (0xC0, _) => "1.2.840.10008.1.2.4.50",
                    (0xC1, _) => "1.2.840.10008.1.2.4.51",
                    (_, Some(1)) => "1.2.840.10008.1.2.4.70",
                    _ => "1.2.840.10008.1.2.4.57",
                });
            }
            _ => {}
        }
    }
    None
}

/// By the difference that is allowed from what was coded (ISO/IEC 14495-1 C.2.3).
fn jpeg_ls(stream: &[u8]) -> Option<&'static str> {
    let mut markers = Markers::new(stream);
    markers.next().filter(|first| *first == (SOI, &[]))?;
    let mut found = false;
    for (marker, body) in markers {
        match marker {
            JPEG_LS => found = true,
            SOS => {
                let near = *body.get(1 + 2 * usize::from(*body.first()?))?;
                let lossless = "1.2.840.10008.1.2.4.80";
                let syntax = if near == 0 { lossless } else { "1.2.840.10008.1.2.4.81" };
                return found.then_some(syntax);
            }
            _ => {}
        }
    }
    None
}

const HIGH_THROUGHPUT: [&str; 2] = ["1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.203"];

/// By the wavelet of the default coding style (ISO/IEC 15444-1 A.6.1): the reversible one is what
/// lossless streams have. High throughput is told by a segment of its own, whatever the type.
fn jpeg_2000(stream: &[u8], [lossless, lossy]: [&'static str; 2]) -> Option<&'static str> {
    let mut syntaxes = [lossless, lossy];
    for (marker, body) in Markers::new(stream.strip_prefix(&SOC)?) {
        match (marker, body) {
            (CAP, &[a, b, c, d, ..])
                if u32::from_be_bytes([a, b, c, d]) & CAP_HIGH_THROUGHPUT != 0 =>
            {
                syntaxes = HIGH_THROUGHPUT;
            }
            (COD, &[_, _, _, _, _, _, _, _, _, wavelet, ..]) => {
                let [lossless, lossy] = syntaxes;
                return Some(if wavelet == 1 { lossless } else { lossy });
            }
            // The first tile: the main header is over.
            (0x90, _) => return None,
            _ => {}
        }
    }
    None
}

/// Lossless is what is modular and was not turned into XYB. All else is the syntax that says nothing of
/// it; also a JPEG that was recompressed, which that syntax may hold.
fn jpeg_xl(stream: &Bytes) -> Option<&'static str> {
    let read = || {
        let tracker = AllocTracker::with_limit(JPEG_XL_BYTES_MAX);
        let image = JxlImage::builder().alloc_tracker(tracker).read(stream.as_ref()).ok()?;
        let modular = image.frame_header(0)?.encoding == Encoding::Modular;
        Some(modular && !image.image_header().metadata.xyb_encoded)
    };
    // It is the parser of somebody else, on bytes of its own.
    let lossless = catch_unwind(AssertUnwindSafe(read)).ok()??;
    Some(if lossless { "1.2.840.10008.1.2.4.110" } else { "1.2.840.10008.1.2.4.112" })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn told(media_type: &str, stream: &[u8]) -> Option<&'static str> {
        let stream = Bytes::copy_from_slice(stream);
        let told = told_syntax(&MediaType::named(media_type).unwrap(), &stream);
        told.map(|uid| uid.strip_prefix("1.2.840.10008.1.2.4.").unwrap_or(uid))
    }

    /// A JPEG head with this frame marker and this value of the byte behind the scan's components.
    fn jpeg_of(frame: u8, selection: u8) -> Vec<u8> {
        let mut stream = vec![0xFF, SOI, 0xFF, frame, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0];
        stream.extend([0xFF, SOS, 0, 8, 1, 1, 0, selection, 0, 0, 1, 2, 3]);
        stream
    }

    fn jpeg_2000_of(pcap: u32, wavelet: u8) -> Vec<u8> {
        let mut stream = vec![0xFF, 0x4F, 0xFF, 0x51, 0, 4, 0, 0];
        if pcap != 0 {
            stream.extend([0xFF, CAP, 0, 8]);
            stream.extend(pcap.to_be_bytes());
            stream.extend([0, 0]);
        }
        stream.extend([0xFF, COD, 0, 12, 0, 0, 0, 1, 0, 5, 4, 4, 0, wavelet]);
        stream
    }

    #[test]
    fn streams_tell_their_syntax() {
        for (media_type, stream, syntax) in [
            ("image/jpeg", jpeg_of(0xC0, 0), Some("50")),
            ("image/jpeg", jpeg_of(0xC1, 0), Some("51")),
            ("image/jpeg", jpeg_of(0xC3, 1), Some("70")),
            ("image/jpeg", jpeg_of(0xC3, 6), Some("57")),
            ("image/jpeg", jpeg_of(0xC2, 0), None),
            ("image/jpeg", b"\x89PNG".to_vec(), None),
            ("image/jls", jpeg_of(JPEG_LS, 0), Some("80")),
            ("image/jls", jpeg_of(JPEG_LS, 3), Some("81")),
            ("image/jp2", jpeg_2000_of(0, 1), Some("90")),
            ("image/jp2", jpeg_2000_of(0, 0), Some("91")),
            ("image/jpx", jpeg_2000_of(0, 0), Some("93")),
            ("image/jphc", jpeg_2000_of(1 << 17, 1), Some("201")),
            ("image/jp2", jpeg_2000_of(1 << 17, 0), Some("203")),
            ("image/jp2", b"GIF89a".to_vec(), None),
            ("image/jxl", b"\xFF\x0A".to_vec(), None),
            ("video/mp4", vec![], Some("102")),
            ("video/mpeg2", vec![], Some("101")),
        ] {
            assert_eq!(told(media_type, &stream), syntax, "{media_type} {stream:?}");
        }
    }

    #[test]
    fn boxes_are_taken_off() {
        let inner = jpeg_2000_of(0, 1);
        let boxed = |length: u32| {
            let mut file = JP2_SIGNATURE.to_vec();
            file.extend(b"\0\0\0\x0Cftypjp2 ");
            file.extend(length.to_be_bytes());
            file.extend(JP2_CODESTREAM);
            file.extend(&inner);
            Bytes::from(file)
        };
        for length in [0, inner.len() as u32 + 8, u32::MAX] {
            assert_eq!(without_boxes(boxed(length)), inner, "{length}");
        }
        // What is no file, or is damaged, stays as it is.
        assert_eq!(without_boxes(boxed(7)), boxed(7));
        assert_eq!(without_boxes(inner.clone().into()), inner);
        let cut = Bytes::from_static(&JP2_SIGNATURE);
        assert_eq!(without_boxes(cut.clone()), cut);
    }
}
