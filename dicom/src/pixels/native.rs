//! Native pixel data (PS3.5 §8): byte order, and frames of bits.

use bytes::Bytes;

use super::{Decoded, ImageLayout, PixelError};

/// One native frame as little-endian samples; colour and planes stay as they are. Bytes after the end
/// are dropped, a short frame is refused. No copy if nothing has to be swapped.
pub(super) fn decode(
    big_endian: bool,
    layout: &ImageLayout,
    frame: &Bytes,
) -> Result<Decoded, PixelError> {
    let bytes = exact(frame, layout.frame_bytes())?;
    let unit = match layout.bits_allocated {
        1 | 8 if layout.in_words => 2,
        bits => bits as usize / 8,
    };
    let bytes = if big_endian && unit > 1 { swapped(frame, &bytes, unit)? } else { bytes };
    Ok(Decoded { bytes, layout: ImageLayout { in_words: false, ..*layout } })
}

/// The first `wanted` bytes.
pub(super) fn exact(frame: &Bytes, wanted: usize) -> Result<Bytes, PixelError> {
    if frame.len() < wanted {
        return Err(PixelError::Short { wanted: wanted as u64, found: frame.len() as u64 });
    }
    Ok(frame.slice(..wanted))
}

/// Each `unit` bytes the other way round. An odd frame of 8-bit words needs the byte behind its end.
fn swapped(frame: &Bytes, bytes: &Bytes, unit: usize) -> Result<Bytes, PixelError> {
    let whole = exact(frame, bytes.len().next_multiple_of(unit))?;
    let mut out = whole.to_vec();
    out.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
    out.truncate(bytes.len());
    Ok(Bytes::from(out))
}

/// Frame `index` of native 1-bit pixel data, cut out of the whole value and moved to the start of a
/// byte.
///
/// PS3.5 §8.1.1: bits follow each other without padding between frames, the first pixel in the lowest
/// bit. A frame that starts or ends within a byte has no byte range of its own, so `value` is the whole
/// of Pixel Data, little-endian. Bits behind the last pixel are zero.
pub fn bit_frame(layout: &ImageLayout, value: &Bytes, index: u64) -> Result<Bytes, PixelError> {
    layout.check()?;
    if layout.bits_allocated != 1 {
        return Err(PixelError::Layout("Bits Allocated is not 1"));
    }
    let bits = layout.pixels() as u64 * u64::from(layout.samples);
    let end = index.checked_add(1).and_then(|n| n.checked_mul(bits)).map(|bits| bits.div_ceil(8));
    let end = end.and_then(|end| usize::try_from(end).ok()).filter(|end| *end <= value.len());
    let Some(end) = end else {
        return Err(PixelError::Short {
            wanted: bits.saturating_mul(index.saturating_add(1)).div_ceil(8),
            found: value.len() as u64,
        });
    };
    let first = index * bits;
    let covering = value.slice((first / 8) as usize..end);
    let shift = (first % 8) as u32;
    let ragged = (bits % 8) as u32;
    if shift == 0 && ragged == 0 {
        return Ok(covering);
    }
    let mut out: Vec<u8> = (0..layout.frame_bytes())
        .map(|i| {
            let low = u16::from(covering.get(i).copied().unwrap_or_default());
            let high = u16::from(covering.get(i + 1).copied().unwrap_or_default());
            ((high << 8 | low) >> shift) as u8
        })
        .collect();
    if let (Some(last), true) = (out.last_mut(), ragged > 0) {
        *last &= (1u8 << ragged) - 1;
    }
    Ok(Bytes::from(out))
}

/// Decoded frames, in order, as the value of native Pixel Data: one after the other, 1-bit frames
/// without padding between them (the other way round from [`bit_frame`]), and of even length.
#[derive(Debug)]
pub struct NativeValue {
    layout: ImageLayout,
    bytes: Vec<u8>,
    /// Bits of `bytes` that are taken.
    bits: u64,
}

impl NativeValue {
    /// An empty value; `layout` is that of the decoded frames.
    #[must_use]
    pub fn new(layout: ImageLayout) -> Self {
        Self { layout, bytes: Vec::new(), bits: 0 }
    }

    /// Appends one decoded frame, and gives out all bytes that are settled.
    pub fn push(&mut self, frame: &[u8]) -> Vec<u8> {
        if self.layout.bits_allocated != 1 {
            self.bits += frame.len() as u64 * 8;
            return frame.to_vec();
        }
        let wanted = self.layout.pixels() as u64 * u64::from(self.layout.samples);
        let shift = (self.bits % 8) as u32;
        for (i, byte) in frame.iter().enumerate().take(wanted.div_ceil(8) as usize) {
            let left = wanted - i as u64 * 8;
            let byte = if left < 8 { byte & ((1u8 << left) - 1) } else { *byte };
            match self.bytes.last_mut() {
                Some(last) if shift > 0 => *last |= byte << shift,
                _ => self.bytes.push(byte),
            }
            if shift > 0 && left + u64::from(shift) > 8 {
                self.bytes.push(byte >> (8 - shift));
            }
        }
        self.bits += wanted;
        let settled = if self.bits.is_multiple_of(8) {
            self.bytes.len()
        } else {
            self.bytes.len().saturating_sub(1)
        };
        self.bytes.drain(..settled).collect()
    }

    /// What is left, with the padding to an even length.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        if !self.bits.div_ceil(8).is_multiple_of(2) {
            self.bytes.push(0);
        }
        self.bytes
    }
}
