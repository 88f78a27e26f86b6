//! One round with one other site: have the own head cosigned, follow its log, hear what it saw of
//! others, tell it that there is something new.
//!
//! Each step is tried whatever became of the one before, and each request has its time. The mirror is
//! held while its log is followed; questions are answered from views meanwhile.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_ledger::checkpoint::SignedCheckpoint;
use cairn_ledger::id::SiteId;
use cairn_ledger::mirror::Update;
use cairn_ledger::note::VerifierKey;
use cairn_ledger::order::Order;
use cairn_ledger::witness::CosignRequest;
use tokio::runtime::Handle;

use super::peering::Peering;
use super::site::Site;
use super::view::View;
use super::{Fault, lock, write};
use crate::clock::now;
use crate::error::{Error, Result};
use crate::peer::{self, Client, Cosigned};

/// How long another site may take for a small answer.
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// And for a run of entries.
const ENTRIES_PATIENCE: Duration = Duration::from_secs(60);
/// How long a log may be followed in one round. A first round may have a million entries to fetch; one
/// that takes longer begins anew.
const FOLLOW_PATIENCE: Duration = Duration::from_secs(1800);
/// Entries that are asked for at once: at most 32 MiB.
const ENTRIES_ONCE: u64 = 4096;
/// How often another size is tried with a witness that remembers another one.
const CONFLICTS_MAX: usize = 3;

/// How often it is asked whether a site follows by now.
const FOLLOWED_PAUSE: Duration = Duration::from_millis(100);

/// Waits for an answer, but not for long.
pub(super) async fn ask<T>(
    name: &str,
    patience: Duration,
    answer: impl Future<Output = std::result::Result<T, peer::Error>>,
) -> Result<T> {
    match tokio::time::timeout(patience, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Fault::Late(name.to_owned()).into()),
    }
}

/// Runs what blocks on the disk where it may.
pub(super) async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(job).await;
    done.unwrap_or_else(|_| Err(Fault::Control("a job panicked".into()).into()))
}

/// A whole round. The first thing that failed is what is told of it.
pub(super) async fn round(site: &Arc<Site>, peering: &Arc<Peering>) -> Result<Update> {
    let _turn = peering.turn.lock().await;
    take_turn(site, peering).await
}

/// A round, unless the peer has cosigned so many own entries meanwhile.
pub(super) async fn round_for(site: &Arc<Site>, peering: &Arc<Peering>, size: u64) -> Result<()> {
    let _turn = peering.turn.lock().await;
    if lock(&peering.progress).cosigned >= size {
        return Ok(());
    }
    take_turn(site, peering).await.map(|_| ())
}

async fn take_turn(site: &Arc<Site>, peering: &Arc<Peering>) -> Result<Update> {
    let done = steps(site, peering).await;
    let mut progress = lock(&peering.progress);
    match &done {
        Ok(_) => {
            progress.reached = Some(now());
            if progress.failure.take().is_some() {
                tracing::info!(peer = peering.record().name, "a site is in touch again");
            }
        }
        Err(error) => {
            progress.failures += 1;
            let why = error.to_string();
            if progress.failure.as_ref() != Some(&why) {
                tracing::warn!(peer = peering.record().name, why, "a site is not in touch");
            }
            progress.failure = Some(why);
        }
    }
    done
}

async fn steps(site: &Arc<Site>, peering: &Arc<Peering>) -> Result<Update> {
    let mut client = site.client(&peering.site)?;
    let mut submitted = submit(site, peering, &client).await;
    if matches!(submitted, Err(Error::Peer(peer::Error::OtherKey { .. }))) {
        // It may have replaced its keys while this site could not follow.
        super::introduce::learn_keys(site, peering).await?;
        client = site.client(&peering.site)?;
        submitted = submit(site, peering, &client).await;
    }
    if let Err(Error::Peer(peer::Error::Unreachable { .. } | peer::Error::OtherKey { .. })) =
        submitted
    {
        return Err(submitted.err().unwrap_or(Fault::UnknownSite(peering.site.to_string()).into()));
    }
    let followed = follow(site, peering, &client).await;
    let gossiped = gossip(site, peering, &client).await;
    let nudged = nudge(site, peering, &client).await;
    submitted?;
    let update = followed?;
    gossiped.and(nudged)?;
    Ok(update)
}

/// Has the own head cosigned.
async fn submit(site: &Arc<Site>, peering: &Arc<Peering>, client: &Client) -> Result<()> {
    let name = peering.record().name;
    let mut old = lock(&peering.progress).cosigned;
    for _ in 0..CONFLICTS_MAX {
        let own = Arc::clone(site);
        let request = blocking(move || own.cosign_request(old)).await?;
        let size = request.checkpoint.checkpoint().size;
        match ask(&name, ANSWER_PATIENCE, client.cosign(&request)).await? {
            Cosigned::Signed(signature) => {
                lock(&peering.progress).cosigned = size;
                let (own, from) = (Arc::clone(site), Arc::clone(peering));
                return blocking(move || own.collect(&from, request.checkpoint, signature)).await;
            }
            // Whoever is lying or mistaken says so as well: what is shown below counts, not this.
            Cosigned::Conflict { size: seen } if seen > size => {
                let url = peering.record().url;
                let why =
                    format!("it says that it has cosigned {seen} entries, and here are {size}");
                return Err(peer::Error::Wrong { url, why }.into());
            }
            Cosigned::Conflict { size } => old = size,
            Cosigned::Refused { status, why } => {
                let url = peering.record().url;
                return Err(peer::Error::Refused { url, status, why }.into());
            }
        }
    }
    Err(Fault::Late(name).into())
}

/// Follows its log.
async fn follow(site: &Arc<Site>, peering: &Arc<Peering>, client: &Client) -> Result<Update> {
    let name = peering.record().name;
    let shown = ask(&name, ANSWER_PATIENCE, client.checkpoint()).await?;
    let (site, peering) = (Arc::clone(site), Arc::clone(peering));
    let source = Source {
        client: client.clone(),
        url: peering.record().url,
        name,
        runtime: Handle::current(),
        until: Instant::now() + FOLLOW_PATIENCE,
    };
    blocking(move || site.follow(&peering, &shown, &source)).await
}

/// Where entries come from while a mirror is held.
struct Source {
    client: Client,
    url: String,
    name: String,
    runtime: Handle,
    until: Instant,
}

impl Source {
    /// Entries of a range, piece by piece; fewer if the site says that it has no more.
    fn fetch(&self, range: Range<u64>) -> cairn_ledger::Result<Vec<Vec<u8>>> {
        let mut entries = Vec::new();
        while (entries.len() as u64) < range.end - range.start {
            if Instant::now() >= self.until {
                return Err(self.broken("it takes too long".into()));
            }
            let at = range.start + entries.len() as u64;
            let piece = at..range.end.min(at + ENTRIES_ONCE);
            let most = piece.end - piece.start;
            let asked = ask(&self.name, ENTRIES_PATIENCE, self.client.entries(piece));
            let mut got =
                self.runtime.block_on(asked).map_err(|error| self.broken(error.to_string()))?;
            if got.is_empty() {
                break;
            }
            got.truncate(most as usize);
            entries.append(&mut got);
        }
        Ok(entries)
    }

    /// A broken connection is no finding.
    fn broken(&self, why: String) -> cairn_ledger::Error {
        let (path, source) = (self.url.clone().into(), std::io::Error::other(why));
        cairn_ledger::Error::Io { action: "fetch entries from", path, source }
    }
}

impl Site {
    fn cosign_request(&self, old: u64) -> Result<CosignRequest> {
        let head = self.log.head();
        let size = head.checkpoint().size;
        let old_size = old.min(size);
        let proof = self.log.consistency(old_size, size)?.path;
        Ok(CosignRequest { old_size, proof, checkpoint: head })
    }

    fn follow(
        self: &Arc<Self>,
        peering: &Peering,
        shown: &SignedCheckpoint,
        from: &Source,
    ) -> Result<Update> {
        let quorum = self.quorum()?;
        let mut held = lock(&peering.mirror);
        let name = peering.record().name;
        let mirror = match &mut *held {
            Ok(mirror) => mirror,
            Err(why) => return Err(Fault::Mirror { name, why: why.clone() }.into()),
        };
        mirror.set_quorum(quorum);
        for heard in peering.take_heard() {
            // What the log did not sign says nothing of it; a finding is seen below.
            let _ = mirror.heard_of(&heard, now());
        }
        let pending = || self.with_federation(|federation| federation.pending_reviews().len());
        let before = pending();
        let known = mirror.state().next();
        let updated = mirror.update(shown, &mut |range| from.fetch(range), now());
        self.refresh(peering, mirror)?;
        if mirror.state().next() > known {
            self.news.notify_one();
            self.grown.notify_one();
        }
        self.tell_of_broken_glass(before);
        Ok(updated?)
    }

    /// Brings what is known of a site up to its mirror.
    fn refresh(&self, peering: &Peering, mirror: &cairn_ledger::mirror::Mirror) -> Result<()> {
        let record = peering.record();
        {
            let mut views = write(&self.views);
            // Whoever was removed meanwhile stays removed.
            let Some(view) = views.get_mut(&peering.site) else { return Ok(()) };
            let before = view.finding.take();
            view.follow(mirror);
            match (&before, &view.finding) {
                (None, Some(finding)) => {
                    tracing::error!(peer = record.name, %finding, "A LEDGER WAS CAUGHT: it is not used");
                }
                (Some(_), None) => {
                    tracing::info!(
                        peer = record.name,
                        "what was found against a ledger is refuted"
                    );
                }
                _ => {}
            }
        }
        if let Some(new) = record.with_keys(mirror.state().key_history()) {
            new.save(&self.folder, &peering.site)?;
            peering.set_record(new);
            tracing::info!(peer = record.name, "a site has replaced its keys");
        }
        Ok(())
    }

    /// Looks at what others showed of a site's log, if nobody else does.
    fn look_at_heard(&self, peering: &Peering) -> Result<()> {
        let Ok(mut held) = peering.mirror.try_lock() else { return Ok(()) };
        let Ok(mirror) = &mut *held else { return Ok(()) };
        for heard in peering.take_heard() {
            let _ = mirror.heard_of(&heard, now());
        }
        self.refresh(peering, mirror)
    }

    /// Somebody shows a checkpoint of this site's own log: is it one?
    fn compare_own(&self, name: &str, shown: &SignedCheckpoint) -> Result<()> {
        let keys = self.with_state(|state| {
            let logs = state.key_history().iter().map(|keys| keys.log);
            logs.map(|key| VerifierKey::of_log(&self.name(), key)).collect::<Vec<_>>()
        });
        let signed = keys.iter().flatten().any(|key| shown.verify(key).is_ok());
        let (seen, reader) = (shown.checkpoint(), self.log.reader());
        if !signed {
            return Ok(()); // anybody could write that
        }
        if seen.size > reader.size() {
            let why =
                format!("{name} has {} entries of it, and here are {}", seen.size, reader.size());
            return Err(self.stop_own_log(why));
        }
        if reader.root_at(seen.size)? != seen.root {
            let why = format!("{name} has other entries of it, under {} of them", seen.size);
            return Err(self.stop_own_log(why));
        }
        Ok(())
    }
}

/// Hears what it saw of others' logs, this site's own included.
async fn gossip(site: &Arc<Site>, peering: &Arc<Peering>, client: &Client) -> Result<()> {
    let name = peering.record().name;
    if let Some(shown) = ask(&name, ANSWER_PATIENCE, client.seen_of(&site.id())).await? {
        let own = Arc::clone(site);
        let name = name.clone();
        blocking(move || own.compare_own(&name, &shown)).await?;
    }
    for other in site.peerings().into_iter().filter(|other| other.site != peering.site) {
        if let Some(shown) = ask(&name, ANSWER_PATIENCE, client.seen_of(&other.site)).await? {
            let own = Arc::clone(site);
            other.hear(shown);
            blocking(move || own.look_at_heard(&other)).await?;
        }
    }
    Ok(())
}

/// Tells it that there is more than it was told of.
pub(super) async fn nudge(site: &Arc<Site>, peering: &Peering, client: &Client) -> Result<()> {
    let size = site.published_size();
    {
        let mut progress = lock(&peering.progress);
        if progress.nudged >= size {
            return Ok(());
        }
        // At its next turn it looks in any case.
        progress.nudged = size;
    }
    ask(&peering.record().name, ANSWER_PATIENCE, client.nudge()).await
}

/// Waits until a site follows so many entries of this one's log.
pub(super) async fn until_followed(site: &Site, peering: &Peering, size: u64) -> Result<()> {
    let (client, own, name) = (site.client(&peering.site)?, site.id(), peering.record().name);
    loop {
        let seen = ask(&name, ANSWER_PATIENCE, client.seen_of(&own)).await?;
        if seen.is_some_and(|seen| seen.checkpoint().size >= size) {
            return Ok(());
        }
        tokio::time::sleep(FOLLOWED_PAUSE).await;
    }
}

impl Site {
    /// The view of a site, for whoever needs more than a question answers.
    pub(super) fn with_view<T>(&self, site: &SiteId, job: impl FnOnce(&View) -> T) -> Option<T> {
        super::read(&self.views).get(site).map(job)
    }
}
