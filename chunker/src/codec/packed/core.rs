//! What is done otherwise on cores that can do more, and how it is done on every one.

use super::Shape;
use super::groups::{self, GROUP, Packed, index_of};
use super::rows::Rows;

/// Work on numbers of which several are done at once where the core can. All cores come to the same.
pub(super) trait Core: Copy {
    /// The index of each group's width. `codes` has [`GROUP`] for each, and their number is even.
    fn index(self, codes: &[u16], indices: &mut [u8]);

    /// Packs two groups.
    fn pack(self, codes: &[u16; 2 * GROUP], indices: [u8; 2]) -> [Packed; 2];

    /// Undoes [`Self::pack`] and gives signed residuals in place of zigzag codes.
    fn unpack(self, packed: [&Packed; 2], indices: [u8; 2]) -> [u16; 2 * GROUP];

    /// Restores the first `count` of `rows` in place of their residuals.
    fn restore(self, rows: &mut Rows, count: usize, shape: &Shape);

    /// Rows that are restored at once.
    const ROWS: usize;
}

/// Any core.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Core for Plain {
    const ROWS: usize = 1;

    #[inline(always)]
    fn index(self, codes: &[u16], indices: &mut [u8]) {
        for (group, index) in codes.as_chunks::<GROUP>().0.iter().zip(indices) {
            *index = index_of(group.iter().fold(0, |any, code| any | code));
        }
    }

    #[inline(always)]
    fn pack(self, codes: &[u16; 2 * GROUP], indices: [u8; 2]) -> [Packed; 2] {
        let [a, b] = halves(codes);
        [groups::pack(&a, indices[0]), groups::pack(&b, indices[1])]
    }

    #[inline(always)]
    fn unpack(self, packed: [&Packed; 2], indices: [u8; 2]) -> [u16; 2 * GROUP] {
        let groups = [groups::unpack(packed[0], indices[0]), groups::unpack(packed[1], indices[1])];
        std::array::from_fn(|i| unzigzag(groups[i / GROUP][i % GROUP]))
    }

    #[inline(always)]
    fn restore(self, rows: &mut Rows, count: usize, shape: &Shape) {
        restore_by_row(rows, count, shape);
    }
}

fn halves(codes: &[u16; 2 * GROUP]) -> [[u16; GROUP]; 2] {
    std::array::from_fn(|half| std::array::from_fn(|i| codes[half * GROUP + i]))
}

/// Zigzag codes of what a row differs from its predictions by. Rows come with their padding.
#[inline(always)]
pub(super) fn residuals(north: &[u16], row: &[u16], pad: usize, shape: &Shape, codes: &mut [u16]) {
    let count = codes.len();
    let left = pad - shape.left();
    let (here, west) = (&row[pad..][..count], &row[left..][..count]);
    let (north, north_west) = (&north[pad..][..count], &north[left..][..count]);
    // Residuals of bytes are those modulo 256, made signed by the way up and down.
    let up = if shape.wide { 0 } else { 8 };
    for i in 0..count {
        let residual = here[i].wrapping_sub(med(west[i], north[i], north_west[i]));
        let residual = (residual << up).cast_signed() >> up;
        codes[i] = ((residual << 1) ^ (residual >> 15)).cast_unsigned();
    }
}

/// Restores rows one after the other.
#[inline(always)]
pub(super) fn restore_by_row(rows: &mut Rows, count: usize, shape: &Shape) {
    let (pad, left, mask) = (rows.pad, shape.left(), shape.mask());
    for row in 0..count {
        let (north, here) = rows.pair(row);
        for i in pad..pad + shape.width {
            let predicted = med(here[i - left], north[i], north[i - left]);
            here[i] = here[i].wrapping_add(predicted) & mask;
        }
    }
}

/// The median edge detector: `w + n` less `nw` held between the two.
#[inline(always)]
fn med(w: u16, n: u16, nw: u16) -> u16 {
    w.wrapping_add(n).wrapping_sub(nw.min(w.max(n)).max(w.min(n)))
}

#[inline(always)]
fn unzigzag(code: u16) -> u16 {
    (code >> 1) ^ (code & 1).wrapping_neg()
}
