//! `cairn probe`: asks a server whether it is ready, for health checks where there is no curl: the
//! container has no other program.
//!
//! Plain HTTP/1.1 over a bare socket, one request, an answer of which only the first line counts. No
//! archive is opened and no setting read: a probe is asked every few seconds.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use clap::Args;
use hyper::Uri;
use serde::Serialize;

use super::{Exit, Session};
use crate::error::{Error, Result};

/// Longest status line; ours has some thirty bytes.
const LINE_BYTES_MAX: usize = 1024;
/// What is asked for where the URL has no path.
const READY: &str = "/readyz";
/// The port of a URL without one (RFC 9110 §4.2.1).
const HTTP_PORT: u16 = 80;

/// Ask a server whether it is ready
#[derive(Debug, Args)]
#[command(after_help = "\
For health checks of containers. The URL may name any path, as /healthz; without one it is /readyz. \
TLS is not spoken: ask the server itself, not the proxy before it.

Exit codes: 0 it said 200; 1 it said something else, or nothing in time; 2 wrong usage.

Examples:
  cairn probe
  cairn probe http://127.0.0.1:8080/healthz --seconds 2")]
pub(crate) struct ProbeArgs {
    /// Where the server listens
    #[arg(default_value = "http://127.0.0.1:8080/readyz", value_name = "URL")]
    url: String,
    /// How long it may take
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

/// What is told with `--json`.
#[derive(Debug, Serialize)]
struct Verdict {
    ready: bool,
    status: u16,
}

pub(super) fn run(session: &Session, args: &ProbeArgs) -> Result<Exit> {
    let target = Target::of(&args.url)?;
    let refused = |source| Error::Probe { source };
    let status = target.status(Duration::from_secs(args.seconds)).map_err(refused)?;
    let ready = status == 200;
    if session.output.json {
        session.output.object(&Verdict { ready, status })?;
    } else if ready {
        session.output.note("ready");
    } else {
        session.output.note(&format!("not ready: status {status}"));
    }
    Ok(Exit::good_if(ready))
}

/// Whom to ask for what.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    host: String,
    port: u16,
    path: String,
}

impl Target {
    fn of(url: &str) -> Result<Self> {
        const USAGE: Error = Error::Usage("the URL has to be http://HOST[:PORT][/PATH]");
        let url: Uri = url.parse().map_err(|_| USAGE)?;
        let host = url.host().filter(|host| !host.is_empty()).ok_or(USAGE)?;
        if url.scheme_str() != Some("http") {
            return Err(USAGE);
        }
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            host: host.to_owned(),
            port: url.port_u16().unwrap_or(HTTP_PORT),
            path: if path == "/" { READY } else { path }.to_owned(),
        })
    }

    /// The status that it answers with.
    fn status(&self, patience: Duration) -> std::io::Result<u16> {
        let until = Instant::now() + patience;
        let mut stream = self.connect(until)?;
        stream.set_write_timeout(Some(left(until)?))?;
        let Self { host, port, path } = self;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut line = Vec::new();
        let mut byte = [0; 64];
        // One deadline for all of it: a server that trickles is not ready.
        while line.len() < LINE_BYTES_MAX && !line.contains(&b'\n') {
            stream.set_read_timeout(Some(left(until)?))?;
            match stream.read(&mut byte) {
                Ok(0) => break,
                Ok(got) => line.extend_from_slice(&byte[..got]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        status_of(&line).ok_or_else(|| ErrorKind::InvalidData.into())
    }

    /// A name may have several addresses, of which the server listens on one.
    fn connect(&self, until: Instant) -> std::io::Result<TcpStream> {
        // The brackets of an IPv6 address are the URL's (RFC 3986 §3.2.2).
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let mut failed = ErrorKind::NotFound.into();
        for address in (host, self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left(until)?) {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

/// Time until a moment; an error once it is past.
fn left(until: Instant) -> std::io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// The status of an HTTP/1 status line (RFC 9112 §4).
fn status_of(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line.split(|byte| *byte == b'\n').next()?).ok()?;
    let mut words = line.strip_prefix("HTTP/1.")?.split_ascii_whitespace().skip(1);
    words.next().filter(|status| status.len() == 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn urls() {
        let target = |host: &str, port, path: &str| Target {
            host: host.to_owned(),
            port,
            path: path.to_owned(),
        };
        for (url, expected) in [
            ("http://127.0.0.1:8080", target("127.0.0.1", 8080, "/readyz")),
            ("http://cairn/", target("cairn", 80, "/readyz")),
            ("http://[::1]:8080/healthz", target("[::1]", 8080, "/healthz")),
        ] {
            assert_eq!(Target::of(url).unwrap(), expected);
        }
        for url in ["", "cairn:8080", "https://cairn/", "http://", "/readyz", "http://a b/"] {
            assert_eq!(Target::of(url).unwrap_err().exit_code(), 2, "{url}");
        }
    }

    #[test]
    fn status_lines() {
        assert_eq!(status_of(b"HTTP/1.1 200 OK\r\nA: b"), Some(200));
        assert_eq!(status_of(b"HTTP/1.0 503\r\n"), Some(503));
        for bad in ["", "HTTP/2 200", "SSH-2.0 200 x", "HTTP/1.1 20", "HTTP/1.1 abc", "HTTP/1.1"] {
            assert_eq!(status_of(bad.as_bytes()), None, "{bad}");
        }
    }

    /// What is said to whoever asks, in these pieces, with a pause between them.
    fn answered(pieces: &[&'static [u8]]) -> std::io::Result<u16> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let pieces = pieces.to_vec();
        let says = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for piece in pieces {
                if stream.write_all(piece).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(150));
            }
        });
        let target = Target { host: "127.0.0.1".to_owned(), port, path: READY.to_owned() };
        let status = target.status(Duration::from_millis(800));
        says.join().unwrap();
        status
    }

    const TRICKLE: [&[u8]; 12] = [b"H"; 12];

    #[test]
    fn it_ends_in_time_whatever_answers() {
        assert_eq!(answered(&[b"HTTP/1.1 2", b"00 OK\r\n"]).unwrap(), 200);
        assert!(answered(&[b"HTTP/1.1 "]).is_err(), "it ended early");
        assert!(answered(&TRICKLE).is_err(), "it trickled");
        assert!(answered(&[&[b'x'; 5000]]).is_err(), "no line at all");
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let target = Target { host: "127.0.0.1".to_owned(), port: nobody, path: READY.to_owned() };
        assert!(target.status(Duration::from_secs(1)).is_err());
    }
}
