//! Other sites' logs, followed and caught: forks, rewrites, roll-backs, withheld and forged entries.
#![allow(clippy::unwrap_used)]

mod support;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use cairn_ledger::access::{Denial, Question};
use cairn_ledger::checkpoint::SignedCheckpoint;
use cairn_ledger::entry::{Body, Purpose, Revoke, RevokeReason, Rotate};
use cairn_ledger::evidence::Finding;
use cairn_ledger::federation::Federation;
use cairn_ledger::id::StudyId;
use cairn_ledger::keys::SiteSecret;
use cairn_ledger::merkle::consistency;
use cairn_ledger::mirror::{Mirror, Update, fork_of_one_size};
use cairn_ledger::quorum::Quorum;
use cairn_ledger::witness::{CosignRequest, Witness};
use cairn_ledger::{Error, Result};
use cairn_store::disk::OsDisk;
use support::{START, Site, any_register, bytes_of, checkpoint_of};

fn alone() -> Quorum {
    Quorum::new(0, vec![]).unwrap()
}

fn open(directory: &Path, of: &Site, quorum: Quorum) -> Mirror {
    Mirror::open(Arc::new(OsDisk), directory, of.id, quorum).unwrap()
}

fn from(entries: Vec<Vec<u8>>) -> impl FnMut(Range<u64>) -> Result<Vec<Vec<u8>>> {
    move |range| {
        let end = (range.end as usize).min(entries.len());
        Ok(entries[(range.start as usize).min(end)..end].to_vec())
    }
}

fn follow(mirror: &mut Mirror, site: &Site, size: usize) -> Result<Update> {
    let mut fetch = from(bytes_of(&site.entries));
    mirror.update(&site.checkpoint(size), &mut fetch, START + 60)
}

fn found(outcome: Result<impl std::fmt::Debug>) -> Finding {
    match outcome {
        Err(Error::Finding(finding)) => *finding,
        other => panic!("{other:?}"),
    }
}

/// A finding can be shown: it survives its encoding, and holds with the log's keys alone.
fn can_be_shown(finding: &Finding, site: &Site, other: &Site) {
    assert_eq!(&Finding::decode(&finding.encode()).unwrap(), finding);
    finding.verify(&[site.log_key()]).unwrap();
    assert!(finding.verify(&[other.log_key()]).is_err());
}

fn site_with(entries: usize) -> Site {
    let mut site = Site::new(1);
    for _ in 1..entries {
        site.say(any_register()).unwrap();
    }
    site
}

#[test]
fn an_honest_log_is_followed_and_survives_a_restart() {
    let (dir, mut site) = (tempfile::tempdir().unwrap(), site_with(300));
    let mut mirror = open(dir.path(), &site, alone());
    assert_eq!(follow(&mut mirror, &site, 1).unwrap(), Update::Advanced { from: 0, to: 1 });
    assert_eq!(follow(&mut mirror, &site, 300).unwrap(), Update::Advanced { from: 1, to: 300 });
    assert_eq!(follow(&mut mirror, &site, 300).unwrap(), Update::Unchanged);
    assert_eq!(mirror.state(), &site.state);
    mirror.reader().verify().unwrap();
    drop(mirror);
    let mut mirror = open(dir.path(), &site, alone());
    assert_eq!(mirror.state(), &site.state);
    // A rotation: the new key signs, and only the entries tell of it.
    let new = SiteSecret::from_seed([9; 32]);
    let possession = new.possession(&site.id, site.state.next());
    site.say(Body::Rotate(Box::new(Rotate { keys: new.public(), possession }))).unwrap();
    let by_the_old = follow(&mut mirror, &site, 301);
    assert!(matches!(by_the_old, Err(Error::Signature(_))), "{by_the_old:?}");
    site.secret = new;
    assert_eq!(follow(&mut mirror, &site, 301).unwrap(), Update::Advanced { from: 300, to: 301 });
    assert!(mirror.finding().is_none());
}

#[test]
fn a_log_of_another_site_or_with_a_broken_connection_changes_nothing() {
    let (dir, site, other) = (tempfile::tempdir().unwrap(), site_with(5), Site::new(2));
    let mut mirror = open(dir.path(), &site, alone());
    let mut fetch = from(bytes_of(&other.entries));
    assert!(mirror.update(&other.checkpoint(1), &mut fetch, START).is_err());
    assert_eq!(mirror.state().next(), 0);
    drop(mirror);
    let dir = tempfile::tempdir().unwrap();
    let mut mirror = open(dir.path(), &site, alone());
    follow(&mut mirror, &site, 2).unwrap();
    let broken = &mut |_: Range<u64>| Err(Error::OutOfRange);
    assert!(mirror.update(&site.checkpoint(5), broken, START).is_err());
    // A checkpoint that the log did not sign, over entries that it did not write.
    let forged = checkpoint_of(&site.origin, &other.secret, &bytes_of(&site.entries));
    assert!(mirror.update(&forged, &mut from(bytes_of(&site.entries)), START).is_err());
    assert!(mirror.finding().is_none(), "nothing of it is the log's doing");
    follow(&mut mirror, &site, 5).unwrap();
}

#[test]
fn a_fork_is_proven_whatever_its_size() {
    let (mut site, other) = (site_with(10), Site::new(2));
    let fork = |size: usize| {
        let mut entries = bytes_of(&site_with(size).entries);
        entries[0] = site.entries[0].bytes().to_vec();
        checkpoint_of(&site.origin, &site.secret, &entries)
    };
    for size in [2, 7, 10] {
        let dir = tempfile::tempdir().unwrap();
        let mut mirror = open(dir.path(), &site, alone());
        follow(&mut mirror, &site, 10).unwrap();
        let finding = found(mirror.heard_of(&fork(size), START));
        assert!(matches!(finding, Finding::Fork { .. }));
        can_be_shown(&finding, &site, &other);
        drop(mirror);
        // It is remembered, and nothing clears it.
        let mut mirror = open(dir.path(), &site, alone());
        assert_eq!(mirror.finding(), Some(&finding));
        assert_eq!(found(follow(&mut mirror, &site, 10)), finding);
    }
    let (one, two) = (site.checkpoint(10), fork(10));
    can_be_shown(&fork_of_one_size(&one, &two).unwrap(), &site, &other);
    assert!(fork_of_one_size(&one, &one).is_none());
    // What does not show a fork is no evidence of one.
    site.say(any_register()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut mirror = open(dir.path(), &site, alone());
    follow(&mut mirror, &site, 11).unwrap();
    let (reader, head) = (mirror.reader(), mirror.head().unwrap().clone());
    let slander = Finding::Fork {
        smaller: Box::new(one),
        larger: Box::new(head),
        prefix: reader.root_at(10).unwrap(),
        proof: consistency(&reader, 10, 11).unwrap(),
    };
    assert!(slander.verify(&[site.log_key()]).is_err());
}

#[test]
fn a_rewritten_history_stops_the_log_until_it_is_refuted_or_proven() {
    let (dir, mut site, other) = (tempfile::tempdir().unwrap(), site_with(6), Site::new(2));
    let mut mirror = open(dir.path(), &site, alone());
    follow(&mut mirror, &site, 6).unwrap();
    // Somebody edits the log: an earlier entry is another, and the log signs what it finds.
    let mut edited = site_with(8);
    edited.entries[0] = site.entries[0].clone();
    let shown = edited.checkpoint(8);
    let outcome = mirror.update(&shown, &mut from(bytes_of(&edited.entries)), START);
    let finding = found(outcome);
    assert!(matches!(finding, Finding::Rewritten { .. }));
    can_be_shown(&finding, &site, &other);
    assert_eq!(mirror.state(), &site.state, "nothing of it was taken in");
    drop(mirror);
    // It goes on with the true history: then the other checkpoint is a fork, and proven.
    let mut mirror = open(dir.path(), &site, alone());
    for _ in 0..3 {
        site.say(any_register()).unwrap();
    }
    let proven = found(follow(&mut mirror, &site, 9));
    assert!(matches!(proven, Finding::Fork { .. }));
    can_be_shown(&proven, &site, &other);
    // Had it been the line that garbled the entries, the log would refute it.
    let dir = tempfile::tempdir().unwrap();
    let mut mirror = open(dir.path(), &site, alone());
    follow(&mut mirror, &site, 6).unwrap();
    let outcome = mirror.update(&site.checkpoint(8), &mut from(bytes_of(&edited.entries)), START);
    assert!(matches!(found(outcome), Finding::Rewritten { .. }));
    follow(&mut mirror, &site, 9).unwrap();
    assert!(mirror.finding().is_none());
    drop(mirror);
    assert!(open(dir.path(), &site, alone()).finding().is_none());
}

/// Whoever rewrote a log gets no cosignatures for it, so what it shows is never followed. It is found out
/// all the same, once a witness tells what it was shown.
#[test]
fn a_rewritten_history_that_nobody_vouches_for_is_noticed() {
    let (dir, site) = (tempfile::tempdir().unwrap(), site_with(6));
    let witness = Site::new(3).witness_key();
    let vouched = Quorum::new(1, vec![witness]).unwrap();
    let mut mirror = open(dir.path(), &site, alone());
    follow(&mut mirror, &site, 6).unwrap();
    mirror.set_quorum(vouched);
    let mut edited = site_with(8);
    edited.entries[0] = site.entries[0].clone();
    let (forged, honest) = (edited.checkpoint(8), site.entries.clone());
    let mut fetch = from(bytes_of(&edited.entries));
    // By itself it is only not vouched for: witnesses may be away.
    let refused = mirror.update(&forged, &mut fetch, START);
    assert!(matches!(refused, Err(Error::Quorum { .. })), "{refused:?}");
    assert!(mirror.finding().is_none());
    mirror.heard_of(&forged, START).unwrap();
    let finding = found(mirror.update(&forged, &mut fetch, START));
    assert!(matches!(finding, Finding::Rewritten { .. }), "{finding:?}");
    assert_eq!(mirror.state().next(), honest.len() as u64, "nothing of it was taken in");
    // Honest entries that witnesses have not seen yet are no finding.
    let (dir, longer) = (tempfile::tempdir().unwrap(), site_with(8));
    let mut mirror = open(dir.path(), &longer, alone());
    follow(&mut mirror, &longer, 6).unwrap();
    mirror.set_quorum(Quorum::new(1, vec![Site::new(3).witness_key()]).unwrap());
    mirror.heard_of(&longer.checkpoint(8), START).unwrap();
    let refused = follow(&mut mirror, &longer, 8);
    assert!(matches!(refused, Err(Error::Quorum { .. })), "{refused:?}");
    assert!(mirror.finding().is_none());
    assert_eq!(mirror.state().next(), 6);
}

#[test]
fn rolled_back_truncated_and_withheld_entries_are_noticed_and_forgiven_once_given() {
    let (dir, site, other) = (tempfile::tempdir().unwrap(), site_with(10), Site::new(2));
    let mut mirror = open(dir.path(), &site, alone());
    follow(&mut mirror, &site, 8).unwrap();
    let finding = found(follow(&mut mirror, &site, 5));
    assert!(matches!(finding, Finding::RolledBack { .. }));
    can_be_shown(&finding, &site, &other);
    assert!(mirror.member().finding.is_some());
    follow(&mut mirror, &site, 8).unwrap();
    assert!(mirror.finding().is_none());
    // It promises ten and gives nine: a truncated bundle.
    let outcome =
        mirror.update(&site.checkpoint(10), &mut from(bytes_of(&site.entries[..9])), START);
    let finding = found(outcome);
    assert!(matches!(finding, Finding::Withheld { have: 9, .. }));
    can_be_shown(&finding, &site, &other);
    assert_eq!(mirror.state().next(), 8, "a part of a checkpoint is not taken in");
    follow(&mut mirror, &site, 10).unwrap();
    assert!(mirror.finding().is_none());
}

#[test]
fn an_entry_that_the_rules_refuse_is_shown_with_its_proof() {
    let (mut site, other) = (site_with(4), Site::new(2));
    let replayed = site.entries[2].clone();
    let unsigned = {
        let mut another = site.clone();
        another.secret = other.secret.clone();
        another.sign(any_register())
    };
    for bad in [replayed.bytes().to_vec(), unsigned.bytes().to_vec(), b"no entry".to_vec()] {
        let dir = tempfile::tempdir().unwrap();
        let mut mirror = open(dir.path(), &site, alone());
        follow(&mut mirror, &site, 3).unwrap();
        let mut entries = bytes_of(&site.entries);
        entries.push(bad.clone());
        let shown = checkpoint_of(&site.origin, &site.secret, &entries);
        let finding = found(mirror.update(&shown, &mut from(entries), START));
        let Finding::Invalid { entry, .. } = &finding else { panic!("{finding:?}") };
        assert_eq!(entry, &bad);
        can_be_shown(&finding, &site, &other);
        assert_eq!(mirror.state().next(), 3);
        drop(mirror);
        let mut mirror = open(dir.path(), &site, alone());
        assert!(follow(&mut mirror, &site, 4).is_err(), "it is for good");
    }
    site.say(any_register()).unwrap();
}

/// Cosigned by each witness, as it would be over the network.
fn witnessed(site: &Site, size: usize, witnesses: &[&Witness], now: u64) -> SignedCheckpoint {
    let mut checkpoint = site.checkpoint(size);
    for witness in witnesses {
        let last = witness.last(&site.origin).unwrap();
        let old_size = last.map_or(0, |last| last.checkpoint().size);
        let dir = tempfile::tempdir().unwrap();
        let mut all = open(dir.path(), site, alone());
        follow(&mut all, site, size).unwrap();
        let proof = consistency(&all.reader(), old_size, size as u64).unwrap().path;
        let request = CosignRequest { old_size, proof, checkpoint: site.checkpoint(size) };
        let request = CosignRequest::parse(request.format().as_bytes()).unwrap();
        checkpoint.add(witness.cosign(&request, &[site.log_key()], now).unwrap());
    }
    checkpoint
}

/// The owner revokes, and somebody between keeps the revocation from the third site. An old checkpoint
/// cannot be made to look fresh, because the witnesses have cosigned a later one.
#[test]
fn a_withheld_revocation_fails_closed() {
    let (mut owner, reader, third) = (Site::new(1), Site::new(2), Site::new(3));
    let (study, opening) = owner.register(1);
    let grant = owner.grant(study, &opening, &reader);
    let dir = tempfile::tempdir().unwrap();
    let witness = |n: u8| {
        let site = Site::new(n);
        let directory = dir.path().join(format!("w{n}"));
        let key = site.secret.witness_key();
        Witness::open(Arc::new(OsDisk), &directory, &site.origin, key).unwrap()
    };
    let (one, two) = (witness(4), witness(5));
    let keys = vec![one.verifier_key().unwrap(), two.verifier_key().unwrap()];
    let quorum = Quorum::new(2, keys).unwrap();
    let mut mirror = open(&dir.path().join("m"), &owner, quorum);
    let mut fetch = from(bytes_of(&owner.entries));
    let few = witnessed(&owner, 3, &[&one], START);
    let outcome = mirror.update(&few, &mut fetch, START);
    assert!(matches!(outcome, Err(Error::Quorum { found: 1, needed: 2 })), "{outcome:?}");
    let before = witnessed(&owner, 3, &[&one, &two], START + 10);
    mirror.update(&before, &mut fetch, START + 20).unwrap();
    let ask = |mirror: &Mirror, now| {
        let key = reader.secret.public().tls;
        let purpose = Purpose::Treatment;
        let members = [mirror.member(), reader.member(now)];
        let view = Federation::new(&third.state, members, 3600);
        view.evaluate(&Question { owner: owner.id, study, version: 1, key, purpose, now })
    };
    assert!(ask(&mirror, START + 100).is_ok());
    let reason = RevokeReason::ConsentWithdrawn;
    let mut after = owner.clone();
    after.say(Body::Revoke(Revoke { grant: grant.sequence, reason })).unwrap();
    let later = witnessed(&after, 4, &[&one, &two], START + 200);
    // The old checkpoint, again and again: it says no more than it said.
    mirror.update(&before, &mut fetch, START + 3600).unwrap();
    assert!(ask(&mirror, START + 3610).is_ok());
    assert_eq!(ask(&mirror, START + 3611), Err(Denial::Stale(owner.id)));
    // A witness shows the later one: the old one is now a roll-back, and stops the log at once.
    mirror.heard_of(&later, START + 210).unwrap();
    mirror.update(&before, &mut fetch, START + 269).unwrap(); // it may be about to publish it
    let finding = found(mirror.update(&before, &mut fetch, START + 300));
    assert!(matches!(finding, Finding::RolledBack { .. }));
    assert_eq!(ask(&mirror, START + 300), Err(Denial::Suspended(owner.id)));
    let withheld = mirror.update(&later, &mut fetch, START + 300);
    assert!(matches!(found(withheld), Finding::Withheld { have: 3, .. }));
    mirror.update(&later, &mut from(bytes_of(&after.entries)), START + 400).unwrap();
    assert_eq!(ask(&mirror, START + 400), Err(Denial::Revoked));
    drop(mirror);
    let quorum = Quorum::new(2, vec![one.verifier_key().unwrap(), two.verifier_key().unwrap()]);
    let mirror = open(&dir.path().join("m"), &owner, quorum.unwrap());
    assert_eq!(mirror.member().fresh_at, Some(START + 200), "known again after a restart");
    let unknown = Question {
        owner: owner.id,
        study: StudyId([1; 32]),
        version: 1,
        key: reader.secret.public().tls,
        purpose: Purpose::Treatment,
        now: START + 400,
    };
    let members = [mirror.member(), reader.member(START + 400)];
    assert!(Federation::new(&third.state, members, 3600).evaluate(&unknown).is_err());
}
