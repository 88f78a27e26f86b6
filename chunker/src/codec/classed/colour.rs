//! Interleaved colours: each row's three colours one after the other, and two as differences from the
//! third.
//!
//! Groups hold residuals of one colour then, and red and blue, which mostly go with green, cost less.

use super::Sample;

/// What is done to pixels of three samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    /// Nothing.
    Kept,
    /// Rows hold first, second and third samples one after the other.
    Parted,
    /// Rows hold second samples, first less second, third less second.
    Differences,
}

impl Colour {
    /// Are rows laid out anew?
    pub(super) fn parted(self) -> bool {
        self != Self::Kept
    }
}

/// Lays rows of `row` samples out anew. Samples behind the last whole pixel of a row stay at its end.
#[inline(always)]
pub(super) fn part<S: Sample>(from: &[S], row: usize, colour: Colour, to: &mut [S]) {
    for (from, to) in from.chunks(row).zip(to.chunks_mut(row)) {
        let (pixels, rest) = from.as_chunks::<3>();
        let (a, to) = to.split_at_mut(pixels.len());
        let (b, to) = to.split_at_mut(pixels.len());
        let (c, to) = to.split_at_mut(pixels.len());
        let places = a.iter_mut().zip(b).zip(c);
        if colour == Colour::Differences {
            for ([first, second, third], ((a, b), c)) in pixels.iter().zip(places) {
                (*a, *b, *c) = (*second, first.minus(*second), third.minus(*second));
            }
        } else {
            for ([first, second, third], ((a, b), c)) in pixels.iter().zip(places) {
                (*a, *b, *c) = (*first, *second, *third);
            }
        }
        to.copy_from_slice(rest);
    }
}

/// Undoes [`part`].
#[inline(always)]
pub(super) fn join<S: Sample>(from: &[S], row: usize, colour: Colour, to: &mut [S]) {
    for (from, to) in from.chunks(row).zip(to.chunks_mut(row)) {
        let (pixels, rest) = to.as_chunks_mut::<3>();
        let (a, from) = from.split_at(pixels.len());
        let (b, from) = from.split_at(pixels.len());
        let (c, from) = from.split_at(pixels.len());
        let places = a.iter().zip(b).zip(c);
        if colour == Colour::Differences {
            for (pixel, ((a, b), c)) in pixels.iter_mut().zip(places) {
                *pixel = [b.plus(*a), *a, c.plus(*a)];
            }
        } else {
            for (pixel, ((a, b), c)) in pixels.iter_mut().zip(places) {
                *pixel = [*a, *b, *c];
            }
        }
        rest.copy_from_slice(from);
    }
}
