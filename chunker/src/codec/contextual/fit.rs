//! Which predictor is best for a chunk, told by some of its rows.
//!
//! Numbers with a point serve to choose weights here; a decoder has none.

use super::core::Core;
use super::predict::{Predictor, WEIGHTS};

/// Values that are worked on at once.
const LANES: usize = 8;

/// Products that a fit sums up: of each two neighbours, and of each with the sample.
const SUMS: usize = WEIGHTS * (WEIGHTS + 1) / 2 + WEIGHTS;

/// Sums of products of what neighbours differ from the one above by.
///
/// Every lane has its own, so that all cores sum up in the same order.
pub(super) struct Fit {
    sums: [[f32; LANES]; SUMS],
    total: [f64; SUMS],
}

/// Differences count by how flat their surroundings are: by 1 in this much more than nothing.
const FLAT: f32 = 2.0;

impl Fit {
    pub(super) fn new() -> Self {
        Self { sums: [[0.0; LANES]; SUMS], total: [0.0; SUMS] }
    }

    /// Takes a row in, with the two above it.
    #[inline(always)]
    pub(super) fn add(&mut self, [row, north, north2]: [&[u16]; 3]) {
        let mut x = 2;
        while x + LANES < row.len() {
            let load = |from: &[u16], at: usize| -> [f32; LANES] {
                from[at..].first_chunk::<LANES>().copied().unwrap_or_default().map(f32::from)
            };
            let (n, here) = (load(north, x), load(row, x));
            let near = [
                load(row, x - 1),
                load(north, x - 1),
                load(north, x + 1),
                load(row, x - 2),
                load(north2, x),
                here,
            ];
            let weight: [f32; LANES] = std::array::from_fn(|i| {
                let [w, nw, ne, ..] = near;
                let rough = (w[i] - nw[i]).abs() + (n[i] - nw[i]).abs() + (ne[i] - n[i]).abs();
                1.0 / (FLAT + rough)
            });
            let by = near.map(|near| -> [f32; LANES] { std::array::from_fn(|i| near[i] - n[i]) });
            let mut sums = self.sums.iter_mut();
            for i in 0..WEIGHTS {
                let weighed: [f32; LANES] = std::array::from_fn(|k| weight[k] * by[i][k]);
                for by in &by[i..] {
                    if let Some(sum) = sums.next() {
                        for k in 0..LANES {
                            sum[k] += weighed[k] * by[k];
                        }
                    }
                }
            }
            x += LANES;
        }
        // Sums of few bits would lose what is added to them late.
        for (total, sums) in self.total.iter_mut().zip(&mut self.sums) {
            *total += sums.iter().map(|sum| f64::from(*sum)).sum::<f64>();
            *sums = [0.0; LANES];
        }
    }

    /// The weights that make the sum of squares the least.
    #[allow(clippy::needless_range_loop)] // a matrix and its other half
    pub(super) fn weights(&self) -> [i16; WEIGHTS] {
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
    codes: &mut Vec<u16>,
) -> u64 {
    codes.resize(near[0].len(), 0);
    predictor.codes(core, near, codes);
    let mut sum = 0;
    for eight in codes.as_chunks::<8>().0 {
        let loud = eight.iter().map(|code| u32::from(*code)).sum::<u32>();
        // The logarithm, but for how its steps are rounded off.
        sum += u64::from(((loud + 3) as f32).to_bits() >> 7);
    }
    sum
}
