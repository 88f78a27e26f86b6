//! One association from its first byte to its last.

use std::collections::{BTreeMap, HashMap};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::admission::{Admitted, Refused, Rejection, Way, admit};
use super::audited::Speaker;
use super::command::{Command, field, operation};
use super::commitment::Line;
use super::end::End;
use super::inbound::Inbound;
use super::limits::{LINGER, LINGER_BYTES_MAX};
use super::negotiate::{self, Agreed, Context, QueryTerms};
use super::outbound::Outbound;
use super::pdu::{self, Associate, Proposal};
use super::rules::{Grant, Services};
use super::service::Service;
use super::status;
use super::store::Stores;
use super::transport::{self, Insecure, Reading, Writing};
use super::{Dimse, Open};
use crate::logging::ACCESS;

/// N-EVENT-REPORT-RSP.
const EVENT_ANSWER: u16 = operation::EVENT_REPORT | operation::RESPONSE;

/// No line, no answer.
pub(super) const UNAUDITED: &str = "the audit log cannot be written";

/// See the [module](self).
pub(super) struct Association {
    pub(super) dimse: Arc<Dimse>,
    pub(super) inbound: Inbound,
    /// Answers of the store are written by another thread where several operations are under way.
    pub(super) outbound: Arc<Mutex<Outbound>>,
    pub(super) contexts: BTreeMap<u8, Context>,
    pub(super) terms: HashMap<String, QueryTerms>,
    /// The peer's AE title.
    pub(super) calling: String,
    /// Who it is, for the audit log.
    pub(super) speaker: Arc<Speaker>,
    /// Studies that the operation under way is about.
    pub(super) about: Vec<String>,
    /// What the peer may do.
    pub(super) grant: Grant,
    /// The title under which it calls this server.
    pub(super) called: String,
    pub(super) stores: Stores,
    /// Over which storage commitments are reported.
    pub(super) line: Option<Arc<Line>>,
    /// A command that came while another operation was under way.
    pub(super) waiting: Option<(u8, Command)>,
    operations: u64,
}

/// Serves a connection; `full`: there are too many, and it is to be told so.
pub(super) fn run(dimse: &Arc<Dimse>, open: &Open, stream: &TcpStream, way: Way, full: bool) {
    let begun = Instant::now();
    let (reading, writing) = match halves(dimse, stream, way.tls) {
        Ok(halves) => halves,
        Err(why) => {
            tracing::warn!(from = %way.address, %why, "a connection has no TLS");
            dimse.app.metrics.dimse.ended(End::Insecure.word());
            return linger(stream);
        }
    };
    let stopping = Arc::clone(&dimse.stopping);
    let Ok(inbound) = Inbound::new(reading, dimse.settings.patience(), stopping) else { return };
    let outbound = Arc::new(Mutex::new(Outbound::new(writing)));
    let mut told = Told::default();
    let arrived = Arrived { open, way, full };
    let end = match serve(dimse, inbound, &outbound, &arrived, &mut told) {
        Ok(()) => End::Released,
        Err(end) => end,
    };
    if let Some((source, reason)) = end.abort() {
        let _ = lock(&outbound).pdu(&pdu::short(pdu::ABORT, [0, 0, source, reason]));
    }
    dimse.app.metrics.dimse.ended(end.word());
    dimse.app.metrics.dimse.bytes(told.received, lock(&outbound).sent);
    if end.is_fault() {
        tracing::warn!(calling = told.calling, why = %end, "an association failed");
    }
    tracing::info!(
        target: ACCESS,
        calling = told.calling,
        user = told.user,
        tls = way.tls,
        end = end.word(),
        contexts = told.contexts,
        operations = told.operations,
        received = told.received,
        sent = lock(&outbound).sent,
        ms = begun.elapsed().as_millis() as u64,
        "association"
    );
    lock(&outbound).end();
    linger(stream);
}

/// How a connection came.
struct Arrived<'a> {
    open: &'a Open,
    way: Way,
    /// There are too many, and it is to be told so.
    full: bool,
}

/// What the log line of an association tells.
#[derive(Default)]
struct Told {
    calling: String,
    user: String,
    contexts: usize,
    operations: u64,
    received: u64,
}

fn halves(dimse: &Dimse, stream: &TcpStream, tls: bool) -> Result<(Reading, Writing), Insecure> {
    if !tls {
        return transport::plain(stream).map_err(Insecure::Io);
    }
    let config = dimse.settings.tls.as_ref().and_then(|tls| tls.server());
    let config = config.ok_or(Insecure::NotSetUp("there is no certificate to show"))?;
    let secured = transport::accept(stream, config, dimse.settings.request, &dimse.stopping);
    let word = secured.as_ref().map_or_else(Insecure::word, |secured| secured.version);
    dimse.app.metrics.dimse.handshake(word);
    secured.map(|secured| (secured.reading, secured.writing))
}

fn serve(
    dimse: &Arc<Dimse>,
    mut inbound: Inbound,
    outbound: &Arc<Mutex<Outbound>>,
    arrived: &Arrived<'_>,
    told: &mut Told,
) -> Result<(), End> {
    let (kind, body) = inbound.pdu()?;
    match kind {
        pdu::ASSOCIATE_RQ => {}
        pdu::ABORT => return Err(End::Aborted),
        _ => return Err(End::Unexpected("an association did not begin with A-ASSOCIATE-RQ")),
    }
    let request = Associate::<Proposal>::read(&body)?;
    told.calling = shown(&request.calling);
    let from = Some(arrived.way.address);
    let mut speaker = Speaker { calling: request.calling.clone(), user: None, from };
    told.received = inbound.received;
    let admitted = if arrived.full || dimse.is_stopping() {
        Err(Refused::Full)
    } else {
        admit(dimse, arrived.open, &request, arrived.way)
    };
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(why) => {
            tracing::warn!(calling = told.calling, from = %arrived.way.address, %why, "an association is rejected");
            dimse.app.metrics.dimse.rejected(why.word());
            // Without its line it is rejected all the same.
            let _ = dimse.app.audit.tell(speaker.rejected(why.word()));
            return Err(reject(outbound, why.rejection()));
        }
    };
    speaker.user.clone_from(&admitted.user);
    told.user = admitted.user.as_deref().map(shown).unwrap_or_default();
    let agreed = negotiate::agree(&request, &dimse.settings, &admitted)?;
    told.contexts = agreed.contexts.len();
    let who = (speaker, request.called);
    let mut association = accept(dimse, inbound, outbound, who, (agreed, admitted))?;
    let end = association.converse();
    told.received = association.inbound.received;
    told.operations = association.operations;
    end
}

fn reject(outbound: &Mutex<Outbound>, [result, source, reason]: Rejection) -> End {
    match lock(outbound).pdu(&pdu::short(pdu::ASSOCIATE_RJ, [0, result, source, reason])) {
        Ok(()) => End::Rejected,
        Err(end) => end,
    }
}

fn accept(
    dimse: &Arc<Dimse>,
    inbound: Inbound,
    outbound: &Arc<Mutex<Outbound>>,
    (speaker, called): (Speaker, String),
    (agreed, admitted): (Agreed, Admitted),
) -> Result<Association, End> {
    {
        let mut outbound = lock(outbound);
        outbound.limit(agreed.pdu_bytes_max);
        outbound.pdu(&agreed.answer.write())?;
    }
    Ok(Association {
        dimse: Arc::clone(dimse),
        inbound,
        outbound: Arc::clone(outbound),
        contexts: agreed.contexts,
        terms: agreed.terms,
        calling: speaker.calling.clone(),
        speaker: Arc::new(speaker),
        about: Vec::new(),
        grant: admitted.grant,
        called,
        stores: Stores::new(dimse, outbound, agreed.window)?,
        line: None,
        waiting: None,
        operations: 0,
    })
}

impl Association {
    /// Takes commands until the peer releases.
    fn converse(&mut self) -> Result<(), End> {
        while let Some((id, command)) = self.next_command()? {
            let context = self.contexts.get(&id).cloned();
            let context = context.ok_or(End::Malformed("a context that was not accepted"))?;
            self.operations += 1;
            self.dispatch(&context, &command)?;
        }
        self.stores.settle()?;
        self.lock().pdu(&pdu::short(pdu::RELEASE_RP, [0; 4]))
    }

    fn next_command(&mut self) -> Result<Option<(u8, Command)>, End> {
        match self.waiting.take() {
            Some(waiting) => Ok(Some(waiting)),
            None => self.inbound.command(),
        }
    }

    fn dispatch(&mut self, context: &Context, command: &Command) -> Result<(), End> {
        let begun = Instant::now();
        let kind = command.get(field::COMMAND).unwrap_or(0);
        self.about.clear();
        let asks = kind & operation::RESPONSE == 0 && kind != operation::CANCEL;
        if asks && !self.dimse.app.audit.is_well() {
            self.pass_over(context, command)?;
            let comment = "the audit log cannot be written";
            let answer = command.answer(status::OUT_OF_RESOURCES);
            return self.answer(context, &answer.with_text(field::ERROR_COMMENT, comment));
        }
        match (kind, context.service) {
            (operation::STORE, Service::Store) if !self.grant.has(Services::STORE) => {
                self.pass_over(context, command)?;
                self.operated("store", status::NOT_AUTHORIZED, begun)?;
                self.answer(context, &command.answer(status::NOT_AUTHORIZED))
            }
            (operation::STORE, Service::Store) => self.store(context, command),
            (operation::FIND, Service::Find(model)) => self.find(context, command, model),
            (operation::GET, Service::Get(model)) => self.get(context, command, model),
            (operation::MOVE, Service::Move(model)) => self.move_to(context, command, model),
            (operation::ACTION, Service::Commitment) => self.action(context, command),
            (operation::ECHO, _) => {
                self.operated("echo", status::SUCCESS, begun)?;
                self.answer(context, &command.answer(status::SUCCESS))
            }
            // Of an operation that is over by now: its answer is on the way (PS3.7 §9.3.2.3).
            (operation::CANCEL, _) => Ok(()),
            (kind, _) if kind & operation::RESPONSE != 0 => {
                self.pass_over(context, command)?;
                if let (EVENT_ANSWER, Some(line)) = (kind, &self.line) {
                    let id = command.get(field::RESPONDED_ID).unwrap_or(0);
                    line.answered(id, command.get(field::STATUS).unwrap_or(u16::MAX));
                }
                Ok(())
            }
            _ => {
                self.pass_over(context, command)?;
                self.operated("other", status::UNRECOGNIZED_OPERATION, begun)?;
                self.answer(context, &command.answer(status::UNRECOGNIZED_OPERATION))
            }
        }
    }

    /// Throws the data set of a command away.
    pub(super) fn pass_over(&mut self, context: &Context, command: &Command) -> Result<(), End> {
        if command.has_data_set() {
            self.inbound.dataset(context.id).pass_over()?;
        }
        Ok(())
    }

    /// Sends an answer without a data set.
    pub(super) fn answer(&self, context: &Context, answer: &Command) -> Result<(), End> {
        self.lock().command(context.id, answer)
    }

    /// Counts an operation that is about to be answered, and writes its line into the audit log. Without
    /// that it is not answered.
    pub(super) fn operated(&self, word: &str, status: u16, begun: Instant) -> Result<(), End> {
        let seconds = begun.elapsed().as_secs_f64();
        self.dimse.app.metrics.dimse.operation(word, status::class(status), seconds);
        let mut event = self.speaker.did(word, status);
        event.about(self.about.iter().map(String::as_str));
        self.dimse.app.audit.tell(event).map_err(|_| End::Failed(UNAUDITED))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Outbound> {
        lock(&self.outbound)
    }
}

impl Drop for Association {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.close();
        }
    }
}

/// A thread that panicked while it wrote leaves a broken stream, which the peer sees.
pub(super) fn lock(outbound: &Mutex<Outbound>) -> MutexGuard<'_, Outbound> {
    outbound.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An AE title or user for the log, if it is one; anybody can put anything there.
fn shown(title: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-. @".contains(&b);
    if title.bytes().all(plain) { title.to_owned() } else { "(odd)".to_owned() }
}

/// Waits for the peer to close (PS3.8 §9.2, ARTIM): closed with bytes unread, the connection would be
/// reset, and what was sent last might be lost.
fn linger(mut stream: &TcpStream) {
    use std::io::Read;
    let _ = stream.shutdown(Shutdown::Write);
    let until = Instant::now() + LINGER;
    let mut thrown_away = 0;
    let mut buffer = [0; 16 << 10];
    while Instant::now() < until && thrown_away < LINGER_BYTES_MAX {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(got) => thrown_away += got,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
