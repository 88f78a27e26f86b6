//! A walk over every element of a data set, without a tree and without recursion.
//!
//! As lenient as [`crate::split`], and with the same judgement at the top level: what the splitter takes
//! for an element is one here. Levels are a stack of bounded depth; what lies deeper is passed over with
//! one counter. Values are looked at only when somebody asks for them.

use std::io;

use super::vr::resolve;
use super::window::Window;
use crate::attributes::tags;
use crate::element::{
    self, HEAD_BYTES_MAX, Head, ITEM, ITEM_DELIMITER, Read, SEQUENCE_DELIMITER, UNDEFINED, Vr,
};
use crate::flags::Flags;
use crate::limits::DOUBTFUL_LENGTH_MAX;
use crate::source::Source;
use crate::split::{Before, is_pixel_data, settle};
use crate::syntax::Encoding;

/// An element that has a value, and no items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) tag: u32,
    /// As the element or the dictionary says.
    pub(super) vr: Vr,
    /// Where the value starts.
    pub(super) at: u64,
    pub(super) length: u64,
    /// Numbers in the value are big-endian.
    pub(super) big_endian: bool,
    /// The value is a run of fragments, up to their delimiter.
    pub(super) encapsulated: bool,
}

/// What the walk comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Element(Element),
    /// A sequence starts.
    Sequence(u32),
    SequenceEnd,
    Item,
    ItemEnd,
    End,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    is_item: bool,
    /// It ends here, whatever comes.
    pub(super) end: u64,
    /// It ends where its length says; otherwise at a delimiter.
    defined: bool,
    pub(super) encoding: Encoding,
    /// The encoding is a guess until the first element was seen.
    pub(super) sniff: bool,
    signed: bool,
}

/// See the module.
pub(super) struct Walk<'s> {
    pub(super) window: Window<'s>,
    pub(super) at: u64,
    encoding: Encoding,
    signed: bool,
    pub(super) levels: Vec<Level>,
    depth_max: usize,
    before: Before,
    /// What was odd.
    pub(super) flags: Flags,
    /// Something is nested too deeply, and was left out.
    pub(super) too_deep: bool,
}

impl<'s> Walk<'s> {
    /// At the start of a data set whose encoding was declared; its first bytes win.
    pub(super) fn new(
        source: &'s mut dyn Source,
        declared: Encoding,
        depth_max: usize,
    ) -> io::Result<Self> {
        let mut window = Window::new(source);
        let head = window.get(0, 8)?.first_chunk::<8>().copied();
        let encoding = head.map_or(declared, |head| settle(head, declared));
        let flags = if encoding == declared { Flags::empty() } else { Flags::BAD_VR };
        let before =
            Before { last_tag: None, elements: 0, seen_pixels: false, explicit: encoding.explicit };
        Ok(Self {
            window,
            at: 0,
            encoding,
            signed: false,
            levels: Vec::new(),
            depth_max,
            before,
            flags,
            too_deep: false,
        })
    }

    /// The next event. After [`Event::End`] it is [`Event::End`] for ever.
    pub(super) fn next(&mut self) -> io::Result<Event> {
        loop {
            let Some(level) = self.levels.last().copied() else { return self.top_level() };
            if self.at >= level.end {
                if !level.defined {
                    self.flags |= Flags::TRUNCATED; // the delimiter is missing
                }
                return Ok(self.leave(level));
            }
            let event = if level.is_item { self.nested(level)? } else { self.item(level)? };
            if let Some(event) = event {
                return Ok(event);
            }
        }
    }

    /// The first bytes of a value, at most `most` of them.
    pub(super) fn value(&mut self, element: &Element, most: u64) -> io::Result<&[u8]> {
        self.window.get(element.at, element.length.min(most) as usize)
    }

    /// Looks at nothing more: open levels end, then the data set.
    pub(super) fn stop(&mut self) {
        self.at = self.window.length;
    }

    fn leave(&mut self, level: Level) -> Event {
        self.levels.pop();
        if level.defined {
            self.at = self.at.max(level.end);
        }
        if level.is_item { Event::ItemEnd } else { Event::SequenceEnd }
    }

    pub(super) fn give_up(&mut self, flag: Flags) {
        self.flags |= flag;
        self.stop();
    }

    pub(super) fn head(&mut self, encoding: Encoding) -> io::Result<Read> {
        let bytes = self.window.some(self.at, 8, HEAD_BYTES_MAX)?;
        match element::read(bytes, encoding) {
            Read::Short if bytes.len() >= 8 && bytes.len() < HEAD_BYTES_MAX => {
                let bytes = self.window.get(self.at, HEAD_BYTES_MAX)?;
                Ok(element::read(bytes, encoding))
            }
            read => Ok(read),
        }
    }

    /// One element at the top level.
    fn top_level(&mut self) -> io::Result<Event> {
        loop {
            if self.at >= self.window.length {
                return Ok(Event::End);
            }
            let (head, encoding, odd) = match self.head(self.encoding)? {
                Read::Known(head) => (head, self.encoding, Flags::empty()),
                Read::Unknown(head) => (head, self.encoding, Flags::BAD_VR),
                Read::NoVr => match self.head(Encoding::IMPLICIT_LE)? {
                    Read::Known(head) => (head, Encoding::IMPLICIT_LE, Flags::BAD_VR),
                    _ => return self.short(),
                },
                Read::Short => return self.short(),
            };
            if let Some(flag) = self.before.doubt(head, odd) {
                self.give_up(flag);
                continue;
            }
            self.flags |= odd;
            if matches!(head.tag, ITEM_DELIMITER | SEQUENCE_DELIMITER) {
                self.flags |= Flags::OUT_OF_ORDER;
                self.at += head.bytes;
                self.before.elements += 1;
                continue;
            }
            if self.before.last_tag.is_some_and(|last| head.tag <= last) {
                self.flags |= Flags::OUT_OF_ORDER;
            }
            self.before.last_tag = Some(head.tag);
            self.before.elements += 1;
            self.before.seen_pixels |= is_pixel_data(head.tag);
            let top = Level {
                is_item: true,
                end: self.window.length,
                defined: false,
                encoding,
                sniff: false,
                signed: self.signed,
            };
            if let Some(event) = self.element(head, top)? {
                return Ok(event);
            }
        }
    }

    /// Too few bytes are left for an element.
    fn short(&mut self) -> io::Result<Event> {
        let rest = self.window.get(self.at, 8)?;
        let padding = self.before.seen_pixels || rest.iter().all(|byte| *byte == 0);
        self.give_up(if padding { Flags::TRAILING_BYTES } else { Flags::TRUNCATED });
        Ok(Event::End)
    }

    /// An item of a sequence, or its end.
    fn item(&mut self, level: Level) -> io::Result<Option<Event>> {
        let bytes = self.window.get(self.at, 8)?.first_chunk::<8>().copied();
        let Some([a, b, c, d, l, m, n, o]) = bytes.filter(|_| self.at + 8 <= level.end) else {
            self.flags |= Flags::TRUNCATED;
            self.at = level.end;
            return Ok(None);
        };
        let big_endian = level.encoding.big_endian;
        let length = element::number([l, m, n, o], big_endian);
        match element::tag_of([a, b, c, d], big_endian) {
            // What a delimiter says of a length is ignored: no value follows (PS3.5 §7.5).
            SEQUENCE_DELIMITER => {
                self.at += 8;
                return Ok(Some(self.leave(level)));
            }
            ITEM_DELIMITER => self.at += 8,
            ITEM => {
                self.at += 8;
                let defined = length != UNDEFINED;
                let mut end = level.end;
                if defined {
                    end = self.at + u64::from(length);
                    if end > level.end {
                        self.flags |= Flags::TRUNCATED;
                        end = level.end;
                    }
                }
                self.levels.push(Level { is_item: true, end, defined, ..level });
                return Ok(Some(Event::Item));
            }
            _ if level.defined => {
                self.flags |= Flags::UNPARSED;
                self.at = level.end;
            }
            _ => self.give_up(Flags::UNPARSED),
        }
        Ok(None)
    }

    /// An element of an item, or the item's end.
    fn nested(&mut self, mut level: Level) -> io::Result<Option<Event>> {
        let bytes = self.window.some(self.at, 8, HEAD_BYTES_MAX)?;
        let Some(start) = bytes.first_chunk::<8>().filter(|_| self.at + 8 <= level.end) else {
            self.flags |= Flags::TRUNCATED;
            self.at = level.end;
            return Ok(None);
        };
        let [a, b, c, d, v, w, ..] = *start;
        match element::tag_of([a, b, c, d], level.encoding.big_endian) {
            ITEM_DELIMITER if !level.defined => {
                self.at += 8;
                return Ok(Some(self.leave(level)));
            }
            ITEM_DELIMITER => {
                self.at += 8;
                return Ok(None);
            }
            // The delimiter of this item is missing.
            SEQUENCE_DELIMITER | ITEM => {
                if level.defined {
                    self.flags |= Flags::UNPARSED;
                    self.at = level.end;
                }
                return Ok(Some(self.leave(level)));
            }
            _ => {}
        }
        if level.sniff {
            // Some writers put their explicit encoding inside UN all the same.
            if Vr([v, w]).is_known() {
                level.encoding = self.outer_encoding();
                self.flags |= Flags::BAD_VR;
            }
            level.sniff = false;
            self.settle_levels(level.encoding);
        }
        let (head, encoding) = match self.head(level.encoding)? {
            Read::Known(head) => (head, level.encoding),
            Read::Unknown(head) => {
                self.flags |= Flags::BAD_VR;
                (head, level.encoding)
            }
            Read::NoVr => match self.head(Encoding::IMPLICIT_LE)? {
                Read::Known(head) if sound(head) => {
                    self.flags |= Flags::BAD_VR;
                    (head, Encoding::IMPLICIT_LE)
                }
                _ => return Ok(self.lost(level)),
            },
            Read::Short => return Ok(self.lost(level)),
        };
        self.element(head, Level { encoding, ..level })
    }

    /// Nothing more of an item is understood.
    fn lost(&mut self, level: Level) -> Option<Event> {
        if level.defined {
            self.flags |= Flags::UNPARSED;
            self.at = level.end;
        } else {
            self.give_up(Flags::UNPARSED);
        }
        None
    }

    /// The encoding around the outermost level that guesses its own.
    fn outer_encoding(&self) -> Encoding {
        let outer = self.levels.iter().rev().find(|level| !level.sniff);
        outer.map_or(self.encoding, |level| level.encoding)
    }

    /// The open sequence and item that guessed their encoding know it now.
    fn settle_levels(&mut self, encoding: Encoding) {
        for level in self.levels.iter_mut().rev().take_while(|level| level.sniff) {
            level.encoding = encoding;
            level.sniff = false;
        }
    }

    /// An element whose head stands at the cursor, inside `level`. Nothing if it is left out.
    fn element(&mut self, head: Head, level: Level) -> io::Result<Option<Event>> {
        let at = self.at + head.bytes;
        let vr = resolve(head.tag, head.vr, level.signed);
        let unknown = level.encoding.explicit && !(head.vr.is_known() && head.vr != Vr::UN);
        // What is UN is little-endian, whatever surrounds it (PS3.5 §6.2.2, note 3).
        let big_endian = level.encoding.big_endian && head.vr != Vr::UN;
        let mut element = Element {
            tag: head.tag,
            vr,
            at,
            length: u64::from(head.length),
            big_endian,
            encapsulated: false,
        };
        let fragments = head.tag == tags::PIXEL_DATA
            || level.encoding.explicit && matches!(&head.vr.0, b"OB" | b"OW");
        if head.length == UNDEFINED && fragments {
            if level.encoding == Encoding::IMPLICIT_LE {
                element.vr = Vr(*b"OB");
            }
            element.encapsulated = true;
            element.length = self.fragments(&element, level.end)?;
            return Ok(Some(Event::Element(element)));
        }
        let defined = head.length != UNDEFINED;
        let mut end = if defined { at + element.length } else { level.end };
        if end > level.end {
            self.flags |= Flags::TRUNCATED;
            if vr.0 != *b"SQ" && !is_pixel_data(head.tag) {
                self.at = level.end;
                return Ok(None);
            }
            end = level.end;
            element.length = end.saturating_sub(at);
        }
        if !defined || vr.0 == *b"SQ" {
            let holds_items = !unknown || !defined || element.length == 0 || self.is_item_at(at)?;
            if holds_items {
                self.at = at;
                let implicit = unknown && head.vr == Vr::UN;
                let inner = if implicit { Encoding::IMPLICIT_LE } else { level.encoding };
                let around = self.levels.last().map_or(self.encoding, |level| level.encoding);
                let sniff = inner != around;
                let level = Level { is_item: false, end, defined, encoding: inner, sniff, ..level };
                return self.sequence(head.tag, level);
            }
            element.vr = Vr::UN;
        }
        if defined && head.length & 1 == 1 {
            self.flags |= Flags::ODD_LENGTH;
        }
        if head.tag == PIXEL_REPRESENTATION && element.length == 2 {
            self.note_signed(&element)?;
        }
        self.at = end;
        Ok(Some(Event::Element(element)))
    }

    fn is_item_at(&mut self, at: u64) -> io::Result<bool> {
        let bytes = self.window.get(at, 4)?.first_chunk::<4>().copied();
        Ok(bytes.is_some_and(|bytes| element::tag_of(bytes, false) == ITEM))
    }

    fn note_signed(&mut self, element: &Element) -> io::Result<()> {
        let signed = self.value(element, 2)?.contains(&1);
        match self.levels.last_mut() {
            Some(level) => level.signed = signed,
            None => self.signed = signed,
        }
        Ok(())
    }

    /// A sequence whose items start at the cursor.
    fn sequence(&mut self, tag: u32, level: Level) -> io::Result<Option<Event>> {
        if self.levels.len() / 2 < self.depth_max {
            self.levels.push(level);
            return Ok(Some(Event::Sequence(tag)));
        }
        self.too_deep = true;
        if level.defined {
            self.at = level.end;
        } else {
            self.pass_over(level)?;
        }
        Ok(None)
    }
}

const PIXEL_REPRESENTATION: u32 = 0x0028_0103;

/// Can this be an element without VR among those with one?
pub(super) fn sound(head: Head) -> bool {
    let length =
        head.length == UNDEFINED || head.length & 1 == 0 && head.length <= DOUBTFUL_LENGTH_MAX;
    length && (element::in_dictionary(head.tag) || head.tag >> 16 & 1 == 1)
}
