//! Entries as they are signed: see [`crate::envelope`].
//!
//! The payload names the suite again, under the signature.

use ed25519_dalek::SigningKey;

use super::Entry;
use crate::Result;
use crate::envelope::Envelope;
pub use crate::envelope::Suite;
use crate::id::{LeafHash, Link};
use crate::limits::ENTRY_BYTES_MAX;
use crate::merkle::leaf_hash;

/// Signed along (RFC 9052 §4.3), so that no other protocol's COSE_Sign1 passes for an entry.
const EXTERNAL_AAD: &[u8] = b"cairn 2026-11 v1 ledger entry";

/// An entry with the bytes that the log holds.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedEntry {
    entry: Entry,
    envelope: Envelope,
    leaf: LeafHash,
}

impl SignedEntry {
    /// Signs an entry.
    pub fn sign(entry: Entry, key: &SigningKey) -> Result<Self> {
        let suite = Suite::Ed25519;
        let payload = entry.encode(suite);
        let envelope = Envelope::sign(suite, payload, EXTERNAL_AAD, key, ENTRY_BYTES_MAX)?;
        let leaf = leaf_hash(envelope.bytes());
        Ok(Self { entry, envelope, leaf })
    }

    /// Reads an entry; says nothing of its signature.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (envelope, entry) = Envelope::decode(bytes, ENTRY_BYTES_MAX, Entry::decode)?;
        Ok(Self { entry, envelope, leaf: leaf_hash(bytes) })
    }

    /// Checks the signature.
    pub fn verify(&self, key: &[u8; 32]) -> Result<()> {
        self.envelope.verify(EXTERNAL_AAD, key, "an entry")
    }

    /// What it says.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The bytes in the log.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.envelope.bytes()
    }

    /// Its leaf hash.
    #[must_use]
    pub fn leaf(&self) -> LeafHash {
        self.leaf
    }

    /// Names it for entries of other logs.
    #[must_use]
    pub fn link(&self) -> Link {
        let header = &self.entry.header;
        Link { site: header.site, sequence: header.sequence, leaf: self.leaf }
    }
}
