//! One entry of each kind, the same every time.

use cairn_ledger::entry::{
    Accept, Access, Attest, Body, BreakGlass, BreakGlassReason, Conditions, Grant, Outcome,
    PatientKey, Purpose, Register, Review, ReviewVerdict, Revoke, RevokeReason, Rotate, Supersede,
    Tombstone, TombstoneReason, TransferIn, TransferOut, Verdict,
};
use cairn_ledger::id::{Commitment, ConsentId, LeafHash, Link, SiteId, StudyId};
use cairn_ledger::keys::SiteSecret;
use cairn_ledger::opening::Sealed;

use super::{DAY, START, Site};

/// Sequence of every sample but the join.
pub const SEQUENCE: u64 = 1_000_000;

/// Bodies of all kinds, in the order of their numbers, as the site of seed 1 would log them.
pub fn all() -> Vec<Body> {
    let (site, reader) = (Site::new(1), Site::new(2));
    let study = StudyId([0x51; 32]);
    let commitment = Commitment([0xc0; 32]);
    let link = Link { site: SiteId([0x52; 32]), sequence: 70_000, leaf: LeafHash([0x1e; 32]) };
    let sealed = Sealed::new(1, vec![0x5e; 112]).unwrap();
    let new = SiteSecret::from_seed([3; 32]);
    let possession = new.possession(&site.id, SEQUENCE);
    let grant = Grant {
        study,
        version: 1,
        grantee: reader.id,
        purpose: Purpose::Treatment,
        not_before: START,
        expires: START + 14 * DAY,
        conditions: Conditions { from_bucket: true, ..Conditions::default() },
        break_glass: None,
        opening: sealed.clone(),
        consent: None,
    };
    let consent = Some(ConsentId([0xc5; 32]));
    let consented = Grant { purpose: Purpose::PatientRequest, consent, ..grant.clone() };
    let access = Access {
        owner: site.id,
        reader: reader.id,
        right: Link { site: site.id, ..link },
        study,
        version: 1,
        number: 1,
        began: START - 60,
        ended: START,
        outcome: Outcome::Verified,
    };
    let (owner, reason) = (reader.id, BreakGlassReason::Emergency);
    let broken = BreakGlass { owner, study, expires: START + DAY, reason };
    let out = TransferOut { study, version: 1, to: reader.id, opening: sealed };
    vec![
        site.join(),
        Body::Rotate(Box::new(Rotate { keys: new.public(), possession })),
        Body::Register(Register { salt: [0x5a; 32], commitment }),
        Body::Supersede(Supersede { study, version: 2, commitment }),
        Body::Attest(Attest { study, version: 1, checks: 1, verdict: Verdict::Passed }),
        Body::Grant(Box::new(grant)),
        Body::Accept(Accept { grant: link }),
        Body::Revoke(Revoke { grant: 70_000, reason: RevokeReason::TreatmentEnded }),
        Body::Receipt(Box::new(Site::receipt(access, &reader))),
        Body::TransferOut(Box::new(out)),
        Body::TransferIn(TransferIn { study, from: link, version: 1, commitment }),
        Body::BreakGlass(broken),
        Body::Review(Review { break_glass: link, verdict: ReviewVerdict::Justified }),
        Body::PatientKey(PatientKey { study, commitment, required: false }),
        Body::Tombstone(Tombstone { study, reason: TombstoneReason::RetentionEnded }),
        Body::Grant(Box::new(consented)),
        Body::PatientKey(PatientKey { study, commitment, required: true }),
    ]
}

/// The samples as entries: the join at its place, all others at [`SEQUENCE`].
pub fn signed() -> Vec<cairn_ledger::entry::SignedEntry> {
    use cairn_ledger::entry::{Entry, Header, SignedEntry};
    let site = Site::new(1);
    let at = |body: Body| {
        let sequence = if body.kind() == 0 { 0 } else { SEQUENCE };
        let header = Header { site: site.id, sequence, time: START };
        SignedEntry::sign(Entry { header, body }, &site.secret.entry_key()).unwrap()
    };
    all().into_iter().map(at).collect()
}
