//! Cores with AVX2: all tokens in a vector.

use std::arch::x86_64::__m256i;

use pulp::x86::V3;
use pulp::{NullaryFnOnce, cast};

use super::core::Core;
use super::model::TOKENS;
use super::{Checked, Decode, Encode};

/// Work to be compiled for the core with all that it calls. A closure would not be sure to.
pub(super) struct Work<T> {
    pub(super) core: V3,
    pub(super) task: T,
}

impl NullaryFnOnce for Work<Encode<'_>> {
    type Output = Option<Vec<u8>>;

    #[inline(always)]
    fn call(self) -> Self::Output {
        self.task.run(self.core)
    }
}

impl NullaryFnOnce for Work<Decode<'_>> {
    type Output = Checked;

    #[inline(always)]
    fn call(self) -> Self::Output {
        self.task.run(self.core)
    }
}

impl Core for V3 {
    #[inline(always)]
    fn count_up_to(self, ascending: &[i16; TOKENS], number: i16) -> usize {
        let (avx, avx2) = (self.avx, self.avx2);
        let above: __m256i =
            avx2._mm256_cmpgt_epi16(cast(*ascending), avx._mm256_set1_epi16(number));
        avx2._mm256_movemask_epi8(above).trailing_zeros() as usize / 2
    }

    #[inline(always)]
    fn nearer(self, numbers: &[i16; TOKENS], targets: &[i16; TOKENS], rate: u8) -> [i16; TOKENS] {
        let avx2 = self.avx2;
        let way = avx2._mm256_sub_epi16(cast(*targets), cast(*numbers));
        let rate = self.sse2._mm_cvtsi32_si128(i32::from(rate));
        cast(avx2._mm256_add_epi16(cast(*numbers), avx2._mm256_sra_epi16(way, rate)))
    }
}
