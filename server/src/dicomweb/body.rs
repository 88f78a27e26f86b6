//! Bodies of bulk data: where their bytes come from, and any range of them without reading the rest.

use std::ops::Range;

use bytes::Bytes;
use cairn_dicom::element::{ITEM, UNDEFINED, tag_of};
use cairn_dicom::json::Piece;
use cairn_dicom::pixels::NativeValue;
use cairn_dicom::source::Source;
use cairn_store::read::DatasetSource;

use super::frames::Shape;
use super::image::{Image, Pixels, unreadable};
use crate::http::problem::gone;
use crate::http::{Feed, Problem};

/// The head of an item: tag and length.
const ITEM_HEAD_BYTES: u64 = 8;
/// Fragments of one stream that are looked at: 16 bytes each. Real ones have one to some thousands.
const FRAGMENTS_MAX: usize = 1 << 20;

/// Takes bytes on their way; an error of it ends the way.
pub(crate) type Take<'a> = &'a mut dyn FnMut(Bytes) -> Result<(), Problem>;

/// Where the bytes come from.
pub(crate) enum Body {
    /// A value, as it lies or with its numbers turned around.
    Value { image: Image, piece: Piece },
    /// Frames, decoded, as the value of native pixel data. The first is there already: it tells how
    /// long the others are.
    Frames { pixels: Box<Pixels>, first: Bytes },
    /// Fragments joined: a stream that has no frames.
    Fragments { image: Image, ranges: Vec<Range<u64>> },
}

impl Body {
    /// The decoded pixels of an instance, one frame behind the other.
    ///
    /// # Errors
    /// What is damaged, or 406 for what cannot be decoded.
    pub(crate) fn frames(pixels: Pixels) -> Result<Self, Problem> {
        let first = pixels.decoded(0)?.bytes;
        Ok(Self::Frames { pixels: pixels.into(), first })
    }

    /// The fragments in `range` of the data set, behind their offset table (PS3.5 A.4).
    ///
    /// # Errors
    /// What is damaged or cannot be read.
    pub(crate) fn fragments(image: Image, range: Range<u64>) -> Result<Self, Problem> {
        let mut source = image.source();
        let mut ranges = Vec::new();
        let mut at = range.start;
        while at + ITEM_HEAD_BYTES <= range.end {
            let Some((tag, length)) = item(&mut source, at)? else { break };
            if tag != ITEM || length == UNDEFINED {
                break;
            }
            if ranges.len() >= FRAGMENTS_MAX {
                return Err(Problem::not_acceptable());
            }
            let start = at + ITEM_HEAD_BYTES;
            // The last one of an object that was cut off is shorter than it says.
            let end = (start + u64::from(length)).min(range.end);
            ranges.push(start..end);
            at = end;
        }
        if !ranges.is_empty() {
            ranges.remove(0); // the offset table
        }
        drop(source);
        Ok(Self::Fragments { image, ranges })
    }

    /// How many bytes it has.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Value { piece, .. } => piece.len(),
            Self::Frames { pixels, first } => native_bytes(pixels, first.len() as u64),
            Self::Fragments { ranges, .. } => ranges.iter().map(|r| r.end - r.start).sum(),
        }
    }

    /// Sends `range` of it; frames are decoded ahead.
    ///
    /// # Errors
    /// What is damaged: the reply must break off.
    pub(crate) fn send(self, feed: &mut Feed, range: Range<u64>) -> Result<(), Problem> {
        let take: Take<'_> = &mut |bytes| feed.send(bytes).map_err(gone);
        match self {
            Self::Frames { pixels, first } => {
                let window = Window { skip: range.start, left: range.end - range.start };
                frames_of(*pixels, first, window, take, |shape, indices| {
                    Box::new(shape.ahead(indices))
                })
            }
            other => other.give(range, take),
        }
    }

    /// Hands out `range` of it, all on this thread.
    ///
    /// # Errors
    /// What is damaged, and those of `take`.
    pub(crate) fn give(self, range: Range<u64>, take: Take<'_>) -> Result<(), Problem> {
        let window = Window { skip: range.start, left: range.end - range.start };
        match self {
            Self::Value { image, piece } => value_of(&image, piece, window, take),
            Self::Frames { pixels, first } => {
                frames_of(*pixels, first, window, take, |shape, indices| {
                    Box::new(indices.map(move |index| shape.frame(index)))
                })
            }
            Self::Fragments { image, ranges } => {
                let mut at = 0;
                for fragment in ranges {
                    let length = fragment.end - fragment.start;
                    let from = range.start.clamp(at, at + length) - at;
                    let to = range.end.clamp(at, at + length) - at;
                    at += length;
                    if from < to {
                        let part = fragment.start + from..fragment.start + to;
                        stored(&image, part, take)?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// What is still to be passed over, and what is then to be handed out.
struct Window {
    skip: u64,
    left: u64,
}

impl Window {
    /// Hands out of `bytes` what lies in the window.
    fn cut(&mut self, bytes: &Bytes, take: Take<'_>) -> Result<(), Problem> {
        let from = self.skip.min(bytes.len() as u64);
        let to = from.saturating_add(self.left).min(bytes.len() as u64);
        self.skip -= from;
        self.left -= to - from;
        if from < to { take(bytes.slice(from as usize..to as usize)) } else { Ok(()) }
    }
}

/// The tag and length of the item at `at`.
fn item(source: &mut DatasetSource, at: u64) -> Result<Option<(u32, u32)>, Problem> {
    let mut head = Vec::new();
    while head.len() < ITEM_HEAD_BYTES as usize {
        let missing = ITEM_HEAD_BYTES as usize - head.len();
        let more = source.read(at + head.len() as u64, missing);
        let more = more.map_err(|error| unreadable(source, error))?;
        if more.is_empty() {
            return Ok(None);
        }
        head.extend_from_slice(&more);
    }
    let Some(&[a, b, c, d, l, m, n, o]) = head.first_chunk() else { return Ok(None) };
    Ok(Some((tag_of([a, b, c, d], false), u32::from_le_bytes([l, m, n, o]))))
}

/// Bytes of the data set as they lie.
fn stored(image: &Image, range: Range<u64>, take: Take<'_>) -> Result<(), Problem> {
    image.reader().range(&image.manifest, range).try_for_each(|piece| take(piece?))
}

fn value_of(
    image: &Image,
    mut piece: Piece,
    mut window: Window,
    take: Take<'_>,
) -> Result<(), Problem> {
    if let Piece::Stored { range: lies, unit } = &mut piece {
        // Numbers are turned around whole.
        let aligned = window.skip / *unit as u64 * *unit as u64;
        lies.start += aligned;
        window.skip -= aligned;
        if *unit == 1 {
            return stored(image, lies.start..lies.start + window.left, take);
        }
    }
    let mut source = image.source();
    while window.left > 0 {
        let next = piece.next(&mut source).map_err(|error| unreadable(&mut source, error))?;
        let Some(bytes) = next else { return Err(Problem::internal("a value ends too early")) };
        window.cut(&bytes, take)?;
    }
    Ok(())
}

/// Length of all frames as the value of native pixel data.
pub(crate) fn native_bytes(pixels: &Pixels, frame_bytes: u64) -> u64 {
    let layout = &pixels.layout;
    let bytes = if layout.bits_allocated == 1 {
        let bits = layout.pixels() as u64 * u64::from(layout.samples);
        bits.saturating_mul(pixels.count()).div_ceil(8)
    } else {
        frame_bytes.saturating_mul(pixels.count())
    };
    bytes.saturating_add(bytes & 1)
}

type Frames = Box<dyn Iterator<Item = Result<Bytes, Problem>>>;

fn frames_of(
    pixels: Pixels,
    first: Bytes,
    mut window: Window,
    take: Take<'_>,
    read: impl FnOnce(Shape, Range<u64>) -> Frames,
) -> Result<(), Problem> {
    let (count, layout, frame_bytes) = (pixels.count(), pixels.layout, first.len() as u64);
    let bits = layout.bits_allocated == 1;
    // Frames of bits are put together from the first on.
    let begin = if bits { 0 } else { window.skip / frame_bytes.max(1) };
    window.skip -= begin * frame_bytes;
    let mut value = NativeValue::new(layout);
    let at_hand = (begin == 0).then_some(Ok(first));
    let others = read(Shape::Plain(pixels.into()), begin.max(1)..count);
    for frame in at_hand.into_iter().chain(others) {
        if window.left == 0 {
            return Ok(());
        }
        let frame = frame?;
        if frame.len() as u64 != frame_bytes {
            return Err(Problem::internal("frames of one image differ in length"));
        }
        let frame = if bits { value.push(&frame).into() } else { frame };
        window.cut(&frame, take)?;
    }
    // What is left of the bits, and the padding to an even length.
    let rest = if bits { value.finish() } else { vec![0; window.left.min(1) as usize] };
    window.cut(&rest.into(), take)?;
    if window.left == 0 { Ok(()) } else { Err(Problem::internal("a value ends too early")) }
}
