//! Fetching because somebody asked: a person at the command line, or a viewer that wants a study which
//! is not here and was granted.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cairn_ledger::entry::Purpose;
use cairn_ledger::patient::SignedStatement;
use cairn_store::catalog::Existence;
use cairn_store::commit::Target;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::choose::{Consented, Wish, choose};
use super::granted::Version;
use super::{Error, Finished, INTERRUPT_EVERY, Options, Progress, patiently, run};
use crate::error::Result;
use crate::http::App;
use crate::sharing::control::Teller;
use crate::sharing::{Fault, Site};

/// How often a person is told how far it is.
const TELL_EVERY: Duration = Duration::from_millis(250);
/// Pause between looks at receipts that are due.
const RECEIPTS_EVERY: Duration = Duration::from_secs(60);
/// A study that nobody granted is not looked for again so soon.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// Most that are remembered as not granted.
const UNKNOWN_MAX: usize = 10_000;

/// Studies that are being fetched, by UID, and those that nobody granted.
#[derive(Debug, Default)]
pub(crate) struct Demands {
    under_way: Mutex<HashMap<String, watch::Receiver<bool>>>,
    unknown: Mutex<HashMap<String, Instant>>,
    claimed: Mutex<HashSet<Version>>,
    /// A claim has ended.
    released: Condvar,
}

/// A version that is being fetched, until this is dropped.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    demands: &'a Demands,
    version: Version,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.demands.claimed().remove(&self.version);
        self.demands.released.notify_all();
    }
}

/// Fetches what somebody named, and tells how far it is.
pub(crate) async fn on_wish(
    app: &Arc<App>,
    site: &Arc<Site>,
    wish: Wish,
    teller: &Teller,
) -> Result<Finished> {
    let purpose = match wish.purpose.as_deref().map(Purpose::from_code) {
        Some(None) => return Err(Fault::Request("that is no purpose".into()).into()),
        Some(known) => known,
        None => None,
    };
    let from = wish.from.as_deref().map(|from| site.find_peer(from)).transpose()?;
    let from = from.map(|peer| peer.site);
    // Was it revoked meanwhile, or granted just now?
    match &from {
        Some(owner) => drop(site.sync_peer(owner).await),
        None => drop(site.sync_all().await),
    }
    let options = Options {
        lanes: wish.lanes,
        patience: Duration::from_secs(wish.patience_seconds),
        ..Options::default()
    };
    let (tell, told) = watch::channel(Progress::default());
    let (own, sharing, study) = (Arc::clone(app), Arc::clone(site), wish.study);
    let fetching = tokio::task::spawn_blocking(move || {
        let order = patiently(&options, || choose(&own, &sharing, &study, from.as_ref(), purpose))?;
        run(&own, &sharing, &order, &options, &|progress| {
            tell.send_replace(progress);
        })
    });
    tell_until(fetching, told, teller).await
}

/// Shows a patient's consent to the owner of the study, and fetches what that grants.
pub(crate) async fn by_consent(
    app: &Arc<App>,
    site: &Arc<Site>,
    wish: Consented,
    teller: &Teller,
) -> Result<Finished> {
    let signed = SignedStatement::from_text(&wish.statement)?;
    let consent = signed.consent().ok_or(Fault::Consent("it is no consent"))?;
    if consent.grantee != site.id() {
        return Err(Fault::Consent("it is for another site").into());
    }
    let owner = signed.statement().by.owner.to_string();
    let owner = site.find_peer(&owner)?.site;
    let granted = site.client(&owner)?.consent(&signed).await?;
    let wish = Wish {
        study: granted.study,
        from: Some(owner.to_string()),
        purpose: Some(consent.purpose.code().to_owned()),
        lanes: wish.lanes,
        patience_seconds: wish.patience_seconds,
    };
    on_wish(app, site, wish, teller).await
}

/// Tells how far a fetch is until it is over.
pub(super) async fn tell_until<T>(
    fetching: JoinHandle<std::result::Result<T, Error>>,
    mut told: watch::Receiver<Progress>,
    teller: &Teller,
) -> Result<T> {
    while told.changed().await.is_ok() {
        let progress = *told.borrow_and_update();
        teller.tell(progress).await;
        tokio::time::sleep(TELL_EVERY).await;
    }
    match fetching.await {
        Ok(fetched) => Ok(fetched?),
        Err(_) => Err(Fault::Control("the fetch panicked".into()).into()),
    }
}

/// Has a study here that is not, if it was granted. Whoever asks for the same meanwhile waits for the same
/// fetch. Says whether it came.
pub(crate) async fn on_demand(app: &Arc<App>, study_uid: &str) -> bool {
    let Some(site) = app.site() else { return false };
    let target =
        Target { study_uid: study_uid.to_owned(), series_uid: None, sop_instance_uid: None };
    let missing = app.blocking(move |app| Ok(app.store.catalog().existence(&target)?)).await;
    // What was deleted here is not brought back by whoever asks for it; what was given back when a
    // grant ended may have been granted anew.
    let may_come = match missing {
        Ok(Existence::Unknown) => true,
        Ok(Existence::Gone) => super::retention::was_given_back(app, study_uid).await,
        _ => false,
    };
    if !may_come || app.demands.is_unknown(study_uid) {
        return false;
    }
    let (own, uid) = (Arc::clone(app), study_uid.to_owned());
    let mut done = app.demands.join(study_uid, move |done| {
        tokio::spawn(async move {
            let (fetching, study, demanded) = (Arc::clone(&own), uid.clone(), site);
            let fetched = tokio::task::spawn_blocking(move || {
                let purpose = Some(Purpose::Treatment);
                let order = choose(&fetching, &demanded, &study, None, purpose)?;
                run(&fetching, &demanded, &order, &Options::default(), &|_| ())
            })
            .await;
            let came = match fetched {
                Ok(Ok(_)) => true,
                Ok(Err(Error::NoGrant(_))) => {
                    own.demands.note_unknown(&uid);
                    false
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "a study that was asked for could not be fetched");
                    false
                }
                Err(_) => false,
            };
            own.demands.end(&uid);
            done.send_replace(came);
        });
    });
    // The sender goes when it is over.
    while done.changed().await.is_ok() {}
    *done.borrow()
}

impl Demands {
    fn claimed(&self) -> MutexGuard<'_, HashSet<Version>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a version for oneself: two fetches of one would be in each other's way. `None`: somebody has.
    pub(super) fn claim(&self, version: Version) -> Option<Claim<'_>> {
        let is_free = self.claimed().insert(version);
        // Made only where it holds: one that is dropped ends whoever's claim there is.
        is_free.then(|| Claim { demands: self, version })
    }

    /// The same once it is free. `None`: somebody asked to stop.
    pub(super) fn claim_in_turn(
        &self,
        version: Version,
        interrupted: &dyn Fn() -> bool,
    ) -> Option<Claim<'_>> {
        let mut claimed = self.claimed();
        while !claimed.insert(version) {
            if interrupted() {
                return None;
            }
            let waited = self.released.wait_timeout(claimed, INTERRUPT_EVERY);
            claimed = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(Claim { demands: self, version })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<bool>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unknown(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fetch of a study, begun if none is under way.
    fn join(
        &self,
        study_uid: &str,
        begin: impl FnOnce(watch::Sender<bool>),
    ) -> watch::Receiver<bool> {
        let mut under_way = self.lock();
        if let Some(done) = under_way.get(study_uid) {
            return done.clone();
        }
        let (sender, done) = watch::channel(false);
        under_way.insert(study_uid.to_owned(), done.clone());
        drop(under_way);
        begin(sender);
        done
    }

    fn end(&self, study_uid: &str) {
        self.lock().remove(study_uid);
    }

    fn is_unknown(&self, study_uid: &str) -> bool {
        self.unknown().get(study_uid).is_some_and(|since| since.elapsed() < UNKNOWN_FOR)
    }

    fn note_unknown(&self, study_uid: &str) {
        let mut unknown = self.unknown();
        if unknown.len() >= UNKNOWN_MAX {
            unknown.retain(|_, since| since.elapsed() < UNKNOWN_FOR);
        }
        if unknown.len() < UNKNOWN_MAX {
            unknown.insert(study_uid.to_owned(), Instant::now());
        }
    }
}

/// Has owners sign for what came while they were away, after it has removed what an earlier server left of
/// fetches. Runs until it is dropped.
pub(crate) async fn keep_receipts(app: Arc<App>) {
    if let Some(site) = app.site() {
        let own = Arc::clone(&app);
        let swept = tokio::task::spawn_blocking(move || super::stage::sweep(&own, &site)).await;
        if let Ok(Err(error)) = swept {
            tracing::warn!(%error, "what an earlier fetch left is still there");
        }
    }
    while !app.is_draining() {
        if let Some(site) = app.site() {
            let own = Arc::clone(&app);
            let retried =
                tokio::task::spawn_blocking(move || super::receipt::retry(&own, &site)).await;
            if let Ok(Err(error)) = retried {
                tracing::warn!(%error, "a receipt is still due");
            }
        }
        tokio::time::sleep(RECEIPTS_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cairn_ledger::id::{SiteId, StudyId};

    use super::*;

    #[test]
    fn a_version_has_one_fetch_at_a_time_and_others_take_turns() {
        let demands = &Demands::default();
        let version = (SiteId([1; 32]), StudyId([2; 32]), 1);
        let first = demands.claim(version).unwrap();
        assert!(demands.claim((version.0, version.1, 2)).is_some());
        // Asked twice: whoever is refused ends nobody's claim.
        assert!(demands.claim(version).is_none());
        assert!(demands.claim(version).is_none());
        assert!(demands.claim_in_turn(version, &|| true).is_none());
        std::thread::scope(|scope| {
            let (told, heard) = std::sync::mpsc::channel();
            for _ in 0..3 {
                let told = told.clone();
                scope.spawn(move || {
                    let claim = demands.claim_in_turn(version, &|| false);
                    told.send(claim.is_some()).unwrap();
                    assert!(demands.claim(version).is_none());
                });
            }
            assert!(heard.recv_timeout(Duration::from_millis(200)).is_err());
            drop(first);
            for _ in 0..3 {
                assert!(heard.recv_timeout(Duration::from_secs(10)).unwrap());
            }
        });
        assert!(demands.claim(version).is_some());
    }
}
