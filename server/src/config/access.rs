//! `[dimse]`: TLS, identities, and `[[dimse.rules]]`.

use std::net::IpAddr;
use std::path::PathBuf;

use cairn_dicom::query::wildcard::Wildcard;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::dimse::{DimseSection, fault, words};
use crate::dimse::{
    ClientCertificates, Demand, Files, Identities, Rule, Services, Sources, Tls, TokenSource,
    capitals,
};
use crate::error::{Error, Result};
use crate::reread::Unusable;

/// Rules that are looked at for each association.
const RULES_MAX: usize = 1000;

/// `"required"`, `"optional"` or `"none"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DemandWord {
    Required,
    Optional,
    None,
}

/// One of `[[dimse.rules]]`: whom it is about, and what these may do. Lists have commas between.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RuleSection {
    /// Calling AE titles; `*` is any run of characters, `?` is one.
    pub(crate) calling: String,
    /// Networks or addresses: `10.1.0.0/16`, `fd00::/8`.
    pub(crate) network: String,
    /// Only over TLS (true), or only without (false).
    pub(crate) tls: Option<bool>,
    /// Users whose identity was checked; wildcards as with `calling`.
    pub(crate) user: String,
    /// What they may do: `echo`, `store`, `find`, `get`, `move`, `commit`, `all`.
    pub(crate) allow: String,
    /// What they may not do.
    pub(crate) deny: String,
    /// Destinations of C-MOVE about which the rule is.
    pub(crate) destinations: String,
    /// Associations that each calling AE title may have open at once.
    pub(crate) associations_max: Option<usize>,
}

impl RuleSection {
    fn rule(&self, number: usize) -> Result<Rule> {
        let wrong = |why: String| fault("dimse.rules", format!("rule {number}: {why}"));
        let (allow, deny) = (services(&self.allow, wrong)?, services(&self.deny, wrong)?);
        if allow == Services::NONE && deny == Services::NONE && self.associations_max.is_none() {
            let why = "it says nothing: allow, deny and associations_max are missing";
            return Err(wrong(why.into()));
        }
        if self.associations_max == Some(0) {
            return Err(wrong(
                "associations_max is at least 1; deny = \"all\" lets nobody in".into(),
            ));
        }
        let networks = words(&self.network).map(|word| {
            let network = word.parse().or_else(|_| word.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| wrong(format!("{word} is no network and no address")))
        });
        Ok(Rule {
            calling: patterns(&capitals(&self.calling), wrong)?,
            networks: networks.collect::<Result<_>>()?,
            tls: self.tls,
            users: patterns(&self.user, wrong)?,
            allow,
            deny,
            destinations: patterns(&capitals(&self.destinations), wrong)?,
            associations_max: self.associations_max,
        })
    }
}

fn services(list: &str, wrong: impl Fn(String) -> Error) -> Result<Services> {
    words(list).try_fold(Services::NONE, |known, word| {
        let service = Services::named(word).ok_or_else(|| {
            wrong(format!("{word} is none of echo, store, find, get, move, commit, all"))
        })?;
        Ok(known.and(service))
    })
}

fn patterns(list: &str, wrong: impl Fn(String) -> Error) -> Result<Vec<Wildcard>> {
    let pattern = |word| Wildcard::new(word).ok_or_else(|| wrong(format!("{word} is too long")));
    words(list).map(pattern).collect()
}

impl DimseSection {
    /// Refuses what cannot go together. No file is read for that.
    pub(super) fn check_access(&self) -> Result<()> {
        let (certificate, key) = (!self.tls_certificate.is_empty(), !self.tls_key.is_empty());
        if certificate != key {
            let (setting, other) = if key {
                ("dimse.tls_certificate", "dimse.tls_key")
            } else {
                ("dimse.tls_key", "dimse.tls_certificate")
            };
            return Err(fault(setting, format!("it is missing, and {other} is not")));
        }
        let listens = self.tls_address()?.is_some();
        if listens && !certificate {
            let why = "it is missing: a server that listens for TLS shows a certificate";
            return Err(fault("dimse.tls_certificate", why.into()));
        }
        if listens && self.tls_clients != DemandWord::None && self.tls_trusted.is_empty() {
            let why = "it is missing: client certificates are asked for, and nobody is trusted; \
                tls_clients = \"none\" asks for none";
            return Err(fault("dimse.tls_trusted", why.into()));
        }
        if self.peers()?.iter().any(|peer| peer.tls) && self.tls_trusted.is_empty() {
            let why = "it is missing: a peer is reached over TLS, and nobody is trusted";
            return Err(fault("dimse.tls_trusted", why.into()));
        }
        let jwt = !self.identity_jwt_key.is_empty();
        let none = self.identity_users.is_empty() && !jwt && !self.identity_login;
        if self.identity != DemandWord::None && none {
            let why = "identities are asked for, and neither identity_users nor identity_jwt_key \
                nor identity_login says whose count";
            return Err(fault("dimse.identity", why.into()));
        }
        for (setting, value) in [
            ("dimse.identity_jwt_issuer", &self.identity_jwt_issuer),
            ("dimse.identity_jwt_audience", &self.identity_jwt_audience),
            ("dimse.identity_jwt_claim", &self.identity_jwt_claim),
        ] {
            if jwt && value.is_empty() {
                return Err(fault(setting, "it is missing, and identity_jwt_key is not".into()));
            }
        }
        self.rules().map(|_| ())
    }

    /// `[[dimse.rules]]`.
    pub(super) fn rules(&self) -> Result<Vec<Rule>> {
        if self.rules.len() > RULES_MAX {
            return Err(fault("dimse.rules", format!("there are more than {RULES_MAX}")));
        }
        self.rules.iter().enumerate().map(|(n, rule)| rule.rule(n + 1)).collect()
    }

    /// Keys and certificates, read from their files; `None` if nothing here is done over TLS.
    pub(super) fn tls(&self) -> Result<Option<Tls>> {
        let is_needed = self.tls_address()?.is_some() || self.peers()?.iter().any(|peer| peer.tls);
        if !is_needed {
            return Ok(None);
        }
        let own = (!self.tls_certificate.is_empty())
            .then(|| (PathBuf::from(&self.tls_certificate), PathBuf::from(&self.tls_key)));
        let files = Files {
            own,
            trusted: named(&self.tls_trusted),
            clients: match self.tls_clients {
                // Nobody calls.
                _ if self.tls_address()?.is_none() => ClientCertificates::None,
                DemandWord::Required => ClientCertificates::Required,
                DemandWord::Optional => ClientCertificates::Optional,
                DemandWord::None => ClientCertificates::None,
            },
        };
        Ok(Some(Tls::load(files)?))
    }

    /// Who is behind an association, as files say it; `None` if that is not asked for.
    pub(crate) fn identities(&self) -> Result<Option<Identities>> {
        let demand = match self.identity {
            DemandWord::None => return Ok(None),
            DemandWord::Optional => Demand::Optional,
            DemandWord::Required => Demand::Required,
        };
        let tokens = named(&self.identity_jwt_key).map(|key| TokenSource {
            key,
            issuer: self.identity_jwt_issuer.clone(),
            audience: self.identity_jwt_audience.clone(),
            claim: self.identity_jwt_claim.clone(),
        });
        let sources = Sources { demand, users: named(&self.identity_users), tokens };
        Ok(Some(Identities::load(sources)?))
    }
}

impl From<Unusable> for Error {
    fn from(Unusable { setting, why }: Unusable) -> Self {
        Self::Config { place: setting.to_owned(), why }
    }
}

fn named(path: &str) -> Option<PathBuf> {
    (!path.is_empty()).then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn section(text: &str) -> Result<DimseSection> {
        let section: DimseSection = toml::from_str(text).unwrap();
        section.check().map(|()| section)
    }

    #[test]
    fn rules_are_read_or_named() {
        let text = "[[rules]]\ncalling = 'ct*, MR?'\nnetwork = '10.0.0.0/8, 192.168.1.7'\n\
            allow = 'store,commit'\nassociations_max = 4\n\
            [[rules]]\ntls = false\ndeny = 'all'\n";
        let rules = section(text).unwrap().rules().unwrap();
        assert_eq!(rules.len(), 2);
        assert!(rules[0].calling[0].matches("CT1") && rules[0].calling[1].matches("MR1"));
        assert_eq!(rules[0].networks[1].to_string(), "192.168.1.7/32");
        assert_eq!((rules[1].tls, rules[1].deny), (Some(false), Services::ALL));
        for (bad, word) in [
            ("allow = 'stor'", "stor"),
            ("calling = 'X'", "says nothing"),
            ("allow = 'all'\nnetwork = '10.0.0.0/33'", "10.0.0.0/33"),
            ("allow = 'all'\nassociations_max = 0", "at least 1"),
        ] {
            let why = section(&format!("[[rules]]\ndeny = 'find'\n[[rules]]\n{bad}\n"));
            let why = why.unwrap_err().to_string();
            assert!(why.contains("rule 2") && why.contains(word), "{why}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (text, setting) in [
            ("tls_listen = '127.0.0.1:2762'", "dimse.tls_certificate"),
            ("tls_certificate = 'a'", "dimse.tls_key"),
            ("tls_key = 'a'", "dimse.tls_certificate"),
            (
                "tls_listen = '127.0.0.1:2762'\ntls_certificate = 'a'\ntls_key = 'b'",
                "dimse.tls_trusted",
            ),
            ("peers = 'A@tls://h:1'", "dimse.tls_trusted"),
            ("tls_listen = 'h'", "dimse.tls_listen"),
            ("identity = 'required'", "dimse.identity"),
            ("identity = 'optional'\nidentity_jwt_key = 'k'", "dimse.identity_jwt_issuer"),
        ] {
            let why = section(text).unwrap_err();
            assert!(why.to_string().starts_with(&format!("{setting}:")), "{text}: {why}");
            assert_eq!(why.exit_code(), 2);
        }
    }
}
