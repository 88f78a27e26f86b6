//! Keeping in touch with the others, as long as the server runs.
//!
//! Each peer has a task of its own, so that one that is slow or dead delays nobody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cairn_ledger::id::SiteId;
use cairn_ledger::order::Order;
use futures::future::join_all;
use tokio::task::JoinHandle;

use super::lock;
use super::peering::Peering;
use super::round::{nudge, round, round_for, until_followed};
use super::site::Site;
use super::told::Synced;
use crate::error::Result;
use crate::metrics::Metrics;

/// Rounds with one peer are at least so far apart, whoever asks for them.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the figures are brought up to date, and the list of peers.
const TICK: Duration = Duration::from_secs(5);
/// How long a command waits for the other side to follow.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(5);

/// Runs until it is dropped.
pub(crate) async fn run(site: Arc<Site>, metrics: Arc<Metrics>) {
    let mut tasks = Tasks::default();
    loop {
        tasks.reconcile(&site);
        metrics.sharing.show(&site.figures());
        tokio::select! {
            () = site.peers_changed.notified() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// One for each peer; they end with this.
#[derive(Default)]
struct Tasks(BTreeMap<SiteId, JoinHandle<()>>);

impl Tasks {
    fn reconcile(&mut self, site: &Arc<Site>) {
        let peerings = site.peerings();
        self.0.retain(|known, task| {
            let stays = peerings.iter().any(|peering| peering.site == *known);
            if !stays {
                task.abort();
            }
            stays
        });
        for peering in peerings {
            let begin = || tokio::spawn(keep_in_touch(Arc::clone(site), Arc::clone(&peering)));
            self.0.entry(peering.site).or_insert_with(begin);
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.values().for_each(JoinHandle::abort);
    }
}

async fn keep_in_touch(site: Arc<Site>, peering: Arc<Peering>) {
    loop {
        let published = site.published_size();
        // What failed is on record, and said.
        let _ = round(&site, &peering).await;
        if site.published_size() > published {
            tokio::spawn(nudge_all(Arc::clone(&site)));
        }
        tokio::time::sleep(PAUSE).await;
        tokio::select! {
            () = peering.soon.notified() => {}
            () = tokio::time::sleep(site.settings.sync) => {}
        }
    }
}

/// Tells all that are in touch of what was published.
async fn nudge_all(site: Arc<Site>) {
    let peers = site.peerings();
    let in_touch = peers.iter().filter(|peering| lock(&peering.progress).failure.is_none());
    join_all(in_touch.map(|peering| async {
        if let Ok(client) = site.client(&peering.site) {
            let _ = nudge(&site, peering, &client).await;
        }
    }))
    .await;
}

impl Site {
    /// One round with one peer.
    pub(crate) async fn sync_peer(self: &Arc<Self>, peer: &SiteId) -> Result<Synced> {
        let peering = self.peering(peer)?;
        let done = round(self, &peering).await;
        nudge_all(Arc::clone(self)).await;
        Ok(Synced::of(self, &peering, done.map(|_| ())))
    }

    /// One round with each peer, all at once.
    pub(crate) async fn sync_all(self: &Arc<Self>) -> Vec<Synced> {
        let peers = self.peerings();
        let rounds = peers.iter().map(|peering| async {
            let done = round(self, peering).await;
            Synced::of(self, peering, done.map(|_| ()))
        });
        let done = join_all(rounds).await;
        nudge_all(Arc::clone(self)).await;
        done
    }

    /// Sees to it that the own log as it is now gets to the others: how many have cosigned it, and does
    /// `reader` follow it?
    pub(crate) async fn spread(self: &Arc<Self>, reader: Option<&SiteId>) -> (usize, bool) {
        let size = self.log.head().checkpoint().size;
        let peers = self.peerings();
        join_all(peers.iter().map(|peering| round_for(self, peering, size))).await;
        nudge_all(Arc::clone(self)).await;
        let Some(reader) = reader.and_then(|reader| self.peering(reader).ok()) else {
            return (self.cosigners_of(size), false);
        };
        let followed = self.followed_by(&reader, size).await;
        (self.cosigners_of(size), followed)
    }

    /// Waits a little until a peer follows so many entries of the own log; one that is not in touch is
    /// not waited for.
    async fn followed_by(&self, peering: &Peering, size: u64) -> bool {
        if lock(&peering.progress).cosigned < size {
            return false;
        }
        let followed = until_followed(self, peering, size);
        matches!(tokio::time::timeout(DELIVERY_PATIENCE, followed).await, Ok(Ok(())))
    }

    /// The same for all peers at once.
    pub(super) async fn followed_by_all(&self) {
        let size = self.log.head().checkpoint().size;
        let peers = self.peerings();
        join_all(peers.iter().map(|peering| self.followed_by(peering, size))).await;
    }
}
