//! Binding a patient's key to their studies: those that are here, and those that arrive later.

use std::sync::Arc;

use cairn_dicom::Level;
use cairn_dicom::query::{Path, Query};
use cairn_ledger::entry::{Body, PatientKey};
use cairn_ledger::id::StudyId;
use cairn_ledger::opening::Blinding;
use cairn_ledger::patient::PatientCard;
use cairn_ledger::state::BoundKey;
use cairn_store::Store;
use cairn_store::catalog::{Catalog, Search};
use serde::{Deserialize, Serialize};

use super::super::control::record;
use super::super::record::digits;
use super::super::round::blocking;
use super::super::site::Site;
use super::super::{Fault, lock};
use super::sheet::Sheet;
use super::{Binding, PatientId, Record};
use crate::clock::now;
use crate::error::Result;
use crate::http::App;

const PATIENT_ID: u32 = 0x0010_0020;
const ISSUER: u32 = 0x0010_0021;
/// Studies of one patient that are looked at.
const STUDIES_MAX: u64 = 10_000;

/// Whose key is to be bound.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BindPatient {
    /// Study Instance UID of one of the patient's studies here.
    pub(crate) study_uid: String,
    /// The card, as text.
    pub(crate) card: String,
    /// Studies are granted with the patient's signature only, from now on and for good.
    pub(crate) required: bool,
}

/// A patient in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PatientLine {
    /// The public key.
    pub(crate) key: String,
    /// Patient ID.
    pub(crate) patient_id: String,
    /// Issuer of Patient ID, or empty.
    pub(crate) issuer: String,
    /// Studies are granted with the patient's signature only.
    pub(crate) required: bool,
    /// Studies that the key is bound to.
    pub(crate) studies: usize,
    /// Since when, in seconds since the epoch.
    pub(crate) added: u64,
}

/// Binds the key on a card to all studies of a patient that are here and this site's; gives what the
/// patient takes home.
pub(crate) async fn bind_patient(
    app: &Arc<App>,
    site: &Arc<Site>,
    wish: BindPatient,
) -> Result<Sheet> {
    let (own, here) = (Arc::clone(site), Arc::clone(app));
    let bound = blocking(move || {
        record(&here, &wish.study_uid)?;
        own.bind(&here.store, &wish)
    });
    let key = bound.await?;
    // What the sheet proves is cosigned, if it can be.
    site.spread(None).await;
    let (own, here) = (Arc::clone(site), Arc::clone(app));
    let sheet = blocking(move || own.sheet_of(here.store.catalog(), &key));
    Ok(sheet.await?.ok_or(Fault::OtherPatient)?)
}

impl Site {
    /// Binds the key on a card to all studies of a patient that are here and this site's; gives the key.
    fn bind(&self, store: &Store, wish: &BindPatient) -> Result<[u8; 32]> {
        let card: PatientCard = wish.card.parse()?;
        let patient = whose(store.catalog(), &wish.study_uid)?;
        let _turn = lock(&self.binding);
        if self.patients.by_key(card.key()).is_some_and(|known| known.patient != patient) {
            return Err(Fault::OtherPatient.into());
        }
        let before = self
            .patients
            .all()
            .into_iter()
            .find(|known| known.patient == patient && known.key != *card.key());
        let known = self.patients.by_key(card.key());
        let was_required = before.iter().chain(&known).any(|record| record.required);
        let record = Record {
            key: *card.key(),
            patient,
            required: wish.required || was_required,
            added: known.as_ref().map_or_else(now, |known| known.added),
            bindings: known.map(|known| known.bindings).unwrap_or_default(),
        };
        self.patients.put(&self.folder, record.clone())?;
        self.bind_studies(store, record, false)?;
        if let Some(before) = before {
            self.patients.forget(&self.folder, &before.key)?;
        }
        Ok(*card.key())
    }

    /// Binds the keys of patients to what has arrived since the last look. Blocks on the disk.
    pub(in super::super) fn bind_arrived(&self, store: &Store) -> Result<()> {
        let records = self.patients.all();
        if records.is_empty() {
            return Ok(());
        }
        let _turn = lock(&self.binding);
        let next = store.catalog().next_seq()?;
        if *lock(&self.patients.looked) == Some(next) {
            return Ok(());
        }
        let mut is_quiet = true;
        for record in records {
            let (before, record) = (record.bindings.len(), self.bind_studies(store, record, true)?);
            if record.bindings.len() > before {
                tracing::info!(
                    studies = record.bindings.len() - before,
                    "patients' keys were bound"
                );
            }
            is_quiet &= self.is_bound_to_all(store.catalog(), &record)?;
        }
        // What is still coming is looked at again.
        *lock(&self.patients.looked) = is_quiet.then_some(next);
        Ok(())
    }

    /// The patients whose keys are known, by key.
    pub(crate) fn patient_lines(&self) -> Vec<PatientLine> {
        let line = |record: Record| PatientLine {
            key: digits(&record.key),
            patient_id: record.patient.id,
            issuer: record.patient.issuer,
            required: record.required,
            studies: record.bindings.iter().filter(|it| it.entry.is_some()).count(),
            added: record.added,
        };
        self.patients.all().into_iter().map(line).collect()
    }

    /// Binds a key to the patient's studies that it is not bound to yet; with `settled`, to those only
    /// that nothing arrives of any more.
    fn bind_studies(&self, store: &Store, mut record: Record, settled: bool) -> Result<Record> {
        for uid in studies_of(store.catalog(), &record.patient)? {
            if !self.is_ours(store.catalog(), &uid)?
                || settled && !store.catalog().record_is_current(&uid)?
            {
                continue;
            }
            let study = match self.registered(store.catalog(), &uid)? {
                Some(study) => study,
                None => StudyId(self.register(store, &uid)?.0.study),
            };
            self.bind_study(&mut record, study)?;
        }
        Ok(record)
    }

    /// Binds a key to a study of this site, unless that is on the ledger already.
    fn bind_study(&self, record: &mut Record, study: StudyId) -> Result<()> {
        let on_ledger = self.with_state(|state| state.study(&study).and_then(|it| it.patient));
        let known = record.binding(&study).cloned();
        let opens = |binding: &Binding, key: &BoundKey| {
            binding.blinding.commit_patient_key(&record.key) == key.commitment
        };
        if let (Some(known), Some(key)) = (&known, &on_ledger)
            && opens(known, key)
            && (key.required || !record.required)
        {
            if known.entry != Some(key.sequence) {
                record.bind(Binding { entry: Some(key.sequence), ..known.clone() });
                self.patients.put(&self.folder, record.clone())?;
            }
            return Ok(());
        }
        // Each entry has a blinding of its own; one that never came to the ledger may still be used.
        let unused = known.as_ref().filter(|known| known.entry.is_none());
        let blinding = match unused {
            Some(unused) => unused.blinding.clone(),
            None => Blinding::generate()?,
        };
        let commitment = blinding.commit_patient_key(&record.key);
        let withdrawn = known.and_then(|known| known.withdrawn);
        let binding = Binding { study, blinding, entry: None, withdrawn };
        record.bind(binding.clone());
        self.patients.put(&self.folder, record.clone())?;
        let required = record.required;
        let logged = self.append(Body::PatientKey(PatientKey { study, commitment, required }))?;
        record.bind(Binding { entry: Some(logged.link.sequence), ..binding });
        self.patients.put(&self.folder, record.clone())
    }

    /// Is the key bound to every study of the patient that it can be bound to?
    fn is_bound_to_all(&self, catalog: &dyn Catalog, record: &Record) -> Result<bool> {
        for uid in studies_of(catalog, &record.patient)? {
            let study = self.registered(catalog, &uid)?;
            let is_bound = study.is_some_and(|study| record.binding(&study).is_some());
            if !is_bound && self.is_ours(catalog, &uid)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The name of a study on this site's ledger, if it is there and this site's.
    fn registered(&self, catalog: &dyn Catalog, uid: &str) -> Result<Option<StudyId>> {
        let editions = catalog.editions().editions(Some(uid))?;
        let mut owned = editions.iter().filter(|it| it.sequence.is_some() && self.owns(it));
        Ok(owned.next_back().map(|edition| StudyId(edition.study)))
    }

    /// What came from another site is that site's, and its patients have keys there.
    fn is_ours(&self, catalog: &dyn Catalog, uid: &str) -> Result<bool> {
        let foreign = !catalog.editions().all_fetched(Some(uid))?.is_empty();
        let newest = catalog.editions().editions(Some(uid))?.into_iter().next_back();
        Ok(match newest {
            Some(edition) => edition.sequence.is_none() || self.owns(&edition),
            None => !foreign,
        })
    }
}

/// Whose study it is.
fn whose(catalog: &dyn Catalog, uid: &str) -> Result<PatientId> {
    let unknown = || Fault::NoPatient(uid.to_owned());
    for series in catalog.series(uid)? {
        if let Some(subject) = catalog.outbox().subject(uid, &series.series_uid)?
            && !subject.patient_id.is_empty()
        {
            return Ok(PatientId { id: subject.patient_id, issuer: subject.patient_issuer });
        }
    }
    Err(unknown().into())
}

/// The patient's studies that are here, by their UIDs.
fn studies_of(catalog: &dyn Catalog, patient: &PatientId) -> Result<Vec<String>> {
    let mut query = Query::all(Level::Study);
    // IDs that cannot be searched for are in no archive.
    if query.match_path(Path::of(PATIENT_ID), &patient.id).is_err() {
        return Ok(Vec::new());
    }
    let search = Search { query: &query, after: 0, skip: 0, take: STUDIES_MAX, rows_max: u64::MAX };
    let mut studies = Vec::new();
    catalog.search(&search, &mut |study| {
        let of = |tag| study.attributes.get(tag).unwrap_or_default();
        // The query takes `*` in an ID for a wild card.
        if of(PATIENT_ID) == patient.id && of(ISSUER) == patient.issuer {
            studies.push(study.study_uid);
        }
        Ok(())
    })?;
    Ok(studies)
}
