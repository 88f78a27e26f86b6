//! What becomes of pixel data that came in parts: a native value, or frames in fragments (PS3.18 table
//! 10.5.2-1).
//!
//! Compressed parts are never taken for native pixels. Without a `transfer-syntax` they are in the one
//! that their stream tells, or in the default of their media type (table 8.7.3-5). GIF and PNG would have
//! to be transformed, which is not done here: they are refused.

use bytes::Bytes;

use super::read::{Bulk, ReadError};
use crate::pixels::{MediaType, told_syntax, without_boxes};
use crate::syntax::{self, EXPLICIT_LE, IMPLICIT_LE};

/// Pixel data on its way into a data set.
#[derive(Debug)]
pub(super) enum Placed {
    /// One value.
    Native(Vec<Bytes>),
    /// Frames in this transfer syntax.
    Encapsulated(String, Vec<Bytes>),
}

/// Where the parts of pixel data belong.
pub(super) fn place(bulk: Bulk) -> Result<Placed, ReadError> {
    let Bulk { mut parts, transfer_syntax, media_type } = bulk;
    let named = media_type.as_deref().unwrap_or_default();
    // Table 10.5.2-1 calls high-throughput JPEG 2000 by the name of its files.
    let jph = named.eq_ignore_ascii_case("image/jph");
    let known = MediaType::named(if jph { "image/jphc" } else { named });
    let coded = known.filter(|known| !known.is_octets());
    if let Some(uid) = transfer_syntax {
        if syntax::is_encapsulated(&uid) {
            if coded.is_some_and(|coded| !coded.holds(&uid)) {
                return Err(ReadError::BadTransferSyntax);
            }
            return Ok(Placed::Encapsulated(uid, parts));
        }
        let native = matches!(&*uid, EXPLICIT_LE | IMPLICIT_LE);
        return if native && coded.is_none() && !is_picture(named) {
            Ok(Placed::Native(parts))
        } else {
            Err(ReadError::BadTransferSyntax)
        };
    }
    let Some(coded) = coded else {
        let unknown = is_picture(named);
        return if unknown { Err(ReadError::BadTransferSyntax) } else { Ok(Placed::Native(parts)) };
    };
    if matches!(coded.name, "image/jp2" | "image/jpx" | "image/jphc") {
        parts = parts.into_iter().map(without_boxes).collect();
    }
    let mut told = parts.iter().map(|part| told_syntax(&coded, part));
    let first = told.next().flatten().ok_or(ReadError::BadTransferSyntax)?;
    // One object has one transfer syntax.
    if told.any(|other| other != Some(first)) {
        return Err(ReadError::BadTransferSyntax);
    }
    Ok(Placed::Encapsulated(first.to_owned(), parts))
}

/// Is it a media type of images or videos?
fn is_picture(named: &str) -> bool {
    let kind = named.split('/').next().unwrap_or_default();
    kind.eq_ignore_ascii_case("image") || kind.eq_ignore_ascii_case("video")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BASELINE: &str = "1.2.840.10008.1.2.4.50";
    const JPEG: &[u8] =
        b"\xFF\xD8\xFF\xC0\0\x0B\x08\0\x08\0\x08\x01\x01\x11\0\xFF\xDA\0\x08\x01\x01\0\0\x3F\0";

    fn placed(media_type: &str, transfer_syntax: &str, parts: &[&'static [u8]]) -> Option<String> {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let placed = place(Bulk {
            parts: parts.iter().map(|part| Bytes::from_static(part)).collect(),
            transfer_syntax: text(transfer_syntax),
            media_type: text(media_type),
        });
        match placed {
            Ok(Placed::Native(_)) => Some("native".to_owned()),
            Ok(Placed::Encapsulated(uid, _)) => Some(uid),
            Err(error) => {
                assert_eq!(error, ReadError::BadTransferSyntax);
                None
            }
        }
    }

    #[test]
    fn table_10_5_2_1() {
        let rle = "1.2.840.10008.1.2.5";
        for (media_type, syntax, parts, wanted) in [
            ("", "", &[&[1u8, 2][..]][..], Some("native")),
            ("application/octet-stream", "", &[&[1, 2]], Some("native")),
            ("application/octet-stream", EXPLICIT_LE, &[&[1, 2]], Some("native")),
            ("application/octet-stream", rle, &[&[1, 2]], Some(rle)),
            ("application/octet-stream", "1.2.3", &[&[1, 2]], None),
            ("image/jpeg", "", &[JPEG], Some(BASELINE)),
            ("Image/JPEG", "", &[JPEG, JPEG], Some(BASELINE)),
            ("image/jpeg", "", &[JPEG, &[1]], None),
            ("image/jpeg", "", &[&[1, 2]], None),
            ("image/jpeg", BASELINE, &[JPEG], Some(BASELINE)),
            ("image/jpeg", rle, &[JPEG], None),
            ("image/jpeg", EXPLICIT_LE, &[JPEG], None),
            ("image/dicom-rle", "", &[&[1]], Some(rle)),
            ("image/png", "", &[&[1]], None),
            ("image/png", EXPLICIT_LE, &[&[1]], None),
            ("image/gif", "", &[&[1]], None),
            ("video/mp4", "", &[&[1]], Some("1.2.840.10008.1.2.4.102")),
            ("video/mpeg2", "", &[&[1]], Some("1.2.840.10008.1.2.4.101")),
            ("video/h265", "", &[&[1]], Some("1.2.840.10008.1.2.4.107")),
            ("video/webm", "", &[&[1]], None),
        ] {
            let found = placed(media_type, syntax, parts);
            assert_eq!(found.as_deref(), wanted, "{media_type} {syntax}");
        }
    }
}
