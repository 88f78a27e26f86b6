//! What a patient shows to a hospital: the public key, and that its holder made the card.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use super::text::{digits, from_digits};
use crate::Error;
use crate::keys::verify;

/// Starts what a key signs to show that whoever made the card holds it.
const POSSESSION: &[u8] = b"cairn 2026-11 v1 patient card\n";
/// Upper case, digits, colons and dashes: QR's alphanumeric mode (ISO/IEC 18004 §7.4.4).
const PREFIX: &str = "CAIRN-PATIENT-1:";

/// The public key, and that its holder made the card. As text it is `CAIRN-PATIENT-1:` and 192 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PatientCard {
    key: [u8; 32],
    possession: [u8; 64],
}

impl PatientCard {
    pub(super) fn of(secret: &SigningKey) -> Self {
        let key = secret.verifying_key().to_bytes();
        let possession = secret.sign(&[POSSESSION, &key].concat()).to_bytes();
        Self { key, possession }
    }

    /// The public key (Ed25519).
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Can the key be verified with, and did its holder make the card?
    fn is_sound(&self) -> bool {
        let strong = VerifyingKey::from_bytes(&self.key).is_ok_and(|key| !key.is_weak());
        strong && verify(&self.key, &[POSSESSION, &self.key].concat(), &self.possession)
    }
}

impl fmt::Display for PatientCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}{}", digits(&self.key), digits(&self.possession))
    }
}

impl fmt::Debug for PatientCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PatientCard")
    }
}

impl FromStr for PatientCard {
    type Err = Error;

    /// Reads a card, as it is copied or scanned; one letter that is wrong is noticed.
    fn from_str(text: &str) -> Result<Self, Error> {
        let fault = || Error::Patient("patient's card");
        let rest = text.trim().strip_prefix(PREFIX).ok_or_else(fault)?;
        let bytes = from_digits(rest, 96).ok_or_else(fault)?;
        let (key, possession) = bytes.split_at(32);
        let card = Self {
            key: key.try_into().map_err(|_| fault())?,
            possession: possession.try_into().map_err(|_| fault())?,
        };
        if card.is_sound() { Ok(card) } else { Err(fault()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::PatientSecret;
    use super::*;

    #[test]
    fn a_card_is_read_as_it_is_shown_and_every_wrong_letter_is_noticed() {
        let card = PatientSecret::from_seed([7; 32]).card();
        let text = card.to_string();
        assert!(
            text.bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"-:".contains(&b))
        );
        assert_eq!(format!(" {text}\n").parse::<PatientCard>().unwrap(), card);
        for at in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'0' { b'1' } else { b'0' };
            assert!(String::from_utf8(wrong).unwrap().parse::<PatientCard>().is_err(), "{at}");
            assert!(text[..at].parse::<PatientCard>().is_err(), "cut at {at}");
        }
        let other = PatientSecret::from_seed([8; 32]).card();
        let mixed = PatientCard { possession: other.possession, ..card };
        assert!(mixed.to_string().parse::<PatientCard>().is_err(), "another's possession");
    }
}
