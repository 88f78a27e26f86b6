//! Objects from another archive: C-FIND to learn what a study holds, C-GET to have it, the store to
//! keep it.
//!
//! Run again it goes on where it ended: what is here already is found to be a duplicate.

use std::collections::BTreeSet;
use std::sync::mpsc::{RecvTimeoutError, channel};

use cairn_dicom::syntax::{EXPLICIT_LE, IMPLICIT_LE};
use cairn_store::commit::{Outcome, Source};
use cairn_store::ingest::{Admission, Arrival, Incoming, Ingest};
use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::command::{Command, field, operation};
use super::end::End;
use super::identifier::{self, Level, QUERY_RETRIEVE_LEVEL, hex, text};
use super::limits::HURRY_EVERY;
use super::negotiate::Context;
use super::pdu::Role;
use super::scu::{CONTEXTS_MAX, Scu, Unreached, Wanted};
use super::service::{Model, Service};
use super::settings::{Peer, Settings};
use super::status;

const STUDY_ROOT_FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const STUDY_ROOT_GET: &str = "1.2.840.10008.5.1.4.1.2.2.3";
const SOP_CLASS_UID: u32 = 0x0008_0016;
const AVAILABLE_TRANSFER_SYNTAX_UID: u32 = 0x0008_3002;
/// Answers to one query: a series of so many images is none.
const ANSWERS_MAX: usize = 1_000_000;

/// Why nothing more was had.
#[derive(Debug, Error)]
pub(crate) enum PullError {
    /// There is no association.
    #[error(transparent)]
    Unreached(#[from] Unreached),
    /// The association broke.
    #[error("the association ended: {0}")]
    Broken(#[from] End),
    /// A service is not offered.
    #[error("it does not accept {0}")]
    NotOffered(&'static str),
    /// A query failed.
    #[error("it answers a query with status {0:04X}")]
    Query(u16),
    /// The archive here failed.
    #[error("the archive cannot take it in: {0}")]
    Store(#[from] cairn_store::Error),
}

/// What came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Pulled {
    /// Instances that are here now.
    pub(crate) instances: u64,
    /// Those of them that were here before.
    pub(crate) duplicates: u64,
    /// Those that were not taken in, or that the other side could not send.
    pub(crate) failed: u64,
    /// Bytes of data sets.
    pub(crate) bytes: u64,
    /// The status with which the other side ended; 0: all is well.
    pub(crate) status: u16,
}

/// Has a study sent here and takes it in.
pub(crate) fn pull(
    settings: &Settings,
    peer: &Peer,
    ingest: &Ingest,
    study: &str,
) -> Result<Pulled, PullError> {
    let kinds = kinds(settings, peer, study)?;
    let mut wanted = vec![
        Wanted { class: STUDY_ROOT_GET.into(), transfer_syntax: EXPLICIT_LE.into() },
        Wanted { class: STUDY_ROOT_GET.into(), transfer_syntax: IMPLICIT_LE.into() },
    ];
    wanted.extend(kinds.into_iter().take(CONTEXTS_MAX - wanted.len()));
    let classes: BTreeSet<&str> = wanted.iter().skip(2).map(|kind| kind.class.as_str()).collect();
    let takes = |class: &str| Role { class: class.to_owned(), scu: true, scp: true };
    let roles = classes.into_iter().map(takes).collect();
    let mut scu = Scu::open(settings, peer, &wanted, roles)?;
    let get = scu.contexts.iter().find(|c| matches!(c.service, Service::Get(_))).cloned();
    let Some(get) = get else {
        scu.release();
        return Err(PullError::NotOffered("C-GET (Study Root)"));
    };
    let pulled = take_all(&mut scu, &get, ingest, study)?;
    scu.release();
    Ok(pulled)
}

/// Classes and syntaxes of a study, the stored syntax of each class first, then the plain ones.
fn kinds(settings: &Settings, peer: &Peer, study: &str) -> Result<Vec<Wanted>, PullError> {
    let wanted = [EXPLICIT_LE, IMPLICIT_LE]
        .map(|uid| Wanted { class: STUDY_ROOT_FIND.into(), transfer_syntax: uid.into() });
    let mut scu = Scu::open(settings, peer, &wanted, Vec::new())?;
    let find = scu.contexts.iter().find(|c| c.service == Service::Find(Model::Study)).cloned();
    let Some(find) = find else {
        scu.release();
        return Err(PullError::NotOffered("C-FIND (Study Root)"));
    };
    let (mut stored, mut plain) = (BTreeSet::new(), BTreeSet::new());
    for series in answers(&mut scu, &find, keys(Level::Series, study, None))? {
        let series = value(&series, Level::Series.unique_key());
        for image in answers(&mut scu, &find, keys(Level::Image, study, Some(&series)))? {
            let class = value(&image, SOP_CLASS_UID);
            if Service::of(&class) != Some(Service::Store) {
                continue;
            }
            let of = |uid: &str| Wanted { class: class.clone(), transfer_syntax: uid.into() };
            let available = value(&image, AVAILABLE_TRANSFER_SYNTAX_UID);
            stored.extend(available.split('\\').filter(|uid| !uid.is_empty()).map(of));
            plain.extend([of(EXPLICIT_LE), of(IMPLICIT_LE)]);
        }
    }
    scu.release();
    let rest: Vec<Wanted> = plain.difference(&stored).cloned().collect();
    Ok(stored.into_iter().chain(rest).collect())
}

fn keys(level: Level, study: &str, series: Option<&str>) -> Map<String, Value> {
    let empty = || serde_json::json!({ "vr": "UI" });
    let mut keys = Map::from_iter([
        (hex(QUERY_RETRIEVE_LEVEL), text("CS", level.word())),
        (hex(Level::Study.unique_key()), text("UI", study)),
        (hex(Level::Series.unique_key()), series.map_or_else(empty, |uid| text("UI", uid))),
    ]);
    if level == Level::Image {
        for tag in [Level::Image.unique_key(), SOP_CLASS_UID, AVAILABLE_TRANSFER_SYNTAX_UID] {
            keys.insert(hex(tag), empty());
        }
    }
    keys
}

fn value(object: &Map<String, Value>, tag: u32) -> String {
    object.get(&hex(tag)).map(identifier::values).unwrap_or_default()
}

/// All answers to a query.
fn answers(
    scu: &mut Scu,
    context: &Context,
    keys: Map<String, Value>,
) -> Result<Vec<Map<String, Value>>, PullError> {
    let command = Command::new(operation::FIND)
        .with_uid(field::AFFECTED_CLASS, &context.class)
        .number(field::MESSAGE_ID, 1)
        .number(field::PRIORITY, 0)
        .with_data_set();
    let data = identifier::encode(keys, &context.transfer_syntax)?;
    scu.outbound.message(context.id, &command, &data)?;
    let mut found = Vec::new();
    loop {
        let (id, answer) = next(scu)?;
        if answer.has_data_set() {
            let bytes = scu.inbound.identifier(id)?;
            if found.len() < ANSWERS_MAX {
                found.extend(identifier::read(bytes, &context.transfer_syntax));
            }
        }
        match answer.get(field::STATUS).unwrap_or(u16::MAX) {
            code if status::class(code) == "pending" => {}
            status::SUCCESS => return Ok(found),
            code => return Err(PullError::Query(code)),
        }
    }
}

fn next(scu: &mut Scu) -> Result<(u8, Command), End> {
    let next = scu.inbound.answer()?;
    next.ok_or(End::Unexpected("the other side releases an association that it did not ask for"))
}

/// Asks for the study, and takes what comes until the other side says that it was all.
fn take_all(
    scu: &mut Scu,
    get: &Context,
    ingest: &Ingest,
    study: &str,
) -> Result<Pulled, PullError> {
    let command = Command::new(operation::GET)
        .with_uid(field::AFFECTED_CLASS, &get.class)
        .number(field::MESSAGE_ID, 1)
        .number(field::PRIORITY, 0)
        .with_data_set();
    let mut keys = keys(Level::Study, study, None);
    keys.remove(&hex(Level::Series.unique_key()));
    let data = identifier::encode(keys, &get.transfer_syntax)?;
    scu.outbound.message(get.id, &command, &data)?;
    let mut pulled = Pulled::default();
    loop {
        let (id, message) = next(scu)?;
        match message.get(field::COMMAND).unwrap_or(0) {
            operation::STORE => take(scu, id, &message, ingest, &mut pulled)?,
            GET_ANSWER => {
                if message.has_data_set() {
                    scu.inbound.dataset(id).pass_over()?;
                }
                let code = message.get(field::STATUS).unwrap_or(u16::MAX);
                if status::class(code) != "pending" {
                    pulled.status = code;
                    let failed = message.get(field::FAILED).map_or(0, u64::from);
                    pulled.failed = pulled.failed.max(failed);
                    return Ok(pulled);
                }
            }
            _ => return Err(End::Unexpected("a command that belongs to no retrieval").into()),
        }
    }
}

/// C-GET-RSP.
const GET_ANSWER: u16 = operation::GET | operation::RESPONSE;

/// Takes one object in, and answers when it is durable.
fn take(
    scu: &mut Scu,
    id: u8,
    request: &Command,
    ingest: &Ingest,
    pulled: &mut Pulled,
) -> Result<(), PullError> {
    let context = scu.contexts.iter().find(|context| context.id == id);
    let transfer_syntax = context.map(|context| context.transfer_syntax.clone());
    let transfer_syntax =
        transfer_syntax.ok_or(End::Malformed("an object under a context that was not accepted"))?;
    let (answers, answered) = channel();
    let mut dataset = scu.inbound.dataset(id);
    let incoming = Incoming {
        reader: &mut dataset,
        bytes: None,
        source: Source::Dimse,
        arrival: Arrival::Dataset { transfer_syntax },
        admission: Admission {
            uids_required: true,
            sop_instance_uid: request.uid(field::AFFECTED_INSTANCE),
            ..Admission::default()
        },
    };
    let taken = ingest.receive(incoming, move |answer| {
        // Nobody listens only if the association is gone.
        let _ = answers.send(answer);
    });
    if taken.is_err() {
        dataset.pass_over()?;
    }
    drop(dataset);
    let receipt = match taken {
        Err(error) => Err(error),
        Ok(()) => loop {
            ingest.hurry();
            match answered.recv_timeout(HURRY_EVERY) {
                Ok(answer) => break answer,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    break Err(cairn_store::Error::Internal("an answer was lost"));
                }
            }
        },
    };
    let code = match &receipt {
        Ok(receipt) => {
            pulled.instances += 1;
            pulled.duplicates += u64::from(receipt.outcome == Outcome::Duplicate);
            pulled.bytes += receipt.dataset_bytes;
            status::of_receipt(receipt)
        }
        Err(error) => {
            pulled.failed += 1;
            status::refusal(error).0
        }
    };
    scu.outbound.command(id, &request.answer(code))?;
    match receipt {
        // A full disk is no matter of one object.
        Err(error) if error.kind() != cairn_store::Kind::Input => Err(error.into()),
        _ => Ok(()),
    }
}
