//! Parts into a body.
//!
//! Written as the strictest readers want it: the body begins with the delimiter, header names are in
//! their usual case (cornerstone looks for the letters `Content-Type:`, and in the first line behind the
//! delimiter), every part has a Content-Type, and the closing delimiter is there. It is written by [`Writer::end`] alone, which is
//! only called when all went well: a body without it was broken off, and so is the connection.

use bytes::Bytes;

use crate::http::problem::gone;
use crate::http::{Feed, Problem};

/// See the [module](self).
pub(crate) struct Writer {
    boundary: String,
    begun: bool,
}

impl Writer {
    /// With a boundary that no pixels hold: 256 random bits.
    pub(crate) fn new() -> Result<Self, Problem> {
        let mut halves = [[0; 16]; 2];
        for half in &mut halves {
            aws_lc_rs::rand::fill(half).map_err(|_| Problem::internal("there is no randomness"))?;
        }
        let [first, second] = halves.map(u128::from_le_bytes);
        Ok(Self { boundary: format!("cairn{first:032x}{second:032x}"), begun: false })
    }

    /// The Content-Type of the whole, whose parts are of `media_type` (RFC 2387 §3.1; PS3.18 §8.7.1).
    pub(crate) fn content_type(&self, media_type: &str) -> String {
        format!("multipart/related; type=\"{media_type}\"; boundary={}", self.boundary)
    }

    /// What stands before the bytes of the next part. `content_type` holds `transfer-syntax` where
    /// there is one; `location` is the URL of what the part is, `length` how many bytes it has, where that
    /// is known (PS3.18 table 8.6.1-1).
    pub(crate) fn head(
        &mut self,
        content_type: &str,
        location: Option<&str>,
        length: Option<u64>,
    ) -> Bytes {
        let line = if self.begun { "\r\n--" } else { "--" };
        self.begun = true;
        let mut head = format!("{line}{}\r\nContent-Type: {content_type}\r\n", self.boundary);
        if let Some(length) = length {
            head.extend(["Content-Length: ", &length.to_string(), "\r\n"]);
        }
        if let Some(location) = location {
            head.extend(["Content-Location: ", location, "\r\n"]);
        }
        head += "\r\n";
        head.into()
    }

    /// What stands behind the last part. Without a part there is no delimiter to close, so a body
    /// that holds none is the closing line alone.
    pub(crate) fn close(&self) -> Bytes {
        let line = if self.begun { "\r\n--" } else { "--" };
        format!("{line}{}--\r\n", self.boundary).into()
    }

    /// Begins a part.
    pub(crate) fn part(
        &mut self,
        feed: &mut Feed,
        content_type: &str,
        location: Option<&str>,
        length: Option<u64>,
    ) -> Result<(), Problem> {
        feed.send(self.head(content_type, location, length)).map_err(gone)
    }

    /// All parts are there.
    pub(crate) fn end(self, feed: &mut Feed) -> Result<(), Problem> {
        feed.send(self.close()).map_err(gone)
    }
}
