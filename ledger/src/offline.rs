//! A proof that can be checked with nothing at hand but keys: an entry, where it stands, and a
//! checkpoint with its cosignatures (C2SP tlog-proof).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Error;
use crate::Result;
use crate::checkpoint::{SignedCheckpoint, format_hash, parse_decimal, parse_hash};
use crate::entry::SignedEntry;
use crate::limits::{NOTE_BYTES_MAX, PROOF_HASHES_MAX};
use crate::merkle::InclusionProof;
use crate::note::VerifierKey;
use crate::quorum::Quorum;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// An entry's place in a signed tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// The path from the entry to the root.
    pub inclusion: InclusionProof,
    /// The tree head.
    pub checkpoint: SignedCheckpoint,
}

impl LogProof {
    /// The text that C2SP tlog-proof describes, without extra data.
    #[must_use]
    pub fn format(&self) -> String {
        self.format_with(None)
    }

    /// The same with the entry as extra data, so that one file is all there is to keep.
    #[must_use]
    pub fn format_with_entry(&self, entry: &SignedEntry) -> String {
        self.format_with(Some(entry.bytes()))
    }

    fn format_with(&self, extra: Option<&[u8]>) -> String {
        let extra = extra.map(|extra| format!("extra {}\n", STANDARD.encode(extra)));
        let extra = extra.unwrap_or_default();
        let mut out = format!("{FIRST_LINE}\n{extra}index {}\n", self.inclusion.index);
        for hash in &self.inclusion.path {
            out.push_str(&format_hash(hash));
            out.push('\n');
        }
        out.push('\n');
        out.push_str(&self.checkpoint.format());
        out
    }

    /// Reads the text; extra data is skipped, as nobody signs it.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::parse_with_extra(bytes).map(|(proof, _)| proof)
    }

    /// Reads the text, and the entry that [`LogProof::format_with_entry`] put in. It is not checked yet:
    /// that is for [`LogProof::verify`].
    pub fn parse_with_entry(bytes: &[u8]) -> Result<(Self, Option<SignedEntry>)> {
        let (proof, extra) = Self::parse_with_extra(bytes)?;
        let decoded = extra.map(|extra| {
            let fault = Error::Note { what: "log proof", why: "its extra data is not base64" };
            SignedEntry::decode(&STANDARD.decode(extra).map_err(|_| fault)?)
        });
        Ok((proof, decoded.transpose()?))
    }

    fn parse_with_extra(bytes: &[u8]) -> Result<(Self, Option<&str>)> {
        let fault = |why| Error::Note { what: "log proof", why };
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(fault("it is too long"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| fault("it is not UTF-8"))?;
        let (head, note) = text.split_once("\n\n").ok_or(fault("it has no checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(fault("its first line is another"));
        }
        let extra = lines.next_if(|line| line.starts_with("extra "));
        let extra = extra.and_then(|line| line.strip_prefix("extra "));
        let index = lines.next().and_then(|line| parse_decimal(line.strip_prefix("index ")?));
        let index = index.ok_or(fault("it has no index"))?;
        let mut path = Vec::new();
        for line in lines {
            if path.len() == PROOF_HASHES_MAX {
                return Err(fault("its path is too long"));
            }
            path.push(parse_hash(line).ok_or(fault("a hash is not base64"))?);
        }
        let checkpoint = SignedCheckpoint::parse(note.as_bytes())?;
        let size = checkpoint.checkpoint().size;
        let inclusion = InclusionProof { index, size, path };
        Ok((Self { inclusion, checkpoint }, extra))
    }

    /// Is the entry in a tree that the log signed and enough witnesses saw, where it says it is, and
    /// signed by `signer`? Gives back when it was certainly the log's latest tree.
    pub fn verify(
        &self,
        entry: &SignedEntry,
        signer: &[u8; 32],
        log: &VerifierKey,
        quorum: &Quorum,
    ) -> Result<Option<u64>> {
        self.checkpoint.verify(log)?;
        let seen_at = quorum.fresh_at(&self.checkpoint)?;
        self.inclusion.verify(&entry.leaf(), &self.checkpoint.checkpoint().root)?;
        if entry.entry().header.sequence != self.inclusion.index {
            return Err(Error::Proof("the entry says that it stands elsewhere"));
        }
        entry.verify(signer)?;
        Ok(seen_at)
    }
}
