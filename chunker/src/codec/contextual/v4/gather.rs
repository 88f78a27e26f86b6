//! Sixteen numbers of a table at once.

#![allow(unsafe_code)] // the only unsafe code there is: what it is worth stands with `looked_up`

use std::arch::x86_64::__m512i;

use pulp::x86::V4;

use super::all;
use crate::codec::contextual::ans::Table;

/// The number at each place of a table; what stands above the lower 16 bits of a lane does not count.
///
/// Looked up one by one and put together, numbers wait for the one port that moves them between lanes:
/// a chunk takes a sixth longer to decode so, and a fifth longer to code.
#[inline(always)]
pub(super) fn looked_up(core: V4, table: &Table, places: __m512i) -> __m512i {
    const { assert!(size_of::<Table>() == 4 << 16) };
    let f = core.avx512f;
    let places = f._mm512_and_si512(places, all(0xffff));
    // SAFETY: the instructions are those of a core that `core` proves to be at hand. Each lane reads
    // four bytes, four times its place from where the table begins: places are below 2^16, as they have
    // just been cut to, and the table has 2^16 numbers of four bytes, all of them initialised and none
    // of them changed for as long as it is borrowed.
    unsafe { f._mm512_i32gather_epi32::<4>(places, table.as_ptr().cast()) }
}
