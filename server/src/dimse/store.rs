//! C-STORE (PS3.4 annex B, PS3.7 §9.1.1): from fragments to the archive, and the answer.
//!
//! The store reads the data set itself, fragment by fragment. The answer follows the sync of the spool,
//! or the commit of what is not spooled (A1).
//!
//! **Many associations, few syncs.** Whoever waits for an answer asks the store for haste: the spool is
//! synced on this thread, and a batch is closed as soon as the disk is free, with everything in it that
//! came in the meantime. So associations that wait while a sync runs share the next one. A peer that asked for a window may
//! hand in more before the first answer (PS3.7 §D.3.3.3); a thread of its own then writes the answers
//! as they come.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use cairn_store::commit::Source;
use cairn_store::ingest::{Admission, Arrival, Early, Incoming, Ingest, Receipt, Sender as Caller};
use cairn_store::limits::SLAB_BYTES;

use super::Dimse;
use super::association::{Association, UNAUDITED, lock};
use super::audited::Speaker;
use super::command::{Command, field};
use super::end::End;
use super::limits::HURRY_EVERY;
use super::negotiate::Context;
use super::outbound::Outbound;
use super::status;
use crate::audit::clean;
use crate::http::App;
use crate::metrics::ErrorKind;

/// An answer that is owed.
#[derive(Debug)]
struct Owed {
    context: u8,
    answer: Command,
    begun: Instant,
    speaker: Arc<Speaker>,
}

type Answered = (Owed, Result<Receipt, cairn_store::Error>);

/// What an association has handed in and is not answered yet.
pub(super) struct Stores {
    answers: Sender<Answered>,
    writer: Writer,
    /// The beginning of an object.
    early: Early,
}

/// Who writes the answers.
enum Writer {
    /// The association's thread, one after the other.
    Own(Receiver<Answered>),
    /// Another one, while up to so many are owed.
    Other(Arc<Window>, u16),
}

/// How many answers are owed.
#[derive(Debug, Default)]
struct Window {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    owed: u16,
    /// An answer could not be written.
    broken: Option<End>,
    /// The association is over.
    closed: bool,
}

impl Window {
    /// Waits until fewer than `max` are owed.
    fn below(&self, max: u16) -> Result<(), End> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.broken.is_none() && state.owed >= max {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.broken.map_or(Ok(()), Err)
    }

    /// Waits until something is owed; false if nothing ever will be.
    fn owes(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.owed == 0 && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.owed > 0
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        if let Writer::Other(window, _) = &self.writer {
            window.change(|state| state.closed = true);
        }
    }
}

impl Writer {
    /// So many more answers are owed.
    fn owe(&self, more: i16) {
        if let Self::Other(window, _) = self {
            window.change(|state| state.owed = state.owed.saturating_add_signed(more));
        }
    }
}

impl Stores {
    pub(super) fn new(
        dimse: &Arc<Dimse>,
        outbound: &Arc<Mutex<Outbound>>,
        window: u16,
    ) -> Result<Self, End> {
        let (answers, answered) = channel();
        let writer = if window <= 1 {
            Writer::Own(answered)
        } else {
            let shared = Arc::new(Window::default());
            let (app, outbound) = (Arc::clone(&dimse.app), Arc::clone(outbound));
            let known = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("cairn-dimse-answers".into())
                .spawn(move || write_answers(&app, &outbound, &known, &answered))
                .map_err(|_| End::Failed("no thread for answers"))?;
            Writer::Other(shared, window)
        };
        Ok(Self { answers, writer, early: Early::default() })
    }

    /// Waits until one more answer may be owed.
    fn wait_for_room(&self) -> Result<(), End> {
        match &self.writer {
            Writer::Own(_) => Ok(()),
            Writer::Other(window, max) => window.below(*max),
        }
    }

    /// Waits until everything is answered.
    pub(super) fn settle(&self) -> Result<(), End> {
        match &self.writer {
            Writer::Own(_) => Ok(()),
            Writer::Other(window, _) => window.below(1),
        }
    }
}

impl Association {
    /// Takes an object in.
    pub(super) fn store(&mut self, context: &Context, request: &Command) -> Result<(), End> {
        let begun = Instant::now();
        let (class, instance) =
            (request.uid(field::AFFECTED_CLASS), request.uid(field::AFFECTED_INSTANCE));
        let answer = request.answer(status::SUCCESS);
        let (Some(class), Some(instance), true) = (class, instance, request.has_data_set()) else {
            self.pass_over(context, request)?;
            let comment = "class, instance or data set are missing";
            return self.refuse(context, answer, (status::CANNOT_UNDERSTAND, comment), begun);
        };
        self.stores.wait_for_room()?;
        let Ok(ingest) = self.dimse.app.ingest() else {
            self.pass_over(context, request)?;
            let refusal = (status::OUT_OF_RESOURCES, "the server is ending");
            return self.refuse(context, answer, refusal, begun);
        };
        let admission = Admission {
            uids_required: true,
            sop_class_uid: Some(class),
            sop_instance_uid: Some(instance),
            sender: Some(Caller { calling: self.calling.clone(), called: self.called.clone() }),
            ..Admission::default()
        };
        let speaker = Arc::clone(&self.speaker);
        let owed = Owed { context: context.id, answer: answer.clone(), begun, speaker };
        match self.hand_in(&ingest, context, admission, owed)? {
            Ok(()) => {
                ingest.hurry();
                self.await_answer(&ingest)
            }
            Err(error) => {
                tell(&self.dimse.app, &error);
                self.refuse(context, answer, status::refusal(&error), begun)
            }
        }
    }

    /// Lets the store read the data set. It answers later if it took the object, and is asked for
    /// nothing more if it did not.
    fn hand_in(
        &mut self,
        ingest: &Arc<Ingest>,
        context: &Context,
        admission: Admission,
        owed: Owed,
    ) -> Result<Result<(), cairn_store::Error>, End> {
        let Stores { answers, writer, early } = &mut self.stores;
        let mut dataset = self.inbound.dataset(context.id);
        let arrival = Arrival::Dataset { transfer_syntax: context.transfer_syntax.clone() };
        if ingest.read_early(early, &arrival, &mut dataset).is_err() {
            return Err(dataset.broken.unwrap_or(End::Closed));
        }
        let bytes = dataset.is_ended().then_some(early.bytes().len() as u64);
        if bytes.is_none() {
            let (lender, max) = (Arc::clone(ingest), self.dimse.app.in_flight_bytes_max);
            dataset.borrows(Box::new(move || lender.in_flight_bytes() + SLAB_BYTES > max));
        }
        let incoming = Incoming {
            early: Some(early),
            reader: &mut dataset,
            bytes,
            source: Source::Dimse,
            arrival,
            admission,
        };
        let answers = answers.clone();
        writer.owe(1);
        let taken = ingest.receive(incoming, move |answer| {
            // Nobody listens only if the association is gone.
            let _ = answers.send((owed, answer));
        });
        if taken.is_err() {
            writer.owe(-1);
            // If the peer broke off there is nobody to answer.
            dataset.pass_over()?;
        }
        Ok(taken)
    }

    /// With a window, the other thread answers.
    fn await_answer(&self, ingest: &Ingest) -> Result<(), End> {
        let Writer::Own(answered) = &self.stores.writer else { return Ok(()) };
        loop {
            match answered.recv_timeout(HURRY_EVERY) {
                Ok(answered) => return write_answer(&self.dimse.app, &self.outbound, answered),
                Err(RecvTimeoutError::Timeout) => ingest.hurry(),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(End::Failed("an answer of the store was lost"));
                }
            }
        }
    }

    fn refuse(
        &self,
        context: &Context,
        answer: Command,
        (code, comment): (u16, &str),
        begun: Instant,
    ) -> Result<(), End> {
        self.dimse.app.metrics.instances("refused", 1);
        self.operated("store", code, begun)?;
        let answer = answer.number(field::STATUS, code).with_text(field::ERROR_COMMENT, comment);
        self.answer(context, &answer)
    }
}

/// Tells an operator of what only an operator can mend.
fn tell(app: &App, error: &cairn_store::Error) {
    if !matches!(error.kind(), cairn_store::Kind::Input) {
        app.metrics.error(ErrorKind::Storage);
        tracing::warn!(%error, "an instance could not be stored");
    }
}

/// The thread that answers where there is a window.
fn write_answers(
    app: &Arc<App>,
    outbound: &Mutex<Outbound>,
    window: &Window,
    answered: &Receiver<Answered>,
) {
    while window.owes() {
        let answer = match answered.recv_timeout(HURRY_EVERY) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                if let Ok(ingest) = app.ingest() {
                    ingest.hurry();
                }
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let written = write_answer(app, outbound, answer);
        window.change(|state| {
            state.owed = state.owed.saturating_sub(1);
            state.broken = state.broken.or(written.err());
        });
    }
}

fn write_answer(
    app: &App,
    outbound: &Mutex<Outbound>,
    (owed, answer): Answered,
) -> Result<(), End> {
    let (code, comment, outcome) = match &answer {
        Ok(receipt) => (status::of_receipt(receipt), None, receipt.outcome.name()),
        Err(error) => {
            tell(app, error);
            let (code, comment) = status::refusal(error);
            (code, Some(comment), "refused")
        }
    };
    let mut event = owed.speaker.did("store", code);
    match &answer {
        Ok(receipt) => {
            event.about([receipt.study_uid.as_str()]);
            event.series = Some(clean(&receipt.series_uid));
            event.instance = Some(clean(&receipt.sop_instance_uid));
        }
        Err(_) => event.instance = owed.answer.uid(field::AFFECTED_INSTANCE).map(|u| clean(&u)),
    }
    app.audit.tell(event).map_err(|_| End::Failed(UNAUDITED))?;
    let mut answer = owed.answer.number(field::STATUS, code);
    if let Some(comment) = comment {
        answer = answer.with_text(field::ERROR_COMMENT, comment);
    }
    let written = lock(outbound).command(owed.context, &answer);
    app.metrics.instances(outcome, 1);
    let seconds = owed.begun.elapsed().as_secs_f64();
    app.metrics.dimse.operation("store", status::class(code), seconds);
    written
}
