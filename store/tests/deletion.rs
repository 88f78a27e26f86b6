//! What is deleted is gone at once, stays gone through crashes and rebuilds, and can come again.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use cairn_dicom::phantom;
use cairn_store::catalog::Existence;
use cairn_store::commit::{Outcome, Target};
use cairn_store::ingest::{Arrival, Ingest};
use cairn_store::rebuild::rebuild;
use cairn_store::verify::{Scope, verify};
use cairn_store::{Error, IngestConfig, Store};
use support::{Answers, Archive, bytes_of, export_all, hand_in, import, quick, sample};

fn target(receipt: &cairn_store::ingest::Receipt, levels: usize) -> Target {
    Target {
        study_uid: receipt.study_uid.clone(),
        series_uid: (levels > 1).then(|| receipt.series_uid.clone()),
        sop_instance_uid: (levels > 2).then(|| receipt.sop_instance_uid.clone()),
    }
}

fn assert_sound(store: &Store) {
    assert_eq!(verify(store, &Scope::All, 2, &|_| {}).unwrap().findings, []);
}

fn existence(store: &Store, target: &Target) -> Existence {
    store.catalog().existence(target).unwrap()
}

/// Hands in, asks for haste, waits for the answers.
fn store_now(ingest: &Ingest, objects: &[Vec<u8>]) -> Vec<Outcome> {
    let answers = Answers::default();
    for (no, bytes) in objects.iter().enumerate() {
        hand_in(ingest, no, bytes, Arrival::File, &answers);
    }
    while answers.lock().unwrap().len() < objects.len() {
        ingest.hurry();
        std::thread::sleep(Duration::from_millis(1));
    }
    let answers = std::mem::take(&mut *answers.lock().unwrap());
    answers.into_values().map(|answer| answer.unwrap().outcome).collect()
}

#[test]
fn a_study_a_series_and_an_instance() {
    let archive = Archive::new();
    let objects = sample();
    let store = archive.open();
    let (answers, _) = import(&store, quick(), &objects);
    let receipts: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let (instance, series, study) =
        (target(&receipts[0], 3), target(&receipts[20], 2), target(receipts.last().unwrap(), 1));
    let before = export_all(&store);
    let ingest = store.ingest(quick()).unwrap();
    for target in [&instance, &series, &study] {
        assert_eq!(existence(&store, target), Existence::Present);
        ingest.delete(target).unwrap();
        assert_eq!(existence(&store, target), Existence::Gone);
        assert!(matches!(ingest.delete(target), Err(Error::NotFound { .. })));
    }
    let never = Target { study_uid: "1.2.3".into(), series_uid: None, sop_instance_uid: None };
    assert_eq!(existence(&store, &never), Existence::Unknown);
    assert!(ingest.delete(&never).is_err());
    let left: Vec<_> = receipts
        .iter()
        .filter(|receipt| {
            let of = |target: &Target| {
                target.covers(&receipt.study_uid, &receipt.series_uid, &receipt.sop_instance_uid)
            };
            !of(&instance) && !of(&series) && !of(&study)
        })
        .collect();
    assert!(left.len() > 10 && left.len() < objects.len() - 3);
    let check = |store: &Store| {
        let out = export_all(store);
        assert_eq!(out.len(), left.len());
        assert!(
            left.iter()
                .all(|kept| { out[&kept.sop_instance_uid] == before[&kept.sop_instance_uid] })
        );
        assert_eq!(store.catalog().totals().unwrap().instances, left.len() as u64);
        for target in [&instance, &series, &study] {
            assert_eq!(existence(store, target), Existence::Gone);
        }
        assert_sound(store);
    };
    check(&store);
    // Ended without a word, as by a kill: the tombstones are in the journal.
    drop(ingest);
    drop(store);
    check(&archive.open());
    rebuild(&archive.config, &|_, _| {}).unwrap();
    check(&archive.open());
}

#[test]
fn what_was_deleted_can_come_again() {
    let archive = Archive::new();
    let objects = bytes_of(phantom::ct(1, 4, 128));
    let store = archive.open();
    let (answers, _) = import(&store, quick(), &objects);
    let study = target(answers[0].as_ref().unwrap(), 1);
    let ingest = store.ingest(quick()).unwrap();
    for round in 0..3 {
        ingest.delete(&study).unwrap();
        assert_eq!(existence(&store, &study), Existence::Gone);
        let outcomes = store_now(&ingest, &objects);
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::New), "{round}: {outcomes:?}");
        assert!(store_now(&ingest, &objects).iter().all(|o| *o == Outcome::Duplicate));
        assert_eq!(export_all(&store).len(), 4);
    }
    let bytes = store.catalog().totals().unwrap().chunk_bytes;
    drop(ingest);
    drop(store);
    for _ in 0..2 {
        let store = archive.open();
        assert_eq!(export_all(&store).len(), 4);
        let totals = store.catalog().totals().unwrap();
        assert_eq!((totals.instances, totals.versions, totals.chunk_bytes), (4, 4, bytes));
        assert_sound(&store);
        drop(store);
        rebuild(&archive.config, &|_, _| {}).unwrap();
    }
}

/// Deleting beside others who store the same: each object is there or gone, and never acknowledged
/// after the last deletion and gone all the same.
#[test]
fn deleting_beside_storing() {
    let archive = Archive::new();
    let objects = bytes_of(phantom::ct(1, 6, 128));
    let store = archive.open();
    let (answers, _) = import(&store, quick(), &objects);
    let study = target(answers[0].as_ref().unwrap(), 1);
    let ingest = store.ingest(quick()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..15 {
                    store_now(&ingest, &objects);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..15 {
                let _ = ingest.delete(&study);
            }
        });
    });
    store_now(&ingest, &objects);
    assert_eq!(export_all(&store).len(), 6);
    drop(ingest);
    drop(store);
    let store = archive.open();
    assert_eq!(export_all(&store).len(), 6);
    assert_sound(&store);
}

/// A receipt is for this disk; a commitment is for the bucket.
#[test]
fn what_is_archived_is_in_the_bucket() {
    let archive = Archive::new();
    let store = archive.open();
    let ingest = store.ingest(quick()).unwrap();
    store_now(&ingest, &bytes_of(phantom::ct(1, 3, 512)));
    let all = |store: &Store| {
        let mut versions = Vec::new();
        store
            .catalog()
            .study_versions(&support::study_uids(store)[0], true, &mut |version| {
                versions.push(version);
                Ok(())
            })
            .unwrap();
        versions
    };
    assert!(all(&store).iter().all(|version| !store.is_archived(version).unwrap()));
    assert!(ingest.archive(Duration::from_secs(30)).unwrap());
    assert!(all(&store).iter().all(|version| store.is_archived(version).unwrap()));
    assert!(ingest.archive(Duration::from_secs(30)).unwrap(), "with nothing to do");
    drop(ingest);
    drop(store);
    rebuild(&archive.config, &|_, _| {}).unwrap();
    let store = archive.open();
    assert!(all(&store).iter().all(|version| store.is_archived(version).unwrap()));
}

/// Who ingests without end names the content of studies as they come to rest.
#[test]
fn studies_are_recorded_when_they_are_quiet() {
    let archive = Archive::new();
    let store = archive.open();
    let ingest = store.ingest(IngestConfig::default()).unwrap();
    store_now(&ingest, &bytes_of(phantom::ct(1, 3, 128)));
    let uid = support::study_uids(&store).remove(0);
    assert_eq!(ingest.record_studies(Duration::from_secs(3600)).unwrap(), 0);
    assert!(store.catalog().study_record(&uid).unwrap().is_none());
    assert_eq!(ingest.record_studies(Duration::ZERO).unwrap(), 1);
    let record = store.catalog().study_record(&uid).unwrap().unwrap();
    assert_eq!(record.root, store.study_tree(&uid).unwrap().root());
    assert_eq!(ingest.record_studies(Duration::ZERO).unwrap(), 0);
    let all = Target { study_uid: uid.clone(), series_uid: None, sop_instance_uid: None };
    ingest.delete(&all).unwrap();
    assert_eq!(ingest.record_studies(Duration::ZERO).unwrap(), 1);
    let record = store.catalog().study_record(&uid).unwrap().unwrap();
    assert_eq!((record.version, record.instances), (2, 0));
}
