//! Forwarding by rules: what comes in, by whatever way, goes on to whom the settings say.
//!
//! ```text
//! arrivals in the catalog ─▶ dispatch: rules ─▶ parcels in the catalog ─▶ a lane for each peer ─▶ ship
//!                                                      ▲                      │ sent: gone
//!                                                      └── later, less ───────┤ refused: tried again
//!                                                                             └ refused for good: undelivered
//! ```
//!
//! The queue is in the catalog ([`cairn_store::catalog::outbox`] says why nothing acknowledged gets
//! lost); here is only who works on it. Invariants: a peer that is out of reach delays nothing but
//! what goes to it; an object that is refused delays no other; every object of a parcel is answered
//! with success, tried again, or in the list of undelivered ones. Loops end: what is here already makes
//! no arrival, nothing goes back to whom it came from, and an instance of which so many versions came
//! that only a loop explains it is not forwarded any more.

mod backoff;
mod dispatch;
mod lane;
mod priors;
mod refer;
pub(crate) mod route;

use crate::clock::now_ms;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_store::catalog::Catalog;
pub(crate) use lane::meaning;
pub(crate) use route::{Priors, Referral, Route, When, Words};

use super::Dimse;

/// How often the thread looks for arrivals, and lanes for what is due.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a lane waits after the catalog failed it.
const FAILED_PAUSE: Duration = Duration::from_secs(60);
/// How often the figures are brought up to date.
const COUNT_EVERY: Duration = Duration::from_secs(2);
/// How often arrivals are forgotten where there are no rules.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Notes rules that were not there before: they are about what comes in from now on. To be called before
/// anything does.
pub(crate) fn register(catalog: &dyn Catalog, rules: &[Route]) -> cairn_store::Result<()> {
    rules.iter().try_for_each(|rule| catalog.outbox().route_since(&rule.name).map(|_| ()))
}

/// Works until the server ends. Runs on a thread of its own, and begins the others.
pub(super) fn run(dimse: &Arc<Dimse>) {
    let mut lanes = lane::Lanes::default();
    let mut sinces = dispatch::Sinces::default();
    let (mut counted, mut forgot): (Option<Instant>, Option<Instant>) = (None, None);
    let is_past = |last: &mut Option<Instant>, every| {
        let past = last.is_none_or(|last| last.elapsed() >= every);
        if past {
            *last = Some(Instant::now());
        }
        past
    };
    while !dimse.is_stopping() {
        dimse.pool.tidy(dimse.settings.out_idle);
        let is_idle = dimse.settings.routes.is_empty();
        let done = if is_idle {
            is_past(&mut forgot, FORGET_EVERY)
                .then(|| dispatch::forget(dimse))
                .transpose()
                .map(|_| 0)
        } else {
            dispatch::dispatch(dimse, &mut sinces)
        };
        let more = done.unwrap_or_else(|error| {
            tracing::warn!(%error, "what came in could not be looked at by the rules");
            0
        }) > 0;
        if is_past(&mut counted, COUNT_EVERY) {
            count(dimse, &mut lanes);
        }
        if !more {
            std::thread::sleep(LOOK_EVERY);
        }
    }
    dimse.pool.tidy(Duration::ZERO);
}

/// Brings the figures up to date, and sees that every peer that is owed something has its lane.
fn count(dimse: &Arc<Dimse>, lanes: &mut lane::Lanes) {
    let depths = match dimse.app.store.catalog().outbox().depths() {
        Ok(depths) => depths,
        Err(error) => {
            tracing::warn!(%error, "what is owed to others could not be counted");
            return;
        }
    };
    let rules = dimse.settings.routes.iter();
    let named =
        rules.flat_map(|rule| rule.to.iter().chain(rule.priors.iter().flat_map(|p| &p.from)));
    // Sites have lanes once they are owed something.
    for title in named.chain(depths.iter().filter(|d| d.parcels > 0).map(|d| &d.peer)) {
        lanes.see_to(dimse, title);
    }
    let now = now_ms();
    let names = dimse.settings.routes.iter().map(|rule| rule.name.as_str());
    for name in names {
        let of = || depths.iter().filter(|depth| depth.route == name);
        let oldest = of().filter(|depth| depth.parcels > 0).map(|depth| depth.oldest_ms).min();
        dimse.app.metrics.routes.depth(
            name,
            of().map(|depth| depth.instances).sum(),
            of().map(|depth| depth.undelivered).sum(),
            oldest.map_or(0.0, |oldest| now.saturating_sub(oldest) as f64 / 1000.0),
        );
    }
}

/// What a lane does next.
enum Next {
    /// There may be more.
    Again,
    /// Nothing is due.
    Idle,
    /// Whoever it works for is out of reach.
    Pause(Duration),
}

/// Works on one lane until the server ends; on a thread of its own.
fn run_lane(dimse: &Dimse, mut work: impl FnMut() -> cairn_store::Result<Next>) {
    let mut until: Option<Instant> = None;
    while !dimse.is_stopping() {
        if until.is_none_or(|until| Instant::now() >= until) {
            let next = work().unwrap_or_else(|error| {
                tracing::warn!(%error, "what is owed to others cannot be read or noted");
                Next::Pause(FAILED_PAUSE)
            });
            until = match next {
                Next::Again => continue,
                Next::Idle => None,
                Next::Pause(pause) => Some(Instant::now() + pause),
            };
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
