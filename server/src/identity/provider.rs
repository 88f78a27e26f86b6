//! The issuer whose tokens count, and its keys as they are now.
//!
//! Keys are asked for when a token needs them, never at the start: a server begins, and serves whoever
//! has a service token, while its provider is away. They are kept, looked at again every so often, and
//! once more when a token names one that is not known, as after a rotation; but not more often than
//! [`PAUSE`], whatever tokens anybody makes up. While the provider is away the keys that are known go on
//! counting, for [`STALE_MAX`].

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, redirect};
use serde_json::{Map, Value};
use thiserror::Error;

use super::jwt::{Key, Terms, Wrong};
use super::keys;

/// Between two tries to get keys.
const PAUSE: Duration = Duration::from_secs(5);
/// How long keys count when no new ones can be had. A key that its issuer withdrew meanwhile counts so
/// long too, which is why it is not longer; a weekend without the provider would cost everybody's access.
const STALE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Time for one answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer. Sets with chains of certificates in them have some 20 KiB.
const ANSWER_BYTES_MAX: usize = 512 << 10;
/// Where issuers say where their keys are (OpenID Connect Discovery 1.0 §4).
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Where keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// URL of the set of keys; `None`: the issuer says where.
    pub(crate) keys_url: Option<String>,
    /// Certificates of authorities in PEM that count besides the system's.
    pub(crate) trusted: Vec<u8>,
    /// After how long the set is asked for again.
    pub(crate) refresh: Duration,
}

/// Why a token cannot be said to be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum NotGood {
    /// It is not.
    #[error(transparent)]
    Wrong(#[from] Wrong),
    /// No keys of the issuer are at hand to tell.
    #[error("the login provider does not answer")]
    NoKeys,
}

/// Why there are no keys. Holds no token.
#[derive(Debug, Error)]
enum Failed {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("the answer has status {0}")]
    Status(u16),
    #[error("the answer is longer than {ANSWER_BYTES_MAX} bytes")]
    Long,
    #[error("the answer is no set of keys")]
    NoSet,
    #[error("the answer is no description of this issuer")]
    NoIssuer,
    #[error("keys are said to be where they cannot be asked for safely")]
    Unsafe,
}

/// See the [module](self).
pub(crate) struct Provider {
    terms: Terms,
    source: Source,
    client: Client,
    known: RwLock<Known>,
    /// Held while keys are asked for; when that was tried last.
    asking: tokio::sync::Mutex<Option<Instant>>,
}

/// The keys that are known, and since when.
#[derive(Default, Clone)]
struct Known {
    keys: Arc<Vec<Key>>,
    since: Option<Instant>,
}

impl Known {
    fn is_younger(&self, than: Duration) -> bool {
        self.since.is_some_and(|since| since.elapsed() < than)
    }
}

impl Provider {
    /// Asks for nothing yet.
    ///
    /// # Errors
    /// Certificates that cannot be used.
    pub(crate) fn new(terms: Terms, source: Source) -> Result<Self, String> {
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(ANSWER_PATIENCE)
            .connect_timeout(ANSWER_PATIENCE);
        if !source.trusted.is_empty() {
            let trusted = Certificate::from_pem_bundle(&source.trusted);
            let trusted = trusted.map_err(|_| "it holds no certificates in PEM".to_owned())?;
            client = client.tls_certs_merge(trusted);
        }
        let client = client.build().map_err(|error| error.to_string())?;
        let (known, asking) = (RwLock::default(), tokio::sync::Mutex::default());
        Ok(Self { terms, source, client, known, asking })
    }

    /// What a token says, if it is good.
    pub(crate) async fn claims(
        self: &Arc<Self>,
        token: &str,
    ) -> Result<Map<String, Value>, NotGood> {
        let token = token.as_bytes();
        let head = self.terms.head(token)?;
        let fits = |key: &&Key| {
            key.algorithms.contains(&head.alg)
                && head.kid.as_ref().is_none_or(|id| key.id.as_ref() == Some(id))
        };
        let known = self.known();
        let usable = known.is_younger(STALE_MAX);
        if usable && known.keys.iter().any(|key| fits(&key)) {
            if !known.is_younger(self.source.refresh) && self.may_ask() {
                let provider = Arc::clone(self);
                // Nobody waits for it: the keys at hand are good.
                tokio::spawn(async move { provider.ask_again().await });
            }
            return self.any(token, known.keys.iter().filter(fits));
        }
        self.ask_again().await;
        let known = self.known();
        if !known.is_younger(STALE_MAX) {
            return Err(NotGood::NoKeys);
        }
        self.any(token, known.keys.iter().filter(fits))
    }

    /// What a token says that one of these keys signed: one of its name, or where it names none, one of
    /// the few that make such signatures.
    fn any<'a>(
        &self,
        token: &[u8],
        keys: impl Iterator<Item = &'a Key>,
    ) -> Result<Map<String, Value>, NotGood> {
        let mut wrong = Wrong::Key;
        for key in keys {
            match self.terms.claims(token, key) {
                Err(Wrong::Signature) => wrong = Wrong::Signature,
                checked => return Ok(checked?),
            }
        }
        Err(wrong.into())
    }

    fn known(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Is nobody asking, and was that not tried a moment ago?
    fn may_ask(&self) -> bool {
        self.asking.try_lock().is_ok_and(|tried| tried.is_none_or(|tried| tried.elapsed() >= PAUSE))
    }

    /// Asks for the keys, unless that was tried a moment ago. Others who want them wait for the same
    /// answer.
    async fn ask_again(&self) {
        let mut tried = self.asking.lock().await;
        if tried.is_some_and(|tried| tried.elapsed() < PAUSE) {
            return;
        }
        let asked = self.ask().await;
        *tried = Some(Instant::now());
        match asked {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "the login provider's keys were read");
                let known = Known { keys: Arc::new(keys), since: Some(Instant::now()) };
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
            }
            Err(why) => tracing::warn!(%why, "the login provider's keys cannot be read"),
        }
    }

    async fn ask(&self) -> Result<Vec<Key>, Failed> {
        let url = match &self.source.keys_url {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        let answer = self.get(&url).await?;
        let keys = keys::read(&answer, &self.terms.algorithms);
        keys.filter(|keys| !keys.is_empty()).ok_or(Failed::NoSet)
    }

    /// Where the issuer says that its keys are. What it says of itself has to be about itself
    /// (OpenID Connect Discovery 1.0 §4.3).
    async fn discover(&self) -> Result<String, Failed> {
        let url = format!("{}{DISCOVERY}", self.terms.issuer.trim_end_matches('/'));
        let answer = self.get(&url).await?;
        let about: Value = serde_json::from_slice(&answer).map_err(|_| Failed::NoIssuer)?;
        if about.get("issuer").and_then(Value::as_str) != Some(&self.terms.issuer) {
            return Err(Failed::NoIssuer);
        }
        let url = about.get("jwks_uri").and_then(Value::as_str).ok_or(Failed::NoIssuer)?;
        if is_safe(url) { Ok(url.to_owned()) } else { Err(Failed::Unsafe) }
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, Failed> {
        let mut answer = self.client.get(url).send().await?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(Failed::Status(answer.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(Failed::Long);
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

/// May keys come from there? Over TLS, or from this very machine: who could change them on the way could
/// make any token.
pub(crate) fn is_safe(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or("").trim_matches(['[', ']']);
    let address = host.parse::<std::net::IpAddr>();
    let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    !host.is_empty()
        && url.username().is_empty()
        && url.password().is_none()
        && (url.scheme() == "https" || url.scheme() == "http" && is_here)
}

#[cfg(test)]
#[path = "provider_tests.rs"]
mod tests;
