//! Whatever comes in: no panic, the same result in any windows, and spans that tile the object.
#![allow(clippy::unwrap_used)]

mod common;

use cairn_dicom::{Flags, Framing, PROBE_BYTES, probe};
use common::*;
use proptest::prelude::*;

/// Objects with one of everything, of a realistic shape.
fn shapes() -> Vec<(Framing, Vec<u8>)> {
    let mut shapes = Vec::new();
    for syntax in [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE, JPEG, RLE, MPEG4] {
        let set = Set::new(syntax).text(0x0008_0005, b"CS", "ISO 2022 IR 100\\ISO 2022 IR 87");
        let set = set.named().image(1, "3", 8, 8, 16).element(0x0029_0010, b"LO", b"SIEMENS ");
        let mut set = set.element(0x0029_1010, b"OB", &[3; 4200]);
        set = set.head(0x0029_1020, b"UN", UNDEFINED);
        let inner = Set::new(IMPLICIT_LE).head(ITEM, b"  ", UNDEFINED);
        let inner = inner.text(0x0029_1021, b"LO", "inside").end(ITEM_END).end(SEQUENCE_END);
        set = set.raw(&inner.bytes);
        for (tag, repeat) in [(0x0040_0275, 3), (0x0040_0555, 200)] {
            set = set.head(tag, b"SQ", UNDEFINED);
            for _ in 0..repeat {
                set = set.head(ITEM, b"  ", UNDEFINED).text(0x0040_0007, b"LO", "step");
                set = set.end(ITEM_END).item(&[8; 12]);
            }
            set = set.end(SEQUENCE_END);
        }
        if [JPEG, RLE, MPEG4].contains(&syntax) {
            let table: &[u8] = if syntax == JPEG { &[] } else { &[0, 0, 0, 0, 28, 0, 0, 0] };
            set = set.head(PIXELS, b"OB", UNDEFINED).item(table);
            for i in 0..5u8 {
                let mut value = [i; 20];
                value[..3].copy_from_slice(&[0xFF, 0xD8, 0xFF - (i & 1)]);
                set = set.item(&value);
            }
            set = set.end(SEQUENCE_END);
        } else {
            set = set.element(PIXELS, b"OW", &[5; 384]);
        }
        let set = set.element(0xFFFC_FFFC, b"OB", &[0; 30]);
        shapes.push((Framing::Part10, part10(syntax, &set)));
        let transfer_syntax = syntax.to_owned();
        shapes.push((Framing::Dataset { transfer_syntax }, set.bytes.clone()));
        if syntax == EXPLICIT_LE {
            use std::io::Write;
            let level = flate2::Compression::default();
            let mut stream = flate2::write::DeflateEncoder::new(Vec::new(), level);
            stream.write_all(&set.bytes).unwrap();
            let bytes = [envelope(DEFLATED), stream.finish().unwrap()].concat();
            shapes.push((Framing::Part10, bytes));
        }
    }
    shapes
}

fn same_in_windows(framing: &Framing, bytes: &[u8], mut cuts: Vec<usize>) {
    cuts.retain(|cut| *cut <= bytes.len());
    cuts.sort_unstable();
    let whole = scan_as(framing.clone(), bytes, &[]);
    let windows = scan_as(framing.clone(), bytes, &cuts);
    assert_eq!(whole.spans, windows.spans);
    assert!(whole.object == windows.object, "{:?} {:?}", whole.object, windows.object);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn windows_and_flipped_bytes(
        shape in 0usize..13,
        cuts in prop::collection::vec(0usize..16000, 0..12),
        flips in prop::collection::vec((0usize..16000, any::<u8>()), 0..6),
        keep in 0usize..40000,
    ) {
        let (framing, mut bytes) = SHAPES.with(|shapes| shapes[shape].clone());
        for (at, value) in flips {
            let length = bytes.len();
            bytes[at % length] = value;
        }
        bytes.truncate(keep.max(200));
        same_in_windows(&framing, &bytes, cuts);
    }

    #[test]
    fn random_bytes(
        bytes in prop::collection::vec(prop_oneof![
            Just(0u8), Just(0xFF), Just(0xFE), Just(0xE0), Just(8), Just(b'U'), any::<u8>()
        ], 0..600),
        cuts in prop::collection::vec(0usize..600, 0..20),
        syntax in prop::sample::select(vec![IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE, DEFLATED, RLE, ""]),
    ) {
        let _ = probe(&bytes, true);
        let _ = probe(&bytes, false);
        let framing = Framing::Dataset { transfer_syntax: syntax.to_owned() };
        same_in_windows(&framing, &bytes, cuts.clone());
        let with_magic = [&[0; 128], b"DICM".as_slice(), &bytes].concat();
        same_in_windows(&Framing::Part10, &with_magic, cuts.clone());
        same_in_windows(&Framing::MetaOnly, &bytes, cuts);
    }
}

thread_local! {
    static SHAPES: Vec<(Framing, Vec<u8>)> = shapes();
}

#[test]
fn byte_by_byte() {
    for (framing, bytes) in shapes() {
        same_in_windows(&framing, &bytes, (0..bytes.len()).collect());
    }
}

/// Found by fuzzing: an inflater that meets a damaged bit gives up what it had decoded and not yet
/// handed out, and how much that is depended on how the stream had been given to it. The same file
/// had other attributes when it came in other windows.
#[test]
fn damaged_deflate_streams() {
    use std::io::Write;
    let mut set = Set::new(EXPLICIT_LE).named();
    for i in 0..400u16 {
        set = set.element(0x0029_1000 + u32::from(i), b"LO", &[b'x'; 60]);
    }
    for (tag, value) in [(0x0040_0253, "step"), (0x0042_0010, "title"), (0x0070_0080, "LABEL")] {
        set = set.text(tag, b"ST", value);
    }
    let level = flate2::Compression::default();
    let mut stream = flate2::write::DeflateEncoder::new(Vec::new(), level);
    stream.write_all(&set.bytes).unwrap();
    stream.flush().unwrap();
    // A block of the reserved type (RFC 1951 §3.2.3), right behind all of the data set.
    let bytes = [envelope(DEFLATED), stream.get_ref().clone(), vec![0xFF; 8]].concat();
    for step in [1, 7, 100, 1000] {
        let cuts = (0..bytes.len()).step_by(step).collect();
        same_in_windows(&Framing::Part10, &bytes, cuts);
    }
    assert_eq!(scan(&bytes).flags(), ["unparsed"]);
}

#[test]
fn shapes_are_what_they_should_be() {
    for (framing, bytes) in shapes() {
        let found = scan_as(framing, &bytes, &[]);
        let tolerated = Flags::FRAME_COUNT.bits() | Flags::BAD_VR.bits();
        assert_eq!(found.object.flags.bits() & !tolerated, 0, "{:?}", found.flags());
        assert_eq!(found.object.attributes.get(0x0028_0010), Some("8"));
    }
}

#[test]
fn nesting_of_100_000_levels() {
    for syntax in [IMPLICIT_LE, EXPLICIT_LE] {
        let mut set = Set::new(syntax).named();
        let level =
            Set::new(syntax).head(0x0040_0275, b"SQ", UNDEFINED).head(ITEM, b"  ", UNDEFINED);
        let close = Set::new(syntax).end(ITEM_END).end(SEQUENCE_END);
        set = set.raw(&level.bytes.repeat(100_000));
        let open = set.clone();
        let set = set.raw(&close.bytes.repeat(100_000)).text(0x0042_0010, b"ST", "title");
        let found = scan(&part10(syntax, &set));
        assert!(found.object.flags.is_empty(), "{:?}", found.flags());
        assert_eq!(found.object.attributes.get(0x0042_0010), Some("title"));
        assert_eq!(scan(&part10(syntax, &open)).flags(), ["truncated"]);
    }
}

#[test]
fn lying_lengths() {
    for length in [u32::MAX - 1, u32::MAX, 0x8000_0000, 0x7FFF_FFFE] {
        for (tag, vr) in [(0x0029_1010, b"OB"), (PIXELS, b"OW"), (0x7FE0_0001, b"OV")] {
            let set = Set::new(EXPLICIT_LE).named().image(1, "1", 4, 4, 16);
            let set = set.head(tag, vr, length).raw(&[1; 5000]);
            let found = scan(&part10(EXPLICIT_LE, &set));
            let told = Flags::TRUNCATED.bits() | Flags::UNPARSED.bits();
            assert_ne!(found.object.flags.bits() & told, 0, "{tag:08X} {length}");
        }
        let meta = Set::new(EXPLICIT_LE).head(0x0002_0102, b"OB", length).raw(&[0; 64]);
        let found = scan(&[&[0; 128], b"DICM".as_slice(), &meta.bytes].concat());
        assert_eq!(found.object.envelope_bytes, 132);
    }
}

#[test]
fn what_is_no_dicom() {
    let said = |bytes: &[u8]| probe(bytes, true).unwrap_err().to_string();
    assert_eq!(said(b""), "the file is empty");
    assert_eq!(said(b"PK\x03\x04rest"), "this is a zip archive, not a DICOM file");
    assert_eq!(said(b"<!DOCTYPE html>"), "this is an HTML or XML document, not a DICOM file");
    assert_eq!(said(b"just some words"), "this is plain text, not a DICOM file");
    assert!(said(&[0; 4096]).starts_with("not a DICOM file"));
    assert!(said(&[8]).starts_with("not a DICOM file"));
    // A preamble that is a TIFF head is allowed by PS3.10 §7.1.
    let mut tiff = part10(EXPLICIT_LE, &Set::new(EXPLICIT_LE).named());
    tiff[..4].copy_from_slice(b"II*\0");
    assert_eq!(probe(&tiff, true), Ok(Framing::Part10));
}

#[test]
fn probing_a_long_data_set() {
    let set = Set::new(IMPLICIT_LE).named().image(1, "1", 256, 256, 16);
    let bytes = set.element(PIXELS, b"OW", &vec![0; 131_072]).bytes;
    let framing = probe(&bytes[..PROBE_BYTES], false);
    assert_eq!(framing, Ok(Framing::Bare { transfer_syntax: IMPLICIT_LE }));
}

/// Some seven microseconds on the machine where it was written. The bound is a hundred times that: it
/// only fails if pixels are looked at byte by byte, or something allocates for each element.
#[test]
fn an_object_is_scanned_without_looking_at_its_pixels() {
    let mut set = Set::new(EXPLICIT_LE).named();
    for i in 0..300 {
        set = set.element(0x0029_1000 + i, b"LO", &[b'x'; 40]);
    }
    let set = set.element(PIXELS, b"OW", &vec![0; 1 << 22]);
    let bytes = part10(EXPLICIT_LE, &set);
    let scan = || {
        let start = std::time::Instant::now();
        let mut splitter = cairn_dicom::Splitter::new(Framing::Part10);
        splitter.advance(&bytes, 0, true, &mut Vec::new()).unwrap();
        std::hint::black_box(splitter.finish());
        start.elapsed()
    };
    // The best of many, so that a busy machine does not matter.
    let best = (0..1000).map(|_| scan()).min().unwrap();
    assert!(best.as_micros() < 700, "{best:?}");
}
