//! Fetching before anybody asks: what sites grant that the settings name.
//!
//! A copy that nobody here asked for is held as a cache is: it is served while a grant stands, and given
//! back when the last one has ended, even where the grant would let it be kept. Who fetches the study under
//! such a grant keeps it (`cairn fetch`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_store::catalog::editions::FetchState;

use super::choose::order;
use super::granted::Version;
use super::{Error, Options, Tenure, run};
use crate::audit::Event;
use crate::clock::now;
use crate::http::App;
use crate::sharing::{ReceivedGrant, Site};

/// Looks are at least so far apart, however much news there is.
const PAUSE: Duration = Duration::from_millis(100);
/// What could not be fetched is tried again after this,
const RETRY_FIRST: Duration = Duration::from_secs(5);
/// and never later than after this.
const RETRY_MAX: Duration = Duration::from_secs(3600);

/// What could not be fetched: how often it was tried, and when it is next.
type Failed = HashMap<Version, (u32, Instant)>;

/// Runs until it is dropped, or the server is about to end.
pub(crate) async fn prefetch(app: Arc<App>, site: Arc<Site>) {
    if !site.prefetches_any() {
        return;
    }
    let mut failed = Failed::new();
    while !app.is_draining() {
        let (own, sharing) = (Arc::clone(&app), Arc::clone(&site));
        let looked = tokio::task::spawn_blocking(move || {
            look(&own, &sharing, &mut failed);
            failed
        });
        // What is forgotten by a panic is tried again.
        failed = looked.await.unwrap_or_default();
        tokio::time::sleep(PAUSE).await;
        site.something_new().await;
    }
}

/// Fetches everything that was granted and is wanted, one after the other: a person who waits for a study
/// has the line to themselves soon.
fn look(app: &Arc<App>, site: &Arc<Site>, failed: &mut Failed) {
    let mut grants = site.received_grants(now());
    grants.retain(|grant| grant.status.is_ok() && site.prefetches(&grant.owner));
    // The newest version of a study is all of it.
    grants.sort_by_key(|grant| {
        let record = &grant.record;
        (grant.owner, record.study, std::cmp::Reverse((record.version, record.expires)))
    });
    grants.dedup_by_key(|grant| (grant.owner, grant.record.study));
    let known: Vec<Version> = grants.iter().map(version).collect();
    failed.retain(|version, _| known.contains(version));
    for grant in grants {
        let version = version(&grant);
        let waits = failed.get(&version).is_some_and(|(_, until)| Instant::now() < *until);
        if app.is_draining() || waits {
            continue;
        }
        match one(app, site, &grant) {
            Ok(true) => {
                app.metrics.sharing.prefetched();
                tracing::info!(
                    grant = grant.link.sequence,
                    "a study was fetched before anybody asked"
                );
                failed.remove(&version);
            }
            Ok(false) => drop(failed.remove(&version)),
            Err(error) => {
                let tries = failed.get(&version).map_or(0, |(tries, _)| *tries);
                let pause = RETRY_FIRST.saturating_mul(1 << tries.min(10)).min(RETRY_MAX);
                tracing::warn!(grant = grant.link.sequence, tries, %error, "a study was not prefetched");
                failed.insert(version, (tries + 1, Instant::now() + pause));
            }
        }
    }
}

fn version(grant: &ReceivedGrant) -> Version {
    (grant.owner, grant.record.study, grant.record.version)
}

/// Fetches what a grant is for, unless it came before; says whether it did.
fn one(app: &Arc<App>, site: &Arc<Site>, grant: &ReceivedGrant) -> Result<bool, Error> {
    let (owner, study, number) = version(grant);
    let row = app.store.catalog().editions().fetched(&owner.0, &study.0, number)?;
    // What was given back came under another grant: this one brings it again.
    let is_here = |state| matches!(state, FetchState::ReceiptDue | FetchState::Receipted);
    if row.is_some_and(|row| is_here(row.state)) {
        return Ok(false);
    }
    let mut order = order(site, grant)?;
    order.tenure = Tenure::Entrusted;
    let options = Options { in_turn: false, ..Options::default() };
    match run(app, site, &order, &options, &|_| ()) {
        Ok(fetched) => {
            let line = Event::by_rule("prefetch", "fetch", &owner.to_string(), &fetched.study_uid);
            if app.audit.tell(line).is_err() {
                tracing::error!("a study was prefetched, and it is not in the audit log");
            }
            Ok(true)
        }
        // Somebody asked for it just now.
        Err(Error::UnderWay) => Ok(false),
        Err(error) => Err(error),
    }
}
