//! What an entry may say after those before it.
#![allow(clippy::unwrap_used)]

mod support;

use cairn_chunker::id::StudyRoot;
use cairn_ledger::entry::{
    Accept, Attest, Body, BreakGlass, BreakGlassReason, Entry, Grant, Header, Join, PatientKey,
    Purpose, Receipt, Register, Review, ReviewVerdict, Revoke, RevokeReason, Rotate, SignedEntry,
    Supersede, Tombstone, TombstoneReason, TransferIn, TransferOut, Verdict,
};
use cairn_ledger::id::{Commitment, LeafHash, Link, SiteId, StudyId};
use cairn_ledger::keys::{SiteKeys, SiteSecret};
use cairn_ledger::opening::{Opening, SealedFor};
use cairn_ledger::state::{Reject, SiteState, Standing, apply};
use proptest::prelude::*;
use support::{DAY, START, Site, access};

fn revoke(grant: u64) -> Body {
    Body::Revoke(Revoke { grant, reason: RevokeReason::TreatmentEnded })
}

fn supersede(study: StudyId, version: u64, to: u8) -> Body {
    Body::Supersede(Supersede { study, version, commitment: Commitment([to; 32]) })
}

#[test]
fn a_log_begins_with_the_join_of_its_own_site() {
    let (a, b) = (Site::new(1), Site::new(2));
    let mut empty = SiteState::default();
    assert_eq!(empty.apply(&a.entries[0]), Ok(()));
    assert_eq!((empty.site(), empty.origin()), (Some(a.id), Some(a.origin.as_str())));
    let register = Body::Register(Register { salt: [1; 32], commitment: Commitment([1; 32]) });
    let first = |site: SiteId, body: Body, secret: &SiteSecret| {
        let entry = Entry { header: Header { site, sequence: 0, time: START }, body };
        SiteState::default().apply(&SignedEntry::sign(entry, &secret.entry_key()).unwrap())
    };
    assert_eq!(first(a.id, register, &a.secret), Err(Reject::Join));
    assert_eq!(first(b.id, a.join(), &a.secret), Err(Reject::SiteId), "under another's id");
    assert_eq!(first(a.id, a.join(), &b.secret), Err(Reject::Signature));
    // Another's TLS key, which the site does not hold.
    let keys = SiteKeys { tls: b.secret.public().tls, ..a.secret.public() };
    let possession = a.secret.possession(&a.id, 0);
    let stolen = Join { origin: a.origin.clone(), keys, possession };
    assert_eq!(first(a.id, Body::Join(Box::new(stolen)), &a.secret), Err(Reject::Keys));
    let mut joined = a.clone();
    assert_eq!(joined.say(a.join()), Err(Reject::Join), "twice");
}

#[test]
fn replayed_reordered_forged_and_foreign_entries_are_refused() {
    let (mut a, mut b) = (Site::new(1), Site::new(2));
    a.register(1);
    b.register(1);
    let again = a.entries[1].clone();
    assert_eq!(a.state.apply(&again), Err(Reject::Sequence { expected: 2, found: 1 }));
    let after_one = {
        let mut later = a.clone();
        later.register(2);
        later.register(3);
        later.entries[3].clone()
    };
    assert_eq!(a.state.apply(&after_one), Err(Reject::Sequence { expected: 2, found: 3 }));
    // An entry of another log, at the right place: it is not signed by this site's key.
    b.register(2);
    assert_eq!(a.state.apply(&b.entries[2]), Err(Reject::Signature));
    // The same, signed anew by this site.
    let entry = b.entries[2].entry().clone();
    let forged = SignedEntry::sign(entry, &a.secret.entry_key()).unwrap();
    assert_eq!(a.state.apply(&forged), Err(Reject::OtherSite));
    a.time -= 1;
    assert_eq!(a.say(revoke(1)), Err(Reject::Time));
}

#[test]
fn keys_rotate_at_once_and_for_good() {
    let mut a = Site::new(1);
    let new = SiteSecret::from_seed([9; 32]);
    let rotate = |secret: &SiteSecret, keys: SiteKeys, a: &Site| {
        let possession = secret.possession(&a.id, a.state.next());
        Body::Rotate(Box::new(Rotate { keys, possession }))
    };
    let half = SiteKeys { tls: a.secret.public().tls, ..new.public() };
    assert_eq!(a.say(rotate(&new, half, &a)), Err(Reject::Keys), "keys that are not held");
    assert_eq!(a.say(rotate(&a.secret, a.secret.public(), &a)), Err(Reject::Keys), "no new keys");
    a.say(rotate(&new, new.public(), &a)).unwrap();
    let by_the_old =
        a.sign(Body::Register(Register { salt: [1; 32], commitment: Commitment([1; 32]) }));
    assert_eq!(a.state.apply(&by_the_old), Err(Reject::Signature));
    let id = a.id;
    a.secret = new;
    a.register(1);
    assert_eq!(a.state.site(), Some(id), "the site keeps its id");
}

#[test]
fn only_the_owner_speaks_of_a_study_and_versions_follow() {
    let mut a = Site::new(1);
    let (study, _) = a.register(1);
    let other = StudyId([7; 32]);
    let version = |known, found| Err(Reject::Version { known, found });
    let register = Register { salt: [1; 32], commitment: Commitment([9; 32]) };
    assert_eq!(a.say(Body::Register(register)), Err(Reject::Registered));
    assert_eq!(a.say(supersede(other, 2, 2)), Err(Reject::NotOwned));
    assert_eq!(a.say(supersede(study, 3, 2)), version(1, 3));
    assert_eq!(a.say(supersede(study, 1, 2)), version(1, 1));
    assert_eq!(a.say(supersede(study, 0, 2)), version(1, 0));
    a.say(supersede(study, 2, 2)).unwrap();
    assert_eq!(a.say(supersede(study, 3, 2)), Err(Reject::Commitment), "the same commitment");
    let attest = |version| {
        let verdict = Verdict::Findings;
        Body::Attest(Attest { study, version, checks: 1, verdict })
    };
    assert_eq!(a.say(attest(1)), version(2, 1));
    a.say(attest(2)).unwrap();
    assert_eq!(a.state.study(&study).unwrap().verdict, Some(Verdict::Findings));
    a.say(supersede(study, 3, 3)).unwrap();
    assert_eq!(a.state.study(&study).unwrap().verdict, None, "a new version is not attested");
    let bind = |n| {
        Body::PatientKey(PatientKey { study, commitment: Commitment([n; 32]), required: false })
    };
    a.say(bind(1)).unwrap();
    assert_eq!(a.say(bind(1)), Err(Reject::Commitment));
    a.say(bind(2)).unwrap();
    let end = Body::Tombstone(Tombstone { study, reason: TombstoneReason::Erasure });
    a.say(end.clone()).unwrap();
    assert_eq!(a.say(end), Err(Reject::NotOwned), "twice");
    assert_eq!(a.say(supersede(study, 4, 4)), Err(Reject::NotOwned), "after its end");
    assert_eq!(a.state.study(&study).unwrap().standing, Standing::Ended);
}

#[test]
fn grants_are_of_owned_studies_to_others_for_a_bounded_time() {
    let (mut a, b) = (Site::new(1), Site::new(2));
    let (study, opening) = a.register(1);
    let good = a.grant_of(study, &opening, &b);
    let refused = |grant: Grant| a.clone().say(Body::Grant(Box::new(grant))).unwrap_err();
    assert_eq!(refused(Grant { study: StudyId([7; 32]), ..good.clone() }), Reject::NotOwned);
    let found = Reject::Version { known: 1, found: 2 };
    assert_eq!(refused(Grant { version: 2, ..good.clone() }), found);
    assert_eq!(refused(Grant { grantee: Site::new(1).id, ..good.clone() }), Reject::Oneself);
    assert_eq!(refused(Grant { expires: good.not_before, ..good.clone() }), Reject::Period);
    let over = Grant { not_before: 1, expires: START, ..good.clone() };
    assert_eq!(refused(over), Reject::Period, "over before it began");
    assert_eq!(refused(Grant { expires: START + 4000 * DAY, ..good.clone() }), Reject::Period);
    let answer = Some(Link { site: b.id, sequence: 1, leaf: LeafHash([1; 32]) });
    let break_glass = Grant { break_glass: answer, ..good.clone() };
    assert_eq!(refused(break_glass.clone()), Reject::BreakGlass, "treatment is no emergency");
    let emergency = Grant { purpose: Purpose::Emergency, ..break_glass };
    assert_eq!(
        refused(Grant { expires: START + DAY + 1, ..emergency.clone() }),
        Reject::BreakGlass
    );
    a.clone().say(Body::Grant(Box::new(emergency))).unwrap();
    let grant = a.say(Body::Grant(Box::new(good))).unwrap();
    assert_eq!(a.say(revoke(1)), Err(Reject::NoGrant));
    a.say(revoke(grant.sequence)).unwrap();
    assert_eq!(a.say(revoke(grant.sequence)), Err(Reject::Revoked));
}

#[test]
fn receipts_need_both_sides_and_a_right_and_count_once() {
    let (mut a, mut b, c) = (Site::new(1), Site::new(2), Site::new(3));
    let (study, opening) = a.register(1);
    let grant = a.grant(study, &opening, &b);
    let of = |number| access(&a, &b, grant, study, number);
    let (first, second) = (of(1), of(2));
    let say = |site: &mut Site, receipt: Receipt| site.say(Body::Receipt(Box::new(receipt)));
    let by_a_stranger = Site::receipt(first, &c);
    let forged = Receipt { key: b.secret.public().sign, ..by_a_stranger };
    assert_eq!(say(&mut a.clone(), forged), Err(Reject::Countersignature));
    let mut other = first;
    other.reader = c.id;
    assert_eq!(say(&mut a.clone(), Site::receipt(other, &c)), Err(Reject::OtherRight));
    let mut elsewhere = first;
    elsewhere.owner = c.id;
    assert_eq!(say(&mut a.clone(), Site::receipt(elsewhere, &b)), Err(Reject::NotAParty(a.id)));
    let mut future = first;
    future.ended = START + 1;
    assert_eq!(say(&mut a.clone(), Site::receipt(future, &b)), Err(Reject::Period));
    let mut changed = Site::receipt(first, &b);
    changed.access.version = 2;
    assert_eq!(say(&mut a.clone(), changed), Err(Reject::OtherRight));
    say(&mut a, Site::receipt(first, &b)).unwrap();
    let again = say(&mut a, Site::receipt(first, &b));
    assert_eq!(again, Err(Reject::ReceiptNumber { last: 1, found: 1 }));
    say(&mut a, Site::receipt(second, &b)).unwrap();
    // The other side logs the same access with this side's signature.
    say(&mut b, Site::receipt(second, &a)).unwrap();
    assert_eq!(b.state.next_receipt(&grant), 3);
}

#[test]
fn break_glass_is_of_another_s_study_within_a_day_and_reviewed_once() {
    let (mut a, b) = (Site::new(1), Site::new(2));
    let open = |owner, expires| {
        let (study, reason) = (StudyId([1; 32]), BreakGlassReason::Emergency);
        Body::BreakGlass(BreakGlass { owner, study, expires, reason })
    };
    assert_eq!(a.say(open(a.id, START + 60)), Err(Reject::Oneself));
    assert_eq!(a.say(open(b.id, START)), Err(Reject::Period));
    assert_eq!(a.say(open(b.id, START + DAY + 1)), Err(Reject::Period));
    let broken = a.say(open(b.id, START + DAY)).unwrap();
    let review = |verdict| Body::Review(Review { break_glass: broken, verdict });
    assert_eq!(a.say(review(ReviewVerdict::Justified)), Err(Reject::Oneself), "one's own");
    let mut owner = b;
    owner.say(review(ReviewVerdict::Justified)).unwrap();
    assert_eq!(owner.say(review(ReviewVerdict::Unjustified)), Err(Reject::Twice));
    let accept = Body::Accept(Accept { grant: broken });
    assert_eq!(a.say(accept.clone()), Err(Reject::Oneself));
    owner.say(accept.clone()).unwrap();
    assert_eq!(owner.say(accept), Err(Reject::Twice));
}

#[test]
fn a_study_that_was_handed_over_is_another_s_until_it_comes_back() {
    let (mut a, b) = (Site::new(1), Site::new(2));
    let (study, opening) = a.register(1);
    let out = |to: &Site, version| {
        let place = SealedFor { from: a.id, to: to.id, study, version };
        let opening = opening.seal(&place, &to.secret.public().seal).unwrap();
        Body::TransferOut(Box::new(TransferOut { study, version, to: to.id, opening }))
    };
    assert_eq!(a.clone().say(out(&a, 1)), Err(Reject::Oneself));
    let (hand_over, wrong) = (out(&b, 1), out(&b, 2));
    assert_eq!(a.say(wrong), Err(Reject::Version { known: 1, found: 2 }));
    a.say(hand_over.clone()).unwrap();
    assert_eq!(a.say(hand_over), Err(Reject::NotOwned));
    assert_eq!(a.say(supersede(study, 2, 2)), Err(Reject::NotOwned));
    let back = |version, commitment| {
        let from = Link { site: b.id, sequence: 5, leaf: LeafHash([5; 32]) };
        let commitment = Commitment([commitment; 32]);
        Body::TransferIn(TransferIn { study, from, version, commitment })
    };
    assert_eq!(a.say(back(0, 3)), Err(Reject::Version { known: 1, found: 0 }));
    a.say(back(4, 3)).unwrap();
    assert_eq!(a.say(back(4, 4)), Err(Reject::Registered), "it is here");
    a.say(supersede(study, 5, 5)).unwrap();
}

/// Numbers that a proptest draws, made into bodies that are sometimes allowed and sometimes not.
fn body(draw: (u8, u8, u8), site: &Site, other: &Site, studies: &[(StudyId, Opening)]) -> Body {
    let (kind, pick, n) = draw;
    let opening = Opening::generate(StudyRoot([n; 32])).unwrap();
    let (study, known) = match studies {
        [] => (StudyId([n; 32]), opening),
        _ => studies[usize::from(pick) % studies.len()].clone(),
    };
    let version = site.state.study(&study).map_or(1, |study| study.version) + u64::from(n & 1);
    let commitment = Commitment([n; 32]);
    let link = Link { site: other.id, sequence: u64::from(pick % 4), leaf: LeafHash([n; 32]) };
    match kind % 13 {
        0 | 1 => Body::Register(Register { salt: [n; 32], commitment }),
        2 => Body::Supersede(Supersede { study, version, commitment }),
        3 => Body::Attest(Attest { study, version, checks: 1, verdict: Verdict::Passed }),
        4 | 5 => {
            let grant = Grant { version, ..site.grant_of(study, &known, other) };
            Body::Grant(Box::new(grant))
        }
        6 => revoke(u64::from(pick)),
        7 => Body::Accept(Accept { grant: link }),
        8 => {
            let access = access(site, other, link, study, u64::from(n));
            Body::Receipt(Box::new(Site::receipt(access, other)))
        }
        9 => Body::TransferIn(TransferIn { study, from: link, version, commitment }),
        10 => {
            let (owner, reason) = (other.id, BreakGlassReason::Emergency);
            Body::BreakGlass(BreakGlass { owner, study, expires: START + DAY, reason })
        }
        11 => Body::Review(Review { break_glass: link, verdict: ReviewVerdict::Justified }),
        _ => Body::PatientKey(PatientKey { study, commitment, required: false }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever replays the accepted entries comes to the same state, by whichever of the ways there
    /// are, and what was refused has left no trace.
    #[test]
    fn replay_by_anyone_gives_the_same_state(
        draws in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>()), 1..60)
    ) {
        let (mut site, other) = (Site::new(1), Site::new(2));
        let mut studies = Vec::new();
        for draw in draws {
            let before = site.state.clone();
            let body = body(draw, &site, &other, &studies);
            let registers = matches!(body, Body::Register(_));
            if site.say(body).is_err() {
                prop_assert_eq!(&site.state, &before, "a refused entry changed something");
            } else if registers {
                let salt = [draw.2; 32];
                let opening = Opening::generate(StudyRoot(salt)).unwrap();
                studies.push((StudyId::derive(&site.id, &salt), opening));
            }
        }
        let (mut replayed, mut by_function) = (SiteState::default(), SiteState::default());
        for entry in &site.entries {
            let read = SignedEntry::decode(entry.bytes()).unwrap();
            replayed.apply(&read).unwrap();
            by_function = apply(&by_function, &read).unwrap();
        }
        prop_assert_eq!(&replayed, &site.state);
        prop_assert_eq!(&by_function, &site.state);
        prop_assert_eq!(site.state.next(), site.entries.len() as u64);
    }
}
