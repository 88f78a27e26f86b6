//! Which media type goes with which transfer syntax (PS3.18 tables 8.7.3-2 to 8.7.3-5).

use cairn_dicom::syntax::EXPLICIT_LE;

use super::{DICOM, OCTETS};

/// Transfer syntax, media type of its compressed pixel data, and whether it is that type's default.
const COMPRESSED: &[(&str, &str, bool)] = &[
    ("1.2.840.10008.1.2.5", "image/dicom-rle", true),
    ("1.2.840.10008.1.2.4.70", "image/jpeg", true),
    ("1.2.840.10008.1.2.4.50", "image/jpeg", false),
    ("1.2.840.10008.1.2.4.51", "image/jpeg", false),
    ("1.2.840.10008.1.2.4.57", "image/jpeg", false),
    ("1.2.840.10008.1.2.4.80", "image/jls", true),
    ("1.2.840.10008.1.2.4.81", "image/jls", false),
    ("1.2.840.10008.1.2.4.90", "image/jp2", true),
    ("1.2.840.10008.1.2.4.91", "image/jp2", false),
    ("1.2.840.10008.1.2.4.92", "image/jpx", true),
    ("1.2.840.10008.1.2.4.93", "image/jpx", false),
    ("1.2.840.10008.1.2.4.201", "image/jphc", true),
    ("1.2.840.10008.1.2.4.202", "image/jphc", false),
    ("1.2.840.10008.1.2.4.203", "image/jphc", false),
    ("1.2.840.10008.1.2.4.110", "image/jxl", true),
    ("1.2.840.10008.1.2.4.111", "image/jxl", false),
    ("1.2.840.10008.1.2.4.112", "image/jxl", false),
    ("1.2.840.10008.1.2.4.100", "video/mpeg2", false),
    ("1.2.840.10008.1.2.4.101", "video/mpeg2", true),
    ("1.2.840.10008.1.2.4.102", "video/mp4", true),
    ("1.2.840.10008.1.2.4.103", "video/mp4", false),
    ("1.2.840.10008.1.2.4.104", "video/mp4", false),
    ("1.2.840.10008.1.2.4.105", "video/mp4", false),
    ("1.2.840.10008.1.2.4.106", "video/mp4", false),
    ("1.2.840.10008.1.2.4.107", "video/h265", true),
    ("1.2.840.10008.1.2.4.108", "video/h265", false),
];

/// The media type of a frame in a transfer syntax: what a part's Content-Type has to say. Native
/// pixels, and syntaxes that the standard gives no type, are bytes.
pub(crate) fn media_type_of(syntax: &str) -> &'static str {
    let whole = syntax.strip_suffix(".1").unwrap_or(syntax);
    let row = COMPRESSED.iter().find(|(uid, kind, _)| {
        // Video has fragmentable twins, with ".1" behind.
        *uid == syntax || (*uid == whole && kind.starts_with("video/"))
    });
    row.map_or(OCTETS, |(_, media_type, _)| media_type)
}

/// The media type, if the syntax is video.
pub(crate) fn video_type_of(syntax: &str) -> Option<&'static str> {
    Some(media_type_of(syntax)).filter(|kind| kind.starts_with("video/"))
}

/// Is this what a media type alone means? Of images and videos every syntax of the type will do: who
/// takes `image/jpeg` and is refused a JPEG has gained nothing from the letter of the table.
pub(super) fn is_default(media_type: &str, syntax: &str) -> bool {
    match media_type {
        DICOM | OCTETS => syntax == EXPLICIT_LE,
        other => media_type_of(syntax) == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaviour_7_types_match_syntaxes() {
        for (uid, media_type, _) in COMPRESSED {
            assert_eq!(media_type_of(uid), *media_type);
            assert!(is_default(media_type, uid));
            assert!(!is_default(DICOM, uid));
            let known = cairn_dicom::syntax::is_encapsulated(uid);
            assert!(known, "{uid} is not what it should be");
        }
        assert_eq!(media_type_of("1.2.840.10008.1.2.4.102.1"), "video/mp4");
        assert_eq!(media_type_of(EXPLICIT_LE), OCTETS);
        assert_eq!(media_type_of("1.2.840.10008.1.2.1"), OCTETS);
        assert_eq!(video_type_of("1.2.840.10008.1.2.4.80"), None);
    }

    #[test]
    fn every_type_has_one_default() {
        for (_, media_type, _) in COMPRESSED {
            let defaults = COMPRESSED.iter().filter(|row| row.1 == *media_type && row.2);
            assert_eq!(defaults.count(), 1, "{media_type}");
        }
    }
}
