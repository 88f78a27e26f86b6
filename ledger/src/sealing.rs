//! What one site hands another so that only that one can read it: HPKE (RFC 9180) in base mode.
//!
//! Base mode does not say who sealed. An opening stands in a signed grant; keys come over a connection
//! whose other end has shown its key.

use cairn_chunker::cbor::Writer;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use zeroize::Zeroizing;

use crate::id::{SiteId, StudyId};
use crate::keys::{SiteSecret, sealing_key};
use crate::{Error, Result};

/// DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. A hybrid with ML-KEM gets the next
/// number.
pub(crate) const SUITE_X25519: u64 = 1;
pub(crate) const ENCAPSULATED_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// What sealing adds to the length.
pub const SEAL_BYTES: usize = ENCAPSULATED_BYTES + TAG_BYTES;

/// What is sealed. One kind opens as no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The opening of a commitment: see [`crate::opening`].
    Opening,
    /// Keys of records that are read straight from the owner's bucket.
    Loans,
}

impl Content {
    fn info(self) -> &'static [u8] {
        match self {
            Self::Opening => b"cairn 2026-11 v1 sealed opening",
            Self::Loans => b"cairn 2026-11 v1 sealed loans",
        }
    }
}

/// What is sealed is bound to this: it opens in no other place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedFor {
    /// Who seals it: the study's owner.
    pub from: SiteId,
    /// Who opens it.
    pub to: SiteId,
    /// Of which study.
    pub study: StudyId,
    /// Of which version.
    pub version: u64,
}

impl SealedFor {
    fn bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(4).bytes(&self.from.0).bytes(&self.to.0).bytes(&self.study.0);
        writer.uint(self.version);
        writer.finish()
    }
}

/// Seals to the `seal` key of who shall open it: the encapsulated key, then the ciphertext.
pub fn seal(
    content: Content,
    for_whom: &SealedFor,
    key: &[u8; 32],
    plain: &[u8],
) -> Result<Vec<u8>> {
    let (encapsulated, ciphertext) =
        hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &sealing_key(key)?,
            content.info(),
            plain,
            &for_whom.bytes(),
        )
        .map_err(|_| Error::Sealed)?;
    let mut bytes = vec![0; ENCAPSULATED_BYTES];
    encapsulated.write_exact(&mut bytes);
    bytes.extend(ciphertext);
    Ok(bytes)
}

/// Opens what [`seal`] made.
pub fn open(
    content: Content,
    for_whom: &SealedFor,
    secret: &SiteSecret,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>> {
    let (encapsulated, ciphertext) =
        sealed.split_at_checked(ENCAPSULATED_BYTES).ok_or(Error::Sealed)?;
    let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated)
        .map_err(|_| Error::Sealed)?;
    hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &secret.opening_key(),
        &encapsulated,
        content.info(),
        ciphertext,
        &for_whom.bytes(),
    )
    .map(Zeroizing::new)
    .map_err(|_| Error::Sealed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_sealed_opens_for_its_addressee_in_its_place_only() {
        let (to, other) = (SiteSecret::from_seed([1; 32]), SiteSecret::from_seed([2; 32]));
        let place = SealedFor {
            from: SiteId([1; 32]),
            to: SiteId([2; 32]),
            study: StudyId([3; 32]),
            version: 4,
        };
        let sealed = seal(Content::Loans, &place, &to.public().seal, b"keys").unwrap();
        assert_eq!(sealed.len(), b"keys".len() + SEAL_BYTES);
        assert_eq!(*open(Content::Loans, &place, &to, &sealed).unwrap(), b"keys");
        assert!(open(Content::Loans, &place, &other, &sealed).is_err(), "another site");
        assert!(open(Content::Opening, &place, &to, &sealed).is_err(), "as something else");
        for place in [
            SealedFor { from: SiteId([9; 32]), ..place },
            SealedFor { to: SiteId([9; 32]), ..place },
            SealedFor { study: StudyId([9; 32]), ..place },
            SealedFor { version: 9, ..place },
        ] {
            assert!(open(Content::Loans, &place, &to, &sealed).is_err(), "{place:?}");
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(Content::Loans, &place, &to, &changed).is_err(), "bit of byte {at}");
            assert!(open(Content::Loans, &place, &to, &sealed[..at]).is_err(), "cut at {at}");
        }
    }
}
