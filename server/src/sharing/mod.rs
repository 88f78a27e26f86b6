//! This site as a member of a federation: its own log, those of others, and what is shared.
//!
//! ```text
//! share, revoke, accept ─▶ own log ─▶ cosigned by others ─▶ published ─▶ mirrored by others
//!                          their logs, mirrored and replayed ─▶ "may this key read this study?"
//! ```
//!
//! - Nothing here decides by itself who may read: questions go to [`Federation`], which knows nothing
//!   but logs.
//! - What waits for the network holds no lock that a question needs.
//! - An edition of a study is written down before its entry, and the entry is durable before anybody is
//!   told of it.
//! - A site whose own log is behind what others have seen of it adds nothing more: it would be a fork.

mod attest;
pub(crate) mod control;
mod duties;
mod editions;
mod entries;
mod fault;
mod fingerprint;
mod folder;
mod glass;
mod grants;
mod handover;
mod introduce;
mod keys;
pub(crate) mod patients;
mod peering;
mod proof;
mod publish;
mod record;
mod rotate;
mod round;
mod sealed;
mod share;
mod site;
mod sync;
mod told;
mod tombstones;
mod usage;
mod verify;
mod view;
mod words;

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use url::Url;

pub(crate) use duties::run as do_duties;
pub(crate) use editions::settle_editions;
pub(crate) use fault::Fault;
pub(crate) use fingerprint::Fingerprint;
pub(crate) use glass::{Break, Breaker, Broken, COMMANDS, GlassFigures, Opened};
pub(crate) use grants::{GrantLine, ReceivedGrant, Revocation, Revoke};
pub(crate) use handover::{HandOver, Handed, HandedOver};
pub(crate) use introduce::Introduction;
pub(crate) use proof::{Keys as ProofKeys, Proof, check as check_proof, origin_of as proof_origin};
pub(crate) use share::{Share, Shared, days, refer};
pub(crate) use site::{Peer, Site};
pub(crate) use sync::run as keep_in_touch;
pub(crate) use told::{Figures, PeerLine, Status, Synced};
pub(crate) use usage::{LedgerRow, Month, PairRow, Period, SiteRow, UsageRow};
pub(crate) use verify::Verified;
pub(crate) use words::{GLASS_REASONS, PURPOSES, REASONS, REVIEWS};

/// How a site behaves among others.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where others reach this one.
    pub(crate) listen: Option<SocketAddr>,
    /// Under which name its log is begun.
    pub(crate) name: Option<String>,
    /// The URL to tell others.
    pub(crate) url: Option<String>,
    /// How often others are asked for news.
    pub(crate) sync: Duration,
    /// For how long what is known of another log counts as its latest.
    pub(crate) stale_seconds: u64,
    /// Sites whose studies are fetched as soon as they are granted: names, or beginnings of ids; `*`: all.
    pub(crate) prefetch: Vec<String>,
    /// How URLs begin at which chunks of others may be read straight from their buckets.
    pub(crate) buckets: Vec<Url>,
    /// Cosignatures that make a checkpoint of another count.
    pub(crate) witnesses: usize,
    /// For how long an emergency access may wait for its review before its group opens no other.
    pub(crate) glass_review_seconds: u64,
    /// Is a site that is known told, in an emergency, what a study is called here by its UID?
    pub(crate) glass_by_uid: bool,
}

// No lock here guards anything that a panic could leave half done.

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
