//! Each line holds a hash of itself and the hash of the line before it.
//!
//! ```text
//! h(n) = BLAKE3-derive-key("cairn 2026-11-26 audit line", h(n-1) ‖ the line up to ,"h":")
//! ```
//!
//! Before the first line stands a hash of zeros. So a line that is changed, taken out, put in or moved
//! breaks the chain at that place. Who may write the files can make a new chain from some line on, or
//! cut the end off; both show against a hash that was noted elsewhere ([`Head`]).

use std::fmt;
use std::str::FromStr;

use super::event::Line;

/// What is hashed is used for nothing else.
const CONTEXT: &str = "cairn 2026-11-26 audit line";
/// Between a line's content and its hash.
const MARK: &[u8] = b",\"h\":\"";
/// Behind it.
const END: &[u8] = b"\"}";
/// Digits of a hash.
const DIGITS: usize = 2 * blake3::OUT_LEN;
/// Longest line, with its end: [`super::event::STUDIES_MAX`] studies and what is around them.
pub(super) const LINE_BYTES_MAX: usize = 64 << 10;

/// A place in a log: how many lines there are before it, and the hash of the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Lines so far.
    pub(crate) lines: u64,
    /// Hash of the last one.
    pub(crate) hash: blake3::Hash,
}

impl Head {
    /// Before the first line.
    pub(crate) const START: Self =
        Self { lines: 0, hash: blake3::Hash::from_bytes([0; blake3::OUT_LEN]) };

    /// After the line with this content.
    fn after(self, content: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(self.hash.as_bytes()).update(content);
        Self { lines: self.lines + 1, hash: hasher.finalize() }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.lines, self.hash.to_hex())
    }
}

impl FromStr for Head {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "a head is NUMBER:HASH, as `cairn audit verify` prints it";
        let (lines, hash) = text.split_once(':').ok_or(SHAPE)?;
        let (lines, hash) = (lines.parse(), blake3::Hash::from_hex(hash));
        Ok(Self { lines: lines.map_err(|_| SHAPE)?, hash: hash.map_err(|_| SHAPE)? })
    }
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// It is no line of a log.
    #[error("it cannot be read")]
    Shape,
    /// It was changed, or stands somewhere else.
    #[error("its hash is not that of its content after the line before it")]
    Hash,
    /// Some before it are missing, or it is there twice.
    #[error("its number is not the next one")]
    Number,
}

/// A line with its end, and where it leads.
pub(super) fn write(head: Head, line: &Line) -> Result<(Vec<u8>, Head), serde_json::Error> {
    let mut bytes = serde_json::to_vec(line)?;
    // The closing brace, which comes back after the hash.
    bytes.pop();
    let next = head.after(&bytes);
    bytes.extend_from_slice(MARK);
    bytes.extend_from_slice(next.hash.to_hex().as_bytes());
    bytes.extend_from_slice(END);
    bytes.push(b'\n');
    Ok((bytes, next))
}

/// A line without its end: what it says, and where it leads if it stands behind `head`.
pub(super) fn read(head: Head, bytes: &[u8]) -> Result<(Line, Head), Broken> {
    let (line, hash) = claim(bytes).ok_or(Broken::Shape)?;
    if line.n != head.lines {
        return Err(Broken::Number);
    }
    let content = &bytes[..bytes.len() - MARK.len() - DIGITS - END.len()];
    let next = head.after(content);
    if next.hash == hash { Ok((line, next)) } else { Err(Broken::Hash) }
}

/// What a line says of itself, unchecked.
pub(super) fn claim(bytes: &[u8]) -> Option<(Line, blake3::Hash)> {
    let rest = bytes.strip_suffix(END)?;
    let (content, hash) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
    content.strip_suffix(MARK)?;
    let hash = blake3::Hash::from_hex(hash).ok()?;
    Some((serde_json::from_slice(bytes).ok()?, hash))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::audit::event::{Event, Face};

    fn line(n: u64, who: &str) -> Line {
        let event = Event { face: Face::Http, who: who.into(), ok: true, ..Event::default() };
        Line { n, at: "2027-01-15T08:00:00Z".into(), event }
    }

    #[test]
    fn a_vector_for_another_implementation() {
        let (bytes, head) = write(Head::START, &line(0, "alice")).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.starts_with(
                "{\"n\":0,\"at\":\"2027-01-15T08:00:00Z\",\"face\":\"http\",\"op\":\"\",\"ok\":true,\
                 \"who\":\"alice\",\"h\":\""
            ),
            "{text}"
        );
        assert_eq!(head.to_string().parse(), Ok(head));
        assert!("7".parse::<Head>().is_err() && "7:xy".parse::<Head>().is_err());
    }

    #[test]
    fn a_line_has_one_place() {
        let (first, one) = write(Head::START, &line(0, "a")).unwrap();
        let (second, two) = write(one, &line(1, "b")).unwrap();
        let [first, second] = [&first, &second].map(|line| line.strip_suffix(b"\n").unwrap());
        assert_eq!(read(Head::START, first).unwrap(), (line(0, "a"), one));
        assert_eq!(read(one, second).unwrap().1, two);
        assert_eq!(read(Head::START, second), Err(Broken::Number));
        assert_eq!(read(two, second), Err(Broken::Number));
        let other = write(Head::START, &line(0, "c")).unwrap().1;
        assert_eq!(read(other, second), Err(Broken::Hash));
        for bad in ["", "}", "\"}", "{\"n\":0}", &"0".repeat(80)] {
            assert_eq!(read(Head::START, bad.as_bytes()), Err(Broken::Shape), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_change_shows(who in ".{0,40}", at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let (mut bytes, head) = write(Head::START, &line(0, &who)).unwrap();
            bytes.pop();
            prop_assert_eq!(read(Head::START, &bytes).unwrap().1, head);
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            // Hexadecimal digits in capitals are the same digits.
            let digit = at >= bytes.len() - 66 && at < bytes.len() - 2;
            let same = digit && read(Head::START, &bytes).is_ok_and(|(_, next)| next == head);
            prop_assert!(same || read(Head::START, &bytes).is_err());
        }

        #[test]
        fn whatever_comes_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(Head::START, &bytes).is_err());
        }
    }
}
