//! Handing files in: one thread walks, several read.

use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use cairn_store::commit::Source;
use cairn_store::ingest::{Admission, Arrival, Incoming, Ingest};

use super::tally::Tally;
use super::walk::{Item, walk};
use crate::output::{count, size};
use crate::progress::{Progress, TICK};

/// Items that are handed to a reader together, and how long they may be in all: whoever waits is woken less
/// often, and no reader is left with long ones while the others have none.
const TOGETHER: usize = 8;
const TOGETHER_BYTES: u64 = 4 << 20;

/// Handfuls of items that wait for a reader.
const HANDFULS_MAX: usize = 128;

/// What the threads share.
pub(super) struct Feed<'a> {
    pub(super) paths: &'a [PathBuf],
    pub(super) avoid: &'a [PathBuf],
    pub(super) readers: usize,
    pub(super) ingest: &'a Ingest,
    pub(super) tally: &'a Arc<Tally>,
    pub(super) progress: &'a Progress,
    pub(super) read_bytes: AtomicU64,
    pub(super) total_files: AtomicU64,
    pub(super) total_bytes: AtomicU64,
    pub(super) counted: AtomicBool,
}

impl Feed<'_> {
    /// Hands in everything; returns when all of it was handed in, or the import is to stop.
    pub(super) fn run(&self) {
        std::thread::scope(|scope| {
            let (handfuls, queue) = sync_channel(HANDFULS_MAX);
            // Ends with the last reader, so that the walk cannot wait for nobody.
            let queue = Arc::new(Mutex::new(queue));
            let (alive, ended) = channel::<()>();
            scope.spawn(move || self.hand_out(&handfuls));
            if self.progress.is_shown() {
                scope.spawn(|| self.count_totals());
                scope.spawn(move || self.show(&ended));
            }
            for _ in 0..self.readers {
                let (queue, alive) = (Arc::clone(&queue), alive.clone());
                scope.spawn(move || self.read_items(&queue, alive));
            }
        });
    }

    /// Walks, and hands out what it finds.
    fn hand_out(&self, handfuls: &SyncSender<Vec<Item>>) {
        let (mut handful, mut bytes) = (Vec::new(), 0);
        walk(self.paths, self.avoid, &mut |item| {
            bytes += item.bytes();
            handful.push(item);
            if handful.len() < TOGETHER && bytes < TOGETHER_BYTES {
                return true;
            }
            bytes = 0;
            handfuls.send(std::mem::take(&mut handful)).is_ok()
        });
        // Nobody is left to read it if the import is to stop.
        let _ = handfuls.send(handful);
    }

    /// A second walk, which reads no file: the bar needs to know how much there is.
    fn count_totals(&self) {
        walk(self.paths, self.avoid, &mut |item| {
            self.total_files.fetch_add(1, Ordering::Relaxed);
            self.total_bytes.fetch_add(item.bytes(), Ordering::Relaxed);
            !self.tally.is_stopped()
        });
        self.counted.store(true, Ordering::Relaxed);
    }

    fn show(&self, readers: &Receiver<()>) {
        while readers.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            let counters = self.ingest.counters();
            let more = if self.counted.load(Ordering::Relaxed) { "" } else { "+" };
            let message = format!(
                "{}/{}{more} files, {} new, {} duplicate",
                count(self.tally.settled()),
                count(self.total_files.load(Ordering::Relaxed)),
                size(counters.new_bytes.load(Ordering::Relaxed)),
                size(counters.duplicate_bytes.load(Ordering::Relaxed)),
            );
            let done = self.read_bytes.load(Ordering::Relaxed);
            self.progress.at(done, self.total_bytes.load(Ordering::Relaxed), &message);
        }
    }

    /// `_alive` is dropped when this reader ends, which is how the bar learns of it.
    fn read_items(&self, queue: &Mutex<Receiver<Vec<Item>>>, _alive: Sender<()>) {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(handful) = next else { return };
            for item in handful {
                if self.tally.is_stopped() {
                    return;
                }
                let name = item.name();
                let read = item.read(|reader, bytes| self.hand_in(&name, reader, bytes));
                if let Err((status, why)) = read {
                    self.tally.odd(&name, status, &why);
                }
            }
        }
    }

    fn hand_in(&self, name: &str, reader: &mut (dyn Read + Send), bytes: u64) {
        let mut reader = Counted { reader, bytes: &self.read_bytes };
        let tally = Arc::clone(self.tally);
        let answered = name.to_owned();
        let incoming = Incoming {
            early: None,
            reader: &mut reader,
            bytes: Some(bytes),
            source: Source::Import,
            arrival: Arrival::File,
            admission: Admission::default(),
        };
        let taken = self.ingest.receive(incoming, move |answer| tally.answer(&answered, answer));
        if let Err(error) = taken {
            self.tally.answer(name, Err(error));
        }
    }
}

/// Counts what passes.
struct Counted<'a> {
    reader: &'a mut (dyn Read + Send),
    bytes: &'a AtomicU64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.reader.read(buffer)?;
        self.bytes.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }
}
