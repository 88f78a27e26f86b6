//! Doors for the fuzz targets: what anybody can send to be let in, and what a login provider might.

#![allow(clippy::expect_used, clippy::missing_panics_doc)]

use std::time::Duration;

use super::jwt::{ASYMMETRIC, Key, Terms};
use super::{bearer, keys};

/// A public key whose private half no fuzzer has (RFC 8037 §A.2).
const KEYS: &[u8] = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// The value of an Authorization field: no token, or a plain one.
pub fn authorization(bytes: &[u8]) {
    let Some(token) = bearer::token(bytes) else { return };
    assert!(!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()));
}

/// A token: whatever it is, it does not count.
pub fn token(bytes: &[u8]) {
    let terms = Terms {
        issuer: "https://login".into(),
        audience: "cairn".into(),
        algorithms: ASYMMETRIC.to_vec(),
        skew: Duration::from_secs(60),
    };
    let keys = keys::read(KEYS, &ASYMMETRIC).expect("a set");
    assert!(keys.iter().all(|key| terms.claims(bytes, key).is_err()), "a forgery counts");
}

/// A set of keys: none of them is a shared secret.
pub fn key_set(bytes: &[u8]) {
    let keys: Vec<Key> = keys::read(bytes, &ASYMMETRIC).unwrap_or_default();
    let secret = |key: &Key| key.algorithms.iter().any(|makes| !ASYMMETRIC.contains(makes));
    assert!(!keys.iter().any(secret), "a shared secret is a key");
}
