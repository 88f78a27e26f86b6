//! The first pixel filter: MED prediction, zigzag, byte planes, Zstandard.
//!
//! Samples are predicted from their left, upper and upper-left neighbours as JPEG-LS does (ISO/IEC
//! 14495-1 A.4.1). Rows are counted from the start of the chunk, whatever stands there: a band that
//! starts in the middle of a row, a frame with lying dimensions or a short tail all come back exactly;
//! wrong geometry costs compression only. Residuals wrap at the sample's width, are zigzagged so that
//! small ones of either sign are small numbers, and for 16 bit are parted into a plane of low and one
//! of high bytes.

#![allow(clippy::inline_always)] // also called from where more instructions are at hand

#[cfg(target_arch = "x86_64")]
mod wavefront;

use std::cell::RefCell;

use super::{Codec, zstandard};
use crate::span::Geometry;
use crate::{Error, Result};

/// Flags, left distance, distance above (little-endian): see `FORMAT.md`.
const HEADER_BYTES: usize = 6;
const FLAG_WIDE: u8 = 1;
const FLAG_BIG_ENDIAN: u8 = 2;

thread_local! {
    /// Of the chunk in work, reused from chunk to chunk.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    planes: Vec<u8>,
    samples: Vec<u16>,
    residues: Vec<u16>,
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

    let coded = SCRATCH.with_borrow_mut(|Scratch { planes, samples, residues }| {
        // What was left of the chunk before is written over.
        planes.resize(plain.len(), 0);
        if wide {
            load_wide(plain, geometry.big_endian, samples);
            residues.resize(samples.len(), 0);
            wide::residuals(samples, left, above, residues);
            let (low, high) = planes.split_at_mut(samples.len());
            part(residues, low, high);
            if let Some(odd) = plain.get(samples.len() * 2) {
                planes[plain.len() - 1] = *odd;
            }
        } else {
            narrow::residuals(plain, left, above, planes);
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

/// Fills `plain`, exactly.
pub(super) fn decode(coded: &[u8], plain: &mut [u8]) -> Result<()> {
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
    if flags & FLAG_WIDE == 0 {
        zstandard::decompress(Codec::PixelMed, body, plain)?;
        narrow::restore(plain, left, above);
        return Ok(());
    }
    SCRATCH.with_borrow_mut(|Scratch { planes, samples, .. }| {
        planes.resize(plain.len(), 0);
        zstandard::decompress(Codec::PixelMed, body, planes)?;
        let (low, high) = planes.split_at(plain.len() / 2);
        let (high, odd) = high.split_at(low.len());
        join(low, high, samples);
        wide::restore(samples, left, above);
        let (pairs, last) = plain.as_chunks_mut::<2>();
        store_wide(samples, flags & FLAG_BIG_ENDIAN != 0, pairs);
        last.copy_from_slice(odd);
        Ok(())
    })
}

#[inline(always)]
pub(super) fn load_wide(plain: &[u8], big_endian: bool, samples: &mut Vec<u16>) {
    let pairs = plain.as_chunks::<2>().0;
    samples.clear();
    if big_endian {
        samples.extend(pairs.iter().map(|pair| u16::from_be_bytes(*pair)));
    } else {
        samples.extend(pairs.iter().map(|pair| u16::from_le_bytes(*pair)));
    }
}

#[inline(always)]
pub(super) fn store_wide(samples: &[u16], big_endian: bool, plain: &mut [[u8; 2]]) {
    let pairs = plain.iter_mut().zip(samples);
    if big_endian {
        pairs.for_each(|(pair, sample)| *pair = sample.to_be_bytes());
    } else {
        pairs.for_each(|(pair, sample)| *pair = sample.to_le_bytes());
    }
}

/// Parts numbers into a plane of low and one of high bytes.
fn part(numbers: &[u16], low: &mut [u8], high: &mut [u8]) {
    for ((number, low), high) in numbers.iter().zip(low).zip(high) {
        [*low, *high] = number.to_le_bytes();
    }
}

/// Joins planes into numbers.
fn join(low: &[u8], high: &[u8], numbers: &mut Vec<u16>) {
    numbers.clear();
    numbers.extend(low.iter().zip(high).map(|(low, high)| u16::from_le_bytes([*low, *high])));
}

macro_rules! filter_for {
    ($module:ident, $sample:ty) => {
        pub(super) mod $module {
            /// Residuals of `samples`, zigzagged.
            ///
            /// The first row is predicted from the left, the first value of every other row from
            /// above: a row does not depend on the end of the one before it, so that several can be
            /// restored at once.
            #[inline(always)]
            pub(in crate::codec) fn residuals(
                samples: &[$sample],
                left: usize,
                above: usize,
                out: &mut [$sample],
            ) {
                let first = above.min(samples.len());
                for i in 0..first {
                    let predicted = if i >= left { samples[i - left] } else { 0 };
                    out[i] = zigzag(samples[i].wrapping_sub(predicted));
                }
                for start in (above..samples.len()).step_by(above) {
                    let row = &samples[start..samples.len().min(start + above)];
                    let north = &samples[start - above..][..row.len()];
                    let out = &mut out[start..][..row.len()];
                    let edge = left.min(row.len());
                    for i in 0..edge {
                        out[i] = zigzag(row[i].wrapping_sub(north[i]));
                    }
                    let inner = row.len() - edge;
                    let here = &row[edge..];
                    let west = &row[..inner];
                    let north_west = &north[..inner];
                    let north = &north[edge..];
                    let out = &mut out[edge..];
                    for i in 0..inner {
                        let predicted = med(west[i], north[i], north_west[i]);
                        out[i] = zigzag(here[i].wrapping_sub(predicted));
                    }
                }
            }

            /// Turns zigzagged residuals back into samples, in place.
            pub(in crate::codec) fn restore(samples: &mut [$sample], left: usize, above: usize) {
                restore_by(samples, left, above, |north, rest| restore_rows(north, rest, left));
            }

            /// As [`restore`], with `rows` to restore some rows below the first slice at once if it
            /// can, and say how many.
            #[inline(always)]
            pub(in crate::codec) fn restore_by(
                samples: &mut [$sample],
                left: usize,
                above: usize,
                mut several: impl FnMut(&[$sample], &mut [$sample]) -> usize,
            ) {
                for sample in samples.iter_mut() {
                    *sample = unzigzag(*sample);
                }
                let first = above.min(samples.len());
                for i in left.min(first)..first {
                    samples[i] = samples[i].wrapping_add(samples[i - left]);
                }
                let mut at = first;
                while at < samples.len() {
                    let (done, rest) = samples.split_at_mut(at);
                    let north = &done[at - above..];
                    let rows = several(&north[..above], rest);
                    if rows > 0 {
                        at += rows * above;
                    } else {
                        let length = rest.len().min(above);
                        restore_row(&north[..length], &mut rest[..length], left);
                        at += length;
                    }
                }
            }

            /// Restores some rows at once, if that can be; gives how many.
            #[cfg(target_arch = "x86_64")]
            pub(in crate::codec) fn restore_rows(
                north: &[$sample],
                rest: &mut [$sample],
                left: usize,
            ) -> usize {
                use super::wavefront::$module::{LANES, restore, width_min};
                let Some(rows) = rest.get_mut(..LANES * north.len()) else { return 0 };
                if north.len() < width_min(left) {
                    return 0;
                }
                match left {
                    1 => restore::<1>(north, rows),
                    3 => restore::<3>(north, rows),
                    _ => return 0,
                }
                LANES
            }

            #[cfg(not(target_arch = "x86_64"))]
            pub(in crate::codec) fn restore_rows(
                north: &[$sample],
                rest: &mut [$sample],
                left: usize,
            ) -> usize {
                if left == 1 && north.len() >= 8 && rest.len() >= 4 * north.len() {
                    restore_four_rows(north, &mut rest[..4 * north.len()]);
                    return 4;
                }
                0
            }

            pub(in crate::codec) fn restore_row(
                north: &[$sample],
                row: &mut [$sample],
                left: usize,
            ) {
                for i in 0..left.min(row.len()) {
                    row[i] = row[i].wrapping_add(north[i]);
                }
                finish_row(north, row, left, left);
            }

            /// What of a row is not restored yet: all from `from`, which is `left` at least.
            pub(in crate::codec) fn finish_row(
                north: &[$sample],
                row: &mut [$sample],
                from: usize,
                left: usize,
            ) {
                for i in from..row.len() {
                    let predicted = med(row[i - left], north[i], north[i - left]);
                    row[i] = row[i].wrapping_add(predicted);
                }
            }

            /// Each value needs its left neighbour first, a chain that leaves most of a core idle.
            /// Four rows, each a column behind the one above it, are four such chains at once.
            #[cfg(not(target_arch = "x86_64"))]
            fn restore_four_rows(north: &[$sample], rows: &mut [$sample]) {
                let width = rows.len() / 4;
                let (a, rows) = rows.split_at_mut(width);
                let (b, rows) = rows.split_at_mut(width);
                let (c, d) = rows.split_at_mut(width);
                // The corner in which not all rows have begun.
                restore_row(&north[..4], &mut a[..4], 1);
                restore_row(&a[..3], &mut b[..3], 1);
                restore_row(&b[..2], &mut c[..2], 1);
                restore_row(&c[..1], &mut d[..1], 1);
                // The last two values of each row: its own next left neighbour, and what the row below
                // has above and above left.
                let (mut a1, mut b1, mut c1, mut d1) = (a[3], b[2], c[1], d[0]);
                let (mut a2, mut b2, mut c2) = (a[2], b[1], c[0]);
                let inner = width - 4;
                let values = a[4..].iter_mut().zip(&mut b[3..][..inner]);
                let values = values.zip(c[2..][..inner].iter_mut().zip(&mut d[1..][..inner]));
                for (((a, b), (c, d)), above) in values.zip(north[3..].windows(2)) {
                    let a0 = a.wrapping_add(med(a1, above[1], above[0]));
                    let b0 = b.wrapping_add(med(b1, a1, a2));
                    let c0 = c.wrapping_add(med(c1, b1, b2));
                    let d0 = d.wrapping_add(med(d1, c1, c2));
                    (*a, *b, *c, *d) = (a0, b0, c0, d0);
                    (a2, b2, c2) = (a1, b1, c1);
                    (a1, b1, c1, d1) = (a0, b0, c0, d0);
                }
                // The corner in which some rows have ended.
                finish_row(a, b, width - 1, 1);
                finish_row(b, c, width - 2, 1);
                finish_row(c, d, width - 3, 1);
            }

            /// The median edge detector: the smaller neighbour above an edge, the larger below it,
            /// the plane through all three elsewhere.
            #[inline(always)]
            pub(in crate::codec) fn med(w: $sample, n: $sample, nw: $sample) -> $sample {
                let (low, high) = if w < n { (w, n) } else { (n, w) };
                let plane = w.wrapping_add(n).wrapping_sub(nw);
                let below = if nw <= low { high } else { plane };
                if nw >= high { low } else { below }
            }

            #[inline(always)]
            pub(in crate::codec) fn zigzag(difference: $sample) -> $sample {
                (difference << 1) ^ (difference >> (<$sample>::BITS - 1)).wrapping_neg()
            }

            #[inline(always)]
            pub(in crate::codec) fn unzigzag(code: $sample) -> $sample {
                (code >> 1) ^ (code & 1).wrapping_neg()
            }
        }
    };
}
filter_for!(wide, u16);
filter_for!(narrow, u8);

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
                    assert_eq!(i32::from(narrow::med(a as u8, b as u8, c as u8)), expected);
                    assert_eq!(i32::from(wide::med(a as u16, b as u16, c as u16)), expected);
                }
            }
        }
    }

    #[test]
    fn zigzag_is_invertible() {
        for value in 0..=u16::MAX {
            assert_eq!(wide::unzigzag(wide::zigzag(value)), value);
            assert_eq!(narrow::unzigzag(narrow::zigzag(value as u8)), value as u8);
        }
        assert_eq!([0u16, 0xffff, 1, 0xfffe].map(wide::zigzag), [0, 1, 2, 3]);
    }

    #[test]
    fn odd_shapes_come_back() {
        for length in [0, 1, 2, 3, 7, 64, 129, 1001] {
            let plain: Vec<u8> = (0..length).map(|i| (i * 37 + i / 5) as u8).collect();
            for (sample_bytes, left, above) in [
                (1, 1, 1),
                (1, 3, 30),
                (2, 1, 1),
                (2, 1, 8),
                (2, 3, 9),
                (2, 200, 3),
                (1, 1, 5000),
                (2, 1, 13),
            ] {
                for big_endian in [false, true] {
                    let geometry = Geometry { sample_bytes, big_endian, left, above };
                    let coded = encode(&plain, geometry, 1).unwrap();
                    let mut decoded = vec![7; plain.len()];
                    decode(&coded, &mut decoded).unwrap();
                    assert_eq!(decoded, plain);
                }
            }
        }
    }
}
