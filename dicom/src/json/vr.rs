//! Which VR an element has where it does not say, or says that it does not know.

use std::sync::atomic::{AtomicU64, Ordering};

use dicom_core::Tag;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr};
use dicom_dictionary_std::StandardDataDictionary;

use crate::element::Vr;

/// The VR of an element of a tag that was read with `said`. `signed` is Pixel Representation.
///
/// UN of a tag that the dictionary has is read as the dictionary says (PS3.5 §6.2.2, note 3); what is
/// private stays UN, but for private creators (PS3.5 §7.8.1).
pub(super) fn resolve(tag: u32, said: Vr, signed: bool) -> Vr {
    if said.is_known() && said != Vr::UN {
        return said;
    }
    dictionary(tag, signed).unwrap_or(Vr::UN)
}

/// What the data dictionary (PS3.6) says of a tag. Of two VRs the one that Implicit VR has is taken (PS3.5
/// A.1), and for signed or unsigned words the one that the pixels have.
fn dictionary(tag: u32, signed: bool) -> Option<Vr> {
    let (group, element) = ((tag >> 16) as u16, tag as u16);
    if group & 1 == 1 {
        return matches!(element, 0x10..=0xFF).then_some(Vr(*b"LO"));
    }
    if element == 0 {
        return Some(Vr(*b"UL"));
    }
    // Every element of every instance asks this, about the same few hundred tags: a hash map with a strong
    // hash is a sixth of the time that writing JSON takes.
    let slot = MEMO.get(tag.wrapping_mul(0x9E37_79B1) as usize >> 20);
    let remembered = slot.map_or(0, |slot| slot.load(Ordering::Relaxed));
    let answer = if remembered >> 32 == u64::from(tag) {
        remembered as u32
    } else {
        let answer = ask(group, element);
        if let Some(slot) = slot {
            slot.store(u64::from(tag) << 32 | u64::from(answer), Ordering::Relaxed);
        }
        answer
    };
    match answer {
        NOT_THERE => None,
        SIGNED_OR_NOT => Some(Vr(if signed { *b"SS" } else { *b"US" })),
        letters => Some(Vr((letters as u16).to_be_bytes())),
    }
}

/// Tag in the upper half, answer in the lower; no tag is 0 that the dictionary is asked about.
static MEMO: [AtomicU64; 1 << 12] = [const { AtomicU64::new(0) }; 1 << 12];

const NOT_THERE: u32 = 0;
const SIGNED_OR_NOT: u32 = 1;

/// The dictionary's answer: two letters, or one of the above.
fn ask(group: u16, element: u16) -> u32 {
    let Some(entry) = StandardDataDictionary.by_tag(Tag(group, element)) else { return NOT_THERE };
    let vr = match entry.vr() {
        VirtualVr::Exact(vr) => vr.to_bytes(),
        VirtualVr::Xs => return SIGNED_OR_NOT,
        // Pixels, overlays, look-up tables.
        _ => *b"OW",
    };
    if vr == *b"UN" { NOT_THERE } else { u32::from(u16::from_be_bytes(vr)) }
}

/// How many bytes of a value are one number, whose order is the byte order of the data set.
pub(super) fn unit(vr: Vr) -> usize {
    match &vr.0 {
        // An attribute tag is two numbers of 16 bits.
        b"US" | b"SS" | b"OW" | b"AT" => 2,
        b"UL" | b"SL" | b"FL" | b"OF" | b"OL" => 4,
        b"FD" | b"SV" | b"UV" | b"OD" | b"OV" => 8,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembered_as_asked() {
        for tag in
            (0u32..0x1_0000).map(|n| n.wrapping_mul(0x0100_01A1)).chain([0x0028_0106, 0x7FE0_0010])
        {
            let (group, element) = ((tag >> 16) as u16, tag as u16);
            if group & 1 == 1 || element == 0 {
                continue;
            }
            let fresh = match ask(group, element) {
                NOT_THERE => Vr::UN,
                SIGNED_OR_NOT => Vr(*b"SS"),
                letters => Vr((letters as u16).to_be_bytes()),
            };
            assert_eq!(resolve(tag, Vr::NONE, true), fresh, "{tag:08X}");
            assert_eq!(resolve(tag, Vr::NONE, true), fresh, "{tag:08X}, again");
        }
    }

    #[test]
    fn unknown_and_private() {
        assert_eq!(resolve(0x0028_0106, Vr::NONE, false), Vr(*b"US"));
        assert_eq!(resolve(0x0010_0010, Vr::UN, false), Vr(*b"PN"));
        assert_eq!(resolve(0x0010_0010, Vr(*b"LO"), false), Vr(*b"LO"));
        assert_eq!(resolve(0x0011_0010, Vr::NONE, false), Vr(*b"LO"));
        assert_eq!(resolve(0x0011_1010, Vr::NONE, false), Vr::UN);
        assert_eq!(resolve(0x6002_3000, Vr::NONE, false), Vr(*b"OW"));
    }
}
