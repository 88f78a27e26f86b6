//! Audit messages on their way to a receiver: syslog over TLS (RFC 5424, RFC 5425; PS3.15 §A.6).
//!
//! A thread follows the log and sends what there is a message for. How far it came is kept in a file, so
//! that it goes on there after a restart, or when a receiver was away for long: the log itself is the
//! queue. Syslog has no acknowledgement. What was written counts as received only when the connection
//! has stood for [`SETTLED`] after it, and goes again over the next one if it has not: a receiver may see
//! a message twice, and tells it by the number in its structured data.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::dicom;
use super::event::Line;
use super::follow::Follow;
use crate::dimse::Tls;

/// How long a connection has to stand before what went over it counts as received.
const SETTLED: Duration = Duration::from_secs(5);
/// Between two looks into the log.
const LOOK: Duration = Duration::from_millis(500);
/// Between two tries to connect.
const AGAIN: Duration = Duration::from_secs(10);
/// Time to connect, and for each write.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it is listened whether the receiver closed.
const LISTEN: Duration = Duration::from_millis(20);
/// Lines that are sent in one go.
const LINES_ONCE: usize = 200;
/// Facility 10, security; severity 5, notice (PS3.15 §A.6).
const PRIORITY: u8 = 10 * 8 + 5;
/// Of structured data. The number is that of examples (RFC 5612): this program has none of its own.
const ELEMENT: &str = "cairn@32473";
/// PS3.15 §A.6.
const MESSAGE_ID: &str = "DICOM+RFC3881";

/// Where messages go.
pub(crate) struct Receiver {
    /// Its name, as its certificate has it, or its address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whom to trust, and what to show.
    pub(crate) tls: Tls,
    /// What this system is called.
    pub(crate) source: String,
}

/// Sends until it is dropped.
pub(crate) struct Sending {
    ending: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Begins to send what is in the log of this folder.
pub(crate) fn send(folder: PathBuf, receiver: Receiver) -> std::io::Result<Sending> {
    let ending = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&ending);
    let thread = std::thread::Builder::new().name("cairn-syslog".into()).spawn(move || {
        let mut is_told = false;
        while !asked.load(Ordering::Relaxed) {
            // Once for each time that it is away.
            if let Err(why) = converse(&folder, &receiver, &asked, &mut is_told)
                && !is_told
            {
                tracing::warn!(%why, "audit messages do not go out; they wait in the log");
                is_told = true;
            }
            if !asked.load(Ordering::Relaxed) {
                std::thread::park_timeout(AGAIN);
            }
        }
    })?;
    Ok(Sending { ending, thread: Some(thread) })
}

/// One connection, until it breaks or nobody wants it any more.
fn converse(
    folder: &Path,
    receiver: &Receiver,
    asked: &AtomicBool,
    is_told: &mut bool,
) -> std::io::Result<()> {
    let mut stream = connect(receiver)?;
    *is_told = false;
    tracing::info!("audit messages go out");
    let kept = folder.join("syslog.position");
    let mut follow = Follow::from(folder.to_owned(), position(&kept)?);
    let mut written = Written { kept, counted: follow.next(), sent: Vec::new() };
    loop {
        let lines = follow.lines(LINES_ONCE).map_err(std::io::Error::other)?;
        for line in &lines {
            if let Some(message) = dicom::message(line, &receiver.source) {
                stream.write_all(&frame(line, &receiver.source, &message))?;
            }
        }
        if !lines.is_empty() {
            stream.flush()?;
            written.sent.push((Instant::now(), follow.next()));
        }
        is_open(&mut stream)?;
        written.settle()?;
        if asked.load(Ordering::Relaxed) {
            stream.conn.send_close_notify();
            return stream.flush();
        }
        if lines.len() < LINES_ONCE {
            std::thread::park_timeout(LOOK);
        }
    }
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn connect(receiver: &Receiver) -> std::io::Result<Stream> {
    let mut last = std::io::Error::new(ErrorKind::NotFound, "the receiver has no address");
    for address in (receiver.host.as_str(), receiver.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(socket) => {
                socket.set_read_timeout(Some(PATIENCE))?;
                socket.set_write_timeout(Some(PATIENCE))?;
                let config = receiver.tls.client();
                let config = config.ok_or_else(|| std::io::Error::other("nobody is trusted"))?;
                let name = ServerName::try_from(receiver.host.clone());
                let name = name.map_err(std::io::Error::other)?;
                let session = ClientConnection::new(config, name).map_err(std::io::Error::other)?;
                let mut stream = StreamOwned::new(session, socket);
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock)?;
                }
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A receiver says nothing; if it closes, what it may not have read goes again.
fn is_open(stream: &mut Stream) -> std::io::Result<()> {
    stream.sock.set_read_timeout(Some(LISTEN))?;
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(0) => Err(ErrorKind::ConnectionReset.into()),
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What went out, and how far it counts as received.
struct Written {
    kept: PathBuf,
    counted: u64,
    /// When lines up to which number went out.
    sent: Vec<(Instant, u64)>,
}

impl Written {
    fn settle(&mut self) -> std::io::Result<()> {
        let settled = self.sent.iter().take_while(|(at, _)| at.elapsed() >= SETTLED).count();
        let Some((_, next)) = self.sent.drain(..settled).next_back() else { return Ok(()) };
        if next > self.counted {
            keep(&self.kept, next)?;
            self.counted = next;
        }
        Ok(())
    }
}

/// The number of the next line that is to be sent.
fn position(kept: &Path) -> std::io::Result<u64> {
    match std::fs::read_to_string(kept) {
        // A position that cannot be read is none: all goes again.
        Ok(text) => Ok(text.trim().parse().unwrap_or(0)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn keep(kept: &Path, next: u64) -> std::io::Result<()> {
    let folder = kept.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{next}")?;
    file.as_file().sync_all()?;
    file.persist(kept).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

/// A message with its length before it (RFC 5425 §4.3).
fn frame(line: &Line, source: &str, message: &str) -> Vec<u8> {
    // Printable ASCII without blanks, at most 255 of it (RFC 5424 §6).
    let host: String = source.chars().filter(char::is_ascii_graphic).take(255).collect();
    let host = if host.is_empty() { "-" } else { &host };
    let (at, n) = (time(&line.at), line.n);
    let text = format!(
        "<{PRIORITY}>1 {at} {host} cairn {} {MESSAGE_ID} [{ELEMENT} n=\"{n}\"] \u{FEFF}{message}",
        std::process::id()
    );
    let mut out = format!("{} ", text.len()).into_bytes();
    out.extend_from_slice(text.as_bytes());
    out
}

/// A time as syslog takes it: six digits of a second at most (RFC 5424 §6.2.3).
fn time(at: &str) -> String {
    match at.split_once('.') {
        Some((whole, rest)) => {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).take(6).collect();
            if digits.is_empty() { format!("{whole}Z") } else { format!("{whole}.{digits}Z") }
        }
        None => at.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::audit::event::Event;

    #[test]
    fn a_frame_has_its_length_and_a_head() {
        let at = "2026-11-26T09:20:11.123456789Z".to_owned();
        let line = Line { n: 7, at, event: Event::default() };
        let text = String::from_utf8(frame(&line, "a b", "<x/>")).unwrap();
        let (length, rest) = text.split_once(' ').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), rest.len());
        assert!(rest.starts_with("<85>1 2026-11-26T09:20:11.123456Z ab cairn "), "{rest}");
        assert!(rest.ends_with("DICOM+RFC3881 [cairn@32473 n=\"7\"] \u{FEFF}<x/>"), "{rest}");
        assert_eq!(time("2026-11-26T09:20:11Z"), "2026-11-26T09:20:11Z");
    }

    #[test]
    fn a_position_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("p");
        assert_eq!(position(&kept).unwrap(), 0);
        keep(&kept, 17).unwrap();
        assert_eq!(position(&kept).unwrap(), 17);
        std::fs::write(&kept, "x").unwrap();
        assert_eq!(position(&kept).unwrap(), 0);
    }
}
