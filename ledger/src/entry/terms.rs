//! The closed lists of values that entries use. A number that is not listed is refused.

use cairn_chunker::cbor::{Reader, Writer};

use super::read_time;
use crate::Result;
use crate::id::{LeafHash, Link, SiteId, StudyId};

macro_rules! terms {
    ($(#[$doc:meta])* $name:ident: $what:literal { $($(#[$d:meta])* $variant:ident = $id:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$d])* $variant,)*
        }

        impl $name {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its number in the encoding.
            #[must_use]
            pub fn id(self) -> u64 {
                match self {
                    $(Self::$variant => $id,)*
                }
            }

            pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
                let id = reader.uint()?;
                match Self::ALL.iter().find(|term| term.id() == id) {
                    Some(term) => Ok(*term),
                    None => Err(reader.fault(concat!("unknown ", $what)).into()),
                }
            }
        }
    };
}

terms! {
    /// Why somebody reads: codes of HL7 v3 ActReason, value set PurposeOfUse.
    Purpose: "purpose" {
        /// TREAT: treatment.
        Treatment = 0,
        /// ETREAT: emergency treatment.
        Emergency = 1,
        /// HRESCH: healthcare research.
        Research = 2,
        /// PATRQT: at the patient's request.
        PatientRequest = 3,
    }
}
terms! {
    /// What the ingest checks said of a version.
    Verdict: "verdict" {
        /// Every check passed.
        Passed = 0,
        /// Checks passed with findings that a person should look at.
        Findings = 1,
        /// A check failed.
        Failed = 2,
    }
}
terms! {
    /// Why a grant ends early. No free text: people write names into it.
    RevokeReason: "revocation reason" {
        /// No reason is given.
        Unspecified = 0,
        /// The treatment ended.
        TreatmentEnded = 1,
        /// The patient withdrew consent.
        ConsentWithdrawn = 2,
        /// It was granted by mistake.
        Mistake = 3,
        /// A key of the grantee is no longer trusted.
        KeyCompromise = 4,
        /// Another grant takes its place.
        Replaced = 5,
    }
}
terms! {
    /// Why glass was broken.
    BreakGlassReason: "break-glass reason" {
        /// Danger to life or limb.
        Emergency = 0,
        /// The owner cannot be reached.
        OwnerUnreachable = 1,
        /// A disaster or mass casualty plan is in force.
        Disaster = 2,
    }
}
terms! {
    /// What the review of a break-glass access found.
    ReviewVerdict: "review verdict" {
        /// It was right.
        Justified = 0,
        /// It was not; access ends.
        Unjustified = 1,
    }
}
terms! {
    /// Why a study ends.
    TombstoneReason: "tombstone reason" {
        /// No reason is given.
        Unspecified = 0,
        /// Its retention period is over.
        RetentionEnded = 1,
        /// It was registered by mistake.
        Mistake = 2,
        /// A law or an order asked for it.
        Erasure = 3,
    }
}
terms! {
    /// How an access ended.
    Outcome: "outcome" {
        /// Everything arrived and was verified against the commitment.
        Verified = 0,
        /// A part was read, and verified.
        Partial = 1,
        /// Something did not verify.
        Mismatch = 2,
    }
}

impl Purpose {
    /// The HL7 v3 code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Treatment => "TREAT",
            Self::Emergency => "ETREAT",
            Self::Research => "HRESCH",
            Self::PatientRequest => "PATRQT",
        }
    }

    /// Reads an HL7 v3 code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|purpose| purpose.code() == code)
    }
}

/// What a grant asks of its grantee.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The grantee has to log an acceptance before it may read.
    pub accept_first: bool,
    /// Bytes may come straight from the owner's bucket.
    pub from_bucket: bool,
    /// The grantee must not keep a copy once the grant has ended.
    pub no_retention: bool,
}

impl Conditions {
    const ACCEPT_FIRST: u64 = 1;
    const FROM_BUCKET: u64 = 2;
    const NO_RETENTION: u64 = 4;

    pub(crate) fn bits(self) -> u64 {
        let bit = |set: bool, bit: u64| if set { bit } else { 0 };
        bit(self.accept_first, Self::ACCEPT_FIRST)
            | bit(self.from_bucket, Self::FROM_BUCKET)
            | bit(self.no_retention, Self::NO_RETENTION)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let bits = reader.uint()?;
        // A condition that is not understood cannot be kept: such a grant must not be used.
        if bits & !(Self::ACCEPT_FIRST | Self::FROM_BUCKET | Self::NO_RETENTION) != 0 {
            return Err(reader.fault("unknown condition").into());
        }
        Ok(Self {
            accept_first: bits & Self::ACCEPT_FIRST != 0,
            from_bucket: bits & Self::FROM_BUCKET != 0,
            no_retention: bits & Self::NO_RETENTION != 0,
        })
    }
}

/// One access: what owner and reader both sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whose study.
    pub owner: SiteId,
    /// Who read it.
    pub reader: SiteId,
    /// The grant in the owner's log, or the break-glass entry in the reader's.
    pub right: Link,
    /// Which study.
    pub study: StudyId,
    /// Which version.
    pub version: u64,
    /// Counts the accesses under this right, from 1, so that none is logged twice.
    pub number: u64,
    /// When it began, in seconds since the epoch.
    pub began: u64,
    /// When it ended.
    pub ended: u64,
    /// How.
    pub outcome: Outcome,
}

impl Access {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.array(9).bytes(&self.owner.0).bytes(&self.reader.0);
        write_link(writer, &self.right);
        writer.bytes(&self.study.0).uint(self.version).uint(self.number);
        writer.uint(self.began).uint(self.ended).uint(self.outcome.id());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        reader.array_of(9)?;
        Ok(Self {
            owner: SiteId(reader.hash()?),
            reader: SiteId(reader.hash()?),
            right: read_link(reader)?,
            study: StudyId(reader.hash()?),
            version: reader.uint()?,
            number: reader.uint()?,
            began: read_time(reader)?,
            ended: read_time(reader)?,
            outcome: Outcome::read(reader)?,
        })
    }
}

pub(super) fn write_link(writer: &mut Writer, link: &Link) {
    writer.array(3).bytes(&link.site.0).uint(link.sequence).bytes(&link.leaf.0);
}

pub(super) fn read_link(reader: &mut Reader<'_>) -> Result<Link> {
    reader.array_of(3)?;
    let (site, sequence) = (SiteId(reader.hash()?), reader.uint()?);
    Ok(Link { site, sequence, leaf: LeafHash(reader.hash()?) })
}
