//! Disks that fail: at every single operation, in every way, nothing acknowledged is lost and nothing
//! half there is seen.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cairn_dicom::phantom;
use cairn_store::collect::{CollectConfig, CollectReport, Watch, collect};
use cairn_store::commit::{Source, Target};
use cairn_store::disk::{Disk, DiskFile, DiskSync, OsDisk};
use cairn_store::ingest::{Admission, Arrival, Ingest};
use cairn_store::verify::{Scope, verify};
use cairn_store::{Acknowledge, Error, IngestConfig, Store};
use support::spool::with_noise;
use support::{Answers, Archive, bytes_of, export_all, hand_in, hand_in_from, quick};

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The disk has an error: nothing happens.
    Error,
    /// Half of the bytes are written, then the disk has an error.
    Short,
    /// From now on nothing can be written: the disk is full.
    Full,
}

/// The operating system's disk, which fails at one operation and remembers what was synced.
#[derive(Debug)]
struct FaultyDisk {
    fault: Fault,
    at: u64,
    done: AtomicU64,
    /// Each file as of its last sync: what a power cut leaves for certain of what is appended, and of
    /// what is written over wherever nothing newer reached the disk.
    synced: Mutex<HashMap<PathBuf, Vec<u8>>>,
    /// What each open file is called now.
    names: Mutex<Vec<Name>>,
    /// Segments of the spool that were begun, and those of them in a file that was one before.
    segments: AtomicU64,
    reused: AtomicU64,
}

type Name = Arc<Mutex<PathBuf>>;

impl FaultyDisk {
    fn new(fault: Fault, at: u64) -> Arc<Self> {
        Arc::new(Self {
            fault,
            at,
            done: AtomicU64::new(0),
            synced: Mutex::default(),
            names: Mutex::default(),
            segments: AtomicU64::new(0),
            reused: AtomicU64::new(0),
        })
    }

    fn name(&self, path: &Path) -> Name {
        let name = Name::new(Mutex::new(path.to_owned()));
        self.names.lock().unwrap().push(Arc::clone(&name));
        name
    }

    /// A file has another name.
    fn renamed(&self, from: &Path, to: &Path) {
        for name in &*self.names.lock().unwrap() {
            let mut name = name.lock().unwrap();
            if *name == from {
                to.clone_into(&mut name);
            }
        }
        let mut synced = self.synced.lock().unwrap();
        if let Some(bytes) = synced.remove(from) {
            synced.insert(to.to_owned(), bytes);
        }
        if is_segment(to) {
            self.segments.fetch_add(1, Ordering::SeqCst);
            self.reused.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Counts an operation and says whether it fails.
    fn fails(&self) -> bool {
        let no = self.done.fetch_add(1, Ordering::SeqCst);
        no == self.at || (self.fault == Fault::Full && no > self.at)
    }

    fn error(&self) -> io::Error {
        match self.fault {
            Fault::Full => io::Error::from(io::ErrorKind::StorageFull),
            Fault::Error | Fault::Short => io::Error::other("injected"),
        }
    }

    fn operation<T>(&self, job: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if self.fails() { Err(self.error()) } else { job() }
    }
}

/// The operations that are made to fail: all of them. With a bucket on a server, where each run takes a
/// second, every fourth, beginning with another one each time: the disk is the same one.
fn tried(operations: u64, is_remote: bool) -> Vec<u64> {
    let stride = if is_remote { 4 } else { 1 };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let first = u64::from(now.subsec_millis()) % stride;
    (first..operations).step_by(stride as usize).collect()
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "spool")
}

/// A handle that every file keeps on its disk.
#[derive(Debug, Clone)]
struct Handle(Arc<FaultyDisk>);

struct FaultyFile {
    disk: Handle,
    name: Name,
    inner: Box<dyn DiskFile>,
}

impl DiskFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.disk.0.fails() {
            return self.inner.append(bytes);
        }
        if self.disk.0.fault != Fault::Error {
            self.inner.append(&bytes[..bytes.len() / 2])?;
        }
        Err(self.disk.0.error())
    }

    fn syncer(&self) -> io::Result<Box<dyn DiskSync>> {
        let inner = self.inner.syncer()?;
        let name = Arc::clone(&self.name);
        Ok(Box::new(FaultySync { disk: self.disk.clone(), name, inner }))
    }
}

struct FaultySync {
    disk: Handle,
    name: Name,
    inner: Box<dyn DiskSync>,
}

impl DiskSync for FaultySync {
    fn sync(&self) -> io::Result<()> {
        let path = self.name.lock().unwrap().clone();
        let bytes = std::fs::read(&path)?;
        // A full disk still syncs what it took.
        if self.disk.0.fault != Fault::Full {
            self.disk.0.operation(|| self.inner.sync())?;
        }
        self.disk.0.synced.lock().unwrap().insert(path, bytes);
        Ok(())
    }
}

impl Disk for Handle {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inner = self.0.operation(|| OsDisk.create(path))?;
        self.0.synced.lock().unwrap().insert(path.to_owned(), Vec::new());
        self.0.segments.fetch_add(u64::from(is_segment(path)), Ordering::SeqCst);
        Ok(Box::new(FaultyFile { disk: self.clone(), name: self.0.name(path), inner }))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inner = self.0.operation(|| OsDisk.open_append(path))?;
        Ok(Box::new(FaultyFile { disk: self.clone(), name: self.0.name(path), inner }))
    }

    fn open_over(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inner = self.0.operation(|| OsDisk.open_over(path))?;
        Ok(Box::new(FaultyFile { disk: self.clone(), name: self.0.name(path), inner }))
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        self.0.operation(|| OsDisk.truncate(path, bytes))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.0.fault == Fault::Full {
            OsDisk.rename(from, to)?;
        } else {
            self.0.operation(|| OsDisk.rename(from, to))?;
        }
        self.0.renamed(from, to);
        Ok(())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        if self.0.fault == Fault::Full {
            return OsDisk.sync_directory(directory);
        }
        self.0.operation(|| OsDisk.sync_directory(directory))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if self.0.fault == Fault::Full {
            return OsDisk.remove(path);
        }
        self.0.operation(|| OsDisk.remove(path))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        OsDisk.free_bytes(path)
    }
}

fn small_objects() -> Vec<Vec<u8>> {
    let mut objects = bytes_of(phantom::ct(5, 8, 128));
    objects.extend(bytes_of(phantom::many_small(5, 12)));
    objects
}

fn config() -> IngestConfig {
    IngestConfig { pack_bytes: 100 << 10, ..quick() }
}

/// Imports on a failing disk. Returns how many operations there were and which objects were
/// acknowledged.
fn import_on(
    archive: &Archive,
    disk: &Arc<FaultyDisk>,
    objects: &[Vec<u8>],
    config: IngestConfig,
) -> Vec<(usize, String)> {
    let answers = Answers::default();
    let run = || -> Result<(), Error> {
        let store = archive.open_on(Arc::new(Handle(Arc::clone(disk))))?;
        let ingest = store.ingest(config)?;
        for (no, object) in objects.iter().enumerate() {
            hand_in(&ingest, no, object, Arrival::File, &answers);
            if no % 3 == 0 {
                ingest.drain()?;
            }
        }
        ingest.finish()?;
        Ok(())
    };
    let outcome = run();
    // What happens after an upload is tried again, and may succeed.
    let retried = archive.config.bucket.is_some();
    if disk.done.load(Ordering::SeqCst) > disk.at && disk.fault == Fault::Error && !retried {
        let error = outcome.expect_err("a failed operation was passed over in silence");
        assert!(!error.to_string().is_empty());
    }
    let answers = answers.lock().unwrap();
    answers
        .iter()
        .filter_map(|(no, answer)| Some((*no, answer.as_ref().ok()?.sop_instance_uid.clone())))
        .collect()
}

/// As [`import_on`], from a sender that waits for each answer: through the spool.
fn send_on(archive: &Archive, disk: &Arc<FaultyDisk>, objects: &[Vec<u8>]) -> Vec<(usize, String)> {
    let answers = Answers::default();
    let spooled = IngestConfig { spool_bytes: 8 << 20, ..config() };
    let run = || -> Result<(), Error> {
        let store = archive.open_on(Arc::new(Handle(Arc::clone(disk))))?;
        let ingest = store.ingest(spooled)?;
        for (no, object) in objects.iter().enumerate() {
            hand_in_from(Source::Web, &ingest, no, object, Arrival::File, &answers);
            // Some share a sync.
            if no % 3 != 1 {
                ingest.hurry();
            }
            if no % 7 == 6 {
                ingest.drain()?;
            }
        }
        ingest.finish()?;
        Ok(())
    };
    let outcome = run();
    let retried = archive.config.bucket.is_some();
    if disk.done.load(Ordering::SeqCst) > disk.at && disk.fault == Fault::Error && !retried {
        outcome.expect_err("a failed operation was passed over in silence");
    }
    let answers = answers.lock().unwrap();
    answers
        .iter()
        .filter_map(|(no, answer)| Some((*no, answer.as_ref().ok()?.sop_instance_uid.clone())))
        .collect()
}

/// Enough for several segments of the spool: slices that are packed there, and noise, which is not.
fn sent_objects() -> Vec<Vec<u8>> {
    let mut objects = bytes_of(phantom::ct(5, 2, 256));
    objects.extend(with_noise(bytes_of(phantom::ct(6, 16, 256)), 256 * 256 * 2));
    objects.extend(bytes_of(phantom::many_small(5, 6)));
    objects
}

fn spooled_at_every_operation(fault: Fault) {
    let objects = sent_objects();
    let sound = Archive::new();
    let disk = FaultyDisk::new(fault, u64::MAX);
    assert_eq!(send_on(&sound, &disk, &objects).len(), objects.len());
    let operations = disk.done.load(Ordering::SeqCst);
    let [segments, reused] =
        [&disk.segments, &disk.reused].map(|count| count.load(Ordering::SeqCst));
    assert!(operations > 60, "{operations} operations only");
    assert!(segments > 1 && reused > 0, "{segments} segments only, {reused} of them in old files");
    let mut acknowledged = 0;
    let tried = tried(operations, sound.config.bucket.is_some());
    let count = tried.len();
    for at in tried {
        let archive = Archive::new();
        let disk = FaultyDisk::new(fault, at);
        let kept = send_on(&archive, &disk, &objects);
        acknowledged += kept.len();
        assert_nothing_lost(&archive, &objects, &kept);
    }
    assert!(acknowledged > count * 3);
}

#[test]
fn a_disk_error_at_any_operation_of_the_spool_loses_nothing() {
    spooled_at_every_operation(Fault::Error);
}

#[test]
fn a_short_write_at_any_operation_of_the_spool_loses_nothing() {
    spooled_at_every_operation(Fault::Short);
}

#[test]
fn a_disk_that_fills_up_at_any_operation_of_the_spool_loses_nothing() {
    spooled_at_every_operation(Fault::Full);
}

/// The next opening takes the spool in, on a disk that fails as well, and the one after it goes on.
#[test]
fn a_disk_error_while_the_spool_is_taken_in_loses_nothing() {
    let objects = sent_objects();
    for at in 0..60 {
        let archive = Archive::new();
        let answers = Answers::default();
        {
            let store = archive.open();
            let ingest = store.ingest(IngestConfig::default()).unwrap();
            for (no, object) in objects.iter().enumerate() {
                hand_in_from(Source::Web, &ingest, no, object, Arrival::File, &answers);
            }
            ingest.hurry();
        }
        let kept: Vec<_> = answers
            .lock()
            .unwrap()
            .iter()
            .map(|(no, answer)| (*no, answer.as_ref().unwrap().sop_instance_uid.clone()))
            .collect();
        assert_eq!(kept.len(), objects.len());
        let disk = FaultyDisk::new(Fault::Error, at);
        let opened = archive.open_on(Arc::new(Handle(Arc::clone(&disk))));
        let failed = disk.done.load(Ordering::SeqCst) > at;
        assert_eq!(opened.is_err(), failed, "operation {at}");
        drop(opened);
        assert_nothing_lost(&archive, &objects, &kept);
        if !failed {
            assert!(at > 8, "{at} operations only");
            break;
        }
    }
}

/// A collection on a failing disk: whatever fails, what was not deleted is there, and the next one does
/// what is left to do.
fn collected_at_every_operation(fault: Fault) {
    let objects = small_objects();
    let (mut at, mut failures) = (0, 0);
    loop {
        let archive = Archive::new();
        let store = archive.open();
        support::import(&store, config(), &objects);
        let ingest = store.ingest(config()).unwrap();
        let study_uid = support::study_uids(&store).remove(0);
        let target = Target { study_uid, series_uid: None, sop_instance_uid: None };
        ingest.delete(&target).unwrap();
        ingest.finish().unwrap();
        let left = export_all(&store);
        assert!(!left.is_empty() && left.len() < objects.len());
        drop(store);
        let disk = FaultyDisk::new(fault, at);
        let done = (|| {
            let store = archive.open_on(Arc::new(Handle(Arc::clone(&disk))))?;
            let ingest = store.ingest(config())?;
            let report = collected(&store, &ingest)?;
            assert!(report.packs_removed > 1);
            ingest.finish()
        })();
        let reached = disk.done.load(Ordering::SeqCst) > at;
        failures += u64::from(done.is_err());
        assert!(done.is_ok() || reached, "{done:?}");
        let store = archive.open();
        assert_eq!(export_all(&store), left, "operation {at}");
        let ingest = store.ingest(config()).unwrap();
        let report = collected(&store, &ingest).unwrap();
        assert_eq!((report.packs_spared, report.damage.len()), (0, 0));
        ingest.finish().unwrap();
        assert_eq!(export_all(&store), left, "operation {at}");
        drop(store);
        assert_nothing_lost(&archive, &objects, &[]);
        if !reached {
            break;
        }
        at += if archive.config.bucket.is_some() { 3 } else { 1 };
    }
    // With a bucket on a server every third operation is tried. How many there are differs by a few from
    // run to run: records that are ready together share a write.
    let least = if Archive::new().config.bucket.is_some() { 3 } else { 7 };
    assert!(at >= 9 && failures >= least, "{failures} failures in {at} operations");
}

fn collected(store: &Store, ingest: &Ingest) -> Result<CollectReport, Error> {
    let all = CollectConfig { dead_percent: 0, thorough: true, ..CollectConfig::default() };
    collect(store, ingest, &all, &Watch { progress: &|_| {}, stop: &|| false })
}

#[test]
fn a_disk_error_at_any_operation_of_a_collection_loses_nothing() {
    collected_at_every_operation(Fault::Error);
}

#[test]
fn a_disk_that_fills_up_at_any_operation_of_a_collection_loses_nothing() {
    collected_at_every_operation(Fault::Full);
}

/// Everything acknowledged is there, equal; whatever else is there is whole.
fn assert_nothing_lost(archive: &Archive, objects: &[Vec<u8>], kept: &[(usize, String)]) {
    let store = archive.open();
    let out = export_all(&store);
    for (no, uid) in kept {
        assert!(out.get(uid) == Some(&objects[*no]), "object {no} was acknowledged and is lost");
    }
    assert!(out.values().all(|bytes| objects.contains(bytes)));
    assert_eq!(verify(&store, &Scope::All, 1, &|_| {}).unwrap().findings, []);
    // And the archive takes the rest afterwards.
    let (answers, _) = support::import(&store, quick(), objects);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(export_all(&store).len(), objects.len());
}

fn at_every_operation(fault: Fault) {
    let objects = small_objects();
    let sound = Archive::new();
    let disk = FaultyDisk::new(fault, u64::MAX);
    assert_eq!(import_on(&sound, &disk, &objects, config()).len(), objects.len());
    let operations = disk.done.load(Ordering::SeqCst);
    assert!(operations > 30, "{operations} operations only");
    let mut acknowledged = 0;
    let tried = tried(operations, sound.config.bucket.is_some());
    let count = tried.len();
    for at in tried {
        let archive = Archive::new();
        let disk = FaultyDisk::new(fault, at);
        let kept = import_on(&archive, &disk, &objects, config());
        acknowledged += kept.len();
        assert_nothing_lost(&archive, &objects, &kept);
    }
    // The runs must have got somewhere, or the test shows nothing.
    assert!(acknowledged > count * 3);
}

#[test]
fn a_disk_error_at_any_operation_loses_nothing() {
    at_every_operation(Fault::Error);
}

#[test]
fn a_short_write_at_any_operation_loses_nothing() {
    at_every_operation(Fault::Short);
}

#[test]
fn a_disk_that_fills_up_at_any_operation_loses_nothing() {
    at_every_operation(Fault::Full);
}

/// What a power cut leaves of bytes that were written and not synced.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Left {
    /// A part from the start.
    Part,
    /// Later pages, with zeros where earlier ones should be.
    Holes,
    /// All of some files and nothing of others: a commit may be there, and the pack before it, in
    /// which its chunks stand, not. Once, replay named such instances; their files, sent again, were
    /// then taken for duplicates of what was not there.
    Newest,
}

/// The power goes: what was written but not synced is there in part, or not, in no order.
#[test]
fn a_power_cut_at_any_operation_loses_nothing() {
    let mut objects = bytes_of(phantom::ct(5, 8, 256));
    objects.extend(bytes_of(phantom::many_small(5, 12)));
    let slow = IngestConfig {
        commit_interval: std::time::Duration::from_secs(60),
        pack_bytes: 100 << 10,
        ..IngestConfig::default()
    };
    for at in (2..120).step_by(3) {
        for left in [Left::Part, Left::Holes, Left::Newest] {
            let archive = Archive::new();
            let disk = FaultyDisk::new(Fault::Error, at);
            let config = if left == Left::Newest { slow.clone() } else { config() };
            let kept = import_on(&archive, &disk, &objects, config);
            cut_power(&disk, at, left);
            assert_nothing_lost(&archive, &objects, &kept);
        }
    }
}

/// Does to the files what a power cut may do.
fn cut_power(disk: &FaultyDisk, at: u64, left: Left) {
    let mut files: Vec<_> = disk.synced.lock().unwrap().clone().into_iter().collect();
    files.retain(|(path, _)| {
        let extension = path.extension().unwrap().to_str().unwrap();
        ["pack", "spool", "spare"].contains(&extension) && path.exists()
    });
    files.sort_by_key(|(path, _)| std::fs::metadata(path).unwrap().created().unwrap());
    for (no, (path, synced)) in files.iter().enumerate() {
        let bytes = std::fs::read(path).unwrap();
        let is_newest = no + 1 == files.len();
        let image = match left {
            Left::Newest if is_newest => bytes,
            Left::Newest => synced.clone(),
            _ if bytes.starts_with(synced) => appended(synced.len(), bytes, at, left),
            _ => written_over(synced, &bytes, at, left),
        };
        std::fs::write(path, image).unwrap();
    }
}

/// What may be there of a file of which so many bytes were synced.
fn appended(synced: usize, mut image: Vec<u8>, at: u64, left: Left) -> Vec<u8> {
    let middle = synced + (image.len() - synced) * (at as usize % 7) / 7;
    match left {
        Left::Part => image.truncate(middle),
        _ => image[synced..middle].fill(0),
    }
    image
}

/// What may be there of a file that was written over: some blocks as they were, some as they are.
fn written_over(old: &[u8], new: &[u8], at: u64, left: Left) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut image = new.to_vec();
    let changed: Vec<_> = (0..new.len())
        .step_by(BLOCK)
        .filter(|start| old.get(*start..start + BLOCK) != new.get(*start..start + BLOCK))
        .collect();
    let (first, last) = changed.split_at(changed.len() * (at as usize % 7) / 7);
    for start in if left == Left::Part { last } else { first } {
        let end = (start + BLOCK).min(new.len());
        image[*start..end].fill(0);
        if let Some(was) = old.get(*start..end.min(old.len())) {
            image[*start..start + was.len()].copy_from_slice(was);
        }
    }
    image
}

/// The same for what is spooled.
#[test]
fn a_power_cut_at_any_operation_of_the_spool_loses_nothing() {
    let objects = sent_objects();
    for at in (2..150).step_by(3) {
        for left in [Left::Part, Left::Holes, Left::Newest] {
            let archive = Archive::new();
            let disk = FaultyDisk::new(Fault::Error, at);
            let kept = send_on(&archive, &disk, &objects);
            cut_power(&disk, at, left);
            assert_nothing_lost(&archive, &objects, &kept);
        }
    }
}

/// Acknowledged late, an object is in the bucket when its sender hears of it: the journal may be lost.
#[test]
fn with_archive_acknowledgement_the_journal_can_be_lost() {
    let objects = small_objects();
    for at in (5..100).step_by(9) {
        let archive = Archive::new();
        let disk = FaultyDisk::new(Fault::Error, at);
        let late = IngestConfig { acknowledge: Acknowledge::Archive, ..config() };
        let kept = import_on(&archive, &disk, &objects, late);
        let journal = archive.dir.path().join("data/journal");
        for entry in std::fs::read_dir(&journal).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        cairn_store::rebuild::rebuild(&archive.config, &|_, _| {}).unwrap();
        let store = archive.open();
        let out = export_all(&store);
        for (no, uid) in kept {
            assert!(out.get(&uid) == Some(&objects[no]), "object {no} was not in the bucket");
        }
    }
}

#[test]
fn a_source_that_breaks_off_leaves_nothing_and_stops_nobody() {
    struct Broken<'a>(&'a [u8]);
    impl io::Read for Broken<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0 {
                [] => Err(io::Error::other("cable pulled")),
                rest => {
                    let take = rest.len().min(into.len());
                    into[..take].copy_from_slice(&rest[..take]);
                    self.0 = &rest[take..];
                    Ok(take)
                }
            }
        }
    }
    let archive = Archive::new();
    let store = archive.open();
    let ingest = store.ingest(quick()).unwrap();
    let cine = phantom::ultrasound_cine(2, 60, 320).bytes;
    assert!(cine.len() > 10_000_000);
    for left in [0, 100, 5_000, 4_300_000, cine.len() - 1] {
        let taken = ingest.receive(
            cairn_store::ingest::Incoming {
                early: None,
                reader: &mut Broken(&cine[..left]),
                bytes: None,
                source: cairn_store::commit::Source::Import,
                arrival: Arrival::File,
                admission: Admission::default(),
            },
            |_| panic!("an object that broke off was answered"),
        );
        assert!(taken.unwrap_err().to_string().contains("cable pulled"));
    }
    // The same chunks, whole this time: they are not held up by the broken ones' claims.
    let answers = Answers::default();
    hand_in(&ingest, 0, &cine, Arrival::File, &answers);
    ingest.finish().unwrap();
    assert!(answers.lock().unwrap()[&0].is_ok());
    assert_eq!(store.catalog().totals().unwrap().versions, 1);
    assert!(export_all(&store).values().all(|out| *out == cine));
}
