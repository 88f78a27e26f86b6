//! What groups of a row are counted by, eight groups at once.

use std::arch::x86_64::__m256i;

use pulp::cast;
use pulp::x86::V3;

use crate::codec::contextual::contexts::{self, GROUP, Tell};

/// Groups that are counted at once.
const GROUPS: usize = 8;

/// See [`Core::tell`].
///
/// [`Core::tell`]: crate::codec::contextual::core::Core::tell
#[inline(always)]
pub(super) fn tell(core: V3, codes: &[u16], to: Tell<'_>) {
    let (blocks, codes_rest) = codes.as_chunks::<{ GROUPS * GROUP }>();
    let whole = blocks.len() * GROUPS;
    let (sums, sums_rest) = to.sums.split_at_mut(whole);
    let (left, left_rest) = to.left.split_at_mut(whole);
    let (right, right_rest) = to.right.split_at_mut(whole);
    let sides = left.as_chunks_mut().0.iter_mut().zip(right.as_chunks_mut().0);
    let counted = sums.as_chunks_mut::<GROUPS>().0.iter_mut().zip(sides);
    for (codes, (sums, (left, right))) in blocks.iter().zip(counted) {
        let [first, second]: [__m256i; 2] = cast(*codes);
        let (first_pairs, first_told) = pairs(core, first);
        let (second_pairs, second_told) = pairs(core, second);
        *sums = cast(in_order(core, core.avx2._mm256_hadd_epi32(first_pairs, second_pairs)));
        let (first, second) = (cast(first_told), cast(second_told));
        let even = core.avx._mm256_shuffle_ps::<0b10_00_10_00>(first, second);
        let odd = core.avx._mm256_shuffle_ps::<0b11_01_11_01>(first, second);
        *left = in_lanes(in_order(core, cast(even)));
        *right = in_lanes(in_order(core, cast(odd)));
    }
    contexts::tell(codes_rest, Tell { sums: sums_rest, left: left_rest, right: right_rest });
}

#[inline(always)]
fn in_lanes(vector: __m256i) -> [u32; GROUPS] {
    cast(vector)
}

/// Of four groups, the sums of their halves; and of each first half what its group tells to the left, of
/// each second one what it tells to the right.
#[inline(always)]
fn pairs(core: V3, codes: __m256i) -> (__m256i, __m256i) {
    let avx2 = core.avx2;
    let even = avx2._mm256_and_si256(codes, cast([u32::from(u16::MAX); GROUPS]));
    let odd = avx2._mm256_srli_epi32::<16>(codes);
    let pairs = avx2._mm256_add_epi32(even, odd);
    let outer = avx2._mm256_blend_epi32::<0b1010_1010>(even, odd);
    (pairs, avx2._mm256_add_epi32(pairs, outer))
}

/// What was taken from two vectors by halves: first that of the one, then that of the other.
#[inline(always)]
fn in_order(core: V3, mixed: __m256i) -> __m256i {
    core.avx2._mm256_permute4x64_epi64::<0b11_01_10_00>(mixed)
}
