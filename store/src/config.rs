//! What an operator can set.

use std::path::PathBuf;
use std::time::Duration;

use cairn_chunker::codec::Effort;

use crate::ingest::Observer;

/// When a received instance is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acknowledge {
    /// A1: durable on this node's disk and reachable after a crash.
    #[default]
    Received,
    /// A2: in the bucket, checked there, and named by the catalog.
    Archive,
}

/// What becomes of another version of an instance that is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDuplicate {
    /// The version received first stays visible; the other is kept.
    First,
    /// The version received last becomes visible; the other is kept.
    Latest,
    /// The new version is refused and not kept.
    Reject,
}

/// Policy for other content under a known UID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DuplicatePolicy {
    /// Other bytes, same pixels.
    pub correction: OnDuplicate,
    /// Other pixels.
    pub conflict: OnDuplicate,
}

impl Default for DuplicatePolicy {
    fn default() -> Self {
        Self { correction: OnDuplicate::Latest, conflict: OnDuplicate::First }
    }
}

/// Settings of the ingest pipeline.
#[derive(Debug, Clone)]
pub struct IngestConfig {
    /// Bytes of received objects held in memory at once, whatever the size of a study or instance.
    pub in_flight_bytes: usize,
    /// How long a batch may wait for company before it is made durable. Zero: as soon as the disk is
    /// free.
    pub commit_interval: Duration,
    /// When to acknowledge.
    pub acknowledge: Acknowledge,
    /// What to do about other content under a known UID.
    pub duplicates: DuplicatePolicy,
    /// How hard to compress.
    pub effort: Effort,
    /// Decode every encoded chunk and compare before it counts.
    pub verify_encoding: bool,
    /// A pack is sealed once it is this long.
    pub pack_bytes: u64,
    /// Is told how long each step takes.
    pub observer: Observer,
    /// Make the metadata of series while they come in, rather than when somebody first asks.
    pub metadata: bool,
    /// Sealed packs that wait for the bucket may take this much local disk.
    pub journal_bytes_max: u64,
    /// Local disk for objects that are acknowledged before they are coded; 0: none are.
    pub spool_bytes: u64,
    /// Write files for the spool while nobody sends, so that the first study does not pay for new blocks.
    pub prepare_spool: bool,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            in_flight_bytes: 64 << 20,
            commit_interval: Duration::from_millis(500),
            acknowledge: Acknowledge::Received,
            duplicates: DuplicatePolicy::default(),
            effort: Effort::default(),
            verify_encoding: true,
            pack_bytes: crate::limits::PACK_BYTES_TARGET,
            observer: Observer::default(),
            metadata: true,
            journal_bytes_max: 8 << 30,
            spool_bytes: 1 << 30,
            prepare_spool: false,
        }
    }
}

/// Where a store lives.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Catalog, keys and open packs.
    pub data: PathBuf,
    /// Where sealed packs go: a directory, or `s3://bucket/prefix`, `az://…`, `gs://…`. `None`: the
    /// directory `bucket` under `data`.
    pub bucket: Option<String>,
    /// Settings for the object store client, such as `("aws_endpoint", …)`; they win over the
    /// environment.
    pub bucket_options: Vec<(String, String)>,
    /// Site key file; `None`: `keys/site.key` under `data`.
    pub key_file: Option<PathBuf>,
    /// Encrypt what goes into packs.
    pub encrypt: bool,
    /// Check packs after an upload by reading all of them back, rather than their length only.
    pub read_back: bool,
}

impl StoreConfig {
    /// The defaults for a data directory.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            bucket: None,
            bucket_options: Vec::new(),
            key_file: None,
            encrypt: true,
            read_back: true,
        }
    }
}
