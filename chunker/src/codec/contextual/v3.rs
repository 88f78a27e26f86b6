//! Cores with AVX2: sixteen samples of a row, or sixteen rows, at once.

use std::arch::x86_64::__m256i;

use pulp::x86::V3;
use pulp::{NullaryFnOnce, cast};

use super::Task;
use super::ans::{Decoding, EXTRA, TOKEN_SHIFT};
use super::bits::window;
use super::contexts::GROUP;
use super::core::Core;
use super::predict::{Predictor, WEIGHTS, restore_by_row};
use super::rows::Rows;
use super::streams::{LOW_BITS_QUICK, STREAMS, Sources, in_each};

/// Rows that are restored at once.
const LANES: usize = 16;

/// The widest row that is restored so: columns are counted in 16 bits.
const WIDTH_MAX: usize = 32_000;

/// A task, to be compiled for the core with all that it calls. A closure would not be sure to.
pub(super) struct Work<T> {
    pub(super) core: V3,
    pub(super) task: T,
}

impl<T: Task> NullaryFnOnce for Work<T> {
    type Output = T::Output;

    #[inline(always)]
    fn call(self) -> T::Output {
        self.task.run(self.core)
    }
}

impl Core for V3 {
    const ROWS: usize = LANES;

    #[inline(always)]
    fn decode_row(
        self,
        sources: &mut Sources<'_>,
        decoding: &Decoding,
        contexts: &[u8],
        row: &mut [u16],
    ) {
        let turns = row.len() / (STREAMS * GROUP);
        let (turn_contexts, _) = contexts.as_chunks::<STREAMS>();
        let (whole, rest) = row.as_chunks_mut::<{ STREAMS * GROUP }>();
        let mut reader = Turns::new(self, sources);
        for (codes, contexts) in whole.iter_mut().zip(turn_contexts) {
            *codes = reader.turn(sources, decoding, contexts);
        }
        reader.put_back(sources);
        if !rest.is_empty() {
            sources.rest_of_row(decoding, &contexts[turns * STREAMS..], rest);
        }
    }

    #[inline(always)]
    fn linear_codes(self, near: [&[u16]; 3], predictor: &Predictor, codes: &mut [u16]) {
        let linear = Linear::new(self, predictor);
        let width = codes.len();
        let mut x = 2;
        while let Some(to) = codes[..width - usize::from(width > 2)].get_mut(x..x + LANES) {
            let load = |row: &[u16], at: usize| -> __m256i {
                cast(row[at..].first_chunk::<LANES>().copied().unwrap_or_default())
            };
            let [row, north, north2] = near;
            let n = load(north, x);
            let sides = [load(row, x - 1), load(north, x - 1), load(north, x + 1)];
            let far = [load(row, x - 2), load(north2, x)];
            let predicted = linear.predicted(n, [sides[0], sides[1], sides[2], far[0], far[1]]);
            let residual = self.avx2._mm256_sub_epi16(load(row, x), predicted);
            let residual = self.avx2._mm256_sra_epi16(residual, linear.shift);
            let sign = self.avx2._mm256_srai_epi16::<15>(residual);
            let twice = self.avx2._mm256_add_epi16(residual, residual);
            let code: [u16; LANES] = cast(self.avx2._mm256_xor_si256(twice, sign));
            to.copy_from_slice(&code);
            x += LANES;
        }
        for x in x..width.max(1) - 1 {
            codes[x] = predictor.code(near, x);
        }
    }

    #[inline(always)]
    fn restore(self, rows: &mut Rows, count: usize, predictor: &Predictor) {
        // Few rows are no gain, and neither are neighbours that are farther off.
        if predictor.left != 1 || count < 3 || rows.width() > WIDTH_MAX {
            restore_by_row(rows, count, predictor);
        } else if predictor.weights.is_some() {
            slant::<true>(self, rows, predictor);
        } else {
            slant::<false>(self, rows, predictor);
        }
    }
}

/// A linear predictor in vectors.
#[derive(Clone, Copy)]
struct Linear {
    core: V3,
    weights: [__m256i; WEIGHTS],
    half: __m256i,
    whole: __m256i,
    shift: std::arch::x86_64::__m128i,
}

impl Linear {
    #[inline(always)]
    fn new(core: V3, predictor: &Predictor) -> Self {
        let all = |number: u16| core.avx._mm256_set1_epi16(number.cast_signed());
        Self {
            core,
            weights: predictor.weights.unwrap_or_default().map(|weight| all(weight.cast_unsigned())),
            half: all(predictor.half()),
            whole: all(predictor.whole()),
            shift: cast([u64::from(predictor.shift), 0]),
        }
    }

    /// [`Predictor::predicted`]. The left neighbour, which is waited for the longest, comes in last.
    #[inline(always)]
    fn predicted(&self, n: __m256i, [w, nw, ne, ww, nn]: [__m256i; WEIGHTS]) -> __m256i {
        let avx2 = self.core.avx2;
        let [of_w, of_nw, of_ne, of_ww, of_nn] = self.weights;
        let term = |near, weight| avx2._mm256_mulhrs_epi16(avx2._mm256_sub_epi16(near, n), weight);
        let early = avx2._mm256_add_epi16(
            avx2._mm256_add_epi16(n, self.half),
            avx2._mm256_add_epi16(term(nw, of_nw), term(nn, of_nn)),
        );
        let middle = avx2._mm256_add_epi16(early, term(ww, of_ww));
        let sum = avx2._mm256_add_epi16(avx2._mm256_add_epi16(middle, term(ne, of_ne)), term(w, of_w));
        avx2._mm256_and_si256(sum, self.whole)
    }
}

/// Steps between loading and storing.
const STEPS: usize = 8;

/// By how many samples a lane is behind the first: two more than the one above it, which so has what is
/// above right. Lanes of the upper half take what is above the first of them from a block ago, when it
/// has long been there: a vector's halves are far apart.
const fn lag(lane: usize) -> usize {
    if lane < LANES / 2 { 2 * lane } else { 2 * lane + STEPS - 1 }
}

/// Restores [`LANES`] rows of which lane `k` holds row `k`.
///
/// Lanes begin left of their rows and end behind them, in what means nothing. What comes out there is
/// kept out of the first two samples and the last one of a row by choosing, in the blocks in which some
/// lane has one of them, what the predictor takes in its place.
#[inline(always)]
fn slant<const LINEAR: bool>(core: V3, rows: &mut Rows, predictor: &Predictor) {
    let (avx, avx2) = (core.avx, core.avx2);
    let zero = avx._mm256_setzero_si256();
    let width = rows.width();
    let linear = Linear::new(core, predictor);
    let Rows { here, north, north2, stride, .. } = rows;
    let mut lanes = here.chunks_exact_mut(*stride);
    let lanes: [&mut [[u16; STEPS]]; LANES] = std::array::from_fn(|lane| {
        let row = lanes.next().unwrap_or_default();
        row[Rows::PAD - lag(lane)..].as_chunks_mut().0
    });
    let blocks = (width + lag(LANES - 1)).div_ceil(STEPS);
    let (above_right, above2) = (&north[Rows::PAD + 1..], &north2[Rows::PAD..]);
    let (above_right, above2) = (above_right.as_chunks::<STEPS>().0, above2.as_chunks::<STEPS>().0);

    let ones: __m256i = cast([u16::MAX; LANES]);
    let lags: [u16; LANES] = std::array::from_fn(|lane| lag(lane) as u16);
    // The column of each lane.
    let mut column = avx2._mm256_sub_epi16(zero, cast(lags));
    let one = cast([1u16; LANES]);
    let last_column = avx._mm256_set1_epi16((width as u16).wrapping_sub(1).cast_signed());

    // Of one and two steps ago: what was restored, and what stood above it; what is above next.
    let (mut w, mut ww) = (zero, zero);
    let (mut nw, mut nww) = (zero, zero);
    let mut n = avx._mm256_set1_epi16(north[Rows::PAD].cast_signed());
    let mut done_before = [zero; STEPS];
    let mut above_before = [zero; STEPS];
    for block in 0..blocks {
        let mut tile = [zero; STEPS];
        for (k, values) in tile.iter_mut().enumerate() {
            *values = cast([lanes[k][block], lanes[k + LANES / 2][block]]);
        }
        tile = transposed(core, tile);
        let is_edge = block * STEPS <= lag(LANES - 1) + 1 || (block + 1) * STEPS >= width;
        let inserted = above_right[block].iter().zip(&above2[block]);
        let before = done_before.iter_mut().zip(&mut above_before);
        for ((value, (above_right, above2)), (done_before, above_before)) in
            tile.iter_mut().zip(inserted).zip(before)
        {
            let ne = shifted_in(core, w, *above_right, *done_before);
            let code = *value;
            let half = avx2._mm256_srli_epi16::<1>(code);
            let sign = avx2._mm256_sub_epi16(zero, avx2._mm256_and_si256(code, one));
            let residual = avx2._mm256_sll_epi16(avx2._mm256_xor_si256(half, sign), linear.shift);
            let restored = if LINEAR {
                let nn = shifted_in(core, nww, *above2, *above_before);
                let mut near = [w, nw, ne, ww, nn];
                if is_edge {
                    let first = avx2._mm256_cmpeq_epi16(column, zero);
                    let second = avx2._mm256_cmpeq_epi16(column, one);
                    let last = avx2._mm256_cmpeq_epi16(column, last_column);
                    let or = |value, other, mask| avx2._mm256_blendv_epi8(value, other, mask);
                    near[0] = or(w, n, first);
                    near[1] = or(nw, n, first);
                    near[2] = or(ne, n, last);
                    near[3] = or(or(ww, n, first), w, second);
                }
                avx2._mm256_add_epi16(residual, linear.predicted(n, near))
            } else {
                let (mut w, mut nw) = (w, nw);
                if is_edge {
                    let first = avx2._mm256_cmpeq_epi16(column, zero);
                    w = avx2._mm256_blendv_epi8(w, n, first);
                    nw = avx2._mm256_blendv_epi8(nw, n, first);
                }
                let (low, high) = (avx2._mm256_min_epu16(nw, n), avx2._mm256_max_epu16(nw, n));
                let median = avx2._mm256_max_epu16(low, avx2._mm256_min_epu16(high, w));
                let all = avx2._mm256_add_epi16(avx2._mm256_add_epi16(residual, n), w);
                avx2._mm256_sub_epi16(all, median)
            };
            *value = restored;
            (*done_before, *above_before) = (restored, nw);
            (ww, w) = (w, restored);
            (nww, nw, n) = (nw, n, ne);
            column = avx2._mm256_sub_epi16(column, ones);
        }
        tile = transposed(core, tile);
        for (k, values) in tile.iter().enumerate() {
            [lanes[k][block], lanes[k + LANES / 2][block]] = cast(*values);
        }
    }
}

/// Each lane gets the one before; the first gets `value`, and the first of the upper half what the last
/// of the lower one was a block ago.
#[inline(always)]
fn shifted_in(core: V3, lanes: __m256i, value: u16, before: __m256i) -> __m256i {
    let value = core.avx._mm256_set1_epi16(value.cast_signed());
    let first = core.avx2._mm256_permute2x128_si256::<0x20>(value, before);
    core.avx2._mm256_alignr_epi8::<14>(lanes, first)
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

/// All streams at once, each in a lane.
struct Turns {
    core: V3,
    at: __m256i,
    states: [__m256i; GROUP],
}

impl Turns {
    #[inline(always)]
    fn new(core: V3, sources: &Sources<'_>) -> Self {
        Self { core, at: cast(sources.at), states: sources.states.map(|states| cast(states)) }
    }

    #[inline(always)]
    fn put_back(&self, sources: &mut Sources<'_>) {
        (sources.at, sources.states) = (cast(self.at), self.states.map(|states| cast(states)));
    }

    /// What comes next in all streams: 57 bits or more of each.
    #[inline(always)]
    fn peek(&self, sources: &Sources<'_>) -> __m256i {
        let avx2 = self.core.avx2;
        let bytes: [u64; STREAMS] = cast(avx2._mm256_srli_epi64::<3>(self.at));
        let windows: [u64; STREAMS] =
            std::array::from_fn(|i| window(sources.bytes[i], bytes[i] as usize));
        avx2._mm256_srlv_epi64(cast(windows), avx2._mm256_and_si256(self.at, cast([7u64; 4])))
    }

    /// The codes of the next group of each stream.
    #[inline(always)]
    fn turn(
        &mut self,
        sources: &mut Sources<'_>,
        decoding: &Decoding,
        contexts: &[u8; STREAMS],
    ) -> [u16; STREAMS * GROUP] {
        let avx2 = self.core.avx2;
        let all = |number: u64| -> __m256i { cast([number; STREAMS]) };
        let places: __m256i = cast(contexts.map(|context| u64::from(decoding.place(context))));
        let low = avx2._mm256_srli_epi64::<16>(places);
        let entries: [__m256i; GROUP] = std::array::from_fn(|i| {
            let state = avx2._mm256_and_si256(self.states[i], all((1 << TOKEN_SHIFT) - 1));
            let at: [u64; STREAMS] = cast(avx2._mm256_add_epi64(state, places));
            cast(at.map(|at| u64::from(decoding.at(at as u16))))
        });
        let [a, b, c, d] = entries;
        let any = avx2._mm256_or_si256(avx2._mm256_or_si256(a, b), avx2._mm256_or_si256(c, d));
        if self.core.avx._mm256_testz_si256(any, all(EXTRA.into())) == 0 {
            return self.turn_with_extra(sources, decoding, contexts);
        }
        let mut held = self.peek(sources);
        for (state, entry) in self.states.iter_mut().zip(entries) {
            let bits = avx2._mm256_and_si256(entry, all(63));
            let out = avx2._mm256_andnot_si256(avx2._mm256_sllv_epi64(all(u64::MAX), bits), held);
            held = avx2._mm256_srlv_epi64(held, bits);
            *state = avx2._mm256_add_epi64(avx2._mm256_srli_epi64::<16>(entry), out);
        }
        let moved = avx2._mm256_add_epi64(avx2._mm256_add_epi64(a, b), avx2._mm256_add_epi64(c, d));
        let moved = avx2._mm256_and_si256(moved, all(0xff));
        let low4 = avx2._mm256_slli_epi64::<2>(low);
        let of_low = avx2._mm256_sub_epi64(
            avx2._mm256_sllv_epi64(all(in_each(1)), low),
            all(in_each(1)),
        );
        self.at = avx2._mm256_add_epi64(self.at, moved);
        let is_loud = self.core.avx._mm256_testz_si256(
            avx2._mm256_cmpgt_epi64(low, all(LOW_BITS_QUICK.into())),
            all(u64::MAX),
        ) == 0;
        if is_loud {
            held = self.peek(sources);
        }
        self.at = avx2._mm256_add_epi64(self.at, low4);
        let kept = if is_loud {
            // As many bits as do not fit a spread by two moves: one code after the other.
            let mut kept = all(0);
            for i in 0..GROUP as u64 {
                let code = avx2._mm256_and_si256(held, avx2._mm256_and_si256(of_low, all(0xffff)));
                kept = avx2._mm256_or_si256(kept, avx2._mm256_sllv_epi64(code, all(16 * i)));
                held = avx2._mm256_srlv_epi64(held, low);
            }
            kept
        } else {
            let used = avx2._mm256_andnot_si256(avx2._mm256_sllv_epi64(all(u64::MAX), low4), held);
            let by = avx2._mm256_sub_epi64(all(16), low);
            let twice = avx2._mm256_slli_epi64::<1>(by);
            let pairs = avx2._mm256_or_si256(used, avx2._mm256_sllv_epi64(used, twice));
            let fours = avx2._mm256_or_si256(pairs, avx2._mm256_sllv_epi64(pairs, by));
            avx2._mm256_and_si256(fours, of_low)
        };
        let [a, b, c, d] = self.states;
        let ab = avx2._mm256_or_si256(a, avx2._mm256_slli_epi64::<16>(b));
        let cd = avx2._mm256_or_si256(c, avx2._mm256_slli_epi64::<16>(d));
        let states = avx2._mm256_or_si256(ab, avx2._mm256_slli_epi64::<32>(cd));
        let tokens = avx2._mm256_srli_epi64::<{ TOKEN_SHIFT as i32 }>(states);
        let tokens = avx2._mm256_and_si256(tokens, all(in_each(63)));
        cast(avx2._mm256_or_si256(avx2._mm256_sllv_epi64(tokens, low), kept))
    }

    #[cold]
    #[inline(never)]
    fn turn_with_extra(
        &mut self,
        sources: &mut Sources<'_>,
        decoding: &Decoding,
        contexts: &[u8; STREAMS],
    ) -> [u16; STREAMS * GROUP] {
        self.put_back(sources);
        let codes: [[u16; GROUP]; STREAMS] =
            std::array::from_fn(|i| sources.some(i, GROUP, decoding, contexts[i]));
        *self = Self::new(self.core, sources);
        std::array::from_fn(|i| codes[i / GROUP][i % GROUP])
    }
}
