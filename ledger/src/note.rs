//! Signed notes (C2SP signed-note): text, an empty line, signature lines.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};

use crate::keys::verify;
use crate::limits::{NOTE_BYTES_MAX, ORIGIN_BYTES_MAX, SIGNATURES_MAX};
use crate::{Error, Result};

const LINE_START: &str = "— ";
/// Signature type of Ed25519 over the note's text.
pub(crate) const ED25519: u8 = 0x01;
/// Signature type of a timestamped Ed25519 cosignature (C2SP tlog-cosignature).
pub(crate) const COSIGNATURE: u8 = 0x04;

/// Is this a name that a key and so an origin may have? Not empty, no white space, no plus sign, no
/// control characters.
#[must_use]
pub fn is_key_name(name: &str) -> bool {
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    !name.is_empty() && name.len() <= ORIGIN_BYTES_MAX && name.chars().all(fits)
}

/// A public key as notes know it: with a name, a type and the id that the two and the key make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: u8,
    key: [u8; 32],
}

impl VerifierKey {
    /// The key that signs checkpoints of the log with this origin.
    pub fn of_log(origin: &str, key: [u8; 32]) -> Result<Self> {
        Self::new(origin, ED25519, key)
    }

    /// The key with which a witness of this name cosigns.
    pub fn of_witness(name: &str, key: [u8; 32]) -> Result<Self> {
        Self::new(name, COSIGNATURE, key)
    }

    fn new(name: &str, kind: u8, key: [u8; 32]) -> Result<Self> {
        if !is_key_name(name) {
            return Err(Error::Note { what: "key name", why: "it is empty, long or has spaces" });
        }
        Ok(Self { name: name.to_owned(), kind, key })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Ed25519 public key.
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    pub(crate) fn kind(&self) -> u8 {
        self.kind
    }

    /// `SHA-256(name || 0x0A || type || key)[:4]`.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let hash = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', self.kind])
            .chain_update(self.key)
            .finalize();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// Reads `<name>+<id>+<key>` (a vkey).
    pub fn parse(text: &str) -> Result<Self> {
        let fault = |why| Error::Note { what: "verifier key", why };
        // Base64 may hold a plus sign, so only the first two split.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(fault("it does not have three parts"));
        };
        let bytes = STANDARD.decode(key).map_err(|_| fault("its key is not base64"))?;
        let Some((kind, key)) = bytes.split_first() else { return Err(fault("it has no key")) };
        if ![ED25519, COSIGNATURE].contains(kind) {
            return Err(fault("its type is unknown"));
        }
        let key = key.try_into().map_err(|_| fault("its key does not have 32 bytes"))?;
        let parsed = Self::new(name, *kind, key)?;
        if parsed.to_string() != text || !id.len().eq(&8) {
            return Err(fault("its id is not that of its name and key"));
        }
        Ok(parsed)
    }
}

impl std::fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = u32::from_be_bytes(self.id());
        let key = STANDARD.encode([&[self.kind][..], &self.key].concat());
        write!(f, "{}+{id:08x}+{key}", self.name)
    }
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key.
    pub name: String,
    /// Its id.
    pub id: [u8; 4],
    /// What the key's type makes of it.
    pub bytes: Vec<u8>,
}

impl NoteSignature {
    /// Reads a line without its newline.
    pub fn parse(line: &str) -> Result<Self> {
        let fault = |why| Error::Note { what: "signature line", why };
        let rest = line.strip_prefix(LINE_START).ok_or(fault("it does not start with a dash"))?;
        let (name, signature) = rest.split_once(' ').ok_or(fault("it has no signature"))?;
        if !is_key_name(name) {
            return Err(fault("its name is not one"));
        }
        let decoded = STANDARD.decode(signature).map_err(|_| fault("it is not base64"))?;
        let Some((id, bytes)) = decoded.split_first_chunk() else {
            return Err(fault("its signature is too short"));
        };
        if bytes.is_empty() {
            return Err(fault("its signature is empty"));
        }
        Ok(Self { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
    }

    /// The line, with its newline.
    #[must_use]
    pub fn line(&self) -> String {
        let signature = STANDARD.encode([&self.id[..], &self.bytes].concat());
        format!("{LINE_START}{} {signature}\n", self.name)
    }

    fn is_by(&self, key: &VerifierKey) -> bool {
        self.name == key.name && self.id == key.id()
    }
}

/// Text with signatures; of none of them is it said that they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The signed text, which ends in a newline.
    pub text: String,
    /// The signature lines, in order.
    pub signatures: Vec<NoteSignature>,
}

impl Note {
    /// Reads a note; at most [`NOTE_BYTES_MAX`] bytes and [`SIGNATURES_MAX`] signatures.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let fault = |why| Error::Note { what: "signed note", why };
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(fault("it is too long"));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| fault("it is not UTF-8"))?;
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(fault("it has control characters"));
        }
        let (before, lines) = note.rsplit_once("\n\n").ok_or(fault("it has no empty line"))?;
        let lines = lines.strip_suffix('\n').ok_or(fault("it does not end in a newline"))?;
        if lines.split('\n').count() > SIGNATURES_MAX {
            return Err(fault("it has too many signatures"));
        }
        let signatures = lines.split('\n').map(NoteSignature::parse).collect::<Result<_>>()?;
        let mut text = before.to_owned();
        text.push('\n');
        Ok(Self { text, signatures })
    }

    /// The note as it travels.
    #[must_use]
    pub fn format(&self) -> String {
        let mut out = self.text.clone();
        out.push('\n');
        for signature in &self.signatures {
            let _ = out.write_str(&signature.line());
        }
        out
    }

    /// Adds an Ed25519 signature over the text, by `secret` under `name`.
    pub fn sign(&mut self, name: &str, secret: &SigningKey) -> Result<()> {
        let key = VerifierKey::of_log(name, secret.verifying_key().to_bytes())?;
        let bytes = secret.sign(self.text.as_bytes()).to_bytes().to_vec();
        self.signatures.push(NoteSignature { name: name.to_owned(), id: key.id(), bytes });
        Ok(())
    }

    /// Signatures that claim to be by `key`.
    pub(crate) fn by<'a>(
        &'a self,
        key: &'a VerifierKey,
    ) -> impl Iterator<Item = &'a NoteSignature> {
        self.signatures.iter().filter(|signature| signature.is_by(key))
    }

    /// Is there a signature of this log key, and do all that claim to be its hold? A known key's
    /// signature that does not hold spoils the note.
    pub fn verify(&self, key: &VerifierKey) -> Result<()> {
        let mut found = false;
        for signature in self.by(key) {
            let bytes = signature.bytes.as_slice().try_into();
            let holds = bytes.is_ok_and(|bytes| verify(&key.key, self.text.as_bytes(), bytes));
            if key.kind != ED25519 || !holds {
                return Err(Error::Signature("a checkpoint"));
            }
            found = true;
        }
        if found { Ok(()) } else { Err(Error::Signature("a checkpoint")) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The example of C2SP signed-note.
    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    #[test]
    fn the_example_of_the_specification_holds() {
        let key = VerifierKey::parse(VKEY).unwrap();
        assert_eq!(key.to_string(), VKEY);
        let note = Note::parse(NOTE.as_bytes()).unwrap();
        note.verify(&key).unwrap();
        assert_eq!(note.format(), NOTE);
        let mut other = note.clone();
        other.text = "This is an example massage.\n".into();
        assert!(other.verify(&key).is_err());
        let mut unsigned = note;
        unsigned.signatures[0].name = "example.com/fop".into();
        assert!(unsigned.verify(&key).is_err(), "only a signature of another key");
    }

    #[test]
    fn what_is_no_note_is_refused() {
        for bytes in [
            "",
            "a\n",
            "a\n\n",
            "a\n\n— b AAAAAAA=",
            "a\n\n— b\n",
            "a\n\n— b AAAA\n",
            "a\n\n- b AAAAAAA=\n",
            "a\r\n\n— b AAAAAAA=\n",
            "a\n\n— b AAAAAAA\n",
            "a\n\n— b AAAAAAB=\n",
            "a\n\n— b+c AAAAAAA=\n",
        ] {
            assert!(Note::parse(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
        assert!(Note::parse("a\n\n— b AAAAAAA=\n".as_bytes()).is_ok());
        let many = format!("a\n\n{}", "— b AAAAAAA=\n".repeat(SIGNATURES_MAX + 1));
        assert!(Note::parse(many.as_bytes()).is_err());
        for text in ["", "a", "a+b", "a+00000000+", &VKEY.replace("530d", "530D"), &VKEY[..60]] {
            assert!(VerifierKey::parse(text).is_err(), "{text}");
        }
    }
}
