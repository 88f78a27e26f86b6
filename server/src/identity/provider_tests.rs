//! A provider that is there, away, slow to tell, lying; and keys that change.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::json;

use super::*;

/// Answers every path with what it has for it.
#[derive(Clone)]
struct Login {
    url: String,
    answers: Arc<Mutex<Vec<(String, String)>>>,
    asked: Arc<AtomicUsize>,
}

impl Login {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let login = Self { url, answers: Arc::default(), asked: Arc::default() };
        let own = login.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = [0; 4096];
                let got = stream.read(&mut head).unwrap();
                let head = String::from_utf8_lossy(&head[..got]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or("").to_owned();
                own.asked.fetch_add(1, Ordering::Relaxed);
                let answers = own.answers.lock().unwrap();
                let body = answers.iter().find(|(known, _)| *known == path);
                let (status, body) = body.map_or(("404 No", ""), |(_, body)| ("200 OK", body));
                let length = body.len();
                let close = "Connection: close";
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{close}\r\n\r\n{body}"
                );
            }
        });
        login
    }

    fn say(&self, path: &str, body: String) {
        let mut answers = self.answers.lock().unwrap();
        answers.retain(|(known, _)| known != path);
        answers.push((path.to_owned(), body));
    }

    fn publish(&self, keys: &[&Signer]) {
        let keys: Vec<&Value> = keys.iter().map(|signer| &signer.public).collect();
        self.say("/keys", json!({ "keys": keys }).to_string());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn provider(&self, keys_url: Option<&str>) -> Arc<Provider> {
        let terms = Terms {
            issuer: self.url.clone(),
            audience: "cairn".into(),
            algorithms: vec![Algorithm::ES256],
            skew: Duration::from_secs(5),
        };
        let keys_url = keys_url.map(|path| format!("{}{path}", self.url));
        let source = Source { keys_url, trusted: Vec::new(), refresh: Duration::from_secs(300) };
        Arc::new(Provider::new(terms, source).unwrap())
    }

    fn token(&self, signer: &Signer) -> String {
        let mut head = Header::new(Algorithm::ES256);
        head.kid = signer.id.clone();
        let claims = json!({
            "iss": self.url, "aud": "cairn", "sub": "alice", "exp": get_current_timestamp() + 300,
        });
        encode(&head, &claims, &signer.key).unwrap()
    }
}

struct Signer {
    id: Option<String>,
    key: EncodingKey,
    public: Value,
}

impl Signer {
    fn new(id: Option<&str>) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        jwk.common.key_id = id.map(str::to_owned);
        Self { id: id.map(str::to_owned), key, public: serde_json::to_value(jwk).unwrap() }
    }
}

async fn pause_is_over(provider: &Provider) {
    *provider.asking.lock().await = None;
}

#[tokio::test]
async fn keys_are_asked_for_when_needed_and_again_after_a_rotation() {
    let login = Login::start();
    let (old, new) = (Signer::new(Some("old")), Signer::new(Some("new")));
    let provider = login.provider(Some("/keys"));
    assert_eq!(login.asked(), 0);
    login.publish(&[&old]);
    for _ in 0..3 {
        assert!(provider.claims(&login.token(&old)).await.is_ok());
    }
    assert_eq!(login.asked(), 1);
    login.publish(&[&new]);
    // Asked a moment ago: whatever keys somebody makes up, the provider is left alone.
    for _ in 0..20 {
        let unknown = provider.claims(&login.token(&new)).await;
        assert_eq!(unknown, Err(NotGood::Wrong(Wrong::Key)));
    }
    assert_eq!(login.asked(), 1);
    pause_is_over(&provider).await;
    assert!(provider.claims(&login.token(&new)).await.is_ok());
    // What is not in the set any more does not count any more.
    assert_eq!(provider.claims(&login.token(&old)).await, Err(NotGood::Wrong(Wrong::Key)));
    assert_eq!(login.asked(), 2);
}

#[tokio::test]
async fn a_provider_that_is_away_costs_nothing_but_what_is_new() {
    let login = Login::start();
    let signer = Signer::new(Some("1"));
    let provider = login.provider(Some("/keys"));
    let token = login.token(&signer);
    assert_eq!(provider.claims(&token).await, Err(NotGood::NoKeys));
    for broken in ["", "{\"keys\":[]}", "[]", &"x".repeat(ANSWER_BYTES_MAX + 1)] {
        login.say("/keys", broken.to_owned());
        pause_is_over(&provider).await;
        assert_eq!(provider.claims(&token).await, Err(NotGood::NoKeys));
    }
    login.publish(&[&signer]);
    pause_is_over(&provider).await;
    assert!(provider.claims(&token).await.is_ok());
    login.answers.lock().unwrap().clear();
    pause_is_over(&provider).await;
    let unknown = provider.claims(&login.token(&Signer::new(Some("2")))).await;
    assert_eq!(unknown, Err(NotGood::Wrong(Wrong::Key)));
    assert!(provider.claims(&token).await.is_ok());
}

#[tokio::test]
async fn an_issuer_says_where_its_keys_are_if_it_speaks_of_itself() {
    let login = Login::start();
    let signer = Signer::new(None);
    login.publish(&[&Signer::new(Some("other")), &signer]);
    let about =
        |issuer: &str, keys: &str| json!({ "issuer": issuer, "jwks_uri": keys }).to_string();
    let keys = format!("{}/keys", login.url);
    let provider = login.provider(None);
    for lie in [about("https://elsewhere", &keys), about(&login.url, "http://192.0.2.1/keys")] {
        login.say(DISCOVERY, lie);
        pause_is_over(&provider).await;
        let token = login.token(&signer);
        assert_eq!(provider.claims(&token).await, Err(NotGood::NoKeys));
    }
    login.say(DISCOVERY, about(&login.url, &keys));
    pause_is_over(&provider).await;
    // A token that names no key is tried with each that fits.
    assert!(provider.claims(&login.token(&signer)).await.is_ok());
    let forged = login.token(&Signer::new(None));
    assert_eq!(provider.claims(&forged).await, Err(NotGood::Wrong(Wrong::Signature)));
}

#[test]
fn keys_come_over_tls_or_from_here() {
    for safe in ["https://h.example/k", "http://127.0.0.1:8/k", "http://[::1]/", "http://localhost"]
    {
        assert!(is_safe(safe), "{safe}");
    }
    for unsafe_ in
        ["http://h.example/k", "ftp://127.0.0.1/", "https://u:p@h/", "", "file:///etc/passwd", "x"]
    {
        assert!(!is_safe(unsafe_), "{unsafe_}");
    }
}
