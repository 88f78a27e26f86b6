//! A witness vouches for one history of each log, across restarts and crashes.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::sync::Arc;

use cairn_ledger::checkpoint::SignedCheckpoint;
use cairn_ledger::merkle::{Hash, leaf_hash, root_of};
use cairn_ledger::witness::{CosignRequest, Refusal, Witness};
use cairn_store::disk::OsDisk;
use support::{START, Site, any_register};

fn open(directory: &Path) -> Witness {
    let key = Site::new(9).secret.witness_key();
    Witness::open(Arc::new(OsDisk), directory, "witness.example", key).unwrap()
}

struct Leaves(Vec<Hash>);

impl cairn_ledger::merkle::Nodes for Leaves {
    fn node(&self, level: u32, index: u64) -> cairn_ledger::Result<Hash> {
        let start = (index as usize) << level;
        Ok(root_of(&self.0[start..start + (1 << level)]))
    }
}

fn request(site: &Site, old: u64, new: usize) -> CosignRequest {
    let leaves: Vec<_> = site.entries.iter().map(|entry| leaf_hash(entry.bytes()).0).collect();
    let proof = cairn_ledger::merkle::consistency(&Leaves(leaves), old, new as u64).unwrap();
    CosignRequest { old_size: old, proof: proof.path, checkpoint: site.checkpoint(new) }
}

fn site_with(seed: u8, entries: usize) -> Site {
    let mut site = Site::new(seed);
    for _ in 1..entries {
        site.say(any_register()).unwrap();
    }
    site
}

#[test]
fn what_continues_is_cosigned_and_remembered() {
    let (dir, site) = (tempfile::tempdir().unwrap(), site_with(1, 10));
    let keys = [site.log_key()];
    let witness = open(dir.path());
    let key = witness.verifier_key().unwrap();
    let cosigned = |witness: &Witness, old, new, now| -> SignedCheckpoint {
        let request = request(&site, old, new);
        let sent = CosignRequest::parse(request.format().as_bytes()).unwrap();
        assert_eq!(sent, request);
        let mut checkpoint = request.checkpoint.clone();
        checkpoint.add(witness.cosign(&sent, &keys, now).unwrap());
        checkpoint
    };
    assert_eq!(cosigned(&witness, 0, 3, START).cosigned_at(&key).unwrap(), Some(START));
    // The same again, later: it is still the latest.
    assert_eq!(cosigned(&witness, 3, 3, START + 9).cosigned_at(&key).unwrap(), Some(START + 9));
    drop(witness);
    let witness = open(dir.path());
    assert_eq!(witness.last(&site.origin).unwrap().unwrap().checkpoint().size, 3);
    cosigned(&witness, 3, 10, START);
}

#[test]
fn forks_roll_backs_and_strangers_are_refused() {
    let (dir, site) = (tempfile::tempdir().unwrap(), site_with(1, 10));
    let keys = [site.log_key()];
    let witness = open(dir.path());
    let ask = |request: &CosignRequest| witness.cosign(request, &keys, START);
    ask(&request(&site, 0, 8)).unwrap();
    // Rolled back, and saying so or not.
    assert!(matches!(ask(&request(&site, 5, 5)), Err(Refusal::Conflict { size: 8 })));
    assert!(matches!(ask(&request(&site, 0, 5)), Err(Refusal::Conflict { size: 8 })));
    let backwards = CosignRequest { old_size: 8, ..request(&site, 5, 5) };
    assert!(matches!(ask(&backwards), Err(Refusal::Backwards)));
    // Another history of the same log, by size and further on.
    let other = site_with(1, 10);
    let inconsistent = |refusal| match refusal {
        Err(Refusal::Inconsistent { known: Some(known) }) => known.checkpoint().size,
        other => panic!("{other:?}"),
    };
    assert_eq!(inconsistent(ask(&request(&other, 8, 8))), 8);
    assert_eq!(inconsistent(ask(&request(&other, 8, 10))), 8);
    let mut wrong = request(&site, 8, 10);
    wrong.proof[0][0] ^= 1;
    inconsistent(ask(&wrong));
    let padded = CosignRequest { proof: vec![[0; 32]], ..request(&site, 8, 8) };
    inconsistent(ask(&padded));
    // A log that is not known, or a signature that is not its.
    let stranger = site_with(2, 4);
    assert!(matches!(ask(&request(&stranger, 0, 4)), Err(Refusal::Unsigned(_))));
    ask(&request(&site, 8, 10)).unwrap();
}

#[test]
fn a_damaged_memory_cosigns_nothing() {
    let (dir, site) = (tempfile::tempdir().unwrap(), site_with(1, 4));
    let witness = open(dir.path());
    witness.cosign(&request(&site, 0, 2), &[site.log_key()], START).unwrap();
    let record = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&record, b"").unwrap();
    let refused = witness.cosign(&request(&site, 0, 4), &[site.log_key()], START);
    assert!(matches!(refused, Err(Refusal::Internal(_))), "{refused:?}");
}

#[test]
fn of_many_at_once_only_one_history_is_cosigned() {
    let dir = tempfile::tempdir().unwrap();
    let witness = open(dir.path());
    let forks: Vec<_> = (0..8).map(|_| site_with(1, 5)).collect();
    let keys = [forks[0].log_key()];
    let cosigned = std::thread::scope(|scope| {
        let (witness, keys) = (&witness, &keys);
        let ask =
            |fork| scope.spawn(move || witness.cosign(&request(fork, 0, 5), keys, START).is_ok());
        let threads: Vec<_> = forks.iter().map(ask).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|ok| *ok).count()
    });
    assert_eq!(cosigned, 1);
}

#[test]
fn requests_are_bounded() {
    let site = site_with(1, 2);
    let body = request(&site, 0, 2).format();
    for other in [
        body.replace("old 0", "old 00"),
        body.replace("old 0", "old -1"),
        body.replace("old 0\n", ""),
        body.replace("old 0\n", &format!("old 0\n{}", "AAAA\n".repeat(3))),
        body.replace("old 0\n", &format!("old 0\n{}=\n", "A".repeat(43)).repeat(64)),
        body.replace("\n\n", "\n"),
    ] {
        assert!(CosignRequest::parse(other.as_bytes()).is_err(), "{other}");
    }
}
