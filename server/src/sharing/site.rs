//! The site itself: opening it, and what others ask of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use cairn_ledger::checkpoint::SignedCheckpoint;
use cairn_ledger::entry::Body;
use cairn_ledger::evidence::Finding;
use cairn_ledger::federation::Federation;
use cairn_ledger::id::{SiteId, StudyId};
use cairn_ledger::keys::SiteSecret;
use cairn_ledger::log::SiteLog;
use cairn_ledger::note::{NoteSignature, VerifierKey, is_key_name};
use cairn_ledger::order::{Logged, Order};
use cairn_ledger::quorum::Quorum;
use cairn_ledger::state::SiteState;
use cairn_ledger::witness::{CosignRequest, Refusal};
use cairn_store::catalog::Catalog;
use cairn_store::catalog::editions::Edition;
use tokio::sync::Notify;
use url::Url;

use super::folder::{Folder, remove, replace};
use super::glass::Journal;
use super::keys::{Keys, Succession, open_log};
use super::patients::Patients;
use super::peering::Peering;
use super::publish::Collected;
use super::record::Record;
use super::view::View;
use super::{Fault, Fingerprint, Settings, lock, read, write};
use crate::clock::now;
use crate::error::{Error, Result};
use crate::peer;

/// This site. One for each process, behind an [`Arc`]; methods may block on the disk, and never on the
/// network.
pub(crate) struct Site {
    pub(super) folder: Folder,
    pub(super) settings: Settings,
    id: SiteId,
    name: String,
    pub(super) log: SiteLog,
    pub(super) succession: Succession,
    peers: RwLock<BTreeMap<SiteId, Arc<Peering>>>,
    pub(super) views: RwLock<BTreeMap<SiteId, View>>,
    /// The own head on its way to be published.
    pub(super) collected: Mutex<Collected>,
    /// Why nothing may be added to the own log.
    trouble: Mutex<Option<String>>,
    /// Held while a study is registered, so that it is registered once.
    pub(super) registering: Mutex<()>,
    /// The patients' keys that are known.
    pub(super) patients: Patients,
    /// Held while what is written down of a patient's key changes.
    pub(super) binding: Mutex<()>,
    /// Who opened what in an emergency.
    pub(super) glass: Journal,
    /// Held from a rotation's beginning to its end.
    pub(super) rotating: tokio::sync::Mutex<()>,
    /// There are more peers, or fewer.
    pub(super) peers_changed: Notify,
    /// More is known of some log than before: for duties,
    pub(super) news: Notify,
    /// and for what is fetched because of it.
    pub(super) grown: Notify,
}

/// Another site, for whoever lists them.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Which one.
    pub(crate) site: SiteId,
    /// The origin of its log.
    pub(crate) name: String,
}

impl Site {
    /// Opens the site in `data`; begins its log if the settings name it. `None`: there is no log yet, and
    /// nothing asks for one.
    pub(crate) fn open(data: &Path, settings: &Settings) -> Result<Option<Arc<Self>>> {
        let folder = Folder::of(data);
        match (folder.origin()?, &settings.name) {
            (Some(origin), Some(name)) if origin != *name => Err(Error::Config {
                place: "sharing.name".into(),
                why: format!("the ledger here was begun as {origin}, and keeps that name"),
            }),
            (Some(origin), _) => Self::open_as(folder, settings, &origin).map(Some),
            (None, Some(name)) => Self::join(data, settings, name).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Begins the site's log under this name, with a key of its own.
    pub(crate) fn join(data: &Path, settings: &Settings, name: &str) -> Result<Arc<Self>> {
        let folder = Folder::of(data);
        if let Some(origin) = folder.origin()? {
            return Err(Fault::Joined(origin).into());
        }
        if !is_key_name(name) {
            return Err(Fault::Name(name.to_owned()).into());
        }
        Self::open_as(folder, settings, name)
    }

    fn open_as(folder: Folder, settings: &Settings, origin: &str) -> Result<Arc<Self>> {
        folder.make()?;
        let (log, keys) = open_log(&folder, origin)?;
        let trouble = std::fs::read_to_string(folder.behind()).ok();
        let collected = Collected::new(log.published()?, log.head());
        let site = Self {
            id: log.site(),
            name: origin.to_owned(),
            log,
            succession: Succession::new(keys),
            peers: RwLock::default(),
            views: RwLock::default(),
            collected: Mutex::new(collected),
            trouble: Mutex::new(trouble),
            registering: Mutex::new(()),
            patients: Patients::open(&folder)?,
            binding: Mutex::new(()),
            glass: Journal::open(&folder.glass())?,
            rotating: tokio::sync::Mutex::new(()),
            peers_changed: Notify::new(),
            news: Notify::new(),
            grown: Notify::new(),
            settings: settings.clone(),
            folder,
        };
        site.open_peers()?;
        Ok(Arc::new(site))
    }

    fn open_peers(&self) -> Result<()> {
        let mut records = Vec::new();
        for site in self.folder.peers()? {
            let path = self.folder.peer(&site);
            match Record::load(&path) {
                Ok(record) => records.push((site, record)),
                // The others go on.
                Err(error) => tracing::error!(%error, "a peer is left out"),
            }
        }
        let quorum = self.quorum_of(records.iter().map(|(_, record)| record))?;
        for (site, record) in records {
            self.adopt(&Peering::open(&self.folder, site, record, quorum.clone()));
        }
        Ok(())
    }

    /// From now on this is a peer.
    pub(super) fn adopt(&self, peering: &Arc<Peering>) {
        if let Ok(mirror) = &*lock(&peering.mirror) {
            write(&self.views).insert(peering.site, View::of(mirror));
        }
        write(&self.peers).insert(peering.site, Arc::clone(peering));
        self.peers_changed.notify_one();
    }

    /// From now on this is none.
    pub(super) fn forget(&self, site: &SiteId) -> Result<()> {
        remove(&self.folder.peer(site))?;
        write(&self.peers).remove(site);
        write(&self.views).remove(site);
        self.peers_changed.notify_one();
        Ok(())
    }

    /// Its id.
    pub(crate) fn id(&self) -> SiteId {
        self.id
    }

    /// The origin of its log.
    pub(crate) fn name(&self) -> String {
        self.name.clone()
    }

    /// Its own log.
    pub(crate) fn log(&self) -> &SiteLog {
        &self.log
    }

    /// Its secret in force.
    pub(crate) fn secret(&self) -> &SiteSecret {
        &self.keys().secret
    }

    /// What it shows of itself in TLS. Another after a rotation: to be
    /// asked for anew for each connection.
    pub(crate) fn identity(&self) -> Result<peer::Identity> {
        self.keys().identity()
    }

    pub(super) fn keys(&self) -> &Keys {
        self.succession.keys()
    }

    /// What two people read to each other.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.id, &self.keys().secret.public().tls)
    }

    /// Lends the state of the own log.
    pub(crate) fn with_state<T>(&self, job: impl FnOnce(&SiteState) -> T) -> T {
        let (mut job, mut done) = (Some(job), None);
        self.log.read(&mut |state| done = job.take().map(|job| job(state)));
        match done {
            Some(done) => done,
            // The log lends its state once, always.
            None => unreachable!("the log did not lend its state"),
        }
    }

    /// Lends what all known logs say together. The job must not call this site again: a lock is held.
    pub(crate) fn with_federation<T>(&self, job: impl FnOnce(&Federation<'_>) -> T) -> T {
        let views = read(&self.views);
        self.with_state(|own| {
            let members = views.values().map(View::member);
            job(&Federation::new(own, members, self.settings.stale_seconds))
        })
    }

    /// The peer whose TLS key in force this is.
    pub(crate) fn is_known_key(&self, tls_key: &[u8; 32]) -> Option<SiteId> {
        let peers = read(&self.peers);
        let mut having = peers.values().filter(|peer| peer.record().tls_key == *tls_key);
        // More than one is never honest.
        having.next().filter(|_| having.next().is_none()).map(|peer| peer.site)
    }

    /// The peers, by name.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        let mut peers: Vec<_> = self
            .peerings()
            .iter()
            .map(|peering| Peer { site: peering.site, name: peering.record().name })
            .collect();
        peers.sort_by(|a, b| (&a.name, a.site).cmp(&(&b.name, b.site)));
        peers
    }

    pub(super) fn peerings(&self) -> Vec<Arc<Peering>> {
        read(&self.peers).values().cloned().collect()
    }

    pub(super) fn peering(&self, site: &SiteId) -> Result<Arc<Peering>> {
        let known = read(&self.peers).get(site).cloned();
        Ok(known.ok_or_else(|| Fault::UnknownSite(site.to_string()))?)
    }

    /// The peer that somebody means: by its name, or the beginning of its id.
    pub(crate) fn find_peer(&self, text: &str) -> Result<Peer> {
        let peers = self.peers();
        if let Some(named) = peers.iter().find(|peer| peer.name == text) {
            return Ok(named.clone());
        }
        let lower = text.to_ascii_lowercase();
        let mut meant = peers
            .iter()
            .filter(|peer| !lower.is_empty() && peer.site.to_string().starts_with(&lower));
        match (meant.next(), meant.next()) {
            (Some(one), None) => Ok(one.clone()),
            (Some(_), Some(_)) => Err(Fault::AmbiguousSite(text.to_owned()).into()),
            (None, _) => Err(Fault::UnknownSite(text.to_owned()).into()),
        }
    }

    /// A way to another site, which has to show its key in force.
    pub(crate) fn client(&self, site: &SiteId) -> Result<peer::Client> {
        let record = self.peering(site)?.record();
        Ok(peer::Client::new(&self.identity()?, &record.url, Some(record.tls_key))?)
    }

    /// Is a site that is known told, in an emergency, what a study is called here by its UID?
    pub(crate) fn tells_by_uid(&self) -> bool {
        self.settings.glass_by_uid
    }

    /// Is anything fetched before anybody asks for it?
    pub(crate) fn prefetches_any(&self) -> bool {
        !self.settings.prefetch.is_empty()
    }

    /// Are studies of this site fetched as soon as it grants them?
    pub(crate) fn prefetches(&self, owner: &SiteId) -> bool {
        self.settings.prefetch.iter().any(|named| {
            named == "*" || self.find_peer(named).is_ok_and(|peer| peer.site == *owner)
        })
    }

    /// Comes back when more is known of some log, or after a while.
    pub(crate) async fn something_new(&self) {
        tokio::select! {
            () = self.grown.notified() => {}
            () = tokio::time::sleep(self.settings.sync) => {}
        }
    }

    /// How URLs begin at which chunks of others may be read straight from their buckets.
    pub(crate) fn buckets(&self) -> &[Url] {
        &self.settings.buckets
    }

    /// Cosigns a checkpoint of a peer's log, if it continues what was cosigned before.
    pub(crate) fn cosign(
        &self,
        request: &CosignRequest,
    ) -> std::result::Result<NoteSignature, Refusal> {
        let origin = &request.checkpoint.checkpoint().origin;
        let unsigned = || Refusal::Unsigned(cairn_ledger::Error::Signature("a checkpoint"));
        let peers = self.peerings();
        let peering = peers.iter().find(|peering| peering.record().name == *origin);
        let peering = peering.ok_or_else(unsigned)?;
        let keys = peering.record().logs().map_err(Refusal::Internal)?;
        let is_final = |view: &View| view.finding.as_ref().is_some_and(Finding::is_final);
        if read(&self.views).get(&peering.site).is_some_and(is_final) {
            return Err(Refusal::Inconsistent { known: None });
        }
        let cosigned = self.keys().witness.cosign(request, &keys, now());
        if let Err(Refusal::Inconsistent { .. }) = &cosigned {
            // The mirror can show what the witness only saw.
            peering.hear(request.checkpoint.clone());
            peering.soon.notify_one();
        }
        cosigned
    }

    /// The last checkpoint that was followed of another's log.
    pub(crate) fn seen_of(&self, site: &SiteId) -> Option<SignedCheckpoint> {
        read(&self.views).get(site)?.head.clone()
    }

    /// Another site says that its log has grown.
    pub(crate) fn nudge(&self, site: &SiteId) {
        if let Ok(peering) = self.peering(site) {
            peering.soon.notify_one();
        }
    }

    /// Something happened here that the ledger should know of.
    pub(crate) fn look_now(&self) {
        self.news.notify_one();
    }

    /// Adds an entry to the own log, and sees to it that others hear of it.
    pub(crate) fn append(&self, body: Body) -> Result<Logged> {
        self.check_trouble()?;
        let logged = self.log.append(body)?;
        self.grew();
        Ok(logged)
    }

    /// The own log has grown.
    pub(super) fn grew(&self) {
        for peering in self.peerings() {
            peering.soon.notify_one();
        }
    }

    /// May entries be added?
    pub(super) fn check_trouble(&self) -> Result<()> {
        match self.trouble() {
            Some(why) => {
                let file = self.folder.behind().display().to_string();
                Err(Fault::OwnLog { why, file }.into())
            }
            None => Ok(()),
        }
    }

    /// Why nothing may be added to the own log.
    pub(crate) fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    /// Others have seen another history of the own log: nothing is added from now on.
    pub(super) fn stop_own_log(&self, why: String) -> Error {
        let mut trouble = lock(&self.trouble);
        if trouble.is_none() {
            tracing::error!(
                why,
                "this site's own ledger is not what others have seen: nothing is added to it"
            );
            if let Err(error) = replace(&self.folder.behind(), why.as_bytes()) {
                tracing::error!(%error, "and that cannot be written down");
            }
            *trouble = Some(why.clone());
        }
        let file = self.folder.behind().display().to_string();
        Fault::OwnLog { why, file }.into()
    }

    /// Who vouches for logs: k of the peers and this site.
    pub(super) fn quorum(&self) -> Result<Quorum> {
        let records: Vec<_> = self.peerings().iter().map(|peering| peering.record()).collect();
        self.quorum_of(records.iter())
    }

    fn quorum_of<'a>(&self, records: impl Iterator<Item = &'a Record>) -> Result<Quorum> {
        let own = VerifierKey::of_witness(&self.name, self.keys().secret.public().witness)?;
        let mut keys = vec![own];
        for record in records {
            keys.push(record.witness()?);
        }
        Ok(Quorum::among(self.settings.witnesses, keys))
    }

    /// Where what came of a study is kept until all of it is here.
    pub(crate) fn stage(&self, study: &StudyId, version: u64) -> std::path::PathBuf {
        self.folder.stage(study, version)
    }

    /// A version of a study that this site has registered.
    pub(crate) fn edition(
        &self,
        catalog: &dyn Catalog,
        study: &StudyId,
        version: u64,
    ) -> Result<Option<Edition>> {
        let known = catalog.editions().edition(&study.0, version)?;
        let entries = self.log.head().checkpoint().size;
        Ok(known.filter(|edition| edition.sequence.is_some_and(|sequence| sequence < entries)))
    }
}
