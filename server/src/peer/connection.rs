//! Connections to another site, one request after the other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Error;
use super::keys::{Identity, shown_key};

/// Time to connect, and for the handshake.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// Time for the head of an answer. What takes longer is streamed.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// Time that an answer may stand still.
pub(super) const IDLE_PATIENCE: Duration = Duration::from_secs(30);
/// Longest refusal that is read.
const REFUSAL_BYTES_MAX: usize = 4 << 10;
/// Names are in the keys: no name is looked at, and none is sent.
const NO_NAME: &str = "site.invalid";

/// Another site at its address. Holds one connection that is free, if there is one.
pub(super) struct Connection {
    own: Identity,
    url: String,
    host: String,
    port: u16,
    /// The key that it has to show.
    key: Option<[u8; 32]>,
    free: Mutex<Option<Open>>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    key: [u8; 32],
}

/// An answer, the connection that it came over, and the key that was shown.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    pub(super) key: [u8; 32],
    open: Option<Open>,
    home: Arc<Connection>,
}

impl Connection {
    pub(super) fn new(own: &Identity, url: &str, key: Option<[u8; 32]>) -> Result<Self, Error> {
        let fault = || Error::Url(url.chars().take(200).collect());
        let parsed: Uri = url.parse().map_err(|_| fault())?;
        let plain = matches!(parsed.path(), "" | "/") && parsed.query().is_none();
        let authority = parsed.authority().ok_or_else(fault)?;
        if parsed.scheme_str() != Some("https") || !plain || authority.as_str().contains('@') {
            return Err(fault());
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(443);
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { own: own.clone(), url, host, port, key, free: Mutex::default() })
    }

    /// The same site, over connections of its own.
    pub(super) fn fork(&self) -> Self {
        let Self { own, url, host, port, key, .. } = self;
        let (own, url, host) = (own.clone(), url.clone(), host.clone());
        Self { own, url, host, port: *port, key: *key, free: Mutex::default() }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    #[allow(clippy::needless_pass_by_value)] // for errors and texts alike
    fn unreachable(&self, why: impl std::fmt::Display) -> Error {
        Error::Unreachable { url: self.url.clone(), why: why.to_string() }
    }

    #[allow(clippy::needless_pass_by_value)] // for errors and texts alike
    pub(super) fn wrong(&self, why: impl std::fmt::Display) -> Error {
        Error::Wrong { url: self.url.clone(), why: why.to_string() }
    }

    pub(super) fn broken(&self) -> Error {
        self.unreachable("its answer broke off")
    }

    async fn open(&self) -> Result<Open, Error> {
        let connecting = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(NO_NAME).map_err(std::io::Error::other)?;
            TlsConnector::from(Arc::clone(&self.own.client)).connect(name, stream).await
        };
        let stream = tokio::time::timeout(CONNECT_PATIENCE, connecting)
            .await
            .map_err(|_| self.unreachable("it does not answer in time"))?
            .map_err(|error| self.unreachable(error))?;
        let shown = shown_key(stream.get_ref().1.peer_certificates());
        let key = shown.ok_or_else(|| self.wrong("it shows no key"))?;
        // Before anything is asked.
        if self.key.is_some_and(|expected| expected != key) {
            return Err(Error::OtherKey { url: self.url.clone() });
        }
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| self.unreachable(error))?;
        tokio::spawn(connection);
        Ok(Open { sender, key })
    }

    /// Connects, if nothing is connected, so that the next question need not wait for it. What goes wrong is
    /// told when something is asked.
    pub(super) async fn warm(&self) {
        if self.take_free().is_some_and(|open| self.keep(open)) {
            return;
        }
        if let Ok(mut open) = self.open().await
            && open.sender.ready().await.is_ok()
        {
            self.keep(open);
        }
    }

    fn keep(&self, open: Open) -> bool {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) = Some(open);
        true
    }

    fn take_free(&self) -> Option<Open> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.take().filter(|open| !open.sender.is_closed() && open.sender.is_ready())
    }

    /// Asks; gives the answer, whatever its status.
    pub(super) async fn ask(
        self: &Arc<Self>,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, Error> {
        // A connection that was kept may be over; what it was asked then did not arrive, or does no
        // harm twice.
        if let Some(open) = self.take_free()
            && let Ok(answer) = self.ask_over(open, method.clone(), path, body.clone()).await
        {
            return Ok(answer);
        }
        let open = self.open().await?;
        self.ask_over(open, method, path, body).await
    }

    async fn ask_over(
        self: &Arc<Self>,
        mut open: Open,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, Error> {
        let length = body.len();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.host.as_str())
            .header(CONTENT_LENGTH, HeaderValue::from(length))
            .body(Full::new(body))
            .map_err(|error| self.wrong(error))?;
        let asking = open.sender.send_request(request);
        let response = tokio::time::timeout(ANSWER_PATIENCE, asking)
            .await
            .map_err(|_| self.unreachable("it does not answer in time"))?
            .map_err(|error| self.unreachable(error))?;
        Ok(Answer { response, key: open.key, open: Some(open), home: Arc::clone(self) })
    }
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The next bytes; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let frame = tokio::time::timeout(IDLE_PATIENCE, self.response.frame());
            let frame = frame.await.map_err(|_| self.home.unreachable("it stands still"))?;
            let Some(frame) = frame else {
                self.give_back();
                return Ok(None);
            };
            let frame = frame.map_err(|error| self.home.unreachable(error))?;
            if let Ok(bytes) = frame.into_data()
                && !bytes.is_empty()
            {
                return Ok(Some(bytes));
            }
        }
    }

    /// All of it.
    pub(super) async fn whole(mut self, bytes_max: usize) -> Result<Bytes, Error> {
        let mut all = Vec::new();
        while let Some(bytes) = self.next().await? {
            if all.len() + bytes.len() > bytes_max {
                return Err(self.home.wrong("its answer is too long"));
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all.into())
    }

    /// Refuses every status but 200 and 204.
    pub(super) async fn good(self) -> Result<Self, Error> {
        let status = self.status();
        if matches!(status, 200 | 204) {
            return Ok(self);
        }
        Err(self.refusal().await)
    }

    /// What a refusal says.
    pub(super) async fn refusal(self) -> Error {
        let (url, status) = (self.home.url.clone(), self.status());
        let text = self.whole(REFUSAL_BYTES_MAX).await.unwrap_or_default();
        let said = serde_json::from_slice::<serde_json::Value>(&text);
        let said = said.ok().and_then(|said| Some(said.get("detail")?.as_str()?.to_owned()));
        let plain = |c: &char| !c.is_control();
        let why = said.unwrap_or_else(|| format!("status {status}"));
        Error::Refused { url, status, why: why.chars().filter(plain).take(300).collect() }
    }

    fn give_back(&mut self) {
        if let Some(open) = self.open.take() {
            self.home.keep(open);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::convert::Infallible;

    use cairn_ledger::keys::SiteSecret;
    use hyper::service::service_fn;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    fn identity(seed: u8) -> (Identity, [u8; 32]) {
        let secret = SiteSecret::from_seed([seed; 32]);
        (Identity::new(&secret).unwrap(), secret.public().tls)
    }

    /// A site that tells who asks the key that it showed.
    async fn mirror(own: Identity) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = TlsAcceptor::from(Arc::clone(&own.server));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let key = shown_key(stream.get_ref().1.peer_certificates()).unwrap();
                    let service = service_fn(move |_| async move {
                        let body = Full::new(Bytes::copy_from_slice(&key));
                        Ok::<_, Infallible>(Response::new(body))
                    });
                    let io = TokioIo::new(stream);
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(io, service)
                        .await;
                });
            }
        });
        format!("https://{address}")
    }

    async fn ask(own: &Identity, url: &str, key: Option<[u8; 32]>) -> Result<Bytes, Error> {
        let connection = Arc::new(Connection::new(own, url, key).unwrap());
        let first = connection.ask(Method::GET, "/", Bytes::new()).await?.whole(99).await?;
        assert!(connection.take_free().is_some(), "it is kept for the next question");
        Ok(first)
    }

    #[tokio::test]
    async fn both_sides_learn_the_other_s_key() {
        let ((server, server_key), (client, client_key)) = (identity(1), identity(2));
        let url = mirror(server).await;
        assert_eq!(ask(&client, &url, Some(server_key)).await.unwrap(), client_key[..]);
        assert_eq!(ask(&client, &url, None).await.unwrap(), client_key[..]);
        let other = ask(&client, &url, Some([7; 32])).await;
        assert!(matches!(other, Err(Error::OtherKey { .. })), "{other:?}");
    }

    #[tokio::test]
    async fn nobody_is_let_in_without_a_key_or_with_older_tls() {
        let (server, _) = identity(1);
        let url = mirror(server).await;
        let address = url.strip_prefix("https://").unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12][..]] {
            let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(versions)
                .unwrap()
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
            let stream = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from(NO_NAME).unwrap();
            let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
            assert!(connected.is_err(), "certificates, no key, or TLS 1.2");
        }
    }

    #[test]
    fn addresses_are_those_of_sites_alone() {
        let (own, _) = identity(1);
        let new = |url: &str| Connection::new(&own, url, None);
        for good in ["https://a.example", "https://a.example:8443/", "https://[::1]:8443"] {
            assert!(new(good).is_ok(), "{good}");
        }
        assert_eq!(new("https://[::1]:8443").unwrap().host, "::1");
        for bad in
            ["http://a.example", "a.example:1", "https://a/b", "https://u@a", "https://a?x", ""]
        {
            assert!(matches!(new(bad), Err(Error::Url(_))), "{bad}");
        }
    }
}
