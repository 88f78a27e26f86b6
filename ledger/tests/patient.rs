//! What patients sign: read strictly, bound to key, owner and study, and checked from two files.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use cairn_ledger::Error;
use cairn_ledger::entry::{Body, Conditions, Grant, PatientKey, Purpose};
use cairn_ledger::id::{Link, SiteId, StudyId};
use cairn_ledger::merkle::{Hash, Nodes, inclusion, root_of};
use cairn_ledger::offline::LogProof;
use cairn_ledger::opening::Blinding;
use cairn_ledger::patient::{
    Consent, Inquiry, PatientSecret, SignedStatement, StatementBody, Withdrawal,
};
use cairn_ledger::quorum::Quorum;
use cairn_ledger::state::Reject;
use cairn_ledger::witness::{CosignRequest, Witness};
use cairn_store::disk::OsDisk;
use proptest::prelude::*;
use support::{DAY, START, Site};

struct Leaves(Vec<Hash>);

impl Nodes for Leaves {
    fn node(&self, level: u32, index: u64) -> cairn_ledger::Result<Hash> {
        let start = (index as usize) << level;
        Ok(root_of(&self.0[start..start + (1 << level)]))
    }
}

fn patient() -> PatientSecret {
    PatientSecret::from_seed([0x9a; 32])
}

fn consent(study: StudyId, blinding: &Blinding, grantee: &Site) -> Consent {
    Consent {
        study,
        blinding: blinding.clone(),
        grantee: grantee.id,
        purpose: Purpose::PatientRequest,
        not_before: START,
        expires: START + 30 * DAY,
        conditions: Conditions::default(),
    }
}

fn bind(
    site: &mut Site,
    study: StudyId,
    blinding: &Blinding,
    required: bool,
) -> Result<Link, Reject> {
    let commitment = blinding.commit_patient_key(patient().card().key());
    site.say(Body::PatientKey(PatientKey { study, commitment, required }))
}

fn all(study: StudyId, blinding: &Blinding, grantee: &Site) -> [StatementBody; 4] {
    [
        StatementBody::Consent(consent(study, blinding, grantee)),
        StatementBody::Withdrawal(Withdrawal { study, grant: None }),
        StatementBody::Withdrawal(Withdrawal { study, grant: Some(17) }),
        StatementBody::Inquiry(Inquiry { nonce: [3; 32] }),
    ]
}

#[test]
fn statements_are_read_back_and_no_bit_of_them_can_change() {
    let (study, blinding) = (StudyId([5; 32]), Blinding([6; 32]));
    let to = Site::new(2);
    for body in all(study, &blinding, &to) {
        let signed =
            SignedStatement::sign(&patient(), SiteId([1; 32]), START, body.clone()).unwrap();
        let read = SignedStatement::decode(signed.bytes()).unwrap();
        assert_eq!((read.statement(), &read.statement().body), (signed.statement(), &body));
        assert_eq!(read.id(), signed.id());
        let text = format!("# for b.example\n\n{}", signed.to_text());
        assert_eq!(SignedStatement::from_text(&text).unwrap(), signed);
        for at in 0..signed.bytes().len() * 8 {
            let mut bytes = signed.bytes().to_vec();
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(SignedStatement::decode(&bytes).is_err(), "bit {at}");
        }
        for at in 0..signed.bytes().len() {
            assert!(SignedStatement::decode(&signed.bytes()[..at]).is_err(), "cut at {at}");
        }
    }
    assert!(SignedStatement::from_text("").is_err());
    assert!(SignedStatement::from_text("cairn-patient-statement-v1 AAAA").is_err());
}

#[test]
fn a_consent_is_checked_with_nothing_but_itself_and_the_proof_of_a_binding() {
    let (mut a, b) = (Site::new(1), Site::new(2));
    let dir = tempfile::tempdir().unwrap();
    let key = Site::new(3).secret.witness_key();
    let witness = Witness::open(Arc::new(OsDisk), dir.path(), "witness.example", key).unwrap();
    let (study, _) = a.register(1);
    let (other_study, _) = a.register(2);
    let (blinding, other_blinding) = (Blinding([6; 32]), Blinding([7; 32]));
    let bound = bind(&mut a, study, &blinding, false).unwrap();
    let elsewhere = bind(&mut a, other_study, &other_blinding, false).unwrap();
    let size = a.entries.len();
    let leaves: Vec<_> = a.entries.iter().map(|entry| entry.leaf().0).collect();
    let request = CosignRequest { old_size: 0, proof: Vec::new(), checkpoint: a.checkpoint(size) };
    let mut cosigned = a.checkpoint(size);
    cosigned.add(witness.cosign(&request, &[a.log_key()], START).unwrap());
    let proof_of = |link: Link| {
        let nodes = Leaves(leaves.clone());
        let inclusion = inclusion(&nodes, link.sequence, size as u64).unwrap();
        let checkpoint = cosigned.clone();
        LogProof { inclusion, checkpoint }.format_with_entry(&a.entries[link.sequence as usize])
    };
    let signed = {
        let body = StatementBody::Consent(consent(study, &blinding, &b));
        SignedStatement::sign(&patient(), a.id, START, body).unwrap()
    };
    // A third party, with two files and the keys of ledgers.
    let check = |consent: &str, proof: &str| -> cairn_ledger::Result<SiteId> {
        let consent = SignedStatement::from_text(consent)?;
        let (proof, entry) = LogProof::parse_with_entry(proof.as_bytes())?;
        let entry = entry.ok_or(Error::Patient("entry"))?;
        let grantee = consent.check_binding(&entry)?.grantee;
        let quorum = Quorum::among(1, vec![witness.verifier_key().unwrap()]);
        proof.verify(&entry, &a.secret.public().sign, &a.log_key(), &quorum)?;
        Ok(grantee)
    };
    let (file, proof) = (signed.to_text(), proof_of(bound));
    assert_eq!(check(&file, &proof).unwrap(), b.id);
    assert!(check(&file, &proof_of(elsewhere)).is_err(), "the binding of another study");
    assert!(check(&file, &proof_of(Link { sequence: 1, ..bound })).is_err(), "no binding");
    let forged = [
        (PatientSecret::from_seed([1; 32]), a.id, consent(study, &blinding, &b)),
        (patient(), b.id, consent(study, &blinding, &b)),
        (patient(), a.id, consent(other_study, &blinding, &b)),
        (patient(), a.id, consent(study, &other_blinding, &b)),
    ];
    for (secret, owner, consent) in forged {
        let body = StatementBody::Consent(consent);
        let forged = SignedStatement::sign(&secret, owner, START, body).unwrap();
        assert!(check(&forged.to_text(), &proof).is_err());
    }
    let inquiry = StatementBody::Inquiry(Inquiry { nonce: [1; 32] });
    let inquiry = SignedStatement::sign(&patient(), a.id, START, inquiry).unwrap();
    assert!(check(&inquiry.to_text(), &proof).is_err(), "no consent");
}

#[test]
fn a_study_whose_patient_wants_to_be_asked_is_granted_with_a_consent_only() {
    let (mut a, b) = (Site::new(1), Site::new(2));
    let (study, opening) = a.register(1);
    let plain = a.grant_of(study, &opening, &b);
    let consented = Grant { consent: Some(cairn_ledger::id::ConsentId([1; 32])), ..plain.clone() };
    let grant = |grant: &Grant| Body::Grant(Box::new(grant.clone()));
    assert_eq!(a.say(grant(&consented)), Err(Reject::Consent), "no key is bound");
    bind(&mut a, study, &Blinding([1; 32]), false).unwrap();
    a.say(grant(&plain)).unwrap();
    a.say(grant(&consented)).unwrap();
    bind(&mut a, study, &Blinding([2; 32]), true).unwrap();
    assert_eq!(a.say(grant(&plain)), Err(Reject::Consent));
    a.say(grant(&consented)).unwrap();
    let undone = bind(&mut a, study, &Blinding([3; 32]), false);
    assert_eq!(undone, Err(Reject::Consent), "the requirement is not taken back");
    bind(&mut a, study, &Blinding([3; 32]), true).unwrap();
    assert!(a.state.study(&study).unwrap().patient.unwrap().required);
    // An emergency does not wait for a signature.
    let answered = Link { site: b.id, sequence: 1, leaf: a.entries[0].leaf() };
    let emergency =
        Grant { purpose: Purpose::Emergency, break_glass: Some(answered), ..plain.clone() };
    a.say(grant(&emergency)).unwrap();
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(SignedStatement::decode(&bytes).is_err());
        let text = String::from_utf8_lossy(&bytes).into_owned();
        prop_assert!(SignedStatement::from_text(&text).is_err());
        prop_assert!(text.parse::<cairn_ledger::patient::PatientCard>().is_err());
    }
}
