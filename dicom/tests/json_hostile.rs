//! DICOM JSON of whatever comes in: valid, ascending, the same for any source; and the same as dicom-rs makes
//! of what is well-formed.
#![allow(clippy::unwrap_used)]

mod common;

use std::io;

use bytes::Bytes;
use cairn_dicom::{Source, json};
use common::*;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries;
use proptest::prelude::*;
use serde_json::Value;

const UID: &str = "1.2.3.4";

fn text(source: &mut dyn Source, syntax: &str) -> String {
    let mut out = Vec::new();
    json::write(source, syntax, UID, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Gives out a few bytes at a time.
struct Drops(Bytes, usize);

impl Source for Drops {
    fn read(&mut self, at: u64, most: usize) -> io::Result<Bytes> {
        self.0.read(at, most.min(self.1))
    }
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

/// Every object of a JSON text ascends, as the text stands; serde_json itself would sort.
fn check(text: &str) -> Value {
    let value: Value = serde_json::from_str(text).unwrap();
    assert_eq!(
        serde_json::to_string(&names(&value)).unwrap(),
        serde_json::to_string(&ordered(text)).unwrap()
    );
    value
}

/// The names of attributes in the order of their tags.
fn names(value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    let Some(object) = value.as_object() else { return out };
    for (tag, attribute) in object {
        out.push(tag.clone());
        for item in attribute["Value"].as_array().into_iter().flatten() {
            if attribute["vr"] == "SQ" {
                out.extend(names(item));
            }
        }
    }
    out
}

/// The names of attributes as they stand in the text. Only they are followed by a VR.
fn ordered(text: &str) -> Vec<String> {
    let ends: Vec<usize> = text.match_indices("\":{\"vr\":\"").map(|(i, _)| i).collect();
    ends.iter().map(|i| text[i - 8..*i].to_owned()).collect()
}

fn bulk_paths(value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    for attribute in value.as_object().unwrap().values() {
        if let Some(uri) = attribute["BulkDataURI"].as_str() {
            out.push(uri.strip_prefix("instances/1.2.3.4/bulkdata/").unwrap().to_owned());
        }
        if attribute["vr"] == "SQ" {
            attribute["Value"]
                .as_array()
                .into_iter()
                .flatten()
                .for_each(|v| out.extend(bulk_paths(v)));
        }
    }
    out
}

fn drain(pieces: Vec<json::Piece>, source: &mut dyn Source) -> Vec<u8> {
    let mut out = Vec::new();
    for mut piece in pieces {
        let (length, before) = (piece.len(), out.len());
        while let Some(bytes) = piece.next(source).unwrap() {
            assert!(!bytes.is_empty());
            out.extend(bytes);
        }
        assert_eq!((out.len() - before) as u64, length);
    }
    out
}

/// All that can be asked of a data set.
fn everything(bytes: &[u8], syntax: &str, drop: usize) {
    let mut whole = Bytes::copy_from_slice(bytes);
    let mut drops = Drops(whole.clone(), drop);
    let found = text(&mut whole, syntax);
    assert_eq!(found, text(&mut drops, syntax));
    let value = check(&found);
    for path in bulk_paths(&value) {
        let found =
            json::find(&mut whole, syntax, &path).unwrap().expect("what has a URI is found");
        assert!(!found.value.is_empty());
        let again = json::find(&mut drops, syntax, &path).unwrap().unwrap();
        assert_eq!(drain(vec![found.value], &mut whole), drain(vec![again.value], &mut drops));
    }
    let rewritten = json::explicit_le(&mut whole, syntax, &[]).unwrap().into_pieces();
    let rewritten = drain(rewritten, &mut whole);
    let again = json::explicit_le(&mut drops, syntax, &[]).unwrap().into_pieces();
    assert_eq!(rewritten, drain(again, &mut drops));
    check(&text(&mut Bytes::from(rewritten), EXPLICIT_LE));
}

/// Data sets with one of everything.
fn shapes() -> Vec<(&'static str, Vec<u8>)> {
    let mut shapes = Vec::new();
    for syntax in [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE, JPEG] {
        let set = Set::new(syntax).text(0x0008_0005, b"CS", "ISO 2022 IR 100\\ISO 2022 IR 87");
        let set = set.named().image(1, "3", 8, 8, 16).short(0x0028_0103, 1).short(0x0028_0106, 9);
        let set = set.text(0x0028_1052, b"DS", "1.5\\-3").element(0x0029_0010, b"LO", b"ACME");
        let mut set =
            set.element(0x0029_1010, b"OB", &[3; 4200]).head(0x0029_1020, b"UN", UNDEFINED);
        let inner = Set::new(IMPLICIT_LE).head(ITEM, b"  ", UNDEFINED);
        let inner = inner.text(0x0029_1021, b"LO", "in").text(0x0008_0060, b"CS", "CT");
        set = set.raw(&inner.end(ITEM_END).end(SEQUENCE_END).bytes);
        set = set.head(0x0040_0275, b"SQ", UNDEFINED);
        for _ in 0..3 {
            let item = Set::new(syntax).text(0x0040_0007, b"LO", "step");
            let item = item.element(0x5400_1010, b"OW", &[1; 5000]);
            set = set.head(ITEM, b"  ", UNDEFINED).raw(&item.bytes).end(ITEM_END).item(&item.bytes);
        }
        set = set.end(SEQUENCE_END);
        if syntax == JPEG {
            set = set.head(PIXELS, b"OB", UNDEFINED).item(&[]).item(&[9; 20]).end(SEQUENCE_END);
        } else {
            set = set.element(PIXELS, b"OW", &[5; 384]);
        }
        shapes.push((syntax, set.element(0xFFFC_FFFC, b"OB", &[0; 30]).bytes));
    }
    shapes
}

#[test]
fn rewriting_changes_nothing() {
    for (syntax, bytes) in shapes() {
        let mut source = Bytes::from(bytes.clone());
        let before = text(&mut source, syntax);
        let pieces = json::explicit_le(&mut source, syntax, &[]).unwrap().into_pieces();
        let after = drain(pieces, &mut source);
        assert_eq!(text(&mut Bytes::from(after), EXPLICIT_LE), before, "{syntax}");
        everything(&bytes, syntax, 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn flipped_bytes(
        shape in 0usize..4,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        keep in 100usize..60_000,
        drop in 1usize..5000,
    ) {
        let (syntax, mut bytes) = shapes().swap_remove(shape);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(keep);
        everything(&bytes, syntax, drop);
    }

    #[test]
    fn random_bytes(
        bytes in prop::collection::vec(prop_oneof![
            Just(0u8), Just(0xFF), Just(0xFE), Just(0xE0), Just(8), Just(b'S'), Just(b'Q'), any::<u8>()
        ], 0..600),
        syntax in prop::sample::select(vec![IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE, DEFLATED, RLE, ""]),
        drop in 1usize..50,
    ) {
        everything(&bytes, syntax, drop);
    }

    #[test]
    fn random_json(value in json_value(), missing: bool) {
        let bulk = |uri: &str| (!missing).then(|| json::Bulk {
            parts: vec![Bytes::copy_from_slice(uri.as_bytes())],
            transfer_syntax: uri.len().is_multiple_of(2).then(|| JPEG.to_owned()),
            media_type: uri.len().is_multiple_of(3).then(|| "image/jpeg".to_owned()),
        });
        if let Ok(composed) = json::read(&value, &bulk) {
            let file = composed.pieces.concat();
            let start = composed.pieces[0].len();
            let syntax = &composed.identity.transfer_syntax_uid;
            everything(&file[start..], syntax, 1000);
        }
    }

    /// dicom-rs reads the same from what is well-formed.
    #[test]
    fn as_dicom_rs(elements in prop::collection::btree_map(0usize..KINDS.len(), value_seed(), 0..8), sq: bool) {
        for (syntax, entry) in [
            (EXPLICIT_LE, entries::EXPLICIT_VR_LITTLE_ENDIAN.erased()),
            (IMPLICIT_LE, entries::IMPLICIT_VR_LITTLE_ENDIAN.erased()),
            (EXPLICIT_BE, entries::EXPLICIT_VR_BIG_ENDIAN.erased()),
        ] {
            let mut set = build(Set::new(syntax).text(0x0008_0005, b"CS", "ISO_IR 192"), &elements);
            if sq {
                let item = build(Set::new(syntax), &elements).bytes;
                set = set.element(0x3006_0010, b"SQ", &Set::new(syntax).item(&item).item(&[]).bytes);
            }
            let ours = check(&text(&mut Bytes::from(set.bytes.clone()), syntax));
            let theirs = InMemDicomObject::read_dataset_with_ts(set.bytes.as_slice(), &entry).unwrap();
            let theirs = dicom_json::to_value(theirs).unwrap();
            prop_assert_eq!(alike(ours), alike(theirs));
        }
    }
}

/// Tags that are the same in all encodings, with how to make a value from a seed.
const KINDS: &[(u32, &[u8; 2])] = &[
    (0x0008_0008, b"CS"),
    (0x0008_0018, b"UI"),
    (0x0008_0020, b"DA"),
    (0x0010_0010, b"PN"),
    (0x0010_1020, b"DS"),
    (0x0018_1638, b"OF"),
    (0x0018_6060, b"FL"),
    (0x0018_9087, b"FD"),
    (0x0018_9219, b"SS"),
    (0x0020_0013, b"IS"),
    (0x0020_4000, b"LT"),
    (0x0028_0010, b"US"),
    (0x0028_1051, b"DS"),
    (0x0040_A160, b"UT"),
    (0x0088_0904, b"LO"),
];

fn value_seed() -> impl Strategy<Value = (Vec<u16>, String)> {
    (prop::collection::vec(any::<u16>(), 0..4), "[a-zA-Zé山\"\n^ ]{0,10}")
}

fn build(mut set: Set, elements: &std::collections::BTreeMap<usize, (Vec<u16>, String)>) -> Set {
    let big = set.clone().short(1, 1).bytes.ends_with(&[0, 1]);
    for (kind, (numbers, words)) in elements {
        let (tag, vr) = KINDS[*kind];
        let joined = |show: &dyn Fn(u16) -> String| {
            numbers.iter().map(|n| show(*n)).collect::<Vec<_>>().join("\\")
        };
        let bytes = |show: &dyn Fn(u16) -> Vec<u8>| {
            let number = |n: &u16| {
                let mut bytes = show(*n);
                if big {
                    bytes.reverse();
                }
                bytes
            };
            numbers.iter().flat_map(number).collect::<Vec<u8>>()
        };
        set = match vr {
            b"CS" | b"DA" => set.text(tag, vr, &joined(&|n| format!("X{n}"))),
            b"UI" => set.text(tag, vr, &joined(&|n| format!("1.{n}"))),
            b"DS" => set.text(tag, vr, &joined(&|n| format!("{}", f64::from(n) / 8.0))),
            b"IS" => set.text(tag, vr, &joined(&|n| format!("{n}"))),
            b"PN" => set.text(tag, vr, &format!("A{words}=B={}", words.trim())),
            b"FD" => set.element(tag, vr, &bytes(&|n| (f64::from(n) / 7.0).to_le_bytes().into())),
            b"FL" | b"OF" => {
                set.element(tag, vr, &bytes(&|n| (f32::from(n) / 7.0).to_le_bytes().into()))
            }
            b"SS" | b"US" => set.element(tag, vr, &bytes(&|n| n.to_le_bytes().into())),
            _ => set.text(tag, vr, words),
        };
    }
    set
}

/// What is the same in two ways of saying it: numbers as text; no value, and none of any length; blanks that
/// pad.
fn alike(mut value: Value) -> Value {
    for attribute in value.as_object_mut().unwrap().values_mut() {
        let object = attribute.as_object_mut().unwrap();
        let vr = object["vr"].as_str().unwrap().to_owned();
        let Some(values) = object.get_mut("Value").and_then(Value::as_array_mut) else { continue };
        for value in values.iter_mut() {
            *value = match value.take() {
                item @ Value::Object(_) if vr == "SQ" => alike(item),
                Value::Object(mut names) => {
                    names.retain(|_, name| {
                        *name = name.as_str().unwrap().trim().into();
                        name != ""
                    });
                    Value::Object(names)
                }
                Value::String(text) if vr == "DS" || vr == "IS" => {
                    text.trim().parse::<f64>().unwrap().into()
                }
                // One widens the number, the other writes the shortest text that is it.
                Value::Number(number) if vr == "FL" => (number.as_f64().unwrap() as f32).into(),
                Value::Number(number) => number.as_f64().unwrap().into(),
                Value::String(text) => text.trim().into(),
                value => value,
            };
        }
        if values.is_empty() || values.iter().all(|value| value == "") {
            object.remove("Value");
        }
    }
    value
}

/// JSON that resembles a data set.
fn json_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(Value::Null),
        Just(Value::from("00100010")),
        any::<bool>().prop_map(Value::from),
    ];
    let vr = prop::sample::select(vec![
        "SQ", "LO", "PN", "DS", "IS", "US", "SS", "FD", "AT", "OW", "UN", "UI", "UV", "XX",
    ]);
    let attribute = move |item: BoxedStrategy<Value>| {
        let values = prop::collection::vec(prop_oneof![scalar.clone(), item], 0..4);
        (vr.clone(), values, 0..5).prop_map(|(vr, values, kind)| match kind {
            0 => serde_json::json!({"vr": vr}),
            1 => serde_json::json!({"vr": vr, "InlineBinary": "AAEC"}),
            2 => serde_json::json!({"vr": vr, "BulkDataURI": format!("{values:?}")}),
            _ => serde_json::json!({"vr": vr, "Value": values}),
        })
    };
    let name = prop::sample::select(vec![
        "00080005", "00080018", "0010001", "00100010", "00280010", "00081140", "7FE00010",
        "7fe00010", "FFFEE000", "00020010", "00090010", "00091001", "FFFCFFFC",
    ]);
    Just(Value::Object(serde_json::Map::new())).prop_recursive(4, 30, 4, move |inner| {
        prop::collection::hash_map(name.clone(), attribute(inner.boxed()), 0..5)
            .prop_map(|members| members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            .prop_map(Value::Object)
    })
}
