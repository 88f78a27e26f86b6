//! The handler of searches: the only part of QIDO-RS here that knows HTTP.

use std::sync::Arc;

use cairn_dicom::attributes::Level as Entity;
use hyper::header::{HeaderValue, WARNING};

use crate::http::{Answer, App, Ask, Level, Problem, Reply, Scope};

/// Answers a search in `application/dicom+json`.
pub(crate) async fn handle(app: &Arc<App>, level: Level, scope: Scope, ask: Ask) -> Answer {
    let level = match level {
        Level::Study => Entity::Study,
        Level::Series => Entity::Series,
        Level::Instance => Entity::Instance,
    };
    let (study, series) = (scope.study.as_deref(), scope.series.as_deref());
    let query = super::query(level, study, series, ask.query.pairs())
        .map_err(|bad| Problem::bad(bad.to_string()))?;
    let base_url = ask.dicomweb();
    let found = app
        .blocking(move |app| super::search(&app.store, &query, &base_url).map_err(Problem::from))
        .await?;
    let mut reply = Reply::ok("application/dicom+json", found.body);
    for warning in &found.warnings {
        if let Ok(warning) = HeaderValue::from_str(warning) {
            reply.headers.append(WARNING, warning);
        }
    }
    Ok(reply)
}
