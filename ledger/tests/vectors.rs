//! Holds the crate to `VECTORS.md`, and says the rules again in a few lines of its own.
#![allow(clippy::unwrap_used)]

mod support;

use cairn_chunker::cbor::Writer;
use cairn_chunker::id::StudyRoot;
use cairn_ledger::checkpoint::SignedCheckpoint;
use cairn_ledger::entry::{Entry, SignedEntry, Suite};
use cairn_ledger::id::{Commitment, SiteId, StudyId};
use cairn_ledger::keys::{SiteSecret, verify};
use cairn_ledger::note::VerifierKey;
use cairn_ledger::opening::{Blinding, Opening, Sealed, SealedFor};
use sha2::{Digest, Sha256};
use support::{Site, samples};

fn rows<const N: usize>(section: &str) -> Vec<[String; N]> {
    let document = include_str!("../VECTORS.md");
    let (_, after) = document.split_once(&format!("## {section}\n")).unwrap();
    let after = after.split_once("\n## ").map_or(after, |(section, _)| section);
    let table = after.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = |line: &str| {
        let cells = line[1..line.len() - 1].split(" | ").map(|cell| cell.trim().trim_matches('`'));
        cells.map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()
    };
    let rows: Vec<_> = table.map(cells).collect();
    assert!(!rows.is_empty(), "{section}");
    rows
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

#[test]
fn keys() {
    for [seed, role, said] in rows("Keys") {
        let seed: [u8; 32] = bytes(&seed);
        let keys = SiteSecret::from_seed(seed).public();
        let (is, context) = match role.as_str() {
            "sign" => (keys.sign, "cairn 2026-11 v1 ledger entry signing key"),
            "log" => (keys.log, "cairn 2026-11 v1 ledger checkpoint key"),
            "witness" => (keys.witness, "cairn 2026-11 v1 ledger witness key"),
            "tls" => (keys.tls, "cairn 2026-11 v1 ledger tls key"),
            _ => (keys.seal, ""),
        };
        assert_eq!(hex::encode(is), said, "{role}");
        if role != "seal" {
            let secret = blake3::derive_key(context, &seed);
            let key = ed25519_dalek::SigningKey::from_bytes(&secret).verifying_key();
            assert_eq!(key.to_bytes(), is, "{role}");
        }
    }
}

#[test]
fn names_and_commitments() {
    for [what, first, second, said] in rows("Names and commitments") {
        let second: [u8; 32] = bytes(&second);
        let mut writer = Writer::new();
        let (by_the_rules, by_the_crate) = match what.as_str() {
            "site" => {
                writer.array(2).text(&first).bytes(&second);
                let rule = blake3::derive_key("cairn 2026-11 v1 site id", &writer.finish());
                (rule, SiteId::derive(&first, &second).0)
            }
            "study" => {
                let site: [u8; 32] = bytes(&first);
                writer.array(2).bytes(&site).bytes(&second);
                let context = "cairn 2026-11 v1 ledger study id";
                let rule = blake3::derive_key(context, &writer.finish());
                (rule, StudyId::derive(&SiteId(site), &second).0)
            }
            "root" => {
                let root: [u8; 32] = bytes(&first);
                let message = [&b"cairn 2026-11 v1 root commitment\n"[..], &root].concat();
                let opening = Opening { root: StudyRoot(root), blinding: Blinding(second) };
                (*blake3::keyed_hash(&second, &message).as_bytes(), opening.commitment().0)
            }
            _ => {
                let key: [u8; 32] = bytes(&first);
                let message = [&b"cairn 2026-11 v1 patient key commitment\n"[..], &key].concat();
                let made = Blinding(second).commit_patient_key(&key);
                (*blake3::keyed_hash(&second, &message).as_bytes(), made.0)
            }
        };
        assert_eq!(by_the_rules, by_the_crate, "{what}");
        assert_eq!(hex::encode(by_the_crate), said, "{what}");
    }
}

/// RFC 9052 §4.2 and §4.4 by hand, for payloads of 24 to 65,535 bytes.
fn cose(payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.bytes(payload).bytes(signature);
    [&[0xd2, 0x84, 0x43, 0xa1, 0x01, 0x32, 0xa0][..], &writer.finish()].concat()
}

fn to_be_signed(payload: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.array(4).text("Signature1").bytes(&[0xa1, 0x01, 0x32]);
    writer.bytes(b"cairn 2026-11 v1 ledger entry").bytes(payload);
    writer.finish()
}

#[test]
fn entries() {
    let samples = samples::signed();
    let rows = rows("Entries");
    assert_eq!(rows.len(), samples.len());
    let key = Site::new(1).secret.public().sign;
    for ([kind, leaf, said], sample) in rows.iter().zip(&samples) {
        assert_eq!(kind, sample.entry().body.name());
        assert_eq!(&hex::encode(sample.bytes()), said, "{kind}");
        let read = SignedEntry::decode(&hex::decode(said).unwrap()).unwrap();
        assert_eq!(&read, sample);
        let (payload, signature) =
            (sample.entry().encode(Suite::Ed25519), &sample.bytes()[sample.bytes().len() - 64..]);
        assert_eq!(cose(&payload, signature), sample.bytes(), "{kind}");
        assert!(verify(&key, &to_be_signed(&payload), signature.try_into().unwrap()), "{kind}");
        let hash = Sha256::new().chain_update([0]).chain_update(sample.bytes()).finalize();
        assert_eq!(&hex::encode(hash), leaf, "{kind}");
        assert_eq!(sample.leaf().to_string(), *leaf, "{kind}");
    }
}

#[test]
fn payloads_that_are_refused() {
    for [why, said] in rows("Refused payloads") {
        assert!(Entry::decode(&hex::decode(said).unwrap()).is_err(), "{why}");
    }
}

#[test]
fn a_sealed_opening() {
    for [seed, version, commitment, sealed, root] in rows("A sealed opening") {
        let secret = SiteSecret::from_seed(bytes(&seed));
        let place = SealedFor {
            from: SiteId([1; 32]),
            to: SiteId([2; 32]),
            study: StudyId([3; 32]),
            version: version.parse().unwrap(),
        };
        let sealed = Sealed::new(1, hex::decode(sealed).unwrap()).unwrap();
        let opening = sealed.open(&secret, &place, &Commitment(bytes(&commitment))).unwrap();
        assert_eq!(opening.root.to_string(), root);
    }
}

#[test]
fn a_checkpoint_with_a_cosignature() {
    let [[note, log, witness, time]] = rows("A checkpoint").try_into().unwrap();
    let note = hex::decode(note).unwrap();
    let read = SignedCheckpoint::parse(&note).unwrap();
    assert_eq!(read.format().into_bytes(), note);
    read.verify(&VerifierKey::parse(&log).unwrap()).unwrap();
    let witness = VerifierKey::parse(&witness).unwrap();
    assert_eq!(read.cosigned_at(&witness).unwrap(), time.parse().ok());
}
