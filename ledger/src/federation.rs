//! What the logs of several sites say together.
//!
//! Each log is judged by itself ([`crate::state`]). Here is what needs two: who a key belongs to, who
//! really owns a study that changed hands, whether a receipt is signed by whom it names. Nothing here
//! orders entries of different logs.

use std::collections::BTreeMap;

use crate::entry::{Receipt, ReviewVerdict};
use crate::evidence::Finding;
use crate::id::{Link, SiteId, StudyId};
use crate::limits::OWNERS_MAX;
use crate::state::{BreakGlassRecord, SiteState, Standing};

/// One site's log as this site knows it.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// What it says.
    pub state: &'a SiteState,
    /// Until when this is known to be its latest, in seconds since the epoch; `None` if nobody says.
    pub fresh_at: Option<u64>,
    /// What it did that no honest log does: nothing of it is used then.
    pub finding: Option<&'a Finding>,
}

/// The sites that this site knows, itself included.
#[derive(Clone, Debug)]
pub struct Federation<'a> {
    own: SiteId,
    members: BTreeMap<SiteId, Member<'a>>,
    stale_seconds: u64,
}

/// Why a study's ownership cannot be followed back to who registered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disowned {
    /// The log does not say that it owns the study.
    #[error("the study is not that site's")]
    NotOwned,
    /// It has ended.
    #[error("the study has ended")]
    Ended,
    /// It was handed to another site.
    #[error("the study was handed to another site")]
    HandedOn(SiteId),
    /// A site that once had it is not known here, or its log is not used.
    #[error("the log of a former owner is not known")]
    UnknownOwner(SiteId),
    /// A former owner's log does not say that it handed the study to the next.
    #[error("a former owner did not hand it over")]
    NotHanded(SiteId),
}

/// A break-glass access that its owner has not reviewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingReview {
    /// The entry.
    pub entry: Link,
    /// What it opened.
    pub record: BreakGlassRecord,
}

impl<'a> Federation<'a> {
    /// The view of the site whose state is `own` on others that it mirrors. What is not known to be
    /// fresh for `stale_seconds` is not used.
    pub fn new(
        own: &'a SiteState,
        mirrored: impl IntoIterator<Item = Member<'a>>,
        stale_seconds: u64,
    ) -> Self {
        let id = own.site().unwrap_or(SiteId([0; 32]));
        let mut members: BTreeMap<_, _> = mirrored
            .into_iter()
            .filter_map(|member| Some((member.state.site()?, member)))
            .collect();
        members.insert(id, Member { state: own, fresh_at: None, finding: None });
        Self { own: id, members, stale_seconds }
    }

    /// A site that is known.
    #[must_use]
    pub fn member(&self, site: &SiteId) -> Option<&Member<'a>> {
        self.members.get(site)
    }

    /// All sites that are known.
    pub fn sites(&self) -> impl Iterator<Item = (&SiteId, &Member<'a>)> {
        self.members.iter()
    }

    /// Sites whose TLS key in force this is. More than one is never honest.
    pub fn sites_of_tls_key(&self, key: &[u8; 32]) -> impl Iterator<Item = SiteId> {
        let of =
            move |member: &Member<'_>| member.state.keys().is_some_and(|keys| keys.tls == *key);
        self.members.iter().filter(move |(_, member)| of(member)).map(|(site, _)| *site)
    }

    /// Is the log known to be its latest, as of `now` (seconds since the epoch)? One's own always is.
    #[must_use]
    pub fn is_fresh(&self, site: &SiteId, now: u64) -> bool {
        *site == self.own
            || self
                .member(site)
                .and_then(|member| member.fresh_at)
                .is_some_and(|fresh_at| now.saturating_sub(fresh_at) <= self.stale_seconds)
    }

    fn trusted(&self, site: &SiteId) -> Option<&Member<'a>> {
        self.member(site).filter(|member| member.finding.is_none())
    }

    /// Does `owner` own the study now, by a chain of hand-overs from who registered it?
    pub fn check_owner(&self, owner: &SiteId, study: StudyId) -> Result<(), Disowned> {
        let member = self.trusted(owner).ok_or(Disowned::UnknownOwner(*owner))?;
        let standing = member.state.study(&study).ok_or(Disowned::NotOwned)?.standing;
        match standing {
            Standing::Ended => return Err(Disowned::Ended),
            Standing::HandedTo(to) => return Err(Disowned::HandedOn(to)),
            Standing::Owned => {}
        }
        self.follow_back(*owner, member.state, u64::MAX, study)
    }

    /// Follows a study from a site that has it `before` a sequence back to who registered it.
    fn follow_back(
        &self,
        mut at: SiteId,
        mut state: &'a SiteState,
        mut before: u64,
        study: StudyId,
    ) -> Result<(), Disowned> {
        for _ in 0..OWNERS_MAX {
            let taken = state.taken_before(study, before).ok_or(Disowned::NotHanded(at))?;
            let (_, Some(link)) = taken else { return Ok(()) };
            let former = self.trusted(&link.site).ok_or(Disowned::UnknownOwner(link.site))?.state;
            let handed = former.handed(study, link.sequence);
            if !handed.is_some_and(|handed| handed.to == at && handed.leaf == link.leaf) {
                return Err(Disowned::NotHanded(link.site));
            }
            (at, state, before) = (link.site, former, link.sequence);
        }
        Err(Disowned::NotHanded(at))
    }

    /// The hand-over of a study from `from` to `to` that `to` has not answered yet, and the version that
    /// it hands over.
    #[must_use]
    pub fn handed_to(&self, from: &SiteId, study: StudyId, to: &SiteId) -> Option<(Link, u64)> {
        let state = self.member(from)?.state;
        if state.study(&study)?.standing != Standing::HandedTo(*to) {
            return None;
        }
        let (sequence, handed) = state.last_handed(study)?;
        let link = Link { site: *from, sequence, leaf: handed.leaf };
        let taken = self.member(to).and_then(|to| to.state.taken_before(study, u64::MAX));
        let is_answered = taken.is_some_and(|(_, by)| by == Some(link));
        (!is_answered).then_some((link, handed.version))
    }

    /// Was the study its former owner's to hand over, when it did?
    pub fn check_hand_over(&self, link: &Link, study: StudyId) -> Result<(), Disowned> {
        let former = self.trusted(&link.site).ok_or(Disowned::UnknownOwner(link.site))?.state;
        let handed = former.handed(study, link.sequence);
        if handed.is_none_or(|handed| handed.leaf != link.leaf) {
            return Err(Disowned::NotHanded(link.site));
        }
        self.follow_back(link.site, former, link.sequence, study)
    }

    /// Who owns the study, as far as the known logs tell: follows hand-overs from `from` onwards.
    #[must_use]
    pub fn find_owner(&self, from: &SiteId, study: StudyId) -> Option<SiteId> {
        let mut at = *from;
        for _ in 0..OWNERS_MAX {
            match self.check_owner(&at, study) {
                Ok(()) => return Some(at),
                Err(Disowned::HandedOn(to)) => at = to,
                Err(_) => return None,
            }
        }
        None
    }

    /// Is the receipt in `logged_by`'s log signed by a key of the other side, under a right
    /// that the log of the right has?
    #[must_use]
    pub fn receipt_holds(&self, logged_by: &SiteId, receipt: &Receipt) -> bool {
        let access = &receipt.access;
        let other = if access.owner == *logged_by { access.reader } else { access.owner };
        // It may be an old receipt, signed before a rotation.
        let other = self.trusted(&other);
        let key_known = other.is_some_and(|other| other.state.has_signed_with(&receipt.key));
        let Some(of_right) = self.trusted(&access.right.site) else { return false };
        let sequence = access.right.sequence;
        let right_known = if access.right.site == access.owner {
            of_right.state.grant(sequence).is_some_and(|grant| {
                grant.leaf == access.right.leaf
                    && grant.study == access.study
                    && grant.grantee == access.reader
            })
        } else {
            let broken = of_right.state.broken().find(|(at, _)| *at == sequence);
            access.right.site == access.reader
                && broken.is_some_and(|(_, broken)| {
                    broken.leaf == access.right.leaf
                        && broken.study == access.study
                        && broken.owner == access.owner
                })
        };
        key_known && right_known && receipt.holds()
    }

    /// Break-glass accesses to this site's studies that it still has to review, oldest first by site.
    #[must_use]
    pub fn pending_reviews(&self) -> Vec<PendingReview> {
        let Some(own) = self.member(&self.own) else { return Vec::new() };
        let mut pending = Vec::new();
        for (site, member) in &self.members {
            for (sequence, record) in member.state.broken() {
                let entry = Link { site: *site, sequence, leaf: record.leaf };
                if record.owner == self.own && own.state.review(&entry).is_none() {
                    pending.push(PendingReview { entry, record: *record });
                }
            }
        }
        pending
    }

    /// What the owner's review of a break-glass entry found, if there was one.
    pub(crate) fn review(&self, owner: &SiteId, entry: &Link) -> Option<ReviewVerdict> {
        self.member(owner)?.state.review(entry)
    }
}
