//! Sixteen rows restored at once, on cores with AVX2: as `pixel::wavefront`, with twice the lanes.
//!
//! Lane `k` holds row `k`, `k` samples behind row 0: what a lane has above it is what the lane before
//! had one step ago.

use pulp::cast;
use pulp::x86::V3;
use std::arch::x86_64::__m256i;

use crate::codec::pixel::wide::{finish_row, restore_row};

/// Rows that are restored at once.
const LANES: usize = 16;

/// The narrowest row that this is for.
const WIDTH_MIN: usize = 2 * LANES;

/// Restores rows below `north`, in place of their residuals, and gives how many: [`LANES`], or what
/// there is, or none if rows are too narrow.
pub(super) fn restore_some(core: V3, north: &[u16], rest: &mut [u16]) -> usize {
    let width = north.len();
    if width < WIDTH_MIN {
        return 0;
    }
    if let Some(rows) = rest.get_mut(..LANES * width) {
        restore(core, north, rows);
        return LANES;
    }
    // The last rows, and any below them to make their number full: less work than row by row.
    let count = rest.len() / width;
    if count >= 2 {
        let mut rows = vec![0; LANES * width];
        rows[..count * width].copy_from_slice(&rest[..count * width]);
        restore(core, north, &mut rows);
        rest[..count * width].copy_from_slice(&rows[..count * width]);
        return count;
    }
    0
}

/// Restores [`LANES`] rows below `north`, in place of their residuals. A row has as many samples as
/// `north`, at least [`WIDTH_MIN`].
fn restore(core: V3, north: &[u16], rows: &mut [u16]) {
    let width = north.len();
    // The corner in which not all rows have begun.
    restore_row(&north[..LANES], &mut rows[..LANES], 1);
    for k in 1..LANES {
        let (above, row) = rows[(k - 1) * width..].split_at_mut(width);
        restore_row(&above[..LANES - k], &mut row[..LANES - k], 1);
    }
    let end = core.vectorize(
        #[inline(always)]
        || slant(core, north, rows),
    );
    // The corner in which some rows have ended.
    finish_row(north, &mut rows[..width], end, 1);
    for k in 1..LANES {
        let (above, row) = rows[(k - 1) * width..].split_at_mut(width);
        finish_row(above, &mut row[..width], end - k, 1);
    }
}

/// All between the corners; gives the sample of the first row that it ended before.
#[inline(always)]
fn slant(core: V3, north: &[u16], rows: &mut [u16]) -> usize {
    let width = north.len();
    let at = LANES - 1;
    let mut done: __m256i =
        cast(std::array::from_fn::<u16, LANES, _>(|k| rows[k * width + at - k]));
    let mut above: __m256i =
        cast(std::array::from_fn::<u16, LANES, _>(|k| match k.checked_sub(1) {
            None => north[at],
            Some(row) => rows[row * width + at - row - 1],
        }));
    let mut at = LANES;
    for north in north[LANES..].as_chunks::<LANES>().0 {
        let mut tile = [core.avx._mm256_setzero_si256(); LANES];
        for (k, values) in tile.iter_mut().enumerate() {
            if let Some(row) =
                rows.get(k * width + at - k..).and_then(|row| row.first_chunk::<LANES>())
            {
                *values = cast(*row);
            }
        }
        tile = transposed(core, tile);
        for (value, north) in tile.iter_mut().zip(north) {
            let n = shifted_in(core, done, *north);
            *value = restored(core, *value, done, n, above);
            (done, above) = (*value, n);
        }
        tile = transposed(core, tile);
        for (k, values) in tile.iter().enumerate() {
            let row = rows.get_mut(k * width + at - k..);
            if let Some(row) = row.and_then(|row| row.first_chunk_mut::<LANES>()) {
                *row = cast(*values);
            }
        }
        at += LANES;
    }
    at
}

/// Each lane gets the one before; the first gets `value`.
#[inline(always)]
fn shifted_in(core: V3, lanes: __m256i, value: u16) -> __m256i {
    let value = core.avx._mm256_set1_epi16(value.cast_signed());
    let before = core.avx2._mm256_permute2x128_si256::<0x20>(value, lanes);
    core.avx2._mm256_alignr_epi8::<14>(lanes, before)
}

/// The median edge detector is `w + n` less `nw` held between the two.
#[inline(always)]
fn restored(core: V3, residual: __m256i, w: __m256i, n: __m256i, nw: __m256i) -> __m256i {
    let avx2 = core.avx2;
    let (low, high) = (avx2._mm256_min_epu16(w, n), avx2._mm256_max_epu16(w, n));
    let held = avx2._mm256_max_epu16(low, avx2._mm256_min_epu16(high, nw));
    let all = avx2._mm256_add_epi16(avx2._mm256_add_epi16(residual, w), n);
    avx2._mm256_sub_epi16(all, held)
}

/// Rows become columns: three rounds within the halves of the vectors, then the halves.
#[inline(always)]
fn transposed(core: V3, tile: [__m256i; LANES]) -> [__m256i; LANES] {
    let avx2 = core.avx2;
    let mut out = tile;
    for _ in 0..3 {
        let from = out;
        for half in [0, 8] {
            for i in 0..4 {
                let (a, b) = (from[half + i], from[half + i + 4]);
                out[half + 2 * i] = avx2._mm256_unpacklo_epi16(a, b);
                out[half + 2 * i + 1] = avx2._mm256_unpackhi_epi16(a, b);
            }
        }
    }
    let from = out;
    for i in 0..8 {
        out[i] = avx2._mm256_permute2x128_si256::<0x20>(from[i], from[i + 8]);
        out[i + 8] = avx2._mm256_permute2x128_si256::<0x31>(from[i], from[i + 8]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_out_as_row_by_row() {
        let Some(core) = V3::try_new() else { return };
        for width in (WIDTH_MIN..WIDTH_MIN + 50).chain([500, 512, 1023]) {
            let mut noise = vec![0; width * (LANES + 1) * 2];
            blake3::Hasher::new().update(&[width as u8]).finalize_xof().fill(&mut noise);
            // Noise, flat areas, edges and extremes.
            let sample = |(i, pair): (usize, &[u8; 2])| match (i / 50) % 5 {
                0 => u16::from_le_bytes(*pair),
                1 => u16::MAX,
                2 => (i / 7) as u16,
                3 => 0,
                _ => u16::from_le_bytes(*pair) & 3,
            };
            let samples: Vec<u16> = noise.as_chunks().0.iter().enumerate().map(sample).collect();
            let (north, rows) = samples.split_at(width);
            let (mut fast, mut plain) = (rows.to_vec(), rows.to_vec());
            let mut above = north.to_vec();
            for row in plain.chunks_exact_mut(width) {
                restore_row(&above, row, 1);
                above.copy_from_slice(row);
            }
            restore(core, north, &mut fast);
            assert_eq!(fast, plain, "{width}");
        }
    }
}
