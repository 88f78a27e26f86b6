//! Samples of both widths, as this filter uses them.

use crate::codec::pixel::{self, narrow, wide};

/// A sample, or the zigzag code of a residual.
pub(super) trait Sample: Copy + Default + Send + Sync + 'static {
    fn load(plain: &[u8], big_endian: bool, samples: &mut Vec<Self>);
    fn store(samples: &[Self], big_endian: bool, plain: &mut [u8]);
    /// Zigzag codes of what `samples` differ from their predictions by.
    fn residuals(samples: &[Self], left: usize, above: usize, codes: &mut [Self]);
    /// Samples in place of zigzag codes.
    fn restore(codes: &mut [Self], left: usize, above: usize);
    fn widen(self) -> u16;
    /// Drops what does not fit.
    fn narrow(code: u16) -> Self;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
}

impl Sample for u16 {
    #[inline(always)]
    fn load(plain: &[u8], big_endian: bool, samples: &mut Vec<Self>) {
        pixel::load_wide(plain, big_endian, samples);
    }

    #[inline(always)]
    fn store(samples: &[Self], big_endian: bool, plain: &mut [u8]) {
        pixel::store_wide(samples, big_endian, plain.as_chunks_mut().0);
    }

    #[inline(always)]
    fn residuals(samples: &[Self], left: usize, above: usize, codes: &mut [Self]) {
        wide::residuals(samples, left, above, codes);
    }

    #[inline(always)]
    fn restore(codes: &mut [Self], left: usize, above: usize) {
        if left == 1 {
            super::vector::restore(codes, above);
        } else {
            wide::restore(codes, left, above);
        }
    }

    #[inline(always)]
    fn widen(self) -> u16 {
        self
    }

    #[inline(always)]
    fn narrow(code: u16) -> Self {
        code
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }
}

impl Sample for u8 {
    #[inline(always)]
    fn load(plain: &[u8], _: bool, samples: &mut Vec<Self>) {
        samples.clear();
        samples.extend(plain);
    }

    #[inline(always)]
    fn store(samples: &[Self], _: bool, plain: &mut [u8]) {
        plain.copy_from_slice(samples);
    }

    #[inline(always)]
    fn residuals(samples: &[Self], left: usize, above: usize, codes: &mut [Self]) {
        narrow::residuals(samples, left, above, codes);
    }

    #[inline(always)]
    fn restore(codes: &mut [Self], left: usize, above: usize) {
        narrow::restore(codes, left, above);
    }

    #[inline(always)]
    fn widen(self) -> u16 {
        self.into()
    }

    #[inline(always)]
    fn narrow(code: u16) -> Self {
        code as Self
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }
}
