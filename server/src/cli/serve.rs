//! `cairn serve`: the archive over HTTP.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairn_store::ingest::{Ingest, Observer};
use cairn_store::{Access, IngestConfig, Store};
use clap::Args;
use tokio::net::TcpListener;

use super::{Exit, Session};
use crate::audit::{Audit, Log, folder, syslog};
use crate::collection;
use crate::config::{Config, LogWord};
use crate::dimse::{self, Dimse, Logins, Ports};
use crate::error::{Error, Result};
use crate::fetch;
use crate::http::app::Parts;
use crate::http::{App, Door, serve};
use crate::identity::{Identity, tokens};
use crate::logging::{self, Style};
use crate::metrics::Metrics;
use crate::sharing::control::Host;
use crate::sharing::{self, Site};

/// Threads beside those that the bounds count: compression, look-ups of the runtime.
const THREADS_MORE: usize = 24;
/// How often studies are looked for whose content has no name yet.
const RECORD_EVERY: Duration = Duration::from_secs(10);
/// A study is named when nothing came for it for so long: most are complete by then.
const STUDY_QUIET: Duration = Duration::from_secs(30);
/// Told where a port beyond this machine has no way in.
const NOBODY_IS_LET_IN: &str = "\
cairn: the port is not of this machine alone, so nobody is let in without a token, and there is none yet. \
`cairn token new` makes one; issuer in [identity] names a login provider; required = \"never\" there \
leaves it to a proxy in front";
/// How long requests that were dropped may take to let go of the archive.
const LET_GO: Duration = Duration::from_secs(5);

/// Serve the archive: DICOMweb, health and metrics over HTTP, and DIMSE
#[derive(Debug, Args)]
#[command(after_help = "\
The archive is made if it is not there. DICOMweb is at /dicom-web, emergency access at /break-glass, WADO-URI at /wado, figures at \
/metrics, probes at /healthz and /readyz. HTTP/1.1 and HTTP/2 without TLS share the port.

DIMSE has a port of its own, and another one with TLS if tls_listen names it.

On its own machine the server asks nobody who it is: whoever reaches the port can read and write. With \
a login provider in [identity], or at a port that is not of this machine alone, every HTTP request has to \
show a token (Authorization: Bearer), but for probes and preflights; put a reverse proxy with TLS before \
it, and a network of their own around DIMSE. `cairn token` makes tokens for systems.

Settings in [serve] of cairn.toml, or as CAIRN_SERVE__KEY:
  http                 address and port [127.0.0.1:8080]
  base_url             URL under which clients reach the server [as each request says]
  trust_forwarded      whose Forwarded and X-Forwarded-* count: loopback, always, never [loopback]
  cors_origins         pages that may read: local (from the browser's own machine), none, *, or a \
list with commas [local]
  connections_max      connections at once [1024]
  jobs_max             reading and decoding jobs at once [four for each core, at least 16]
  stores_max           storing requests at once [128]
  streams_max          streamed replies at once [256]
  max_request_bytes    longest request body; 0 for any [0]
  header_seconds       time for the head of the first request [20]
  idle_seconds         time that a body may stand still [30]
  keep_alive_seconds   time that a connection without a request is kept [75]
  drain_seconds        time for requests under way after SIGTERM [30]
  log                  text or json [text]
  access_log           a line for each request, without paths, queries or UIDs [true]

Settings in [identity], or as CAIRN_IDENTITY__KEY:
  required             has whoever asks to show a token: auto (with an issuer, or beyond this machine), \
always, never (a proxy in front asks) [auto]
  issuer               URL of the login provider: the iss of its tokens
  audience             the aud that they have to have
  keys_url             URL of its keys [as the issuer says]
  trusted              file of certificates in PEM that count there besides the system's
  algorithms           signatures that count; public keys only [RS256,PS256,ES256,EdDSA]
  skew_seconds         how far the clocks may be apart, at most 300 [60]
  keys_seconds         after how long its keys are asked for again [300]
  name_claim, roles_claim, scopes_claim   claims with name, roles and scopes; a.b for deeper ones \
[sub, roles, scope]
  studies_claim        claim with the only studies that a token is for [none]
  groups_claim         claim with the groups that answer together for emergency accesses [the roles here \
that allow break-glass]
  [identity.roles.NAME]  what a role allows, and whose it is; each with claims, scopes, allow (search, read, \
store, delete, commit, metrics, break-glass, privacy, all)

Settings in [audit], or as CAIRN_AUDIT__KEY; `cairn audit` shows and checks the log:
  enabled              keep a log of every access [true]
  file_bytes           length at which a new file of it is begun [67108864]
  source               what this system is called in messages to others [cairn]
  syslog               where DICOM audit messages go: tls://host:port, or none [none]
  syslog_trusted       file of certificates in PEM: of authorities, or of the receiver itself
  syslog_certificate, syslog_key   files of what to show there, in PEM [nothing is shown]

Settings in [dimse], or as CAIRN_DIMSE__KEY:
  listen               address and port, or none [127.0.0.1:11112]
  ae                   AE title [CAIRN]
  federated_ae         AE title by which all sites are searched, as over /federated/dicom-web [CAIRN_FED]
  peers                known application entities: AE@host:port or AE@tls://host:port, with commas \
between []
  callers              who may call: any, peers, or AE titles with commas between [any]
  called               as whom this server may be called: any, own [any]
  associations_max     associations at once [256]
  out_associations_max  associations at once that are opened to one receiver [4]
  out_idle_seconds     how long such an association is kept for what is sent next [5]
  pdu_bytes            longest PDU that is announced [262144]
  window_max           operations at once of a peer that asks for several [16]
  request_seconds      time to ask for an association [20]
  idle_seconds         time that an association without a message is kept [3600]
  stall_seconds        time that a message may stand still [60]
  tls_listen           address and port for TLS, or none [none]
  tls_certificate      file of the certificate to show, in PEM, with those between it and its authority
  tls_key              file of its private key, in PEM
  tls_trusted          file of certificates in PEM: of authorities, and of single peers
  tls_clients          must who calls over TLS show a certificate: required, optional, none [required]
  identity             must who calls say who it is: required, optional, none [none]
  identity_users       file of users, as `cairn passcode` makes its lines
  identity_jwt_key     file of the public key of whoever issues tokens, in PEM
  identity_jwt_issuer, identity_jwt_audience   what a token has to say
  identity_jwt_claim   claim that names the user [sub]
  identity_login       tokens of the issuer in [identity] count too, by its name_claim [false]
  [[dimse.rules]]      who may do what; each with calling, network, tls, user, allow, deny, destinations, \
associations_max

Settings in [sharing], or as CAIRN_SHARING__KEY; other sites are added by `cairn peers`:
  listen               address and port for other sites, or none; TLS, each side by its key [none]
  name                 begin this site's ledger under this name, if there is none
  url                  where other sites reach this one, to be told to their people
  sync_seconds         how often other sites are asked for news [30]
  stale_seconds        what is known of a site's ledger is not used when it is older than this [900]
  witnesses            sites that have to vouch for a ledger's latest state; 0 for none [1]
  glass_review_seconds  an emergency access of this site that waits longer for its review keeps its group \
from opening another [259200]
  glass_by_uid         in an emergency, known sites may ask what a study is called here by its UID [true]
  prefetch             sites whose studies are fetched as soon as they are granted; ['*']: all [none]
  buckets              buckets of other sites that chunks may be read straight from where a grant says \
so, by how URLs of their objects begin: ['https://s3.example/hospital-a/'] [none]

Once a day the server takes back the place of what was deleted; `cairn gc` has the settings, and does it \
at once.

Commands reach the server by the socket cairn.sock in the data directory, which is for its owner alone.

Certificates, users and keys of tokens are read again when their files change.

Rules in [[routes]] of cairn.toml forward what comes in; `cairn routes` shows them and what they owe.

SIGTERM or Ctrl-C: no new connections, /readyz answers 503, requests under way are finished, \
studies are recorded; a second one ends at once. What was acknowledged is safe in any case.

Exit codes: 0 ended when asked to; 1 it could not listen, or the archive failed; 2 wrong usage or \
settings; 130 ended at once.

Examples:
  cairn serve
  cairn --data /srv/cairn serve --http 0.0.0.0:8080
  CAIRN_SERVE__LOG=json cairn serve")]
pub(crate) struct ServeArgs {
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, env = "CAIRN_HTTP", value_name = "ADDRESS:PORT")]
    http: Option<String>,
    /// Address and port for DIMSE, or none [default: 127.0.0.1:11112]
    #[arg(long, env = "CAIRN_DIMSE", value_name = "ADDRESS:PORT")]
    dimse: Option<String>,
    /// AE title under which DIMSE is spoken [default: CAIRN]
    #[arg(long, env = "CAIRN_AE", value_name = "TITLE")]
    ae: Option<String>,
    /// URL under which clients reach the server
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Address and port for other sites, or none [default: none]
    #[arg(long, env = "CAIRN_PEER", value_name = "ADDRESS:PORT")]
    peer: Option<String>,
}

pub(super) fn run(session: &Session, args: &ServeArgs) -> Result<Exit> {
    let mut config = session.config()?;
    config.serve.http = args.http.clone().unwrap_or(config.serve.http);
    config.serve.base_url = args.base_url.clone().unwrap_or(config.serve.base_url);
    config.dimse.listen = args.dimse.clone().unwrap_or(config.dimse.listen);
    config.dimse.ae = args.ae.clone().unwrap_or(config.dimse.ae);
    config.sharing.listen = args.peer.clone().unwrap_or(config.sharing.listen);
    config.serve.check()?;
    config.dimse.check()?;
    let sharing = config.sharing.settings()?;
    let section = config.serve.clone();
    let (address, limits) = (section.address()?, section.limits());
    logging::start(Style {
        json: section.log == LogWord::Json,
        access: section.access_log && !session.output.quiet,
        ..Style::new(session.output.quiet, session.output.verbose.max(1))
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(crate::config::threads())
        .max_blocking_threads(limits.jobs + limits.stores + limits.streams + THREADS_MORE)
        .thread_name("cairn-http")
        .enable_all()
        .build()
        .map_err(Error::io("start threads for", &session.data))?;
    let (listener, bound) = runtime.block_on(listen(address))?;
    let mut settings = config.dimse_settings(limits.drain)?;
    let issuer = config.identity.issuer()?;
    let logins =
        issuer.as_ref().filter(|_| config.dimse.identity_login).map(|(provider, claims)| {
            Logins::new(Arc::clone(provider), &claims.name, runtime.handle().clone())
        });
    settings.identities = config.dimse.identities()?.map(|known| Arc::new(known.with(logins)));
    let port = |address: Option<SocketAddr>| {
        address.map(|address| runtime.block_on(listen(address))).transpose()
    };
    let (plain, tls) = (port(config.dimse.address()?)?, port(config.dimse.tls_address()?)?);
    let metrics = Arc::new(Metrics::new()?);
    let told = Arc::clone(&metrics);
    let observer = Observer::new(move |stage, took| told.stage(stage, took));
    let prepare_spool = config.ingest.prepare_spool;
    let ingest = IngestConfig { observer, prepare_spool, ..config.ingest_config() };
    let identity = config.identity.identity(bound, &session.data, issuer)?;
    tell_who(session, &config, bound);
    let parts = parts(&config)?;
    let store = Store::open(&session.store_config()?, Access::Write)?;
    super::import::tell_key(session, &store)?;
    dimse::register(store.catalog(), &settings.routes)?;
    let ingest = store.ingest(ingest)?;
    // Not before the archive is this process's alone, and so is the log.
    let audit = audit(&config, &session.data)?;
    let parts = Parts { identity, audit, ..parts };
    let app = Arc::new(App::new(store, ingest, metrics, parts));
    let sending = match config.audit.receiver()? {
        Some(receiver) => {
            let folder = folder(&session.data);
            let sending = syslog::send(folder.clone(), receiver);
            Some(sending.map_err(Error::io("start a thread for", &folder))?)
        }
        None => None,
    };
    runtime.spawn(record(Arc::clone(&app)));
    runtime.spawn(collection::now_and_then(Arc::clone(&app), config.gc.clone()));
    let sites = share(session, &runtime, &app, &sharing)?;
    // Before anybody is told that it listens: who then asks it to end shall see it end well. Not before
    // the journal was replayed, which may take long and loses nothing by a kill.
    crate::interrupt::listen();
    session.output.note(&format!("cairn: listening on http://{bound}"));
    tracing::info!(address = %bound, "listening");
    if let Some((_, bound)) = &tls {
        session.output.note(&format!("cairn: DIMSE over TLS as {} on {bound}", settings.title));
        tracing::info!(address = %bound, ae = settings.title, "listening for DIMSE over TLS");
    }
    if let Some((_, bound)) = &plain {
        session.output.note(&format!("cairn: DIMSE as {} on {bound}", settings.title));
        tracing::info!(address = %bound, ae = settings.title, "listening for DIMSE");
    }
    let speaks = plain.is_some() || tls.is_some() || !settings.routes.is_empty();
    let associations = speaks.then(|| {
        let [plain, tls] = [plain, tls].map(|port| port.map(|(listener, _)| listener));
        let dimse = Dimse::new(Arc::clone(&app), settings);
        runtime.spawn(dimse::serve(dimse, Ports { plain, tls }, signalled()))
    });
    let cannot = |source| Error::Listen { address: bound.to_string(), source };
    runtime.block_on(serve(Arc::clone(&app), listener, Door::Web, signalled())).map_err(cannot)?;
    if let Some(associations) = associations {
        // An error is a panic of that task, which said so itself.
        let _ = runtime.block_on(associations);
    }
    drop(sites);
    drop(sending);
    let ingest = app.close_ingest();
    // Threads of requests that were dropped find their client gone.
    runtime.shutdown_timeout(LET_GO);
    app.audit.close();
    end(ingest)?;
    session.output.note("cairn: ended");
    Ok(Exit::Good)
}

/// What ends when it is dropped: talking to other sites, and to commands.
struct Sites(Vec<tokio::task::JoinHandle<()>>);

impl Drop for Sites {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Opens the ledger if there is one, keeps in touch with other sites, and listens to commands.
fn share(
    session: &Session,
    runtime: &tokio::runtime::Runtime,
    app: &Arc<App>,
    settings: &sharing::Settings,
) -> Result<Sites> {
    let site = Site::open(&session.data, settings)?;
    let (handle, metrics) = (runtime.handle().clone(), Arc::clone(&app.metrics));
    // Taken before a ledger is begun, so that who began it can be told where it is reached.
    let port = settings.listen.map(|address| runtime.block_on(listen(address))).transpose()?;
    if let Some((_, bound)) = &port {
        session.output.note(&format!("cairn: other sites on https://{bound}"));
        tracing::info!(address = %bound, "listening for other sites");
    }
    let port = Mutex::new(port.map(|(listener, _)| listener));
    let begun = {
        let app = Arc::clone(app);
        move |site: Arc<Site>| {
            app.share_as(Arc::clone(&site), handle.clone());
            handle.spawn(sharing::keep_in_touch(Arc::clone(&site), Arc::clone(&metrics)));
            handle.spawn(fetch::keep_receipts(Arc::clone(&app)));
            handle.spawn(sharing::do_duties(Arc::clone(&app), Arc::clone(&site)));
            handle.spawn(fetch::prefetch(Arc::clone(&app), Arc::clone(&site)));
            let listener = port.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(listener) = listener {
                let door = Door::Sites(site);
                handle.spawn(serve(Arc::clone(&app), listener, door, signalled()));
            }
        }
    };
    let mut tasks = Vec::new();
    match &site {
        Some(site) => {
            sharing::settle_editions(site, app.store.catalog())?;
            begun(Arc::clone(site));
        }
        None if settings.listen.is_some() => {
            session.output.note("cairn: there is no ledger yet; run: cairn ledger join NAME");
        }
        None => {}
    }
    let host =
        Host::new(&session.data, settings, Some(Arc::clone(app)), Audit::default(), site, begun);
    let guard = runtime.enter();
    let listening = sharing::control::listen(Arc::new(host), &session.data)?;
    drop(guard);
    tasks.push(runtime.spawn(listening));
    Ok(Sites(tasks))
}

pub(super) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let cannot = |source| Error::Listen { address: address.to_string(), source };
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let bound = listener.local_addr().map_err(cannot)?;
    Ok((listener, bound))
}

/// The audit log, if one is kept.
fn audit(config: &Config, data: &Path) -> Result<Audit> {
    if !config.audit.enabled {
        tracing::warn!("no audit log is kept: audit.enabled is false");
        return Ok(Audit::default());
    }
    Ok(Audit::into(Log::open(&folder(data), config.audit.file_bytes)?))
}

/// Says who is let in, where that may be a surprise.
fn tell_who(session: &Session, config: &Config, bound: SocketAddr) {
    let beyond = !bound.ip().to_canonical().is_loopback();
    let section = &config.identity;
    if section.is_required(bound) {
        let has_tokens = tokens::all(&session.data).is_ok_and(|tokens| !tokens.is_empty());
        if section.issuer.is_empty() && !has_tokens {
            session.output.note(NOBODY_IS_LET_IN);
            tracing::warn!("nobody is let in over HTTP: neither an issuer nor service tokens");
        }
    } else if beyond {
        tracing::warn!("whoever reaches the port is let in: identity.required is \"never\"");
    }
}

/// What an [`App`] takes from the settings, for a server that asks nobody who it is.
pub(super) fn parts(config: &Config) -> Result<Parts> {
    let (section, ingest) = (&config.serve, config.ingest_config());
    Ok(Parts {
        limits: section.limits(),
        base_url: section.base_url()?,
        trust: section.trust(),
        origins: section.origins()?,
        identity: Identity::open(),
        audit: Audit::default(),
        access_log: section.access_log,
        journal_bytes_max: ingest.journal_bytes_max,
        in_flight_bytes_max: ingest.in_flight_bytes,
        spool_bytes_max: ingest.spool_bytes,
        search_wait: Duration::from_millis(config.ingest.search_wait_ms),
    })
}

/// Names the content of studies that have been quiet for a while.
async fn record(app: Arc<App>) {
    while !app.is_draining() {
        tokio::time::sleep(RECORD_EVERY).await;
        let recorded = app.blocking(|app| Ok(app.ingest()?.record_studies(STUDY_QUIET)?)).await;
        if let Err(problem) = recorded {
            let detail = problem.detail.as_deref().unwrap_or("");
            tracing::warn!(detail, "studies could not be recorded");
        }
    }
}

/// Waits until everything is in the bucket, and names the content of the studies that changed.
pub(super) fn end(ingest: Option<Arc<Ingest>>) -> Result<()> {
    let Some(mut shared) = ingest else { return Ok(()) };
    let patience = Instant::now() + LET_GO;
    loop {
        shared = match Arc::try_unwrap(shared) {
            Ok(ingest) => {
                let studies = ingest.finish()?;
                tracing::info!(studies = studies.len(), "ingest ended, studies recorded");
                return Ok(());
            }
            Err(shared) if Instant::now() < patience => shared,
            Err(_) => {
                tracing::warn!("a request does not let go; studies are recorded at the next start");
                return Ok(());
            }
        };
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ends when somebody asks the process to end.
async fn signalled() {
    while !crate::interrupt::asked() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
