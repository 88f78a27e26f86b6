//! RLE Lossless (PS3.5 annex G): one PackBits segment for each byte of a sample, the highest first.

use bytes::Bytes;

use super::{Decoded, ImageLayout, PixelError};

const HEADER_BYTES: usize = 64;
/// PS3.5 G.5: the header has room for so many offsets.
const SEGMENTS_MAX: usize = 15;

/// One frame. Samples of a pixel come out side by side, whatever Planar Configuration says; colours
/// stay as they are.
pub(super) fn decode(layout: &ImageLayout, stream: &Bytes) -> Result<Decoded, PixelError> {
    let layout = layout.interleaved();
    let sample_bytes = layout.sample_bytes().max(1);
    let samples = layout.samples as usize;
    let segments = segments(stream, samples * sample_bytes)?;
    let mut out = vec![0; layout.frame_bytes()];
    let step = samples * sample_bytes;
    for (i, segment) in segments.iter().enumerate() {
        let (sample, byte) = (i / sample_bytes, i % sample_bytes);
        let first = sample * sample_bytes + (sample_bytes - 1 - byte);
        unpack(segment, &mut out, first, step)?;
    }
    Ok(Decoded { bytes: Bytes::from(out), layout })
}

/// The segments that the header names: exactly `wanted`, each within the stream.
fn segments(stream: &Bytes, wanted: usize) -> Result<Vec<Bytes>, PixelError> {
    let header = stream.get(..HEADER_BYTES).ok_or(PixelError::Coding("RLE header is cut off"))?;
    let numbers: Vec<usize> =
        header.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b) as usize).collect();
    let (count, offsets) = numbers.split_first().unwrap_or((&0, &[]));
    if *count != wanted || *count > SEGMENTS_MAX {
        return Err(PixelError::Mismatch {
            what: "RLE segments",
            header: wanted as u64,
            stream: *count as u64,
        });
    }
    (0..wanted)
        .map(|i| {
            let start = offsets.get(i).copied().unwrap_or_default();
            let end = offsets.get(i + 1).filter(|_| i + 1 < wanted).copied();
            let end = end.unwrap_or(stream.len());
            if start < HEADER_BYTES || start > end || end > stream.len() {
                return Err(PixelError::Coding("RLE segment offsets are out of order"));
            }
            Ok(stream.slice(start..end))
        })
        .collect()
}

/// Decodes a segment into each `step`-th byte of `out` from `first` on, until it is full (PS3.5 G.3.2).
/// What stands behind is padding.
fn unpack(segment: &[u8], out: &mut [u8], first: usize, step: usize) -> Result<(), PixelError> {
    let mut left = out.len().saturating_sub(first).div_ceil(step);
    let wanted = left;
    let mut at = first;
    let mut input = segment;
    while left > 0 {
        let short = || PixelError::Short { wanted: wanted as u64, found: (wanted - left) as u64 };
        let (&control, rest) = input.split_first().ok_or_else(short)?;
        input = match control {
            0..=127 => {
                let count = usize::from(control) + 1;
                let literal = rest.get(..count).ok_or_else(short)?;
                let count = count.min(left);
                for (to, from) in
                    out.get_mut(at..).unwrap_or_default().iter_mut().step_by(step).zip(literal)
                {
                    *to = *from;
                }
                at += count * step;
                left -= count;
                rest.get(literal.len()..).unwrap_or_default()
            }
            128 => rest,
            129..=255 => {
                let (value, rest) = rest.split_first().ok_or_else(short)?;
                let count = (257 - usize::from(control)).min(left);
                for to in out.get_mut(at..).unwrap_or_default().iter_mut().step_by(step).take(count)
                {
                    *to = *value;
                }
                at += count * step;
                left -= count;
                rest
            }
        };
    }
    Ok(())
}
