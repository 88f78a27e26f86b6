//! "May this key, for this purpose, at this time, read this study?"
//!
//! Answered at every request from the logs alone, as they are known now. What is not known, not
//! fresh or not in order is a no.

use crate::entry::{Conditions, Purpose, ReviewVerdict};
use crate::federation::{Disowned, Federation};
use crate::id::{Link, SiteId, StudyId};
use crate::limits::{CLOCK_SKEW_SECONDS, TIME_MAX};
use crate::state::{GrantRecord, Standing};

/// A request as the ledger sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Whose study.
    pub owner: SiteId,
    /// Which study.
    pub study: StudyId,
    /// Which version.
    pub version: u64,
    /// The Ed25519 key that the asking site authenticated with by TLS.
    pub key: [u8; 32],
    /// What for.
    pub purpose: Purpose,
    /// When, in seconds since the epoch, by the clock of who answers.
    pub now: u64,
}

/// A yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// Who asked.
    pub reader: SiteId,
    /// The grant, the break-glass entry, or the hand-over: what the receipt names, but for the last, whose
    /// answer in the new owner's log is the receipt.
    pub right: Link,
    /// Is it a break-glass access, which the owner has to be told of at once?
    pub break_glass: bool,
    /// What the grant asks of the reader.
    pub conditions: Conditions,
    /// Until when, in seconds since the epoch; far away for a hand-over, which ends when it is answered.
    pub expires: u64,
}

/// A no. Where several grants come near, the reason is that of the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// No known site has this key in force.
    #[error("the key belongs to no known site")]
    UnknownKey,
    /// More than one site claims the key.
    #[error("the key is claimed by more than one site")]
    AmbiguousKey,
    /// The owner's log is not known here.
    #[error("the log of that site is not known")]
    UnknownOwner,
    /// The log of one of the two was caught at something, so nothing of it is used.
    #[error("the log of {0} is suspended")]
    Suspended(SiteId),
    /// What is known of the log of one of the two is too old.
    #[error("what is known of the log of {0} is too old")]
    Stale(SiteId),
    /// The study is not the owner's.
    #[error(transparent)]
    Disowned(#[from] Disowned),
    /// There is no grant to this site.
    #[error("there is no grant to this site")]
    NoGrant,
    /// A grant to this site is for another purpose.
    #[error("the grant is for another purpose")]
    OtherPurpose,
    /// A grant to this site is for another version.
    #[error("the grant is for another version")]
    OtherVersion,
    /// A grant to this site was revoked.
    #[error("the grant was revoked")]
    Revoked,
    /// A grant to this site has expired.
    #[error("the grant has expired")]
    Expired,
    /// A grant to this site does not hold yet.
    #[error("the grant does not hold yet")]
    NotYet,
    /// The grantee has not accepted the grant's conditions.
    #[error("the grant has not been accepted")]
    NotAccepted,
}

impl Denial {
    /// How near the request came, to report the nearest of several refusals.
    fn nearness(self) -> u8 {
        match self {
            Self::OtherPurpose => 1,
            Self::OtherVersion => 2,
            Self::Expired => 3,
            Self::Revoked => 4,
            Self::NotYet => 5,
            Self::NotAccepted => 6,
            _ => 0,
        }
    }
}

impl Federation<'_> {
    /// Answers a question.
    pub fn evaluate(&self, question: &Question) -> Result<Permit, Denial> {
        let reader = self.who_asks(question)?;
        self.usable(&question.owner, question.now)?;
        match self.check_owner(&question.owner, question.study) {
            Err(Disowned::HandedOn(to)) if to == reader => {
                return self.by_hand_over(question, reader);
            }
            owned => owned?,
        }
        let by_grant = self.by_grant(question, reader);
        by_grant.or_else(|denial| self.by_break_glass(question, reader).ok_or(denial))
    }

    /// Does this very grant of the owner's log hold at `now` (seconds since the epoch), whoever asks? For
    /// lists: a request is answered by [`Federation::evaluate`], for which another grant may do.
    pub fn evaluate_grant(
        &self,
        owner: &SiteId,
        sequence: u64,
        now: u64,
    ) -> Result<Permit, Denial> {
        self.usable(owner, now)?;
        let member = self.member(owner).ok_or(Denial::UnknownOwner)?;
        let grant = member.state.grant(sequence).ok_or(Denial::NoGrant)?;
        let reader = grant.grantee;
        let keys = self.member(&reader).and_then(|reader| reader.state.keys());
        let key = keys.ok_or(Denial::UnknownKey)?.tls;
        self.usable(&reader, now)?;
        self.check_owner(owner, grant.study)?;
        let since = member.state.taken_before(grant.study, u64::MAX).map_or(0, |(at, _)| at);
        if sequence < since {
            return Err(Denial::NoGrant);
        }
        let GrantRecord { study, version, purpose, conditions, expires, leaf, .. } = *grant;
        let question = Question { owner: *owner, study, version, key, purpose, now };
        let right = Link { site: *owner, sequence, leaf };
        self.judge(&question, reader, grant, &right)?;
        Ok(Permit { reader, right, break_glass: false, conditions, expires })
    }

    /// Has a grant, or broken glass, ended for good, as far as is known here? The other way round from
    /// [`Federation::evaluate_grant`]: there what is not known is a no, and here it ends nothing, since
    /// what is deleted because of it does not come back.
    #[must_use]
    pub fn has_ended(&self, right: &Link, now: u64) -> bool {
        let Some(member) = self.member(&right.site) else { return false };
        if let Some(grant) = member.state.grant(right.sequence) {
            grant.leaf == right.leaf
                && self.grant_has_ended(&right.site, right.sequence, grant, now)
        } else {
            let mut broken = member.state.broken();
            let meant = broken.find(|(at, it)| *at == right.sequence && it.leaf == right.leaf);
            meant.is_some_and(|(_, broken)| {
                let unjustified = Some(ReviewVerdict::Unjustified);
                now >= broken.expires || self.review(&broken.owner, right) == unjustified
            })
        }
    }

    /// When a grant, or broken glass, ends by itself, in seconds since the epoch; `None`: it is not known
    /// here.
    #[must_use]
    pub fn expires(&self, right: &Link) -> Option<u64> {
        let state = self.member(&right.site)?.state;
        let grant = state.grant(right.sequence).filter(|grant| grant.leaf == right.leaf);
        grant.map(|grant| grant.expires).or_else(|| {
            let mut broken = state.broken();
            let meant = broken.find(|(at, it)| *at == right.sequence && it.leaf == right.leaf);
            meant.map(|(_, broken)| broken.expires)
        })
    }

    /// Is there a grant of this study to `reader` that has not ended, whoever owns the study and
    /// whatever the grant says?
    #[must_use]
    pub fn is_granted(&self, reader: &SiteId, study: StudyId, now: u64) -> bool {
        self.sites().any(|(owner, member)| {
            let mut grants = member.state.grants_of(study);
            grants.any(|(sequence, grant)| {
                grant.grantee == *reader && !self.grant_has_ended(owner, sequence, grant, now)
            })
        })
    }

    fn grant_has_ended(
        &self,
        owner: &SiteId,
        sequence: u64,
        grant: &GrantRecord,
        now: u64,
    ) -> bool {
        // It says so itself.
        if now >= grant.expires {
            return true;
        }
        let Some(member) = self.member(owner).filter(|member| member.finding.is_none()) else {
            return false;
        };
        let study = grant.study;
        let since = member.state.taken_before(study, u64::MAX).map_or(0, |(at, _)| at);
        let standing = member.state.study(&study).map(|study| study.standing);
        grant.revoked.is_some() || sequence < since || standing != Some(Standing::Owned)
    }

    fn who_asks(&self, question: &Question) -> Result<SiteId, Denial> {
        let mut sites = self.sites_of_tls_key(&question.key);
        let reader = sites.next().ok_or(Denial::UnknownKey)?;
        if sites.next().is_some() {
            return Err(Denial::AmbiguousKey);
        }
        // A key may have been replaced meanwhile: the reader's log has to be fresh as well.
        self.usable(&reader, question.now)?;
        Ok(reader)
    }

    /// May anything be read out of this log?
    fn usable(&self, site: &SiteId, now: u64) -> Result<(), Denial> {
        let member = self.member(site).ok_or(Denial::UnknownOwner)?;
        if member.finding.is_some() {
            return Err(Denial::Suspended(*site));
        }
        if self.is_fresh(site, now) { Ok(()) } else { Err(Denial::Stale(*site)) }
    }

    fn by_grant(&self, question: &Question, reader: SiteId) -> Result<Permit, Denial> {
        let member = self.member(&question.owner).ok_or(Denial::UnknownOwner)?;
        // Grants from before a hand-over ended with it, though the study may have come back since.
        let since = member.state.taken_before(question.study, u64::MAX).map_or(0, |(at, _)| at);
        let mut nearest = Denial::NoGrant;
        for (sequence, grant) in member.state.grants_of(question.study) {
            if grant.grantee != reader || sequence < since {
                continue;
            }
            let right = Link { site: question.owner, sequence, leaf: grant.leaf };
            match self.judge(question, reader, grant, &right) {
                Ok(()) => {
                    return Ok(Permit {
                        reader,
                        right,
                        break_glass: false,
                        conditions: grant.conditions,
                        expires: grant.expires,
                    });
                }
                Err(denial) if denial.nearness() > nearest.nearness() => nearest = denial,
                Err(_) => {}
            }
        }
        Err(nearest)
    }

    /// Whoever a study was handed to may read it until it says that it has it, for whatever purpose: it
    /// answers for the study from then on.
    fn by_hand_over(&self, question: &Question, reader: SiteId) -> Result<Permit, Denial> {
        let (owner, study) = (&question.owner, question.study);
        let right = self.handed_to(owner, study, &reader);
        let (right, version) = right.ok_or(Denial::Disowned(Disowned::HandedOn(reader)))?;
        if version != question.version {
            return Err(Denial::OtherVersion);
        }
        let (conditions, expires) = (Conditions::default(), TIME_MAX);
        Ok(Permit { reader, right, break_glass: false, conditions, expires })
    }

    fn judge(
        &self,
        question: &Question,
        reader: SiteId,
        grant: &GrantRecord,
        right: &Link,
    ) -> Result<(), Denial> {
        let accepted = || {
            let reader = self.member(&reader);
            reader.is_some_and(|reader| reader.state.has_accepted(right))
        };
        if grant.purpose != question.purpose {
            Err(Denial::OtherPurpose)
        } else if grant.version != question.version {
            Err(Denial::OtherVersion)
        } else if grant.revoked.is_some() {
            Err(Denial::Revoked)
        } else if question.now >= grant.expires {
            Err(Denial::Expired)
        } else if question.now < grant.not_before {
            Err(Denial::NotYet)
        } else if grant.conditions.accept_first && !accepted() {
            Err(Denial::NotAccepted)
        } else if grant.break_glass.is_some_and(|link| self.is_unjustified(question, &link)) {
            Err(Denial::Revoked)
        } else {
            Ok(())
        }
    }

    fn is_unjustified(&self, question: &Question, entry: &Link) -> bool {
        self.review(&question.owner, entry) == Some(ReviewVerdict::Unjustified)
    }

    fn by_break_glass(&self, question: &Question, reader: SiteId) -> Option<Permit> {
        if question.purpose != Purpose::Emergency {
            return None;
        }
        for (sequence, broken) in self.member(&reader)?.state.broken() {
            let link = Link { site: reader, sequence, leaf: broken.leaf };
            let here = broken.owner == question.owner && broken.study == question.study;
            // The day is counted by the reader's clock, which may not be ahead of ours by much.
            let open =
                broken.opened <= question.now + CLOCK_SKEW_SECONDS && question.now < broken.expires;
            if here && open && !self.is_unjustified(question, &link) {
                return Some(Permit {
                    reader,
                    right: link,
                    break_glass: true,
                    conditions: Conditions::default(),
                    expires: broken.expires,
                });
            }
        }
        None
    }
}
