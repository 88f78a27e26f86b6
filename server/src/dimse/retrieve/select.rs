//! Which instances a retrieval is about.

use cairn_dicom::query::{Path, Query};
use cairn_store::catalog::{Catalog, Found, Search, VersionRow};

use crate::dimse::identifier::{Identifier, Level};

/// Instances of one retrieval: each is remembered with some 500 bytes until it is over.
const INSTANCES_MAX: usize = 200_000;
/// What is looked up at once.
const PAGE: u64 = 1000;

/// Why nothing is sent.
pub(super) enum Refused {
    /// There is no usable unique key.
    Key,
    /// There would be too many.
    TooMany,
    /// The catalog failed.
    Store(cairn_store::Error),
}

impl From<cairn_store::Error> for Refused {
    fn from(error: cairn_store::Error) -> Self {
        Self::Store(error)
    }
}

/// Looks up every instance that is shown under the unique keys. Keys of the levels above narrow them
/// down where they are given; they need not be (PS3.4 §C.4.2.2.2, relational).
pub(super) fn versions(
    catalog: &dyn Catalog,
    identifier: &Identifier,
) -> Result<Vec<VersionRow>, Refused> {
    let level = identifier.level;
    let mut query = Query::all(level.searched());
    for of in [Level::Patient, Level::Study, Level::Series, Level::Image] {
        let Some(value) = identifier.text(of.unique_key()) else { continue };
        if value.contains(['*', '?']) {
            return Err(Refused::Key);
        }
        query.match_path(Path::of(of.unique_key()), &value).map_err(|_| Refused::Key)?;
    }
    if query.key(level.unique_key()).is_none() {
        return Err(Refused::Key);
    }
    let mut versions = Vec::new();
    let mut after = 0;
    loop {
        let mut page = Vec::new();
        let search = Search { query: &query, after, skip: 0, take: PAGE, rows_max: u64::MAX };
        catalog.search(&search, &mut |found| {
            page.push(found);
            Ok(())
        })?;
        let Some(last) = page.last() else { return Ok(versions) };
        after = last.number;
        for found in &page {
            add(catalog, level, found, &mut versions)?;
            if versions.len() > INSTANCES_MAX {
                return Err(Refused::TooMany);
            }
        }
    }
}

fn add(
    catalog: &dyn Catalog,
    level: Level,
    found: &Found,
    versions: &mut Vec<VersionRow>,
) -> Result<(), Refused> {
    let (study, before) = (&found.study_uid, versions.len());
    let mut visit = |version| {
        if versions.len() <= INSTANCES_MAX {
            versions.push(version);
        }
        Ok(())
    };
    match (level, &found.series_uid, &found.sop_instance_uid) {
        (Level::Image, Some(series), Some(sop)) => {
            let all = catalog.versions(study, series, sop)?;
            versions.extend(all.into_iter().filter(|version| version.visible && !version.deleted));
        }
        (Level::Series, Some(series), _) => catalog.series_versions(study, series, &mut visit)?,
        _ => catalog.study_versions(study, false, &mut visit)?,
    }
    // As they came they lie in packs.
    versions[before..].sort_by_key(|version| version.seq);
    Ok(())
}
