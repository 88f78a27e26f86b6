//! Each kind of entry against what is known.

use super::{GrantRecord, Reject, SiteState, Standing, Study};
use crate::entry::{
    Attest, Body, BreakGlass, Entry, Grant, Header, Join, PatientKey, Purpose, Receipt, Register,
    Revoke, SignedEntry, Supersede, TransferIn, TransferOut,
};
use crate::id::{Link, SiteId, StudyId};
use crate::keys::SiteKeys;
use crate::limits::{BREAK_GLASS_SECONDS_MAX, GRANT_SECONDS_MAX};

/// What an entry reads and changes. Entries that touch different things do not depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Touch {
    /// The site's keys, and so everything.
    Site,
    /// One study with its grants.
    Study(StudyId),
    /// A right, by the log and sequence of its entry.
    Right(SiteId, u64),
    /// Nothing that another entry changes.
    Nothing,
}

type Checked = Result<(), Reject>;

fn require(holds: bool, otherwise: Reject) -> Checked {
    if holds { Ok(()) } else { Err(otherwise) }
}

impl SiteState {
    /// Checks the signature against the key in force.
    pub(super) fn check_signature(&self, signed: &SignedEntry) -> Checked {
        let key = match (&self.site, &signed.entry().body) {
            (Some(site), _) => site.keys.sign,
            (None, Body::Join(join)) => join.keys.sign,
            (None, _) => return Err(Reject::Join),
        };
        signed.verify(&key).map_err(|_| Reject::Signature)
    }

    /// May the entry follow? Its sequence may be ahead, for entries that are checked together.
    pub fn check(&self, entry: &Entry) -> Checked {
        let Entry { header, body } = entry;
        require(header.time >= self.time, Reject::Time)?;
        let Some(site) = self.site() else {
            let Body::Join(join) = body else { return Err(Reject::Join) };
            return check_join(header, join);
        };
        require(header.site == site, Reject::OtherSite)?;
        match body {
            Body::Join(_) => Err(Reject::Join),
            Body::Rotate(rotate) => {
                let held = rotate.keys.are_held(&site, header.sequence, &rotate.possession);
                let differ = self.keys().is_some_and(|old| no_key_again(old, &rotate.keys));
                require(held && differ, Reject::Keys)
            }
            Body::Register(register) => self.check_register(site, register),
            Body::Supersede(new) => self.check_supersede(new),
            Body::Attest(attest) => self.check_attest(attest),
            Body::Grant(grant) => self.check_grant(site, header, grant),
            Body::Revoke(revoke) => self.check_revoke(revoke),
            Body::Accept(accept) => {
                let Link { site: of, sequence, .. } = accept.grant;
                require(of != site, Reject::Oneself)?;
                require(!self.accepted.contains_key(&(of, sequence)), Reject::Twice)
            }
            Body::Receipt(receipt) => self.check_receipt(site, header, receipt),
            Body::TransferOut(out) => self.check_transfer_out(site, out),
            Body::TransferIn(taken) => self.check_transfer_in(site, taken),
            Body::BreakGlass(broken) => check_break_glass(site, header, broken),
            Body::Review(review) => {
                let Link { site: of, sequence, .. } = review.break_glass;
                require(of != site, Reject::Oneself)?;
                require(!self.reviewed.contains_key(&(of, sequence)), Reject::Twice)
            }
            Body::PatientKey(bound) => self.check_patient_key(bound),
            Body::Tombstone(stone) => self.owned(&stone.study).map(drop),
        }
    }

    /// What the entry reads and changes.
    #[must_use]
    pub fn touches(&self, body: &Body) -> Touch {
        match body {
            Body::Join(_) | Body::Rotate(_) => Touch::Site,
            Body::BreakGlass(_) => Touch::Nothing,
            Body::Register(register) => self
                .site()
                .map_or(Touch::Site, |site| Touch::Study(StudyId::derive(&site, &register.salt))),
            Body::Supersede(new) => Touch::Study(new.study),
            Body::Attest(attest) => Touch::Study(attest.study),
            Body::Grant(grant) => Touch::Study(grant.study),
            Body::TransferOut(out) => Touch::Study(out.study),
            Body::TransferIn(taken) => Touch::Study(taken.study),
            Body::PatientKey(bound) => Touch::Study(bound.study),
            Body::Tombstone(stone) => Touch::Study(stone.study),
            Body::Revoke(revoke) => {
                self.grant(revoke.grant).map_or(Touch::Site, |grant| Touch::Study(grant.study))
            }
            Body::Accept(accept) => Touch::Right(accept.grant.site, accept.grant.sequence),
            Body::Review(review) => {
                Touch::Right(review.break_glass.site, review.break_glass.sequence)
            }
            Body::Receipt(receipt) => {
                Touch::Right(receipt.access.right.site, receipt.access.right.sequence)
            }
        }
    }

    fn owned(&self, id: &StudyId) -> Result<&Study, Reject> {
        let study = self.study(id).ok_or(Reject::NotOwned)?;
        require(study.standing == Standing::Owned, Reject::NotOwned)?;
        Ok(study)
    }

    fn owned_at(&self, id: &StudyId, version: u64) -> Result<&Study, Reject> {
        let study = self.owned(id)?;
        let known = study.version;
        require(version == known, Reject::Version { known, found: version })?;
        Ok(study)
    }

    fn check_register(&self, site: SiteId, register: &Register) -> Checked {
        let id = StudyId::derive(&site, &register.salt);
        require(self.study(&id).is_none(), Reject::Registered)
    }

    fn check_supersede(&self, new: &Supersede) -> Checked {
        let study = self.owned(&new.study)?;
        let known = study.version;
        let follows = new.version.checked_sub(1) == Some(known);
        require(follows, Reject::Version { known, found: new.version })?;
        require(study.commitment != new.commitment, Reject::Commitment)
    }

    fn check_attest(&self, attest: &Attest) -> Checked {
        self.owned_at(&attest.study, attest.version).map(drop)
    }

    fn check_grant(&self, site: SiteId, header: &Header, grant: &Grant) -> Checked {
        // The opening in it is that of the last version: no other commitment is remembered.
        let study = self.owned_at(&grant.study, grant.version)?;
        require(grant.grantee != site, Reject::Oneself)?;
        let asked = study.patient.is_some_and(|key| key.required) && grant.break_glass.is_none();
        require(!asked || grant.consent.is_some(), Reject::Consent)?;
        require(grant.consent.is_none() || study.patient.is_some(), Reject::Consent)?;
        let lasts = grant.expires.saturating_sub(grant.not_before);
        let ahead = grant.expires > header.time;
        require(ahead && lasts > 0 && lasts <= GRANT_SECONDS_MAX, Reject::Period)?;
        let Some(answered) = &grant.break_glass else { return Ok(()) };
        let soon = grant.expires - header.time <= BREAK_GLASS_SECONDS_MAX;
        let fits = grant.purpose == Purpose::Emergency && answered.site == grant.grantee;
        require(soon && fits, Reject::BreakGlass)
    }

    fn check_patient_key(&self, bound: &PatientKey) -> Checked {
        let Some(known) = self.owned(&bound.study)?.patient else { return Ok(()) };
        require(known.commitment != bound.commitment, Reject::Commitment)?;
        // Or an owner that finds the patient's signature in its way would do away with it.
        require(bound.required || !known.required, Reject::Consent)
    }

    fn check_revoke(&self, revoke: &Revoke) -> Checked {
        let grant = self.grant(revoke.grant).ok_or(Reject::NoGrant)?;
        require(grant.revoked.is_none(), Reject::Revoked)
    }

    fn check_receipt(&self, site: SiteId, header: &Header, receipt: &Receipt) -> Checked {
        let access = &receipt.access;
        let a_party = access.owner == site || access.reader == site;
        require(a_party && access.owner != access.reader, Reject::NotAParty(site))?;
        let in_order = access.began <= access.ended && access.ended <= header.time;
        require(in_order, Reject::Period)?;
        let last = self.next_receipt(&access.right) - 1;
        require(access.number > last, Reject::ReceiptNumber { last, found: access.number })?;
        // A right of this log is known here; one of the other's log is checked against that log.
        if access.right.site == site {
            let sequence = access.right.sequence;
            let fits = if access.owner == site {
                let grant = self.grant(sequence).ok_or(Reject::NoGrant)?;
                is_under(grant, access)
            } else {
                self.broken.get(&sequence).is_some_and(|broken| {
                    let same = broken.owner == access.owner && broken.study == access.study;
                    same && broken.leaf == access.right.leaf
                })
            };
            require(fits, Reject::OtherRight)?;
        }
        require(receipt.holds(), Reject::Countersignature)
    }

    fn check_transfer_out(&self, site: SiteId, out: &TransferOut) -> Checked {
        self.owned_at(&out.study, out.version)?;
        require(out.to != site, Reject::Oneself)
    }

    fn check_transfer_in(&self, site: SiteId, taken: &TransferIn) -> Checked {
        require(taken.from.site != site, Reject::Oneself)?;
        let Some(known) = self.study(&taken.study) else { return Ok(()) };
        // It comes back: the rest of the chain is checked against the other logs.
        let away = matches!(known.standing, Standing::HandedTo(_));
        require(away, Reject::Registered)?;
        let last = known.version;
        require(taken.version >= last, Reject::Version { known: last, found: taken.version })?;
        require(known.commitment != taken.commitment, Reject::Commitment)?;
        let used = self.taken.range((taken.study, 0)..=(taken.study, u64::MAX));
        let again = used.into_iter().any(|(_, from)| *from == Some(taken.from));
        require(!again, Reject::Twice)
    }
}

fn is_under(grant: &GrantRecord, access: &crate::entry::Access) -> bool {
    grant.study == access.study
        && grant.version == access.version
        && grant.grantee == access.reader
        && grant.leaf == access.right.leaf
}

fn check_join(header: &Header, join: &Join) -> Checked {
    let id = SiteId::derive(&join.origin, &join.keys.sign);
    require(header.site == id, Reject::SiteId)?;
    require(join.keys.are_held(&id, header.sequence, &join.possession), Reject::Keys)
}

fn check_break_glass(site: SiteId, header: &Header, broken: &BreakGlass) -> Checked {
    require(broken.owner != site, Reject::Oneself)?;
    let lasts = broken.expires.saturating_sub(header.time);
    require(lasts > 0 && lasts <= BREAK_GLASS_SECONDS_MAX, Reject::Period)
}

/// After a rotation no key of before is used again, in whatever role.
fn no_key_again(old: &SiteKeys, new: &SiteKeys) -> bool {
    let all = |keys: &SiteKeys| [keys.sign, keys.log, keys.witness, keys.tls, keys.seal];
    all(new).iter().all(|key| !all(old).contains(key))
}
