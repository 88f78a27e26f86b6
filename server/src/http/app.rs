//! What every request shares.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use cairn_store::Store;
use cairn_store::ingest::Ingest;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::cors::Origins;
use super::forwarded::{BaseUrl, Trust};
use super::limits::{COMPOSES_MAX, Limits, PLACE_PATIENCE};
use super::problem::Problem;
use crate::audit::Audit;
use crate::dicomweb::prefetch::Prefetch;
use crate::dicomweb::qido::Bookmarks;
use crate::dicomweb::rendered::header::Headers;
use crate::dicomweb::rendered::picture::ROOM_BYTES;
use crate::dicomweb::room::Room;
use crate::dicomweb::undecodable::Undecodable;
use crate::fetch::{Demands, Granted};
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::sharing::Site;

/// One server: an archive, its settings and its figures.
pub(crate) struct App {
    /// The archive.
    pub(crate) store: Store,
    /// Taken out when the server ends.
    ingest: RwLock<Option<Arc<Ingest>>>,
    /// Everything that is measured.
    pub(crate) metrics: Arc<Metrics>,
    /// The bounds.
    pub(crate) limits: Limits,
    /// The URL under which clients reach this server, if it is set.
    pub(crate) base_url: Option<BaseUrl>,
    /// Whose forwarding headers are believed.
    pub(crate) trust: Trust,
    /// Pages of which origins may read.
    pub(crate) origins: Origins,
    /// Who is let in over HTTP.
    pub(crate) identity: Identity,
    /// Who looked at what.
    pub(crate) audit: Audit,
    /// Write a line for each request.
    pub(crate) access_log: bool,
    /// Sealed bytes that may wait for the bucket.
    pub(crate) journal_bytes_max: u64,
    /// Received bytes that ingest may hold.
    pub(crate) in_flight_bytes_max: usize,
    /// Disk for objects that are acknowledged before they are coded.
    pub(crate) spool_bytes_max: u64,
    /// How long a search waits for what was acknowledged before it.
    pub(crate) search_wait: Duration,
    /// What turned out to be undecodable.
    pub(crate) undecodable: Undecodable,
    /// What turned out to be no picture.
    pub(crate) unshowable: Undecodable,
    /// What says how the values of instances are to be seen.
    pub(crate) headers: Headers,
    /// Memory in which pictures are made.
    pub(crate) room: Room,
    /// How far searches came.
    pub(crate) bookmarks: Bookmarks,
    /// Frames that are read before they are asked for.
    pub(crate) prefetch: Prefetch,
    /// Studies that are being fetched because somebody asked for them.
    pub(crate) demands: Demands,
    /// Which studies are behind grants.
    pub(crate) granted: Granted,
    /// What this server is to other sites, if it shares.
    site: OnceLock<(Arc<Site>, Handle)>,
    draining: AtomicBool,
    jobs: Arc<Semaphore>,
    stores: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    composes: Arc<Semaphore>,
}

/// What [`App::new`] is made of, besides the archive.
pub(crate) struct Parts {
    pub(crate) limits: Limits,
    pub(crate) base_url: Option<BaseUrl>,
    pub(crate) trust: Trust,
    pub(crate) origins: Origins,
    pub(crate) identity: Identity,
    pub(crate) audit: Audit,
    pub(crate) access_log: bool,
    pub(crate) journal_bytes_max: u64,
    pub(crate) in_flight_bytes_max: usize,
    pub(crate) spool_bytes_max: u64,
    pub(crate) search_wait: Duration,
}

impl App {
    /// Without a way in for who only reads.
    pub(crate) fn new(
        store: Store,
        ingest: impl Into<Option<Ingest>>,
        metrics: Arc<Metrics>,
        parts: Parts,
    ) -> Self {
        let Parts { limits, base_url, trust, origins, identity, audit, access_log, .. } = parts;
        Self {
            store,
            ingest: RwLock::new(ingest.into().map(Arc::new)),
            metrics,
            jobs: Arc::new(Semaphore::new(limits.jobs)),
            stores: Arc::new(Semaphore::new(limits.stores)),
            streams: Arc::new(Semaphore::new(limits.streams)),
            composes: Arc::new(Semaphore::new(COMPOSES_MAX)),
            limits,
            base_url,
            trust,
            origins,
            identity,
            audit,
            access_log,
            journal_bytes_max: parts.journal_bytes_max,
            in_flight_bytes_max: parts.in_flight_bytes_max,
            spool_bytes_max: parts.spool_bytes_max,
            search_wait: parts.search_wait,
            undecodable: Undecodable::default(),
            unshowable: Undecodable::default(),
            headers: Headers::default(),
            room: Room::new(ROOM_BYTES),
            bookmarks: Bookmarks::default(),
            prefetch: Prefetch::default(),
            demands: Demands::default(),
            granted: Granted::default(),
            site: OnceLock::new(),
            draining: AtomicBool::new(false),
        }
    }

    /// Makes it a site among others, which it speaks to on this runtime. The first one stays.
    pub(crate) fn share_as(&self, site: Arc<Site>, runtime: Handle) {
        let _ = self.site.set((site, runtime));
    }

    /// What it is to other sites, if it shares.
    pub(crate) fn site(&self) -> Option<Arc<Site>> {
        self.site.get().map(|(site, _)| Arc::clone(site))
    }

    /// Where it speaks to other sites, if it shares: for threads that are not of that runtime.
    pub(crate) fn sharing_runtime(&self) -> Option<Handle> {
        self.site.get().map(|(_, runtime)| runtime.clone())
    }

    /// The way in. Hold it no longer than a request.
    pub(crate) fn ingest(&self) -> Result<Arc<Ingest>, Problem> {
        let ingest = self.ingest.read().unwrap_or_else(PoisonError::into_inner);
        ingest.clone().ok_or_else(|| Problem::busy("the server is ending"))
    }

    /// Takes the way in away; nothing is taken in any more.
    pub(crate) fn close_ingest(&self) -> Option<Arc<Ingest>> {
        self.ingest.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits until what was acknowledged so far, of this study or at all, can be read; but no longer
    /// than `patience`. Says whether it can.
    pub(crate) fn settle(&self, study: Option<&str>, patience: Duration) -> bool {
        self.ingest().is_ok_and(|ingest| ingest.settle(study, patience))
    }

    /// Can everything be read that was acknowledged? Costs next to nothing.
    pub(crate) fn is_settled(&self) -> bool {
        self.ingest().is_ok_and(|ingest| ingest.is_settled())
    }

    /// Has the server been asked to end?
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Runs what blocks (store, catalog, decoding) on a thread that may, within the bound on jobs.
    pub(crate) async fn blocking<T, F>(self: &Arc<Self>, job: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    {
        let place = place(&self.jobs).await?;
        let app = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            job(&app)
        });
        done.await.unwrap_or_else(|_| Err(Problem::internal("a job panicked")))
    }

    /// A place among the requests that store.
    pub(crate) async fn store_place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        place(&self.stores).await
    }

    /// A place among the requests that are held in memory to put instances together.
    pub(crate) async fn compose_place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        place(&self.composes).await
    }

    /// A place among the replies that are streamed.
    pub(super) async fn stream_place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        place(&self.streams).await
    }
}

async fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    match tokio::time::timeout(PLACE_PATIENCE, Arc::clone(places).acquire_owned()).await {
        Ok(Ok(place)) => Ok(place),
        _ => Err(Problem::busy("the server has more to do than it may")),
    }
}
