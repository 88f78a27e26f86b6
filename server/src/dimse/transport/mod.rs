//! The two halves of a connection, with or without TLS (PS3.8 §9.1, PS3.15 annex B).
//!
//! One thread reads while others may write. A plain socket is just read and written. TLS has one state
//! for both directions ([`secure`]).

mod certificates;
mod handshake;
mod secure;
mod trust;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

pub(crate) use certificates::{ClientCertificates, Files, Tls};
pub(crate) use handshake::Insecure;
pub(super) use handshake::{accept, connect};
use secure::{Secure, SecureReading};

/// The half that is read.
pub(super) enum Reading {
    Plain(TcpStream),
    Tls(SecureReading),
}

/// The half that is written.
pub(super) enum Writing {
    Plain(TcpStream),
    Tls(Arc<Secure>),
}

/// Both halves of a connection without TLS.
pub(super) fn plain(socket: &TcpStream) -> io::Result<(Reading, Writing)> {
    Ok((Reading::Plain(socket.try_clone()?), Writing::Plain(socket.try_clone()?)))
}

impl Reading {
    /// The socket: for its deadlines.
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(reading) => reading.socket(),
        }
    }

    /// Has something come, without waiting for it? Also if the peer is gone. While it is looked for
    /// the socket does not block, so nobody may write.
    pub(super) fn is_due(&mut self) -> bool {
        match self {
            Self::Plain(socket) => {
                let peeked =
                    socket.set_nonblocking(true).and_then(|()| socket.peek(&mut [0])).map(|_| ());
                let _ = socket.set_nonblocking(false);
                !is_not_yet(&peeked)
            }
            Self::Tls(reading) => reading.is_due(),
        }
    }
}

impl Read for Reading {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => {
                acknowledge_now(socket);
                socket.read(out)
            }
            Self::Tls(reading) => reading.read(out),
        }
    }
}

/// Before a read: what came is acknowledged at once (RFC 1122 §4.2.3.2 lets a receiver wait half a second).
///
/// Many send a message in two pieces, its command and its data set, and have not turned Nagle's algorithm
/// off (RFC 896): their second piece waits for the first to be acknowledged, which Linux puts off for
/// 40 ms, for each message. The switch does not last, so it is set again and again.
fn acknowledge_now(socket: &TcpStream) {
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(socket).set_tcp_quickack(true);
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}

impl Writing {
    /// Sends all of it; blocks no longer than the write timeout of the socket.
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(secure) => secure.write_all(bytes),
        }
    }

    /// Says that nothing more comes (close_notify), where there is a way to say it.
    pub(super) fn close(&mut self) {
        if let Self::Tls(secure) = self {
            secure.close();
        }
    }
}

/// Did nothing come in time?
pub(super) fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

fn is_not_yet<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
