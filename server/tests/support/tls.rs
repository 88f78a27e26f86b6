//! Certificates made on the spot, and TLS around plain connections: by rustls, as the server's, but
//! with its own defaults.

#![allow(dead_code, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};
use tokio::net::{TcpListener, TcpStream as AsyncStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::Site;
use super::server::Server;

/// An authority.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = params(&[]);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for these names and addresses.
    pub(crate) fn issue(&self, names: &[&str]) -> Pair {
        let key = KeyPair::generate().unwrap();
        let signed = params(names).signed_by(&key, &self.issuer).unwrap();
        Pair { certificate: signed.pem(), key: key.serialize_pem() }
    }
}

/// A certificate that nobody signed but itself; an authority as `openssl req -x509` makes them.
pub(crate) fn lone(names: &[&str]) -> Pair {
    let key = KeyPair::generate().unwrap();
    let mut params = params(names);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Pair { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

fn params(names: &[&str]) -> CertificateParams {
    let owned: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(owned).unwrap();
    // OpenSSL takes a certificate whose issuer has the same name for one that signed itself.
    let name = names.first().copied().unwrap_or("nobody");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Pair {
    /// Writes both into the folder: their paths.
    pub(crate) fn put(&self, site: &Site, name: &str) -> (PathBuf, PathBuf) {
        let certificate = site.put(&format!("tls/{name}.pem"), self.certificate.as_bytes());
        (certificate, site.put(&format!("tls/{name}.key"), self.key.as_bytes()))
    }
}

/// A client that trusts `trusted`, and shows a certificate if it has one.
pub(crate) fn client_config(trusted: &str, own: Option<&Pair>) -> ClientConfig {
    let builder = ClientConfig::builder().with_root_certificates(roots(trusted));
    match own {
        None => builder.with_no_client_auth(),
        Some(pair) => builder.with_client_auth_cert(chain(pair), key(pair)).unwrap(),
    }
}

fn roots(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    roots
}

fn chain(pair: &Pair) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).map(Result::unwrap).collect()
}

fn key(pair: &Pair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap()
}

/// A place without TLS, from which bytes go on over TLS, and back.
pub(crate) fn tunnel(to: SocketAddr, config: ClientConfig) -> SocketAddr {
    let connector = TlsConnector::from(Arc::new(config));
    forward(move |stream| {
        let connector = connector.clone();
        async move {
            let beyond = AsyncStream::connect(to).await?;
            let name = ServerName::from(to.ip());
            let mut secure = connector.connect(name, beyond).await?;
            let mut stream = stream;
            tokio::io::copy_bidirectional(&mut stream, &mut secure).await.map(|_| ())
        }
    })
}

/// A place with TLS, from which bytes go on without it, and back.
pub(crate) fn front(to: SocketAddr, own: &Pair) -> SocketAddr {
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(chain(own), key(own)).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    forward(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut secure = acceptor.accept(stream).await?;
            let mut beyond = AsyncStream::connect(to).await?;
            tokio::io::copy_bidirectional(&mut secure, &mut beyond).await.map(|_| ())
        }
    })
}

fn forward<F>(handle: impl Fn(AsyncStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let (told, bound) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            told.send(listener.local_addr().unwrap()).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(handle(stream));
            }
        });
    });
    bound.recv().unwrap()
}

/// Sends `first` over TLS and reads an answer: what it begins with, or why there is none. Whether a
/// client certificate is taken shows only here (TLS 1.3).
pub(crate) fn exchange(to: SocketAddr, config: ClientConfig, first: &[u8]) -> Result<u8, String> {
    let socket = TcpStream::connect(to).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let connection = ClientConnection::new(Arc::new(config), ServerName::from(to.ip())).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    let mut answer = [0];
    let got = stream.write_all(first).and_then(|()| stream.read(&mut answer));
    match got {
        Ok(0) => Err("closed".into()),
        Ok(_) => Ok(answer[0]),
        Err(error) => Err(error.to_string()),
    }
}

/// Where the server speaks TLS.
pub(crate) fn address(server: &Server) -> SocketAddr {
    let log = server.log();
    let (_, rest) = log.split_once("cairn: DIMSE over TLS as CAIRN on ").expect("TLS");
    rest.lines().next().unwrap().trim().parse().unwrap()
}

/// The settings of a server with this certificate, which trusts what is in `trusted`.
pub(crate) fn settings(site: &Site, own: &Pair, trusted: &str) -> Vec<(&'static str, String)> {
    let (certificate, key) = own.put(site, "own");
    let trusted = site.put("tls/trusted.pem", trusted.as_bytes());
    vec![
        ("DIMSE__TLS_LISTEN", "127.0.0.1:0".into()),
        ("DIMSE__TLS_CERTIFICATE", certificate.display().to_string()),
        ("DIMSE__TLS_KEY", key.display().to_string()),
        ("DIMSE__TLS_TRUSTED", trusted.display().to_string()),
    ]
}

/// Starts a server with these settings.
pub(crate) fn start(site: &Site, settings: &[(&'static str, String)]) -> Server {
    let settings: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Server::start(site, &settings)
}
