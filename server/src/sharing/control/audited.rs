//! The audit log's line for a command.
//!
//! A match over all requests without a default: a new one does not compile until it says what is written
//! of it. Sites, numbers and names of tokens are written down, UIDs of studies too; never a token's text,
//! nor an answer.

use cairn_ledger::id::StudyId;
use serde_json::Value;

use super::caller::Caller;
use super::request::Request;
use crate::audit::{Event, Face, clean};
use crate::error::Result;

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// It tells something.
    Look,
    /// Something is another way after it.
    Change,
}

/// What is written of a request.
struct Said<'a> {
    op: &'static str,
    act: Act,
    /// The study, by UID or by its name on the ledger.
    study: Option<&'a str>,
    /// The site, the entry, the token that it is about.
    target: String,
}

impl Said<'_> {
    fn look(op: &'static str) -> Self {
        Self { op, act: Act::Look, study: None, target: String::new() }
    }

    fn change(op: &'static str, target: impl Into<String>) -> Self {
        Self { op, act: Act::Change, study: None, target: target.into() }
    }
}

impl<'a> Said<'a> {
    fn of(self, study: &'a str) -> Self {
        Self { study: Some(study), ..self }
    }
}

fn said(request: &Request) -> Said<'_> {
    let site = |named: &Option<String>| named.clone().unwrap_or_default();
    match request {
        Request::Join { name } => Said::change("join", name),
        Request::Status => Said::look("status"),
        Request::Share(share) => Said::change("share", &share.to).of(&share.study_uid),
        Request::Fetch(wish) => Said::change("fetch", site(&wish.from)).of(&wish.study),
        Request::BindPatient(wish) => Said::change("patient_bind", "").of(&wish.study_uid),
        Request::Patients => Said::look("patient_list"),
        Request::Consent { .. } => Said::change("patient_take", ""),
        Request::FetchConsented(_) => Said::change("fetch_consented", ""),
        Request::Revoke(revoke) => {
            let grant = revoke.grant.map(|grant| grant.to_string());
            let target = grant.or_else(|| revoke.to.clone()).unwrap_or_default();
            Said { study: revoke.study_uid.as_deref(), ..Said::change("revoke", target) }
        }
        Request::BreakGlass(it) => Said::change("glass_break", &it.from).of(&it.study),
        Request::Broken { .. } => Said::look("glass_list"),
        Request::Review { site, entry, verdict } => {
            Said::change("glass_review", format!("{site} {entry} {verdict}"))
        }
        Request::HandOver { study_uid, to } => Said::change("hand_over", to).of(study_uid),
        Request::TakeOver(wish) => Said::change("take_over", &wish.from).of(&wish.study),
        Request::Handed => Said::look("handed"),
        Request::Grants => Said::look("grants"),
        Request::Accept { from, grant } => Said::change("accept", format!("{from} {grant}")),
        Request::Peers => Said::look("peers"),
        Request::Meet { url } => Said { target: url.clone(), ..Said::look("meet") },
        Request::AddPeer { url, .. } => Said::change("add_peer", url),
        Request::RemovePeer { site } => Said::change("remove_peer", site),
        Request::Sync { site: named } => Said { target: site(named), ..Said::look("sync") },
        Request::Verify => Said::look("verify"),
        Request::Usage(_) => Said::look("usage"),
        Request::Entries { of, .. } => Said { target: site(of), ..Said::look("entries") },
        Request::Prove { sequence, .. } => {
            Said { target: sequence.to_string(), ..Said::look("prove") }
        }
        Request::ProofKeys { origin } => {
            Said { target: origin.clone(), ..Said::look("proof_keys") }
        }
        Request::Rotate => Said::change("rotate", ""),
        Request::Collect(wish) if wish.dry_run => Said::look("collect"),
        Request::Collect(_) => Said::change("collect", ""),
        Request::MakeToken(wish) => {
            Said::change("token_new", format!("{} {}", wish.name, wish.roles.join(" ")))
        }
        Request::RevokeToken { which } => Said::change("token_revoke", which),
    }
}

/// What a request does.
pub(crate) fn act(request: &Request) -> Act {
    said(request).act
}

/// What is known of a request before it is answered.
pub(crate) fn event(request: &Request, caller: &Caller) -> Event {
    let Said { op, act, study, target } = said(request);
    let act = match act {
        Act::Look => "look",
        Act::Change => "change",
    };
    let mut event = Event {
        face: Face::Command,
        op: op.into(),
        act: act.into(),
        who: caller.name.clone(),
        uid: caller.uid,
        kind: "local".into(),
        target: clean(&target),
        ..Event::default()
    };
    match study.map(|study| (study, StudyId::from_hex(study))) {
        Some((_, Some(id))) => event.ledger_study = Some(id.to_string()),
        Some((uid, None)) => event.about([uid]),
        None => {}
    }
    event
}

/// And after it: whether it was done, and what it was about if that was not said.
pub(crate) fn ended(event: &mut Event, answer: &Result<Value>) {
    match answer {
        Ok(answer) => {
            event.ok = true;
            event.status = "0".into();
            event.about(answer["study_uid"].as_str());
            let study = answer["study"].as_str().and_then(StudyId::from_hex);
            event.ledger_study = event.ledger_study.take().or(study.map(|id| id.to_string()));
        }
        Err(error) => event.status = error.exit_code().to_string(),
    }
}
