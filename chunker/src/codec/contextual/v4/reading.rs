//! All streams read at once: a state in each of sixteen lanes, a stream in each four of them.

use std::arch::x86_64::{__m128i, __m512i};

use pulp::cast;
use pulp::x86::V4;

use super::gather::looked_up;
use super::{TURN, all, each, numbers};
use crate::codec::classed::bits::window;
use crate::codec::contextual::ans::{Decoding, EXTRA, TOKEN_SHIFT};
use crate::codec::contextual::contexts::{GROUP, LOW_BITS_FROM, LOW_BITS_MAX};
use crate::codec::contextual::streams::{STREAMS, Sources};

/// Where streams are being read. Places are counted in 32 bits.
#[derive(Clone, Copy)]
pub(super) struct Lanes<'a> {
    core: V4,
    at: __m512i,
    states: __m512i,
    /// Where tables begin, for contexts below 32 and those above.
    places: [__m512i; 2],
    decoding: &'a Decoding,
}

impl<'a> Lanes<'a> {
    #[inline(always)]
    pub(super) fn new(core: V4, sources: &Sources<'_>, decoding: &'a Decoding) -> Self {
        let at = sources.at.map(|at| [at as u32; GROUP]);
        let states: [[u32; GROUP]; STREAMS] =
            std::array::from_fn(|stream| std::array::from_fn(|i| sources.states[i][stream] as u32));
        Self {
            core,
            at: cast(at),
            states: cast(states),
            places: cast(*decoding.places()),
            decoding,
        }
    }

    #[inline(always)]
    pub(super) fn put_back(&self, sources: &mut Sources<'_>) {
        let at: [[u32; GROUP]; STREAMS] = cast(self.at);
        let states: [[u32; GROUP]; STREAMS] = cast(self.states);
        for (stream, states) in states.iter().enumerate() {
            sources.at[stream] = at[stream][0].into();
            for (i, state) in states.iter().enumerate() {
                sources.states[i][stream] = (*state).into();
            }
        }
    }

    /// What comes next in all streams: 16 bytes of each.
    #[inline(always)]
    fn peek(&self, sources: &Sources<'_>) -> __m512i {
        let bytes = numbers(self.core, self.core.avx512f._mm512_srli_epi32::<3>(self.at));
        let bytes: [[u32; GROUP]; STREAMS] = cast(bytes);
        let window = |stream: usize| -> __m128i {
            let at = bytes[stream][0] as usize;
            match sources.bytes.get(at..at + 16).and_then(|bytes| bytes.first_chunk::<16>()) {
                Some(bytes) => cast(*bytes),
                None => last_window(sources.bytes, at),
            }
        };
        let f = self.core.avx512f;
        let windows = f._mm512_castsi128_si512(window(0));
        let windows = f._mm512_inserti32x4::<1>(windows, window(1));
        let windows = f._mm512_inserti32x4::<2>(windows, window(2));
        f._mm512_inserti32x4::<3>(windows, window(3))
    }

    /// In each lane as many bits as told of those that begin so many behind the first of its stream.
    #[inline(always)]
    fn bits(&self, windows: __m512i, from: __m512i, count: __m512i) -> __m512i {
        let (f, bw) = (self.core.avx512f, self.core.avx512bw);
        let byte = f._mm512_srli_epi32::<3>(from);
        let byte = bw._mm512_shuffle_epi8(byte, each([0, 0x0404_0404, 0x0808_0808, 0x0c0c_0c0c]));
        let bytes = f._mm512_add_epi32(byte, all(0x0302_0100));
        let held = bw._mm512_shuffle_epi8(windows, bytes);
        let held = f._mm512_srlv_epi32(held, f._mm512_and_si512(from, all(7)));
        f._mm512_andnot_si512(f._mm512_sllv_epi32(all(u32::MAX), count), held)
    }

    /// The codes of the next group of each stream.
    #[inline(always)]
    pub(super) fn turn(
        &mut self,
        sources: &mut Sources<'_>,
        contexts: [u8; STREAMS],
    ) -> [u16; TURN] {
        let (f, bw) = (self.core.avx512f, self.core.avx512bw);
        let context = super::in_lanes(self.core, contexts);
        // Above the context of a lane stands zero, and above its place what is not looked at.
        let places = bw._mm512_permutex2var_epi16(self.places[0], context, self.places[1]);
        let low = bw._mm512_subs_epu16(f._mm512_srli_epi32::<1>(context), all(LOW_BITS_FROM));
        let low = bw._mm512_min_epu16(low, all(LOW_BITS_MAX));
        let state = f._mm512_and_si512(self.states, all((1 << TOKEN_SHIFT) - 1));
        let at = f._mm512_add_epi32(state, places);
        let entries = looked_up(self.core, self.decoding.entries(), at);
        let has_extra = f._mm512_test_epi32_mask(entries, all(EXTRA)) != 0;

        let count = f._mm512_and_si512(entries, all(63));
        let two = f._mm512_add_epi32(count, bw._mm512_bslli_epi128::<4>(count));
        let sum = f._mm512_add_epi32(two, bw._mm512_bslli_epi128::<8>(two));
        let moved = f._mm512_shuffle_epi32::<0xff>(sum);
        let windows = self.peek(sources);
        let within = f._mm512_and_si512(self.at, all(7));
        let from = f._mm512_add_epi32(f._mm512_sub_epi32(sum, count), within);
        let out = self.bits(windows, from, count);
        self.states = f._mm512_add_epi32(f._mm512_srli_epi32::<16>(entries), out);

        let low_before = bw._mm512_mullo_epi16(low, each([0, 1, 2, 3]));
        let from = f._mm512_add_epi32(f._mm512_add_epi32(within, moved), low_before);
        let kept = self.bits(windows, from, low);
        self.at =
            f._mm512_add_epi32(f._mm512_add_epi32(self.at, moved), f._mm512_slli_epi32::<2>(low));
        let token = f._mm512_srli_epi32::<{ TOKEN_SHIFT }>(self.states);
        let token = f._mm512_and_si512(token, all(63));
        let codes = f._mm512_or_si512(f._mm512_sllv_epi32(token, low), kept);
        let codes = f._mm512_cvtepi32_epi16(codes);
        if has_extra {
            self.put_back(sources);
            let codes = sources.with_extra(contexts, cast(codes));
            *self = Self::new(self.core, sources, self.decoding);
            return cast(codes);
        }
        cast(codes)
    }
}

#[cold]
fn last_window(bytes: &[u8], at: usize) -> __m128i {
    let words = [window(bytes, at), window(bytes, at.saturating_add(8))];
    cast(words)
}
