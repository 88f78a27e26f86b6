//! What an encoder decides about a chunk before it codes it: how samples are numbered and predicted.

use super::contexts::{Activity, GROUP};
use super::core::Core;
use super::fit::{Fit, cost};
use super::header::SHIFT_MAX;
use super::levels::{Extent, Seen};
use super::predict::Predictor;
use super::stripe::{Numbering, Stripe, near};

/// Rows of a chunk that a predictor is fitted to and judged by.
const ROWS_SAMPLED: usize = 18;

/// At most one of so many rows.
const ROWS_APART: usize = 6;

/// Samples that are looked at for levels that are left out.
const SAMPLES_LOOKED_AT: usize = 8192;

/// Levels that are often seen: so often, at least, of the samples looked at.
const OFTEN: u16 = 6;

/// Levels that there may be of those between the lowest and the highest, in 16ths, for ranks to gain.
const SPARSE: usize = 14;

/// The levels that a chunk of some parts has, if it leaves so many out that ranks are better.
pub(in crate::codec) fn sparse(parts: &[&[u16]], extent: Extent) -> Option<Seen> {
    let (offset, highest) = extent.narrowest();
    if highest < 8 || !looks_sparse(parts, offset, highest) {
        return None;
    }
    let mut seen = Seen::up_to(highest);
    let mut samples = 0;
    for part in parts {
        samples += part.len();
        for sample in *part {
            seen.add(sample.wrapping_sub(offset));
        }
    }
    let levels = usize::from(highest) + 1;
    let few = seen.count() * 16 <= levels * SPARSE;
    // Telling them costs some bits for each.
    (few && seen.count() * 16 < samples).then_some(seen)
}

/// Is the next level after one that is often seen mostly never seen?
fn looks_sparse(parts: &[&[u16]], offset: u16, highest: u16) -> bool {
    let mut times = vec![0u16; usize::from(highest) + 1];
    for part in parts {
        let step = (part.len() * parts.len() / SAMPLES_LOOKED_AT).max(3);
        for sample in part.iter().step_by(step) {
            if let Some(times) = times.get_mut(usize::from(sample.wrapping_sub(offset))) {
                *times = times.saturating_add(1);
            }
        }
    }
    let (mut often, mut alone) = (0, 0);
    for pair in times.windows(2).filter(|pair| pair[0] >= OFTEN) {
        often += 1;
        alone += usize::from(pair[1] == 0);
    }
    often > 0 && alone * 32 > often
}

/// Bits behind the point for numbers up to `highest`: differences have to fit into 16 bits.
pub(super) fn shift(highest: u16) -> u32 {
    highest.leading_zeros().saturating_sub(1).min(SHIFT_MAX)
}

/// The predictor that makes the least of some rows of the chunk, whose samples are not numbers yet.
#[inline(always)]
pub(super) fn predictor<C: Core>(
    core: C,
    stripes: &[Stripe],
    width: usize,
    left: usize,
    numbering: &Numbering<'_>,
    highest: u16,
) -> Predictor {
    let med = Predictor { weights: None, shift: 0, left };
    if left != 1 {
        return med;
    }
    // Each row with the two above it.
    let mut rows = Vec::new();
    let each = ROWS_SAMPLED.div_ceil(stripes.len());
    for stripe in stripes {
        let whole = stripe.samples.len() / width.max(1);
        let step = (whole / each).max(ROWS_APART);
        for number in (1..whole).skip(step / 2).step_by(step) {
            let row = &stripe.samples[number * width..][..width];
            rows.push(near(&stripe.samples, width, number, row).map(|row| {
                let mut row = row.to_vec();
                numbering.apply(&mut row, 0);
                row
            }));
        }
    }
    let mut fit = Fit::new();
    for [row, north, north2] in &rows {
        fit.add([row, north, north2]);
    }
    let linear = Predictor { weights: Some(fit.weights()), shift: shift(highest), left };
    let mut codes = Vec::new();
    let mut costs = [0; 2];
    for near in &mut rows {
        for (predictor, sum) in [med, linear].iter().zip(&mut costs) {
            near.iter_mut().flatten().for_each(|number| *number <<= predictor.shift);
            let [row, north, north2] = &*near;
            *sum += cost(core, [row, north, north2], predictor, &mut codes);
        }
    }
    if costs[1] < costs[0] { linear } else { med }
}

/// The context of first rows, told by the first one of the chunk.
pub(super) fn first_context(
    stripe: &Stripe,
    width: usize,
    numbering: &Numbering<'_>,
    predictor: &Predictor,
) -> u8 {
    let mut row = stripe.samples[..width.min(stripe.samples.len())].to_vec();
    numbering.apply(&mut row, predictor.shift);
    let mut codes = vec![0; row.len()];
    predictor.first_codes(&row, &mut codes);
    let sum: usize = codes.iter().map(|code| usize::from(*code)).sum();
    let mean = (sum / codes.len().max(1)) as u16;
    let mut activity = Activity::default();
    activity.start(3 * GROUP, 0);
    activity.add(&[mean; 3 * GROUP]);
    activity.contexts()[1]
}
