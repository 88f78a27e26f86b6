//! Another site shows what a patient signed: it may read a study of this one.

use std::sync::Arc;

use cairn_ledger::id::SiteId;
use cairn_ledger::limits::STATEMENT_BYTES_MAX;
use cairn_ledger::patient::SignedStatement;
use serde::{Deserialize, Serialize};

use super::{Client, Error};
use crate::http::{Answer, App, Ask, Problem, Reply};
use crate::patient::refused;
use crate::sharing::Site;
use crate::sharing::patients::grant_by_consent;

/// Longest answer in bytes: two numbers and two names.
const ANSWER_BYTES_MAX: usize = 1 << 10;

/// What was granted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Consented {
    /// Sequence of the grant in the owner's log.
    pub(crate) grant: u64,
    /// The study's name on the ledger.
    pub(crate) study: String,
    /// Its version there.
    pub(crate) version: u64,
}

/// Grants what a patient consents to, if that is for who shows it.
pub(super) async fn take(app: &Arc<App>, site: Arc<Site>, reader: SiteId, mut ask: Ask) -> Answer {
    let body = ask.body.whole(STATEMENT_BYTES_MAX as u64).await?;
    let signed = SignedStatement::decode(&body)
        .map_err(|_| Problem::bad("that is nothing that a patient signed"))?;
    if signed.consent().is_none_or(|consent| consent.grantee != reader) {
        return Err(Problem::forbidden("the consent is for another site"));
    }
    let shared = grant_by_consent(app, &site, &Arc::new(signed)).await.map_err(refused)?;
    let (grant, version) = (shared.grant, shared.version);
    let answer = Consented { grant, study: shared.study, version };
    let bytes = serde_json::to_vec(&answer);
    let bytes = bytes.map_err(|error| Problem::internal(error.to_string()))?;
    Ok(Reply::ok("application/json", bytes).about(vec![shared.study_uid]))
}

impl Client {
    /// Shows a consent to the owner of the study.
    pub(crate) async fn consent(&self, signed: &SignedStatement) -> Result<Consented, Error> {
        let answer = self.post("/consents", signed.bytes().to_vec()).await?.good().await?;
        let bytes = answer.whole(ANSWER_BYTES_MAX).await?;
        let wrong = |_| self.connection.wrong("its answer to a consent cannot be read");
        serde_json::from_slice(&bytes).map_err(wrong)
    }
}
