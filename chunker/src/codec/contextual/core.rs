//! What is done otherwise on cores that can do more, and how it is done on every one.

use super::ans::{Decoding, Encoding};
use super::contexts::{Tell, tell};
use super::decoding::Unread;
use super::encoding::Unwritten;
use super::predict::{Predictor, restore_by_row};
use super::rows::Rows;
use super::tokens::places_of;

/// Work of which several parts are done at once where the core can. All cores come to the same.
pub(super) trait Core: Copy {
    /// Rows of a stripe that are restored at once.
    const ROWS: usize;

    /// Stripes that one thread works on at once, a row of each in turn: two where that gains.
    const STRIPES: usize;

    /// Decodes the codes of a row.
    fn decode_row(self, decoding: &Decoding, row: Unread<'_, '_>);

    /// Decodes a row of each of two stripes, both of one length.
    #[inline(always)]
    fn decode_two(self, decoding: &Decoding, [a, b]: [Unread<'_, '_>; 2]) {
        self.decode_row(decoding, a);
        self.decode_row(decoding, b);
    }

    /// Counts the codes of each group of a row.
    fn tell(self, codes: &[u16], to: Tell<'_>);

    /// The place of each token of a row among those of all contexts.
    fn places(self, codes: &[u16], contexts: &[u8], places: &mut [u16]);

    /// Encodes the codes of a row.
    fn encode_row(self, encoding: &Encoding, row: Unwritten<'_, '_>);

    /// Encodes a row of each of two stripes, both of one length.
    #[inline(always)]
    fn encode_two(self, encoding: &Encoding, [a, b]: [Unwritten<'_, '_>; 2]) {
        self.encode_row(encoding, a);
        self.encode_row(encoding, b);
    }

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
    const STRIPES: usize = 1;

    #[inline(always)]
    fn decode_row(self, decoding: &Decoding, row: Unread<'_, '_>) {
        row.sources.rest_of_row(decoding, row.contexts, row.codes);
    }

    #[inline(always)]
    fn tell(self, codes: &[u16], to: Tell<'_>) {
        tell(codes, to);
    }

    #[inline(always)]
    fn places(self, codes: &[u16], contexts: &[u8], places: &mut [u16]) {
        places_of(codes, contexts, places);
    }

    #[inline(always)]
    fn encode_row(self, encoding: &Encoding, row: Unwritten<'_, '_>) {
        row.sinks.rest_of_row(encoding, row.contexts, [row.codes, row.places]);
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
