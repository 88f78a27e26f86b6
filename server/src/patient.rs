//! What patients ask of this site themselves, with nothing but their key.
//!
//! A statement is signed by the key that is in it, and says to which site it is said. It opens nothing but
//! what is bound to that key: consents become grants, withdrawals end them, and an inquiry is answered
//! with the patient's own sheet. Inquiries and withdrawals count once and for a few minutes only, so one
//! that somebody overheard is nothing to them.

use std::sync::Arc;

use cairn_ledger::limits::STATEMENT_BYTES_MAX;
use cairn_ledger::patient::{SignedStatement, StatementBody};
use serde::Serialize;

use crate::clock::now;
use crate::error::Error;
use crate::http::{Answer, App, Ask, Problem, Reply};
use crate::sharing::patients::{Sheet, Withdrawn, grant_by_consent};
use crate::sharing::{Fault, Shared, Site};

const JSON: &str = "application/json";

/// Answers a statement.
pub(crate) async fn statement(app: &Arc<App>, mut ask: Ask) -> Answer {
    let body = ask.body.whole(STATEMENT_BYTES_MAX as u64).await?;
    let signed = SignedStatement::decode(&body);
    let unsigned = |_| Problem::unknown("this has to be signed with a patient's key", false);
    let signed = Arc::new(signed.map_err(unsigned)?);
    let site = app.site().ok_or_else(|| Problem::not_found("this server shares nothing"))?;
    if signed.statement().by.owner != site.id() {
        return Err(Problem::forbidden("this was said to another site"));
    }
    let reply = match &signed.statement().body {
        StatementBody::Consent(_) => consent(app, &site, &signed).await,
        StatementBody::Withdrawal(_) | StatementBody::Inquiry(_) => {
            let at = now();
            if !signed.is_fresh(at) || !site.hear(&signed, at) {
                return Err(Problem::forbidden("this was said before, or at another time"));
            }
            match &signed.statement().body {
                StatementBody::Inquiry(_) => inquiry(app, &site, &signed).await,
                _ => withdrawal(app, &site, &signed).await,
            }
        }
    };
    Ok(reply?.by_patient(shown(&signed)))
}

/// The patient's key, as far as a line of a log needs it.
fn shown(signed: &SignedStatement) -> String {
    let [a, b, c, d, e, f, ..] = signed.statement().by.key;
    format!("key {a:02x}{b:02x}{c:02x}{d:02x}{e:02x}{f:02x}")
}

async fn consent(app: &Arc<App>, site: &Arc<Site>, signed: &Arc<SignedStatement>) -> Answer {
    let shared: Shared = grant_by_consent(app, site, signed).await.map_err(refused)?;
    let about = vec![shared.study_uid.clone()];
    Ok(json(&shared)?.about(about))
}

async fn inquiry(app: &Arc<App>, site: &Arc<Site>, signed: &Arc<SignedStatement>) -> Answer {
    let (site, key) = (Arc::clone(site), signed.statement().by.key);
    let sheet = app.blocking(move |app| site.sheet_of(app.store.catalog(), &key).map_err(refused));
    let unknown = || Problem::forbidden("no study here has this key");
    let sheet: Sheet = sheet.await?.ok_or_else(unknown)?;
    let about = sheet.studies.iter().filter_map(|study| study.study_uid.clone()).collect();
    Ok(json(&sheet)?.about(about))
}

async fn withdrawal(app: &Arc<App>, site: &Arc<Site>, signed: &Arc<SignedStatement>) -> Answer {
    let (own, said) = (Arc::clone(site), Arc::clone(signed));
    let done = app.blocking(move |_| match &said.statement().body {
        StatementBody::Withdrawal(withdrawal) => {
            own.withdraw(&said.statement().by, withdrawal).map_err(refused)
        }
        _ => Err(Problem::internal("another kind of statement")),
    });
    let withdrawn: Withdrawn = done.await?;
    json(&withdrawn)
}

fn json(answer: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(answer);
    Ok(Reply::ok(JSON, bytes.map_err(|error| Problem::internal(error.to_string()))?))
}

/// What does not count is the patient's to know; what failed here is not.
#[allow(clippy::needless_pass_by_value)] // for `map_err`
pub(crate) fn refused(error: Error) -> Problem {
    match error {
        Error::Sharing(fault @ (Fault::Consent(_) | Fault::NoGrant(_) | Fault::UnknownSite(_))) => {
            Problem::forbidden(fault.to_string())
        }
        other => Problem::internal(other.to_string()),
    }
}
