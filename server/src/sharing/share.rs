//! Granting a study to another site.

use std::sync::Arc;

use cairn_ledger::entry::{Body, Conditions, Grant, Purpose};
use cairn_ledger::id::{ConsentId, SiteId, StudyId};
use cairn_ledger::opening::SealedFor;
use cairn_store::Store;
use cairn_store::catalog::editions::Edition;
use serde::{Deserialize, Serialize};

use super::control::record;
use super::editions::opening_of;
use super::round::blocking;
use super::site::{Peer, Site};
use super::{Fault, words};
use crate::clock::now;
use crate::error::Result;
use crate::http::App;

/// Seconds in a day.
const DAY: u64 = 86_400;

/// What is to be shared with whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Share {
    /// Study Instance UID.
    pub(crate) study_uid: String,
    /// A site's name, or the beginning of its id.
    pub(crate) to: String,
    /// HL7 v3 code.
    pub(crate) purpose: String,
    /// For how long.
    pub(crate) seconds: u64,
    /// The grantee has to log an acceptance before it may read.
    pub(crate) accept_first: bool,
    /// The grantee must not keep a copy once the grant has ended.
    pub(crate) no_retention: bool,
    /// Bytes may come straight from the bucket.
    pub(crate) from_bucket: bool,
}

/// What was shared.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Shared {
    /// Sequence of the grant in this site's log.
    pub(crate) grant: u64,
    /// Study Instance UID.
    pub(crate) study_uid: String,
    /// The study's name on the ledger.
    pub(crate) study: String,
    /// Its version there.
    pub(crate) version: u64,
    /// Names the content of that version.
    pub(crate) root: String,
    /// Was this version registered just now?
    pub(crate) is_new_version: bool,
    /// Instances.
    pub(crate) instances: u64,
    /// Length of their data sets.
    pub(crate) bytes: u64,
    /// The grantee.
    pub(crate) to: String,
    /// Its name.
    pub(crate) to_name: String,
    /// HL7 v3 code.
    pub(crate) purpose: String,
    /// In seconds since the epoch.
    pub(crate) not_before: u64,
    /// In seconds since the epoch.
    pub(crate) expires: u64,
    /// Sites that have cosigned it.
    pub(crate) cosigned: usize,
    /// Sites that were asked.
    pub(crate) witnesses: usize,
    /// Does the grantee know of it already?
    pub(crate) is_delivered: bool,
}

/// Grants a study because a rule says so, and tells the others: once for each version, and not again
/// where somebody has taken it back. `None`: there was nothing to do.
pub(crate) async fn refer(
    app: &Arc<App>,
    site: &Arc<Site>,
    share: Share,
) -> Result<Option<Shared>> {
    let (own, here) = (Arc::clone(site), Arc::clone(app));
    let granted = blocking(move || {
        record(&here, &share.study_uid)?;
        let to = own.find_peer(&share.to)?.site;
        let (edition, _) = own.register(&here.store, &share.study_uid)?;
        if own.has_decided(&edition, &to) {
            return Ok(None);
        }
        own.grant(&here.store, &share).map(Some)
    });
    match granted.await? {
        Some((shared, to)) => Ok(Some(site.deliver(shared, &to).await)),
        None => Ok(None),
    }
}

/// What a grant says beside what of and to whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) purpose: Purpose,
    /// In seconds since the epoch.
    pub(super) not_before: u64,
    /// In seconds since the epoch.
    pub(super) expires: u64,
    pub(super) conditions: Conditions,
    /// What the patient signed, if it is given because of that.
    pub(super) consent: Option<ConsentId>,
}

impl Site {
    /// Grants a study as it is now, without telling anybody yet. Blocks on the disk.
    pub(super) fn grant(&self, store: &Store, share: &Share) -> Result<(Shared, SiteId)> {
        let purpose: Purpose = words::purpose(&share.purpose)?;
        // Who cannot be granted anything has nothing registered for.
        self.reader_to_seal_for(&share.to)?;
        let (edition, is_new_version) = self.register(store, &share.study_uid)?;
        let not_before = now();
        let conditions = Conditions {
            accept_first: share.accept_first,
            from_bucket: share.from_bucket,
            no_retention: share.no_retention,
        };
        let expires = not_before.saturating_add(share.seconds);
        let terms = Terms { purpose, not_before, expires, conditions, consent: None };
        self.grant_edition(edition, is_new_version, &share.to, terms)
    }

    /// Was this version granted to that site before, whatever became of it, or did a person end an earlier
    /// grant of the study to it? A rule has no say in either.
    fn has_decided(&self, edition: &Edition, to: &SiteId) -> bool {
        let study = StudyId(edition.study);
        self.with_state(|state| {
            let mut grants = state.grants_of(study).filter(|(_, grant)| grant.grantee == *to);
            grants.any(|(_, grant)| grant.version == edition.version || grant.revoked.is_some())
        })
    }

    /// Grants a registered version.
    pub(super) fn grant_edition(
        &self,
        edition: Edition,
        is_new_version: bool,
        to: &str,
        terms: Terms,
    ) -> Result<(Shared, SiteId)> {
        let (peer, seal) = self.reader_to_seal_for(to)?;
        let (study, version) = (StudyId(edition.study), edition.version);
        let whom = SealedFor { from: self.id(), to: peer.site, study, version };
        let grant = Grant {
            study,
            version,
            grantee: peer.site,
            purpose: terms.purpose,
            not_before: terms.not_before,
            expires: terms.expires,
            conditions: terms.conditions,
            break_glass: None,
            opening: opening_of(&edition).seal(&whom, &seal)?,
            consent: terms.consent,
        };
        let logged = self.append(Body::Grant(Box::new(grant)))?;
        Ok((shared(logged.link.sequence, edition, is_new_version, &peer, &terms), peer.site))
    }

    /// What was shared by a grant that there is already.
    pub(super) fn granted_before(
        &self,
        grant: u64,
        edition: Edition,
        to: &str,
        terms: &Terms,
    ) -> Result<(Shared, SiteId)> {
        let peer = self.find_peer(to)?;
        Ok((shared(grant, edition, false, &peer, terms), peer.site))
    }

    /// A peer that somebody named, and the key that an opening is sealed to for it.
    pub(super) fn reader_to_seal_for(&self, named: &str) -> Result<(Peer, [u8; 32])> {
        let peer = self.find_peer(named)?;
        let finding = self.with_view(&peer.site, |view| view.finding.clone()).flatten();
        if let Some(finding) = finding {
            let (name, finding) = (peer.name, finding.to_string());
            return Err(Fault::Suspended { name, finding }.into());
        }
        let seal = self.with_view(&peer.site, |view| view.state.keys().map(|keys| keys.seal));
        let seal = seal.flatten().ok_or_else(|| Fault::NotFollowed(peer.name.clone()))?;
        Ok((peer, seal))
    }

    /// Tells the others of a grant.
    pub(super) async fn deliver(self: &Arc<Self>, mut shared: Shared, to: &SiteId) -> Shared {
        (shared.cosigned, shared.is_delivered) = self.spread(Some(to)).await;
        shared.witnesses = self.peers().len();
        shared
    }
}

fn shared(grant: u64, edition: Edition, is_new_version: bool, to: &Peer, terms: &Terms) -> Shared {
    Shared {
        grant,
        study_uid: edition.study_uid,
        study: StudyId(edition.study).to_string(),
        version: edition.version,
        root: edition.root.to_string(),
        is_new_version,
        instances: edition.instances,
        bytes: edition.bytes,
        to: to.site.to_string(),
        to_name: to.name.clone(),
        purpose: terms.purpose.code().to_owned(),
        not_before: terms.not_before,
        expires: terms.expires,
        cosigned: 0,
        witnesses: 0,
        is_delivered: false,
    }
}

/// So many days in seconds.
pub(crate) fn days(days: u64) -> u64 {
    days.saturating_mul(DAY)
}
