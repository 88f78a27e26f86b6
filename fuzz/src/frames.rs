//! How the control bytes of the `frame` target are read, and written for seeds.

use cairn_dicom::attributes::{Attributes, tags};

/// Control bytes before the frame.
pub const CONTROL_BYTES: usize = 10;

/// One transfer syntax for each decoder, and some that lead to the same one by another way.
const SYNTAXES: [&str; 14] = [
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.110",
    "1.2.840.10008.1.2.8.1",
    "1.2.840.10008.1.2.1.98",
];
const PHOTOMETRIC: [&str; 6] =
    ["MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "PALETTE COLOR", "YBR_RCT"];
const SAMPLES: [u16; 3] = [1, 3, 4];
const BITS: [u16; 5] = [1, 8, 16, 32, 12];
const BITS_STORED: u32 = 0x0028_0101;
const HIGH_BIT: u32 = 0x0028_0102;
const PIXEL_REPRESENTATION: u32 = 0x0028_0103;

/// The transfer syntax and the header that control bytes stand for. Images are small: what is large is
/// in the code stream, which lies.
#[must_use]
pub fn read(control: &[u8; CONTROL_BYTES]) -> (&'static str, Attributes) {
    let [syntax, rows, columns, samples, bits, stored, high, signed, planar, photometric] =
        control.map(usize::from);
    let attributes = [
        (tags::ROWS, (rows + 1).to_string()),
        (tags::COLUMNS, (columns + 1).to_string()),
        (tags::SAMPLES_PER_PIXEL, SAMPLES[samples % SAMPLES.len()].to_string()),
        (tags::BITS_ALLOCATED, BITS[bits % BITS.len()].to_string()),
        (BITS_STORED, (stored % 33).to_string()),
        (HIGH_BIT, (high % 33).to_string()),
        (PIXEL_REPRESENTATION, (signed % 2).to_string()),
        (tags::PLANAR_CONFIGURATION, (planar % 2).to_string()),
        (tags::PHOTOMETRIC_INTERPRETATION, PHOTOMETRIC[photometric % PHOTOMETRIC.len()].to_owned()),
        (tags::NUMBER_OF_FRAMES, "1".to_owned()),
    ];
    (SYNTAXES[syntax % SYNTAXES.len()], attributes.into_iter().collect())
}

/// The control bytes that stand for an image, if there are any.
#[must_use]
pub fn write(transfer_syntax: &str, attributes: &Attributes) -> Option<[u8; CONTROL_BYTES]> {
    let number = |tag: u32| attributes.get(tag)?.parse::<u16>().ok();
    let small = |tag: u32| number(tag).and_then(|value| u8::try_from(value).ok());
    let place = |list: &[u16], tag| {
        let value = number(tag)?;
        list.iter().position(|known| *known == value).map(|at| at as u8)
    };
    let photometric = attributes.get(tags::PHOTOMETRIC_INTERPRETATION)?;
    Some([
        SYNTAXES.iter().position(|syntax| *syntax == transfer_syntax)? as u8,
        u8::try_from(number(tags::ROWS)?.checked_sub(1)?).ok()?,
        u8::try_from(number(tags::COLUMNS)?.checked_sub(1)?).ok()?,
        place(&SAMPLES, tags::SAMPLES_PER_PIXEL)?,
        place(&BITS, tags::BITS_ALLOCATED)?,
        small(BITS_STORED)?,
        small(HIGH_BIT)?,
        small(PIXEL_REPRESENTATION)?,
        small(tags::PLANAR_CONFIGURATION).unwrap_or(0),
        PHOTOMETRIC.iter().position(|known| *known == photometric)? as u8,
    ])
}
