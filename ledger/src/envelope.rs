//! What is signed here: COSE_Sign1 (RFC 9052 §4.2), tagged, in one encoding.
//!
//! The protected header holds the algorithm and nothing else, the unprotected one is empty. Whoever
//! reads one encodes it anew and compares, so that it can be said in one way only. What else is signed
//! along (RFC 9052 §4.3) tells one kind of thing from another: no statement passes for an entry.

use coset::iana::Algorithm;
use coset::{CoseSign1, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable};
use ed25519_dalek::{Signer, SigningKey};

use crate::keys::verify;
use crate::{Error, Result};

/// How something is signed.
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

/// A signed payload with its bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Envelope {
    cose: CoseSign1,
    bytes: Vec<u8>,
}

impl Envelope {
    /// Signs a payload together with `along`, in at most `bytes_max` bytes.
    pub(crate) fn sign(
        suite: Suite,
        payload: Vec<u8>,
        along: &[u8],
        key: &SigningKey,
        bytes_max: usize,
    ) -> Result<Self> {
        let cose = unsigned(suite, payload)
            .create_signature(along, |message| key.sign(message).to_bytes().to_vec())
            .build();
        let bytes = encode(&cose)?;
        if bytes.len() > bytes_max {
            return Err(Error::Envelope("it is too long"));
        }
        Ok(Self { cose, bytes })
    }

    /// Reads one whose payload `read` makes something of, and says how it is signed; says nothing of the
    /// signature.
    pub(crate) fn decode<T>(
        bytes: &[u8],
        bytes_max: usize,
        read: impl FnOnce(&[u8]) -> Result<(Suite, T)>,
    ) -> Result<(Self, T)> {
        if bytes.len() > bytes_max {
            return Err(Error::Envelope("it is too long"));
        }
        let cose = CoseSign1::from_tagged_slice(bytes)
            .map_err(|_| Error::Envelope("it is not a COSE_Sign1"))?;
        let payload = cose.payload.as_deref().ok_or(Error::Envelope("it has no payload"))?;
        let (suite, said) = read(payload)?;
        if cose.signature.len() != suite.signature_bytes() {
            return Err(Error::Envelope("its signature has another length"));
        }
        let again = unsigned(suite, payload.to_vec()).signature(cose.signature).build();
        if encode(&again)? != bytes {
            return Err(Error::Envelope(
                "it is another encoding of the same, or has other headers",
            ));
        }
        Ok((Self { cose: again, bytes: bytes.to_vec() }, said))
    }

    /// Was this signed with `key`, together with `along`? `what` names it in the error.
    pub(crate) fn verify(&self, along: &[u8], key: &[u8; 32], what: &'static str) -> Result<()> {
        self.cose.verify_signature(along, |signature, message| {
            let signature = signature.try_into().map_err(|_| Error::Signature(what))?;
            let holds = verify(key, message, signature);
            if holds { Ok(()) } else { Err(Error::Signature(what)) }
        })
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn unsigned(suite: Suite, payload: Vec<u8>) -> CoseSign1Builder {
    let protected = HeaderBuilder::new().algorithm(suite.algorithm()).build();
    CoseSign1Builder::new().protected(protected).payload(payload)
}

fn encode(cose: &CoseSign1) -> Result<Vec<u8>> {
    cose.clone().to_tagged_vec().map_err(|_| Error::Envelope("it cannot be encoded"))
}
