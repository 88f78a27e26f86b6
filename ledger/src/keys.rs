//! The keys of a site: one secret, and a key for each thing that is signed or opened with it.
//!
//! Each role has a key of its own, so that what is signed in one can never be read as something
//! signed in another: entries, checkpoints, cosignatures, TLS, sealed openings. The public halves
//! stand in the site's join entry and, after a rotation, in its rotate entries; there is no
//! certificate authority.

use std::fmt;
use std::path::Path;

use cairn_chunker::cbor::{Reader, Writer};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, Serializable};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::id::{SiteId, random};
use crate::key_file::{self, KeyFile};
use crate::{Error, Result};

const CONTEXT_SIGN: &str = "cairn 2026-11 v1 ledger entry signing key";
const CONTEXT_LOG: &str = "cairn 2026-11 v1 ledger checkpoint key";
const CONTEXT_WITNESS: &str = "cairn 2026-11 v1 ledger witness key";
const CONTEXT_TLS: &str = "cairn 2026-11 v1 ledger tls key";
const CONTEXT_SEAL: &str = "cairn 2026-11 v1 ledger sealing key";
/// Starts what a key signs to show that whoever names it holds it.
const POSSESSION: &[u8] = b"cairn 2026-11 v1 key possession\n";
const KEY_FILE: KeyFile = KeyFile {
    tag: "cairn-ledger-key-v1",
    fault: "it is not a ledger key file of this version",
    head: "# Cairn ledger key. Whoever has it can speak and be spoken to as this site.\n\
           # Keep a copy in a safe place away from this machine. Show it to nobody.\n",
};

/// What a site signs and opens with. Never printed, wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop, Clone)]
pub struct SiteSecret {
    seed: [u8; 32],
    sign: [u8; 32],
    log: [u8; 32],
    witness: [u8; 32],
    tls: [u8; 32],
}

impl fmt::Debug for SiteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SiteSecret")
    }
}

/// The public keys that a join or rotate entry binds to a site.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SiteKeys {
    /// Ed25519: signs entries and countersigns receipts.
    pub sign: [u8; 32],
    /// Ed25519: signs checkpoints of the site's own log (C2SP signed-note type 0x01).
    pub log: [u8; 32],
    /// Ed25519: cosigns checkpoints of others (C2SP signed-note type 0x04).
    pub witness: [u8; 32],
    /// Ed25519: the key of the site's TLS certificate.
    pub tls: [u8; 32],
    /// X25519: openings are sealed to it (RFC 9180, DHKEM(X25519, HKDF-SHA256)).
    pub seal: [u8; 32],
}

impl fmt::Debug for SiteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.sign;
        write!(f, "SiteKeys({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// Signatures that show that a site holds the four signing keys that it names, in the order of the
/// fields of [`SiteKeys`]. Without them a site could name another's TLS key and pass for it.
pub type Possession = [[u8; 64]; 4];

impl SiteKeys {
    /// Bytes of the five keys in a row.
    pub(crate) const BYTES: usize = 5 * 32;

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let keys = [self.sign, self.log, self.witness, self.tls, self.seal];
        bytes.copy_from_slice(keys.as_flattened());
        bytes
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let bytes = reader.bytes(Self::BYTES)?;
        let (keys, rest) = bytes.as_chunks::<32>();
        let ([sign, log, witness, tls, seal], []) = (keys, rest) else {
            return Err(reader.fault("there are not five keys").into());
        };
        Ok(Self { sign: *sign, log: *log, witness: *witness, tls: *tls, seal: *seal })
    }

    fn signing(&self) -> [&[u8; 32]; 4] {
        [&self.sign, &self.log, &self.witness, &self.tls]
    }

    /// Are the signing keys four different points that can be verified with?
    pub(crate) fn are_usable(&self) -> bool {
        let keys = self.signing();
        let differ = (0..keys.len()).all(|i| !keys[..i].contains(&keys[i]));
        let sound = |key: &[u8; 32]| VerifyingKey::from_bytes(key).is_ok_and(|key| !key.is_weak());
        differ && keys.into_iter().all(sound)
    }

    fn possession_message(&self, site: &SiteId, sequence: u64) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(3).bytes(&site.0).uint(sequence).bytes(&self.to_bytes());
        [POSSESSION, &writer.finish()].concat()
    }

    /// Do all four keys say that they belong to `site` from entry `sequence` on?
    #[must_use]
    pub fn are_held(&self, site: &SiteId, sequence: u64, proof: &Possession) -> bool {
        let message = self.possession_message(site, sequence);
        let each = self.signing().into_iter().zip(proof);
        self.are_usable() && each.into_iter().all(|(key, made)| verify(key, &message, made))
    }
}

/// Checks an Ed25519 signature strictly: no weak keys, no second form of the same signature
/// (RFC 8032 §5.1.7 leaves both open).
#[must_use]
pub fn verify(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(key)
        .and_then(|key| key.verify_strict(message, &Signature::from_bytes(signature)))
        .is_ok()
}

impl SiteSecret {
    /// Draws a new one.
    pub fn generate() -> Result<Self> {
        Ok(Self::from_seed(random()?))
    }

    /// The secret that `seed` stands for.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let [sign, log, witness, tls] = [CONTEXT_SIGN, CONTEXT_LOG, CONTEXT_WITNESS, CONTEXT_TLS]
            .map(|context| blake3::derive_key(context, &seed));
        Self { seed, sign, log, witness, tls }
    }

    /// Reads a key file that only its owner can read.
    pub fn load(path: &Path) -> Result<Self> {
        Ok(Self::from_seed(*key_file::load(path, &KEY_FILE)?))
    }

    /// Writes a new key file, readable by the owner alone; never replaces one.
    pub fn save(&self, path: &Path) -> Result<()> {
        key_file::save(path, &KEY_FILE, &self.seed)
    }

    /// The public halves.
    #[must_use]
    pub fn public(&self) -> SiteKeys {
        let public = |secret: &[u8; 32]| SigningKey::from_bytes(secret).verifying_key().to_bytes();
        let (_, seal) = self.sealing_pair();
        let mut seal_bytes = [0; 32];
        seal.write_exact(&mut seal_bytes);
        SiteKeys {
            sign: public(&self.sign),
            log: public(&self.log),
            witness: public(&self.witness),
            tls: public(&self.tls),
            seal: seal_bytes,
        }
    }

    fn sealing_pair(
        &self,
    ) -> (<X25519HkdfSha256 as Kem>::PrivateKey, <X25519HkdfSha256 as Kem>::PublicKey) {
        let ikm = Zeroizing::new(blake3::derive_key(CONTEXT_SEAL, &self.seed));
        X25519HkdfSha256::derive_keypair(&*ikm)
    }

    pub(crate) fn opening_key(&self) -> <X25519HkdfSha256 as Kem>::PrivateKey {
        self.sealing_pair().0
    }

    /// The key that signs entries.
    #[must_use]
    pub fn entry_key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.sign)
    }

    /// The key that signs checkpoints.
    #[must_use]
    pub fn log_key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.log)
    }

    /// The key that cosigns checkpoints.
    #[must_use]
    pub fn witness_key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.witness)
    }

    /// The Ed25519 secret (RFC 8032 §5.1.5) of the site's TLS certificate.
    #[must_use]
    pub fn tls_secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.tls)
    }

    /// Shows that this secret is behind its keys, for the entry at `sequence` that binds them.
    #[must_use]
    pub fn possession(&self, site: &SiteId, sequence: u64) -> Possession {
        let message = self.public().possession_message(site, sequence);
        [&self.sign, &self.log, &self.witness, &self.tls]
            .map(|secret| SigningKey::from_bytes(secret).sign(&message).to_bytes())
    }
}

pub(crate) fn sealing_key(bytes: &[u8; 32]) -> Result<<X25519HkdfSha256 as Kem>::PublicKey> {
    <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(bytes).map_err(|_| Error::Sealed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_are_told_apart_by_role_and_survive_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/ledger.key");
        let secret = SiteSecret::generate().unwrap();
        secret.save(&path).unwrap();
        assert!(secret.save(&path).is_err(), "a key is never replaced");
        let keys = SiteSecret::load(&path).unwrap().public();
        assert_eq!(keys, secret.public());
        assert!(keys.are_usable());
        assert!(!SiteKeys { log: keys.sign, ..keys }.are_usable(), "one key in two roles");
        assert!(!SiteKeys { tls: [0; 32], ..keys }.are_usable(), "a weak key");
    }

    #[test]
    fn nobody_binds_keys_that_are_not_held() {
        let (mine, other) = (SiteSecret::from_seed([1; 32]), SiteSecret::from_seed([2; 32]));
        let site = SiteId([7; 32]);
        let proof = mine.possession(&site, 3);
        assert!(mine.public().are_held(&site, 3, &proof));
        assert!(!mine.public().are_held(&site, 4, &proof));
        assert!(!mine.public().are_held(&SiteId([8; 32]), 3, &proof));
        let stolen = SiteKeys { tls: other.public().tls, ..mine.public() };
        assert!(!stolen.are_held(&site, 3, &mine.possession(&site, 3)));
    }
}
