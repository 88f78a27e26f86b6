//! What a request is about: the versions that are shown now, looked up once for each request, so that
//! nothing in a reply is of two versions.

use std::collections::BTreeMap;

use cairn_chunker::tree::{InstanceNode, SeriesTree, StudyTree};
use cairn_store::catalog::{Existence, VersionRow};
use cairn_store::commit::Target;
use hyper::StatusCode;

use crate::http::route::Scope;
use crate::http::{App, Problem};

/// The version of an instance that is shown.
///
/// # Errors
/// 404, or 410 if it was deleted.
pub(crate) fn instance(app: &App, scope: &Scope) -> Result<VersionRow, Problem> {
    let Scope { study: Some(study), series: Some(series), instance: Some(sop) } = scope else {
        return Err(Problem::internal("this resource is of an instance"));
    };
    let versions = app.store.catalog().versions(study, series, sop)?;
    let shown = versions.into_iter().find(|version| version.visible && !version.deleted);
    match shown {
        Some(version) => Ok(version),
        None => Err(absent(app, scope)?),
    }
}

/// All versions that are shown of a study, series or instance, by series and SOP Instance UID; out of a
/// bucket that is far, as they came: so they lie in packs, and are read in few requests. They take some
/// 500 bytes each while the request lasts.
///
/// # Errors
/// 404, or 410 if all of it was deleted.
pub(crate) fn versions(app: &App, scope: &Scope) -> Result<Vec<VersionRow>, Problem> {
    let mut found = Vec::new();
    let mut visit = |version| {
        found.push(version);
        Ok(())
    };
    let catalog = app.store.catalog();
    match (&scope.study, &scope.series, &scope.instance) {
        (_, _, Some(_)) => found.push(instance(app, scope)?),
        (Some(study), Some(series), None) => catalog.series_versions(study, series, &mut visit)?,
        (Some(study), None, None) => catalog.study_versions(study, false, &mut visit)?,
        (None, ..) => return Err(Problem::internal("this resource is of a study")),
    }
    if app.store.bucket().directory().is_none() {
        found.sort_by_key(|version| version.seq);
    }
    if found.is_empty() { Err(absent(app, scope)?) } else { Ok(found) }
}

/// Why there is nothing (PS3.18 §8.5): 410 for what was deleted, 404 for what was never here.
///
/// # Errors
/// Those of the catalog.
pub(crate) fn absent(app: &App, scope: &Scope) -> Result<Problem, Problem> {
    let target = Target {
        study_uid: scope.study.clone().unwrap_or_default(),
        series_uid: scope.series.clone(),
        sop_instance_uid: scope.instance.clone(),
    };
    Ok(match app.store.catalog().existence(&target)? {
        Existence::Gone => Problem::new(StatusCode::GONE, "it was here, and was deleted"),
        Existence::Present | Existence::Unknown => {
            Problem::not_found("there is nothing by that name")
        }
    })
}

/// Names the content of a scope: the root of its study or series, or the leaf of its instance.
pub(crate) fn root(scope: &Scope, versions: &[VersionRow]) -> String {
    if let ([version], Some(_)) = (versions, &scope.instance) {
        return hex(version.leaf_hash().as_bytes());
    }
    let mut series: BTreeMap<&str, Vec<InstanceNode>> = BTreeMap::new();
    for version in versions {
        series.entry(&version.series_uid).or_default().push(InstanceNode {
            leaf: version.leaf_hash(),
            sop_instance_uid: version.sop_instance_uid.clone(),
            dataset_bytes: version.dataset_bytes,
        });
    }
    let mut trees = series.into_iter().map(|(uid, nodes)| SeriesTree::new(uid.to_owned(), nodes));
    if scope.series.is_some() {
        return trees.next().map_or_else(String::new, |tree| hex(tree.root().as_bytes()));
    }
    let study = scope.study.clone().unwrap_or_default();
    hex(StudyTree::new(study, trees.collect()).root().as_bytes())
}

/// Bytes as they are written in tags.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing into a string does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The URL of an instance below the DICOMweb root `base`.
pub(crate) fn instance_url(base: &str, version: &VersionRow) -> String {
    format!(
        "{base}/studies/{}/series/{}/instances/{}",
        segment(&version.study_uid),
        segment(&version.series_uid),
        segment(&version.sop_instance_uid)
    )
}

/// The URL of a scope below the DICOMweb root `base`.
pub(crate) fn scope_url(base: &str, scope: &Scope) -> String {
    let mut url = base.to_owned();
    for (level, uid) in
        [("studies", &scope.study), ("series", &scope.series), ("instances", &scope.instance)]
    {
        if let Some(uid) = uid {
            url.extend(["/", level, "/", &segment(uid)]);
        }
    }
    url
}

/// A name as a segment of a path. Well-formed UIDs stay as they are; ill-formed ones are stored too.
pub(crate) fn segment(name: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');
    utf8_percent_encode(name, KEPT).to_string()
}
