//! Samples as decoders give them out, brought into the shape that the header promises.

use super::ImageLayout;

/// Writes samples of `bits` significant bits, lying side by side, as little-endian numbers of
/// `layout.bits_allocated` bits. Signed ones are extended from `bits`: native data has them so
/// (PS3.5 §8.1.1), code streams often hold the bare bits.
pub(super) fn write(
    layout: &ImageLayout,
    bits: u32,
    samples: impl Iterator<Item = i32>,
) -> Vec<u8> {
    let sample_bytes = layout.sample_bytes().max(1);
    let unused = 32 - bits.clamp(1, 32);
    let mut out = Vec::with_capacity(layout.frame_bytes());
    let shape = |value: i32| {
        if layout.signed {
            value << unused >> unused
        } else {
            ((value as u32) << unused >> unused).cast_signed()
        }
    };
    match sample_bytes {
        1 => out.extend(samples.map(|value| shape(value) as u8)),
        2 => samples.for_each(|value| out.extend_from_slice(&(shape(value) as u16).to_le_bytes())),
        _ => samples.for_each(|value| out.extend_from_slice(&shape(value).to_le_bytes())),
    }
    out
}

/// Planes of `count` bytes units one after the other, brought side by side.
pub(super) fn interleave(planes: &[u8], samples: usize, sample_bytes: usize) -> Vec<u8> {
    let plane_bytes = planes.len() / samples.max(1);
    let mut out = vec![0; planes.len()];
    for (sample, plane) in planes.chunks_exact(plane_bytes.max(1)).take(samples).enumerate() {
        let to = out.get_mut(sample * sample_bytes..).unwrap_or_default();
        for (to, from) in
            to.chunks_mut(samples * sample_bytes).zip(plane.chunks_exact(sample_bytes))
        {
            if let Some(to) = to.get_mut(..sample_bytes) {
                to.copy_from_slice(from);
            }
        }
    }
    out
}
