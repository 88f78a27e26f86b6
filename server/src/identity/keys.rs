//! A set of public keys as issuers publish it (RFC 7517).
//!
//! Sets hold more than what is of use here: keys to encrypt, curves that are not known, secrets even.
//! Those are passed over, one by one; only what is no set at all is refused.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use super::jwt::Key;

/// Keys of a set that are looked at. Issuers have two or three, and some one for each kind.
const KEYS_MAX: usize = 64;

/// The keys in a set that make some of these signatures; `None`: it is no set.
pub(crate) fn read(bytes: &[u8], algorithms: &[Algorithm]) -> Option<Vec<Key>> {
    let mut set: Value = serde_json::from_slice(bytes).ok()?;
    let Value::Array(keys) = set.get_mut("keys")?.take() else { return None };
    Some(keys.into_iter().take(KEYS_MAX).filter_map(|key| one(key, algorithms)).collect())
}

fn one(key: Value, algorithms: &[Algorithm]) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(key).ok()?;
    if jwk.common.public_key_use.as_ref().is_some_and(|word| *word != PublicKeyUse::Signature) {
        return None;
    }
    let makes: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            &[Algorithm::ES256]
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => {
            &[Algorithm::ES384]
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            &[Algorithm::EdDSA]
        }
        _ => return None,
    };
    let fits = |algorithm: &&Algorithm| {
        let named = jwk.common.key_algorithm;
        algorithms.contains(algorithm)
            && named.is_none_or(|named| named == KeyAlgorithm::from(**algorithm))
    };
    let makes: Vec<Algorithm> = makes.iter().filter(fits).copied().collect();
    Key::new(DecodingKey::from_jwk(&jwk).ok()?, jwk.common.key_id, &makes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::identity::jwt::ASYMMETRIC;

    /// From RFC 7517 appendix A.1, with others around.
    fn set() -> Value {
        let ec = json!({
            "kty": "EC", "crv": "P-256", "kid": "1",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        });
        let mut sealing = ec.clone();
        sealing["use"] = json!("enc");
        json!({ "keys": [
            { "kty": "oct", "k": "c2VjcmV0", "kid": "s", "alg": "HS256" },
            { "kty": "future" }, 7, sealing, ec,
            { "kty": "RSA", "kid": "r", "alg": "RS256", "n": "AQAB", "e": "AQAB" },
            { "kty": "OKP", "crv": "Ed25519", "kid": "e",
              "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
        ] })
    }

    #[test]
    fn what_is_of_no_use_is_passed_over() {
        let bytes = set().to_string();
        let keys = read(bytes.as_bytes(), &ASYMMETRIC).unwrap();
        let found: Vec<_> =
            keys.iter().map(|k| (k.id.as_deref().unwrap(), &k.algorithms[..])).collect();
        assert_eq!(
            found,
            [
                ("1", &[Algorithm::ES256][..]),
                ("r", &[Algorithm::RS256]),
                ("e", &[Algorithm::EdDSA])
            ]
        );
        assert_eq!(read(bytes.as_bytes(), &[Algorithm::PS256]).unwrap().len(), 0);
        for bad in ["", "[]", "{}", "{\"keys\":7}", "{\"keys\":[]"] {
            assert!(read(bad.as_bytes(), &ASYMMETRIC).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_changed_set_is_read_or_refused(at in 0..600usize, byte in any::<u8>()) {
            let mut bytes = set().to_string().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            let keys = read(&bytes, &ASYMMETRIC).unwrap_or_default();
            let hmac = |key: &Key| key.algorithms.iter().any(|a| !ASYMMETRIC.contains(a));
            prop_assert!(!keys.iter().any(hmac));
        }
    }
}
