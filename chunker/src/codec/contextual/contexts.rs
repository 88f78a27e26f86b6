//! The context of each group of samples, told by residuals of the two rows above alone.
//!
//! Nothing of the row itself goes in: contexts of a whole row are known before any of it is decoded,
//! so that samples need not wait for one another.

/// Samples that share a context.
pub(super) const GROUP: usize = 4;

/// Contexts: two an octave of how large codes above are.
pub(super) const CONTEXTS: usize = 36;

/// Bits of each code that are kept as they are in a context: what is left of a code is about four to
/// eight.
pub(super) const fn low_bits(context: usize) -> u32 {
    let low = (context as u32 / 2).saturating_sub(LOW_BITS_FROM);
    if low < LOW_BITS_MAX { low } else { LOW_BITS_MAX }
}

/// The highest octave without low bits.
pub(super) const LOW_BITS_FROM: u32 = 6;

/// So few that no code is longer than a sample.
pub(super) const LOW_BITS_MAX: u32 = 10;

/// Low bits by context.
pub(super) const LOW_BITS: [u8; CONTEXTS] = {
    let mut all = [0; CONTEXTS];
    let mut context = 0;
    while context < CONTEXTS {
        all[context] = low_bits(context) as u8;
        context += 1;
    }
    all
};

/// The context of a weighted sum: its octave, and which half of it.
#[inline(always)]
fn context(sum: u32) -> u8 {
    // Of a number below 2^24, the exponent and the first bit behind the leading one, in vectors too.
    let halves = ((sum + 1) as f32).to_bits() >> 22;
    (halves.wrapping_sub(254)).min(CONTEXTS as u32 - 1) as u8
}

/// The context below a first row all of whose codes are `code`.
pub(super) fn context_below(code: u16) -> u8 {
    // Four codes of the last row twice, once more for the one before it, and three of either side.
    context((2 * GROUP + GROUP + 3 + 3) as u32 * u32::from(code))
}

/// The lower half of a number.
const LOWER: u64 = u32::MAX as u64;

/// The sum of a group, and what it tells its neighbours (see [`Activity`]). Two codes are counted at
/// once, each in a half of one number.
#[inline(always)]
fn tell(group: [u16; GROUP]) -> (u64, u64) {
    let [a, b, c, d] = group.map(u64::from);
    let all = a | b << 16 | c << 32 | d << 48;
    let even = all & 0x0000_ffff_0000_ffff;
    let odd = all >> 16 & 0x0000_ffff_0000_ffff;
    let pairs = even + odd;
    let told = (pairs + even) & LOWER | (pairs + odd) & !LOWER;
    ((pairs & LOWER) + (pairs >> 32), told)
}

/// What rows that are done tell of the next one.
#[derive(Default)]
pub(super) struct Activity {
    /// Sums of the codes of each group of the last row, and of the one before it.
    last: Vec<u64>,
    before: Vec<u64>,
    /// What each group tells its left neighbour, and in the upper half what it tells its right one. On
    /// either side stands a zero for what has no group.
    told: Vec<u64>,
    contexts: Vec<u8>,
    rows: usize,
}

impl Activity {
    /// Nothing is known of a first row of `width` samples: its context is given.
    pub(super) fn start(&mut self, width: usize, first: u8) {
        let groups = width.div_ceil(GROUP);
        self.last.resize(groups, 0);
        self.before.resize(groups, 0);
        self.told.clear();
        self.told.resize(groups + 2, 0);
        self.contexts.clear();
        self.contexts.resize(groups, first);
        self.rows = 0;
    }

    #[cfg(test)]
    pub(super) fn bytes_held(&self) -> usize {
        let sums = [&self.last, &self.before, &self.told];
        8 * sums.iter().map(|sums| sums.capacity()).sum::<usize>() + self.contexts.capacity()
    }

    /// Contexts of the next row.
    #[inline(always)]
    pub(super) fn contexts(&self) -> &[u8] {
        &self.contexts
    }

    /// A row of codes is done, as wide as the first one was said to be.
    #[inline(always)]
    pub(super) fn add(&mut self, codes: &[u16]) {
        let Self { last, before, told, contexts, rows } = self;
        std::mem::swap(last, before);
        let (groups, rest) = codes.as_chunks::<GROUP>();
        for (group, (sum, told)) in groups.iter().zip(last.iter_mut().zip(&mut told[1..])) {
            (*sum, *told) = tell(*group);
        }
        if !rest.is_empty() {
            let mut group = [0; GROUP];
            group[..rest.len()].copy_from_slice(rest);
            (last[groups.len()], told[groups.len() + 1]) = tell(group);
        }
        let before = if *rows == 0 { &*last } else { &*before };
        *rows += 1;
        let sides = told.iter().zip(&told[2..]);
        let sums = last.iter().zip(before).zip(sides);
        for (to, ((last, before), (left, right))) in contexts.iter_mut().zip(sums) {
            let sum = 2 * last + before + (left >> 32) + (right & LOWER);
            *to = context(sum as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_half_octaves() {
        let contexts: Vec<u8> = (0..9).map(context).collect();
        assert_eq!(contexts, [0, 2, 3, 4, 4, 5, 5, 6, 6]);
        for sum in (0..17 * 65_535).step_by(7) {
            let octave = (sum + 1u32).ilog2();
            let half = if octave == 0 { 0 } else { (sum + 1) >> (octave - 1) & 1 };
            assert_eq!(u32::from(context(sum)), (2 * octave + half).min(35), "{sum}");
        }
    }

    #[test]
    fn rows_that_are_alike_all_over_have_the_context_that_activity_tells() {
        for code in [0, 1, 2, 7, 100, 65_535] {
            let mut activity = Activity::default();
            activity.start(3 * GROUP, 0);
            activity.add(&[code; 3 * GROUP]);
            assert_eq!(activity.contexts()[1], context_below(code));
        }
    }

    #[test]
    fn neighbours_count_by_how_near_they_are() {
        let mut activity = Activity::default();
        activity.start(10, 9);
        assert_eq!(activity.contexts(), [9, 9, 9]);
        activity.add(&[0, 0, 0, 8, 0, 0, 0, 0, 2, 0]);
        // Without a second row above, the one above stands for both.
        assert_eq!(activity.contexts(), [24, 16 + 4, 6].map(context));
        activity.add(&[0; 10]);
        assert_eq!(activity.contexts(), [8, 0, 2].map(context));
    }
}
