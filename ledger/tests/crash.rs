//! Killed, or on a disk that fails, at any instant: the log opens, and what was answered for is there.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_ledger::id::Link;
use cairn_ledger::keys::SiteSecret;
use cairn_ledger::log::SiteLog;
use cairn_ledger::order::Order;
use cairn_ledger::{Error, Result};
use cairn_store::disk::{Disk, DiskFile, DiskSync, OsDisk};
use support::{START, any_register, clock_at, open_log};

/// A lock on a file is shared with a process that is being started, until it is: while one test starts
/// processes, another could not open again what it has closed.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Waits for the other tests of this file, also where one of them failed.
fn my_turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

const CHILD: &str = "CAIRN_LEDGER_CRASH_CHILD";

/// Not a test of its own: what the killed process does.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let log = open_log(Path::new(&directory), 1);
    for group in [1usize, 3, 40].iter().cycle() {
        let bodies = (0..*group).map(|_| any_register()).collect();
        for logged in log.append_all(bodies) {
            let logged = logged.unwrap();
            println!("answered {} {}", logged.link.sequence, logged.link.leaf);
        }
        io::stdout().flush().unwrap();
    }
}

#[test]
fn killed_at_any_instant_nothing_answered_for_is_lost() {
    let _turn = my_turn();
    let dir = tempfile::tempdir().unwrap();
    let mut answered = Vec::new();
    for round in 0..12u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let lines = out.lines().map_while(io::Result::ok);
            let whole = |line: &String| line.starts_with("answered ") && line.len() > 70;
            lines.filter(whole).collect::<Vec<_>>()
        });
        std::thread::sleep(Duration::from_millis(150 + 37 * round));
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        answered.extend(reader.join().unwrap());
        let log = open_log(dir.path(), 1);
        log.reader().verify().unwrap();
        let size = log.head().checkpoint().size;
        for line in &answered {
            let (sequence, leaf) = line["answered ".len()..].split_once(' ').unwrap();
            let sequence: u64 = sequence.parse().unwrap();
            assert!(sequence < size, "{sequence} of {size}");
            let entry = log.entries(sequence..sequence + 1).unwrap().remove(0);
            assert_eq!(cairn_ledger::merkle::leaf_hash(&entry).to_string(), leaf);
        }
        // Leave nothing open when the next one starts.
        drop(log);
    }
    assert!(answered.len() > 100, "only {} answers: the test shows nothing", answered.len());
}

/// The system's disk until one operation, which fails, and every one after it.
#[derive(Debug)]
struct FailingDisk {
    at: u64,
    done: AtomicU64,
    /// Half of the bytes of a failing write reach the file.
    torn: bool,
    /// Files whose bytes were not synced, with the length that was.
    unsynced: Mutex<Vec<PathBuf>>,
}

impl FailingDisk {
    fn operation<T>(&self, job: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let no = self.done.fetch_add(1, Ordering::SeqCst);
        if no >= self.at { Err(io::Error::other("injected")) } else { job() }
    }
}

#[derive(Debug, Clone)]
struct Handle(Arc<FailingDisk>);

struct FailingFile(Handle, PathBuf, Box<dyn DiskFile>);
struct FailingSync(Handle, PathBuf, Box<dyn DiskSync>);

impl DiskFile for FailingFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (disk, inner) = (&self.0.0, &mut self.2);
        let written = disk.operation(|| inner.append(bytes));
        if written.is_err() && disk.torn && disk.done.load(Ordering::SeqCst) == disk.at + 1 {
            inner.append(&bytes[..bytes.len() / 2])?;
        }
        written
    }

    fn syncer(&self) -> io::Result<Box<dyn DiskSync>> {
        Ok(Box::new(FailingSync(self.0.clone(), self.1.clone(), self.2.syncer()?)))
    }
}

impl DiskSync for FailingSync {
    fn sync(&self) -> io::Result<()> {
        self.0.0.operation(|| self.2.sync())?;
        self.0.0.unsynced.lock().unwrap().retain(|path| *path != self.1);
        Ok(())
    }
}

impl Disk for Handle {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inner = self.0.operation(|| OsDisk.create(path))?;
        self.0.unsynced.lock().unwrap().push(path.to_owned());
        Ok(Box::new(FailingFile(self.clone(), path.to_owned(), inner)))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.0.operation(|| OsDisk.open_append(path))
    }

    fn open_over(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.0.operation(|| OsDisk.open_over(path))
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        self.0.operation(|| OsDisk.truncate(path, bytes))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.operation(|| OsDisk.rename(from, to))
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.0.operation(|| OsDisk.sync_directory(directory))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.operation(|| OsDisk.remove(path))
    }
}

fn open_on(disk: Arc<dyn Disk>, directory: &Path) -> Result<SiteLog> {
    let secret = SiteSecret::from_seed([1; 32]);
    let (_, clock) = clock_at(START);
    SiteLog::open(disk, directory, "ledger.example/1", &secret, None, clock)
}

/// Appends in groups until something fails; gives what was answered for.
fn append_until_failure(disk: &Handle, directory: &Path) -> Vec<Link> {
    let Ok(log) = open_on(Arc::new(disk.clone()), directory) else { return Vec::new() };
    let mut kept = Vec::new();
    for group in [1, 2, 260, 1] {
        let answers = log.append_all((0..group).map(|_| any_register()).collect());
        kept.extend(answers.into_iter().flatten().map(|logged| logged.link));
    }
    kept
}

/// At every single operation of the disk: as after an error or a kill, and with the write torn and what
/// was not synced lost, as after a power cut.
#[test]
fn a_disk_that_fails_at_any_operation_loses_nothing_answered_for() {
    let _turn = my_turn();
    let new = |at, torn| {
        let (done, unsynced) = (AtomicU64::new(0), Mutex::default());
        Handle(Arc::new(FailingDisk { at, done, torn, unsynced }))
    };
    // How many operations a run takes varies: the writer takes what waits when it comes by. So the
    // instant goes on until a run of each kind came to its end before it.
    let mut failed_after = BTreeSet::new();
    let mut whole = 0;
    let mut at = 0;
    while whole < 2 {
        (at, whole) = (at + 1, 0);
        for power_cut in [false, true] {
            let (disk, dir) = (new(at, power_cut), tempfile::tempdir().unwrap());
            let kept = append_until_failure(&disk, dir.path());
            if disk.0.done.load(Ordering::SeqCst) <= at {
                assert_eq!(kept.len(), 264);
                whole += 1;
            } else {
                failed_after.insert(kept.len());
            }
            if power_cut {
                for path in disk.0.unsynced.lock().unwrap().iter().filter(|path| path.exists()) {
                    std::fs::write(path, b"").unwrap();
                }
            }
            let log = open_on(Arc::new(OsDisk), dir.path()).unwrap();
            log.reader().verify().unwrap();
            for link in &kept {
                let entry = log.entries(link.sequence..link.sequence + 1).unwrap().remove(0);
                assert_eq!(cairn_ledger::merkle::leaf_hash(&entry), link.leaf, "{at}");
            }
            log.append(any_register()).unwrap();
            log.reader().verify().unwrap();
        }
    }
    assert!(at > 40, "{at} operations only");
    // Before the first answer, between answers, and while the large group was written.
    assert!([0, 1, 3].iter().all(|answers| failed_after.contains(answers)), "{failed_after:?}");
}

#[test]
fn a_log_that_failed_says_so_and_takes_nothing_more() {
    let _turn = my_turn();
    let dir = tempfile::tempdir().unwrap();
    let (done, unsynced) = (AtomicU64::new(0), Mutex::default());
    let disk = Handle(Arc::new(FailingDisk { at: 40, done, torn: false, unsynced }));
    let log = open_on(Arc::new(disk), dir.path()).unwrap();
    let failed = (0..20).map(|_| log.append(any_register())).find_map(Result::err).unwrap();
    assert!(matches!(failed, Error::Stopped(_)), "{failed:?}");
    let again = log.append(any_register()).unwrap_err();
    assert!(again.to_string().contains("injected"), "{again}");
}
