//! The linear predictor, sixteen samples at once.

use std::arch::x86_64::__m256i;

use pulp::cast;
use pulp::x86::V3;

use crate::codec::contextual::predict::{Predictor, WEIGHTS};

/// Samples of a vector.
const LANES: usize = 16;

/// A linear predictor in vectors.
#[derive(Clone, Copy)]
pub(super) struct Linear {
    core: V3,
    weights: [__m256i; WEIGHTS],
    half: __m256i,
    whole: __m256i,
    pub(super) shift: std::arch::x86_64::__m128i,
}

impl Linear {
    #[inline(always)]
    pub(super) fn new(core: V3, predictor: &Predictor) -> Self {
        let all = |number: u16| core.avx._mm256_set1_epi16(number.cast_signed());
        Self {
            core,
            weights: predictor
                .weights
                .unwrap_or_default()
                .map(|weight| all(weight.cast_unsigned())),
            half: all(predictor.half()),
            whole: all(predictor.whole()),
            shift: cast([u64::from(predictor.shift), 0]),
        }
    }

    /// [`Predictor::predicted`]. The left neighbour, which is waited for the longest, comes in last.
    #[inline(always)]
    pub(super) fn predicted(&self, n: __m256i, [w, nw, ne, ww, nn]: [__m256i; WEIGHTS]) -> __m256i {
        let avx2 = self.core.avx2;
        let [of_w, of_nw, of_ne, of_ww, of_nn] = self.weights;
        let term = |near, weight| avx2._mm256_mulhrs_epi16(avx2._mm256_sub_epi16(near, n), weight);
        let early = avx2._mm256_add_epi16(
            avx2._mm256_add_epi16(n, self.half),
            avx2._mm256_add_epi16(term(nw, of_nw), term(nn, of_nn)),
        );
        let middle = avx2._mm256_add_epi16(early, term(ww, of_ww));
        let sum =
            avx2._mm256_add_epi16(avx2._mm256_add_epi16(middle, term(ne, of_ne)), term(w, of_w));
        avx2._mm256_and_si256(sum, self.whole)
    }
}

/// Codes of a row from its third sample to its last but one.
#[inline(always)]
pub(super) fn codes(core: V3, near: [&[u16]; 3], predictor: &Predictor, codes: &mut [u16]) {
    let linear = Linear::new(core, predictor);
    let inner = codes.len().max(1) - 1;
    let Some(last) = inner.checked_sub(LANES).filter(|last| *last >= 2) else {
        for (x, code) in codes.iter_mut().enumerate().take(inner).skip(2) {
            *code = predictor.code(near, x);
        }
        return;
    };
    // The last vector begins within the one before.
    let mut x = 2;
    loop {
        let load = |row: &[u16], at: usize| -> __m256i {
            cast(row[at..].first_chunk::<LANES>().copied().unwrap_or_default())
        };
        let [row, north, north2] = near;
        let n = load(north, x);
        let sides = [load(row, x - 1), load(north, x - 1), load(north, x + 1)];
        let far = [load(row, x - 2), load(north2, x)];
        let predicted = linear.predicted(n, [sides[0], sides[1], sides[2], far[0], far[1]]);
        let residual = core.avx2._mm256_sub_epi16(load(row, x), predicted);
        let residual = core.avx2._mm256_sra_epi16(residual, linear.shift);
        let sign = core.avx2._mm256_srai_epi16::<15>(residual);
        let twice = core.avx2._mm256_add_epi16(residual, residual);
        let code: [u16; LANES] = cast(core.avx2._mm256_xor_si256(twice, sign));
        codes[x..x + LANES].copy_from_slice(&code);
        if x == last {
            break;
        }
        x = last.min(x + LANES);
    }
}
