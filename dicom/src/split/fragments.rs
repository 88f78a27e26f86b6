//! Encapsulated pixel data (PS3.5 A.4): offset table, fragments, and which of them start a frame.

use cairn_chunker::frames::Frames;
use cairn_chunker::span::SpanKind;

use super::{Capture, Splitter, State, Step, View};
use crate::attributes::tags;
use crate::element::{self, ITEM, SEQUENCE_DELIMITER, UNDEFINED};
use crate::flags::Flags;
use crate::limits::{FRAMES_MAX, OFFSET_TABLE_BYTES_MAX};
use crate::syntax::Fragments;

/// How many bytes of a fragment are looked at.
const MAGIC_BYTES: u64 = 12;
const ITEM_HEAD_BYTES: u64 = 8;

/// Encapsulated pixel data that is passing by.
#[derive(Debug, Default)]
pub(super) struct Encapsulated {
    /// Between the element's head and its delimiter.
    open: bool,
    /// The basic offset table item has gone by.
    table_seen: bool,
    /// First byte of the first fragment's item head: what offsets count from.
    base: Option<u64>,
    basic: Vec<u8>,
    extended: Vec<u8>,
    /// Offsets that still agree with the fragments.
    offsets: Option<Offsets>,
    magic_seen: bool,
    /// Relative to the data set.
    starts: Vec<u64>,
}

/// Frame starts as a table announces them.
#[derive(Debug)]
struct Offsets {
    values: Vec<u64>,
    next: usize,
}

/// What an offset table says about a fragment.
enum Said {
    Starts,
    GoesOn,
    /// The table announces a start inside the fragment: it is wrong.
    Wrong,
}

impl Encapsulated {
    /// Part of an offset table goes by.
    pub(super) fn capture(&mut self, table: Capture, bytes: &[u8]) {
        match table {
            Capture::Basic => self.basic.extend_from_slice(bytes),
            Capture::Extended => self.extended.extend_from_slice(bytes),
        }
    }

    /// The first fragment is at `base`: picks the table that counts. A basic one with a single entry
    /// says nothing if there are to be several frames.
    fn settle_table(&mut self, base: u64, frames: u64) {
        self.base = Some(base);
        let basic = std::mem::take(&mut self.basic);
        let extended = std::mem::take(&mut self.extended);
        let values: Vec<u64> = if basic.is_empty() {
            extended.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b)).collect()
        } else {
            basic.as_chunks::<4>().0.iter().map(|b| u64::from(u32::from_le_bytes(*b))).collect()
        };
        let usable = values.first() == Some(&0) && !(values.len() == 1 && frames > 1);
        self.offsets = usable.then_some(Offsets { values, next: 0 });
    }
}

impl Offsets {
    /// About the fragment from `offset` to `end`, both counted from the first fragment.
    fn ask(&mut self, offset: u64, end: u64) -> Said {
        match self.values.get(self.next) {
            Some(announced) if *announced == offset => {
                self.next += 1;
                Said::Starts
            }
            Some(announced) if *announced < end => Said::Wrong,
            _ => Said::GoesOn,
        }
    }
}

impl Splitter {
    /// The head of encapsulated pixel data was read.
    pub(super) fn begin_fragments(&mut self) {
        self.spans.start(self.at, SpanKind::FrameTable);
        let extended = std::mem::take(&mut self.encapsulated.extended);
        self.encapsulated = Encapsulated { open: true, extended, ..Encapsulated::default() };
        self.state = State::Fragments;
    }

    /// One item, or the delimiter.
    pub(super) fn item(&mut self, view: View<'_>) -> Step {
        let at = self.at;
        let Some(&[a, b, c, d, l, m, n, o]) =
            view.peek(at, ITEM_HEAD_BYTES).and_then(<[u8]>::first_chunk::<8>)
        else {
            return self.short_of_items(view);
        };
        let big_endian = self.encoding.big_endian;
        let length = element::number([l, m, n, o], big_endian);
        match element::tag_of([a, b, c, d], big_endian) {
            SEQUENCE_DELIMITER => {
                self.close_fragments();
                self.spans.start(at, SpanKind::FrameTable);
                self.at += ITEM_HEAD_BYTES;
                self.state = State::Elements;
            }
            ITEM if length >= UNDEFINED - 1 => return self.give_up(Flags::UNPARSED),
            ITEM if self.encapsulated.table_seen => {
                let looked_at = u64::from(length).min(MAGIC_BYTES);
                let magic = view.up_to(at + ITEM_HEAD_BYTES, looked_at);
                if (magic.len() as u64) < looked_at && !view.last {
                    return Step::Wait;
                }
                self.fragment(at, length, magic);
            }
            ITEM => {
                self.encapsulated.table_seen = true;
                self.skip(at + ITEM_HEAD_BYTES, length);
                if u64::from(length) <= OFFSET_TABLE_BYTES_MAX && !big_endian {
                    self.capture = Some(Capture::Basic);
                }
            }
            _ => return self.give_up(Flags::UNPARSED),
        }
        Step::On
    }

    fn short_of_items(&mut self, view: View<'_>) -> Step {
        if view.last {
            // Not even the delimiter is there.
            self.flags |= Flags::TRUNCATED;
        }
        self.short(view)
    }

    /// A fragment of `length` bytes, whose item head is at `at`.
    fn fragment(&mut self, at: u64, length: u32, magic: &[u8]) {
        if length & 1 == 1 {
            self.flags |= Flags::ODD_LENGTH;
        }
        let frames = self.kept.number(tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1);
        if self.encapsulated.base.is_none() {
            self.encapsulated.settle_table(at, frames);
        }
        if self.syntax.fragments == Fragments::Stream {
            self.spans.start(at, SpanKind::Opaque);
        } else if self.starts_frame(at, length, frames, magic) {
            if self.encapsulated.starts.len() < FRAMES_MAX {
                self.encapsulated.starts.push(at - self.dataset_at);
                self.spans.start(at, SpanKind::Frame);
            } else {
                self.flags |= Flags::UNPARSED;
                self.spans.start(at, SpanKind::Opaque);
            }
        }
        self.skip(at + ITEM_HEAD_BYTES, length);
    }

    fn starts_frame(&mut self, at: u64, length: u32, frames: u64, magic: &[u8]) -> bool {
        let pixels = &mut self.encapsulated;
        let has_magic = is_magic(magic);
        pixels.magic_seen |= has_magic;
        let offset = at - pixels.base.unwrap_or(at);
        let end = offset + ITEM_HEAD_BYTES + u64::from(length);
        match pixels.offsets.as_mut().map(|offsets| offsets.ask(offset, end)) {
            Some(Said::Starts) => return true,
            Some(Said::GoesOn) => return false,
            Some(Said::Wrong) => {
                pixels.offsets = None;
                self.flags |= Flags::FRAME_COUNT;
            }
            None => {}
        }
        if frames == 1 {
            return pixels.starts.is_empty();
        }
        if self.syntax.fragments == Fragments::WholeFrames {
            return true;
        }
        has_magic || !pixels.magic_seen
    }

    /// The fragments have gone by, or end early.
    pub(super) fn close_fragments(&mut self) {
        if !std::mem::take(&mut self.encapsulated.open) {
            return;
        }
        let starts = std::mem::take(&mut self.encapsulated.starts);
        if self.syntax.fragments == Fragments::Stream {
            return;
        }
        let announced = self.kept.number(tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1);
        let left = self.encapsulated.offsets.take().is_some_and(|o| o.next < o.values.len());
        if left || starts.len() as u64 != announced {
            self.flags |= Flags::FRAME_COUNT;
        }
        if !starts.is_empty() {
            self.frames = Frames::Encapsulated { starts, end: self.at - self.dataset_at };
        }
    }
}

/// Does a code stream, or a file that holds one, start like this?
fn is_magic(bytes: &[u8]) -> bool {
    const STARTS: [&[u8]; 6] = [
        &[0xFF, 0xD8, 0xFF],               // JPEG, JPEG-LS: SOI and another marker
        &[0xFF, 0x4F, 0xFF, 0x51],         // JPEG 2000, HTJ2K: SOC, SIZ
        &[0xFF, 0x0A],                     // JPEG XL
        b"\0\0\0\x0cJXL \r\n\x87\n",       // JPEG XL container
        b"\0\0\0\x0cjP  \r\n\x87\n",       // JP2
        b"\0\0\0\x0cjP\x1a\x1a\r\n\x87\n", // JP2, first edition
    ];
    STARTS.iter().any(|start| bytes.starts_with(start))
}
