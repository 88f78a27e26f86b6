//! "May this key, for this purpose, at this time, read this study?"
//!
//! Answered at every request from the logs alone, as they are known now. What is not known, not
//! fresh or not in order is a no.

use crate::entry::{Conditions, Purpose, ReviewVerdict};
use crate::federation::{Disowned, Federation};
use crate::id::{Link, SiteId, StudyId};
use crate::limits::CLOCK_SKEW_SECONDS;
use crate::state::GrantRecord;

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
    /// The grant, or the break-glass entry: what the receipt names.
    pub right: Link,
    /// Is it a break-glass access, which the owner has to be told of at once?
    pub break_glass: bool,
    /// What the grant asks of the reader.
    pub conditions: Conditions,
    /// Until when, in seconds since the epoch.
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
        self.check_owner(&question.owner, question.study)?;
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
