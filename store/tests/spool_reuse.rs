//! Segments of the spool that are written over: what an earlier use left in one is never taken for
//! something that was received, and nothing that was is passed over as such.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use cairn_dicom::phantom;
use cairn_store::disk::OsDisk;
use cairn_store::ingest::Ingest;
use cairn_store::verify::{Scope, verify};
use cairn_store::{IngestConfig, Store};
use support::disk::SmallDisk;
use support::spool::{
    BLOCK, HEAD, LONG, Sender, data_sets, of_kind, sorted, spool_files, until, with_noise,
};
use support::{Archive, as_dataset, bytes_of, export_all};

/// A segment of the smallest spool that has several.
const SEGMENT: u64 = 1 << 20;
/// Spares are half of it at most.
const SPOOL: u64 = 8 * SEGMENT;

fn small() -> IngestConfig {
    IngestConfig { spool_bytes: SPOOL, ..support::quick() }
}

/// Slices of 131 kB, which cannot be packed: seven fill a segment. Each seed is a study of its own.
fn study(seed: u64, count: u32) -> Vec<Vec<u8>> {
    with_noise(bytes_of(phantom::ct(seed, count as _, 256)), 256 * 256 * 2)
}

fn send(ingest: &Ingest, files: &[Vec<u8>]) {
    let mut sender = Sender::new(ingest);
    for file in files {
        sender.send(file).unwrap();
    }
}

/// Sends a study of two segments and more, and waits for the spares that come of it.
fn fill(archive: &Archive, ingest: &Ingest, seed: u64) -> Vec<Vec<u8>> {
    let files = study(seed, 16);
    send(ingest, &files);
    assert!(ingest.settle(None, LONG));
    until("no segment became a spare", || of_kind(archive, "spare").len() >= 2);
    files
}

/// An archive with nothing in it, and what the spool of another one with the same keys was left with by
/// a crash: one segment, in a file that held a whole study before, with so many slices.
struct Left {
    empty: Archive,
    segment: PathBuf,
    /// What was acknowledged.
    files: Vec<Vec<u8>>,
}

fn copy(from: &Path, to: &Path) {
    let script = "rm -rf \"$2\"; cp -r \"$1\" \"$2\"";
    let done =
        std::process::Command::new("sh").args(["-c", script, "sh"]).args([from, to]).status();
    assert!(done.unwrap().success());
}

impl Left {
    fn new(count: u32) -> Self {
        let (archive, empty) = (Archive::new(), Archive::new());
        drop(archive.open());
        copy(&archive.config.data, &empty.config.data);
        let store = archive.open();
        let ingest = store.ingest(small()).unwrap();
        fill(&archive, &ingest, 1);
        until("the last segment stays", || of_kind(&archive, "spool").is_empty());
        let files = study(2, count);
        send(&ingest, &files);
        assert_eq!(ingest.spooled().objects, u64::from(count), "they were drained already");
        drop(ingest);
        let left = of_kind(&archive, "spool");
        let segment = left[0].clone();
        assert_eq!(left.len(), 1);
        assert!(segment.metadata().unwrap().len() > SEGMENT / 2, "it is a new file");
        let bytes = std::fs::read(&segment).unwrap();
        assert!(bytes[HEAD + record_bytes(&files) * (files.len() + 1)..].iter().any(|b| *b != 0));
        let to = empty.config.data.join("spool").join(segment.file_name().unwrap());
        std::fs::copy(&segment, &to).unwrap();
        let mut empty = empty;
        empty.config.bucket.clone_from(&archive.config.bucket);
        Self { empty, segment: to, files }
    }

    /// Changes the segment and opens; returns what came out, and how many files were set aside.
    fn open(&self, change: impl FnOnce(&mut Vec<u8>)) -> (Vec<Vec<u8>>, usize) {
        let mut bytes = std::fs::read(&self.segment).unwrap();
        change(&mut bytes);
        std::fs::write(&self.segment, bytes).unwrap();
        let store = self.empty.open();
        assert_eq!(verify(&store, &Scope::All, 1, &|_| {}).unwrap().findings, []);
        (data_sets(&store), of_kind(&self.empty, "aside").len())
    }
}

/// Length on the disk of the record of one of these, all of the same length.
fn record_bytes(files: &[Vec<u8>]) -> usize {
    (as_dataset(&files[0]).0.len() + 200).next_multiple_of(BLOCK)
}

#[test]
fn segments_are_written_over_and_bounded_in_number_and_bytes() {
    let archive = Archive::new();
    let store = archive.open();
    let ingest = store.ingest(small()).unwrap();
    let mut files = Vec::new();
    let mut names = Vec::new();
    for seed in 1..7 {
        files.extend(study(seed, 40));
        send(&ingest, &files[files.len() - 40..]);
        assert!(ingest.settle(None, LONG));
        until("a segment stays", || ingest.spooled().disk_bytes <= SEGMENT);
        let spooled = ingest.spooled();
        assert!(spooled.spare_bytes > 0 && spooled.spare_bytes <= SPOOL / 2, "{spooled:?}");
        let spares = of_kind(&archive, "spare");
        let bytes: u64 = spares.iter().map(|path| path.metadata().unwrap().len()).sum();
        assert_eq!(bytes, spooled.spare_bytes);
        assert!(spares.len() <= 8);
        names.push(spares);
    }
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "none was used again");
    ingest.finish().unwrap();
    assert_eq!(data_sets(&store), sorted(&files));
    drop(store);
    // The next run goes on with them, and one without a spool does away with them.
    let store = archive.open();
    let ingest = store.ingest(small()).unwrap();
    assert!(ingest.spooled().spare_bytes > 0);
    send(&ingest, &study(9, 3));
    ingest.finish().unwrap();
    drop(store);
    let store = archive.open();
    let off = IngestConfig { spool_bytes: 0, ..support::quick() };
    store.ingest(off).unwrap().finish().unwrap();
    assert_eq!(spool_files(&archive), Vec::<PathBuf>::new());
    assert_eq!(export_all(&store).len(), 243);
}

/// A crash while segments are used again, at many places: everything acknowledged is there, nothing else
/// is, and nothing is told of that is not so.
#[test]
fn a_crash_in_a_later_use_leaves_what_was_acknowledged_in_it() {
    for count in [1, 6, 7, 8, 20] {
        let archive = Archive::new();
        let store = archive.open();
        let ingest = store.ingest(small()).unwrap();
        let mut files = fill(&archive, &ingest, 1);
        files.extend(fill(&archive, &ingest, 2));
        let last = study(3, count);
        send(&ingest, &last);
        assert!(ingest.spooled().objects > 0, "they were drained already");
        files.extend(last);
        drop((ingest, store));
        let store = archive.open();
        assert_eq!(data_sets(&store), sorted(&files), "{count}");
        assert_eq!(of_kind(&archive, "aside"), Vec::<PathBuf>::new(), "{count}");
        let ingest = store.ingest(small()).unwrap();
        fill(&archive, &ingest, 4);
    }
}

#[test]
fn what_an_earlier_use_left_is_not_taken_for_something_received() {
    for count in [1, 3, 5] {
        let left = Left::new(count);
        let (out, aside) = left.open(|_| {});
        assert_eq!(out, sorted(&left.files), "{count}");
        assert_eq!(aside, 0);
        assert_eq!(of_kind(&left.empty, "spool"), Vec::<PathBuf>::new());
    }
    // Before its first record as well.
    let left = Left::new(1);
    let (out, aside) = left.open(|bytes| bytes[HEAD..HEAD + BLOCK].fill(0xaa));
    assert_eq!((out.len(), aside), (0, 0));
}

/// At every place where a write may be cut short, with what an earlier use left behind it.
#[test]
fn a_torn_end_before_what_an_earlier_use_left_is_passed_over() {
    let left = Left::new(3);
    let record = record_bytes(&left.files);
    let old = std::fs::read(&left.segment).unwrap();
    // The third is cut: its end, its beginning, or all of it, is as it was before.
    for lost in [record - BLOCK..record, 0..BLOCK, 0..record] {
        let left = Left::new(3);
        let (out, aside) = left.open(|bytes| {
            let at = HEAD + 2 * record;
            // From what stands further behind: bytes of another use.
            let was = old[at + record + BLOCK..][..lost.len()].to_vec();
            bytes[at + lost.start..at + lost.end].copy_from_slice(&was);
        });
        assert_eq!((out.len(), aside), (2, 0), "{lost:?}");
    }
}

#[test]
fn a_damaged_record_of_the_present_use_is_told() {
    for (place, lost) in [(5, 0), (BLOCK + 50, 0), (HEAD + 3, 1), (HEAD + 70, 1), (HEAD + 5000, 1)]
    {
        let left = Left::new(4);
        let (out, aside) = left.open(|bytes| bytes[place] ^= 1);
        assert_eq!((out.len(), aside), (4 - lost, 1), "byte {place}");
    }
    // Older bytes where a record stood, as a disk leaves that forgets a write.
    let left = Left::new(4);
    let record = record_bytes(&left.files);
    let (out, aside) = left.open(|bytes| {
        let was = bytes[HEAD + 4 * record + BLOCK..][..record].to_vec();
        bytes[HEAD + record..HEAD + 2 * record].copy_from_slice(&was);
    });
    assert_eq!((out.len(), aside), (3, 1));
    // Without its head nothing can be read: that is told too, and nothing of another use comes instead.
    let left = Left::new(4);
    let (out, aside) = left.open(|bytes| bytes[..HEAD].fill(0));
    assert_eq!((out.len(), aside), (0, 1));
}

/// A segment that is followed by another one has an end, and what is damaged in front of that is told
/// also where it is the last record.
#[test]
fn the_last_record_of_a_segment_that_is_complete_is_not_taken_for_a_torn_one() {
    let archive = Archive::new();
    let store = archive.open();
    let ingest = store.ingest(small()).unwrap();
    fill(&archive, &ingest, 1);
    until("the last segment stays", || of_kind(&archive, "spool").is_empty());
    let files = study(2, 9);
    let record = record_bytes(&files);
    send(&ingest, &files);
    assert_eq!(ingest.spooled().objects, 9, "they were drained already");
    drop((ingest, store));
    let segments = of_kind(&archive, "spool");
    assert_eq!(segments.len(), 2);
    let mut bytes = std::fs::read(&segments[0]).unwrap();
    let whole = (SEGMENT as usize - HEAD) / record;
    bytes[HEAD + (whole - 1) * record + 20] ^= 1;
    std::fs::write(&segments[0], bytes).unwrap();
    let store = archive.open();
    assert_eq!(store.catalog().totals().unwrap().versions, 16 + 8);
    assert_eq!(of_kind(&archive, "aside").len(), 1);
}

#[test]
fn a_spare_can_be_read_by_nobody_and_without_encryption_there_is_none() {
    for encrypt in [true, false] {
        let mut archive = Archive::new();
        archive.config.encrypt = encrypt;
        let store = archive.open();
        let ingest = store.ingest(small()).unwrap();
        let files = study(1, 16);
        send(&ingest, &files);
        assert!(ingest.settle(None, LONG));
        until("a segment stays", || of_kind(&archive, "spool").is_empty());
        let spares = of_kind(&archive, "spare");
        assert_eq!(spares.is_empty(), !encrypt);
        for spare in spares {
            let bytes = std::fs::read(&spare).unwrap();
            assert!(bytes[..HEAD].iter().all(|byte| *byte == 0), "the seed of its key is there");
            let plain = &as_dataset(&files[0]).0[..200];
            assert!(!bytes.windows(plain.len()).any(|window| window == plain));
        }
    }
}

/// The run ended between the two steps by which a segment becomes a spare.
#[test]
fn a_spare_that_was_not_wiped_is_wiped_by_the_next_run() {
    let left = Left::new(5);
    let no: u64 = left.segment.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let spare = left.segment.with_extension("spare");
    std::fs::rename(&left.segment, &spare).unwrap();
    let store = left.empty.open();
    let ingest = store.ingest(small()).unwrap();
    assert_eq!(export_all(&store).len(), 0, "nothing in a spare is needed");
    assert!(std::fs::read(&spare).unwrap()[..HEAD].iter().all(|byte| *byte == 0));
    send(&ingest, &left.files);
    let used = spare.with_file_name(format!("{}.spool", no + 1));
    assert!(!spare.exists() && used.metadata().unwrap().len() > SEGMENT / 2);
    ingest.finish().unwrap();
    assert_eq!(data_sets(&store), sorted(&left.files));
}

#[test]
fn a_segment_of_a_build_that_was_never_released_is_refused_and_kept() {
    let archive = Archive::new();
    drop(archive.open());
    let mut head = [0; 64];
    head[..8].copy_from_slice(b"CAIRNSPL");
    head[8] = 1;
    head[16] = 1;
    let check = crc32c::crc32c(&head[..60]);
    head[60..].copy_from_slice(&check.to_le_bytes());
    let path = archive.config.data.join("spool/1.spool");
    std::fs::write(&path, head).unwrap();
    let error = archive.open_on(Arc::new(OsDisk)).unwrap_err();
    assert!(
        error.to_string().contains("1.spool: this segment of the spool has format 1"),
        "{error}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), head);
}

#[test]
fn spares_are_given_back_where_the_disk_is_short_of_room() {
    let archive = Archive::new();
    let disk = SmallDisk::new("none", 0, 1 << 40);
    let store: Store = archive.open_on(Arc::new(disk.clone())).unwrap();
    let ingest = store.ingest(small()).unwrap();
    fill(&archive, &ingest, 1);
    disk.0.free.store(100 << 20, Relaxed);
    until("the spares stay", || of_kind(&archive, "spare").is_empty());
    assert_eq!(ingest.spooled().spare_bytes, 0);
    // And none is kept while that is so.
    send(&ingest, &study(2, 16));
    assert!(ingest.settle(None, LONG));
    assert_eq!(ingest.spooled().spare_bytes, 0);
    ingest.finish().unwrap();
    assert_eq!(export_all(&store).len(), 32);
}
