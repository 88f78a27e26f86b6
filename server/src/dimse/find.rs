//! C-FIND (PS3.4 §C.4.1): the search of QIDO-RS, asked and answered over an association.
//!
//! Queries are relational, whether or not that was negotiated: keys of every level may stand in every
//! query. Answers go out as they are found, page by page; between two of them a cancel is looked for.

use std::collections::HashSet;
use std::time::Instant;

use cairn_dicom::query::Query;
use serde_json::{Map, Value};

use super::association::{Association, lock};
use super::command::{Command, field, operation};
use super::end::End;
use super::identifier::{self, Identifier, Level};
use super::negotiate::Context;
use super::service::Model;
use super::status;
use crate::dicomweb::qido::{self, Bookmarks};
use crate::federated::{self, Question};
use crate::metrics::ErrorKind;

/// Answers that are searched for at once.
const PAGE: u64 = 500;
/// Patient ID, and who issued it.
const PATIENT_ID: &str = "00100020";
const ISSUER: &str = "00100021";
const PATIENT_NAME: &str = "00100010";

impl Association {
    /// Answers a query.
    pub(super) fn find(
        &mut self,
        context: &Context,
        request: &Command,
        model: Model,
    ) -> Result<(), End> {
        let begun = Instant::now();
        let (code, comment) = self.found(context, request, model)?;
        self.operated("find", code, begun)?;
        let mut answer = request.answer(code);
        if let Some(comment) = comment {
            answer = answer.with_text(field::ERROR_COMMENT, &comment);
        }
        self.answer(context, &answer)
    }

    /// Sends what matches; the status of the last answer, and a comment on it.
    fn found(
        &mut self,
        context: &Context,
        request: &Command,
        model: Model,
    ) -> Result<(u16, Option<String>), End> {
        if !request.has_data_set() {
            return Ok((status::CANNOT_UNDERSTAND, Some("there is no identifier".into())));
        }
        let bytes = self.inbound.identifier(context.id)?;
        let Some(identifier) = Identifier::parse(bytes, &context.transfer_syntax, model) else {
            let comment = "the identifier has no level of this model, or cannot be read";
            return Ok((status::IDENTIFIER_MISMATCH, Some(comment.into())));
        };
        if let Some(studies) = identifier.text(Level::Study.unique_key()) {
            self.about = studies.split('\\').map(str::to_owned).collect();
        }
        let terms = self.terms.get(&context.class).copied().unwrap_or_default();
        if self.dimse.settings.is_federated(&self.called) {
            return self.found_everywhere(context, request, &identifier);
        }
        let mut query = Query::all(identifier.level.searched());
        query.modes.fuzzy = terms.fuzzy;
        if let Err(bad) = identifier.add_to(&mut query) {
            return Ok((status::IDENTIFIER_MISMATCH, Some(bad.to_string())));
        }
        if terms.combined {
            query.pair_dates_with_times();
        }
        query.limit = Some(PAGE);
        let app = &self.dimse.app;
        // Not in time: it answers with what is there.
        let _ = app.settle(None, app.search_wait);
        let mut patients = HashSet::new();
        let bookmarks = Bookmarks::default();
        loop {
            if self.is_cancelled(request)? {
                return Ok((status::CANCELLED, None));
            }
            let found = qido::search(&self.dimse.app.store, &bookmarks, &query, "");
            let answer = match found {
                Ok(answer) => answer,
                Err(error) => return Ok(self.failed(&error)),
            };
            let objects: Vec<Map<String, Value>> = serde_json::from_slice(&answer.body)
                .map_err(|_| End::Failed("a search did not give JSON"))?;
            let count = objects.len() as u64;
            // Something that was asked for was not matched, or not looked for everywhere.
            let is_missed = answer.is_incomplete && answer.stopped_at.is_none();
            let whole = query.notes.is_empty() && !is_missed;
            let pending = if whole { status::PENDING } else { status::PENDING_UNSUPPORTED };
            for object in objects {
                if identifier.level == Level::Patient && !patients.insert(patient(&object)) {
                    continue;
                }
                if self.is_cancelled(request)? {
                    return Ok((status::CANCELLED, None));
                }
                let title = &self.dimse.settings.title;
                let attributes = identifier.answer(object, title);
                let bytes = identifier::encode(attributes, &context.transfer_syntax)?;
                let answer = request.answer(pending).with_data_set();
                self.lock().message(context.id, &answer, &bytes)?;
            }
            match answer.stopped_at {
                Some(offset) => query.offset = offset,
                None if count < PAGE => return Ok((status::SUCCESS, None)),
                None => query.offset += count,
            }
        }
    }

    /// The same over all sites that are known. What is found elsewhere is fetched when it is moved.
    fn found_everywhere(
        &mut self,
        context: &Context,
        request: &Command,
        identifier: &Identifier,
    ) -> Result<(u16, Option<String>), End> {
        let terms = self.terms.get(&context.class).copied().unwrap_or_default();
        let question = Question {
            sought: identifier.level.searched().into(),
            study: None,
            series: None,
            parameters: identifier.parameters(terms.fuzzy),
            limit: federated::RESULTS_MAX,
        };
        let app = &self.dimse.app;
        let _ = app.settle(None, app.search_wait);
        let found = match federated::search(app, &question, "") {
            Ok(found) => found,
            Err(problem) => {
                app.metrics.error(problem.kind);
                let code = if problem.status.is_client_error() {
                    status::IDENTIFIER_MISMATCH
                } else {
                    status::CANNOT_UNDERSTAND
                };
                return Ok((code, Some(problem.message.to_string())));
            }
        };
        let mut patients = HashSet::new();
        for mut object in found.results {
            if identifier.level == Level::Patient && !patients.insert(patient(&object)) {
                continue;
            }
            if self.is_cancelled(request)? {
                return Ok((status::CANCELLED, None));
            }
            let sources =
                [federated::CREATOR.0, federated::SOURCES].map(|name| (name, object.remove(name)));
            let mut attributes = identifier.answer(object, &self.dimse.settings.title);
            for (name, element) in sources {
                attributes.extend(element.map(|element| (name.to_owned(), element)));
            }
            let bytes = identifier::encode(attributes, &context.transfer_syntax)?;
            let answer = request.answer(status::PENDING).with_data_set();
            self.lock().message(context.id, &answer, &bytes)?;
        }
        let warnings = found.warnings.join("; ");
        Ok((status::SUCCESS, (!warnings.is_empty()).then_some(warnings)))
    }

    /// The archive could not be searched.
    pub(super) fn failed(&self, error: &cairn_store::Error) -> (u16, Option<String>) {
        tracing::warn!(%error, "the archive could not be searched");
        self.dimse.app.metrics.error(ErrorKind::Storage);
        (status::CANNOT_UNDERSTAND, Some("the archive could not be searched".into()))
    }

    /// Has something come? While it is looked for the socket does not block, so nobody may write.
    fn is_due(&mut self) -> bool {
        let _nobody_writes = lock(&self.outbound);
        self.inbound.is_due()
    }

    /// Has the peer cancelled the operation? Looks without waiting. Another command that came
    /// meanwhile is kept for later.
    pub(super) fn is_cancelled(&mut self, request: &Command) -> Result<bool, End> {
        while self.waiting.is_none() && self.is_due() {
            let Some((id, command)) = self.inbound.command()? else {
                return Err(End::Unexpected("a release in the middle of an operation"));
            };
            if command.get(field::COMMAND) != Some(operation::CANCEL) {
                self.waiting = Some((id, command));
            } else if command.get(field::RESPONDED_ID) == request.get(field::MESSAGE_ID) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What tells patients apart: the ID and who issued it; the name only of those who have none.
fn patient(object: &Map<String, Value>) -> (String, String) {
    let of = |name| object.get(name).map(identifier::values).unwrap_or_default();
    let id = of(PATIENT_ID);
    if id.is_empty() { (id, of(PATIENT_NAME)) } else { (id, of(ISSUER)) }
}
