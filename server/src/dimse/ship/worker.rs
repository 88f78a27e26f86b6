//! One association's share of a shipment.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::load::{Item, Load};
use super::{Fate, Shipment};
use crate::dicomweb::ahead::{Ahead, Job};
use crate::dimse::command::field;
use crate::dimse::end::End;
use crate::dimse::negotiate::Context;
use crate::dimse::pool::{Loan, NoLoan};
use crate::dimse::retrieve::prepare::{Prepared, job, route};
use crate::dimse::retrieve::send::{command, send};

/// How often an object is begun again whose association broke; and how many associations may break
/// one after the other, with nothing sent, before the receiver counts as out of reach.
const BREAKS_MAX: usize = 3;
/// Objects read ahead of the one that is sent, for each association.
const AHEAD: usize = 2;
/// How long to wait for an association of others before looking whether this one is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What a worker says.
pub(super) enum Told {
    /// An object has its fate.
    Fate(usize, Fate),
    /// The worker is gone.
    Ended,
}

/// What the workers of a shipment share.
pub(super) struct Work {
    loads: Mutex<Vec<Load>>,
    /// Objects that are being sent.
    under_way: AtomicUsize,
    /// Workers that hold an association.
    holders: AtomicUsize,
    stopped: AtomicBool,
}

impl Work {
    pub(super) fn new(loads: Vec<Load>) -> Self {
        Self {
            loads: Mutex::new(loads),
            under_way: AtomicUsize::new(0),
            holders: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        }
    }

    /// Nothing more is begun.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Is nothing being sent?
    pub(super) fn is_quiet(&self) -> bool {
        self.under_way.load(Ordering::SeqCst) == 0
    }

    /// Objects that nobody has taken yet.
    pub(super) fn left(&self) -> usize {
        self.loads().iter().map(|load| load.left.len()).sum()
    }

    /// The load with most to do.
    fn load(&self) -> Option<usize> {
        let loads = self.loads();
        let fullest = loads.iter().enumerate().max_by_key(|(_, load)| load.left.len());
        fullest.filter(|(_, load)| !load.left.is_empty()).map(|(n, _)| n)
    }

    fn take(&self, load: usize) -> Option<Item> {
        if self.is_stopped() {
            return None;
        }
        self.loads().get_mut(load).and_then(|load| load.left.pop_front())
    }

    /// At the end: what breaks associations must not stand in the way of the rest.
    fn put_back(&self, load: usize, items: impl IntoIterator<Item = Item>) {
        if let Some(load) = self.loads().get_mut(load) {
            load.left.extend(items);
        }
    }

    fn loads(&self) -> MutexGuard<'_, Vec<Load>> {
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends until nothing is left, the receiver is out of reach, or nobody wants more.
pub(super) fn run(shipment: &Shipment, work: &Arc<Work>, tell: &Sender<Told>) {
    let mut worker = Worker { shipment, work, tell, broken: 0 };
    worker.run();
    // Nobody listens only if nobody wants to know.
    let _ = tell.send(Told::Ended);
}

struct Worker<'a> {
    shipment: &'a Shipment,
    work: &'a Arc<Work>,
    tell: &'a Sender<Told>,
    /// Associations that broke one after the other.
    broken: usize,
}

/// How an association was left.
enum Left {
    /// There is nothing more for it.
    Done,
    /// Somebody else waits for it.
    Yielded,
    /// It broke.
    Broken,
}

impl Worker<'_> {
    fn run(&mut self) {
        while self.broken < BREAKS_MAX && !self.work.is_stopped() {
            let Some(load) = self.work.load() else { return };
            let wanted = self.work.loads().get(load).map(|load| load.wanted.clone());
            let wanted = wanted.unwrap_or_default();
            let Shipment { settings, pool, peer, .. } = self.shipment;
            let loan = match pool.lend(settings, peer, &wanted, LOOK_EVERY) {
                Ok(loan) => loan,
                Err(NoLoan::Busy) => {
                    if self.work.holders.load(Ordering::SeqCst) > 0 {
                        return;
                    }
                    continue;
                }
                Err(NoLoan::Unreached(why)) => {
                    // One more association than the receiver wants is no fault.
                    if self.work.holders.load(Ordering::SeqCst) == 0 {
                        tracing::warn!(to = peer.title, %why, "a receiver is out of reach");
                    }
                    return;
                }
            };
            self.work.holders.fetch_add(1, Ordering::SeqCst);
            let left = self.use_up(load, loan);
            let others = self.work.holders.fetch_sub(1, Ordering::SeqCst) > 1;
            match left {
                Left::Yielded if others => return,
                Left::Done | Left::Yielded | Left::Broken => {}
            }
        }
    }

    fn use_up(&mut self, load: usize, mut loan: Loan) -> Left {
        let Some(contexts) = loan.scu().map(|scu| scu.contexts.clone()) else {
            return Left::Broken;
        };
        let taken = Arc::new(Mutex::new(VecDeque::new()));
        let ahead = self.ahead(load, contexts, &taken);
        let mut first = !loan.is_fresh;
        let mut id = 0_u16;
        for prepared in ahead {
            let Some(mut item) = lock(&taken).pop_front() else { break };
            if self.work.is_stopped() {
                break;
            }
            let prepared = match prepared {
                Ok(Some(prepared)) => prepared,
                Ok(None) => {
                    self.tell(item.index, Fate::NotAccepted);
                    continue;
                }
                Err(problem) => {
                    let detail = problem.detail.as_deref().unwrap_or(&problem.message);
                    tracing::warn!(detail, "an object cannot be sent");
                    self.tell(item.index, Fate::Unreadable);
                    continue;
                }
            };
            id = id.wrapping_add(1);
            self.work.under_way.fetch_add(1, Ordering::SeqCst);
            let answered = self.send(&mut loan, prepared, id);
            match answered {
                Ok(status) => {
                    (self.broken, first) = (0, false);
                    self.tell(item.index, Fate::Answered(status));
                    self.work.under_way.fetch_sub(1, Ordering::SeqCst);
                }
                Err(why) => {
                    // An association that was kept may have been closed long ago.
                    if !first {
                        self.broken += 1;
                        item.breaks += 1;
                        tracing::warn!(to = self.shipment.peer.title, %why, "a receiver broke off");
                    }
                    let lost = matches!(why, End::Failed(_));
                    if lost || item.breaks >= BREAKS_MAX {
                        self.tell(item.index, if lost { Fate::Unreadable } else { Fate::Broke });
                    } else {
                        self.work.put_back(load, [item]);
                    }
                    self.work.under_way.fetch_sub(1, Ordering::SeqCst);
                    self.work.put_back(load, lock(&taken).drain(..));
                    return Left::Broken;
                }
            }
            if loan.is_wanted() && self.work.holders.load(Ordering::SeqCst) > 1 {
                self.work.put_back(load, lock(&taken).drain(..));
                loan.give_back();
                return Left::Yielded;
            }
        }
        loan.give_back();
        Left::Done
    }

    /// Objects of the load, read a few ahead; `None` for one that the receiver takes in no form.
    fn ahead(
        &self,
        load: usize,
        contexts: Vec<Context>,
        taken: &Arc<Mutex<VecDeque<Item>>>,
    ) -> Ahead<Option<Prepared>, impl Iterator<Item = Job<Option<Prepared>>> + use<>> {
        let (work, taken) = (Arc::clone(self.work), Arc::clone(taken));
        let app = Arc::clone(&self.shipment.app);
        let jobs = std::iter::from_fn(move || {
            let item = work.take(load)?;
            let version = item.version.clone();
            lock(&taken).push_back(item);
            let route = route(&contexts, &version);
            let app = Arc::clone(&app);
            let job: Job<Option<Prepared>> = Box::new(move || match route {
                Some(_) => job(app, version, route)().map(Some),
                None => Ok(None),
            });
            Some(job)
        });
        Ahead::with_depth(jobs, AHEAD)
    }

    fn send(&self, loan: &mut Loan, prepared: Prepared, id: u16) -> Result<u16, End> {
        let scu = loan.scu().ok_or(End::Closed)?;
        let mut command = command(&prepared, id);
        if let Some((title, of)) = &self.shipment.originator {
            command = command
                .with_text(field::MOVE_ORIGINATOR, title)
                .number(field::MOVE_ORIGINATOR_ID, *of);
        }
        send(&mut scu.outbound, &command, prepared)?;
        let answer = scu.answer()?;
        Ok(answer.get(field::STATUS).unwrap_or(u16::MAX))
    }

    fn tell(&self, index: usize, fate: Fate) {
        // Nobody listens only if nobody wants to know.
        let _ = self.tell.send(Told::Fate(index, fate));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
