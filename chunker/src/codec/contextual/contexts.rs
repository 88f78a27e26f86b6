//! The context of each group of samples, told by residuals of the two rows above alone.
//!
//! Nothing of the row itself goes in: contexts of a whole row are known before any of it is decoded,
//! so that samples need not wait for one another.

use super::core::Core;

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
    // Of a number below 2^24, the exponent and the first bit behind the leading one, in vectors too: these
    // have signed numbers only.
    let halves = ((sum + 1).cast_signed() as f32).to_bits() >> 22;
    (halves.wrapping_sub(254)).min(CONTEXTS as u32 - 1) as u8
}

/// The context below a first row all of whose codes are `code`.
pub(super) fn context_below(code: u16) -> u8 {
    // Four codes of the last row twice, once more for the one before it, and three of either side.
    context((2 * GROUP + GROUP + 3 + 3) as u32 * u32::from(code))
}

/// Groups whose contexts are told at once. Lists of groups have room for a multiple of that, so that those
/// of a narrow row are not told one by one: a row of 80 samples has 20.
pub(super) const GROUPS_AT_ONCE: usize = 32;

/// What each group of a row of codes is counted by.
pub(super) struct Tell<'a> {
    /// The sum of its codes.
    pub(super) sums: &'a mut [u32],
    /// What it tells its left neighbour, whose samples its first one is nearest to: two of that, and one of
    /// the second.
    pub(super) left: &'a mut [u32],
    /// And its right neighbour, the other way round.
    pub(super) right: &'a mut [u32],
}

/// Counts the codes of groups, of which the last one may be short.
#[inline(always)]
pub(super) fn tell(codes: &[u16], tell: Tell<'_>) {
    let (groups, rest) = codes.as_chunks::<GROUP>();
    let mut last = [0; GROUP];
    last[..rest.len()].copy_from_slice(rest);
    let last = (!rest.is_empty()).then_some(&last);
    let to = tell.sums.iter_mut().zip(tell.left).zip(tell.right);
    for (group, ((sum, left), right)) in groups.iter().chain(last).zip(to) {
        let [a, b, c, d] = group.map(u32::from);
        *sum = a + b + c + d;
        *left = 2 * a + b;
        *right = c + 2 * d;
    }
}

/// What rows that are done tell of the next one.
#[derive(Default)]
pub(super) struct Activity {
    /// Sums of the codes of each group of the last row, and of the one before it.
    last: Vec<u32>,
    before: Vec<u32>,
    /// What each group tells its left neighbour, and behind them a zero for what has no group.
    left: Vec<u32>,
    /// A zero, and what each group tells its right neighbour.
    right: Vec<u32>,
    contexts: Vec<u8>,
    groups: usize,
    rows: usize,
}

impl Activity {
    /// Nothing is known of a first row of `width` samples: its context is given.
    pub(super) fn start(&mut self, width: usize, first: u8) {
        self.groups = width.div_ceil(GROUP);
        let groups = self.groups.next_multiple_of(GROUPS_AT_ONCE);
        for sums in [&mut self.last, &mut self.before] {
            sums.resize(groups, 0);
        }
        for told in [&mut self.left, &mut self.right] {
            told.clear();
            told.resize(groups + 1, 0);
        }
        self.contexts.clear();
        self.contexts.resize(groups, first);
        self.rows = 0;
    }

    #[cfg(test)]
    pub(super) fn bytes_held(&self) -> usize {
        let sums = [&self.last, &self.before, &self.left, &self.right];
        4 * sums.iter().map(|sums| sums.capacity()).sum::<usize>() + self.contexts.capacity()
    }

    /// Contexts of the next row.
    #[inline(always)]
    pub(super) fn contexts(&self) -> &[u8] {
        &self.contexts[..self.groups]
    }

    /// A row of codes is done, as wide as the first one was said to be.
    #[inline(always)]
    pub(super) fn add<C: Core>(&mut self, core: C, codes: &[u16]) {
        let Self { last, before, left, right, contexts, rows, .. } = self;
        std::mem::swap(last, before);
        core.tell(codes, Tell { sums: last, left, right: &mut right[1..] });
        let (last, right) = (&*last, &*right);
        let before = if *rows == 0 { last } else { &*before };
        *rows += 1;
        let [last, before, right, left] =
            [last, before, right, &left[1..]].map(|list| list.as_chunks::<GROUPS_AT_ONCE>().0);
        let sums = last.iter().zip(before).zip(left.iter().zip(right));
        for (to, ((last, before), (left, right))) in
            contexts.as_chunks_mut::<GROUPS_AT_ONCE>().0.iter_mut().zip(sums)
        {
            for k in 0..GROUPS_AT_ONCE {
                to[k] = context(2 * last[k] + before[k] + left[k] + right[k]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::core::Plain;
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
            activity.add(Plain, &[code; 3 * GROUP]);
            assert_eq!(activity.contexts()[1], context_below(code));
        }
    }

    #[test]
    fn neighbours_count_by_how_near_they_are() {
        let mut activity = Activity::default();
        activity.start(10, 9);
        assert_eq!(activity.contexts(), [9, 9, 9]);
        activity.add(Plain, &[0, 0, 0, 8, 0, 0, 0, 0, 2, 0]);
        // Without a second row above, the one above stands for both.
        assert_eq!(activity.contexts(), [24, 16 + 4, 6].map(context));
        activity.add(Plain, &[0; 10]);
        assert_eq!(activity.contexts(), [8, 0, 2].map(context));
    }

    /// Rows of any length, with codes as large as there are.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn vectors_count_as_numbers_do() {
        let Some(core) = crate::codec::classed::vector::best() else { return };
        let mut random = 1u64;
        for width in (1..150).chain([511, 512, 513]) {
            let (mut plain, mut vectors) = (Activity::default(), Activity::default());
            plain.start(width, 3);
            vectors.start(width, 3);
            for row in 0..4 {
                let codes: Vec<u16> = (0..width)
                    .map(|_| {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (random >> 48) as u16 | if row == 2 { 0xff00 } else { 0 }
                    })
                    .collect();
                plain.add(Plain, &codes);
                vectors.add(core, &codes);
                assert_eq!(plain.contexts(), vectors.contexts(), "row {row} of {width} samples");
            }
        }
    }
}
