//! Who is behind an association, where that is asked for (PS3.7 §D.3.3.7).
//!
//! | type | what it is | taken |
//! |---|---|---|
//! | 1 | user name | of users that need no passcode |
//! | 2 | user name and passcode | of users in the file of users |
//! | 3, 4 | Kerberos, SAML | never |
//! | 5 | JSON Web Token | for this server; signed with the key that the settings name, or by the login provider |
//!
//! Neither what was offered nor why it is wrong is in any log or answer.

mod logins;
mod tokens;
mod users;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use super::pdu::Identity;
use crate::reread::{Reread, Unusable};
pub(crate) use logins::Logins;
pub(crate) use tokens::TokenSource;
use tokens::Tokens;
use users::Users;
pub(crate) use users::{NotHashed, line};

/// User identity types (PS3.7 table D.3-14).
const NAME: u8 = 1;
const NAME_AND_PASSCODE: u8 = 2;
const TOKEN: u8 = 5;

/// Longest name of a user, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Must a caller say who it is?
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Demand {
    /// What it says is passed over.
    #[default]
    Ignored,
    /// It may; a wrong identity is refused all the same, one of another type is passed over.
    Optional,
    /// Yes.
    Required,
}

/// Where users are known from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    /// Must a caller say who it is?
    pub(crate) demand: Demand,
    /// File of users.
    pub(crate) users: Option<PathBuf>,
    /// Whose tokens count.
    pub(crate) tokens: Option<TokenSource>,
}

/// Why an identity does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Refused {
    /// There is none.
    #[error("no user identity was sent")]
    Missing,
    /// It is of a type that is not taken here.
    #[error("a user identity is of a type that is not taken here")]
    Type,
    /// It is not true.
    #[error("a user identity is wrong")]
    Wrong,
    /// Whoever could tell is out of reach.
    #[error("the login provider does not answer, so a user identity cannot be looked at")]
    Unknown,
}

/// See the [module](self).
pub(crate) struct Identities {
    demand: Demand,
    users: Option<Reread<Arc<Users>>>,
    tokens: Option<Reread<Arc<Tokens>>>,
    logins: Option<Logins>,
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without hashes.
        f.debug_struct("Identities").field("demand", &self.demand).finish_non_exhaustive()
    }
}

impl Identities {
    /// Reads the files.
    pub(crate) fn load(sources: Sources) -> Result<Self, Unusable> {
        let users = sources
            .users
            .map(|path| Reread::new(vec![path.clone()], move || Users::read(&path).map(Arc::new)));
        let tokens = sources.tokens.map(|source| {
            Reread::new(vec![source.key.clone()], move || Tokens::read(&source).map(Arc::new))
        });
        let (users, tokens) = (users.transpose()?, tokens.transpose()?);
        Ok(Self { demand: sources.demand, users, tokens, logins: None })
    }

    /// And those whom the login provider knows.
    pub(crate) fn with(self, logins: Option<Logins>) -> Self {
        Self { logins, ..self }
    }

    /// Whose identity it is; `None` if none was asked for.
    pub(super) fn check(&self, offered: Option<&Identity>) -> Result<Option<String>, Refused> {
        match (self.demand, offered) {
            (Demand::Ignored, _) | (Demand::Optional, None) => Ok(None),
            (Demand::Required, None) => Err(Refused::Missing),
            (demand, Some(identity)) => match self.user(identity) {
                // Nobody in particular: it gains nothing by it, and is not told that it was taken.
                Err(Refused::Type) if demand == Demand::Optional => Ok(None),
                checked => checked.map(Some),
            },
        }
    }

    fn user(&self, identity: &Identity) -> Result<String, Refused> {
        match (identity.kind, &self.users, &self.tokens) {
            (NAME, Some(users), _) => users.now().name(name(&identity.primary)?),
            (NAME_AND_PASSCODE, Some(users), _) => {
                users.now().passcode(name(&identity.primary)?, &identity.secondary)
            }
            (TOKEN, _, Some(tokens)) => {
                let by_key = tokens.now().user(&identity.primary);
                by_key.or_else(|wrong| self.login(&identity.primary).unwrap_or(Err(wrong)))
            }
            (TOKEN, ..) => self.login(&identity.primary).unwrap_or(Err(Refused::Type)),
            _ => Err(Refused::Type),
        }
    }

    /// Whom the login provider's token is about; `None`: no such provider counts here.
    fn login(&self, token: &[u8]) -> Option<Result<String, Refused>> {
        self.logins.as_ref().map(|logins| logins.user(token))
    }
}

/// A user name is UTF-8 (PS3.7 table D.3-14).
fn name(bytes: &[u8]) -> Result<&str, Refused> {
    std::str::from_utf8(bytes).map_err(|_| Refused::Wrong)
}
