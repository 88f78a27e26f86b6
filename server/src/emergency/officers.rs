//! What privacy officers see of emergency accesses, and what they say of them.

use std::fmt::Write;
use std::sync::Arc;

use hyper::header::{ACCEPT, CONTENT_SECURITY_POLICY, HeaderValue};
use quick_xml::escape::escape;
use serde::Deserialize;
use serde_json::json;

use super::{JSON, asked, breaker, read, refused};
use crate::audit::Event;
use crate::http::{Answer, App, Ask, Problem, Reply};
use crate::output::{clean, time};
use crate::sharing::Broken;

/// Nothing is loaded from anywhere, and no script runs.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'");

/// Lists emergency accesses, to this site's studies and of this site: those that wait for a review, or with
/// `all=true` all of them. As JSON, or as a page for a browser.
pub(crate) async fn list(app: &Arc<App>, ask: &Ask) -> Answer {
    let all = match ask.query.get("all") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::bad("all is true or false")),
    };
    let site = app.site().ok_or_else(|| Problem::not_found("this server shares nothing"))?;
    let list = move |app: &App| {
        let catalog = app.store.catalog();
        site.broken(Some(catalog), all).map_err(refused)
    };
    let broken = app.blocking(list).await?;
    let studies = broken.iter().filter_map(|broken| broken.study_uid.clone()).collect();
    let in_browser = ask.list(&ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    let reply = if in_browser {
        let page = Reply::ok("text/html; charset=utf-8", page(&broken));
        page.header(CONTENT_SECURITY_POLICY, POLICY)
    } else {
        let body = serde_json::to_vec(&broken);
        Reply::ok(JSON, body.map_err(|error| Problem::internal(error.to_string()))?)
    };
    Ok(reply.about(studies))
}

fn page(broken: &[Broken]) -> String {
    let mut out = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Emergency \
        access</title><style>:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;\
        max-width:80rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}th,td{text-align:\
        left;padding:.3rem .7rem;border-bottom:1px solid #8886}.late{color:#c62828;font-weight:600}</style>\
        <h1>Emergency access</h1>"
        .to_owned();
    if broken.is_empty() {
        out.push_str("<p>Nothing waits for a review.</p></html>\n");
        return out;
    }
    out.push_str(
        "<table><tr><th>opened by<th>entry<th>owner<th>study<th>reason<th>who<th>opened<th>until\
         <th>review</tr>",
    );
    for it in broken {
        let review = match (&it.verdict, &it.own_verdict) {
            (Some(verdict), _) => verdict.clone(),
            (None, Some(verdict)) => format!("{verdict} (here)"),
            (None, None) if it.is_blocking => format!("overdue: {}", it.groups.join(", ")),
            (None, None) => "waits".into(),
        };
        let class = if it.is_blocking { " class=\"late\"" } else { "" };
        let cells = [
            it.site_name.clone(),
            it.entry.to_string(),
            it.owner_name.clone(),
            it.study_uid.clone().unwrap_or_else(|| it.study.clone()),
            it.reason.clone(),
            it.by.clone().unwrap_or_default(),
            time(it.opened * 1000),
            time(it.expires * 1000),
            review,
        ];
        let cells = cells.map(|cell| escape(clean(&cell)).into_owned());
        let _ = write!(out, "<tr{class}><td>{}</tr>", cells.join("<td>"));
    }
    out.push_str("</table></html>\n");
    out
}

/// What somebody found.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Finding {
    /// Who opened the study: name or beginning of the id.
    site: String,
    /// The entry in that site's log.
    entry: u64,
    /// One of [`crate::sharing::REVIEWS`].
    verdict: String,
}

/// Says what an officer found: on this site's ledger of what others opened, here of what this site did.
pub(crate) async fn review(app: &Arc<App>, mut ask: Ask) -> Answer {
    let Finding { site: named, entry, verdict } = read(&mut ask).await?;
    let site = app.site().ok_or_else(|| Problem::not_found("this server shares nothing"))?;
    let (reviewing, found, by) = (Arc::clone(&site), verdict.clone(), breaker(&ask.who).name);
    let reviewed = app
        .blocking(move |_| reviewing.review(&named, entry, &found, &by).map_err(refused))
        .await?;
    let (on_ledger, study) = reviewed;
    let line = Event {
        op: "emergency_review".into(),
        act: "privacy".into(),
        status: verdict,
        ok: true,
        ledger_study: Some(study.to_string()),
        ..asked(&ask)
    };
    app.audit.tell(line).map_err(|_| Problem::busy("the audit log cannot be written"))?;
    if on_ledger.is_some() {
        // The site that opened it hears of it at once.
        site.spread(None).await;
    }
    site.look_now();
    Ok(Reply::ok(JSON, json!({ "entry": on_ledger }).to_string()))
}
