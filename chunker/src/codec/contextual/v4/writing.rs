//! All streams written at once: a state in each of sixteen lanes, a stream in each four of them.

use std::arch::x86_64::__m512i;

use pulp::cast;
use pulp::x86::V4;

use super::gather::looked_up;
use super::{TURN, all, numbers};
use crate::codec::contextual::ans::{COUNT_SHIFT, Encoding};
use crate::codec::contextual::contexts::{GROUP, LOW_BITS_FROM, LOW_BITS_MAX};
use crate::codec::contextual::streams::{LOW_BITS_QUICK, STREAMS, Sinks};
use crate::codec::contextual::tokens::DIRECT;

/// Where streams are being written: what is told of a stream stands in the lower half of its lanes.
#[derive(Clone, Copy)]
pub(super) struct Lanes<'a> {
    core: V4,
    at: __m512i,
    held: __m512i,
    bits: __m512i,
    states: __m512i,
    encoding: &'a Encoding,
}

impl<'a> Lanes<'a> {
    #[inline(always)]
    pub(super) fn new(core: V4, sinks: &Sinks<'_>, encoding: &'a Encoding) -> Self {
        let mut states = [[0u32; GROUP]; STREAMS];
        let [mut at, mut held, mut bits] = [[[0u64; 2]; STREAMS]; 3];
        for (stream, states) in states.iter_mut().enumerate() {
            for (i, state) in states.iter_mut().enumerate() {
                *state = sinks.states[i][stream] as u32;
            }
            at[stream][0] = sinks.at[stream];
            held[stream][0] = sinks.held[stream];
            bits[stream][0] = sinks.bits[stream];
        }
        let [at, held, bits] = [cast(at), cast(held), cast(bits)];
        Self { core, at, held, bits, states: cast(states), encoding }
    }

    #[inline(always)]
    pub(super) fn put_back(&self, sinks: &mut Sinks<'_>) {
        let states: [[u32; GROUP]; STREAMS] = cast(self.states);
        let at: [[u64; 2]; STREAMS] = cast(self.at);
        let held: [[u64; 2]; STREAMS] = cast(self.held);
        let bits: [[u64; 2]; STREAMS] = cast(self.bits);
        for (stream, states) in states.iter().enumerate() {
            for (i, state) in states.iter().enumerate() {
                sinks.states[i][stream] = (*state).into();
            }
            sinks.at[stream] = at[stream][0];
            sinks.held[stream] = held[stream][0];
            sinks.bits[stream] = bits[stream][0];
        }
    }

    #[inline(always)]
    fn put(&mut self, number: __m512i, bits: __m512i) {
        let f = self.core.avx512f;
        self.held = f._mm512_or_si512(f._mm512_sllv_epi64(self.held, bits), number);
        self.bits = f._mm512_add_epi64(self.bits, bits);
    }

    #[inline(always)]
    fn flush(&mut self, sinks: &mut Sinks<'_>) {
        let f = self.core.avx512f;
        let up = f._mm512_sub_epi64(cast([64u64; 2 * STREAMS]), self.bits);
        // Of no bits, what is written means nothing.
        let up = f._mm512_and_si512(up, cast([63u64; 2 * STREAMS]));
        let upper = numbers(self.core, f._mm512_sllv_epi64(self.held, up));
        let at = numbers(self.core, self.at);
        let upper: [[u64; 2]; STREAMS] = cast(upper);
        let at: [[u64; 2]; STREAMS] = cast(at);
        for i in 0..STREAMS {
            sinks.store(at[i][0], upper[i][0]);
        }
        self.at = f._mm512_sub_epi64(self.at, f._mm512_srli_epi64::<3>(self.bits));
        self.bits = f._mm512_and_si512(self.bits, cast([7u64; 2 * STREAMS]));
    }

    /// The numbers of each stream behind one another, the first one lowest, and how many bits they have.
    #[inline(always)]
    fn joined(&self, numbers: __m512i, bits: __m512i) -> (__m512i, __m512i) {
        let f = self.core.avx512f;
        let lower: __m512i = cast([u64::from(u32::MAX); 2 * STREAMS]);
        let bits_lower = f._mm512_and_si512(bits, lower);
        let upper = f._mm512_sllv_epi64(f._mm512_srli_epi64::<32>(numbers), bits_lower);
        let pairs = f._mm512_or_si512(f._mm512_and_si512(numbers, lower), upper);
        let bits = f._mm512_add_epi64(bits_lower, f._mm512_srli_epi64::<32>(bits));
        let second = f._mm512_shuffle_epi32::<0b1110>(pairs);
        let second_bits = f._mm512_shuffle_epi32::<0b1110>(bits);
        let all = f._mm512_or_si512(pairs, f._mm512_sllv_epi64(second, bits));
        (all, f._mm512_add_epi64(bits, second_bits))
    }

    /// Puts a group of each stream before the others.
    #[inline(always)]
    pub(super) fn turn(
        &mut self,
        sinks: &mut Sinks<'_>,
        contexts: [u8; STREAMS],
        [codes, places]: [&[u16; TURN]; 2],
    ) {
        let (f, bw) = (self.core.avx512f, self.core.avx512bw);
        let encoding = self.encoding;
        let context = super::in_lanes(self.core, contexts);
        let low = bw._mm512_subs_epu16(f._mm512_srli_epi32::<1>(context), all(LOW_BITS_FROM));
        let low = bw._mm512_min_epu16(low, all(LOW_BITS_MAX));
        let kept = f._mm512_cvtepu16_epi32(cast(*codes));
        if f._mm512_cmpge_epu32_mask(f._mm512_srlv_epi32(kept, low), all(DIRECT)) != 0 {
            self.put_back(sinks);
            sinks.put_extra(contexts, codes);
            *self = Self::new(self.core, sinks, encoding);
        }
        let kept = f._mm512_andnot_si512(f._mm512_sllv_epi32(all(u32::MAX), low), kept);
        let (kept, bits) = self.joined(kept, low);
        self.put(kept, bits);
        if f._mm512_cmpgt_epu32_mask(low, all(LOW_BITS_QUICK)) != 0 {
            self.flush(sinks);
        }
        let places = f._mm512_cvtepu16_epi32(cast(*places));
        let [steps, states] = encoding.tables();
        let steps = looked_up(self.core, steps, places);
        let count = f._mm512_add_epi32(self.states, f._mm512_and_si512(steps, all(0xffff)));
        let count = f._mm512_srli_epi32::<COUNT_SHIFT>(count);
        let out = f._mm512_andnot_si512(f._mm512_sllv_epi32(all(u32::MAX), count), self.states);
        let next = f._mm512_add_epi32(
            f._mm512_srlv_epi32(self.states, count),
            f._mm512_srli_epi32::<16>(steps),
        );
        self.states = looked_up(self.core, states, next);
        let (moved, bits) = self.joined(out, count);
        self.put(moved, bits);
        self.flush(sinks);
    }
}
