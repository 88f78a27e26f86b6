//! A DICOMweb client over one kept connection, with the clock around each request.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::blocking::{Client, RequestBuilder};
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};

/// A request may take this long: a slow peer is slow, not broken.
const REQUEST_MAX: Duration = Duration::from_secs(900);
/// A connection is not used again after this long: Orthanc closes one that is idle for a second.
const IDLE_MAX: Duration = Duration::from_millis(700);

/// How often what is forgotten is asked for.
const SKIM_TRIES: u32 = 3;
/// Bytes read at once of it.
const SKIM_BYTES: usize = 256 << 10;
/// How a good answer begins.
const STATUS_LINE: &[u8] = b"HTTP/1.1 200";

/// Metadata and search results.
pub(crate) const JSON: &str = "application/dicom+json";
/// Instances as they are stored.
pub(crate) const INSTANCES: &str =
    "multipart/related; type=\"application/dicom\"; transfer-syntax=*";
/// Instances as the standard has them where nobody says more: Explicit VR Little Endian (PS3.18 table
/// 8.7.3-2).
pub(crate) const INSTANCES_EXPLICIT: &str = "multipart/related; type=\"application/dicom\"";
/// Frames without transcoding: of an uncompressed instance, its pixels as they are.
pub(crate) const FRAMES: &str =
    "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*";

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    /// Seconds after which to ask again, if the server said so.
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: Vec<u8>,
    /// From the first byte sent to the last one received.
    pub(crate) seconds: f64,
}

/// The client. Threads that share it have a connection each.
#[derive(Debug, Clone)]
pub(crate) struct Web {
    client: Client,
    root: String,
}

impl Web {
    /// A client of the service at `root`, as `http://127.0.0.1:8080/dicom-web`.
    pub(crate) fn new(root: String) -> Result<Self> {
        let client = Client::builder().no_proxy().timeout(REQUEST_MAX).tcp_nodelay(true);
        let client = client.pool_idle_timeout(IDLE_MAX).build().context("an HTTP client")?;
        Ok(Self { client, root })
    }

    /// Reads a resource, whatever the status.
    pub(crate) fn get(&self, path: &str, accept: &str) -> Result<Reply> {
        let begun = Instant::now();
        let mut body = Vec::new();
        let request = self.client.get(format!("{}{path}", self.root)).header(ACCEPT, accept);
        finish(begun, request, |mut reply| reply.read_to_end(&mut body).map(|_| ()))
            .map(|reply| Reply { body, ..reply })
            .with_context(|| format!("GET {path}"))
    }

    /// Reads a resource that has to be there.
    pub(crate) fn read(&self, path: &str, accept: &str) -> Result<Reply> {
        let reply = self.get(path, accept)?;
        ensure!(reply.status == 200, "GET {path}: status {}", reply.status);
        Ok(reply)
    }

    /// Reads a resource that has to be there and forgets it; gives its length, or a little more where
    /// it came in chunks, and the seconds. Without a client library, which would take as much of the
    /// processor as the server: a connection of its own, read until the server closes it. One that is
    /// closed without an answer is tried again: of a run of hours it would be the end.
    pub(crate) fn skim(&self, path: &str, accept: &str) -> Result<(u64, f64)> {
        for _ in 0..SKIM_TRIES {
            match self.skim_once(path, accept)? {
                (0, _) => eprintln!("a connection was closed without an answer"),
                skimmed => return Ok(skimmed),
            }
        }
        bail!("GET {path}: no answer, {SKIM_TRIES} times")
    }

    fn skim_once(&self, path: &str, accept: &str) -> Result<(u64, f64)> {
        let root = self.root.strip_prefix("http://").context("a URL without http")?;
        let (host, prefix) = root.split_once('/').context("a URL without a path")?;
        let request = format!(
            "GET /{prefix}{path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\n\
             Connection: close\r\n\r\n"
        );
        let begun = Instant::now();
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(REQUEST_MAX))?;
        stream.write_all(request.as_bytes())?;
        let mut buffer = vec![0; SKIM_BYTES];
        let mut head = Vec::new();
        let mut bytes = 0;
        loop {
            let got = stream.read(&mut buffer).with_context(|| format!("GET {path}"))?;
            if got == 0 {
                break;
            }
            if head.len() < STATUS_LINE.len() {
                head.extend_from_slice(&buffer[..got.min(STATUS_LINE.len())]);
            }
            bytes += got as u64;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let is_good = bytes == 0 || head.starts_with(STATUS_LINE);
        ensure!(is_good, "GET {path}: {}", String::from_utf8_lossy(&head));
        Ok((bytes, seconds))
    }

    /// Sends a STOW request, whatever the status.
    pub(crate) fn store(&self, content_type: &str, body: Vec<u8>) -> Result<Reply> {
        let begun = Instant::now();
        let mut answer = Vec::new();
        let request = self.client.post(format!("{}/studies", self.root));
        let request = request.header(ACCEPT, JSON).header(CONTENT_TYPE, content_type).body(body);
        finish(begun, request, |mut reply| reply.read_to_end(&mut answer).map(|_| ()))
            .map(|reply| Reply { body: answer, ..reply })
            .context("POST /studies")
    }
}

/// Sends, lets `read` take the body, and stops the clock.
fn finish(
    begun: Instant,
    request: RequestBuilder,
    read: impl FnOnce(reqwest::blocking::Response) -> io::Result<()>,
) -> Result<Reply> {
    let reply = request.send()?;
    let status = reply.status().as_u16();
    let field = |name| reply.headers().get(name).and_then(|value| value.to_str().ok());
    let content_type = field(CONTENT_TYPE).unwrap_or_default().to_owned();
    let retry_after = field(RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
    read(reply)?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Reply { status, content_type, retry_after, body: Vec::new(), seconds })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpListener;

    use super::*;

    /// A server whose connections end with these answers, one after the other.
    fn server(answers: &'static [&'static str]) -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let root = format!("http://{}/web", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                // All of the request, or closing would be a reset.
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.extend(byte);
                }
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Web::new(root).unwrap()
    }

    #[test]
    fn a_connection_closed_without_an_answer_is_tried_again() {
        const GOOD: &str = "HTTP/1.1 200 OK\r\n\r\nabc";
        let (bytes, _) = server(&["", "", GOOD]).skim("/studies/1", "*/*").unwrap();
        assert_eq!(bytes, GOOD.len() as u64);
        let error = server(&["", "", ""]).skim("/studies/1", "*/*").unwrap_err();
        assert!(error.to_string().contains("no answer, 3 times"), "{error}");
        let error = server(&["HTTP/1.1 500 No"]).skim("/studies/1", "*/*").unwrap_err();
        assert!(error.to_string().contains("500"), "{error}");
    }
}
