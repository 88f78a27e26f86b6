//! `[identity]` and `[identity.roles.NAME]`: who is let in over HTTP, and what they may do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde::{Deserialize, Serialize};

use super::dimse::{fault, words};
use crate::error::Result;
use crate::identity::jwt::{ASYMMETRIC, Terms};
use crate::identity::{
    Claims, Identity, Issuer, Permissions, Provider, Role, Roles, Source, is_safe,
};
use crate::reread;

/// Clocks that are further apart are wrong, and a token lives longer than its issuer says.
const SKEW_SECONDS_MAX: u64 = 300;
/// Longest name of a role.
const ROLE_BYTES_MAX: usize = 64;
const TRUSTED: &str = "identity.trusted";

/// `[identity]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct IdentitySection {
    /// Has whoever asks to show a token?
    pub(crate) required: RequiredWord,
    /// The `iss` of tokens that count; empty: none but service tokens do.
    pub(crate) issuer: String,
    /// The `aud` that they have to have.
    pub(crate) audience: String,
    /// URL of the issuer's keys; empty: it says where they are.
    pub(crate) keys_url: String,
    /// File of certificates in PEM that count for that URL besides the system's.
    pub(crate) trusted: String,
    /// Signatures that count, with commas between.
    pub(crate) algorithms: String,
    /// How far the issuer's clock and ours may be apart.
    pub(crate) skew_seconds: u64,
    /// After how long the issuer's keys are asked for again.
    pub(crate) keys_seconds: u64,
    /// The claim that names whom a token is about.
    pub(crate) name_claim: String,
    /// The claim with their roles; a path with points where it lies deeper.
    pub(crate) roles_claim: String,
    /// The claim with the token's scopes.
    pub(crate) scopes_claim: String,
    /// The claim with the only studies that a token is for; empty: there is none.
    pub(crate) studies_claim: String,
    /// The claim with the groups that answer together for emergency accesses; empty: the roles here that
    /// allow them.
    pub(crate) groups_claim: String,
    /// Roles by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) roles: BTreeMap<String, RoleSection>,
}

/// `[identity.roles.NAME]`. Lists have commas between.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RoleSection {
    /// Values in the claim of roles that give it.
    pub(crate) claims: String,
    /// Scopes that give it.
    pub(crate) scopes: String,
    /// What it allows: `search`, `read`, `store`, `delete`, `commit`, `metrics`,
    /// `break-glass`, `privacy`, `all`.
    pub(crate) allow: String,
}

/// `"auto"`, `"always"` or `"never"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RequiredWord {
    /// Where an issuer is set, or the port is not of this machine alone.
    Auto,
    Always,
    /// Something before this server asks.
    Never,
}

impl Default for IdentitySection {
    fn default() -> Self {
        Self {
            required: RequiredWord::Auto,
            issuer: String::new(),
            audience: String::new(),
            keys_url: String::new(),
            trusted: String::new(),
            algorithms: "RS256,PS256,ES256,EdDSA".into(),
            skew_seconds: 60,
            keys_seconds: 300,
            name_claim: "sub".into(),
            roles_claim: "roles".into(),
            scopes_claim: "scope".into(),
            studies_claim: String::new(),
            groups_claim: String::new(),
            roles: BTreeMap::new(),
        }
    }
}

impl IdentitySection {
    /// Refuses what cannot be used. No file is read for that.
    pub(super) fn check(&self) -> Result<()> {
        let bounds = [
            ("identity.skew_seconds", self.skew_seconds, 0, SKEW_SECONDS_MAX),
            ("identity.keys_seconds", self.keys_seconds, 5, 86_400),
        ];
        for (key, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(fault(key, format!("{value} is not between {least} and {most}")));
            }
        }
        if self.issuer.is_empty() {
            for (setting, value) in
                [("identity.audience", &self.audience), ("identity.keys_url", &self.keys_url)]
            {
                if !value.is_empty() {
                    return Err(fault(setting, "it is set, and identity.issuer is not".into()));
                }
            }
        } else {
            self.check_issuer()?;
        }
        self.algorithms()?;
        self.roles().map(|_| ())
    }

    fn check_issuer(&self) -> Result<()> {
        for (setting, value) in [
            ("identity.audience", &self.audience),
            ("identity.name_claim", &self.name_claim),
            ("identity.roles_claim", &self.roles_claim),
            ("identity.scopes_claim", &self.scopes_claim),
        ] {
            if value.is_empty() {
                return Err(fault(setting, "it is missing, and identity.issuer is not".into()));
            }
        }
        let (setting, url) = if self.keys_url.is_empty() {
            ("identity.issuer", &self.issuer)
        } else {
            ("identity.keys_url", &self.keys_url)
        };
        if !is_safe(url) {
            let why =
                "keys are asked for there, so it has to be an https URL (http on this machine)";
            return Err(fault(setting, why.into()));
        }
        Ok(())
    }

    fn algorithms(&self) -> Result<Vec<Algorithm>> {
        let known = |word: &str| {
            let known = word.parse().ok().filter(|algorithm| ASYMMETRIC.contains(algorithm));
            known.ok_or_else(|| {
                let why = format!("{word} is none of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA");
                fault("identity.algorithms", why)
            })
        };
        let algorithms: Vec<Algorithm> =
            words(&self.algorithms).map(known).collect::<Result<_>>()?;
        if algorithms.is_empty() {
            return Err(fault("identity.algorithms", "no signature would count".into()));
        }
        Ok(algorithms)
    }

    /// All roles.
    pub(crate) fn roles(&self) -> Result<Roles> {
        let role = |(name, section): (&String, &RoleSection)| {
            let place = format!("identity.roles.{name}");
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            if !(1..=ROLE_BYTES_MAX).contains(&name.len()) || !name.bytes().all(plain) {
                let why = "a role's name has letters, digits, points, dashes and underscores";
                return Err(fault(&place, why.into()));
            }
            let allow = words(&section.allow).try_fold(Permissions::NONE, |all, word| {
                let named = Permissions::named(word).ok_or_else(|| {
                    let why = "is none of search, read, store, delete, commit, metrics, all";
                    fault(&place, format!("{word} {why}"))
                })?;
                Ok::<_, crate::error::Error>(all.and(named))
            })?;
            let list = |text: &str| words(text).map(str::to_owned).collect();
            let (claims, scopes) = (list(&section.claims), list(&section.scopes));
            Ok((name.clone(), Role { claims, scopes, allow }))
        };
        Ok(Roles::new(self.roles.iter().map(role).collect::<Result<_>>()?))
    }

    /// Has whoever asks at this address to show a token?
    pub(crate) fn is_required(&self, address: SocketAddr) -> bool {
        match self.required {
            RequiredWord::Always => true,
            RequiredWord::Never => false,
            RequiredWord::Auto => {
                !self.issuer.is_empty() || !address.ip().to_canonical().is_loopback()
            }
        }
    }

    /// Who is let in at this address.
    pub(crate) fn identity(
        &self,
        address: SocketAddr,
        data: &Path,
        issuer: Option<Issuer>,
    ) -> Result<Identity> {
        if !self.is_required(address) {
            return Ok(Identity::open());
        }
        Ok(Identity::closed(issuer, self.roles()?, data))
    }

    /// The login provider, if there is one. Reads files, and asks nobody.
    pub(crate) fn issuer(&self) -> Result<Option<Issuer>> {
        if self.issuer.is_empty() {
            return Ok(None);
        }
        let terms = Terms {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            algorithms: self.algorithms()?,
            skew: Duration::from_secs(self.skew_seconds),
        };
        let trusted = match self.trusted.as_str() {
            "" => Vec::new(),
            path => reread::read(TRUSTED, &PathBuf::from(path))?,
        };
        let source = Source {
            keys_url: (!self.keys_url.is_empty()).then(|| self.keys_url.clone()),
            trusted,
            refresh: Duration::from_secs(self.keys_seconds),
        };
        let provider = Provider::new(terms, source).map_err(|why| fault(TRUSTED, why))?;
        let claims = Claims {
            name: self.name_claim.clone(),
            roles: self.roles_claim.clone(),
            scopes: self.scopes_claim.clone(),
            studies: self.studies_claim.clone(),
            groups: self.groups_claim.clone(),
        };
        Ok(Some((Arc::new(provider), claims)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn section(text: &str) -> Result<IdentitySection> {
        let section: IdentitySection = toml::from_str(text).unwrap();
        section.check().map(|()| section)
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (text, setting) in [
            ("audience = 'a'", "identity.audience"),
            ("issuer = 'https://h'", "identity.audience"),
            ("issuer = 'http://h.example'\naudience = 'a'", "identity.issuer"),
            (
                "issuer = 'x'\naudience = 'a'\nkeys_url = 'http://10.0.0.1/keys'",
                "identity.keys_url",
            ),
            ("algorithms = 'HS256'", "identity.algorithms"),
            ("algorithms = 'none'", "identity.algorithms"),
            ("algorithms = ''", "identity.algorithms"),
            ("skew_seconds = 301", "identity.skew_seconds"),
            ("[roles.a]\nallow = 'reed'", "identity.roles.a"),
            ("[roles.'a b']\nallow = 'read'", "identity.roles.a b"),
        ] {
            let why = section(text).unwrap_err();
            assert!(why.to_string().starts_with(&format!("{setting}:")), "{text}: {why}");
            assert_eq!(why.exit_code(), 2);
        }
        let good = "issuer = 'x'\naudience = 'a'\nkeys_url = 'http://[::1]:8/keys'\n\
            [roles.reader]\nclaims = 'Radiology, MTRA'\nallow = 'search,read'\n";
        assert!(section(good).unwrap().roles().unwrap().has("reader"));
    }

    #[test]
    fn beyond_this_machine_nobody_is_let_in_unasked() {
        let [here, here6, mapped, there] =
            ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "0.0.0.0:1"]
                .map(|address| address.parse::<SocketAddr>().unwrap());
        let plain = section("").unwrap();
        assert!([here, here6, mapped].iter().all(|address| !plain.is_required(*address)));
        assert!(plain.is_required(there));
        assert!(section("required = 'always'").unwrap().is_required(here));
        assert!(!section("required = 'never'").unwrap().is_required(there));
        let issuer = section("issuer = 'https://h'\naudience = 'a'").unwrap();
        assert!(issuer.is_required(here));
    }
}
