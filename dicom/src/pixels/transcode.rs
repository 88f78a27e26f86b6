//! What changes in a header when its pixels are given out decoded, as Explicit VR Little Endian.

use super::{Coding, Decoded, ImageLayout, Numbers};
use crate::attributes::tags;

/// One change of a data set's top level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The element has this value, whether it was there or not.
    Set {
        /// Its tag.
        tag: u32,
        /// Its VR.
        vr: [u8; 2],
        /// Its value, little-endian and of even length.
        value: Vec<u8>,
    },
    /// The element is not there any more.
    Remove {
        /// Its tag.
        tag: u32,
    },
}

/// Is there a decoder for the pixels of this transfer syntax? Also true of native ones. A single frame
/// may still be refused.
#[must_use]
pub fn transcodable(transfer_syntax: &str) -> bool {
    Coding::of(transfer_syntax).is_some()
}

/// What must change in the header so that it describes `decoded` frames of an object whose header said
/// `stored`, by ascending tag. Nothing else may: Lossy Image Compression (0028,2110) and its ratio and
/// method stay, the pixels do not get better by being decoded (PS3.3 C.7.6.1.1.5).
///
/// The offset tables of encapsulated data go. Pixel Data itself is not in the list: its VR is
/// [`pixel_data_vr`], its length frames times [`ImageLayout::frame_bytes`] (1-bit frames by
/// [`super::NativeValue`]) made even. An encapsulated object of
/// [`super::Numbers::Float`] keeps its element.
#[must_use]
pub fn header_changes(stored: &ImageLayout, decoded: &ImageLayout) -> Vec<Change> {
    let mut changes = Vec::new();
    if stored.photometric != decoded.photometric {
        let mut value = decoded.photometric.name().as_bytes().to_vec();
        if !value.len().is_multiple_of(2) {
            value.push(b' ');
        }
        changes.push(Change::Set { tag: tags::PHOTOMETRIC_INTERPRETATION, vr: *b"CS", value });
    }
    let mut number = |tag, old: u32, new: u32| {
        if old != new {
            changes.push(Change::Set {
                tag,
                vr: *b"US",
                value: (new as u16).to_le_bytes().to_vec(),
            });
        }
    };
    number(tags::PLANAR_CONFIGURATION, u32::from(stored.planar), u32::from(decoded.planar));
    number(tags::BITS_ALLOCATED, stored.bits_allocated, decoded.bits_allocated);
    number(tags::BITS_STORED, stored.bits_stored, decoded.bits_stored);
    number(tags::HIGH_BIT, stored.high_bit, decoded.high_bit);
    changes.extend(
        [
            tags::EXTENDED_OFFSET_TABLE,
            tags::EXTENDED_OFFSET_TABLE_LENGTHS,
            tags::ENCAPSULATED_VALUE_TOTAL_LENGTH,
        ]
        .map(|tag| Change::Remove { tag }),
    );
    changes
}

/// Tag and VR of the element that holds decoded frames (PS3.5 A.2).
#[must_use]
pub fn pixel_data_vr(layout: &ImageLayout) -> (u32, [u8; 2]) {
    match layout.numbers {
        Numbers::Float => (tags::FLOAT_PIXEL_DATA, *b"OF"),
        Numbers::Double => (tags::DOUBLE_FLOAT_PIXEL_DATA, *b"OD"),
        Numbers::Whole if layout.bits_allocated > 8 => (tags::PIXEL_DATA, *b"OW"),
        Numbers::Whole => (tags::PIXEL_DATA, *b"OB"),
    }
}

impl Decoded {
    /// What its header says otherwise than that of the stored object: [`header_changes`].
    #[must_use]
    pub fn header_changes(&self, stored: &ImageLayout) -> Vec<Change> {
        header_changes(stored, &self.layout)
    }
}
