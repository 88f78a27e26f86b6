//! One search over this archive and those of other sites.
//!
//! All are asked at once, each with a time of its own; who does not answer in it is left out and named. A
//! site is asked only if its ledger is followed, and shows only what it granted: each owner decides
//! what may be found ([`found`]). What is found elsewhere is fetched when it is retrieved.

mod found;
mod handle;
mod merge;
mod question;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

pub(crate) use found::{Found, Object, answer};
pub(crate) use handle::handle;
pub(crate) use merge::{CREATOR, RESULTS_MAX, SOURCES};
pub(crate) use question::{QUESTION_BYTES_MAX, Question};

use crate::dicomweb::qido;
use crate::http::{App, Problem};
use crate::peer;
use crate::sharing::{Peer, Site};
use merge::{Said, merge};

/// How long another site may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// What this archive is called in results before it has a ledger.
const UNNAMED: &str = "here";

/// What was found, and what was not looked at.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// What matches, merged by UID.
    pub(crate) results: Vec<Object>,
    /// What the searcher has to know: who did not answer, what was not searched.
    pub(crate) warnings: Vec<String>,
}

/// Searches everywhere. `url`: where this server is reached for what is found. Blocks.
pub(crate) fn search(app: &App, question: &Question, url: &str) -> Result<Merged, Problem> {
    let query = question.query().map_err(|bad| Problem::bad(bad.to_string()))?;
    let site = app.site();
    let peers = site.as_deref().map(Site::peers).unwrap_or_default();
    let runtime = app.sharing_runtime();
    // They are on their way while this archive is searched.
    let asked: Vec<_> = peers
        .into_iter()
        .filter_map(|peer| {
            let site = Arc::clone(site.as_ref()?);
            let question = question.clone();
            let name = peer.name.clone();
            Some((name, runtime.as_ref()?.spawn(ask(site, peer, question))))
        })
        .collect();
    let own = qido::search(&app.store, &app.bookmarks, &query, "")?;
    let mut merged = Merged::default();
    if own.is_incomplete || own.stopped_at.is_some() {
        merged.warnings.push("not all of this archive was searched".into());
    }
    let results = serde_json::from_slice(&own.body)
        .map_err(|_| Problem::internal("a search did not give JSON"))?;
    let name = site.as_ref().map_or_else(|| UNNAMED.to_owned(), |site| site.name());
    let mut said = vec![Said { site: name, is_own: true, results }];
    let (names, answers): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
    let answers = runtime.map(|runtime| runtime.block_on(join_all(answers))).unwrap_or_default();
    for (site, answer) in names.into_iter().zip(answers) {
        match answer {
            Ok(Ok(Found { results, is_partial })) => {
                if is_partial {
                    merged.warnings.push(format!("{site} may have more than it told"));
                }
                said.push(Said { site, is_own: false, results });
            }
            Ok(Err(why)) => {
                merged.warnings.push(format!("{site} is left out: {why}"));
            }
            Err(_) => merged.warnings.push(format!("{site} is left out")),
        }
    }
    merged.results = merge(question, said, url);
    Ok(merged)
}

/// Asks one site.
async fn ask(site: Arc<Site>, peer: Peer, question: Question) -> Result<Found, &'static str> {
    let client = site.client(&peer.site).map_err(|_| "it cannot be reached")?;
    match tokio::time::timeout(PATIENCE, client.search(&question)).await {
        Err(_) => Err("it did not answer in time"),
        Ok(Ok(found)) => Ok(found),
        Ok(Err(peer::Error::Unreachable { .. })) => Err("it cannot be reached"),
        Ok(Err(peer::Error::Refused { .. })) => Err("it refuses"),
        Ok(Err(_)) => Err("its answer cannot be read"),
    }
}
