//! Checkpoints (C2SP tlog-checkpoint): a log's tree head as a signed note, and the cosignatures of
//! witnesses on it (C2SP tlog-cosignature, Ed25519).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};

use crate::keys::verify;
use crate::limits::TIME_MAX;
use crate::merkle::{Hash, empty_root};
use crate::note::{COSIGNATURE, Note, NoteSignature, VerifierKey, is_key_name};
use crate::{Error, Result};

/// First line of what a cosignature covers: no checkpoint of a log with this origin would be told
/// apart from it.
const COSIGNATURE_HEADER: &str = "cosignature/v1";

/// What a log says of itself: so many entries, and the root over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Names the log.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

fn fault(why: &'static str) -> Error {
    Error::Note { what: "checkpoint", why }
}

/// Reads a number without sign and leading zeros.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    if digits && canonical { text.parse().ok() } else { None }
}

/// Reads 32 bytes of base64.
pub(crate) fn parse_hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// Writes 32 bytes as base64.
pub(crate) fn format_hash(hash: &Hash) -> String {
    STANDARD.encode(hash)
}

impl Checkpoint {
    /// The note's text: three lines. Extension lines are neither written nor read: nobody could
    /// audit them.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, format_hash(&self.root))
    }

    /// Reads a note's text.
    pub fn parse(text: &str) -> Result<Self> {
        let mut lines = text.strip_suffix('\n').ok_or(fault("it does not end"))?.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(fault("it does not have three lines"));
        };
        if !is_key_name(origin) || origin == COSIGNATURE_HEADER {
            return Err(fault("its origin is not one"));
        }
        let size = parse_decimal(size).ok_or(fault("its size is not a number"))?;
        let root = parse_hash(root).ok_or(fault("its root is not 32 bytes of base64"))?;
        if size == 0 && root != empty_root() {
            return Err(fault("an empty tree has another root"));
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// Signs it with each of the keys, under the origin's name.
    pub fn sign(&self, keys: &[SigningKey]) -> Result<SignedCheckpoint> {
        let mut note = Note { text: self.text(), signatures: Vec::new() };
        keys.iter().try_for_each(|key| note.sign(&self.origin, key))?;
        Ok(SignedCheckpoint { checkpoint: self.clone(), note })
    }
}

/// A checkpoint in the note that carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Reads one; says nothing of its signatures.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let note = Note::parse(bytes)?;
        Ok(Self { checkpoint: Checkpoint::parse(&note.text)?, note })
    }

    /// What it says.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note as it travels.
    #[must_use]
    pub fn format(&self) -> String {
        self.note.format()
    }

    /// Did the log sign it?
    pub fn verify(&self, log: &VerifierKey) -> Result<()> {
        if log.name() != self.checkpoint.origin {
            return Err(fault("it is of another log"));
        }
        self.note.verify(log)
    }

    /// Cosigns it at `time` (seconds since the epoch). Whoever calls has checked that the tree
    /// continues what it saw before: see [`crate::witness::Witness`].
    pub(crate) fn cosign(
        &self,
        name: &str,
        secret: &SigningKey,
        time: u64,
    ) -> Result<NoteSignature> {
        let key = VerifierKey::of_witness(name, secret.verifying_key().to_bytes())?;
        let signature = secret.sign(&self.cosigned(time)).to_bytes();
        let bytes = [&time.to_be_bytes()[..], &signature].concat();
        Ok(NoteSignature { name: name.to_owned(), id: key.id(), bytes })
    }

    fn cosigned(&self, time: u64) -> Vec<u8> {
        format!("{COSIGNATURE_HEADER}\ntime {time}\n{}", self.note.text).into_bytes()
    }

    /// When `witness` cosigned it (seconds since the epoch), if it did.
    ///
    /// The latest of its cosignatures counts; one that claims to be its and does not hold spoils the
    /// checkpoint.
    pub fn cosigned_at(&self, witness: &VerifierKey) -> Result<Option<u64>> {
        let mut latest = None;
        for signature in self.note.by(witness) {
            let time = self.cosignature_time(signature, witness);
            latest = latest.max(Some(time.ok_or(Error::Signature("a cosignature"))?));
        }
        Ok(latest)
    }

    fn cosignature_time(&self, signature: &NoteSignature, witness: &VerifierKey) -> Option<u64> {
        let (time, signature) = signature.bytes.split_first_chunk()?;
        let time = u64::from_be_bytes(*time);
        let signature: &[u8; 64] = signature.try_into().ok()?;
        let sound = time != 0 && time <= TIME_MAX && witness.kind() == COSIGNATURE;
        (sound && verify(witness.key(), &self.cosigned(time), signature)).then_some(time)
    }

    /// Takes a cosignature in; an earlier one by the same key goes.
    pub fn add(&mut self, signature: NoteSignature) {
        let same = |known: &NoteSignature| known.name == signature.name && known.id == signature.id;
        self.note.signatures.retain(|known| !same(known));
        self.note.signatures.push(signature);
    }

    /// The same tree head with the log's signatures only.
    #[must_use]
    pub fn without_cosignatures(&self) -> Self {
        let mut bare = self.clone();
        bare.note.signatures.retain(|signature| signature.name == self.checkpoint.origin);
        bare
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The example of C2SP tlog-checkpoint (its text; the keys are not published).
    const EXAMPLE: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let checkpoint = Checkpoint::parse(EXAMPLE).unwrap();
        assert_eq!((checkpoint.size, checkpoint.text().as_str()), (20_852_163, EXAMPLE));
        let lines = EXAMPLE.replace('\n', "\n\u{2028}");
        for other in [
            EXAMPLE.replace("2085", "02085"),
            EXAMPLE.replace("2085", "+2085"),
            EXAMPLE.replace("q2I=", "q2I"),
            EXAMPLE.replace("behind-the-sofa", "behind the sofa"),
            format!("{EXAMPLE}extension\n"),
            EXAMPLE.trim_end().to_owned(),
            format!("a\n0\n{}\n", format_hash(&[0; 32])),
            format!("{COSIGNATURE_HEADER}\n1\n{}\n", format_hash(&[0; 32])),
            lines,
        ] {
            assert!(Checkpoint::parse(&other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn cosignatures_bind_witness_time_and_tree() {
        let checkpoint = Checkpoint { origin: "log".into(), size: 3, root: [3; 32] };
        let mut signed = checkpoint.sign(&[key(1)]).unwrap();
        let log = VerifierKey::of_log("log", key(1).verifying_key().to_bytes()).unwrap();
        let witness = VerifierKey::of_witness("w", key(2).verifying_key().to_bytes()).unwrap();
        assert_eq!(signed.cosigned_at(&witness).unwrap(), None);
        signed.add(signed.cosign("w", &key(2), 1000).unwrap());
        signed.add(signed.cosign("w", &key(2), 2000).unwrap());
        let read = SignedCheckpoint::parse(signed.format().as_bytes()).unwrap();
        read.verify(&log).unwrap();
        assert_eq!(read, signed);
        assert_eq!(read.cosigned_at(&witness).unwrap(), Some(2000));
        let other = VerifierKey::of_witness("w", key(3).verifying_key().to_bytes()).unwrap();
        assert_eq!(read.cosigned_at(&other).unwrap(), None, "an unknown key");
        let mut moved = read.clone();
        moved.note.signatures[1].bytes[7] ^= 1;
        assert!(moved.cosigned_at(&witness).is_err(), "another time");
        // The log's own key cannot be taken for a witness, nor a witness for the log.
        let confused = VerifierKey::of_witness("log", *log.key()).unwrap();
        assert_eq!(read.cosigned_at(&confused).unwrap(), None);
        assert!(read.verify(&VerifierKey::of_log("w", *witness.key()).unwrap()).is_err());
        assert_eq!(read.without_cosignatures().note.signatures.len(), 1);
    }
}
