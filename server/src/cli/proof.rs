//! Proof files: made from a study, checked with no archive at hand.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use cairn_chunker::id::{DatasetHash, StudyRoot};
use cairn_chunker::limits::PROOF_BYTES_MAX;
use cairn_chunker::proof::InstanceProof;
use cairn_chunker::tree::Leaf;
use cairn_dicom::{PROBE_BYTES, Splitter, probe};
use cairn_store::{Error as StoreError, Store};
use serde::Serialize;

use crate::error::{Error, Result};

/// How much of a file is looked at at once.
const WINDOW_BYTES: u64 = 1 << 20;

/// Proves that the instance that is shown under `sop` is in `study`.
pub(crate) fn make(store: &Store, study: &str, sop: &str) -> Result<InstanceProof> {
    let tree = store.study_tree(study)?;
    let versions = store.catalog().versions_of_sop(sop)?;
    let version = versions
        .iter()
        .filter(|version| version.study_uid == study && version.visible)
        .min_by(|a, b| a.series_uid.cmp(&b.series_uid));
    let missing = || StoreError::NotFound { what: "visible instance", name: sop.to_owned() };
    let version = version.ok_or_else(missing)?;
    Ok(InstanceProof::new(&tree, &version.series_uid, &version.leaf()).ok_or_else(missing)?)
}

/// What a proof file came to.
#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    /// Everything that was asked for holds.
    pub(crate) valid: bool,
    study_uid: String,
    series_uid: String,
    sop_instance_uid: String,
    sop_class_uid: String,
    transfer_syntax_uid: String,
    dataset_bytes: u64,
    dataset_hash: String,
    /// The root that the proof leads to.
    root: String,
    /// The hashes lead from the instance to that root.
    proof_holds: bool,
    /// It is the root that was asked for; `null` if none was.
    root_matches: Option<bool>,
    /// The file is the instance that the proof speaks of; `null` if none was named.
    dataset_matches: Option<bool>,
    /// What does not hold.
    why: Vec<String>,
}

/// Checks the proof in `file`, against a `root` and a DICOM file `dataset` if they are given.
/// Touches nothing else.
pub(crate) fn check(
    file: &Path,
    root: Option<StudyRoot>,
    dataset: Option<&Path>,
) -> Result<Checked> {
    let proof = read(file)?;
    let mut why = Vec::new();
    let proof_holds = proof.verify().is_ok();
    if !proof_holds {
        why.push("the hashes do not lead from the instance to the root".to_owned());
    }
    let root_matches = root.map(|root| root == proof.root);
    if root_matches == Some(false) {
        why.push("the proof leads to another root than the one given".to_owned());
    }
    let mut dataset_matches = None;
    if let Some(path) = dataset {
        let differences = differences(&leaf_of(path)?, &proof.leaf);
        dataset_matches = Some(differences.is_empty());
        why.extend(differences.into_iter().map(|what| format!("the file has another {what}")));
    }
    Ok(Checked {
        valid: why.is_empty(),
        study_uid: proof.study_uid,
        series_uid: proof.series_uid,
        sop_instance_uid: proof.leaf.sop_instance_uid,
        sop_class_uid: proof.leaf.sop_class_uid,
        transfer_syntax_uid: proof.leaf.transfer_syntax_uid,
        dataset_bytes: proof.leaf.dataset_bytes,
        dataset_hash: proof.leaf.dataset_hash.to_string(),
        root: proof.root.to_string(),
        proof_holds,
        root_matches,
        dataset_matches,
        why,
    })
}

impl Checked {
    /// For people.
    pub(crate) fn text(&self) -> String {
        use crate::output::{clean, pairs, size};
        let told = |matches: Option<bool>, what: &str| match matches {
            None => format!("not compared ({what})"),
            Some(true) => "the same".to_owned(),
            Some(false) => "DIFFERENT".to_owned(),
        };
        let holds = if self.proof_holds { "hold" } else { "DO NOT HOLD" };
        let mut text = pairs(&[
            ("study", clean(&self.study_uid)),
            ("series", clean(&self.series_uid)),
            ("instance", clean(&self.sop_instance_uid)),
            ("data set", format!("{}, BLAKE3 {}", size(self.dataset_bytes), self.dataset_hash)),
            ("root", self.root.clone()),
            ("hashes", holds.to_owned()),
            ("registered root", told(self.root_matches, "--root")),
            ("file", told(self.dataset_matches, "--dataset")),
        ]);
        for why in &self.why {
            let _ = writeln!(text, "refused: {why}");
        }
        if self.valid {
            text += match self.root_matches {
                Some(true) => "The instance belongs to the study with the registered root.\n",
                _ => "The proof holds for the root above: compare it with the registered one.\n",
            };
        }
        text
    }
}

fn read(file: &Path) -> Result<InstanceProof> {
    let fault = |why: String| Error::Proof { path: file.to_owned(), why };
    let opened = File::open(file).map_err(Error::io("read", file))?;
    let mut bytes = Vec::new();
    // One byte more than a proof may have, so that a longer file is seen to be one.
    let mut bounded = opened.take(PROOF_BYTES_MAX as u64 + 1);
    bounded.read_to_end(&mut bytes).map_err(Error::io("read", file))?;
    InstanceProof::decode(&bytes).map_err(|error| fault(error.to_string()))
}

/// The instance in a DICOM file, as a study tree sees it: the envelope split off, the rest hashed.
fn leaf_of(path: &Path) -> Result<Leaf> {
    let fault = |why: String| Error::Proof { path: path.to_owned(), why };
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let mut window = Vec::new();
    let mut ended = fill(&mut file, &mut window, path)?;
    let head = &window[..window.len().min(PROBE_BYTES)];
    let framing = probe(head, ended && head.len() == window.len())
        .map_err(|error| fault(error.to_string()))?;
    let mut splitter = Splitter::new(framing);
    let mut at = 0;
    loop {
        let mut boundaries = Vec::new();
        splitter
            .advance(&window, at, ended, &mut boundaries)
            .map_err(|error| fault(error.to_string()))?;
        if ended {
            break;
        }
        let done = (splitter.settled() - at).min(window.len() as u64);
        window.drain(..done as usize);
        at += done;
        ended = fill(&mut file, &mut window, path)?;
    }
    let length = at + window.len() as u64;
    let object = splitter.finish();
    file.seek(SeekFrom::Start(object.envelope_bytes)).map_err(Error::io("read", path))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&mut file).map_err(Error::io("read", path))?;
    let dataset_hash = DatasetHash(*hasher.finalize().as_bytes());
    let identity = object.identity(&dataset_hash.0);
    Ok(Leaf {
        sop_instance_uid: identity.sop_instance_uid,
        sop_class_uid: identity.sop_class_uid,
        transfer_syntax_uid: identity.transfer_syntax_uid,
        dataset_bytes: length.saturating_sub(object.envelope_bytes),
        dataset_hash,
    })
}

/// Reads on; `true` at the end of the file.
fn fill(file: &mut File, window: &mut Vec<u8>, path: &Path) -> Result<bool> {
    let before = window.len();
    file.take(WINDOW_BYTES).read_to_end(window).map_err(Error::io("read", path))?;
    Ok(window.len() - before < WINDOW_BYTES as usize)
}

fn differences(file: &Leaf, proof: &Leaf) -> Vec<&'static str> {
    [
        ("data set", file.dataset_hash == proof.dataset_hash),
        ("length", file.dataset_bytes == proof.dataset_bytes),
        ("SOP Instance UID", file.sop_instance_uid == proof.sop_instance_uid),
        ("SOP Class UID", file.sop_class_uid == proof.sop_class_uid),
        ("transfer syntax", file.transfer_syntax_uid == proof.transfer_syntax_uid),
    ]
    .into_iter()
    .filter(|(_, same)| !same)
    .map(|(what, _)| what)
    .collect()
}
