//! The decoder's way through rows: sample after sample, of two parts in turn, since each one waits for
//! the one before it in its row.

use super::core::Core;
use super::model::set_of;
use super::predict::{PAD, Rows, Weights, number_of, size_of};
use super::streams::Source;

/// A row in the making.
struct Lane<'a> {
    here: &'a mut [i32],
    sizes: &'a mut [i32],
    north: &'a [i32],
    told: &'a [i32],
    classes: &'a [i32],
    around: &'a [i32],
    /// One, two and three to the left.
    left: [i32; 3],
    sizes_left: [i32; 2],
}

impl<'a> Lane<'a> {
    #[inline(always)]
    fn new(rows: &'a mut Rows, count: usize) -> Self {
        let Rows { numbers, sizes, classes, told, around, .. } = rows;
        let [here, north, ..] = numbers;
        let (left, size_left) = (here[PAD - 1], sizes[0][PAD - 1]);
        Self {
            here: &mut here[PAD..][..count],
            sizes: &mut sizes[0][PAD..][..count],
            north: &north[PAD..][..count],
            told: &told[..count],
            classes: &classes[..count],
            around: &around[..count],
            left: [left; 3],
            sizes_left: [size_left; 2],
        }
    }

    /// Makes the next sample, which is at `x`.
    #[inline(always)]
    fn step<C: Core>(&mut self, core: C, x: usize, weights: &Weights, source: &mut Source<'_>) {
        let sum = self.told[x].wrapping_add(weights.left(self.classes[x] as usize, self.left));
        let predicted = weights.predicted(self.north[x], sum);
        let set = set_of((self.around[x] + self.sizes_left[1] + 2 * self.sizes_left[0]) as u32);
        let number = i32::from(number_of(source.code(core, set), predicted));
        let size = size_of(number, predicted);
        (self.here[x], self.sizes[x]) = (number, size);
        self.left = [number, self.left[0], self.left[1]];
        self.sizes_left = [size, self.sizes_left[0]];
    }
}

/// Makes a row of the first part, and as far as it goes one of the second.
#[inline(always)]
pub(super) fn make<C: Core>(
    core: C,
    [first, second]: &mut [Rows; 2],
    [count, count_second]: [usize; 2],
    weights: &Weights,
    source: &mut Source<'_>,
) {
    let both = count_second.min(count);
    if both > 0 {
        let (mut a, mut b) = (Lane::new(first, both), Lane::new(second, both));
        for x in 0..both {
            a.step(core, x, weights, source);
            b.step(core, x, weights, source);
        }
        let (left, sizes_left) = (a.left, a.sizes_left);
        let mut rest = Lane::new(first, count);
        (rest.left, rest.sizes_left) = (left, sizes_left);
        for x in both..count {
            rest.step(core, x, weights, source);
        }
    } else {
        let mut lane = Lane::new(first, count);
        for x in 0..count {
            lane.step(core, x, weights, source);
        }
    }
}
