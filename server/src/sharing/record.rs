//! What this site knows of another before and beside its log: where it is, and its keys.
//!
//! One small file for each, which a person may read and correct. A site is in it once somebody has
//! compared its fingerprint; keys change as its log says that they do.

use std::path::Path;

use cairn_ledger::id::SiteId;
use cairn_ledger::keys::SiteKeys;
use cairn_ledger::note::VerifierKey;
use serde::{Deserialize, Serialize};

use super::folder::{Folder, read_text, replace, unreadable};
use crate::error::Result;

/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 64 << 10;

const HEAD: &str =
    "# A site whose fingerprint was compared. Keys follow its ledger by themselves.\n";

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The origin of its log.
    pub(super) name: String,
    /// Where it is reached; empty: nowhere, it comes by itself.
    pub(super) url: String,
    /// The TLS key in force.
    pub(super) tls_key: [u8; 32],
    /// The key in force with which it cosigns.
    pub(super) witness_key: [u8; 32],
    /// Keys that have signed its checkpoints, the one in force last.
    pub(super) log_keys: Vec<[u8; 32]>,
    /// Since when it is known, in seconds since the epoch.
    pub(super) added: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    url: String,
    tls_key: String,
    witness_key: String,
    log_keys: Vec<String>,
    added: u64,
}

/// 64 hexadecimal digits.
pub(super) fn digits(bytes: &[u8; 32]) -> String {
    SiteId(*bytes).to_string()
}

fn bytes(text: &str) -> Option<[u8; 32]> {
    SiteId::from_hex(text).map(|id| id.0)
}

impl Record {
    /// Of a site with these keys, all that it has ever had.
    pub(super) fn new(name: &str, url: &str, history: &[SiteKeys], added: u64) -> Option<Self> {
        let keys = history.last()?;
        Some(Self {
            name: name.to_owned(),
            url: url.to_owned(),
            tls_key: keys.tls,
            witness_key: keys.witness,
            log_keys: history.iter().map(|keys| keys.log).collect(),
            added,
        })
    }

    /// The same site with the keys that it has by now; `None` if they are these.
    pub(super) fn with_keys(&self, history: &[SiteKeys]) -> Option<Self> {
        // What is on record may have been learned ahead of the mirror, never the other way round.
        if history.len() < self.log_keys.len() {
            return None;
        }
        let new = Self::new(&self.name, &self.url, history, self.added)?;
        (new != *self).then_some(new)
    }

    /// The key with which it cosigns.
    pub(super) fn witness(&self) -> cairn_ledger::Result<VerifierKey> {
        VerifierKey::of_witness(&self.name, self.witness_key)
    }

    /// The keys that sign its checkpoints.
    pub(super) fn logs(&self) -> cairn_ledger::Result<Vec<VerifierKey>> {
        self.log_keys.iter().map(|key| VerifierKey::of_log(&self.name, *key)).collect()
    }

    pub(super) fn load(path: &Path) -> Result<Self> {
        let text = read_text(path, FILE_BYTES_MAX)?;
        let file: File = toml::from_str(&text).map_err(|error| unreadable(path, &error))?;
        let log_keys = file.log_keys.iter().map(|key| bytes(key)).collect::<Option<Vec<_>>>();
        let keys = (bytes(&file.tls_key), bytes(&file.witness_key), log_keys);
        let (Some(tls_key), Some(witness_key), Some(log_keys)) = keys else {
            return Err(unreadable(path, &"a key does not have 64 hexadecimal digits"));
        };
        let File { name, url, added, .. } = file;
        if !cairn_ledger::note::is_key_name(&name) || log_keys.is_empty() {
            return Err(unreadable(path, &"it has no name, or no key"));
        }
        Ok(Self { name, url, tls_key, witness_key, log_keys, added })
    }

    pub(super) fn save(&self, folder: &Folder, site: &SiteId) -> Result<()> {
        let path = folder.peer(site);
        let file = File {
            name: self.name.clone(),
            url: self.url.clone(),
            tls_key: digits(&self.tls_key),
            witness_key: digits(&self.witness_key),
            log_keys: self.log_keys.iter().map(digits).collect(),
            added: self.added,
        };
        let text = toml::to_string(&file).map_err(|error| unreadable(&path, &error))?;
        replace(&path, format!("{HEAD}{text}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cairn_ledger::keys::SiteSecret;

    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_takes_new_keys_only() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::of(data.path());
        folder.make().unwrap();
        let keys = [1, 2].map(|seed| SiteSecret::from_seed([seed; 32]).public());
        let first = Record::new("b.example/cairn", "https://b:1", &keys[..1], 7).unwrap();
        let site = SiteId([9; 32]);
        first.save(&folder, &site).unwrap();
        let path = folder.peer(&site);
        assert_eq!(Record::load(&path).unwrap(), first);
        assert_eq!(folder.peers().unwrap(), [site]);
        assert_eq!(first.with_keys(&keys[..1]), None);
        let second = first.with_keys(&keys).unwrap();
        assert_eq!((second.tls_key, second.log_keys.len()), (keys[1].tls, 2));
        assert_eq!(second.with_keys(&keys[..1]), None, "an older state of the log");
        second.save(&folder, &site).unwrap();
        assert_eq!(Record::load(&path).unwrap(), second);
        for wrong in ["", "name = \"b\"\n", "[x]\n"] {
            std::fs::write(&path, wrong).unwrap();
            assert!(Record::load(&path).is_err(), "{wrong}");
        }
    }
}
