//! A login provider on loopback: it says who it is, publishes its keys, and signs what it is told to.

#![allow(dead_code, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

/// See the [module](self).
pub(crate) struct Provider {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    is_away: bool,
    /// How many keys there were before.
    rotations: usize,
    key: EncodingKey,
    public_pem: String,
}

impl State {
    fn new(rotations: usize) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { is_away: false, rotations, key, public_pem: pair.public_key_pem() }
    }

    fn id(&self) -> String {
        format!("key-{}", self.rotations)
    }

    fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(self.id());
        serde_json::to_value(jwk).unwrap()
    }
}

impl Provider {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::new(0)));
        let (own, own_url) = (Arc::clone(&state), url.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = [0; 4096];
                let got = stream.read(&mut head).unwrap();
                let head = String::from_utf8_lossy(&head[..got]).into_owned();
                let state = own.lock().unwrap();
                let body = match head.split(' ').nth(1) {
                    _ if state.is_away => None,
                    Some("/.well-known/openid-configuration") => {
                        Some(json!({ "issuer": own_url, "jwks_uri": format!("{own_url}/keys") }))
                    }
                    Some("/keys") => Some(json!({ "keys": [state.jwk()] })),
                    _ => None,
                };
                let status = if body.is_some() { "200 OK" } else { "503 Away" };
                let body = body.map(|body| body.to_string()).unwrap_or_default();
                let (length, close) = (body.len(), "Connection: close");
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{close}\r\n\r\n{body}"
                );
            }
        });
        Self { url, state }
    }

    pub(crate) fn go_away(&self) {
        self.state.lock().unwrap().is_away = true;
    }

    pub(crate) fn come_back(&self) {
        self.state.lock().unwrap().is_away = false;
    }

    /// Another key, and the old one is gone.
    pub(crate) fn rotate(&self) {
        let mut state = self.state.lock().unwrap();
        *state = State::new(state.rotations + 1);
    }

    pub(crate) fn now() -> u64 {
        get_current_timestamp()
    }

    fn claims(&self, change: &Value) -> Value {
        let mut claims = json!({
            "iss": self.url, "aud": "cairn", "sub": "alice", "exp": Self::now() + 300,
        });
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        claims
    }

    fn head(state: &State) -> Header {
        let mut head = Header::new(Algorithm::ES256);
        head.kid = Some(state.id());
        head
    }

    /// A token that says this besides what it has to.
    pub(crate) fn token(&self, change: &Value) -> String {
        let state = self.state.lock().unwrap();
        encode(&Self::head(&state), &self.claims(change), &state.key).unwrap()
    }

    /// Tokens that say the same and were not signed by the provider: stripped, as a shared secret, by
    /// somebody else, with the signature of another token.
    pub(crate) fn forgeries(&self, change: &Value) -> Vec<String> {
        let good = self.token(change);
        let other = self.token(&json!({ "sub": "mallory" }));
        let state = self.state.lock().unwrap();
        let [head, body, _]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
        let none = "eyJhbGciOiJub25lIn0";
        let mut shared = Header::new(Algorithm::HS256);
        shared.kid = Some(state.id());
        let secret = EncodingKey::from_secret(state.public_pem.as_bytes());
        let shared = encode(&shared, &self.claims(change), &secret).unwrap();
        let somebody = State::new(state.rotations);
        let somebody = encode(&Self::head(&state), &self.claims(change), &somebody.key).unwrap();
        vec![
            format!("{none}.{body}."),
            format!("{none}.{body}.{}", other.rsplit('.').next().unwrap()),
            format!("{head}.{body}."),
            format!("{head}.{body}.{}", other.rsplit('.').next().unwrap()),
            shared,
            somebody,
        ]
    }
}
