//! What an N-EVENT-REPORT says (PS3.4 §J.3.3).

use serde_json::{Map, Value, json};

use super::{
    REFERENCED_CLASS, REFERENCED_INSTANCE, REFERENCED_SOPS, TRANSACTION_UID, WELL_KNOWN_INSTANCE,
};
use crate::dicomweb::commitment::verdict::{Reference, Verdict};
use crate::dimse::command::{Command, field, operation};
use crate::dimse::identifier::{RETRIEVE_AE_TITLE, hex, text};
use crate::dimse::service::STORAGE_COMMITMENT;

/// Event types of PS3.4 table J.3-2.
const ALL_COMMITTED: u16 = 1;
const FAILURES_EXIST: u16 = 2;

const FAILED_SOPS: &str = "00081198";
const FAILURE_REASON: &str = "00081197";

/// The command of a report.
pub(super) fn command(verdict: &Verdict, id: u16) -> Command {
    let event = if verdict.failed.is_empty() { ALL_COMMITTED } else { FAILURES_EXIST };
    Command::new(operation::EVENT_REPORT)
        .with_uid(field::AFFECTED_CLASS, STORAGE_COMMITMENT)
        .number(field::MESSAGE_ID, id)
        .with_uid(field::AFFECTED_INSTANCE, WELL_KNOWN_INSTANCE)
        .number(field::EVENT_TYPE, event)
        .with_data_set()
}

/// Its data set.
pub(super) fn attributes(verdict: &Verdict, transaction: &str, title: &str) -> Map<String, Value> {
    let reference = |reference: &Reference| {
        Map::from_iter([
            (REFERENCED_CLASS.to_owned(), text("UI", &reference.class)),
            (REFERENCED_INSTANCE.to_owned(), text("UI", &reference.sop)),
        ])
    };
    let committed: Vec<_> =
        verdict.committed.iter().map(|item| reference(&item.reference)).collect();
    let failed: Vec<_> = verdict
        .failed
        .iter()
        .map(|item| {
            let mut failed = reference(&item.reference);
            let reason = json!({ "vr": "US", "Value": [item.reason] });
            failed.insert(FAILURE_REASON.to_owned(), reason);
            failed
        })
        .collect();
    let mut attributes = Map::from_iter([
        (TRANSACTION_UID.to_owned(), text("UI", transaction)),
        (hex(RETRIEVE_AE_TITLE), text("AE", title)),
    ]);
    for (name, items) in [(REFERENCED_SOPS, committed), (FAILED_SOPS, failed)] {
        if !items.is_empty() {
            attributes.insert(name.to_owned(), json!({ "vr": "SQ", "Value": items }));
        }
    }
    attributes
}
