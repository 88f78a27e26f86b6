//! Files that the spool is given while nobody sends, for the first study to be written over.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use cairn_store::ingest::Ingest;
use cairn_store::{IngestConfig, Store};
use support::Archive;
use support::disk::SmallDisk;
use support::spool::{Sender, data_sets, noise, of_kind, sorted, spool_files, until};

/// A segment of the smallest spool that has several.
const SEGMENT: u64 = 1 << 20;
/// A quarter of it is prepared.
const SPOOL: u64 = 8 * SEGMENT;
/// With this much free any server prepares.
const AMPLE: u64 = 1 << 40;
/// More than it takes to see that nobody sends, and to write it.
const A_WHILE: Duration = Duration::from_millis(3500);

fn prepares() -> IngestConfig {
    IngestConfig { spool_bytes: SPOOL, prepare_spool: true, ..support::quick() }
}

fn open(archive: &Archive, disk: &SmallDisk) -> Store {
    archive.open_on(Arc::new(disk.clone())).unwrap()
}

/// Waits until all of it is there.
fn until_prepared(ingest: &Ingest) {
    until("nothing is prepared", || ingest.spooled().spare_bytes == SPOOL / 4);
}

/// The archive goes on: what is sent to it is there.
fn assert_takes_more(store: &Store, ingest: Ingest) {
    let files = noise(3);
    let mut sender = Sender::new(&ingest);
    for file in &files {
        sender.send(file).unwrap();
    }
    ingest.finish().unwrap();
    assert_eq!(data_sets(store), sorted(&files));
}

/// Lengths of the spares, by the names of their files.
fn spares(archive: &Archive) -> Vec<(String, u64)> {
    let about = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, path.metadata().unwrap().len())
    };
    of_kind(archive, "spare").iter().map(about).collect()
}

#[test]
fn the_first_study_is_written_over_files_that_were_prepared() {
    let (archive, disk) = (Archive::new(), SmallDisk::new("none", 0, AMPLE));
    let files = noise(24);
    {
        let store = open(&archive, &disk);
        let ingest = store.ingest(prepares()).unwrap();
        assert_eq!(spool_files(&archive).len(), 0, "before anybody could send");
        until_prepared(&ingest);
        let two = [("1.spare".to_owned(), SEGMENT), ("2.spare".to_owned(), SEGMENT)];
        assert_eq!(spares(&archive), two);
        let mut sender = Sender::new(&ingest);
        sender.send(&files[0]).unwrap();
        let segment = of_kind(&archive, "spool");
        assert_eq!(segment.len(), 1);
        assert_eq!(segment[0].metadata().unwrap().len(), SEGMENT, "it is a new file");
        assert_eq!(spares(&archive).len(), 1);
        for file in &files[1..] {
            sender.send(file).unwrap();
        }
        // What was prepared comes back, and no more is than there was.
        until("segments stay", || of_kind(&archive, "spool").is_empty());
        std::thread::sleep(A_WHILE);
        let there = spares(&archive);
        assert!(there.len() == 2 && there.iter().all(|(_, bytes)| *bytes == SEGMENT), "{there:?}");
        ingest.finish().unwrap();
        assert_eq!(data_sets(&store), sorted(&files));
    }
    // The next run has them at once, and prepares nothing.
    let before = spares(&archive);
    let store = open(&archive, &disk);
    let ingest = store.ingest(prepares()).unwrap();
    assert_eq!(ingest.spooled().spare_bytes, SPOOL / 4);
    std::thread::sleep(A_WHILE);
    assert_eq!(spares(&archive), before);
}

/// A run that ended, or a crash, leaves part of a file: half and more of one is as good as a whole one.
#[test]
fn what_a_crash_leaves_of_one_is_used_or_removed() {
    let (archive, disk) = (Archive::new(), SmallDisk::new("none", 0, AMPLE));
    drop(open(&archive, &disk));
    let spool = archive.config.data.join("spool");
    std::fs::create_dir_all(&spool).unwrap();
    std::fs::write(spool.join("4.spare"), vec![0; SEGMENT as usize / 2 - 1]).unwrap();
    std::fs::write(spool.join("5.spare"), vec![0; SEGMENT as usize * 3 / 4]).unwrap();
    std::fs::write(spool.join("6.spare"), []).unwrap();
    let store = open(&archive, &disk);
    let ingest = store.ingest(prepares()).unwrap();
    assert_eq!(spares(&archive), [("5.spare".to_owned(), SEGMENT * 3 / 4)]);
    until("no other is prepared", || ingest.spooled().spare_bytes == SEGMENT * 7 / 4);
    assert_eq!(spares(&archive)[1], ("7.spare".to_owned(), SEGMENT));
    assert_takes_more(&store, ingest);
}

/// On a disk that fails while they are written, nothing stays of them and the archive goes on.
#[test]
fn a_disk_that_fills_up_ends_the_preparing_and_nothing_else() {
    let case = |left: u64, stay: u64| {
        let (archive, disk) = (Archive::new(), SmallDisk::new("spare", left, AMPLE));
        let store = open(&archive, &disk);
        let ingest = store.ingest(prepares()).unwrap();
        std::thread::sleep(A_WHILE);
        assert_eq!(disk.0.left.load(Relaxed), 0, "nothing was tried");
        assert_eq!(ingest.spooled().spare_bytes, stay * SEGMENT);
        assert_eq!(spares(&archive).len() as u64, stay);
        // Not even where there is room again.
        disk.0.left.store(u64::MAX / 2, Relaxed);
        std::thread::sleep(A_WHILE);
        assert_eq!(spares(&archive).len() as u64, stay);
        assert_takes_more(&store, ingest);
    };
    std::thread::scope(|scope| {
        for (left, stay) in [(0, 0), (SEGMENT / 2, 0), (SEGMENT + SEGMENT / 2, 1)] {
            scope.spawn(move || case(left, stay));
        }
    });
}

#[test]
fn nothing_is_prepared_on_a_short_disk_nor_unasked_nor_without_encryption() {
    let ample = || SmallDisk::new("none", 0, AMPLE);
    let mut plain = Archive::new();
    plain.config.encrypt = false;
    let unasked = IngestConfig { prepare_spool: false, ..prepares() };
    let cases = [
        (Archive::new(), SmallDisk::new("none", 0, 8 << 30), prepares(), 2),
        (Archive::new(), SmallDisk::new("none", 0, (8 << 30) - 1), prepares(), 0),
        (Archive::new(), ample(), unasked, 0),
        (plain, ample(), prepares(), 0),
    ];
    let running: Vec<_> = cases
        .into_iter()
        .map(|(archive, disk, config, count)| {
            let store = open(&archive, &disk);
            let ingest = store.ingest(config).unwrap();
            (archive, store, ingest, count)
        })
        .collect();
    std::thread::sleep(A_WHILE);
    for (archive, _store, _ingest, count) in &running {
        assert_eq!(spool_files(archive).len(), *count);
    }
}

/// Whoever sends now and then is not disturbed.
#[test]
fn nothing_is_prepared_while_somebody_sends() {
    let (archive, disk) = (Archive::new(), SmallDisk::new("none", 0, AMPLE));
    let store = open(&archive, &disk);
    let ingest = store.ingest(prepares()).unwrap();
    let files = noise(4);
    let mut sender = Sender::new(&ingest);
    for file in &files {
        sender.send(file).unwrap();
        std::thread::sleep(Duration::from_secs(1));
        let spares = of_kind(&archive, "spare");
        // A short segment is not kept.
        assert!(spares.is_empty(), "{spares:?}");
    }
    until_prepared(&ingest);
}
