//! Why the rules refuse an entry.

use crate::id::SiteId;

/// Why an entry may not stand where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// It belongs to another place in the log: replayed, reordered, or one before it is missing.
    #[error("entry {found} stands where entry {expected} belongs")]
    Sequence {
        /// Sequence that belongs here.
        expected: u64,
        /// Sequence that it says.
        found: u64,
    },
    /// It is of another site's log.
    #[error("the entry belongs to the log of another site")]
    OtherSite,
    /// Its signature is not by the key in force.
    #[error("the entry is not signed by the site's key in force")]
    Signature,
    /// It is dated before the one before it.
    #[error("the entry is dated before the one before it")]
    Time,
    /// The first entry is not a join, or a later one is.
    #[error("a log begins with a join, and has no other")]
    Join,
    /// The site's id is not that of its origin and first key.
    #[error("the site id is not that of its origin and key")]
    SiteId,
    /// It binds keys that the site does not show to hold, weak ones, or one key for two purposes.
    #[error("the keys are not shown to be the site's")]
    Keys,
    /// The study is registered already.
    #[error("the study is registered already")]
    Registered,
    /// The study is not this site's.
    #[error("the study is not this site's")]
    NotOwned,
    /// The version does not follow the last, or is not one that there is.
    #[error("the study has version {known}, not {found}")]
    Version {
        /// Version on record.
        known: u64,
        /// Version that it says.
        found: u64,
    },
    /// A commitment is used again: equal commitments would show that roots are equal.
    #[error("the commitment has been used before")]
    Commitment,
    /// The period does not begin before it ends, is over, or is longer than allowed.
    #[error("the period ends before it begins, is over already, or is too long")]
    Period,
    /// A site grants, hands or opens to itself.
    #[error("the other site is this one")]
    Oneself,
    /// There is no such grant in this log.
    #[error("there is no such grant here")]
    NoGrant,
    /// The grant has been revoked before.
    #[error("the grant is revoked already")]
    Revoked,
    /// Said already.
    #[error("that was said already")]
    Twice,
    /// A grant that answers a break-glass entry is for emergencies only.
    #[error("an answer to a break-glass entry is for emergencies, of that site and within a day")]
    BreakGlass,
    /// The study is granted with its patient's signature only, or no patient's key is bound to it.
    #[error("the study is granted with its patient's signature only, or has no patient's key")]
    Consent,
    /// The receipt is of an access between other sites.
    #[error("the receipt is of an access between other sites")]
    NotAParty(SiteId),
    /// The receipt is under another right.
    #[error("the access was not under this right")]
    OtherRight,
    /// The other side has not signed this access.
    #[error("the other side has not signed this access")]
    Countersignature,
    /// The receipt has been logged before.
    #[error("the receipt is numbered {found}; the last was {last}")]
    ReceiptNumber {
        /// Number of the last receipt.
        last: u64,
        /// Number that it says.
        found: u64,
    },
}
