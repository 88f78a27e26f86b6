//! JSON Web Tokens of the login provider whose tokens count over HTTP: the same keys, kept and asked for in
//! one place ([`crate::identity`]).

use std::sync::Arc;

use tokio::runtime::Handle;

use super::Refused;
use crate::identity::{NotGood, Provider, name_of};

/// See the [module](self).
pub(crate) struct Logins {
    provider: Arc<Provider>,
    /// The claim that names the user.
    claim: String,
    /// Where the provider is asked for its keys.
    runtime: Handle,
}

impl Logins {
    /// Those of this provider.
    pub(crate) fn new(provider: Arc<Provider>, claim: &str, runtime: Handle) -> Self {
        Self { provider, claim: claim.to_owned(), runtime }
    }

    /// The user that a token is about. Blocks while keys are asked for; not on a thread of the runtime.
    pub(super) fn user(&self, token: &[u8]) -> Result<String, Refused> {
        let token = std::str::from_utf8(token).map_err(|_| Refused::Wrong)?;
        let claims = self.runtime.block_on(self.provider.claims(token));
        let claims = claims.map_err(|why| match why {
            NotGood::Wrong(_) => Refused::Wrong,
            NotGood::NoKeys => Refused::Unknown,
        })?;
        name_of(&claims, &self.claim).map(str::to_owned).map_err(|_| Refused::Wrong)
    }
}
