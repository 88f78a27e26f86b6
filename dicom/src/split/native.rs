//! Native pixel data: how long a frame is, and how its samples lie (PS3.3 C.7.6.3, PS3.5 §8).

use cairn_chunker::frames::Frames;
use cairn_chunker::span::{Geometry, SpanKind};

use super::Splitter;
use super::kept::Kept;
use crate::attributes::tags;
use crate::flags::Flags;

/// Native pixel data that is passing by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Native {
    value_at: u64,
    frame_bytes: u64,
    /// Frames end at bits (1-bit segmentations): the value counts as one frame, and says nothing
    /// about Number of Frames.
    by_bits: bool,
}

impl Splitter {
    /// The value of native pixel data starts; `length` is what it claims.
    pub(super) fn begin_native(&mut self, tag: u32, value_at: u64, length: u64) {
        if length == 0 {
            return;
        }
        let shape = Shape::of(&self.kept, tag);
        let exact = shape.frame_bytes();
        let frame_bytes = exact.filter(|bytes| (1..=length).contains(bytes)).unwrap_or(length);
        let geometry = shape.geometry(self.syntax.big_endian_pixels || self.encoding.big_endian);
        self.spans.start(value_at, SpanKind::Pixels { frame_bytes, geometry });
        self.native =
            Some(Native { value_at, frame_bytes, by_bits: exact.is_none() && shape.bits == 1 });
    }

    /// The value has gone by, or ended early.
    pub(super) fn close_native(&mut self) {
        let Some(Native { value_at, frame_bytes, by_bits }) = self.native.take() else { return };
        let count = self.at.saturating_sub(value_at) / frame_bytes;
        let announced = self.kept.number(tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1);
        if count != if by_bits { 1 } else { announced } {
            self.flags |= Flags::FRAME_COUNT;
        }
        let offset = value_at - self.dataset_at;
        self.frames = Frames::Native { offset, frame_bytes, count };
    }
}

/// What the header says about a frame. None of it need be true.
#[derive(Clone, Copy, Debug)]
struct Shape {
    rows: u64,
    columns: u64,
    samples: u64,
    bits: u64,
    interleaved: bool,
    /// Two pixels share their colour (PS3.3 C.7.6.3.1.2): Y1 Y2 Cb Cr.
    halved_colour: bool,
    float: bool,
}

impl Shape {
    fn of(kept: &Kept, tag: u32) -> Self {
        let number = |tag| kept.number(tag).unwrap_or(0);
        let float = tag != tags::PIXEL_DATA;
        let photometric = kept.text(tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
        Self {
            rows: number(tags::ROWS),
            columns: number(tags::COLUMNS),
            samples: number(tags::SAMPLES_PER_PIXEL).max(1),
            bits: match tag {
                tags::FLOAT_PIXEL_DATA => 32,
                tags::DOUBLE_FLOAT_PIXEL_DATA => 64,
                _ => number(tags::BITS_ALLOCATED),
            },
            interleaved: number(tags::PLANAR_CONFIGURATION) == 0,
            halved_colour: matches!(&*photometric, "YBR_FULL_422" | "YBR_PARTIAL_422"),
            float,
        }
    }

    /// Bytes of one frame, if it ends at a byte.
    fn frame_bytes(&self) -> Option<u64> {
        let samples = if self.halved_colour { 2 } else { self.samples };
        let pixels = self.rows.checked_mul(self.columns)?;
        let bits = pixels.checked_mul(samples)?.checked_mul(self.bits)?;
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    fn geometry(&self, big_endian: bool) -> Option<Geometry> {
        let sample_bytes = match self.bits {
            8 => 1,
            16 => 2,
            _ => return None,
        };
        if self.columns == 0 || self.float {
            return None;
        }
        let (left, row) = match (self.halved_colour, self.interleaved) {
            (true, _) => (4, self.columns.checked_mul(2)?),
            (false, true) => (self.samples, self.columns.checked_mul(self.samples)?),
            (false, false) => (1, self.columns),
        };
        Some(Geometry {
            sample_bytes,
            big_endian: big_endian && sample_bytes == 2,
            left: u8::try_from(left).ok()?,
            above: u32::try_from(row).ok()?,
        })
    }
}
