//! The secret that a patient keeps.

use std::fmt;
use std::path::Path;

use ed25519_dalek::SigningKey;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::PatientCard;
use crate::Result;
use crate::id::random;
use crate::key_file::{self, KeyFile};

const CONTEXT_SIGN: &str = "cairn 2026-11 v1 patient signing key";
const KEY_FILE: KeyFile = KeyFile {
    tag: "cairn-patient-key-v1",
    fault: "it is not a patient's key file of this version",
    head: "# Your key to your images. Whoever has it can let others see them.\n\
           # Keep a copy in a safe place. Show it to nobody: hospitals need your card only.\n",
};

/// What a patient signs with. Never printed, wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop, Clone)]
pub struct PatientSecret {
    seed: [u8; 32],
    sign: [u8; 32],
}

impl fmt::Debug for PatientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PatientSecret")
    }
}

impl PatientSecret {
    /// Draws a new one.
    pub fn generate() -> Result<Self> {
        Ok(Self::from_seed(random()?))
    }

    /// The secret that `seed` stands for.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed, sign: blake3::derive_key(CONTEXT_SIGN, &seed) }
    }

    /// Reads a key file that only its owner can read.
    pub fn load(path: &Path) -> Result<Self> {
        Ok(Self::from_seed(*key_file::load(path, &KEY_FILE)?))
    }

    /// Writes a new key file, readable by the owner alone; never replaces one.
    pub fn save(&self, path: &Path) -> Result<()> {
        key_file::save(path, &KEY_FILE, &self.seed)
    }

    /// The one line of a key file that counts, for a copy on paper.
    #[must_use]
    pub fn line(&self) -> Zeroizing<String> {
        key_file::line(&KEY_FILE, &self.seed)
    }

    /// What a patient shows.
    #[must_use]
    pub fn card(&self) -> PatientCard {
        PatientCard::of(&self.signing_key())
    }

    pub(super) fn signing_key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.sign)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_survives_its_file_and_paper_and_is_no_sites_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("patient.key");
        let secret = PatientSecret::generate().unwrap();
        secret.save(&path).unwrap();
        assert!(secret.save(&path).is_err(), "a key is never replaced");
        let read = PatientSecret::load(&path).unwrap();
        assert_eq!(read.card(), secret.card());
        let paper = dir.path().join("paper.key");
        cairn_store::keys::write_private(&paper, &secret.line()).unwrap();
        assert_eq!(PatientSecret::load(&paper).unwrap().card(), secret.card());
        assert!(crate::keys::SiteSecret::load(&path).is_err());
        assert!(!format!("{secret:?}").contains(&secret.line()[24..]));
    }
}
