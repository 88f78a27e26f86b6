//! What frames and videos are called on the web (PS3.18 §8.7.3.3.2 and §8.7.3.5): the one table of it.

use crate::syntax::{self, RLE};

/// A media type of frames, and what its parameter `transfer-syntax` may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// Without parameters.
    pub name: &'static str,
    /// The transfer syntax that is meant where no parameter says one (PS3.18 Table 8.7.3-5).
    pub default_syntax: &'static str,
    /// Another name that clients use for it; it is taken and never said.
    alias: Option<&'static str>,
    /// The last parts of the transfer syntaxes that go with it, behind `1.2.840.10008.1.2.`.
    syntaxes: &'static [&'static str],
}

const ARC: &str = "1.2.840.10008.1.2.";

const OCTET_STREAM: MediaType = MediaType {
    name: "application/octet-stream",
    default_syntax: syntax::EXPLICIT_LE,
    alias: None,
    syntaxes: &[],
};

/// The types of single frames and of video.
const TYPES: &[MediaType] = &[
    MediaType {
        name: "image/jpeg",
        default_syntax: "1.2.840.10008.1.2.4.70",
        alias: None,
        syntaxes: &["4.50", "4.51", "4.57", "4.70"],
    },
    MediaType { name: "image/dicom-rle", default_syntax: RLE, alias: None, syntaxes: &["5"] },
    MediaType {
        name: "image/jls",
        default_syntax: "1.2.840.10008.1.2.4.80",
        alias: None,
        syntaxes: &["4.80", "4.81"],
    },
    MediaType {
        name: "image/jp2",
        default_syntax: "1.2.840.10008.1.2.4.90",
        alias: None,
        syntaxes: &["4.90", "4.91"],
    },
    MediaType {
        name: "image/jpx",
        default_syntax: "1.2.840.10008.1.2.4.92",
        alias: None,
        syntaxes: &["4.92", "4.93"],
    },
    MediaType {
        name: "image/jphc",
        default_syntax: "1.2.840.10008.1.2.4.201",
        alias: None,
        syntaxes: &["4.201", "4.202", "4.203"],
    },
    MediaType {
        name: "image/jxl",
        default_syntax: "1.2.840.10008.1.2.4.110",
        alias: None,
        syntaxes: &["4.110", "4.111", "4.112"],
    },
    MediaType {
        name: "video/mpeg",
        default_syntax: "1.2.840.10008.1.2.4.101",
        // What earlier editions called it.
        alias: Some("video/mpeg2"),
        syntaxes: &["4.100", "4.100.1", "4.101", "4.101.1"],
    },
    MediaType {
        name: "video/mp4",
        default_syntax: "1.2.840.10008.1.2.4.102",
        alias: None,
        syntaxes: &[
            "4.102", "4.102.1", "4.103", "4.103.1", "4.104", "4.104.1", "4.105", "4.105.1",
            "4.106", "4.106.1",
        ],
    },
    MediaType {
        name: "video/H265",
        default_syntax: "1.2.840.10008.1.2.4.107",
        alias: None,
        // The standard has no fragmentable ones; what is written so all the same is still a video.
        syntaxes: &["4.107", "4.107.1", "4.108", "4.108.1"],
    },
];

/// How frames that are stored in `transfer_syntax` are sent as they are. Uncompressed ones, and all that
/// the standard has no name for, are `application/octet-stream`.
#[must_use]
pub fn media_type(transfer_syntax: &str) -> MediaType {
    let rest = transfer_syntax.strip_prefix(ARC).unwrap_or_default();
    TYPES.iter().find(|entry| entry.syntaxes.contains(&rest)).copied().unwrap_or(OCTET_STREAM)
}

impl MediaType {
    /// The type of this name or alias, whatever its case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut all = TYPES.iter().chain([&OCTET_STREAM]);
        let is_it = |known: &str| known.eq_ignore_ascii_case(name);
        all.find(|entry| is_it(entry.name) || entry.alias.is_some_and(is_it)).copied()
    }

    /// May frames of this transfer syntax bear this name? Uncompressed ones and unknown ones go by
    /// `application/octet-stream`.
    #[must_use]
    pub fn holds(&self, transfer_syntax: &str) -> bool {
        media_type(transfer_syntax) == *self
    }

    /// Is it bytes, and nothing more particular?
    #[must_use]
    pub fn is_octets(&self) -> bool {
        *self == OCTET_STREAM
    }

    /// Is it a video, which has no frames in the container?
    #[must_use]
    pub fn is_video(&self) -> bool {
        self.name.starts_with("video/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_syntax_of_a_type_finds_it() {
        for entry in TYPES {
            assert!(entry.holds(entry.default_syntax), "{}", entry.name);
            for rest in entry.syntaxes {
                let uid = format!("{ARC}{rest}");
                assert_eq!(media_type(&uid), *entry);
                assert!(syntax::is_encapsulated(&uid), "{uid} is not what it should be");
            }
            assert_eq!(MediaType::named(&entry.name.to_uppercase()), Some(*entry));
            assert_eq!(entry.is_video(), syntax::is_video(entry.default_syntax));
        }
    }

    #[test]
    fn all_else_is_octets() {
        for uid in [syntax::IMPLICIT_LE, syntax::EXPLICIT_BE, "1.2.3", ""] {
            assert_eq!(media_type(uid), OCTET_STREAM);
        }
        assert_eq!(MediaType::named("text/html"), None);
        // Table 8.7.3-5 has no type for deflated frames.
        assert!(media_type(syntax::DEFLATED_FRAME).is_octets());
    }

    #[test]
    fn videos_by_their_names_of_2024() {
        let mpeg2 = media_type("1.2.840.10008.1.2.4.100.1");
        assert_eq!((mpeg2.name, MediaType::named("Video/MPEG2")), ("video/mpeg", Some(mpeg2)));
        assert_eq!(mpeg2.default_syntax, "1.2.840.10008.1.2.4.101");
        assert_eq!(media_type("1.2.840.10008.1.2.4.108").name, "video/H265");
    }
}
