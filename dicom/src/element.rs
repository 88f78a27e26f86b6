//! The head of one data element: tag, VR and length, in each of the three encodings (PS3.5 §7.1).

use crate::syntax::Encoding;

/// The length that means "until the delimiter" (PS3.5 §7.1.1).
pub const UNDEFINED: u32 = u32::MAX;
/// Item (PS3.5 §7.5).
pub const ITEM: u32 = 0xFFFE_E000;
/// Item Delimitation Item.
pub const ITEM_DELIMITER: u32 = 0xFFFE_E00D;
/// Sequence Delimitation Item.
pub const SEQUENCE_DELIMITER: u32 = 0xFFFE_E0DD;

/// The most bytes that a head has.
pub const HEAD_BYTES_MAX: usize = 12;

/// A value representation: its two letters, or zeros where an element says none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Vr(pub [u8; 2]);

impl Vr {
    /// Not said (Implicit VR).
    pub const NONE: Self = Self([0, 0]);
    /// Unknown (PS3.5 §6.2.2).
    pub const UN: Self = Self(*b"UN");

    /// One of the VRs whose length has four bytes, after two that are reserved (PS3.5 table 7.1-1).
    #[must_use]
    pub fn is_long(self) -> bool {
        self.form() == LONG
    }

    /// One of the VRs of PS3.5 table 6.2-1.
    #[must_use]
    pub fn is_known(self) -> bool {
        self.form() != UNKNOWN
    }

    fn form(self) -> u8 {
        let [v, w] = self.0.map(|letter| usize::from(letter.wrapping_sub(b'A')));
        FORMS.get(v).and_then(|row| row.get(w)).copied().unwrap_or(UNKNOWN)
    }
}

const UNKNOWN: u8 = 0;
const SHORT: u8 = 1;
const LONG: u8 = 2;

/// The form of each VR by its letters: this is asked for every element, and a look-up is several times
/// faster than thirty comparisons.
const FORMS: [[u8; 26]; 26] = {
    const SHORT_VRS: &[u8] = b"AEASATCSDADSDTFLFDISLOLTPNSHSLSSSTTMUIULUS";
    const LONG_VRS: &[u8] = b"OBOWOFODOLOVSQUCURUTUNSVUV";
    const fn mark(mut forms: [[u8; 26]; 26], vrs: &[u8], form: u8) -> [[u8; 26]; 26] {
        let mut i = 0;
        while i < vrs.len() {
            forms[(vrs[i] - b'A') as usize][(vrs[i + 1] - b'A') as usize] = form;
            i += 2;
        }
        forms
    }
    mark(mark([[UNKNOWN; 26]; 26], SHORT_VRS, SHORT), LONG_VRS, LONG)
};

/// The head of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Group in the upper half, element in the lower.
    pub tag: u32,
    /// As said, or [`Vr::NONE`].
    pub vr: Vr,
    /// Bytes of the value, or [`UNDEFINED`].
    pub length: u32,
    /// Bytes of the head itself: 8 or 12.
    pub bytes: u64,
}

/// What [`read`] made of some bytes. More bytes never change an answer other than `Short`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Not enough bytes.
    Short,
    /// A head with a known VR, or in an encoding without VRs.
    Known(Head),
    /// Explicit VR, with a VR that PS3.5 does not have, read by its apparent form.
    Unknown(Head),
    /// Explicit VR, but where a VR belongs are no letters.
    NoVr,
}

/// Reads a head from the start of `bytes`.
#[must_use]
pub fn read(bytes: &[u8], encoding: Encoding) -> Read {
    let Some(&[a, b, c, d, v, w, l, m]) = bytes.first_chunk::<8>() else { return Read::Short };
    let tag = tag_of([a, b, c, d], encoding.big_endian);
    // Items and delimiters have no VR in any encoding (PS3.5 §7.5).
    if !encoding.explicit || tag >> 16 == 0xFFFE {
        let length = number([v, w, l, m], encoding.big_endian);
        return Read::Known(Head { tag, vr: Vr::NONE, length, bytes: 8 });
    }
    let vr = Vr([v, w]);
    let known = vr.is_known();
    // "??", blanks and dashes are what some writers put where they do not know.
    let placeholder = matches!(&vr.0, b"??" | b"  " | b"--");
    let letters = v.is_ascii_uppercase() && w.is_ascii_uppercase();
    if !(known || placeholder || letters) {
        return Read::NoVr;
    }
    let long = if known { vr.is_long() } else { [l, m] == [0, 0] };
    let head = if long {
        let Some(&length) = bytes.get(8..).and_then(<[u8]>::first_chunk::<4>) else {
            return Read::Short;
        };
        Head { tag, vr, length: number(length, encoding.big_endian), bytes: 12 }
    } else {
        let length = if encoding.big_endian {
            u16::from_be_bytes([l, m])
        } else {
            u16::from_le_bytes([l, m])
        };
        Head { tag, vr, length: u32::from(length), bytes: 8 }
    };
    if known { Read::Known(head) } else { Read::Unknown(head) }
}

/// The tag at the start of a head.
#[must_use]
pub fn tag_of([a, b, c, d]: [u8; 4], big_endian: bool) -> u32 {
    if big_endian { u32::from_be_bytes([a, b, c, d]) } else { u32::from_le_bytes([c, d, a, b]) }
}

/// Four bytes as a number.
#[must_use]
pub fn number(bytes: [u8; 4], big_endian: bool) -> u32 {
    if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

/// Is this a standard tag of the data dictionary (PS3.6), repeating groups and group lengths included?
#[must_use]
pub fn in_dictionary(tag: u32) -> bool {
    use dicom_core::dictionary::DataDictionary;
    let (group, element) = ((tag >> 16) as u16, tag as u16);
    if group & 1 == 1 {
        return false;
    }
    // Any even group may have a length (PS3.5 §7.2); the dictionary would agree, but for every group.
    if element == 0 {
        return group < 0x8000;
    }
    dicom_dictionary_std::StandardDataDictionary.by_tag(dicom_core::Tag(group, element)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_encodings() {
        let explicit = [0x08, 0, 0x16, 0, b'U', b'I', 4, 0, 9, 9, 9, 9];
        let head = Head { tag: 0x0008_0016, vr: Vr(*b"UI"), length: 4, bytes: 8 };
        assert_eq!(read(&explicit, Encoding::EXPLICIT_LE), Read::Known(head));
        let big = [0, 0x08, 0, 0x16, b'U', b'I', 0, 4];
        assert_eq!(read(&big, Encoding::EXPLICIT_BE), Read::Known(head));
        let implicit = [0x08, 0, 0x16, 0, 4, 0, 0, 0];
        let head = Head { vr: Vr::NONE, ..head };
        assert_eq!(read(&implicit, Encoding::IMPLICIT_LE), Read::Known(head));
        assert_eq!(read(&implicit, Encoding::EXPLICIT_LE), Read::NoVr);
        assert_eq!(read(&implicit[..7], Encoding::IMPLICIT_LE), Read::Short);
    }

    #[test]
    fn unknown_vr_by_its_form() {
        let short = [0x09, 0, 0x16, 0, b'Z', b'Z', 4, 0];
        assert!(matches!(read(&short, Encoding::EXPLICIT_LE), Read::Unknown(h) if h.length == 4));
        let long = [0x09, 0, 0x16, 0, b'?', b'?', 0, 0, 6, 0, 1, 0];
        let Read::Unknown(head) = read(&long, Encoding::EXPLICIT_LE) else { panic!() };
        assert_eq!((head.length, head.bytes), (0x1_0006, 12));
        assert_eq!(read(&long[..11], Encoding::EXPLICIT_LE), Read::Short);
    }

    #[test]
    fn dictionary() {
        assert!(in_dictionary(0x0010_0010));
        assert!(in_dictionary(0x6002_3000));
        assert!(in_dictionary(0x0008_0000));
        assert!(!in_dictionary(0x4712_0815));
        assert!(!in_dictionary(0x0009_0010));
    }
}
