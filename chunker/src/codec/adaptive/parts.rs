//! Which samples are coded in turn with which.

use std::ops::Range;

/// A chunk with fewer rows is not halved: the first row of each half costs more.
const ROWS_HALVED: usize = 64;

/// Rows of a chunk, in one part or in two, of which the second has as many rows or one less.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub(super) samples: usize,
    pub(super) width: usize,
    pub(super) is_halved: bool,
}

impl Parts {
    /// As an encoder chooses.
    pub(super) fn of(samples: usize, width: usize) -> Self {
        Self { samples, width, is_halved: samples.div_ceil(width) >= ROWS_HALVED }
    }

    /// Rows of the first part.
    pub(super) fn rows(&self) -> usize {
        let rows = self.samples.div_ceil(self.width);
        if self.is_halved { rows.div_ceil(2) } else { rows }
    }

    /// The samples of a row of a part: none where it has no such row.
    pub(super) fn range(&self, part: usize, row: usize) -> Range<usize> {
        let end = [self.rows() * self.width, self.samples][part % 2].min(self.samples);
        let start = ((part * self.rows() + row) * self.width).min(end);
        start..(start + self.width).min(end)
    }
}
