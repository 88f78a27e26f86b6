//! Asking a running server to do what only whoever may open the data directory may ask for.
//!
//! A Unix domain socket in the data directory, and not the HTTP port: whoever reaches that one can read
//! and store, and must not be able to grant. One request is one line of JSON; the answer is lines of
//! JSON, first events as they come, then one result or error. Where no server runs, a command answers
//! its request itself: [`answer`] is the same for both.

mod audited;
mod call;
mod caller;
mod listen;
mod request;

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use cairn_ledger::patient::SignedStatement;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc::Sender;

pub(crate) use audited::{Act, act};
pub(crate) use call::call;
pub(crate) use caller::Caller;
pub(crate) use listen::listen;
pub(crate) use request::{Need, Request};

use super::patients::{bind_patient, grant_by_consent};
use super::round::blocking;
use super::site::Site;
use super::{Breaker, COMMANDS, Fault, Fingerprint, Settings, settle_editions};
use crate::audit::{Audit, Event};
use crate::error::Result;
use crate::fetch;
use crate::http::App;
use crate::http::limits::SETTLE_PATIENCE;
use crate::identity::tokens;

/// Entries that one request may ask for: their JSON fits a line.
pub(crate) const ENTRIES_MAX: u64 = 1000;
/// Longest request, in bytes of its line.
const REQUEST_BYTES_MAX: u64 = 256 << 10;
/// Longest line of an answer: that of so many entries, each of less than 2 KiB.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// The socket of the archive in `data`.
pub(crate) fn socket(data: &Path) -> PathBuf {
    data.join("cairn.sock")
}

/// What requests are answered from: a server, or a command that has the archive to itself.
pub(crate) struct Host {
    data: PathBuf,
    settings: Settings,
    /// `None`: the archive is not needed, or not there.
    app: Option<Arc<App>>,
    /// Where a command that answers itself writes; a server's lines go to its own log.
    audit: Audit,
    site: RwLock<Option<Arc<Site>>>,
    /// What begins when the site does.
    begun: Box<dyn Fn(Arc<Site>) + Send + Sync>,
}

/// Takes the events of a request while it is answered.
#[derive(Clone)]
pub(crate) struct Teller(Sender<Value>);

impl Teller {
    pub(crate) fn new(events: Sender<Value>) -> Self {
        Self(events)
    }

    /// Hands an event on if there is room: of what follows soon, one may be missed.
    pub(crate) fn try_tell(&self, event: impl Serialize) {
        if let Ok(event) = serde_json::to_value(event) {
            let _ = self.0.try_send(event);
        }
    }

    /// Hands an event on. Whoever asked may be gone: what was begun goes on.
    pub(crate) async fn tell(&self, event: impl Serialize) {
        if let Ok(event) = serde_json::to_value(event) {
            let _ = self.0.send(event).await;
        }
    }
}

impl Host {
    /// `begun` is called with a site that a request begins.
    pub(crate) fn new(
        data: &Path,
        settings: &Settings,
        app: Option<Arc<App>>,
        audit: Audit,
        site: Option<Arc<Site>>,
        begun: impl Fn(Arc<Site>) + Send + Sync + 'static,
    ) -> Self {
        let (data, settings, begun) = (data.to_owned(), settings.clone(), Box::new(begun));
        Self { data, settings, app, audit, site: RwLock::new(site), begun }
    }

    /// Where lines go.
    fn audit(&self) -> &Audit {
        match (&self.audit, &self.app) {
            (Audit::Nowhere, Some(app)) => &app.audit,
            (audit, _) => audit,
        }
    }

    /// The site.
    pub(crate) fn site(&self) -> Result<Arc<Site>> {
        let site = super::read(&self.site).clone();
        Ok(site.ok_or(Fault::NoLedger)?)
    }

    /// The archive.
    pub(crate) fn app(&self) -> Result<Arc<App>> {
        Ok(self.app.clone().ok_or(Fault::NoArchive)?)
    }

    fn join(&self, name: &str) -> Result<()> {
        let mut site = super::write(&self.site);
        if let Some(site) = &*site {
            return Err(Fault::Joined(site.name()).into());
        }
        let begun = Site::join(&self.data, &self.settings, name)?;
        if let Some(app) = &self.app {
            settle_editions(&begun, app.store.catalog())?;
        }
        (self.begun)(Arc::clone(&begun));
        *site = Some(begun);
        Ok(())
    }
}

/// Names the content of studies that changed: what is shared then has a record of its own as well.
pub(super) fn record(app: &App, study_uid: &str) -> Result<()> {
    // What was acknowledged of it is shared too. Without a way in nothing is spooled.
    if let Ok(ingest) = app.ingest()
        && !ingest.settle(Some(study_uid), SETTLE_PATIENCE)
    {
        return Err(Fault::Control("what was received is not in the archive yet".into()).into());
    }
    if !app.store.catalog().record_is_current(study_uid)?
        && let Ok(ingest) = app.ingest()
    {
        ingest.record_studies(Duration::ZERO)?;
    }
    Ok(())
}

fn value(answer: impl Serialize) -> Result<Value> {
    let fault = |error: serde_json::Error| Fault::Control(error.to_string());
    Ok(serde_json::to_value(answer).map_err(fault)?)
}

/// Does what is asked for, and writes it down; gives what is printed.
pub(crate) async fn answer(
    host: &Arc<Host>,
    request: Request,
    caller: &Caller,
    teller: &Teller,
) -> Result<Value> {
    let mut event = audited::event(&request, caller);
    // What could not be written down afterwards is not begun.
    if !host.audit().is_well() {
        return Err(Fault::Unaudited.into());
    }
    let answer = act_on(host, request, caller, &event, teller).await;
    audited::ended(&mut event, &answer);
    host.audit().tell(event).map_err(|_| Fault::Unaudited)?;
    answer
}

/// Does what is asked for. `event`: what is written of it, for what has lines of its own.
async fn act_on(
    host: &Arc<Host>,
    request: Request,
    caller: &Caller,
    event: &Event,
    teller: &Teller,
) -> Result<Value> {
    match request {
        Request::Join { name } => {
            let own = Arc::clone(host);
            blocking(move || own.join(&name)).await?;
            value(host.site()?.status()?)
        }
        Request::Status => {
            let site = host.site()?;
            value(blocking(move || site.status()).await?)
        }
        Request::Share(share) => {
            let (site, app) = (host.site()?, host.app()?);
            let granting = Arc::clone(&site);
            let granted = blocking(move || {
                record(&app, &share.study_uid)?;
                granting.grant(&app.store, &share)
            });
            let (shared, to) = granted.await?;
            value(site.deliver(shared, &to).await)
        }
        Request::BindPatient(wish) => {
            let (site, app) = (host.site()?, host.app()?);
            value(bind_patient(&app, &site, wish).await?)
        }
        Request::Collect(wish) => {
            value(crate::collection::on_wish(&host.app()?, wish, teller).await?)
        }
        Request::Patients => {
            for line in host.site()?.patient_lines() {
                teller.tell(line).await;
            }
            Ok(Value::Null)
        }
        Request::Consent { statement } => {
            let (site, app) = (host.site()?, host.app()?);
            let signed = SignedStatement::from_text(&statement)?;
            value(grant_by_consent(&app, &site, &Arc::new(signed)).await?)
        }
        Request::FetchConsented(wish) => {
            let (site, app) = (host.site()?, host.app()?);
            value(fetch::by_consent(&app, &site, wish, teller).await?)
        }
        Request::Fetch(wish) => {
            let (site, app) = (host.site()?, host.app()?);
            value(fetch::on_wish(&app, &site, wish, teller).await?)
        }
        Request::BreakGlass(request) => {
            let (site, app) = (host.site()?, host.app()?);
            let by = Breaker { name: caller.name.clone(), groups: vec![COMMANDS.into()] };
            let opened = fetch::open_glass(&app, &site, request, by, event.clone()).await?;
            value(fetch::in_an_emergency(&app, &site, &opened, teller).await?)
        }
        Request::HandOver { study_uid, to } => {
            let (site, app) = (host.site()?, host.app()?);
            let handing = Arc::clone(&site);
            let handed = blocking(move || {
                record(&app, &study_uid)?;
                handing.hand_over(&app.store, &study_uid, &to)
            });
            let mut handed = handed.await?;
            let to = cairn_ledger::id::SiteId::from_hex(&handed.to);
            (handed.cosigned, handed.is_delivered) = site.spread(to.as_ref()).await;
            handed.witnesses = site.peers().len();
            value(handed)
        }
        Request::TakeOver(wish) => {
            let (site, app) = (host.site()?, host.app()?);
            value(fetch::take_over(&app, &site, wish, teller).await?)
        }
        Request::Handed => {
            let site = host.site()?;
            for handed in blocking(move || Ok(site.handed())).await? {
                teller.tell(handed).await;
            }
            Ok(Value::Null)
        }
        Request::Broken { all } => {
            let (site, app) = (host.site()?, host.app.clone());
            let list = move || site.broken(app.as_ref().map(|app| app.store.catalog()), all);
            for broken in blocking(list).await? {
                teller.tell(broken).await;
            }
            Ok(Value::Null)
        }
        Request::Review { site: named, entry, verdict } => {
            let site = host.site()?;
            let (reviewing, by) = (Arc::clone(&site), caller.name.clone());
            let reviewed = blocking(move || reviewing.review(&named, entry, &verdict, &by));
            let (entry, _) = reviewed.await?;
            let cosigned = match entry {
                Some(_) => site.spread(None).await.0,
                None => 0,
            };
            value(serde_json::json!({ "entry": entry, "cosigned": cosigned }))
        }
        Request::Revoke(revoke) => {
            let (site, app) = (host.site()?, host.app.clone());
            let revoking = Arc::clone(&site);
            let revoked = move || {
                let catalog = app.as_ref().map(|app| app.store.catalog());
                revoking.revoke(catalog, &revoke)
            };
            let grants = blocking(revoked).await?;
            let (cosigned, _) = site.spread(None).await;
            let witnesses = site.peers().len();
            value(super::Revocation { grants, cosigned, witnesses })
        }
        Request::Grants => {
            let (site, app) = (host.site()?, host.app.clone());
            let list = move || site.grants(app.as_ref().map(|app| app.store.catalog()));
            for line in blocking(list).await? {
                teller.tell(line).await;
            }
            Ok(Value::Null)
        }
        Request::Accept { from, grant } => {
            let site = host.site()?;
            let accepting = Arc::clone(&site);
            let entry = blocking(move || accepting.accept(&from, grant)).await?;
            let (cosigned, _) = site.spread(None).await;
            value(serde_json::json!({ "entry": entry, "cosigned": cosigned }))
        }
        Request::Peers => {
            let site = host.site()?;
            for line in blocking(move || Ok(site.peer_lines())).await? {
                teller.tell(line).await;
            }
            Ok(Value::Null)
        }
        Request::Meet { url } => value(host.site()?.meet(&url).await?),
        Request::AddPeer { url, fingerprint } => {
            let compared = Fingerprint::parse(&fingerprint);
            let no_print = || Fault::Request("that is no fingerprint".into());
            let site = host.site()?;
            let added = site.add_peer(&url, compared.ok_or_else(no_print)?).await?;
            value(site.sync_peer(&added).await?)
        }
        Request::RemovePeer { site: named } => {
            let site = host.site()?;
            let removed = blocking(move || {
                let peer = site.find_peer(&named)?;
                site.forget(&peer.site)?;
                Ok(serde_json::json!({ "site": peer.site.to_string(), "name": peer.name }))
            });
            removed.await
        }
        Request::Sync { site: named } => {
            let site = host.site()?;
            let rounds = match named {
                Some(named) => vec![site.sync_peer(&site.find_peer(&named)?.site).await?],
                None => site.sync_all().await,
            };
            for round in rounds {
                teller.tell(round).await;
            }
            Ok(Value::Null)
        }
        Request::Verify => {
            let site = host.site()?;
            for log in blocking(move || Ok(site.verify())).await? {
                teller.tell(log).await;
            }
            Ok(Value::Null)
        }
        Request::Usage(period) => {
            let (site, app) = (host.site()?, host.app.clone());
            let count = move || site.usage(app.as_ref().map(|app| app.store.catalog()), period);
            for row in blocking(count).await? {
                teller.tell(row).await;
            }
            Ok(Value::Null)
        }
        Request::Entries { of, from, most } => {
            let site = host.site()?;
            let entries = move || site.entries(of.as_deref(), from, most.min(ENTRIES_MAX));
            value(blocking(entries).await?)
        }
        Request::Prove { sequence, of } => {
            let site = host.site()?;
            value(blocking(move || site.prove(sequence, of.as_deref())).await?)
        }
        Request::ProofKeys { origin } => {
            let site = host.site()?;
            value(blocking(move || site.proof_keys(&origin)).await?)
        }
        Request::Rotate => {
            let entry = host.site()?.rotate().await?;
            value(serde_json::json!({ "entry": entry }))
        }
        Request::MakeToken(wish) => {
            let data = host.data.clone();
            value(blocking(move || tokens::add(&data, wish)).await?)
        }
        Request::RevokeToken { which } => {
            let data = host.data.clone();
            value(blocking(move || tokens::revoke(&data, &which)).await?)
        }
    }
}
