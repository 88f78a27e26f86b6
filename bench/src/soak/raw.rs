//! HTTP by hand, to say what no client library would.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// No single read or write waits longer; the server's own deadlines are shorter.
const SOCKET_WAIT: Duration = Duration::from_secs(45);
/// What is read of an answer at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Bytes read at once.
const BUFFER_BYTES: usize = 16 << 10;

/// A connection.
#[derive(Debug)]
pub(super) struct Raw {
    stream: TcpStream,
}

/// How a conversation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// A status, and as much of the body as came.
    Answer(u16, Vec<u8>),
    /// The server closed or reset the connection without an answer.
    Closed,
    /// Nothing came in all the time that there was.
    Silence,
    /// The client went away without listening.
    Left,
}

impl End {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Answer(status, _) => status.to_string(),
            Self::Closed => "closed".to_owned(),
            Self::Silence => "silence".to_owned(),
            Self::Left => "left".to_owned(),
        }
    }
}

impl Raw {
    /// Connects to `host`, as `127.0.0.1:4711`.
    pub(super) fn connect(host: &str) -> Result<Self> {
        let stream = TcpStream::connect(host).context("the server takes no connections")?;
        stream.set_read_timeout(Some(SOCKET_WAIT))?;
        stream.set_write_timeout(Some(SOCKET_WAIT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Sends; false if the server does not listen any more.
    pub(super) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Says that nothing more will be sent.
    pub(super) fn finish(&self) {
        // It may be closed already.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// Waits until some byte of an answer is there, and leaves it unread: closing the connection then
    /// sends a reset (RFC 1122 §4.2.2.13).
    pub(super) fn wait_unread(&self) {
        let _ = self.stream.peek(&mut [0]);
    }

    /// Reads an answer until the server closes, all of it is there, or `until`.
    pub(super) fn answer(&mut self, until: Instant) -> End {
        let mut got = Vec::new();
        let mut buffer = [0; BUFFER_BYTES];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || got.len() > ANSWER_BYTES_MAX || is_whole(&got) {
                return ended(&got, End::Silence);
            }
            // A wait of zero would be refused.
            let _ = self.stream.set_read_timeout(Some(left.min(SOCKET_WAIT)));
            match self.stream.read(&mut buffer) {
                Ok(0) => return ended(&got, End::Closed),
                Ok(count) => got.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return ended(&got, End::Closed),
            }
        }
    }
}

/// What was read, or `otherwise` if it is no answer. Interim answers (1xx) do not count.
fn ended(got: &[u8], otherwise: End) -> End {
    let body_at = head_end(got);
    match (status(got), body_at) {
        (Some(100..200), Some(at)) => ended(&got[at..], otherwise),
        (Some(status), at) => End::Answer(status, at.map_or(Vec::new(), |at| got[at..].to_vec())),
        (None, _) => otherwise,
    }
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.get(..12)?;
    let digits = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    std::str::from_utf8(digits).ok()?.trim().parse().ok()
}

fn head_end(answer: &[u8]) -> Option<usize> {
    answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| at + 4)
}

/// Is a final answer there as far as its Content-Length tells? Without one only a close ends it.
fn is_whole(answer: &[u8]) -> bool {
    let (Some(status), Some(at)) = (status(answer), head_end(answer)) else { return false };
    if (100..200).contains(&status) {
        return is_whole(&answer[at..]);
    }
    let head = String::from_utf8_lossy(&answer[..at]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse::<usize>().ok());
    match length {
        Some(length) => answer.len() - at >= length,
        None => answer.ends_with(b"0\r\n\r\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let whole = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno";
        assert!(is_whole(whole));
        assert!(!is_whole(&whole[..whole.len() - 1]));
        assert_eq!(ended(whole, End::Closed), End::Answer(400, b"no".to_vec()));
        assert_eq!(ended(&whole[..25], End::Closed), End::Closed);
        assert_eq!(ended(b"HTTP/1.1 4", End::Silence).name(), "silence");
    }
}
