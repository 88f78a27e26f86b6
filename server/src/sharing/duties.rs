//! What this archive owes to ledgers, and they ask of it: done again and again, as long as the server runs.
//!
//! Each duty looks at how things are and not at what just happened, so one that a crash, a full disk or a
//! ledger that may not grow kept from being done is done at the next look.

use std::sync::Arc;
use std::time::Duration;

use super::site::Site;
use crate::error::Result;
use crate::fetch;
use crate::http::App;

/// Looks are at least so far apart, however much news there is.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs until it is dropped, or the server is about to end.
pub(crate) async fn run(app: Arc<App>, site: Arc<Site>) {
    while !app.is_draining() {
        // One that fails keeps no other from being done.
        for duty in [tell_of_glass, end_deleted, bind_arrived, give_back] {
            let (own, doing) = (Arc::clone(&app), Arc::clone(&site));
            if let Err(error) = super::round::blocking(move || duty(&own, &doing)).await {
                tracing::warn!(%error, "what ledgers ask of this archive is not done yet");
            }
        }
        tokio::time::sleep(PAUSE).await;
        let (own, looking) = (Arc::clone(&app), Arc::clone(&site));
        let ends = super::round::blocking(move || fetch::next_end(&own, &looking)).await;
        // A grant that ends between two looks ends then, and not at the next look.
        let wait = ends.ok().flatten().map_or(site.settings.sync, Duration::from_secs);
        tokio::select! {
            () = site.news.notified() => {}
            () = tokio::time::sleep(wait.min(site.settings.sync)) => {}
        }
    }
}

/// Emergency accesses have their lines in the audit log.
fn tell_of_glass(app: &App, site: &Site) -> Result<()> {
    super::glass::tell(app, site)
}

/// What was deleted here ends on the ledger.
fn end_deleted(app: &App, site: &Site) -> Result<()> {
    site.end_deleted(app.store.catalog())
}

/// Patients' keys are bound to what arrived.
fn bind_arrived(app: &App, site: &Site) -> Result<()> {
    site.bind_arrived(&app.store)
}

/// What was entrusted and is not granted any more is deleted.
fn give_back(app: &App, site: &Site) -> Result<()> {
    fetch::give_back(app, site).map(|_| ())
}
