//! What watches the server asks: is it alive, may it have requests, what are its figures.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cairn_store::ingest::COMMITS_UNDER_WAY_MAX;
use hyper::header::{CACHE_CONTROL, HeaderValue};

use crate::http::{Answer, App, Problem, Reply};

/// The process answers. Says nothing of the archive: a restart would not mend a full disk.
pub(crate) fn alive() -> Reply {
    fresh(Reply::ok("text/plain; charset=utf-8", "alive\n"))
}

/// Requests are welcome: the archive takes and gives, its journal is below its bound, and the server
/// is not on its way out.
pub(crate) async fn ready(app: &Arc<App>) -> Answer {
    if app.is_draining() {
        return Err(Problem::busy("the server is ending"));
    }
    app.blocking(|app| {
        if !app.audit.is_well() {
            return Err(Problem::busy("the audit log cannot be written"));
        }
        let ingest = app.ingest()?;
        if let Some(cause) = ingest.failure() {
            let problem = Problem::busy("the archive has stopped taking objects in");
            return Err(problem.detail(cause.to_string()));
        }
        if ingest.waiting_bytes() >= app.journal_bytes_max {
            return Err(Problem::busy("too much waits for the bucket"));
        }
        app.store.catalog().next_seq()?;
        Ok(fresh(Reply::ok("text/plain; charset=utf-8", "ready\n")))
    })
    .await
}

/// Prometheus' text format.
pub(crate) async fn metrics(app: &Arc<App>) -> Answer {
    app.blocking(|app| {
        if let Ok(ingest) = app.ingest() {
            app.metrics.ingest(ingest.counters(), ingest.in_flight_bytes());
            let commits = ingest.commits_under_way();
            app.metrics.queue("commits", commits, COMMITS_UNDER_WAY_MAX);
            let spooled = ingest.spooled();
            app.metrics.queue("spool_bytes", spooled.disk_bytes, app.spool_bytes_max);
            let damaged = ingest.counters().spool_damaged.load(Ordering::Relaxed);
            app.metrics.spool(spooled.objects, spooled.oldest, damaged);
            app.metrics.queue("uploads_bytes", ingest.waiting_bytes(), app.journal_bytes_max);
        }
        for (cache, hits, misses) in app.store.reader().cache_counts() {
            app.metrics.cache(cache, hits, misses);
        }
        for (cache, bytes) in app.store.reader().cached_bytes() {
            app.metrics.cache_holds(cache, bytes);
        }
        let (hits, misses) = app.headers.counts();
        app.metrics.cache("headers", hits, misses);
        app.metrics.cache_holds("headers", app.headers.bytes());
        if app.metrics.totals_due() {
            app.metrics.totals(&app.store.catalog().totals()?);
        }
        let text = app.metrics.text().map_err(|error| Problem::internal(error.to_string()))?;
        Ok(fresh(Reply::ok("text/plain; version=0.0.4; charset=utf-8", text)))
    })
    .await
}

fn fresh(reply: Reply) -> Reply {
    reply.header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
}
