//! What is done otherwise on cores that can do more, and how it is done on every one.

use super::ans::{Decoding, Encoding};
use super::predict::{Predictor, restore_by_row};
use super::rows::Rows;
use super::streams::{Sinks, Sources};
use super::tokens::places_of;

/// Work of which several parts are done at once where the core can. All cores come to the same.
pub(super) trait Core: Copy {
    /// Rows that are restored at once.
    const ROWS: usize;

    /// Decodes the codes of a row.
    fn decode_row(
        self,
        sources: &mut Sources<'_>,
        decoding: &Decoding,
        contexts: &[u8],
        row: &mut [u16],
    );

    /// The place of each token of a row among those of all contexts.
    fn places(self, codes: &[u16], contexts: &[u8], places: &mut [u16]);

    /// Encodes the codes of a row, which are given with their places.
    fn encode_row(
        self,
        sinks: &mut Sinks<'_>,
        encoding: &Encoding,
        contexts: &[u8],
        row: [&[u16]; 2],
    );

    /// Codes of a row by a linear predictor, from its third sample to its last but one.
    fn linear_codes(self, near: [&[u16]; 3], predictor: &Predictor, codes: &mut [u16]);

    /// Restores the first `count` of `rows` in place of their codes.
    fn restore(self, rows: &mut Rows, count: usize, predictor: &Predictor);
}

/// Any core.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Core for Plain {
    const ROWS: usize = 1;

    #[inline(always)]
    fn decode_row(
        self,
        sources: &mut Sources<'_>,
        decoding: &Decoding,
        contexts: &[u8],
        row: &mut [u16],
    ) {
        sources.rest_of_row(decoding, contexts, row);
    }

    #[inline(always)]
    fn places(self, codes: &[u16], contexts: &[u8], places: &mut [u16]) {
        places_of(codes, contexts, places);
    }

    #[inline(always)]
    fn encode_row(
        self,
        sinks: &mut Sinks<'_>,
        encoding: &Encoding,
        contexts: &[u8],
        row: [&[u16]; 2],
    ) {
        sinks.rest_of_row(encoding, contexts, row);
    }

    #[inline(always)]
    fn linear_codes(self, near: [&[u16]; 3], predictor: &Predictor, codes: &mut [u16]) {
        for x in 2..codes.len().max(1) - 1 {
            codes[x] = predictor.code(near, x);
        }
    }

    #[inline(always)]
    fn restore(self, rows: &mut Rows, count: usize, predictor: &Predictor) {
        restore_by_row(rows, count, predictor);
    }
}
