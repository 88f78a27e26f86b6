//! Many senders at once, with chunks in common.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cairn_chunker::limits::CHUNK_BYTES_MAX;
use cairn_dicom::phantom;
use cairn_store::IngestConfig;
use cairn_store::commit::Source;
use cairn_store::ingest::{Admission, Arrival, Incoming, Ingest};
use cairn_store::limits::{FIRST_BUFFER_BYTES, SLAB_BYTES};
use cairn_store::verify::{Scope, verify};
use support::{Answers, Archive, bytes_of, hand_in, quick};

/// An import once stood still for ever: an instance began to wait for a chunk at the moment when a
/// third one had claimed it again, only to find it committed, and nobody told the one that waited.
/// Tiny packs and immediate commits make claims end while others look at them.
#[test]
fn senders_with_chunks_in_common_never_wait_for_ever() {
    let base = bytes_of(phantom::ct(1, 6, 256));
    let objects: Vec<Vec<u8>> = (0..40)
        .flat_map(|round| {
            base.iter().map(move |file| {
                let id = format!("ID-{round}");
                phantom::correct_demographics(file, "MANY^VERSIONS", &id, "A").unwrap()
            })
        })
        .collect();
    for round in 0..5 {
        let archive = Archive::new();
        let store = archive.open();
        let config = IngestConfig {
            commit_interval: Duration::from_millis(round / 2),
            pack_bytes: 256 << 10,
            ..IngestConfig::default()
        };
        let ingest = store.ingest(config).unwrap();
        let answers = Answers::default();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    loop {
                        let no = next.fetch_add(1, Ordering::Relaxed);
                        let Some(object) = objects.get(no) else { break };
                        hand_in(&ingest, no, object, Arrival::File, &answers);
                    }
                });
            }
        });
        ingest.finish().unwrap();
        assert!(answers.lock().unwrap().values().all(Result::is_ok));
        assert_eq!(store.catalog().totals().unwrap().versions, objects.len() as u64);
        assert_eq!(verify(&store, &Scope::All, 2, &|_| {}).unwrap().findings, []);
    }
}

/// A sender that stands still after each piece, and looks at the memory that is taken meanwhile.
struct Hesitant<'a> {
    ingest: &'a Ingest,
    bytes: &'a [u8],
    at: usize,
    /// Where it stands still, until so little is taken as it may hold, or it has waited too long.
    stops: &'a [(usize, usize)],
    held: Vec<usize>,
}

impl Read for Hesitant<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if let Some((_, most)) = self.stops.iter().find(|(stop, _)| *stop == self.at) {
            let patience = Instant::now() + Duration::from_secs(10);
            while self.ingest.in_flight_bytes() > *most && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(5));
            }
            self.held.push(self.ingest.in_flight_bytes());
        }
        let next = self.stops.iter().map(|(stop, _)| *stop).find(|stop| *stop > self.at);
        let end = next.unwrap_or(self.bytes.len()).min(self.at + into.len());
        let got = end - self.at;
        into[..got].copy_from_slice(&self.bytes[self.at..end]);
        self.at = end;
        Ok(got)
    }
}

/// A buffer was once taken from what all senders share before the sender had said anything: sixteen
/// that stood still held all of it, and nobody else was served.
#[test]
fn whoever_sends_nothing_holds_next_to_nothing() {
    let archive = Archive::new();
    let store = archive.open();
    let ingest = store.ingest(quick()).unwrap();
    let file = phantom::mammography(1, 1, 3000, 2500).next().unwrap().bytes;
    assert!(file.len() > 2 * FIRST_BUFFER_BYTES + SLAB_BYTES);
    // At the beginning, and when the first buffer is full: of that at most a chunk is left to be cut.
    let stops = [(0, 0), (FIRST_BUFFER_BYTES + 1, CHUNK_BYTES_MAX)];
    let mut reader = Hesitant { ingest: &ingest, bytes: &file, at: 0, stops: &stops, held: vec![] };
    let (answer, answered) = std::sync::mpsc::channel();
    let incoming = Incoming {
        early: None,
        reader: &mut reader,
        bytes: None,
        source: Source::Web,
        arrival: Arrival::File,
        admission: Admission::default(),
    };
    ingest.receive(incoming, move |done| answer.send(done.is_ok()).unwrap()).unwrap();
    let held = reader.held;
    assert_eq!(held.len(), stops.len(), "it was asked at both places");
    for (held, (stop, most)) in held.iter().zip(stops) {
        assert!(*held <= most, "{held} bytes were taken at {stop}");
    }
    ingest.finish().unwrap();
    assert_eq!(answered.recv(), Ok(true));
    let export = support::export_all(&store);
    assert!(export.values().eq([&file]), "it came back as it was sent");
}
