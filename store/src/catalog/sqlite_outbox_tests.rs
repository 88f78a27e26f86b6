//! Tests of [`super`].
#![allow(clippy::unwrap_used)]
use super::super::sqlite_schema;
use super::*;

fn parcel(study: &str, seqs: &str, added_ms: u64, due_ms: u64) -> Parcel {
    Parcel {
        no: 0,
        route: "r".into(),
        peer: "PACS".into(),
        study_uid: study.into(),
        series_uid: "1.2.2".into(),
        seqs: Seqs::parse(seqs).unwrap(),
        priority: 0,
        tries: 0,
        status: 0,
        added_ms,
        due_ms,
    }
}

fn open() -> (tempfile::TempDir, SqliteCatalog) {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(&folder.path().join("catalog.sqlite")).unwrap();
    (folder, catalog)
}

#[test]
fn a_study_that_goes_on_growing_keeps_all_of_it_waiting_but_not_for_ever() {
    let (_folder, catalog) = open();
    catalog.dispatch(0, &[parcel("1.1", "1-5", 1000, 11_000)]).unwrap();
    catalog.dispatch(0, &[parcel("1.1", "6", 9000, 19_000)]).unwrap();
    catalog.dispatch(0, &[parcel("1.9", "7", 9000, 9000)]).unwrap();
    let due = |now| catalog.due("PACS", now, 10).unwrap();
    assert_eq!(due(12_000).iter().map(|p| p.seqs.to_string()).collect::<Vec<_>>(), ["7"]);
    let texts: Vec<String> = due(19_000).iter().map(|p| p.seqs.to_string()).collect();
    assert_eq!(texts, ["1-6", "7"]);
    assert!(catalog.due("OTHER", 19_000, 10).unwrap().is_empty());
    catalog.dispatch(0, &[parcel("1.1", "8", 10_000, 99_000_000)]).unwrap();
    assert_eq!(due(1000 + 3_600_000).len(), 2);
    let urgent = Parcel { priority: 5, ..parcel("1.8", "20", 9000, 9000) };
    catalog.dispatch(0, &[urgent]).unwrap();
    assert_eq!(due(12_000)[0].seqs.to_string(), "20");
}

#[test]
fn what_is_added_to_a_parcel_that_is_being_sent_stays() {
    let (_folder, catalog) = open();
    catalog.dispatch(0, &[parcel("1.1", "1", 1000, 2000)]).unwrap();
    let begun = catalog.due("PACS", 2000, 10).unwrap().remove(0);
    // The clock of who adds is a moment behind.
    catalog.dispatch(0, &[parcel("1.1", "2", 1999, 2999)]).unwrap();
    catalog.tried(begun.no, &[], &[], 2001).unwrap();
    assert_eq!(catalog.due("PACS", 2999, 10).unwrap()[0].seqs.to_string(), "1-2");
}

#[test]
fn what_is_settled_goes_and_what_is_given_up_can_be_put_back() {
    let (_folder, catalog) = open();
    catalog.dispatch(0, &[parcel("1.1", "1-5", 1, 1)]).unwrap();
    let first = catalog.due("PACS", 1, 10).unwrap().remove(0);
    let again = Parcel { tries: 1, status: 0xA700, due_ms: 50, ..parcel("1.1", "4", 1, 1) };
    let poison = Parcel { tries: 5, status: 0xC001, ..parcel("1.1", "5", 1, 1) };
    catalog.tried(first.no, &[again], &[poison], 7).unwrap();
    let depth = catalog.depths().unwrap().remove(0);
    assert_eq!((depth.parcels, depth.instances, depth.undelivered), (1, 1, 1));
    assert_eq!(depth.oldest_ms, 1);
    let mut listed = Vec::new();
    let mut list = |which: &Which| {
        listed.clear();
        catalog
            .undelivered(which, &mut |one| {
                listed.push((one.parcel.status, one.failed_ms));
                Ok(())
            })
            .unwrap();
        listed.len()
    };
    assert_eq!(list(&Which { peer: Some("X".into()), route: None }), 0);
    assert_eq!(list(&Which::default()), 1);
    // Somebody drops what waits while it is being sent: nothing of it comes back.
    let waiting = catalog.due("PACS", 60, 10).unwrap().remove(0);
    assert_eq!(catalog.retry(&Which::default(), 60).unwrap(), 1);
    let back = catalog.due("PACS", 60, 10).unwrap();
    assert_eq!((back.len(), back[1].tries), (2, 0));
    assert_eq!(catalog.forget(&Which::default(), true).unwrap(), 2);
    catalog.tried(waiting.no, &[parcel("1.1", "4", 1, 1)], &[], 8).unwrap();
    assert!(catalog.depths().unwrap().is_empty());
    // Nor does that touch what was added since.
    catalog.dispatch(0, &[parcel("1.2", "9", 1, 1)]).unwrap();
    catalog.tried(back[1].no, &[], &[], 9).unwrap();
    catalog.tried(waiting.no, &[], &[], 9).unwrap();
    assert_eq!(catalog.due("PACS", 9, 10).unwrap()[0].seqs.to_string(), "9");
}

#[test]
fn a_catalog_without_an_outbox_gets_one_and_a_rebuilt_one_takes_it_over() {
    let (folder, catalog) = open();
    let path = folder.path().join("catalog.sqlite");
    for table in OUTBOX_TABLES.iter().chain(&EDITION_TABLES) {
        catalog.write().execute_batch(&format!("DROP TABLE {table}")).unwrap();
    }
    sqlite_schema::tests::age(&catalog.write(), 2);
    drop(catalog);
    let catalog = SqliteCatalog::open(&path).unwrap();
    assert_eq!(catalog.route_since("r").unwrap(), 1);
    catalog.dispatch(0, &[parcel("1.1", "1-5", 1, 1)]).unwrap();
    let rebuilt = SqliteCatalog::open(&folder.path().join("rebuilt.sqlite")).unwrap();
    rebuilt
        .write()
        .execute("INSERT INTO arrival VALUES (1, '1.1', '1.2', 0, '', '', '1-9', 0)", [])
        .unwrap();
    rebuilt.take_over(&folder.path().join("none.sqlite")).unwrap();
    assert!(rebuilt.arrivals(9).unwrap().is_empty());
    assert!(!folder.path().join("none.sqlite").exists());
    rebuilt.take_over(&path).unwrap();
    assert_eq!(rebuilt.due("PACS", 1, 10).unwrap(), catalog.due("PACS", 1, 10).unwrap());
}

#[test]
fn priors_are_looked_for_once_and_never_those_of_a_prior() {
    let (_folder, catalog) = open();
    let to = |peer: &str, study| Parcel {
        series_uid: String::new(),
        peer: peer.into(),
        ..parcel(study, "", 1, 1)
    };
    catalog.is_prior("r", "1.0", 1).unwrap();
    for _ in 0..2 {
        catalog.dispatch(0, &[to("A", "1.1"), to("B", "1.1"), to("A", "1.0")]).unwrap();
    }
    assert_eq!(catalog.due("A", 1, 10).unwrap().len(), 1);
    assert_eq!(catalog.due("B", 1, 10).unwrap().len(), 1);
    // After a quarter it is forgotten, when the next study comes.
    let later = |study| Parcel { added_ms: PRIORS_KEPT_MS + 2, ..to("A", study) };
    catalog.dispatch(0, &[later("1.0"), later("1.2")]).unwrap();
    assert_eq!(catalog.due("A", u64::MAX >> 1, 10).unwrap().len(), 2);
    catalog.dispatch(0, &[later("1.0")]).unwrap();
    assert_eq!(catalog.due("A", u64::MAX >> 1, 10).unwrap().len(), 3);
}
