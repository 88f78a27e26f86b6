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
    total: [f64; SUMS],
}

/// Differences count by how flat their surroundings are: by 1 in this much more than nothing.
const FLAT: f32 = 2.0;

impl Fit {
    pub(super) fn new() -> Self {
        Self { total: [0.0; SUMS] }
    }

    /// Takes a row in, with the two above it.
    #[inline(always)]
    pub(super) fn add<'a>(&mut self, [row, north, north2]: [&'a [u16]; 3]) {
        if row.len() < 3 {
            return;
        }
        let eights = |from: &'a [u16]| from.as_chunks::<LANES>().0.iter();
        let sides = eights(&row[1..]).zip(eights(&north[1..])).zip(eights(&north[3..]));
        let farther = eights(row).zip(eights(&north2[2..]));
        let here = eights(&row[2..]).zip(eights(&north[2..]));
        let mut sums = [[0.0f32; LANES]; SUMS];
        for ((((w, nw), ne), (ww, nn)), (here, n)) in sides.zip(farther).zip(here) {
            let n = numbers(n);
            let near = [w, nw, ne, ww, nn, here];
            let mut by = [[0.0; LANES]; WEIGHTS + 1];
            for (by, near) in by.iter_mut().zip(near) {
                *by = numbers(near);
                for k in 0..LANES {
                    by[k] -= n[k];
                }
            }
            // What neighbours differ by among themselves: differences of small whole numbers are exact.
            let mut weight = [0.0; LANES];
            for k in 0..LANES {
                let [w, nw, ne, ..] = &by;
                let rough = (w[k] - nw[k]).abs() + nw[k].abs() + ne[k].abs();
                weight[k] = 1.0 / (FLAT + rough);
            }
            let mut number = 0;
            for i in 0..WEIGHTS {
                let mut weighed = weight;
                for k in 0..LANES {
                    weighed[k] *= by[i][k];
                }
                for by in &by[i..] {
                    for k in 0..LANES {
                        sums[number][k] += weighed[k] * by[k];
                    }
                    number += 1;
                }
            }
        }
        // Sums of few bits would lose what is added to them late.
        for (total, sums) in self.total.iter_mut().zip(&sums) {
            *total += sums.iter().map(|sum| f64::from(*sum)).sum::<f64>();
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

/// Samples as numbers.
#[inline(always)]
fn numbers(samples: &[u16; LANES]) -> [f32; LANES] {
    let mut numbers = [0.0; LANES];
    for k in 0..LANES {
        numbers[k] = f32::from(samples[k]);
    }
    numbers
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
