//! Some rows in the making, with room around them for vectors that are not quite within.

use super::Shape;
use super::levels::Levels;

/// Before each row: lanes of a vector that are behind the first begin there.
const PAD: usize = 48;

/// Behind each row: lanes that are ahead end there.
const SLACK: usize = 64;

/// The widest row of which several are held and restored at once. Wider ones are rare, and their columns
/// are more than vectors count.
const WIDTH_MAX: usize = 32_000;

/// How many rows of a width are held where a core restores so many at once.
pub(super) fn together(rows: usize, width: usize) -> usize {
    if width > WIDTH_MAX { 1 } else { rows }
}

/// Some rows that follow one another, and the two above them.
#[derive(Default)]
pub(super) struct Rows {
    width: usize,
    pub(super) stride: usize,
    /// The row above the first, and the one above that; their samples begin as far behind their starts.
    pub(super) north: Vec<u16>,
    pub(super) north2: Vec<u16>,
    /// [`Rows::stride`] numbers for each row.
    pub(super) here: Vec<u16>,
}

impl Rows {
    #[cfg(target_arch = "x86_64")]
    pub(super) const PAD: usize = PAD;

    #[cfg(target_arch = "x86_64")]
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Room for `rows` rows of `width` samples.
    pub(super) fn prepare(&mut self, rows: usize, width: usize) {
        self.width = width;
        self.stride = PAD + width.next_multiple_of(16) + SLACK;
        self.north.resize(self.stride, 0);
        self.north2.resize(self.stride, 0);
        self.here.resize(rows * self.stride, 0);
    }

    #[cfg(test)]
    pub(super) fn bytes_held(&self) -> usize {
        2 * (self.north.capacity() + self.north2.capacity() + self.here.capacity())
    }

    /// Row `row`.
    #[inline(always)]
    pub(super) fn row(&mut self, row: usize) -> &mut [u16] {
        &mut self.here[row * self.stride + PAD..][..self.width]
    }

    /// Row `row` and the two above it.
    #[inline(always)]
    pub(super) fn near(&mut self, row: usize) -> [&mut [u16]; 3] {
        let (above, here) = self.here.split_at_mut(row * self.stride);
        let stride = self.stride;
        let (north, north2): (&mut [u16], &mut [u16]) = match row {
            0 => (self.north.as_mut_slice(), self.north2.as_mut_slice()),
            1 => (above, self.north.as_mut_slice()),
            _ => {
                let (above2, above) = above[(row - 2) * stride..].split_at_mut(stride);
                (above, above2)
            }
        };
        [here, north, north2].map(|all| &mut all[PAD..][..self.width])
    }

    /// The first `count` rows become what is above.
    #[inline(always)]
    pub(super) fn carry(&mut self, count: usize) {
        let Self { stride, north, north2, here, .. } = self;
        let of = |row: usize, to: &mut [u16]| {
            to.copy_from_slice(&here[row * *stride..][..*stride]);
        };
        match count {
            0 => {}
            1 => {
                std::mem::swap(north, north2);
                of(0, north);
            }
            _ => {
                of(count - 1, north);
                of(count - 2, north2);
            }
        }
    }

    /// The first row is above all, and stands for the one above it as well.
    pub(super) fn carry_first(&mut self) {
        self.north.copy_from_slice(&self.here[..self.stride]);
        self.north2.copy_from_slice(&self.here[..self.stride]);
    }
}

/// Reads samples of a row, colours parted.
#[inline(always)]
pub(in crate::codec) fn load(plain: &[u8], shape: &Shape, spare: &mut Vec<u16>, to: &mut [u16]) {
    if shape.parted {
        spare.resize(to.len(), 0);
        load_plainly(plain, shape, spare);
        part(spare, to);
    } else {
        load_plainly(plain, shape, to);
    }
}

#[inline(always)]
fn load_plainly(plain: &[u8], shape: &Shape, to: &mut [u16]) {
    let pairs = to.iter_mut().zip(plain.as_chunks::<2>().0);
    match (shape.wide, shape.big_endian) {
        (false, _) => to.iter_mut().zip(plain).for_each(|(to, byte)| *to = u16::from(*byte)),
        (_, false) => pairs.for_each(|(to, pair)| *to = u16::from_le_bytes(*pair)),
        (_, true) => pairs.for_each(|(to, pair)| *to = u16::from_be_bytes(*pair)),
    }
}

/// Undoes [`load`], the row being numbers that are `shift` bits higher; they mean nothing then.
#[inline(always)]
pub(in crate::codec) fn store(
    row: &mut [u16],
    levels: &Levels,
    shift: u32,
    shape: &Shape,
    spare: &mut Vec<u16>,
    plain: &mut [u8],
) {
    if shape.wide && !shape.big_endian && !shape.parted && levels.ranked.is_none() {
        for (pair, number) in plain.as_chunks_mut::<2>().0.iter_mut().zip(row) {
            *pair = (*number >> shift).wrapping_add(levels.offset).to_le_bytes();
        }
        return;
    }
    levels.undo(row, shift);
    let row = if shape.parted {
        spare.resize(row.len(), 0);
        join(row, spare);
        spare
    } else {
        row
    };
    let pairs = plain.as_chunks_mut::<2>().0.iter_mut().zip(row.iter());
    match (shape.wide, shape.big_endian) {
        (false, _) => plain.iter_mut().zip(row).for_each(|(byte, value)| *byte = *value as u8),
        (_, false) => pairs.for_each(|(pair, value)| *pair = value.to_le_bytes()),
        (_, true) => pairs.for_each(|(pair, value)| *pair = value.to_be_bytes()),
    }
}

/// Lays a row of pixels of three samples out as its second samples, then what the first and the third
/// differ from them by. Samples behind the last whole pixel stay at the end.
#[inline(always)]
fn part(from: &[u16], to: &mut [u16]) {
    let (pixels, rest) = from.as_chunks::<3>();
    let (a, to) = to.split_at_mut(pixels.len());
    let (b, to) = to.split_at_mut(pixels.len());
    let (c, to) = to.split_at_mut(pixels.len());
    for ([first, second, third], ((a, b), c)) in pixels.iter().zip(a.iter_mut().zip(b).zip(c)) {
        (*a, *b, *c) = (*second, first.wrapping_sub(*second), third.wrapping_sub(*second));
    }
    to.copy_from_slice(rest);
}

/// Undoes [`part`].
#[inline(always)]
fn join(from: &[u16], to: &mut [u16]) {
    let (pixels, rest) = to.as_chunks_mut::<3>();
    let (a, from) = from.split_at(pixels.len());
    let (b, from) = from.split_at(pixels.len());
    let (c, from) = from.split_at(pixels.len());
    for (pixel, ((a, b), c)) in pixels.iter_mut().zip(a.iter().zip(b).zip(c)) {
        *pixel = [b.wrapping_add(*a), *a, c.wrapping_add(*a)];
    }
    rest.copy_from_slice(from);
}
