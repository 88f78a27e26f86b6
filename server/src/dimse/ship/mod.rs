//! Objects to a receiver, over several associations at once: sub-operations of C-MOVE, what rules
//! forward, `cairn send`.
//!
//! ```text
//! versions ─▶ loads ─▶ worker, worker, … ─▶ fates ─▶ whoever asked for it
//!                       each with a loan of the pool, and a few objects read ahead
//! ```
//!
//! One worker begins; others follow once the receiver has taken an object, so a receiver that is not
//! there is called once. What was under way when an association broke is sent again, a few times; what
//! was only read ahead goes to whoever is next. Each object has exactly one fate, and is told of once.

mod load;
mod worker;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use cairn_store::catalog::VersionRow;

use super::limits::ANSWER;
use super::pool::Pool;
use super::settings::{Peer, Settings};
use crate::http::App;
use worker::{Told, Work};

/// How often whoever asked is called although nothing happened.
const TICK: Duration = Duration::from_millis(100);
/// Another association is worth its opening for so many objects.
const OBJECTS_EACH: usize = 4;

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The receiver answered with this status.
    Answered(u16),
    /// It takes the object in no encoding that can be made of it.
    NotAccepted,
    /// It cannot be read, or not converted.
    Unreadable,
    /// Several associations broke while it was under way.
    Broke,
    /// It was not tried: the receiver is out of reach, or whoever asked wants no more.
    Untried,
}

/// What is sent, to whom, on whose behalf.
pub(super) struct Shipment {
    pub(super) app: Arc<App>,
    pub(super) settings: Settings,
    pub(super) pool: Arc<Pool>,
    pub(super) peer: Peer,
    /// AE title and message id of the C-MOVE that asks for it (PS3.7 §9.1.1.1).
    pub(super) originator: Option<(String, u16)>,
}

impl Shipment {
    /// Sends; returns when every object has its fate. `told` hears of each by its place among
    /// `versions`, and is called now and then with `None`; it says whether to go on.
    pub(super) fn run<E>(
        self: &Arc<Self>,
        versions: Vec<VersionRow>,
        told: &mut dyn FnMut(Option<(usize, Fate)>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let all = versions.len();
        let work = Arc::new(Work::new(load::loads(versions)));
        // However this ends, workers begin nothing more.
        let _end = Ends(&work);
        let (tell, heard) = channel();
        let mut crew = Crew { begun: 0, ended: 0 };
        crew.begin(self, &work, &tell);
        let mut fates = vec![false; all];
        let mut done = 0;
        while done < all {
            let event = match heard.recv_timeout(TICK) {
                Ok(Told::Fate(index, fate)) if !std::mem::replace(&mut fates[index], true) => {
                    done += 1;
                    let is_alive = matches!(fate, Fate::Answered(_));
                    if is_alive && crew.is_short(self, &work) {
                        crew.begin(self, &work, &tell);
                    }
                    Some((index, fate))
                }
                Ok(Told::Fate(..)) | Err(RecvTimeoutError::Timeout) => None,
                Ok(Told::Ended) => {
                    crew.ended += 1;
                    None
                }
                // This side has a sender as well.
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if !told(event)? {
                self.settle(&work, &heard, &mut |index, fate| {
                    let new = !std::mem::replace(&mut fates[index], true);
                    if new { told(Some((index, fate))).map(|_| ()) } else { Ok(()) }
                })?;
                return Ok(());
            }
            if crew.begun == crew.ended && done < all {
                // Fates that were told before the last worker ended are all heard by now.
                break;
            }
        }
        for (index, known) in fates.into_iter().enumerate() {
            if !known {
                told(Some((index, Fate::Untried)))?;
            }
        }
        Ok(())
    }

    /// The same for whoever wants all, unless the server ends.
    pub(super) fn run_all(
        self: &Arc<Self>,
        versions: Vec<VersionRow>,
        stopping: &AtomicBool,
    ) -> Vec<Fate> {
        let mut fates = vec![Fate::Untried; versions.len()];
        let mut note = |event| -> Result<bool, Infallible> {
            if let Some((index, fate)) = event
                && let Some(place) = fates.get_mut(index)
            {
                *place = fate;
            }
            Ok(!stopping.load(Ordering::Relaxed))
        };
        match self.run(versions, &mut note) {
            Ok(()) => fates,
            Err(never) => match never {},
        }
    }

    /// Nobody wants more: what is under way is waited for.
    fn settle<E>(
        &self,
        work: &Work,
        heard: &Receiver<Told>,
        told: &mut dyn FnMut(usize, Fate) -> Result<(), E>,
    ) -> Result<(), E> {
        work.stop();
        let until = Instant::now() + ANSWER.min(self.settings.stall);
        while Instant::now() < until {
            match heard.recv_timeout(TICK / 10) {
                Ok(Told::Fate(index, fate)) if fate != Fate::Untried => told(index, fate)?,
                Err(_) if work.is_quiet() => break,
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Workers of one shipment.
struct Crew {
    begun: usize,
    ended: usize,
}

impl Crew {
    fn is_short(&self, shipment: &Shipment, work: &Work) -> bool {
        let at_work = self.begun - self.ended;
        at_work < shipment.settings.out_associations_max && work.left() > OBJECTS_EACH * at_work
    }

    fn begin(
        &mut self,
        shipment: &Arc<Shipment>,
        work: &Arc<Work>,
        tell: &std::sync::mpsc::Sender<Told>,
    ) {
        self.begun += 1;
        let (shipment, work, tell) = (Arc::clone(shipment), Arc::clone(work), tell.clone());
        let told = tell.clone();
        let begun = std::thread::Builder::new()
            .name("cairn-dimse-send".into())
            .stack_size(super::limits::STACK_BYTES)
            .spawn(move || worker::run(&shipment, &work, &tell));
        if begun.is_err() {
            // The receiving end is in this very function's caller.
            let _ = told.send(Told::Ended);
        }
    }
}

/// Stops the work once it is dropped.
struct Ends<'a>(&'a Work);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
