//! What ends a command, in words for whoever typed it.
//!
//! Texts name files, UIDs that were asked for, and settings; never anything of a patient.

use std::path::{Path, PathBuf};

use crate::dimse::NotHashed;
use crate::sharing::Fault;

/// Result with this crate's error.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The archive failed.
    #[error(transparent)]
    Store(#[from] cairn_store::Error),
    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Whoever reads the output is gone, or it cannot be written.
    #[error("cannot write the output: {0}")]
    Output(std::io::Error),
    /// A setting cannot be used.
    #[error("{place}: {why}")]
    Config {
        /// File or variable that holds it.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// The command line does not make sense.
    #[error("{0}")]
    Usage(&'static str),
    /// There is nothing to read.
    #[error(
        "there is no archive in {}; `cairn import` makes one, `--data DIR` and `--store URL` name \
        another  place",
        path.display()
    )]
    NoArchive {
        /// The data directory.
        path: PathBuf,
    },
    /// A file is there that would be replaced.
    #[error("{} is there already with other content; --force replaces it", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A proof file cannot be read.
    #[error("{} is no proof file: {why}", path.display())]
    Proof {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The server cannot have its address.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Address and port.
        address: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A server does not answer, or what it says is no HTTP.
    #[error("the server does not answer as it should: {source}")]
    Probe {
        /// What came of asking.
        source: std::io::Error,
    },
    /// There is no line for a user.
    #[error(transparent)]
    Passcode(#[from] NotHashed),
    /// The figures cannot be declared: a bug.
    #[error("internal fault: {0}")]
    Metrics(#[from] prometheus::Error),
    /// Something cannot be shared.
    #[error(transparent)]
    Sharing(#[from] Fault),
    /// The ledger failed, or its rules do not allow what was asked.
    #[error(transparent)]
    Ledger(#[from] cairn_ledger::Error),
    /// Another site does not do what it was asked.
    #[error(transparent)]
    Peer(#[from] crate::peer::Error),
    /// A study of another site did not come.
    #[error(transparent)]
    Fetch(#[from] crate::fetch::Error),
    /// The server on this archive could not do what was asked of it.
    #[error("{why}")]
    Answered {
        /// In its words.
        why: String,
        /// The exit code that it comes to.
        code: u8,
    },
    /// A step of the demo could not even be tried.
    #[error("{0}")]
    Demo(String),
}

impl Error {
    /// For `map_err` on file operations.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// The exit code that it comes to.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Config { .. }
            | Self::Usage(_)
            | Self::Passcode(NotHashed::Name)
            | Self::Sharing(Fault::Word { .. } | Fault::Name(_)) => 2,
            Self::Answered { code, .. } => *code,
            // As a shell reports a program that SIGPIPE ended: `cairn ls | head` is no failure of
            // ours.
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => 141,
            _ => 1,
        }
    }

    /// Is there somebody to tell?
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.exit_code() == 141
    }
}
