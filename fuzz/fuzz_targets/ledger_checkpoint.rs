//! Holds of any bytes, whatever a peer says they are: notes, checkpoints, requests to cosign, proofs,
//! findings and bundles are refused or written back as they were read.
#![no_main]

use cairn_ledger::checkpoint::SignedCheckpoint;
use cairn_ledger::evidence::Finding;
use cairn_ledger::merkle::{ConsistencyProof, InclusionProof};
use cairn_ledger::note::{Note, VerifierKey};
use cairn_ledger::offline::LogProof;
use cairn_ledger::tiles::split_bundle;
use cairn_ledger::witness::CosignRequest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(note) = Note::parse(data) {
        assert_eq!(note.format().as_bytes(), data, "another form of the same note");
    }
    if let Ok(checkpoint) = SignedCheckpoint::parse(data) {
        assert_eq!(checkpoint.format().as_bytes(), data, "another form of the same checkpoint");
        assert_eq!(checkpoint.checkpoint().text(), Note::parse(data).unwrap().text);
    }
    if let Ok(request) = CosignRequest::parse(data) {
        assert_eq!(request.format().as_bytes(), data, "another form of the same request");
    }
    if let Ok(proof) = LogProof::parse(data) {
        // Extra data is skipped, so the text may differ; what was read may not.
        assert_eq!(LogProof::parse(proof.format().as_bytes()).unwrap(), proof);
    }
    if let Ok(finding) = Finding::decode(data) {
        assert_eq!(finding.encode(), data, "another encoding of the same finding");
        let _ = finding.verify(&[]);
    }
    if let Ok(proof) = InclusionProof::decode(data) {
        assert_eq!(proof.encode(), data);
        assert!(proof.verify(&cairn_ledger::id::LeafHash([1; 32]), &[2; 32]).is_err());
    }
    if let Ok(proof) = ConsistencyProof::decode(data) {
        assert_eq!(proof.encode(), data);
        assert!(proof.verify(&[1; 32], &[2; 32]).is_err());
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(key) = VerifierKey::parse(text)
    {
        assert_eq!(key.to_string(), text);
    }
    if let Some((count, bundle)) = data.split_first()
        && let Ok(entries) = split_bundle(bundle, u64::from(*count))
    {
        let lengths: usize = entries.iter().map(|entry| entry.len() + 2).sum();
        assert_eq!(lengths, bundle.len(), "entries do not tile the bundle");
    }
});
