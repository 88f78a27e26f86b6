//! How far a retrieval has come (PS3.4 §C.4.2.1.6 to .9).

use serde_json::{Map, Value};

use super::Final;
use crate::dimse::command::{Command, field};
use crate::dimse::identifier::hex;
use crate::dimse::status;

/// Failed SOP Instance UID List.
const FAILED_LIST: u32 = 0x0008_0058;
/// UIDs in that list: what fits into one message of every peer.
const FAILED_LISTED_MAX: usize = 10_000;

/// Sub-operations by what became of them.
#[derive(Debug, Default)]
pub(super) struct Counts {
    remaining: usize,
    completed: usize,
    warning: usize,
    failed: usize,
    failed_uids: Vec<String>,
}

impl Counts {
    pub(super) fn new(all: usize) -> Self {
        Self { remaining: all, ..Self::default() }
    }

    /// A receiver answered with this status, or nothing could be sent to it.
    pub(super) fn count(&mut self, status: Option<u16>, sop: &str) {
        self.remaining = self.remaining.saturating_sub(1);
        match status.map(status::class) {
            Some("success") => self.completed += 1,
            Some("warning") => self.warning += 1,
            _ => {
                self.failed += 1;
                if self.failed_uids.len() < FAILED_LISTED_MAX {
                    self.failed_uids.push(sop.to_owned());
                }
            }
        }
    }

    /// The status at the end.
    pub(super) fn status(&self) -> Final {
        match (self.failed, self.completed + self.warning) {
            (0, _) => (status::SUCCESS, None),
            (_, 0) => {
                let comment = "no sub-operation succeeded";
                (status::CANNOT_PERFORM, Some(comment.into()))
            }
            _ => (status::SUB_OPERATIONS_FAILED, None),
        }
    }

    /// An answer with the counters; `rest`: with what remains, too.
    pub(super) fn answer(&self, request: &Command, code: u16, rest: bool) -> Command {
        let of = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        let answer = request
            .answer(code)
            .number(field::COMPLETED, of(self.completed))
            .number(field::FAILED, of(self.failed))
            .number(field::WARNING, of(self.warning));
        if rest { answer.number(field::REMAINING, of(self.remaining)) } else { answer }
    }

    /// The identifier of the last answer, where something failed.
    pub(super) fn failures(&self) -> Option<Map<String, Value>> {
        if self.failed_uids.is_empty() {
            return None;
        }
        let list = serde_json::json!({ "vr": "UI", "Value": self.failed_uids });
        Some(Map::from_iter([(hex(FAILED_LIST), list)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dimse::command::operation;

    #[test]
    fn behaviour_34_counters_add_up() {
        let request = Command::new(operation::MOVE).number(field::MESSAGE_ID, 3);
        let mut counts = Counts::new(4);
        for status in [Some(0), Some(0xB000), Some(0xA700), None] {
            counts.count(status, "1.2");
        }
        let answer = counts.answer(&request, counts.status().0, false);
        let of = |element| answer.get(element);
        assert_eq!(
            (of(field::COMPLETED), of(field::WARNING), of(field::FAILED), of(field::REMAINING)),
            (Some(1), Some(1), Some(2), None)
        );
        assert_eq!(of(field::STATUS), Some(0xB000));
        let mut none = Counts::new(1);
        none.count(None, "1.2");
        assert_eq!(none.status().0, 0xA702);
        assert_eq!(Counts::new(0).status().0, 0);
    }
}
