//! What can be asked for.

use serde::{Deserialize, Serialize};

use super::super::glass::Break;
use super::super::grants::Revoke;
use super::super::patients::BindPatient;
use super::super::share::Share;
use super::super::usage::Period;
use crate::collection::Wish as Collection;
use crate::fetch::{Consented, TakeOver, Wish};
use crate::identity::tokens::Wish as TokenWish;

/// A request. Whoever adds one says what it needs, and how it is answered in [`super::answer`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Begin the ledger.
    Join { name: String },
    /// How it stands.
    Status,
    /// Grant a study.
    Share(Share),
    /// Fetch a study of another site; how far it is, is an event.
    Fetch(Wish),
    /// Bind a patient's key to their studies.
    BindPatient(BindPatient),
    /// List the patients whose keys are known; each is an event.
    Patients,
    /// Grant what a patient signed, as text.
    Consent { statement: String },
    /// Show what a patient signed to the owner of the study, and fetch it; how far it is, is an event.
    FetchConsented(Consented),
    /// End grants.
    Revoke(Revoke),
    /// Open another site's study in an emergency, and fetch it; how far it is, is an event.
    BreakGlass(Break),
    /// List emergency accesses, to this site's studies and of this site, that wait for a review, or all;
    /// each is an event.
    Broken { all: bool },
    /// Review one.
    Review { site: String, entry: u64, verdict: String },
    /// Hand a study over to another site.
    HandOver { study_uid: String, to: String },
    /// Take over a study that another site has handed to this one, and fetch it if it is not here; how far
    /// that is, is an event.
    TakeOver(TakeOver),
    /// List studies that were handed to this site; each is an event.
    Handed,
    /// List grants; each is an event.
    Grants,
    /// Accept a grant of another site.
    Accept { from: String, grant: u64 },
    /// List peers; each is an event.
    Peers,
    /// Who is at an address?
    Meet { url: String },
    /// Make who is there a peer, if it is who was compared.
    AddPeer { url: String, fingerprint: String },
    /// Make it none.
    RemovePeer { site: String },
    /// One round with one or all, now; each is an event.
    Sync { site: Option<String> },
    /// Audit all logs on disk; each is an event.
    Verify,
    /// Count who registered, granted and retrieved how much; each row is an event.
    Usage(Period),
    /// Entries of a log, as a list.
    Entries { of: Option<String>, from: u64, most: u64 },
    /// The proof of an entry, as text.
    Prove { sequence: u64, of: Option<String> },
    /// Keys to check proofs of a log with.
    ProofKeys { origin: String },
    /// Replace the site's keys.
    Rotate,
    /// Take back the place of what was deleted; how far that is, is an event.
    Collect(Collection),
    /// Make a service token; the answer has its text.
    MakeToken(TokenWish),
    /// Take one away.
    RevokeToken { which: String },
}

/// Does a request need the archive?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// The ledger alone.
    Ledger,
    /// Study Instance UIDs are told if there is an archive.
    ArchiveIfThere,
    /// It cannot do without.
    Archive,
}

impl Request {
    /// What has to be open to answer it.
    pub(crate) fn needs(&self) -> Need {
        match self {
            Self::Share(_)
            | Self::Fetch(_)
            | Self::BreakGlass(_)
            | Self::HandOver { .. }
            | Self::BindPatient(_)
            | Self::Consent { .. }
            | Self::FetchConsented(_)
            | Self::TakeOver(_)
            | Self::Collect(_) => Need::Archive,
            Self::Grants | Self::Revoke(_) | Self::Broken { .. } | Self::Usage(_) => {
                Need::ArchiveIfThere
            }
            _ => Need::Ledger,
        }
    }

    /// Does it add to the ledger? Then others are asked first whether theirs is the same.
    pub(crate) fn adds(&self) -> bool {
        matches!(
            self,
            Self::Share(_)
                | Self::Fetch(_)
                | Self::BreakGlass(_)
                | Self::HandOver { .. }
                | Self::BindPatient(_)
                | Self::Consent { .. }
                | Self::FetchConsented(_)
                | Self::TakeOver(_)
                | Self::Review { .. }
                | Self::Revoke(_)
                | Self::Accept { .. }
                | Self::Rotate
        )
    }
}
