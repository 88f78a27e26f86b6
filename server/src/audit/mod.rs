//! Who looked at what: a line for each access, also for those that were refused.
//!
//! ```text
//! http::service, dimse::association, dimse::store ─▶ Event ─▶ Log: chain, write, answer, sync ─▶ audit/N.jsonl
//!                                                              walk ◀─ show, verify, export ◀──────┘
//! ```
//!
//! `meaning` says what a line is in the standard's words; `dicom` and `fhir` write it so, `syslog` sends it.
//!
//! Invariants: a request that was answered has its line, or is answered with a refusal because there can
//! be none; a line that was changed, taken out or moved is found; no name of a patient and nothing that
//! was searched for is in it; what it has to hold, UIDs of studies, is in no other log.

mod chain;
pub(crate) mod dicom;
mod event;
pub(crate) mod fhir;
mod follow;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod log;
mod meaning;
mod reading;
pub(crate) mod syslog;

use std::path::{Path, PathBuf};

pub(crate) use chain::Head;
pub(crate) use event::{Event, Face, Line, NOTE_BYTES_MAX, clean, clean_note};
pub(crate) use log::{Log, NotWritten};
pub(crate) use reading::{Found, walk};

/// Where the log of an archive is.
pub(crate) fn folder(data: &Path) -> PathBuf {
    data.join("audit")
}

/// Where lines go.
#[derive(Default)]
pub(crate) enum Audit {
    /// Nowhere: none are kept.
    #[default]
    Nowhere,
    /// Into the log of a server.
    Log(Log),
    /// Into the log in this folder, which no server has open: one line of a command at a time.
    Apart(PathBuf),
}

impl Audit {
    /// Into this log.
    pub(crate) fn into(log: Log) -> Self {
        Self::Log(log)
    }

    /// Writes a line.
    pub(crate) fn tell(&self, event: Event) -> Result<(), NotWritten> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Log(log) => log.tell(event),
            Self::Apart(folder) => Log::append(folder, event).map_err(|error| {
                tracing::error!(%error, "the audit log cannot be written");
                NotWritten
            }),
        }
    }

    /// Brings all of it to the disk: no more requests are answered.
    pub(crate) fn close(&self) {
        if let Self::Log(log) = self {
            log.close();
        }
    }

    /// Would a line be written? One that was not is tried again first.
    pub(crate) fn is_well(&self) -> bool {
        let Self::Log(log) = self else { return true };
        log.try_again();
        log.is_well()
    }
}
