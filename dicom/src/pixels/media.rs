//! What frames are called on the web (PS3.18 §8.7.3.3.2 and §8.7.3.5).

use crate::syntax::{self, DEFLATED_FRAME, RLE};

/// A media type of frames, and what its parameter `transfer-syntax` may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// Without parameters.
    pub name: &'static str,
    /// The transfer syntax that is meant where no parameter says one (PS3.18 Table 8.7.3-5).
    pub default_syntax: &'static str,
    /// The last parts of the transfer syntaxes that go with it, behind `1.2.840.10008.1.2.`.
    syntaxes: &'static [&'static str],
}

const ARC: &str = "1.2.840.10008.1.2.";

const OCTET_STREAM: MediaType = MediaType {
    name: "application/octet-stream",
    default_syntax: syntax::EXPLICIT_LE,
    syntaxes: &[],
};

/// The types of single frames and of video.
const TYPES: &[MediaType] = &[
    MediaType {
        name: "image/jpeg",
        default_syntax: "1.2.840.10008.1.2.4.70",
        syntaxes: &["4.50", "4.51", "4.57", "4.70"],
    },
    MediaType { name: "image/dicom-rle", default_syntax: RLE, syntaxes: &["5"] },
    MediaType {
        name: "image/jls",
        default_syntax: "1.2.840.10008.1.2.4.80",
        syntaxes: &["4.80", "4.81"],
    },
    MediaType {
        name: "image/jp2",
        default_syntax: "1.2.840.10008.1.2.4.90",
        syntaxes: &["4.90", "4.91"],
    },
    MediaType {
        name: "image/jpx",
        default_syntax: "1.2.840.10008.1.2.4.92",
        syntaxes: &["4.92", "4.93"],
    },
    MediaType {
        name: "image/jphc",
        default_syntax: "1.2.840.10008.1.2.4.201",
        syntaxes: &["4.201", "4.202", "4.203"],
    },
    MediaType {
        name: "image/jxl",
        default_syntax: "1.2.840.10008.1.2.4.110",
        syntaxes: &["4.110", "4.111", "4.112"],
    },
    MediaType { name: "application/x-deflate", default_syntax: DEFLATED_FRAME, syntaxes: &["8.1"] },
    MediaType {
        name: "video/mpeg",
        default_syntax: "1.2.840.10008.1.2.4.100",
        syntaxes: &["4.100", "4.100.1", "4.101", "4.101.1"],
    },
    MediaType {
        name: "video/mp4",
        default_syntax: "1.2.840.10008.1.2.4.102",
        syntaxes: &[
            "4.102", "4.102.1", "4.103", "4.103.1", "4.104", "4.104.1", "4.105", "4.105.1",
            "4.106", "4.106.1",
        ],
    },
    MediaType {
        name: "video/H265",
        default_syntax: "1.2.840.10008.1.2.4.107",
        syntaxes: &["4.107", "4.108"],
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
    /// The type of this name, whatever its case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut all = TYPES.iter().chain([&OCTET_STREAM]);
        all.find(|entry| entry.name.eq_ignore_ascii_case(name)).copied()
    }

    /// May frames of this transfer syntax bear this name? Uncompressed ones and unknown ones go by
    /// `application/octet-stream`.
    #[must_use]
    pub fn holds(&self, transfer_syntax: &str) -> bool {
        media_type(transfer_syntax) == *self
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
                assert_eq!(media_type(&format!("{ARC}{rest}")), *entry);
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
    }
}
