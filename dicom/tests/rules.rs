//! Each rule of DESIGN §3 on a small object of its own.
#![allow(clippy::unwrap_used)]

mod common;

use cairn_chunker::frames::Frames;
use cairn_chunker::span::{Geometry, SpanKind};
use cairn_dicom::{Flags, Framing, Splitter};
use common::*;

#[test]
fn envelope_header_pixels_tail() {
    for syntax in [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE] {
        let set = Set::new(syntax).named().image(1, "2", 3, 4, 16);
        let header = set.bytes.len() as u64;
        let set = set.head(PIXELS, b"OW", 48).raw(&[1; 48]).element(0xFFFC_FFFC, b"OB", &[0; 6]);
        let found = scan(&part10(syntax, &set));
        let head = if syntax == IMPLICIT_LE { 8 } else { 12 };
        let big_endian = syntax == EXPLICIT_BE;
        let geometry = Some(Geometry { sample_bytes: 2, big_endian, left: 1, above: 4 });
        assert_eq!(
            found.dataset_spans(),
            [
                (0, header + head, SpanKind::Header),
                (header + head, 48, SpanKind::Pixels { frame_bytes: 24, geometry }),
                (header + head + 48, 6 + head, SpanKind::Header),
            ]
        );
        let offset = header + head;
        assert_eq!(found.object.frames, Frames::Native { offset, frame_bytes: 24, count: 2 });
        assert!(found.object.flags.is_empty(), "{:?}", found.flags());
        assert_eq!(found.object.transfer_syntax, syntax);
        assert_eq!(found.object.attributes.get(0x0010_0010), Some("Doe^Jane"));
        assert_eq!(found.object.attributes.get(0x0028_0010), Some("3"));
    }
}

#[test]
fn geometry_follows_the_header() {
    let shape = |set: Set, value: usize| {
        let set = set.head(PIXELS, b"OB", value as u32).raw(&vec![0; value]);
        let spans = scan(&part10(EXPLICIT_LE, &set)).dataset_spans();
        spans[1].2
    };
    let set = || Set::new(EXPLICIT_LE).named();
    let rgb = Geometry { sample_bytes: 1, big_endian: false, left: 3, above: 15 };
    assert_eq!(
        shape(set().image(3, "1", 4, 5, 8), 60),
        SpanKind::Pixels { frame_bytes: 60, geometry: Some(rgb) }
    );
    let bits = |frame_bytes| SpanKind::Pixels { frame_bytes, geometry: None };
    assert_eq!(shape(set().image(1, "3", 4, 4, 1), 6), bits(2), "whole bytes a frame");
    assert_eq!(shape(set().image(1, "3", 3, 3, 1), 4), bits(4), "frames do not end at bytes");
    assert_eq!(shape(set().image(1, "1", 2, 2, 32), 16), bits(16));
    let lying = SpanKind::Pixels {
        frame_bytes: 10,
        geometry: Some(Geometry { sample_bytes: 2, big_endian: false, left: 1, above: 65535 }),
    };
    assert_eq!(shape(set().image(1, "1", 65535, 65535, 16), 10), lying);
    assert_eq!(shape(set(), 10), bits(10), "no header at all");
    let ybr = set()
        .short(0x0028_0002, 3)
        .text(0x0028_0004, b"CS", "YBR_FULL_422")
        .short(0x0028_0010, 2)
        .short(0x0028_0011, 4)
        .short(0x0028_0100, 8);
    let halved = Geometry { sample_bytes: 1, big_endian: false, left: 4, above: 8 };
    assert_eq!(shape(ybr, 16), SpanKind::Pixels { frame_bytes: 16, geometry: Some(halved) });
}

#[test]
fn frame_counts_that_disagree() {
    let flags = |frames, bits, value: usize| {
        let set = Set::new(EXPLICIT_LE).named().image(1, frames, 3, 3, bits);
        let found = scan(&part10(EXPLICIT_LE, &set.element(PIXELS, b"OB", &vec![0; value])));
        (found.object.frames.count(), found.flags())
    };
    assert_eq!(flags("2", 8, 18), (2, vec![]));
    assert_eq!(flags("3", 8, 18), (2, vec!["frame_count"]));
    assert_eq!(flags("", 8, 18), (2, vec!["frame_count"]));
    assert_eq!(flags("3", 1, 4), (1, vec![]), "frames that end at bits are one to the container");
}

#[test]
fn float_pixels() {
    let set = Set::new(EXPLICIT_LE).named().image(1, "2", 2, 2, 16);
    let set = set.element(0x7FE0_0008, b"OF", &[0; 32]);
    let found = scan(&part10(EXPLICIT_LE, &set));
    assert_eq!(found.object.frames.count(), 2);
    assert_eq!(found.dataset_spans()[1].2, SpanKind::Pixels { frame_bytes: 16, geometry: None });
}

#[test]
fn large_values_stand_alone() {
    let set = Set::new(EXPLICIT_LE)
        .named()
        .element(0x0029_1010, b"OB", &[1; 4094])
        .element(0x0029_1020, b"OB", &[1; 4096])
        .element(0x0029_1030, b"OB", &[1; 5000])
        .element(0x0042_0011, b"OB", &[1; 4096]);
    let found = scan(&part10(EXPLICIT_LE, &set));
    let kinds = ["envelope", "header", "bulk", "header", "bulk", "header", "opaque"];
    assert_eq!(found.kinds(), kinds);
    let lengths: Vec<_> = found.dataset_spans().iter().map(|(_, length, _)| *length).collect();
    assert_eq!(lengths[1..], [4096, 12, 5000, 12, 4096]);
}

#[test]
fn sequences_of_undefined_length() {
    for (filler, bulk) in [(10usize, false), (4096 - 44, false), (4096 - 42, true), (9000, true)] {
        for syntax in [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE] {
            let head = if syntax == IMPLICIT_LE { 4 } else { 0 };
            let set = Set::new(syntax).named().head(0x0040_0275, b"SQ", UNDEFINED);
            let before = set.bytes.len();
            let set = set
                .head(ITEM, b"  ", UNDEFINED)
                .element(0x0040_0009, b"UN", &vec![0; filler + head])
                .end(ITEM_END)
                .head(SEQUENCE_END, b"  ", 0);
            // item 8, element head 12 (8 implicit), two delimiters 16, filler.
            let length = set.bytes.len() - before;
            assert_eq!(length, filler + 36);
            let set = set.text(0x0040_0280, b"ST", "end");
            let found = scan(&part10(syntax, &set));
            let large = length >= 4096;
            let expected: &[&str] = if large {
                &["envelope", "header", "bulk", "header"]
            } else {
                &["envelope", "header"]
            };
            assert_eq!(found.kinds(), expected, "{filler} {bulk}");
            if large {
                assert_eq!(found.dataset_spans()[1].0, before as u64);
                assert_eq!(found.dataset_spans()[1].1, length as u64);
            }
            assert!(found.object.flags.is_empty(), "{:?}", found.flags());
        }
    }
}

#[test]
fn unknown_vr_of_undefined_length_is_implicit_inside() {
    let inside = Set::new(IMPLICIT_LE)
        .head(ITEM, b"  ", UNDEFINED)
        .text(0x0040_0009, b"SH", "x")
        .head(0x0040_0008, b"SQ", UNDEFINED)
        .item(&[8; 20])
        .end(SEQUENCE_END)
        .end(ITEM_END)
        .end(SEQUENCE_END);
    let nested = Set::new(EXPLICIT_LE)
        .named()
        .head(0x0040_0275, b"SQ", UNDEFINED)
        .head(ITEM, b"  ", UNDEFINED)
        .head(0x0041_1001, b"UN", UNDEFINED)
        .raw(&inside.bytes)
        .text(0x0041_1002, b"LO", "explicit again")
        .end(ITEM_END)
        .end(SEQUENCE_END);
    let set = nested.head(0x0041_1003, b"UN", UNDEFINED).raw(&inside.bytes);
    let set = set.text(0x0042_0010, b"ST", "title");
    let found = scan(&part10(EXPLICIT_LE, &set));
    assert!(found.object.flags.is_empty(), "{:?}", found.flags());
    assert_eq!(found.object.attributes.get(0x0042_0010), Some("title"));
}

#[test]
fn sloppy_delimiters() {
    let set = Set::new(EXPLICIT_LE)
        .named()
        .head(0x0040_0275, b"SQ", UNDEFINED)
        .head(ITEM, b"  ", UNDEFINED)
        .text(0x0040_0009, b"SH", "no item delimiter")
        .head(ITEM, b"  ", UNDEFINED)
        .head(ITEM_END, b"  ", 77)
        .head(SEQUENCE_END, b"  ", 0x1234_5678)
        .text(0x0042_0010, b"ST", "title");
    let found = scan(&part10(EXPLICIT_LE, &set));
    assert!(found.object.flags.is_empty(), "{:?}", found.flags());
    assert_eq!(found.object.attributes.get(0x0042_0010), Some("title"));
}

#[test]
fn icons_do_not_count_as_pixel_data() {
    let set = Set::new(EXPLICIT_LE).named().image(1, "1", 2, 2, 8);
    let set = set
        .head(0x0088_0200, b"SQ", UNDEFINED)
        .head(ITEM, b"  ", UNDEFINED)
        .short(0x0028_0010, 99)
        .head(PIXELS, b"OB", UNDEFINED)
        .item(&[])
        .item(&[0xFF, 0xD8, 0xFF, 0xE0])
        .end(SEQUENCE_END)
        .end(ITEM_END)
        .end(SEQUENCE_END);
    let found = scan(&part10(EXPLICIT_LE, &set));
    assert_eq!(found.kinds(), ["envelope", "header"]);
    assert_eq!(found.object.frames, Frames::None);
    let found = scan(&part10(EXPLICIT_LE, &set.element(PIXELS, b"OB", &[0; 4])));
    assert_eq!(found.object.frames.count(), 1);
    assert_eq!(found.object.attributes.get(0x0028_0010), Some("2"));
}

#[test]
fn deflated_data_sets() {
    use std::io::Write;
    let set = Set::new(EXPLICIT_LE).named().image(1, "1", 2, 2, 8).element(PIXELS, b"OB", &[0; 4]);
    let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    raw.write_all(&set.bytes).unwrap();
    let raw = raw.finish().unwrap();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    zlib.write_all(&set.bytes).unwrap();
    for stream in [raw.clone(), zlib.finish().unwrap(), [raw.clone(), vec![0]].concat()] {
        let found = scan(&[envelope(DEFLATED), stream].concat());
        assert_eq!(found.kinds(), ["envelope", "opaque"]);
        assert_eq!(found.object.attributes.get(0x0028_0010), Some("2"));
        assert_eq!(found.object.identity(&[0; 32]).series_uid, "1.2.3.6");
        assert!(found.object.flags.is_empty(), "{:?}", found.flags());
    }
    let cut = scan(&[envelope(DEFLATED), raw[..raw.len() / 3].to_vec()].concat());
    assert!(cut.object.flags.contains(Flags::TRUNCATED));
    // A bomb: 64 MiB of one private element before anything that is indexed.
    let mut bomb = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&Set::new(EXPLICIT_LE).named().head(0x0029_1010, b"OB", 1 << 26).bytes).unwrap();
    for _ in 0..4096 {
        bomb.write_all(&[0; 16384]).unwrap();
    }
    let found = scan(&[envelope(DEFLATED), bomb.finish().unwrap()].concat());
    assert_eq!(found.flags(), ["deflate_prefix"]);
    assert_eq!(found.object.attributes.get(0x0020_000E), Some("1.2.3.6"));
}

#[test]
fn envelopes_of_all_kinds() {
    let set = Set::new(EXPLICIT_LE).named();
    let whole = part10(EXPLICIT_LE, &set);
    let meta_only = scan(&whole[132..]);
    assert_eq!(meta_only.flags(), ["no_preamble"]);
    assert_eq!(meta_only.object.envelope_bytes, scan(&whole).object.envelope_bytes - 132);
    assert_eq!(scan(&whole[128..]).flags(), ["no_preamble"]);
    for syntax in [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE] {
        let bare = scan(&Set::new(syntax).named().bytes);
        assert_eq!(bare.flags(), ["no_preamble", "no_meta"]);
        assert_eq!(bare.object.transfer_syntax, syntax);
        assert_eq!((bare.object.envelope_bytes, bare.object.had_envelope), (0, true));
    }
    let dimse = Framing::Dataset { transfer_syntax: format!("{EXPLICIT_LE}\0") };
    let dimse = scan_as(dimse, &set.bytes, &[]);
    assert!(dimse.object.flags.is_empty());
    assert!(!dimse.object.had_envelope);
    assert_eq!(dimse.kinds(), ["header"]);
    let meta = |ts: &str| {
        let meta = Set::new(EXPLICIT_LE).text(0x0002_0010, b"UI", ts);
        [&[0; 128], b"DICM".as_slice(), &meta.bytes, &set.bytes].concat()
    };
    let no_length = scan(&meta(EXPLICIT_LE));
    assert_eq!(no_length.flags(), ["bad_meta_length"]);
    let unknown = scan(&meta("1.2.3.99"));
    assert_eq!(unknown.flags(), ["unknown_transfer_syntax", "bad_meta_length"]);
    let silent = scan(&meta(""));
    assert_eq!(silent.flags(), ["no_transfer_syntax", "bad_meta_length"]);
    assert_eq!(silent.object.transfer_syntax, EXPLICIT_LE);
    // Declared and actual encoding differ: the bytes win.
    let lying = scan(&meta(IMPLICIT_LE));
    assert_eq!(lying.flags(), ["bad_vr", "bad_meta_length"]);
    assert_eq!(lying.object.attributes, scan(&whole).object.attributes);
}

#[test]
fn directories_are_refused() {
    let meta = Set::new(EXPLICIT_LE)
        .text(0x0002_0002, b"UI", "1.2.840.10008.1.3.10")
        .text(0x0002_0010, b"UI", EXPLICIT_LE)
        .text(0x0004_1130, b"CS", "X");
    let bytes = [&[0; 128], b"DICM".as_slice(), &meta.bytes].concat();
    let mut splitter = Splitter::new(Framing::Part10);
    for _ in 0..2 {
        assert!(splitter.advance(&bytes, 0, true, &mut Vec::new()).is_err());
    }
}

#[test]
fn what_follows_the_last_element_is_kept() {
    let set = Set::new(EXPLICIT_LE).named().image(1, "1", 2, 2, 8).element(PIXELS, b"OB", &[0; 4]);
    for tail in [&[0u8; 3][..], &[0; 8], &[0; 5000], b"garbage that is no element", &[0xFF; 99]] {
        for syntax in [EXPLICIT_LE, IMPLICIT_LE] {
            let set = if syntax == IMPLICIT_LE {
                Set::new(syntax).named().image(1, "1", 2, 2, 8).element(PIXELS, b"OB", &[0; 4])
            } else {
                set.clone()
            };
            let found = scan(&part10(syntax, &set.raw(tail)));
            assert_eq!(found.flags(), ["trailing_bytes"]);
            assert_eq!(found.kinds(), ["envelope", "header", "pixels", "opaque"]);
            assert_eq!(found.dataset_spans()[2].1, tail.len() as u64);
        }
    }
    let report = scan(&part10(EXPLICIT_LE, &Set::new(EXPLICIT_LE).named().raw(&[0; 512])));
    assert_eq!(report.flags(), ["trailing_bytes"]);
}

#[test]
fn cut_anywhere() {
    let set = Set::new(EXPLICIT_LE).named().image(1, "1", 2, 2, 16).element(PIXELS, b"OB", &[9; 8]);
    let whole = part10(EXPLICIT_LE, &set);
    let envelope = envelope(EXPLICIT_LE).len();
    for length in 132..whole.len() {
        let found = scan(&whole[..length]);
        assert_eq!(found.object.envelope_bytes, envelope.min(length) as u64);
        let in_pixels = length >= whole.len() - 8;
        assert_eq!(found.object.frames.count(), 0);
        assert!(!in_pixels || found.object.flags.contains(Flags::TRUNCATED));
    }
}

#[test]
fn mixed_encodings_and_odd_orders() {
    let implicit = Set::new(IMPLICIT_LE).text(0x0020_0010, b"SH", "7");
    let set = Set::new(EXPLICIT_LE)
        .named()
        .raw(&implicit.bytes)
        .text(0x0020_0013, b"IS", "5")
        .text(0x0020_0011, b"IS", "4")
        .text(0x0020_0011, b"IS", "9");
    let found = scan(&part10(EXPLICIT_LE, &set));
    assert_eq!(found.flags(), ["bad_vr", "out_of_order"]);
    let value = |tag| found.object.attributes.get(tag);
    assert_eq!(value(0x0020_0010), Some("7"));
    assert_eq!(value(0x0020_0011), Some("4"), "the first of two counts");
    assert_eq!(value(0x0020_0013), Some("5"));
    let noise = Set::new(EXPLICIT_LE).named().raw(&[0x55; 40]);
    let found = scan(&part10(EXPLICIT_LE, &noise));
    assert_eq!(
        found.flags(),
        ["truncated", "bad_vr", "odd_length"],
        "letters UU: an unknown VR with a long value"
    );
    let noise = Set::new(EXPLICIT_LE).named().raw(&[0x05; 40]);
    let found = scan(&part10(EXPLICIT_LE, &noise));
    assert_eq!(found.flags(), ["unparsed"]);
    assert_eq!(found.kinds(), ["envelope", "header", "opaque"]);
}

#[test]
fn agrees_with_dicom_object() {
    use dicom_core::{DataElement, PrimitiveValue, VR};
    use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
    let object = InMemDicomObject::from_element_iter(
        cairn_dicom::attributes::TABLE.iter().filter(|row| row.tag != 0x0008_0005).map(|row| {
            let tag = dicom_core::Tag((row.tag >> 16) as u16, row.tag as u16);
            let value = match &row.vr {
                b"US" => PrimitiveValue::from(258u16),
                b"UI" => PrimitiveValue::from("1.2.3"),
                b"DA" => PrimitiveValue::from("20260102"),
                b"TM" => PrimitiveValue::from("101112"),
                b"IS" | b"DS" => PrimitiveValue::from("12"),
                _ => PrimitiveValue::from("SOMETHING"),
            };
            DataElement::new(tag, VR::from_binary(row.vr).unwrap(), value)
        }),
    );
    let meta = FileMetaTableBuilder::new().transfer_syntax(EXPLICIT_LE);
    let file = object.clone().with_meta(meta).unwrap();
    let mut bytes = Vec::new();
    file.write_all(&mut bytes).unwrap();
    let found = scan(&bytes);
    assert_eq!(found.object.attributes.len() + 1, cairn_dicom::attributes::TABLE.len());
    for (tag, value) in found.object.attributes.iter() {
        let tag = dicom_core::Tag((tag >> 16) as u16, tag as u16);
        assert_eq!(object.element(tag).unwrap().to_str().unwrap(), value);
    }
}
