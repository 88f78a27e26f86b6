//! Patients' keys: which are known here, and to which studies they are bound.
//!
//! ```text
//! a card is shown ─▶ record ─▶ binding entry for each study of the patient ─▶ sheet, for the patient
//! consent, signed ─▶ checked against the binding ─▶ kept ─▶ consented grant
//! withdrawal      ─▶ grants revoked, earlier consents dead
//! ```
//!
//! Records are files in the ledger's folder, one for each key. What blinds a key stands there and in the
//! patient's hands, and is written down before its entry is logged: a binding whose blinding is lost
//! could never be used. A record holds the patient's ID, as the catalog does; neither goes anywhere.
//!
//! One patient has one key here. Another card takes the place of the first, for all studies; what was
//! signed with the first ends with it.

mod bind;
mod consents;
mod record;
mod sheet;
mod withdraw;

use std::collections::BTreeMap;
use std::sync::Mutex;

pub(crate) use bind::{BindPatient, PatientLine, bind_patient};
use cairn_ledger::id::{ConsentId, StudyId};
use cairn_ledger::limits::CLOCK_SKEW_SECONDS;
use cairn_ledger::patient::SignedStatement;
pub(crate) use consents::grant_by_consent;
use record::{Binding, Record};
pub(crate) use sheet::{Sheet, SheetStudy};
pub(crate) use withdraw::Withdrawn;

use super::folder::Folder;
use super::lock;
use super::site::Site;
use crate::error::Result;

/// Statements that are remembered as heard: as many as clocks may disagree seconds, at a hundred a second.
const HEARD_MAX: usize = 60_000;

/// A patient as archives know one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PatientId {
    /// Patient ID (0010,0020).
    pub(super) id: String,
    /// Issuer of Patient ID (0010,0021), or empty.
    pub(super) issuer: String,
}

/// Not for logs.
impl std::fmt::Debug for PatientId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PatientId")
    }
}

/// The keys that are known, by public key.
pub(super) struct Patients {
    records: Mutex<BTreeMap<[u8; 32], Record>>,
    /// Statements that were answered, until they are stale anyway.
    heard: Mutex<BTreeMap<ConsentId, u64>>,
    /// The catalog's next sequence number when all studies were last looked at.
    pub(super) looked: Mutex<Option<u64>>,
}

impl Patients {
    /// Reads them. One that cannot be read keeps the site from opening: a study whose patient wants to be
    /// asked must not be shared because that was forgotten.
    pub(super) fn open(folder: &Folder) -> Result<Self> {
        let mut records = BTreeMap::new();
        for path in folder.patients()? {
            let record = Record::load(&path)?;
            records.insert(record.key, record);
        }
        Ok(Self { records: Mutex::new(records), heard: Mutex::default(), looked: Mutex::default() })
    }

    fn all(&self) -> Vec<Record> {
        lock(&self.records).values().cloned().collect()
    }

    fn by_key(&self, key: &[u8; 32]) -> Option<Record> {
        lock(&self.records).get(key).cloned()
    }

    /// The key of a study, if one is bound.
    fn of_study(&self, study: &StudyId) -> Option<(Record, Binding)> {
        let records = lock(&self.records);
        records.values().find_map(|record| Some((record.clone(), record.binding(study)?.clone())))
    }

    /// Writes a record down, durably, and takes it in.
    fn put(&self, folder: &Folder, record: Record) -> Result<()> {
        record.save(folder)?;
        lock(&self.records).insert(record.key, record);
        Ok(())
    }

    /// Forgets a key that another took the place of.
    fn forget(&self, folder: &Folder, key: &[u8; 32]) -> Result<()> {
        super::folder::remove(&folder.patient(key))?;
        lock(&self.records).remove(key);
        Ok(())
    }
}

impl Site {
    /// Notes a fresh statement; false if it was heard before, or there is no room to remember it.
    pub(crate) fn hear(&self, statement: &SignedStatement, now: u64) -> bool {
        let mut heard = lock(&self.patients.heard);
        if heard.len() >= HEARD_MAX {
            heard.retain(|_, signed| *signed + 2 * CLOCK_SKEW_SECONDS >= now);
        }
        let signed = statement.statement().by.signed;
        heard.len() < HEARD_MAX && heard.insert(statement.id(), signed).is_none()
    }
}
