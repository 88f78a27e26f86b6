#![allow(clippy::unwrap_used)]

mod streams;

use proptest::prelude::*;

use super::*;
use crate::Attributes;
use crate::attributes::tags;
use streams::*;

const JPEG_BASELINE: &str = "1.2.840.10008.1.2.4.50";
const JPEG_EXTENDED: &str = "1.2.840.10008.1.2.4.51";
const JPEG_LOSSLESS: &str = "1.2.840.10008.1.2.4.57";
const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";
const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";
const HT_JPEG_2000: &str = "1.2.840.10008.1.2.4.201";
const JPEG_XL: &str = "1.2.840.10008.1.2.4.110";

fn layout(rows: u32, columns: u32, samples: u32, bits: u32) -> ImageLayout {
    let photometric = if samples == 3 { Photometric::Rgb } else { Photometric::Monochrome2 };
    ImageLayout {
        rows,
        columns,
        samples,
        bits_allocated: bits,
        bits_stored: bits,
        high_bit: bits - 1,
        signed: false,
        photometric,
        planar: false,
        numbers: Numbers::Whole,
        frames: 1,
        in_words: false,
    }
}

fn framed(hex: &str) -> Bytes {
    Bytes::from(item(&hex::decode(hex).unwrap()))
}

fn words(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn lossless_streams_come_out_exact() {
    let grey = layout(8, 8, 1, 16);
    let frames =
        [(JPEG_2000, J2K), (HT_JPEG_2000, HTJ2K), (JPEG_XL, JXL), (JPEG_LOSSLESS, LOSSLESS)];
    for (syntax, hex) in frames {
        let decoded = decode(syntax, &grey, &framed(hex)).unwrap();
        assert_eq!(decoded.bytes, words(&ramp()), "{syntax}");
        assert_eq!(decoded.layout, grey, "{syntax}");
    }
    for (syntax, hex) in [(JPEG_2000, J2K_RCT), (JPEG_XL, JXL_RGB), (JPEG_LS, JLS_PLANES)] {
        let colour = ImageLayout { planar: true, ..layout(8, 8, 3, 8) };
        let decoded = decode(syntax, &colour, &framed(hex)).unwrap();
        assert_eq!(decoded.bytes, colours(), "{syntax}");
        assert_eq!(decoded.layout, layout(8, 8, 3, 8), "{syntax}");
    }
}

#[test]
fn colours_are_named_as_they_are() {
    let named = |photometric| ImageLayout { photometric, ..layout(8, 8, 3, 8) };
    let after = |syntax, hex, photometric| {
        decode(syntax, &named(photometric), &framed(hex)).unwrap().layout.photometric
    };
    // The stream has a component transform, whatever the header calls it.
    for photometric in [Photometric::YbrRct, Photometric::YbrFull, Photometric::Rgb] {
        assert_eq!(after(JPEG_2000, J2K_RCT, photometric), Photometric::Rgb);
    }
    // These do not touch colours; halved ones have been made whole.
    assert_eq!(after(JPEG_LS, JLS_PLANES, Photometric::YbrFull), Photometric::YbrFull);
    assert_eq!(after(JPEG_XL, JXL_RGB, Photometric::YbrFull422), Photometric::YbrFull);
}

#[test]
fn signed_samples_are_extended() {
    // 12 bits of a two's complement in a stream that knows no sign.
    let signed = ImageLayout { signed: true, bits_stored: 12, high_bit: 11, ..layout(8, 8, 1, 16) };
    let wanted: Vec<u16> =
        ramp().iter().map(|v| if v & 0x800 == 0 { *v } else { v | 0xF000 }).collect();
    for (syntax, hex) in [(JPEG_2000, J2K), (JPEG_XL, JXL), (JPEG_LOSSLESS, LOSSLESS)] {
        assert_eq!(
            decode(syntax, &signed, &framed(hex)).unwrap().bytes,
            words(&wanted),
            "{syntax}"
        );
    }
}

#[test]
fn another_image_than_the_header_says_is_refused() {
    for (syntax, hex) in [
        (JPEG_2000, J2K),
        (HT_JPEG_2000, HTJ2K),
        (JPEG_XL, JXL),
        (JPEG_LOSSLESS, LOSSLESS),
        (JPEG_LS, JLS_PLANES),
    ] {
        for lie in [layout(8, 9, 1, 16), layout(65535, 8, 1, 16), layout(8, 8, 2, 16)] {
            let error = decode(syntax, &lie, &framed(hex)).unwrap_err();
            assert!(matches!(error, PixelError::Mismatch { .. }), "{syntax}: {error}");
        }
    }
    let huge = layout(40000, 40000, 1, 8);
    let error = decode(JPEG_XL, &huge, &framed(JXL)).unwrap_err();
    assert!(matches!(error, PixelError::TooLarge { .. }));
}

/// jpeg-decoder leaves the three samples of a line apart if it is told not to convert them.
#[test]
fn rgb_in_a_jpeg_stays_rgb() {
    let flat: Vec<u8> = [200, 30, 90].repeat(64);
    let mut stream = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut stream, 100);
    // Called YCbCr it is not converted; it says JFIF, which RGB must not.
    encoder.encode(&flat, 8, 8, jpeg_encoder::ColorType::Ycbcr).unwrap();
    let jfif = stream.windows(5).position(|bytes| bytes == b"JFIF\0").unwrap();
    stream[jfif] = b'X';
    let decoded = decode(JPEG_BASELINE, &layout(8, 8, 3, 8), &Bytes::from(item(&stream))).unwrap();
    assert!(decoded.bytes.iter().zip(&flat).all(|(a, b)| a.abs_diff(*b) <= 2));
    let ybr = ImageLayout { photometric: Photometric::YbrFull422, ..layout(8, 8, 3, 8) };
    let decoded = decode(JPEG_BASELINE, &ybr, &Bytes::from(item(&stream))).unwrap();
    assert_eq!(decoded.layout.photometric, Photometric::Rgb);
    assert!(decoded.bytes[0].abs_diff(147) <= 2, "{:?}", &decoded.bytes[..3]);
}

/// One of NEMA's samples has a zero before its end marker, and CharLS minds.
#[test]
fn jpeg_ls_with_padding_inside() {
    let mut stream = hex::decode(JLS_PLANES).unwrap();
    stream.splice(stream.len() - 2..stream.len() - 2, [0]);
    let decoded = decode(JPEG_LS, &layout(8, 8, 3, 8), &Bytes::from(item(&stream))).unwrap();
    assert_eq!(decoded.bytes, colours());
}

#[test]
fn native_frames() {
    let frame = Bytes::from_static(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let of =
        |syntax, layout: &ImageLayout| decode(syntax, layout, &frame).map(|d| d.bytes.to_vec());
    let le = syntax::EXPLICIT_LE;
    let be = syntax::EXPLICIT_BE;
    assert_eq!(of(le, &layout(2, 2, 1, 16)).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(of(be, &layout(2, 2, 1, 16)).unwrap(), [2, 1, 4, 3, 6, 5, 8, 7]);
    assert_eq!(of(be, &layout(1, 2, 1, 32)).unwrap(), [4, 3, 2, 1, 8, 7, 6, 5]);
    assert_eq!(of(be, &layout(1, 3, 1, 8)).unwrap(), [1, 2, 3]);
    let in_words = ImageLayout { in_words: true, ..layout(1, 3, 1, 8) };
    assert_eq!(of(be, &in_words).unwrap(), [2, 1, 4]);
    assert_eq!(of(le, &in_words).unwrap(), [1, 2, 3]);
    assert!(matches!(of(le, &layout(2, 5, 1, 8)), Err(PixelError::Short { wanted: 10, found: 9 })));
    assert!(matches!(of("1.2.3", &layout(1, 1, 1, 8)), Err(PixelError::TransferSyntax)));
    assert!(super::in_words(b"\x7F\xE0\x00\x10OW\0\0\0\0\0\x04") && !super::in_words(b"OW"));
}

#[test]
fn deflated_and_uncompressed_frames() {
    use flate2::{Compression, write::DeflateEncoder};
    use std::io::Write;
    let pixels = words(&ramp());
    let mut deflater = DeflateEncoder::new(Vec::new(), Compression::fast());
    // More than a frame, as a bomb would.
    deflater.write_all(&pixels.repeat(100)).unwrap();
    let frame = Bytes::from(item(&deflater.finish().unwrap()));
    let plain = layout(8, 8, 1, 16);
    assert_eq!(decode("1.2.840.10008.1.2.8.1", &plain, &frame).unwrap().bytes, pixels);
    let frame = Bytes::from(item(&pixels));
    assert_eq!(decode("1.2.840.10008.1.2.1.98", &plain, &frame).unwrap().bytes, pixels);
    assert!(decode("1.2.840.10008.1.2.8.1", &plain, &frame).is_err());
}

#[test]
fn header_changes_by_tag() {
    let stored =
        ImageLayout { planar: true, photometric: Photometric::YbrRct, ..layout(8, 8, 3, 8) };
    let changes = header_changes(&stored, &layout(8, 8, 3, 8));
    let tags: Vec<u32> = changes
        .iter()
        .map(|change| match change {
            Change::Set { tag, .. } | Change::Remove { tag } => *tag,
        })
        .collect();
    assert_eq!(tags, [0x0028_0004, 0x0028_0006, 0x7FE0_0001, 0x7FE0_0002, 0x7FE0_0003]);
    assert_eq!(changes[0], Change::Set { tag: 0x0028_0004, vr: *b"CS", value: b"RGB ".to_vec() });
    assert_eq!(header_changes(&stored, &stored).len(), 3);
    assert_eq!(pixel_data_vr(&layout(1, 1, 1, 16)), (0x7FE0_0010, *b"OW"));
    assert_eq!(pixel_data_vr(&layout(1, 1, 1, 1)), (0x7FE0_0010, *b"OB"));
}

#[test]
fn every_syntax_that_dicom_rs_reads() {
    for uid in [syntax::IMPLICIT_LE, syntax::EXPLICIT_LE, syntax::EXPLICIT_BE, syntax::RLE] {
        assert!(transcodable(uid), "{uid}");
    }
    // What dicom-transfer-syntax-registry 0.10.1 decodes with all of its features.
    for end in [
        "1.98", "4.50", "4.51", "4.57", "4.70", "4.80", "4.81", "4.90", "4.91", "4.92", "4.93",
        "4.110", "4.111", "4.112", "4.201", "4.202", "4.203", "8.1",
    ] {
        let uid = format!("1.2.840.10008.1.2.{end}");
        assert!(transcodable(&uid), "{uid}");
    }
    for uid in ["1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.205"] {
        assert!(!transcodable(uid), "{uid}");
    }
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let value = prop_oneof![
        Just(String::new()),
        (0u64..70).prop_map(|n| n.to_string()),
        (0u64..70000).prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        ".{0,12}",
        Just("YBR_FULL_422".to_owned()),
        Just("MONOCHROME1\\RGB".to_owned()),
    ];
    let tag = prop::sample::select(vec![
        tags::ROWS,
        tags::COLUMNS,
        tags::SAMPLES_PER_PIXEL,
        tags::BITS_ALLOCATED,
        tags::BITS_STORED,
        tags::HIGH_BIT,
        tags::PIXEL_REPRESENTATION,
        tags::PHOTOMETRIC_INTERPRETATION,
        tags::PLANAR_CONFIGURATION,
        tags::NUMBER_OF_FRAMES,
    ]);
    prop::collection::vec((tag, value), 0..20).prop_map(|values| {
        let usual = [(tags::ROWS, "8"), (tags::COLUMNS, "8"), (tags::BITS_ALLOCATED, "16")];
        let usual = usual.map(|(tag, value)| (tag, value.to_owned()));
        usual.into_iter().chain(values).collect()
    })
}

fn any_layout() -> impl Strategy<Value = ImageLayout> {
    (
        1u32..20,
        1u32..20,
        1u32..5,
        prop::sample::select(vec![1u32, 8, 16, 32, 64]),
        any::<[bool; 4]>(),
    )
        .prop_map(|(rows, columns, samples, bits, [signed, planar, ybr, words])| {
            let plain = layout(rows, columns, samples, bits);
            let photometric =
                if ybr && samples == 3 { Photometric::YbrFull422 } else { plain.photometric };
            ImageLayout { signed, planar, photometric, in_words: words, ..plain }
        })
}

fn any_syntax() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        syntax::EXPLICIT_LE,
        syntax::EXPLICIT_BE,
        syntax::RLE,
        "1.2.840.10008.1.2.1.98",
        "1.2.840.10008.1.2.8.1",
        JPEG_BASELINE,
        JPEG_EXTENDED,
        JPEG_LOSSLESS,
        JPEG_LS,
        JPEG_2000,
        HT_JPEG_2000,
        JPEG_XL,
    ])
}

proptest! {
    #[test]
    fn fragments_are_what_was_put_in(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6)) {
        let frame = Bytes::from(pieces.iter().flat_map(|piece| item(piece)).collect::<Vec<u8>>());
        prop_assert_eq!(fragments(&frame).unwrap(), pieces.clone());
        prop_assert_eq!(codestream(&frame).unwrap(), pieces.concat());
        for cut in 0..frame.len() {
            let _error_or_less = fragments(&frame.slice(..cut));
        }
    }

    #[test]
    fn hostile_fragments(bytes in prop::collection::vec(any::<u8>(), 0..60), start in any::<bool>()) {
        let bytes = if start { [&[0xFE, 0xFF, 0, 0xE0][..], &bytes].concat() } else { bytes };
        if let Ok(found) = fragments(&Bytes::from(bytes.clone())) {
            prop_assert!(found.iter().map(Bytes::len).sum::<usize>() <= bytes.len());
        }
    }

    #[test]
    fn hostile_headers(attributes in attributes()) {
        if let Ok(layout) = ImageLayout::of(&attributes) {
            prop_assert!(layout.frame_bytes() as u64 <= crate::limits::FRAME_BYTES_MAX);
            prop_assert!(layout.bits_stored <= layout.bits_allocated);
            prop_assert!(layout.high_bit < layout.bits_allocated);
            prop_assert!(layout.bits_stored <= layout.high_bit + 1);
        }
    }

    #[test]
    fn hostile_frames(syntax in any_syntax(), layout in any_layout(), bytes in prop::collection::vec(any::<u8>(), 0..300), framed in any::<bool>()) {
        let bytes = if framed { item(&bytes) } else { bytes };
        if let Ok(decoded) = decode(syntax, &layout, &Bytes::from(bytes)) {
            prop_assert_eq!(decoded.bytes.len(), decoded.layout.frame_bytes());
        }
    }

    /// True streams with a few bytes changed get further into decoders than noise does.
    #[test]
    fn damaged_streams(
        which in 0usize..8,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let (syntax, hex, samples, bits) = [
            (JPEG_2000, J2K, 1, 16),
            (JPEG_2000, J2K_RCT, 3, 8),
            (HT_JPEG_2000, HTJ2K, 1, 16),
            (JPEG_XL, JXL, 1, 16),
            (JPEG_XL, JXL_RGB, 3, 8),
            (JPEG_LS, JLS_PLANES, 3, 8),
            (JPEG_LOSSLESS, LOSSLESS, 1, 16),
            (JPEG_EXTENDED, LOSSLESS, 1, 16),
        ][which];
        let mut stream = hex::decode(hex).unwrap();
        for (at, value) in changes {
            let at = at.index(stream.len());
            stream[at] = value;
        }
        if cuts {
            stream.truncate(cut.index(stream.len()));
        }
        let layout = layout(8, 8, samples, bits);
        if let Ok(decoded) = decode(syntax, &layout, &Bytes::from(item(&stream))) {
            prop_assert_eq!(decoded.bytes.len(), decoded.layout.frame_bytes());
        }
    }

    #[test]
    fn rle_there_and_back(layout in any_layout(), seed in any::<u64>()) {
        prop_assume!(layout.samples as usize * layout.sample_bytes().max(1) <= 15);
        let plain = ImageLayout { photometric: Photometric::Rgb, planar: false, in_words: false, ..layout };
        let unit = layout.sample_bytes().max(1);
        let samples = if layout.bits_allocated == 1 { 1 } else { layout.samples as usize };
        prop_assume!(layout.bits_allocated > 1 || layout.samples == 1);
        let pixels: Vec<u8> =
            (0..plain.frame_bytes()).map(|i| (seed >> (i / 5 % 60)) as u8 & 3).collect();
        let stream = rle(&pixels, samples, unit);
        let decoded = decode(syntax::RLE, &plain, &Bytes::from(item(&stream))).unwrap();
        prop_assert_eq!(decoded.bytes, pixels);
    }

    #[test]
    fn lossless_jpeg_as_the_naive_one(image in lossless()) {
        let stream = lossless_stream(&image);
        let layout = layout(image.rows as u32, image.columns as u32, image.components as u32, 16);
        let decoded = decode(JPEG_LOSSLESS, &layout, &Bytes::from(item(&stream))).unwrap();
        prop_assert_eq!(decoded.bytes, words(&image.samples));
    }

    #[test]
    fn extended_jpeg_as_the_naive_one(rows in 1usize..20, columns in 1usize..20, restart in 0u16..3, seed in any::<u64>()) {
        let noise = |i: usize| (seed.wrapping_mul(2 * i as u64 + 1) >> 40) as u16 & 0xFFF;
        let samples: Vec<u16> = (0..rows * columns).map(noise).collect();
        let stream = extended_stream(rows, columns, restart, &samples);
        let layout = layout(rows as u32, columns as u32, 1, 16);
        let decoded = decode(JPEG_EXTENDED, &layout, &Bytes::from(item(&stream))).unwrap();
        let found: Vec<u16> = decoded.bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
        for (found, wanted) in found.iter().zip(&samples) {
            prop_assert!(found.abs_diff(*wanted) <= 3, "{} {}", found, wanted);
        }
    }

    #[test]
    fn bits_there_and_back(rows in 1u32..9, columns in 1u32..9, frames in 1usize..6, seed in any::<u64>()) {
        let layout = layout(rows, columns, 1, 1);
        let pixels = layout.pixels();
        let bit = |i: usize| (seed.wrapping_mul(2 * i as u64 + 1) >> 37) as u8 & 1;
        // Naively: pixel by pixel.
        let mut value = vec![0u8; (pixels * frames).div_ceil(8)];
        for i in 0..pixels * frames {
            value[i / 8] |= bit(i) << (i % 8);
        }
        let value = Bytes::from(value);
        let mut joined = NativeValue::new(layout);
        let mut out = Vec::new();
        for frame in 0..frames {
            let cut = bit_frame(&layout, &value, frame as u64).unwrap();
            prop_assert_eq!(cut.len(), layout.frame_bytes());
            for i in 0..pixels {
                prop_assert_eq!(cut[i / 8] >> (i % 8) & 1, bit(frame * pixels + i));
            }
            out.extend(joined.push(&cut));
        }
        out.extend(joined.finish());
        prop_assert_eq!(&out[..value.len()], &value[..]);
        prop_assert!(out.len() - value.len() <= 1 && out.len() % 2 == 0);
        prop_assert!(bit_frame(&layout, &value, frames as u64 + 8).is_err());
        prop_assert!(bit_frame(&layout, &value, u64::MAX).is_err());
    }
}
