#![allow(clippy::unwrap_used)]

use cairn_ledger::entry::{BreakGlass, BreakGlassReason, Header, Register, Revoke, RevokeReason};
use cairn_ledger::id::{Commitment, LeafHash, Link, StudyId};

use super::*;

const A: SiteId = SiteId([1; 32]);
const B: SiteId = SiteId([2; 32]);
/// 15 November 2026.
const NOVEMBER: u64 = 1_794_700_800;
/// Some 31 days later.
const DECEMBER: u64 = NOVEMBER + 31 * 86_400;

fn entry(site: SiteId, time: u64, body: Body) -> Entry {
    Entry { header: Header { site, sequence: 7, time }, body }
}

fn access(number: u64, ended: u64, outcome: Outcome) -> Access {
    let right = Link { site: A, sequence: 3, leaf: LeafHash([3; 32]) };
    let (study, version, began) = (StudyId([5; 32]), 1, ended - 10);
    Access { owner: A, reader: B, right, study, version, number, began, ended, outcome }
}

fn receipt(site: SiteId, access: Access) -> Entry {
    let receipt = Receipt { access, key: [0; 32], countersignature: [0; 64] };
    // Logged a month after it ended: that counts where it ended.
    entry(site, access.ended + 31 * 86_400, Body::Receipt(Box::new(receipt)))
}

/// Nobody is known, so nobody's word can be looked up.
fn settled(tally: &mut Tally, length: Option<u64>) -> Flow {
    let nobody = SiteState::default();
    let refused = tally.settle(&Federation::new(&nobody, [], 0), &mut |_| length);
    assert!(refused.is_empty());
    tally.flows[&(Month::of(NOVEMBER), A, B)]
}

#[test]
fn an_access_on_both_ledgers_is_one() {
    let state = SiteState::default();
    let mut tally = Tally::new(Period::default());
    let first = access(1, NOVEMBER, Outcome::Verified);
    tally.note(&state, &receipt(A, first));
    tally.note(&state, &receipt(B, first));
    tally.note(&state, &receipt(B, access(2, NOVEMBER, Outcome::Verified)));
    tally.note(&state, &receipt(A, access(3, NOVEMBER, Outcome::Mismatch)));
    let flow = settled(&mut tally, Some(1000));
    let expected =
        Flow { retrievals: 2, bytes: 2000, failed: 1, unconfirmed: 2, ..Flow::default() };
    assert_eq!((flow, tally.flows.len()), (expected, 1));
}

#[test]
fn two_stories_of_one_access_are_two_that_nobody_confirms() {
    let state = SiteState::default();
    let mut tally = Tally::new(Period::default());
    tally.note(&state, &receipt(A, access(1, NOVEMBER, Outcome::Verified)));
    tally.note(&state, &receipt(B, access(1, NOVEMBER + 1, Outcome::Verified)));
    // The same line twice in one log is no confirmation either.
    tally.note(&state, &receipt(B, access(1, NOVEMBER + 1, Outcome::Verified)));
    let flow = settled(&mut tally, None);
    assert_eq!((flow.retrievals, flow.unconfirmed, flow.bytes_unknown), (2, 2, 2));
}

#[test]
fn months_that_nobody_asked_for_do_not_count() {
    let november = Some(Month::of(NOVEMBER));
    let mut tally = Tally::new(Period { from: november, to: november });
    let state = SiteState::default();
    let register = || Body::Register(Register { salt: [1; 32], commitment: Commitment([1; 32]) });
    tally.note(&state, &entry(A, NOVEMBER, register()));
    tally.note(&state, &entry(A, DECEMBER, register()));
    tally.note(&state, &receipt(A, access(1, NOVEMBER, Outcome::Verified)));
    tally.note(&state, &receipt(A, access(2, DECEMBER, Outcome::Verified)));
    let (study, expires) = (StudyId([5; 32]), DECEMBER);
    let broken = BreakGlass { owner: A, study, expires, reason: BreakGlassReason::Emergency };
    tally.note(&state, &entry(B, NOVEMBER, Body::BreakGlass(broken)));
    // Of a grant that is not there.
    let revoke = Revoke { grant: 3, reason: RevokeReason::Mistake };
    tally.note(&state, &entry(A, NOVEMBER, Body::Revoke(revoke)));
    let flow = settled(&mut tally, Some(1));
    assert_eq!((flow.retrievals, flow.glass_broken, flow.revoked), (1, 1, 0));
    let own: Vec<_> = tally.own.into_iter().collect();
    let said = Own { studies: 1, versions: 1, ..Own::default() };
    assert_eq!(own, [((Month::of(NOVEMBER), A), said)]);
}
