//! A witness: cosigns a log's checkpoint once it has seen that the tree continues what it cosigned
//! before (C2SP tlog-witness).
//!
//! For each log one file holds the last checkpoint that was cosigned. It is durable before a
//! cosignature leaves, and checking and replacing it are one step under a lock, so that the witness
//! never vouches for two histories, whatever crashes in between.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cairn_store::disk::{Disk, create_directories};
use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};

use crate::checkpoint::{SignedCheckpoint, format_hash, parse_decimal, parse_hash};
use crate::limits::{NOTE_BYTES_MAX, PROOF_HASHES_MAX};
use crate::merkle::{ConsistencyProof, Hash};
use crate::note::{NoteSignature, VerifierKey};
use crate::tiles::replace_file;
use crate::{Error, Result};

/// Why a witness does not cosign.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No trusted key of the log signed it (403), or it is not a checkpoint at all.
    #[error(transparent)]
    Unsigned(Error),
    /// The old size is larger than the checkpoint's (400).
    #[error("the old size is larger than the new")]
    Backwards,
    /// The log assumes another last checkpoint (409); the answer tells the size.
    #[error("the last checkpoint cosigned has size {size}")]
    Conflict {
        /// Size of the last one.
        size: u64,
    },
    /// The tree does not continue the one cosigned before (422). With the one on record this may show
    /// a fork.
    #[error("the tree does not continue the last one cosigned")]
    Inconsistent {
        /// The last checkpoint cosigned.
        known: Option<Box<SignedCheckpoint>>,
    },
    /// The witness's own trouble (500).
    #[error(transparent)]
    Internal(Error),
}

/// A request to cosign: what `add-checkpoint` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CosignRequest {
    /// Size of the last checkpoint that the witness cosigned.
    pub old_size: u64,
    /// Nodes of the consistency proof from there.
    pub proof: Vec<Hash>,
    /// The new checkpoint.
    pub checkpoint: SignedCheckpoint,
}

impl CosignRequest {
    /// Reads the body of an `add-checkpoint` request.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let fault = |why| Error::Note { what: "request to cosign", why };
        if body.len() > NOTE_BYTES_MAX {
            return Err(fault("it is too long"));
        }
        let text = std::str::from_utf8(body).map_err(|_| fault("it is not UTF-8"))?;
        let (head, note) = text.split_once("\n\n").ok_or(fault("it has no empty line"))?;
        let mut lines = head.split('\n');
        let old_size = lines.next().and_then(|line| parse_decimal(line.strip_prefix("old ")?));
        let old_size = old_size.ok_or(fault("it has no old size"))?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == PROOF_HASHES_MAX {
                return Err(fault("its proof is too long"));
            }
            proof.push(parse_hash(line).ok_or(fault("its proof is not base64"))?);
        }
        Ok(Self { old_size, proof, checkpoint: SignedCheckpoint::parse(note.as_bytes())? })
    }

    /// The body of the request.
    #[must_use]
    pub fn format(&self) -> String {
        let mut out = format!("old {}\n", self.old_size);
        for hash in &self.proof {
            out.push_str(&format_hash(hash));
            out.push('\n');
        }
        out.push('\n');
        out.push_str(&self.checkpoint.format());
        out
    }
}

/// Cosigns checkpoints of other logs.
#[derive(Debug)]
pub struct Witness {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    name: String,
    key: SigningKey,
    /// Held from reading the last checkpoint to having replaced it.
    one_at_a_time: Mutex<()>,
}

impl Witness {
    /// A witness of this name that remembers in `directory`.
    pub fn open(
        disk: Arc<dyn Disk>,
        directory: &Path,
        name: &str,
        key: SigningKey,
    ) -> Result<Self> {
        VerifierKey::of_witness(name, key.verifying_key().to_bytes())?;
        create_directories(&*disk, directory).map_err(Error::io("create", directory))?;
        let (directory, one_at_a_time) = (directory.to_owned(), Mutex::new(()));
        Ok(Self { disk, directory, name: name.to_owned(), key, one_at_a_time })
    }

    /// The key under which it cosigns.
    pub fn verifier_key(&self) -> Result<VerifierKey> {
        VerifierKey::of_witness(&self.name, self.key.verifying_key().to_bytes())
    }

    fn record(&self, origin: &str) -> PathBuf {
        // The origin is the log's text; its hash is a safe file name.
        self.directory.join(hex(&Sha256::digest(origin)))
    }

    /// The last checkpoint of the log that was cosigned.
    pub fn last(&self, origin: &str) -> Result<Option<SignedCheckpoint>> {
        let path = self.record(origin);
        match std::fs::read(&path) {
            Ok(bytes) => match SignedCheckpoint::parse(&bytes) {
                Ok(known) if known.checkpoint().origin == origin => Ok(Some(known)),
                _ => Err(Error::damaged(&path, "it is not the checkpoint cosigned last")),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// Cosigns a checkpoint of the log with one of these keys, at `now` (seconds since the epoch), if
    /// it continues what was cosigned before.
    pub fn cosign(
        &self,
        request: &CosignRequest,
        log_keys: &[VerifierKey],
        now: u64,
    ) -> std::result::Result<NoteSignature, Refusal> {
        let new = request.checkpoint.checkpoint();
        let signed = log_keys.iter().any(|key| request.checkpoint.verify(key).is_ok());
        if !signed {
            return Err(Refusal::Unsigned(Error::Signature("a checkpoint")));
        }
        if request.old_size > new.size {
            return Err(Refusal::Backwards);
        }
        let _turn = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.last(&new.origin).map_err(Refusal::Internal)?;
        let known_size = known.as_ref().map_or(0, |known| known.checkpoint().size);
        if known_size != request.old_size {
            return Err(Refusal::Conflict { size: known_size });
        }
        let known_root =
            known.as_ref().map_or_else(crate::merkle::empty_root, |known| known.checkpoint().root);
        let proof =
            ConsistencyProof { old: known_size, new: new.size, path: request.proof.clone() };
        if proof.verify(&known_root, &new.root).is_err() {
            return Err(Refusal::Inconsistent { known: known.map(Box::new) });
        }
        let cosignature =
            request.checkpoint.cosign(&self.name, &self.key, now).map_err(Refusal::Internal)?;
        let record = request.checkpoint.without_cosignatures().format();
        replace_file(&*self.disk, &self.record(&new.origin), record.as_bytes())
            .map_err(Refusal::Internal)?;
        Ok(cosignature)
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
