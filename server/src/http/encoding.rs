//! Content-Encoding of replies: gzip and Zstandard (RFC 9110 §12.5.3).
//!
//! Text only: pixels are compressed already. Level 1 of both: metadata shrinks some twentyfold even
//! so, and the client waits for the server, not for the line.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::GzEncoder;
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, VARY,
};

use super::limits::COMPRESS_BYTES_MIN;
use super::reply::Reply;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// Its name in header fields.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The coding that the client likes best; of equals the better one.
    pub(crate) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let (mut gzip, mut zstd, mut any) = (None, None, None);
        for field in headers.get_all(ACCEPT_ENCODING) {
            for item in field.to_str().unwrap_or("").split(',') {
                let (name, rest) = item.split_once(';').unwrap_or((item, ""));
                let quality = quality(rest);
                match name.trim().to_ascii_lowercase().as_str() {
                    "gzip" | "x-gzip" => gzip = Some(quality),
                    "zstd" => zstd = Some(quality),
                    "*" => any = Some(quality),
                    _ => {}
                }
            }
        }
        let gzip = gzip.or(any).unwrap_or(0);
        let zstd = zstd.or(any).unwrap_or(0);
        match (gzip, zstd) {
            (0, 0) => None,
            _ if zstd >= gzip => Some(Self::Zstd),
            _ => Some(Self::Gzip),
        }
    }
}

/// A weight in thousandths; 1000 where there is none, 0 where it makes no sense.
fn quality(parameters: &str) -> u16 {
    let weight = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse::<f32>())
    });
    match weight {
        None => 1000,
        Some(Ok(weight)) if (0.0..=1.0).contains(&weight) => (weight * 1000.0) as u16,
        Some(_) => 0,
    }
}

/// Compresses what is written into it.
pub(crate) enum Encoder {
    /// gzip.
    Gzip(GzEncoder<Vec<u8>>),
    /// Zstandard.
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    /// An encoder into memory.
    pub(crate) fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::fast())),
            Coding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 1)?),
        })
    }

    /// What was made so far.
    pub(super) fn take(&mut self) -> Bytes {
        let made = match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        };
        std::mem::take(made).into()
    }

    /// What was made and not taken, to the end.
    pub(super) fn finish(self) -> io::Result<Bytes> {
        let made = match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        };
        made.map(Bytes::from)
    }
}

impl Write for Encoder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compresses a whole body.
pub(super) fn whole(coding: Coding, bytes: &[u8]) -> io::Result<Bytes> {
    let mut encoder = Encoder::new(coding)?;
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// The coding for this reply, if it is worth one. Sets the header fields that go with it.
pub(super) fn choose(request: &HeaderMap, reply: &mut Reply) -> Option<Coding> {
    let worth = reply.length().is_none_or(|length| length >= COMPRESS_BYTES_MIN as u64);
    let text = reply.headers.get(CONTENT_TYPE).is_some_and(is_text);
    if !text || !worth || reply.headers.contains_key(CONTENT_ENCODING) {
        return None;
    }
    reply.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    let coding = Coding::accepted(request)?;
    reply.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    // Another encoding is another representation: only a weak tag may name both (RFC 9110 §8.8.3).
    let strong = reply.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
    if let Some(weak) = strong.filter(|tag| tag.starts_with('"')).map(|tag| format!("W/{tag}"))
        && let Ok(weak) = HeaderValue::from_str(&weak)
    {
        reply.headers.insert(ETAG, weak);
    }
    Some(coding)
}

fn is_text(media_type: &HeaderValue) -> bool {
    let text = media_type.to_str().unwrap_or("");
    let essence = text.split(';').next().unwrap_or("").trim();
    essence.starts_with("text/") || essence.ends_with("json") || essence.ends_with("xml")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Read;

    use super::*;

    fn accepted(text: &str) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, text.parse().unwrap());
        Coding::accepted(&headers)
    }

    #[test]
    fn behaviour_14_weights_decide() {
        assert_eq!(accepted("gzip, deflate, br"), Some(Coding::Gzip));
        assert_eq!(accepted("gzip, deflate, br, zstd"), Some(Coding::Zstd));
        assert_eq!(accepted("zstd;q=0.5, gzip"), Some(Coding::Gzip));
        assert_eq!(accepted("zstd;q=0, gzip;q=0"), None);
        assert_eq!(accepted("*"), Some(Coding::Zstd));
        assert_eq!(accepted("*, zstd;q=0"), Some(Coding::Gzip));
        assert_eq!(accepted("gzip;q=nonsense"), None);
        assert_eq!(accepted("br"), None);
        assert_eq!(Coding::accepted(&HeaderMap::new()), None);
    }

    #[test]
    fn what_is_compressed_comes_back() {
        let text = b"[{\"00080018\":{}}]".repeat(1000);
        let gzip = whole(Coding::Gzip, &text).unwrap();
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, text);
        let zstd = whole(Coding::Zstd, &text).unwrap();
        assert_eq!(zstd::stream::decode_all(&zstd[..]).unwrap(), text);
        assert!(gzip.len() < text.len() / 20 && zstd.len() < text.len() / 20);
    }

    #[test]
    fn only_text_is_compressed() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, "gzip".parse().unwrap());
        let body = vec![b'x'; COMPRESS_BYTES_MIN];
        let mut reply = Reply::ok("application/dicom+json", body.clone())
            .header(ETAG, HeaderValue::from_static("\"a\""));
        assert_eq!(choose(&headers, &mut reply), Some(Coding::Gzip));
        assert_eq!(reply.headers[ETAG], "W/\"a\"");
        assert_eq!(choose(&headers, &mut Reply::ok("application/octet-stream", body)), None);
        assert_eq!(choose(&headers, &mut Reply::ok("application/json", "[]")), None);
    }
}
