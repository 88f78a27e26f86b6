//! One peer's share of the queue, and the thread that works on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cairn_store::Result;
use cairn_store::catalog::outbox::Parcel;
use cairn_store::catalog::{Outbox, Seqs, VersionRow};

use super::backoff::pause;
use super::route::Route;
use super::{Next, priors, refer, run_lane};
use crate::clock::now_ms;
use crate::dimse::settings::Peer;
use crate::dimse::ship::{Fate, Shipment};
use crate::dimse::{Dimse, status};
use crate::http::limits::SETTLE_PATIENCE;

/// Parcels that are looked up at once,
const PARCELS_MAX: usize = 64;
/// and objects after which no more of them are added to a shipment: each takes some 500 bytes, and
/// what is sent again after a crash is no more than this.
const OBJECTS_MAX: usize = 500;
/// A peer that is out of reach is called again after this,
const CALL_FIRST: Duration = Duration::from_secs(1);
/// and never later than after this, whatever the number of tries.
const CALL_MAX: Duration = Duration::from_secs(60);
/// An object that is refused is sent again no later than after this.
pub(super) const RETRY_MAX: Duration = Duration::from_secs(3600);
/// The same for parcels of rules that the settings have no more.
pub(super) const RETRY_WITHOUT_RULE: Duration = Duration::from_secs(30);
pub(super) const TRIES_WITHOUT_RULE: u32 = 5;
/// Of an instance with more versions than this only a loop of senders that change what they forward
/// brings another.
const VERSIONS_MAX: usize = 16;

/// What stands for a status where the receiver gave none: from the range of errors of C-STORE (PS3.4
/// table B.2-1), which nobody sends with these last digits.
pub(super) mod code {
    /// SOP class not supported (PS3.7 annex C.5.6): no context was accepted.
    pub(super) const NOT_ACCEPTED: u16 = 0x0122;
    pub(super) const UNREADABLE: u16 = 0xCFF0;
    pub(super) const BROKE: u16 = 0xCFF1;
    pub(super) const LOOP: u16 = 0xCFF2;
    pub(in super::super) const NOT_GRANTED: u16 = 0xCFF3;
}

/// What a status in the list of undelivered objects means to whoever reads it.
pub(crate) fn meaning(status: u16) -> &'static str {
    match status {
        code::NOT_ACCEPTED => "the receiver takes no such object",
        code::UNREADABLE => "it cannot be read or converted here",
        code::BROKE => "the receiver breaks off over it",
        code::LOOP => "it goes round in a loop",
        code::NOT_GRANTED => "the study cannot be granted to that site",
        0xA700..=0xA7FF => "the receiver is out of resources",
        0xA900..=0xA9FF => "the receiver says that data set and class disagree",
        0xC000..=0xCFFF => "the receiver cannot understand it",
        _ => "the receiver refuses it",
    }
}

/// Threads by AE title.
#[derive(Default)]
pub(super) struct Lanes(BTreeMap<String, bool>);

impl Lanes {
    /// Begins the lane of a peer, unless there is one.
    pub(super) fn see_to(&mut self, dimse: &Arc<Dimse>, title: &str) {
        if self.0.contains_key(title) {
            return;
        }
        if let Some(site) = refer::site_of(title) {
            if refer::begin(dimse, title, site) {
                self.0.insert(title.to_owned(), true);
            }
            return;
        }
        let Some(peer) = dimse.settings.peer(title).cloned() else {
            tracing::warn!(to = title, "objects are owed to a peer that the settings do not know");
            self.0.insert(title.to_owned(), false);
            return;
        };
        let (dimse, owed_to) = (Arc::clone(dimse), title.to_owned());
        let begun = std::thread::Builder::new()
            .name("cairn-dimse-lane".into())
            .spawn(move || Lane { dimse, owed_to, peer, calls: 0 }.run());
        match begun {
            Ok(_) => {
                self.0.insert(title.to_owned(), true);
            }
            Err(error) => tracing::warn!(%error, "there is no thread to forward with"),
        }
    }
}

struct Lane {
    dimse: Arc<Dimse>,
    /// The title in the queue; the settings may write it in other letters.
    owed_to: String,
    peer: Peer,
    /// How often the peer was out of reach, one after the other.
    calls: u32,
}

impl Lane {
    fn run(mut self) {
        let dimse = Arc::clone(&self.dimse);
        run_lane(&dimse, || self.work());
    }

    /// Sends what is due.
    fn work(&mut self) -> Result<Next> {
        let dimse = Arc::clone(&self.dimse);
        let outbox = dimse.app.store.catalog().outbox();
        let due = outbox.due(&self.owed_to, now_ms(), PARCELS_MAX)?;
        if due.is_empty() {
            return Ok(Next::Idle);
        }
        let mut parcels = Vec::new();
        let mut versions = Vec::new();
        for parcel in due {
            if parcel.series_uid.is_empty() {
                self.look_for_priors(&parcel)?;
                continue;
            }
            if versions.len() >= OBJECTS_MAX {
                break;
            }
            let of = outbox.shown_of(&parcel.study_uid, &parcel.series_uid, &parcel.seqs)?;
            parcels.push((parcel, versions.len()..versions.len() + of.len()));
            versions.extend(of);
        }
        let fates = self.ship(&versions)?;
        let reached = fates.is_empty() || fates.iter().any(|fate| *fate != Fate::Untried);
        for (parcel, place) in parcels {
            let pairs: Vec<(u64, Fate)> = versions[place.clone()]
                .iter()
                .zip(&fates[place])
                .map(|(version, fate)| (version.seq, *fate))
                .collect();
            self.note(&parcel, &pairs)?;
        }
        Ok(self.was_reached(reached))
    }

    /// What becomes of each; loops are not sent at all.
    fn ship(&self, versions: &[VersionRow]) -> Result<Vec<Fate>> {
        let catalog = self.dimse.app.store.catalog();
        let mut fates = Vec::with_capacity(versions.len());
        for version in versions {
            let (study, series) = (&version.study_uid, &version.series_uid);
            let known = catalog.versions(study, series, &version.sop_instance_uid)?.len();
            let is_loop = known > VERSIONS_MAX;
            fates.push(if is_loop { Fate::Answered(code::LOOP) } else { Fate::Untried });
        }
        let sent: Vec<usize> = (0..fates.len()).filter(|n| fates[*n] == Fate::Untried).collect();
        let shipment = Arc::new(Shipment {
            app: Arc::clone(&self.dimse.app),
            settings: self.dimse.settings.clone(),
            pool: Arc::clone(&self.dimse.pool),
            peer: self.peer.clone(),
            originator: None,
        });
        let all = sent.iter().map(|n| versions[*n].clone()).collect();
        for (n, fate) in sent.iter().zip(shipment.run_all(all, &self.dimse.stopping)) {
            fates[*n] = fate;
        }
        Ok(fates)
    }

    fn was_reached(&mut self, reached: bool) -> Next {
        if reached {
            self.calls = 0;
            return Next::Again;
        }
        let pause = pause(CALL_FIRST, CALL_MAX, self.calls);
        self.calls = self.calls.saturating_add(1);
        tracing::info!(
            to = self.peer.title,
            tries = self.calls,
            seconds = pause.as_secs(),
            "a peer is out of reach; it is called again"
        );
        Next::Pause(pause)
    }

    /// Notes what became of a parcel.
    fn note(&self, parcel: &Parcel, fates: &[(u64, Fate)]) -> Result<()> {
        let rule = self.rule(&parcel.route);
        let tries_max = rule.map_or(TRIES_WITHOUT_RULE, |rule| rule.tries);
        let first = rule.map_or(RETRY_WITHOUT_RULE, |rule| rule.retry);
        let tries = parcel.tries.saturating_add(1);
        let now = now_ms();
        let mut refused: BTreeMap<u16, Seqs> = BTreeMap::new();
        let (mut left, mut given_up, mut sent) = (Seqs::default(), Vec::new(), 0_u64);
        for (seq, fate) in fates {
            let status = match fate {
                Fate::Answered(status)
                    if matches!(status::class(*status), "success" | "warning") =>
                {
                    sent += 1;
                    continue;
                }
                Fate::Untried => {
                    left.add(*seq);
                    continue;
                }
                Fate::Answered(status) => *status,
                Fate::NotAccepted => code::NOT_ACCEPTED,
                Fate::Unreadable => code::UNREADABLE,
                Fate::Broke => code::BROKE,
            };
            // A full disk is no fault of the object, and will be mended.
            let is_for_good =
                status == code::LOOP || (tries >= tries_max && !matches!(status, 0xA700..=0xA7FF));
            if is_for_good {
                let seqs = Seqs::from_iter([*seq]);
                given_up.push(Parcel { seqs, tries, status, ..parcel.clone() });
            } else {
                refused.entry(status).or_default().add(*seq);
            }
        }
        let mut rest = Vec::new();
        if !left.is_empty() {
            rest.push(Parcel { seqs: left, ..parcel.clone() });
        }
        let again = refused.values().map(Seqs::count).sum::<u64>();
        for (status, seqs) in refused {
            let pause = pause(first, RETRY_MAX, parcel.tries);
            let due_ms = now + pause.as_millis() as u64;
            rest.push(Parcel { seqs, tries, status, due_ms, ..parcel.clone() });
        }
        if again > 0 || !given_up.is_empty() {
            tracing::warn!(
                route = parcel.route,
                to = self.peer.title,
                refused = again,
                given_up = given_up.len(),
                tries,
                "objects were refused"
            );
        }
        let metrics = &self.dimse.app.metrics.routes;
        metrics.objects(&parcel.route, "sent", sent);
        metrics.objects(&parcel.route, "refused", again);
        metrics.objects(&parcel.route, "given_up", given_up.len() as u64);
        self.outbox().tried(parcel.no, &rest, &given_up, now)
    }

    /// Looks for priors, which the parcel asks for; what was found is owed in its place.
    fn look_for_priors(&mut self, parcel: &Parcel) -> Result<()> {
        let Some(rule) = self.rule(&parcel.route) else {
            return self.outbox().tried(parcel.no, &[], &[], now_ms());
        };
        let Some(wish) = &rule.priors else {
            return self.outbox().tried(parcel.no, &[], &[], now_ms());
        };
        let now = now_ms();
        // Priors that were acknowledged just now are priors too.
        if !self.dimse.app.settle(None, SETTLE_PATIENCE) {
            let later =
                Parcel { due_ms: now + SETTLE_PATIENCE.as_millis() as u64, ..parcel.clone() };
            return self.outbox().tried(parcel.no, &[later], &[], now);
        }
        let now = now_ms();
        let is_from = wish.from.as_ref().is_some_and(|title| *title == self.owed_to);
        let rest = if is_from {
            match priors::bring(&self.dimse, &self.peer, rule, wish, &parcel.study_uid) {
                Ok(()) => {
                    let to = rule.to.iter();
                    to.map(|title| Parcel { peer: title.clone(), due_ms: now, ..parcel.clone() })
                        .collect()
                }
                Err(error) => {
                    let tries = parcel.tries.saturating_add(1);
                    tracing::warn!(from = self.peer.title, tries, %error, "priors were not had");
                    if tries >= rule.tries {
                        // What is here already is sent all the same.
                        let to = rule.to.iter();
                        to.map(|title| Parcel { peer: title.clone(), tries: 0, ..parcel.clone() })
                            .collect()
                    } else {
                        let due_ms =
                            now + pause(rule.retry, RETRY_MAX, parcel.tries).as_millis() as u64;
                        vec![Parcel { tries, due_ms, ..parcel.clone() }]
                    }
                }
            }
        } else {
            priors::here(self.dimse.app.store.catalog(), wish, parcel, now)?
        };
        self.outbox().tried(parcel.no, &rest, &[], now)
    }

    fn rule(&self, name: &str) -> Option<&Route> {
        self.dimse.settings.routes.iter().find(|rule| rule.name == name)
    }

    fn outbox(&self) -> &dyn Outbox {
        self.dimse.app.store.catalog().outbox()
    }
}
