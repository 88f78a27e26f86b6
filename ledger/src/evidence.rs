//! What a log did that no honest log does, in a form that can be shown to others.

use std::fmt;

use cairn_chunker::cbor::{Reader, Writer};

use crate::checkpoint::SignedCheckpoint;
use crate::limits::{ENTRY_BYTES_MAX, NOTE_BYTES_MAX};
use crate::merkle::{ConsistencyProof, Hash, InclusionProof};
use crate::note::VerifierKey;
use crate::{Error, Result};

/// A finding against a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It signed two trees of which neither begins with the other. Proven by itself: the larger tree's
    /// first entries have the root `prefix`, and the smaller checkpoint says another.
    Fork {
        /// The smaller, or one of two of the same size.
        smaller: Box<SignedCheckpoint>,
        /// The larger.
        larger: Box<SignedCheckpoint>,
        /// Root of the larger tree's first entries.
        prefix: Hash,
        /// Shows that it is.
        proof: ConsistencyProof,
    },
    /// It signed a tree, and the entries that it gives do not continue the known tree to that root. An
    /// honest log refutes it with a consistency proof between the two; a log that rewrote its history
    /// cannot.
    Rewritten {
        /// The last checkpoint that was followed.
        known: Box<SignedCheckpoint>,
        /// The one that does not continue it.
        shown: Box<SignedCheckpoint>,
    },
    /// It shows an earlier state as its latest, though a later one is known. Ends when it shows the
    /// later one again.
    RolledBack {
        /// The larger checkpoint that is known.
        known: Box<SignedCheckpoint>,
        /// What it shows.
        shown: Box<SignedCheckpoint>,
    },
    /// It does not give entries that a cosigned checkpoint promises. Ends when it does.
    Withheld {
        /// The checkpoint that promises them.
        promised: Box<SignedCheckpoint>,
        /// Entries that there are.
        have: u64,
    },
    /// It signed a tree with an entry that the rules refuse.
    Invalid {
        /// The checkpoint that covers it.
        checkpoint: Box<SignedCheckpoint>,
        /// The entry.
        entry: Vec<u8>,
        /// Shows that the tree has it.
        proof: InclusionProof,
        /// Why it is refused.
        why: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fork { smaller, larger, .. } => write!(
                f,
                "the log signed two histories, of {} and of {} entries",
                smaller.checkpoint().size,
                larger.checkpoint().size
            ),
            Self::Rewritten { known, shown } => write!(
                f,
                "the log of {} entries does not continue the one of {}",
                shown.checkpoint().size,
                known.checkpoint().size
            ),
            Self::RolledBack { known, shown } => write!(
                f,
                "the log went back from {} to {} entries",
                known.checkpoint().size,
                shown.checkpoint().size
            ),
            Self::Withheld { promised, have } => write!(
                f,
                "the log promised {} entries and gives {have}",
                promised.checkpoint().size
            ),
            Self::Invalid { proof, why, .. } => {
                write!(f, "entry {} is not valid: {why}", proof.index)
            }
        }
    }
}

impl std::error::Error for Finding {}

impl Finding {
    /// Is there nothing that the log could show to refute it? The others end when the log gives what it
    /// held back, or continues what it seemed to rewrite.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Fork { .. } | Self::Invalid { .. })
    }

    /// Checks it with nothing but the log's keys: are the checkpoints signed by the log, and do they
    /// show what is said? For those that are not final that is all that can be checked; it is for the
    /// log to refute them.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<()> {
        const FAULT: Error = Error::Proof("the finding does not show what it says");
        let signed = |note: &SignedCheckpoint| {
            let by_the_log = keys.iter().any(|key| note.verify(key).is_ok());
            if by_the_log { Ok(()) } else { Err(Error::Signature("a checkpoint")) }
        };
        let holds = |holds: bool| if holds { Ok(()) } else { Err(FAULT) };
        match self {
            Self::Fork { smaller, larger, prefix, proof } => {
                signed(smaller)?;
                signed(larger)?;
                let (small, large) = (smaller.checkpoint(), larger.checkpoint());
                holds((proof.old, proof.new) == (small.size, large.size))?;
                proof.verify(prefix, &large.root)?;
                holds(small.origin == large.origin && small.root != *prefix)
            }
            Self::Rewritten { known, shown } => {
                signed(known)?;
                signed(shown)?;
                let (known, shown) = (known.checkpoint(), shown.checkpoint());
                holds(known.origin == shown.origin && known != shown && known.size <= shown.size)
            }
            Self::RolledBack { known, shown } => {
                signed(known)?;
                signed(shown)?;
                holds(shown.checkpoint().size < known.checkpoint().size)
            }
            Self::Withheld { promised, have } => {
                signed(promised)?;
                holds(*have < promised.checkpoint().size)
            }
            Self::Invalid { checkpoint, entry, proof, .. } => {
                signed(checkpoint)?;
                let head = checkpoint.checkpoint();
                holds(proof.size == head.size)?;
                proof.verify(&crate::merkle::leaf_hash(entry), &head.root)
            }
        }
    }

    /// The finding in bytes, to be kept and shown.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let two = |writer: &mut Writer, kind, a: &SignedCheckpoint, b: &SignedCheckpoint| {
            writer.uint(kind).text(&a.format()).text(&b.format());
        };
        match self {
            Self::Fork { smaller, larger, prefix, proof } => {
                two(writer.array(5), 0, smaller, larger);
                writer.bytes(prefix).bytes(&proof.encode());
            }
            Self::Rewritten { known, shown } => two(writer.array(3), 1, known, shown),
            Self::RolledBack { known, shown } => two(writer.array(3), 2, known, shown),
            Self::Withheld { promised, have } => {
                writer.array(3).uint(3).text(&promised.format()).uint(*have);
            }
            Self::Invalid { checkpoint, entry, proof, why } => {
                writer.array(5).uint(4).text(&checkpoint.format()).bytes(entry);
                writer.bytes(&proof.encode()).text(why);
            }
        }
        writer.finish()
    }

    /// Reads [`Finding::encode`] back.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        const PROOF_BYTES_MAX: usize = 4 << 10;
        const WHY_BYTES_MAX: usize = 1 << 10;
        let mut reader = Reader::new(bytes, "finding against a log");
        let count = reader.array()?;
        let kind = reader.uint()?;
        let note = |reader: &mut Reader<'_>| -> Result<Box<SignedCheckpoint>> {
            let text = reader.text(NOTE_BYTES_MAX)?;
            SignedCheckpoint::parse(text.as_bytes()).map(Box::new)
        };
        let finding = match (kind, count) {
            (0, 5) => Self::Fork {
                smaller: note(&mut reader)?,
                larger: note(&mut reader)?,
                prefix: reader.hash()?,
                proof: ConsistencyProof::decode(reader.bytes(PROOF_BYTES_MAX)?)?,
            },
            (1, 3) => Self::Rewritten { known: note(&mut reader)?, shown: note(&mut reader)? },
            (2, 3) => Self::RolledBack { known: note(&mut reader)?, shown: note(&mut reader)? },
            (3, 3) => Self::Withheld { promised: note(&mut reader)?, have: reader.uint()? },
            (4, 5) => Self::Invalid {
                checkpoint: note(&mut reader)?,
                entry: reader.bytes(ENTRY_BYTES_MAX)?.to_vec(),
                proof: InclusionProof::decode(reader.bytes(PROOF_BYTES_MAX)?)?,
                why: reader.text(WHY_BYTES_MAX)?.to_owned(),
            },
            _ => return Err(reader.fault("unknown kind of finding").into()),
        };
        reader.end()?;
        Ok(finding)
    }
}
