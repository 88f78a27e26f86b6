//! C-GET (PS3.4 §C.4.3): objects come back over the association that asks for them.

use std::sync::Arc;
use std::time::Instant;

use super::counts::Counts;
use super::prepare::{Prepared, job, route};
use super::send::{command, send};
use super::{Final, Selected};
use crate::dicomweb::ahead::Ahead;
use crate::dimse::association::Association;
use crate::dimse::command::{Command, field, operation};
use crate::dimse::end::End;
use crate::dimse::identifier;
use crate::dimse::limits::PENDING_EVERY;
use crate::dimse::negotiate::Context;
use crate::dimse::service::Model;
use crate::dimse::status;

impl Association {
    /// Sends what is asked for back to who asks.
    pub(in crate::dimse) fn get(
        &mut self,
        context: &Context,
        request: &Command,
        model: Model,
    ) -> Result<(), End> {
        let begun = Instant::now();
        let (counts, last) = match self.selected(context, request, model)? {
            Selected::Refused(last) => (Counts::default(), last),
            Selected::Versions(versions) => {
                let app = Arc::clone(&self.dimse.app);
                let contexts: Vec<Context> =
                    self.contexts.values().filter(|context| context.takes).cloned().collect();
                let mut counts = Counts::new(versions.len());
                let names: Vec<String> =
                    versions.iter().map(|version| version.sop_instance_uid.clone()).collect();
                let jobs = versions.into_iter().map(move |version| {
                    let route = route(&contexts, &version);
                    job(Arc::clone(&app), version, route)
                });
                let objects = Ahead::new(jobs).zip(&names);
                let last = self.bring(context, request, objects, &mut counts)?;
                let last = last.unwrap_or_else(|| counts.status());
                (counts, last)
            }
        };
        self.operated("get", last.0, begun)?;
        self.conclude(context, request, &counts, last)
    }

    /// Sends objects one after the other; a status if it ended early.
    fn bring<'n>(
        &mut self,
        context: &Context,
        request: &Command,
        objects: impl Iterator<Item = (Result<Prepared, crate::http::Problem>, &'n String)>,
        counts: &mut Counts,
    ) -> Result<Option<Final>, End> {
        let mut told = Instant::now();
        for (n, (prepared, sop)) in objects.enumerate() {
            if self.is_cancelled(request)? {
                return Ok(Some((status::CANCELLED, None)));
            }
            let Ok(prepared) = prepared else {
                counts.count(None, sop);
                continue;
            };
            let id = n as u16;
            let command = command(&prepared, id);
            send(&mut self.lock(), &command, prepared)?;
            let (code, cancelled) = self.sub_answer(request)?;
            counts.count(Some(code), sop);
            if cancelled {
                return Ok(Some((status::CANCELLED, None)));
            }
            if told.elapsed() >= PENDING_EVERY {
                told = Instant::now();
                self.answer(context, &counts.answer(request, status::PENDING, true))?;
            }
        }
        Ok(None)
    }

    /// The peer's answer to an object, and whether it cancelled meanwhile.
    fn sub_answer(&mut self, request: &Command) -> Result<(u16, bool), End> {
        let mut cancelled = false;
        loop {
            let Some((id, command)) = self.inbound.answer()? else {
                return Err(End::Unexpected("a release in the middle of an operation"));
            };
            let kind = command.get(field::COMMAND).unwrap_or(0);
            if kind == operation::STORE | operation::RESPONSE {
                if command.has_data_set() {
                    self.inbound.dataset(id).pass_over()?;
                }
                return Ok((command.get(field::STATUS).unwrap_or(u16::MAX), cancelled));
            }
            if kind != operation::CANCEL {
                return Err(End::Unexpected("a command came where an answer was due"));
            }
            let of = command.get(field::RESPONDED_ID);
            cancelled |= of == request.get(field::MESSAGE_ID);
        }
    }

    /// The last answer, with what failed.
    pub(super) fn conclude(
        &self,
        context: &Context,
        request: &Command,
        counts: &Counts,
        (code, comment): Final,
    ) -> Result<(), End> {
        let mut answer = counts.answer(request, code, code == status::CANCELLED);
        if let Some(comment) = comment {
            answer = answer.with_text(field::ERROR_COMMENT, &comment);
        }
        match counts.failures() {
            Some(failures) => {
                let bytes = identifier::encode(failures, &context.transfer_syntax)?;
                self.lock().message(context.id, &answer.with_data_set(), &bytes)
            }
            None => self.answer(context, &answer),
        }
    }
}
