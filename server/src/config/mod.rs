//! Settings: built-in defaults, then `cairn.toml`, then the environment, then flags.
//!
//! One typed struct; what it does not know is refused, wherever it stands. A variable
//! `CAIRN_SECTION__KEY` sets `key` in `[section]`, and `CAIRN_STORE__OPTIONS__NAME` an option of
//! the object store's client. `CAIRN_DIMSE__RULES` holds the whole list, as TOML has it in one line; those of
//! `[[routes]]` and `[identity.roles]` stand in the file only.

mod access;
mod audit;
mod dimse;
mod gc;
mod identity;
mod routes;
mod serve;
mod sharing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cairn_chunker::codec::Compression;
use cairn_store::limits::PACK_BYTES_TARGET;
use cairn_store::{Acknowledge, DuplicatePolicy, IngestConfig, OnDuplicate, StoreConfig};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::error::{Error, Result};

pub(crate) use audit::AuditSection;
pub(crate) use dimse::DimseSection;
pub(crate) use gc::GcSection;
pub(crate) use identity::IdentitySection;
pub(crate) use routes::RouteSection;
pub(crate) use serve::{LogWord, ServeSection};
pub(crate) use sharing::SharingSection;

/// Name of the file that is read from the data directory unless another one is named.
pub(crate) const FILE_NAME: &str = "cairn.toml";
/// Beginning of every variable.
const PREFIX: &str = "CAIRN_";
/// Between section and key in a variable.
const SEPARATOR: &str = "__";
/// Below this an object of one buffer could never be taken in.
const IN_FLIGHT_BYTES_MIN: u64 = 32 << 20;
/// Packs below this cost a request for every few images, and a commit may need as much.
const PACK_BYTES_MIN: u64 = 1 << 20;
/// Packs above this are not worth their compaction.
const PACK_BYTES_MAX: u64 = 4 << 30;
/// Threads that read files at once.
const READERS_MAX: usize = 64;

/// All settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) store: StoreSection,
    pub(crate) ingest: IngestSection,
    pub(crate) duplicates: DuplicatesSection,
    pub(crate) serve: ServeSection,
    pub(crate) dimse: DimseSection,
    pub(crate) sharing: SharingSection,
    pub(crate) identity: IdentitySection,
    pub(crate) audit: AuditSection,
    pub(crate) gc: GcSection,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) routes: Vec<RouteSection>,
}

/// `[store]`: where sealed packs go, and how they are protected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StoreSection {
    /// Directory or URL of the bucket; empty: `bucket` in the data directory.
    pub(crate) url: String,
    /// Encrypt packs.
    pub(crate) encrypt: bool,
    /// File of the site key; empty: `keys/site.key` in the data directory.
    pub(crate) key_file: String,
    /// Read packs back after an upload, all of them.
    pub(crate) read_back: bool,
    /// Settings for the object store's client.
    pub(crate) options: BTreeMap<String, String>,
}

/// `[ingest]`: how objects are taken in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct IngestSection {
    /// Bytes of received objects in memory at once.
    pub(crate) in_flight_bytes: u64,
    /// How long a batch may wait for company before it is made durable.
    pub(crate) commit_interval_ms: u64,
    /// When an object is acknowledged.
    pub(crate) acknowledge: AcknowledgeWord,
    /// Length at which a pack is sealed.
    pub(crate) pack_bytes: u64,
    /// Disk that packs may take while they wait for the bucket.
    pub(crate) journal_bytes_max: u64,
    /// Disk for objects that are acknowledged before they are coded; 0: none are.
    pub(crate) spool_bytes: u64,
    /// Write files for it while nobody sends, so that the first study does not pay for new blocks.
    pub(crate) prepare_spool: bool,
    /// How long a search waits for what was acknowledged before it; then it answers without.
    pub(crate) search_wait_ms: u64,
    /// Decode what was encoded and compare before it counts.
    pub(crate) verify_encoding: bool,
    /// What new chunks are coded for.
    pub(crate) compression: CompressionWord,
    /// Zstandard level for headers and other text.
    pub(crate) text_level: i32,
    /// Predict pixels from their neighbours.
    pub(crate) pixel_filter: bool,
    /// Compress at all.
    pub(crate) compress: bool,
    /// Threads that read files; 0: as many as cores, at least 2, at most 8.
    pub(crate) readers: usize,
}

/// `[duplicates]`: what becomes of other content under a known UID.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DuplicatesSection {
    /// Other bytes, same pixels.
    pub(crate) correction: DuplicateWord,
    /// Other pixels.
    pub(crate) conflict: DuplicateWord,
}

/// `"received"` or `"archive"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AcknowledgeWord {
    Received,
    Archive,
}

/// `"default"` or `"turbo"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CompressionWord {
    Default,
    Turbo,
}

/// `"first"`, `"latest"` or `"reject"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DuplicateWord {
    First,
    Latest,
    Reject,
}

impl From<DuplicateWord> for OnDuplicate {
    fn from(word: DuplicateWord) -> Self {
        match word {
            DuplicateWord::First => Self::First,
            DuplicateWord::Latest => Self::Latest,
            DuplicateWord::Reject => Self::Reject,
        }
    }
}

impl Default for StoreSection {
    fn default() -> Self {
        Self {
            url: String::new(),
            encrypt: true,
            key_file: String::new(),
            read_back: true,
            options: BTreeMap::new(),
        }
    }
}

impl Default for IngestSection {
    fn default() -> Self {
        let store = IngestConfig::default();
        Self {
            in_flight_bytes: store.in_flight_bytes as u64,
            commit_interval_ms: store.commit_interval.as_millis() as u64,
            acknowledge: AcknowledgeWord::Received,
            pack_bytes: PACK_BYTES_TARGET,
            journal_bytes_max: store.journal_bytes_max,
            spool_bytes: store.spool_bytes,
            prepare_spool: true,
            search_wait_ms: 2000,
            verify_encoding: store.verify_encoding,
            compression: CompressionWord::Default,
            text_level: store.effort.text_level,
            pixel_filter: store.effort.filter,
            compress: store.effort.compress,
            readers: 0,
        }
    }
}

impl Default for DuplicatesSection {
    fn default() -> Self {
        Self { correction: DuplicateWord::Latest, conflict: DuplicateWord::First }
    }
}

impl Config {
    /// Reads the settings: `file`, or `cairn.toml` in `data` if there is one, under `variables`.
    pub(crate) fn load(
        file: Option<&Path>,
        data: &Path,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self> {
        let beside = data.join(FILE_NAME);
        let file = file.or_else(|| beside.is_file().then_some(beside.as_path()));
        let mut table = Table::new();
        if let Some(file) = file {
            let place = file.display().to_string();
            let text = std::fs::read_to_string(file)
                .map_err(|error| Error::Config { place: place.clone(), why: error.to_string() })?;
            table = read(&text, &place)?;
        }
        for (name, value) in variables {
            set(&mut table, &name, &value)?;
        }
        let config: Self = typed(table, "the environment")?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let bounds = [
            ("ingest.in_flight_bytes", self.ingest.in_flight_bytes, IN_FLIGHT_BYTES_MIN, 1 << 40),
            ("ingest.pack_bytes", self.ingest.pack_bytes, PACK_BYTES_MIN, PACK_BYTES_MAX),
            ("ingest.commit_interval_ms", self.ingest.commit_interval_ms, 0, 60_000),
            ("ingest.spool_bytes", self.ingest.spool_bytes, 0, 1 << 40),
            ("ingest.search_wait_ms", self.ingest.search_wait_ms, 0, 60_000),
            ("ingest.readers", self.ingest.readers as u64, 0, READERS_MAX as u64),
        ];
        for (key, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                let why = format!("{value} is not between {least} and {most}");
                return Err(Error::Config { place: key.into(), why });
            }
        }
        if !(1..=22).contains(&self.ingest.text_level) {
            let why = format!("{} is not between 1 and 22", self.ingest.text_level);
            return Err(Error::Config { place: "ingest.text_level".into(), why });
        }
        self.serve.check()?;
        self.dimse.check()?;
        self.sharing.check()?;
        self.identity.check()?;
        if self.dimse.identity_login && self.identity.issuer.is_empty() {
            let why = "it is set, and identity.issuer is not".into();
            return Err(Error::Config { place: "dimse.identity_login".into(), why });
        }
        self.audit.check()?;
        self.gc.check()?;
        self.dimse_settings(Duration::ZERO).map(|_| ())
    }

    /// As DIMSE wants it, with the rules.
    pub(crate) fn dimse_settings(&self, drain: Duration) -> Result<crate::dimse::Settings> {
        let mut settings = self.dimse.settings(drain)?;
        settings.routes = routes::rules(&self.routes, &settings.peers)?;
        Ok(settings)
    }

    /// As the store wants it.
    pub(crate) fn store_config(&self, data: &Path, url: Option<&str>) -> StoreConfig {
        let named = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        StoreConfig {
            bucket: url.map(str::to_owned).or_else(|| named(&self.store.url)),
            bucket_options: self.store.options.clone().into_iter().collect(),
            key_file: named(&self.store.key_file).map(PathBuf::from),
            encrypt: self.store.encrypt,
            read_back: self.store.read_back,
            ..StoreConfig::new(data)
        }
    }

    /// As ingest wants it.
    pub(crate) fn ingest_config(&self) -> IngestConfig {
        let mut config = IngestConfig {
            in_flight_bytes: self.ingest.in_flight_bytes as usize,
            commit_interval: Duration::from_millis(self.ingest.commit_interval_ms),
            acknowledge: match self.ingest.acknowledge {
                AcknowledgeWord::Received => Acknowledge::Received,
                AcknowledgeWord::Archive => Acknowledge::Archive,
            },
            duplicates: DuplicatePolicy {
                correction: self.duplicates.correction.into(),
                conflict: self.duplicates.conflict.into(),
            },
            verify_encoding: self.ingest.verify_encoding,
            pack_bytes: self.ingest.pack_bytes,
            journal_bytes_max: self.ingest.journal_bytes_max,
            spool_bytes: self.ingest.spool_bytes,
            ..IngestConfig::default()
        };
        config.effort.compression = match self.ingest.compression {
            CompressionWord::Default => Compression::Default,
            CompressionWord::Turbo => Compression::Turbo,
        };
        config.effort.text_level = self.ingest.text_level;
        config.effort.filter = self.ingest.pixel_filter;
        config.effort.compress = self.ingest.compress;
        config
    }

    /// Threads that read files.
    pub(crate) fn readers(&self, asked: Option<usize>) -> usize {
        match asked.unwrap_or(self.ingest.readers) {
            0 => threads().clamp(2, 8),
            readers => readers.min(READERS_MAX),
        }
    }
}

/// Cores at hand.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// Reads a file, and checks it by itself so that a fault is told with its line.
fn read(text: &str, place: &str) -> Result<Table> {
    let fault = |why: String| Error::Config { place: place.to_owned(), why };
    toml::from_str::<Config>(text).map_err(|error| fault(error.to_string()))?;
    text.parse().map_err(|error: toml::de::Error| fault(error.to_string()))
}

fn typed(table: Table, place: &str) -> Result<Config> {
    Value::Table(table).try_into().map_err(|error: toml::de::Error| Error::Config {
        place: place.to_owned(),
        why: error.message().to_owned(),
    })
}

/// Sets what a variable says, if it is one of ours. The type is that of the default.
fn set(table: &mut Table, name: &str, text: &str) -> Result<()> {
    let Some(rest) = name.strip_prefix(PREFIX).filter(|rest| rest.contains(SEPARATOR)) else {
        return Ok(());
    };
    let fault = |why: String| Error::Config { place: name.to_owned(), why };
    let lower = rest.to_ascii_lowercase();
    let parts: Vec<&str> = lower.split(SEPARATOR).collect();
    let defaults = Value::try_from(Config::default()).map_err(|e| fault(e.to_string()))?;
    let (path, value) = match parts[..] {
        ["store", "options", option] if !option.is_empty() => {
            (vec!["store", "options", option], Value::String(text.to_owned()))
        }
        [section, key] => {
            let known = defaults.get(section).and_then(|section| section.get(key));
            let value = match known {
                Some(Value::String(_)) => Ok(Value::String(text.to_owned())),
                Some(Value::Integer(_)) => text.parse().map(Value::Integer).map_err(|_| "a number"),
                Some(Value::Boolean(_)) => {
                    text.parse().map(Value::Boolean).map_err(|_| "true or false")
                }
                // A list of tables, as it stands in a file: [{calling = "CT*", allow = "store"}]
                Some(Value::Array(_)) => format!("list = {text}")
                    .parse::<Table>()
                    .ok()
                    .and_then(|mut table| table.remove("list"))
                    .ok_or("a list in TOML"),
                _ => return Err(fault("there is no such setting".into())),
            };
            (vec![section, key], value.map_err(|wanted| fault(format!("it has to be {wanted}")))?)
        }
        _ => return Err(fault("there is no such setting".into())),
    };
    let mut at = table;
    for part in &path[..path.len() - 1] {
        let next = at.entry((*part).to_owned()).or_insert_with(|| Value::Table(Table::new()));
        at = next.as_table_mut().ok_or_else(|| fault("the file has no such section".into()))?;
    }
    at.insert(path[path.len() - 1].to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn with(variables: &[(&str, &str)], text: &str) -> Result<Config> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE_NAME), text).unwrap();
        let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        Config::load(None, directory.path(), variables)
    }

    #[test]
    fn every_setting_has_a_typed_default() {
        let table = Value::try_from(Config::default()).unwrap();
        for (section, keys) in table.as_table().unwrap() {
            assert!(!keys.as_table().unwrap().is_empty(), "{section}");
        }
        assert_eq!(with(&[], "").unwrap(), Config::default());
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let config = with(
            &[
                ("CAIRN_STORE__URL", "s3://b/p"),
                ("CAIRN_STORE__OPTIONS__AWS_ENDPOINT", "http://127.0.0.1:1"),
                ("CAIRN_INGEST__READERS", "3"),
                ("CAIRN_INGEST__COMPRESS", "false"),
                ("CAIRN_DUPLICATES__CONFLICT", "reject"),
                ("CAIRN_DATA", "elsewhere"),
                ("HOME", "/root"),
            ],
            "[store]\nurl = \"other\"\nencrypt = false\n[store.options]\na = \"1\"\n",
        )
        .unwrap();
        assert_eq!((config.store.url.as_str(), config.store.encrypt), ("s3://b/p", false));
        assert_eq!(config.store.options["aws_endpoint"], "http://127.0.0.1:1");
        assert_eq!(config.store.options["a"], "1");
        assert_eq!((config.ingest.readers, config.ingest.compress), (3, false));
        assert_eq!(config.ingest_config().duplicates.conflict, OnDuplicate::Reject);
        let rules = ("CAIRN_DIMSE__RULES", "[{calling = \"CT*\", allow = \"store\"}]");
        assert_eq!(with(&[rules], "").unwrap().dimse.rules[0].calling, "CT*");
        assert!(with(&[("CAIRN_DIMSE__RULES", "CT*")], "").is_err());
        assert!(with(&[("CAIRN_DIMSE__RULES", "[{callin = \"CT*\"}]")], "").is_err());
        assert_eq!(config.readers(None), 3);
        assert_eq!(config.readers(Some(5)), 5);
    }

    #[test]
    fn compression_is_a_word() {
        let asked = with(&[], "[ingest]\ncompression = \"turbo\"\n").unwrap();
        assert_eq!(asked.ingest_config().effort.compression, Compression::Turbo);
        let asked = with(&[("CAIRN_INGEST__COMPRESSION", "default")], "").unwrap();
        assert_eq!(asked.ingest_config().effort.compression, Compression::Default);
        assert!(with(&[("CAIRN_INGEST__COMPRESSION", "fast")], "").is_err());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for text in ["[stor]\n", "[store]\nurll = \"\"\n", "[ingest]\nreaders = \"two\"\n", "x"] {
            let error = with(&[], text).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{text}: {error}");
        }
        let variables = [
            ("CAIRN_STORE__URLL", "x"),
            ("CAIRN_INGEST__READERS", "two"),
            ("CAIRN_INGEST__READERS", "1000"),
            ("CAIRN_DUPLICATES__CORRECTION", "perhaps"),
            ("CAIRN_NO__SUCH__THING", "1"),
            ("CAIRN_STORE__OPTIONS", "1"),
        ];
        for variable in variables {
            assert!(with(&[variable], "").is_err(), "{variable:?}");
        }
    }
}
