//! Which media type goes with which transfer syntax (PS3.18 tables 8.7.3-2 to 8.7.3-5).

use cairn_dicom::pixels::{MediaType, media_type};
use cairn_dicom::syntax::EXPLICIT_LE;

use super::{DICOM, OCTETS};

/// The media type of a frame in a transfer syntax: what a part's Content-Type has to say. Native
/// pixels, and syntaxes that the standard gives no type, are bytes.
pub(crate) fn media_type_of(syntax: &str) -> &'static str {
    media_type(syntax).name
}

/// The media type, if the syntax is video.
pub(crate) fn video_type_of(syntax: &str) -> Option<&'static str> {
    Some(media_type(syntax)).filter(MediaType::is_video).map(|video| video.name)
}

/// Is `wanted` a name of `media_type`, whatever its case?
pub(super) fn names(wanted: &str, media_type: &str) -> bool {
    wanted.eq_ignore_ascii_case(media_type)
        || MediaType::named(wanted).is_some_and(|known| known.name == media_type)
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
        for (syntax, media_type) in [
            ("1.2.840.10008.1.2.5", "image/dicom-rle"),
            ("1.2.840.10008.1.2.4.50", "image/jpeg"),
            ("1.2.840.10008.1.2.4.203", "image/jphc"),
            ("1.2.840.10008.1.2.4.100", "video/mpeg"),
            ("1.2.840.10008.1.2.4.102.1", "video/mp4"),
            ("1.2.840.10008.1.2.4.107", "video/H265"),
        ] {
            assert_eq!(media_type_of(syntax), media_type);
            assert!(is_default(media_type, syntax) && !is_default(DICOM, syntax));
            assert_eq!(video_type_of(syntax).is_some(), media_type.starts_with("video/"));
        }
        assert_eq!(media_type_of(EXPLICIT_LE), OCTETS);
        assert!(names("video/mpeg2", "video/mpeg") && names("video/h265", "video/H265"));
        assert!(!names("video/mp4", "video/mpeg"));
    }
}
