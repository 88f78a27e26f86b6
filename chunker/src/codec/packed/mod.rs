//! The quick pixel filter: MED prediction, zigzag, groups of eight packed in as many bits as they need.
//!
//! There are no tables and nothing is counted: a row of samples goes from plain to packed bytes while
//! it is in the nearest cache. `FORMAT.md` has the layout.

#![allow(clippy::inline_always)] // what is not inlined is not compiled for what the core can

mod core;
mod groups;
mod header;
mod rows;
#[cfg(target_arch = "x86_64")]
mod v3;
mod widths;

use std::cell::Cell;

use self::core::{Core, Plain, residuals};
use super::Codec;
use super::scratch::{self, Kept};
use crate::span::Geometry;
use crate::{Error, Result};
use groups::{GROUP, PAIR, Packed, bits_of, bytes_of};
use header::Header;
use rows::Rows;
use widths::{BATCH, Escapes, row_bytes};

/// Nothing, or what is wrong.
type Checked = std::result::Result<(), &'static str>;

/// How a chunk lies, as both sides need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    wide: bool,
    big_endian: bool,
    /// Colours are parted, as differences.
    parted: bool,
    left: usize,
    above: usize,
    /// Samples of the longest row there is, as opposed to `above`, which may say anything.
    width: usize,
    /// Samples together.
    samples: usize,
}

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
        let parted = left == 3 && above.is_multiple_of(3);
        let big_endian = wide && geometry.big_endian;
        Some(Self { wide, big_endian, parted, left, above, width: 0, samples: 0 }.with(plain_bytes))
    }

    /// For so many plain bytes.
    fn with(self, plain_bytes: usize) -> Self {
        let samples = plain_bytes / self.sample_bytes();
        Self { samples, width: self.above.min(samples), ..self }
    }

    fn sample_bytes(&self) -> usize {
        if self.wide { 2 } else { 1 }
    }

    /// What a sample may be.
    fn mask(&self) -> u16 {
        if self.wide { u16::MAX } else { 0xff }
    }

    /// Samples to the neighbour that is predicted from.
    fn left(&self) -> usize {
        if self.parted { 1 } else { self.left }
    }

    /// Groups in the longest row.
    fn groups(&self) -> usize {
        self.width.div_ceil(GROUP)
    }

    /// Samples of the last row, if it is not whole.
    fn rest(&self) -> usize {
        if self.width == 0 { 0 } else { self.samples % self.width }
    }

    /// Bytes of the symbols of all rows.
    fn symbol_bytes(&self) -> usize {
        let rows = self.samples.checked_div(self.width).unwrap_or(0);
        rows * row_bytes(self.groups()) + row_bytes(self.rest().div_ceil(GROUP))
    }

    /// Plain bytes of a row.
    fn row_bytes(&self) -> usize {
        self.width.max(1) * self.sample_bytes()
    }
}

thread_local! {
    static SCRATCH: Kept<Scratch> = const { Cell::new(Vec::new()) };
}

/// Of the chunk in work, reused from chunk to chunk.
#[derive(Default)]
struct Scratch {
    rows: Rows,
    codes: Vec<u16>,
    /// Indices of the widths of a row, and of the one above.
    indices: Vec<u8>,
    above: Vec<u8>,
    symbols: Vec<u8>,
    escapes: Vec<u8>,
    body: Vec<u8>,
}

/// Codes `plain`; `None` where the filter does not apply, or would not make it shorter by 1/64.
pub(super) fn encode(plain: &[u8], geometry: Geometry) -> Option<Vec<u8>> {
    let shape = Shape::of(geometry, plain.len())?;
    let odd = &plain[shape.samples * shape.sample_bytes()..];
    scratch::with(&SCRATCH, plain.len(), |scratch| {
        let body_bytes = encode_rows(scratch, plain, &shape);
        let Scratch { symbols, escapes, body, .. } = scratch;
        let header = Header { shape, plain_bytes: plain.len(), escapes: escapes.len() }.bytes();
        let bytes =
            header.len() + symbols.len() + escapes.len().div_ceil(2) + body_bytes + odd.len();
        if bytes + plain.len() / 64 >= plain.len() {
            return None;
        }
        let mut out = Vec::with_capacity(bytes);
        out.extend(header);
        out.extend(&*symbols);
        widths::put_escapes(escapes, &mut out);
        out.extend(&body[..body_bytes]);
        out.extend(odd);
        Some(out)
    })
}

fn encode_rows(scratch: &mut Scratch, plain: &[u8], shape: &Shape) -> usize {
    #[cfg(target_arch = "x86_64")]
    if let Some(core) = super::classed::vector::best() {
        return core.vectorize(v3::Encode { core, scratch, plain, shape });
    }
    scratch.encode(Plain, plain, shape)
}

fn decode_rows(
    scratch: &mut Scratch,
    coded: Parts<'_>,
    shape: &Shape,
    plain: &mut [u8],
) -> Checked {
    #[cfg(target_arch = "x86_64")]
    if let Some(core) = super::classed::vector::best() {
        return core.vectorize(v3::Decode { core, scratch, coded, plain, shape });
    }
    scratch.decode(Plain, coded, shape, plain)
}

impl Scratch {
    fn prepare(&mut self, rows: usize, shape: &Shape) {
        self.rows.prepare(rows, shape.width, shape.left());
        for indices in [&mut self.indices, &mut self.above] {
            indices.clear();
            indices.resize(shape.groups().next_multiple_of(BATCH), 0);
        }
    }

    /// Leaves symbols, escapes and body; gives how many bytes the body has.
    #[inline(always)]
    fn encode<C: Core>(&mut self, core: C, plain: &[u8], shape: &Shape) -> usize {
        self.prepare(1, shape);
        // What is behind the last sample stays zero.
        self.codes.clear();
        self.codes.resize(shape.groups().next_multiple_of(BATCH) * GROUP, 0);
        self.symbols.clear();
        self.escapes.clear();
        // A code is no longer than a sample, and groups are written with what is behind them.
        let body_bytes = shape.samples * shape.sample_bytes() + 3 * size_of::<Packed>();
        if self.body.len() < body_bytes {
            self.body.resize(body_bytes, 0);
        }
        let mut at = 0;
        let samples = &plain[..shape.samples * shape.sample_bytes()];
        for row in samples.chunks(shape.row_bytes()) {
            let count = row.len() / shape.sample_bytes();
            let groups = count.div_ceil(GROUP);
            self.rows.load(0, row, shape);
            let pad = self.rows.pad;
            let (north, here) = self.rows.pair(0);
            residuals(north, here, pad, shape, &mut self.codes[..count]);
            self.codes[count..].fill(0);
            core.index(&self.codes, &mut self.indices);
            widths::write(&self.above, &self.indices, groups, &mut self.symbols, &mut self.escapes);
            at += pack_row(core, &self.codes, &self.indices, count, &mut self.body[at..]);
            std::mem::swap(&mut self.above, &mut self.indices);
            let Rows { north, here, .. } = &mut self.rows;
            std::mem::swap(north, here);
        }
        at
    }

    /// Fills `plain` without the odd byte behind its samples, or says what is wrong.
    #[inline(always)]
    fn decode<C: Core>(
        &mut self,
        core: C,
        coded: Parts<'_>,
        shape: &Shape,
        plain: &mut [u8],
    ) -> Checked {
        // Where rows are few and long, those that there are: what is held stays in proportion.
        let rows = shape.samples.div_ceil(shape.width.max(1));
        self.prepare(if rows > C::ROWS / 2 { C::ROWS } else { rows }, shape);
        let Parts { mut symbols, escapes, escape_count, mut body } = coded;
        let mut escapes = Escapes::new(escapes);
        for band in plain.chunks_mut(C::ROWS * shape.row_bytes()) {
            let mut count = 0;
            for row in band.chunks(shape.row_bytes()) {
                let samples = row.len() / shape.sample_bytes();
                let groups = samples.div_ceil(GROUP);
                let (mine, behind) = symbols.split_at(row_bytes(groups));
                symbols = behind;
                widths::read(mine, groups, &mut self.indices, &mut escapes);
                let pad = self.rows.pad;
                let (_, here) = self.rows.pair(count);
                body = unpack_row(core, body, &self.indices, samples, &mut here[pad..])
                    .ok_or("its groups are cut short")?;
                count += 1;
            }
            core.restore(&mut self.rows, count, shape);
            for (row, plain) in band.chunks_mut(shape.row_bytes()).enumerate() {
                self.rows.store(row, plain, shape);
            }
            self.rows.carry(count - 1);
        }
        if !body.is_empty() || escapes.read() != escape_count {
            return Err("something is left over, or missing");
        }
        Ok(())
    }
}

/// Packs `count` codes; gives how many bytes. `out` has room for what is behind the last group.
#[inline(always)]
fn pack_row<C: Core>(
    core: C,
    codes: &[u16],
    indices: &[u8],
    count: usize,
    out: &mut [u8],
) -> usize {
    let whole = count / PAIR;
    let (codes, indices) = (codes.as_chunks::<PAIR>().0, indices.as_chunks::<2>().0);
    let mut at = 0;
    for (codes, indices) in codes[..whole].iter().zip(&indices[..whole]) {
        let [first, second] = core.pack(codes, *indices);
        if let Some(places) = out.get_mut(at..).and_then(|out| out.first_chunk_mut::<32>()) {
            let bytes = bits_of(indices[0]);
            places[..16].copy_from_slice(&first);
            if let Some(place) = places.get_mut(bytes..).and_then(|out| out.first_chunk_mut()) {
                *place = second;
            }
            at += bytes + bits_of(indices[1]);
        }
    }
    let rest = count % PAIR;
    if rest > 0 {
        let groups = core.pack(&codes[whole], indices[whole]);
        let counts = [rest.min(GROUP), rest.saturating_sub(GROUP)];
        for ((group, index), count) in groups.iter().zip(indices[whole]).zip(counts) {
            out[at..][..group.len()].copy_from_slice(group);
            at += bytes_of(index, count);
        }
    }
    at
}

/// Unpacks `count` residuals into `row`, which has room for a last pair of groups; gives what is behind
/// their bytes, or `None` if there are not as many.
#[inline(always)]
fn unpack_row<'a, C: Core>(
    core: C,
    body: &'a [u8],
    indices: &[u8],
    count: usize,
    row: &mut [u16],
) -> Option<&'a [u8]> {
    let (row, indices) = (row.as_chunks_mut::<PAIR>().0, indices.as_chunks::<2>().0);
    let whole = count / PAIR;
    let mut at = 0;
    let pairs = row[..whole].as_chunks_mut::<2>();
    let turns = indices[..whole].as_chunks::<2>();
    for (rows, indices) in pairs.0.iter_mut().zip(turns.0) {
        let window = body.get(at..).and_then(|body| body.first_chunk::<64>());
        at += match window {
            Some(window) => unpack_two_pairs(core, window, *indices, rows),
            None => unpack_slowly(core, body, at, *indices, rows),
        };
    }
    for (row, indices) in pairs.1.iter_mut().zip(turns.1) {
        at += unpack_last(core, body, at, *indices, PAIR, row);
    }
    if whole < count.div_ceil(PAIR) {
        at += unpack_last(core, body, at, indices[whole], count % PAIR, &mut row[whole]);
    }
    body.get(at..)
}

/// Unpacks four groups that begin with `window`; gives how many bytes they have.
#[inline(always)]
fn unpack_two_pairs<C: Core>(
    core: C,
    window: &[u8; 64],
    indices: [[u8; 2]; 2],
    rows: &mut [[u16; PAIR]; 2],
) -> usize {
    let mut at = 0;
    for (row, indices) in rows.iter_mut().zip(indices) {
        let second = at + bits_of(indices[0]);
        let group = |at: usize| window.get(at..).and_then(|window| window.first_chunk());
        if let (Some(a), Some(b)) = (group(at), group(second)) {
            *row = core.unpack([a, b], indices);
        }
        at = second + bits_of(indices[1]);
    }
    at
}

/// [`unpack_two_pairs`] where there may not be as many bytes.
#[inline(never)]
fn unpack_slowly<C: Core>(
    core: C,
    body: &[u8],
    mut at: usize,
    indices: [[u8; 2]; 2],
    rows: &mut [[u16; PAIR]; 2],
) -> usize {
    let begun = at;
    for (row, indices) in rows.iter_mut().zip(indices) {
        at += unpack_last(core, body, at, indices, PAIR, row);
    }
    at - begun
}

/// Unpacks a pair of groups of which `count` codes count; gives how many bytes they have.
#[inline(always)]
fn unpack_last<C: Core>(
    _: C,
    body: &[u8],
    at: usize,
    indices: [u8; 2],
    count: usize,
    row: &mut [u16; PAIR],
) -> usize {
    let first = bytes_of(indices[0], count.min(GROUP));
    *row = Plain.unpack([&last(body, at), &last(body, at + first)], indices);
    first + bytes_of(indices[1], count.saturating_sub(GROUP))
}

/// As many bytes as there are, then zeros.
#[inline(never)]
fn last(body: &[u8], at: usize) -> Packed {
    let mut packed = Packed::default();
    let rest = body.get(at..).unwrap_or_default();
    let length = rest.len().min(packed.len());
    packed[..length].copy_from_slice(&rest[..length]);
    packed
}

/// The parts of a coded chunk behind its header.
#[derive(Clone, Copy)]
struct Parts<'a> {
    symbols: &'a [u8],
    escapes: &'a [u8],
    escape_count: usize,
    body: &'a [u8],
}

impl<'a> Parts<'a> {
    /// The parts, and the odd byte behind the samples.
    fn of(rest: &'a [u8], header: &Header, odd_bytes: usize) -> Option<(Self, &'a [u8])> {
        let (symbols, rest) = rest.split_at_checked(header.shape.symbol_bytes())?;
        let (escapes, rest) = rest.split_at_checked(header.escapes.div_ceil(2))?;
        let (body, odd) = rest.split_at_checked(rest.len().checked_sub(odd_bytes)?)?;
        Some((Self { symbols, escapes, escape_count: header.escapes, body }, odd))
    }
}

/// Fills `plain`, exactly.
pub(super) fn decode(coded: &[u8], plain: &mut [u8]) -> Result<()> {
    let fault = |why| Error::Codec { codec: Codec::PixelPacked.id(), why };
    let (header, rest) = Header::read(coded).map_err(fault)?;
    if header.plain_bytes != plain.len() {
        return Err(fault("it has another length"));
    }
    let shape = header.shape;
    let (plain, last) = plain.split_at_mut(shape.samples * shape.sample_bytes());
    let (parts, odd) = Parts::of(rest, &header, last.len()).ok_or(fault("it is cut short"))?;
    last.copy_from_slice(odd);
    scratch::with(&SCRATCH, plain.len(), |scratch| decode_rows(scratch, parts, &shape, plain))
        .map_err(fault)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::codec::classed::vector::{AT_MOST, Can};
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
        let left = prop_oneof![4 => Just(1), 2 => Just(3), 1 => any::<u8>()];
        let above = prop_oneof![4 => 1u32..700, 1 => any::<u32>()];
        (1u8..3, any::<bool>(), left, above).prop_map(|(sample_bytes, big_endian, left, above)| {
            let above = if left == 3 && above < 700 { 3 * above } else { above };
            Geometry { sample_bytes, big_endian, left, above }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        /// The same bytes whatever the core can do, and back.
        #[test]
        fn cores_agree(
            geometry in any_geometry(),
            seed: u8,
            bytes in prop_oneof![5 => 0usize..9000, 1 => 100_000usize..300_000],
        ) {
            let plain = picture(seed, bytes, (geometry.above as usize).clamp(10, 1400));
            let coded = encode(&plain, geometry);
            AT_MOST.set(Can::Least);
            let plainly = encode(&plain, geometry);
            AT_MOST.set(Can::All);
            prop_assert_eq!(&coded, &plainly);
            let Some(coded) = coded else { return Ok(()) };
            let mut back = vec![1; plain.len()];
            decode(&coded, &mut back).unwrap();
            prop_assert!(back == plain);
            AT_MOST.set(Can::Least);
            back.fill(2);
            let done = decode(&coded, &mut back);
            AT_MOST.set(Can::All);
            prop_assert!(done.is_ok() && back == plain);
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
            // Half of the damage to where it matters most. Whatever comes of it, cores agree.
            let near = if with % 2 == 0 { coded.len() } else { coded.len().min(300) };
            coded[at.index(near)] ^= with;
            let done = decode(&coded, &mut back);
            let mut plainly = vec![0; plain.len()];
            AT_MOST.set(Can::Least);
            let done_plainly = decode(&coded, &mut plainly);
            AT_MOST.set(Can::All);
            prop_assert_eq!(&done, &done_plainly);
            prop_assert!(done.is_err() || back == plainly);
            back.push(0);
            let _ = decode(&coded, &mut back);
        }

        /// Groups of all widths, full ones too.
        #[test]
        fn groups_come_back(indices in any::<[u8; 2]>(), codes in any::<[u16; PAIR]>()) {
            let indices = indices.map(|index| index % 16);
            let codes: [u16; PAIR] = std::array::from_fn(|i| {
                codes[i] & ((1u32 << bits_of(indices[i / GROUP])) - 1) as u16
            });
            let packed = Plain.pack(&codes, indices);
            let residuals = Plain.unpack([&packed[0], &packed[1]], indices);
            let unzigzagged = codes.map(|code| (code >> 1) ^ (code & 1).wrapping_neg());
            prop_assert_eq!(residuals, unzigzagged);
            #[cfg(target_arch = "x86_64")]
            if let Some(core) = pulp::x86::V3::try_new() {
                prop_assert_eq!(core.pack(&codes, indices), packed);
                prop_assert_eq!(core.unpack([&packed[0], &packed[1]], indices), residuals);
            }
        }
    }

    #[test]
    fn noise_is_refused_and_nothing_costs_next_to_nothing() {
        let geometry = Geometry { sample_bytes: 2, big_endian: false, left: 1, above: 512 };
        let mut noise = vec![0; 300_000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        assert_eq!(encode(&noise, geometry), None);
        let empty = encode(&vec![0; 512 * 512 * 2], geometry).unwrap();
        assert_eq!(empty.len(), 16 + 512 * 16);
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

    /// Rows as long as the chunk, or of one sample each, take no more memory than a few times the chunk.
    #[test]
    fn what_is_held_is_bounded_whatever_the_geometry() {
        let plain = vec![5; 1 << 20];
        for above in [1, 2, 31, 1 << 19, 1 << 20, u32::MAX] {
            let geometry = Geometry { sample_bytes: 1, big_endian: false, left: 1, above };
            SCRATCH.take();
            let coded = encode(&plain, geometry);
            let mut back = vec![0; plain.len()];
            if let Some(coded) = coded {
                decode(&coded, &mut back).unwrap();
            }
            let scratch = SCRATCH.take().pop().unwrap();
            let held = 2 * (scratch.rows.here.capacity() + scratch.codes.capacity())
                + scratch.body.capacity()
                + scratch.symbols.capacity()
                + scratch.escapes.capacity();
            assert!(held <= 8 * plain.len(), "{held} for rows of {above}");
        }
    }
}
