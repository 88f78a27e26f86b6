//! Parts out of a body that arrives in pieces of any size.
//!
//! A delimiter is CRLF, two dashes, the boundary, and then either two dashes (the end) or blanks and
//! CRLF (RFC 2046 §5.1.1). What only begins like one is body. A piece may end within one: then the
//! few bytes that could belong to it are carried over and looked at together with the next piece; all
//! other bytes of a part are handed on as slices of the pieces they came in.

use bytes::Bytes;
use memchr::memmem::Finder;

use crate::dicomweb::accept::split_outside_quotes;

/// Longest boundary (RFC 2046 §5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;
/// Blanks that may stand behind a boundary.
const PADDING_BYTES_MAX: usize = 64;
/// Header fields of a part: a real one has two.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// What may stand before the first part: nothing but a remark of old mail programs.
const PREAMBLE_BYTES_MAX: usize = 64 << 10;

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// It is not what multipart bodies look like.
    #[error("the multipart body is malformed: {0}")]
    Malformed(&'static str),
    /// It holds more than can be held in memory, where it has to be.
    #[error("the multipart body holds more than can be put together")]
    TooLong,
    /// The source of its bytes failed.
    #[error(transparent)]
    Source(#[from] std::io::Error),
}

/// The boundary that a Content-Type names, with quotes or without.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    let value = split_outside_quotes(content_type, ';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim())
    })?;
    let value = value.strip_prefix('"').map_or(value, |rest| rest.split('"').next().unwrap_or(""));
    let plain = |b: u8| b.is_ascii_graphic() || b == b' ';
    let fits = (1..=BOUNDARY_BYTES_MAX).contains(&value.len());
    (fits && value.bytes().all(plain) && !value.ends_with(' ')).then(|| value.to_owned())
}

/// Header fields of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers {
    fields: Vec<(String, String)>,
}

impl Headers {
    /// The value of a field; names are compared without case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn parse(block: &[u8]) -> Result<Self, Fault> {
        let mut fields: Vec<(String, String)> = Vec::new();
        let text = String::from_utf8_lossy(block);
        for line in text.split("\r\n").filter(|line| !line.is_empty()) {
            if line.starts_with([' ', '\t']) {
                // A folded line goes on with the one before (RFC 5322 §2.2.3).
                let Some((_, value)) = fields.last_mut() else {
                    return Err(Fault::Malformed("a part begins with a folded line"));
                };
                value.push(' ');
                value.push_str(line.trim());
                continue;
            }
            let (name, value) =
                line.split_once(':').ok_or(Fault::Malformed("a part header is no field"))?;
            fields.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        Ok(Self { fields })
    }
}

/// What was found where a delimiter may begin.
enum Found {
    /// This many bytes are one; `last` if it closes the body.
    Delimiter {
        bytes: usize,
        last: bool,
    },
    Body,
    /// The bytes at hand do not tell.
    Undecided,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Preamble,
    Part,
    /// Behind a delimiter.
    Between,
    End,
}

/// See the [module](self). `S` gives pieces, and `None` at the end.
pub(crate) struct Reader<S> {
    source: S,
    delimiter: Vec<u8>,
    finder: Finder<'static>,
    /// What could be the beginning of a delimiter: at most its longest form.
    carry: Vec<u8>,
    /// The piece at hand.
    window: Bytes,
    place: Place,
}

impl<S: FnMut() -> std::io::Result<Option<Bytes>>> Reader<S> {
    /// Reads a body with this boundary.
    pub(crate) fn new(boundary: &str, source: S) -> Self {
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        Self {
            source,
            finder: Finder::new(&delimiter).into_owned(),
            delimiter,
            // So that the first delimiter may stand at the very beginning.
            carry: b"\r\n".to_vec(),
            window: Bytes::new(),
            place: Place::Preamble,
        }
    }

    /// The header fields of the next part; `None` behind the closing delimiter. What is left of the
    /// part before is passed over.
    pub(crate) fn next_part(&mut self) -> Result<Option<Headers>, Fault> {
        let mut passed = 0;
        loop {
            let in_preamble = self.place == Place::Preamble;
            match self.place {
                Place::Between => return self.head().map(Some),
                Place::End => return Ok(None),
                Place::Preamble | Place::Part => {
                    passed += self.next_bytes()?.map_or(0, |bytes| bytes.len());
                    if in_preamble && passed > PREAMBLE_BYTES_MAX {
                        return Err(Fault::Malformed("there is no part"));
                    }
                }
            }
        }
    }

    /// More of this part's body; `None` at its end.
    pub(crate) fn next_bytes(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            if !matches!(self.place, Place::Part | Place::Preamble) {
                return Ok(None);
            }
            if self.window.is_empty() {
                match (self.source)()? {
                    Some(piece) => self.window = piece,
                    None => return Err(Fault::Malformed("the body ends within a part")),
                }
            }
            let bytes = if self.carry.is_empty() { self.go_on() } else { self.join() };
            if let Some(bytes) = bytes {
                return Ok(Some(bytes));
            }
        }
    }

    /// Goes on in the piece at hand.
    fn go_on(&mut self) -> Option<Bytes> {
        let mut at = 0;
        while let Some(found) = self.finder.find(&self.window[at..]) {
            at += found;
            match self.look(&self.window[at..]) {
                Found::Delimiter { bytes, last } => {
                    let body = self.window.split_to(at);
                    let _ = self.window.split_to(bytes);
                    self.pass(last);
                    return (!body.is_empty()).then_some(body);
                }
                Found::Body => at += 1,
                Found::Undecided => return self.keep_from(at),
            }
        }
        // The end of the piece may be the beginning of a delimiter.
        let from = self.window.len().saturating_sub(self.delimiter.len() - 1).max(at);
        let tail = &self.window[from..];
        let begin = (0..tail.len()).find(|begin| self.delimiter.starts_with(&tail[*begin..]));
        self.keep_from(begin.map_or(self.window.len(), |begin| from + begin))
    }

    /// Gives what stands before, and carries the rest.
    fn keep_from(&mut self, at: usize) -> Option<Bytes> {
        let body = self.window.split_to(at);
        self.carry = std::mem::take(&mut self.window).to_vec();
        (!body.is_empty()).then_some(body)
    }

    /// Looks at what was carried together with the beginning of the piece at hand.
    fn join(&mut self) -> Option<Bytes> {
        let carried = self.carry.len();
        let longest = self.delimiter.len() + PADDING_BYTES_MAX + 2;
        let mut joined = std::mem::take(&mut self.carry);
        joined.extend_from_slice(&self.window[..self.window.len().min(longest)]);
        let mut at = 0;
        // Only a delimiter that begins in what was carried is looked for here.
        while at < carried {
            match self.look(&joined[at..]) {
                Found::Body => at += 1,
                Found::Delimiter { bytes, last } => {
                    let _ = self.window.split_to((at + bytes).saturating_sub(carried));
                    self.pass(last);
                    joined.truncate(at);
                    return (at > 0).then(|| Bytes::from(joined));
                }
                Found::Undecided => {
                    // Then all of the piece is in it, or it would be decided.
                    self.window = Bytes::new();
                    self.carry = joined.split_off(at);
                    return (at > 0).then(|| Bytes::from(joined));
                }
            }
        }
        joined.truncate(carried);
        Some(Bytes::from(joined))
    }

    /// Does a delimiter stand at the start of these bytes?
    fn look(&self, bytes: &[u8]) -> Found {
        let length = self.delimiter.len();
        let common = bytes.len().min(length);
        if bytes[..common] != self.delimiter[..common] {
            return Found::Body;
        }
        if common < length {
            return Found::Undecided;
        }
        let after = &bytes[length..];
        if after.starts_with(b"--") {
            return Found::Delimiter { bytes: length + 2, last: true };
        }
        let blanks = after.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let line = &after[blanks..];
        if blanks > PADDING_BYTES_MAX {
            return Found::Body;
        }
        match *line {
            [b'\r', b'\n', ..] => Found::Delimiter { bytes: length + blanks + 2, last: false },
            [] | [b'\r'] => Found::Undecided,
            [b'-'] if blanks == 0 => Found::Undecided,
            _ => Found::Body,
        }
    }

    fn pass(&mut self, last: bool) {
        self.place = if last { Place::End } else { Place::Between };
    }

    /// Reads the header fields of a part, up to the empty line.
    fn head(&mut self) -> Result<Headers, Fault> {
        // The delimiter's own line end, so that a part without fields begins with an empty line.
        let mut block = b"\r\n".to_vec();
        loop {
            let before = block.len();
            let room = HEAD_BYTES_MAX + 4 - before;
            block.extend_from_slice(&self.window[..self.window.len().min(room)]);
            let from = before.saturating_sub(3);
            if let Some(end) = memchr::memmem::find(&block[from..], b"\r\n\r\n") {
                let end = from + end;
                let _ = self.window.split_to(end + 4 - before);
                self.place = Place::Part;
                // An empty body's delimiter begins with the line end that closed the fields.
                return Headers::parse(&block[..end]);
            }
            let _ = self.window.split_to(block.len() - before);
            if block.len() >= HEAD_BYTES_MAX + 4 {
                return Err(Fault::Malformed("the header of a part is too long"));
            }
            match (self.source)()? {
                Some(piece) => self.window = piece,
                None => return Err(Fault::Malformed("the body ends within a part's header")),
            }
        }
    }
}
