//! What was odd about an object: stable bits, for storing, counting and telling.
//!
//! A flag never stops an object from being stored. Bit numbers go to disk: they are never reused and
//! never change their meaning.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of oddities.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u32);

macro_rules! flags {
    ($($bit:literal $constant:ident $name:literal $sentence:literal;)*) => {
        impl Flags {
            $(#[doc = $sentence] pub const $constant: Self = Self(1 << $bit);)*

            const TABLE: &'static [(Self, &'static str, &'static str)] =
                &[$((Self::$constant, $name, $sentence),)*];
        }
    };
}

flags! {
    0 NO_PREAMBLE "no_preamble" "The 128-byte preamble of PS3.10 §7.1 is missing.";
    1 NO_META "no_meta" "There is no File Meta Information (group 0002).";
    2 NO_TRANSFER_SYNTAX "no_transfer_syntax" "The File Meta Information names no transfer syntax; it was guessed.";
    3 UNKNOWN_TRANSFER_SYNTAX "unknown_transfer_syntax" "The transfer syntax is not known; read as Explicit VR Little Endian.";
    4 TRUNCATED "truncated" "The object ends before an element or item that it announces.";
    5 UNPARSED "unparsed" "A part of the object could not be read as DICOM; it is stored as it is.";
    6 BAD_VR "bad_vr" "A value representation is missing, unknown, or not of the declared encoding.";
    7 TRAILING_BYTES "trailing_bytes" "Bytes that are not DICOM follow the last element.";
    8 OUT_OF_ORDER "out_of_order" "Elements are not in ascending order of their tags, or appear twice.";
    9 UID_MISMATCH "uid_mismatch" "The SOP Class or SOP Instance UID differs between File Meta Information and data set.";
    10 NO_SOP_UID "no_sop_uid" "There is no SOP Instance UID; a local handle was made from the content.";
    11 NO_STUDY_UID "no_study_uid" "There is no Study Instance UID; a local handle was made from the content.";
    12 NO_SERIES_UID "no_series_uid" "There is no Series Instance UID; a local handle was made from the content.";
    13 BAD_UID "bad_uid" "A UID breaks the rules of PS3.5 §9.1.";
    14 FRAME_COUNT "frame_count" "The frames found do not agree with Number of Frames or with the offset table.";
    15 BAD_CHARSET "bad_charset" "Text does not agree with the Specific Character Set.";
    16 ODD_LENGTH "odd_length" "A value has an odd length.";
    17 BAD_META_LENGTH "bad_meta_length" "The group length of the File Meta Information is missing or wrong.";
    18 DEFLATE_PREFIX "deflate_prefix" "A deflated data set is large; only its beginning was searched for attributes.";
}

impl Flags {
    /// No flag at all.
    #[must_use]
    pub const fn empty() -> Self {
        Self(0)
    }

    /// The bits as they are stored.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// From stored bits. Bits of a later version are kept, without a name.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Is nothing set?
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Is everything in `other` set here?
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Sets what is set in `other`.
    pub fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// The names of the flags that are set, `snake_case`, in order of their bits.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::TABLE
            .iter()
            .filter(move |(flag, _, _)| self.contains(*flag))
            .map(|(_, name, _)| *name)
    }

    /// One sentence for a person for each flag that is set.
    pub fn describe(self) -> impl Iterator<Item = &'static str> {
        Self::TABLE
            .iter()
            .filter(move |(flag, _, _)| self.contains(*flag))
            .map(|(_, _, text)| *text)
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.insert(other);
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_stable() {
        assert_eq!(Flags::NO_PREAMBLE.bits(), 1);
        assert_eq!(Flags::TRUNCATED.bits(), 1 << 4);
        assert_eq!(Flags::DEFLATE_PREFIX.bits(), 1 << 18);
        for (i, (flag, name, _)) in Flags::TABLE.iter().enumerate() {
            assert_eq!(flag.bits(), 1 << i, "{name}: no bit is skipped");
        }
    }

    #[test]
    fn names_follow_the_bits() {
        let flags = Flags::TRUNCATED | Flags::NO_META;
        assert_eq!(flags.names().collect::<Vec<_>>(), ["no_meta", "truncated"]);
        assert_eq!(flags.describe().count(), 2);
        assert_eq!(format!("{flags:?}"), r#"{"no_meta", "truncated"}"#);
        assert_eq!(Flags::from_bits(flags.bits()), flags);
    }
}
