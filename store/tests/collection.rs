//! What was deleted is taken out of packs; nothing else ever is.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cairn_chunker::codec::{Compression, Effort};
use cairn_dicom::phantom;
use cairn_store::catalog::Existence;
use cairn_store::collect::{
    CollectConfig, CollectReport, Phase, Progress, Recompress, Watch, collect,
};
use cairn_store::commit::{Source, Target};
use cairn_store::ingest::{Admission, Arrival, Incoming, Ingest};
use cairn_store::rebuild::rebuild;
use cairn_store::stats::stats;
use cairn_store::verify::{Scope, verify};
use cairn_store::{Access, Error, IngestConfig, Store};
use support::{
    Answers, Archive, bytes_of, export_all, hand_in, import, packs, quick, sample, study_uids,
};

fn thorough() -> CollectConfig {
    CollectConfig { dead_percent: 0, thorough: true, ..CollectConfig::default() }
}

/// However young a pack is.
fn in_all(effort: Effort) -> Recompress {
    Recompress { effort, before_ms: i64::MAX as u64 }
}

fn run_with(store: &Store, ingest: &Ingest, config: &CollectConfig) -> CollectReport {
    let watch = Watch { progress: &|_| {}, stop: &|| false };
    collect(store, ingest, config, &watch).unwrap()
}

fn run(store: &Store, config: &CollectConfig) -> CollectReport {
    let ingest = store.ingest(quick()).unwrap();
    let report = run_with(store, &ingest, config);
    ingest.finish().unwrap();
    report
}

fn assert_sound(store: &Store) {
    assert_eq!(verify(store, &Scope::All, 2, &|_| {}).unwrap().findings, []);
}

fn study(uid: &str) -> Target {
    Target { study_uid: uid.into(), series_uid: None, sop_instance_uid: None }
}

fn delete(store: &Store, targets: &[Target]) {
    let ingest = store.ingest(quick()).unwrap();
    for target in targets {
        ingest.delete(target).unwrap();
    }
    ingest.finish().unwrap();
}

fn bucket_bytes(store: &Store) -> u64 {
    stats(store).unwrap().bucket_bytes
}

#[test]
fn what_was_deleted_goes_and_the_rest_stays() {
    let archive = Archive::new();
    let store = archive.open();
    let (answers, _) = import(&store, quick(), &sample());
    let receipts: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let all_bytes = bucket_bytes(&store);
    let [of_study, of_series, of_instance] =
        [receipts.last().unwrap(), &receipts[20], &receipts[0]];
    let targets = [
        study(&of_study.study_uid),
        Target { series_uid: Some(of_series.series_uid.clone()), ..study(&of_series.study_uid) },
        Target {
            series_uid: Some(of_instance.series_uid.clone()),
            sop_instance_uid: Some(of_instance.sop_instance_uid.clone()),
            ..study(&of_instance.study_uid)
        },
    ];
    let before = export_all(&store);
    delete(&store, &targets);
    let kept = export_all(&store);
    assert!(kept.len() > 15 && kept.len() + 10 < before.len());
    assert_sound(&store);

    // It says what it would do, and does nothing.
    let (chunks, bytes) = (store.catalog().totals().unwrap().chunks, bucket_bytes(&store));
    let told = run(&store, &CollectConfig { dry_run: true, ..thorough() });
    assert_eq!((store.catalog().totals().unwrap().chunks, bucket_bytes(&store)), (chunks, bytes));
    assert!(told.dead_bytes > all_bytes / 3 && told.packs_removed > 0, "{told:?}");

    let report = run(&store, &thorough());
    assert_eq!(report.dead_chunks, told.dead_chunks);
    assert_eq!((report.versions, report.damage.len()), (kept.len() as u64, 0));
    assert!(report.freed_bytes() + (20 << 10) > told.dead_bytes, "{report:?}");
    assert!(report.studies_forgotten > 0, "{report:?}");
    assert_eq!(store.catalog().totals().unwrap().chunks, chunks - report.dead_chunks);
    let check = |store: &Store| {
        assert_eq!(export_all(store), kept);
        for target in &targets {
            assert_eq!(store.catalog().existence(target).unwrap(), Existence::Gone);
        }
        assert_sound(store);
        assert!(bucket_bytes(store) < all_bytes - report.dead_bytes + (40 << 10));
    };
    check(&store);
    let idle = run(&store, &CollectConfig::default());
    assert!(idle.idle);
    let again = run(&store, &thorough());
    assert_eq!((again.dead_chunks, again.packs_removed, again.idle), (0, 0, false));
    drop(store);
    check(&archive.open());
    let rebuilt = rebuild(&archive.config, &|_, _| {}).unwrap();
    assert_eq!(rebuilt.damage, []);
    check(&archive.open());
    // And what comes again is taken.
    let (answers, _) = import(&archive.open(), quick(), &sample());
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(export_all(&archive.open()), before);
}

/// Nothing of a patient is left whose every study was deleted: not in packs, not in the catalog.
#[test]
fn nothing_is_left_of_a_patient() {
    let archive = Archive::new();
    let config = cairn_store::StoreConfig { encrypt: false, ..archive.config.clone() };
    let store = Store::open(&config, Access::Write).unwrap();
    let files = bytes_of(phantom::ct(1, 3, 128));
    let secret: Vec<_> = files
        .iter()
        .map(|file| phantom::correct_demographics(file, "ZZTOP^SECRET", "ZZ-17", "ZZACC").unwrap())
        .collect();
    // As records lie in packs where nothing is compressed.
    let plain = IngestConfig {
        effort: cairn_chunker::codec::Effort { compress: false, ..Default::default() },
        ..quick()
    };
    import(&store, plain.clone(), &secret);
    import(&store, plain, &bytes_of(phantom::mr(2, 3, 128)));
    let uid = study_uids(&store).into_iter().find(|uid| {
        let mut is = false;
        let mut look = |row: cairn_store::catalog::StudyRow| {
            is = row.patient_id == "ZZ-17";
            Ok(())
        };
        store.catalog().studies(Some(uid), &mut look).unwrap();
        is
    });
    delete(&store, &[study(&uid.unwrap())]);
    if store.bucket().directory().is_some() {
        assert!(is_anywhere(archive.dir.path(), b"ZZTOP"), "the test cannot see it");
    }
    let report = run(&store, &thorough());
    assert!(report.packs_removed > 0, "{report:?}");
    store.catalog().checkpoint().unwrap();
    drop(store);
    // SQLite leaves what is free where it is until it is written over; a rebuild writes anew.
    std::fs::remove_file(config.data.join("catalog.sqlite")).unwrap();
    rebuild(&config, &|_, _| {}).unwrap();
    let store = Store::open(&config, Access::Read).unwrap();
    assert_eq!(export_all(&store).len(), 3);
    for word in [&b"ZZTOP"[..], b"ZZ-17", b"ZZACC"] {
        assert!(!is_anywhere(archive.dir.path(), word), "{}", String::from_utf8_lossy(word));
    }
}

fn is_anywhere(folder: &Path, word: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_anywhere(&path, word);
        }
        let bytes = std::fs::read(&path).unwrap();
        bytes.windows(word.len()).any(|window| window == word)
    })
}

#[test]
fn what_others_need_stays() {
    let archive = Archive::new();
    let store = archive.open();
    let files = bytes_of(phantom::ct(1, 6, 256));
    let corrected: Vec<_> = files
        .iter()
        .map(|file| phantom::correct_demographics(file, "OTHER^NAME", "2", "B").unwrap())
        .collect();
    import(&store, quick(), &files);
    import(&store, quick(), &corrected);
    let kept = export_all(&store);
    // The versions before are kept beside them, and needed.
    let report = run(&store, &thorough());
    assert_eq!((report.dead_chunks, report.versions), (0, 12), "{report:?}");
    // Their pixels are those of the corrections: all of it goes together.
    let uid = study_uids(&store).remove(0);
    delete(&store, &[study(&uid)]);
    import(&store, quick(), &corrected[..2]);
    let report = run(&store, &thorough());
    assert_eq!(report.versions, 2);
    assert!(report.dead_chunks > 0);
    let left = export_all(&store);
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|(uid, bytes)| kept[uid] == *bytes));
    assert_sound(&store);
}

/// A server's pack may be open for days.
#[test]
fn what_is_deleted_in_the_open_pack_goes_too() {
    let archive = Archive::new();
    let store = archive.open();
    let ingest = store.ingest(quick()).unwrap();
    let answers = Answers::default();
    let objects = [bytes_of(phantom::ct(1, 4, 256)), bytes_of(phantom::mr(2, 4, 256))].concat();
    for (no, object) in objects.iter().enumerate() {
        hand_in(&ingest, no, object, Arrival::File, &answers);
    }
    ingest.drain().unwrap();
    let before = export_all(&store);
    let uid = answers.lock().unwrap()[&0].as_ref().unwrap().study_uid.clone();
    ingest.delete(&study(&uid)).unwrap();
    let left = export_all(&store);
    assert!(!left.is_empty() && left.len() < before.len());
    let report = run_with(&store, &ingest, &CollectConfig::default());
    assert!(report.dead_chunks > 0 && report.packs_removed > 0, "{report:?}");
    assert!(run_with(&store, &ingest, &CollectConfig::default()).idle);
    let again = run_with(&store, &ingest, &thorough());
    assert_eq!(again.dead_chunks, 0, "{again:?}");
    assert_eq!(export_all(&store), left);
    assert_sound(&store);
}

/// Also after its commit was copied into another pack, and though little of that pack is dead.
#[test]
fn a_name_goes_with_its_deletion_wherever_its_commit_lies() {
    let archive = Archive::new();
    let config = cairn_store::StoreConfig { encrypt: false, ..archive.config.clone() };
    let store = Store::open(&config, Access::Write).unwrap();
    if store.bucket().directory().is_none() {
        return;
    }
    for seed in 1..=8 {
        import(&store, quick(), &bytes_of(phantom::ct(seed, 4, 128)));
    }
    assert_eq!(run(&store, &thorough()).packs_written, 1);
    let kept = export_all(&store).len();
    let uid = study_uids(&store).remove(0);
    delete(&store, &[study(&uid)]);
    let spares = CollectConfig { dead_percent: 90, ..CollectConfig::default() };
    let report = run(&store, &spares);
    assert!(report.packs_removed > 0, "{report:?}");
    assert_eq!(export_all(&store).len(), kept - 4);
    assert_sound(&store);
    // Nothing is left to be done.
    assert_eq!(run(&store, &CollectConfig { thorough: true, ..spares }).packs_removed, 0);
}

#[test]
fn small_packs_are_put_together() {
    let archive = Archive::new();
    let store = archive.open();
    for file in bytes_of(phantom::ct(1, 12, 128)) {
        import(&store, quick(), &[file]);
    }
    let before = export_all(&store);
    assert_eq!(store.catalog().totals().unwrap().packs, 12);
    let report = run(&store, &CollectConfig { thorough: true, ..CollectConfig::default() });
    assert_eq!((report.packs_removed, report.packs_written), (12, 1));
    assert_eq!(store.catalog().totals().unwrap().packs, 1);
    assert_eq!(export_all(&store), before);
    assert_sound(&store);
    drop(store);
    rebuild(&archive.config, &|_, _| {}).unwrap();
    assert_eq!(export_all(&archive.open()), before);
}

#[test]
fn what_was_coded_for_speed_is_coded_anew() {
    let archive = Archive::new();
    let store = archive.open();
    let turbo = Effort { compression: Compression::Turbo, ..Effort::default() };
    import(&store, IngestConfig { effort: turbo, ..quick() }, &sample());
    let (before, fast) = (export_all(&store), bucket_bytes(&store));
    let config =
        CollectConfig { recompress: Some(in_all(Effort::default())), ..CollectConfig::default() };
    let report = run(&store, &config);
    assert!(report.recoded_chunks > 30 && report.packs_removed > 0, "{report:?}");
    let small = bucket_bytes(&store);
    assert!(small < fast / 100 * 93, "{small} of {fast}");
    assert!(fast - small > report.recoded_bytes / 10 * 9, "{report:?}");
    assert_eq!(export_all(&store), before);
    assert_sound(&store);
    // As short as if it had come like that.
    let other = Archive::new();
    let there = other.open();
    import(&there, quick(), &sample());
    assert!(small < bucket_bytes(&there) / 100 * 102);
    let again = run(&store, &config);
    assert_eq!((again.recoded_chunks, again.packs_removed), (0, 0));
    drop(store);
    rebuild(&archive.config, &|_, _| {}).unwrap();
    assert_eq!(export_all(&archive.open()), before);
}

#[test]
fn what_is_kept_for_long_is_coded_anew_once() {
    let archive = Archive::new();
    let store = archive.open();
    let turbo = Effort { compression: Compression::Turbo, ..Effort::default() };
    import(&store, IngestConfig { effort: turbo, ..quick() }, &sample());
    let (before, fast) = (export_all(&store), bucket_bytes(&store));
    let cold = Effort { compression: Compression::Cold, ..Effort::default() };
    // What is young is left alone.
    let recompress = Some(Recompress { effort: cold, before_ms: 1_000 });
    let young = CollectConfig { recompress, ..CollectConfig::default() };
    assert!(run(&store, &young).idle);
    let config = CollectConfig { recompress: Some(in_all(cold)), ..CollectConfig::default() };
    let report = run(&store, &config);
    assert!(report.recoded_chunks > 30 && report.packs_removed > 0, "{report:?}");
    let small = bucket_bytes(&store);
    assert!(small < fast / 100 * 93);
    assert_eq!(export_all(&store), before);
    assert_sound(&store);
    let again = run(&store, &config);
    assert_eq!((again.recoded_chunks, again.packs_removed), (0, 0));
    // Packs written since were looked at by that; now nothing is left to be looked at.
    assert!(run(&store, &config).idle);
    let all = CollectConfig { thorough: true, ..config };
    assert!(!run(&store, &all).idle);
    // What has to be written anew stays as short as it is.
    let gone = study_uids(&store)[0].clone();
    delete(&store, &[study(&gone)]);
    let kept = export_all(&store);
    assert!(run(&store, &CollectConfig::default()).packs_removed > 0);
    assert!(bucket_bytes(&store) < small);
    assert_eq!(run(&store, &all).recoded_chunks, 0);
    assert_sound(&store);
    drop(store);
    rebuild(&archive.config, &|_, _| {}).unwrap();
    assert_eq!(export_all(&archive.open()), kept);
}

/// Storing, deleting and collecting beside each other: what was acknowledged last is what is there.
#[test]
fn beside_storing_and_deleting() {
    let archive = Archive::new();
    let store = archive.open();
    let base = bytes_of(phantom::ct(1, 8, 128));
    let config = IngestConfig { pack_bytes: 200 << 10, ..quick() };
    let ingest = store.ingest(config).unwrap();
    let ended = AtomicBool::new(false);
    let removed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let config = thorough();
            while !ended.load(Ordering::SeqCst) {
                let report = run_with(&store, &ingest, &config);
                assert_eq!(report.damage, []);
                removed.fetch_add(report.packs_removed as usize, Ordering::SeqCst);
            }
        });
        scope.spawn(|| {
            // Whoever reads meanwhile reads what is there.
            while !ended.load(Ordering::SeqCst) {
                let sound = verify(&store, &Scope::All, 1, &|_| {}).unwrap();
                let harm: Vec<_> = sound.findings.iter().map(|found| &found.why).collect();
                assert!(harm.is_empty(), "{harm:?}");
            }
        });
        let begun = Instant::now();
        let mut round = 0;
        while begun.elapsed() < Duration::from_secs(6) {
            round += 1;
            let answers = Answers::default();
            for (no, object) in base.iter().enumerate() {
                hand_in(&ingest, no, object, Arrival::File, &answers);
            }
            ingest.drain().unwrap();
            assert!(answers.lock().unwrap().values().all(Result::is_ok));
            let out = export_all(&store);
            assert_eq!(out.len(), base.len(), "round {round}");
            assert!(out.values().all(|bytes| base.contains(bytes)));
            ingest.delete(&study(&study_uids(&store)[0])).unwrap();
        }
        ended.store(true, Ordering::SeqCst);
        assert!(round > 5, "{round} rounds only");
    });
    assert!(removed.into_inner() > 5);
    let (answers, _) = {
        ingest.finish().unwrap();
        import(&store, quick(), &base)
    };
    assert!(answers.iter().all(Result::is_ok));
    let before = export_all(&store);
    assert_sound(&store);
    drop(store);
    rebuild(&archive.config, &|_, _| {}).unwrap();
    assert_eq!(export_all(&archive.open()), before);
}

/// Gives some bytes, and the rest when it is told to.
struct Slow<'a> {
    bytes: &'a [u8],
    first: usize,
    go: &'a AtomicBool,
    begun: &'a AtomicBool,
}

impl std::io::Read for Slow<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.first == 0 {
            self.begun.store(true, Ordering::SeqCst);
            while !self.go.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(2));
            }
            self.first = usize::MAX;
        }
        let take = into.len().min(self.bytes.len()).min(self.first);
        into[..take].copy_from_slice(&self.bytes[..take]);
        self.bytes = &self.bytes[take..];
        self.first -= take;
        Ok(take)
    }
}

/// An object of which half is here counts on chunks that were deleted meanwhile.
#[test]
fn what_an_object_found_stays_until_it_is_whole() {
    let archive = Archive::new();
    let store = archive.open();
    let file = phantom::ultrasound_cine(1, 40, 320).bytes;
    import(&store, quick(), std::slice::from_ref(&file));
    let uid = study_uids(&store).remove(0);
    for early in [true, false] {
        let ingest = store.ingest(quick()).unwrap();
        let (go, begun) = (AtomicBool::new(false), AtomicBool::new(false));
        let answers = Answers::default();
        std::thread::scope(|scope| {
            let send = || {
                let first = file.len() - 1000;
                let mut reader = Slow { bytes: &file, first, go: &go, begun: &begun };
                let incoming = Incoming {
                    early: None,
                    reader: &mut reader,
                    bytes: None,
                    source: Source::Import,
                    arrival: Arrival::File,
                    admission: Admission::default(),
                };
                let answers = Answers::clone(&answers);
                let done = move |answer: Result<_, Error>| {
                    let answer = answer.map_err(|error| error.to_string());
                    drop(answers.lock().unwrap().insert(0, answer));
                };
                ingest.receive(incoming, done).unwrap();
            };
            let wait = || {
                while !begun.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(2));
                }
            };
            if early {
                scope.spawn(send);
                wait();
            }
            ingest.delete(&study(&uid)).unwrap();
            let impatient = CollectConfig { patience: Duration::from_millis(50), ..thorough() };
            let told = AtomicUsize::new(0);
            let progress = |progress: Progress| {
                told.fetch_add(1, Ordering::SeqCst);
                // Only once it has begun does the other one begin.
                if !early && told.load(Ordering::SeqCst) == 1 {
                    scope.spawn(send);
                    wait();
                }
                let _ = progress;
            };
            let watch = Watch { progress: &progress, stop: &|| false };
            let done = collect(&store, &ingest, &impatient, &watch);
            go.store(true, Ordering::SeqCst);
            if early {
                assert!(matches!(done, Err(Error::Busy)), "{done:?}");
            } else {
                let report = done.unwrap();
                // It was deleted, and found again: it is needed, though no version says so yet.
                assert_eq!(report.versions, 0);
                // What it found before its pack was copied went along, or the pack was spared.
                let is_copied = report.written_bytes > file.len() as u64 / 8;
                assert!(is_copied || report.packs_spared > 0, "{report:?}");
            }
        });
        ingest.finish().unwrap();
        assert!(answers.lock().unwrap()[&0].is_ok());
        assert_eq!(export_all(&store).values().collect::<Vec<_>>(), [&file]);
        assert_sound(&store);
    }
}

/// Somebody comes to need a chunk after its pack was copied without it.
#[test]
fn what_is_found_at_the_last_moment_stays() {
    let archive = Archive::new();
    let store = archive.open();
    let first = bytes_of(phantom::ct(1, 3, 128));
    import(&store, quick(), &first);
    let before = export_all(&store);
    import(&store, quick(), &bytes_of(phantom::mr(1, 3, 128)));
    delete(&store, &study_uids(&store).iter().map(|uid| study(uid)).collect::<Vec<_>>());
    let ingest = store.ingest(quick()).unwrap();
    let rewriting = AtomicUsize::new(0);
    let progress = |progress: Progress| {
        let calls = usize::from(progress.phase == Phase::Rewriting);
        if calls == 1 && rewriting.fetch_add(1, Ordering::SeqCst) == 1 {
            let answers = Answers::default();
            for (no, object) in first.iter().enumerate() {
                hand_in(&ingest, no, object, Arrival::File, &answers);
            }
            ingest.drain().unwrap();
            assert!(answers.lock().unwrap().values().all(Result::is_ok));
        }
    };
    let watch = Watch { progress: &progress, stop: &|| false };
    let report = collect(&store, &ingest, &thorough(), &watch).unwrap();
    // That of the other study, and that of the deletions.
    assert_eq!((report.packs_spared, report.packs_removed), (1, 2), "{report:?}");
    assert_eq!(export_all(&store), before);
    assert_sound(&store);
    // It was not done with, so the next one looks again.
    assert!(!run_with(&store, &ingest, &CollectConfig::default()).idle);
    assert_eq!(export_all(&store), before);
}

#[test]
fn a_pack_that_cannot_be_read_is_left_alone() {
    let archive = Archive::new();
    let store = archive.open();
    if store.bucket().directory().is_none() {
        return;
    }
    import(&store, quick(), &bytes_of(phantom::ct(1, 4, 128)));
    import(&store, quick(), &bytes_of(phantom::mr(1, 4, 128)));
    let kept = export_all(&store);
    let uid = study_uids(&store).remove(0);
    delete(&store, &[study(&uid)]);
    let left: BTreeMap<_, _> = export_all(&store);
    // A footer that is not sound.
    let damaged = packs(&archive);
    for path in &damaged {
        let mut bytes = std::fs::read(path).unwrap();
        let at = bytes.len() - 60;
        bytes[at] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    drop(store);
    let store = archive.open();
    let report = run(&store, &thorough());
    assert_eq!(report.packs_removed, 0);
    assert!(!report.damage.is_empty() && report.damage.len() <= damaged.len(), "{report:?}");
    assert_eq!(export_all(&store), left);
    assert!(left.len() < kept.len());
    // Somebody may mend it: the next one looks again.
    assert!(!run(&store, &CollectConfig::default()).idle);
}

#[test]
fn one_at_a_time_and_it_can_be_broken_off() {
    let archive = Archive::new();
    let store = archive.open();
    import(&store, quick(), &sample());
    let before = export_all(&store);
    delete(&store, &[study(&study_uids(&store)[0])]);
    let left = export_all(&store);
    let ingest = store.ingest(quick()).unwrap();
    let stop = AtomicBool::new(false);
    let progress = |_| {
        let nothing = |_| {};
        let inner = Watch { progress: &nothing, stop: &|| false };
        let second = collect(&store, &ingest, &thorough(), &inner);
        assert!(matches!(second, Err(Error::Collecting)), "{second:?}");
        stop.store(true, Ordering::SeqCst);
    };
    let done = collect(
        &store,
        &ingest,
        &thorough(),
        &Watch { progress: &progress, stop: &|| stop.load(Ordering::SeqCst) },
    );
    assert!(matches!(done, Err(Error::BrokenOff)), "{done:?}");
    assert_eq!(export_all(&store), left);
    assert!(run_with(&store, &ingest, &thorough()).packs_removed > 0);
    assert_eq!(export_all(&store), left);
    assert!(left.len() < before.len());
}
