//! The ordinary life of an archive: in, out, again, corrected, in conflict, rebuilt.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use cairn_chunker::codec::{Codec, Compression, Effort};
use cairn_chunker::manifest::Class;
use cairn_dicom::phantom;
use cairn_store::commit::Outcome;
use cairn_store::ingest::Arrival;
use cairn_store::rebuild::rebuild;
use cairn_store::stats::stats;
use cairn_store::verify::{Scope, verify};
use cairn_store::{Acknowledge, DuplicatePolicy, IngestConfig, OnDuplicate, Store};
use support::{Answers, Archive, as_dataset, bytes_of, export_all, hand_in, import, quick, sample};

fn roots(store: &Store) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    store
        .catalog()
        .studies(None, &mut |study| {
            let root = store.study_tree(&study.study_uid)?.root();
            out.insert(study.study_uid, root.to_string());
            Ok(())
        })
        .unwrap();
    out
}

fn assert_sound(store: &Store) {
    let report = verify(store, &Scope::All, 2, &|_| {}).unwrap();
    assert_eq!(report.findings, []);
}

#[test]
fn what_goes_in_comes_out() {
    let archive = Archive::new();
    let objects = sample();
    let store = archive.open();
    assert!(store.created_key());
    let (answers, summaries) = import(&store, quick(), &objects);
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().outcome == Outcome::New));
    assert_eq!(summaries.iter().map(|study| study.instances).sum::<u64>(), objects.len() as u64);
    let out = export_all(&store);
    assert_eq!(out.len(), objects.len());
    for (answer, object) in answers.iter().zip(&objects) {
        assert!(out[&answer.as_ref().unwrap().sop_instance_uid] == *object);
    }
    assert_sound(&store);
    drop(store);
    assert!(!archive.open().created_key());
}

#[test]
fn a_task_may_be_the_last_to_let_an_archive_go() {
    let archive = Archive::new();
    let store = archive.open();
    import(&store, quick(), &sample());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { drop(store) });
    assert_sound(&archive.open());
}

#[test]
fn a_second_time_nothing_is_stored() {
    let archive = Archive::new();
    let objects = sample();
    let store = archive.open();
    import(&store, quick(), &objects);
    let before = stats(&store).unwrap().bucket_bytes;
    let (answers, _) = import(&store, quick(), &objects);
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().outcome == Outcome::Duplicate));
    assert_eq!(stats(&store).unwrap().bucket_bytes, before);
}

#[test]
fn the_same_object_many_times_at_once_is_stored_once() {
    let archive = Archive::new();
    let object = phantom::ct(3, 1, 512).next().unwrap().bytes;
    let store = archive.open();
    let copies = vec![object; 30];
    let (answers, _) = import(&store, quick(), &copies);
    let new = answers.iter().filter(|a| a.as_ref().unwrap().outcome == Outcome::New).count();
    assert_eq!(new, 1);
    assert_eq!(store.catalog().totals().unwrap().versions, 1);
}

#[test]
fn a_correction_is_shown_and_the_old_version_kept() {
    let archive = Archive::new();
    let before = bytes_of(phantom::ct(1, 12, 512));
    let after: Vec<_> = before
        .iter()
        .map(|file| phantom::correct_demographics(file, "NEW^NAME", "ID-2", "ACC-2").unwrap())
        .collect();
    let store = archive.open();
    import(&store, quick(), &before);
    let old_roots = roots(&store);
    let stored = stats(&store).unwrap().bucket_bytes;
    let (answers, summaries) = import(&store, quick(), &after);
    assert!(answers.iter().all(|a| a.as_ref().unwrap().outcome == Outcome::Correction));
    assert_eq!(summaries[0].version, 2);
    let growth = stats(&store).unwrap().bucket_bytes - stored;
    assert!(growth * 20 < stored, "{growth} of {stored} bytes stored again");
    assert_ne!(roots(&store), old_roots);
    let shown = export_all(&store);
    assert!(after.iter().all(|file| shown.values().any(|out| out == file)));
    // The first version is reachable, bit for bit, and sending it again stores nothing.
    let study = &summaries[0].study_uid;
    let mut old = 0;
    store
        .catalog()
        .study_versions(study, true, &mut |version| {
            let mut bytes = Vec::new();
            store.reader().write_instance(&version, &mut bytes)?;
            old += usize::from(!version.visible && before.contains(&bytes));
            Ok(())
        })
        .unwrap();
    assert_eq!(old, before.len());
    let (again, _) = import(&store, quick(), &before);
    assert!(again.iter().all(|a| a.as_ref().unwrap().outcome == Outcome::Duplicate));
    assert_sound(&store);
}

#[test]
fn a_conflict_keeps_both_and_shows_the_first() {
    let archive = Archive::new();
    let first = phantom::ct(1, 1, 256).next().unwrap().bytes;
    let mut other = first.clone();
    let last = other.len() - 1000;
    other[last] ^= 1;
    for (rule, expected) in [
        (OnDuplicate::First, Some(&first)),
        (OnDuplicate::Latest, Some(&other)),
        (OnDuplicate::Reject, None),
    ] {
        let archive = Archive::new();
        let store = archive.open();
        let duplicates = DuplicatePolicy { conflict: rule, ..DuplicatePolicy::default() };
        let config = IngestConfig { duplicates, ..quick() };
        // One after the other: of two sent at once, either may be the first.
        import(&store, config.clone(), std::slice::from_ref(&first));
        let (answers, _) = import(&store, config, std::slice::from_ref(&other));
        if let Some(shown) = expected {
            assert_eq!(answers[0].as_ref().unwrap().outcome, Outcome::Conflict);
            assert_eq!(store.catalog().totals().unwrap().versions, 2);
            assert!(export_all(&store).values().all(|out| out == shown));
        } else {
            assert!(answers[0].is_err());
            assert_eq!(store.catalog().totals().unwrap().versions, 1);
        }
        assert_sound(&store);
    }
    drop(archive);
}

#[test]
fn the_root_depends_on_the_content_alone() {
    let objects = sample();
    let one = Archive::new();
    let store = one.open();
    import(&store, quick(), &objects);
    let expected = roots(&store);

    // Backwards, without filter, in tiny packs, in the clear, acknowledged late.
    let mut other = Archive::new();
    other.config.encrypt = false;
    let backwards: Vec<_> = objects.iter().rev().cloned().collect();
    let config = IngestConfig {
        effort: Effort { filter: false, text_level: 9, ..Effort::default() },
        pack_bytes: 1 << 20,
        acknowledge: Acknowledge::Archive,
        ..quick()
    };
    let store = other.open();
    import(&store, config, &backwards);
    assert_eq!(roots(&store), expected);
    assert!(store.catalog().packs().unwrap().len() > 3);
    assert_sound(&store);

    // As data sets without envelope, as DIMSE brings them.
    let third = Archive::new();
    let store = third.open();
    let ingest = store.ingest(quick()).unwrap();
    let answers = Answers::default();
    for (no, object) in objects.iter().enumerate() {
        let (dataset, transfer_syntax) = as_dataset(object);
        hand_in(&ingest, no, &dataset, Arrival::Dataset { transfer_syntax }, &answers);
    }
    ingest.finish().unwrap();
    assert_eq!(roots(&store), expected);
    // What comes out is a file with the same data set, and the file sent later is the same instance.
    for out in export_all(&store).values() {
        assert!(objects.iter().any(|object| as_dataset(object) == as_dataset(out)));
    }
    let (again, _) = import(&store, quick(), &objects);
    assert!(again.iter().all(|a| a.as_ref().unwrap().outcome == Outcome::Duplicate));
}

/// Codecs of the pixel chunks that have a record of their own.
fn pixel_codecs(store: &Store) -> BTreeSet<u8> {
    let mut found = BTreeSet::new();
    for study in support::study_uids(store) {
        store
            .catalog()
            .study_versions(&study, true, &mut |version| {
                for chunk in store.reader().manifest(&version.manifest)?.chunks {
                    let place = store.reader().locate(&chunk.id)?;
                    if chunk.class == Class::Pixels && place.inner.is_none() {
                        found.insert(store.reader().coded(&chunk)?.codec.id());
                    }
                }
                Ok(())
            })
            .unwrap();
    }
    found
}

#[test]
fn a_store_for_speed_gives_back_what_it_was_given() {
    let archive = Archive::new();
    let objects = sample();
    let effort = Effort { compression: Compression::Turbo, ..Effort::default() };
    let turbo = IngestConfig { effort, ..quick() };
    let store = archive.open();
    import(&store, turbo.clone(), &objects);
    assert_eq!(pixel_codecs(&store), BTreeSet::from([Codec::PixelPacked.id()]));
    assert!(export_all(&store).values().all(|out| objects.contains(out)));
    assert_sound(&store);
    let speedy_roots = roots(&store);
    let speedy_bytes = stats(&store).unwrap().bucket_bytes;
    // Hardly shorter than plain, it would be no codec; as short as the default one, it would be it.
    let small = Archive::new();
    let store = small.open();
    import(&store, quick(), &objects);
    let plain: usize = objects.iter().map(Vec::len).sum();
    assert!(speedy_bytes * 3 < plain as u64 * 2, "{speedy_bytes} of {plain}");
    assert!(stats(&store).unwrap().bucket_bytes < speedy_bytes);
    assert_eq!(roots(&store), speedy_roots);

    // What comes for speed stands beside what came for size, and is no other.
    let more: Vec<_> = bytes_of(phantom::ct(7, 6, 256));
    import(&store, turbo, &more);
    let codecs = pixel_codecs(&store);
    assert!(codecs.contains(&Codec::PixelPacked.id()) && codecs.len() > 1, "{codecs:?}");
    let out = export_all(&store);
    assert_eq!(out.len(), objects.len() + more.len());
    assert!(out.values().all(|out| objects.contains(out) || more.contains(out)));
    assert_sound(&store);
    let (answers, _) = import(&store, quick(), &more);
    assert!(answers.iter().all(|a| a.as_ref().unwrap().outcome == Outcome::Duplicate));
}

#[test]
fn the_catalog_is_rebuilt_from_packs_alone() {
    let archive = Archive::new();
    let objects = sample();
    let corrected: Vec<_> = objects[..20]
        .iter()
        .map(|file| phantom::correct_demographics(file, "NEW^NAME", "ID-2", "ACC-2").unwrap())
        .collect();
    let store = archive.open();
    let config = IngestConfig { pack_bytes: 1 << 20, ..quick() };
    import(&store, config.clone(), &objects);
    import(&store, config, &corrected);
    let (expected, totals) = (roots(&store), store.catalog().totals().unwrap());
    let record = |store: &Store| {
        expected.keys().map(|uid| store.catalog().study_record(uid).unwrap()).collect::<Vec<_>>()
    };
    let records = record(&store);
    let shown = export_all(&store);
    let catalog = store.layout().catalog();
    drop(store);
    std::fs::remove_file(&catalog).unwrap();
    let refused = Store::open(&archive.config, cairn_store::Access::Read).unwrap_err();
    assert!(refused.to_string().contains("cairn rebuild"), "{refused}");

    let report = rebuild(&archive.config, &|_, _| {}).unwrap();
    assert_eq!(report.damage, []);
    assert_eq!(report.versions, totals.versions);
    let store = archive.open();
    assert_eq!(roots(&store), expected);
    assert_eq!(record(&store), records);
    let rebuilt = store.catalog().totals().unwrap();
    assert_eq!((rebuilt.chunks, rebuilt.chunk_bytes), (totals.chunks, totals.chunk_bytes));
    assert!(export_all(&store) == shown);
    assert_sound(&store);
}

#[test]
fn another_key_and_a_missing_key_are_refused() {
    let mut archive = Archive::new();
    import(&archive.open(), quick(), &sample()[..2]);
    let key = archive.dir.path().join("data/keys/site.key");
    let moved = archive.dir.path().join("site.key.safe");
    std::fs::rename(&key, &moved).unwrap();
    let refused = Store::open(&archive.config, cairn_store::Access::Read).unwrap_err();
    assert!(refused.to_string().contains("bring it back"), "{refused}");
    archive.config.key_file = Some(archive.dir.path().join("other.key"));
    cairn_store::keys::SiteKey::generate()
        .unwrap()
        .save(archive.config.key_file.as_ref().unwrap())
        .unwrap();
    let refused = Store::open(&archive.config, cairn_store::Access::Read).unwrap_err();
    assert!(refused.to_string().contains("another site"), "{refused}");
    archive.config.key_file = Some(moved);
    assert_sound(&archive.open());
}

#[test]
fn two_writers_are_kept_apart_and_readers_are_not() {
    let archive = Archive::new();
    let store = archive.open();
    import(&store, quick(), &sample()[..3]);
    let refused = Store::open(&archive.config, cairn_store::Access::Write).unwrap_err();
    assert!(refused.to_string().contains("in use"), "{refused}");
    let reader = Store::open(&archive.config, cairn_store::Access::Read).unwrap();
    assert_eq!(export_all(&reader).len(), 3);
}

#[test]
fn a_stolen_bucket_tells_nothing() {
    let archive = Archive::new();
    let objects = sample();
    let store = archive.open();
    let (answers, _) = import(&store, quick(), &objects);
    let mut all = Vec::new();
    for (object, _) in store.bucket().list("").unwrap() {
        all.extend(object.as_bytes());
        all.extend(store.bucket().get(&object).unwrap().unwrap());
    }
    let finds = |needle: &[u8]| all.windows(needle.len()).any(|window| window == needle);
    for answer in answers.iter().take(3) {
        let answer = answer.as_ref().unwrap();
        assert!(!finds(answer.sop_instance_uid.as_bytes()));
        let versions = store.catalog().versions_of_sop(&answer.sop_instance_uid).unwrap();
        assert!(!finds(&versions[0].manifest.0) && !finds(&versions[0].dataset_hash.0));
        let manifest = store.reader().manifest(&versions[0].manifest).unwrap();
        assert!(manifest.chunks.iter().all(|chunk| !finds(&chunk.id.0)));
    }
}

#[test]
fn a_data_directory_keeps_to_its_bucket() {
    let mut archive = Archive::new();
    import(&archive.open(), quick(), &sample()[..2]);
    // Another bucket of the same site: its marker fits the key, but the packs are elsewhere.
    let other = archive.dir.path().join("other");
    archive.config.bucket = Some(other.display().to_string());
    let refused = Store::open(&archive.config, cairn_store::Access::Write).unwrap_err();
    assert!(refused.to_string().contains("not the bucket"), "{refused}");
}

#[test]
fn reading_leaves_no_trace_where_nothing_is() {
    let archive = Archive::new();
    let refused = Store::open(&archive.config, cairn_store::Access::Read).unwrap_err();
    assert!(refused.to_string().contains("no archive"), "{refused}");
    assert!(!archive.config.data.exists());
}
