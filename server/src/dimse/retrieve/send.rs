//! One object to a receiver: C-STORE as SCU (PS3.7 §9.1.1).

use super::prepare::{Content, Form, Prepared};
use crate::dicomweb::transcode::Section;
use crate::dimse::command::{Command, field, operation};
use crate::dimse::end::End;
use crate::dimse::implicit::Implicit;
use crate::dimse::outbound::{DataSet, Outbound};
use crate::http::Problem;

/// PRIORITY MEDIUM.
const PRIORITY: u16 = 0;

/// The command that brings an object.
pub(in crate::dimse) fn command(prepared: &Prepared, message_id: u16) -> Command {
    Command::new(operation::STORE)
        .with_uid(field::AFFECTED_CLASS, &prepared.class)
        .number(field::MESSAGE_ID, message_id)
        .number(field::PRIORITY, PRIORITY)
        .with_uid(field::AFFECTED_INSTANCE, &prepared.instance)
        .with_data_set()
}

/// Sends the command and the data set. What cannot be read in the middle ends the association: a data
/// set that was begun can only be finished or aborted.
pub(in crate::dimse) fn send(
    outbound: &mut Outbound,
    command: &Command,
    prepared: Prepared,
) -> Result<(), End> {
    let mut way = Way {
        data: outbound.begin(prepared.context, command)?,
        implicit: (prepared.form == Form::Implicit).then(Implicit::default),
    };
    match prepared.content {
        Content::Whole(pieces) => pieces.iter().try_for_each(|piece| way.put(piece))?,
        Content::Sections(sections) => {
            for section in sections {
                way.section(section)?;
            }
        }
    }
    way.data.finish()
}

struct Way<'a> {
    data: DataSet<'a>,
    implicit: Option<Implicit>,
}

impl Way<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), End> {
        let data = &mut self.data;
        match &mut self.implicit {
            Some(implicit) => implicit.push(bytes, &mut |bytes| data.write(bytes)),
            None => data.write(bytes),
        }
    }

    fn section(&mut self, section: Section) -> Result<(), End> {
        let body = match section {
            Section::Bytes(bytes) => return self.put(&bytes),
            Section::Body(body) => body,
        };
        let mut broken = None;
        let length = body.length();
        let given = body.give(0..length, &mut |bytes| {
            self.put(&bytes).map_err(|end| {
                broken = Some(end);
                Problem::busy("the receiver is gone")
            })
        });
        match (given, broken) {
            (_, Some(end)) => Err(end),
            (Ok(()), None) => Ok(()),
            (Err(problem), None) => {
                let detail = problem.detail.as_deref().unwrap_or("");
                tracing::warn!(detail, "an object could not be read while it was sent");
                Err(End::Failed("an object could not be read while it was sent"))
            }
        }
    }
}
