//! Storage commitment, push model (PS3.4 annex J): "is it safely stored?", and an answer that can be
//! trusted.
//!
//! A request is noted durably before it is answered. Its report says "committed" only of what is in
//! the archive (A2: in the bucket, with everything that it is made of); what still lies in the journal
//! is brought there first. The report goes over the same association while that is open, else over a
//! new one to the peer's place in the settings, and is tried again until it is answered, also after a
//! restart.

mod line;
mod report;
mod reports;

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::association::Association;
use super::command::{Command, field};
use super::end::End;
use super::identifier;
use super::negotiate::Context;
use super::status;
use crate::clock::now_ms;
use crate::dicomweb::commitment::verdict::{Reference, Reported};

pub(super) use line::Line;
use reports::Report;
pub(super) use reports::Reports;

/// Storage Commitment Push Model SOP Instance (PS3.4 §J.3.5).
const WELL_KNOWN_INSTANCE: &str = "1.2.840.10008.1.20.1.1";
/// Request Storage Commitment (PS3.4 §J.3.2).
const REQUEST: u16 = 1;
/// How long requests are kept, as those over HTTP.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

const TRANSACTION_UID: &str = "00081195";
const REFERENCED_SOPS: &str = "00081199";
const REFERENCED_CLASS: &str = "00081150";
const REFERENCED_INSTANCE: &str = "00081155";

impl Association {
    /// Takes a request for commitment.
    pub(super) fn action(&mut self, context: &Context, request: &Command) -> Result<(), End> {
        let begun = Instant::now();
        let bytes =
            if request.has_data_set() { self.inbound.identifier(context.id)? } else { Vec::new() };
        let requested = if request.get(field::ACTION_TYPE) == Some(REQUEST) {
            self.requested(context, bytes)
        } else {
            Err((status::NO_SUCH_ACTION, "there is one action: to request commitment"))
        };
        let code = requested.as_ref().err().map_or(status::SUCCESS, |(code, _)| *code);
        self.operated("commit", code, begun)?;
        let action = request.get(field::ACTION_TYPE).unwrap_or(REQUEST);
        let answer = request.answer(code).number(field::ACTION_TYPE, action);
        match requested {
            Ok(report) => {
                let answered = self.answer(context, &answer);
                // Only now: the report must not overtake the answer. It is owed in any case.
                self.dimse.reports.add(report);
                answered
            }
            Err((_, comment)) => {
                self.answer(context, &answer.with_text(field::ERROR_COMMENT, comment))
            }
        }
    }

    fn requested(
        &mut self,
        context: &Context,
        bytes: Vec<u8>,
    ) -> Result<Report, (u16, &'static str)> {
        if self.dimse.reports.is_full() {
            return Err((status::RESOURCE_LIMITATION, "too many reports are under way"));
        }
        let attributes = identifier::read(bytes, &context.transfer_syntax).unwrap_or_default();
        let Some((transaction, asked)) = parse(&attributes) else {
            return Err((status::INVALID_ARGUMENT, "transaction UID or references are missing"));
        };
        let reported = Reported { asked, report_to: self.calling.clone() };
        let text = reported.encode();
        let catalog = self.dimse.app.store.catalog();
        let now = now_ms();
        let forget = now.saturating_sub(KEPT.as_millis() as u64);
        let noted = catalog.begin_commitment(&transaction, &text, now, forget).and_then(|new| {
            // Asked again, since the answer was lost: it is the same request.
            Ok(new || catalog.commitment(&transaction)?.is_some_and(|row| row.request == text))
        });
        match noted {
            Ok(true) => {}
            Ok(false) => {
                return Err((status::PROCESSING_FAILURE, "this transaction UID is in use"));
            }
            Err(error) => {
                self.failed(&error);
                return Err((status::PROCESSING_FAILURE, "the request could not be noted"));
            }
        }
        let outbound = &self.outbound;
        let line = self.line.get_or_insert_with(|| Line::new(outbound, context));
        Ok(Report::new(transaction, reported, Some(line)))
    }
}

/// Transaction UID and references of a request (PS3.4 table J.3-1).
fn parse(attributes: &Map<String, Value>) -> Option<(String, Vec<Reference>)> {
    let of = |object: &Map<String, Value>, name| object.get(name).map(identifier::values);
    let transaction = of(attributes, TRANSACTION_UID).filter(|uid| !uid.is_empty())?;
    let items = attributes.get(REFERENCED_SOPS)?.get("Value")?.as_array()?;
    let asked: Option<Vec<Reference>> = items
        .iter()
        .map(|item| {
            let item = item.as_object()?;
            let class = of(item, REFERENCED_CLASS).unwrap_or_default();
            let sop = of(item, REFERENCED_INSTANCE).filter(|uid| !uid.is_empty())?;
            Some(Reference { class, sop, place: None })
        })
        .collect();
    asked.filter(|asked| !asked.is_empty()).map(|asked| (transaction, asked))
}
