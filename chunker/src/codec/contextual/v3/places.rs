//! Places of tokens, four groups at once.

use std::arch::x86_64::__m256i;

use pulp::cast;
use pulp::x86::V3;

use super::TURN;
use crate::codec::contextual::contexts::{LOW_BITS_FROM, LOW_BITS_MAX};
use crate::codec::contextual::streams::{STREAMS, in_each};
use crate::codec::contextual::tokens::{DIRECT, TOKENS, places_of};

/// The low bits of four contexts.
#[inline(always)]
pub(super) fn low_bits(core: V3, contexts: __m256i) -> __m256i {
    let avx2 = core.avx2;
    let octave = avx2._mm256_srli_epi64::<1>(contexts);
    let low = avx2._mm256_subs_epu16(octave, cast([LOW_BITS_FROM as u64; STREAMS]));
    avx2._mm256_min_epu16(low, cast([u64::from(LOW_BITS_MAX); STREAMS]))
}

/// Contexts, each in a lane.
#[inline(always)]
pub(super) fn lanes(contexts: [u8; STREAMS]) -> __m256i {
    cast(contexts.map(u64::from))
}

/// See [`Core::places`].
///
/// [`Core::places`]: crate::codec::contextual::core::Core::places
#[inline(always)]
pub(super) fn places(core: V3, codes: &[u16], contexts: &[u8], places: &mut [u16]) {
    let avx2 = core.avx2;
    let all = |number: u64| -> __m256i { cast([number; STREAMS]) };
    let (codes, codes_rest) = codes.as_chunks::<TURN>();
    let (places, places_rest) = places.as_chunks_mut::<TURN>();
    let (turns, contexts_rest) = contexts.split_at(codes.len() * STREAMS);
    // The lowest byte of a lane, and zero, four times.
    let spread: __m256i = cast([[0x8000_8000_8000_8000u64, 0x8008_8008_8008_8008]; 2]);
    for ((codes, to), contexts) in codes.iter().zip(places).zip(turns.as_chunks::<STREAMS>().0) {
        let lanes = lanes(*contexts);
        let low = low_bits(core, lanes);
        let up = avx2._mm256_sllv_epi64(all(in_each(1)), avx2._mm256_sub_epi64(all(16), low));
        let of_high = avx2._mm256_sub_epi64(up, all(in_each(1)));
        let high = avx2._mm256_and_si256(avx2._mm256_srlv_epi64(cast(*codes), low), of_high);
        let extra = avx2._mm256_subs_epu16(high, all(in_each(u64::from(DIRECT) - 1)));
        if core.avx._mm256_testz_si256(extra, extra) == 0 {
            places_of(codes, contexts, to);
            continue;
        }
        let base = avx2._mm256_shuffle_epi8(lanes, spread);
        let base = avx2._mm256_slli_epi16::<{ TOKENS.ilog2().cast_signed() }>(base);
        *to = cast(avx2._mm256_add_epi16(high, base));
    }
    places_of(codes_rest, contexts_rest, places_rest);
}
