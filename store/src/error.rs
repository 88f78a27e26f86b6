//! The one error of this crate.
//!
//! Texts name files, packs and offsets, never anything of a patient. A UID appears only where the
//! caller gave it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::pack::PackId;

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

/// Bytes at rest that are not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pack {pack} is damaged at byte {offset}: {why}")]
pub struct Damage {
    /// The pack.
    pub pack: PackId,
    /// Where the damaged record starts, in bytes from the start of the pack.
    pub offset: u64,
    /// What was found.
    pub why: String,
}

/// Everything that can go wrong with bytes at rest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "write", "sync", …
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The object store refused an operation.
    #[error("the bucket refuses to {action} {object}: {source}")]
    Bucket {
        /// What was tried.
        action: &'static str,
        /// On which object.
        object: String,
        /// Its answer.
        source: object_store::Error,
    },
    /// The bucket's URL cannot be used.
    #[error("the store URL cannot be used: {why}")]
    Url {
        /// Why not.
        why: String,
    },
    /// The catalog failed.
    #[error("the catalog cannot {action}: {source}")]
    Catalog {
        /// What was tried.
        action: &'static str,
        /// Its answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A key is missing, unreadable or the wrong one.
    #[error("key file {}: {why}", path.display())]
    Key {
        /// The key file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Bytes at rest are not what was written.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// A structure of Cairn's cannot be read.
    #[error(transparent)]
    Format(#[from] cairn_chunker::Error),
    /// Another process holds the data directory.
    #[error("{} is in use by another cairn process", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A collection is under way already.
    #[error("a collection is under way already")]
    Collecting,
    /// What was being received when a collection began is still being received.
    #[error(
        "objects have been coming in since before the collection began, and do not end; try again later"
    )]
    Busy,
    /// Whoever asked for it does not want it any more.
    #[error("the work was broken off")]
    BrokenOff,
    /// Something that was made from the archive, and can be made again, is damaged.
    #[error("{what} are damaged and have to be made again")]
    Derived {
        /// What.
        what: &'static str,
    },
    /// An object in the spool is not what was hashed when it was received.
    #[error("an object in the spool is not what was received")]
    Spooled,
    /// A segment of the spool is of a form that this build does not read.
    #[error("{}: {why}", path.display())]
    Segment {
        /// The segment.
        path: PathBuf,
        /// What is to be done.
        why: &'static str,
    },
    /// There is nothing by this name.
    #[error("no {what} {name} in this archive")]
    NotFound {
        /// "study", "instance", "chunk", …
        what: &'static str,
        /// The name asked for.
        name: String,
    },
    /// What was received is not DICOM.
    #[error("not DICOM: {0}")]
    NotDicom(#[from] cairn_dicom::probe::NotDicom),
    /// What was received is DICOM but no instance.
    #[error("{0}")]
    Refused(#[from] cairn_dicom::split::Refused),
    /// What was received does not meet the terms on which it was sent.
    #[error("{0}")]
    Inadmissible(#[from] crate::ingest::Inadmissible),
    /// The source broke off.
    #[error("cannot read what is to be archived: {0}")]
    Source(std::io::Error),
    /// The duplicate policy refuses this version of an instance that is here already.
    #[error("an instance with this UID and other content is archived; policy rejects this one")]
    Duplicate,
    /// An earlier failure stopped this ingest; nothing more is acknowledged.
    #[error("ingest stopped: {0}")]
    Stopped(Arc<Self>),
    /// A bug or a broken assumption; never the fault of what was received.
    #[error("internal fault: {0}")]
    Internal(&'static str),
}

/// What the caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What was sent is at fault.
    Input,
    /// Nothing by that name.
    NotFound,
    /// Bytes at rest are damaged.
    Damage,
    /// Disk, bucket or catalog failed; the same request may work later.
    Storage,
    /// Keys, URL or lock: an operator has to act.
    Setup,
    /// A bug.
    Internal,
}

impl Error {
    /// Classifies the error for whoever answers a request.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotDicom(_)
            | Self::Refused(_)
            | Self::Inadmissible(_)
            | Self::Source(_)
            | Self::Duplicate => Kind::Input,
            Self::NotFound { .. } => Kind::NotFound,
            Self::Damaged(_) | Self::Format(_) | Self::Derived { .. } | Self::Spooled => {
                Kind::Damage
            }
            Self::Io { .. }
            | Self::Bucket { .. }
            | Self::Catalog { .. }
            | Self::Collecting
            | Self::Busy
            | Self::BrokenOff => Kind::Storage,
            Self::Url { .. } | Self::Key { .. } | Self::Segment { .. } | Self::Locked { .. } => {
                Kind::Setup
            }
            Self::Stopped(cause) => cause.kind(),
            Self::Internal(_) => Kind::Internal,
        }
    }

    /// For `map_err` on file operations.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// For `map_err` on bucket operations.
    pub(crate) fn bucket(
        action: &'static str,
        object: impl std::fmt::Display,
    ) -> impl FnOnce(object_store::Error) -> Self {
        let object = object.to_string();
        move |source| Self::Bucket { action, object, source }
    }
}
