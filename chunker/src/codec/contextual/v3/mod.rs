//! Cores with AVX2: sixteen samples of a row, sixteen rows, or all streams at once.

mod linear;
mod places;
mod reading;
mod slant;
mod telling;
mod writing;

use std::arch::x86_64::__m256i;
use std::hint::black_box;

use pulp::x86::V3;
use pulp::{NullaryFnOnce, cast};

use super::Task;
use super::ans::{Decoding, Encoding};
use super::contexts::{GROUP, Tell};
use super::core::Core;
use super::decoding::Unread;
use super::encoding::Unwritten;
use super::predict::{Predictor, restore_by_row};
use super::rows::Rows;
use super::streams::STREAMS;

/// Numbers in one line of a cache: where they lie in two, what loads them waits for both.
#[repr(align(32))]
struct InLine([u64; STREAMS]);

/// Gives what is in a vector to the rest of a core: the lower half from register to register, the upper one
/// by way of memory. All of it through registers waits for the one port that the shuffles wait for too, and
/// takes an eighth longer; all of it through memory waits for four loads of what was just stored, and takes
/// a sixteenth longer.
#[inline(always)]
fn numbers(vector: __m256i) -> [u64; STREAMS] {
    let [.., c, d] = black_box(InLine(cast(vector))).0;
    let [a, b, ..]: [u64; STREAMS] = cast(vector);
    [a, b, c, d]
}

/// Samples that all streams have at once: a group each.
const TURN: usize = STREAMS * GROUP;

/// A task, to be compiled for the core with all that it calls. A closure would not be sure to.
pub(super) struct Work<C, T> {
    pub(super) core: C,
    pub(super) task: T,
}

impl<C: Core, T: Task> NullaryFnOnce for Work<C, T> {
    type Output = T::Output;

    #[inline(always)]
    fn call(self) -> T::Output {
        self.task.run(self.core)
    }
}

impl Core for V3 {
    const ROWS: usize = slant::LANES;
    const STRIPES: usize = 1;

    #[inline(always)]
    fn decode_row(self, decoding: &Decoding, row: Unread<'_, '_>) {
        let Unread { sources, contexts, codes } = row;
        let (whole, rest) = codes.as_chunks_mut::<TURN>();
        let (turns, rest_contexts) = contexts.split_at(whole.len() * STREAMS);
        let mut lanes = reading::Lanes::new(self, sources);
        for (codes, contexts) in whole.iter_mut().zip(turns.as_chunks::<STREAMS>().0) {
            *codes = lanes.turn(sources, decoding, *contexts);
        }
        lanes.put_back(sources);
        if !rest.is_empty() {
            sources.rest_of_row(decoding, rest_contexts, rest);
        }
    }

    #[inline(always)]
    fn tell(self, codes: &[u16], to: Tell<'_>) {
        telling::tell(self, codes, to);
    }

    #[inline(always)]
    fn places(self, codes: &[u16], contexts: &[u8], places: &mut [u16]) {
        places::places(self, codes, contexts, places);
    }

    #[inline(always)]
    fn encode_row(self, encoding: &Encoding, row: Unwritten<'_, '_>) {
        let Unwritten { sinks, contexts, codes, places } = row;
        let [(codes, codes_rest), (places, places_rest)] =
            [codes, places].map(|row| row.as_chunks::<TURN>());
        let (turns, rest_contexts) = contexts.split_at(codes.len() * STREAMS);
        if !codes_rest.is_empty() {
            sinks.rest_of_row(encoding, rest_contexts, [codes_rest, places_rest]);
        }
        let mut lanes = writing::Lanes::new(self, sinks);
        let turns = turns.as_chunks::<STREAMS>().0;
        for ((codes, places), contexts) in codes.iter().zip(places).zip(turns).rev() {
            lanes.turn(sinks, encoding, *contexts, [codes, places]);
        }
        lanes.put_back(sinks);
    }

    #[inline(always)]
    fn linear_codes(self, near: [&[u16]; 3], predictor: &Predictor, codes: &mut [u16]) {
        linear::codes(self, near, predictor, codes);
    }

    #[inline(always)]
    fn restore(self, rows: &mut Rows, count: usize, predictor: &Predictor) {
        // Few rows are no gain, and neither are neighbours that are farther off.
        if predictor.left != 1 || count < 3 {
            restore_by_row(rows, count, predictor);
        } else if predictor.weights.is_some() {
            slant::slant::<true>(self, rows, predictor);
        } else {
            slant::slant::<false>(self, rows, predictor);
        }
    }
}
