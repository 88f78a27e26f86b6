//! Failure and warning reasons (PS3.18 tables I.2-1 and I.2-2). Where the tables have nothing that fits,
//! the codes are those of PS3.7, which §I.2.2 allows.

use cairn_store::commit::Outcome;
use cairn_store::ingest::{Inadmissible, Receipt};
use cairn_store::{Error, Kind};

/// Refused: out of resources.
pub(crate) const OUT_OF_RESOURCES: u16 = 0xA700;
/// Data set does not match: here, another study than the one that was named (§10.5.1).
pub(crate) const MISMATCH: u16 = 0xA900;
/// Cannot understand.
pub(crate) const CANNOT_UNDERSTAND: u16 = 0xC000;
/// Referenced Transfer Syntax not supported: pixel data parts that cannot be placed (table 10.5.2-1).
pub(super) const TRANSFER_SYNTAX: u16 = 0xC122;
/// Processing failure.
pub(crate) const PROCESSING_FAILURE: u16 = 0x0110;
/// Duplicate SOP Instance (PS3.7 §C.5.8): policy refuses another version.
pub(crate) const DUPLICATE: u16 = 0x0111;
/// Missing attribute value: a UID that has to be there (PS3.7 §C.5.14).
pub(crate) const MISSING_VALUE: u16 = 0x0121;

/// Coercion of data elements: what is shown under this UID is not what was shown before.
const COERCION: u16 = 0xB000;
/// Elements discarded: what was sent is kept, but not what is shown.
const DISCARDED: u16 = 0xB006;

/// Why something was not stored.
pub(crate) fn failure(error: &Error) -> u16 {
    match error {
        Error::Inadmissible(Inadmissible::OtherStudy | Inadmissible::OtherInstance) => MISMATCH,
        Error::Inadmissible(Inadmissible::MissingUid) => MISSING_VALUE,
        Error::Duplicate => DUPLICATE,
        other => match other.kind() {
            Kind::Input => CANNOT_UNDERSTAND,
            Kind::Storage | Kind::Setup => OUT_OF_RESOURCES,
            Kind::NotFound | Kind::Damage | Kind::Internal => PROCESSING_FAILURE,
        },
    }
}

/// What a sender should know about something that was stored.
///
/// Table I.2-1 has no code for another version under a known UID, so the two are used whose effect
/// is the sender's: another version is visible now (B000), or what was sent is kept and not visible
/// until a person decides (B006). Nothing was coerced or discarded: all versions are kept bit for bit.
pub(crate) fn warning(receipt: &Receipt) -> Option<u16> {
    match receipt.outcome {
        Outcome::New | Outcome::Duplicate if receipt.visible => None,
        Outcome::New => None,
        Outcome::Correction | Outcome::Conflict if receipt.visible => Some(COERCION),
        Outcome::Duplicate | Outcome::Correction | Outcome::Conflict => Some(DISCARDED),
    }
}
