//! What groups of a row are counted by, eight groups at once.

use std::arch::x86_64::__m256i;

use pulp::cast;
use pulp::x86::V3;

use crate::codec::contextual::contexts::{GROUP, Tell};

/// Groups that are counted at once, of which lists hold a multiple.
const GROUPS: usize = 8;

/// Codes of so many groups.
type Codes = [u16; GROUPS * GROUP];

/// See [`Core::tell`].
///
/// [`Core::tell`]: crate::codec::contextual::core::Core::tell
#[inline(always)]
pub(super) fn tell(core: V3, codes: &[u16], to: Tell<'_>) {
    let Tell { sums, left, right } = to;
    let (whole, rest) = codes.as_chunks();
    let sides = left.as_chunks_mut().0.iter_mut().zip(right.as_chunks_mut().0);
    let mut to = sums.as_chunks_mut().0.iter_mut().zip(sides);
    for (codes, (sums, (left, right))) in whole.iter().zip(&mut to) {
        [*sums, *left, *right] = counted(core, codes);
    }
    if let Some((sums, (left, right))) = to.next().filter(|_| !rest.is_empty()) {
        // What is missing counts as zeros, which is what groups that are not there tell.
        let mut codes: Codes = [0; GROUPS * GROUP];
        codes[..rest.len()].copy_from_slice(rest);
        [*sums, *left, *right] = counted(core, &codes);
    }
}

/// The sums of groups, and what they tell to the left and to the right.
#[inline(always)]
fn counted(core: V3, codes: &Codes) -> [[u32; GROUPS]; 3] {
    let [first, second]: [__m256i; 2] = cast(*codes);
    let (first_pairs, first_told) = pairs(core, first);
    let (second_pairs, second_told) = pairs(core, second);
    let sums = core.avx2._mm256_hadd_epi32(first_pairs, second_pairs);
    let (first, second) = (cast(first_told), cast(second_told));
    let left = core.avx._mm256_shuffle_ps::<0b10_00_10_00>(first, second);
    let right = core.avx._mm256_shuffle_ps::<0b11_01_11_01>(first, second);
    let [sums, left, right] = [sums, cast(left), cast(right)];
    [cast(in_order(core, sums)), cast(in_order(core, left)), cast(in_order(core, right))]
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
