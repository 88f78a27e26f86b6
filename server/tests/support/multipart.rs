//! Reading `multipart/related` replies as strictly as the strictest client.

#![allow(dead_code, clippy::unwrap_used)]

use reqwest::blocking::Response;

/// One part.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) content_type: String,
    pub(crate) location: Option<String>,
    /// Content-Length.
    pub(crate) length: Option<u64>,
    pub(crate) bytes: Vec<u8>,
}

/// All parts of a reply.
pub(crate) fn parts(reply: Response) -> Vec<Part> {
    let content_type = reply.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(content_type.starts_with("multipart/related; type=\""), "{content_type}");
    let boundary = content_type.split("boundary=").nth(1).unwrap().to_owned();
    let body = reply.bytes().unwrap();
    split(&body, &boundary)
}

fn split(body: &[u8], boundary: &str) -> Vec<Part> {
    let first = format!("--{boundary}\r\n");
    let mut rest = body.strip_prefix(first.as_bytes()).expect("it begins with the delimiter");
    let delimiter = format!("\r\n--{boundary}");
    let mut parts = Vec::new();
    loop {
        let end = find(rest, delimiter.as_bytes()).expect("a part ends with the delimiter");
        parts.push(part(&rest[..end]));
        rest = &rest[end + delimiter.len()..];
        match rest.strip_prefix(b"\r\n") {
            Some(next) => rest = next,
            None => break,
        }
    }
    assert_eq!(rest, b"--\r\n", "the closing delimiter");
    parts
}

fn part(bytes: &[u8]) -> Part {
    let end = find(bytes, b"\r\n\r\n").expect("an empty line behind the part's head");
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    // Cornerstone looks for these very letters, in the first line.
    assert!(head.starts_with("Content-Type:"), "{head}");
    let field = |name: &str| {
        head.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    Part {
        content_type: field("Content-Type:").expect("a Content-Type in its usual case"),
        location: field("Content-Location:"),
        length: field("Content-Length:").map(|length| length.parse().unwrap()),
        bytes: bytes[end + 4..].to_vec(),
    }
}

/// Where `needle` begins.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, needle)
}
