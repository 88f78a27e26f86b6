//! What is under way with one other site.

use std::sync::{Arc, Mutex, RwLock};

use cairn_ledger::checkpoint::SignedCheckpoint;
use cairn_ledger::id::SiteId;
use cairn_ledger::mirror::Mirror;
use cairn_ledger::quorum::Quorum;
use cairn_store::disk::OsDisk;
use tokio::sync::Notify;

use super::folder::Folder;
use super::record::Record;
use super::{read, write};

/// Checkpoints that wait until the mirror is free: more come again at the next turn.
const HEARD_MAX: usize = 16;

/// One other site.
pub(super) struct Peering {
    pub(super) site: SiteId,
    record: RwLock<Record>,
    /// Its log. Held while it is followed, which may take long; `Err`: it cannot be read, and why.
    pub(super) mirror: Mutex<Result<Mirror, String>>,
    /// Held from the beginning of a round to its end.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Its next round shall not wait.
    pub(super) soon: Notify,
    pub(super) progress: Mutex<Progress>,
    /// What others showed of its log.
    heard: Mutex<Vec<SignedCheckpoint>>,
}

/// How it goes with another site.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// Entries of this site's log that it has cosigned.
    pub(super) cosigned: u64,
    /// Entries of this site's log that it was told of.
    pub(super) nudged: u64,
    /// When a round last went well, in seconds since the epoch.
    pub(super) reached: Option<u64>,
    /// Why the last one did not.
    pub(super) failure: Option<String>,
    /// Rounds that did not go well, since the process began.
    pub(super) failures: u64,
}

impl Peering {
    /// Opens the mirror of a site on record. One that cannot be read stops the use of that log, and
    /// nothing else.
    pub(super) fn open(folder: &Folder, site: SiteId, record: Record, quorum: Quorum) -> Arc<Self> {
        let mirror = Mirror::open(Arc::new(OsDisk), &folder.mirror(&site), site, quorum);
        if let Err(error) = &mirror {
            tracing::error!(peer = record.name, %error, "the mirror of a ledger cannot be used");
        }
        Arc::new(Self {
            site,
            record: RwLock::new(record),
            mirror: Mutex::new(mirror.map_err(|error| error.to_string())),
            turn: tokio::sync::Mutex::new(()),
            soon: Notify::new(),
            progress: Mutex::default(),
            heard: Mutex::default(),
        })
    }

    /// What is on record of it.
    pub(super) fn record(&self) -> Record {
        read(&self.record).clone()
    }

    /// Puts another record in the place of the one there.
    pub(super) fn set_record(&self, record: Record) {
        *write(&self.record) = record;
    }

    /// Keeps a checkpoint that somebody showed of its log until the mirror looks at it.
    pub(super) fn hear(&self, shown: SignedCheckpoint) {
        let mut heard = super::lock(&self.heard);
        if heard.len() == HEARD_MAX {
            heard.remove(0);
        }
        if !heard.contains(&shown) {
            heard.push(shown);
        }
    }

    /// What was heard since the last call.
    pub(super) fn take_heard(&self) -> Vec<SignedCheckpoint> {
        std::mem::take(&mut super::lock(&self.heard))
    }
}
