//! Which predictor is best for a chunk, told by some of its rows.
//!
//! Numbers with a point serve to choose weights here; a decoder has none.

use super::core::Core;
use super::predict::{Predictor, WEIGHTS};

/// Values that are worked on at once.
const LANES: usize = 8;

/// Products that a fit sums up: of each two neighbours, and of each with the sample.
const SUMS: usize = WEIGHTS * (WEIGHTS + 1) / 2 + WEIGHTS;

/// So many samples are laid out before their products are summed up.
const LAID_OUT: usize = 32 * LANES;

/// Sums of products of what neighbours differ from the one above by.
///
/// Every lane has its own, so that all cores sum up in the same order.
pub(super) struct Fit {
    total: [f64; SUMS],
    laid: Laid,
    /// Samples that are laid out and not summed up yet.
    filled: usize,
}

/// What neighbours and the samples themselves differ from the ones above by, and how much each counts.
struct Laid {
    by: [[f32; LAID_OUT]; WEIGHTS + 1],
    weight: [f32; LAID_OUT],
}

/// Differences count by how flat their surroundings are: by 1 in this much more than nothing.
const FLAT: f32 = 2.0;

impl Fit {
    pub(super) fn new() -> Self {
        let laid = Laid { by: [[0.0; LAID_OUT]; WEIGHTS + 1], weight: [0.0; LAID_OUT] };
        Self { total: [0.0; SUMS], laid, filled: 0 }
    }

    /// Takes a row in, with the two above it.
    #[inline(always)]
    pub(super) fn add(&mut self, [row, north, north2]: [&[u16]; 3]) {
        if row.len() < 3 {
            return;
        }
        let whole = (row.len() - 3) / LANES * LANES;
        let mut begin = 0;
        while begin < whole {
            let wide = (whole - begin).min(LAID_OUT - self.filled);
            // From two columns to the left on, with as many as are needed.
            let near = [row, north, north2].map(|row| &row[begin..][..wide + 3]);
            self.laid.lay_out(self.filled, wide, near);
            self.filled += wide;
            begin += wide;
            if self.filled == LAID_OUT {
                self.sum_up();
            }
        }
    }

    /// Sums up what is laid out.
    #[inline(always)]
    fn sum_up(&mut self) {
        let Self { total, laid, filled } = self;
        let mut sums = [[0.0f32; LANES]; SUMS];
        let (w, rest) = sums.split_at_mut(WEIGHTS + 1);
        let (nw, rest) = rest.split_at_mut(WEIGHTS);
        let (ne, rest) = rest.split_at_mut(WEIGHTS - 1);
        let (ww, nn) = rest.split_at_mut(WEIGHTS - 2);
        laid.sum_up::<0>(*filled, w);
        laid.sum_up::<1>(*filled, nw);
        laid.sum_up::<2>(*filled, ne);
        laid.sum_up::<3>(*filled, ww);
        laid.sum_up::<4>(*filled, nn);
        *filled = 0;
        // Sums of few bits would lose what is added to them late.
        for (total, sums) in total.iter_mut().zip(&sums) {
            *total += sums.iter().map(|sum| f64::from(*sum)).sum::<f64>();
        }
    }

    /// The weights that make the sum of squares the least.
    #[inline(always)]
    pub(super) fn weights(mut self) -> [i16; WEIGHTS] {
        self.sum_up();
        self.solve()
    }

    #[allow(clippy::needless_range_loop)] // a matrix and its other half
    fn solve(&self) -> [i16; WEIGHTS] {
        let mut rows = [[0.0; WEIGHTS + 1]; WEIGHTS];
        let mut totals = self.total.iter();
        for i in 0..WEIGHTS {
            for j in i..=WEIGHTS {
                let total = totals.next().copied().unwrap_or_default();
                rows[i][j] = total;
                if let Some(row) = rows.get_mut(j) {
                    row[i] = total;
                }
            }
        }
        for (i, row) in rows.iter_mut().enumerate() {
            row[i] = row[i] * 1.0001 + 1e-3;
        }
        solved(rows).map(|weight| (weight * 32_768.0).round().clamp(-32_767.0, 32_767.0) as i16)
    }
}

impl Laid {
    /// Lays out so many samples of a row, from its third one on, behind others.
    #[inline(always)]
    fn lay_out(&mut self, behind: usize, wide: usize, [row, north, north2]: [&[u16]; 3]) {
        let Self { by, weight } = self;
        let weight = &mut weight[behind..][..wide];
        let [w, nw, ne, ww, nn, here] = by;
        let n = &north[2..][..wide];
        let from = [&row[1..], &north[1..], &north[3..], row, &north2[2..], &row[2..]];
        for (to, from) in [&mut *w, &mut *nw, &mut *ne, ww, nn, here].into_iter().zip(from) {
            for ((to, from), n) in to[behind..][..wide].iter_mut().zip(&from[..wide]).zip(n) {
                *to = f32::from(*from) - f32::from(*n);
            }
        }
        // What neighbours differ by among themselves: differences of small whole numbers are exact.
        let near = w[behind..].iter().zip(&nw[behind..]).zip(&ne[behind..]);
        for (weight, ((w, nw), ne)) in weight.iter_mut().zip(near) {
            *weight = 1.0 / (FLAT + ((w - nw).abs() + nw.abs() + ne.abs()));
        }
    }

    /// Sums up products of neighbour `I` with itself and each one behind it, and with the samples, in so many
    /// samples: few enough at a time for registers.
    #[inline(always)]
    fn sum_up<const I: usize>(&self, wide: usize, sums: &mut [[f32; LANES]]) {
        let mut now = [[0.0; LANES]; WEIGHTS + 1];
        now[I..].copy_from_slice(sums);
        let weight = self.weight.as_chunks::<LANES>().0;
        let by = self.by.each_ref().map(|by| by.as_chunks::<LANES>().0);
        for at in 0..(wide / LANES).min(weight.len()) {
            let mut weighed = weight[at];
            for k in 0..LANES {
                weighed[k] *= by[I][at][k];
            }
            for j in I..=WEIGHTS {
                for k in 0..LANES {
                    now[j][k] += weighed[k] * by[j][at][k];
                }
            }
        }
        sums.copy_from_slice(&now[I..]);
    }
}

/// Solves equations by elimination; their matrix is positive definite.
fn solved(mut rows: [[f64; WEIGHTS + 1]; WEIGHTS]) -> [f64; WEIGHTS] {
    for i in 0..WEIGHTS {
        let pivot = rows[i];
        for (j, row) in rows.iter_mut().enumerate() {
            if j != i {
                let factor = row[i] / pivot[i];
                for (value, by) in row.iter_mut().zip(pivot) {
                    *value -= factor * by;
                }
            }
        }
    }
    std::array::from_fn(|i| rows[i][WEIGHTS] / rows[i][i])
}

/// About how many bits a row takes, in 1/2^16 or so: what is alike is together.
#[inline(always)]
pub(super) fn cost<C: Core>(
    core: C,
    near: [&[u16]; 3],
    predictor: &Predictor,
    codes: &mut [u16],
) -> u64 {
    predictor.codes(core, near, codes);
    let mut sum = 0;
    for eight in codes.as_chunks::<8>().0 {
        let loud = eight.iter().map(|code| u32::from(*code)).sum::<u32>();
        // The logarithm, but for how its steps are rounded off.
        sum += u64::from(((loud + 3) as f32).to_bits() >> 7);
    }
    sum
}
