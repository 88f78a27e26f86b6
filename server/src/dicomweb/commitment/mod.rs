//! Storage commitment (PS3.18 §13; the semantics are those of PS3.4 annex J).
//!
//! An instance is committed when its bytes, and the record that makes it part of the archive, are in
//! the bucket and were checked there (level A2). What still lies in the journal is brought there on
//! request. Each commitment carries the root of the study and the leaf of the instance, so that the
//! sender can hold the archive to them later.

mod document;
mod request;
pub(crate) mod verdict;

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};

use super::accept::Offer;
use crate::clock::now_ms;
use crate::http::{Answer, App, Ask, Problem, Reply};
use request::Form;
use verdict::Verdict;

/// Longest request: 100,000 instances take some 20 MB of JSON.
const REQUEST_BYTES_MAX: u64 = 32 << 20;
/// How long a request waits for the bucket before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(5);
/// When whoever was told to come back should.
const RETRY_SECONDS: u32 = 5;
/// How long results are kept to be asked for.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// POST: 200 with the result, or 202 if it takes longer.
pub(crate) async fn request(app: &Arc<App>, transaction: String, mut ask: Ask) -> Answer {
    let reply = document::form(&ask)?;
    let form = Form::of(ask.text(&CONTENT_TYPE))?;
    let body = ask.body.whole(REQUEST_BYTES_MAX).await?;
    let root = ask.dicomweb();
    app.blocking(move |app| {
        let asked = request::parse(&form, body)?;
        let catalog = app.store.catalog();
        let now = now_ms();
        let forget = now.saturating_sub(KEPT.as_millis() as u64);
        if !catalog.begin_commitment(&transaction, &verdict::encode(&asked), now, forget)? {
            let message = "this transaction UID is in use";
            return Err(Problem::new(StatusCode::CONFLICT, message));
        }
        let mut verdict = Verdict::of(app, &asked)?;
        if verdict.is_open() && app.ingest()?.archive(PATIENCE)? {
            verdict = Verdict::of(app, &asked)?;
        }
        answer(app, &transaction, &verdict, &root, &reply)
    })
    .await
}

/// GET: what became of a request.
pub(crate) async fn result(app: &Arc<App>, transaction: String, ask: Ask) -> Answer {
    let reply = document::form(&ask)?;
    let root = ask.dicomweb();
    app.blocking(move |app| {
        let row = app.store.catalog().commitment(&transaction)?;
        let row = row.ok_or_else(|| Problem::not_found("no commitment by that transaction UID"))?;
        let broken = || Problem::internal("a commitment in the catalog cannot be read");
        if let Some(result) = row.result {
            let verdict = Verdict::decode(&result).ok_or_else(broken)?;
            return document::reply(&verdict, &root, &reply);
        }
        let asked = verdict::decode(&row.request).ok_or_else(broken)?;
        let mut verdict = Verdict::of(app, &asked)?;
        if verdict.is_open() && app.ingest()?.archive(PATIENCE)? {
            verdict = Verdict::of(app, &asked)?;
        }
        answer(app, &transaction, &verdict, &root, &reply)
    })
    .await
}

/// A result is noted before it is told: asked again, the answer is the same.
fn answer(
    app: &App,
    transaction: &str,
    verdict: &Verdict,
    root: &str,
    form: &Offer<'static>,
) -> Answer {
    if verdict.is_open() {
        let retry = HeaderValue::from(RETRY_SECONDS);
        return Ok(Reply::new(StatusCode::ACCEPTED).header(RETRY_AFTER, retry));
    }
    app.store.catalog().settle_commitment(transaction, &verdict.encode())?;
    document::reply(verdict, root, form)
}
