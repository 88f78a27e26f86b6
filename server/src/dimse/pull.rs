//! Objects from another archive: C-FIND to learn what a study holds, C-GET to have it, the store to
//! keep it.
//!
//! Run again it goes on where it ended: what is here already is found to be a duplicate.

use std::collections::BTreeSet;
use std::sync::mpsc::{RecvTimeoutError, channel};

use cairn_dicom::syntax::{EXPLICIT_LE, IMPLICIT_LE};
use cairn_store::commit::{Outcome, Source};
use cairn_store::ingest::{Admission, Arrival, Incoming, Ingest, Sender};
use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::command::{Command, field, operation};
use super::end::End;
use super::identifier;
use super::limits::HURRY_EVERY;
use super::migrate::find;
use super::negotiate::Context;
use super::pdu::Role;
use super::scu::{CONTEXTS_MAX, Scu, Unreached, Wanted};
use super::service::Service;
use super::settings::{Peer, Settings};
use super::status;

const STUDY_ROOT_GET: &str = "1.2.840.10008.5.1.4.1.2.2.3";

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

impl Pulled {
    /// And what came besides. The first status that is no success stays.
    pub(super) fn add(&mut self, more: &Self) {
        self.instances += more.instances;
        self.duplicates += more.duplicates;
        self.failed += more.failed;
        self.bytes += more.bytes;
        self.status = if self.status == 0 { more.status } else { self.status };
    }
}

/// Has a study sent here and takes it in.
pub(crate) fn pull(
    settings: &Settings,
    peer: &Peer,
    ingest: &Ingest,
    study: &str,
) -> Result<Pulled, PullError> {
    let contents = find::contents(settings, peer, study)?;
    get(settings, peer, ingest, &contents.kinds(), study, None)
}

/// Has a study, or one of its series, sent here in these classes and syntaxes, and takes it in.
pub(super) fn get(
    settings: &Settings,
    peer: &Peer,
    ingest: &Ingest,
    kinds: &[Wanted],
    study: &str,
    series: Option<&str>,
) -> Result<Pulled, PullError> {
    let mut wanted = vec![
        Wanted { class: STUDY_ROOT_GET.into(), transfer_syntax: EXPLICIT_LE.into() },
        Wanted { class: STUDY_ROOT_GET.into(), transfer_syntax: IMPLICIT_LE.into() },
    ];
    wanted.extend(kinds.iter().take(CONTEXTS_MAX - wanted.len()).cloned());
    let classes: BTreeSet<&str> = wanted.iter().skip(2).map(|kind| kind.class.as_str()).collect();
    let takes = |class: &str| Role { class: class.to_owned(), scu: true, scp: true };
    let roles = classes.into_iter().map(takes).collect();
    let mut scu = Scu::open(settings, peer, &wanted, roles)?;
    let get = scu.contexts.iter().find(|c| matches!(c.service, Service::Get(_))).cloned();
    let Some(get) = get else {
        scu.release();
        return Err(PullError::NotOffered("C-GET (Study Root)"));
    };
    let sender = Sender { calling: peer.title.clone(), called: settings.title.clone() };
    let named = find::named(study, series);
    let mut taking = Taking { scu: &mut scu, ingest, sender, pulled: Pulled::default() };
    taking.take_all(&get, named)?;
    let pulled = taking.pulled;
    scu.release();
    Ok(pulled)
}

/// C-GET-RSP.
const GET_ANSWER: u16 = operation::GET | operation::RESPONSE;

/// What takes in objects that come over an association.
struct Taking<'a> {
    scu: &'a mut Scu,
    ingest: &'a Ingest,
    /// Who sends them.
    sender: Sender,
    pulled: Pulled,
}

impl Taking<'_> {
    /// Asks for what is named, and takes what comes until the other side says that it was all.
    fn take_all(&mut self, get: &Context, named: Map<String, Value>) -> Result<(), PullError> {
        let command = Command::new(operation::GET)
            .with_uid(field::AFFECTED_CLASS, &get.class)
            .number(field::MESSAGE_ID, 1)
            .number(field::PRIORITY, 0)
            .with_data_set();
        let data = identifier::encode(named, &get.transfer_syntax)?;
        self.scu.outbound.message(get.id, &command, &data)?;
        loop {
            let why = "the other side releases an association that it did not ask for";
            let (id, message) = self.scu.inbound.answer()?.ok_or(End::Unexpected(why))?;
            match message.get(field::COMMAND).unwrap_or(0) {
                operation::STORE => self.take(id, &message)?,
                GET_ANSWER => {
                    if message.has_data_set() {
                        self.scu.inbound.dataset(id).pass_over()?;
                    }
                    let code = message.get(field::STATUS).unwrap_or(u16::MAX);
                    if status::class(code) != "pending" {
                        self.pulled.status = code;
                        let failed = message.get(field::FAILED).map_or(0, u64::from);
                        self.pulled.failed = self.pulled.failed.max(failed);
                        return Ok(());
                    }
                }
                _ => return Err(End::Unexpected("a command that belongs to no retrieval").into()),
            }
        }
    }

    /// Takes one object in, and answers when it is durable.
    fn take(&mut self, id: u8, request: &Command) -> Result<(), PullError> {
        let Self { scu, ingest, sender, pulled } = self;
        let context = scu.contexts.iter().find(|context| context.id == id);
        let transfer_syntax = context.map(|context| context.transfer_syntax.clone());
        let transfer_syntax = transfer_syntax
            .ok_or(End::Malformed("an object under a context that was not accepted"))?;
        let (answers, answered) = channel();
        let mut dataset = scu.inbound.dataset(id);
        let incoming = Incoming {
            early: None,
            reader: &mut dataset,
            bytes: None,
            source: Source::Dimse,
            arrival: Arrival::Dataset { transfer_syntax },
            admission: Admission {
                uids_required: true,
                sop_instance_uid: request.uid(field::AFFECTED_INSTANCE),
                sender: Some(sender.clone()),
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
}
