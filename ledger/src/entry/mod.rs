//! Entries: what a site says on its log, in one encoding.
//!
//! The payload is a deterministic CBOR array (RFC 8949 §4.2); `ENTRIES.md` has the tables. Site and
//! sequence are part of what is signed, so an entry counts in one place of one log only: copied
//! elsewhere, or given twice, it is refused without anything having to be remembered.

mod body;
mod codec;
mod signed;
mod terms;

pub use body::{
    Accept, Attest, Body, BreakGlass, Grant, Join, PatientKey, Receipt, Register, Review, Revoke,
    Rotate, Supersede, Tombstone, TransferIn, TransferOut,
};
pub use signed::{SignedEntry, Suite};
pub use terms::{
    Access, BreakGlassReason, Conditions, Outcome, Purpose, ReviewVerdict, RevokeReason,
    TombstoneReason, Verdict,
};

use cairn_chunker::cbor::{Reader, Writer};

use crate::Result;
use crate::id::SiteId;
use crate::limits::{ENTRY_BYTES_MAX, TIME_MAX};

/// Version of the payload's layout.
pub const ENTRY_VERSION: u64 = 1;

const WHAT: &str = "ledger entry";

/// What every entry says beside its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose log it is in, and who signed it.
    pub site: SiteId,
    /// Its position in the log, from 0.
    pub sequence: u64,
    /// When it was written, in seconds since the epoch, by the site's own clock.
    pub time: u64,
}

/// One thing that a site says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who, where, when.
    pub header: Header,
    /// What.
    pub body: Body,
}

impl Entry {
    /// The bytes that are signed as the payload.
    #[must_use]
    pub fn encode(&self, suite: Suite) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(7).uint(ENTRY_VERSION).uint(suite.id()).uint(self.body.kind());
        writer.bytes(&self.header.site.0).uint(self.header.sequence).uint(self.header.time);
        self.body.write(&mut writer);
        writer.finish()
    }

    /// Reads a payload; nothing but the one encoding is accepted.
    pub fn decode(bytes: &[u8]) -> Result<(Suite, Self)> {
        let mut reader = Reader::new(bytes, WHAT);
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(reader.fault("it is too long").into());
        }
        reader.array_of(7)?;
        let version = reader.uint()?;
        if version != ENTRY_VERSION {
            return Err(cairn_chunker::Error::Version { what: WHAT, version }.into());
        }
        let Some(suite) = Suite::from_id(reader.uint()?) else {
            return Err(reader.fault("the signature suite is unknown").into());
        };
        let kind = reader.uint()?;
        let site = SiteId(reader.hash()?);
        let (sequence, time) = (reader.uint()?, read_time(&mut reader)?);
        let body = Body::read(kind, &mut reader)?;
        reader.end()?;
        Ok((suite, Self { header: Header { site, sequence, time }, body }))
    }
}

/// Reads a time in seconds since the epoch, small enough to be added to.
pub(crate) fn read_time(reader: &mut Reader<'_>) -> Result<u64> {
    let time = reader.uint()?;
    if time > TIME_MAX { Err(reader.fault("a time is out of range").into()) } else { Ok(time) }
}
