//! Top-level elements of the data set.

use cairn_chunker::span::SpanKind;

use super::meta::is_pixel_data;
use super::sequence::Walk;
use super::{Capture, Splitter, State, Step, View};
use crate::attributes::tags;
use crate::element::{
    self, HEAD_BYTES_MAX, Head, ITEM_DELIMITER, Read, SEQUENCE_DELIMITER, UNDEFINED, Vr,
};
use crate::flags::Flags;
use crate::limits::{DOUBTFUL_LENGTH_MAX, KEEP_BYTES, LARGE_BYTES, OFFSET_TABLE_BYTES_MAX};
use crate::syntax::Encoding;

impl Splitter {
    /// One top-level element, up to its value.
    pub(super) fn element(&mut self, view: View<'_>) -> Step {
        self.close_native();
        self.spans.start(self.at, SpanKind::Header);
        let bytes = view.up_to(self.at, HEAD_BYTES_MAX as u64);
        let (head, big_endian, odd) = match element::read(bytes, self.encoding) {
            Read::Short => return self.short(view),
            Read::Known(head) => (head, self.encoding.big_endian, Flags::empty()),
            Read::Unknown(head) => (head, self.encoding.big_endian, Flags::BAD_VR),
            Read::NoVr => match element::read(bytes, Encoding::IMPLICIT_LE) {
                Read::Known(head) => (head, false, Flags::BAD_VR),
                _ => return self.short(view),
            },
        };
        if let Some(flag) = self.doubt(head, odd) {
            return self.give_up(flag);
        }
        if let Some(row) = self.kept.wanted(head.tag).filter(|_| head.length != UNDEFINED) {
            let length = u64::from(head.length).min(KEEP_BYTES);
            match view.peek(self.at + head.bytes, length) {
                Some(value) => self.kept.keep(row, head.vr, big_endian, value),
                None if view.last => {} // cut: not to be indexed
                None => return Step::Wait,
            }
        }
        self.flags |= odd;
        self.note_order(head.tag);
        self.elements += 1;
        self.value(head)
    }

    fn doubt(&self, head: Head, odd: Flags) -> Option<Flags> {
        let before = Before {
            last_tag: self.last_tag,
            elements: self.elements,
            seen_pixels: self.seen_pixels,
            explicit: self.encoding.explicit,
        };
        before.doubt(head, odd)
    }

    fn note_order(&mut self, tag: u32) {
        if matches!(tag, ITEM_DELIMITER | SEQUENCE_DELIMITER) {
            self.flags |= Flags::OUT_OF_ORDER;
            return;
        }
        if self.last_tag.is_some_and(|last| tag <= last) {
            self.flags |= Flags::OUT_OF_ORDER;
        }
        self.last_tag = Some(tag);
    }

    /// Where the value of an element goes.
    fn value(&mut self, head: Head) -> Step {
        let value_at = self.at + head.bytes;
        if matches!(head.tag, ITEM_DELIMITER | SEQUENCE_DELIMITER) {
            // A stray one. Its length should be zero (PS3.5 §7.5), and no value follows in any case.
            self.at = value_at;
            return Step::On;
        }
        if is_pixel_data(head.tag) && self.stop_at_pixels {
            self.state = State::Rest;
            return Step::On;
        }
        if head.length == UNDEFINED {
            self.at = value_at;
            if head.tag == tags::PIXEL_DATA {
                self.seen_pixels = true;
                self.begin_fragments();
            } else {
                // UN of undefined length is Implicit VR inside (PS3.5 §6.2.2, CP-246).
                let unknown = self.encoding.explicit && head.vr == Vr::UN;
                self.state = State::Sequence(Walk::new(value_at, unknown));
            }
            return Step::On;
        }
        if head.length & 1 == 1 {
            self.flags |= Flags::ODD_LENGTH;
        }
        self.skip(value_at, head.length);
        let length = u64::from(head.length);
        if is_pixel_data(head.tag) {
            self.seen_pixels = true;
            self.begin_native(head.tag, value_at, length);
        } else if head.tag == tags::EXTENDED_OFFSET_TABLE && length <= OFFSET_TABLE_BYTES_MAX {
            self.capture = Some(Capture::Extended);
        }
        if length >= LARGE_BYTES && !is_pixel_data(head.tag) {
            let document = head.tag == tags::ENCAPSULATED_DOCUMENT;
            let kind = if document { SpanKind::Opaque } else { SpanKind::Bulk };
            self.spans.start(value_at, kind);
        }
        Step::On
    }
}

/// What was read at the top level of a data set before the element that is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    pub(crate) last_tag: Option<u32>,
    pub(crate) elements: u64,
    pub(crate) seen_pixels: bool,
    /// The data set is Explicit VR.
    pub(crate) explicit: bool,
}

impl Before {
    /// What the bytes at hand are if they are not an element. Declared lengths can't be checked against
    /// the object's end in a stream; tags and their order can.
    pub(crate) fn doubt(self, head: Head, odd: Flags) -> Option<Flags> {
        let noise = if self.seen_pixels { Flags::TRAILING_BYTES } else { Flags::UNPARSED };
        if matches!(head.tag, ITEM_DELIMITER | SEQUENCE_DELIMITER) {
            return None;
        }
        if head.tag >> 16 == 0xFFFE {
            return Some(noise);
        }
        let ascending = self.last_tag.is_none_or(|last| head.tag > last);
        if head.tag == 0 && head.length == 0 && self.elements > 0 {
            return Some(Flags::TRAILING_BYTES);
        }
        let group = head.tag >> 16;
        let private = group & 1 == 1 && group < 0xFFF0;
        // Even lengths only (PS3.5 §7.1.1), and not absurd ones.
        let sound = head.length == UNDEFINED
            || head.length & 1 == 0 && head.length <= DOUBTFUL_LENGTH_MAX
            || head.tag == tags::PIXEL_DATA;
        let known = || element::in_dictionary(head.tag) || head.tag == 0xFFFC_FFFC;
        let same_group = self.last_tag.is_some_and(|last| last >> 16 == group);
        let credible = if head.vr.is_known() {
            true
        } else if self.explicit && head.vr == Vr::NONE {
            // Implicit VR in between: nothing but tag and length speaks for it.
            sound && (known() || private && ascending)
        } else if !odd.is_empty() {
            ascending && (!self.seen_pixels || sound && private) || sound && known()
        } else if ascending && !self.seen_pixels && self.elements > 0 {
            true
        } else {
            sound && (known() || private && (ascending || same_group))
        };
        (!credible).then_some(noise)
    }
}
