//! Blinded commitments to roots, and how their openings travel.
//!
//! A root hash is not published as it is: whoever holds a copy of the images could look for it and
//! learn that another hospital registered them. An entry carries `BLAKE3-keyed(blinding, root)` with
//! a blinding of 32 random bytes of its own. The opening (root and blinding) is sealed to the
//! grantee's key by HPKE (RFC 9180, base mode) inside the grant, so members that mirror the log
//! cannot open it. HPKE's base mode does not say who sealed; the signature over the grant does.

use std::fmt;

use cairn_chunker::cbor::{Reader, Writer};
use cairn_chunker::id::StudyRoot;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::id::{Commitment, random};
use crate::keys::SiteSecret;
use crate::limits::SEALED_BYTES_MAX;
pub use crate::sealing::SealedFor;
use crate::sealing::{Content, SEAL_BYTES, SUITE_X25519, open, seal};
use crate::{Error, Result};

const CONTEXT_ROOT: &[u8] = b"cairn 2026-11 v1 root commitment\n";
const CONTEXT_PATIENT: &[u8] = b"cairn 2026-11 v1 patient key commitment\n";
const PLAIN_BYTES: usize = 64;

/// 32 random bytes that hide what a commitment binds to. Wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Blinding(pub [u8; 32]);

impl fmt::Debug for Blinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blinding")
    }
}

impl Blinding {
    /// Draws a new one; each commitment takes its own.
    pub fn generate() -> Result<Self> {
        random().map(Self)
    }

    /// Commits to a patient's public key for one study. The patient holds the opening.
    #[must_use]
    pub fn commit_patient_key(&self, key: &[u8; 32]) -> Commitment {
        self.commit(CONTEXT_PATIENT, key)
    }

    fn commit(&self, context: &[u8], value: &[u8; 32]) -> Commitment {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(context).update(value);
        Commitment(*hasher.finalize().as_bytes())
    }
}

/// What a commitment to a root binds to, and what it was blinded with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opening {
    /// Names the study's content.
    pub root: StudyRoot,
    /// The value of the entry that carries the commitment.
    pub blinding: Blinding,
}

impl Opening {
    /// An opening for a new commitment to `root`.
    pub fn generate(root: StudyRoot) -> Result<Self> {
        Ok(Self { root, blinding: Blinding::generate()? })
    }

    /// The commitment that it opens.
    #[must_use]
    pub fn commitment(&self) -> Commitment {
        self.blinding.commit(CONTEXT_ROOT, &self.root.0)
    }

    /// Seals it to the `seal` key of `to`, for this study and version alone.
    pub fn seal(&self, for_whom: &SealedFor, key: &[u8; 32]) -> Result<Sealed> {
        let mut plain = Zeroizing::new([0; PLAIN_BYTES]);
        plain[..32].copy_from_slice(&self.root.0);
        plain[32..].copy_from_slice(&self.blinding.0);
        let bytes = seal(Content::Opening, for_whom, key, &*plain)?;
        Ok(Sealed { suite: SUITE_X25519, bytes })
    }
}

/// An opening that only its addressee can read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sealed {
    suite: u64,
    bytes: Vec<u8>,
}

impl Sealed {
    /// Opens it and checks it against the commitment on the ledger.
    pub fn open(
        &self,
        secret: &SiteSecret,
        for_whom: &SealedFor,
        commitment: &Commitment,
    ) -> Result<Opening> {
        if self.suite != SUITE_X25519 {
            return Err(Error::Sealed);
        }
        let plain = open(Content::Opening, for_whom, secret, &self.bytes)?;
        let ([root, blinding], []) = plain.as_chunks::<32>() else { return Err(Error::Sealed) };
        let opening = Opening { root: StudyRoot(*root), blinding: Blinding(*blinding) };
        if opening.commitment() == *commitment { Ok(opening) } else { Err(Error::Sealed) }
    }

    /// One that another implementation made; a suite that this build does not know can be carried, and
    /// not opened.
    pub fn new(suite: u64, bytes: Vec<u8>) -> Result<Self> {
        let known = suite != SUITE_X25519 || bytes.len() == PLAIN_BYTES + SEAL_BYTES;
        let fits = known && bytes.len() <= SEALED_BYTES_MAX;
        if fits { Ok(Self { suite, bytes }) } else { Err(Error::Sealed) }
    }

    /// As a grant has it: what one site hands another.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.finish()
    }

    /// Reads [`Sealed::encode`] back.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, "sealed opening");
        let sealed = Self::read(&mut reader)?;
        reader.end()?;
        Ok(sealed)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.array(2).uint(self.suite).bytes(&self.bytes);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        reader.array_of(2)?;
        let (suite, bytes) = (reader.uint()?, reader.bytes(SEALED_BYTES_MAX)?.to_vec());
        let sealed = Self::new(suite, bytes);
        sealed.map_err(|_| reader.fault("a sealed opening has another length").into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::id::{SiteId, StudyId};

    #[test]
    fn a_sealed_opening_opens_for_its_addressee_in_its_place_only() {
        let (to, other) = (SiteSecret::from_seed([1; 32]), SiteSecret::from_seed([2; 32]));
        let opening = Opening::generate(StudyRoot([5; 32])).unwrap();
        let place = SealedFor {
            from: SiteId([1; 32]),
            to: SiteId([2; 32]),
            study: StudyId([3; 32]),
            version: 4,
        };
        let sealed = opening.seal(&place, &to.public().seal).unwrap();
        let commitment = opening.commitment();
        assert_eq!(sealed.open(&to, &place, &commitment).unwrap(), opening);
        assert!(sealed.open(&other, &place, &commitment).is_err(), "another site");
        assert!(sealed.open(&to, &place, &Commitment([0; 32])).is_err(), "another commitment");
        let elsewhere = [
            SealedFor { from: SiteId([9; 32]), ..place },
            SealedFor { to: SiteId([9; 32]), ..place },
            SealedFor { study: StudyId([9; 32]), ..place },
            SealedFor { version: 9, ..place },
        ];
        for place in elsewhere {
            assert!(sealed.open(&to, &place, &commitment).is_err(), "{place:?}");
        }
    }

    #[test]
    fn the_same_root_is_committed_to_differently_each_time() {
        let root = StudyRoot([5; 32]);
        let (a, b) = (Opening::generate(root).unwrap(), Opening::generate(root).unwrap());
        assert_ne!(a.commitment(), b.commitment());
        // A root and a patient key of the same bytes do not commit alike.
        assert_ne!(a.commitment(), a.blinding.commit_patient_key(&root.0));
    }
}
