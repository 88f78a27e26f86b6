//! One stripe of a chunk: rows that are predicted and coded without any other.

use super::ans::{Decoding, Encoding};
use super::contexts::{Activity, CONTEXTS, GROUP};
use super::core::Core;
use super::header::Header;
use super::levels::{Extent, Levels};
use super::predict::Predictor;
use super::rows::{self, Rows};
use super::streams::{STREAMS, Sinks, Sources, region_bytes};
use super::tables::Counts;
use super::tokens::TOKENS;
use super::{Shape, put_length, take_length};

const SHORT: &str = "a stripe is cut short";

/// How numbers are made of samples.
#[derive(Clone, Copy)]
pub(super) struct Numbering<'a> {
    pub(super) offset: u16,
    /// The number of each sample less the offset.
    pub(super) ranks: Option<&'a [u16]>,
}

impl Numbering<'_> {
    /// Numbers in place of samples, `shift` bits higher.
    #[inline(always)]
    pub(super) fn apply(&self, samples: &mut [u16], shift: u32) {
        match self.ranks {
            None => samples
                .iter_mut()
                .for_each(|sample| *sample = sample.wrapping_sub(self.offset) << shift),
            Some(ranks) => samples.iter_mut().for_each(|sample| {
                let number = usize::from(sample.wrapping_sub(self.offset));
                *sample = ranks.get(number).copied().unwrap_or(0) << shift;
            }),
        }
    }
}

/// Buffers of one stripe, used again for the next chunk.
#[derive(Default)]
pub(super) struct Stripe {
    /// Samples, then numbers in their place.
    pub(super) samples: Vec<u16>,
    codes: Vec<u16>,
    /// Of all tokens among those of all contexts.
    places: Vec<u16>,
    /// Of all groups of all rows.
    contexts: Vec<u8>,
    activity: Activity,
    rows: Rows,
    spare: Vec<u16>,
    bytes: Vec<u8>,
    /// What the stripe is coded as.
    pub(super) coded: Vec<u8>,
    pub(super) extent: Extent,
    /// For samples in even and in odd places: one that is as the one before would wait for its count.
    counts: [Vec<u32>; 2],
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
            counts.clear();
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
            let places = &mut places[start..end];
            core.places(codes, row_contexts, places);
            count(places, counts);
            if end < samples.len() {
                activity.add(codes);
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

    /// Adds what was counted.
    pub(super) fn add_counts(&self, sums: &mut Counts) {
        for counts in &self.counts {
            for (sum, count) in sums.as_flattened_mut().iter_mut().zip(counts) {
                *sum += count;
            }
        }
    }

    /// Codes what was predicted.
    #[inline(always)]
    pub(super) fn encode<C: Core>(&mut self, core: C, encoding: &Encoding, shape: &Shape) {
        let Self { codes, places, contexts, bytes, coded, .. } = self;
        coded.clear();
        if codes.is_empty() {
            return;
        }
        let width = shape.above.min(codes.len());
        let row_groups = width.div_ceil(GROUP);
        let rows = codes.len().div_ceil(width);
        let regions = samples_of_streams(width).map(|samples| region_bytes(rows * samples));
        let bytes_in_all = regions.iter().sum();
        if bytes.len() < bytes_in_all {
            bytes.resize(bytes_in_all, 0);
        }
        let mut rest = bytes.as_mut_slice();
        let parts = regions.map(|region| {
            let (part, behind) = std::mem::take(&mut rest).split_at_mut(region);
            rest = behind;
            part
        });
        let mut sinks = Sinks::new(parts, encoding.log);
        let rows = codes.chunks(width).zip(places.chunks(width)).zip(contexts.chunks(row_groups));
        for ((codes, places), contexts) in rows.rev() {
            core.encode_row(&mut sinks, encoding, contexts, [codes, places]);
        }
        let starts = sinks.finish(encoding.log);
        for (region, start) in regions.iter().zip(starts).take(STREAMS - 1) {
            put_length(region - start, coded);
        }
        let mut end = 0;
        for (region, start) in regions.iter().zip(starts) {
            coded.extend(&bytes[end + start..end + region]);
            end += region;
        }
    }

    /// Fills `plain` from the whole of `coded`, or says what is wrong.
    #[inline(always)]
    pub(super) fn decode<C: Core>(
        &mut self,
        core: C,
        coded: &[u8],
        decoding: &Decoding,
        (header, levels): (&Header, &Levels),
        plain: &mut [u8],
    ) -> Result<(), &'static str> {
        if plain.is_empty() {
            return if coded.is_empty() { Ok(()) } else { Err("something is left over") };
        }
        let mut sources = sources(coded, decoding.log).ok_or(SHORT)?;
        let Self { activity, rows, spare, .. } = self;
        let Header { shape, predictor, .. } = header;
        let width = shape.above.min(plain.len() / shape.sample_bytes());
        let together = rows::together(C::ROWS, width);
        rows.prepare(together, width);
        activity.start(width, header.first);
        let row_bytes = width * shape.sample_bytes();
        let (first, rest) = plain.split_at_mut(row_bytes);

        let row = rows.row(0);
        core.decode_row(&mut sources, decoding, activity.contexts(), row);
        activity.add(row);
        predictor.restore_first(row);
        rows.carry_first();
        store(rows, 0, first, (shape, predictor, levels), spare);
        for batch in rest.chunks_mut(row_bytes * together) {
            let count = batch.len().div_ceil(row_bytes);
            for (index, plain) in batch.chunks(row_bytes).enumerate() {
                let samples = plain.len() / shape.sample_bytes();
                let row = &mut rows.row(index)[..];
                core.decode_row(&mut sources, decoding, activity.contexts(), &mut row[..samples]);
                row[samples..].fill(0);
                activity.add(row);
            }
            core.restore(rows, count, predictor);
            rows.carry(count);
            for (index, plain) in batch.chunks_mut(row_bytes).enumerate() {
                store(rows, index, plain, (shape, predictor, levels), spare);
            }
        }
        if !sources.are_done() {
            return Err("a stream is not one of so many samples");
        }
        Ok(())
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

/// How many samples of a row each stream has.
fn samples_of_streams(width: usize) -> [usize; STREAMS] {
    let turn = STREAMS * GROUP;
    std::array::from_fn(|stream| {
        width / turn * GROUP + (width % turn).saturating_sub(stream * GROUP).min(GROUP)
    })
}

/// Counts tokens in their contexts.
#[inline(always)]
fn count(places: &[u16], counts: &mut [Vec<u32>; 2]) {
    let [even, odd] = counts;
    let [Some(even), Some(odd)] = [even, odd].map(|counts| counts.first_chunk_mut::<COUNTS>())
    else {
        return;
    };
    let (pairs, rest) = places.as_chunks::<2>();
    for [a, b] in pairs {
        even[usize::from(*a) % COUNTS] += 1;
        odd[usize::from(*b) % COUNTS] += 1;
    }
    for place in rest {
        even[usize::from(*place) % COUNTS] += 1;
    }
}

/// The streams of a stripe.
fn sources(mut coded: &[u8], log: u32) -> Option<Sources<'_>> {
    let mut lengths = [0; STREAMS];
    for length in &mut lengths[..STREAMS - 1] {
        *length = take_length(&mut coded)?;
    }
    lengths[STREAMS - 1] = coded.len().checked_sub(lengths.iter().sum())?;
    Sources::new(coded, lengths, log)
}

/// Writes a row that is restored to plain bytes; what it holds then means nothing.
#[inline(always)]
fn store(
    rows: &mut Rows,
    index: usize,
    plain: &mut [u8],
    (shape, predictor, levels): (&Shape, &Predictor, &Levels),
    spare: &mut Vec<u16>,
) {
    let row = &mut rows.row(index)[..plain.len() / shape.sample_bytes()];
    rows::store(row, levels, predictor.shift, shape, spare, plain);
}
