//! Breaking the glass where people work: over HTTP, with a token that allows it.
//!
//! ```text
//! POST /break-glass ─▶ which study of whom? ─▶ may the group? ─▶ audit line ─▶ entry on the ledger ─▶ fetch ─▶ answer
//! GET  /break-glass, POST /break-glass/reviews: privacy officers, here and at the owner
//! ```
//!
//! Requests are JSON and have to say so: a page of another origin cannot send that without being asked
//! first. What somebody writes as their reason goes into this site's audit log and nowhere else.

mod find;
mod officers;
mod open;

pub(crate) use find::{UID_BYTES_MAX, answer};
pub(crate) use officers::{list, review};
pub(crate) use open::open;

use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;

use crate::audit::{Event, Face};
use crate::error::Error;
use crate::http::{Ask, Problem, name_asker};
use crate::identity::Who;
use crate::sharing::{Breaker, Fault};

/// Longest request in bytes: a text of a thousand and what is around it, however it is escaped.
const REQUEST_BYTES_MAX: u64 = 16 << 10;
const JSON: &str = "application/json";

/// Reads a request that is JSON and says so.
async fn read<T: DeserializeOwned>(ask: &mut Ask) -> Result<T, Problem> {
    let said = ask.text(&CONTENT_TYPE).unwrap_or("");
    let said = said.split(';').next().unwrap_or("").trim();
    if !said.eq_ignore_ascii_case(JSON) {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(status, "this takes application/json"));
    }
    let body = ask.body.whole(REQUEST_BYTES_MAX).await?;
    // Why not is not told: the parser's words may hold what somebody wrote.
    serde_json::from_slice(&body).map_err(|_| {
        Problem::bad("the request is no JSON, lacks a field, or has one that is not known here")
    })
}

/// What is known of who asks, for lines of the audit log beside the request's own.
fn asked(ask: &Ask) -> Event {
    let mut event = Event { face: Face::Http, ..Event::default() };
    name_asker(&mut event, &ask.who);
    ask.from.clone_into(&mut event.from);
    (*ask.id).clone_into(&mut event.request);
    event
}

/// Who answers for what they open.
fn breaker(who: &Who) -> Breaker {
    match who {
        Who::Known(known) if known.groups.is_empty() => {
            Breaker { name: known.name.clone(), groups: vec![format!("user {}", known.name)] }
        }
        Who::Known(known) => Breaker { name: known.name.clone(), groups: known.groups.clone() },
        // Never let in for this; if they were, all would be one group.
        Who::Nobody | Who::Anybody | Who::Site(_) => {
            Breaker { name: "anybody".into(), groups: vec!["anybody".into()] }
        }
    }
}

/// What is told of why something was not done. By value, for `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn refused(error: Error) -> Problem {
    match &error {
        Error::Sharing(Fault::Unreviewed { .. }) => Problem::forbidden(error.to_string()),
        Error::Sharing(Fault::Word { .. } | Fault::AmbiguousSite(_)) => {
            Problem::bad(error.to_string())
        }
        Error::Sharing(Fault::NoGrant(_) | Fault::UnknownSite(_)) => {
            Problem::not_found(error.to_string())
        }
        Error::Sharing(Fault::Unaudited | Fault::OwnLog { .. }) => {
            Problem::busy("nothing can be written down now, so nothing is done")
                .detail(error.to_string())
        }
        _ => Problem::internal(error.to_string()),
    }
}
