//! From a route to its handler: the one match over all routes.
//!
//! To add a handler: write `pub(crate) async fn NAME(app: &Arc<App>, …, ask: Ask) -> Answer` in its
//! file under [`crate::dicomweb`], and put it into its arm here.

use std::sync::Arc;

use crate::dicomweb::{
    bulkdata, capabilities, commitment, delete, frames, metadata, qido, rendered, retrieve, stow,
    thumbnail, wado_uri,
};
use crate::http::limits::SETTLE_PATIENCE;
use crate::http::{Answer, App, Ask, Problem, Route};
use crate::{emergency, federated, fetch, health, home, patient, peer};

/// Lets the handler of a route answer, once what was acknowledged before can be read.
pub(crate) async fn dispatch(app: &Arc<App>, route: Route, ask: Ask) -> Answer {
    settle(app, &route, &ask).await?;
    let wado = || if route == Route::WadoUri { ask.query.get("studyUID") } else { None };
    if let Some(study) = route.reads().or_else(wado) {
        // If it is not here and another site has granted it, it is in a moment.
        fetch::on_demand(app, study).await;
    }
    match route {
        Route::Home => home::home(app, &ask).await,
        Route::Metrics => health::metrics(app).await,
        Route::Health => Ok(health::alive()),
        Route::Ready => health::ready(app).await,
        Route::Capabilities => Ok(capabilities::capabilities(&ask)),
        Route::Store { study } => stow::store(app, study, ask).await,
        Route::Delete(scope) => delete::delete(app, scope).await,
        Route::Statement => patient::statement(app, ask).await,
        Route::Commit { transaction } => commitment::request(app, transaction, ask).await,
        Route::Commitment { transaction } => commitment::result(app, transaction, ask).await,
        Route::Search { level, scope } => qido::handle(app, level, scope, ask).await,
        Route::Federated { level, scope } => federated::handle(app, level, scope, ask).await,
        Route::Retrieve(scope) => retrieve::retrieve(app, scope, ask).await,
        Route::Metadata(scope) => metadata::metadata(app, scope, ask).await,
        Route::Frames { scope, frames } => frames::frames(app, scope, frames, ask).await,
        Route::Bulkdata { scope, path } => bulkdata::bulkdata(app, scope, path, ask).await,
        Route::Pixeldata(scope) => bulkdata::pixeldata(app, scope, ask).await,
        Route::Rendered { scope, frames } => rendered::rendered(app, scope, frames, ask).await,
        Route::Thumbnail { scope, frames } => thumbnail::thumbnail(app, scope, frames, ask).await,
        Route::WadoUri => wado_uri::wado_uri(app, ask).await,
        Route::BreakGlass => emergency::open(app, ask).await,
        Route::GlassList => emergency::list(app, &ask).await,
        Route::GlassReview => emergency::review(app, ask).await,
        Route::Peer(route) => peer::answer(app, route, ask).await,
        // Answered before, for every resource alike.
        Route::Options { .. } => Err(Problem::internal("OPTIONS came through")),
    }
}

/// Whoever reads sees what was acknowledged before: an object that is still spooled is waited for, by
/// every route that does not say here why it need not. A search of a busy archive does not wait long,
/// and answers with what is there.
async fn settle(app: &Arc<App>, route: &Route, ask: &Ask) -> Result<(), Problem> {
    let (patience, must) = match route {
        // They read no objects, or write them; or give other sites what was registered, which was in the
        // archive before. A verdict on commitment looks by itself, and says nothing
        // final of what is not settled.
        Route::Home
        | Route::Metrics
        | Route::Health
        | Route::Ready
        | Route::Capabilities
        | Route::Store { .. }
        | Route::Commit { .. }
        | Route::Commitment { .. }
        | Route::BreakGlass
        | Route::GlassList
        | Route::GlassReview
        | Route::Peer(_)
        | Route::Options { .. } => return Ok(()),
        Route::Search { .. } | Route::Federated { .. } => (app.search_wait, false),
        _ => (SETTLE_PATIENCE, true),
    };
    if app.is_settled() {
        return Ok(());
    }
    // Without a study: everything.
    let study = match route {
        Route::WadoUri => ask.query.get("studyUID"),
        _ => route.scope().and_then(|scope| scope.study.as_deref()),
    };
    let study = study.map(str::to_owned);
    let settled = app.blocking(move |app| Ok(app.settle(study.as_deref(), patience))).await?;
    if must && !settled {
        return Err(Problem::busy("what was received is not in the archive yet"));
    }
    Ok(())
}
