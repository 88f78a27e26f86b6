//! Cores with AVX-512: all samples of a turn at once, and a turn of each of two stripes. What is not told
//! here is done as with AVX2: vectors of twice the width have two thirds of the ports, and restoring rows
//! waits for one sample after the other.

mod gather;
mod linear;
mod reading;
mod writing;

use std::arch::x86_64::__m512i;
use std::hint::black_box;

use pulp::cast;
use pulp::x86::{V3, V4};

use super::ans::{Decoding, Encoding};
use super::contexts::{GROUP, Tell};
use super::core::Core;
use super::decoding::Unread;
use super::encoding::Unwritten;
use super::predict::Predictor;
use super::rows::Rows;
use super::streams::STREAMS;

/// Samples that all streams have at once: a group each, and each a lane.
const TURN: usize = STREAMS * GROUP;

/// Numbers in one line of a cache: where they lie in two, what loads them waits for both.
#[repr(align(32))]
struct InLine([u32; TURN / 2]);

/// Gives what is in a vector to the rest of a core, by way of memory. In halves: loads of a part of what
/// was stored as a whole line wait until it has come to the cache.
#[inline(always)]
fn numbers(core: V4, vector: __m512i) -> [[u32; TURN / 2]; 2] {
    let f = core.avx512f;
    let lower = f._mm512_castsi512_si256(vector);
    let upper = f._mm512_extracti64x4_epi64::<1>(vector);
    [black_box(InLine(cast(lower))).0, black_box(InLine(cast(upper))).0]
}

/// Where in each lane of a stream its context comes from: from one byte of four, zeros above it.
const OF_STREAM: [[u32; GROUP]; STREAMS] =
    [[0x8080_8000; GROUP], [0x8080_8001; GROUP], [0x8080_8002; GROUP], [0x8080_8003; GROUP]];

/// The context of each stream in its lanes.
#[inline(always)]
fn in_lanes(core: V4, contexts: [u8; STREAMS]) -> __m512i {
    core.avx512bw._mm512_shuffle_epi8(all(u32::from_le_bytes(contexts)), cast(OF_STREAM))
}

/// The same in all lanes.
#[inline(always)]
fn all(number: u32) -> __m512i {
    cast([number; TURN])
}

/// The same in each group of lanes.
#[inline(always)]
fn each(group: [u32; GROUP]) -> __m512i {
    cast([group; STREAMS])
}

impl Core for V4 {
    const ROWS: usize = V3::ROWS;
    const STRIPES: usize = 2;

    #[inline(always)]
    fn decode_row(self, decoding: &Decoding, row: Unread<'_, '_>) {
        let Unread { sources, contexts, codes } = row;
        let (whole, rest) = codes.as_chunks_mut::<TURN>();
        let (turns, rest_contexts) = contexts.split_at(whole.len() * STREAMS);
        let mut lanes = reading::Lanes::new(self, sources, decoding);
        for (codes, contexts) in whole.iter_mut().zip(turns.as_chunks::<STREAMS>().0) {
            *codes = lanes.turn(sources, *contexts);
        }
        lanes.put_back(sources);
        if !rest.is_empty() {
            sources.rest_of_row(decoding, rest_contexts, rest);
        }
    }

    #[inline(always)]
    fn decode_two(self, decoding: &Decoding, [a, b]: [Unread<'_, '_>; 2]) {
        let (a_whole, a_rest) = a.codes.as_chunks_mut::<TURN>();
        let (b_whole, b_rest) = b.codes.as_chunks_mut::<TURN>();
        let (a_turns, a_contexts) = a.contexts.split_at(a_whole.len() * STREAMS);
        let (b_turns, b_contexts) = b.contexts.split_at(b_whole.len() * STREAMS);
        let mut a_lanes = reading::Lanes::new(self, a.sources, decoding);
        let mut b_lanes = reading::Lanes::new(self, b.sources, decoding);
        let a_turns = a_whole.iter_mut().zip(a_turns.as_chunks::<STREAMS>().0);
        let b_turns = b_whole.iter_mut().zip(b_turns.as_chunks::<STREAMS>().0);
        for ((a_codes, a_contexts), (b_codes, b_contexts)) in a_turns.zip(b_turns) {
            *a_codes = a_lanes.turn(a.sources, *a_contexts);
            *b_codes = b_lanes.turn(b.sources, *b_contexts);
        }
        a_lanes.put_back(a.sources);
        b_lanes.put_back(b.sources);
        if !a_rest.is_empty() {
            a.sources.rest_of_row(decoding, a_contexts, a_rest);
            b.sources.rest_of_row(decoding, b_contexts, b_rest);
        }
    }

    #[inline(always)]
    fn tell(self, codes: &[u16], to: Tell<'_>) {
        (*self).tell(codes, to);
    }

    #[inline(always)]
    fn places(self, codes: &[u16], contexts: &[u8], places: &mut [u16]) {
        (*self).places(codes, contexts, places);
    }

    #[inline(always)]
    fn encode_row(self, encoding: &Encoding, row: Unwritten<'_, '_>) {
        let Unwritten { sinks, contexts, codes, places } = row;
        let (codes, codes_rest) = codes.as_chunks::<TURN>();
        let (places, places_rest) = places.as_chunks::<TURN>();
        let (turns, rest_contexts) = contexts.split_at(codes.len() * STREAMS);
        if !codes_rest.is_empty() {
            sinks.rest_of_row(encoding, rest_contexts, [codes_rest, places_rest]);
        }
        let mut lanes = writing::Lanes::new(self, sinks, encoding);
        let turns = turns.as_chunks::<STREAMS>().0;
        for ((codes, places), contexts) in codes.iter().zip(places).zip(turns).rev() {
            lanes.turn(sinks, *contexts, [codes, places]);
        }
        lanes.put_back(sinks);
    }

    #[inline(always)]
    fn encode_two(self, encoding: &Encoding, [a, b]: [Unwritten<'_, '_>; 2]) {
        let (a_codes, a_rest) = a.codes.as_chunks::<TURN>();
        let (b_codes, b_rest) = b.codes.as_chunks::<TURN>();
        let (a_places, a_places_rest) = a.places.as_chunks::<TURN>();
        let (b_places, b_places_rest) = b.places.as_chunks::<TURN>();
        let (a_turns, a_contexts) = a.contexts.split_at(a_codes.len() * STREAMS);
        let (b_turns, b_contexts) = b.contexts.split_at(b_codes.len() * STREAMS);
        if !a_rest.is_empty() {
            a.sinks.rest_of_row(encoding, a_contexts, [a_rest, a_places_rest]);
            b.sinks.rest_of_row(encoding, b_contexts, [b_rest, b_places_rest]);
        }
        let mut a_lanes = writing::Lanes::new(self, a.sinks, encoding);
        let mut b_lanes = writing::Lanes::new(self, b.sinks, encoding);
        let a_turns = a_codes.iter().zip(a_places).zip(a_turns.as_chunks::<STREAMS>().0);
        let b_turns = b_codes.iter().zip(b_places).zip(b_turns.as_chunks::<STREAMS>().0);
        for (((a_codes, a_places), a_contexts), ((b_codes, b_places), b_contexts)) in
            a_turns.zip(b_turns).rev()
        {
            a_lanes.turn(a.sinks, *a_contexts, [a_codes, a_places]);
            b_lanes.turn(b.sinks, *b_contexts, [b_codes, b_places]);
        }
        a_lanes.put_back(a.sinks);
        b_lanes.put_back(b.sinks);
    }

    #[inline(always)]
    fn linear_codes(self, near: [&[u16]; 3], predictor: &Predictor, codes: &mut [u16]) {
        linear::codes(self, near, predictor, codes);
    }

    #[inline(always)]
    fn restore(self, rows: &mut Rows, count: usize, predictor: &Predictor) {
        (*self).restore(rows, count, predictor);
    }
}
