//! The one error of this crate. Texts name files and positions, never anything of a patient.

use std::io;
use std::path::{Path, PathBuf};

use crate::evidence::Finding;
use crate::state::Reject;

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong with entries, proofs and logs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bytes are not the one encoding of what they claim to be.
    #[error(transparent)]
    Encoding(#[from] cairn_chunker::Error),
    /// An entry, or a patient's statement, is not the COSE_Sign1 that this crate writes.
    #[error("not a signed entry or statement: {0}")]
    Envelope(&'static str),
    /// A signature is not that of the key that should have made it.
    #[error("the signature of {0} does not hold")]
    Signature(&'static str),
    /// A text is not a signed note, checkpoint or key of C2SP's formats.
    #[error("not a {what}: {why}")]
    Note {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A text is not a patient's card or statement.
    #[error("that is no {0}")]
    Patient(&'static str),
    /// A proof does not lead to the root that it was checked against.
    #[error("the proof does not hold: {0}")]
    Proof(&'static str),
    /// Too few of the configured witnesses have cosigned a checkpoint.
    #[error("{found} of the {needed} cosignatures needed")]
    Quorum {
        /// Valid cosignatures found.
        found: usize,
        /// Cosignatures that the policy asks for.
        needed: usize,
    },
    /// The rules do not allow an entry.
    #[error(transparent)]
    Rejected(#[from] Reject),
    /// A mirrored log did what no honest log does.
    #[error(transparent)]
    Finding(Box<Finding>),
    /// A sealed opening is not for this key, or not for this entry.
    #[error("the sealed opening cannot be opened")]
    Sealed,
    /// What is on disk is not what was written.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        why: &'static str,
    },
    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A key file cannot be used.
    #[error(transparent)]
    Key(#[from] cairn_store::Error),
    /// Another process holds the log.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// An earlier failure stopped the log; it has to be opened again.
    #[error("the log was stopped by an earlier failure: {0}")]
    Stopped(String),
    /// Something outside of the tree's bounds was asked for.
    #[error("the log has no such entry")]
    OutOfRange,
    /// The system has no random bytes.
    #[error("the system has no random bytes")]
    Random,
}

impl Error {
    /// Wraps the system's answer.
    pub(crate) fn io<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, why: &'static str) -> Self {
        Self::Damaged { path: path.to_owned(), why }
    }
}
