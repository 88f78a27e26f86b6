//! Conditional and partial requests: ETag, If-None-Match, If-Range, Range (RFC 9110 §13, §14).
//!
//! Content that is named by its hash has a tag that never lies, so a tag is all there is: no dates.

use std::ops::Range;

use hyper::StatusCode;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, IF_RANGE, RANGE,
};

use super::problem::Problem;
use super::reply::Reply;

/// An entity tag: strong, unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag(String);

impl Tag {
    /// The tag of what this text names: a hash in hex, or a few words joined by `-`. Anything that
    /// cannot stand in a tag becomes `_`.
    pub(crate) fn new(name: &str) -> Self {
        let plain = |c: char| if c.is_ascii_graphic() && c != '"' { c } else { '_' };
        Self(format!("\"{}\"", name.chars().map(plain).collect::<String>()))
    }

    /// The same of what is not the same bytes each time: multipart bodies have random boundaries.
    pub(crate) fn weak(self) -> Self {
        Self(format!("W/{}", self.0.trim_start_matches("W/")))
    }

    /// Does the client have it already (If-None-Match; compared weakly, RFC 9110 §13.1.2)?
    pub(crate) fn is_known(&self, headers: &HeaderMap) -> bool {
        headers.get_all(IF_NONE_MATCH).iter().filter_map(|field| field.to_str().ok()).any(|list| {
            list.split(',').map(str::trim).any(|tag| tag == "*" || opaque(tag) == opaque(&self.0))
        })
    }

    /// 304, with the tag.
    pub(crate) fn not_modified(&self) -> Reply {
        self.mark(Reply::new(StatusCode::NOT_MODIFIED))
    }

    /// Puts the tag on a reply.
    pub(crate) fn mark(&self, reply: Reply) -> Reply {
        reply.text_header(ETAG, &self.0)
    }

    /// May a range be served? Not if the client has a part of something else (If-Range, compared
    /// strongly).
    fn agrees(&self, headers: &HeaderMap) -> bool {
        let strong = !self.0.starts_with("W/");
        headers.get(IF_RANGE).is_none_or(|value| strong && value.as_bytes() == self.0.as_bytes())
    }
}

/// A tag without its mark of weakness.
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// What part of a body is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it: there is no range, or none that is served (several ranges, other units).
    Whole,
    /// These bytes: 206.
    Bytes(Range<u64>),
}

/// Reads Range and If-Range against a body of `length` bytes under `tag`.
///
/// # Errors
/// 416 where the range lies outside.
pub(crate) fn part(headers: &HeaderMap, length: u64, tag: &Tag) -> Result<Part, Problem> {
    let asked = headers.get(RANGE).and_then(|field| field.to_str().ok());
    let Some(asked) = asked.filter(|_| tag.agrees(headers)) else { return Ok(Part::Whole) };
    let Some(spec) = asked.trim().strip_prefix("bytes=") else { return Ok(Part::Whole) };
    let Some((first, last)) = spec.split_once('-').filter(|_| !spec.contains(',')) else {
        return Ok(Part::Whole);
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Some(first), None) if last.trim().is_empty() => first..length,
        (None, Some(last)) if first.trim().is_empty() => length.saturating_sub(last)..length,
        // Nonsense is no range.
        _ => return Ok(Part::Whole),
    };
    if range.start >= range.end {
        return Err(Problem::range(length));
    }
    Ok(Part::Bytes(range))
}

/// Makes a reply whose body is `range` of `length` bytes a 206.
pub(crate) fn partial(reply: Reply, range: &Range<u64>, length: u64) -> Reply {
    let text = format!("bytes {}-{}/{length}", range.start, range.end.saturating_sub(1));
    rangeable(reply.status(StatusCode::PARTIAL_CONTENT)).text_header(CONTENT_RANGE, &text)
}

/// Says that ranges of this body can be asked for.
pub(crate) fn rangeable(reply: Reply) -> Reply {
    reply.header(ACCEPT_RANGES, HeaderValue::from_static("bytes"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(pairs: &[(hyper::header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn behaviour_14_tags_are_known() {
        let tag = Tag::new("abc");
        for known in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            assert!(tag.is_known(&headers(&[(IF_NONE_MATCH, known)])), "{known}");
        }
        assert!(!tag.is_known(&headers(&[(IF_NONE_MATCH, "abc")])));
        assert!(!tag.is_known(&HeaderMap::new()));
        assert_eq!(Tag::new("a\"b c\n").0, "\"a_b_c_\"");
    }

    #[test]
    fn behaviour_11_ranges() {
        let tag = Tag::new("t");
        let ask = |text: &str| part(&headers(&[(RANGE, text)]), 100, &tag);
        for (text, range) in [
            ("bytes=0-9", 0..10),
            ("bytes=90-", 90..100),
            ("bytes=-5", 95..100),
            ("bytes=-500", 0..100),
            ("bytes=50-500", 50..100),
            ("bytes=0-18446744073709551615", 0..100),
        ] {
            assert_eq!(ask(text).unwrap(), Part::Bytes(range), "{text}");
        }
        for text in ["bytes=100-", "bytes=-0", "bytes=200-300"] {
            assert_eq!(ask(text).unwrap_err().status, StatusCode::RANGE_NOT_SATISFIABLE, "{text}");
        }
        for text in ["bytes=9-0", "bytes=a-b", "lines=0-1", "bytes=0-1,5-6", "bytes=--1"] {
            assert_eq!(ask(text).unwrap(), Part::Whole, "{text}");
        }
        let changed = headers(&[(RANGE, "bytes=0-9"), (IF_RANGE, "\"other\"")]);
        assert_eq!(part(&changed, 100, &tag).unwrap(), Part::Whole);
        let same = headers(&[(RANGE, "bytes=0-9"), (IF_RANGE, "\"t\"")]);
        assert_eq!(part(&same, 100, &tag).unwrap(), Part::Bytes(0..10));
        let reply = partial(Reply::ok("x/y", vec![0; 10]), &(0..10), 100);
        assert_eq!(reply.headers[CONTENT_RANGE], "bytes 0-9/100");
    }
}
