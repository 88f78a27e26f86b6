//! Keys and certificates: read from PEM files, and read again when the files change.
//!
//! The suites are those of the BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile (PS3.15
//! §B.12): TLS 1.3, and TLS 1.2 with ephemeral keys and authenticated encryption (RFC 9325 §4.2). There
//! is nothing older to fall back to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite as suite};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite};

use super::trust::{TrustedClients, TrustedServers};
use crate::reread::{Reread, Unusable, read};

/// In the order in which this server prefers them.
const SUITES: [SupportedCipherSuite; 9] = [
    suite::TLS13_AES_256_GCM_SHA384,
    suite::TLS13_AES_128_GCM_SHA256,
    suite::TLS13_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// Must those who call show a certificate?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientCertificates {
    /// Yes.
    Required,
    /// They may; a wrong one is refused all the same.
    Optional,
    /// They are not asked.
    None,
}

/// Where keys and certificates are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    /// This server's certificate, then those between it and its authority; and its key.
    pub(crate) own: Option<(PathBuf, PathBuf)>,
    /// Certificates of authorities, and of peers that are trusted one by one.
    pub(crate) trusted: Option<PathBuf>,
    /// Must those who call show one?
    pub(crate) clients: ClientCertificates,
}

/// See the [module](self).
pub(crate) struct Tls {
    files: Files,
    sides: Reread<Sides>,
}

/// What each side of a connection is set up with.
#[derive(Clone)]
struct Sides {
    /// If there is a certificate to show.
    server: Option<Arc<ServerConfig>>,
    /// If somebody is trusted.
    client: Option<Arc<ClientConfig>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without keys.
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    pub(crate) fn load(files: Files) -> Result<Self, Unusable> {
        let known = files.clone();
        let sides = Reread::new(files.paths(), move || known.sides())?;
        Ok(Self { files, sides })
    }

    /// For those who call.
    pub(in crate::dimse) fn server(&self) -> Option<Arc<ServerConfig>> {
        self.sides.now().server
    }

    /// For those who are called.
    pub(crate) fn client(&self) -> Option<Arc<ClientConfig>> {
        self.sides.now().client
    }
}

impl Files {
    fn paths(&self) -> Vec<PathBuf> {
        let own = self.own.iter().flat_map(|(certificate, key)| [certificate, key]);
        own.chain(&self.trusted).cloned().collect()
    }

    fn sides(&self) -> Result<Sides, Unusable> {
        let provider = Arc::new(CryptoProvider {
            cipher_suites: SUITES.to_vec(),
            ..aws_lc_rs::default_provider()
        });
        let trusted = self.trusted.as_deref().map(Trusted::read).transpose()?;
        Ok(Sides {
            server: self.server(&provider, trusted.as_ref())?,
            client: self.client(&provider, trusted)?,
        })
    }

    fn server(
        &self,
        provider: &Arc<CryptoProvider>,
        trusted: Option<&Trusted>,
    ) -> Result<Option<Arc<ServerConfig>>, Unusable> {
        let Some(own) = &self.own else { return Ok(None) };
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| Unusable::new(CERTIFICATE, error))?;
        let builder = match (self.clients, trusted) {
            (ClientCertificates::None, _) => builder.with_no_client_auth(),
            (_, None) => return Err(Unusable::new(TRUSTED, NOBODY)),
            (clients, Some(Trusted { named, roots })) => {
                let optional = clients == ClientCertificates::Optional;
                let (named, roots) = (named.clone(), Arc::clone(roots));
                let verifier = TrustedClients::new(named, roots, Arc::clone(provider), optional)
                    .map_err(|error| Unusable::new(TRUSTED, error))?;
                builder.with_client_cert_verifier(Arc::new(verifier))
            }
        };
        let (chain, key) = pair(own)?;
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| Unusable::new(KEY, mismatch(&error)))?;
        // Without resumption who is not trusted any more is out with the next association.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Some(Arc::new(config)))
    }

    fn client(
        &self,
        provider: &Arc<CryptoProvider>,
        trusted: Option<Trusted>,
    ) -> Result<Option<Arc<ClientConfig>>, Unusable> {
        let Some(Trusted { named, roots }) = trusted else { return Ok(None) };
        let verifier = TrustedServers::new(named, roots, Arc::clone(provider))
            .map_err(|error| Unusable::new(TRUSTED, error))?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| Unusable::new(TRUSTED, error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match &self.own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let (chain, key) = pair(own)?;
                let made = builder.with_client_auth_cert(chain, key);
                made.map_err(|error| Unusable::new(KEY, mismatch(&error)))?
            }
        };
        Ok(Some(Arc::new(config)))
    }
}

const CERTIFICATE: &str = "dimse.tls_certificate";
const KEY: &str = "dimse.tls_key";
const TRUSTED: &str = "dimse.tls_trusted";
const NOBODY: &str = "it names no file, so nobody is trusted; clients that need no certificate are \
    let in with tls_clients = \"none\"";

/// Certificates that are trusted.
struct Trusted {
    named: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
}

impl Trusted {
    fn read(path: &Path) -> Result<Self, Unusable> {
        let named = certificates(TRUSTED, path)?;
        let mut roots = RootCertStore::empty();
        for certificate in &named {
            roots.add(certificate.clone()).map_err(|error| {
                let path = path.display();
                Unusable::new(TRUSTED, format!("a certificate in {path} cannot be used: {error}"))
            })?;
        }
        Ok(Self { named, roots: Arc::new(roots) })
    }
}

fn pair(
    (certificate, key): &(PathBuf, PathBuf),
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Unusable> {
    let chain = certificates(CERTIFICATE, certificate)?;
    let path = key.display();
    let bytes = read(KEY, key)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        Unusable::new(KEY, format!("{path} holds no private key in PEM that needs no passphrase"))
    })?;
    Ok((chain, key))
}

fn certificates(
    setting: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let bytes = read(setting, path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let path = path.display();
    match read {
        Ok(read) if !read.is_empty() => Ok(read),
        Ok(_) => Err(Unusable::new(setting, format!("{path} holds no certificate in PEM"))),
        Err(error) => Err(Unusable::new(setting, format!("{path} is no good PEM: {error}"))),
    }
}

fn mismatch(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            "the key does not belong to the certificate in dimse.tls_certificate".into()
        }
        other => format!("it cannot be used: {other}"),
    }
}
