//! What is written down of one patient's key.

use std::path::Path;

use cairn_ledger::id::StudyId;
use cairn_ledger::opening::Blinding;
use serde::{Deserialize, Serialize};

use super::super::folder::{Folder, read_text, replace, unreadable};
use super::super::record::digits;
use super::PatientId;
use crate::error::Result;

/// Longest file that is read: some 100,000 studies.
const FILE_BYTES_MAX: u64 = 32 << 20;
const HEAD: &str =
    "# A patient's key and the studies that it is bound to. The blindings are secret.\n";

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The public key.
    pub(super) key: [u8; 32],
    /// Whose it is.
    pub(super) patient: PatientId,
    /// Studies are granted with the patient's signature only.
    pub(super) required: bool,
    /// Since when it is known, in seconds since the epoch.
    pub(super) added: u64,
    /// What it is bound to.
    pub(super) bindings: Vec<Binding>,
}

/// A study that a key is bound to, or is about to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binding {
    /// Its name on the ledger.
    pub(super) study: StudyId,
    /// Hides the key on the ledger.
    pub(super) blinding: Blinding,
    /// The entry; `None`: not there, as far as is known.
    pub(super) entry: Option<u64>,
    /// Consents signed until then hold no more, in seconds since the epoch.
    pub(super) withdrawn: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    key: String,
    patient_id: String,
    issuer: String,
    required: bool,
    added: u64,
    #[serde(default)]
    studies: Vec<FileBinding>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileBinding {
    study: String,
    blinding: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn: Option<u64>,
}

impl Record {
    pub(super) fn binding(&self, study: &StudyId) -> Option<&Binding> {
        self.bindings.iter().find(|binding| binding.study == *study)
    }

    /// Puts a binding in, in the place of one of the same study.
    pub(super) fn bind(&mut self, binding: Binding) {
        self.bindings.retain(|known| known.study != binding.study);
        self.bindings.push(binding);
    }

    pub(super) fn load(path: &Path) -> Result<Self> {
        let text = read_text(path, FILE_BYTES_MAX)?;
        // The parser's words would quote a line, and a line may be a patient's.
        let file: File =
            toml::from_str(&text).map_err(|_| unreadable(path, &"it is no patient's record"))?;
        let bytes = |text: &str| StudyId::from_hex(text).map(|id| id.0);
        let binding = |it: &FileBinding| {
            Some(Binding {
                study: StudyId::from_hex(&it.study)?,
                blinding: Blinding(bytes(&it.blinding)?),
                entry: it.entry,
                withdrawn: it.withdrawn,
            })
        };
        let bindings = file.studies.iter().map(binding).collect::<Option<Vec<_>>>();
        let (Some(key), Some(bindings)) = (bytes(&file.key), bindings) else {
            return Err(unreadable(path, &"a name or key does not have 64 hexadecimal digits"));
        };
        let File { patient_id: id, issuer, required, added, .. } = file;
        Ok(Self { key, patient: PatientId { id, issuer }, required, added, bindings })
    }

    pub(super) fn save(&self, folder: &Folder) -> Result<()> {
        let path = folder.patient(&self.key);
        let binding = |it: &Binding| FileBinding {
            study: it.study.to_string(),
            blinding: digits(&it.blinding.0),
            entry: it.entry,
            withdrawn: it.withdrawn,
        };
        let file = File {
            key: digits(&self.key),
            patient_id: self.patient.id.clone(),
            issuer: self.patient.issuer.clone(),
            required: self.required,
            added: self.added,
            studies: self.bindings.iter().map(binding).collect(),
        };
        let text = toml::to_string(&file).map_err(|error| unreadable(&path, &error))?;
        replace(&path, format!("{HEAD}{text}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_its_faults_quote_nothing() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::of(data.path());
        folder.make().unwrap();
        let binding = |n: u8, entry| Binding {
            study: StudyId([n; 32]),
            blinding: Blinding([n + 1; 32]),
            entry,
            withdrawn: entry,
        };
        let mut record = Record {
            key: [9; 32],
            patient: PatientId { id: "7\"x\n".into(), issuer: "H".into() },
            required: true,
            added: 5,
            bindings: vec![binding(1, None)],
        };
        record.bind(binding(3, Some(4)));
        record.bind(binding(1, Some(2)));
        assert_eq!(record.bindings.len(), 2);
        record.save(&folder).unwrap();
        let path = folder.patient(&record.key);
        assert_eq!(folder.patients().unwrap(), std::slice::from_ref(&path));
        assert_eq!(Record::load(&path).unwrap(), record);
        std::fs::write(&path, "patient_id = \"DOE^JANE").unwrap();
        assert!(!Record::load(&path).unwrap_err().to_string().contains("DOE"));
    }
}
