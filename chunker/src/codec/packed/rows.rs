//! Rows of samples with nothing on their left, and how they come from and go to plain bytes.
//!
//! A sample is held in 16 bits, whatever its width. Left of each row and above the first stand zeros:
//! the median edge detector, given zeros, is what codec 2 does in the first row and column.

use super::Shape;
use super::groups::PAIR;

/// A row's samples begin behind so many zeros, or more where its left neighbours are farther off.
/// Lanes of a vector that are behind the first begin there.
const PAD: usize = 32;

/// What behind a row may be written to: lanes that are behind others, and groups that are not full.
const SLACK: usize = 32;

/// Some rows that follow one another, and the one above them.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) pad: usize,
    pub(super) stride: usize,
    /// The row above the first.
    pub(super) north: Vec<u16>,
    /// [`Rows::stride`] numbers for each row.
    pub(super) here: Vec<u16>,
    /// A row laid out otherwise.
    spare: Vec<u16>,
}

impl Rows {
    /// Room for `rows` rows of `width` samples, with zeros where they have to be.
    pub(super) fn prepare(&mut self, rows: usize, width: usize, left: usize) {
        self.pad = left.next_multiple_of(PAD);
        self.stride = self.pad + width.next_multiple_of(PAIR) + SLACK;
        self.north.clear();
        self.north.resize(self.stride, 0);
        self.here.clear();
        self.here.resize(rows * self.stride, 0);
        self.spare.resize(width, 0);
    }

    /// The row above row `row`, and that row, both from their padding on.
    #[inline(always)]
    pub(super) fn pair(&mut self, row: usize) -> (&[u16], &mut [u16]) {
        let (above, here) = self.here.split_at_mut(row * self.stride);
        let north = match row.checked_sub(1) {
            None => self.north.as_slice(),
            Some(above_row) => &above[above_row * self.stride..],
        };
        (&north[..self.stride], &mut here[..self.stride])
    }

    /// What row `row` is becomes what is above the first.
    #[inline(always)]
    pub(super) fn carry(&mut self, row: usize) {
        self.north.copy_from_slice(&self.here[row * self.stride..][..self.stride]);
    }

    /// Reads a row from plain bytes.
    #[inline(always)]
    pub(super) fn load(&mut self, row: usize, plain: &[u8], shape: &Shape) {
        let samples = plain.len() / shape.sample_bytes();
        let here = &mut self.here[row * self.stride + self.pad..][..samples];
        let to = if shape.parted { &mut self.spare[..samples] } else { &mut *here };
        if shape.wide {
            let pairs = to.iter_mut().zip(plain.as_chunks::<2>().0);
            if shape.big_endian {
                pairs.for_each(|(sample, pair)| *sample = u16::from_be_bytes(*pair));
            } else {
                pairs.for_each(|(sample, pair)| *sample = u16::from_le_bytes(*pair));
            }
        } else {
            to.iter_mut().zip(plain).for_each(|(sample, byte)| *sample = u16::from(*byte));
        }
        if shape.parted {
            part(&self.spare[..samples], here, shape.mask());
        }
    }

    /// Writes a row to plain bytes.
    #[inline(always)]
    pub(super) fn store(&mut self, row: usize, plain: &mut [u8], shape: &Shape) {
        let samples = plain.len() / shape.sample_bytes();
        let here = &self.here[row * self.stride + self.pad..][..samples];
        let from = if shape.parted {
            join(here, &mut self.spare[..samples], shape.mask());
            &self.spare[..samples]
        } else {
            here
        };
        if shape.wide {
            let pairs = plain.as_chunks_mut::<2>().0.iter_mut().zip(from);
            if shape.big_endian {
                pairs.for_each(|(pair, sample)| *pair = sample.to_be_bytes());
            } else {
                pairs.for_each(|(pair, sample)| *pair = sample.to_le_bytes());
            }
        } else {
            plain.iter_mut().zip(from).for_each(|(byte, sample)| *byte = *sample as u8);
        }
    }
}

/// Lays a row of pixels of three samples out as its second samples, then what the first and the third
/// differ from them by. Samples behind the last whole pixel stay at the end.
#[inline(always)]
fn part(from: &[u16], to: &mut [u16], mask: u16) {
    let (pixels, rest) = from.as_chunks::<3>();
    let (a, to) = to.split_at_mut(pixels.len());
    let (b, to) = to.split_at_mut(pixels.len());
    let (c, to) = to.split_at_mut(pixels.len());
    for ([first, second, third], ((a, b), c)) in pixels.iter().zip(a.iter_mut().zip(b).zip(c)) {
        *a = *second;
        *b = first.wrapping_sub(*second) & mask;
        *c = third.wrapping_sub(*second) & mask;
    }
    to.copy_from_slice(rest);
}

/// Undoes [`part`].
#[inline(always)]
fn join(from: &[u16], to: &mut [u16], mask: u16) {
    let (pixels, rest) = to.as_chunks_mut::<3>();
    let (a, from) = from.split_at(pixels.len());
    let (b, from) = from.split_at(pixels.len());
    let (c, from) = from.split_at(pixels.len());
    for (pixel, ((a, b), c)) in pixels.iter_mut().zip(a.iter().zip(b).zip(c)) {
        *pixel = [b.wrapping_add(*a) & mask, *a, c.wrapping_add(*a) & mask];
    }
    rest.copy_from_slice(from);
}
