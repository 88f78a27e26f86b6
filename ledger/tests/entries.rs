//! Bytes of entries: one encoding, strict reading, the sizes that `ENTRIES.md` states, and nothing of
//! a study in them.
#![allow(clippy::unwrap_used)]

mod support;

use cairn_chunker::id::StudyRoot;
use cairn_ledger::entry::{Entry, SignedEntry, Suite};
use cairn_ledger::evidence::Finding;
use cairn_ledger::limits::ENTRY_BYTES_MAX;
use cairn_ledger::merkle::{ConsistencyProof, InclusionProof};
use cairn_ledger::note::Note;
use cairn_ledger::offline::LogProof;
use cairn_ledger::opening::{Blinding, Opening};
use cairn_ledger::witness::CosignRequest;
use proptest::prelude::*;
use support::{Site, samples};

#[test]
fn every_kind_is_read_back_and_signed_by_its_site_alone() {
    let (key, other) = (Site::new(1).secret.public(), Site::new(2).secret.public());
    for (kind, signed) in samples::signed().iter().enumerate() {
        let read = SignedEntry::decode(signed.bytes()).unwrap();
        assert_eq!(&read, signed);
        assert_eq!(read.entry().body.kind(), kind as u64);
        read.verify(&key.sign).unwrap();
        assert!(read.verify(&other.sign).is_err());
        assert!(read.verify(&key.log).is_err(), "a key of another role");
    }
}

/// Every single bit: the entry is refused, or its signature no longer holds.
#[test]
fn no_bit_of_an_entry_can_change() {
    let key = Site::new(1).secret.public().sign;
    for signed in samples::signed() {
        for at in 0..signed.bytes().len() * 8 {
            let mut bytes = signed.bytes().to_vec();
            bytes[at / 8] ^= 1 << (at % 8);
            let accepted = SignedEntry::decode(&bytes).and_then(|read| read.verify(&key));
            assert!(accepted.is_err(), "bit {at} of a {}", signed.entry().body.name());
        }
    }
}

#[test]
fn what_is_not_the_one_encoding_is_refused() {
    let signed = samples::signed().swap_remove(2);
    let bytes = signed.bytes();
    let whole = |parts: &[&[u8]]| parts.concat();
    // d2 84 43 a1 01 32 a0 58 .. : tag 18, four items, {1: -19}, {}, payload.
    assert_eq!(&bytes[..8], [0xd2, 0x84, 0x43, 0xa1, 0x01, 0x32, 0xa0, 0x58]);
    let refused = [
        whole(&[&bytes[1..]]),                                         // no tag
        whole(&[bytes, &[0]]),                                         // something follows
        whole(&[&bytes[..bytes.len() - 1]]),                           // cut short
        whole(&[&[0xd2, 0x84, 0x58, 0x03], &bytes[3..]]),              // a longer head
        whole(&[&bytes[..6], &[0xa1, 0x04, 0x41, 0x00], &bytes[7..]]), // an unprotected header
        whole(&[&[0xd2, 0x84, 0x43, 0xa1, 0x01, 0x27], &bytes[6..]]),  // EdDSA, the old number
        whole(&[&[0xd2, 0x84, 0x40], &bytes[6..]]),                    // no protected header
        whole(&[&[0xd2, 0x9f], &bytes[2..], &[0xff]]),                 // indefinite
        vec![0; ENTRY_BYTES_MAX + 1],
        Vec::new(),
    ];
    for bytes in refused {
        assert!(SignedEntry::decode(&bytes).is_err(), "{}", hex::encode(&bytes));
    }
}

/// The table of sizes in `ENTRIES.md` is what the samples measure.
#[test]
fn sizes_are_those_of_the_document() {
    let document = include_str!("../ENTRIES.md");
    let (_, after) = document.split_once("## Sizes\n").unwrap();
    let rows: Vec<(String, usize)> = after
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0].to_owned(), cells[1].parse().unwrap())
        })
        .collect();
    let measured: Vec<_> = samples::signed()
        .iter()
        .map(|signed| (signed.entry().body.name().to_owned(), signed.bytes().len()))
        .collect();
    assert_eq!(rows, measured);
}

/// What is put in is not found in what comes out: not the root, not the blinding, and equal roots do
/// not show.
#[test]
fn an_entry_tells_nothing_of_the_content() {
    let (mut a, mut b, reader) = (Site::new(1), Site::new(2), Site::new(3));
    let root = StudyRoot([!0x77; 32]);
    let opening = Opening::generate(root).unwrap();
    let registered = |site: &mut Site| {
        let (study, opening) = site.register(0x77);
        site.grant(study, &opening, &reader);
        site.entries.iter().map(|entry| entry.bytes().to_vec()).collect::<Vec<_>>().concat()
    };
    let (log_a, log_b) = (registered(&mut a), registered(&mut b));
    let holds = |log: &[u8], secret: &[u8; 32]| log.windows(32).any(|window| window == secret);
    for log in [&log_a, &log_b] {
        assert!(!holds(log, &root.0));
        // Whoever has the images knows the root, and cannot test the ledger for it.
        assert!(!holds(log, &opening.commitment().0));
        assert!(!holds(log, &Opening { root, blinding: Blinding([0; 32]) }.commitment().0));
    }
    let commitment =
        |site: &Site| site.state.studies().map(|(_, study)| study.commitment).collect::<Vec<_>>();
    assert_ne!(commitment(&a), commitment(&b), "two sites register the same root");
}

proptest! {
    /// Anything at all is refused or is the one encoding of what was read.
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(entry) = SignedEntry::decode(&bytes) {
            prop_assert_eq!(entry.bytes(), &bytes[..]);
        }
        if let Ok((suite, entry)) = Entry::decode(&bytes) {
            prop_assert_eq!(entry.encode(suite), bytes.clone());
        }
        if let Ok(proof) = InclusionProof::decode(&bytes) {
            prop_assert_eq!(proof.encode(), bytes.clone());
        }
        if let Ok(proof) = ConsistencyProof::decode(&bytes) {
            prop_assert_eq!(proof.encode(), bytes.clone());
        }
        if let Ok(note) = Note::parse(&bytes) {
            prop_assert_eq!(note.format().into_bytes(), bytes.clone());
        }
        let _ = (Finding::decode(&bytes), CosignRequest::parse(&bytes), LogProof::parse(&bytes));
    }

    /// Payloads that are nearly right: a sample with bytes changed, cut out or put in.
    #[test]
    fn nearly_right_payloads_are_refused_or_read_exactly(
        kind in 0usize..17,
        at in any::<prop::sample::Index>(),
        cut in 0usize..4,
        put in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let signed = samples::signed().swap_remove(kind);
        let mut payload = signed.entry().encode(Suite::Ed25519);
        let start = at.index(payload.len());
        let end = (start + cut).min(payload.len());
        payload.splice(start..end, put);
        if let Ok((suite, entry)) = Entry::decode(&payload) {
            prop_assert_eq!(entry.encode(suite), payload);
        }
    }
}
