//! What another site is answered.
//!
//! Who asks is the TLS key that it showed. The log, and what was seen of others', is for sites that are
//! known here; a study is for who has a right to it, asked of the logs anew for every request and while
//! it is answered ([`right`](super::right)).

use std::sync::Arc;

use cairn_ledger::id::SiteId;
use cairn_ledger::limits::NOTE_BYTES_MAX;
use cairn_ledger::order::Order;
use cairn_ledger::tiles::LogFile;
use cairn_ledger::witness::{CosignRequest, Refusal};
use hyper::StatusCode;

use super::{PeerRoute, consents, receipts, studies};
use crate::emergency::{self, UID_BYTES_MAX};
use crate::federated::{self, QUESTION_BYTES_MAX, Question};
use crate::http::{Answer, App, Ask, Problem, Reply};
use crate::sharing::Site;

const OCTETS: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";
/// C2SP tlog-witness: the size that the witness has instead.
const SIZE: &str = "text/x.tlog.size";

/// Lets the handler of a route answer.
pub(crate) async fn answer(app: &Arc<App>, route: PeerRoute, mut ask: Ask) -> Answer {
    let site = app.site().ok_or_else(|| Problem::not_found("this server shares nothing"))?;
    let key = ask.site_key.ok_or_else(|| Problem::internal("a site without a key"))?;
    if route == PeerRoute::Hello {
        return hello(app, site).await;
    }
    // Who is not known is not told either whether what they ask makes sense.
    let reader = known(&site, &key)?;
    match route {
        PeerRoute::Hello => hello(app, site).await,
        PeerRoute::Record(study, version) => {
            studies::record(app, site, studies::Asked { key, study, version }, &ask).await
        }
        PeerRoute::Opening(study, version) => {
            studies::opening(app, site, studies::Asked { key, study, version }, &ask).await
        }
        PeerRoute::Chunks(study, version) => {
            studies::chunks(app, site, studies::Asked { key, study, version }, ask).await
        }
        PeerRoute::Loans(study, version) => {
            studies::loans(app, site, studies::Asked { key, study, version }, ask).await
        }
        PeerRoute::Receipt => receipts::sign(app, site, reader, ask).await,
        PeerRoute::Consent => consents::take(app, site, reader, ask).await,
        PeerRoute::Search => {
            let body = ask.body.whole(QUESTION_BYTES_MAX as u64).await?;
            let question: Question = serde_json::from_slice(&body)
                .map_err(|_| Problem::bad("the question cannot be read"))?;
            let found =
                app.blocking(move |app| federated::answer(app, &site, &reader, &question)).await?;
            let found = serde_json::to_vec(&found);
            let found = found.map_err(|error| Problem::internal(error.to_string()))?;
            Ok(Reply::ok("application/json", found))
        }
        PeerRoute::Emergency => {
            if !site.tells_by_uid() {
                let why = "this site tells nobody whether it has a study of some UID";
                return Err(Problem::new(StatusCode::FORBIDDEN, why));
            }
            let body = ask.body.whole(UID_BYTES_MAX as u64).await?;
            let uid = std::str::from_utf8(&body).map_err(|_| Problem::bad("that is no UID"))?;
            let uid = uid.to_owned();
            app.blocking(move |app| emergency::answer(app, &site, &uid)).await
        }
        PeerRoute::Log(path) => log_file(app, site, &path).await,
        PeerRoute::Seen(other) => {
            let seen = app.blocking(move |_| Ok(site.seen_of(&other))).await?;
            let seen = seen.ok_or_else(|| Problem::not_found("that log is not known here"))?;
            Ok(Reply::ok(TEXT, seen.format()))
        }
        PeerRoute::AddCheckpoint => {
            let body = ask.body.whole(NOTE_BYTES_MAX as u64).await?;
            app.blocking(move |_| add_checkpoint(&site, &body)).await
        }
        PeerRoute::Nudge => {
            site.nudge(&reader);
            Ok(Reply::new(StatusCode::NO_CONTENT))
        }
    }
}

/// The site whose key in force this is.
fn known(site: &Site, key: &[u8; 32]) -> Result<SiteId, Problem> {
    let unknown = || Problem::new(StatusCode::FORBIDDEN, "the key belongs to no known site");
    site.is_known_key(key).ok_or_else(unknown)
}

async fn hello(app: &Arc<App>, site: Arc<Site>) -> Answer {
    let entry = app.blocking(move |_| site.log().entries(0..1).map_err(trouble)).await?;
    let join = entry.into_iter().next().ok_or_else(|| Problem::internal("the log is empty"))?;
    Ok(Reply::ok(OCTETS, join))
}

async fn log_file(app: &Arc<App>, site: Arc<Site>, path: &str) -> Answer {
    let missing = || Problem::not_found("the log has no such file");
    let file = LogFile::parse(path).ok_or_else(missing)?;
    app.blocking(move |_| match file {
        LogFile::Checkpoint => {
            let published =
                site.published().map_err(|error| Problem::internal(error.to_string()))?;
            Ok(Reply::ok(TEXT, published.format()))
        }
        file => {
            let bytes = site.log().reader().file(file).map_err(trouble)?;
            Ok(Reply::ok(OCTETS, bytes.ok_or_else(missing)?))
        }
    })
    .await
}

/// C2SP tlog-witness, add-checkpoint.
fn add_checkpoint(site: &Site, body: &[u8]) -> Answer {
    let request = CosignRequest::parse(body)
        .map_err(|_| Problem::bad("the request to cosign cannot be read"))?;
    let status = |status, message: &'static str| Err(Problem::new(status, message));
    match site.cosign(&request) {
        Ok(cosignature) => Ok(Reply::ok(TEXT, format!("{}\n", cosignature.line()))),
        Err(Refusal::Unsigned(_)) => {
            status(StatusCode::FORBIDDEN, "no key of a known log signed the checkpoint")
        }
        Err(Refusal::Backwards) => {
            status(StatusCode::BAD_REQUEST, "the old size is larger than the new")
        }
        Err(Refusal::Conflict { size }) => {
            Ok(Reply::new(StatusCode::CONFLICT).content_type(SIZE).bytes(format!("{size}\n")))
        }
        Err(Refusal::Inconsistent { .. }) => status(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the tree does not continue the last one cosigned",
        ),
        Err(Refusal::Internal(error)) => Err(trouble(error)),
    }
}

/// The ledger's own trouble. By value, for `map_err`.
#[allow(clippy::needless_pass_by_value)]
pub(super) fn trouble(error: cairn_ledger::Error) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the ledger cannot be read")
        .detail(error.to_string())
}
