//! Checking what a patient signed from two files, as anybody can.

use std::path::PathBuf;

use cairn_ledger::offline::LogProof;
use cairn_ledger::patient::{Consent, SignedStatement};
use clap::Args;
use serde_json::json;

use super::super::ledger::{Keys, proof_text};
use super::super::{Exit, Session};
use super::text_of;
use crate::clock::now;
use crate::error::{Error, Result};
use crate::output::{clean, pairs, time};
use crate::sharing::{Fault, Proof, check_proof};

#[derive(Debug, Args)]
#[command(after_help = "\
The first file is what the patient signed, the second the proof that the owner's ledger binds the \
patient's key to the study. Together they show that the patient, and nobody else, let that site read \
that study. The ledger's keys are looked up here if this site follows that ledger, or given.

It does not show that the consent has not been withdrawn since, or that no other key was bound since: \
that is for the owner's ledger as it is now.")]
pub(super) struct CheckArgs {
    /// What was signed
    #[arg(value_name = "CONSENT")]
    consent: PathBuf,
    /// The proof of the binding
    #[arg(value_name = "PROOF")]
    proof: PathBuf,
    #[command(flatten)]
    keys: Keys,
}

pub(super) fn check(session: &Session, args: &CheckArgs) -> Result<Exit> {
    let signed = SignedStatement::from_text(&text_of(&args.consent)?)?;
    let text = proof_text(&args.proof)?;
    let unreadable =
        |error: Error| Error::Proof { path: args.proof.clone(), why: error.to_string() };
    let parsed = LogProof::parse_with_entry(text.as_bytes()).map_err(Error::from);
    let (_, entry) = parsed.map_err(unreadable)?;
    let entry = entry.ok_or(Fault::Patient("the proof does not carry its entry".into()))?;
    let keys = args.keys.find(session, &text).map_err(unreadable)?;
    let mut proof = check_proof(&text, &keys).map_err(unreadable)?;
    if proof.valid && !proof.is_signature_checked {
        // The head shows that the log has the entry; who wrote it, its signature shows.
        proof.valid = false;
        proof.why = Some("the key that signs the ledger's entries was not given (--signer)".into());
    }
    let consent = signed.check_binding(&entry);
    let why = consent.as_ref().err().map(ToString::to_string).or(proof.why.clone());
    let valid = why.is_none() && proof.valid;
    let consent = consent.ok();
    let holds = consent.is_some_and(|consent| consent.holds_at(now()));
    if session.output.json {
        let by = &signed.statement().by;
        session.output.object(&json!({
            "valid": valid,
            "why": why,
            "holds_now": valid && holds,
            "consent": signed.id().to_string(),
            "owner": by.owner.to_string(),
            "ledger": proof.origin,
            "signed": by.signed,
            "study": consent.map(|it| it.study.to_string()),
            "grantee": consent.map(|it| it.grantee.to_string()),
            "purpose": consent.map(|it| it.purpose.code()),
            "not_before": consent.map(|it| it.not_before),
            "expires": consent.map(|it| it.expires),
            "witnessed": proof.seen_at,
        }))?;
    } else {
        session.output.text(&told(&signed, consent, &proof, why.as_deref(), holds))?;
    }
    Ok(Exit::good_if(valid))
}

fn told(
    signed: &SignedStatement,
    consent: Option<&Consent>,
    proof: &Proof,
    why: Option<&str>,
    holds: bool,
) -> String {
    let by = &signed.statement().by;
    let mut rows = vec![
        ("owner", format!("{} ({})", clean(&proof.origin), by.owner)),
        ("signed", time(by.signed * 1000)),
    ];
    if let Some(consent) = consent {
        rows.push(("study", consent.study.to_string()));
        rows.push(("may be read by", consent.grantee.to_string()));
        let (from, until) = (time(consent.not_before * 1000), time(consent.expires * 1000));
        rows.push(("for", format!("{}, {from} to {until}", consent.purpose.code())));
    }
    let seen = proof.seen_at.map_or_else(|| "-".into(), |seen| time(seen * 1000));
    rows.push(("binding witnessed", seen));
    pairs(&rows)
        + &match (why, holds) {
            (Some(why), _) => format!("REFUSED: {}\n", clean(why)),
            (None, true) => "The patient whose key is bound to the study signed this.\n".to_owned(),
            (None, false) => {
                "The patient whose key is bound to the study signed this. Its time is not now.\n"
                    .to_owned()
            }
        }
}
