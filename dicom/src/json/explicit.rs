//! A data set as Explicit VR Little Endian (PS3.5 A.2), with its pixel data set apart.
//!
//! What is written ascends at the top level and has no group lengths; sequences and items have undefined
//! lengths. Large values are pieces of the source. Items that are out of order inside stay so.

use std::io;
use std::ops::Range;

use bytes::Bytes;

use super::find::{Found, found_in};
use super::inflate::inflate;
use super::piece::Piece;
use super::text::rules;
use super::value::swap;
use super::vr::unit;
use super::walk::{Element, Event, Walk};
use crate::attributes::tags;
use crate::element::{ITEM, ITEM_DELIMITER, SEQUENCE_DELIMITER, UNDEFINED, Vr};
use crate::limits::{REWRITE_DEPTH_MAX, STREAM_BYTES};
use crate::source::Source;
use crate::syntax::{EXPLICIT_LE, Syntax};

/// A top-level element that is not to be as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    tag: u32,
    /// What is there instead; nothing if the element is to go.
    value: Option<(Vr, Vec<u8>)>,
}

impl Change {
    /// The element goes, if it is there.
    #[must_use]
    pub fn remove(tag: u32) -> Self {
        Self { tag, value: None }
    }

    /// The element has this value, little-endian, whether or not it was there before.
    #[must_use]
    pub fn set(tag: u32, vr: Vr, value: Vec<u8>) -> Self {
        Self { tag, value: Some((vr, value)) }
    }

    /// The same for text of a VR such as CS or IS.
    #[must_use]
    pub fn text(tag: u32, vr: Vr, value: &str) -> Self {
        Self::set(tag, vr, value.as_bytes().to_vec())
    }

    /// The same for one number of VR US.
    #[must_use]
    pub fn number(tag: u32, value: u16) -> Self {
        Self::set(tag, Vr(*b"US"), value.to_le_bytes().to_vec())
    }
}

/// A data set in Explicit VR Little Endian.
#[derive(Clone, Debug, Default)]
pub struct Rewritten {
    /// Everything before the pixel data element; all, if there is none.
    pub head: Vec<Piece>,
    /// The value of (7FE0,0010), if there is one.
    pub pixels: Option<Found>,
    /// Everything behind the pixel data element.
    pub tail: Vec<Piece>,
    /// Something was nested too deeply, and is not there.
    pub cut: bool,
}

impl Rewritten {
    /// All of it, with the pixel data as it is stored: native values in little-endian order, encapsulated
    /// ones with their fragments.
    #[must_use]
    pub fn into_pieces(self) -> Vec<Piece> {
        let mut pieces = self.head;
        if let Some(pixels) = self.pixels {
            let mut head = Vec::new();
            let length = pixels.value.len();
            if pixels.encapsulated {
                element_head(&mut head, tags::PIXEL_DATA, Vr(*b"OB"), u64::from(UNDEFINED));
            } else {
                element_head(&mut head, tags::PIXEL_DATA, pixels.vr, length + (length & 1));
            }
            pieces.push(Piece::Bytes(head.into()));
            pieces.push(pixels.value);
            if pixels.encapsulated {
                let mut end = Vec::new();
                item_head(&mut end, SEQUENCE_DELIMITER, 0);
                pieces.push(Piece::Bytes(end.into()));
            } else if length & 1 == 1 {
                pieces.push(Piece::Bytes(Bytes::from_static(&[0])));
            }
        }
        pieces.extend(self.tail);
        pieces
    }
}

/// Rewrites the data set in `source`.
///
/// # Errors
/// Those of the source; [`io::ErrorKind::FileTooLarge`] for a deflated data set that is too large to be
/// inflated.
pub fn explicit_le(
    source: &mut dyn Source,
    transfer_syntax: &str,
    changes: &[Change],
) -> io::Result<Rewritten> {
    let syntax = Syntax::of(transfer_syntax);
    let mut inflated = if syntax.deflated { Some(inflate(source)?) } else { None };
    let stored = inflated.clone();
    let (source, syntax): (&mut dyn Source, _) = match &mut inflated {
        Some(bytes) => (bytes, Syntax::of(EXPLICIT_LE)),
        None => (source, syntax),
    };
    let mut walk = Walk::new(source, syntax.encoding, REWRITE_DEPTH_MAX)?;
    let mut writer = Writer { inflated: stored, ..Writer::default() };
    loop {
        match walk.next()? {
            Event::Element(element) => writer.element(&mut walk, element, syntax)?,
            Event::Sequence(tag) => writer.sequence(tag),
            Event::SequenceEnd => writer.end(SEQUENCE_DELIMITER),
            Event::Item => item_head(&mut writer.buffer, ITEM, UNDEFINED),
            Event::ItemEnd => writer.end(ITEM_DELIMITER),
            Event::End => break,
        }
    }
    writer.flush();
    let mut rewritten = writer.assemble(changes);
    rewritten.cut = walk.too_deep;
    Ok(rewritten)
}

#[derive(Default)]
struct Writer {
    /// Bytes that are not in a piece yet.
    buffer: Vec<u8>,
    pieces: Vec<Piece>,
    /// Where each piece starts, counted over all of them.
    starts: Vec<u64>,
    /// Bytes in `pieces`.
    length: u64,
    /// Tag and start of each top-level element.
    top: Vec<(u32, u64)>,
    depth: usize,
    pixels: Option<Found>,
    inflated: Option<Bytes>,
}

impl Writer {
    fn at(&self) -> u64 {
        self.length + self.buffer.len() as u64
    }

    fn push(&mut self, piece: Piece) {
        if !piece.is_empty() {
            self.starts.push(self.length);
            self.length += piece.len();
            self.pieces.push(piece);
        }
    }

    fn flush(&mut self) {
        let bytes = std::mem::take(&mut self.buffer);
        self.push(Piece::Bytes(bytes.into()));
    }

    fn begin(&mut self, tag: u32) {
        if self.depth == 0 {
            self.top.push((tag, self.at()));
        }
    }

    fn sequence(&mut self, tag: u32) {
        self.begin(tag);
        self.depth += 1;
        element_head(&mut self.buffer, tag, Vr(*b"SQ"), u64::from(UNDEFINED));
    }

    fn end(&mut self, delimiter: u32) {
        item_head(&mut self.buffer, delimiter, 0);
        self.depth -= usize::from(delimiter == SEQUENCE_DELIMITER);
    }

    fn element(&mut self, walk: &mut Walk<'_>, element: Element, syntax: Syntax) -> io::Result<()> {
        if element.tag as u16 == 0 || matches!(element.tag >> 16, 0 | 2) {
            return Ok(());
        }
        let found = found_in(&element, syntax, self.inflated.as_ref());
        if self.depth == 0 && element.tag == tags::PIXEL_DATA {
            self.pixels.get_or_insert(found);
            return Ok(());
        }
        self.begin(element.tag);
        if element.encapsulated {
            element_head(&mut self.buffer, element.tag, element.vr, u64::from(UNDEFINED));
            self.flush();
            self.push(found.value);
            item_head(&mut self.buffer, SEQUENCE_DELIMITER, 0);
            return Ok(());
        }
        let odd = element.length & 1;
        element_head(&mut self.buffer, element.tag, element.vr, element.length + odd);
        if element.length > STREAM_BYTES {
            self.flush();
            self.push(found.value);
        } else {
            let start = self.buffer.len();
            self.buffer.extend_from_slice(walk.value(&element, STREAM_BYTES)?);
            if element.big_endian {
                swap(self.buffer.get_mut(start..).unwrap_or_default(), unit(element.vr));
            }
        }
        if odd == 1 {
            self.buffer.push(padding(element.vr));
        }
        Ok(())
    }

    /// Puts the top-level elements into their order, with the changes among them.
    fn assemble(self, changes: &[Change]) -> Rewritten {
        let ends = self.top.iter().skip(1).map(|(_, next)| *next).chain([self.length]);
        let mut elements: Vec<(u32, Origin)> = self
            .top
            .iter()
            .zip(ends)
            .map(|((tag, start), end)| (*tag, Origin::Written(*start..end)))
            .filter(|(tag, _)| !changes.iter().any(|change| change.tag == *tag))
            .collect();
        for change in changes {
            if let Some((vr, value)) = &change.value {
                elements.push((change.tag, Origin::New(changed(change.tag, *vr, value))));
            }
        }
        elements.sort_by_key(|(tag, _)| *tag);
        // Of two with one tag the first counts.
        elements.dedup_by_key(|(tag, _)| *tag);
        let mut rewritten = Rewritten::default();
        let mut run = 0..0;
        let mut before = true;
        for (tag, element) in elements {
            let splits = before && self.pixels.is_some() && tag > tags::PIXEL_DATA;
            let follows = matches!(&element, Origin::Written(range) if range.start == run.end);
            if splits || !follows {
                let out = if before { &mut rewritten.head } else { &mut rewritten.tail };
                self.take(std::mem::take(&mut run), out);
            }
            before &= !splits;
            match element {
                Origin::Written(range) if run.is_empty() => run = range,
                Origin::Written(range) => run.end = range.end,
                Origin::New(bytes) => {
                    let out = if before { &mut rewritten.head } else { &mut rewritten.tail };
                    out.push(Piece::Bytes(bytes));
                }
            }
        }
        let out = if before { &mut rewritten.head } else { &mut rewritten.tail };
        self.take(run, out);
        rewritten.pixels = self.pixels;
        rewritten
    }

    /// Appends what was written in `range`.
    fn take(&self, range: Range<u64>, out: &mut Vec<Piece>) {
        if range.is_empty() {
            return;
        }
        let first = self.starts.partition_point(|start| *start <= range.start).saturating_sub(1);
        for (piece, start) in self.pieces.iter().zip(&self.starts).skip(first) {
            if *start >= range.end {
                break;
            }
            let from = range.start.saturating_sub(*start);
            let to = (range.end - start).min(piece.len());
            out.push(piece.part(from, to));
        }
    }
}

/// Where an element of the result comes from.
enum Origin {
    Written(Range<u64>),
    New(Bytes),
}

/// An element that was changed or added.
fn changed(tag: u32, vr: Vr, value: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(value.len() + 13);
    element(&mut out, tag, vr, value);
    out.into()
}

/// Appends a whole element.
pub(super) fn element(out: &mut Vec<u8>, tag: u32, vr: Vr, value: &[u8]) {
    let odd = value.len() & 1;
    element_head(out, tag, vr, (value.len() + odd) as u64);
    out.extend_from_slice(value);
    if odd == 1 {
        out.push(padding(vr));
    }
}

/// Tag, VR and length in Explicit VR Little Endian. What is too long for the length field of its VR is
/// written as UN (PS3.5 §6.2.2, note 2 d).
pub(super) fn element_head(out: &mut Vec<u8>, tag: u32, vr: Vr, length: u64) {
    out.extend_from_slice(&((tag >> 16) as u16).to_le_bytes());
    out.extend_from_slice(&(tag as u16).to_le_bytes());
    let short = !vr.is_long() && vr.is_known();
    match u16::try_from(length) {
        Ok(length) if short => {
            out.extend_from_slice(&vr.0);
            out.extend_from_slice(&length.to_le_bytes());
        }
        _ => {
            out.extend_from_slice(if short { b"UN" } else { &vr.0 });
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(&(length as u32).to_le_bytes());
        }
    }
}

/// An item or delimiter.
pub(super) fn item_head(out: &mut Vec<u8>, tag: u32, length: u32) {
    out.extend_from_slice(&((tag >> 16) as u16).to_le_bytes());
    out.extend_from_slice(&(tag as u16).to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
}

/// What makes a value's length even (PS3.5 §6.2): a blank behind text, but for UIDs.
fn padding(vr: Vr) -> u8 {
    if rules(vr).is_some() && vr.0 != *b"UI" { b' ' } else { 0 }
}
