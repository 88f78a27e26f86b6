//! "May this key, for this purpose, at this time, read this study?", and everybody who may not.
#![allow(clippy::unwrap_used)]

mod support;

use cairn_ledger::access::{Denial, Permit, Question};
use cairn_ledger::entry::{
    Accept, Body, BreakGlass, BreakGlassReason, Conditions, Grant, Purpose, Review, ReviewVerdict,
    Revoke, RevokeReason, Rotate, Supersede, Tombstone, TombstoneReason, TransferIn, TransferOut,
};
use cairn_ledger::evidence::Finding;
use cairn_ledger::federation::{Disowned, Federation, Member};
use cairn_ledger::id::{Link, StudyId};
use cairn_ledger::keys::SiteSecret;
use cairn_ledger::opening::{Opening, SealedFor};
use cairn_ledger::state::Standing;
use support::{DAY, START, Site, access};

const STALE_SECONDS: u64 = 3600;

/// The owner answers: its own log and the reader's.
fn ask(owner: &Site, others: &[&Site], question: &Question) -> Result<Permit, Denial> {
    let members = others.iter().map(|site| site.member(question.now));
    Federation::new(&owner.state, members, STALE_SECONDS).evaluate(question)
}

fn question(owner: &Site, reader: &Site, study: StudyId) -> Question {
    Question {
        owner: owner.id,
        study,
        version: 1,
        key: reader.secret.public().tls,
        purpose: Purpose::Treatment,
        now: START + 60,
    }
}

struct Story {
    owner: Site,
    reader: Site,
    stranger: Site,
    study: StudyId,
    opening: Opening,
    grant: Link,
}

/// The owner has registered a study and granted it to the reader for a day.
fn story() -> Story {
    let (mut owner, reader, stranger) = (Site::new(1), Site::new(2), Site::new(3));
    let (study, opening) = owner.register(1);
    let grant = owner.grant(study, &opening, &reader);
    Story { owner, reader, stranger, study, opening, grant }
}

#[test]
fn the_grantee_reads_and_nobody_else() {
    let Story { owner, reader, stranger, study, opening, grant } = story();
    let asked = question(&owner, &reader, study);
    let permit = ask(&owner, &[&reader, &stranger], &asked).unwrap();
    assert_eq!((permit.reader, permit.right, permit.break_glass), (reader.id, grant, false));
    assert_eq!(permit.expires, START + DAY);
    let denied = |question| ask(&owner, &[&reader, &stranger], &question).unwrap_err();
    let by_stranger = Question { key: stranger.secret.public().tls, ..asked };
    assert_eq!(denied(by_stranger), Denial::NoGrant);
    assert_eq!(denied(Question { key: [7; 32], ..asked }), Denial::UnknownKey);
    // A key of the reader's for something else does not authenticate it.
    assert_eq!(denied(Question { key: reader.secret.public().sign, ..asked }), Denial::UnknownKey);
    assert_eq!(denied(Question { purpose: Purpose::Research, ..asked }), Denial::OtherPurpose);
    assert_eq!(denied(Question { purpose: Purpose::Emergency, ..asked }), Denial::OtherPurpose);
    assert_eq!(denied(Question { version: 2, ..asked }), Denial::OtherVersion);
    let elsewhere = Question { study: StudyId([7; 32]), ..asked };
    assert_eq!(denied(elsewhere), Denial::Disowned(Disowned::NotOwned));
    // The opening in the grant tells the grantee the root, and the stranger nothing.
    let Body::Grant(logged) = &owner.entries[grant.sequence as usize].entry().body else {
        panic!()
    };
    let place = SealedFor { from: owner.id, to: reader.id, study, version: 1 };
    let commitment = owner.state.study(&study).unwrap().commitment;
    assert_eq!(logged.opening.open(&reader.secret, &place, &commitment).unwrap(), opening);
    assert!(logged.opening.open(&stranger.secret, &place, &commitment).is_err());
}

#[test]
fn a_grant_holds_from_its_first_second_to_before_its_last() {
    let Story { mut owner, reader, study, opening, .. } = story();
    let (from, until) = (START + 1000, START + 2000);
    let grant = Grant {
        not_before: from,
        expires: until,
        purpose: Purpose::Research,
        ..owner.grant_of(study, &opening, &reader)
    };
    owner.say(Body::Grant(Box::new(grant))).unwrap();
    let at = |now| {
        let purpose = Purpose::Research;
        ask(&owner, &[&reader], &Question { now, purpose, ..question(&owner, &reader, study) })
    };
    assert_eq!(at(from - 1), Err(Denial::NotYet));
    assert!(at(from).is_ok() && at(until - 1).is_ok());
    assert_eq!(at(until), Err(Denial::Expired));
}

#[test]
fn a_revocation_and_a_tombstone_end_it_and_a_new_version_needs_its_own() {
    let story = story();
    let asked = question(&story.owner, &story.reader, story.study);
    let after = |body: Body| {
        let mut owner = story.owner.clone();
        owner.say(body).unwrap();
        ask(&owner, &[&story.reader], &asked)
    };
    let (grant, reason) = (story.grant.sequence, RevokeReason::Mistake);
    assert_eq!(after(Body::Revoke(Revoke { grant, reason })), Err(Denial::Revoked));
    let (study, reason) = (story.study, TombstoneReason::Erasure);
    let end = Body::Tombstone(Tombstone { study, reason });
    assert_eq!(after(end), Err(Denial::Disowned(Disowned::Ended)));
    let corrected = Opening::generate(story.opening.root).unwrap();
    let commitment = corrected.commitment();
    let supersede = Supersede { study, version: 2, commitment };
    let mut owner = story.owner.clone();
    owner.say(Body::Supersede(supersede)).unwrap();
    let of_the_new = Question { version: 2, ..asked };
    assert!(ask(&owner, &[&story.reader], &asked).is_ok(), "what was granted stays granted");
    assert_eq!(ask(&owner, &[&story.reader], &of_the_new), Err(Denial::OtherVersion));
    let place = SealedFor { from: owner.id, to: story.reader.id, study, version: 2 };
    let opening = corrected.seal(&place, &story.reader.secret.public().seal).unwrap();
    let grant = owner.grant_of(study, &corrected, &story.reader);
    owner.say(Body::Grant(Box::new(Grant { version: 2, opening, ..grant }))).unwrap();
    assert!(ask(&owner, &[&story.reader], &of_the_new).is_ok());
}

#[test]
fn conditions_have_to_be_accepted_where_the_grant_says_so() {
    let Story { mut owner, mut reader, study, opening, .. } = story();
    let conditions = Conditions { accept_first: true, ..Conditions::default() };
    let purpose = Purpose::Research;
    let grant = Grant { conditions, purpose, ..owner.grant_of(study, &opening, &reader) };
    let link = owner.say(Body::Grant(Box::new(grant))).unwrap();
    let asked = Question { purpose, ..question(&owner, &reader, study) };
    assert_eq!(ask(&owner, &[&reader], &asked), Err(Denial::NotAccepted));
    let mut forged = reader.clone();
    let other = Link { leaf: story().grant.leaf, ..link };
    forged.say(Body::Accept(Accept { grant: other })).unwrap();
    assert_eq!(ask(&owner, &[&forged], &asked), Err(Denial::NotAccepted), "another entry");
    reader.say(Body::Accept(Accept { grant: link })).unwrap();
    assert_eq!(ask(&owner, &[&reader], &asked).unwrap().conditions, conditions);
}

#[test]
fn a_stale_mirror_fails_closed() {
    let Story { owner, reader, stranger, study, .. } = story();
    let asked = question(&owner, &reader, study);
    // A third site answers from its mirrors of both.
    let third = |owner_seen, reader_seen, now| {
        let members = [owner.member(owner_seen), reader.member(reader_seen)];
        let view = Federation::new(&stranger.state, members, STALE_SECONDS);
        view.evaluate(&Question { now, ..asked })
    };
    let now = START + 2 * STALE_SECONDS;
    assert!(third(now - STALE_SECONDS, now, now).is_ok());
    assert_eq!(third(now - STALE_SECONDS - 1, now, now), Err(Denial::Stale(owner.id)));
    // A revoked key of the reader's may hide behind an old log of the reader's.
    assert_eq!(third(now, now - STALE_SECONDS - 1, now), Err(Denial::Stale(reader.id)));
    let never = Member { fresh_at: None, ..owner.member(0) };
    let view = Federation::new(&stranger.state, [never, reader.member(now)], STALE_SECONDS);
    assert_eq!(view.evaluate(&asked), Err(Denial::Stale(owner.id)));
    let unknown = Federation::new(&stranger.state, [reader.member(now)], STALE_SECONDS);
    assert_eq!(unknown.evaluate(&asked), Err(Denial::UnknownOwner));
}

#[test]
fn a_log_that_was_caught_grants_nothing_and_asks_for_nothing() {
    let Story { owner, reader, stranger, study, .. } = story();
    let promised = Box::new(owner.checkpoint(2));
    let finding = Finding::Withheld { promised, have: 1 };
    let asked = question(&owner, &reader, study);
    let caught = |site: &'static str| {
        let mark = |member, is: bool| Member { finding: is.then_some(&finding), ..member };
        let members = [
            mark(owner.member(START), site == "owner"),
            mark(reader.member(START), site == "reader"),
        ];
        Federation::new(&stranger.state, members, STALE_SECONDS).evaluate(&asked)
    };
    assert!(caught("nobody").is_ok());
    assert_eq!(caught("owner"), Err(Denial::Suspended(owner.id)));
    assert_eq!(caught("reader"), Err(Denial::Suspended(reader.id)));
}

#[test]
fn an_old_key_authenticates_nobody() {
    let Story { owner, mut reader, study, .. } = story();
    let asked = question(&owner, &reader, study);
    let new = SiteSecret::from_seed([9; 32]);
    let possession = new.possession(&reader.id, reader.state.next());
    reader.say(Body::Rotate(Box::new(Rotate { keys: new.public(), possession }))).unwrap();
    assert_eq!(ask(&owner, &[&reader], &asked), Err(Denial::UnknownKey));
    let with_the_new = Question { key: new.public().tls, ..asked };
    assert!(ask(&owner, &[&reader], &with_the_new).is_ok(), "the grant names the site, not a key");
}

/// A site grants a study that another registered: the id is a hash of who registers.
#[test]
fn nobody_grants_another_s_study() {
    let Story { owner, reader, mut stranger, study, opening, .. } = story();
    let grant = stranger.grant_of(study, &opening, &reader);
    assert!(stranger.say(Body::Grant(Box::new(grant.clone()))).is_err());
    // Taken over, as it says, by an entry that the owner never wrote.
    let from = owner.entries[1].link();
    let commitment = owner.state.study(&study).unwrap().commitment;
    let taken = TransferIn { study, from, version: 1, commitment };
    stranger.say(Body::TransferIn(taken)).unwrap();
    stranger.say(Body::Grant(Box::new(grant))).unwrap();
    let asked = Question { owner: stranger.id, ..question(&owner, &reader, study) };
    let members = [owner.member(START), stranger.member(START)];
    let view = Federation::new(&reader.state, members, STALE_SECONDS);
    assert_eq!(view.evaluate(&asked), Err(Denial::Disowned(Disowned::NotHanded(owner.id))));
    assert_eq!(view.find_owner(&owner.id, study), Some(owner.id));
}

#[test]
fn a_study_changes_hands_and_the_old_grants_end() {
    let Story { mut owner, reader, stranger: mut heir, study, opening, .. } = story();
    let hand = |from: &mut Site, to: &mut Site, opening: &Opening| {
        let place = SealedFor { from: from.id, to: to.id, study, version: 1 };
        let sealed = opening.seal(&place, &to.secret.public().seal).unwrap();
        let commitment = from.state.study(&study).unwrap().commitment;
        let out = TransferOut { study, version: 1, to: to.id, opening: sealed.clone() };
        let from = from.say(Body::TransferOut(Box::new(out))).unwrap();
        let taken = sealed.open(&to.secret, &place, &commitment).unwrap();
        let own = Opening::generate(taken.root).unwrap();
        let commitment = own.commitment();
        to.say(Body::TransferIn(TransferIn { study, from, version: 1, commitment })).unwrap();
        own
    };
    let of_heir = hand(&mut owner, &mut heir, &opening);
    assert_eq!(of_heir.root, opening.root);
    let asked = question(&owner, &reader, study);
    let all = |owner: &Site, heir: &Site, asked: &Question| {
        let members = [owner.member(START), heir.member(START)];
        Federation::new(&reader.state, members, STALE_SECONDS).evaluate(asked)
    };
    let handed = Denial::Disowned(Disowned::HandedOn(heir.id));
    assert_eq!(all(&owner, &heir, &asked), Err(handed));
    let of_the_heir = Question { owner: heir.id, ..asked };
    assert_eq!(all(&owner, &heir, &of_the_heir), Err(Denial::NoGrant), "grants end at a hand-over");
    heir.grant(study, &of_heir, &reader);
    assert!(all(&owner, &heir, &of_the_heir).is_ok());
    // Without the former owner's log the chain cannot be followed.
    let view = Federation::new(&reader.state, [heir.member(START)], STALE_SECONDS);
    let unknown = Disowned::UnknownOwner(owner.id);
    assert_eq!(view.evaluate(&of_the_heir), Err(Denial::Disowned(unknown)));
    // And back: the grants of the first time do not come back with it.
    hand(&mut heir, &mut owner, &of_heir);
    assert_eq!(owner.state.study(&study).unwrap().standing, Standing::Owned);
    assert_eq!(all(&owner, &heir, &asked), Err(Denial::NoGrant));
}

/// Who a study is handed to has to be able to get it, until it says that it has it; and nobody else.
#[test]
fn a_hand_over_is_a_right_to_read_until_it_is_answered() {
    let Story { mut owner, reader, stranger: mut heir, study, opening, .. } = story();
    let asked = question(&owner, &heir, study);
    assert_eq!(ask(&owner, &[&heir, &reader], &asked), Err(Denial::NoGrant));
    let place = SealedFor { from: owner.id, to: heir.id, study, version: 1 };
    let opening = opening.seal(&place, &heir.secret.public().seal).unwrap();
    let out = TransferOut { study, version: 1, to: heir.id, opening };
    let from = owner.say(Body::TransferOut(Box::new(out))).unwrap();
    let permit = ask(&owner, &[&heir, &reader], &asked).unwrap();
    assert_eq!((permit.reader, permit.right, permit.break_glass), (heir.id, from, false));
    let purpose = Purpose::Research;
    assert!(ask(&owner, &[&heir], &Question { purpose, ..asked }).is_ok(), "for anything");
    let other = Question { version: 2, ..asked };
    assert_eq!(ask(&owner, &[&heir], &other), Err(Denial::OtherVersion));
    let handed_on = Denial::Disowned(Disowned::HandedOn(heir.id));
    let of_reader = question(&owner, &reader, study);
    assert_eq!(ask(&owner, &[&heir, &reader], &of_reader), Err(handed_on));
    let view = Federation::new(&heir.state, [owner.member(START)], STALE_SECONDS);
    assert_eq!(view.handed_to(&owner.id, study, &heir.id), Some((from, 1)));
    assert_eq!(view.check_hand_over(&from, study), Ok(()));
    let forged = Link { sequence: 0, ..from };
    assert_eq!(view.check_hand_over(&forged, study), Err(Disowned::NotHanded(owner.id)));
    let commitment = Opening::generate(cairn_chunker::id::StudyRoot([7; 32])).unwrap().commitment();
    heir.say(Body::TransferIn(TransferIn { study, from, version: 1, commitment })).unwrap();
    assert_eq!(ask(&owner, &[&heir, &reader], &asked), Err(handed_on), "it has it");
    // Handed on without ever having been its owner's: nobody has to take it.
    let mut thief = Site::new(4);
    let invented = Link { site: owner.id, sequence: 1, leaf: from.leaf };
    let commitment = Opening::generate(cairn_chunker::id::StudyRoot([8; 32])).unwrap();
    let taken =
        TransferIn { study, from: invented, version: 1, commitment: commitment.commitment() };
    thief.say(Body::TransferIn(taken)).unwrap();
    let place = SealedFor { from: thief.id, to: reader.id, study, version: 1 };
    let opening = commitment.seal(&place, &reader.secret.public().seal).unwrap();
    let out = TransferOut { study, version: 1, to: reader.id, opening };
    let stolen = thief.say(Body::TransferOut(Box::new(out))).unwrap();
    let members = [owner.member(START), thief.member(START)];
    let view = Federation::new(&reader.state, members, STALE_SECONDS);
    assert_eq!(view.check_hand_over(&stolen, study), Err(Disowned::NotHanded(owner.id)));
}

/// What a reader may keep only while it is granted: what is not known ends nothing.
#[test]
fn a_grant_ends_for_good_by_what_is_known_alone() {
    let Story { owner, reader, stranger, study, opening, grant } = story();
    let ended = |owner: &Site, now: u64, finding: Option<&Finding>| {
        let member = Member { finding, ..owner.member(START) };
        let federation = Federation::new(&reader.state, [member], STALE_SECONDS);
        let stands = federation.is_granted(&reader.id, study, now);
        let has = federation.has_ended(&grant, now);
        assert_ne!(has, stands, "there is one grant");
        has
    };
    let late = START + DAY;
    assert!(!ended(&owner, START + 1, None) && !ended(&owner, late - 1, None), "stale or not");
    assert!(ended(&owner, late, None));
    let mut revoked = owner.clone();
    let reason = RevokeReason::Mistake;
    revoked.say(Body::Revoke(Revoke { grant: grant.sequence, reason })).unwrap();
    assert!(ended(&revoked, START + 1, None));
    let mut gone = owner.clone();
    let reason = TombstoneReason::Erasure;
    gone.say(Body::Tombstone(Tombstone { study, reason })).unwrap();
    assert!(ended(&gone, START + 1, None));
    // A log that was caught at something revokes nothing; that it granted for a day stands.
    let promised = Box::new(revoked.checkpoint(2));
    let finding = Finding::Withheld { promised, have: 1 };
    assert!(!ended(&revoked, START + 1, Some(&finding)));
    assert!(ended(&revoked, late, Some(&finding)));
    // Nor does one that is not known here.
    let alone = Federation::new(&reader.state, [], STALE_SECONDS);
    assert!(!alone.has_ended(&grant, late));
    let mut twice = owner.clone();
    let second = twice.grant(study, &opening, &reader);
    twice
        .say(Body::Revoke(Revoke { grant: grant.sequence, reason: RevokeReason::Mistake }))
        .unwrap();
    let federation = Federation::new(&reader.state, [twice.member(START)], STALE_SECONDS);
    assert!(federation.has_ended(&grant, START + 1) && !federation.has_ended(&second, START + 1));
    assert!(federation.is_granted(&reader.id, study, START + 1), "the second");
    assert!(!federation.is_granted(&stranger.id, study, START + 1));
}

#[test]
fn broken_glass_opens_at_once_for_a_day_and_until_it_is_found_unjustified() {
    let Story { mut owner, mut stranger, study, .. } = story();
    let reason = BreakGlassReason::Emergency;
    let expires = START + DAY;
    let broken = BreakGlass { owner: owner.id, study, expires, reason };
    let link = stranger.say(Body::BreakGlass(broken)).unwrap();
    let asked = Question { purpose: Purpose::Emergency, ..question(&owner, &stranger, study) };
    let permit = ask(&owner, &[&stranger], &asked).unwrap();
    assert_eq!((permit.right, permit.break_glass, permit.expires), (link, true, expires));
    let other_purpose = Question { purpose: Purpose::Treatment, ..asked };
    assert_eq!(ask(&owner, &[&stranger], &other_purpose), Err(Denial::NoGrant));
    let at = |now| ask(&owner, &[&stranger], &Question { now, ..asked });
    assert!(at(expires - 1).is_ok());
    assert_eq!(at(expires), Err(Denial::NoGrant));
    assert_eq!(at(START - 301), Err(Denial::NoGrant), "dated far ahead");
    // The owner is told, and has to review it.
    let members = [stranger.member(START)];
    let pending = Federation::new(&owner.state, members, STALE_SECONDS).pending_reviews();
    assert_eq!(pending.iter().map(|review| review.entry).collect::<Vec<_>>(), [link]);
    // The access is logged on both sides under the break-glass entry.
    let access = access(&owner, &stranger, link, study, 1);
    let receipt = Site::receipt(access, &stranger);
    owner.say(Body::Receipt(Box::new(receipt.clone()))).unwrap();
    stranger.say(Body::Receipt(Box::new(Site::receipt(access, &owner)))).unwrap();
    let verdict = ReviewVerdict::Unjustified;
    owner.say(Body::Review(Review { break_glass: link, verdict })).unwrap();
    assert_eq!(ask(&owner, &[&stranger], &asked), Err(Denial::NoGrant));
    let view = Federation::new(&owner.state, [stranger.member(START)], STALE_SECONDS);
    assert!(view.pending_reviews().is_empty());
    assert!(view.receipt_holds(&owner.id, &receipt));
}

#[test]
fn a_receipt_is_checked_against_both_logs() {
    let Story { owner, reader, stranger, study, grant, .. } = story();
    let view = Federation::new(
        &stranger.state,
        [owner.member(START), reader.member(START)],
        STALE_SECONDS,
    );
    let right = access(&owner, &reader, grant, study, 1);
    assert!(view.receipt_holds(&owner.id, &Site::receipt(right, &reader)));
    assert!(view.receipt_holds(&reader.id, &Site::receipt(right, &owner)));
    assert!(!view.receipt_holds(&owner.id, &Site::receipt(right, &stranger)), "not its key");
    let mut elsewhere = right;
    elsewhere.right.leaf = owner.entries[1].leaf();
    assert!(!view.receipt_holds(&owner.id, &Site::receipt(elsewhere, &reader)), "no such right");
}
