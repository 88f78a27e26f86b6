//! What commands and figures tell of the site and its peers.

use cairn_ledger::id::SiteId;
use cairn_ledger::note::VerifierKey;
use cairn_ledger::order::Order;
use serde::{Deserialize, Serialize};

use super::peering::Peering;
use super::site::Site;
use super::view::View;
use super::{Fingerprint, GlassFigures, lock};
use crate::clock::now;
use crate::error::Result;

/// A peer in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PeerLine {
    /// Its id.
    pub(crate) site: String,
    /// The origin of its log.
    pub(crate) name: String,
    /// Where it is reached.
    pub(crate) url: String,
    /// What its people read out.
    pub(crate) fingerprint: String,
    /// Entries of its log that are followed here.
    pub(crate) entries: u64,
    /// Since when that is known to be the latest; `null`: it is not.
    pub(crate) fresh_seconds: Option<u64>,
    /// Is that lately enough for its grants to be used?
    pub(crate) is_fresh: bool,
    /// What its log was caught at.
    pub(crate) finding: Option<String>,
    /// Entries of this site's log that it has cosigned, since the process began.
    pub(crate) cosigned: u64,
    /// When it was last in touch, in seconds since the epoch, since the process began.
    pub(crate) reached: Option<u64>,
    /// Why it is not.
    pub(crate) failure: Option<String>,
}

/// How this site's ledger stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Its id.
    pub(crate) site: String,
    /// The origin of its log.
    pub(crate) name: String,
    /// Where others reach it, as the settings say.
    pub(crate) url: Option<String>,
    /// What its people read out.
    pub(crate) fingerprint: String,
    /// Entries.
    pub(crate) entries: u64,
    /// Entries under the checkpoint that others follow.
    pub(crate) published: u64,
    /// Sites that have cosigned that checkpoint.
    pub(crate) cosigned: usize,
    /// Cosignatures that are asked for.
    pub(crate) needed: usize,
    /// Root over all entries, in hexadecimal digits.
    pub(crate) root: String,
    /// The key that signs its checkpoints, as C2SP writes it.
    pub(crate) log_key: String,
    /// The key that cosigns those of others, likewise.
    pub(crate) witness_key: String,
    /// The key that signs its entries, in hexadecimal digits.
    pub(crate) signer_key: String,
    /// Peers.
    pub(crate) peers: usize,
    /// Peers whose logs were caught at something.
    pub(crate) findings: usize,
    /// Why nothing may be added.
    pub(crate) trouble: Option<String>,
}

/// What a round came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Synced {
    /// With whom.
    pub(crate) site: String,
    /// Its name.
    pub(crate) name: String,
    /// Entries of its log that are followed here.
    pub(crate) entries: u64,
    /// Why it did not go well.
    pub(crate) failure: Option<String>,
}

impl Synced {
    pub(super) fn of(site: &Site, peering: &Peering, done: Result<()>) -> Self {
        let entries = site.with_view(&peering.site, |view| view.state.next());
        Self {
            site: peering.site.to_string(),
            name: peering.record().name,
            entries: entries.unwrap_or(0),
            failure: done.err().map(|error| error.to_string()),
        }
    }
}

/// What is measured of a peer.
pub(crate) struct PeerFigures {
    pub(crate) name: String,
    pub(crate) entries: u64,
    pub(crate) fresh_seconds: Option<u64>,
    pub(crate) is_suspended: bool,
    pub(crate) failures: u64,
}

/// What is measured.
pub(crate) struct Figures {
    pub(crate) entries: u64,
    pub(crate) published: u64,
    pub(crate) is_stopped: bool,
    pub(crate) peers: Vec<PeerFigures>,
    pub(crate) glass: GlassFigures,
}

impl Site {
    /// The peers, by name.
    pub(crate) fn peer_lines(&self) -> Vec<PeerLine> {
        let mut lines: Vec<_> =
            self.peerings().iter().map(|peering| self.peer_line(peering)).collect();
        lines.sort_by(|a, b| (&a.name, &a.site).cmp(&(&b.name, &b.site)));
        lines
    }

    fn peer_line(&self, peering: &Peering) -> PeerLine {
        let (record, at) = (peering.record(), now());
        let progress = lock(&peering.progress).clone();
        let known = self.with_view(&peering.site, |view| {
            (view.state.next(), view.fresh_at, view.finding.as_ref().map(ToString::to_string))
        });
        let (entries, fresh_at, finding) = known.unwrap_or_default();
        let fresh_seconds = fresh_at.map(|fresh_at| at.saturating_sub(fresh_at));
        // A mirror that is being followed can be read: it was when it was opened.
        let unreadable = peering.mirror.try_lock().ok().and_then(|mirror| {
            mirror.as_ref().err().map(|why| format!("its mirror cannot be used: {why}"))
        });
        PeerLine {
            site: peering.site.to_string(),
            fingerprint: Fingerprint::of(&peering.site, &record.tls_key).to_string(),
            name: record.name,
            url: record.url,
            entries,
            fresh_seconds,
            is_fresh: fresh_seconds.is_some_and(|age| age <= self.settings.stale_seconds),
            finding,
            cosigned: progress.cosigned,
            reached: progress.reached,
            failure: unreadable.or(progress.failure),
        }
    }

    /// How this site's ledger stands.
    pub(crate) fn status(&self) -> Result<Status> {
        let (head, published) = (self.log.head(), self.published()?);
        let keys = self.keys().secret.public();
        let peers = self.peerings();
        let is_caught = |site: &SiteId| {
            self.with_view(site, |view: &View| view.finding.is_some()).unwrap_or(false)
        };
        Ok(Status {
            site: self.id().to_string(),
            name: self.name(),
            url: self.settings.url.clone(),
            fingerprint: self.fingerprint().to_string(),
            entries: head.checkpoint().size,
            published: published.checkpoint().size,
            cosigned: self.cosigners(&published).len(),
            needed: self.settings.witnesses,
            root: super::record::digits(&head.checkpoint().root),
            log_key: VerifierKey::of_log(&self.name(), keys.log)?.to_string(),
            witness_key: VerifierKey::of_witness(&self.name(), keys.witness)?.to_string(),
            signer_key: super::record::digits(&keys.sign),
            findings: peers.iter().filter(|peering| is_caught(&peering.site)).count(),
            peers: peers.len(),
            trouble: self.trouble(),
        })
    }

    /// What is measured.
    pub(crate) fn figures(&self) -> Figures {
        let of = |peering: &Peering| {
            let line = self.peer_line(peering);
            PeerFigures {
                name: line.name,
                entries: line.entries,
                fresh_seconds: line.fresh_seconds,
                is_suspended: line.finding.is_some(),
                failures: lock(&peering.progress).failures,
            }
        };
        Figures {
            entries: self.log.head().checkpoint().size,
            published: self.published_size(),
            is_stopped: self.trouble().is_some(),
            peers: self.peerings().iter().map(|peering| of(peering)).collect(),
            glass: self.glass_figures(),
        }
    }
}
