//! The handler of `/federated/dicom-web`: QIDO-RS over all sites.

use std::sync::Arc;

use hyper::header::{HeaderValue, WARNING};

use super::merge::RESULTS_MAX;
use super::question::Question;
use crate::dicomweb::accept::{Accept, DICOM_JSON, Offer};
use crate::http::{Answer, App, Ask, Level, Problem, Reply, Scope};

const FORMS: [Offer<'static>; 2] = [
    Offer { media_type: DICOM_JSON, syntax: None, multipart: false },
    Offer { media_type: "application/json", syntax: None, multipart: false },
];

/// Answers a search (PS3.18 §10.6). Pages are cut from the merged list.
pub(crate) async fn handle(app: &Arc<App>, level: Level, scope: Scope, ask: Ask) -> Answer {
    let form = Accept::of(&ask).choose(&FORMS)?;
    let number = |name: &str| match ask.query.get(name) {
        None => Ok(None),
        Some(text) => {
            text.parse::<u64>().map(Some).map_err(|_| Problem::bad(format!("{name} is no number")))
        }
    };
    let (offset, limit) = (number("offset")?.unwrap_or(0), number("limit")?);
    let limit = limit.unwrap_or(RESULTS_MAX).min(RESULTS_MAX);
    let is_page = |name: &str| matches!(name, "offset" | "limit");
    let question = Question {
        sought: level.into(),
        study: scope.study,
        series: scope.series,
        parameters: ask.query.pairs().iter().filter(|(name, _)| !is_page(name)).cloned().collect(),
        // One more, to see whether there is one.
        limit: offset.saturating_add(limit).saturating_add(1).min(RESULTS_MAX),
    };
    let (base, url) = (ask.base.as_str().to_owned(), ask.federated());
    let mut found = app.blocking(move |app| super::search(app, &question, &url)).await?;
    let rest = found.results.into_iter().skip(usize::try_from(offset).unwrap_or(usize::MAX));
    let mut page: Vec<_> = rest.take(limit as usize + 1).collect();
    if page.len() as u64 > limit {
        page.truncate(limit as usize);
        found.warnings.push("There are additional results that can be requested".into());
    }
    let body = serde_json::to_vec(&page).map_err(|error| Problem::internal(error.to_string()))?;
    let media_type = FORMS[form].media_type;
    let mut reply = Reply::ok(media_type, body);
    for warning in found.warnings {
        if let Ok(warning) = HeaderValue::from_str(&format!("299 {base}: {warning}")) {
            reply.headers.append(WARNING, warning);
        }
    }
    Ok(reply)
}
