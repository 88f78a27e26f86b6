//! Entries signed as COSE_Sign1 (RFC 9052 §4.2), tagged, in one encoding.
//!
//! The protected header holds the algorithm and nothing else, the unprotected one is empty; the
//! payload names the suite again, under the signature. Whoever reads an entry encodes it anew and
//! compares, so that what a leaf hash covers can be said in one way only.

use coset::iana::Algorithm;
use coset::{CoseSign1, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable};
use ed25519_dalek::{Signer, SigningKey};

use super::Entry;
use crate::id::{LeafHash, Link};
use crate::keys::verify;
use crate::limits::ENTRY_BYTES_MAX;
use crate::merkle::leaf_hash;
use crate::{Error, Result};

/// Signed along (RFC 9052 §4.3), so that no other protocol's COSE_Sign1 passes for an entry.
const EXTERNAL_AAD: &[u8] = b"cairn 2026-11 v1 ledger entry";

/// How an entry is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Ed25519 (RFC 8032), COSE algorithm -19 (RFC 9864). Number 2 is kept for Ed25519 together with
    /// ML-DSA-44, both signatures in one byte string.
    Ed25519,
}

impl Suite {
    /// Its number in the encoding.
    #[must_use]
    pub fn id(self) -> u64 {
        match self {
            Self::Ed25519 => 1,
        }
    }

    /// The suite with this number.
    #[must_use]
    pub fn from_id(id: u64) -> Option<Self> {
        (id == 1).then_some(Self::Ed25519)
    }

    fn algorithm(self) -> Algorithm {
        match self {
            Self::Ed25519 => Algorithm::Ed25519,
        }
    }

    fn signature_bytes(self) -> usize {
        match self {
            Self::Ed25519 => 64,
        }
    }
}

/// An entry with the bytes that the log holds.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedEntry {
    entry: Entry,
    cose: CoseSign1,
    bytes: Vec<u8>,
    leaf: LeafHash,
}

impl SignedEntry {
    /// Signs an entry.
    pub fn sign(entry: Entry, key: &SigningKey) -> Result<Self> {
        let suite = Suite::Ed25519;
        let cose = unsigned(suite, entry.encode(suite))
            .create_signature(EXTERNAL_AAD, |message| key.sign(message).to_bytes().to_vec())
            .build();
        let bytes = encode(&cose)?;
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(Error::Envelope("it is too long"));
        }
        let leaf = leaf_hash(&bytes);
        Ok(Self { entry, cose, bytes, leaf })
    }

    /// Reads an entry; says nothing of its signature.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(Error::Envelope("it is too long"));
        }
        let cose = CoseSign1::from_tagged_slice(bytes)
            .map_err(|_| Error::Envelope("it is not a COSE_Sign1"))?;
        let payload = cose.payload.as_deref().ok_or(Error::Envelope("it has no payload"))?;
        let (suite, entry) = Entry::decode(payload)?;
        if cose.signature.len() != suite.signature_bytes() {
            return Err(Error::Envelope("its signature has another length"));
        }
        let again = unsigned(suite, payload.to_vec()).signature(cose.signature).build();
        if encode(&again)? != bytes {
            return Err(Error::Envelope(
                "it is another encoding of the same, or has other headers",
            ));
        }
        Ok(Self { entry, cose: again, bytes: bytes.to_vec(), leaf: leaf_hash(bytes) })
    }

    /// Checks the signature.
    pub fn verify(&self, key: &[u8; 32]) -> Result<()> {
        self.cose.verify_signature(EXTERNAL_AAD, |signature, message| {
            let signature = signature.try_into().map_err(|_| Error::Signature("an entry"))?;
            let holds = verify(key, message, signature);
            if holds { Ok(()) } else { Err(Error::Signature("an entry")) }
        })
    }

    /// What it says.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The bytes in the log.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
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

fn unsigned(suite: Suite, payload: Vec<u8>) -> CoseSign1Builder {
    let protected = HeaderBuilder::new().algorithm(suite.algorithm()).build();
    CoseSign1Builder::new().protected(protected).payload(payload)
}

fn encode(cose: &CoseSign1) -> Result<Vec<u8>> {
    cose.clone().to_tagged_vec().map_err(|_| Error::Envelope("it cannot be encoded"))
}
