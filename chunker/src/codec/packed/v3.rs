//! Cores with AVX2: two groups, or sixteen rows, at once.

use std::arch::x86_64::__m256i;

use pulp::x86::V3;
use pulp::{NullaryFnOnce, cast};

use super::core::{Core, restore_by_row};
use super::groups::{GROUP, Packed, WIDTH_BITS};
use super::rows::Rows;
use super::{Checked, Parts, Scratch, Shape};

/// Rows that are restored at once.
const LANES: usize = 16;

/// By how far parts of a group move, for the index of a width.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Packing {
    /// The upper of two codes, then of two pairs, down to the lower.
    pairs: [u32; 4],
    fours: [u64; 2],
    /// The upper four codes: up to where the lower four end, and down by what is over 64 bits.
    up: [u64; 2],
    down: [u64; 2],
}

/// Where each code of a packed group is, for the index of a width.
///
/// A code is in up to three bytes. The first two, multiplied and taken from 16 bits on, are moved down;
/// the third, multiplied, is moved up. A code that begins with a byte is in two, which are `upper`.
#[derive(Clone, Copy)]
#[repr(align(128))]
struct Unpacking {
    lower: [u8; 16],
    upper: [u8; 16],
    down: [u16; 8],
    up: [u16; 8],
    mask: [u16; 8],
}

static PACKING: [Packing; 16] = packing();
static UNPACKING: [Unpacking; 16] = unpacking();

const fn packing() -> [Packing; 16] {
    let mut all = [Packing { pairs: [0; 4], fours: [0; 2], up: [0; 2], down: [0; 2] }; 16];
    let mut index = 0;
    while index < 16 {
        let bits = WIDTH_BITS[index] as u64;
        all[index] = Packing {
            pairs: [16 - bits as u32; 4],
            fours: [32 - 2 * bits; 2],
            up: [4 * bits, 64],
            down: [0, 64 - 4 * bits],
        };
        index += 1;
    }
    all
}

const fn unpacking() -> [Unpacking; 16] {
    const NONE: u8 = 0x80;
    let none =
        Unpacking { lower: [NONE; 16], upper: [NONE; 16], down: [0; 8], up: [0; 8], mask: [0; 8] };
    let mut all = [none; 16];
    let mut index = 0;
    while index < 16 {
        let bits = WIDTH_BITS[index] as usize;
        let mut i = 0;
        while i < GROUP {
            let (byte, shift) = ((i * bits / 8) as u8, i * bits % 8);
            let entry = &mut all[index];
            if bits == 0 {
                // Nothing is taken from anywhere.
            } else if shift == 0 {
                (entry.upper[2 * i], entry.upper[2 * i + 1]) = (byte, byte + 1);
                entry.up[i] = 1;
            } else {
                (entry.lower[2 * i], entry.lower[2 * i + 1]) = (byte, byte + 1);
                entry.upper[2 * i] = byte + 2;
                (entry.down[i], entry.up[i]) = (1 << (16 - shift), 1 << (16 - shift));
            }
            entry.mask[i] = ((1u32 << bits) - 1) as u16;
            i += 1;
        }
        index += 1;
    }
    all
}

/// [`Scratch::encode`], to be compiled for the core with all that it calls. A closure would not be
/// sure to.
pub(super) struct Encode<'a> {
    pub(super) core: V3,
    pub(super) scratch: &'a mut Scratch,
    pub(super) plain: &'a [u8],
    pub(super) shape: &'a Shape,
}

impl NullaryFnOnce for Encode<'_> {
    type Output = usize;

    #[inline(always)]
    fn call(self) -> usize {
        self.scratch.encode(self.core, self.plain, self.shape)
    }
}

/// [`Scratch::decode`], likewise.
pub(super) struct Decode<'a> {
    pub(super) core: V3,
    pub(super) scratch: &'a mut Scratch,
    pub(super) coded: Parts<'a>,
    pub(super) plain: &'a mut [u8],
    pub(super) shape: &'a Shape,
}

impl NullaryFnOnce for Decode<'_> {
    type Output = Checked;

    #[inline(always)]
    fn call(self) -> Checked {
        self.scratch.decode(self.core, self.coded, self.shape, self.plain)
    }
}

impl Core for V3 {
    const ROWS: usize = LANES;

    #[inline(always)]
    fn index(self, codes: &[u16], indices: &mut [u8]) {
        let ones = cast([u16::MAX; 16]);
        let pairs = codes.as_chunks::<{ 2 * GROUP }>().0.iter().zip(indices.as_chunks_mut::<2>().0);
        for (codes, indices) in pairs {
            // There is an instruction for the smallest of eight numbers, and none for the largest.
            let turned: __m256i = self.avx2._mm256_xor_si256(cast(*codes), ones);
            let halves: [_; 2] = cast(turned);
            *indices = halves.map(|half| {
                let smallest: [u16; 8] = cast(self.sse4_1._mm_minpos_epu16(half));
                super::groups::index_of(!smallest[0])
            });
        }
    }

    #[inline(always)]
    fn pack(self, codes: &[u16; 2 * GROUP], [a, b]: [u8; 2]) -> [Packed; 2] {
        let avx2 = self.avx2;
        let (a, b) = (&PACKING[usize::from(a % 16)], &PACKING[usize::from(b % 16)]);
        let low_of_pair: __m256i = cast([0xffffu32; 8]);
        let low_of_four: __m256i = cast([0xffff_ffffu64; 4]);
        let codes: __m256i = cast(*codes);
        // Each step: what is low stays, what is high comes down to it.
        let joined =
            |parts, low, high| avx2._mm256_or_si256(avx2._mm256_and_si256(parts, low), high);
        let high = avx2._mm256_srlv_epi32(
            avx2._mm256_andnot_si256(low_of_pair, codes),
            cast([a.pairs, b.pairs]),
        );
        let pairs = joined(codes, low_of_pair, high);
        let high = avx2._mm256_srlv_epi64(
            avx2._mm256_andnot_si256(low_of_four, pairs),
            cast([a.fours, b.fours]),
        );
        let fours = joined(pairs, low_of_four, high);
        let swapped = avx2._mm256_shuffle_epi32::<0b0100_1110>(fours);
        cast(avx2._mm256_or_si256(
            avx2._mm256_sllv_epi64(swapped, cast([a.up, b.up])),
            avx2._mm256_srlv_epi64(fours, cast([a.down, b.down])),
        ))
    }

    #[inline(always)]
    fn unpack(self, packed: [&Packed; 2], [a, b]: [u8; 2]) -> [u16; 2 * GROUP] {
        let avx2 = self.avx2;
        let (a, b) = (&UNPACKING[usize::from(a % 16)], &UNPACKING[usize::from(b % 16)]);
        let packed: __m256i = cast([*packed[0], *packed[1]]);
        let lower = avx2._mm256_shuffle_epi8(packed, cast([a.lower, b.lower]));
        let upper = avx2._mm256_shuffle_epi8(packed, cast([a.upper, b.upper]));
        let lower = avx2._mm256_mulhi_epu16(lower, cast([a.down, b.down]));
        let upper = avx2._mm256_mullo_epi16(upper, cast([a.up, b.up]));
        let codes =
            avx2._mm256_and_si256(avx2._mm256_or_si256(lower, upper), cast([a.mask, b.mask]));
        let sign = avx2._mm256_sub_epi16(
            self.avx._mm256_setzero_si256(),
            avx2._mm256_and_si256(codes, cast([1u16; 16])),
        );
        cast(avx2._mm256_xor_si256(avx2._mm256_srli_epi16::<1>(codes), sign))
    }

    #[inline(always)]
    fn restore(self, rows: &mut Rows, count: usize, shape: &Shape) {
        // Fewer than half of the lanes are no gain, and neither are neighbours that are farther off.
        if shape.left() == 1 && count > LANES / 2 {
            if shape.wide {
                slant::<true>(self, rows, shape.width);
            } else {
                slant::<false>(self, rows, shape.width);
            }
        } else {
            restore_by_row(rows, count, shape);
        }
    }
}

/// Steps between loading and storing.
const STEPS: usize = 8;

/// By how many samples a lane is behind the first. Lanes of the upper half take what is above the first
/// of them from a block ago, when it has long been there: a vector's halves are far apart.
const fn lag(lane: usize) -> usize {
    if lane < LANES / 2 { lane } else { lane + STEPS - 1 }
}

/// Restores [`LANES`] rows, of which lane `k` holds row `k`, each some samples behind the one above it,
/// so that what a lane has above it is what the lane before had one step ago.
///
/// Lanes begin left of their rows, where residuals and what is above are zero, and so is what comes
/// out; they end in what is behind the rows, which means nothing.
#[inline(always)]
fn slant<const WIDE: bool>(core: V3, rows: &mut Rows, width: usize) {
    let zero = core.avx._mm256_setzero_si256();
    let pad = rows.pad;
    let mut lanes = rows.here.chunks_exact_mut(rows.stride);
    let lanes: [&mut [[u16; STEPS]]; LANES] = std::array::from_fn(|lane| {
        let row = lanes.next().unwrap_or_default();
        row[pad - lag(lane)..].as_chunks_mut().0
    });
    let (mut done, mut above) = (zero, zero);
    let mut before = [zero; STEPS];
    let blocks = (width + lag(LANES - 1)).div_ceil(STEPS);
    for (block, north) in rows.north[pad..].as_chunks::<STEPS>().0.iter().take(blocks).enumerate() {
        let mut tile = [zero; STEPS];
        for (k, values) in tile.iter_mut().enumerate() {
            *values = cast([lanes[k][block], lanes[k + LANES / 2][block]]);
        }
        tile = transposed(core, tile);
        for ((value, north), before) in tile.iter_mut().zip(north).zip(&mut before) {
            let north = core.avx._mm256_set1_epi16(north.cast_signed());
            let first = core.avx2._mm256_permute2x128_si256::<0x20>(north, *before);
            let n = core.avx2._mm256_alignr_epi8::<14>(done, first);
            *value = restored::<WIDE>(core, *value, [done, n, above]);
            (done, above, *before) = (*value, n, *value);
        }
        tile = transposed(core, tile);
        for (k, values) in tile.iter().enumerate() {
            [lanes[k][block], lanes[k + LANES / 2][block]] = cast(*values);
        }
    }
}

/// Rows of each half become columns: each round moves one bit of a row's number into the column's.
#[inline(always)]
fn transposed(core: V3, mut tile: [__m256i; STEPS]) -> [__m256i; STEPS] {
    for _ in 0..STEPS.ilog2() {
        let from = tile;
        for i in 0..STEPS / 2 {
            let (a, b) = (from[i], from[i + STEPS / 2]);
            tile[2 * i] = core.avx2._mm256_unpacklo_epi16(a, b);
            tile[2 * i + 1] = core.avx2._mm256_unpackhi_epi16(a, b);
        }
    }
    tile
}

/// The median edge detector is `w + n` less the median of the three: `n` comes last, and is waited for
/// the least this way.
#[inline(always)]
fn restored<const WIDE: bool>(core: V3, residual: __m256i, [w, n, nw]: [__m256i; 3]) -> __m256i {
    let avx2 = core.avx2;
    let (low, high) = (avx2._mm256_min_epu16(w, nw), avx2._mm256_max_epu16(w, nw));
    let median = avx2._mm256_max_epu16(low, avx2._mm256_min_epu16(high, n));
    let all = avx2._mm256_add_epi16(avx2._mm256_add_epi16(residual, w), n);
    let value = avx2._mm256_sub_epi16(all, median);
    if WIDE { value } else { avx2._mm256_and_si256(value, cast([0xffu16; LANES])) }
}
