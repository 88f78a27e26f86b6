//! What another site entrusted is given back; what came by any other way as well is not, through crashes
//! and rebuilds.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use cairn_dicom::phantom;
use cairn_store::Store;
use cairn_store::catalog::{Existence, VersionRow};
use cairn_store::commit::{Outcome, Source, Target};
use cairn_store::ingest::{Arrival, Ingest};
use cairn_store::rebuild::rebuild;
use support::{Answers, Archive, bytes_of, export_all, hand_in_from, quick, study_uids};

/// Hands in, and waits for the answers.
fn store_from(ingest: &Ingest, source: Source, objects: &[Vec<u8>]) -> Vec<Outcome> {
    let answers = Answers::default();
    for (no, bytes) in objects.iter().enumerate() {
        hand_in_from(source, ingest, no, bytes, Arrival::File, &answers);
    }
    while answers.lock().unwrap().len() < objects.len() {
        ingest.hurry();
        std::thread::sleep(Duration::from_millis(1));
    }
    let answers = std::mem::take(&mut *answers.lock().unwrap());
    answers.into_values().map(|answer| answer.unwrap().outcome).collect()
}

fn versions(store: &Store, study: &str) -> Vec<VersionRow> {
    let mut versions = Vec::new();
    store
        .catalog()
        .study_versions(study, true, &mut |version| {
            versions.push(version);
            Ok(())
        })
        .unwrap();
    versions
}

fn entrusted(store: &Store, study: &str) -> usize {
    versions(store, study).iter().filter(|version| version.entrusted).count()
}

/// Gives back all of a study, entrusted or not: what is not stays.
fn give_back(store: &Store, ingest: &Ingest, study: &str) {
    let all = versions(store, study).into_iter().map(|version| Target {
        study_uid: version.study_uid,
        series_uid: Some(version.series_uid),
        sop_instance_uid: Some(version.sop_instance_uid),
    });
    ingest.give_back(study, all.collect()).unwrap();
}

#[test]
fn only_what_is_entrusted_goes() {
    let archive = Archive::new();
    let objects = bytes_of(phantom::ct(1, 6, 128));
    let store = archive.open();
    let ingest = store.ingest(quick()).unwrap();
    // Two were here, two are entrusted and come from elsewhere later, two are entrusted alone.
    store_from(&ingest, Source::Dimse, &objects[..2]);
    assert!(
        store_from(&ingest, Source::Entrusted, &objects)[..2]
            .iter()
            .all(|it| *it == Outcome::Duplicate)
    );
    let study = study_uids(&store).remove(0);
    assert_eq!(entrusted(&store, &study), 4);
    assert_eq!(
        store.catalog().entrusted().entrusted_studies().unwrap(),
        std::slice::from_ref(&study)
    );
    let again = store_from(&ingest, Source::Import, &objects[2..4]);
    assert!(again.iter().all(|outcome| *outcome == Outcome::Duplicate), "{again:?}");
    assert_eq!((entrusted(&store, &study), versions(&store, &study).len()), (2, 6));
    let before = export_all(&store);
    drop(ingest);
    drop(store);
    for crash_or_rebuild in 0..2 {
        if crash_or_rebuild == 1 {
            rebuild(&archive.config, &|_, _| {}).unwrap();
        }
        let store = archive.open();
        assert_eq!((entrusted(&store, &study), versions(&store, &study).len()), (2, 6));
    }
    let store = archive.open();
    let ingest = store.ingest(quick()).unwrap();
    give_back(&store, &ingest, &study);
    assert_eq!(export_all(&store).len(), 4);
    assert!(store.catalog().entrusted().entrusted_studies().unwrap().is_empty());
    give_back(&store, &ingest, &study);
    let left = export_all(&store);
    assert!(left.len() == 4 && left.iter().all(|(sop, bytes)| before[sop] == *bytes));
    drop(ingest);
    drop(store);
    rebuild(&archive.config, &|_, _| {}).unwrap();
    assert_eq!(export_all(&archive.open()).len(), 4);
}

#[test]
fn what_may_be_kept_stays_after_a_rebuild_too() {
    let archive = Archive::new();
    let objects = bytes_of(phantom::ct(2, 3, 128));
    let store = archive.open();
    let ingest = store.ingest(quick()).unwrap();
    store_from(&ingest, Source::Entrusted, &objects);
    let study = study_uids(&store).remove(0);
    let seqs: Vec<u64> = versions(&store, &study).iter().map(|version| version.seq).collect();
    store.catalog().entrusted().keep(&seqs[..2]).unwrap();
    assert_eq!(entrusted(&store, &study), 1);
    drop(ingest);
    drop(store);
    rebuild(&archive.config, &|_, _| {}).unwrap();
    let store = archive.open();
    assert_eq!(entrusted(&store, &study), 1);
    let ingest = store.ingest(quick()).unwrap();
    give_back(&store, &ingest, &study);
    assert_eq!(export_all(&store).len(), 2);
}

/// Somebody sends the same by another way while it is given back: what was acknowledged last is there.
#[test]
fn what_arrives_while_it_is_given_back_is_not_lost() {
    let archive = Archive::new();
    let objects = bytes_of(phantom::ct(3, 2, 128));
    let store = archive.open();
    let ingest = store.ingest(quick()).unwrap();
    store_from(&ingest, Source::Entrusted, &objects);
    let study = study_uids(&store).remove(0);
    for round in 0..20 {
        std::thread::scope(|scope| {
            scope.spawn(|| give_back(&store, &ingest, &study));
            store_from(&ingest, Source::Dimse, &objects);
        });
        assert_eq!(export_all(&store).len(), 2, "{round}");
        let target = Target { study_uid: study.clone(), series_uid: None, sop_instance_uid: None };
        assert_eq!(store.catalog().existence(&target).unwrap(), Existence::Present);
        ingest.delete(&target).unwrap();
        store_from(&ingest, Source::Entrusted, &objects);
    }
}
