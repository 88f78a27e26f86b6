//! What the core at hand is good for, asked at run time.
//!
//! The same code is compiled for every core of its kind, for those with AVX2, BMI and LZCNT (x86-64-v3),
//! of which a tenth to a half more comes, and where that gains for those with AVX-512 (x86-64-v4). What
//! it computes is the same.

/// What a core can do, from less to more.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::codec) enum Can {
    /// No more than every one of its kind.
    Least,
    /// AVX2, but not AVX-512.
    Avx2,
    All,
}

#[cfg(test)]
thread_local! {
    /// Do as if the core could do no more than this.
    pub(in crate::codec) static AT_MOST: std::cell::Cell<Can> = const { std::cell::Cell::new(Can::All) };
}

/// The token of what the core can do more.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(in crate::codec) fn best() -> Option<pulp::x86::V3> {
    #[cfg(test)]
    if AT_MOST.get() < Can::Avx2 {
        return None;
    }
    pulp::x86::V3::try_new()
}

/// The token of cores with AVX-512 as well.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(in crate::codec) fn widest() -> Option<pulp::x86::V4> {
    #[cfg(test)]
    if AT_MOST.get() < Can::All {
        return None;
    }
    pulp::x86::V4::try_new()
}

/// Does `work`, compiled for what the core can. All that it calls has to be inlined to gain.
#[inline(always)]
pub(super) fn vectorized<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    if let Some(core) = best() {
        return pulp::Simd::vectorize(core, work);
    }
    work()
}

/// Restores 16-bit samples in place of zigzag codes, with one neighbour a sample to the left.
#[inline(always)]
pub(super) fn restore(codes: &mut [u16], above: usize) {
    use crate::codec::pixel::wide;
    #[cfg(target_arch = "x86_64")]
    if let Some(core) = best() {
        return wide::restore_by(codes, 1, above, |north, rest| {
            super::wavefront::restore_some(core, north, rest)
        });
    }
    wide::restore(codes, 1, above);
}
