//! Which grant somebody means who names a study.

use std::sync::Arc;

use cairn_chunker::id::StudyRoot;
use cairn_ledger::entry::Purpose;
use cairn_ledger::id::{SiteId, StudyId};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::{Error, Order, Tenure};
use crate::clock::now;
use crate::http::App;
use crate::peer::wire::record::StudyRecord;
use crate::peer::{self, Subject};
use crate::sharing::{ReceivedGrant, Site};

/// What somebody wants fetched.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    /// A root, a study's name on the ledger, or a Study Instance UID.
    pub(crate) study: String,
    /// Whose: name or beginning of the id. `None`: whoever has granted it.
    pub(crate) from: Option<String>,
    /// What for. `None`: what it was granted for.
    pub(crate) purpose: Option<String>,
    /// Connections at once.
    pub(crate) lanes: usize,
    /// It ends if nothing came for so many seconds.
    pub(crate) patience_seconds: u64,
}

/// What a patient wants fetched.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Consented {
    /// What they signed, as text.
    pub(crate) statement: String,
    /// Connections at once.
    pub(crate) lanes: usize,
    /// It ends if nothing came for so many seconds.
    pub(crate) patience_seconds: u64,
}

/// Finds the grant: of several, the one of the newest version.
pub(super) fn choose(
    app: &App,
    site: &Arc<Site>,
    study: &str,
    from: Option<&SiteId>,
    purpose: Option<Purpose>,
) -> Result<Order, Error> {
    let mut grants = site.received_grants(now());
    grants.retain(|grant| from.is_none_or(|from| grant.owner == *from));
    grants.retain(|grant| purpose.is_none_or(|purpose| grant.record.purpose == purpose));
    // The newest first; of one version, the one that holds longest.
    grants.sort_by_key(|grant| std::cmp::Reverse((grant.record.version, grant.record.expires)));
    let (mut nearest, mut lie) = (None, None);
    // An older version of an owner that is away is not what was meant.
    let mut away: Option<(SiteId, Error)> = None;
    for grant in grants {
        if away.as_ref().is_some_and(|(owner, _)| *owner == grant.owner) {
            continue;
        }
        // Only what may be used is asked about, but who names it shall hear why it may not.
        let order = match means(app, site, &grant, study) {
            Ok(Some(order)) => order,
            Ok(None) => continue,
            // It may be another owner's.
            Err(error) if error.is_lie() => {
                lie = lie.or(Some(error));
                continue;
            }
            Err(error) if error.is_passing() => {
                away = away.or(Some((grant.owner, error)));
                continue;
            }
            Err(error) => return Err(error),
        };
        match &grant.status {
            Ok(()) => return Ok(order),
            Err(denial) => nearest = nearest.or(Some(denial.to_string())),
        }
    }
    let none = || Error::NoGrant(nearest.unwrap_or_else(|| "none is known".into()));
    Err(lie.or(away.map(|(_, error)| error)).unwrap_or_else(none))
}

/// What is to be fetched under this grant, if it is the study that is meant.
fn means(
    app: &App,
    site: &Arc<Site>,
    grant: &ReceivedGrant,
    study: &str,
) -> Result<Option<Order>, Error> {
    let order = order(site, grant)?;
    let is_meant = if let Some(id) = StudyId::from_hex(study) {
        grant.record.study == id || order.opening.root == StudyRoot(id.0)
    } else {
        study_uid(app, site, &order, grant.status.is_ok())?.is_some_and(|uid| uid == study)
    };
    Ok(is_meant.then_some(order))
}

/// What is to be fetched under a grant.
pub(super) fn order(site: &Site, grant: &ReceivedGrant) -> Result<Order, Error> {
    let opening = site.open_grant(grant).map_err(|error| Error::NoGrant(error.to_string()))?;
    let record = &grant.record;
    let subject = Subject { study: record.study, version: record.version, purpose: record.purpose };
    let from_bucket = record.conditions.from_bucket;
    let tenure = if record.conditions.no_retention { Tenure::Entrusted } else { Tenure::Kept };
    let (owner, right) = (grant.owner, grant.link);
    Ok(Order { owner, subject, right, opening, tenure, from_bucket })
}

/// The Study Instance UID of what was granted. No ledger has it: it is remembered, or its owner is asked.
pub(super) fn study_uid(
    app: &App,
    site: &Arc<Site>,
    order: &Order,
    ask: bool,
) -> Result<Option<String>, Error> {
    let Subject { study, version, .. } = order.subject;
    let known = app.store.catalog().editions().fetched(&order.owner.0, &study.0, version)?;
    if let Some(known) = known {
        return Ok(Some(known.study_uid));
    }
    let key = (order.owner, study, version);
    if let Some(uid) = app.granted.uid(&key) {
        return Ok(Some(uid));
    }
    if !ask {
        return Ok(None);
    }
    let client = site.client(&order.owner).map_err(|error| Error::NoGrant(error.to_string()))?;
    let expected = super::expected(site, order)?;
    let bytes = match Handle::current().block_on(client.record(&order.subject)) {
        Ok(bytes) => bytes,
        // What it does not tell of cannot be fetched either.
        Err(peer::Error::Refused { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let record = StudyRecord::check(&bytes, &expected)?;
    app.granted.learn(key, &record.study_uid);
    Ok(Some(record.study_uid))
}
