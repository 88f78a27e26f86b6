//! Status codes (PS3.7 annex C; PS3.4 §B.2.3, §C.4).

use cairn_store::ingest::{Inadmissible, Receipt};
use cairn_store::{Error, Kind};

use crate::dicomweb::stow::codes;

pub(super) const SUCCESS: u16 = 0x0000;
/// No such operation here, or not under this presentation context.
pub(super) const UNRECOGNIZED_OPERATION: u16 = 0x0211;
/// Cannot understand; unable to process.
pub(super) const CANNOT_UNDERSTAND: u16 = 0xC000;
/// Refused: out of resources.
pub(super) const OUT_OF_RESOURCES: u16 = 0xA700;
/// Identifier does not match SOP Class (PS3.4 table C.4-1).
pub(super) const IDENTIFIER_MISMATCH: u16 = 0xA900;
/// Refused: unable to calculate the number of matches (PS3.4 table C.4-2).
pub(super) const CANNOT_COUNT: u16 = 0xA701;
/// Refused: unable to perform sub-operations.
pub(super) const CANNOT_PERFORM: u16 = 0xA702;
/// Refused: move destination unknown.
pub(super) const DESTINATION_UNKNOWN: u16 = 0xA801;
/// Complete, one or more failures.
pub(super) const SUB_OPERATIONS_FAILED: u16 = 0xB000;
/// Processing failure (PS3.7 §C.5.21).
pub(super) const PROCESSING_FAILURE: u16 = 0x0110;
/// Invalid argument value (PS3.7 §C.5.11).
pub(super) const INVALID_ARGUMENT: u16 = 0x0115;
/// Refused: not authorized (PS3.7 §C.5.22).
pub(super) const NOT_AUTHORIZED: u16 = 0x0124;
/// No such action (PS3.7 §C.5.13).
pub(super) const NO_SUCH_ACTION: u16 = 0x0123;
/// Resource limitation (PS3.7 §C.5.25).
pub(super) const RESOURCE_LIMITATION: u16 = 0x0213;
/// Terminated by a C-CANCEL.
pub(super) const CANCELLED: u16 = 0xFE00;
/// A match; more may follow.
pub(super) const PENDING: u16 = 0xFF00;
/// The same, but some optional key was not matched as it was asked.
pub(super) const PENDING_UNSUPPORTED: u16 = 0xFF01;

/// Why an object was not stored: the code, and a comment that holds nothing of it.
pub(super) fn refusal(error: &Error) -> (u16, &'static str) {
    match error {
        Error::Inadmissible(Inadmissible::MissingUid) => {
            (CANNOT_UNDERSTAND, "a study, series or SOP Instance UID is missing")
        }
        Error::Inadmissible(Inadmissible::OtherInstance) => {
            (codes::MISMATCH, "class or instance are not those of the command")
        }
        Error::Duplicate => (codes::DUPLICATE, "another version is archived; policy keeps it"),
        other => match (codes::failure(other), other.kind()) {
            (code, Kind::Input) => (code, "it cannot be read as a data set"),
            (code, Kind::Storage | Kind::Setup) => (code, "the archive takes nothing in now"),
            (code, _) => (code, "an internal fault"),
        },
    }
}

/// Success, or the warning that a sender should have.
pub(super) fn of_receipt(receipt: &Receipt) -> u16 {
    codes::warning(receipt).unwrap_or(SUCCESS)
}

/// The word under which a status is counted (PS3.7 annex C).
pub(super) fn class(status: u16) -> &'static str {
    match status {
        0 => "success",
        0xFE00 => "cancel",
        0xFF00 | 0xFF01 => "pending",
        0x0001 | 0x0107 | 0x0116 | 0xB000..=0xBFFF => "warning",
        _ => "failure",
    }
}

#[cfg(test)]
mod tests {
    use cairn_dicom::flags::Flags;
    use cairn_store::commit::Outcome;

    use super::*;

    #[test]
    fn behaviour_31_codes() {
        let full = Error::Io {
            action: "write",
            path: "p".into(),
            source: std::io::Error::from_raw_os_error(28),
        };
        assert_eq!(refusal(&full).0, OUT_OF_RESOURCES);
        assert_eq!(refusal(&Inadmissible::OtherInstance.into()).0, 0xA900);
        assert_eq!(refusal(&Inadmissible::MissingUid.into()).0, 0xC000);
        assert_eq!(refusal(&Error::NotDicom(cairn_dicom::NotDicom::Empty)).0, 0xC000);
        assert_eq!(refusal(&Error::Duplicate).0, 0x0111);
        let receipt = |outcome, visible| Receipt {
            study_uid: "1".into(),
            series_uid: "1".into(),
            sop_instance_uid: "1".into(),
            outcome,
            visible,
            flags: Flags::empty(),
            dataset_bytes: 1,
        };
        assert_eq!(of_receipt(&receipt(Outcome::New, true)), 0);
        assert_eq!(of_receipt(&receipt(Outcome::Correction, true)), 0xB000);
        assert_eq!(of_receipt(&receipt(Outcome::Conflict, false)), 0xB006);
        for (code, word) in [(0, "success"), (0xB007, "warning"), (0xA700, "failure")] {
            assert_eq!(class(code), word);
        }
    }
}
