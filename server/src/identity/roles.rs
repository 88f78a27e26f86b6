//! What somebody may do, and which role gives it to whom.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// One thing that somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    /// See what there is: searches, and counts.
    Search,
    /// Read objects, or pictures of them.
    Read,
    /// Put objects in.
    Store,
    /// Take them out.
    Delete,
    /// Ask whether objects are safe, and be told.
    Commit,
    /// Read the figures.
    Metrics,
    /// Open another site's study in an emergency, without a grant.
    BreakGlass,
    /// See who did, and review it.
    Privacy,
}

impl Permission {
    const ALL: [Self; 8] = [
        Self::Search,
        Self::Read,
        Self::Store,
        Self::Delete,
        Self::Commit,
        Self::Metrics,
        Self::BreakGlass,
        Self::Privacy,
    ];

    /// Its name in settings, answers and the audit log.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Read => "read",
            Self::Store => "store",
            Self::Delete => "delete",
            Self::Commit => "commit",
            Self::Metrics => "metrics",
            Self::BreakGlass => "break-glass",
            Self::Privacy => "privacy",
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// Some of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Permissions(u16);

impl Permissions {
    /// None of them.
    pub(crate) const NONE: Self = Self(0);
    /// All of them.
    pub(crate) const ALL: Self = Self(u16::MAX);

    /// Those of a word in the settings: one, or `all`.
    pub(crate) fn named(word: &str) -> Option<Self> {
        if word == "all" {
            return Some(Self::ALL);
        }
        let known = Permission::ALL.into_iter().find(|permission| permission.word() == word);
        known.map(|permission| Self(permission.bit()))
    }

    /// These, and those.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Is it among them?
    pub(crate) fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }
}

/// What a role gives, and to whom the issuer of tokens gives the role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Role {
    /// Values in the claim of roles, any of which gives it.
    pub(crate) claims: Vec<String>,
    /// OAuth scopes, any of which gives it.
    pub(crate) scopes: Vec<String>,
    /// What it allows.
    pub(crate) allow: Permissions,
}

/// All roles by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roles(BTreeMap<String, Role>);

impl Roles {
    /// Those of the settings beside the built-in ones, which no token of an issuer has unless a role of
    /// their name in the settings says so: another system's `admin` is not ours.
    pub(crate) fn new(configured: BTreeMap<String, Role>) -> Self {
        use Permission::{BreakGlass, Commit, Metrics, Privacy, Read, Search, Store};
        let of = |permissions: &[Permission]| {
            let allow = permissions
                .iter()
                .fold(Permissions::NONE, |all, permission| all.and(Permissions(permission.bit())));
            Role { allow, ..Role::default() }
        };
        let built_in = [
            ("reader", of(&[Search, Read])),
            ("writer", of(&[Store, Commit])),
            ("monitor", of(&[Metrics])),
            ("clinician", of(&[Search, Read, BreakGlass])),
            ("privacy-officer", of(&[Privacy])),
            ("admin", Role { allow: Permissions::ALL, ..Role::default() }),
        ];
        let mut roles: BTreeMap<String, Role> =
            built_in.into_iter().map(|(name, role)| (name.to_owned(), role)).collect();
        roles.extend(configured);
        Self(roles)
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Is there one of this name?
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// What these roles allow together. One that is not there any more allows nothing.
    pub(crate) fn of_names(&self, names: &[String]) -> Permissions {
        let allowed = names.iter().filter_map(|name| self.0.get(name)).map(|role| role.allow);
        allowed.fold(Permissions::NONE, Permissions::and)
    }

    /// Names of the roles that somebody has whom an issuer gives these roles and scopes.
    pub(crate) fn of_claims(&self, roles: &[&str], scopes: &[&str]) -> Vec<String> {
        let given = |role: &Role| {
            role.claims.iter().any(|claim| roles.contains(&claim.as_str()))
                || role.scopes.iter().any(|scope| scopes.contains(&scope.as_str()))
        };
        let given = self.0.iter().filter(|(_, role)| given(role));
        given.map(|(name, _)| name.clone()).collect()
    }

    /// Those of these roles that allow it.
    pub(crate) fn that_allow(&self, names: &[String], permission: Permission) -> Vec<String> {
        let allows = |name: &&String| {
            self.0.get(name.as_str()).is_some_and(|role| role.allow.has(permission))
        };
        names.iter().filter(allows).cloned().collect()
    }
}

/// The words of a claim: a list, or one text with blanks between. Its name may be a path with points
/// (`realm_access.roles`); the whole is tried first, as some issuers name claims by URLs.
pub(crate) fn words<'a>(claims: &'a Map<String, Value>, name: &str) -> Vec<&'a str> {
    match claim(claims, name) {
        Some(Value::String(text)) => text.split_ascii_whitespace().collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// A claim by its name or path.
pub(crate) fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    rest.split('.').try_fold(claims.get(first)?, |value, name| value.get(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_role_of_somebody_elses_admin_is_nothing_here() {
        let mut configured = BTreeMap::new();
        let radiologist = Role {
            claims: vec!["radiology".into()],
            scopes: vec!["imaging.read".into()],
            allow: Permissions::named("read").unwrap(),
        };
        configured.insert("radiologist".to_owned(), radiologist);
        let roles = Roles::new(configured);
        assert!(roles.of_claims(&["admin", "reader"], &["openid"]).is_empty());
        let of =
            |claims: &[&str], scopes: &[&str]| roles.of_names(&roles.of_claims(claims, scopes));
        assert!(of(&["radiology"], &[]).has(Permission::Read));
        let scoped = of(&[], &["imaging.read"]);
        assert!(scoped.has(Permission::Read) && !scoped.has(Permission::Delete));
        assert_eq!(roles.of_names(&["gone".into()]), Permissions::NONE);
        let names = ["monitor".into(), "writer".into(), "clinician".into()];
        assert!(roles.of_names(&names).has(Permission::Store));
        assert_eq!(roles.that_allow(&names, Permission::BreakGlass), ["clinician"]);
    }

    #[test]
    fn claims_by_name_by_path_and_as_text() {
        let claims = json!({
            "scope": "openid imaging.read", "roles": ["a", 7, "b"],
            "realm_access": { "roles": ["c"] }, "https://h.example/roles": ["d"], "odd": 7,
        });
        let claims = claims.as_object().unwrap();
        assert_eq!(words(claims, "scope"), ["openid", "imaging.read"]);
        assert_eq!(words(claims, "roles"), ["a", "b"]);
        assert_eq!(words(claims, "realm_access.roles"), ["c"]);
        assert_eq!(words(claims, "https://h.example/roles"), ["d"]);
        assert!(words(claims, "odd").is_empty() && words(claims, "realm_access.x.y").is_empty());
    }
}
