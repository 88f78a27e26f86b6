//! The second pixel filter: MED prediction, groups of one class, prefix codes.
//!
//! Residuals are predicted and zigzagged as in codec 2, sixteen of them are a group, and groups are
//! sorted by how many bits their largest code has: what varies alike is coded alike, at no more cost
//! than telling one class for sixteen samples. A chunk is cut into stripes of rows that share codes and
//! nothing else, so that several cores can work on one chunk. `FORMAT.md` has the layout.

#![allow(clippy::inline_always)] // what is not inlined is not compiled for what the core can: `vector`

pub(in crate::codec) mod bits;
mod classes;
mod colour;
mod groups;
mod header;
pub(in crate::codec) mod huffman;
mod sample;
mod stripe;
mod tables;
pub(in crate::codec) mod vector;
#[cfg(target_arch = "x86_64")]
mod wavefront;

use std::cell::Cell;

use rayon::prelude::*;

use super::Codec;
use super::alone::is_pooled;
use super::scratch::{self, Kept};
use crate::span::Geometry;
use crate::{Error, Result};
use colour::Colour;
use groups::GROUP;
use header::Header;
use sample::Sample;
use stripe::Stripe;
use tables::{Decoding, Encoding, no_symbols};
use vector::vectorized;

/// How a chunk lies, as both sides need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    wide: bool,
    big_endian: bool,
    colour: Colour,
    left: usize,
    above: usize,
    stripes: usize,
}

/// A chunk of this many bytes has a stripe, one of twice as many two: less is not worth waking another
/// core for.
const STRIPE_BYTES: usize = 128 << 10;
/// Stripes of the longest chunk.
const STRIPES_MAX: usize = 8;

impl Shape {
    /// `None` where the filter does not apply.
    fn of(geometry: Geometry, plain_bytes: usize) -> Option<Self> {
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
            colour: Colour::Kept,
            left,
            above,
            stripes: (plain_bytes / STRIPE_BYTES).clamp(1, STRIPES_MAX),
        })
    }

    /// Samples to the neighbour that is predicted from.
    fn left(&self) -> usize {
        if self.colour.parted() { 1 } else { self.left }
    }

    /// Groups in a row, the last of which may reach into the next.
    fn groups_above(&self) -> usize {
        self.above.div_ceil(GROUP)
    }

    fn sample_bytes(&self) -> usize {
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

thread_local! {
    static SCRATCH: Kept<Scratch> = const { Cell::new(Vec::new()) };
}

#[derive(Default)]
struct Scratch {
    wide: Vec<Stripe<u16>>,
    narrow: Vec<Stripe<u8>>,
    encoding: Encoding,
    decoding: Decoding,
}

/// Codes `plain`; `None` where the filter does not apply, or would not make it shorter by 1/64.
pub(super) fn encode(plain: &[u8], geometry: Geometry) -> Option<Vec<u8>> {
    let shape = Shape::of(geometry, plain.len())?;
    scratch::with(&SCRATCH, plain.len(), |Scratch { wide, narrow, encoding, .. }| {
        if shape.wide {
            encode_samples(plain, shape, wide, encoding)
        } else {
            encode_samples(plain, shape, narrow, encoding)
        }
    })
}

fn encode_samples<S: Sample>(
    plain: &[u8],
    mut shape: Shape,
    stripes: &mut Vec<Stripe<S>>,
    encoding: &mut Encoding,
) -> Option<Vec<u8>> {
    if shape.left == 3 && shape.above.is_multiple_of(3) {
        shape.colour = Colour::Differences;
    }
    stripes.resize_with(shape.stripes.max(stripes.len()), Stripe::default);
    let stripes = &mut stripes[..shape.stripes];
    let (parts, rest) = parted(plain, &shape);
    each(stripes, parts, |stripe, plain| {
        vectorized(
            #[inline(always)]
            || stripe.prepare(plain, &shape),
        );
    });

    let mut out = Vec::new();
    Header { shape, plain_bytes: plain.len() }.write(&mut out);
    let bits = make_codes(stripes, encoding, &mut out);
    let low_bytes: usize = stripes.iter().map(Stripe::low_bytes).sum();
    let bytes = out.len() + bits as usize / 8 + low_bytes;
    if bytes + plain.len() / 64 >= plain.len() {
        return None;
    }
    let none = std::iter::repeat(());
    each(stripes, none, |stripe, ()| {
        vectorized(
            #[inline(always)]
            || stripe.encode(encoding, &shape),
        );
    });
    out.reserve_exact(stripes.iter().map(|stripe| stripe.coded.len() + 4).sum::<usize>() + 1);
    for stripe in &*stripes {
        out.extend((stripe.coded.len() as u32).to_le_bytes());
    }
    for stripe in &*stripes {
        out.extend(&stripe.coded);
    }
    out.extend(rest);
    Some(out)
}

/// Codes for all stripes together.
fn make_codes<S>(stripes: &[Stripe<S>], encoding: &mut Encoding, out: &mut Vec<u8>) -> u64 {
    let mut contexts = classes::Counts::default();
    let mut symbols = no_symbols();
    for stripe in stripes {
        add(contexts.as_flattened_mut(), stripe.class_counts.as_flattened());
        add(symbols.as_flattened_mut(), stripe.symbol_counts.as_flattened());
    }
    tables::make(&contexts, &symbols, encoding, out)
}

fn add(sums: &mut [u32], counts: &[u32]) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += count;
    }
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

/// Works on all stripes: on several threads if this is one of a pool of several, else in turn.
fn each<S: Sample, P: Send>(
    stripes: &mut [Stripe<S>],
    parts: impl IntoIterator<Item = P>,
    work: impl Fn(&mut Stripe<S>, P) + Sync,
) {
    let mut jobs: Vec<_> = stripes.iter_mut().zip(parts).collect();
    if jobs.len() > 1 && is_pooled() {
        jobs.into_par_iter().for_each(|(stripe, part)| work(stripe, part));
    } else {
        jobs.drain(..).for_each(|(stripe, part)| work(stripe, part));
    }
}

/// Fills `plain`, exactly.
pub(super) fn decode(coded: &[u8], plain: &mut [u8]) -> Result<()> {
    let fault = |why| Error::Codec { codec: Codec::PixelClassed.id(), why };
    let (Header { shape, plain_bytes }, rest) = Header::read(coded).map_err(fault)?;
    if plain_bytes != plain.len() {
        return Err(fault("it has another length"));
    }
    scratch::with(&SCRATCH, plain.len(), |Scratch { wide, narrow, decoding, .. }| {
        if shape.wide {
            decode_samples(rest, shape, wide, decoding, plain)
        } else {
            decode_samples(rest, shape, narrow, decoding, plain)
        }
    })
    .map_err(fault)
}

fn decode_samples<S: Sample>(
    coded: &[u8],
    shape: Shape,
    stripes: &mut Vec<Stripe<S>>,
    decoding: &mut Decoding,
    plain: &mut [u8],
) -> std::result::Result<(), &'static str> {
    const SHORT: &str = "it is cut short";
    let (bytes, known) =
        tables::read(coded, decoding).ok_or("its codes are not ones that an encoder writes")?;
    let (lengths, mut coded) = coded[bytes..].split_at_checked(4 * shape.stripes).ok_or(SHORT)?;
    let mut parts = Vec::with_capacity(shape.stripes);
    let mut rest = plain;
    let plain_bytes = rest.len();
    let lengths = lengths.as_chunks().0.iter().map(|length| u32::from_le_bytes(*length));
    for (length, bytes) in lengths.zip(shape.stripe_bytes(plain_bytes)) {
        let (stripe, behind) = coded.split_at_checked(length as usize).ok_or(SHORT)?;
        let (part, plain_behind) = rest.split_at_mut(bytes);
        (coded, rest) = (behind, plain_behind);
        parts.push((stripe, part, Ok(())));
    }
    if coded.len() != rest.len() {
        return Err("it has another length");
    }
    rest.copy_from_slice(coded);
    stripes.resize_with(shape.stripes.max(stripes.len()), Stripe::default);
    each(&mut stripes[..shape.stripes], &mut parts, |stripe, (coded, plain, done)| {
        *done = vectorized(
            #[inline(always)]
            || stripe.decode(coded, decoding, known, &shape, plain),
        );
    });
    parts.into_iter().try_for_each(|(_, _, done)| done)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// Flat, smooth and noisy areas of any loudness.
    fn picture(seed: u8, bytes: usize, row: usize) -> Vec<u8> {
        let mut noise = vec![0; bytes];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut noise);
        let value = |i: usize| match (i % row / 50 + i / row / 9) % 4 {
            0 => 3,
            1 => (i % row / 2) as u8 ^ (noise[i] & 1),
            2 => noise[i] >> (i / row % 9).min(7),
            _ if i % 2 == 1 => noise[i] >> (seed % 8),
            _ => noise[i],
        };
        (0..bytes).map(value).collect()
    }

    fn any_geometry() -> impl Strategy<Value = Geometry> {
        let left = prop_oneof![4 => Just(1), 2 => Just(3), 1 => 0u8..6];
        let above = prop_oneof![4 => 1u32..700, 1 => any::<u32>()];
        (1u8..3, any::<bool>(), left, above).prop_map(|(sample_bytes, big_endian, left, above)| {
            let above = if left == 3 && above < 700 { 3 * above } else { above };
            Geometry { sample_bytes, big_endian, left, above }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(120))]

        /// The same bytes whatever the core can do and however many threads there are, and back.
        #[test]
        fn cores_and_threads_agree(
            geometry in any_geometry(),
            seed: u8,
            bytes in prop_oneof![3 => 0usize..9000, 1 => 250_000usize..600_000],
        ) {
            let plain = picture(seed, bytes, (geometry.above as usize).clamp(10, 1400));
            let coded = encode(&plain, geometry);
            vector::AT_MOST.set(vector::Can::Least);
            let plainly = encode(&plain, geometry);
            vector::AT_MOST.set(vector::Can::All);
            prop_assert_eq!(&coded, &plainly);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            prop_assert_eq!(&coded, &pool.install(|| encode(&plain, geometry)));
            let Some(coded) = coded else { return Ok(()) };
            let mut back = vec![1; plain.len()];
            decode(&coded, &mut back).unwrap();
            prop_assert!(back == plain);
            vector::AT_MOST.set(vector::Can::Least);
            back.fill(2);
            let done = decode(&coded, &mut back);
            vector::AT_MOST.set(vector::Can::All);
            prop_assert!(done.is_ok() && back == plain);
            back.fill(3);
            pool.install(|| decode(&coded, &mut back)).unwrap();
            prop_assert!(back == plain);
        }

        #[test]
        fn damaged_chunks_never_panic(
            geometry in any_geometry(),
            seed: u8,
            bytes in 64usize..40_000,
            at: prop::sample::Index,
            with in 1u8..,
            cut: prop::sample::Index,
        ) {
            let plain = picture(seed, bytes, 200);
            let Some(mut coded) = encode(&plain, geometry) else { return Ok(()) };
            let mut back = vec![0; plain.len()];
            prop_assert!(decode(&coded[..cut.index(coded.len())], &mut back).is_err());
            coded.push(0);
            prop_assert!(decode(&coded, &mut back).is_err());
            coded.pop();
            // Half of the damage to where it matters most.
            let near = if with % 2 == 0 { coded.len() } else { coded.len().min(300) };
            coded[at.index(near)] ^= with;
            let _ = decode(&coded, &mut back);
            back.push(0);
            let _ = decode(&coded, &mut back);
        }
    }

    #[test]
    fn noise_is_refused_and_nothing_costs_next_to_nothing() {
        let geometry = Geometry { sample_bytes: 2, big_endian: false, left: 1, above: 512 };
        let mut noise = vec![0; 300_000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        assert_eq!(encode(&noise, geometry), None);
        let empty = encode(&vec![0; 512 * 512 * 2], geometry).unwrap();
        assert!(empty.len() < 60, "{}", empty.len());
    }

    #[test]
    fn what_a_thread_keeps_is_bounded() {
        let geometry = Geometry { sample_bytes: 1, big_endian: false, left: 1, above: 512 };
        let coded = encode(&vec![7; scratch::KEPT_BYTES + 1], geometry).unwrap();
        assert!(SCRATCH.take().is_empty());
        let mut back = vec![0; scratch::KEPT_BYTES + 1];
        decode(&coded, &mut back).unwrap();
        assert!(SCRATCH.take().is_empty());
        assert!(back.iter().all(|byte| *byte == 7));
    }
}
