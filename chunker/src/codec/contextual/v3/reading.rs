//! All streams read at once, each in a lane.

use std::arch::x86_64::__m256i;

use pulp::cast;
use pulp::x86::V3;

use super::{TURN, numbers};
use crate::codec::classed::bits::window;
use crate::codec::contextual::ans::{Decoding, EXTRA, LOW_SHIFT, TOKEN_SHIFT};
use crate::codec::contextual::contexts::GROUP;
use crate::codec::contextual::streams::{STREAMS, Sources, in_each};

/// Bits that are told by one look.
const PEEKED: u64 = 57;

#[inline(always)]
fn widened([a, b, c, d]: [u32; STREAMS]) -> [u64; STREAMS] {
    [a.into(), b.into(), c.into(), d.into()]
}

/// Where streams are being read.
#[derive(Clone, Copy)]
pub(super) struct Lanes {
    core: V3,
    at: __m256i,
    states: [__m256i; GROUP],
}

impl Lanes {
    #[inline(always)]
    pub(super) fn new(core: V3, sources: &Sources<'_>) -> Self {
        Self { core, at: cast(sources.at), states: sources.states.map(cast) }
    }

    #[inline(always)]
    pub(super) fn put_back(&self, sources: &mut Sources<'_>) {
        (sources.at, sources.states) = (cast(self.at), self.states.map(cast));
    }

    /// What comes next in all streams: [`PEEKED`] bits or more of each.
    #[inline(always)]
    fn peek(&self, sources: &Sources<'_>) -> __m256i {
        let avx2 = self.core.avx2;
        let bytes = numbers(avx2._mm256_srli_epi64::<3>(self.at));
        let [a, b, c, d] = bytes;
        // Of a number of 32 bits it is known that eight more are no overflow: one comparison will do.
        let at = |byte: u64| window(sources.bytes, byte as u32 as usize);
        let windows = [at(a), at(b), at(c), at(d)];
        avx2._mm256_srlv_epi64(cast(windows), avx2._mm256_and_si256(self.at, cast([7u64; 4])))
    }

    /// The entries of states in tables that begin at places.
    #[inline(always)]
    fn entries(&self, decoding: &Decoding, states: __m256i, places: __m256i) -> __m256i {
        let avx2 = self.core.avx2;
        let states = avx2._mm256_and_si256(states, cast([(1u64 << TOKEN_SHIFT) - 1; STREAMS]));
        let [a, b, c, d] = numbers(avx2._mm256_add_epi64(states, places));
        let at = |place: u64| decoding.at(place as u16);
        cast(widened([at(a), at(b), at(c), at(d)]))
    }

    /// The next `low` bits of each lane for each of its four codes.
    #[inline(always)]
    fn parted(&self, held: __m256i, low: __m256i) -> __m256i {
        let avx2 = self.core.avx2;
        let all = |number: u64| -> __m256i { cast([number; STREAMS]) };
        let low2 = avx2._mm256_slli_epi64::<1>(low);
        let second = avx2._mm256_slli_epi64::<32>(avx2._mm256_srlv_epi64(held, low2));
        let first = avx2._mm256_and_si256(held, all(u32::MAX.into()));
        let pairs = avx2._mm256_or_si256(first, second);
        let low_of_pair = avx2._mm256_shuffle_epi32::<0b10_10_00_00>(low);
        let second = avx2._mm256_slli_epi32::<16>(avx2._mm256_srlv_epi32(pairs, low_of_pair));
        let fours = avx2._mm256_blend_epi16::<0b1010_1010>(pairs, second);
        let one = all(in_each(1));
        let of_low = avx2._mm256_sub_epi64(avx2._mm256_sllv_epi64(one, low), one);
        avx2._mm256_and_si256(fours, of_low)
    }

    /// The codes of the next group of each stream.
    #[inline(always)]
    pub(super) fn turn(
        &mut self,
        sources: &mut Sources<'_>,
        decoding: &Decoding,
        contexts: [u8; STREAMS],
    ) -> [u16; TURN] {
        let avx2 = self.core.avx2;
        let all = |number: u64| -> __m256i { cast([number; STREAMS]) };
        let [a, b, c, d] = contexts;
        let places = [decoding.place(a), decoding.place(b), decoding.place(c), decoding.place(d)];
        let places: __m256i = cast(widened(places));
        let low = avx2._mm256_srli_epi64::<{ LOW_SHIFT.cast_signed() }>(places);
        let low = avx2._mm256_and_si256(low, all(15));
        let [a, b, c, d] = self.states;
        let entries = [
            self.entries(decoding, a, places),
            self.entries(decoding, b, places),
            self.entries(decoding, c, places),
            self.entries(decoding, d, places),
        ];
        let [a, b, c, d] = entries;
        let any = avx2._mm256_or_si256(avx2._mm256_or_si256(a, b), avx2._mm256_or_si256(c, d));
        let has_extra = self.core.avx._mm256_testz_si256(any, all(EXTRA.into())) == 0;
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
        self.at = avx2._mm256_add_epi64(self.at, moved);
        // Only where there is much of both: asked of the low bits alone, nobody could foretell it.
        let sum = avx2._mm256_add_epi64(moved, low4);
        let beyond = avx2._mm256_cmpgt_epi64(sum, all(PEEKED));
        if self.core.avx._mm256_testz_si256(beyond, beyond) == 0 {
            held = self.peek(sources);
        }
        self.at = avx2._mm256_add_epi64(self.at, low4);
        let kept = self.parted(held, low);
        let [a, b, c, d] = self.states;
        let ab = avx2._mm256_or_si256(a, avx2._mm256_slli_epi64::<16>(b));
        let cd = avx2._mm256_or_si256(c, avx2._mm256_slli_epi64::<16>(d));
        let states = avx2._mm256_or_si256(ab, avx2._mm256_slli_epi64::<32>(cd));
        let tokens = avx2._mm256_srli_epi64::<{ TOKEN_SHIFT.cast_signed() }>(states);
        let tokens = avx2._mm256_and_si256(tokens, all(in_each(63)));
        let codes = avx2._mm256_or_si256(avx2._mm256_sllv_epi64(tokens, low), kept);
        if has_extra {
            self.put_back(sources);
            let codes = sources.with_extra(contexts, cast(codes));
            *self = Self::new(self.core, sources);
            return cast(codes);
        }
        cast(codes)
    }
}
