//! The protocol between sites, spoken by hand: as whoever has a key, and with whatever bytes. Another
//! implementation than the server's.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use cairn_ledger::keys::SiteSecret;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer,
    UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    ServerConnection, SignatureScheme, StreamOwned,
};

use super::Site;

/// A reply: its status, and its body if it came whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The secret of a site's ledger.
pub(crate) fn secret(site: &Site) -> SiteSecret {
    SiteSecret::load(&site.data().join("ledger/site.key")).unwrap()
}

fn certified(provider: &CryptoProvider, secret: &SiteSecret) -> Arc<CertifiedKey> {
    let seed = *secret.tls_secret();
    let pkcs8 = [&hex("302e020100300506032b657004220420")[..], &seed].concat();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8));
    let key = provider.key_provider.load_private_key(key).unwrap();
    let spki = [&hex("302a300506032b6570032100")[..], &secret.public().tls].concat();
    Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], key))
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Takes any key that signs.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

macro_rules! any_signature {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::General("1.3 only".into()))
        }
        fn verify_tls13_signature(
            &self,
            message: &[u8],
            key: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let key = SubjectPublicKeyInfoDer::from(key.as_ref());
            let algorithms = &self.0.signature_verification_algorithms;
            verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
        }
        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }
        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    };
}

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    any_signature!();
}

impl ClientCertVerifier for Any {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }
    any_signature!();
}

fn client_config(secret: &SiteSecret) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let key = certified(&provider, secret);
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any(provider)))
        .with_client_cert_resolver(Arc::new(
            rustls::client::AlwaysResolvesClientRawPublicKeys::new(key),
        ));
    Arc::new(config)
}

/// Asks a site at an address, as whoever has the secret.
pub(crate) fn ask(
    to: SocketAddr,
    secret: &SiteSecret,
    method: &str,
    path: &str,
    body: &[u8],
) -> std::io::Result<Reply> {
    let name = ServerName::try_from("site.invalid").unwrap();
    let connection = ClientConnection::new(client_config(secret), name).unwrap();
    let socket = TcpStream::connect(to)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut stream = StreamOwned::new(connection, socket);
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: site\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let sent = stream.write_all(&[head.as_bytes(), body].concat());
    let mut all = Vec::new();
    if sent.is_ok() {
        // A site that breaks off sends no close.
        let _ = stream.read_to_end(&mut all);
    } else {
        // It answered before it had read everything, and what it said is here still.
        let StreamOwned { conn, sock } = &mut stream;
        while conn.read_tls(sock).is_ok_and(|bytes| bytes > 0) && conn.process_new_packets().is_ok()
        {
            let _ = conn.reader().read_to_end(&mut all);
        }
    }
    let end = all.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.ok_or_else(|| std::io::Error::other("no reply"))?;
    let head = String::from_utf8_lossy(&all[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    let body = all[end + 4..].to_vec();
    let body = if head.contains("transfer-encoding: chunked") { unchunked(&body) } else { body };
    Ok(Reply { status, body })
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|bytes| bytes == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        rest = &rest[end + 2..];
        if length == 0 || rest.len() < length {
            break;
        }
        body.extend_from_slice(&rest[..length]);
        rest = &rest[(length + 2).min(rest.len())..];
    }
    body
}

/// What a lying owner makes of an honest answer: path, body.
pub(crate) type Lie = dyn Fn(&str, Vec<u8>) -> Vec<u8> + Send + Sync;

/// A site that has the owner's key and answers as the owner does, but for what `lie` makes of it. Asks
/// the owner as `reader`. Gives its address.
pub(crate) fn liar(
    owner: &SiteSecret,
    honest: SocketAddr,
    reader: SiteSecret,
    lie: impl Fn(&str, Vec<u8>) -> Vec<u8> + Send + Sync + 'static,
) -> SocketAddr {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let key = certified(&provider, owner);
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(Any(provider)))
        .with_cert_resolver(Arc::new(rustls::server::AlwaysResolvesServerRawPublicKeys::new(key)));
    let (config, lie): (_, Arc<Lie>) = (Arc::new(config), Arc::new(lie));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let (config, lie, reader) = (Arc::clone(&config), Arc::clone(&lie), reader.clone());
            std::thread::spawn(move || {
                let connection = ServerConnection::new(config).unwrap();
                let mut stream = StreamOwned::new(connection, socket);
                while answer(&mut stream, honest, &reader, &*lie).is_some() {}
            });
        }
    });
    address
}

/// Answers one request; `None` when the other side is gone.
fn answer(
    stream: &mut StreamOwned<ServerConnection, TcpStream>,
    honest: SocketAddr,
    reader: &SiteSecret,
    lie: &Lie,
) -> Option<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    let mut words = head.split(' ');
    let (method, path) = (words.next()?.to_ascii_uppercase(), words.next()?.to_owned());
    // Codes of purposes are in capitals.
    let path = path.replace("purpose=treat", "purpose=TREAT");
    let reply = ask(honest, reader, &method, &path, &body).ok()?;
    let coded = if path.contains("/record") { "Content-Encoding: zstd\r\n" } else { "" };
    let body = if reply.status == 200 { lie(&path, reply.body) } else { reply.body };
    let head =
        format!("HTTP/1.1 {} Said\r\n{coded}Content-Length: {}\r\n\r\n", reply.status, body.len());
    stream.write_all(&[head.as_bytes(), &body].concat()).ok()
}

/// A tunnel that remembers what went to the other side. Gives its address, and what went.
pub(crate) fn recorder(to: SocketAddr) -> (SocketAddr, Arc<std::sync::Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let recorded = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = Arc::clone(&recorded);
    std::thread::spawn(move || {
        let (mut near, _) = listener.accept().unwrap();
        let mut far = TcpStream::connect(to).unwrap();
        let (mut back_near, mut back_far) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut back_far, &mut back_near);
            let _ = back_near.shutdown(std::net::Shutdown::Write);
        });
        let mut bytes = [0; 4096];
        while let Ok(got @ 1..) = near.read(&mut bytes) {
            kept.lock().unwrap().extend_from_slice(&bytes[..got]);
            let _ = far.write_all(&bytes[..got]);
        }
        let _ = far.shutdown(std::net::Shutdown::Write);
    });
    (address, recorded)
}
