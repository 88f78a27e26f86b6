//! All streams written at once, each in a lane.

use std::arch::x86_64::__m256i;

use pulp::cast;
use pulp::x86::V3;

use super::places::{lanes, low_bits};
use super::{TURN, numbers};
use crate::codec::contextual::ans::{COUNT_SHIFT, Encoding};
use crate::codec::contextual::contexts::GROUP;
use crate::codec::contextual::streams::{LOW_BITS_QUICK, STREAMS, Sinks, in_each};
use crate::codec::contextual::tokens::DIRECT;

/// Where streams are being written.
#[derive(Clone, Copy)]
pub(super) struct Lanes {
    core: V3,
    at: __m256i,
    held: __m256i,
    bits: __m256i,
    states: [__m256i; GROUP],
}

impl Lanes {
    #[inline(always)]
    pub(super) fn new(core: V3, sinks: &Sinks<'_>) -> Self {
        Self {
            core,
            at: cast(sinks.at),
            held: cast(sinks.held),
            bits: cast(sinks.bits),
            states: sinks.states.map(cast),
        }
    }

    #[inline(always)]
    pub(super) fn put_back(&mut self, sinks: &mut Sinks<'_>) {
        self.flush(sinks);
        (sinks.at, sinks.held, sinks.bits) = (cast(self.at), cast(self.held), cast(self.bits));
        sinks.states = self.states.map(cast);
    }

    #[inline(always)]
    fn put(&mut self, number: __m256i, bits: __m256i) {
        let avx2 = self.core.avx2;
        self.held = avx2._mm256_or_si256(avx2._mm256_sllv_epi64(self.held, bits), number);
        self.bits = avx2._mm256_add_epi64(self.bits, bits);
    }

    #[inline(always)]
    fn flush(&mut self, sinks: &mut Sinks<'_>) {
        let avx2 = self.core.avx2;
        let up = avx2._mm256_sub_epi64(cast([64u64; STREAMS]), self.bits);
        // Of no bits, what is written means nothing.
        let up = avx2._mm256_and_si256(up, cast([63u64; STREAMS]));
        let upper = numbers(avx2._mm256_sllv_epi64(self.held, up));
        let at = numbers(self.at);
        for i in 0..STREAMS {
            sinks.store(at[i], upper[i]);
        }
        self.at = avx2._mm256_sub_epi64(self.at, avx2._mm256_srli_epi64::<3>(self.bits));
        self.bits = avx2._mm256_and_si256(self.bits, cast([7u64; STREAMS]));
    }

    /// Puts a group of each stream before the others.
    #[inline(always)]
    pub(super) fn turn(
        &mut self,
        sinks: &mut Sinks<'_>,
        encoding: &Encoding,
        contexts: [u8; STREAMS],
        [codes, places]: [&[u16; TURN]; 2],
    ) {
        // Of the turn before: its branches stand where no state is on its way from a table.
        self.flush(sinks);
        let avx2 = self.core.avx2;
        let all = |number: u64| -> __m256i { cast([number; STREAMS]) };
        let avx = self.core.avx;
        let is_zero = |x: __m256i| avx._mm256_testz_si256(x, x) == 1;
        let tokens_extra = all(in_each(u64::from(DIRECT)));
        let extra = avx2._mm256_and_si256(cast(*places), tokens_extra);
        let extra = avx2._mm256_cmpeq_epi16(extra, tokens_extra);
        if !is_zero(extra) {
            self.put_back(sinks);
            sinks.put_extra(contexts, codes);
            *self = Self::new(self.core, sinks);
        }
        let low = avx2._mm256_and_si256(low_bits(self.core, lanes(contexts)), all(15));
        let low4 = avx2._mm256_slli_epi64::<2>(low);
        let one = all(in_each(1));
        let of_low = avx2._mm256_sub_epi64(avx2._mm256_sllv_epi64(one, low), one);
        let kept = avx2._mm256_and_si256(cast(*codes), of_low);
        if is_zero(avx2._mm256_cmpgt_epi64(low, all(LOW_BITS_QUICK.into()))) {
            let by = avx2._mm256_and_si256(avx2._mm256_sub_epi64(all(16), low), all(31));
            let twice = avx2._mm256_slli_epi64::<1>(by);
            let pairs = avx2._mm256_or_si256(kept, avx2._mm256_srlv_epi64(kept, by));
            let fours = avx2._mm256_or_si256(pairs, avx2._mm256_srlv_epi64(pairs, twice));
            let above = avx2._mm256_sllv_epi64(all(u64::MAX), low4);
            self.put(avx2._mm256_andnot_si256(above, fours), low4);
        } else {
            let mut kept = kept;
            let mut packed = all(0);
            let mut by = all(0);
            for _ in 0..GROUP {
                let code = avx2._mm256_and_si256(kept, all(0xffff));
                packed = avx2._mm256_or_si256(packed, avx2._mm256_sllv_epi64(code, by));
                by = avx2._mm256_add_epi64(by, low);
                kept = avx2._mm256_srli_epi64::<16>(kept);
            }
            self.put(packed, low4);
            self.flush(sinks);
        }
        let mut moved = all(0);
        let mut bits = all(0);
        for (i, state) in self.states.iter_mut().enumerate() {
            let step = |stream: usize| u64::from(encoding.step(places[stream * GROUP + i]));
            let steps: __m256i = cast([step(0), step(1), step(2), step(3)]);
            let count = avx2._mm256_add_epi64(*state, avx2._mm256_and_si256(steps, all(0xffff)));
            let count = avx2._mm256_srli_epi64::<{ COUNT_SHIFT.cast_signed() }>(count);
            // It is no more than that; said, no instructions are made for what is longer than a lane.
            let count = avx2._mm256_and_si256(count, all(63));
            let out =
                avx2._mm256_andnot_si256(avx2._mm256_sllv_epi64(all(u64::MAX), count), *state);
            moved = avx2._mm256_or_si256(moved, avx2._mm256_sllv_epi64(out, bits));
            bits = avx2._mm256_add_epi64(bits, count);
            let next = avx2._mm256_add_epi64(
                avx2._mm256_srlv_epi64(*state, count),
                avx2._mm256_srli_epi64::<16>(steps),
            );
            let next_state = |next: u64| u64::from(encoding.state(next as u16));
            let [a, b, c, d] = numbers(next);
            *state = cast([next_state(a), next_state(b), next_state(c), next_state(d)]);
        }
        self.put(moved, avx2._mm256_and_si256(bits, all(63)));
    }
}
