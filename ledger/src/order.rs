//! What the rest of Cairn asks of a ledger, whatever puts its entries in order.
//!
//! Today each site orders its own log ([`crate::log::SiteLog`]): a study has one owner at a time, so
//! nothing has to be ordered between sites. An engine that orders the entries of all sites implements
//! the same trait: a body goes in, and comes back as an entry with a place, a leaf hash and a signed
//! head that covers it.

use std::ops::Range;

use crate::Result;
use crate::checkpoint::SignedCheckpoint;
use crate::entry::Body;
use crate::id::Link;
use crate::merkle::{ConsistencyProof, InclusionProof};
use crate::state::SiteState;

/// An entry that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The entry.
    pub link: Link,
    /// Its time, in seconds since the epoch.
    pub time: u64,
    /// Size of the first head that covers it.
    pub head_size: u64,
}

/// An append-only, ordered and durable log of signed entries.
pub trait Order: Send + Sync {
    /// Logs one body; returns once it is durable.
    fn append(&self, body: Body) -> Result<Logged>;

    /// Logs bodies in this order; each is taken or refused by itself. They may share a commit.
    fn append_all(&self, bodies: Vec<Body>) -> Vec<Result<Logged>>;

    /// The last head that is durable.
    fn head(&self) -> SignedCheckpoint;

    /// The bytes of durable entries.
    fn entries(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>>;

    /// Shows that the tree of `size` entries has the one at `sequence`.
    fn inclusion(&self, sequence: u64, size: u64) -> Result<InclusionProof>;

    /// Shows that the tree of `new` entries begins with that of `old`.
    fn consistency(&self, old: u64, new: u64) -> Result<ConsistencyProof>;

    /// Lends the state after all durable entries.
    fn read(&self, read: &mut dyn FnMut(&SiteState));
}
