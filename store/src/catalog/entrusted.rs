//! What came from other sites and may not be kept once their grants have ended.
//!
//! A version is **entrusted** if it came in as such
//! ([`Source::Entrusted`](crate::commit::Source::Entrusted)) and by no other way: commits say that, so a
//! rebuild knows it. The same content from anywhere else makes it this archive's own, without another
//! version of it. What is deleted is entrusted no more.
//!
//! Whether a grant lasts is not known here. Whoever knows gives back what is entrusted
//! ([`Ingest::give_back`](crate::ingest::Ingest::give_back)), or says that it may be kept.

use crate::error::Result;

/// See the [module](self). Part of every [`Catalog`](super::Catalog).
pub trait Entrusted {
    /// Studies of which something is entrusted, by UID.
    fn entrusted_studies(&self) -> Result<Vec<String>>;

    /// These versions, by sequence number, may be kept from now on, entrusted or not. Durable when this
    /// returns.
    fn keep(&self, seqs: &[u64]) -> Result<()>;
}
