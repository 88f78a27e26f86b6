//! Which VR an element has where it does not say, or says that it does not know.

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
    let vr = match StandardDataDictionary.by_tag(Tag(group, element))?.vr() {
        VirtualVr::Exact(vr) => Vr(vr.to_bytes()),
        VirtualVr::Xs if signed => Vr(*b"SS"),
        VirtualVr::Xs => Vr(*b"US"),
        // Pixels, overlays, look-up tables.
        _ => Vr(*b"OW"),
    };
    (vr != Vr::UN).then_some(vr)
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
