//! Open associations to receivers, so that who sends again within a moment need not ask again.
//!
//! Invariants: to one receiver there are never more than the settings allow, whoever sends; one that
//! is kept is released once it was idle for long; one that broke is never handed out again. What a
//! receiver was asked for is remembered with its answer, so an association is used again only for
//! what was negotiated on it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::scu::{Scu, Unreached, Wanted};
use super::settings::{Peer, Settings};

/// A receiver that rejects one association more is not asked for so many again within this.
const FULL_FOR: Duration = Duration::from_secs(60);

type Key = (String, String, u16);

/// See the [module](self).
#[derive(Default)]
pub(super) struct Pool {
    lines: Mutex<HashMap<Key, Line>>,
    changed: Condvar,
}

/// The associations to one receiver.
#[derive(Default)]
struct Line {
    /// Lent, being opened, and idle.
    open: usize,
    /// Being opened: a receiver that serves one after the other does not answer while it has another.
    opening: usize,
    idle: Vec<Warm>,
    /// Threads that wait for one.
    waiting: usize,
    /// As many as the receiver took when it rejected one more, and when that was.
    full: Option<(usize, Instant)>,
}

struct Warm {
    scu: Scu,
    asked: BTreeSet<Wanted>,
    since: Instant,
}

/// Why there is none to lend.
#[derive(Debug)]
pub(super) enum NoLoan {
    /// All that there may be are lent, and none came back in time.
    Busy,
    /// The receiver is not there, or does not want to.
    Unreached(Unreached),
}

impl Pool {
    /// Lends an association on which all of `wanted` was asked for: an idle one, else a new one.
    /// Waits for one to come back, but not longer than `patience`.
    pub(super) fn lend(
        self: &Arc<Self>,
        settings: &Settings,
        peer: &Peer,
        wanted: &[Wanted],
        patience: Duration,
    ) -> Result<Loan, NoLoan> {
        let key = (peer.title.clone(), peer.host.clone(), peer.port);
        if let Some(warm) = self.place(settings, &key, wanted, patience)? {
            return Ok(Loan { pool: Arc::clone(self), key, warm: Some(warm), is_fresh: false });
        }
        self.lines().entry(key.clone()).or_default().opening += 1;
        let opened = Scu::open(settings, peer, wanted, Vec::new());
        if let Some(line) = self.lines().get_mut(&key) {
            line.opening = line.opening.saturating_sub(1);
        }
        let scu = opened.map_err(|why| {
            let mut lines = self.lines();
            let line = lines.entry(key.clone()).or_default();
            line.open = line.open.saturating_sub(1);
            if matches!(why, Unreached::Rejected(..)) && line.open > 0 {
                line.full = Some((line.open, Instant::now()));
            }
            self.changed.notify_all();
            NoLoan::Unreached(why)
        })?;
        let asked = wanted.iter().cloned().collect();
        let warm = Some(Warm { scu, asked, since: Instant::now() });
        Ok(Loan { pool: Arc::clone(self), key, warm, is_fresh: true })
    }

    /// An idle one that will do; or the right to open one.
    fn place(
        &self,
        settings: &Settings,
        key: &Key,
        wanted: &[Wanted],
        patience: Duration,
    ) -> Result<Option<Warm>, NoLoan> {
        let until = Instant::now() + patience;
        let mut lines = self.lines();
        loop {
            let line = lines.entry(key.clone()).or_default();
            while let Some(n) =
                line.idle.iter().position(|warm| wanted.iter().all(|one| warm.asked.contains(one)))
            {
                let mut warm = line.idle.swap_remove(n);
                // Whatever comes on an idle association, it is over.
                if !warm.scu.inbound.is_due() {
                    return Ok(Some(warm));
                }
                line.open -= 1;
            }
            // One that was negotiated for something else makes room, even where there is some: many
            // receivers serve one association after the other.
            if let Some(warm) = line.idle.pop() {
                release(warm.scu);
                return Ok(None);
            }
            let max = line.max(settings.out_associations_max);
            if line.open < max {
                line.open += 1;
                return Ok(None);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(NoLoan::Busy);
            }
            line.waiting += 1;
            lines =
                self.changed.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
            if let Some(line) = lines.get_mut(key) {
                line.waiting = line.waiting.saturating_sub(1);
            }
        }
    }

    /// Releases what was idle for so long.
    pub(super) fn tidy(&self, idle: Duration) {
        let mut lines = self.lines();
        for line in lines.values_mut() {
            let (cold, warm) =
                line.idle.drain(..).partition(|warm: &Warm| warm.since.elapsed() >= idle);
            line.idle = warm;
            line.open -= cold.len();
            for warm in cold {
                release(warm.scu);
            }
        }
        lines.retain(|_, line| line.open > 0 || line.waiting > 0 || line.full.is_some());
    }

    /// Releases what is idle, and waits for that: the process ends after it.
    pub(super) fn end(&self) {
        let idle: Vec<Warm> =
            self.lines().values_mut().flat_map(|line| line.idle.drain(..)).collect();
        for warm in idle {
            warm.scu.release();
        }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Key, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn max(&mut self, settings_max: usize) -> usize {
        self.full = self.full.filter(|(_, since)| since.elapsed() < FULL_FOR);
        self.full.map_or(settings_max, |(most, _)| most.min(settings_max)).max(1)
    }
}

/// A thread of its own waits for the answer: the peer may take its time.
fn release(scu: Scu) {
    let releasing = std::thread::Builder::new().name("cairn-dimse-release".into());
    // Without a thread it is dropped, and the peer finds the connection closed.
    let _ = releasing.spawn(move || scu.release());
}

/// A lent association. Dropped without [`Loan::give_back`], it is aborted.
pub(super) struct Loan {
    pool: Arc<Pool>,
    key: Key,
    warm: Option<Warm>,
    /// It was opened for this loan; one that was kept may have been closed meanwhile.
    pub(super) is_fresh: bool,
}

impl Loan {
    /// The association; `None` never, as long as it is lent.
    pub(super) fn scu(&mut self) -> Option<&mut Scu> {
        self.warm.as_mut().map(|warm| &mut warm.scu)
    }

    /// Does somebody else wait for one to this receiver?
    pub(super) fn is_wanted(&self) -> bool {
        self.pool.lines().get(&self.key).is_some_and(|line| line.waiting > 0)
    }

    /// It is sound: whoever comes next may have it. It is released if somebody waits for the receiver to
    /// accept another one: that receiver may be waiting for the end of this one.
    pub(super) fn give_back(mut self) {
        if let Some(mut warm) = self.warm.take() {
            warm.since = Instant::now();
            if let Some(line) = self.pool.lines().get_mut(&self.key) {
                if line.opening == 0 {
                    line.idle.push(warm);
                } else {
                    line.open = line.open.saturating_sub(1);
                    release(warm.scu);
                }
            }
            self.pool.changed.notify_all();
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(warm) = self.warm.take() {
            if let Some(line) = self.pool.lines().get_mut(&self.key) {
                line.open = line.open.saturating_sub(1);
            }
            self.pool.changed.notify_all();
            warm.scu.abort();
        }
    }
}
