//! Weights of the fitted prediction, told by some rows of the chunk.
//!
//! Numbers with a point serve to choose weights here; a decoder has none.

#![allow(clippy::needless_range_loop)] // a matrix and its other half

use super::predict::WEIGHT_POINT;

/// Neighbours that are weighed: left, above left, above right, two to the left, two above, two above and
/// one right, one above and two left, one above and two right, two above and one left, three to the left,
/// three above; each less the one above.
pub(super) const TAPS: usize = 11;

/// Rows that a fit takes in.
const ROWS: usize = 24;

/// Differences count by how flat their surroundings are: by 1 in this much more than nothing.
const FLAT: f32 = 2.0;

/// Predictions, of which one is taken for a sample by how rough its surroundings are.
pub(super) const CLASSES: usize = 3;

/// Places of a row of a matrix, whose last ones are zero: as many as vectors have.
const PLACES: usize = 16;

type Matrix = [[f64; TAPS + 1]; TAPS];
type Sums = [[[f32; PLACES]; TAPS]; CLASSES];

/// The predictions of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fitted {
    /// Surroundings rougher than this are of another class.
    pub(super) bounds: [u16; CLASSES - 1],
    /// Weights by class; none has more than 16 bits.
    pub(super) taps: [[i32; TAPS]; CLASSES],
}

impl Fitted {
    /// The predictions that make the least of squares over some rows.
    #[inline(always)]
    pub(super) fn to(numbers: &[u16], width: usize) -> Self {
        let rows = numbers.len() / width;
        let near =
            |row: usize| [0, 1, 2, 3].map(|up| &numbers[row.saturating_sub(up) * width..][..width]);
        let sampled = || (1..rows).step_by((rows / ROWS).max(1)).map(near);
        let mut all: Vec<u16> = Vec::new();
        for [_, north, north2, _] in sampled() {
            all.extend((1..width.saturating_sub(1)).map(|x| rough(north, north2, x)));
        }
        let bounds = std::array::from_fn(|bound| {
            let place = all.len() * (bound + 1) / CLASSES;
            if all.is_empty() { 0 } else { *all.select_nth_unstable(place).1 }
        });
        let mut sums = [[[0.0; TAPS + 1]; TAPS]; CLASSES];
        for near in sampled() {
            // Sums of few bits would lose what is added to them late: each row has its own.
            let mut of_row: Sums = [[[0.0; PLACES]; TAPS]; CLASSES];
            add(near, &bounds, &mut of_row);
            for (sums, of_row) in sums.as_flattened_mut().iter_mut().zip(of_row.as_flattened()) {
                for (sum, of_row) in sums.iter_mut().zip(of_row) {
                    *sum += f64::from(*of_row);
                }
            }
        }
        Self { bounds, taps: sums.map(taps) }
    }
}

/// How rough the rows above a sample are.
#[inline(always)]
fn rough(north: &[u16], north2: &[u16], x: usize) -> u16 {
    let (n, ne) = (north[x], north[x + 1]);
    let sides = n.abs_diff(north[x - 1]).saturating_add(ne.abs_diff(n));
    let up = n.abs_diff(north2[x]).saturating_add(ne.abs_diff(north2[x + 1]));
    sides.saturating_add(up)
}

#[inline(always)]
fn add([row, north, north2, north3]: [&[u16]; 4], bounds: &[u16; CLASSES - 1], sums: &mut Sums) {
    for x in 3..row.len().saturating_sub(2) {
        let rough = rough(north, north2, x);
        let class = bounds.iter().filter(|bound| rough > **bound).count();
        let (n, nw) = (north[x], north[x - 1]);
        let sides = [(row[x - 1], nw), (n, nw), (north[x + 1], n)];
        let sides = sides.map(|(a, b)| u32::from(a.abs_diff(b))).iter().sum::<u32>();
        let weight = 1.0 / (FLAT + sides as f32);
        let by = [
            row[x - 1],
            north[x - 1],
            north[x + 1],
            row[x - 2],
            north2[x],
            north2[x + 1],
            north[x - 2],
            north[x + 2],
            north2[x - 1],
            row[x - 3],
            north3[x],
            row[x],
            n,
            n,
            n,
            n,
        ]
        .map(|near| f32::from(near) - f32::from(n));
        for (sums, by_i) in sums[class % CLASSES].iter_mut().zip(by) {
            let weighed = weight * by_i;
            for (sum, by) in sums.iter_mut().zip(by) {
                *sum += weighed * by;
            }
        }
    }
}

fn taps(mut sums: Matrix) -> [i32; TAPS] {
    for i in 0..TAPS {
        sums[i][i] = sums[i][i] * 1.0001 + 1e-3;
    }
    let one = f64::from(1 << WEIGHT_POINT);
    solved(sums).map(|weight| (weight * one).round().clamp(-32_767.0, 32_767.0) as i32)
}

/// Solves equations by elimination; their matrix is positive definite.
fn solved(mut rows: Matrix) -> [f64; TAPS] {
    for i in 0..TAPS {
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
    std::array::from_fn(|i| rows[i][TAPS] / rows[i][i])
}
