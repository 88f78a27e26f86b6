//! JSON Web Tokens of the one issuer whose key the settings name. What a token has to be is
//! [`crate::identity::jwt`]'s.

use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use serde_json::Value;

use super::{NAME_BYTES_MAX, Refused};
use crate::identity::jwt::{ASYMMETRIC, Key, Terms};
use crate::reread::{Unusable, read};

const SETTING: &str = "dimse.identity_jwt_key";
/// How far the issuer's clock and ours may be apart.
const SKEW: Duration = Duration::from_secs(60);

/// Whose tokens count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenSource {
    /// File of the issuer's public key in PEM: RSA, EC (P-256, P-384) or Ed25519.
    pub(crate) key: PathBuf,
    /// The `iss` that a token has to have.
    pub(crate) issuer: String,
    /// One of the `aud` that it has to have.
    pub(crate) audience: String,
    /// The claim that names the user.
    pub(crate) claim: String,
}

/// See the [module](self).
pub(super) struct Tokens {
    key: Key,
    terms: Terms,
    claim: String,
}

impl Tokens {
    pub(super) fn read(source: &TokenSource) -> Result<Self, Unusable> {
        let pem = read(SETTING, &source.key)?;
        let key = DecodingKey::from_rsa_pem(&pem)
            .or_else(|_| DecodingKey::from_ec_pem(&pem))
            .or_else(|_| DecodingKey::from_ed_pem(&pem))
            .map_err(|_| {
                let path = source.key.display();
                let kinds = "holds no public key in PEM: RSA, EC or Ed25519";
                Unusable::new(SETTING, format!("{path} {kinds}"))
            })?;
        let key = Key::new(key, None, &ASYMMETRIC)
            .ok_or_else(|| Unusable::new(SETTING, "a shared secret is not taken"))?;
        let terms = Terms {
            issuer: source.issuer.clone(),
            audience: source.audience.clone(),
            algorithms: ASYMMETRIC.to_vec(),
            skew: SKEW,
        };
        Ok(Self { key, terms, claim: source.claim.clone() })
    }

    /// The user that a token is about.
    pub(super) fn user(&self, token: &[u8]) -> Result<String, Refused> {
        let claims = self.terms.claims(token, &self.key).map_err(|_| Refused::Wrong)?;
        let user = claims.get(&self.claim).and_then(Value::as_str).ok_or(Refused::Wrong)?;
        if !(1..=NAME_BYTES_MAX).contains(&user.len()) {
            return Err(Refused::Wrong);
        }
        Ok(user.to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
    use serde_json::json;

    use super::*;
    use crate::identity::jwt::tests::claims;

    fn source(folder: &tempfile::TempDir, pem: &str) -> TokenSource {
        let key = folder.path().join("key.pem");
        std::fs::write(&key, pem).unwrap();
        TokenSource {
            key,
            issuer: "https://login".into(),
            audience: "cairn".into(),
            claim: "sub".into(),
        }
    }

    #[test]
    fn behaviour_36_a_token_is_for_this_server_from_its_issuer_and_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let tokens = Tokens::read(&source(&folder, &pair.public_key_pem())).unwrap();
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        let sign = |claims: &Value| encode(&Header::new(Algorithm::ES256), claims, &key).unwrap();
        let user = |change: &Value| tokens.user(sign(&claims(change)).as_bytes());
        assert_eq!(user(&json!({})), Ok("alice".into()));
        let now = get_current_timestamp();
        for bad in [
            json!({ "iss": "https://elsewhere" }),
            json!({ "aud": "other" }),
            json!({ "exp": now - 3600 }),
            json!({ "nbf": now + 3600 }),
            json!({ "sub": "" }),
            json!({ "sub": 7 }),
            json!({ "sub": "x".repeat(NAME_BYTES_MAX + 1) }),
            json!({ "exp": null }),
        ] {
            assert_eq!(user(&bad), Err(Refused::Wrong), "{bad}");
        }
        let token = sign(&claims(&json!({})));
        let mut other = token.clone().into_bytes();
        let last = other.len() - 3;
        other[last] = if other[last] == b'A' { b'B' } else { b'A' };
        assert_eq!(tokens.user(&other), Err(Refused::Wrong));
        // The public key as if it were a shared secret, and no signature at all.
        let secret = EncodingKey::from_secret(pair.public_key_pem().as_bytes());
        let forged = encode(&Header::default(), &claims(&json!({})), &secret).unwrap();
        assert_eq!(tokens.user(forged.as_bytes()), Err(Refused::Wrong));
        let body = token.split('.').nth(1).unwrap();
        let none = format!("eyJhbGciOiJub25lIn0.{body}.");
        assert_eq!(tokens.user(none.as_bytes()), Err(Refused::Wrong));
    }

    #[test]
    fn keys_of_other_kinds() {
        let folder = tempfile::tempdir().unwrap();
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let tokens = Tokens::read(&source(&folder, &pair.public_key_pem())).unwrap();
        let key = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap();
        let token = encode(&Header::new(Algorithm::EdDSA), &claims(&json!({})), &key).unwrap();
        assert_eq!(tokens.user(token.as_bytes()), Ok("alice".into()));
        for bad in ["", "secret", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
            assert!(Tokens::read(&source(&folder, bad)).is_err(), "{bad}");
        }
    }
}
