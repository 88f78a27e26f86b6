//! What other sites may find here: studies that they were granted, as they were granted.

use std::collections::{BTreeMap, BTreeSet};

use cairn_dicom::query::Path;
use cairn_ledger::id::SiteId;
use cairn_store::catalog::editions::Edition;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::question::Question;
use crate::dicomweb::qido;
use crate::http::{App, Problem};
use crate::sharing::Site;

/// Study Instance UID.
const STUDY_UID: u32 = 0x0020_000D;
/// UIDs in one search of the catalog.
const UIDS_AT_ONCE: usize = 500;
/// What says where this server is, or what it thinks of itself.
const OWN: [&str; 3] = ["00081190", "00080054", "00080056"];

/// A result in the DICOM JSON model.
pub(crate) type Object = Map<String, Value>;

/// What a site answers.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Found {
    /// What matches.
    pub(crate) results: Vec<Object>,
    /// There may be more.
    pub(crate) is_partial: bool,
}

/// Answers another site. Blocks.
pub(crate) fn answer(
    app: &App,
    site: &Site,
    reader: &SiteId,
    question: &Question,
) -> Result<Found, Problem> {
    let bad = |bad: cairn_dicom::query::BadQuery| Problem::bad(bad.to_string());
    let mut query = question.query().map_err(bad)?;
    let mut visible = visible(app, site, reader)?;
    if let Some(study) = &query.study {
        visible.retain(|uid, _| uid == study);
    }
    // Whatever UIDs are asked for, only those that were granted are searched.
    let asked = query.keys.iter().position(|key| key.path == Path::of(STUDY_UID));
    if let Some(asked) = asked.map(|place| query.keys.remove(place)) {
        visible.retain(|uid, _| asked.matches(uid));
    }
    let uids: Vec<&String> = visible.keys().collect();
    let mut found = Found::default();
    for some in uids.chunks(UIDS_AT_ONCE) {
        let mut query = query.clone();
        let list = some.iter().map(|uid| uid.as_str()).collect::<Vec<_>>().join("\\");
        query.match_path(Path::of(STUDY_UID), &list).map_err(bad)?;
        let answer = qido::search(&app.store, &app.bookmarks, &query, "")?;
        let results: Vec<Object> = serde_json::from_slice(&answer.body)
            .map_err(|_| Problem::internal("a search did not give JSON"))?;
        found.is_partial |= answer.is_incomplete || answer.stopped_at.is_some();
        found.results.extend(results);
        if found.results.len() as u64 >= question.limit {
            found.is_partial = true;
            found.results.truncate(question.limit as usize);
            break;
        }
    }
    still_as_granted(app, &visible, &mut found.results)?;
    for result in &mut found.results {
        result.retain(|name, _| !OWN.contains(&name.as_str()));
    }
    Ok(found)
}

/// Studies that a site may find, with the editions that it was granted.
fn visible(
    app: &App,
    site: &Site,
    reader: &SiteId,
) -> Result<BTreeMap<String, Vec<Edition>>, Problem> {
    let mut visible: BTreeMap<String, Vec<Edition>> = BTreeMap::new();
    let editions = app.store.catalog().editions();
    for (study, version) in site.granted_to(reader) {
        if let Some(edition) = editions.edition(&study.0, version)? {
            visible.entry(edition.study_uid.clone()).or_default().push(edition);
        }
    }
    Ok(visible)
}

/// Drops what belongs to a study that is not any more what was granted: a correction shows a patient's
/// data that nobody shared, and has to be granted anew.
fn still_as_granted(
    app: &App,
    visible: &BTreeMap<String, Vec<Edition>>,
    results: &mut Vec<Object>,
) -> Result<(), Problem> {
    let uids: BTreeSet<String> = results.iter().filter_map(study_uid).collect();
    let mut kept = BTreeSet::new();
    for uid in uids {
        let Some(editions) = visible.get(&uid) else { continue };
        let (tree, _) = app.store.study_content(&uid)?;
        if editions.iter().any(|edition| edition.root == tree.root()) {
            kept.insert(uid);
        }
    }
    results.retain(|result| study_uid(result).is_some_and(|uid| kept.contains(&uid)));
    Ok(())
}

/// The Study Instance UID of a result.
pub(super) fn study_uid(result: &Object) -> Option<String> {
    value(result, "0020000D")
}

/// The first value of an attribute.
pub(super) fn value(result: &Object, name: &str) -> Option<String> {
    Some(result.get(name)?.get("Value")?.get(0)?.as_str()?.to_owned())
}
