//! What an encoder decides about a chunk before it codes it: how samples are numbered and predicted.

use super::contexts::context_below;
use super::core::Core;
use super::fit::{Fit, cost};
use super::header::SHIFT_MAX;
use super::levels::{Extent, Numbering, Seen};
use super::predict::Predictor;
use super::stripe::{Stripe, near};

/// Rows of a chunk that a predictor is fitted to and judged by.
const ROWS_SAMPLED: usize = 18;

/// At most one of so many rows.
const ROWS_APART: usize = 6;

/// Of each of these rows one half is looked at, this one or that in turn, where it is wider than this.
const HALF_MIN: usize = 64;

/// Samples of a first row that its context is told by, at most.
const FIRST_SAMPLES: usize = 4096;

/// Samples that are looked at for levels that are left out: so many, or more where there are many levels
/// and many more samples. Steps are rounded down, so a third more may be looked at: no count overflows.
const SAMPLES_LOOKED_AT: std::ops::RangeInclusive<usize> = 8192..=48_000;

/// Of each level, to see most of those that there are often enough.
const SAMPLES_A_LEVEL: usize = 16;

/// At most one of so many samples is looked at for the least of [`SAMPLES_LOOKED_AT`]; for more of them,
/// one of so many.
const STEPS_MIN: [usize; 2] = [3, 32];

/// Levels that are often seen: so often, at least, of the samples looked at that the next level, if there
/// is one, is hardly missed by chance.
const OFTEN: u16 = 12;

/// One of so many levels that are often seen has to stand alone, at least.
const ALONE: usize = 10;

/// Levels that there may be of those between the lowest and the highest, in 16ths, for ranks to gain.
const SPARSE: usize = 14;

/// The levels that a chunk of some parts has, if it leaves so many out that ranks are better.
#[inline(always)]
pub(in crate::codec) fn sparse(parts: &[&[u16]], extent: Extent) -> Option<Seen> {
    let (offset, highest) = extent.narrowest();
    if highest < 8 || !looks_sparse(parts, offset, highest) {
        return None;
    }
    let seen = Seen::of(parts, offset, highest);
    let samples: usize = parts.iter().map(|part| part.len()).sum();
    let levels = usize::from(highest) + 1;
    let few = seen.count() * 16 <= levels * SPARSE;
    // Telling them costs some bits for each.
    (few && seen.count() * 16 < samples).then_some(seen)
}

/// Is the next level after one that is often seen now and then never seen?
#[inline(always)]
fn looks_sparse(parts: &[&[u16]], offset: u16, highest: u16) -> bool {
    // Each is counted in two places in turn: where samples are alike, one would wait for the one before.
    let mut times = vec![[0u16; 2]; usize::from(highest) + 1];
    let samples: usize = parts.iter().map(|part| part.len()).sum();
    let [step_min, step_min_of_more] = STEPS_MIN;
    let wanted = (SAMPLES_A_LEVEL * times.len()).min(samples / step_min_of_more);
    let wanted = wanted.clamp(*SAMPLES_LOOKED_AT.start(), *SAMPLES_LOOKED_AT.end());
    let step = (samples / wanted).max(step_min);
    for part in parts {
        for samples in part.chunks_exact(2 * step) {
            for (place, sample) in [samples[0], samples[step]].into_iter().enumerate() {
                if let Some(times) = times.get_mut(usize::from(sample.wrapping_sub(offset))) {
                    times[place] = times[place].wrapping_add(1);
                }
            }
        }
    }
    let (mut often, mut alone) = (0u32, 0u32);
    for ([here, more], [next, more_next]) in times.iter().zip(&times[1..]) {
        let is_often = u32::from(here.wrapping_add(*more) >= OFTEN);
        often += is_often;
        alone += is_often & u32::from(next | more_next == 0);
    }
    often > 0 && alone as usize * ALONE > often as usize
}

/// Bits behind the point for numbers up to `highest`: differences have to fit into 16 bits.
pub(super) fn shift(highest: u16) -> u32 {
    highest.leading_zeros().saturating_sub(1).min(SHIFT_MAX)
}

/// Rows to choose a predictor by, kept from chunk to chunk.
#[derive(Default)]
pub(super) struct Sampled {
    /// A half of each with what is above it in two rows, as numbers.
    rows: Vec<u16>,
    codes: Vec<u16>,
}

impl Sampled {
    /// Takes halves of some rows of the chunk, whose samples are not numbers yet; gives how wide they are.
    #[inline(always)]
    fn take(&mut self, stripes: &[Stripe], width: usize, numbering: &Numbering<'_>) -> usize {
        self.rows.clear();
        let half = (width / 2).max(HALF_MIN).min(width);
        let mut begin = 0;
        let each = ROWS_SAMPLED.div_ceil(stripes.len());
        for stripe in stripes {
            let whole = stripe.samples.len() / width.max(1);
            let step = (whole / each).max(ROWS_APART);
            for number in (1..whole).skip(step / 2).step_by(step) {
                let row = &stripe.samples[number * width..][..width];
                for row in near(&stripe.samples, width, number, row) {
                    self.rows.extend_from_slice(&row[begin..][..half]);
                }
                begin = width - half - begin;
            }
        }
        numbering.apply(&mut self.rows, 0);
        half
    }

    #[cfg(test)]
    pub(super) fn bytes_held(&self) -> usize {
        2 * (self.rows.capacity() + self.codes.capacity())
    }
}

/// Rows that lie behind one another, each with the two above it.
#[inline(always)]
fn with_above(rows: &[u16], width: usize) -> impl Iterator<Item = [&[u16]; 3]> {
    rows.chunks_exact(3 * width).map(move |near| {
        let (row, above) = near.split_at(width);
        let (north, north2) = above.split_at(width);
        [row, north, north2]
    })
}

/// The predictor that makes the least of some rows of the chunk, whose samples are not numbers yet.
#[inline(always)]
pub(super) fn predictor<C: Core>(
    core: C,
    (stripes, sampled): (&[Stripe], &mut Sampled),
    width: usize,
    left: usize,
    numbering: &Numbering<'_>,
    highest: u16,
) -> Predictor {
    let med = Predictor { weights: None, shift: 0, left };
    if left != 1 {
        return med;
    }
    let width = sampled.take(stripes, width, numbering);
    let Sampled { rows, codes } = sampled;
    let mut fit = Fit::new();
    for near in with_above(rows, width) {
        fit.add(near);
    }
    let linear = Predictor { weights: Some(fit.weights()), shift: shift(highest), left };
    // As wide as that, if there are rows: a chunk may be said to have wider ones than it has.
    codes.resize(width.min(rows.len()), 0);
    let mut costs = [0; 2];
    for (predictor, sum) in [med, linear].iter().zip(&mut costs) {
        if predictor.shift > 0 {
            for number in rows.iter_mut() {
                *number <<= predictor.shift;
            }
        }
        for near in with_above(rows, width) {
            *sum += cost(core, near, predictor, codes);
        }
    }
    if costs[1] < costs[0] { linear } else { med }
}

/// The context of first rows, told by the first one of the chunk.
#[inline(always)]
pub(super) fn first_context(
    (stripe, sampled): (&Stripe, &mut Sampled),
    width: usize,
    numbering: &Numbering<'_>,
    predictor: &Predictor,
) -> u8 {
    let Sampled { rows: row, codes } = sampled;
    row.clear();
    let some = width.min(stripe.samples.len()).min(FIRST_SAMPLES);
    row.extend_from_slice(&stripe.samples[..some]);
    numbering.apply(row, predictor.shift);
    codes.resize(row.len(), 0);
    predictor.first_codes(row, codes);
    let sum: usize = codes.iter().map(|code| usize::from(*code)).sum();
    context_below((sum / codes.len().max(1)) as u16)
}
