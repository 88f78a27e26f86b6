//! How fast a log takes entries and how small its proofs are. Long, so asked for by name:
//! `cargo test --release -p cairn-ledger --test throughput -- --ignored --nocapture`
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Instant;

use cairn_ledger::entry::{Body, SignedEntry};
use cairn_ledger::id::{Link, StudyId};
use cairn_ledger::note::VerifierKey;
use cairn_ledger::offline::LogProof;
use cairn_ledger::order::Order;
use cairn_ledger::quorum::Quorum;
use support::{Site, any_register, open_log};

const ENTRIES: usize = 1_000_000;
/// Handed in at a time: what a busy site's receipts and registrations of a second come to.
const GROUP: usize = 1_000;

#[test]
#[ignore = "a million entries take minutes"]
fn a_million_entries() {
    let dir = tempfile::tempdir_in(std::env::var_os("CAIRN_BENCH_DIR").unwrap_or(".".into()));
    let dir = dir.unwrap();
    let (log, site, reader) = (open_log(dir.path(), 1), Site::new(1), Site::new(2));
    // One in two is a grant, the longest entry there is much of.
    let mut bodies = Vec::with_capacity(GROUP);
    let (mut taken, mut seconds, mut slowest) = (1, 0.0f64, 0.0f64);
    let began = Instant::now();
    while taken < ENTRIES {
        let mut studies = Vec::with_capacity(GROUP / 2);
        for _ in 0..GROUP / 2 {
            let body = any_register();
            let Body::Register(register) = &body else { unreachable!() };
            studies.push(StudyId::derive(&site.id, &register.salt));
            bodies.push(body);
        }
        for half in 0..2 {
            if half == 1 {
                let opening = cairn_ledger::opening::Opening {
                    root: cairn_chunker::id::StudyRoot([1; 32]),
                    blinding: cairn_ledger::opening::Blinding([2; 32]),
                };
                // Sealed once: sealing is the owner's work, not the log's.
                let grant = site.grant_of(studies[0], &opening, &reader);
                let to = |study| cairn_ledger::entry::Grant { study, ..grant.clone() };
                bodies.extend(studies.iter().map(|study| Body::Grant(Box::new(to(*study)))));
            }
            let (count, start) = (bodies.len(), Instant::now());
            assert!(log.append_all(std::mem::take(&mut bodies)).iter().all(Result::is_ok));
            let took = start.elapsed().as_secs_f64();
            (taken, seconds, slowest) = (taken + count, seconds + took, slowest.max(took));
        }
    }
    let rate = (taken - 1) as f64 / seconds;
    println!("{taken} entries, {rate:.0}/s (signed, checked, durable; groups of {})", GROUP / 2);
    println!("slowest group {:.0} ms, all {:.1?}", slowest * 1e3, began.elapsed());

    let size = log.head().checkpoint().size;
    let (mut longest, mut longest_text, mut verifying) = (0, 0, Vec::new());
    let key = site.secret.public();
    let log_key = VerifierKey::of_log(&site.origin, key.log).unwrap();
    let nobody = Quorum::new(0, vec![]).unwrap();
    let (rounds, proving) = (1000u64, Instant::now());
    for round in 0..rounds {
        let sequence = round * 999_983 % size;
        let inclusion = log.inclusion(sequence, size).unwrap();
        let proof = LogProof { inclusion, checkpoint: log.head() };
        longest = longest.max(proof.inclusion.encode().len());
        longest_text = longest_text.max(proof.format().len());
        let entry = log.entries(sequence..sequence + 1).unwrap().remove(0);
        let start = Instant::now();
        let entry = SignedEntry::decode(&entry).unwrap();
        proof.verify(&entry, &key.sign, &log_key, &nobody).unwrap();
        verifying.push(start.elapsed().as_secs_f64());
    }
    let each = proving.elapsed().as_secs_f64() / rounds as f64;
    println!("proof {longest} bytes, as text with its checkpoint {longest_text}");
    verifying.sort_by(f64::total_cmp);
    // The slowest of a thousand waited for somebody else on a shared machine.
    let (median, slowest) = (verifying[verifying.len() / 2], verifying[verifying.len() - 1]);
    println!("made and verified in {:.2} ms", each * 1e3);
    println!("verifying {:.3} ms in the median, {:.3} at most", median * 1e3, slowest * 1e3);
    let start = Instant::now();
    drop(log);
    let log = open_log(dir.path(), 1);
    println!("opened again in {:.1?}", start.elapsed());
    let place: Link = log.append(any_register()).unwrap().link;
    assert_eq!(place.sequence, size);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                for _ in 0..50 {
                    log.append(any_register()).unwrap();
                }
            });
        }
    });
    let alone = 1600.0 / start.elapsed().as_secs_f64();
    println!("32 callers, one entry at a time: {alone:.0}/s");
    assert!(rate >= 5_000.0, "{rate:.0} entries a second");
    assert!(longest < 1024, "{longest} bytes");
    assert!(median < 0.001, "{median} s");
}
