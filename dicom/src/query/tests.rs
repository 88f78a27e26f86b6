//! Parsing and matching as a whole.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::element::Vr;

fn query(parameters: &[(&str, &str)]) -> Query {
    Query::all(Level::Study).with_parameters(parameters).unwrap()
}

fn refused(parameters: &[(&str, &str)]) -> String {
    Query::all(Level::Study).with_parameters(parameters).unwrap_err().to_string()
}

fn matches(name: &str, key: &str, values: &str) -> bool {
    let query = query(&[(name, key)]);
    query.keys.iter().all(|key| key.matches(values))
}

#[test]
fn parameters() {
    let query = query(&[
        ("PatientName", "mul*"),
        ("00080061", "CT"),
        ("includefield", "00081030,StudyTime"),
        ("includefield", "RequestAttributesSequence.00400009"),
        ("includefield", "00091001"),
        ("fuzzymatching", "false"),
        ("limit", "101"),
        ("offset", "0"),
        ("accept", "application/dicom+json"),
        ("StudyDescription", ""),
    ]);
    assert_eq!((query.limit, query.offset, query.modes), (Some(101), 0, Modes::default()));
    let keys: Vec<_> = query.keys.iter().map(|key| key.path.to_string()).collect();
    assert_eq!(keys, ["00100010", "00080061"]);
    let fields: Vec<_> = query.fields.paths.iter().map(ToString::to_string).collect();
    let expected =
        ["00081030", "00080030", "00400275.00400009", "00091001", "00100010", "00080061"];
    assert_eq!(fields, expected, "a universal key only asks for the attribute");
    assert!(!query.fields.all && query.notes.is_empty());
}

#[test]
fn all_fields_and_fields_that_nobody_knows() {
    let query = query(&[("includefield", "all"), ("includefield", "NewInTheNextEdition")]);
    assert!(query.fields.all);
    assert_eq!(query.notes, [Note::UnknownField]);
}

#[test]
fn malformed_queries_are_refused_in_a_sentence() {
    assert_eq!(
        refused(&[("PatientNane", "x")]),
        "PatientNane is neither a query parameter nor an attribute of PS3.6"
    );
    assert_eq!(refused(&[("limit", "-1")]), "limit is a whole number");
    assert_eq!(refused(&[("offset", "99999999999999999999")]), "offset is a whole number");
    assert_eq!(refused(&[("fuzzymatching", "yes")]), "fuzzymatching is true or false");
    assert!(refused(&[("StudyDate", "2026-01-01")]).contains("StudyDate"));
    assert!(refused(&[("StudyInstanceUID", "1.2.*")]).contains("wild cards"));
    assert!(refused(&[("RequestAttributesSequence", "x")]).contains("sequence"));
    assert!(refused(&[("PatientID", "1"), ("PatientID", "2")]).contains("twice"));
    assert!(refused(&[("PatientID", "1"), ("00100020", "2")]).contains("twice"));
    assert!(refused(&[("PatientID", &"?".repeat(200))]).contains("too long"));
    assert!(refused(&[("StudyInstanceUID", &"1,".repeat(1001))]).contains("1000"));
    let hostile = refused(&[("<script>", "x")]);
    assert!(!hostile.contains('<'), "{hostile}");
}

#[test]
fn errors_hold_no_values() {
    for (name, value) in [("StudyDate", "Doe^John"), ("limit", "Doe^John"), ("Rows", "Doe^John")] {
        assert!(!refused(&[(name, value)]).contains("Doe"));
    }
}

#[test]
fn uid_lists_by_comma_and_backslash() {
    for list in ["1.2,1.3", "1.2\\1.3", "1.9, 1.3"] {
        assert!(matches("StudyInstanceUID", list, "1.3"), "{list}");
        assert!(!matches("StudyInstanceUID", list, "1.4"), "{list}");
    }
    assert!(matches("StudyInstanceUID", "1.3", "1.3\0"));
}

#[test]
fn single_values_and_wild_cards() {
    assert!(matches("PatientID", "A1", "A1 "));
    assert!(!matches("PatientID", "a1", "A1"), "case counts but in names");
    assert!(matches("PatientID", "A*", "A1"));
    assert!(matches("PatientID", "*", ""), "universal");
    assert!(matches("PatientID", "", "x"), "universal");
    assert!(!matches("PatientID", "[AB]1", "A1"));
    assert!(matches("PatientID", "[AB]*", "[AB]1"));
    assert!(matches("StudyDescription", "100%_*", "100%_x"));
    assert!(matches("ModalitiesInStudy", "MR", "CT\\MR"));
    assert!(matches("ModalitiesInStudy", "PT\\MR", "CT\\MR"));
    assert!(matches("ModalitiesInStudy", "PT,MR", "CT\\MR"));
    assert!(!matches("ModalitiesInStudy", "ct", "CT\\MR"));
    assert!(matches("SeriesNumber", "7", "+007"));
    assert!(!matches("SeriesNumber", "7", "70"));
    assert!(matches("Rows", "512", "512"));
    assert!(matches("PatientName", "A\\B", "b"));
    assert!(!matches("PatientID", "A1", ""));
}

#[test]
fn empty_and_multiple_value_matching() {
    let empty = query(&[("PatientID", "\"\""), ("emptyvaluematching", "true")]);
    assert!(empty.keys[0].matches("") && empty.keys[0].matches(" ") && !empty.keys[0].matches("x"));
    assert!(empty.matches_json(&json!({})));
    assert!(empty.matches_json(&json!({ "00100020": { "vr": "LO" } })));
    assert!(!empty.matches_json(&json!({ "00100020": { "vr": "LO", "Value": ["x"] } })));
    let all = query(&[("ModalitiesInStudy", "CT\\MR"), ("multiplevaluematching", "true")]);
    assert!(all.keys[0].matches("MR\\PT\\CT") && !all.keys[0].matches("CT\\PT"));
    let uids = query(&[("StudyInstanceUID", "1\\2"), ("multiplevaluematching", "true")]);
    assert!(uids.keys[0].matches("1"), "a list of UIDs stays one");
}

#[test]
fn dates_and_times_bound_one_span() {
    let parameters = [("StudyDate", "20060705-20060707"), ("StudyTime", "1000-1800")];
    let combined = query(&parameters);
    assert_eq!((combined.keys.len(), combined.pairs.len()), (1, 1));
    for (date, time, expected) in [
        ("20060705", "095959", false),
        ("20060705", "100000", true),
        ("20060706", "0300", true),
        ("20060706", "", true),
        ("20060707", "180059.9", true),
        ("20060707", "1801", false),
        ("20060704", "12", false),
        ("", "12", false),
    ] {
        assert_eq!(combined.pairs[0].matches(date, time), expected, "{date} {time}");
        let object = json!({
            "00080020": { "vr": "DA", "Value": [date] }, "00080030": { "vr": "TM", "Value": [time] },
        });
        assert_eq!(combined.matches_json(&object), expected, "{date} {time}");
    }
    assert_eq!(query(&[("StudyDate", "20060705-"), ("StudyTime", "10-")]).pairs.len(), 1);
    for apart in [
        [("StudyDate", "20060705-20060707"), ("StudyTime", "1000-")],
        [("StudyDate", "20060705"), ("StudyTime", "1000-1800")],
        [("StudyDate", "20060705-20060707"), ("SeriesTime", "1000-1800")],
    ] {
        assert_eq!((query(&apart).keys.len(), query(&apart).pairs.len()), (2, 0));
    }
}

#[test]
fn sequences_match_item_by_item() {
    let step = |step: &str, procedure: &str| {
        json!({
            "00400009": { "vr": "SH", "Value": [step] },
            "00401001": { "vr": "SH", "Value": [procedure] },
        })
    };
    let object = json!({
        "00400275": { "vr": "SQ", "Value": [step("S1", "P1"), step("S2", "P2")] },
    });
    let steps = |step, procedure| {
        query(&[
            ("RequestAttributesSequence.ScheduledProcedureStepID", step),
            ("00400275.RequestedProcedureID", procedure),
        ])
    };
    assert!(steps("S1", "P1").matches_json(&object));
    assert!(steps("S?", "P2").matches_json(&object));
    assert!(!steps("S1", "P2").matches_json(&object), "not in one item");
    assert!(!steps("S1", "P1").matches_json(&json!({})));
    assert!(steps("", "").matches_json(&json!({})), "universal");
    let none = [("RequestAttributesSequence", "\"\""), ("emptyvaluematching", "true")];
    assert!(query(&none).matches_json(&json!({})));
    assert!(!query(&none).matches_json(&object));
}

#[test]
fn json_values_of_every_kind() {
    let object = json!({
        "00100010": { "vr": "PN", "Value": [{ "Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎" }] },
        "00280010": { "vr": "US", "Value": [512] },
        "00281050": { "vr": "DS", "Value": [40, "-60.0"] },
        "00091001": { "vr": "LO", "Value": ["private"] },
        "00080050": { "vr": "SH" },
        "7FE00010": { "vr": "OW", "BulkDataURI": "x" },
    });
    for (name, key) in [
        ("PatientName", "山田*"),
        ("PatientName", "yamada*"),
        ("Rows", "512"),
        ("WindowCenter", "-60"),
        ("00091001", "priv*"),
    ] {
        assert!(query(&[(name, key)]).matches_json(&object), "{name}");
    }
    for (name, key) in
        [("PatientName", "sato*"), ("Rows", "51"), ("00091003", "x"), ("AccessionNumber", "x")]
    {
        assert!(!query(&[(name, key)]).matches_json(&object), "{name}");
    }
}

/// The rules for texts, spelled out without any cleverness.
fn naive(key: &str, values: &str) -> bool {
    fn glob(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some(b'*'), _) => {
                glob(&pattern[1..], text) || !text.is_empty() && glob(pattern, &text[1..])
            }
            (Some(p), Some(t)) => (*p == b'?' || p == t) && glob(&pattern[1..], &text[1..]),
            _ => false,
        }
    }
    let trim = |text: &str| text.trim_matches(' ').to_owned();
    let keys: Vec<_> = key.split('\\').map(trim).filter(|key| !key.is_empty()).collect();
    if keys.is_empty() || keys.iter().any(|key| key.bytes().all(|byte| byte == b'*')) {
        return true;
    }
    values
        .split('\\')
        .map(trim)
        .filter(|value| !value.is_empty())
        .any(|value| keys.iter().any(|key| glob(key.as_bytes(), value.as_bytes())))
}

proptest! {
    #[test]
    fn texts_match_as_their_naive_twin(key in r"[aB*? \\]{0,8}", values in r"[aB \\]{0,8}") {
        let made = Key::new(Path::of(0x0010_0020), Vr(*b"LO"), &key, Modes::default()).unwrap();
        prop_assert_eq!(made.is_none_or(|made| made.matches(&values)), naive(&key, &values));
    }

    #[test]
    fn any_parameters_are_read_or_refused(
        parameters in prop::collection::vec((
            prop_oneof![
                "\\PC{0,20}",
                Just("PatientName".to_owned()), Just("StudyDate".to_owned()),
                Just("includefield".to_owned()), Just("00400275.00400009".to_owned()),
                Just("AcquisitionDateTime".to_owned()), Just("fuzzymatching".to_owned()),
            ],
            prop_oneof!["\\PC{0,30}", "[0-9*?=^,.-]{0,20}", Just("true".to_owned())],
        ), 0..6),
        value in "\\PC{0,30}",
    ) {
        if let Ok(query) = Query::all(Level::Instance).with_parameters(&parameters) {
            let object = json!({ "00100010": { "vr": "PN", "Value": [{ "Alphabetic": value }] } });
            let _ = query.matches_json(&object);
            let _ = query.keys.iter().filter(|key| key.matches(&value)).count();
        }
    }
}
