//! Passing over what is not looked at: nesting that is too deep, and fragments of pixel data.

use std::io;

use super::walk::{Element, Level, Walk, sound};
use crate::attributes::tags;
use crate::element::{self, ITEM, ITEM_DELIMITER, Read, SEQUENCE_DELIMITER, UNDEFINED, Vr};
use crate::flags::Flags;
use crate::syntax::Encoding;

impl Walk<'_> {
    /// Passes over a sequence of undefined length and all that is nested in it: one counter, odd in a
    /// sequence and even in an item, since values and items of defined length are passed over whole.
    pub(super) fn pass_over(&mut self, level: Level) -> io::Result<()> {
        let mut depth = 1u64;
        // The depth from which on elements are Implicit VR.
        let mut implicit_from = level.sniff.then_some(1);
        while depth > 0 && self.at < level.end {
            let encoding =
                if implicit_from.is_some() { Encoding::IMPLICIT_LE } else { level.encoding };
            let head = match self.head(encoding)? {
                Read::Known(head) | Read::Unknown(head) => head,
                Read::NoVr => match self.head(Encoding::IMPLICIT_LE)? {
                    Read::Known(head) if sound(head) => head,
                    _ => break,
                },
                Read::Short => break,
            };
            self.at += head.bytes;
            let in_item = depth.is_multiple_of(2);
            match head.tag {
                SEQUENCE_DELIMITER => depth -= if in_item { 2 } else { 1 },
                ITEM_DELIMITER => depth -= u64::from(in_item),
                ITEM if head.length == UNDEFINED => depth += u64::from(!in_item),
                _ if head.length == UNDEFINED => {
                    depth += 1;
                    if encoding.explicit && head.vr == Vr::UN {
                        implicit_from = Some(depth);
                    }
                }
                ITEM if in_item => {
                    depth -= 1; // the delimiter of the item before is missing
                    self.at += u64::from(head.length);
                }
                _ => self.at += u64::from(head.length),
            }
            implicit_from = implicit_from.filter(|from| depth >= *from);
        }
        if depth > 0 {
            self.give_up(Flags::UNPARSED);
        }
        Ok(())
    }

    /// Passes over the fragments of an element: how long they are, without the delimiter that ends them.
    pub(super) fn fragments(&mut self, element: &Element, end: u64) -> io::Result<u64> {
        let Element { tag, at, big_endian, .. } = *element;
        let top = self.levels.is_empty() && tag == tags::PIXEL_DATA;
        if let Some(known) = self.window.fragments_end().filter(|_| top)
            && (at..=end).contains(&known)
        {
            self.at = known;
        } else {
            self.at = at;
        }
        while self.at < end {
            let bytes = self.window.get(self.at, 8)?.first_chunk::<8>().copied();
            let Some([a, b, c, d, l, m, n, o]) = bytes else { break };
            let length = element::number([l, m, n, o], big_endian);
            match element::tag_of([a, b, c, d], big_endian) {
                SEQUENCE_DELIMITER => {
                    let length = self.at - at;
                    self.at += 8;
                    return Ok(length);
                }
                ITEM if length < UNDEFINED - 1 => self.at += 8 + u64::from(length),
                _ => {
                    let length = self.at - at;
                    self.give_up(Flags::UNPARSED);
                    return Ok(length);
                }
            }
        }
        self.flags |= Flags::TRUNCATED;
        self.at = end;
        Ok(end.saturating_sub(at))
    }
}
