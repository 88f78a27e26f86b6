//! Breaking the glass: a study is opened in an emergency without a grant, and its owner reviews that.

use std::sync::Arc;

use cairn_ledger::entry::{Body, BreakGlass, Review};
use cairn_ledger::federation::PendingReview;
use cairn_ledger::id::{Link, SiteId, StudyId};
use cairn_store::catalog::Catalog;
use serde::{Deserialize, Serialize};

use super::site::Site;
use super::{Fault, now, words};
use crate::error::Result;

/// What is to be opened, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Break {
    /// The study's name on the ledger.
    pub(crate) study: String,
    /// Whose it is: name, or the beginning of the id.
    pub(crate) from: String,
    /// One of [`super::GLASS_REASONS`].
    pub(crate) reason: String,
    /// For how long.
    pub(crate) seconds: u64,
}

/// An emergency access to this site's studies that is to be reviewed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Broken {
    /// Who opened it.
    pub(crate) site: String,
    /// Its name.
    pub(crate) site_name: String,
    /// The entry in its log.
    pub(crate) entry: u64,
    /// The study's name on the ledger.
    pub(crate) study: String,
    /// Its Study Instance UID, if there is an archive to tell it.
    pub(crate) study_uid: Option<String>,
    /// Why, as it says.
    pub(crate) reason: String,
    /// When, in seconds since the epoch.
    pub(crate) opened: u64,
    /// Until when.
    pub(crate) expires: u64,
}

/// What the glass was broken for.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) owner: SiteId,
    pub(crate) study: StudyId,
    /// The newest version on the owner's log.
    pub(crate) version: u64,
    /// The entry.
    pub(crate) right: Link,
}

impl Site {
    /// Says on this site's ledger that it opens another's study. Counts at once; the owner is told of it.
    pub(crate) fn break_glass(&self, request: &Break) -> Result<Opened> {
        let reason = words::glass_reason(&request.reason)?;
        let peer = self.find_peer(&request.from)?;
        let unknown = || Fault::NoGrant(format!("{} has no study of that name", peer.name));
        let study = StudyId::from_hex(&request.study).ok_or_else(unknown)?;
        let known = self.with_view(&peer.site, |view| view.state.study(&study).copied()).flatten();
        let version = known.ok_or_else(unknown)?.version;
        let expires = now().saturating_add(request.seconds);
        let body = BreakGlass { owner: peer.site, study, expires, reason };
        let logged = self.append(Body::BreakGlass(body))?;
        Ok(Opened { owner: peer.site, study, version, right: logged.link })
    }

    fn pending_reviews(&self) -> Vec<PendingReview> {
        #[allow(clippy::redundant_closure_for_method_calls)]
        // the method alone has one lifetime only
        self.with_federation(|federation| federation.pending_reviews())
    }

    /// Emergency accesses to this site's studies that nobody has reviewed.
    pub(crate) fn broken(&self, catalog: Option<&dyn Catalog>) -> Result<Vec<Broken>> {
        let names: Vec<_> = self.peers();
        let pending = self.pending_reviews();
        let told = pending.into_iter().map(|pending| {
            let site = pending.entry.site;
            let named = names.iter().find(|peer| peer.site == site);
            let study_uid = match catalog {
                Some(catalog) => {
                    let editions = catalog.editions().editions(None)?;
                    let of = editions.into_iter().find(|it| it.study == pending.record.study.0);
                    of.map(|edition| edition.study_uid)
                }
                None => None,
            };
            Ok(Broken {
                site: site.to_string(),
                site_name: named.map_or_else(|| site.to_string(), |peer| peer.name.clone()),
                entry: pending.entry.sequence,
                study: pending.record.study.to_string(),
                study_uid,
                reason: words::glass_word(pending.record.reason).to_owned(),
                opened: pending.record.opened,
                expires: pending.record.expires,
            })
        });
        told.collect()
    }

    /// Says on this site's ledger what a person found of an emergency access. Not justified, it ends.
    pub(crate) fn review(&self, site: &str, entry: u64, verdict: &str) -> Result<u64> {
        let verdict = words::review_verdict(verdict)?;
        let peer = self.find_peer(site)?;
        let pending = self.pending_reviews();
        let meant =
            pending.into_iter().find(|it| it.entry.site == peer.site && it.entry.sequence == entry);
        let none = || Fault::NoGrant(format!("nothing of {} waits under {entry}", peer.name));
        let break_glass = meant.ok_or_else(none)?.entry;
        let logged = self.append(Body::Review(Review { break_glass, verdict }))?;
        Ok(logged.link.sequence)
    }

    /// Tells whoever looks after this site of emergency accesses that have just become known.
    pub(super) fn tell_of_broken_glass(self: &Arc<Self>, before: usize) {
        let pending = self.with_federation(|federation| federation.pending_reviews().len());
        if pending > before {
            tracing::error!(
                waiting = pending,
                "GLASS WAS BROKEN: another site opened a study of this one in an emergency; \
                 `cairn glass` lists it, and it has to be reviewed"
            );
        }
    }
}
