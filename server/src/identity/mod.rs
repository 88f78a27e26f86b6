//! Who asks, and what they may do.
//!
//! ```text
//! Authorization ─▶ bearer ─▶ provider (JWT: jwt, keys) ─▶ roles ─▶ Who ─▶ decide(who, route) ─▶ yes, 401, 403
//!                        └─▶ tokens (service tokens)  ──▶ roles ──┘
//! ```
//!
//! Invariants: what is not known or not allowed is refused; a decision is made in [`decide`] and nowhere
//! else; nothing of a token is in any log or answer; no network is needed to start.

mod bearer;
pub(crate) mod decide;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub(crate) mod jwt;
mod keys;
mod provider;
mod roles;
pub(crate) mod tokens;

use std::path::Path;
use std::sync::Arc;

use hyper::header::HeaderMap;
use serde_json::{Map, Value};

use bearer::Shown;
pub(crate) use decide::{Denied, Need, decide, need};
use jwt::Wrong;
pub(crate) use provider::{NotGood, Provider, Source, is_safe};
use roles::Permission;
pub(crate) use roles::{Permissions, Role, Roles};
use tokens::ServiceTokens;

/// Longest name of somebody, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Studies that one token may be for.
pub(crate) const STUDIES_MAX: usize = 1000;

/// Whose word somebody's name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The login provider's: a person, mostly.
    Login,
    /// This server's: a service token.
    Service,
}

/// Somebody who is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    /// Whose word the name is.
    pub(crate) kind: Kind,
    /// The name.
    pub(crate) name: String,
    /// What they may do.
    pub(crate) allow: Permissions,
    /// With which studies; `None`: with all.
    pub(crate) studies: Option<Vec<String>>,
    /// The groups that answer together for what they open in an emergency.
    pub(crate) groups: Vec<String>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// Somebody who showed nothing.
    Nobody,
    /// It is not asked here: the port is of this machine alone, or somebody else asks before.
    Anybody,
    /// Somebody who is known.
    Known(Principal),
    /// Another site, by the TLS key that it showed.
    Site([u8; 32]),
}

/// Which claims of a token say what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claims {
    /// The name.
    pub(crate) name: String,
    /// The roles.
    pub(crate) roles: String,
    /// The scopes.
    pub(crate) scopes: String,
    /// The only studies that the token is for; empty: there is no such claim.
    pub(crate) studies: String,
    /// The groups that answer together for emergency accesses; empty: the roles here that allow them do.
    pub(crate) groups: String,
}

/// A login provider, and what its tokens say by which claims.
pub(crate) type Issuer = (Arc<Provider>, Claims);

/// See the [module](self).
pub(crate) struct Identity {
    /// Is anybody let in who shows nothing?
    is_open: bool,
    provider: Option<Issuer>,
    tokens: Option<ServiceTokens>,
    roles: Roles,
}

impl Identity {
    /// Asks nobody.
    pub(crate) fn open() -> Self {
        let roles = Roles::new(std::collections::BTreeMap::default());
        Self { is_open: true, provider: None, tokens: None, roles }
    }

    /// Lets in who shows a token of this provider, or one of those of the archive in `data`.
    pub(crate) fn closed(provider: Option<Issuer>, roles: Roles, data: &Path) -> Self {
        Self { is_open: false, provider, tokens: Some(ServiceTokens::of(data)), roles }
    }

    /// Who sent these header fields.
    ///
    /// # Errors
    /// What was shown does not count, or cannot be looked at now. Who shows nothing is nobody.
    pub(crate) async fn who(&self, headers: &HeaderMap) -> Result<Who, NotGood> {
        if self.is_open {
            return Ok(Who::Anybody);
        }
        match (bearer::shown(headers), &self.provider, &self.tokens) {
            (Shown::Nothing, ..) => Ok(Who::Nobody),
            (Shown::Token(token), _, Some(known)) if tokens::is_ours(token) => {
                Ok(Who::Known(self.service(known, token)?))
            }
            (Shown::Token(token), Some((provider, names)), _) => {
                let claims = provider.claims(token).await?;
                Ok(Who::Known(self.principal(&claims, names)?))
            }
            (Shown::Token(_) | Shown::Odd, ..) => Err(Wrong::Shape.into()),
        }
    }

    fn service(&self, known: &ServiceTokens, token: &str) -> Result<Principal, Wrong> {
        let token = known.find(token).ok_or(Wrong::Key)?;
        if token.ends.is_some_and(|ends| ends <= crate::clock::now()) {
            return Err(Wrong::Expired);
        }
        Ok(Principal {
            kind: Kind::Service,
            allow: self.roles.of_names(&token.roles),
            groups: self.roles.that_allow(&token.roles, Permission::BreakGlass),
            name: token.name,
            studies: token.studies,
        })
    }

    fn principal(&self, claims: &Map<String, Value>, names: &Claims) -> Result<Principal, Wrong> {
        let name = name_of(claims, &names.name)?;
        let scopes = roles::words(claims, &names.scopes);
        let roles = self.roles.of_claims(&roles::words(claims, &names.roles), &scopes);
        let groups = if names.groups.is_empty() {
            self.roles.that_allow(&roles, Permission::BreakGlass)
        } else {
            let groups = roles::words(claims, &names.groups);
            groups.into_iter().map(crate::audit::clean).collect()
        };
        Ok(Principal {
            kind: Kind::Login,
            name: name.to_owned(),
            allow: self.roles.of_names(&roles),
            groups,
            studies: studies(claims, &names.studies)?,
        })
    }
}

/// Whom a token is about, by the claim of this name.
pub(crate) fn name_of<'a>(claims: &'a Map<String, Value>, claim: &str) -> Result<&'a str, Wrong> {
    let name = roles::claim(claims, claim).and_then(Value::as_str).ok_or(Wrong::Claims)?;
    let plain = !name.chars().any(char::is_control);
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    if fits && plain { Ok(name) } else { Err(Wrong::Claims) }
}

/// The only studies that a token is for. A claim that is there and names none is for none.
fn studies(claims: &Map<String, Value>, name: &str) -> Result<Option<Vec<String>>, Wrong> {
    if name.is_empty() || roles::claim(claims, name).is_none() {
        return Ok(None);
    }
    let named = roles::words(claims, name);
    if named.len() > STUDIES_MAX {
        return Err(Wrong::Claims);
    }
    Ok(Some(named.into_iter().map(str::to_owned).collect()))
}
