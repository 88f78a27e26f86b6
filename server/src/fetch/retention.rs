//! What came under a grant that lets nobody keep a copy goes when the grant has ended.
//!
//! What is entrusted stands in the archive itself, so nothing has to be remembered here: whatever is
//! entrusted and not granted any more is due, at each look again, until it is gone. It is deleted as by a person: a
//! tombstone at once, the bytes when they are collected. What came by another way as well stays, and so
//! does everything while nobody knows whether the grant has ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_ledger::id::{LeafHash, Link, SiteId, StudyId};
use cairn_store::catalog::editions::{FetchState, Fetched};
use cairn_store::commit::Target;

use super::{Error, held_versions};
use crate::clock::now;
use crate::http::App;
use crate::peer::wire::record::StudyRecord;
use crate::sharing::Site;

/// Instances that are deleted in one commit.
const INSTANCES_ONCE: usize = 512;

/// What is here of a study may be kept from now on.
pub(super) fn keep(app: &App, record: &StudyRecord) -> Result<(), Error> {
    let held = held_versions(app, record)?;
    let entrusted: Vec<u64> =
        held.into_iter().flatten().filter(|it| it.entrusted).map(|it| it.seq).collect();
    if entrusted.is_empty() {
        Ok(())
    } else {
        Ok(app.store.catalog().entrusted().keep(&entrusted)?)
    }
}

/// Deletes what is entrusted and not granted any more. Says how many instances that were.
pub(crate) fn give_back(app: &App, site: &Site) -> crate::error::Result<u64> {
    let catalog = app.store.catalog();
    let mut gone = 0;
    for study_uid in catalog.entrusted().entrusted_studies()? {
        let rows = catalog.editions().all_fetched(Some(&study_uid))?;
        if is_over(site, &rows) {
            gone += give_back_study(app, &study_uid)?;
            note(app, rows)?;
        }
    }
    if gone > 0 {
        app.metrics.sharing.gave_back(gone);
        tracing::info!(
            instances = gone,
            "what was entrusted by other sites was deleted: grants ended"
        );
    }
    Ok(gone)
}

/// In how many seconds the next right ends by itself under which something is entrusted; `None`: nothing is.
pub(crate) fn next_end(app: &App, site: &Site) -> crate::error::Result<Option<u64>> {
    let (catalog, at) = (app.store.catalog(), now());
    let mut next = None;
    for study_uid in catalog.entrusted().entrusted_studies()? {
        let rows = catalog.editions().all_fetched(Some(&study_uid))?;
        let ends = site.with_federation(|federation| {
            let ends = rows.iter().filter_map(|row| federation.expires(&right(row)));
            ends.filter(|end| *end > at).min()
        });
        next = next.into_iter().chain(ends).min();
    }
    Ok(next.map(|end| end - at))
}

/// Have all rights ended under which it came, and is there no other?
fn is_over(site: &Site, rows: &[Fetched]) -> bool {
    let (own, at) = (site.id(), now());
    site.with_federation(|federation| {
        let over = |row: &Fetched| {
            let study = StudyId(row.study);
            federation.has_ended(&right(row), at)
                && !federation.is_granted(&own, study, at)
                && federation.check_owner(&own, study).is_err()
        };
        !rows.is_empty() && rows.iter().all(over)
    })
}

fn right(row: &Fetched) -> Link {
    let (site, leaf) = (SiteId(row.right_site), LeafHash(row.right_leaf));
    Link { site, sequence: row.right_sequence, leaf }
}

/// Deletes the instances of a study that are entrusted, no version of which is this archive's own.
fn give_back_study(app: &App, study_uid: &str) -> crate::error::Result<u64> {
    let entrusted = only_entrusted(app, study_uid)?;
    // The server is ending: the next one looks again.
    let Ok(ingest) = app.ingest() else { return Ok(0) };
    for some in entrusted.chunks(INSTANCES_ONCE) {
        ingest.give_back(study_uid, some.to_vec())?;
    }
    // What came meanwhile by another way stayed.
    let left = only_entrusted(app, study_uid)?.len();
    Ok((entrusted.len() - left.min(entrusted.len())) as u64)
}

fn only_entrusted(app: &App, study_uid: &str) -> crate::error::Result<Vec<Target>> {
    let mut instances: BTreeMap<(String, String), bool> = BTreeMap::new();
    app.store.catalog().study_versions(study_uid, true, &mut |version| {
        if !version.deleted {
            let key = (version.series_uid, version.sop_instance_uid);
            *instances.entry(key).or_insert(true) &= version.entrusted;
        }
        Ok(())
    })?;
    let entrusted = instances.into_iter().filter(|(_, entrusted)| *entrusted);
    Ok(entrusted
        .map(|((series, sop), _)| Target {
            study_uid: study_uid.to_owned(),
            series_uid: Some(series),
            sop_instance_uid: Some(sop),
        })
        .collect())
}

/// Remembers that it was given back, so that a new grant brings it again to whoever asks for it.
fn note(app: &App, rows: Vec<Fetched>) -> crate::error::Result<()> {
    for mut row in rows.into_iter().filter(|row| row.state == FetchState::Receipted) {
        row.state = FetchState::GivenBack;
        app.store.catalog().editions().put_fetched(&row)?;
    }
    Ok(())
}

/// Is a study gone because it was given back, and not because somebody deleted it?
pub(super) async fn was_given_back(app: &Arc<App>, study_uid: &str) -> bool {
    let uid = study_uid.to_owned();
    let rows =
        app.blocking(move |app| Ok(app.store.catalog().editions().all_fetched(Some(&uid))?));
    // What was fetched last counts: that may have been deleted since.
    rows.await.is_ok_and(|rows| rows.last().is_some_and(|row| row.state == FetchState::GivenBack))
}
