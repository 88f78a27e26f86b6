//! Breaking the glass: a study is opened in an emergency without a grant, and its owner reviews that.
//!
//! Ledgers say which site opened which study and what the owner found. Who it was and for which group they
//! answer stays at that site ([`journal`]). A group of which an access is not reviewed in time opens
//! nothing more so; by grants it goes on as before.

mod journal;
mod watch;

use cairn_ledger::entry::{Body, BreakGlass, Review, ReviewVerdict};
use cairn_ledger::federation::PendingReview;
use cairn_ledger::id::{Link, SiteId, StudyId};
use cairn_ledger::state::{BreakGlassRecord, Standing};
use cairn_store::catalog::Catalog;
use serde::{Deserialize, Serialize};

pub(crate) use self::journal::Breaker;
pub(super) use self::journal::Journal;
use self::journal::{Line, Opener};
pub(crate) use self::watch::GlassFigures;
pub(super) use self::watch::tell;
use super::site::Site;
use super::{Fault, words};
use crate::clock::now;
use crate::error::Result;

/// The group of whoever opens a study by a command: who may do that answers for the machine.
pub(crate) const COMMANDS: &str = "commands";

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
    /// In the words of whoever opens it: for the local audit log alone.
    #[serde(default)]
    pub(crate) text: String,
}

/// An emergency access to this site's studies, or of this site to another's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Broken {
    /// Who opened it.
    pub(crate) site: String,
    /// Its name.
    pub(crate) site_name: String,
    /// The entry in its log.
    pub(crate) entry: u64,
    /// Was it this site?
    pub(crate) is_own: bool,
    /// Whose study.
    pub(crate) owner: String,
    /// Its name.
    pub(crate) owner_name: String,
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
    /// What the owner found, on its ledger.
    pub(crate) verdict: Option<String>,
    /// What an officer of the site that opened it found, if that is this one.
    pub(crate) own_verdict: Option<String>,
    /// Who opened it, if that was here.
    pub(crate) by: Option<String>,
    /// For which groups.
    pub(crate) groups: Vec<String>,
    /// Does it keep those groups from opening another?
    pub(crate) is_blocking: bool,
}

impl Broken {
    /// Has nobody looked at it?
    pub(crate) fn is_unreviewed(&self) -> bool {
        self.verdict.is_none() && self.own_verdict.is_none()
    }
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
    /// Until when, in seconds since the epoch.
    pub(crate) expires: u64,
}

/// An access of this site to another's study.
struct OwnBreak {
    entry: u64,
    record: BreakGlassRecord,
    /// `None`: of before this was written down.
    by: Option<Breaker>,
    verdict: Option<ReviewVerdict>,
    own_verdict: Option<String>,
}

impl OwnBreak {
    fn is_unreviewed(&self) -> bool {
        self.verdict.is_none() && self.own_verdict.is_none()
    }

    /// Those who answer for it.
    fn groups(&self) -> Vec<String> {
        self.by.as_ref().map_or_else(|| vec![COMMANDS.to_owned()], |by| by.groups.clone())
    }

    /// Has it waited for a review for longer than is allowed?
    fn is_overdue(&self, allowed_seconds: u64, now: u64) -> bool {
        self.is_unreviewed() && now.saturating_sub(self.record.opened) >= allowed_seconds
    }
}

impl Site {
    /// Says on this site's ledger that it opens another's study. Counts at once; the owner is told of it.
    /// `told` is called when nothing is in the way any more and before anything is opened: what it
    /// refuses is not opened.
    pub(crate) fn break_glass(
        &self,
        request: &Break,
        by: &Breaker,
        told: impl FnOnce(&SiteId, &StudyId) -> Result<()>,
    ) -> Result<Opened> {
        let reason = words::glass_reason(&request.reason)?;
        let peer = self.find_peer(&request.from)?;
        let unknown = || Fault::NoGrant(format!("{} has no study of that name", peer.name));
        let study = StudyId::from_hex(&request.study).ok_or_else(unknown)?;
        let known = self.with_view(&peer.site, |view| view.state.study(&study).copied()).flatten();
        let version = known.ok_or_else(unknown)?.version;
        self.check_reviewed(by)?;
        self.check_trouble()?;
        told(&peer.site, &study)?;
        let opener = Opener {
            owner: peer.site.to_string(),
            study: study.to_string(),
            expires: now().saturating_add(request.seconds),
            by: by.clone(),
        };
        let expires = self.glass.open_for(opener)?;
        let body = BreakGlass { owner: peer.site, study, expires, reason };
        let logged = self.append(Body::BreakGlass(body))?;
        tracing::error!(
            entry = logged.link.sequence,
            owner = peer.name,
            "GLASS IS BROKEN: this site opens a study of another one in an emergency; `cairn glass` \
             lists it, and it has to be reviewed"
        );
        self.look_now();
        Ok(Opened { owner: peer.site, study, version, right: logged.link, expires })
    }

    /// What the same person opened and may still read.
    pub(crate) fn open_glass(&self, owner: &SiteId, study: &StudyId, by: &str) -> Option<Opened> {
        let at = now();
        let known = self.with_view(owner, |view| view.state.study(study).copied()).flatten()?;
        let mut broken = self.own_breaks().into_iter().rev();
        let open = broken.find(|broken| {
            let record = &broken.record;
            record.owner == *owner
                && record.study == *study
                && record.opened <= at
                && at < record.expires
                && broken.verdict != Some(ReviewVerdict::Unjustified)
                && broken.by.as_ref().is_some_and(|opener| opener.name == by)
        })?;
        let right = Link { site: self.id(), sequence: open.entry, leaf: open.record.leaf };
        let (version, expires) = (known.version, open.record.expires);
        Some(Opened { owner: *owner, study: *study, version, right, expires })
    }

    /// Is an access of one of these groups unreviewed for too long?
    fn check_reviewed(&self, by: &Breaker) -> Result<()> {
        let (allowed, at) = (self.settings.glass_review_seconds, now());
        let overdue = self.own_breaks().into_iter().filter(|it| it.is_overdue(allowed, at));
        for broken in overdue {
            let shared = broken.groups().into_iter().find(|group| by.groups.contains(group));
            if let Some(group) = shared {
                return Err(Fault::Unreviewed { group, entry: broken.entry }.into());
            }
        }
        Ok(())
    }

    /// Accesses of this site to others' studies, in order.
    fn own_breaks(&self) -> Vec<OwnBreak> {
        let own = self.id();
        let broken: Vec<(u64, BreakGlassRecord)> =
            self.with_state(|state| state.broken().map(|(at, it)| (at, *it)).collect());
        let of = |(entry, record): (u64, BreakGlassRecord)| {
            let link = Link { site: own, sequence: entry, leaf: record.leaf };
            let verdict = self.with_view(&record.owner, |view| view.state.review(&link)).flatten();
            let (owner, study) = (record.owner.to_string(), record.study.to_string());
            let (mut by, mut own_verdict) = (None, None);
            self.glass.read(|lines| {
                for line in lines {
                    match line {
                        Line::Opened(it)
                            if it.owner == owner
                                && it.study == study
                                && it.expires == record.expires =>
                        {
                            by = Some(it.by.clone());
                        }
                        Line::Reviewed { entry: of, verdict, .. } if *of == entry => {
                            own_verdict = Some(verdict.clone());
                        }
                        _ => {}
                    }
                }
            });
            OwnBreak { entry, record, by, verdict, own_verdict }
        };
        broken.into_iter().map(of).collect()
    }

    fn pending_reviews(&self) -> Vec<PendingReview> {
        #[allow(clippy::redundant_closure_for_method_calls)]
        // the method alone has one lifetime only
        self.with_federation(|federation| federation.pending_reviews())
    }

    /// Emergency accesses, to this site's studies and of this site: those that nobody has reviewed, or all.
    pub(crate) fn broken(&self, catalog: Option<&dyn Catalog>, all: bool) -> Result<Vec<Broken>> {
        let mut told = Vec::new();
        for (site, entry, record, verdict) in self.broken_here(all) {
            told.push(Broken {
                verdict: verdict.map(|it| words::review_word(it).to_owned()),
                study_uid: own_uid(catalog, &record.study)?,
                ..self.told_of(&site, entry, &record)
            });
        }
        let (allowed, at) = (self.settings.glass_review_seconds, now());
        for broken in self.own_breaks().into_iter().filter(|it| all || it.is_unreviewed()) {
            let is_blocking = broken.is_overdue(allowed, at);
            told.push(Broken {
                is_own: true,
                verdict: broken.verdict.map(|it| words::review_word(it).to_owned()),
                study_uid: fetched_uid(catalog, &broken.record.owner, &broken.record.study)?,
                groups: broken.groups(),
                by: broken.by.map(|by| by.name),
                own_verdict: broken.own_verdict,
                is_blocking,
                ..self.told_of(&self.id(), broken.entry, &broken.record)
            });
        }
        Ok(told)
    }

    /// Accesses to this site's studies.
    fn broken_here(
        &self,
        all: bool,
    ) -> Vec<(SiteId, u64, BreakGlassRecord, Option<ReviewVerdict>)> {
        let own = self.id();
        let mut broken = Vec::new();
        for peer in self.peers() {
            let of_peer = self.with_view(&peer.site, |view| {
                let records = view.state.broken().filter(|(_, record)| record.owner == own);
                records.map(|(entry, record)| (entry, *record)).collect::<Vec<_>>()
            });
            for (entry, record) in of_peer.unwrap_or_default() {
                let link = Link { site: peer.site, sequence: entry, leaf: record.leaf };
                let verdict = self.with_state(|state| state.review(&link));
                if all || verdict.is_none() {
                    broken.push((peer.site, entry, record, verdict));
                }
            }
        }
        broken
    }

    fn told_of(&self, site: &SiteId, entry: u64, record: &BreakGlassRecord) -> Broken {
        Broken {
            site: site.to_string(),
            site_name: self.name_of(site),
            entry,
            is_own: false,
            owner: record.owner.to_string(),
            owner_name: self.name_of(&record.owner),
            study: record.study.to_string(),
            study_uid: None,
            reason: words::glass_word(record.reason).to_owned(),
            opened: record.opened,
            expires: record.expires,
            verdict: None,
            own_verdict: None,
            by: None,
            groups: Vec::new(),
            is_blocking: false,
        }
    }

    /// What a site is called; its id if it is no peer.
    fn name_of(&self, site: &SiteId) -> String {
        if *site == self.id() {
            return self.name();
        }
        let named = self.peers().into_iter().find(|peer| peer.site == *site);
        named.map_or_else(|| site.to_string(), |peer| peer.name)
    }

    /// Says on this site's ledger what a person found of an emergency access to its studies; not
    /// justified, it ends. Of an access of this very site, which only the owner can end, it is written
    /// down here, and its group may go on. Gives the entry, if there is one, and the study.
    pub(crate) fn review(
        &self,
        site: &str,
        entry: u64,
        verdict: &str,
        by: &str,
    ) -> Result<(Option<u64>, StudyId)> {
        let found = words::review_verdict(verdict)?;
        let none = |name: &str| Fault::NoGrant(format!("nothing of {name} waits under {entry}"));
        if site == self.name() || site == self.id().to_string() {
            let waiting = self.own_breaks().into_iter().find(|it| it.entry == entry);
            let waiting = waiting.filter(OwnBreak::is_unreviewed);
            let study = waiting.ok_or_else(|| none(site))?.record.study;
            let (verdict, by) = (verdict.to_owned(), by.to_owned());
            self.glass.add(Line::Reviewed { entry, verdict, by })?;
            return Ok((None, study));
        }
        let peer = self.find_peer(site)?;
        let pending = self.pending_reviews();
        let meant =
            pending.into_iter().find(|it| it.entry.site == peer.site && it.entry.sequence == entry);
        let meant = meant.ok_or_else(|| none(&peer.name))?;
        let body = Review { break_glass: meant.entry, verdict: found };
        let logged = self.append(Body::Review(body))?;
        Ok((Some(logged.link.sequence), meant.record.study))
    }

    /// Sites that own this study now, as far as their ledgers are known here.
    pub(crate) fn owners_of(&self, study: &StudyId) -> Vec<SiteId> {
        let owns = |site: &SiteId| {
            let known = self.with_view(site, |view| view.state.study(study).copied()).flatten();
            known.is_some_and(|study| study.standing == Standing::Owned)
        };
        self.peers().into_iter().map(|peer| peer.site).filter(owns).collect()
    }
}

/// The UID of a study of this site.
fn own_uid(catalog: Option<&dyn Catalog>, study: &StudyId) -> Result<Option<String>> {
    let Some(catalog) = catalog else { return Ok(None) };
    let editions = catalog.editions().editions(None)?;
    Ok(editions.into_iter().find(|it| it.study == study.0).map(|edition| edition.study_uid))
}

/// The UID of a study that this site has read.
fn fetched_uid(
    catalog: Option<&dyn Catalog>,
    owner: &SiteId,
    study: &StudyId,
) -> Result<Option<String>> {
    let Some(catalog) = catalog else { return Ok(None) };
    let fetched = catalog.editions().all_fetched(None)?;
    let found = fetched.into_iter().find(|it| it.study == study.0 && it.owner == owner.0);
    Ok(found.map(|fetched| fetched.study_uid).filter(|uid| !uid.is_empty()))
}
