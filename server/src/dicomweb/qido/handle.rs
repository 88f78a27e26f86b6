//! The handler of searches: the only part of QIDO-RS here that knows HTTP.

use std::sync::Arc;

use cairn_dicom::attributes::Level as Entity;
use hyper::StatusCode;
use hyper::header::{HeaderValue, WARNING};

use crate::dicomweb::accept::{Accept, DICOM_JSON, DICOM_XML, Offer};
use crate::dicomweb::multipart::Writer;
use crate::dicomweb::native_xml;
use crate::http::{Answer, App, Ask, Level, Problem, Reply, Scope};

/// Places of the media types in [`FORMS`].
const JSON: usize = 1;
const XML: usize = 2;

const FORMS: [Offer<'static>; 3] = [
    Offer { media_type: DICOM_JSON, syntax: None, multipart: false },
    Offer { media_type: "application/json", syntax: None, multipart: false },
    Offer { media_type: DICOM_XML, syntax: None, multipart: true },
];

/// Answers a search.
pub(crate) async fn handle(app: &Arc<App>, level: Level, scope: Scope, ask: Ask) -> Answer {
    let form = Accept::of(&ask).choose(&FORMS)?;
    let level = match level {
        Level::Study => Entity::Study,
        Level::Series => Entity::Series,
        Level::Instance => Entity::Instance,
    };
    let (study, series) = (scope.study.as_deref(), scope.series.as_deref());
    let query = super::query(level, study, series, ask.query.pairs())
        .map_err(|bad| Problem::bad(bad.to_string()))?;
    let base_url = ask.dicomweb();
    let (mut reply, warnings) = app
        .blocking(move |app| {
            let found = super::search(&app.store, &app.bookmarks, &query, &base_url)?;
            let reply = match form {
                XML => xml(&found.body)?,
                JSON => Reply::ok("application/json", found.body),
                _ => Reply::ok(DICOM_JSON, found.body),
            };
            Ok((reply, found.warnings))
        })
        .await?;
    for warning in &warnings {
        if let Ok(warning) = HeaderValue::from_str(warning) {
            reply.headers.append(WARNING, warning);
        }
    }
    Ok(reply)
}

/// One document for each result; without any there is no part to send (PS3.18 table 10.6.3-1).
fn xml(found: &[u8]) -> Result<Reply, Problem> {
    let objects: Vec<native_xml::Object> = serde_json::from_slice(found)
        .map_err(|_| Problem::internal("a search did not give JSON"))?;
    if objects.is_empty() {
        return Ok(Reply::new(StatusCode::NO_CONTENT));
    }
    let mut writer = Writer::new()?;
    let content_type = writer.content_type(DICOM_XML);
    let mut body = Vec::new();
    for object in &objects {
        let document = native_xml::document(object)?;
        // A result is no representation of a resource, and has no Content-Location (PS3.18 §8.6.1.2).
        body.extend_from_slice(&writer.head(DICOM_XML, None, Some(document.len() as u64)));
        body.extend_from_slice(document.as_bytes());
    }
    body.extend_from_slice(&writer.close());
    Ok(Reply::new(StatusCode::OK).content_type(&content_type).bytes(body))
}
