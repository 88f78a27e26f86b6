//! Sending to the spool, and its files.

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cairn_dicom::phantom;
use cairn_store::commit::{Outcome, Source};
use cairn_store::ingest::{Admission, Arrival, Early, Incoming, Ingest, Receipt};
use cairn_store::{IngestConfig, Store};

use super::{Answers, Archive, as_dataset, bytes_of, export_all, hand_in_from, receive};

pub const LONG: Duration = Duration::from_secs(30);
/// What stands in front of the first record.
pub const HEAD: usize = 8192;
/// Everything begins with a block of this length.
pub const BLOCK: usize = 4096;

/// With this the drainer does nothing by itself within the time of a test: objects keep arriving.
pub struct Sender<'a> {
    ingest: &'a Ingest,
    answers: Answers,
    sent: usize,
    /// `None`: data sets are handed in when they are whole.
    early: Option<Early>,
}

impl<'a> Sender<'a> {
    pub fn new(ingest: &'a Ingest) -> Self {
        Self { ingest, answers: Answers::default(), sent: 0, early: Some(Early::default()) }
    }

    /// Nothing is worked on before it is whole.
    pub fn late(ingest: &'a Ingest) -> Self {
        Self { early: None, ..Self::new(ingest) }
    }

    /// As an association that waits for each answer.
    pub fn send(&mut self, file: &[u8]) -> Result<Receipt, String> {
        let (data, transfer_syntax) = as_dataset(file);
        let arrival = Arrival::Dataset { transfer_syntax };
        self.send_as(Source::Dimse, &data, arrival)
    }

    pub fn send_as(
        &mut self,
        source: Source,
        bytes: &[u8],
        arrival: Arrival,
    ) -> Result<Receipt, String> {
        self.sent += 1;
        if let (Some(early), Arrival::Dataset { .. }) = (&mut self.early, &arrival) {
            let mut pieces = Pieces { bytes, turn: self.sent };
            self.ingest.read_early(early, &arrival, &mut pieces).unwrap();
            let incoming = Incoming {
                early: Some(early),
                reader: &mut pieces,
                bytes: None,
                source,
                arrival,
                admission: Admission::default(),
            };
            receive(self.ingest, self.sent, incoming, &self.answers);
        } else {
            hand_in_from(source, self.ingest, self.sent, bytes, arrival, &self.answers);
        }
        let until = Instant::now() + LONG;
        loop {
            if let Some(answer) = self.answers.lock().unwrap().remove(&self.sent) {
                return answer;
            }
            assert!(Instant::now() < until, "no answer");
            self.ingest.hurry();
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Bytes as a wire brings them.
pub struct Pieces<'a> {
    pub bytes: &'a [u8],
    pub turn: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.turn = self.turn.wrapping_mul(25) + 7;
        let most = [1, 300, 9000, 70_000][self.turn % 4].min(out.len());
        self.bytes.read(&mut out[..most])
    }
}

/// Pixels of a slice; they end its file.
pub const PIXEL_BYTES: usize = 128 * 128 * 2;

/// Slices that no codec makes shorter: their records are all of one length.
pub fn noise(count: u32) -> Vec<Vec<u8>> {
    with_noise(slices(count), PIXEL_BYTES)
}

/// Files with noise in place of the pixels that end them.
pub fn with_noise(mut files: Vec<Vec<u8>>, pixel_bytes: usize) -> Vec<Vec<u8>> {
    for file in &mut files {
        let pixels = file.len() - pixel_bytes;
        let mut noise = blake3::Hasher::new().update(file).finalize_xof();
        noise.fill(&mut file[pixels..]);
    }
    files
}

pub fn slices(count: u32) -> Vec<Vec<u8>> {
    bytes_of(phantom::ct(1, count as _, 128))
}

pub fn spool_files(archive: &Archive) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(archive.config.data.join("spool")) else { return vec![] };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Those of one kind.
pub fn of_kind(archive: &Archive, extension: &str) -> Vec<PathBuf> {
    let mut files = spool_files(archive);
    files.retain(|path| path.extension().unwrap() == extension);
    files
}

/// Waits for the drainer to be done with something.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends, and ends the process's part as a crash would: nothing is drained.
pub fn send_and_crash(archive: &Archive, files: &[Vec<u8>], config: &IngestConfig) {
    let store = archive.open();
    let ingest = store.ingest(config.clone()).unwrap();
    let mut sender = Sender::new(&ingest);
    for file in files {
        let receipt = sender.send(file).unwrap();
        assert_eq!((receipt.outcome, receipt.visible), (Outcome::New, true));
    }
    assert_eq!(ingest.spooled().objects, files.len() as u64, "they were drained already");
    drop(ingest);
}

/// What a data set came as, with the envelope that an export makes.
pub fn data_sets(store: &Store) -> Vec<Vec<u8>> {
    let mut all: Vec<_> = export_all(store).values().map(|file| as_dataset(file).0).collect();
    all.sort();
    all
}

pub fn sorted(files: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut all: Vec<_> = files.iter().map(|file| as_dataset(file).0).collect();
    all.sort();
    all
}
