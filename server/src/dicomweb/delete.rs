//! Deleting a study, a series or an instance.
//!
//! PS3.18 has no such transaction for stored instances; archives agree on DELETE at the resource. A
//! tombstone is durable before the answer, and nobody is given what it covers from then on: 410. The
//! bytes stay until they are collected.

use std::sync::Arc;

use cairn_store::Error;
use cairn_store::catalog::Existence;
use cairn_store::commit::Target;
use hyper::StatusCode;

use crate::http::route::Scope;
use crate::http::{Answer, App, Problem, Reply};

/// DELETE: 204, 404 if it was never here, 410 if it is gone already.
pub(crate) async fn delete(app: &Arc<App>, scope: Scope) -> Answer {
    let target = target(scope)?;
    app.blocking(move |app| match app.ingest()?.delete(&target) {
        Ok(()) => {
            if let Some(site) = app.site() {
                site.look_now();
            }
            Ok(Reply::new(StatusCode::NO_CONTENT))
        }
        Err(Error::NotFound { .. }) => Err(absent(app, &target)?),
        Err(error) => Err(error.into()),
    })
    .await
}

fn target(scope: Scope) -> Result<Target, Problem> {
    let Scope { study, series, instance } = scope;
    let study_uid = study.ok_or_else(|| Problem::internal("a deletion without a study"))?;
    Ok(Target { study_uid, series_uid: series, sop_instance_uid: instance })
}

/// Why nothing is there.
pub(crate) fn absent(app: &App, target: &Target) -> Result<Problem, Problem> {
    Ok(match app.store.catalog().existence(target)? {
        Existence::Gone => Problem::new(StatusCode::GONE, "it was deleted"),
        // Something may have come in between; whoever asks again will find it.
        Existence::Unknown | Existence::Present => {
            Problem::not_found("there is nothing by that name")
        }
    })
}
