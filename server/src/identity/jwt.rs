//! JSON Web Tokens (RFC 7519) of whatever face: signed by a key of the one issuer that is believed, for
//! this server, in time.
//!
//! No header of a token chooses anything. Which signatures count is settled by the settings and by the
//! kind of the key (RFC 8725 §3.1); a shared secret is never a key. Keys or addresses of keys in a header
//! are passed over, and what a header calls critical is not understood here (RFC 7515 §4.1.11).

use std::time::Duration;

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Header, Validation};
use serde_json::{Map, Value};
use thiserror::Error;

/// Signatures that may count at all: each with a public key.
pub(crate) const ASYMMETRIC: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// Longest token that is looked at. Those with a hundred groups in them have some 8 KiB.
pub(crate) const TOKEN_BYTES_MAX: usize = 16 << 10;

/// What a token has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The `iss` that it has to have.
    pub(crate) issuer: String,
    /// One of the `aud` that it has to have.
    pub(crate) audience: String,
    /// The signatures that count; none but of [`ASYMMETRIC`].
    pub(crate) algorithms: Vec<Algorithm>,
    /// How far its clock and ours may be apart.
    pub(crate) skew: Duration,
}

/// A public key of the issuer.
#[derive(Clone)]
pub(crate) struct Key {
    /// The name under which tokens ask for it.
    pub(crate) id: Option<String>,
    /// The signatures that it makes.
    pub(crate) algorithms: Vec<Algorithm>,
    public: DecodingKey,
}

/// Why a token does not count. Told to whoever sent it, so none says more than the sender could know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Wrong {
    /// It is no token.
    #[error("the token cannot be read")]
    Shape,
    /// It asks for a signature that does not count here.
    #[error("the token is signed in a way that does not count here")]
    Algorithm,
    /// Nobody who is believed has that key.
    #[error("the token is signed with a key that is not known")]
    Key,
    /// Somebody else made it, or changed it.
    #[error("the token's signature is wrong")]
    Signature,
    /// It was good.
    #[error("the token has expired")]
    Expired,
    /// It will be good.
    #[error("the token does not count yet")]
    Early,
    /// Of somebody else.
    #[error("the token is of another issuer")]
    Issuer,
    /// For somebody else.
    #[error("the token is for another server")]
    Audience,
    /// It does not say what it has to.
    #[error("the token does not say what it has to")]
    Claims,
}

impl Wrong {
    /// The word under which it is counted and audited.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Shape => "token_shape",
            Self::Algorithm => "token_algorithm",
            Self::Key => "token_key",
            Self::Signature => "token_signature",
            Self::Expired => "token_expired",
            Self::Early => "token_early",
            Self::Issuer => "token_issuer",
            Self::Audience => "token_audience",
            Self::Claims => "token_claims",
        }
    }
}

impl Key {
    /// A key that makes some of these signatures; `None`: of another kind than they are, or a secret.
    pub(crate) fn new(
        key: DecodingKey,
        id: Option<String>,
        algorithms: &[Algorithm],
    ) -> Option<Self> {
        let family = key.family();
        let fits = |algorithm: &&Algorithm| {
            algorithm.family() == family && family != AlgorithmFamily::Hmac
        };
        let algorithms: Vec<Algorithm> = algorithms.iter().filter(fits).copied().collect();
        (!algorithms.is_empty()).then_some(Self { id, algorithms, public: key })
    }
}

impl Terms {
    /// The head of a token, and whether its signature is of a kind that counts.
    pub(crate) fn head(&self, token: &[u8]) -> Result<Header, Wrong> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Wrong::Shape);
        }
        let head = jsonwebtoken::decode_header(token).map_err(|error| match error.kind() {
            // `none`, and whatever else is no signature: there is no word for it.
            jsonwebtoken::errors::ErrorKind::Json(error) if error.is_data() => Wrong::Algorithm,
            _ => Wrong::Shape,
        })?;
        if head.crit.is_some() {
            return Err(Wrong::Shape);
        }
        let counts = self.algorithms.contains(&head.alg) && ASYMMETRIC.contains(&head.alg);
        if counts { Ok(head) } else { Err(Wrong::Algorithm) }
    }

    /// What a token says, if it was signed with this key and everything about it is as it has to be.
    pub(crate) fn claims(&self, token: &[u8], key: &Key) -> Result<Map<String, Value>, Wrong> {
        self.head(token)?;
        let fit = |algorithm: &&Algorithm| key.algorithms.contains(algorithm);
        let algorithms: Vec<Algorithm> = self.algorithms.iter().filter(fit).copied().collect();
        let mut validation = Validation::new(*algorithms.first().ok_or(Wrong::Algorithm)?);
        validation.algorithms = algorithms;
        validation.leeway = self.skew.as_secs();
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        let read = jsonwebtoken::decode::<Map<String, Value>>(token, &key.public, &validation);
        let claims = read.map_err(|error| wrong(error.kind()))?.claims;
        // One issuer, not a list with it in it (RFC 7519 §4.1.1).
        if claims.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(Wrong::Issuer);
        }
        Ok(claims)
    }
}

fn wrong(kind: &jsonwebtoken::errors::ErrorKind) -> Wrong {
    use jsonwebtoken::errors::ErrorKind as Kind;
    match kind {
        Kind::InvalidSignature => Wrong::Signature,
        Kind::InvalidAlgorithm => Wrong::Algorithm,
        Kind::ExpiredSignature => Wrong::Expired,
        Kind::ImmatureSignature => Wrong::Early,
        Kind::InvalidIssuer => Wrong::Issuer,
        Kind::InvalidAudience => Wrong::Audience,
        Kind::MissingRequiredClaim(_) | Kind::InvalidClaimFormat(_) => Wrong::Claims,
        _ => Wrong::Shape,
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
pub(crate) mod tests;
