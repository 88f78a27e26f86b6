//! Which attribute a key speaks of: a tag, or tags through sequences (PS3.18 §8.3.4.1).

use std::fmt;

use dicom_core::Tag;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_dictionary_std::StandardDataDictionary;

use super::limits::PATH_TAGS_MAX;
use crate::element::Vr;

/// Tags from the data set down through items of sequences; never empty. All but the last are
/// sequences.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Vec<u32>);

impl Path {
    /// A top-level attribute.
    #[must_use]
    pub fn of(tag: u32) -> Self {
        Self(vec![tag])
    }

    /// Reads `00100010`, `PatientName`, `00400275.00400009`,
    /// `RequestAttributesSequence.ScheduledProcedureStepID`, or a mixture. `None`: a part is neither
    /// eight hex digits nor a keyword of PS3.6, or there are too many.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let tags: Vec<u32> =
            text.split('.').take(PATH_TAGS_MAX + 1).map(tag_of).collect::<Option<_>>()?;
        (tags.len() <= PATH_TAGS_MAX).then_some(Self(tags))
    }

    /// The tags, outermost first.
    #[must_use]
    pub fn tags(&self) -> &[u32] {
        &self.0
    }

    /// The tag, if this is an attribute of the data set itself.
    #[must_use]
    pub fn top_level(&self) -> Option<u32> {
        match self.0[..] {
            [tag] => Some(tag),
            _ => None,
        }
    }

    /// The first tag: the attribute of the data set, or the sequence that the path leads into.
    #[must_use]
    pub fn first(&self) -> u32 {
        self.0.first().copied().unwrap_or_default()
    }

    /// The attribute itself.
    #[must_use]
    pub fn last(&self) -> u32 {
        self.0.last().copied().unwrap_or_default()
    }

    /// The same place, another attribute.
    #[must_use]
    pub fn sibling(&self, tag: u32) -> Self {
        let mut tags = self.0.clone();
        if let Some(last) = tags.last_mut() {
            *last = tag;
        }
        Self(tags)
    }
}

/// As hex digits with dots between them.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, tag) in self.0.iter().enumerate() {
            let dot = if i == 0 { "" } else { "." };
            write!(f, "{dot}{tag:08X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn tag_of(part: &str) -> Option<u32> {
    if part.len() == 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return u32::from_str_radix(part, 16).ok();
    }
    // The dictionary's own stand-ins have no tag of their own.
    if matches!(part, "GenericGroupLength" | "PrivateCreator") {
        return None;
    }
    let Tag(group, element) = StandardDataDictionary.by_name(part)?.tag();
    Some(u32::from(group) << 16 | u32::from(element))
}

/// The VR that PS3.6 gives an attribute; UN if it is private or not known.
#[must_use]
pub fn vr_of(tag: u32) -> Vr {
    let known = StandardDataDictionary.by_tag(Tag((tag >> 16) as u16, tag as u16));
    known.map_or(Vr::UN, |entry| Vr(entry.vr().relaxed().to_bytes()))
}

/// The keyword of PS3.6, for messages.
#[must_use]
pub fn keyword_of(tag: u32) -> Option<&'static str> {
    StandardDataDictionary
        .by_tag(Tag((tag >> 16) as u16, tag as u16))
        .map(DataDictionaryEntry::alias)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hex_keywords_and_sequences_mix() {
        assert_eq!(Path::parse("00100010"), Some(Path::of(0x0010_0010)));
        assert_eq!(Path::parse("0020000d"), Path::parse("StudyInstanceUID"));
        for text in [
            "RequestAttributesSequence.ScheduledProcedureStepID",
            "00400275.00400009",
            "00400275.ScheduledProcedureStepID",
        ] {
            assert_eq!(Path::parse(text).unwrap().tags(), [0x0040_0275, 0x0040_0009]);
        }
        assert_eq!(Path::parse("00091001").unwrap().to_string(), "00091001");
    }

    #[test]
    fn what_is_no_attribute_is_refused() {
        let deep = ["00400275"; PATH_TAGS_MAX + 1].join(".");
        for text in ["", ".", "patientname", "PatientNam", "0010001", "0010001G", "+0100010", &deep]
        {
            assert_eq!(Path::parse(text), None, "{text}");
        }
    }

    #[test]
    fn representations() {
        assert_eq!(vr_of(0x0010_0010), Vr(*b"PN"));
        assert_eq!(vr_of(0x0040_0275), Vr(*b"SQ"));
        assert_eq!(vr_of(0x0028_0106), Vr(*b"US")); // "US or SS"
        assert_eq!(vr_of(0x0009_1001), Vr::UN);
        assert_eq!(keyword_of(0x0008_0061), Some("ModalitiesInStudy"));
    }
}
