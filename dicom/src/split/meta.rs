//! Preamble and File Meta Information (PS3.10 §7.1), and the start of the data set.

use cairn_chunker::span::SpanKind;

use super::{Refused, Splitter, State, Step, View};
use crate::attributes::tags;
use crate::element::{self, HEAD_BYTES_MAX, Head, Read, UNDEFINED};
use crate::flags::Flags;
use crate::limits::{ENVELOPE_BYTES_MAX, META_UID_BYTES_MAX};
use crate::probe::Framing;
use crate::syntax::{EXPLICIT_BE, EXPLICIT_LE, Encoding, IMPLICIT_LE, Syntax};

const PREAMBLE_BYTES: u64 = 128;
const MAGIC: &[u8; 4] = b"DICM";

const GROUP_LENGTH: u32 = 0x0002_0000;
const MEDIA_SOP_CLASS: u32 = 0x0002_0002;
const MEDIA_SOP_INSTANCE: u32 = 0x0002_0003;
const TRANSFER_SYNTAX: u32 = 0x0002_0010;

/// Media Storage Directory Storage (PS3.4 annex B).
const MEDIA_DIRECTORY: &str = "1.2.840.10008.1.3.10";

/// What was read of group 0002.
#[derive(Debug, Default)]
pub(super) struct Meta {
    pub(super) sop_class_uid: String,
    pub(super) sop_instance_uid: String,
    /// Where the group length says that the data set starts.
    announced_end: Option<u64>,
    elements: u64,
}

impl Splitter {
    /// The very first step: how the object begins.
    pub(super) fn preamble(&mut self, view: View<'_>) -> Step {
        match self.framing {
            Framing::Part10 => {
                if view.peek(0, PREAMBLE_BYTES + MAGIC.len() as u64).is_none() && !view.last {
                    return Step::Wait;
                }
                self.spans.start(0, SpanKind::Envelope);
                self.at = (PREAMBLE_BYTES + MAGIC.len() as u64).min(view.end());
                self.state = State::Meta;
            }
            Framing::MetaOnly => {
                if view.peek(0, MAGIC.len() as u64).is_none() && !view.last {
                    return Step::Wait;
                }
                self.flags |= Flags::NO_PREAMBLE;
                self.spans.start(0, SpanKind::Envelope);
                if view.up_to(0, MAGIC.len() as u64) == MAGIC {
                    self.at = MAGIC.len() as u64;
                }
                self.state = State::Meta;
            }
            Framing::Bare { .. } => {
                self.flags |= Flags::NO_PREAMBLE | Flags::NO_META;
                self.state = State::Start;
            }
            Framing::Dataset { .. } => self.state = State::Start,
        }
        Step::On
    }

    /// One element of group 0002, or the end of the group: it ends where another group starts, what
    /// ever the group length says.
    pub(super) fn meta_element(&mut self, view: View<'_>) -> Result<Step, Refused> {
        let at = self.at;
        let Some(group) = view.peek(at, 2) else {
            return if view.last { self.end_meta(view) } else { Ok(Step::Wait) };
        };
        if group != [2, 0] {
            return self.end_meta(view);
        }
        let bytes = view.up_to(at, HEAD_BYTES_MAX as u64);
        let head = match element::read(bytes, Encoding::EXPLICIT_LE) {
            Read::Known(head) => head,
            Read::Unknown(head) => {
                self.flags |= Flags::BAD_VR;
                head
            }
            Read::NoVr => {
                // Some writers encode group 0002 like their Implicit VR data set.
                self.flags |= Flags::BAD_VR;
                match element::read(bytes, Encoding::IMPLICIT_LE) {
                    Read::Known(head) => head,
                    _ => return Ok(Step::Wait),
                }
            }
            Read::Short if view.last => return self.end_meta(view),
            Read::Short => return Ok(Step::Wait),
        };
        let value_at = at + head.bytes;
        let end = value_at + u64::from(head.length);
        if head.length == UNDEFINED || end > ENVELOPE_BYTES_MAX {
            self.flags |= Flags::BAD_META_LENGTH;
            return self.end_meta(view);
        }
        if matches!(head.tag, GROUP_LENGTH | MEDIA_SOP_CLASS | MEDIA_SOP_INSTANCE | TRANSFER_SYNTAX)
        {
            let length = u64::from(head.length).min(META_UID_BYTES_MAX);
            match view.peek(value_at, length) {
                Some(value) => self.meta_value(head, value, end),
                None if view.last => {} // cut: not to be trusted
                None => return Ok(Step::Wait),
            }
        }
        self.meta.elements += 1;
        self.skip(value_at, head.length);
        Ok(Step::On)
    }

    fn meta_value(&mut self, head: Head, value: &[u8], end: u64) {
        match head.tag {
            GROUP_LENGTH => {
                self.meta.announced_end = value
                    .first_chunk::<4>()
                    .map(|length| end + u64::from(element::number(*length, false)));
            }
            MEDIA_SOP_CLASS => self.meta.sop_class_uid = trim_uid(value),
            MEDIA_SOP_INSTANCE => self.meta.sop_instance_uid = trim_uid(value),
            _ => self.transfer_syntax = trim_uid(value),
        }
    }

    /// The envelope ends here; a data set may follow.
    fn end_meta(&mut self, view: View<'_>) -> Result<Step, Refused> {
        if self.meta.sop_class_uid == MEDIA_DIRECTORY {
            return Err(Refused::MediaDirectory);
        }
        let rest = view.up_to(self.at, HEAD_BYTES_MAX as u64);
        let in_group = rest == [2] || rest.starts_with(&[2, 0]);
        if view.last && in_group && element::read(rest, Encoding::EXPLICIT_LE) == Read::Short {
            // Cut inside the head of an element of group 0002: no data set ever started.
            self.flags |= Flags::TRUNCATED;
            self.at = view.end();
        }
        if self.meta.elements == 0 {
            self.flags |= Flags::NO_META;
        } else if self.meta.announced_end != Some(self.at) && !self.flags.contains(Flags::TRUNCATED)
        {
            self.flags |= Flags::BAD_META_LENGTH;
        }
        if self.transfer_syntax.is_empty() {
            self.flags |= Flags::NO_TRANSFER_SYNTAX;
        }
        self.state = State::Start;
        Ok(Step::On)
    }

    /// The object ends inside a value of group 0002: all of it is envelope.
    pub(super) fn cut_in_meta(&mut self, view: View<'_>) -> Result<(), Refused> {
        self.at = self.at.max(view.end());
        self.end_meta(view)?;
        self.dataset_at = self.at;
        Ok(())
    }

    /// The first byte of the data set: settles how its elements are encoded. The bytes win over what
    /// was declared, as they do in every tool that people compare with.
    pub(super) fn start(&mut self, view: View<'_>) -> Step {
        let head = match view.peek(self.at, 8) {
            None if !view.last => return Step::Wait,
            None => [0; 8],
            Some(bytes) => bytes.first_chunk().copied().unwrap_or_default(),
        };
        let empty = view.up_to(self.at, 1).is_empty();
        let found = looks_like(head);
        self.dataset_at = self.at;
        self.spans.start(self.at, SpanKind::Header);
        if self.transfer_syntax.is_empty() && !empty {
            self.transfer_syntax.push_str(match found {
                Some(Encoding { big_endian: true, .. }) => EXPLICIT_BE,
                Some(_) => EXPLICIT_LE,
                None => IMPLICIT_LE,
            });
        }
        self.syntax = Syntax::of(&self.transfer_syntax);
        self.encoding = self.syntax.encoding;
        if self.syntax.deflated {
            self.spans.start(self.at, SpanKind::Opaque);
            self.state = State::Deflated;
            return Step::On;
        }
        self.state = State::Elements;
        let actual = if empty { self.encoding } else { settle(head, self.encoding) };
        if actual != self.encoding {
            self.flags |= Flags::BAD_VR;
            self.encoding = actual;
        }
        Step::On
    }
}

/// The encoding that a data set is in by the head of its first element, whatever was declared.
pub(crate) fn settle(head: [u8; 8], declared: Encoding) -> Encoding {
    let implicit = || {
        let tag = element::tag_of([head[0], head[1], head[2], head[3]], false);
        head[5..].iter().all(|byte| *byte == 0) && element::in_dictionary(tag)
    };
    match looks_like(head) {
        Some(encoding) => encoding,
        None if declared.explicit && implicit() => Encoding::IMPLICIT_LE,
        None => declared,
    }
}

/// The explicit encoding that the first element of a data set is in: a low group, and a known VR with
/// a length that fits it. In Implicit VR the same bytes would be a first value of over 16 KB.
fn looks_like(head: [u8; 8]) -> Option<Encoding> {
    let [a, b, _, _, v, w, ..] = head;
    if !element::Vr([v, w]).is_known() {
        return None;
    }
    match (a, b) {
        // Groups 0000 to 00FF; the first one of a data set is 0008 or close to it.
        (0, 1..) => Some(Encoding::EXPLICIT_BE),
        (_, 0) => Some(Encoding::EXPLICIT_LE),
        _ => None,
    }
}

/// A UID without its padding (PS3.5 §9.1): NUL, or blanks from older writers.
pub(crate) fn trim_uid(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_matches(['\0', ' ']).to_owned()
}

/// Is this what [`tags`] calls pixel data, in whatever form?
pub(crate) fn is_pixel_data(tag: u32) -> bool {
    matches!(tag, tags::PIXEL_DATA | tags::FLOAT_PIXEL_DATA | tags::DOUBLE_FLOAT_PIXEL_DATA)
}
