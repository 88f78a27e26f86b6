//! The pixel filter for what is seldom read: fitted predictions, frequencies that follow what was coded.
//!
//! How rough the surroundings of a sample are tells which of three fitted predictions is taken, and what
//! the sample differs from it by is coded by frequencies that adapt from sample to sample, one set for
//! each size that the residuals around lead to expect. Every sample waits for the one before it, so that
//! two halves of a chunk are coded in turn. `FORMAT.md` has the layout.

#![allow(clippy::inline_always)] // what is not inlined is not compiled for what the core can

mod core;
mod fit;
mod foresight;
mod header;
mod lanes;
mod model;
mod parts;
mod predict;
mod streams;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod v3;

use std::cell::Cell;

use self::core::{Core, Plain};
use super::Codec;
use super::classed::bits::{Reader, Writer};
use super::contextual::levels::{Extent, Levels, Numbering, Ranks};
use super::contextual::{self, Shape, choose};
use super::scratch::{self, Kept};
use crate::span::Geometry;
use crate::{Error, Result};
use fit::Fitted;
use foresight::Foresight;
use header::Header;
use parts::Parts;
use predict::{Rows, Weights};
use streams::{Sink, Source};

/// Either nothing, or what is wrong.
type Checked = std::result::Result<(), &'static str>;

thread_local! {
    static SCRATCH: Kept<Scratch> = const { Cell::new(Vec::new()) };
}

/// Of the chunk in work, used again for the next one.
#[derive(Default)]
struct Scratch {
    rows: [Rows; 2],
    foresight: [Foresight; 2],
    /// Samples, then numbers in their place.
    samples: Vec<u16>,
    row: Vec<u16>,
    spare: Vec<u16>,
    tokens: Vec<[u16; 2]>,
    words: Vec<u16>,
    bits: Vec<u8>,
    ranks: Ranks,
}

/// Codes `plain`; `None` where the filter does not apply, or would not make it shorter by 1/64.
pub(super) fn encode(plain: &[u8], geometry: Geometry) -> Option<Vec<u8>> {
    let shape = Shape { stripes: 1, ..Shape::of(geometry, plain.len())? };
    if shape.left() != 1 || plain.len() / shape.sample_bytes() < shape.above {
        return None;
    }
    scratch::with(&SCRATCH, plain.len(), |scratch| encode_on_core(Encode { scratch, plain, shape }))
}

struct Encode<'a> {
    scratch: &'a mut Scratch,
    plain: &'a [u8],
    shape: Shape,
}

fn encode_on_core(task: Encode<'_>) -> Option<Vec<u8>> {
    #[cfg(target_arch = "x86_64")]
    if let Some(core) = super::classed::vector::best() {
        return pulp::Simd::vectorize(core, v3::Work { core, task });
    }
    task.run(Plain)
}

impl Encode<'_> {
    #[inline(always)]
    fn run<C: Core>(self, core: C) -> Option<Vec<u8>> {
        let Self { scratch, plain, shape } = self;
        let extent = scratch.load(plain, &shape);
        let (offset, mut highest) = extent.narrowest();
        let seen = choose::sparse(&[&scratch.samples], extent);
        let Scratch { rows, foresight, samples, tokens, words, bits, ranks, .. } = scratch;
        let ranks = seen.as_ref().map(|seen| {
            highest = (seen.count() - 1) as u16;
            seen.rank(ranks)
        });
        Numbering { offset, ranks }.apply(samples, 0);
        let fitted = Fitted::to(samples, shape.above);
        let parts = Parts::of(samples.len(), shape.above);
        let mut sink = Sink::new(samples.len(), tokens, bits);
        note(core, (rows, foresight), (samples, parts), (&fitted, highest), &mut sink);
        sink.finish();
        let states = streams::encode(tokens, words);
        let is_ranked = seen.is_some();
        let words_told = words.len();
        let header = Header {
            shape,
            plain_bytes: plain.len(),
            offset,
            highest,
            is_ranked,
            is_halved: parts.is_halved,
            fitted,
            states,
            words: words_told,
        };
        let mut out = Vec::new();
        header.write(&mut out);
        if let Some(seen) = &seen {
            let mut writer = Writer::new(&mut out);
            seen.write(&mut writer);
            writer.finish();
        }
        let odd = &plain[samples.len() * shape.sample_bytes()..];
        let bytes = out.len() + 2 * words.len() + bits.len() + odd.len();
        if bytes + plain.len() / 64 >= plain.len() {
            return None;
        }
        out.reserve_exact(bytes - out.len());
        out.extend(words.iter().rev().flat_map(|word| word.to_le_bytes()));
        out.extend(&*bits);
        out.extend(odd);
        Some(out)
    }
}

impl Scratch {
    /// Reads samples.
    #[inline(always)]
    fn load(&mut self, plain: &[u8], shape: &Shape) -> Extent {
        self.samples.resize(plain.len() / shape.sample_bytes(), 0);
        let row_bytes = shape.above * shape.sample_bytes();
        let mut extent = Extent::default();
        for (plain, row) in plain.chunks(row_bytes).zip(self.samples.chunks_mut(shape.above)) {
            contextual::rows::load(plain, shape, &mut self.spare, row);
            extent = extent.and(Extent::of(row));
        }
        extent
    }
}

/// Notes all tokens and plain bits, in the order in which a decoder makes samples.
#[inline(always)]
fn note<C: Core>(
    core: C,
    (rows, foresight): (&mut [Rows; 2], &mut [Foresight; 2]),
    (samples, parts): (&[u16], Parts),
    (fitted, highest): (&Fitted, u16),
    sink: &mut Sink<'_>,
) {
    let [weights_first, weights] = [Weights::first(), Weights::of(fitted, highest)];
    for rows in &mut *rows {
        rows.start(parts.width);
    }
    for row in 0..parts.rows() {
        let weights = if row == 0 { &weights_first } else { &weights };
        for part in 0..2 {
            let numbers = &samples[parts.range(part, row)];
            foresight[part].make(&mut rows[part], weights, numbers);
            rows[part].end_row(row == 0, fitted);
        }
        // Loops, since a closure would not be sure to be compiled for what the core can.
        let [first, second] = &*foresight;
        for ((set, code), (set_second, code_second)) in first.each().zip(second.each()) {
            sink.put(core, set, code);
            sink.put(core, set_second, code_second);
        }
        for (set, code) in first.each().skip(second.codes.len()) {
            sink.put(core, set, code);
        }
    }
}

/// Fills `plain`, exactly.
pub(super) fn decode(coded: &[u8], plain: &mut [u8]) -> Result<()> {
    let fault = |why| Error::Codec { codec: Codec::PixelAdaptive.id(), why };
    let (header, rest) = Header::read(coded).map_err(fault)?;
    if header.plain_bytes != plain.len() {
        return Err(fault("it has another length"));
    }
    scratch::with(&SCRATCH, plain.len(), |scratch| {
        decode_on_core(Decode { scratch, coded: rest, header: &header, plain })
    })
    .map_err(fault)
}

struct Decode<'a> {
    scratch: &'a mut Scratch,
    coded: &'a [u8],
    header: &'a Header,
    plain: &'a mut [u8],
}

fn decode_on_core(task: Decode<'_>) -> Checked {
    #[cfg(target_arch = "x86_64")]
    if let Some(core) = super::classed::vector::best() {
        return pulp::Simd::vectorize(core, v3::Work { core, task });
    }
    task.run(Plain)
}

impl Decode<'_> {
    #[inline(always)]
    fn run<C: Core>(self, core: C) -> Checked {
        const SHORT: &str = "it is cut short";
        let Self { scratch, mut coded, header, plain } = self;
        let shape = &header.shape;
        let mut levels = Levels { offset: header.offset, ranked: None };
        if header.is_ranked {
            let mut reader = Reader::new(coded);
            levels = Levels::read(header.offset, 0, &mut reader)
                .ok_or("its levels are not ones that an encoder writes")?;
            coded = coded.get(reader.bytes_read()..).ok_or(SHORT)?;
        }
        let samples = plain.len() / shape.sample_bytes();
        let (plain, plain_odd) = plain.split_at_mut(samples * shape.sample_bytes());
        let (words, rest) = coded.split_at_checked(header.words.saturating_mul(2)).ok_or(SHORT)?;
        let bits = rest.len().checked_sub(plain_odd.len()).ok_or(SHORT)?;
        let (bits, odd) = rest.split_at(bits);
        plain_odd.copy_from_slice(odd);
        let Scratch { rows: made, row: numbers, spare, .. } = scratch;
        let mut source = Source::new(header.states, words.as_chunks().0, bits);
        let parts = Parts { samples, width: shape.above, is_halved: header.is_halved };
        let weights = [Weights::first(), Weights::of(&header.fitted, header.highest)];
        for rows in &mut *made {
            rows.start(parts.width);
        }
        for row in 0..parts.rows() {
            let ranges = [0, 1].map(|part| parts.range(part, row));
            let counts = [ranges[0].len(), ranges[1].len()];
            lanes::make(core, made, counts, &weights[row.min(1)], &mut source);
            for (made, range) in made.iter_mut().zip(ranges) {
                made.end_row(row == 0, &header.fitted);
                numbers.clear();
                numbers.extend(made.made()[..range.len()].iter().map(|number| *number as u16));
                let bytes = range.start * shape.sample_bytes()..range.end * shape.sample_bytes();
                contextual::rows::store(numbers, &levels, 0, shape, spare, &mut plain[bytes]);
            }
        }
        if !source.is_done() {
            return Err("its streams are not those of so many samples");
        }
        Ok(())
    }
}
