//! Setting TLS up, from either side, within a deadline.
//!
//! A peer that speaks something else, is not trusted, offers nothing of the profile, or lets the
//! server wait gets no further than this; nothing of DICOM was read by then.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, Connection, ProtocolVersion, ServerConfig, ServerConnection,
};
use thiserror::Error;

use super::secure::{Secure, SecureReading};
use super::{Reading, Writing, is_timeout};
use crate::dimse::limits::TICK;
use crate::dimse::pdu::ASSOCIATE_RQ;

/// Why there is no TLS.
#[derive(Debug, Error)]
pub(crate) enum Insecure {
    /// The peer speaks DICOM where TLS is due.
    #[error("the peer does not use TLS")]
    Plain,
    /// It did not finish in time.
    #[error("the TLS handshake takes too long")]
    Slow,
    /// It closed the connection.
    #[error("the peer closed the connection in the TLS handshake")]
    Closed,
    /// This server ends.
    #[error("the server is ending")]
    Stopped,
    /// One side does not trust the other, or there is no suite that both know.
    #[error("the TLS handshake failed: {0}")]
    Refused(#[from] rustls::Error),
    /// A host name that no certificate can hold.
    #[error("{0} is no name that a certificate could have")]
    Name(String),
    /// A setting is missing.
    #[error("TLS is not set up here: {0}")]
    NotSetUp(&'static str),
    /// The socket failed.
    #[error("the connection failed in the TLS handshake: {0}")]
    Io(#[source] io::Error),
}

impl Insecure {
    /// The word under which it is counted.
    pub(in crate::dimse) fn word(&self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Slow => "slow",
            Self::Closed | Self::Io(_) => "closed",
            Self::Stopped => "stopped",
            Self::Refused(_) | Self::Name(_) | Self::NotSetUp(_) => "refused",
        }
    }
}

/// A connection over which TLS is spoken.
pub(crate) struct Secured {
    pub(in crate::dimse) reading: Reading,
    pub(in crate::dimse) writing: Writing,
    /// The word under which it is counted: the version.
    pub(in crate::dimse) version: &'static str,
}

/// As the one who was connected to.
pub(in crate::dimse) fn accept(
    socket: &TcpStream,
    config: Arc<ServerConfig>,
    patience: Duration,
    stopping: &AtomicBool,
) -> Result<Secured, Insecure> {
    let connection = ServerConnection::new(config)?;
    complete(socket, connection.into(), patience, stopping)
}

/// As the one who connected, to `host`.
pub(in crate::dimse) fn connect(
    socket: &TcpStream,
    config: Arc<ClientConfig>,
    host: &str,
    patience: Duration,
) -> Result<Secured, Insecure> {
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| Insecure::Name(host.to_owned()))?;
    let connection = ClientConnection::new(config, name)?;
    complete(socket, connection.into(), patience, &AtomicBool::new(false))
}

fn complete(
    socket: &TcpStream,
    connection: Connection,
    patience: Duration,
    stopping: &AtomicBool,
) -> Result<Secured, Insecure> {
    let until = Instant::now() + patience;
    socket.set_read_timeout(Some(TICK)).map_err(Insecure::Io)?;
    let secure = Secure::new(socket.try_clone().map_err(Insecure::Io)?, connection);
    let mut reading = SecureReading::new(&secure);
    let mut is_first = true;
    loop {
        secure.flush().map_err(|_| Insecure::Closed)?;
        if !secure.state().is_handshaking() {
            break;
        }
        match reading.feed() {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => {
                // The alert that tells of it.
                let _ = secure.flush();
                return Err(error.into());
            }
        }
        match reading.fill() {
            Ok(0) => return Err(Insecure::Closed),
            Ok(_) if is_first && reading.first_byte() == Some(ASSOCIATE_RQ) => {
                return Err(Insecure::Plain);
            }
            Ok(_) => is_first = false,
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(Insecure::Io(error)),
        }
        // Also while bytes come: a handshake may trickle.
        if Instant::now() >= until {
            return Err(Insecure::Slow);
        }
        if stopping.load(Ordering::Relaxed) {
            return Err(Insecure::Stopped);
        }
    }
    let version = match secure.state().protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "tls1.3",
        _ => "tls1.2",
    };
    Ok(Secured { reading: Reading::Tls(reading), writing: Writing::Tls(secure), version })
}
