//! Stored data sets as DICOM JSON, by path, and in Explicit VR: examples of each rule, and each kind of
//! damage.
#![allow(clippy::unwrap_used)]

mod common;

use std::io;

use bytes::Bytes;
use cairn_dicom::element::Vr;
use cairn_dicom::json::{self, Change, Piece, Written};
use cairn_dicom::{Flags, Source};
use common::*;
use serde_json::{Value, json};

const UID: &str = "1.2.3.4";

fn written(syntax: &str, bytes: &[u8]) -> (Value, Written) {
    let mut out = b"before".to_vec();
    let mut source = Bytes::copy_from_slice(bytes);
    let written = json::write(&mut source, syntax, UID, &mut out).unwrap();
    (serde_json::from_slice(&out[6..]).unwrap(), written)
}

fn value(set: &Set) -> Value {
    written(EXPLICIT_LE, &set.bytes).0
}

fn new() -> Set {
    Set::new(EXPLICIT_LE)
}

/// Everything that pieces hold.
fn all(pieces: Vec<Piece>, source: &mut Bytes) -> Vec<u8> {
    let mut out = Vec::new();
    for mut piece in pieces {
        while let Some(bytes) = piece.next(source).unwrap() {
            out.extend(bytes);
        }
    }
    out
}

/// A data set with a bit of everything, in any encoding.
fn sample(syntax: &str) -> Set {
    let big = syntax == EXPLICIT_BE;
    let order = |le: &[u8]| if big { le.iter().rev().copied().collect() } else { le.to_vec() };
    let inner = Set::new(syntax).text(0x0008_0100, b"SH", "T-1").short(0x0028_0010, 7);
    Set::new(syntax)
        .text(0x0008_0005, b"CS", "ISO_IR 100")
        .named()
        .element(0x0008_1140, b"SQ", &Set::new(syntax).item(&inner.bytes).bytes)
        .head(0x0018_9087, b"FD", 8)
        .raw(&order(&1.5f64.to_le_bytes()))
        .short(0x0028_0103, 1)
        .short(0x0028_0107, 0xFFFF)
        .head(0x0040_0275, b"SQ", UNDEFINED)
        .head(ITEM, b"  ", UNDEFINED)
        .raw(&inner.bytes)
        .end(ITEM_END)
        .end(SEQUENCE_END)
        .text(0x0040_A160, b"UT", &"long ".repeat(20_000))
        .element(PIXELS, b"OW", &[1, 2, 3, 4])
        .element(0xFFFC_FFFC, b"OB", &[0; 4])
}

#[test]
fn every_kind_of_value() {
    let set = new()
        .text(0x0008_0008, b"CS", "ORIGINAL\\\\AXIAL")
        .text(0x0008_0020, b"DA", "")
        .text(0x0010_0010, b"PN", "Doe^Jane=X=Y\\=Z")
        .text(0x0010_1020, b"DS", "1.50\\+2\\NaN\\\\1.23456789012345678")
        .text(0x0020_0013, b"IS", " 007")
        .element(0x0020_9165, b"AT", &[0x10, 0, 0x0A, 0xFF])
        .element(
            0x0040_9224,
            b"FD",
            &[f64::NAN.to_le_bytes(), f64::INFINITY.to_le_bytes()].concat(),
        )
        .element(0x0066_0129, b"FL", &0.1f32.to_le_bytes())
        .element(0x0072_0082, b"SV", &[(-5i64).to_le_bytes(), i64::MIN.to_le_bytes()].concat())
        .text(0x0088_0904, b"LO", "tab\there \"quoted\"\u{1}")
        .element(0x0099_0010, b"OB", &[0, 1, 255, 0]);
    assert_eq!(
        value(&set),
        json!({
            "00080008": {"vr": "CS", "Value": ["ORIGINAL", null, "AXIAL"]},
            "00080020": {"vr": "DA"},
            "00100010": {"vr": "PN", "Value": [
                {"Alphabetic": "Doe^Jane", "Ideographic": "X", "Phonetic": "Y"}, {"Ideographic": "Z"},
            ]},
            "00101020": {"vr": "DS", "Value": [1.5, 2, "NaN", null, "1.23456789012345678"]},
            "00200013": {"vr": "IS", "Value": [7]},
            "00209165": {"vr": "AT", "Value": ["0010FF0A"]},
            "00409224": {"vr": "FD", "Value": ["NaN", "Infinity"]},
            "00660129": {"vr": "FL", "Value": [0.1]},
            "00720082": {"vr": "SV", "Value": [-5, "-9223372036854775808"]},
            "00880904": {"vr": "LO", "Value": ["tab\there \"quoted\"\u{1}"]},
            "00990010": {"vr": "OB", "InlineBinary": "AAH/AA=="},
        })
    );
}

#[test]
fn ascending_unique_and_without_group_lengths() {
    let set = new()
        .element(0x0008_0000, b"UL", &[9, 0, 0, 0])
        .text(0x0010_0020, b"LO", "first")
        .text(0x0008_0060, b"CS", "CT")
        .text(0x0010_0020, b"LO", "second")
        .element(0x0002_0010, b"UI", b"1\0");
    let mut out = Vec::new();
    let bytes = set.bytes;
    let found = json::write(&mut Bytes::from(bytes), EXPLICIT_LE, UID, &mut out).unwrap();
    let expected =
        r#"{"00080060":{"vr":"CS","Value":["CT"]},"00100020":{"vr":"LO","Value":["first"]}}"#;
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    assert!(found.flags.contains(Flags::OUT_OF_ORDER));
}

#[test]
fn large_values_are_named_and_found() {
    let inner = new().element(0x5400_1010, b"OW", &[7; 2000]).element(PIXELS, b"OB", &[]);
    let item = new().item(&[]).item(&inner.bytes).bytes;
    let set = new()
        .text(0x0040_A160, b"UT", &"x".repeat(70_000))
        .element(0x0042_0011, b"OB", b"%PDF")
        .element(0x5400_0100, b"SQ", &item)
        .head(PIXELS, b"OB", UNDEFINED)
        .item(&[])
        .item(&[0xFF, 0xD8, 0xFF, 0xD9])
        .end(SEQUENCE_END)
        .element(0xFFFC_FFFC, b"OB", &[0; 2]);
    let (value, written) = written(EXPLICIT_LE, &set.bytes);
    let uri = |path: &str| format!("instances/1.2.3.4/bulkdata/{path}");
    assert_eq!(value["0040A160"]["BulkDataURI"], uri("0040A160"));
    assert_eq!(value["00420011"], json!({"vr": "OB", "BulkDataURI": uri("00420011")}));
    assert_eq!(value["7FE00010"], json!({"vr": "OB", "BulkDataURI": uri("7FE00010")}));
    let item = &value["54000100"]["Value"];
    assert_eq!(item[0], json!({}));
    // 2,000 bytes of a numeric VR are inline; pixel data of no length has no value.
    assert!(item[1]["54001010"]["InlineBinary"].is_string());
    assert_eq!(item[1]["7FE00010"], json!({"vr": "OB"}));
    assert_eq!(value["FFFCFFFC"], json!({"vr": "OB", "InlineBinary": "AAA="}));
    assert_eq!(written.bulk, 3);
    let find = |path: &str| {
        let mut source = Bytes::from(set.bytes.clone());
        let found = json::find(&mut source, EXPLICIT_LE, path).unwrap()?;
        Some((found.vr.0, all(vec![found.value], &mut source), found.encapsulated))
    };
    assert_eq!(find("00420011"), Some((*b"OB", b"%PDF".to_vec(), false)));
    assert_eq!(find("54000100.1.54001010"), Some((*b"OW", vec![7; 2000], false)));
    let fragments = new().item(&[]).item(&[0xFF, 0xD8, 0xFF, 0xD9]).bytes;
    assert_eq!(find("7FE00010"), Some((*b"OB", fragments, true)));
    for none in [
        "54000100.0.54001010",
        "54001010",
        "54000100.1",
        "x",
        "",
        "7FE00010.",
        "54000100.-1.7FE00010",
    ] {
        assert_eq!(find(none), None, "{none}");
    }
}

#[test]
fn values_that_must_be_inline_are() {
    // PS3.18 §F.2.2 names the VRs that may have a BulkDataURI. Tags are no text, and took it over 4 KiB.
    let tags: Vec<u8> = [0x28, 0, 0x10, 0].repeat(2000);
    let names = vec!["Some^One"; 20_000].join("\\");
    let set = Set::new(IMPLICIT_LE)
        .text(0x0008_1048, b"PN", &names)
        .element(0x0028_0009, b"AT", &tags)
        .text(0x0040_A160, b"UT", &"x".repeat(70_000));
    let (value, written) = written(IMPLICIT_LE, &set.bytes);
    assert_eq!(value["00081048"]["Value"].as_array().unwrap().len(), 20_000);
    assert_eq!(value["00280009"]["Value"].as_array().unwrap().len(), 2000);
    assert!(written.bulk == 1 && value["0040A160"]["BulkDataURI"].is_string());
    // Up to a bound: what is longer is damage, and shall not be lost either.
    let long = Set::new(IMPLICIT_LE).text(0x0008_1030, b"LO", &"x".repeat((1 << 20) + 2));
    let (value, _) = self::written(IMPLICIT_LE, &long.bytes);
    assert!(value["00081030"]["BulkDataURI"].is_string());
}

#[test]
fn pixels_are_never_read() {
    /// Refuses reads that start inside of the pixels.
    struct Guarded(Bytes, std::ops::Range<u64>, Option<u64>);
    impl Source for Guarded {
        fn read(&mut self, at: u64, most: usize) -> io::Result<Bytes> {
            assert!(!self.1.contains(&at), "pixels were read");
            // A chunk ends where the pixels start.
            let most =
                if at < self.1.start { most.min((self.1.start - at) as usize) } else { most };
            self.0.read(at, most)
        }
        fn len(&self) -> u64 {
            self.0.len() as u64
        }
        fn fragments_end(&self) -> Option<u64> {
            self.2
        }
    }
    for syntax in [EXPLICIT_LE, IMPLICIT_LE] {
        let before = Set::new(syntax).named().head(PIXELS, b"OW", 50_000).bytes.len() as u64;
        let set = Set::new(syntax).named().element(PIXELS, b"OW", &vec![9; 50_000]);
        let set = set.element(0xFFFC_FFFC, b"OB", &[0; 2]).bytes;
        let mut source = Guarded(set.into(), before..before + 50_000, None);
        let mut out = Vec::new();
        json::write(&mut source, syntax, UID, &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("FFFCFFFC"));
        assert!(json::find(&mut source, syntax, "7FE00010").unwrap().is_some());
        json::explicit_le(&mut source, syntax, &[]).unwrap();
    }
    let head = new().named().head(PIXELS, b"OB", UNDEFINED);
    let start = head.bytes.len() as u64;
    let set = head.item(&[]).item(&[1; 100]).item(&[2; 100]);
    let end = set.bytes.len() as u64;
    let set = set.end(SEQUENCE_END).element(0xFFFC_FFFC, b"OB", &[0; 2]);
    let mut source = Guarded(set.bytes.into(), start..end, Some(end));
    let mut out = Vec::new();
    json::write(&mut source, JPEG, UID, &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("FFFCFFFC"));
}

#[test]
fn character_sets_change_in_items() {
    let greek =
        new().text(0x0008_0005, b"CS", "ISO_IR 126").element(0x0008_0104, b"LO", b"\xc1\xe2");
    let latin = new().element(0x0008_0104, b"LO", b"\xc1\xe2");
    let set = new()
        .text(0x0008_0005, b"CS", "ISO_IR 100")
        .element(0x0008_1140, b"SQ", &new().item(&greek.bytes).item(&latin.bytes).bytes)
        .element(0x0010_0010, b"PN", b"J\xe9r\xf4me  ");
    let (value, found) = written(EXPLICIT_LE, &set.bytes);
    assert_eq!(value["00081140"]["Value"][0]["00080104"]["Value"], json!(["Αβ"]));
    assert_eq!(value["00081140"]["Value"][1]["00080104"]["Value"], json!(["Áâ"]));
    assert_eq!(value["00100010"]["Value"], json!([{"Alphabetic": "Jérôme"}]));
    // As received: it says what the stored object has.
    assert_eq!(value["00080005"]["Value"], json!(["ISO_IR 100"]));
    assert!(found.flags.is_empty());
}

#[test]
fn all_encodings_give_the_same() {
    let expected = written(EXPLICIT_LE, &sample(EXPLICIT_LE).bytes).0;
    assert_eq!(expected["00280107"], json!({"vr": "US", "Value": [65535]}));
    for syntax in [IMPLICIT_LE, EXPLICIT_BE] {
        let mut value = written(syntax, &sample(syntax).bytes).0;
        if syntax == IMPLICIT_LE {
            // The sample says US; Pixel Representation says SS.
            assert_eq!(value["00280107"], json!({"vr": "SS", "Value": [-1]}));
            value["00280107"] = expected["00280107"].clone();
        }
        assert_eq!(value, expected);
    }
    assert_eq!(written(DEFLATED, &deflated(&sample(EXPLICIT_LE).bytes)).0, expected);
    let mut source = Bytes::from(deflated(&sample(EXPLICIT_LE).bytes));
    let found = json::find(&mut source, DEFLATED, "7FE00010").unwrap().unwrap();
    assert_eq!(all(vec![found.value], &mut source), [1, 2, 3, 4]);
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut stream = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    stream.write_all(bytes).unwrap();
    stream.finish().unwrap()
}

#[test]
fn unknown_is_what_the_dictionary_says() {
    let inner =
        Set::new(IMPLICIT_LE).item(&Set::new(IMPLICIT_LE).text(0x0008_0100, b"SH", "T1").bytes);
    let set = new()
        .element(0x0008_1140, b"UN", &inner.bytes)
        .element(0x0010_0020, b"UN", b"ID")
        .element(0x0011_0010, b"UN", b"ACME")
        .element(0x0011_1001, b"UN", &[1, 2])
        .head(0x0011_1002, b"UN", UNDEFINED)
        .raw(&inner.bytes)
        .end(SEQUENCE_END)
        .text(0x0011_1003, b"ZZ", "ab");
    assert_eq!(
        value(&set),
        json!({
            "00081140": {"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["T1"]}}]},
            "00100020": {"vr": "LO", "Value": ["ID"]},
            "00110010": {"vr": "LO", "Value": ["ACME"]},
            "00111001": {"vr": "UN", "InlineBinary": "AQI="},
            "00111002": {"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["T1"]}}]},
            "00111003": {"vr": "UN", "InlineBinary": "YWI="},
        })
    );
}

#[test]
fn nesting_is_bounded() {
    for defined in [false, true] {
        let mut set = new().text(0x0008_0100, b"SH", "deep").bytes;
        for _ in 0..3000 {
            set = if defined {
                new().element(0x0008_1140, b"SQ", &new().item(&set).bytes).bytes
            } else {
                let item = new().head(0x0008_1140, b"SQ", UNDEFINED).head(ITEM, b"  ", UNDEFINED);
                item.raw(&set).end(ITEM_END).end(SEQUENCE_END).bytes
            };
        }
        let set = new().raw(&set).text(0x0010_0020, b"LO", "behind").bytes;
        let (value, found) = written(EXPLICIT_LE, &set);
        assert!(found.cut);
        assert_eq!(value["00100020"]["Value"], json!(["behind"]), "{defined}");
        let rewritten = json::explicit_le(&mut Bytes::from(set), EXPLICIT_LE, &[]).unwrap();
        assert!(rewritten.cut);
    }
}

#[test]
fn rewriting() {
    let expected = written(EXPLICIT_LE, &sample(EXPLICIT_LE).bytes).0;
    for syntax in [EXPLICIT_LE, IMPLICIT_LE, EXPLICIT_BE, DEFLATED] {
        let bytes = match syntax {
            DEFLATED => deflated(&sample(EXPLICIT_LE).bytes),
            _ => sample(syntax).bytes,
        };
        let mut source = Bytes::from(bytes);
        let rewritten = json::explicit_le(&mut source, syntax, &[]).unwrap();
        assert!(rewritten.pixels.is_some() && !rewritten.cut);
        let out = all(rewritten.into_pieces(), &mut source);
        let mut value = written(EXPLICIT_LE, &out).0;
        if syntax == IMPLICIT_LE {
            value["00280107"] = expected["00280107"].clone();
        }
        assert_eq!(value, expected, "{syntax}");
        // Words of big-endian pixels are turned around.
        let pixels = json::find(&mut Bytes::from(out.clone()), EXPLICIT_LE, "7FE00010").unwrap();
        let pixels = all(vec![pixels.unwrap().value], &mut Bytes::from(out));
        let turned = syntax == EXPLICIT_BE;
        assert_eq!(pixels, if turned { [2, 1, 4, 3] } else { [1, 2, 3, 4] });
    }
}

#[test]
fn rewriting_with_changes() {
    let set = new()
        .element(0x0028_0000, b"UL", &[0; 4])
        .text(0x0028_0008, b"IS", "2")
        .text(0x0028_0004, b"CS", "YBR_FULL_422")
        .short(0x0028_0010, 5)
        .element(0x7FE0_0001, b"OV", &[0; 8])
        .head(PIXELS, b"OB", UNDEFINED)
        .item(&[])
        .item(&[1, 2])
        .end(SEQUENCE_END)
        .element(0xFFFC_FFFC, b"OB", &[0; 2]);
    let changes = [
        Change::text(0x0028_0004, Vr(*b"CS"), "RGB"),
        Change::number(0x0028_0006, 0),
        Change::remove(0x7FE0_0001),
        Change::text(0xFFFA_FFFB, Vr(*b"LO"), "x"),
    ];
    let mut source = Bytes::from(set.bytes);
    let rewritten = json::explicit_le(&mut source, JPEG, &changes).unwrap();
    assert!(rewritten.pixels.as_ref().unwrap().encapsulated);
    let head = new()
        .text(0x0028_0004, b"CS", "RGB")
        .short(0x0028_0006, 0)
        .text(0x0028_0008, b"IS", "2")
        .short(0x0028_0010, 5);
    assert_eq!(all(rewritten.head, &mut source), head.bytes);
    let tail = new().text(0xFFFA_FFFB, b"LO", "x").element(0xFFFC_FFFC, b"OB", &[0; 2]);
    assert_eq!(all(rewritten.tail, &mut source), tail.bytes);
}

#[test]
fn there_and_back() {
    let set = sample(EXPLICIT_LE).bytes;
    let (mut value, _) = written(EXPLICIT_LE, &set);
    value["00100010"]["Value"] = json!([{"Alphabetic": "Jérôme", "Phonetic": "ジ"}]);
    let bulk = |uri: &str| {
        let mut source = Bytes::from(set.clone());
        let found = json::find(&mut source, EXPLICIT_LE, uri.rsplit('/').next()?).ok()??;
        let parts = vec![all(vec![found.value], &mut source).into()];
        Some(json::Bulk { parts, transfer_syntax: None, media_type: None })
    };
    let composed = json::read(&value, &bulk).unwrap();
    assert_eq!(composed.identity.sop_instance_uid, "1.2.3.4");
    assert_eq!(composed.identity.transfer_syntax_uid, EXPLICIT_LE);
    let file = composed.pieces.concat();
    let scanned = scan(&file);
    assert!(scanned.object.flags.is_empty(), "{:?}", scanned.object.flags);
    let mut again = written(EXPLICIT_LE, &file[scanned.object.envelope_bytes as usize..]).0;
    assert_eq!(again["00080005"]["Value"], json!(["ISO_IR 192"]));
    again["00080005"] = value["00080005"].clone();
    assert_eq!(again, value);
}

#[test]
fn compressed_parts_are_encapsulated() {
    let value = json!({
        "00080018": {"vr": "UI", "Value": ["1.2"]},
        "7FE00010": {"vr": "OW", "BulkDataURI": "p"},
    });
    let bulk = |_: &str| {
        let parts = vec![Bytes::from_static(&[0xFF, 0xD8, 0xFF]), Bytes::from_static(&[1, 2])];
        Some(json::Bulk { parts, transfer_syntax: Some(JPEG.to_owned()), media_type: None })
    };
    let composed = json::read(&value, &bulk).unwrap();
    let file = composed.pieces.concat();
    assert_eq!(composed.identity.transfer_syntax_uid, JPEG);
    let expected = new().head(PIXELS, b"OB", UNDEFINED).item(&[]);
    let expected = expected.item(&[0xFF, 0xD8, 0xFF, 0]).item(&[1, 2]).end(SEQUENCE_END);
    assert!(file.ends_with(&expected.bytes));
}

#[test]
fn what_is_no_data_set() {
    use json::ReadError::*;
    let none = |_: &str| None;
    for (value, expected) in [
        (json!([]), NotAnObject),
        (json!({"PatientName": {"vr": "PN"}}), BadTag),
        (json!({"00100010": {"vr": "XX"}}), BadVr(0x0010_0010)),
        (json!({"00280010": {"vr": "US", "Value": ["x"]}}), BadValue(0x0028_0010)),
        (json!({"00080005": {"vr": "OB", "InlineBinary": "?"}}), BadValue(0x0008_0005)),
        (json!({"7FE00010": {"vr": "OW", "BulkDataURI": "x"}}), NoBulk(0x7FE0_0010)),
        (json!({"00081140": {"vr": "SQ", "Value": [1]}}), NotAnObject),
    ] {
        assert_eq!(json::read(&value, &none).unwrap_err(), expected);
    }
    let mut deep = json!({});
    for _ in 0..100 {
        deep = json!({"00081140": {"vr": "SQ", "Value": [deep]}});
    }
    assert_eq!(json::read(&deep, &none).unwrap_err(), TooDeep);
    let again = json!({
        "00081140": {"vr": "SQ", "Value": vec![json!({"00091010": {"vr": "OB", "BulkDataURI": "x"}}); 9]},
    });
    let large = |_: &str| {
        let parts = vec![Bytes::from(vec![0; 9 << 20])];
        Some(json::Bulk { parts, transfer_syntax: None, media_type: None })
    };
    assert_eq!(json::read(&again, &large).unwrap_err(), TooLong(0x0009_1010));
}
