//! Holds of any bytes that are accepted as a manifest or as an instance proof:
//! - they are the one encoding of what was read: encoding it again gives the same bytes;
//! - the manifest's name and the truth of the proof are those of what was read, not of how;
//! - every chunk of a manifest can be proven to belong to it, and to no other;
//! - frames can be asked for without overflow.
#![no_main]

use cairn_chunker::id::ManifestHash;
use cairn_chunker::manifest::{ChunkProof, Manifest};
use cairn_chunker::proof::InstanceProof;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(manifest) = Manifest::decode(data) {
        check_manifest(&manifest, data);
    }
    if let Ok(proof) = InstanceProof::decode(data) {
        check_proof(&proof, data);
    }
});

fn check_manifest(manifest: &Manifest, data: &[u8]) {
    assert_eq!(manifest.encode(), data, "another encoding of the same manifest");
    let name = manifest.hash();
    assert_eq!(Manifest::decode(data).map(|again| again.hash()), Ok(name));
    let _ = (manifest.leaf_hash(), manifest.pixel_digest());
    let total: u64 = manifest.chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
    assert_eq!(total, manifest.dataset_bytes);
    let count = manifest.frames.count();
    assert_eq!(manifest.frames.range(count), None);
    if let Some(last) = count.checked_sub(1) {
        assert!(manifest.frames.range(last).is_some_and(|range| range.start <= range.end));
    }
    let chunks = manifest.chunks.len();
    for index in [0, chunks / 2, chunks.saturating_sub(1), name.0[0] as usize] {
        let Some(proof) = ChunkProof::new(manifest, index) else {
            assert!(index >= chunks);
            continue;
        };
        assert!(proof.leads_to(name), "a chunk cannot be proven");
        assert!(!proof.leads_to(ManifestHash([0; 32])));
        let mut forged = proof;
        forged.index ^= 1;
        // The very same chunk twice in a row truly stands at both places.
        let stands_there = manifest.chunks.get(forged.index as usize) == Some(&forged.chunk);
        assert_eq!(forged.leads_to(name), stands_there, "a chunk is proven to stand elsewhere");
    }
}

fn check_proof(proof: &InstanceProof, data: &[u8]) {
    assert_eq!(proof.encode(), data, "another encoding of the same proof");
    let again = InstanceProof::decode(data);
    assert_eq!(again.as_ref(), Ok(proof));
    let holds = proof.verify();
    assert_eq!(again.and_then(|again| again.verify()), holds);
    if holds.is_ok() {
        let mut forged = proof.clone();
        forged.leaf.dataset_bytes ^= 1;
        assert!(forged.verify().is_err(), "another instance is proven");
    }
}
