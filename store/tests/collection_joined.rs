//! What arrived alone, in small blocks and commits of its own, stands together once a pack is rewritten.
#![allow(clippy::unwrap_used)]

mod support;

use cairn_chunker::codec::Effort;
use cairn_dicom::phantom;
use cairn_store::catalog::{Existence, VersionRow};
use cairn_store::collect::{CollectConfig, CollectReport, Recompress, Watch, collect};
use cairn_store::commit::Target;
use cairn_store::ingest::{Arrival, Ingest};
use cairn_store::rebuild::rebuild;
use cairn_store::stats::stats;
use cairn_store::verify::{Scope, verify};
use cairn_store::{IngestConfig, Store};
use support::{Answers, Archive, bytes_of, export_all, hand_in, import, packs, quick, versions};

/// Looks whether packs become shorter, however young they are.
fn recompressing() -> CollectConfig {
    let recompress = Recompress { effort: Effort::default(), before_ms: i64::MAX as u64 };
    CollectConfig { recompress: Some(recompress), ..CollectConfig::default() }
}

fn run(store: &Store, config: &CollectConfig) -> CollectReport {
    let ingest = store.ingest(quick()).unwrap();
    let watch = Watch { progress: &|_| {}, stop: &|| false };
    let report = collect(store, &ingest, config, &watch).unwrap();
    ingest.finish().unwrap();
    report
}

fn bucket_bytes(store: &Store) -> u64 {
    stats(store).unwrap().bucket_bytes
}

fn assert_sound(store: &Store) {
    assert_eq!(verify(store, &Scope::All, 2, &|_| {}).unwrap().findings, []);
}

/// Each in a commit of its own.
fn one_by_one(ingest: &Ingest, files: &[Vec<u8>]) {
    let answers = Answers::default();
    for (no, file) in files.iter().enumerate() {
        hand_in(ingest, no, file, Arrival::File, &answers);
        ingest.drain().unwrap();
    }
    assert!(answers.lock().unwrap().values().all(Result::is_ok));
}

#[test]
fn what_arrives_alone_takes_little_more_room_than_what_comes_together() {
    let files = bytes_of(phantom::many_small(5, 400));
    let archive = Archive::new();
    let store = archive.open();
    let ingest = store.ingest(quick()).unwrap();
    one_by_one(&ingest, &files);
    ingest.finish().unwrap();
    let (before, alone) = (export_all(&store), bucket_bytes(&store));
    let together = {
        let archive = Archive::new();
        let store = archive.open();
        import(&store, quick(), &files);
        bucket_bytes(&store)
    };
    let report = run(&store, &recompressing());
    assert!(report.joined_blocks > 700, "{report:?}");
    let joined = bucket_bytes(&store);
    assert!(joined < alone / 10 * 6 && joined < together / 10 * 12, "{alone} {joined} {together}");
    assert_eq!(export_all(&store), before);
    assert_sound(&store);
    // Once is enough.
    let all = CollectConfig { thorough: true, ..recompressing() };
    assert_eq!(run(&store, &all).packs_removed, 0);
    drop(store);
    let rebuilt = rebuild(&archive.config, &|_, _| {}).unwrap();
    assert_eq!((rebuilt.versions, rebuilt.damage.len()), (400, 0));
    let store = archive.open();
    assert_eq!(export_all(&store), before);
    assert_sound(&store);
    // And part of it can be deleted again.
    let (uid, _) = before.first_key_value().unwrap();
    delete_instance(&store, uid);
    run(&store, &CollectConfig::default());
    assert_eq!(export_all(&store).len(), 399);
    assert_sound(&store);
}

fn version_of(store: &Store, uid: &str) -> VersionRow {
    versions(store).into_iter().find(|version| version.sop_instance_uid == uid).unwrap()
}

fn delete_instance(store: &Store, uid: &str) {
    let version = version_of(store, uid);
    let target = Target {
        study_uid: version.study_uid,
        series_uid: Some(version.series_uid),
        sop_instance_uid: Some(version.sop_instance_uid),
    };
    let ingest = store.ingest(quick()).unwrap();
    ingest.delete(&target).unwrap();
    ingest.finish().unwrap();
}

/// What was stored, deleted and stored again in commits that are joined is what it was, also for who
/// knows nothing but the packs.
#[test]
fn the_order_of_storing_and_deleting_is_kept() {
    let files = bytes_of(phantom::many_small(7, 24));
    let archive = Archive::new();
    let store = archive.open();
    // Studies are named in between, as a server does, and packs are small.
    let config = IngestConfig { pack_bytes: 40 << 10, ..quick() };
    let mut gone = Vec::new();
    for round in 0..3 {
        let ingest = store.ingest(config.clone()).unwrap();
        one_by_one(&ingest, &files[round * 8..][..8]);
        let before = export_all(&store);
        let uids: Vec<&String> = before.keys().collect();
        ingest.finish().unwrap();
        // Of those, one goes for good and one comes again.
        delete_instance(&store, uids[0]);
        gone.push(uids[0].clone());
        delete_instance(&store, uids[1]);
        let ingest = store.ingest(config.clone()).unwrap();
        one_by_one(&ingest, std::slice::from_ref(&before[uids[1]]));
        ingest.finish().unwrap();
    }
    let before = export_all(&store);
    assert_eq!(before.len(), 21);
    let report = run(&store, &CollectConfig { thorough: true, ..CollectConfig::default() });
    assert!(report.joined_blocks > 20 && report.packs_removed > 8, "{report:?}");
    let check = |store: &Store| {
        assert_eq!(export_all(store), before);
        assert!(gone.iter().all(|uid| !before.contains_key(uid)));
        assert_sound(store);
    };
    check(&store);
    let studies = support::study_uids(&store);
    let of_study =
        |uid: &String| Target { study_uid: uid.clone(), series_uid: None, sop_instance_uid: None };
    let existence = |store: &Store| -> Vec<Existence> {
        studies.iter().map(|uid| store.catalog().existence(&of_study(uid)).unwrap()).collect()
    };
    let known = existence(&store);
    drop(store);
    let rebuilt = rebuild(&archive.config, &|_, _| {}).unwrap();
    assert_eq!(rebuilt.damage, []);
    let store = archive.open();
    check(&store);
    assert_eq!(existence(&store), known);
}

/// One pack of several cannot be read: the others are put together without it, and nothing of it is lost
/// that was sound.
#[test]
fn a_pack_that_cannot_be_read_keeps_no_other_from_being_joined() {
    let files = bytes_of(phantom::ct(9, 24, 256));
    let archive = Archive::new();
    if archive.config.bucket.is_some() {
        return; // the files of the bucket are not at hand
    }
    let store = archive.open();
    for two in files.chunks(2) {
        let ingest = store.ingest(quick()).unwrap();
        one_by_one(&ingest, two);
        ingest.finish().unwrap();
    }
    let before = export_all(&store);
    drop(store);
    let hit = &packs(&archive)[5];
    let mut bytes = std::fs::read(hit).unwrap();
    // In the pixels of the second one: what stands before them was taken up by then.
    let at = bytes.len() / 10 * 6;
    bytes[at] ^= 1;
    std::fs::write(hit, bytes).unwrap();
    let store = archive.open();
    let report = run(&store, &CollectConfig { thorough: true, ..CollectConfig::default() });
    assert_eq!(report.damage.len(), 1, "{report:?}");
    assert_eq!((report.packs_removed, report.packs_written), (11, 1));
    assert!(report.joined_blocks >= 40, "{report:?}");
    assert!(hit.exists());
    let mut whole = 0;
    for (uid, file) in &before {
        let version = version_of(&store, uid);
        let mut out = Vec::new();
        if store.reader().write_instance(&version, &mut out).is_ok() {
            assert_eq!(&out, file);
            whole += 1;
        }
    }
    assert_eq!(whole, 23);
}
