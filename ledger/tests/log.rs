//! A site's own log on disk: appended in groups, read back, proven, rotated, damaged.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cairn_ledger::Error;
use cairn_ledger::checkpoint::Checkpoint;
use cairn_ledger::entry::{Attest, Body, Register, SignedEntry, Supersede, Verdict};
use cairn_ledger::id::{Commitment, StudyId};
use cairn_ledger::keys::SiteSecret;
use cairn_ledger::log::SiteLog;
use cairn_ledger::note::VerifierKey;
use cairn_ledger::offline::LogProof;
use cairn_ledger::order::Order;
use cairn_ledger::quorum::Quorum;
use cairn_ledger::state::{Reject, SiteState};
use cairn_ledger::tiles::{bundle_path, tile_path};
use cairn_store::disk::OsDisk;
use support::{START, any_register, clock_at, open_log};

fn state_of(log: &SiteLog) -> SiteState {
    let mut state = SiteState::default();
    log.read(&mut |now| state = now.clone());
    state
}

#[test]
fn entries_are_there_after_opening_again_and_proven() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path(), 1);
    let mut logged = Vec::new();
    for group in [1, 300, 2, 700] {
        let bodies = (0..group).map(|_| any_register()).collect();
        logged.extend(log.append_all(bodies).into_iter().map(Result::unwrap));
    }
    let (state, head) = (state_of(&log), log.head());
    assert_eq!(head.checkpoint().size, 1004);
    drop(log);
    let log = open_log(dir.path(), 1);
    assert_eq!((state_of(&log), log.head()), (state, head.clone()));
    log.reader().verify().unwrap();
    let key = SiteSecret::from_seed([1; 32]).public();
    let log_key = VerifierKey::of_log("ledger.example/1", key.log).unwrap();
    let nobody = Quorum::new(0, vec![]).unwrap();
    for place in logged.iter().step_by(97) {
        let sequence = place.link.sequence;
        let entry = log.entries(sequence..sequence + 1).unwrap().remove(0);
        let entry = SignedEntry::decode(&entry).unwrap();
        assert_eq!(entry.link(), place.link);
        let inclusion = log.inclusion(sequence, 1004).unwrap();
        let proof = LogProof { inclusion, checkpoint: head.clone() };
        let proof = LogProof::parse(proof.format().as_bytes()).unwrap();
        proof.verify(&entry, &key.sign, &log_key, &nobody).unwrap();
        assert!(proof.verify(&entry, &key.log, &log_key, &nobody).is_err(), "another signer");
        let strict = Quorum::new(1, vec![VerifierKey::of_witness("w", key.witness).unwrap()]);
        assert!(proof.verify(&entry, &key.sign, &log_key, &strict.unwrap()).is_err());
        let other = SignedEntry::decode(&log.entries(3..4).unwrap()[0]).unwrap();
        assert!(proof.verify(&other, &key.sign, &log_key, &nobody).is_err(), "another entry");
    }
    let reader = log.reader();
    for old in [1, 2, 255, 256, 257, 512, 1003, 1004] {
        let (from, to) = (reader.root_at(old).unwrap(), head.checkpoint().root);
        log.consistency(old, 1004).unwrap().verify(&from, &to).unwrap();
    }
    assert!(matches!(log.entries(1000..1005), Err(Error::OutOfRange)));
    assert!(matches!(log.inclusion(1004, 1004), Err(Error::OutOfRange)));
}

#[test]
fn entries_that_depend_on_each_other_go_in_order_and_refusals_leave_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path(), 1);
    let salt = [5; 32];
    let study = StudyId::derive(&log.site(), &salt);
    let commitment = |n| Commitment([n; 32]);
    let supersede =
        |version, n| Body::Supersede(Supersede { study, version, commitment: commitment(n) });
    let verdict = Verdict::Passed;
    let answers = log.append_all(vec![
        Body::Register(Register { salt, commitment: commitment(1) }),
        Body::Register(Register { salt, commitment: commitment(1) }),
        supersede(2, 2),
        supersede(2, 3),
        supersede(3, 3),
        Body::Attest(Attest { study, version: 3, checks: 1, verdict }),
        any_register(),
    ]);
    let refused = |index: usize| match &answers[index] {
        Err(Error::Rejected(reject)) => reject.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(1), Reject::Registered);
    assert_eq!(refused(3), Reject::Version { known: 2, found: 2 });
    let places: Vec<_> = answers.iter().flatten().map(|logged| logged.link.sequence).collect();
    assert_eq!(places, [1, 2, 3, 4, 5]);
    assert_eq!(state_of(&log).study(&study).unwrap().verdict, Some(Verdict::Passed));
}

#[test]
fn many_threads_share_commits() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path(), 1);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    log.append(any_register()).unwrap();
                }
            });
        }
    });
    assert_eq!(log.head().checkpoint().size, 321);
    log.reader().verify().unwrap();
}

#[test]
fn a_clock_that_goes_back_does_not_stop_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (now, clock) = clock_at(START);
    let secret = SiteSecret::from_seed([1; 32]);
    let log = SiteLog::open(Arc::new(OsDisk), dir.path(), "a", &secret, None, clock).unwrap();
    now.store(START - 500, Ordering::SeqCst);
    assert_eq!(log.append(any_register()).unwrap().time, START);
}

#[test]
fn keys_rotate_and_heads_are_signed_with_both_until_opened_without_the_old() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path(), 1);
    let (old, new) = (SiteSecret::from_seed([1; 32]), SiteSecret::from_seed([2; 32]));
    let key =
        |secret: &SiteSecret| VerifierKey::of_log("ledger.example/1", secret.public().log).unwrap();
    log.rotate(new.clone()).unwrap();
    log.append(any_register()).unwrap();
    log.head().verify(&key(&old)).unwrap();
    log.head().verify(&key(&new)).unwrap();
    drop(log);
    let open = |secret| {
        let (_, clock) = clock_at(START);
        let disk = Arc::new(OsDisk);
        SiteLog::open(disk, dir.path(), "ledger.example/1", secret, None, clock)
    };
    assert!(open(&old).is_err(), "the old keys are not in force");
    let log = open(&new).unwrap();
    log.append(any_register()).unwrap();
    assert!(log.head().verify(&key(&old)).is_err());
    log.head().verify(&key(&new)).unwrap();
}

#[test]
fn only_its_own_durable_heads_are_published_and_never_an_older_one() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path(), 1);
    let first = log.head();
    log.append(any_register()).unwrap();
    let second = log.head();
    log.publish(second.clone()).unwrap();
    let served = std::fs::read_to_string(dir.path().join("checkpoint")).unwrap();
    assert_eq!(served, second.format());
    assert!(log.publish(first).is_err(), "an older one");
    let secret = SiteSecret::from_seed([1; 32]);
    let head = |size, root| {
        let head = Checkpoint { origin: "ledger.example/1".into(), size, root };
        head.sign(&[secret.log_key()]).unwrap()
    };
    assert!(log.publish(head(2, [1; 32])).is_err(), "another tree");
    assert!(log.publish(head(3, second.checkpoint().root)).is_err(), "not durable");
    log.append(any_register()).unwrap();
}

#[test]
fn one_process_holds_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path(), 1);
    let secret = SiteSecret::from_seed([1; 32]);
    let (_, clock) = clock_at(START);
    let disk = Arc::new(OsDisk);
    let again = SiteLog::open(disk, dir.path(), "ledger.example/1", &secret, None, clock);
    assert!(matches!(again, Err(Error::Locked(_))));
    drop(log);
    open_log(dir.path(), 1);
}

/// Somebody edits the log: each byte that makes up its history is missed.
#[test]
fn an_edited_log_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path(), 1);
    let bodies = (0..300).map(|_| any_register()).collect();
    assert!(log.append_all(bodies).iter().all(Result::is_ok));
    drop(log);
    let open = || {
        let secret = SiteSecret::from_seed([1; 32]);
        let (_, clock) = clock_at(START);
        let disk = Arc::new(OsDisk);
        SiteLog::open(disk, dir.path(), "ledger.example/1", &secret, None, clock)
    };
    for (path, at) in [
        (bundle_path(0, 256), 3000),
        (bundle_path(1, 45), 100),
        (bundle_path(1, 45), 1),
        ("head".to_owned(), 25),
    ] {
        let path = dir.path().join(path);
        let bytes = std::fs::read(&path).unwrap();
        let mut edited = bytes.clone();
        edited[at] ^= 1;
        std::fs::write(&path, &edited).unwrap();
        assert!(open().is_err(), "{}", path.display());
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(open().is_err(), "{} cut short", path.display());
        std::fs::remove_file(&path).unwrap();
        assert!(open().is_err(), "{} is gone", path.display());
        std::fs::write(&path, bytes).unwrap();
    }
    // Tiles are not needed to open; the audit reads them.
    let path = dir.path().join(tile_path(0, 0, 256));
    let mut edited = std::fs::read(&path).unwrap();
    edited[0] ^= 1;
    std::fs::write(&path, edited).unwrap();
    let log = open().unwrap();
    assert!(matches!(log.reader().verify(), Err(Error::Damaged { .. })));
}
