//! One stripe of a chunk: rows that are predicted and coded without any other.

use super::Shape;
use super::contexts::{Activity, CONTEXTS, GROUP};
use super::core::Core;
use super::header::Header;
use super::levels::{Extent, Numbering};
use super::rows::{self, Rows};
use super::tables::Counts;
use super::tokens::TOKENS;

/// Buffers of one stripe, used again for the next chunk.
#[derive(Default)]
pub(super) struct Stripe {
    /// Samples, then numbers in their place.
    pub(super) samples: Vec<u16>,
    pub(super) codes: Vec<u16>,
    /// Of all tokens among those of all contexts.
    pub(super) places: Vec<u16>,
    /// Of all groups of all rows.
    pub(super) contexts: Vec<u8>,
    pub(super) activity: Activity,
    pub(super) rows: Rows,
    pub(super) spare: Vec<u16>,
    pub(super) bytes: Vec<u8>,
    /// What the stripe is coded as.
    pub(super) coded: Vec<u8>,
    pub(super) extent: Extent,
    /// For the samples of a group each: one that is as the one before would wait for its count. All zero
    /// but between [`Self::predict`] and [`Self::add_counts`].
    counts: [Vec<u32>; GROUP],
}

/// Room for the counts of all places, a power of two.
const COUNTS: usize = CONTEXTS.next_power_of_two() * TOKENS;

impl Stripe {
    /// Reads samples.
    #[inline(always)]
    pub(super) fn load(&mut self, plain: &[u8], shape: &Shape) {
        let samples = plain.len() / shape.sample_bytes();
        self.samples.resize(samples, 0);
        self.extent = Extent::default();
        let row_bytes = shape.above.saturating_mul(shape.sample_bytes());
        for (plain, row) in plain.chunks(row_bytes).zip(self.samples.chunks_mut(shape.above)) {
            rows::load(plain, shape, &mut self.spare, row);
            self.extent = self.extent.and(Extent::of(row));
        }
    }

    /// Predicts and counts: all that has to be known before tables are made.
    #[inline(always)]
    pub(super) fn predict<C: Core>(&mut self, core: C, numbering: &Numbering<'_>, header: &Header) {
        let Self { samples, codes, places, contexts, activity, counts, .. } = self;
        for counts in counts.iter_mut() {
            counts.resize(COUNTS, 0);
        }
        let width = header.shape.above.min(samples.len());
        codes.resize(samples.len(), 0);
        places.resize(samples.len(), 0);
        contexts.clear();
        if samples.is_empty() {
            return;
        }
        activity.start(width, header.first);
        let predictor = &header.predictor;
        // Runs of tokens are counted when they are whole, whichever rows they stand in.
        let mut counted = 0;
        for start in (0..samples.len()).step_by(width) {
            let end = samples.len().min(start + width);
            numbering.apply(&mut samples[start..end], predictor.shift);
            let codes = &mut codes[start..end];
            let row = &samples[start..end];
            match start / width {
                0 => predictor.first_codes(row, codes),
                number => predictor.codes(core, near(samples, width, number, row), codes),
            }
            let row_contexts = &activity.contexts()[..codes.len().div_ceil(GROUP)];
            contexts.extend(row_contexts);
            core.places(codes, row_contexts, &mut places[start..end]);
            let whole = if end < samples.len() { end / RUN * RUN } else { end };
            count(&places[counted..whole], counts);
            counted = whole;
            if end < samples.len() {
                activity.add(core, codes);
            }
        }
    }

    /// Memory that is kept for the next chunk, but for tables of fixed size.
    #[cfg(test)]
    pub(super) fn bytes_held(&self) -> usize {
        let words = [&self.samples, &self.codes, &self.places, &self.spare];
        2 * words.iter().map(|words| words.capacity()).sum::<usize>()
            + self.contexts.capacity()
            + self.bytes.capacity()
            + self.coded.capacity()
            + self.rows.bytes_held()
            + self.activity.bytes_held()
    }

    /// Adds what was counted, and counts from zero again.
    #[inline(always)]
    pub(super) fn add_counts(&mut self, sums: &mut Counts) {
        let contexts = self.contexts.iter().copied().max().map_or(0, |most| usize::from(most) + 1);
        let sums = &mut sums.as_flattened_mut()[..contexts * TOKENS];
        for counts in &mut self.counts {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += *count;
                *count = 0;
            }
        }
    }
}

/// Row number `number`, which is not 0, and the two above it.
#[inline(always)]
pub(super) fn near<'a>(
    samples: &'a [u16],
    width: usize,
    number: usize,
    row: &'a [u16],
) -> [&'a [u16]; 3] {
    let above = |rows: usize| &samples[number.saturating_sub(rows) * width..][..width];
    [row, above(1), above(2.min(number))]
}

/// Tokens that are counted as one if they are all alike, as where there is nothing: each would wait for
/// the count of the one before.
const RUN: usize = 32;

/// Counts tokens in their contexts.
#[inline(always)]
fn count(places: &[u16], counts: &mut [Vec<u32>; GROUP]) {
    let [Some(a), Some(b), Some(c), Some(d)] =
        counts.each_mut().map(|counts| counts.first_chunk_mut::<COUNTS>())
    else {
        return;
    };
    let counts = &mut [a, b, c, d];
    let (runs, rest) = places.as_chunks::<RUN>();
    for run in runs {
        let first = run[0];
        if run.iter().fold(0, |differs, place| differs | (place ^ first)) == 0 {
            counts[0][usize::from(first) % COUNTS] += RUN as u32;
        } else {
            count_groups(run.as_chunks().0, &mut *counts);
        }
    }
    let (groups, rest) = rest.as_chunks();
    count_groups(groups, &mut *counts);
    for place in rest {
        counts[0][usize::from(*place) % COUNTS] += 1;
    }
}

/// Counts each token of a group by itself.
#[inline(always)]
fn count_groups(groups: &[[u16; GROUP]], [a, b, c, d]: &mut [&mut [u32; COUNTS]; GROUP]) {
    for group in groups {
        let [w, x, y, z] = group.map(|place| usize::from(place) % COUNTS);
        a[w] += 1;
        b[x] += 1;
        c[y] += 1;
        d[z] += 1;
    }
}
