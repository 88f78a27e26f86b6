//! Sequences of undefined length, walked to their end with one counter for all nesting.
//!
//! Sequences and items of defined length are passed over whole, so what is open is always a chain of
//! sequence, item, sequence, item …, all of undefined length: the parity of the depth says what stands
//! at the cursor. Implicit VR starts at some depth (an element of VR UN, CP-246) and lasts for all below.

use cairn_chunker::span::SpanKind;

use super::{Splitter, State, Step, View};
use crate::element::{
    self, HEAD_BYTES_MAX, Head, ITEM, ITEM_DELIMITER, Read, SEQUENCE_DELIMITER, UNDEFINED, Vr,
};
use crate::flags::Flags;
use crate::limits::{DOUBTFUL_LENGTH_MAX, LARGE_BYTES};
use crate::syntax::Encoding;

/// A walk through one top-level sequence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// First byte of the value.
    value_at: u64,
    /// Known to be large: its span has been started.
    large: bool,
    /// Open sequences and items; odd in a sequence, even in an item.
    depth: u64,
    /// The depth from which on elements are Implicit VR Little Endian.
    implicit_from: Option<u64>,
    /// The first element inside UN was not seen yet.
    sniff: bool,
}

impl Walk {
    /// At the first byte of the value, with VR UN in an explicit encoding or not.
    pub(super) fn new(value_at: u64, unknown: bool) -> Self {
        let implicit_from = unknown.then_some(1);
        Self { value_at, large: false, depth: 1, implicit_from, sniff: unknown }
    }

    /// Start of the value as long as it may still turn out header or bulk.
    pub(super) fn undecided_at(&self) -> Option<u64> {
        (!self.large).then_some(self.value_at)
    }

    fn in_item(&self) -> bool {
        self.depth.is_multiple_of(2)
    }

    fn encoding(&self, outer: Encoding) -> Encoding {
        if self.implicit_from.is_some() { Encoding::IMPLICIT_LE } else { outer }
    }

    fn leave(&mut self, levels: u64) {
        self.depth = self.depth.saturating_sub(levels);
        if self.implicit_from.is_some_and(|from| self.depth < from) {
            self.implicit_from = None;
        }
    }
}

impl Splitter {
    /// One item head, delimiter or element inside the sequence.
    pub(super) fn walk(&mut self, view: View<'_>) -> Step {
        let State::Sequence(mut walk) = self.state else { return Step::On };
        let Some(bytes) = view.peek(self.at, 8).and_then(<[u8]>::first_chunk::<8>) else {
            return self.short(view);
        };
        let &[a, b, c, d, l, m, n, o] = bytes;
        let encoding = walk.encoding(self.encoding);
        let tag = element::tag_of([a, b, c, d], encoding.big_endian);
        let length = element::number([l, m, n, o], encoding.big_endian);
        let mut skip = 0;
        match tag {
            // What a delimiter says of a length is ignored: no value follows (PS3.5 §7.5).
            SEQUENCE_DELIMITER => walk.leave(if walk.in_item() { 2 } else { 1 }),
            ITEM_DELIMITER if walk.in_item() => walk.leave(1),
            ITEM_DELIMITER => {}
            ITEM => {
                if walk.in_item() {
                    walk.leave(1); // the delimiter of the item before is missing
                }
                if length == UNDEFINED {
                    walk.depth += 1;
                } else {
                    skip = length;
                }
            }
            _ if walk.in_item() => return self.nested(view, walk),
            _ => return self.give_up(Flags::UNPARSED),
        }
        self.at += 8;
        self.go_on(walk, skip);
        Step::On
    }

    /// An element inside an item.
    fn nested(&mut self, view: View<'_>, mut walk: Walk) -> Step {
        let bytes = view.up_to(self.at, HEAD_BYTES_MAX as u64);
        if walk.sniff {
            // Some writers put their explicit encoding inside UN all the same.
            let explicit =
                bytes.get(4..6).is_some_and(|vr| matches!(vr, &[v, w] if Vr([v, w]).is_known()));
            if explicit {
                walk.implicit_from = None;
                self.flags |= Flags::BAD_VR;
            }
            walk.sniff = false;
        }
        let encoding = walk.encoding(self.encoding);
        let head = match element::read(bytes, encoding) {
            Read::Short => return self.short(view),
            Read::Known(head) => head,
            Read::Unknown(head) => {
                self.flags |= Flags::BAD_VR;
                head
            }
            Read::NoVr => match element::read(bytes, Encoding::IMPLICIT_LE) {
                Read::Known(head) if sound(head) => {
                    self.flags |= Flags::BAD_VR;
                    head
                }
                _ => return self.give_up(Flags::UNPARSED),
            },
        };
        self.at += head.bytes;
        let mut skip = head.length;
        if head.length == UNDEFINED {
            skip = 0;
            walk.depth += 1;
            if encoding.explicit && head.vr == Vr::UN {
                walk.implicit_from = Some(walk.depth);
                walk.sniff = true;
            }
        }
        self.go_on(walk, skip);
        Step::On
    }

    /// Stores the walk, which stands at [`Self::at`] with a value of `skip` bytes to pass over, and
    /// settles whether the sequence is large.
    fn go_on(&mut self, mut walk: Walk, skip: u32) {
        self.skip(self.at, skip);
        if !walk.large && self.skip_to - walk.value_at >= LARGE_BYTES {
            walk.large = true;
            self.spans.start(walk.value_at, SpanKind::Bulk);
        }
        self.state = if walk.depth == 0 { State::Elements } else { State::Sequence(walk) };
    }
}

/// Can this be an element without VR among those with one?
fn sound(head: Head) -> bool {
    let length =
        head.length == UNDEFINED || head.length & 1 == 0 && head.length <= DOUBTFUL_LENGTH_MAX;
    length && (element::in_dictionary(head.tag) || head.tag >> 16 & 1 == 1)
}
