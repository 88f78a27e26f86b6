//! Many senders at once, with chunks in common.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cairn_dicom::phantom;
use cairn_store::IngestConfig;
use cairn_store::ingest::Arrival;
use cairn_store::verify::{Scope, verify};
use support::{Answers, Archive, bytes_of, hand_in};

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
