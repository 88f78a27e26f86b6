//! Large objects and many objects: memory and cost stay put.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Read;

use cairn_dicom::phantom;
use cairn_store::IngestConfig;
use cairn_store::commit::Source;
use cairn_store::ingest::{Admission, Arrival, Incoming};
use support::{Archive, import, quick};

/// Highest resident set of this process so far, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// An instance ten times the memory bound passes within it, and comes back. (`bench` does the same
/// with 5 GiB.)
#[test]
fn an_instance_larger_than_memory_passes_through() {
    let archive = Archive::new();
    let store = archive.open();
    let config = IngestConfig { in_flight_bytes: 32 << 20, ..quick() };
    let ingest = store.ingest(config).unwrap();
    let total = 320 << 20;
    let before = peak_bytes();
    let (answer, answered) = std::sync::mpsc::channel();
    ingest
        .receive(
            Incoming {
                early: None,
                reader: &mut phantom::GiantCine::new(1, total),
                bytes: None,
                source: Source::Import,
                arrival: Arrival::File,
                admission: Admission::default(),
            },
            move |done| answer.send(done).unwrap(),
        )
        .unwrap();
    ingest.finish().unwrap();
    let receipt = answered.recv().unwrap().unwrap();
    let grown = peak_bytes() - before;
    assert!(grown < 200 << 20, "memory grew by {grown} bytes");

    let version = store.catalog().versions_of_sop(&receipt.sop_instance_uid).unwrap().remove(0);
    assert!(version.frames > 100);
    let (mut out, mut expected) = (blake3::Hasher::new(), blake3::Hasher::new());
    let bytes = store.reader().write_instance(&version, &mut out).unwrap();
    let mut source = phantom::GiantCine::new(1, total);
    let mut buffer = vec![0; 1 << 20];
    let mut sent = 0;
    loop {
        match source.read(&mut buffer).unwrap() {
            0 => break,
            got => {
                expected.update(&buffer[..got]);
                sent += got as u64;
            }
        }
    }
    assert_eq!((bytes, out.finalize()), (sent, expected.finalize()));
}

#[test]
fn thousands_of_small_instances_share_blocks() {
    let archive = Archive::new();
    let store = archive.open();
    let objects: Vec<_> = phantom::many_small(9, 3000).map(|file| file.bytes).collect();
    let (answers, studies) = import(&store, IngestConfig::default(), &objects);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(studies.iter().map(|study| study.instances).sum::<u64>(), 3000);
    let totals = store.catalog().totals().unwrap();
    assert_eq!(totals.versions, 3000);
    // Three chunks an instance, yet some hundred records: blocks hold them.
    assert!(totals.chunks >= 6000);
    let out = support::export_all(&store);
    for (answer, object) in answers.iter().zip(&objects) {
        assert!(out[&answer.as_ref().unwrap().sop_instance_uid] == *object);
    }
}
