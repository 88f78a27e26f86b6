//! Sixteen rows restored at once, each some samples behind the one above it.

use std::arch::x86_64::__m256i;

use pulp::cast;
use pulp::x86::V3;

use super::linear::Linear;
use crate::codec::contextual::predict::Predictor;
use crate::codec::contextual::rows::Rows;

/// Rows that are restored at once.
pub(super) const LANES: usize = 16;

/// Steps between loading and storing.
const STEPS: usize = 8;

/// By how many samples a lane is behind the first: two more than the one above it, which so has what is
/// above right. Lanes of the upper half take what is above the first of them from a block ago, when it
/// has long been there: a vector's halves are far apart.
const fn lag(lane: usize) -> usize {
    if lane < LANES / 2 { 2 * lane } else { 2 * lane + STEPS - 1 }
}

/// Restores [`LANES`] rows of which lane `k` holds row `k`. Columns are counted in 16 bits.
///
/// Lanes begin left of their rows and end behind them, in what means nothing. What comes out there is
/// kept out of the first two samples and the last one of a row by choosing, in the blocks in which some
/// lane has one of them, what the predictor takes in its place.
#[inline(always)]
pub(super) fn slant<const LINEAR: bool>(core: V3, rows: &mut Rows, predictor: &Predictor) {
    let (avx, avx2) = (core.avx, core.avx2);
    let zero = avx._mm256_setzero_si256();
    let width = rows.width();
    let linear = Linear::new(core, predictor);
    let Rows { here, north, north2, stride, .. } = rows;
    let mut lanes = here.chunks_exact_mut(*stride);
    let lanes: [&mut [[u16; STEPS]]; LANES] = std::array::from_fn(|lane| {
        let row = lanes.next().unwrap_or_default();
        row[Rows::PAD - lag(lane)..].as_chunks_mut().0
    });
    let blocks = (width + lag(LANES - 1)).div_ceil(STEPS);
    let (above_right, above2) = (&north[Rows::PAD + 1..], &north2[Rows::PAD..]);
    let (above_right, above2) = (above_right.as_chunks::<STEPS>().0, above2.as_chunks::<STEPS>().0);

    let ones: __m256i = cast([u16::MAX; LANES]);
    let lags: [u16; LANES] = std::array::from_fn(|lane| lag(lane) as u16);
    // The column of each lane.
    let mut column = avx2._mm256_sub_epi16(zero, cast(lags));
    let one = cast([1u16; LANES]);
    let last_column = avx._mm256_set1_epi16((width as u16).wrapping_sub(1).cast_signed());

    // Of one and two steps ago: what was restored, and what stood above it; what is above next.
    let (mut w, mut ww) = (zero, zero);
    let (mut nw, mut nww) = (zero, zero);
    let mut n = avx._mm256_set1_epi16(north[Rows::PAD].cast_signed());
    let mut done_before = [zero; STEPS];
    let mut above_before = [zero; STEPS];
    for block in 0..blocks {
        let mut tile = [zero; STEPS];
        for (k, values) in tile.iter_mut().enumerate() {
            *values = cast([lanes[k][block], lanes[k + LANES / 2][block]]);
        }
        tile = transposed(core, tile);
        let is_edge = block * STEPS <= lag(LANES - 1) + 1 || (block + 1) * STEPS >= width;
        let inserted = above_right[block].iter().zip(&above2[block]);
        let before = done_before.iter_mut().zip(&mut above_before);
        for ((value, (above_right, above2)), (done_before, above_before)) in
            tile.iter_mut().zip(inserted).zip(before)
        {
            let ne = shifted_in(core, w, *above_right, *done_before);
            let code = *value;
            let half = avx2._mm256_srli_epi16::<1>(code);
            let sign = avx2._mm256_sub_epi16(zero, avx2._mm256_and_si256(code, one));
            let residual = avx2._mm256_sll_epi16(avx2._mm256_xor_si256(half, sign), linear.shift);
            let restored = if LINEAR {
                let nn = shifted_in(core, nww, *above2, *above_before);
                let mut near = [w, nw, ne, ww, nn];
                if is_edge {
                    let first = avx2._mm256_cmpeq_epi16(column, zero);
                    let second = avx2._mm256_cmpeq_epi16(column, one);
                    let last = avx2._mm256_cmpeq_epi16(column, last_column);
                    let or = |value, other, mask| avx2._mm256_blendv_epi8(value, other, mask);
                    near[0] = or(w, n, first);
                    near[1] = or(nw, n, first);
                    near[2] = or(ne, n, last);
                    near[3] = or(or(ww, n, first), w, second);
                }
                avx2._mm256_add_epi16(residual, linear.predicted(n, near))
            } else {
                let (mut w, mut nw) = (w, nw);
                if is_edge {
                    let first = avx2._mm256_cmpeq_epi16(column, zero);
                    w = avx2._mm256_blendv_epi8(w, n, first);
                    nw = avx2._mm256_blendv_epi8(nw, n, first);
                }
                let (low, high) = (avx2._mm256_min_epu16(nw, n), avx2._mm256_max_epu16(nw, n));
                let median = avx2._mm256_max_epu16(low, avx2._mm256_min_epu16(high, w));
                let all = avx2._mm256_add_epi16(avx2._mm256_add_epi16(residual, n), w);
                avx2._mm256_sub_epi16(all, median)
            };
            *value = restored;
            (*done_before, *above_before) = (restored, nw);
            (ww, w) = (w, restored);
            (nww, nw, n) = (nw, n, ne);
            column = avx2._mm256_sub_epi16(column, ones);
        }
        tile = transposed(core, tile);
        for (k, values) in tile.iter().enumerate() {
            [lanes[k][block], lanes[k + LANES / 2][block]] = cast(*values);
        }
    }
}

/// Each lane gets the one before; the first gets `value`, and the first of the upper half what the last
/// of the lower one was a block ago.
#[inline(always)]
fn shifted_in(core: V3, lanes: __m256i, value: u16, before: __m256i) -> __m256i {
    let value = core.avx._mm256_set1_epi16(value.cast_signed());
    let first = core.avx2._mm256_permute2x128_si256::<0x20>(value, before);
    core.avx2._mm256_alignr_epi8::<14>(lanes, first)
}

/// Rows of each half become columns: each round moves one bit of a row's number into the column's.
#[inline(always)]
fn transposed(core: V3, mut tile: [__m256i; STEPS]) -> [__m256i; STEPS] {
    for _ in 0..STEPS.ilog2() {
        let from = tile;
        for i in 0..STEPS / 2 {
            let (a, b) = (from[i], from[i + STEPS / 2]);
            tile[2 * i] = core.avx2._mm256_unpacklo_epi16(a, b);
            tile[2 * i + 1] = core.avx2._mm256_unpackhi_epi16(a, b);
        }
    }
    tile
}
