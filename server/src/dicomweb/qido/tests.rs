//! Searches over a real archive, by the numbers of the behaviours that clients rely on.
#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::sync::mpsc;
use std::time::Duration;

use cairn_dicom::attributes::Level;
use cairn_store::commit::Source;
use cairn_store::ingest::{Admission, Arrival, Incoming};
use cairn_store::{Access, IngestConfig, Store, StoreConfig};
use serde_json::{Value, json};

use super::{Answer, Bookmarks, Bounds, query, search, search_in};

const BASE: &str = "https://pacs.example/dicom-web";

struct Archive {
    _dir: tempfile::TempDir,
    store: Store,
}

/// An element in Explicit VR Little Endian, its value padded to even length.
fn element(out: &mut Vec<u8>, tag: u32, vr: &str, value: &[u8]) {
    let pad = usize::from(value.len() % 2 == 1);
    out.extend_from_slice(&((tag >> 16) as u16).to_le_bytes());
    out.extend_from_slice(&(tag as u16).to_le_bytes());
    out.extend_from_slice(vr.as_bytes());
    if vr == "SQ" {
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    } else {
        out.extend_from_slice(&((value.len() + pad) as u16).to_le_bytes());
    }
    out.extend_from_slice(value);
    out.extend(std::iter::repeat_n(if vr == "UI" { 0 } else { b' ' }, pad));
}

/// One object: study, series and instance by number, and what else it says.
fn object(study: u32, series: u32, instance: u32, more: &[(u32, &str, &str)]) -> Vec<u8> {
    let study_uid = format!("1.2.{study}");
    let (series_uid, sop) =
        (format!("{study_uid}.{series}"), format!("{study_uid}.{series}.{instance}"));
    let date = format!("202601{:02}", study + 1);
    let (patient, number) = (format!("P{study}"), instance.to_string());
    let mut elements: Vec<(u32, &str, &str)> = vec![
        (0x0008_0005, "CS", "ISO_IR 192"),
        (0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.2"),
        (0x0008_0018, "UI", &sop),
        (0x0008_0020, "DA", &date),
        (0x0008_0030, "TM", "101500"),
        (0x0008_0060, "CS", if series == 1 { "CT" } else { "SR" }),
        (0x0008_103E, "LO", "Abdomen"),
        (0x0010_0010, "PN", "Müller^Jörg"),
        (0x0010_0020, "LO", &patient),
        (0x0020_000D, "UI", &study_uid),
        (0x0020_000E, "UI", &series_uid),
        (0x0020_0011, "IS", "3"),
        (0x0020_0013, "IS", &number),
        (0x0028_0008, "IS", "2"),
    ];
    for (tag, vr, value) in more {
        elements.retain(|(known, ..)| known != tag);
        elements.push((*tag, vr, value));
    }
    elements.sort_by_key(|(tag, ..)| *tag);
    let mut bytes = vec![0; 128];
    bytes.write_all(b"DICM").unwrap();
    element(&mut bytes, 0x0002_0010, "UI", b"1.2.840.10008.1.2.1");
    for (tag, vr, value) in elements {
        if vr == "SQ" {
            // One item with a Scheduled Procedure Step ID and a Requested Procedure ID.
            let mut item = Vec::new();
            element(&mut item, 0x0040_0009, "SH", value.as_bytes());
            element(&mut item, 0x0040_1001, "SH", b"RP1");
            let mut items = vec![0xFE, 0xFF, 0x00, 0xE0];
            items.extend_from_slice(&(item.len() as u32).to_le_bytes());
            items.extend_from_slice(&item);
            element(&mut bytes, tag, vr, &items);
        } else {
            element(&mut bytes, tag, vr, value.as_bytes());
        }
    }
    bytes
}

fn archive(objects: &[Vec<u8>]) -> Archive {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&StoreConfig::new(dir.path().join("data")), Access::Write).unwrap();
    let ingest = store.ingest(IngestConfig::default()).unwrap();
    // One after the other: results stand in the order of arrival.
    for bytes in objects {
        let (sender, answer) = mpsc::channel();
        let incoming = Incoming {
            early: None,
            reader: &mut bytes.as_slice(),
            bytes: Some(bytes.len() as u64),
            source: Source::Web,
            arrival: Arrival::File,
            admission: Admission::default(),
        };
        ingest.receive(incoming, move |answer| sender.send(answer.map(|_| ())).unwrap()).unwrap();
        let answer = std::iter::repeat_with(|| {
            ingest.hurry();
            answer.recv_timeout(Duration::from_millis(1))
        });
        answer.flatten().next().unwrap().unwrap();
    }
    ingest.finish().unwrap();
    Archive { _dir: dir, store }
}

/// Three studies; the first has two CT images and a report.
fn sample() -> Archive {
    archive(&[
        object(0, 1, 1, &[(0x0040_0275, "SQ", "SPS1"), (0x0009_0010, "LO", "ACME")]),
        object(0, 1, 2, &[(0x0040_0275, "SQ", "SPS1"), (0x0009_0010, "LO", "ACME")]),
        object(0, 2, 1, &[(0x0018_0050, "DS", "2.5")]),
        object(1, 1, 1, &[(0x0010_0010, "PN", "Yamada^Tarou=山田^太郎=やまだ^たろう")]),
        object(2, 2, 1, &[(0x0010_0010, "PN", "O'Neil^Ann"), (0x0018_0050, "DS", "5")]),
    ])
}

fn ask(
    archive: &Archive,
    level: Level,
    scope: (Option<&str>, Option<&str>),
    parameters: &[(&str, &str)],
) -> Answer {
    let parameters: Vec<_> =
        parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let query = query(level, scope.0, scope.1, &parameters).unwrap();
    search(&archive.store, &Bookmarks::default(), &query, BASE).unwrap()
}

/// Asks page after page, as the warnings say, within these bounds. Returns all results, and how many
/// pages there were.
fn ask_on(
    archive: &Archive,
    level: Level,
    key: (&str, &str),
    limit: Option<&str>,
    bounds: Bounds,
) -> (Vec<Value>, usize) {
    let bookmarks = Bookmarks::default();
    let (mut all, mut offset) = (Vec::new(), String::from("0"));
    for page in 1..50 {
        let mut parameters = vec![key, ("offset", offset.as_str())];
        parameters.extend(limit.map(|limit| ("limit", limit)));
        let query = query_of(level, &parameters);
        let mut objects = &**archive.store.metadata();
        let catalog = archive.store.catalog();
        let answer = search_in(catalog, &mut objects, &bookmarks, bounds, &query, BASE).unwrap();
        all.extend(results(&answer));
        let Some(warning) = answer.warnings.last() else { return (all, page) };
        let goes_on = warning.split_once("offset=").and_then(|(_, rest)| rest.split_once(' '));
        offset = goes_on.map_or_else(|| all.len().to_string(), |(offset, _)| offset.to_owned());
    }
    panic!("it does not come to an end")
}

fn query_of(level: Level, parameters: &[(&str, &str)]) -> cairn_dicom::query::Query {
    let parameters: Vec<_> =
        parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    query(level, None, None, &parameters).unwrap()
}

fn results(answer: &Answer) -> Vec<Value> {
    serde_json::from_slice(&answer.body).unwrap()
}

fn first<'a>(result: &'a Value, tag: &str) -> &'a Value {
    &result[tag]["Value"][0]
}

/// The study UIDs found by a search for studies.
fn studies(archive: &Archive, parameters: &[(&str, &str)]) -> Vec<String> {
    let answer = ask(archive, Level::Study, (None, None), parameters);
    results(&answer).iter().map(|one| first(one, "0020000D").as_str().unwrap().into()).collect()
}

#[test]
fn behaviour_18_no_match_is_an_empty_array() {
    let answer = ask(&sample(), Level::Study, (None, None), &[("PatientID", "nobody")]);
    assert_eq!((answer.body.as_slice(), answer.warnings.len()), (&b"[]"[..], 0));
}

#[test]
fn behaviour_19_mandatory_attributes_come_unasked() {
    let archive = sample();
    let study = &results(&ask(&archive, Level::Study, (None, None), &[]))[0];
    for (tag, value) in [
        ("00080020", json!("20260101")),
        ("00080030", json!("101500")),
        ("00080056", json!("ONLINE")),
        ("00081190", json!(format!("{BASE}/studies/1.2.0"))),
        ("00100010", json!({ "Alphabetic": "Müller^Jörg" })),
        ("00100020", json!("P0")),
        ("0020000D", json!("1.2.0")),
        ("00201206", json!(2)),
        ("00201208", json!(3)),
    ] {
        assert_eq!(*first(study, tag), value, "{tag}");
    }
    assert_eq!(study["00080061"], json!({ "vr": "CS", "Value": ["CT", "SR"] }));
    assert_eq!(study["00080050"], json!({ "vr": "SH" }), "empty, and there all the same");
    for tag in ["00080090", "00100030", "00100040", "00200010"] {
        assert!(study[tag]["vr"].is_string() && study[tag].get("Value").is_none(), "{tag}");
    }
    let in_study = (Some("1.2.0"), None);
    let series = &results(&ask(&archive, Level::Series, in_study, &[]))[0];
    for (tag, value) in [
        ("00080060", json!("CT")),
        ("0008103E", json!("Abdomen")),
        ("00081190", json!(format!("{BASE}/studies/1.2.0/series/1.2.0.1"))),
        ("0020000D", json!("1.2.0")),
        ("0020000E", json!("1.2.0.1")),
        ("00200011", json!(3)),
        ("00201209", json!(2)),
    ] {
        assert_eq!(*first(series, tag), value, "{tag}");
    }
    let in_series = (Some("1.2.0"), Some("1.2.0.1"));
    let instance = &results(&ask(&archive, Level::Instance, in_series, &[]))[1];
    for (tag, value) in [
        ("00080016", json!("1.2.840.10008.5.1.4.1.1.2")),
        ("00080018", json!("1.2.0.1.2")),
        ("00080056", json!("ONLINE")),
        ("00081190", json!(format!("{BASE}/studies/1.2.0/series/1.2.0.1/instances/1.2.0.1.2"))),
        ("00083002", json!("1.2.840.10008.1.2.1")),
        ("0020000D", json!("1.2.0")),
        ("0020000E", json!("1.2.0.1")),
        ("00200013", json!(2)),
        ("00280008", json!(2)),
    ] {
        assert_eq!(*first(instance, tag), value, "{tag}");
    }
    assert!(instance.get("00280010").is_none(), "rows are not known");
    assert!(instance.get("00100010").is_none(), "the series is named: no study attributes");
}

#[test]
fn behaviour_20_fields_by_hex_keyword_path_list_and_all() {
    let archive = sample();
    for fields in [
        &[("includefield", "0008103E,PatientPosition"), ("includefield", "StudyDescription")][..],
        &[("includefield", "SeriesDescription,00081030"), ("includefield", "00185100")],
    ] {
        let series = &results(&ask(&archive, Level::Series, (None, None), fields))[0];
        assert_eq!(*first(series, "0008103E"), "Abdomen");
        assert_eq!(series["00185100"], json!({ "vr": "CS" }), "asked for, and empty");
    }
    let path = [("includefield", "RequestAttributesSequence.ScheduledProcedureStepID")];
    let series = &results(&ask(&archive, Level::Series, (Some("1.2.0"), None), &path))[0];
    let step = json!({ "00400009": { "vr": "SH", "Value": ["SPS1"] } });
    assert_eq!(series["00400275"], json!({ "vr": "SQ", "Value": [step] }));
    let whole = [("includefield", "00400275")];
    let series = &results(&ask(&archive, Level::Series, (Some("1.2.0"), None), &whole))[0];
    assert_eq!(series["00400275"]["Value"][0].as_object().unwrap().len(), 2);
    let private = [("includefield", "00090010")];
    let instance = &results(&ask(&archive, Level::Instance, (Some("1.2.0"), None), &private))[0];
    assert_eq!(*first(instance, "00090010"), "ACME");
    let all = results(&ask(&archive, Level::Instance, (None, None), &[("includefield", "all")]));
    assert_eq!(*first(&all[0], "0008103E"), "Abdomen");
    let lower = [("includefield", "Modality,InstanceNumber")];
    let study = &results(&ask(&archive, Level::Study, (None, None), &lower))[0];
    assert!(study.get("00080060").is_none() && study.get("00200013").is_none(), "lower levels");
    let unknown = ask(&archive, Level::Study, (None, None), &[("includefield", "NotYetDefined")]);
    assert!(unknown.warnings[0].starts_with("299 https://pacs.example/dicom-web: "));
}

#[test]
fn behaviour_20_keys_that_no_index_holds() {
    let archive = sample();
    for (key, expected) in [
        (("RequestAttributesSequence.ScheduledProcedureStepID", "SPS*"), &["1.2.0"][..]),
        (("00400275.00401001", "RP1"), &["1.2.0"]),
        (("00090010", "ACME"), &["1.2.0"]),
        (("SliceThickness", "2.50"), &["1.2.0"]),
        (("SliceThickness", "5"), &["1.2.2"]),
        (("SliceThickness", "7"), &[]),
    ] {
        assert_eq!(studies(&archive, &[key]), expected, "{key:?}");
    }
    let together = [("SliceThickness", "2.5"), ("Modality", "CT")];
    assert!(studies(&archive, &together).is_empty(), "not of one instance");
    assert_eq!(studies(&archive, &[("SliceThickness", "2.5"), ("Modality", "SR")]), ["1.2.0"]);
    let instances = ask(&archive, Level::Instance, (None, None), &[("00090010", "ACME")]);
    assert_eq!(results(&instances).len(), 2);
    let paged = [("00090010", "ACME"), ("limit", "1"), ("offset", "1")];
    let paged = ask(&archive, Level::Instance, (None, None), &paged);
    assert_eq!(*first(&results(&paged)[0], "00080018"), "1.2.0.1.2");
    assert!(paged.warnings.is_empty());
}

#[test]
fn behaviour_21_lists_of_uids_and_modalities_with_paging() {
    let archive = sample();
    for list in ["1.2.0,1.2.2", "1.2.0\\1.2.2"] {
        assert_eq!(studies(&archive, &[("StudyInstanceUID", list)]), ["1.2.0", "1.2.2"]);
        assert_eq!(
            studies(&archive, &[("0020000D", list), ("limit", "1"), ("offset", "1")]),
            ["1.2.2"]
        );
    }
    assert_eq!(studies(&archive, &[("ModalitiesInStudy", "SR")]), ["1.2.0", "1.2.2"]);
    assert_eq!(studies(&archive, &[("ModalitiesInStudy", "SR"), ("offset", "1")]), ["1.2.2"]);
    let both = [("ModalitiesInStudy", "CT\\SR"), ("multiplevaluematching", "true")];
    assert_eq!(studies(&archive, &both), ["1.2.0"]);
    assert_eq!(studies(&archive, &[("ModalitiesInStudy", "CT\\SR")]).len(), 3);
}

#[test]
fn behaviour_22_wild_cards_ranges_and_names() {
    let archive = sample();
    for (key, expected) in [
        (("PatientName", "*müll*"), &["1.2.0"][..]),
        (("PatientName", "MULLER^J*"), &["1.2.0"]),
        (("PatientName", "山田*"), &["1.2.1"]),
        (("PatientName", "*=山田^太郎"), &["1.2.1"]),
        (("PatientName", "*'*"), &["1.2.2"]),
        (("PatientID", "P?"), &["1.2.0", "1.2.1", "1.2.2"]),
        (("PatientID", "p0"), &[]),
        (("StudyDate", "20260102-"), &["1.2.1", "1.2.2"]),
        (("StudyDate", "-20260101"), &["1.2.0"]),
        (("StudyDate", "20260102-20260102"), &["1.2.1"]),
        (("StudyTime", "1000-1030"), &["1.2.0", "1.2.1", "1.2.2"]),
        (("StudyTime", "-1014"), &[]),
    ] {
        assert_eq!(studies(&archive, &[key]), expected, "{key:?}");
    }
    let fuzzy = |value| studies(&archive, &[("fuzzymatching", "true"), ("PatientName", value)]);
    assert_eq!(fuzzy("jörg mueller"), ["1.2.0"]);
    assert_eq!(fuzzy("tarou"), ["1.2.1"]);
}

#[test]
fn behaviour_23_paging_warnings_and_bad_parameters() {
    let archive = sample();
    let page = ask(&archive, Level::Study, (None, None), &[("limit", "101"), ("offset", "0")]);
    assert_eq!((results(&page).len(), page.warnings.len()), (3, 0));
    let page =
        ask(&archive, Level::Study, (None, None), &[("limit", "2"), ("fuzzymatching", "false")]);
    assert_eq!(results(&page).len(), 2);
    assert_eq!(
        page.warnings,
        [format!("299 {BASE}: There are additional results that can be requested")]
    );
    assert_eq!(studies(&archive, &[("limit", "2"), ("offset", "2")]), ["1.2.2"]);
    assert_eq!(studies(&archive, &[("limit", "0")]).len(), 0);
    assert_eq!(studies(&archive, &[("offset", "18446744073709551615")]).len(), 0);
    for bad in [("PatientNme", "x"), ("limit", "many"), ("StudyDate", "yesterday"), ("", "x")] {
        let parameters = [(bad.0.to_owned(), bad.1.to_owned())];
        assert!(query(Level::Study, None, None, &parameters).is_err(), "{bad:?}");
    }
}

#[test]
fn behaviour_24_root_searches_bring_the_attributes_of_parents() {
    let archive = sample();
    let series = results(&ask(&archive, Level::Series, (None, None), &[]));
    assert_eq!(series.len(), 4);
    let instances = results(&ask(&archive, Level::Instance, (None, None), &[]));
    assert_eq!(instances.len(), 5);
    for one in series.iter().chain(&instances) {
        for tag in
            ["00080020", "00080061", "00100010", "0020000D", "00201208", "00080060", "00201209"]
        {
            assert!(one[tag].get("Value").is_some(), "{tag}");
        }
    }
    let of_study = results(&ask(&archive, Level::Instance, (Some("1.2.0"), None), &[]));
    assert_eq!(of_study.len(), 3);
    assert!(of_study.iter().all(|one| one["0020000E"].get("Value").is_some()));
    assert!(of_study.iter().all(|one| one.get("00100010").is_none()));
    let unknown = ask(&archive, Level::Series, (Some("9.9"), None), &[]);
    assert_eq!(unknown.body, b"[]");
    let by_patient =
        ask(&archive, Level::Instance, (None, None), &[("PatientID", "P0"), ("Modality", "CT")]);
    assert_eq!(results(&by_patient).len(), 2);
}

#[test]
fn a_search_without_an_index_ends_early_and_goes_on_from_there() {
    let archive = sample();
    let wide = Bounds { rows: 1000, instances: 1000 };
    let few_rows = Bounds { rows: 1, ..wide };
    let few_instances = Bounds { instances: 2, ..wide };
    for (level, key, bounds) in [
        (Level::Instance, ("InstanceNumber", "1"), few_rows),
        (Level::Instance, ("InstanceNumber", "2"), few_rows),
        (Level::Instance, ("SeriesDescription", "Abdomen"), few_rows),
        (Level::Instance, ("StudyTime", "1000-1030"), few_rows),
        (Level::Instance, ("SliceThickness", "5"), few_instances),
        (Level::Instance, ("00090010", "ACME"), few_instances),
        (Level::Study, ("SliceThickness", "5"), few_instances),
        (Level::Series, ("SliceThickness", "2.5"), few_instances),
    ] {
        let (expected, pages) = ask_on(&archive, level, key, None, wide);
        assert!(!expected.is_empty() && pages == 1, "{key:?}");
        for limit in [None, Some("1")] {
            let (found, pages) = ask_on(&archive, level, key, limit, bounds);
            assert_eq!(found, expected, "{key:?} {limit:?}");
            assert!(pages > 1, "{key:?} {limit:?}: {pages}");
        }
    }
}
