//! `POST /break-glass`: a study is opened at once.

use std::sync::Arc;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc::channel;

use super::find::{Found, find};
use super::{JSON, asked, breaker, read, refused};
use crate::audit::NOTE_BYTES_MAX;
use crate::error::Error;
use crate::fetch;
use crate::http::{Answer, App, Ask, Problem, Reply};
use crate::sharing::control::Teller;
use crate::sharing::{Break, Site};

const HOUR: u64 = 3600;
/// A minute less than a day: the ledger counts from the entry, which comes later than this.
const SECONDS_MAX: u64 = 24 * HOUR - 60;

/// What somebody asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// Study Instance UID, or the study's name on the ledger.
    study: String,
    /// Whose it is: name, or the beginning of the id.
    from: Option<String>,
    /// One of [`crate::sharing::GLASS_REASONS`]: for everybody to see.
    reason: String,
    /// In their own words: for this site's audit log alone.
    text: String,
    /// For how long.
    hours: Option<u64>,
}

/// Opens a study of another site, and fetches it.
pub(crate) async fn open(app: &Arc<App>, mut ask: Ask) -> Answer {
    let wish: Wish = read(&mut ask).await?;
    let text = wish.text.trim();
    if text.is_empty() || text.len() > NOTE_BYTES_MAX {
        return Err(Problem::bad("text has to say why, in 1 to 1000 bytes"));
    }
    let seconds = match wish.hours {
        None => SECONDS_MAX,
        Some(hours @ 1..=24) => (hours * HOUR).min(SECONDS_MAX),
        Some(_) => return Err(Problem::bad("hours is from 1 to 24")),
    };
    let site = app.site().ok_or_else(|| Problem::not_found("this server shares nothing"))?;
    let from = wish.from.as_deref().map(|from| site.find_peer(from)).transpose();
    let from = from.map_err(refused)?.map(|peer| peer.site);
    let Found { owner, study } = find(app, &site, &wish.study, from).await?;
    let (by, event) = (breaker(&ask.who), asked(&ask));
    // Asked again by the same person, as after a break of the line: it is the same access.
    let opened = if let Some(opened) = site.open_glass(&owner, &study, &by.name) {
        opened
    } else {
        let request = Break {
            study: study.to_string(),
            from: owner.to_string(),
            reason: wish.reason.clone(),
            seconds,
            text: text.to_owned(),
        };
        fetch::open_glass(app, &site, request, by, event).await.map_err(refused)?
    };
    let (events, _) = channel(1);
    let came = fetch::in_an_emergency(app, &site, &opened, &Teller::new(events)).await;
    let mut answer = json!({
        "site": site.id().to_string(),
        "entry": opened.right.sequence,
        "owner": owner.to_string(),
        "owner_name": name(&site, &owner.to_string()),
        "study": study.to_string(),
        "expires": opened.expires,
        "study_uid": null,
        "fetched": null,
        "why": null,
    });
    let mut studies = Vec::new();
    match came {
        Ok(finished) => {
            let uid = finished.study_uid.clone();
            answer["retrieve_url"] = json!(format!("{}/studies/{uid}", ask.dicomweb()));
            answer["study_uid"] = json!(uid);
            answer["fetched"] = json!(finished);
            studies.push(uid);
        }
        // The glass is broken, and everybody knows it: asked again, it is fetched without a new entry.
        Err(Error::Fetch(error)) => answer["why"] = json!(error.to_string()),
        Err(error) => return Err(refused(error)),
    }
    // What did not come yet was accepted: it can be asked for again.
    let status = if studies.is_empty() { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(Reply::ok(JSON, answer.to_string()).status(status).about(studies))
}

fn name(site: &Site, id: &str) -> Option<String> {
    site.find_peer(id).ok().map(|peer| peer.name)
}
