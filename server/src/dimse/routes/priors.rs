//! Earlier studies of a patient: those that are here, and those that another archive has.

use std::collections::{BTreeMap, BTreeSet};

use cairn_dicom::Level;
use cairn_dicom::query::{Path, Query};
use cairn_store::Result;
use cairn_store::catalog::outbox::{Parcel, Subject};
use cairn_store::catalog::{Catalog, Search, Seqs};

use super::route::{Priors, Route};
use crate::dimse::Dimse;
use crate::dimse::migrate::find::{self, Asked};
use crate::dimse::migrate::take;
use crate::dimse::settings::Peer;

const PATIENT_ID: u32 = 0x0010_0020;
const ISSUER: u32 = 0x0010_0021;
const STUDY_DATE: u32 = 0x0008_0020;
const MODALITY: u32 = 0x0008_0060;
const BODY_PART: u32 = 0x0018_0015;
/// Series of one patient that are looked at.
const SERIES_MAX: u64 = 10_000;

/// What the priors are of.
struct Present {
    subject: Subject,
    modalities: BTreeSet<String>,
    body_parts: BTreeSet<String>,
}

/// `None`: the study is not here any more, or says of no patient or no date that it is.
fn present(catalog: &dyn Catalog, study: &str) -> Result<Option<Present>> {
    let (mut modalities, mut body_parts) = (BTreeSet::new(), BTreeSet::new());
    let mut found = None;
    for series in catalog.series(study)? {
        let Some(subject) = catalog.outbox().subject(study, &series.series_uid)? else { continue };
        modalities.insert(subject.modality.clone());
        body_parts.insert(subject.body_part.clone());
        found = Some(subject);
    }
    let found = found.filter(|s| !s.patient_id.is_empty() && !s.study_date.is_empty());
    Ok(found.map(|subject| Present { subject, modalities, body_parts }))
}

/// Parcels of the newest earlier studies that are here and match.
pub(super) fn here(
    catalog: &dyn Catalog,
    wish: &Priors,
    parcel: &Parcel,
    now_ms: u64,
) -> Result<Vec<Parcel>> {
    let Some(present) = present(catalog, &parcel.study_uid)? else { return Ok(Vec::new()) };
    let mut query = Query::all(Level::Series);
    if query.match_path(Path::of(PATIENT_ID), &present.subject.patient_id).is_err() {
        return Ok(Vec::new());
    }
    // By date and UID, so that the newest stand last.
    let mut earlier = BTreeSet::new();
    let search = Search { query: &query, after: 0, skip: 0, take: SERIES_MAX, rows_max: u64::MAX };
    catalog.search(&search, &mut |series| {
        let of = |tag| series.attributes.get(tag).unwrap_or_default();
        let is_earlier = series.study_uid != parcel.study_uid
            && !of(STUDY_DATE).is_empty()
            && of(STUDY_DATE) <= present.subject.study_date.as_str()
            // The query takes `*` in an ID for a wild card.
            && of(PATIENT_ID) == present.subject.patient_id
            && of(ISSUER) == present.subject.patient_issuer;
        let same = (!wish.same_modality || present.modalities.contains(of(MODALITY)))
            && (!wish.same_body_part || present.body_parts.contains(of(BODY_PART)));
        if is_earlier && same {
            earlier.insert((of(STUDY_DATE).to_owned(), series.study_uid.clone()));
        }
        Ok(())
    })?;
    let mut parcels = Vec::new();
    for (_, study) in earlier.into_iter().rev().take(wish.max) {
        let mut by_series: BTreeMap<String, Seqs> = BTreeMap::new();
        catalog.study_versions(&study, false, &mut |version| {
            by_series.entry(version.series_uid).or_default().add(version.seq);
            Ok(())
        })?;
        parcels.extend(by_series.into_iter().map(|(series_uid, seqs)| Parcel {
            study_uid: study.clone(),
            series_uid,
            seqs,
            tries: 0,
            status: 0,
            due_ms: now_ms,
            ..parcel.clone()
        }));
    }
    Ok(parcels)
}

/// Why priors of another archive were not had.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotHad {
    /// That archive's fault.
    #[error(transparent)]
    Pull(#[from] crate::dimse::pull::PullError),
    /// This archive's.
    #[error(transparent)]
    Store(#[from] cairn_store::Error),
    /// Some did not come.
    #[error("{0} objects did not come")]
    Short(u64),
    /// The server ends.
    #[error("the server is ending")]
    Ending,
}

/// Has the newest earlier studies that match sent here from another archive.
pub(super) fn bring(
    dimse: &Dimse,
    from: &Peer,
    rule: &Route,
    wish: &Priors,
    study: &str,
) -> std::result::Result<(), NotHad> {
    let catalog = dimse.app.store.catalog();
    let Some(present) = present(catalog, study)? else { return Ok(()) };
    let asked = Asked {
        patient_id: Some(present.subject.patient_id.clone()),
        dates: Some(format!("-{}", present.subject.study_date)),
        ..Asked::default()
    };
    let mut earlier = find::studies(&dimse.settings, from, &asked)?.studies;
    earlier.retain(|one| {
        let same = !wish.same_modality
            || one.modalities.iter().any(|word| present.modalities.contains(word));
        // Not every archive heeds every key.
        same && one.uid != study
            && !one.date.is_empty()
            && one.date <= present.subject.study_date
            && one.patient_id == present.subject.patient_id
    });
    earlier.sort_by(|a, b| (&b.date, &b.uid).cmp(&(&a.date, &a.uid)));
    let mut had = 0;
    for one in earlier {
        if had == wish.max || dimse.is_stopping() {
            break;
        }
        if wish.same_body_part {
            let parts = find::body_parts(&dimse.settings, from, &one.uid)?;
            if !parts.iter().any(|part| present.body_parts.contains(part)) {
                continue;
            }
        }
        had += 1;
        catalog.outbox().is_prior(&rule.name, &one.uid, crate::clock::now_ms())?;
        let ingest = dimse.app.ingest().map_err(|_| NotHad::Ending)?;
        let taken = take::study(&dimse.settings, from, catalog, &ingest, &one)?;
        if taken.pulled.failed > 0 {
            return Err(NotHad::Short(taken.pulled.failed));
        }
    }
    Ok(())
}
