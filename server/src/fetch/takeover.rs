//! Taking over a study that another site has handed to this one.

use std::sync::Arc;

use cairn_chunker::id::StudyRoot;
use cairn_ledger::entry::Purpose;
use cairn_ledger::id::StudyId;
use cairn_ledger::opening::Opening;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::choose::study_uid;
use super::demand::tell_until;
use super::{Error, Options, Order, Progress, Tenure, patiently, run};
use crate::error::Result;
use crate::http::App;
use crate::http::limits::SETTLE_PATIENCE;
use crate::peer::Subject;
use crate::sharing::control::Teller;
use crate::sharing::{Fault, HandOver, Site};

/// What is to be taken over.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TakeOver {
    /// A root, a study's name on the ledger, or a Study Instance UID.
    pub(crate) study: String,
    /// Who handed it over: name or beginning of the id.
    pub(crate) from: String,
}

/// A study that is this site's now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TakenOver {
    /// The entry in this site's log.
    pub(crate) entry: u64,
    /// Study Instance UID.
    pub(crate) study_uid: String,
    /// The study's name on the ledger.
    pub(crate) study: String,
    /// Its version there.
    pub(crate) version: u64,
    /// Names its content.
    pub(crate) root: String,
    /// Instances that had to be fetched.
    pub(crate) instances_fetched: u64,
    /// Bytes that came over the network.
    pub(crate) bytes_moved: u64,
    /// Sites that have cosigned it.
    pub(crate) cosigned: usize,
    /// Sites that were asked.
    pub(crate) witnesses: usize,
}

/// Fetches what is not here of a study that was handed to this site, and says that it is this site's.
pub(crate) async fn take_over(
    app: &Arc<App>,
    site: &Arc<Site>,
    wish: TakeOver,
    teller: &Teller,
) -> Result<TakenOver> {
    let from = site.find_peer(&wish.from)?.site;
    // It may have been handed over just now.
    drop(site.sync_peer(&from).await);
    let (tell, told) = watch::channel(Progress::default());
    let (own, taking) = (Arc::clone(app), Arc::clone(site));
    let fetching = tokio::task::spawn_blocking(move || {
        let options = Options::default();
        let order = patiently(&options, || choose(&own, &taking, &wish.study, &from))?;
        let (handed, order) = order;
        let fetched = run(&own, &taking, &order, &options, &|progress| {
            tell.send_replace(progress);
        })?;
        Ok((handed, order.opening, fetched))
    });
    let (handed, opening, fetched) = tell_until(fetching, told, teller).await?;
    let (own, taking, uid) = (Arc::clone(app), Arc::clone(site), fetched.study_uid.clone());
    let taken = tokio::task::spawn_blocking(move || {
        // What else was acknowledged of it counts: it may not be what was handed over any more.
        own.settle(Some(&uid), SETTLE_PATIENCE);
        taking.take_over(&own.store, &handed, &opening, &uid)
    });
    let entry = match taken.await {
        Ok(entry) => entry?,
        Err(_) => return Err(Fault::Control("a job panicked".into()).into()),
    };
    let (cosigned, _) = site.spread(Some(&from)).await;
    Ok(TakenOver {
        entry,
        study: handed.study.to_string(),
        version: handed.version,
        root: fetched.root,
        instances_fetched: fetched.instances - fetched.instances_held,
        bytes_moved: fetched.bytes_moved,
        study_uid: fetched.study_uid,
        cosigned,
        witnesses: site.peers().len(),
    })
}

/// Which hand-over somebody means who names a study.
fn choose(
    app: &App,
    site: &Arc<Site>,
    study: &str,
    from: &cairn_ledger::id::SiteId,
) -> std::result::Result<(HandOver, Order), Error> {
    for handed in site.hand_overs(Some(from)) {
        let opening =
            site.open_hand_over(&handed).map_err(|error| Error::NoGrant(error.to_string()))?;
        let order = order(&handed, opening);
        let is_meant = if let Some(id) = StudyId::from_hex(study) {
            handed.study == id || order.opening.root == StudyRoot(id.0)
        } else {
            study_uid(app, site, &order, true)?.is_some_and(|uid| uid == study)
        };
        if is_meant {
            return Ok((handed, order));
        }
    }
    Err(Error::NoGrant(Fault::NotHanded.to_string()))
}

fn order(handed: &HandOver, opening: Opening) -> Order {
    let HandOver { from, link, study, version } = *handed;
    // For a new owner the purpose says nothing; one has to be named.
    let subject = Subject { study, version, purpose: Purpose::Treatment };
    let (from_bucket, tenure) = (false, Tenure::Handed);
    Order { owner: from, subject, right: link, opening, tenure, from_bucket }
}
