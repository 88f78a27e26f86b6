//! The spool: what is acknowledged before it is coded is never lost, never half there, and seen by
//! whoever asks for it.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use cairn_dicom::phantom;
use cairn_store::catalog::{Existence, VersionRow};
use cairn_store::commit::{Outcome, Source, Target};
use cairn_store::disk::OsDisk;
use cairn_store::ingest::{
    Admission, Arrival, EARLY_BYTES_MAX, Early, Incoming, Receipt, Sender as Caller,
};
use cairn_store::verify::{Scope, verify};
use cairn_store::{Acknowledge, DuplicatePolicy, IngestConfig, OnDuplicate, Store};
use support::disk::SmallDisk;
use support::spool::{
    BLOCK, HEAD, LONG, PIXEL_BYTES, Pieces, Sender, data_sets, noise, send_and_crash, slices,
    sorted, spool_files,
};
use support::{Answers, Archive, as_dataset, bytes_of, export_all, hand_in_from};

#[test]
fn an_object_is_acknowledged_before_it_is_coded_and_seen_once_it_is_settled() {
    let archive = Archive::new();
    let store = archive.open();
    let ingest = store.ingest(IngestConfig::default()).unwrap();
    let files = slices(6);
    let mut sender = Sender::new(&ingest);
    for file in &files {
        let receipt = sender.send(file).unwrap();
        assert_eq!((receipt.outcome, receipt.visible), (Outcome::New, true));
    }
    assert!(!ingest.is_settled(), "nothing was spooled");
    assert_eq!(store.catalog().totals().unwrap().versions, 0);
    let study = sender.send(&files[0]).unwrap().study_uid;
    assert!(ingest.settle(Some(&study), LONG));
    assert!(ingest.is_settled());
    assert_eq!(data_sets(&store), sorted(&files));
    ingest.finish().unwrap();
    assert_eq!(spool_files(&archive), Vec::<PathBuf>::new());
    assert_eq!(verify(&store, &Scope::All, 1, &|_| {}).unwrap().findings, []);
}

#[test]
fn files_come_back_with_their_envelope() {
    let archive = Archive::new();
    let files = slices(3);
    let store = archive.open();
    let ingest = store.ingest(IngestConfig::default()).unwrap();
    let mut sender = Sender::new(&ingest);
    for file in &files {
        sender.send_as(Source::Web, file, Arrival::File).unwrap();
    }
    assert_eq!(ingest.spooled().objects, 3);
    drop(ingest);
    drop(store);
    let store = archive.open();
    assert!(export_all(&store).values().all(|file| files.contains(file)));
    assert_eq!(export_all(&store).len(), 3);
}

#[test]
fn what_is_sent_again_while_it_waits_is_a_duplicate_and_other_bytes_are_a_correction() {
    let archive = Archive::new();
    let store = archive.open();
    let ingest = store.ingest(IngestConfig::default()).unwrap();
    let file = slices(1).remove(0);
    let corrected = phantom::correct_demographics(&file, "OTHER^NAME", "ID-2", "A").unwrap();
    let mut sender = Sender::new(&ingest);
    assert_eq!(sender.send(&file).unwrap().outcome, Outcome::New);
    assert!(!ingest.is_settled());
    assert_eq!(sender.send(&file).unwrap().outcome, Outcome::Duplicate);
    let other = phantom::correct_demographics(&slices(2)[1], "OTHER^NAME", "ID-2", "A").unwrap();
    assert_eq!(sender.send(&slices(2)[1]).unwrap().outcome, Outcome::New);
    assert!(!ingest.is_settled());
    assert_eq!(sender.send(&other).unwrap().outcome, Outcome::Correction);
    assert_eq!(sender.send(&corrected).unwrap().outcome, Outcome::Correction);
    ingest.finish().unwrap();
    assert_eq!(store.catalog().totals().unwrap().versions, 4);
}

#[test]
fn one_sender_may_hand_in_an_instance_twice_before_it_asks_for_answers() {
    let archive = Archive::new();
    let store = archive.open();
    let ingest = store.ingest(IngestConfig::default()).unwrap();
    let file = slices(1).remove(0);
    let answers = Answers::default();
    for no in 0..3 {
        hand_in_from(Source::Web, &ingest, no, &file, Arrival::File, &answers);
    }
    ingest.hurry();
    ingest.drain().unwrap();
    let answers: Vec<_> =
        answers.lock().unwrap().values().map(|answer| answer.as_ref().unwrap().outcome).collect();
    assert_eq!(answers, [Outcome::New, Outcome::Duplicate, Outcome::Duplicate]);
}

/// Nobody asks for haste: the answer comes all the same.
#[test]
fn an_answer_waits_no_longer_than_the_interval() {
    let archive = Archive::new();
    let store = archive.open();
    let ingest = store.ingest(support::quick()).unwrap();
    let answers = Answers::default();
    hand_in_from(Source::Web, &ingest, 0, &slices(1)[0], Arrival::File, &answers);
    let until = std::time::Instant::now() + LONG;
    while answers.lock().unwrap().is_empty() {
        assert!(std::time::Instant::now() < until, "no answer");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(answers.lock().unwrap()[&0].as_ref().unwrap().outcome, Outcome::New);
}

#[test]
fn what_is_deleted_right_after_its_answer_is_gone_also_after_a_crash() {
    let archive = Archive::new();
    let files = slices(4);
    let target = {
        let store = archive.open();
        let ingest = store.ingest(IngestConfig::default()).unwrap();
        let mut sender = Sender::new(&ingest);
        let receipts: Vec<_> = files.iter().map(|file| sender.send(file).unwrap()).collect();
        assert!(!ingest.is_settled());
        let study_uid = receipts[0].study_uid.clone();
        let target = Target { study_uid, series_uid: None, sop_instance_uid: None };
        // The segment with all of them is still there when the process ends.
        ingest.delete(&target).unwrap();
        assert_eq!(store.catalog().existence(&target).unwrap(), Existence::Gone);
        assert_eq!(spool_files(&archive).len(), 1);
        target
    };
    let store = archive.open();
    assert_eq!(store.catalog().existence(&target).unwrap(), Existence::Gone);
    let mut deleted = 0;
    let mut note = |version: VersionRow| {
        deleted += usize::from(version.deleted);
        Ok(())
    };
    store.catalog().study_versions(&target.study_uid, true, &mut note).unwrap();
    assert_eq!((deleted, store.catalog().totals().unwrap().versions), (4, 0));
    // What was deleted and is sent again is new, by the ordinary way.
    let ingest = store.ingest(support::quick()).unwrap();
    let mut sender = Sender::new(&ingest);
    assert_eq!(sender.send(&files[0]).unwrap().outcome, Outcome::New);
    assert!(ingest.is_settled());
    assert_eq!(export_all(&store).len(), 1);
}

#[test]
fn a_filled_spool_is_taken_in_by_the_next_opening() {
    for encrypt in [true, false] {
        let mut archive = Archive::new();
        archive.config.encrypt = encrypt;
        let files = slices(9);
        send_and_crash(&archive, &files, &IngestConfig::default());
        assert_eq!(spool_files(&archive).len(), 1);
        let plain = as_dataset(&files[0]).0;
        let at_rest = std::fs::read(&spool_files(&archive)[0]).unwrap();
        // Its pixels are packed; what stands before them is not.
        let head = &plain[..plain.len() - PIXEL_BYTES];
        let found = at_rest.windows(head.len()).any(|window| window == head);
        assert_eq!(found, !encrypt, "what is spooled is encrypted where packs are");
        let store = archive.open();
        assert_eq!(data_sets(&store), sorted(&files));
        assert_eq!(spool_files(&archive), Vec::<PathBuf>::new());
        // And it came when it came.
        let ingest = store.ingest(IngestConfig::default()).unwrap();
        assert!(ingest.archive(LONG).unwrap());
        assert_eq!(verify(&store, &Scope::All, 1, &|_| {}).unwrap().findings, []);
    }
}

/// Whoever only reads finds what was acknowledged, too.
#[test]
fn a_reader_finds_what_was_spooled() {
    let archive = Archive::new();
    let files = slices(3);
    send_and_crash(&archive, &files, &IngestConfig::default());
    let store = Store::open(&archive.config, cairn_store::Access::Read).unwrap();
    assert_eq!(data_sets(&store), sorted(&files));
}

/// At every length that a crash may leave: what stands whole is taken in, the rest is not there.
#[test]
fn a_torn_tail_is_cut_and_nothing_else() {
    let files = noise(3);
    let whole = Archive::new();
    send_and_crash(&whole, &files, &IngestConfig::default());
    let path = spool_files(&whole).remove(0);
    let bytes = std::fs::read(&path).unwrap();
    let record = (bytes.len() - HEAD) / 3;
    assert_eq!(record % BLOCK, 0);
    for (left, expected) in [
        (0, 0),
        (30, 0),
        (BLOCK, 0),
        (HEAD, 0),
        (HEAD + 50, 0),
        (HEAD + record - BLOCK, 0),
        (HEAD + record + 3, 1),
        (HEAD + record * 2 + 113, 2),
        (bytes.len() - BLOCK, 2),
        (bytes.len() - 1, 3),
        (bytes.len(), 3),
    ] {
        // The last record says that the one before it was durable: it is cut as if it was not.
        let mut archive = Archive::new();
        drop(archive.open());
        copy_keys(&whole, &mut archive);
        let spool = archive.config.data.join("spool/1.spool");
        std::fs::write(&spool, &bytes[..left]).unwrap();
        let store = archive.open();
        assert_eq!(export_all(&store).len(), expected, "{left} bytes of {}", bytes.len());
        assert_eq!(spool_files(&archive), Vec::<PathBuf>::new(), "{left}");
    }
}

/// The spool of one archive is read under the keys of another.
fn copy_keys(from: &Archive, to: &mut Archive) {
    // One that is no directory is shared.
    to.config.bucket.clone_from(&from.config.bucket);
    for name in ["keys", "bucket", "catalog.sqlite"] {
        let (from, to) = (from.config.data.join(name), to.config.data.join(name));
        if !from.exists() {
            continue;
        }
        let done = std::process::Command::new("sh")
            .args(["-c", "rm -rf \"$2\"; cp -r \"$1\" \"$2\"", "sh"])
            .args([&from, &to])
            .status();
        assert!(done.unwrap().success());
    }
}

#[test]
fn a_record_that_was_acknowledged_and_went_bad_is_kept_and_told_and_harms_no_other() {
    let files = slices(4);
    // Either copy of the head; a record's magic number, its header, what it holds.
    for place in [5, BLOCK + 50, HEAD + 3, HEAD + 40, HEAD + 5000] {
        let archive = Archive::new();
        send_and_crash(&archive, &files, &IngestConfig::default());
        let path = spool_files(&archive).remove(0);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[place] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let store = archive.open();
        let lost = usize::from(place >= HEAD);
        assert_eq!(export_all(&store).len(), files.len() - lost, "byte {place}");
        assert_eq!(verify(&store, &Scope::All, 1, &|_| {}).unwrap().findings, []);
        let aside = path.with_extension("spool.aside");
        assert_eq!(spool_files(&archive), std::slice::from_ref(&aside));
        assert_eq!(std::fs::read(aside).unwrap(), bytes);
        // It is in nobody's way: what is sent again goes to another segment.
        let ingest = store.ingest(IngestConfig::default()).unwrap();
        let mut sender = Sender::new(&ingest);
        for file in &files {
            sender.send(file).unwrap();
        }
        ingest.finish().unwrap();
        assert_eq!(data_sets(&store), sorted(&files));
    }
}

/// Bytes that go bad while they wait are told as well, and nobody waits for them for ever.
#[test]
fn a_record_that_goes_bad_while_it_waits_is_kept_and_told() {
    let archive = Archive::new();
    let files = slices(3);
    let store = archive.open();
    let ingest = store.ingest(IngestConfig::default()).unwrap();
    let mut sender = Sender::new(&ingest);
    for file in &files {
        sender.send(file).unwrap();
    }
    let path = spool_files(&archive).remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[HEAD + 5000] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(ingest.settle(None, LONG));
    let damaged = ingest.counters().spool_damaged.load(Relaxed);
    assert_eq!(damaged, 1);
    assert_eq!(export_all(&store).len(), 2);
    ingest.finish().unwrap();
    assert_eq!(spool_files(&archive), [path.with_extension("spool.aside")]);
}

#[test]
fn what_does_not_fit_takes_the_ordinary_way() {
    let archive = Archive::new();
    let store = archive.open();
    let files = slices(40);
    let bytes: usize = files.iter().map(Vec::len).sum();
    let config = IngestConfig { spool_bytes: bytes as u64 / 3, ..support::quick() };
    let ingest = store.ingest(config.clone()).unwrap();
    let mut sender = Sender::new(&ingest);
    for file in &files {
        assert_eq!(sender.send(file).unwrap().outcome, Outcome::New);
        assert!(ingest.spooled().disk_bytes <= config.spool_bytes);
    }
    ingest.finish().unwrap();
    assert_eq!(data_sets(&store), sorted(&files));
    assert_eq!(spool_files(&archive), Vec::<PathBuf>::new());
}

#[test]
fn it_is_off_where_it_is_switched_off_and_for_late_answers_imports_and_large_objects() {
    let file = slices(1).remove(0);
    let large = phantom::ultrasound_cine(2, 20, 320).bytes;
    assert!(large.len() > 4 << 20);
    let off = IngestConfig { spool_bytes: 0, ..support::quick() };
    let late = IngestConfig { acknowledge: Acknowledge::Archive, ..support::quick() };
    for (config, source, object) in [
        (off, Source::Dimse, &file),
        (late, Source::Dimse, &file),
        (support::quick(), Source::Import, &file),
        (support::quick(), Source::Web, &large),
    ] {
        let archive = Archive::new();
        let store = archive.open();
        let ingest = store.ingest(config).unwrap();
        let mut sender = Sender::new(&ingest);
        sender.send_as(source, object, Arrival::File).unwrap();
        assert!(ingest.is_settled());
        assert_eq!(export_all(&store).len(), 1);
        assert_eq!(spool_files(&archive), Vec::<PathBuf>::new());
    }
}

/// Switched off, what an earlier run acknowledged is taken in all the same.
#[test]
fn what_is_left_is_taken_in_when_it_is_switched_off() {
    let archive = Archive::new();
    let files = slices(3);
    let store = archive.open();
    {
        let ingest = store.ingest(IngestConfig::default()).unwrap();
        let mut sender = Sender::new(&ingest);
        for file in &files {
            sender.send(file).unwrap();
        }
        assert_eq!(ingest.spooled().objects, 3);
    }
    let off = IngestConfig { spool_bytes: 0, ..support::quick() };
    let ingest = store.ingest(off).unwrap();
    assert!(ingest.is_settled());
    assert_eq!(data_sets(&store), sorted(&files));
    ingest.finish().unwrap();
    assert_eq!(spool_files(&archive), Vec::<PathBuf>::new());
}

/// Left alone, everything goes into the archive, and the last segment goes as well.
#[test]
fn what_nobody_asks_for_is_taken_in_while_nobody_sends() {
    let archive = Archive::new();
    let store = archive.open();
    let ingest = store.ingest(support::quick()).unwrap();
    let files = slices(3);
    let mut sender = Sender::new(&ingest);
    for file in &files {
        sender.send(file).unwrap();
    }
    let until = std::time::Instant::now() + LONG;
    while !spool_files(&archive).is_empty() {
        assert!(std::time::Instant::now() < until, "{:?}", ingest.spooled());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(data_sets(&store), sorted(&files));
    assert_eq!(ingest.spooled(), cairn_store::ingest::Spooled::default());
}

/// Half a record is cut off again, and its object takes the ordinary way.
#[test]
fn a_disk_that_is_full_stops_nobody() {
    let files = noise(6);
    let (head, block) = (HEAD as u64, BLOCK as u64);
    let record = (as_dataset(&files[0]).0.len() as u64 + 200).next_multiple_of(block);
    for (room, free, spooled) in [
        (10, u64::MAX, 0),
        (head + record / 2, u64::MAX, 0),
        (head + record * 5 / 2, u64::MAX, 2),
        (u64::MAX / 2, 550 << 20, 0),
        (u64::MAX / 2, 700 << 20, 6),
    ] {
        let archive = Archive::new();
        let small = SmallDisk::new("spool", room, free);
        {
            let store = archive.open_on(Arc::new(small)).unwrap();
            let ingest = store.ingest(IngestConfig::default()).unwrap();
            let answers = Answers::default();
            for (no, file) in files.iter().enumerate() {
                hand_in_from(Source::Web, &ingest, no, file, Arrival::File, &answers);
            }
            assert_eq!(ingest.spooled().objects, spooled, "{room} bytes of room, {free} free");
            ingest.drain().unwrap();
            assert!(answers.lock().unwrap().values().all(Result::is_ok));
            assert_eq!(answers.lock().unwrap().len(), files.len());
        }
        let store = archive.open();
        assert_eq!(data_sets(&store), sorted(&files));
    }
}

/// Sequence numbers, by which lists are ordered, are given in the order of arrival, though objects of
/// very different sizes are coded side by side.
#[test]
fn the_order_of_arrival_is_kept() {
    let archive = Archive::new();
    let store = archive.open();
    let ingest = store.ingest(IngestConfig::default()).unwrap();
    let mut files = Vec::new();
    for seed in 1..7 {
        // Coded in far less than the quarter of a second for which others wait, also on a busy machine.
        files.extend(bytes_of(phantom::ct(seed, 1, 192)));
        files.extend(bytes_of(phantom::many_small(seed, 3)));
    }
    let mut sender = Sender::new(&ingest);
    let sent: Vec<_> =
        files.iter().map(|file| sender.send(file).unwrap().sop_instance_uid).collect();
    assert!(ingest.spooled().objects > 1);
    ingest.finish().unwrap();
    let mut kept = Vec::new();
    for study in support::study_uids(&store) {
        let mut note = |version: cairn_store::catalog::VersionRow| {
            kept.push((version.seq, version.sop_instance_uid));
            Ok(())
        };
        store.catalog().study_versions(&study, false, &mut note).unwrap();
    }
    kept.sort();
    assert_eq!(kept.into_iter().map(|(_, sop)| sop).collect::<Vec<_>>(), sent);
}

/// Many at once: they share syncs, and each is answered once.
#[test]
fn many_senders_share_the_spool() {
    let archive = Archive::new();
    let store = archive.open();
    let ingest = store.ingest(IngestConfig::default()).unwrap();
    let files: Vec<Vec<u8>> = (1..9).flat_map(|seed| bytes_of(phantom::ct(seed, 12, 64))).collect();
    std::thread::scope(|scope| {
        for part in files.chunks(12) {
            let ingest = &ingest;
            scope.spawn(move || {
                let mut sender = Sender::new(ingest);
                for file in part {
                    assert_eq!(sender.send(file).unwrap().outcome, Outcome::New);
                }
            });
        }
    });
    let acknowledged = &ingest.counters().acknowledged;
    assert_eq!(acknowledged.load(Relaxed), files.len() as u64);
    ingest.finish().unwrap();
    assert_eq!(data_sets(&store), sorted(&files));
}

/// What senders are told, what studies are called, and how many versions there are.
type Told = (Vec<Result<(Outcome, bool), String>>, Vec<(String, String)>, u64);

/// What comes of a list of objects that are sent one after the other, each as soon as the one before it
/// is answered; `early`: they are worked on while they come.
fn told(
    (spool_bytes, early): (u64, bool),
    duplicates: DuplicatePolicy,
    objects: &[Vec<u8>],
) -> Told {
    let archive = Archive::new();
    let store = archive.open();
    let config = IngestConfig { spool_bytes, duplicates, ..support::quick() };
    let ingest = store.ingest(config).unwrap();
    let mut sender = if early { Sender::new(&ingest) } else { Sender::late(&ingest) };
    let answer = |receipt: Receipt| (receipt.outcome, receipt.visible);
    let answers = objects.iter().map(|object| sender.send(object).map(answer)).collect();
    ingest.finish().unwrap();
    let roots = support::study_uids(&store).into_iter().map(|study| {
        let root = store.study_tree(&study).unwrap().root().to_string();
        (study, root)
    });
    let roots = roots.collect();
    let versions = store.catalog().totals().unwrap().versions;
    (answers, roots, versions)
}

#[test]
fn no_outcome_depends_on_the_spool_whatever_the_policy() {
    let slices = slices(3);
    let corrected = |n: usize, name: &str| {
        phantom::correct_demographics(&slices[n], name, "ID-2", "A").unwrap()
    };
    // Other pixels under the same UIDs: the last byte is one of them.
    let mut other = slices[0].clone();
    *other.last_mut().unwrap() ^= 1;
    let mut objects = bytes_of(phantom::many_small(3, 4));
    objects.extend([phantom::structured_report(3).bytes, phantom::ultrasound_cine(2, 3, 64).bytes]);
    objects.extend([&slices[0], &slices[0], &other, &slices[1]].map(Clone::clone));
    objects.extend([corrected(1, "A^B"), corrected(1, "C^D"), slices[1].clone()]);
    objects.extend([slices[0].clone(), other, corrected(2, "A^B"), slices[2].clone()]);
    objects.push(b"no DICOM at all".to_vec());
    let ways = [OnDuplicate::First, OnDuplicate::Latest, OnDuplicate::Reject];
    for correction in ways {
        for conflict in ways {
            let policy = DuplicatePolicy { correction, conflict };
            let with = told((1 << 30, true), policy, &objects);
            for other in [(1 << 30, false), (0, true), (0, false)] {
                assert_eq!(with, told(other, policy, &objects), "{policy:?} {other:?}");
            }
            let outcomes: Vec<_> = with.0.iter().flatten().map(|(outcome, _)| *outcome).collect();
            for outcome in [Outcome::New, Outcome::Duplicate] {
                assert!(outcomes.contains(&outcome), "{outcomes:?}");
            }
        }
    }
}

/// Who sent a spooled object is known to the rules that forward it, also after a crash.
#[test]
fn the_sender_of_a_spooled_object_is_known() {
    for crash in [false, true] {
        let archive = Archive::new();
        let store = archive.open();
        let ingest = store.ingest(IngestConfig::default()).unwrap();
        let (data, transfer_syntax) = as_dataset(&slices(1)[0]);
        let caller = Caller { calling: "CT1".into(), called: "CAIRN".into() };
        let incoming = Incoming {
            early: None,
            reader: &mut data.as_slice(),
            bytes: Some(data.len() as u64),
            source: Source::Dimse,
            arrival: Arrival::Dataset { transfer_syntax },
            admission: Admission { sender: Some(caller), ..Admission::default() },
        };
        ingest.receive(incoming, |answer| assert!(answer.is_ok())).unwrap();
        ingest.hurry();
        assert_eq!(ingest.spooled().objects, 1);
        let store = if crash {
            drop((ingest, store));
            archive.open()
        } else {
            ingest.finish().unwrap();
            store
        };
        let arrivals = store.catalog().outbox().arrivals(10).unwrap();
        let of = arrivals.iter().map(|one| (one.calling.as_str(), one.called.as_str()));
        assert_eq!(of.collect::<Vec<_>>(), [("CT1", "CAIRN")], "{crash}");
    }
}

/// An association's memory for what it works on early serves objects of all lengths, and what was sent
/// in part leaves nothing behind.
#[test]
fn what_is_worked_on_early_is_stored_as_it_was_sent() {
    let archive = Archive::new();
    let store = archive.open();
    let ingest = store.ingest(IngestConfig::default()).unwrap();
    let mut files = slices(2);
    // 2 MiB and a half, 1152 KiB, 512 KiB, and what is longer than is read early but has no pixels.
    files.extend(bytes_of(phantom::ct(5, 1, 1150)));
    files.extend(bytes_of(phantom::ct(6, 1, 768)));
    files.extend(bytes_of(phantom::ct(7, 2, 512)));
    files.push(phantom::structured_report(8).bytes);
    files.push(phantom::ultrasound_cine(9, 3, 64).bytes);
    let mut sender = Sender::new(&ingest);
    let mut broken = Early::default();
    for file in &files {
        let (data, transfer_syntax) = as_dataset(file);
        let arrival = Arrival::Dataset { transfer_syntax };
        let part = &data[..data.len() / 2];
        let mut wire = Pieces { bytes: part, turn: 1 }.chain(Broken);
        let read = ingest.read_early(&mut broken, &arrival, &mut wire);
        assert_eq!(read.is_err(), part.len() < EARLY_BYTES_MAX);
        assert!(!broken.is_whole());
        assert_eq!(broken.bytes(), &part[..part.len().min(EARLY_BYTES_MAX)]);
        assert_eq!(sender.send(file).unwrap().outcome, Outcome::New);
    }
    // Once more, while some of them wait, and again when none does.
    for _ in 0..2 {
        for file in &files {
            assert_eq!(sender.send(file).unwrap().outcome, Outcome::Duplicate);
        }
        assert!(ingest.settle(None, LONG));
    }
    // Memory that served others holds nothing that gets into what is sent next.
    let (data, transfer_syntax) =
        as_dataset(&phantom::correct_demographics(&files[3], "A^B", "C", "D").unwrap());
    let arrival = Arrival::Dataset { transfer_syntax };
    assert_eq!(sender.send_as(Source::Dimse, &data, arrival).unwrap().outcome, Outcome::Correction);
    ingest.finish().unwrap();
    let mut expected = sorted(&files);
    expected.push(data);
    expected.sort();
    let mut all = data_sets(&store);
    all.dedup();
    assert!(all.iter().all(|data| expected.contains(data)));
    assert_eq!(all.len(), files.len(), "one of each name is shown");
    assert_eq!(verify(&store, &Scope::All, 1, &|_| {}).unwrap().findings, []);
}

/// An object that comes in pieces claims its chunks before anybody knows its name. If the same one waits
/// in the spool under that name, neither may wait for the other for ever.
#[test]
fn an_object_in_pieces_and_the_same_one_in_the_spool_do_not_wait_for_each_other() {
    let archive = Archive::new();
    let store = archive.open();
    let ingest = store.ingest(IngestConfig::default()).unwrap();
    // Longer than the first buffer.
    let file = bytes_of(phantom::ct(4, 1, 512)).remove(0);
    let (data, transfer_syntax) = as_dataset(&file);
    let arrival = Arrival::Dataset { transfer_syntax };
    assert_eq!(Sender::new(&ingest).send(&file).unwrap().outcome, Outcome::New);
    assert_eq!(ingest.spooled().objects, 1);
    let (told, answer) = std::sync::mpsc::channel();
    let ingest = Arc::new(ingest);
    let again = Arc::clone(&ingest);
    let sender = std::thread::spawn(move || {
        let incoming = Incoming {
            early: None,
            reader: &mut data.as_slice(),
            bytes: None,
            source: Source::Dimse,
            arrival,
            admission: Admission::default(),
        };
        again.receive(incoming, move |answer| told.send(answer).unwrap()).unwrap();
        again.hurry();
    });
    let receipt = answer.recv_timeout(LONG).expect("they wait for each other").unwrap();
    assert_eq!((receipt.outcome, receipt.visible), (Outcome::Duplicate, true));
    sender.join().unwrap();
    let ingest = Arc::into_inner(ingest).unwrap();
    ingest.finish().unwrap();
    assert_eq!(data_sets(&store), sorted(&[file]));
    assert_eq!(verify(&store, &Scope::All, 1, &|_| {}).unwrap().findings, []);
}

/// A wire that is cut.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Another site key is no reason to set anything aside: with the right one everything is there.
#[test]
fn a_spool_under_another_site_key_is_refused_and_kept() {
    let archive = Archive::new();
    let files = slices(2);
    send_and_crash(&archive, &files, &IngestConfig::default());
    let path = archive.config.data.join("keys/site.key");
    let key = std::fs::read_to_string(&path).unwrap();
    let mut words: Vec<String> = key.split(' ').map(str::to_owned).collect();
    // The first of the two secrets, which wraps; the other one is what a bucket is bound to.
    let place = words.iter().position(|word| word.ends_with("cairn-site-key-v1")).unwrap() + 1;
    words[place] = words[place].chars().rev().collect();
    std::fs::write(&path, words.join(" ")).unwrap();
    let error = archive.open_on(Arc::new(OsDisk)).unwrap_err();
    assert!(error.to_string().contains("another site key"), "{error}");
    assert_eq!(spool_files(&archive).len(), 1);
    std::fs::write(&path, key).unwrap();
    assert_eq!(data_sets(&archive.open()), sorted(&files));
}

/// A second process cannot ask the first; it can tell that something may be missing.
#[test]
fn a_reader_beside_the_writer_knows_that_something_is_spooled() {
    let archive = Archive::new();
    let store = archive.open();
    let ingest = store.ingest(IngestConfig::default()).unwrap();
    Sender::new(&ingest).send(&slices(1)[0]).unwrap();
    let beside = Store::open(&archive.config, cairn_store::Access::Read).unwrap();
    assert!(beside.unseen_bytes() > 10_000);
    assert_eq!(store.unseen_bytes(), 0, "it can settle");
    let until = std::time::Instant::now() + LONG;
    while beside.unseen_bytes() > 0 {
        assert!(std::time::Instant::now() < until, "{:?}", ingest.spooled());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(export_all(&beside).len(), 1);
    drop((ingest, store));
    let alone = Store::open(&archive.config, cairn_store::Access::Read).unwrap();
    assert_eq!(alone.unseen_bytes(), 0);
}

/// Native pixels are packed for their time in the spool, and come back as they were.
#[test]
fn pixels_take_less_room_in_the_spool_and_come_back_also_after_a_crash() {
    let archive = Archive::new();
    let mut files: Vec<Vec<u8>> = bytes_of(phantom::ct(3, 5, 512));
    let bytes: usize = files.iter().map(Vec::len).sum();
    let config = IngestConfig::default();
    send_and_crash(&archive, &files, &config);
    let spooled: u64 =
        spool_files(&archive).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(spooled < bytes as u64 * 3 / 4, "{spooled} of {bytes}");
    let store = archive.open();
    let ingest = store.ingest(config).unwrap();
    let more = bytes_of(phantom::ct(4, 5, 512));
    let mut sender = Sender::new(&ingest);
    for file in &more {
        sender.send(file).unwrap();
    }
    ingest.finish().unwrap();
    files.extend(more);
    assert_eq!(data_sets(&store), sorted(&files));
    assert_eq!(verify(&store, &Scope::All, 1, &|_| {}).unwrap().findings, []);
}
