//! Bodies of type multipart/related (RFC 2387), out and in, as DICOMweb has them (PS3.18 §8.6).
//!
//! Not made for speed or for hostile servers: replies are taken apart after the clock was stopped.

use anyhow::{Context, Result, bail};

/// Between the parts of what is sent: too long to occur in pixels by chance.
const BOUNDARY: &str = "cairn-bench-7f3a9c51e6d84b02-5d1e8f64a7b93c20-boundary";

/// The type of [`body`].
pub(crate) fn content_type() -> String {
    format!("multipart/related; type=\"application/dicom\"; boundary={BOUNDARY}")
}

/// A request that stores these files.
pub(crate) fn body<'a>(files: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut body = Vec::new();
    for file in files {
        part(&mut body, file);
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

/// One file of such a request.
pub(crate) fn part(body: &mut Vec<u8>, file: &[u8]) {
    body.reserve(file.len() + 128);
    body.extend_from_slice(b"--");
    body.extend_from_slice(BOUNDARY.as_bytes());
    body.extend_from_slice(b"\r\nContent-Type: application/dicom\r\n\r\n");
    body.extend_from_slice(file);
    body.extend_from_slice(b"\r\n");
}

/// The contents of the parts of a reply. A reply of another type is one part.
pub(crate) fn parts<'a>(content_type: &str, body: &'a [u8]) -> Result<Vec<&'a [u8]>> {
    if !content_type.starts_with("multipart/") {
        return Ok(vec![body]);
    }
    let (_, boundary) = content_type.split_once("boundary=").context("a boundary is missing")?;
    // Orthanc puts quotes around other things than the boundary.
    let boundary = boundary.split(';').next().unwrap_or_default().trim().trim_matches('"');
    let delimiter = format!("--{boundary}");
    let mut rest = after(body, delimiter.as_bytes()).context("the first boundary is missing")?;
    let delimiter = format!("\r\n{delimiter}");
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        let head = find(rest, b"\r\n\r\n").context("a part has no end of its head")?;
        let content = &rest[head + 4..];
        let length = find(content, delimiter.as_bytes()).context("the last boundary is missing")?;
        parts.push(&content[..length]);
        rest = &content[length + delimiter.len()..];
    }
    Ok(parts)
}

/// The content of the only part of a reply.
pub(crate) fn only_part<'a>(content_type: &str, body: &'a [u8]) -> Result<&'a [u8]> {
    match parts(content_type, body)?[..] {
        [part] => Ok(part),
        ref parts => bail!("{} parts, not one", parts.len()),
    }
}

fn after<'a>(bytes: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    find(bytes, word).map(|at| &bytes[at + word.len()..])
}

/// Where `word`, which is not empty, stands first.
fn find(bytes: &[u8], word: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|&byte| byte == word[0]) {
        if bytes[from + at..].starts_with(word) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_sent_can_be_read() {
        let files: [&[u8]; 3] = [b"one", b"", b"two\r\n--cairn-bench\r\n\r\n"];
        let body = body(files);
        assert_eq!(parts(&content_type(), &body).unwrap(), files);
        assert!(only_part(&content_type(), &body).is_err());
        assert_eq!(only_part("application/dicom", b"x").unwrap(), b"x");
    }

    #[test]
    fn orthanc_quotes_the_wrong_thing() {
        let kind = "multipart/related; type=\"application/octet-stream; transfer-syntax=1.2\"; \
                    boundary=a-b";
        let body = b"\r\n--a-b\r\nContent-Type: x\r\n\r\n\r\npixels\r\n--a-b--\r\n";
        assert_eq!(only_part(kind, body).unwrap(), b"\r\npixels");
        for cut in 0..body.len() - 4 {
            assert!(only_part(kind, &body[..cut]).is_err(), "{cut}");
        }
    }
}
