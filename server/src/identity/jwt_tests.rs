//! Tokens that count, and every way not to.

#![allow(clippy::unwrap_used)]

use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use proptest::prelude::*;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use serde_json::json;

use super::*;

fn terms() -> Terms {
    Terms {
        issuer: "https://login".into(),
        audience: "cairn".into(),
        algorithms: vec![Algorithm::ES256, Algorithm::EdDSA],
        skew: Duration::from_secs(30),
    }
}

struct Issuer {
    pair: KeyPair,
    signing: EncodingKey,
    key: Key,
}

impl Issuer {
    fn new() -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let signing = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        let key = DecodingKey::from_ec_pem(pair.public_key_pem().as_bytes()).unwrap();
        let key = Key::new(key, None, &ASYMMETRIC).unwrap();
        Self { pair, signing, key }
    }

    fn sign(&self, change: &Value) -> String {
        encode(&Header::new(Algorithm::ES256), &claims(change), &self.signing).unwrap()
    }

    fn check(&self, token: &str) -> Result<(), Wrong> {
        terms().claims(token.as_bytes(), &self.key).map(|_| ())
    }
}

/// What a good token says, changed.
pub(crate) fn claims(change: &Value) -> Value {
    let mut claims = json!({
        "iss": "https://login", "aud": ["other", "cairn"], "sub": "alice",
        "exp": get_current_timestamp() + 300,
    });
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[test]
fn a_token_is_for_this_server_from_its_issuer_and_in_time() {
    let issuer = Issuer::new();
    let check = |change: &Value| issuer.check(&issuer.sign(change));
    let now = get_current_timestamp();
    assert_eq!(check(&json!({})), Ok(()));
    // Within the skew, either way.
    assert_eq!(check(&json!({ "exp": now - 20, "nbf": now + 20 })), Ok(()));
    for (change, wrong) in [
        (json!({ "exp": now - 40 }), Wrong::Expired),
        (json!({ "nbf": now + 40 }), Wrong::Early),
        (json!({ "iss": "https://elsewhere" }), Wrong::Issuer),
        (json!({ "iss": ["https://login"] }), Wrong::Issuer),
        (json!({ "aud": "other" }), Wrong::Audience),
        (json!({ "aud": [] }), Wrong::Audience),
        (json!({ "aud": null }), Wrong::Claims),
        (json!({ "exp": null }), Wrong::Claims),
        (json!({ "exp": "soon" }), Wrong::Claims),
        (json!({ "nbf": "soon" }), Wrong::Claims),
        (json!({ "iss": 7 }), Wrong::Claims),
    ] {
        assert_eq!(check(&change), Err(wrong), "{change}");
    }
}

#[test]
fn no_header_chooses_how_a_token_is_checked() {
    let issuer = Issuer::new();
    let good = issuer.sign(&json!({}));
    let [head, body, signature]: [&str; 3] =
        good.split('.').collect::<Vec<_>>().try_into().unwrap();
    // {"alg":"none"}, with the signature, without, and without the last point.
    for stripped in
        [format!("eyJhbGciOiJub25lIn0.{body}."), format!("eyJhbGciOiJub25lIn0.{body}.{signature}")]
    {
        assert_eq!(issuer.check(&stripped), Err(Wrong::Algorithm), "{stripped}");
    }
    assert_eq!(issuer.check(&format!("{head}.{body}.")), Err(Wrong::Signature));
    for odd in ["", ".", "..", "a.b.c", &format!("{head}.{body}"), &format!("x.{good}")] {
        assert_eq!(issuer.check(odd), Err(Wrong::Shape), "{odd}");
    }
    // The public key as if it were a shared secret.
    for secret in [issuer.pair.public_key_pem().into_bytes(), issuer.pair.public_key_raw().to_vec()]
    {
        let forged = EncodingKey::from_secret(&secret);
        let forged = encode(&Header::default(), &claims(&json!({})), &forged).unwrap();
        assert_eq!(issuer.check(&forged), Err(Wrong::Algorithm));
    }
    // A key of its own kind and choice, told in the header.
    let other = Issuer::new();
    let mut head = Header::new(Algorithm::ES256);
    let own = jsonwebtoken::jwk::Jwk::from_encoding_key(&other.signing, Algorithm::ES256);
    head.jwk = Some(own.unwrap());
    let forged = encode(&head, &claims(&json!({})), &other.signing).unwrap();
    assert_eq!(issuer.check(&forged), Err(Wrong::Signature));
    // What is critical is not understood.
    let mut head = Header::new(Algorithm::ES256);
    head.crit = Some(vec!["b64".into()]);
    let critical = encode(&head, &claims(&json!({})), &issuer.signing).unwrap();
    assert_eq!(issuer.check(&critical), Err(Wrong::Shape));
    // Signed in a way that counts, but with a key of another kind.
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let key = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap();
    let other = encode(&Header::new(Algorithm::EdDSA), &claims(&json!({})), &key).unwrap();
    assert_eq!(issuer.check(&other), Err(Wrong::Algorithm));
    let secret = DecodingKey::from_secret(b"secret");
    assert!(Key::new(secret, None, &[Algorithm::HS256]).is_none());
    let long = format!("{good}{}", "A".repeat(TOKEN_BYTES_MAX));
    assert_eq!(issuer.check(&long), Err(Wrong::Shape));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Any change of any byte, and any other bytes: refused, without a panic.
    #[test]
    fn a_changed_token_does_not_count(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let issuer = Issuer::new();
        let mut token = issuer.sign(&json!({})).into_bytes();
        let at = at.index(token.len());
        prop_assume!(token[at] != byte);
        token[at] = byte;
        prop_assert!(terms().claims(&token, &issuer.key).is_err());
    }

    #[test]
    fn whatever_comes_does_not_count(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let issuer = Issuer::new();
        prop_assert!(terms().claims(&bytes, &issuer.key).is_err());
    }
}
