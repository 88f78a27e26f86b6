//! Stripes decoded at once, a row of each in turn: while one waits for what it looks up, another goes on.

use std::ops::Range;

use super::Checked;
use super::ans::Decoding;
use super::core::Core;
use super::header::Header;
use super::levels::Levels;
use super::rows;
use super::streams::Sources;
use super::stripe::Stripe;

/// A row that is to be read.
pub(super) struct Unread<'a, 's> {
    pub(super) sources: &'a mut Sources<'s>,
    pub(super) contexts: &'a [u8],
    pub(super) codes: &'a mut [u16],
}

/// What a chunk tells of all its stripes.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) header: &'a Header,
    pub(super) levels: &'a Levels,
    pub(super) decoding: &'a Decoding,
}

/// A stripe, the streams that it is coded as, and the plain bytes that it is to fill, of which there are
/// some.
pub(super) struct Part<'a> {
    pub(super) stripe: &'a mut Stripe,
    pub(super) sources: Sources<'a>,
    pub(super) plain: &'a mut [u8],
}

impl<'s> Part<'s> {
    /// Samples of a whole row.
    #[inline(always)]
    pub(super) fn width(&self, told: Told<'_>) -> usize {
        let shape = &told.header.shape;
        shape.above.min(self.plain.len() / shape.sample_bytes())
    }

    /// Where a row lies in the plain bytes; behind the last one nothing does.
    #[inline(always)]
    fn bytes(&self, row: usize, row_bytes: usize) -> Range<usize> {
        let [start, end] = [row, row + 1].map(|row| self.plain.len().min(row * row_bytes));
        start..end
    }

    /// Has it so many whole rows?
    #[inline(always)]
    fn has(&self, rows: usize, row_bytes: usize) -> bool {
        self.plain.len() >= rows * row_bytes
    }

    /// Rows from one on, at most so many.
    #[inline(always)]
    fn count(&self, from: usize, at_most: usize, row_bytes: usize) -> usize {
        self.plain.len().div_ceil(row_bytes).saturating_sub(from).min(at_most)
    }

    /// A row that stands at a place among those that are restored at once.
    #[inline(always)]
    fn unread(&mut self, index: usize, samples: usize) -> Unread<'_, 's> {
        let Stripe { rows, activity, .. } = &mut *self.stripe;
        let codes = &mut rows.row(index)[..samples];
        Unread { sources: &mut self.sources, contexts: activity.contexts(), codes }
    }

    /// Writes a row that is restored to plain bytes; what it holds then means nothing.
    #[inline(always)]
    fn store(&mut self, index: usize, bytes: Range<usize>, told: Told<'_>) {
        let Header { shape, predictor, .. } = told.header;
        let Stripe { rows, spare, .. } = &mut *self.stripe;
        let plain = &mut self.plain[bytes];
        let row = &mut rows.row(index)[..plain.len() / shape.sample_bytes()];
        rows::store(row, told.levels, predictor.shift, shape, spare, plain);
    }
}

/// Decodes one stripe, or two whose rows have one width, or says that one is damaged.
#[inline(always)]
pub(super) fn decode<C: Core>(core: C, told: Told<'_>, parts: &mut [Part<'_>]) -> Checked {
    let Told { header: Header { shape, predictor, first, .. }, decoding, .. } = told;
    let width = parts.first().map_or(1, |part| part.width(told));
    let row_bytes = width * shape.sample_bytes();
    let at_once = rows::together(C::ROWS, width);
    for part in &mut *parts {
        part.stripe.rows.prepare(at_once, width);
        part.stripe.activity.start(width, *first);
        core.decode_row(decoding, part.unread(0, width));
        let Stripe { rows, activity, .. } = &mut *part.stripe;
        activity.add(core, rows.row(0));
        predictor.restore_first(rows.row(0));
        rows.carry_first();
        part.store(0, 0..row_bytes, told);
    }
    let rows = parts.iter().map(|part| part.plain.len().div_ceil(row_bytes)).max().unwrap_or(0);
    for above in (1..rows).step_by(at_once) {
        for row in above..rows.min(above + at_once) {
            let index = row - above;
            match &mut *parts {
                [a, b] if a.has(row + 1, row_bytes) && b.has(row + 1, row_bytes) => {
                    core.decode_two(decoding, [a.unread(index, width), b.unread(index, width)]);
                }
                parts => {
                    for part in parts {
                        let samples = part.bytes(row, row_bytes).len() / shape.sample_bytes();
                        core.decode_row(decoding, part.unread(index, samples));
                    }
                }
            }
            for part in &mut *parts {
                let samples = part.bytes(row, row_bytes).len() / shape.sample_bytes();
                let Stripe { rows, activity, .. } = &mut *part.stripe;
                let row = rows.row(index);
                row[samples..].fill(0);
                activity.add(core, row);
            }
        }
        for part in &mut *parts {
            let count = part.count(above, at_once, row_bytes);
            core.restore(&mut part.stripe.rows, count, predictor);
            part.stripe.rows.carry(count);
            for index in 0..count {
                part.store(index, part.bytes(above + index, row_bytes), told);
            }
        }
    }
    if !parts.iter().all(|part| part.sources.are_done()) {
        return Err("a stream is not one of so many samples");
    }
    Ok(())
}
