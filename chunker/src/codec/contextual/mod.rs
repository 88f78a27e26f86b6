//! The third pixel filter: a fitted predictor, contexts from the rows above, numeral systems by table.
//!
//! Samples are numbered from zero up and predicted by the median edge detector or by five neighbours
//! with weights fitted to the chunk. What they differ by is coded in the context of how large that is
//! in the two rows above: all contexts of a row are known before any of it is decoded. A chunk is cut
//! into stripes of rows that share tables and nothing else, so that several cores can work on one
//! chunk. `FORMAT.md` has the layout.

#![allow(clippy::inline_always)] // what is not inlined is not compiled for what the core can

mod ans;
pub(super) mod choose;
mod contexts;
mod core;
mod decoding;
mod encoding;
mod fit;
mod header;
pub(super) mod levels;
mod predict;
pub(super) mod rows;
mod streams;
mod stripe;
mod tables;
#[cfg(test)]
mod tests;
mod tokens;
#[cfg(target_arch = "x86_64")]
mod v3;
#[cfg(target_arch = "x86_64")]
mod v4;

use std::cell::Cell;

use rayon::prelude::*;

use super::Codec;
use super::alone::is_pooled;
use super::classed::bits;
use super::classed::huffman::{put_length, take_length};
use super::scratch::{self, Kept};
use crate::span::Geometry;
use crate::{Error, Result};
use ans::{Decoding, Encoding, LOG_MAX};
use bits::{Reader, Writer};
use choose::Sampled;
use contexts::CONTEXTS;
use core::{Core, Plain};
use decoding::{Part, Told};
use header::Header;
use levels::{Extent, Levels, Numbering, Ranks, Seen};
use streams::Sources;
use stripe::Stripe;
use tables::Counts;
use tokens::TOKENS;

/// How a chunk lies, as both sides need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) wide: bool,
    pub(super) big_endian: bool,
    /// Rows hold second samples, first less second, third less second.
    pub(super) parted: bool,
    pub(super) left: usize,
    pub(super) above: usize,
    pub(super) stripes: usize,
}

/// Chunks have a stripe for each of this many bytes, and two at least if they have as many: the first
/// row of each costs more.
const STRIPE_BYTES: usize = 256 << 10;
/// Stripes of the longest chunk.
const STRIPES_MAX: usize = 8;

impl Shape {
    /// `None` where the filter does not apply.
    pub(super) fn of(geometry: Geometry, plain_bytes: usize) -> Option<Self> {
        let wide = match geometry.sample_bytes {
            1 => false,
            2 => true,
            _ => return None,
        };
        let left = usize::from(geometry.left.max(1));
        let above = (geometry.above.max(1) as usize).max(left);
        Some(Self {
            wide,
            big_endian: wide && geometry.big_endian,
            parted: left == 3 && above.is_multiple_of(3),
            left,
            above,
            stripes: match plain_bytes {
                0..STRIPE_BYTES => 1,
                _ => (plain_bytes / STRIPE_BYTES).clamp(2, STRIPES_MAX),
            },
        })
    }

    /// Samples to the neighbour that is predicted from.
    pub(super) fn left(&self) -> usize {
        if self.parted { 1 } else { self.left }
    }

    pub(super) fn sample_bytes(&self) -> usize {
        if self.wide { 2 } else { 1 }
    }

    /// Bytes of each stripe. Their sum is the plain length without the odd byte behind 16-bit samples.
    fn stripe_bytes(&self, plain_bytes: usize) -> impl Iterator<Item = usize> {
        let samples = plain_bytes / self.sample_bytes();
        let rows = samples.div_ceil(self.above);
        let (stripes, above, sample_bytes) = (self.stripes, self.above, self.sample_bytes());
        let end = move |stripe: usize| samples.min((rows * stripe / stripes).saturating_mul(above));
        (0..stripes).map(move |stripe| (end(stripe + 1) - end(stripe)) * sample_bytes)
    }
}

/// Work that is compiled for each kind of core.
trait Task {
    type Output;

    fn run<C: Core>(self, core: C) -> Self::Output;
}

/// Does work on the core at hand.
fn on_core<T: Task>(task: T) -> T::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(core) = super::classed::vector::widest() {
            return pulp::Simd::vectorize(core, v3::Work { core, task });
        }
        if let Some(core) = super::classed::vector::best() {
            return pulp::Simd::vectorize(core, v3::Work { core, task });
        }
    }
    task.run(Plain)
}

thread_local! {
    static SCRATCH: Kept<Scratch> = const { Cell::new(Vec::new()) };
}

#[derive(Default)]
struct Scratch {
    stripes: Vec<Stripe>,
    encoding: Encoding,
    decoding: Decoding,
    sampled: Sampled,
    ranks: Ranks,
}

/// Bits of a state for so many samples: longer tables take longer to make.
fn log(samples: usize) -> u32 {
    match samples {
        0..8192 => LOG_MAX - 2,
        8192..65_536 => LOG_MAX - 1,
        _ => LOG_MAX,
    }
}

/// Codes `plain`; `None` where the filter does not apply, or would not make it shorter by 1/64.
pub(super) fn encode(plain: &[u8], geometry: Geometry) -> Option<Vec<u8>> {
    let shape = Shape::of(geometry, plain.len())?;
    if plain.len() < shape.sample_bytes() {
        return None;
    }
    scratch::with(&SCRATCH, plain.len(), |scratch| encode_stripes(plain, shape, scratch))
}

fn encode_stripes(plain: &[u8], shape: Shape, scratch: &mut Scratch) -> Option<Vec<u8>> {
    let Scratch { stripes, encoding, sampled, ranks, .. } = scratch;
    stripes.resize_with(shape.stripes.max(stripes.len()), Stripe::default);
    let stripes = &mut stripes[..shape.stripes];
    let (parts, odd) = parted(plain, &shape);
    let mut loads: Vec<_> = stripes.iter_mut().zip(parts).collect();
    each(&mut loads, 1, |loads| on_core(Load { loads, shape: &shape }));

    let extent = stripes.iter().fold(Extent::default(), |all, stripe| all.and(stripe.extent));
    let (offset, mut highest) = extent.narrowest();
    let parts: Vec<&[u16]> = stripes.iter().map(|stripe| &*stripe.samples).collect();
    let seen = on_core(Sparse { parts: &parts, extent });
    let ranked = seen.as_ref().map(|seen| {
        highest = (seen.count() - 1) as u16;
        seen.rank(ranks)
    });
    let numbering = Numbering { offset, ranks: ranked };
    let predictor =
        on_core(Choose { stripes, sampled: &mut *sampled, shape: &shape, numbering, highest });
    let width = shape.above;
    let first = stripes.iter().find(|stripe| !stripe.samples.is_empty())?;
    let first = choose::first_context((first, sampled), width, &numbering, &predictor);
    let samples = plain.len() / shape.sample_bytes();
    encoding.log = log(samples);
    let header = Header {
        shape,
        plain_bytes: plain.len(),
        predictor,
        offset,
        is_ranked: seen.is_some(),
        log: encoding.log,
        first,
    };
    each(stripes, 1, |stripes| {
        on_core(Predict { stripes, numbering: &numbering, header: &header });
    });

    let mut counts: Counts = [[0; TOKENS]; CONTEXTS];
    on_core(Count { stripes, counts: &mut counts });
    let is_gain = |bytes: usize| bytes + plain.len() / 64 < plain.len();
    let mut out = Vec::new();
    header.write(&mut out);
    let mut writer = Writer::new(&mut out);
    if let Some(seen) = &seen {
        seen.write(&mut writer);
    }
    let bits = on_core(MakeTables { counts: &counts, encoding, writer: &mut writer });
    writer.finish();
    if !is_gain((bits / 8) as usize) {
        return None;
    }
    each(stripes, on_core(AtOnce), |stripes| on_core(Encode { stripes, encoding, shape: &shape }));
    out.reserve_exact(stripes.iter().map(|stripe| stripe.coded.len() + 4).sum::<usize>() + 1);
    for stripe in &*stripes {
        out.extend((stripe.coded.len() as u32).to_le_bytes());
    }
    for stripe in &*stripes {
        out.extend(&stripe.coded);
    }
    out.extend(odd);
    is_gain(out.len()).then_some(out)
}

/// The bytes of each stripe, and what remains: the odd byte behind 16-bit samples.
fn parted<'a>(plain: &'a [u8], shape: &Shape) -> (Vec<&'a [u8]>, &'a [u8]) {
    let mut rest = plain;
    let parts = shape.stripe_bytes(plain.len()).map(|bytes| {
        let (part, behind) = rest.split_at(bytes);
        rest = behind;
        part
    });
    (parts.collect(), rest)
}

/// Works on so many at a time: on several threads if this is one of a pool of several, else in turn.
fn each<T: Send, R: Send>(
    all: &mut [T],
    at_once: usize,
    work: impl Fn(&mut [T]) -> R + Sync,
) -> Vec<R> {
    if all.len() > at_once && is_pooled() {
        all.par_chunks_mut(at_once).map(&work).collect()
    } else {
        all.chunks_mut(at_once).map(work).collect()
    }
}

struct Load<'a, 's, 'p> {
    loads: &'a mut [(&'s mut Stripe, &'p [u8])],
    shape: &'a Shape,
}

impl Task for Load<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<C: Core>(self, _: C) {
        for (stripe, plain) in self.loads {
            stripe.load(plain, self.shape);
        }
    }
}

struct Sparse<'a> {
    parts: &'a [&'a [u16]],
    extent: Extent,
}

impl Task for Sparse<'_> {
    type Output = Option<Seen>;

    #[inline(always)]
    fn run<C: Core>(self, _: C) -> Self::Output {
        choose::sparse(self.parts, self.extent)
    }
}

struct Count<'a> {
    stripes: &'a mut [Stripe],
    counts: &'a mut Counts,
}

impl Task for Count<'_> {
    type Output = ();

    #[inline(always)]
    fn run<C: Core>(self, _: C) {
        for stripe in self.stripes {
            stripe.add_counts(self.counts);
        }
    }
}

struct Choose<'a> {
    stripes: &'a [Stripe],
    sampled: &'a mut Sampled,
    shape: &'a Shape,
    numbering: Numbering<'a>,
    highest: u16,
}

impl Task for Choose<'_> {
    type Output = predict::Predictor;

    #[inline(always)]
    fn run<C: Core>(self, core: C) -> Self::Output {
        let Self { stripes, sampled, shape, numbering, highest } = self;
        let (width, left) = (shape.above, shape.left());
        choose::predictor(core, (stripes, sampled), width, left, &numbering, highest)
    }
}

struct Predict<'a> {
    stripes: &'a mut [Stripe],
    numbering: &'a Numbering<'a>,
    header: &'a Header,
}

impl Task for Predict<'_> {
    type Output = ();

    #[inline(always)]
    fn run<C: Core>(self, core: C) {
        for stripe in self.stripes {
            stripe.predict(core, self.numbering, self.header);
        }
    }
}

struct MakeTables<'a, 'b> {
    counts: &'a Counts,
    encoding: &'a mut Encoding,
    writer: &'a mut Writer<'b>,
}

impl Task for MakeTables<'_, '_> {
    type Output = u64;

    #[inline(always)]
    fn run<C: Core>(self, _: C) -> u64 {
        tables::make(self.counts, self.encoding, self.writer)
    }
}

struct Encode<'a> {
    stripes: &'a mut [Stripe],
    encoding: &'a Encoding,
    shape: &'a Shape,
}

impl Task for Encode<'_> {
    type Output = ();

    #[inline(always)]
    fn run<C: Core>(self, core: C) {
        let Self { stripes, encoding, shape } = self;
        match stripes {
            [a, b] => encoding::encode_two(core, [a, b], encoding, shape),
            stripes => {
                for stripe in stripes {
                    encoding::encode(core, stripe, encoding, shape);
                }
            }
        }
    }
}

/// How many stripes a thread works on at once.
struct AtOnce;

impl Task for AtOnce {
    type Output = usize;

    #[inline(always)]
    fn run<C: Core>(self, _: C) -> usize {
        C::STRIPES
    }
}

/// Either nothing, or what is wrong.
type Checked = std::result::Result<(), &'static str>;

struct ReadTables<'a, 'b> {
    reader: &'a mut Reader<'b>,
    decoding: &'a mut Decoding,
}

impl Task for ReadTables<'_, '_> {
    type Output = Option<()>;

    #[inline(always)]
    fn run<C: Core>(self, _: C) -> Option<()> {
        tables::read(self.reader, self.decoding)
    }
}

struct Decode<'a, 'p> {
    parts: &'a mut [Part<'p>],
    told: Told<'a>,
}

impl Task for Decode<'_, '_> {
    type Output = Checked;

    #[inline(always)]
    fn run<C: Core>(self, core: C) -> Checked {
        let Self { parts, told } = self;
        if let [a, b] = &*parts
            && a.width(told) == b.width(told)
        {
            return decoding::decode(core, told, parts);
        }
        for part in parts {
            decoding::decode(core, told, std::slice::from_mut(part))?;
        }
        Ok(())
    }
}

/// Fills `plain`, exactly.
pub(super) fn decode(coded: &[u8], plain: &mut [u8]) -> Result<()> {
    let fault = |why| Error::Codec { codec: Codec::PixelContext.id(), why };
    let (header, rest) = Header::read(coded).map_err(fault)?;
    if header.plain_bytes != plain.len() {
        return Err(fault("it has another length"));
    }
    let plain_bytes = plain.len();
    scratch::with(&SCRATCH, plain_bytes, |scratch| decode_stripes(rest, &header, scratch, plain))
        .map_err(fault)
}

fn decode_stripes(
    coded: &[u8],
    header: &Header,
    scratch: &mut Scratch,
    plain: &mut [u8],
) -> Checked {
    const SHORT: &str = "it is cut short";
    let Scratch { stripes, decoding, .. } = scratch;
    let shape = &header.shape;
    let mut reader = Reader::new(coded);
    let mut levels = Levels { offset: header.offset, ranked: None };
    if header.is_ranked {
        levels = Levels::read(header.offset, header.predictor.shift, &mut reader)
            .ok_or("its levels are not ones that an encoder writes")?;
    }
    decoding.log = header.log;
    on_core(ReadTables { reader: &mut reader, decoding })
        .ok_or("its tables are not ones that an encoder writes")?;
    let coded = coded.get(reader.bytes_read()..).ok_or(SHORT)?;
    let (lengths, mut coded) = coded.split_at_checked(4 * shape.stripes).ok_or(SHORT)?;
    stripes.resize_with(shape.stripes.max(stripes.len()), Stripe::default);
    let mut parts = Vec::with_capacity(shape.stripes);
    let plain_bytes = plain.len();
    let mut rest = plain;
    let lengths = lengths.as_chunks().0.iter().map(|length| u32::from_le_bytes(*length));
    let lengths = lengths.zip(shape.stripe_bytes(plain_bytes));
    for (stripe, (length, bytes)) in stripes.iter_mut().zip(lengths) {
        let (one, behind) = coded.split_at_checked(length as usize).ok_or(SHORT)?;
        let (plain, plain_behind) = rest.split_at_mut(bytes);
        (coded, rest) = (behind, plain_behind);
        if !plain.is_empty() {
            let sources = Sources::of(one, header.log).ok_or("a stripe is cut short")?;
            parts.push(Part { stripe, sources, plain });
        } else if !one.is_empty() {
            return Err("something is left over");
        }
    }
    if coded.len() != rest.len() {
        return Err("it has another length");
    }
    rest.copy_from_slice(coded);
    let told = Told { header, levels: &levels, decoding };
    let done = each(&mut parts, on_core(AtOnce), |parts| on_core(Decode { parts, told }));
    done.into_iter().collect()
}
