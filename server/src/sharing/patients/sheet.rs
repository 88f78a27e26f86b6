//! What a patient is told of their studies: on the sheet that is taken home when the key is bound, and
//! whenever they ask.

use std::collections::BTreeMap;

use cairn_ledger::entry::{Body, Outcome, SignedEntry};
use cairn_ledger::id::{SiteId, StudyId};
use cairn_ledger::order::Order;
use cairn_store::catalog::Catalog;
use serde::{Deserialize, Serialize};

use super::super::record::digits;
use super::super::site::Site;
use super::super::words;
use super::{Binding, Record};
use crate::clock::now;
use crate::error::Result;

/// Accesses of one study that are told, the last ones.
const ACCESSES_MAX: usize = 1000;

/// All that a patient needs to act on studies of one site, the key apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sheet {
    /// The site's id.
    pub(crate) site: String,
    /// Its name.
    pub(crate) name: String,
    /// The patient's public key.
    pub(crate) key: String,
    /// When this was told, in seconds since the epoch.
    pub(crate) told: u64,
    /// The studies that the key is bound to.
    pub(crate) studies: Vec<SheetStudy>,
    /// Sites that studies can be granted to, by name.
    pub(crate) sites: BTreeMap<String, String>,
}

/// One study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SheetStudy {
    /// Its name on the ledger.
    pub(crate) study: String,
    /// Its version there.
    pub(crate) version: u64,
    /// Study Instance UID; `None`: it is not here any more.
    pub(crate) study_uid: Option<String>,
    /// Study Date (YYYYMMDD), or empty.
    pub(crate) date: String,
    /// Study Description, or empty.
    pub(crate) description: String,
    /// Its modalities, with backslashes between.
    pub(crate) modalities: String,
    /// Opens the binding. Secret: with the public key it tells on the ledger whose study this is.
    pub(crate) blinding: String,
    /// The binding's entry in the site's log.
    pub(crate) entry: Option<u64>,
    /// The proof of that entry (C2SP tlog-proof), for third parties.
    pub(crate) proof: Option<String>,
    /// It is granted with the patient's signature only.
    pub(crate) required: bool,
    /// Who may read it, or might once.
    pub(crate) grants: Vec<SheetGrant>,
    /// Who has read it, the last ones.
    pub(crate) seen: Vec<StudySeen>,
}

/// A grant, as its patient sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SheetGrant {
    /// Its sequence in the site's log.
    pub(crate) grant: u64,
    /// Who may read.
    pub(crate) site: String,
    /// Its name.
    pub(crate) site_name: String,
    /// HL7 v3 code.
    pub(crate) purpose: String,
    /// In seconds since the epoch.
    pub(crate) not_before: u64,
    /// In seconds since the epoch.
    pub(crate) expires: u64,
    /// Since when it is revoked.
    pub(crate) revoked: Option<u64>,
    /// Does it hold now?
    pub(crate) is_usable: bool,
    /// Was it given because the patient signed?
    pub(crate) by_consent: bool,
}

/// Another site has read a study, or opened it in an emergency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StudySeen {
    /// Who.
    pub(crate) site: String,
    /// Its name.
    pub(crate) site_name: String,
    /// From when, in seconds since the epoch.
    pub(crate) began: u64,
    /// Until when.
    pub(crate) ended: u64,
    /// `verified`, `partial`, `mismatch`: a receipt; `emergency`: glass was broken, whatever came of it.
    pub(crate) how: String,
}

impl Site {
    /// What the holder of a key is told.
    pub(crate) fn sheet_of(&self, catalog: &dyn Catalog, key: &[u8; 32]) -> Result<Option<Sheet>> {
        self.patients.by_key(key).map(|record| self.sheet(catalog, &record)).transpose()
    }

    pub(super) fn sheet(&self, catalog: &dyn Catalog, record: &Record) -> Result<Sheet> {
        let names: BTreeMap<SiteId, String> =
            self.peers().into_iter().map(|peer| (peer.site, peer.name)).collect();
        // What is about to be bound is not bound yet: the ledger does not say so.
        let bindings = record.bindings.iter().filter(|binding| binding.entry.is_some());
        let studies = bindings
            .map(|binding| self.sheet_study(catalog, &names, binding))
            .collect::<Result<_>>()?;
        Ok(Sheet {
            site: self.id().to_string(),
            name: self.name(),
            key: digits(&record.key),
            told: now(),
            studies,
            sites: names.into_iter().map(|(site, name)| (name, site.to_string())).collect(),
        })
    }

    fn sheet_study(
        &self,
        catalog: &dyn Catalog,
        names: &BTreeMap<SiteId, String>,
        binding: &Binding,
    ) -> Result<SheetStudy> {
        let study = binding.study;
        let known = self.with_state(|state| state.study(&study).copied());
        let version = known.map_or(0, |known| known.version);
        let edition = catalog.editions().edition(&study.0, version)?;
        let mut told = SheetStudy {
            study: study.to_string(),
            version,
            study_uid: None,
            date: String::new(),
            description: String::new(),
            modalities: String::new(),
            blinding: digits(&binding.blinding.0),
            entry: binding.entry,
            proof: binding.entry.map(|entry| self.prove(entry, None)).transpose()?,
            required: known.and_then(|known| known.patient).is_some_and(|key| key.required),
            grants: self.sheet_grants(names, study),
            seen: self.seen(names, study)?,
        };
        if let Some(edition) = edition {
            catalog.studies(Some(&edition.study_uid), &mut |row| {
                told.study_uid = Some(row.study_uid);
                (told.date, told.description) = (row.study_date, row.description);
                told.modalities = row.modalities;
                Ok(())
            })?;
        }
        Ok(told)
    }

    fn sheet_grants(&self, names: &BTreeMap<SiteId, String>, study: StudyId) -> Vec<SheetGrant> {
        let (own, at) = (self.id(), now());
        self.with_federation(|federation| {
            let Some(member) = federation.member(&own) else { return Vec::new() };
            let line = |(sequence, grant): (u64, &cairn_ledger::state::GrantRecord)| SheetGrant {
                grant: sequence,
                site: grant.grantee.to_string(),
                site_name: name_of(names, &grant.grantee),
                purpose: grant.purpose.code().to_owned(),
                not_before: grant.not_before,
                expires: grant.expires,
                revoked: grant.revoked,
                is_usable: federation.evaluate_grant(&own, sequence, at).is_ok(),
                by_consent: grant.consent.is_some(),
            };
            member.state.grants_of(study).map(line).collect()
        })
    }

    /// Who has read a study, by what stands on ledgers.
    fn seen(&self, names: &BTreeMap<SiteId, String>, study: StudyId) -> Result<Vec<StudySeen>> {
        let own = self.id();
        let receipts = self.with_state(|state| state.receipts_of(study).collect::<Vec<_>>());
        let mut seen = Vec::new();
        for sequence in receipts.into_iter().rev().take(ACCESSES_MAX) {
            for bytes in self.log.entries(sequence..sequence + 1)? {
                let signed = SignedEntry::decode(&bytes)?;
                let Body::Receipt(receipt) = &signed.entry().body else { continue };
                let access = &receipt.access;
                if access.owner == own {
                    seen.push(StudySeen {
                        site: access.reader.to_string(),
                        site_name: name_of(names, &access.reader),
                        began: access.began,
                        ended: access.ended,
                        how: how(access.outcome).to_owned(),
                    });
                }
            }
        }
        self.with_federation(|federation| {
            for (site, member) in federation.sites() {
                let broken = member.state.broken();
                let here = broken.filter(|(_, it)| it.owner == own && it.study == study);
                seen.extend(here.map(|(_, it)| StudySeen {
                    site: site.to_string(),
                    site_name: name_of(names, site),
                    began: it.opened,
                    ended: it.expires,
                    how: "emergency".to_owned(),
                }));
            }
        });
        seen.sort_by_key(|it| it.began);
        Ok(seen)
    }
}

fn name_of(names: &BTreeMap<SiteId, String>, site: &SiteId) -> String {
    names.get(site).cloned().unwrap_or_else(|| site.to_string())
}

fn how(outcome: Outcome) -> &'static str {
    words::outcome_word(outcome)
}
