//! The first pixel filter: MED prediction, zigzag, byte planes, Zstandard.
//!
//! Samples are predicted from their left, upper and upper-left neighbours as JPEG-LS does (ISO/IEC
//! 14495-1 A.4.1). Neighbours are found by distance alone, so rows need not be whole: a band that
//! starts in the middle of a row, a frame with lying dimensions or a short tail all come back exactly;
//! wrong geometry costs compression only. Residuals wrap at the sample's width, are zigzagged so that
//! small ones of either sign are small numbers, and for 16 bit are parted into a plane of low and one
//! of high bytes.

use std::cell::RefCell;

use super::{Codec, zstandard};
use crate::span::Geometry;
use crate::{Error, Result};

/// Flags, left distance, distance above (little-endian): see `FORMAT.md`.
const HEADER_BYTES: usize = 6;
const FLAG_WIDE: u8 = 1;
const FLAG_BIG_ENDIAN: u8 = 2;

thread_local! {
    /// Residual planes and samples of the chunk in work, reused from chunk to chunk.
    static SCRATCH: RefCell<(Vec<u8>, Vec<u16>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Codes `plain`; `None` where the filter does not apply.
pub(super) fn encode(plain: &[u8], geometry: Geometry, level: i32) -> Option<Vec<u8>> {
    let wide = match geometry.sample_bytes {
        1 => false,
        2 => true,
        _ => return None,
    };
    let left = usize::from(geometry.left.max(1));
    let above = (geometry.above.max(1) as usize).max(left);
    let flags =
        if wide { FLAG_WIDE } else { 0 } | if geometry.big_endian { FLAG_BIG_ENDIAN } else { 0 };

    let coded = SCRATCH.with_borrow_mut(|(planes, samples)| {
        planes.clear();
        planes.resize(plain.len(), 0);
        if wide {
            load_wide(plain, geometry.big_endian, samples);
            let (low, high) = planes.split_at_mut(samples.len());
            residuals_wide(samples, left, above, low, high);
            if let Some(odd) = plain.get(samples.len() * 2) {
                planes[plain.len() - 1] = *odd;
            }
        } else {
            residuals_narrow(plain, left, above, planes);
        }
        zstandard::compress(planes, level)
    })?;

    let mut out = Vec::with_capacity(HEADER_BYTES + coded.len());
    out.push(flags);
    out.push(left as u8);
    out.extend(u32::try_from(above).ok()?.to_le_bytes());
    out.extend(coded);
    Some(out)
}

/// Decodes into exactly `plain_bytes` bytes.
pub(super) fn decode(coded: &[u8], plain_bytes: usize) -> Result<Vec<u8>> {
    let fault = |why| Error::Codec { codec: Codec::PixelMed.id(), why };
    let Some((header, body)) = coded.split_first_chunk::<HEADER_BYTES>() else {
        return Err(fault("its header is cut short"));
    };
    let [flags, left, above @ ..] = *header;
    let left = usize::from(left);
    let above = u32::from_le_bytes(above) as usize;
    if flags & !(FLAG_WIDE | FLAG_BIG_ENDIAN) != 0 || left == 0 || above < left {
        return Err(fault("its header is not one that an encoder writes"));
    }
    let mut planes = zstandard::decompress(Codec::PixelMed, body, plain_bytes)?;
    if flags & FLAG_WIDE == 0 {
        restore_narrow(&mut planes, left, above);
        return Ok(planes);
    }
    let count = plain_bytes / 2;
    let (low, high) = planes.split_at(count);
    let mut plain = SCRATCH.with_borrow_mut(|(_, samples)| {
        restore_wide(low, &high[..count], left, above, samples);
        store_wide(samples, flags & FLAG_BIG_ENDIAN != 0)
    });
    if plain_bytes % 2 == 1 {
        plain.push(planes[plain_bytes - 1]);
    }
    Ok(plain)
}

fn load_wide(plain: &[u8], big_endian: bool, samples: &mut Vec<u16>) {
    let pairs = plain.as_chunks::<2>().0;
    samples.clear();
    if big_endian {
        samples.extend(pairs.iter().map(|pair| u16::from_be_bytes(*pair)));
    } else {
        samples.extend(pairs.iter().map(|pair| u16::from_le_bytes(*pair)));
    }
}

fn store_wide(samples: &[u16], big_endian: bool) -> Vec<u8> {
    let mut plain = Vec::with_capacity(samples.len() * 2 + 1);
    if big_endian {
        plain.extend(samples.iter().flat_map(|sample| sample.to_be_bytes()));
    } else {
        plain.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    }
    plain
}

macro_rules! med_for {
    ($name:ident, $sample:ty) => {
        /// The median edge detector: the smaller neighbour above an edge, the larger below it, the
        /// plane through all three elsewhere.
        #[inline(always)]
        fn $name(w: $sample, n: $sample, nw: $sample) -> $sample {
            let (low, high) = if w < n { (w, n) } else { (n, w) };
            let plane = w.wrapping_add(n).wrapping_sub(nw);
            let below = if nw <= low { high } else { plane };
            if nw >= high { low } else { below }
        }
    };
}
med_for!(med_wide, u16);
med_for!(med_narrow, u8);

#[inline]
fn zigzag_wide(difference: u16) -> u16 {
    (difference << 1) ^ (difference.cast_signed() >> 15).cast_unsigned()
}

#[inline]
fn unzigzag_wide(code: u16) -> u16 {
    (code >> 1) ^ (code & 1).wrapping_neg()
}

#[inline]
fn zigzag_narrow(difference: u8) -> u8 {
    (difference << 1) ^ (difference.cast_signed() >> 7).cast_unsigned()
}

#[inline]
fn unzigzag_narrow(code: u8) -> u8 {
    (code >> 1) ^ (code & 1).wrapping_neg()
}

/// The first samples have no neighbour above: they are predicted from the left alone.
fn residuals_wide(samples: &[u16], left: usize, above: usize, low: &mut [u8], high: &mut [u8]) {
    let count = samples.len();
    let start = (above + left).min(count);
    let mut put = |i: usize, code: u16| [low[i], high[i]] = code.to_le_bytes();
    for i in 0..start {
        let predicted = if i >= left { samples[i - left] } else { 0 };
        put(i, zigzag_wide(samples[i].wrapping_sub(predicted)));
    }
    let rest = count - start;
    let here = &samples[start..];
    let west = &samples[start - left.min(start)..][..rest];
    let north = &samples[start - above.min(start)..][..rest];
    let north_west = &samples[..rest];
    let (low, high) = (&mut low[start..][..rest], &mut high[start..][..rest]);
    for i in 0..rest {
        let predicted = med_wide(west[i], north[i], north_west[i]);
        let code = zigzag_wide(here[i].wrapping_sub(predicted));
        low[i] = code as u8;
        high[i] = (code >> 8) as u8;
    }
}

fn residuals_narrow(samples: &[u8], left: usize, above: usize, out: &mut [u8]) {
    let count = samples.len();
    let start = (above + left).min(count);
    for i in 0..start {
        let predicted = if i >= left { samples[i - left] } else { 0 };
        out[i] = zigzag_narrow(samples[i].wrapping_sub(predicted));
    }
    let rest = count - start;
    let here = &samples[start..];
    let west = &samples[start - left.min(start)..][..rest];
    let north = &samples[start - above.min(start)..][..rest];
    let north_west = &samples[..rest];
    let out = &mut out[start..][..rest];
    for i in 0..rest {
        let predicted = med_narrow(west[i], north[i], north_west[i]);
        out[i] = zigzag_narrow(here[i].wrapping_sub(predicted));
    }
}

fn restore_wide(low: &[u8], high: &[u8], left: usize, above: usize, samples: &mut Vec<u16>) {
    samples.clear();
    samples.extend(
        low.iter().zip(high).map(|(low, high)| unzigzag_wide(u16::from_le_bytes([*low, *high]))),
    );
    let count = samples.len();
    let start = (above + left).min(count);
    for i in left.min(start)..start {
        samples[i] = samples[i].wrapping_add(samples[i - left]);
    }
    if left == 1 && start < count {
        return restore_wide_grey(samples, above, start);
    }
    for i in start..count {
        let predicted = med_wide(samples[i - left], samples[i - above], samples[i - above - left]);
        samples[i] = samples[i].wrapping_add(predicted);
    }
}

/// The common case: the left neighbour is the sample just restored and stays in a register; rows are
/// parted so that the compiler sees that reads and writes do not overlap.
fn restore_wide_grey(samples: &mut [u16], above: usize, start: usize) {
    let mut at = start;
    while at < samples.len() {
        let end = (at + above).min(samples.len());
        let (done, row) = samples.split_at_mut(at);
        let mut w = done[at - 1];
        let mut nw = done[at - above - 1];
        for (sample, n) in row[..end - at].iter_mut().zip(&done[at - above..]) {
            w = sample.wrapping_add(med_wide(w, *n, nw));
            *sample = w;
            nw = *n;
        }
        at = end;
    }
}

fn restore_narrow(samples: &mut [u8], left: usize, above: usize) {
    for sample in samples.iter_mut() {
        *sample = unzigzag_narrow(*sample);
    }
    let count = samples.len();
    let start = (above + left).min(count);
    for i in left.min(start)..start {
        samples[i] = samples[i].wrapping_add(samples[i - left]);
    }
    for i in start..count {
        let predicted =
            med_narrow(samples[i - left], samples[i - above], samples[i - above - left]);
        samples[i] = samples[i].wrapping_add(predicted);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// JPEG-LS's own wording of the predictor, in wide arithmetic.
    fn med_by_the_book(a: i32, b: i32, c: i32) -> i32 {
        if c >= a.max(b) {
            a.min(b)
        } else if c <= a.min(b) {
            a.max(b)
        } else {
            a + b - c
        }
    }

    #[test]
    fn prediction_agrees_with_the_standard() {
        for a in (0..256).step_by(5) {
            for b in 0..256 {
                for c in (0..256).step_by(3) {
                    let expected = med_by_the_book(a, b, c);
                    assert_eq!(i32::from(med_narrow(a as u8, b as u8, c as u8)), expected);
                    assert_eq!(i32::from(med_wide(a as u16, b as u16, c as u16)), expected);
                }
            }
        }
    }

    #[test]
    fn zigzag_is_invertible() {
        for value in 0..=u16::MAX {
            assert_eq!(unzigzag_wide(zigzag_wide(value)), value);
            assert_eq!(unzigzag_narrow(zigzag_narrow(value as u8)), value as u8);
        }
        assert_eq!([0u16, 0xffff, 1, 0xfffe].map(zigzag_wide), [0, 1, 2, 3]);
    }

    #[test]
    fn odd_shapes_come_back() {
        for length in [0, 1, 2, 3, 7, 64, 129, 1001] {
            let plain: Vec<u8> = (0..length).map(|i| (i * 37 + i / 5) as u8).collect();
            for (sample_bytes, left, above) in
                [(1, 1, 1), (1, 3, 30), (2, 1, 1), (2, 1, 8), (2, 3, 9), (2, 200, 3), (1, 1, 5000)]
            {
                for big_endian in [false, true] {
                    let geometry = Geometry { sample_bytes, big_endian, left, above };
                    let coded = encode(&plain, geometry, 1).unwrap();
                    assert_eq!(decode(&coded, plain.len()).unwrap(), plain);
                }
            }
        }
    }
}
