//! What a sample is predicted as, and how large the residuals around lead to expect its own to be.
//!
//! There are three fitted predictions: how rough the surroundings of a sample are decides which one is
//! taken. Predictions have three bits behind the point. What the rows above tell is known before a row
//! is begun, for all its samples at once.

#![allow(clippy::needless_range_loop)] // many rows are read side by side

use super::fit::{CLASSES, Fitted, TAPS};
use crate::codec::pixel::wide::{unzigzag, zigzag};

/// Bits behind the point of predictions.
const POINT: u32 = 3;
/// Bits behind the point of weights.
pub(super) const WEIGHT_POINT: u32 = 12;
/// From a product of a weight and a number to a prediction.
const SCALE: u32 = WEIGHT_POINT - POINT;

/// Places among weights of the neighbours in the same row.
const LEFT: [usize; 3] = [0, 3, 9];

/// Room before a row, and behind it.
pub(super) const PAD: usize = 4;

/// What is the same for all samples of a row.
#[derive(Clone, Copy)]
pub(super) struct Weights {
    /// Of one, two and three to the left, by class; as many classes as a mask leaves.
    left: [[i32; 3]; 4],
    limit: i32,
}

impl Weights {
    /// Of a first row: nothing but the left neighbour is known.
    pub(super) fn first() -> Self {
        Self { left: [[1 << WEIGHT_POINT, 0, 0]; 4], limit: i32::MAX }
    }

    /// Of any other row.
    pub(super) fn of(fitted: &Fitted, highest: u16) -> Self {
        let mut left = [[0; 3]; 4];
        for (left, taps) in left.iter_mut().zip(&fitted.taps) {
            *left = LEFT.map(|tap| taps[tap]);
        }
        Self { left, limit: i32::from(highest) << POINT }
    }

    /// What the left neighbours add, by the weights of a class.
    #[inline(always)]
    pub(super) fn left(&self, class: usize, [w, ww, www]: [i32; 3]) -> i32 {
        let [t_w, t_ww, t_www] = self.left[class & 3];
        let further = t_ww.wrapping_mul(ww).wrapping_add(t_www.wrapping_mul(www));
        t_w.wrapping_mul(w).wrapping_add(further)
    }

    /// The prediction, of the one above and what all others add.
    #[inline(always)]
    pub(super) fn predicted(&self, n: i32, sum: i32) -> i32 {
        ((n << POINT) + (sum >> SCALE)).clamp(0, self.limit)
    }
}

/// The prediction as a number, and -1 if it is not above the prediction itself, else 0. Of two numbers as
/// far off, the code of the one on the side that was rounded away is the shorter: codes are of residuals
/// turned round where that is -1.
#[inline(always)]
fn rounded(predicted: i32) -> (u16, u16) {
    let rounded = (predicted + (1 << (POINT - 1))) >> POINT;
    (rounded as u16, u16::from(predicted >= rounded << POINT).wrapping_neg())
}

/// The code of a number.
#[inline(always)]
pub(super) fn code_of(number: u16, predicted: i32) -> u16 {
    let (near, turn) = rounded(predicted);
    zigzag((number.wrapping_sub(near) ^ turn).wrapping_sub(turn))
}

/// Undoes [`code_of`].
#[inline(always)]
pub(super) fn number_of(code: u16, predicted: i32) -> u16 {
    let (near, turn) = rounded(predicted);
    near.wrapping_sub(turn).wrapping_add(unzigzag(code) ^ turn)
}

/// How far off a prediction was.
#[inline(always)]
pub(super) fn size_of(number: i32, predicted: i32) -> i32 {
    ((number << POINT) - predicted).abs() >> 1
}

/// The rows of a part that are near, and what is told by them.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) width: usize,
    /// The row in the making, and those above it, the nearest first.
    pub(super) numbers: [Vec<i32>; 4],
    /// How large residuals are, of the row in the making and the two above.
    pub(super) sizes: [Vec<i32>; 3],
    /// The class of each sample, by how rough the rows above are.
    pub(super) classes: Vec<i32>,
    /// What neighbours in the rows above add by the weights of that class.
    pub(super) told: Vec<i32>,
    /// What sizes in the rows above come to around each sample, and four.
    pub(super) around: Vec<i32>,
}

impl Rows {
    /// Room for rows of `width` samples, of which none was made.
    pub(super) fn start(&mut self, width: usize) {
        self.width = width;
        for row in self.numbers.iter_mut().chain(&mut self.sizes) {
            row.clear();
            row.resize(width + 2 * PAD, 0);
        }
        for (row, first) in [(&mut self.told, 0), (&mut self.classes, 0), (&mut self.around, 4)] {
            row.clear();
            row.resize(width, first);
        }
    }

    /// The row that was made last.
    #[inline(always)]
    pub(super) fn made(&self) -> &[i32] {
        &self.numbers[1][PAD..][..self.width]
    }

    /// The row in the making becomes the one above, which tells about the next one. Beyond its ends
    /// stands what is at its ends.
    #[inline(always)]
    pub(super) fn end_row(&mut self, is_first: bool, fitted: &Fitted) {
        fn pad(row: &mut [i32], width: usize) {
            let (first, last) = (row[PAD], row[PAD + width - 1]);
            row[..PAD].fill(first);
            row[PAD + width..].fill(last);
        }
        pad(&mut self.numbers[0], self.width);
        pad(&mut self.sizes[0], self.width);
        self.numbers.rotate_right(1);
        self.sizes.rotate_right(1);
        if is_first {
            // What is above the first row is as the first row.
            let [_, first, others @ ..] = &mut self.numbers;
            for other in others {
                other.copy_from_slice(first);
            }
        }
        // Before a row stands what is above its first sample.
        let (number, size) = (self.numbers[1][PAD], self.sizes[1][PAD]);
        self.numbers[0][..PAD].fill(number);
        self.sizes[0][..PAD].fill(size);
        self.look_around(fitted.bounds.map(i32::from));
        self.weigh(&fitted.taps);
    }

    /// How rough the rows above are, and how large residuals in them are.
    #[inline(always)]
    fn look_around(&mut self, bounds: [i32; CLASSES - 1]) {
        let width = self.width;
        let [_, north, north2, _] = &self.numbers;
        let [nw, n, ne] = [0, 1, 2].map(|x| &north[PAD - 1 + x..][..width]);
        let [nn, nne] = [0, 1].map(|x| &north2[PAD + x..][..width]);
        let classes = &mut self.classes[..width];
        for x in 0..width {
            let rough = (n[x] - nw[x]).abs()
                + (ne[x] - n[x]).abs()
                + (n[x] - nn[x]).abs()
                + (ne[x] - nne[x]).abs();
            classes[x] = bounds.iter().map(|bound| i32::from(rough > *bound)).sum();
        }
        let [_, sizes, sizes2] = &self.sizes;
        let [nw, n, ne, nee] = [0, 1, 2, 3].map(|x| &sizes[PAD - 1 + x..][..width]);
        let nn = &sizes2[PAD..][..width];
        let around = &mut self.around[..width];
        for x in 0..width {
            around[x] = 4 + 2 * (n[x] + ne[x]) + nw[x] + nee[x] + nn[x];
        }
    }

    /// What neighbours in the rows above add by their weights.
    #[inline(always)]
    fn weigh(&mut self, taps: &[[i32; TAPS]; CLASSES]) {
        let width = self.width;
        let [_, north, north2, north3] = &self.numbers;
        let [nww, nw, n, ne, nee] = [0, 1, 2, 3, 4].map(|x| &north[PAD - 2 + x..][..width]);
        let [nnw, nn, nne] = [0, 1, 2].map(|x| &north2[PAD - 1 + x..][..width]);
        let nnn = &north3[PAD..][..width];
        let taps = taps.map(|taps| {
            let [_, t_nw, t_ne, _, t_nn, t_nne, t_nww, t_nee, t_nnw, _, t_nnn] = taps;
            // Each neighbour counts less the one above.
            let t_n = taps.iter().fold(0i32, |sum, tap| sum.wrapping_sub(*tap));
            [t_nw, t_ne, t_nn, t_nne, t_nww, t_nee, t_nnw, t_nnn, t_n]
        });
        let (told, classes) = (&mut self.told[..width], &self.classes[..width]);
        for x in 0..width {
            let near = [nw[x], ne[x], nn[x], nne[x], nww[x], nee[x], nnw[x], nnn[x], n[x]];
            let [flat, middle, rough] = &taps;
            told[x] =
                of_class(classes[x], [sum(&near, flat), sum(&near, middle), sum(&near, rough)]);
        }
    }
}

#[inline(always)]
fn sum(near: &[i32; 9], taps: &[i32; 9]) -> i32 {
    let mut sum = 0i32;
    for place in 0..near.len() {
        sum = sum.wrapping_add(near[place].wrapping_mul(taps[place]));
    }
    sum
}

/// Chosen from all, which vectors do at once.
#[inline(always)]
pub(super) fn of_class(class: i32, [flat, middle, rough]: [i32; CLASSES]) -> i32 {
    let not_flat = if class == 1 { middle } else { rough };
    if class == 0 { flat } else { not_flat }
}
