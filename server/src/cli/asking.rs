//! How commands about sharing are answered: by the server on the archive, or, where none runs, by the
//! command itself.

use std::sync::Arc;

use cairn_store::{Access, Store};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::serve::{end, parts};
use super::{Session, require_archive, require_bucket};
use crate::audit::{Audit, folder};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::http::App;
use crate::metrics::Metrics;
use crate::sharing::control::{self, Act, Caller, Host, Need, Request, Teller};
use crate::sharing::{Fault, Settings, Site, settle_editions};

/// Events that wait for the terminal.
const EVENTS_MAX: usize = 64;

impl Session {
    /// Has a request answered.
    pub(super) fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        read(self.ask_with(request, &mut |_: Value| Ok(()))?)
    }

    /// Has a request answered that tells how far it is.
    pub(super) fn ask_told<E: DeserializeOwned, T: DeserializeOwned>(
        &self,
        request: Request,
        each: &mut dyn FnMut(E) -> Result<()>,
    ) -> Result<T> {
        read(self.ask_with(request, &mut |event| each(read(event)?))?)
    }

    /// Has a request answered that gives one thing after the other.
    pub(super) fn ask_each<T: DeserializeOwned>(
        &self,
        request: Request,
        each: &mut dyn FnMut(T) -> Result<()>,
    ) -> Result<()> {
        self.ask_with(request, &mut |event| each(read(event)?)).map(|_| ())
    }

    fn ask_with(
        &self,
        request: Request,
        on_event: &mut dyn FnMut(Value) -> Result<()>,
    ) -> Result<Value> {
        match control::call(&self.data, &request, on_event)? {
            Some(result) => Ok(result),
            None => self.answer(request, on_event),
        }
    }

    /// Answers a request without a server.
    fn answer(
        &self,
        request: Request,
        on_event: &mut dyn FnMut(Value) -> Result<()>,
    ) -> Result<Value> {
        let config = self.config()?;
        // Only `ledger join` and `serve` begin a ledger.
        let settings = Settings { name: None, ..config.sharing.settings()? };
        let app = self.app_for(&config, request.needs())?;
        let audit = self.audit_apart(&config, &request);
        let done = self.answer_from(&settings, app.clone(), audit, request, on_event);
        let ended = app.map_or(Ok(()), |app| end(app.close_ingest()));
        let result = done?;
        ended?;
        Ok(result)
    }

    fn answer_from(
        &self,
        settings: &Settings,
        app: Option<Arc<App>>,
        audit: Audit,
        request: Request,
        on_event: &mut dyn FnMut(Value) -> Result<()>,
    ) -> Result<Value> {
        let site = Site::open(&self.data, settings)?;
        if let (Some(site), Some(app)) = (&site, &app) {
            settle_editions(site, app.store.catalog())?;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("cairn-sharing")
            .enable_all()
            .build()
            .map_err(Error::io("start threads for", &self.data))?;
        if let (Some(site), Some(app)) = (&site, &app) {
            app.share_as(Arc::clone(site), runtime.handle().clone());
        }
        if let Some(site) = site.as_ref().filter(|_| request.adds()) {
            // Is this the ledger that others have seen? And have they new keys, or revoked something?
            runtime.block_on(site.sync_all());
        }
        let host = Arc::new(Host::new(&self.data, settings, app, audit, site, |_| ()));
        let (events, mut told) = tokio::sync::mpsc::channel(EVENTS_MAX);
        let caller = Caller::here();
        let answered = runtime.spawn(async move {
            control::answer(&host, request, &caller, &Teller::new(events)).await
        });
        while let Some(event) = told.blocking_recv() {
            on_event(event)?;
        }
        runtime
            .block_on(answered)
            .unwrap_or_else(|_| Err(Fault::Control("a job panicked".into()).into()))
    }

    /// Where a command that answers itself writes what it did. What only looks is not written down
    /// then: whoever may read the files needs no command for it.
    fn audit_apart(&self, config: &Config, request: &Request) -> Audit {
        if config.audit.enabled && control::act(request) == Act::Change {
            Audit::Apart(folder(&self.data))
        } else {
            Audit::Nowhere
        }
    }

    /// The archive, as far as a request needs it.
    fn app_for(&self, config: &Config, need: Need) -> Result<Option<Arc<App>>> {
        let is_there = require_archive(&self.data).is_ok();
        if need == Need::Ledger || need == Need::ArchiveIfThere && !is_there {
            return Ok(None);
        }
        let store_config = self.store_config()?;
        require_archive(&self.data)?;
        require_bucket(&store_config)?;
        let writes = need == Need::Archive;
        let access = if writes { Access::Write } else { Access::Read };
        let store = Store::open(&store_config, access)?;
        let ingest = writes.then(|| store.ingest(config.ingest_config())).transpose()?;
        let parts = parts(config)?;
        Ok(Some(Arc::new(App::new(store, ingest, Arc::new(Metrics::new()?), parts))))
    }
}

/// Another version of the program may answer otherwise.
fn read<T: DeserializeOwned>(value: Value) -> Result<T> {
    Ok(serde_json::from_value(value).map_err(|error| Fault::Control(error.to_string()))?)
}
