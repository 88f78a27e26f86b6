//! What the store's tests share: archives in temporary folders, and objects to put in.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]

pub mod disk;
pub mod spool;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use cairn_dicom::phantom::{self, PhantomFile};
use cairn_store::catalog::VersionRow;
use cairn_store::commit::Source;
use cairn_store::disk::{Disk, OsDisk};
use cairn_store::ingest::{Admission, Arrival, Incoming, Ingest, Receipt, StudySummary};
use cairn_store::{Access, Error, IngestConfig, Store, StoreConfig};

pub struct Archive {
    pub dir: tempfile::TempDir,
    pub config: StoreConfig,
}

/// What became of each object handed in.
pub type Answers = Arc<Mutex<BTreeMap<usize, Result<Receipt, String>>>>;

impl Archive {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = StoreConfig::new(dir.path().join("data"));
        if let Some((bucket, endpoint)) = remote_bucket(&dir) {
            config.bucket = Some(bucket);
            config.bucket_options.push(("aws_endpoint".into(), endpoint));
        }
        Self { dir, config }
    }

    pub fn open(&self) -> Store {
        Store::open(&self.config, Access::Write).unwrap()
    }

    pub fn open_on(&self, disk: Arc<dyn Disk>) -> Result<Store, Error> {
        Store::open_on(&self.config, Access::Write, disk)
    }
}

/// With `CAIRN_TEST_STORE=s3` the same tests run against an S3 server, each archive under a prefix of
/// its own; `.ci/s3-server.sh` starts one and prints the environment.
fn remote_bucket(dir: &tempfile::TempDir) -> Option<(String, String)> {
    if std::env::var("CAIRN_TEST_STORE").as_deref() != Ok("s3") {
        return None;
    }
    let bucket = std::env::var("CAIRN_TEST_S3_BUCKET").unwrap();
    let endpoint = std::env::var("CAIRN_TEST_S3_ENDPOINT").unwrap();
    let process = std::process::id();
    let name = dir.path().file_name().unwrap().to_str().unwrap().trim_start_matches('.');
    Some((format!("s3://{bucket}/test-{process}-{name}"), endpoint))
}

pub fn quick() -> IngestConfig {
    IngestConfig { commit_interval: std::time::Duration::from_millis(5), ..IngestConfig::default() }
}

pub fn hand_in(ingest: &Ingest, no: usize, bytes: &[u8], arrival: Arrival, to: &Answers) {
    hand_in_from(Source::Import, ingest, no, bytes, arrival, to);
}

pub fn hand_in_from(
    source: Source,
    ingest: &Ingest,
    no: usize,
    bytes: &[u8],
    arrival: Arrival,
    to: &Answers,
) {
    let incoming = Incoming {
        early: None,
        reader: &mut &*bytes,
        bytes: Some(bytes.len() as u64),
        source,
        arrival,
        admission: Admission::default(),
    };
    receive(ingest, no, incoming, to);
}

pub fn receive(ingest: &Ingest, no: usize, incoming: Incoming<'_>, to: &Answers) {
    let answers = Arc::clone(to);
    let taken = ingest.receive(incoming, move |answer| {
        let answer = answer.map_err(|error| error.to_string());
        answers.lock().unwrap().insert(no, answer);
    });
    if let Err(error) = taken {
        to.lock().unwrap().insert(no, Err(error.to_string()));
    }
}

pub fn import(
    store: &Store,
    config: IngestConfig,
    objects: &[Vec<u8>],
) -> (Vec<Result<Receipt, String>>, Vec<StudySummary>) {
    let ingest = store.ingest(config).unwrap();
    let answers = Answers::default();
    for (no, bytes) in objects.iter().enumerate() {
        hand_in(&ingest, no, bytes, Arrival::File, &answers);
    }
    let summaries = ingest.finish().unwrap();
    let answers = std::mem::take(&mut *answers.lock().unwrap());
    assert_eq!(answers.len(), objects.len());
    (answers.into_values().collect(), summaries)
}

pub fn study_uids(store: &Store) -> Vec<String> {
    let mut uids = Vec::new();
    let mut note = |study: cairn_store::catalog::StudyRow| {
        uids.push(study.study_uid);
        Ok(())
    };
    store.catalog().studies(None, &mut note).unwrap();
    uids
}

/// The packs in a bucket that is a directory.
pub fn packs(archive: &Archive) -> Vec<PathBuf> {
    let top = archive.config.data.join("bucket/packs");
    let mut out = Vec::new();
    for directory in std::fs::read_dir(top).unwrap() {
        for file in std::fs::read_dir(directory.unwrap().path()).unwrap() {
            out.push(file.unwrap().path());
        }
    }
    out.sort();
    out
}

/// Every visible version.
pub fn versions(store: &Store) -> Vec<VersionRow> {
    let mut all = Vec::new();
    for study in study_uids(store) {
        let mut note = |version| {
            all.push(version);
            Ok(())
        };
        store.catalog().study_versions(&study, false, &mut note).unwrap();
    }
    all
}

/// Every visible instance, by SOP Instance UID, as the file it came as.
pub fn export_all(store: &Store) -> BTreeMap<String, Vec<u8>> {
    let file = |version: VersionRow| {
        let mut bytes = Vec::new();
        store.reader().write_instance(&version, &mut bytes).unwrap();
        (version.sop_instance_uid, bytes)
    };
    versions(store).into_iter().map(file).collect()
}

pub fn bytes_of(files: impl Iterator<Item = PhantomFile>) -> Vec<Vec<u8>> {
    files.map(|file| file.bytes).collect()
}

/// A CT series, a cine, a report: some forty objects of 6 MB.
pub fn sample() -> Vec<Vec<u8>> {
    let mut all = bytes_of(phantom::ct(1, 20, 256));
    all.extend(bytes_of(phantom::mr(1, 10, 128)));
    all.push(phantom::ultrasound_cine(1, 5, 160).bytes);
    all.push(phantom::structured_report(1).bytes);
    all.extend(bytes_of(phantom::mammography(1, 1, 1200, 900)));
    all
}

/// The data set without the envelope, and its transfer syntax: as DIMSE carries it.
pub fn as_dataset(file: &[u8]) -> (Vec<u8>, String) {
    use cairn_dicom::{Framing, Splitter};
    let mut splitter = Splitter::new(Framing::Part10);
    splitter.advance(file, 0, true, &mut Vec::new()).unwrap();
    let object = splitter.finish();
    (file[object.envelope_bytes as usize..].to_vec(), object.transfer_syntax)
}

pub fn os_disk() -> Arc<dyn Disk> {
    Arc::new(OsDisk)
}
