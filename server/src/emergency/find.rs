//! Which study of which site is meant: by its name on the ledger, or by its UID.
//!
//! No ledger has UIDs. What this site has read before it knows; else owners are asked, each with a time of
//! its own. An owner that is asked tells the name of what it registered and still has: whoever knows a
//! study's UID and is a known site may open it in an emergency anyway. It writes a line of that.

use std::sync::Arc;
use std::time::Duration;

use cairn_ledger::id::{SiteId, StudyId};
use cairn_ledger::state::Standing;
use futures::future::join_all;

use crate::http::{Answer, App, Problem, Reply};
use crate::sharing::Site;

/// Longest UID (PS3.5 §9.1).
pub(crate) const UID_BYTES_MAX: usize = 64;
/// How long an owner may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// What is to be opened.
pub(super) struct Found {
    pub(super) owner: SiteId,
    pub(super) study: StudyId,
}

/// Finds the study and its owner. `from`: whose it is, if that was said.
pub(super) async fn find(
    app: &Arc<App>,
    site: &Arc<Site>,
    study: &str,
    from: Option<SiteId>,
) -> Result<Found, Problem> {
    let mut found = match StudyId::from_hex(study) {
        Some(study) => by_name(site, study),
        None => by_uid(app, site, study, from).await?,
    };
    found.retain(|found| from.is_none_or(|from| found.owner == from));
    match (found.pop(), found.is_empty()) {
        (None, _) => Err(Problem::not_found("no site that is known here has such a study")),
        (Some(found), true) => Ok(found),
        (Some(_), false) => Err(Problem::bad("several sites have it; say from which, as from")),
    }
}

fn by_name(site: &Site, study: StudyId) -> Vec<Found> {
    site.owners_of(&study).into_iter().map(|owner| Found { owner, study }).collect()
}

async fn by_uid(
    app: &Arc<App>,
    site: &Arc<Site>,
    uid: &str,
    from: Option<SiteId>,
) -> Result<Vec<Found>, Problem> {
    if uid.is_empty() || uid.len() > UID_BYTES_MAX || uid.chars().any(char::is_control) {
        return Err(Problem::bad("a study is named by its UID, or as the ledger names it"));
    }
    let (own, study_uid) = (Arc::clone(site), uid.to_owned());
    let known = app.blocking(move |app| Ok(known(app, &own, &study_uid)?)).await?;
    let known: Vec<Found> =
        known.into_iter().filter(|it| from.is_none_or(|from| it.owner == from)).collect();
    if !known.is_empty() {
        return Ok(known);
    }
    let peers = site.peers().into_iter().map(|peer| peer.site);
    let peers = peers.filter(|peer| from.is_none_or(|from| *peer == from));
    let asked = peers.map(|owner| async move {
        let client = site.client(&owner).ok()?;
        let answer = tokio::time::timeout(PATIENCE, client.name_of(uid)).await.ok()?;
        let study = answer.ok().flatten()?;
        // It counts once its ledger, which is followed here, says the same.
        site.owners_of(&study).contains(&owner).then_some(Found { owner, study })
    });
    Ok(join_all(asked).await.into_iter().flatten().collect())
}

/// What this site has read of other sites' studies under that UID, and they still have.
fn known(app: &App, site: &Site, uid: &str) -> cairn_store::Result<Vec<Found>> {
    let rows = app.store.catalog().editions().all_fetched(Some(uid))?;
    let mut found: Vec<Found> = Vec::new();
    for row in rows {
        let study = StudyId(row.study);
        let is_there = found.iter().any(|known| known.study == study);
        if !is_there {
            found.extend(by_name(site, study));
        }
    }
    Ok(found)
}

/// What a study of this site is called on its ledger, for another site that is about to break the glass.
pub(crate) fn answer(app: &App, site: &Site, uid: &str) -> Answer {
    let missing = || Problem::not_found("there is no such study");
    let editions = app.store.catalog().editions().editions(Some(uid))?;
    let owned = editions.into_iter().rev().map(|edition| StudyId(edition.study)).find(|study| {
        let standing = site.with_state(|state| state.study(study).map(|study| study.standing));
        standing == Some(Standing::Owned)
    });
    let study = owned.ok_or_else(missing)?;
    Ok(Reply::ok("text/plain; charset=utf-8", study.to_string()).about(vec![uid.to_owned()]))
}
