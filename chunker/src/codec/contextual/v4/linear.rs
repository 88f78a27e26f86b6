//! The linear predictor, 32 samples at once.

use std::arch::x86_64::{__m128i, __m512i};

use pulp::cast;
use pulp::x86::V4;

use crate::codec::contextual::predict::{Predictor, WEIGHTS};

/// Samples of a vector.
const LANES: usize = 32;

/// A linear predictor in vectors.
#[derive(Clone, Copy)]
pub(super) struct Linear {
    core: V4,
    weights: [__m512i; WEIGHTS],
    half: __m512i,
    whole: __m512i,
    pub(super) shift: __m128i,
}

impl Linear {
    #[inline(always)]
    pub(super) fn new(core: V4, predictor: &Predictor) -> Self {
        let mut weights = [core.avx512f._mm512_setzero_si512(); WEIGHTS];
        for (to, weight) in weights.iter_mut().zip(predictor.weights.unwrap_or_default()) {
            *to = cast([weight; LANES]);
        }
        Self {
            core,
            weights,
            half: cast([predictor.half(); LANES]),
            whole: cast([predictor.whole(); LANES]),
            shift: cast([u64::from(predictor.shift), 0]),
        }
    }

    /// [`Predictor::predicted`]. The left neighbour, which is waited for the longest, comes in last.
    #[inline(always)]
    pub(super) fn predicted(&self, n: __m512i, [w, nw, ne, ww, nn]: [__m512i; WEIGHTS]) -> __m512i {
        let bw = self.core.avx512bw;
        let [of_w, of_nw, of_ne, of_ww, of_nn] = self.weights;
        let term = |near, weight| bw._mm512_mulhrs_epi16(bw._mm512_sub_epi16(near, n), weight);
        let early = bw._mm512_add_epi16(
            bw._mm512_add_epi16(n, self.half),
            bw._mm512_add_epi16(term(nw, of_nw), term(nn, of_nn)),
        );
        let middle = bw._mm512_add_epi16(early, term(ww, of_ww));
        let sum = bw._mm512_add_epi16(bw._mm512_add_epi16(middle, term(ne, of_ne)), term(w, of_w));
        self.core.avx512f._mm512_and_si512(sum, self.whole)
    }
}

/// Codes of a row from its third sample to its last but one.
#[inline(always)]
pub(super) fn codes(core: V4, near: [&[u16]; 3], predictor: &Predictor, codes: &mut [u16]) {
    let linear = Linear::new(core, predictor);
    let inner = codes.len().max(1) - 1;
    let Some(last) = inner.checked_sub(LANES).filter(|last| *last >= 2) else {
        return crate::codec::contextual::core::Core::linear_codes(*core, near, predictor, codes);
    };
    let bw = core.avx512bw;
    // The last vector begins within the one before.
    let mut x = 2;
    loop {
        let load = |row: &[u16], at: usize| -> __m512i {
            cast(row[at..].first_chunk::<LANES>().copied().unwrap_or([0; LANES]))
        };
        let [row, north, north2] = near;
        let n = load(north, x);
        let sides = [load(row, x - 1), load(north, x - 1), load(north, x + 1)];
        let far = [load(row, x - 2), load(north2, x)];
        let predicted = linear.predicted(n, [sides[0], sides[1], sides[2], far[0], far[1]]);
        let residual = bw._mm512_sub_epi16(load(row, x), predicted);
        let residual = bw._mm512_sra_epi16(residual, linear.shift);
        let sign = bw._mm512_srai_epi16::<15>(residual);
        let twice = bw._mm512_add_epi16(residual, residual);
        let code: [u16; LANES] = cast(core.avx512f._mm512_xor_si512(twice, sign));
        codes[x..x + LANES].copy_from_slice(&code);
        if x == last {
            break;
        }
        x = last.min(x + LANES);
    }
}
