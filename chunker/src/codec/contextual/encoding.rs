//! Stripes coded at once, a row of each in turn: while one waits for what it looks up, another goes on.

use super::ans::Encoding;
use super::contexts::GROUP;
use super::core::Core;
use super::streams::{STREAMS, Sinks, region_bytes};
use super::stripe::Stripe;
use super::{Shape, put_length};

/// A row that is to be put before those below it.
pub(super) struct Unwritten<'a, 's> {
    pub(super) sinks: &'a mut Sinks<'s>,
    pub(super) contexts: &'a [u8],
    pub(super) codes: &'a [u16],
    pub(super) places: &'a [u16],
}

/// A stripe that is being written, from its last row on.
struct Writing<'a> {
    sinks: Sinks<'a>,
    /// Of a row, in samples.
    width: usize,
    /// Of all rows that are left, as are places and contexts.
    codes: &'a [u16],
    places: &'a [u16],
    contexts: &'a [u8],
    /// Has the stripe no samples at all? Then it is coded as nothing.
    is_empty: bool,
    coded: &'a mut Vec<u8>,
}

impl<'a> Writing<'a> {
    fn new(stripe: &'a mut Stripe, encoding: &Encoding, shape: &Shape) -> Self {
        let Stripe { codes, places, contexts, bytes, coded, .. } = stripe;
        coded.clear();
        let width = shape.above.min(codes.len()).max(1);
        let rows = codes.len().div_ceil(width);
        let mut end = 0;
        let ends = samples_of_streams(width).map(|samples| {
            end += region_bytes(rows * samples);
            end
        });
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        let sinks = Sinks::new(&mut bytes[..end], ends, encoding.log);
        let is_empty = codes.is_empty();
        Self { sinks, width, codes, places, contexts, is_empty, coded }
    }

    /// Samples of the last row of those that are left.
    fn samples(&self) -> usize {
        self.codes.len().checked_sub(1).map_or(0, |last| last % self.width + 1)
    }

    /// The last row of those that are left; an empty one if none is.
    #[inline(always)]
    fn next(&mut self) -> Unwritten<'_, 'a> {
        let rows = self.codes.len().div_ceil(self.width).saturating_sub(1);
        let at = rows * self.width;
        let (codes, places) = (&self.codes[at..], &self.places[at..]);
        let (rest, contexts) = self.contexts.split_at(rows * self.width.div_ceil(GROUP));
        (self.codes, self.places, self.contexts) = (&self.codes[..at], &self.places[..at], rest);
        Unwritten { sinks: &mut self.sinks, contexts, codes, places }
    }

    fn finish(self, log: u32) {
        if self.is_empty {
            return;
        }
        let streams = self.sinks.finish(log);
        for stream in &streams[..STREAMS - 1] {
            put_length(stream.len(), self.coded);
        }
        for stream in streams {
            self.coded.extend(stream);
        }
    }
}

/// Codes what was predicted of one stripe.
#[inline(always)]
pub(super) fn encode<C: Core>(core: C, stripe: &mut Stripe, encoding: &Encoding, shape: &Shape) {
    let mut writing = Writing::new(stripe, encoding, shape);
    while writing.samples() > 0 {
        core.encode_row(encoding, writing.next());
    }
    writing.finish(encoding.log);
}

/// Codes what was predicted of two.
#[inline(always)]
pub(super) fn encode_two<C: Core>(
    core: C,
    [a, b]: [&mut Stripe; 2],
    encoding: &Encoding,
    shape: &Shape,
) {
    let mut a = Writing::new(a, encoding, shape);
    let mut b = Writing::new(b, encoding, shape);
    while a.samples() > 0 || b.samples() > 0 {
        if a.samples() == b.samples() {
            core.encode_two(encoding, [a.next(), b.next()]);
        } else {
            core.encode_row(encoding, a.next());
            core.encode_row(encoding, b.next());
        }
    }
    a.finish(encoding.log);
    b.finish(encoding.log);
}

/// How many samples of a row each stream has.
fn samples_of_streams(width: usize) -> [usize; STREAMS] {
    let turn = STREAMS * GROUP;
    std::array::from_fn(|stream| {
        width / turn * GROUP + (width % turn).saturating_sub(stream * GROUP).min(GROUP)
    })
}
