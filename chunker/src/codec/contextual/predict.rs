//! What a sample is predicted as, and the code of what it differs by.
//!
//! Samples are held less an offset and shifted up, so that a linear predictor has a few bits behind the
//! point. All arithmetic is that of 16-bit numbers that wrap: any samples come back.

use super::core::Core;
use super::rows::Rows;
use crate::codec::pixel::wide::{med, unzigzag, zigzag};

/// Weights of a linear predictor.
pub(super) const WEIGHTS: usize = 5;

/// How samples behind the first row are predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Predictor {
    /// Weights, in 2^-15, of the neighbours to the left, above left, above right, two to the left and
    /// two above, each less the one above; `None` is the median edge detector.
    pub(super) weights: Option<[i16; WEIGHTS]>,
    /// Bits behind the point.
    pub(super) shift: u32,
    /// Samples to the left neighbour; 1 for a linear predictor.
    pub(super) left: usize,
}

/// `a × weight`, rounded: as one instruction of most cores does it.
#[inline(always)]
fn scaled(a: u16, weight: i16) -> u16 {
    let product = i32::from(a.cast_signed()) * i32::from(weight);
    (((product >> 14) + 1) >> 1) as u16
}

impl Predictor {
    /// The prediction for sample `x` of a row behind the first, all samples to its left being in
    /// `row`; `north` is the row above and `north2` the one above that, or `north` again.
    #[inline(always)]
    pub(super) fn predicted(&self, [row, north, north2]: [&[u16]; 3], x: usize) -> u16 {
        let n = north[x];
        if x < self.left {
            // Nothing is to the left: what is above stands for all of it.
            let Some(weights) = self.weights else { return n };
            let ne = north.get(x + 1).copied().unwrap_or(n);
            return self.linear(&weights, n, [n, n, ne, n, north2[x]]);
        }
        let (w, nw) = (row[x - self.left], north[x - self.left]);
        match &self.weights {
            None => med(w, n, nw),
            Some(weights) => {
                let ne = north.get(x + 1).copied().unwrap_or(n);
                let ww = x.checked_sub(2).map_or(w, |x| row[x]);
                self.linear(weights, n, [w, nw, ne, ww, north2[x]])
            }
        }
    }

    #[inline(always)]
    fn linear(&self, weights: &[i16; WEIGHTS], n: u16, near: [u16; WEIGHTS]) -> u16 {
        let terms = near.iter().zip(weights).map(|(near, weight)| {
            // What a neighbour differs from the one above by, weighed.
            scaled(near.wrapping_sub(n), *weight)
        });
        let sum = terms.fold(n, u16::wrapping_add);
        sum.wrapping_add(self.half()) & self.whole()
    }

    /// Half of what a sample counts.
    #[inline(always)]
    pub(super) fn half(&self) -> u16 {
        (1u16 << self.shift) >> 1
    }

    /// The bits before the point.
    #[inline(always)]
    pub(super) fn whole(&self) -> u16 {
        u16::MAX << self.shift
    }

    /// The code of sample `x`.
    #[inline(always)]
    pub(super) fn code(&self, near: [&[u16]; 3], x: usize) -> u16 {
        let residual = near[0][x].wrapping_sub(self.predicted(near, x)).cast_signed();
        zigzag((residual >> self.shift).cast_unsigned())
    }

    /// Codes of a first row.
    #[inline(always)]
    pub(super) fn first_codes(&self, row: &[u16], codes: &mut [u16]) {
        for (x, code) in codes.iter_mut().enumerate() {
            let predicted = x.checked_sub(self.left).map_or(0, |x| row[x]);
            let residual = row[x].wrapping_sub(predicted).cast_signed();
            *code = zigzag((residual >> self.shift).cast_unsigned());
        }
    }

    /// Codes of a row behind the first. The rows are of one length.
    #[inline(always)]
    pub(super) fn codes<C: Core>(&self, core: C, near: [&[u16]; 3], codes: &mut [u16]) {
        if self.weights.is_none() {
            let edge = self.left.min(codes.len());
            for (x, code) in codes[..edge].iter_mut().enumerate() {
                *code = self.code(near, x);
            }
            let inner = codes.len() - edge;
            let [row, north, _] = near;
            let sides = row[..inner].iter().zip(&north[..inner]);
            let values = row[edge..].iter().zip(&north[edge..]).zip(sides);
            for (code, ((here, n), (w, nw))) in codes[edge..].iter_mut().zip(values) {
                *code = zigzag(here.wrapping_sub(med(*w, *n, *nw)));
            }
            return;
        }
        for x in 0..codes.len().min(2) {
            codes[x] = self.code(near, x);
        }
        core.linear_codes(near, self, codes);
        if let Some(last) = codes.len().checked_sub(1).filter(|last| *last >= 2) {
            codes[last] = self.code(near, last);
        }
    }

    /// Restores a first row in place of its codes.
    #[inline(always)]
    pub(super) fn restore_first(&self, row: &mut [u16]) {
        for x in 0..row.len() {
            let predicted = x.checked_sub(self.left).map_or(0, |x| row[x]);
            row[x] = predicted.wrapping_add(unzigzag(row[x]) << self.shift);
        }
    }
}

/// Restores rows one after the other.
#[inline(always)]
pub(super) fn restore_by_row(rows: &mut Rows, count: usize, predictor: &Predictor) {
    for row in 0..count {
        let [here, north, north2] = rows.near(row);
        for x in 0..here.len() {
            let residual = unzigzag(here[x]) << predictor.shift;
            let predicted = predictor.predicted([here, north, north2], x);
            here[x] = predicted.wrapping_add(residual);
        }
    }
}
