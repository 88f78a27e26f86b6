//! The encoder's way through a row: as all samples are known, each step is done for all of them.

#![allow(clippy::needless_range_loop)] // many rows are read side by side

use super::model::TAKEN_FROM_OCTAVES;
use super::predict::{PAD, Rows, Weights, code_of, of_class, size_of};

/// The code of each sample of a row, and its set.
#[derive(Default)]
pub(super) struct Foresight {
    predicted: Vec<i32>,
    pub(super) codes: Vec<u16>,
    sets: Vec<u16>,
}

impl Foresight {
    /// Makes a row, or the begin of one, of its numbers.
    #[inline(always)]
    pub(super) fn make(&mut self, rows: &mut Rows, weights: &Weights, numbers: &[u16]) {
        let count = numbers.len();
        self.predicted.resize(count, 0);
        self.codes.resize(count, 0);
        self.sets.resize(count, 0);
        for (to, number) in rows.numbers[0][PAD..].iter_mut().zip(numbers) {
            *to = i32::from(*number);
        }
        self.predict(rows, weights, count);
        let (predicted, codes) = (&self.predicted[..count], &mut self.codes[..count]);
        let sizes = &mut rows.sizes[0][PAD..][..count];
        for x in 0..count {
            codes[x] = code_of(numbers[x], predicted[x]);
            sizes[x] = size_of(i32::from(numbers[x]), predicted[x]);
        }
        let [ww, w] = [2, 1].map(|left| &rows.sizes[0][PAD - left..][..count]);
        let (around, sets) = (&rows.around[..count], &mut self.sets[..count]);
        for x in 0..count {
            // Sums have no more bits than such a number holds, which begins with octave and quarter.
            let sum = (around[x] + ww[x] + 2 * w[x]) as f32;
            sets[x] = ((sum.to_bits() >> 21) as u16).wrapping_sub(TAKEN_FROM_OCTAVES);
        }
    }

    /// The set and the code of each.
    #[inline(always)]
    pub(super) fn each(&self) -> impl Iterator<Item = (usize, u16)> {
        self.sets.iter().zip(&self.codes).map(|(set, code)| (usize::from(*set), *code))
    }

    #[inline(always)]
    fn predict(&mut self, rows: &Rows, weights: &Weights, count: usize) {
        let [here, north, ..] = &rows.numbers;
        let [www, ww, w] = [3, 2, 1].map(|left| &here[PAD - left..][..count]);
        let n = &north[PAD..][..count];
        let (told, classes) = (&rows.told[..count], &rows.classes[..count]);
        let predicted = &mut self.predicted[..count];
        for x in 0..count {
            let left = |class| weights.left(class, [w[x], ww[x], www[x]]);
            let sum = told[x].wrapping_add(of_class(classes[x], [left(0), left(1), left(2)]));
            predicted[x] = weights.predicted(n[x], sum);
        }
    }
}
