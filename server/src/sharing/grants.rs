//! Grants given and received: listing, accepting, revoking.

use std::collections::BTreeMap;

use cairn_ledger::access::Denial;
use cairn_ledger::entry::{Accept, Body, Revoke as RevokeBody, SignedEntry};
use cairn_ledger::federation::Federation;
use cairn_ledger::id::{Commitment, Link, SiteId, StudyId};
use cairn_ledger::opening::{Opening, Sealed};
use cairn_ledger::order::Order;
use cairn_ledger::state::{GrantRecord, SiteState};
use cairn_ledger::tiles::{TILE_WIDTH, TileReader};
use cairn_store::catalog::Catalog;
use serde::{Deserialize, Serialize};

use super::site::Site;
use super::{Fault, words};
use crate::clock::now;
use crate::error::Result;

/// A grant to this site.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReceivedGrant {
    /// Whose study.
    pub(crate) owner: SiteId,
    /// The entry.
    pub(crate) link: Link,
    /// What it says.
    pub(crate) record: GrantRecord,
    /// May it be used, as far as is known here? The owner has the last word.
    pub(crate) status: std::result::Result<(), Denial>,
    /// Has this site accepted it?
    pub(crate) is_accepted: bool,
}

/// A grant in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GrantLine {
    /// By this site, and not to it?
    pub(crate) is_given: bool,
    /// Its sequence in its owner's log.
    pub(crate) grant: u64,
    /// The other site.
    pub(crate) site: String,
    /// Its name.
    pub(crate) site_name: String,
    /// The study's name on the ledger.
    pub(crate) study: String,
    /// Study Instance UID, where it is known here.
    pub(crate) study_uid: Option<String>,
    /// Its version on the ledger.
    pub(crate) version: u64,
    /// HL7 v3 code.
    pub(crate) purpose: String,
    /// In seconds since the epoch.
    pub(crate) not_before: u64,
    /// In seconds since the epoch.
    pub(crate) expires: u64,
    pub(crate) accept_first: bool,
    pub(crate) no_retention: bool,
    pub(crate) from_bucket: bool,
    /// Has the grantee accepted it?
    pub(crate) is_accepted: bool,
    /// Does it hold now?
    pub(crate) is_usable: bool,
    /// Why it does not.
    pub(crate) why: Option<String>,
    /// What its owner attests of the checks on that version, in a word, if that is known.
    pub(crate) verdict: Option<String>,
}

/// What is to be revoked: one grant, or all of a study.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Revoke {
    /// Sequence of a grant.
    pub(crate) grant: Option<u64>,
    /// Study Instance UID.
    pub(crate) study_uid: Option<String>,
    /// Of the study, those to this site only.
    pub(crate) to: Option<String>,
    /// One of [`words::REASONS`].
    pub(crate) reason: String,
}

/// What was revoked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Revocation {
    /// Sequences of the grants.
    pub(crate) grants: Vec<u64>,
    /// Sites that have cosigned it.
    pub(crate) cosigned: usize,
    /// Sites that were asked.
    pub(crate) witnesses: usize,
}

impl Site {
    /// Grants to this site, by owner and sequence, as of `now` (seconds since the epoch).
    pub(crate) fn received_grants(&self, now: u64) -> Vec<ReceivedGrant> {
        let own = self.id();
        let owners: Vec<SiteId> = self.peers().iter().map(|peer| peer.site).collect();
        self.with_federation(|federation| {
            let mut received = Vec::new();
            for owner in owners {
                let Some(member) = federation.member(&owner) else { continue };
                let to_us = member.state.grants().filter(|(_, grant)| grant.grantee == own);
                received.extend(to_us.map(|(sequence, record)| {
                    let link = Link { site: owner, sequence, leaf: record.leaf };
                    let status = federation.evaluate_grant(&owner, sequence, now).map(|_| ());
                    let is_accepted = has_accepted(federation, &own, &link);
                    ReceivedGrant { owner, link, record: *record, status, is_accepted }
                }));
            }
            received
        })
    }

    /// Versions of this site's studies that another may read now, whatever for.
    pub(crate) fn granted_to(&self, reader: &SiteId) -> Vec<(StudyId, u64)> {
        let (own, at) = (self.id(), now());
        self.with_federation(|federation| {
            let Some(member) = federation.member(&own) else { return Vec::new() };
            let to_it = member.state.grants().filter(|(_, grant)| grant.grantee == *reader);
            let holds = |sequence| federation.evaluate_grant(&own, sequence, at).is_ok();
            let mut granted: Vec<_> = to_it
                .filter(|(sequence, _)| holds(*sequence))
                .map(|(_, grant)| (grant.study, grant.version))
                .collect();
            granted.sort_unstable();
            granted.dedup();
            granted
        })
    }

    /// Opens what a grant to this site seals, and checks it against the owner's log. Blocks on the disk.
    pub(crate) fn open_grant(&self, grant: &ReceivedGrant) -> Result<Opening> {
        let size = self.with_view(&grant.owner, |view| view.state.next());
        let size = size.ok_or(Fault::NoMirror(grant.owner))?;
        let reader = TileReader::new(&self.folder.mirror(&grant.owner), size);
        let sealed = sealed_at(&reader, &grant.link)?;
        self.unseal(&grant.owner, &sealed, (grant.record.study, grant.record.version))
    }

    /// What the owner's log says that a version commits to.
    pub(super) fn commitment(
        &self,
        owner: &SiteId,
        reader: &TileReader,
        (study, version): (StudyId, u64),
    ) -> Result<Commitment> {
        let last = self.with_view(owner, |view| view.state.study(&study).copied()).flatten();
        if let Some(last) = last.filter(|last| last.version == version) {
            return Ok(last.commitment);
        }
        // An earlier version: it stands somewhere before its successor, most likely near the end.
        let mut end = reader.size();
        while end > 0 {
            let start = (end - 1) / TILE_WIDTH * TILE_WIDTH;
            for bytes in reader.entries(start..end)?.iter().rev() {
                let signed = SignedEntry::decode(bytes)?;
                if let Some(commitment) = commits(&signed, owner, study, version) {
                    return Ok(commitment);
                }
            }
            end = start;
        }
        Err(Fault::NoGrant(format!("the log of {owner} has no such version")).into())
    }

    /// Lists grants given and received, by time of giving.
    pub(crate) fn grants(&self, catalog: Option<&dyn Catalog>) -> Result<Vec<GrantLine>> {
        let (own, at) = (self.id(), now());
        let mut names = BTreeMap::new();
        let mut uids = BTreeMap::new();
        if let Some(catalog) = catalog {
            for edition in catalog.editions().editions(None)? {
                uids.insert((own, edition.study), edition.study_uid);
            }
            for fetched in catalog.editions().all_fetched(None)? {
                uids.insert((SiteId(fetched.owner), fetched.study), fetched.study_uid);
            }
        }
        for peer in self.peers() {
            names.insert(peer.site, peer.name);
        }
        let line = |owner: SiteId, link: Link, record: &GrantRecord, accepted, status| {
            let status: std::result::Result<(), Denial> = status;
            let site = if owner == own { record.grantee } else { owner };
            let uid = uids.get(&(owner, record.study.0)).filter(|uid| !uid.is_empty());
            GrantLine {
                is_given: owner == own,
                grant: link.sequence,
                site: site.to_string(),
                site_name: names.get(&site).cloned().unwrap_or_else(|| site.to_string()),
                study: record.study.to_string(),
                study_uid: uid.cloned(),
                version: record.version,
                purpose: record.purpose.code().to_owned(),
                not_before: record.not_before,
                expires: record.expires,
                accept_first: record.conditions.accept_first,
                no_retention: record.conditions.no_retention,
                from_bucket: record.conditions.from_bucket,
                is_accepted: accepted,
                is_usable: status.is_ok(),
                why: status.err().map(|denial| denial.to_string()),
                verdict: None,
            }
        };
        let mut lines = self.with_federation(|federation| {
            let Some(member) = federation.member(&own) else { return Vec::new() };
            let given = member.state.grants().map(|(sequence, record)| {
                let link = Link { site: own, sequence, leaf: record.leaf };
                let status = federation.evaluate_grant(&own, sequence, at).map(|_| ());
                let accepted = has_accepted(federation, &record.grantee, &link);
                line(own, link, record, accepted, status)
            });
            given.collect()
        });
        for received in self.received_grants(at) {
            let ReceivedGrant { owner, link, record, status, is_accepted } = received;
            lines.push(line(owner, link, &record, is_accepted, status));
        }
        for line in &mut lines {
            let owner = if line.is_given { Some(own) } else { SiteId::from_hex(&line.site) };
            let study = StudyId::from_hex(&line.study);
            let attested = owner.zip(study).and_then(|(owner, study)| {
                self.attested(&owner, &study, line.version).map(str::to_owned)
            });
            line.verdict = attested;
        }
        lines.sort_by_key(|line| (line.not_before, line.grant));
        Ok(lines)
    }

    /// Accepts a grant to this site with its conditions.
    pub(super) fn accept(&self, from: &str, sequence: u64) -> Result<u64> {
        let peer = self.find_peer(from)?;
        let received = self.received_grants(now());
        let meant = received
            .iter()
            .find(|grant| grant.owner == peer.site && grant.link.sequence == sequence);
        let none = || Fault::NoGrant(format!("{sequence} of {}", peer.name));
        let grant = meant.ok_or_else(none)?;
        let logged = self.append(Body::Accept(Accept { grant: grant.link }))?;
        Ok(logged.link.sequence)
    }

    /// Revokes what is meant; counts at once here, and elsewhere as soon as it is mirrored.
    pub(super) fn revoke(
        &self,
        catalog: Option<&dyn Catalog>,
        revoke: &Revoke,
    ) -> Result<Vec<u64>> {
        let reason = words::revoke_reason(&revoke.reason)?;
        let grants = match (revoke.grant, &revoke.study_uid) {
            (Some(grant), _) => vec![grant],
            (None, Some(uid)) => self.grants_of_study(catalog, uid, revoke.to.as_deref())?,
            (None, None) => Vec::new(),
        };
        if grants.is_empty() {
            return Err(Fault::NoGrant("none of it holds".into()).into());
        }
        self.check_trouble()?;
        let bodies = grants.iter().map(|grant| Body::Revoke(RevokeBody { grant: *grant, reason }));
        let logged = self.log.append_all(bodies.collect());
        self.grew();
        for logged in logged {
            logged?;
        }
        Ok(grants)
    }

    /// Grants of a study that are neither revoked nor over.
    fn grants_of_study(
        &self,
        catalog: Option<&dyn Catalog>,
        study_uid: &str,
        to: Option<&str>,
    ) -> Result<Vec<u64>> {
        let to = to.map(|to| self.find_peer(to)).transpose()?.map(|peer| peer.site);
        let catalog = catalog.ok_or(Fault::NoArchive)?;
        let mut studies: Vec<_> = catalog.editions().editions(Some(study_uid))?;
        studies.dedup_by_key(|edition| edition.study);
        let at = now();
        Ok(self.with_state(|state: &SiteState| {
            let mut grants: Vec<u64> = studies
                .iter()
                .flat_map(|edition| state.grants_of(StudyId(edition.study)))
                .filter(|(_, grant)| grant.revoked.is_none() && grant.expires > at)
                .filter(|(_, grant)| to.is_none_or(|to| grant.grantee == to))
                .map(|(sequence, _)| sequence)
                .collect();
            grants.sort_unstable();
            grants.dedup();
            grants
        }))
    }
}

fn has_accepted(federation: &Federation<'_>, grantee: &SiteId, link: &Link) -> bool {
    federation.member(grantee).is_some_and(|member| member.state.has_accepted(link))
}

/// What the grant at a place of a log seals.
fn sealed_at(reader: &TileReader, link: &Link) -> Result<Sealed> {
    let entries = reader.entries(link.sequence..link.sequence + 1)?;
    let bytes = entries.first().ok_or(Fault::NoEntry(link.sequence))?;
    let signed = SignedEntry::decode(bytes)?;
    match &signed.entry().body {
        Body::Grant(grant) if signed.leaf() == link.leaf => Ok(grant.opening.clone()),
        _ => Err(Fault::NoEntry(link.sequence).into()),
    }
}

fn commits(
    signed: &SignedEntry,
    owner: &SiteId,
    study: StudyId,
    version: u64,
) -> Option<Commitment> {
    match &signed.entry().body {
        Body::Register(body) if version == 1 => {
            (StudyId::derive(owner, &body.salt) == study).then_some(body.commitment)
        }
        Body::Supersede(body) if body.study == study && body.version == version => {
            Some(body.commitment)
        }
        Body::TransferIn(body) if body.study == study && body.version == version => {
            Some(body.commitment)
        }
        _ => None,
    }
}
