//! The thread of one storing request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use cairn_store::Error;
use cairn_store::commit::Source;
use cairn_store::ingest::{Admission, Arrival, Incoming, Ingest, Receipt};

use super::Form;
use super::codes;
use super::feed::Pieces;
use super::metadata;
use super::part::{More, Part};
use super::results::{Names, Results};
use crate::dicomweb::multipart::{Fault, Reader};

/// How long to wait for answers before asking again for haste: a batch of others may have gone first.
const HURRY_EVERY: Duration = Duration::from_millis(50);

/// An answer of the store, with what the part called itself.
type Answered = (Names, Result<Receipt, Error>);

/// See the [module](self).
pub(super) struct Worker {
    pub(super) ingest: Arc<Ingest>,
    /// The study that everything has to belong to.
    pub(super) study: Option<String>,
    pub(super) source: Pieces,
}

/// What the parts of one request share.
pub(super) struct Desk<'a> {
    ingest: &'a Ingest,
    study: Option<String>,
    pub(super) results: Results,
    answers: Sender<Answered>,
    answered: Receiver<Answered>,
    /// Answers that are still owed.
    owed: u64,
    /// Set while a part that is not whole yet holds memory of the store.
    borrows: Arc<AtomicBool>,
}

impl Worker {
    /// Takes in all of the body; returns when everything is answered.
    pub(super) fn run(self, form: &Form) -> Results {
        let Self { ingest, study, mut source } = self;
        let (answers, answered) = channel();
        let mut desk = Desk {
            ingest: &ingest,
            study,
            results: Results::default(),
            answers,
            answered,
            owed: 0,
            borrows: Arc::clone(&source.borrows),
        };
        let read = match form {
            Form::Single => desk.take(&mut || source.next()).map_err(Fault::Source),
            Form::Multipart(boundary) => desk.parts(boundary, &mut source),
            Form::Metadata(boundary) => {
                metadata::take(&mut desk, &mut Reader::new(boundary, || source.next()))
            }
        };
        if let Err(fault) = read {
            desk.results.body_broke(source.broken, &fault);
        }
        desk.settle();
        desk.results
    }
}

impl Desk<'_> {
    fn parts(&mut self, boundary: &str, source: &mut Pieces) -> Result<(), Fault> {
        let mut reader = Reader::new(boundary, || source.next());
        while let Some(headers) = reader.next_part()? {
            // Without a type it is taken for what the whole is said to be.
            let kind = headers.get("content-type").unwrap_or(super::DICOM);
            let essence = kind.split(';').next().unwrap_or("").trim();
            if !essence.eq_ignore_ascii_case(super::DICOM) {
                self.results.refused(Names::default(), codes::CANNOT_UNDERSTAND);
                continue;
            }
            let mut fault = None;
            let taken = self.take(&mut || {
                reader.next_bytes().map_err(|broken| match broken {
                    Fault::Source(error) => error,
                    malformed => {
                        fault = Some(malformed);
                        std::io::ErrorKind::InvalidData.into()
                    }
                })
            });
            match fault {
                Some(fault) => return Err(fault),
                None => taken?,
            }
            self.gather();
        }
        Ok(())
    }

    /// Takes a part in. An error means that the body itself failed.
    pub(super) fn take(&mut self, more: More<'_>) -> std::io::Result<()> {
        let mut part = Part::begin(more)?;
        let names = Names::from(part.names());
        let bytes = part.length();
        let answers = self.answers.clone();
        let told = names.clone();
        let incoming = Incoming {
            early: None,
            reader: &mut part,
            bytes,
            source: Source::Web,
            arrival: Arrival::File,
            admission: Admission {
                study_uid: self.study.clone(),
                uids_required: true,
                ..Admission::default()
            },
        };
        // Nobody listens only if this thread is gone, and then there is nobody to tell.
        self.borrows.store(bytes.is_none(), Ordering::Relaxed);
        let taken = self.ingest.receive(incoming, move |answer| {
            let _ = answers.send((told, answer));
        });
        self.borrows.store(false, Ordering::Relaxed);
        match taken {
            Ok(()) => self.owed += 1,
            Err(Error::Source(error)) => return Err(error),
            Err(error) => self.results.answered(names, Err(error)),
        }
        Ok(())
    }

    /// Takes what answers are there.
    pub(super) fn gather(&mut self) {
        while let Ok((names, answer)) = self.answered.try_recv() {
            self.owed -= 1;
            self.results.answered(names, answer);
        }
    }

    /// Waits for every answer.
    fn settle(&mut self) {
        self.gather();
        while self.owed > 0 {
            self.ingest.hurry();
            if let Ok((names, answer)) = self.answered.recv_timeout(HURRY_EVERY) {
                self.owed -= 1;
                self.results.answered(names, answer);
                self.gather();
            }
        }
    }
}
