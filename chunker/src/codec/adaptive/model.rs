//! How likely a token is: frequencies that follow what was coded, one set for each size expected.
//!
//! A residual is a code, whose token says about how large it is; what the token leaves open is kept as
//! plain bits. Sets begin as geometric distributions of the size they are for.

#![allow(clippy::cast_possible_wrap)] // of tokens, which are few

use std::sync::LazyLock;

use super::core::Core;

/// Tokens, the last of which stands for all codes that have no other.
pub(super) const TOKENS: usize = 16;

/// Bits of all frequencies of a set together.
pub(super) const TOTAL_BITS: u32 = 15;
const TOTAL: i32 = 1 << TOTAL_BITS;

/// The least frequency of a token: none is ever impossible.
const LEAST: i32 = 24;

/// What the frequencies together can have beyond the least.
const FREE: i32 = TOTAL - TOKENS as i32 * LEAST;

/// Sets: more than there are for all that sizes of neighbours come to, and a power of two.
pub(super) const SETS: usize = 128;

/// The bits that a code leaves to plain bits if neighbours are `sum` large, begin at this octave.
const QUIET_OCTAVES: usize = 3;

/// The first code of each token, less its low bits, and of what would be the next one's.
const BASES: [u16; TOKENS] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 40, 72, 136];
/// Plain bits of each token; the last one has the whole code.
const EXTRA: [u8; TOKENS] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, WHOLE_BITS];
const WHOLE_BITS: u8 = 16;
const WHOLE: usize = TOKENS - 1;

/// Which token a code less its low bits has, up to the last one's.
const TOKEN_OF: [u8; BASES[WHOLE] as usize] = {
    let mut tokens = [0; BASES[WHOLE] as usize];
    let mut high = 0;
    let mut token = 0;
    while high < tokens.len() {
        if BASES[token + 1] as usize == high {
            token += 1;
        }
        tokens[high] = token as u8;
        high += 1;
    }
    tokens
};

/// Where frequencies go when a token is seen.
const TARGETS: [[i16; TOKENS]; TOKENS] = {
    let mut targets = [[0; TOKENS]; TOKENS];
    let mut seen = 0;
    while seen < TOKENS {
        let mut token = 0;
        while token < TOKENS {
            let free = if token > seen { FREE } else { 0 };
            targets[seen][token] = (LEAST * token as i32 + free) as i16;
            token += 1;
        }
        seen += 1;
    }
    targets
};

/// The rate at which a set follows, by how often it was used: quick at first.
const RATES: [u8; 256] = {
    let mut rates = [8; 256];
    let mut used = 0;
    while used < 250 {
        rates[used] = match used {
            0..16 => 4,
            16..48 => 5,
            48..120 => 6,
            _ => 7,
        };
        used += 1;
    }
    rates
};

/// The set for what weighted sizes of neighbours come to, and four more: quarters of octaves.
#[inline(always)]
pub(super) fn set_of(sum_and_four: u32) -> usize {
    let octave = 29u32.wrapping_sub(sum_and_four.leading_zeros());
    let quarter = sum_and_four.wrapping_shr(octave);
    (4 * octave).wrapping_add(quarter) as usize % SETS
}

/// What the set of a sum is below the first bits of the sum as a number with a point of 32 bits.
pub(super) const TAKEN_FROM_OCTAVES: u16 = 4 * 128;

/// Low bits that codes of a set keep apart.
#[inline(always)]
pub(super) fn low_bits(set: usize) -> u32 {
    (set / 4).saturating_sub(QUIET_OCTAVES + 1).min(15) as u32
}

/// The token of a code, its plain bits, and how many.
#[inline(always)]
pub(super) fn split(code: u16, low: u32) -> (usize, u32, u32) {
    let high = usize::from(code >> low);
    match TOKEN_OF.get(high) {
        Some(token) => {
            let token = usize::from(*token) % TOKENS;
            let base = u32::from(BASES[token]) << low;
            (token, u32::from(code) - base, u32::from(EXTRA[token]) + low)
        }
        None => (WHOLE, u32::from(code), u32::from(WHOLE_BITS)),
    }
}

/// How many plain bits each token of a code has (from bit 24 on), and what they are added to (below),
/// by how many low bits codes keep apart, and by how many tokens begin up to it.
const PLAIN: [[u32; 2 * TOKENS]; LOWS] = {
    let mut all = [[0; 2 * TOKENS]; LOWS];
    let mut low = 0;
    while low < LOWS {
        let mut token = 0;
        while token < WHOLE {
            let base = (BASES[token] as u32) << low;
            all[low][token + 1] = (EXTRA[token] as u32 + low as u32) << 24 | base;
            token += 1;
        }
        all[low][WHOLE + 1] = (WHOLE_BITS as u32) << 24;
        low += 1;
    }
    all
};

/// Numbers of low bits that codes may keep apart, none included.
const LOWS: usize = 32;

/// How many plain bits the last one of so many tokens has, and what they are added to.
#[inline(always)]
pub(super) fn plain_bits(tokens: usize, low: u32) -> (u32, u32) {
    let entry = PLAIN[(low as usize).min(LOWS - 1)][tokens % (2 * TOKENS)];
    (entry >> 24, entry & 0xff_ffff)
}

/// The frequencies of a set.
#[derive(Clone, Copy)]
#[repr(align(64))] // no vector of it is in two lines of a cache
pub(super) struct Set {
    /// Of each token, the sum of the frequencies of those before it; that of all, less 2^16, is last.
    starts: [i16; TOKENS + 1],
    used: u8,
}

impl Set {
    /// What a set is at first.
    pub(super) fn new(set: usize) -> Self {
        // Twice the middle of the sums that the set is for, and of ten sizes of four a level each.
        let middle = (9 + 2 * (set as u64 % 4)) << (set / 4).saturating_sub(1);
        let sums = middle.saturating_sub(8).max(1);
        let ratio = (sums << 16) / (sums + (40 << low_bits(set)));
        let (mut rest, mut high) = (1u64 << 32, 0);
        let mut starts = [i16::MIN; TOKENS + 1];
        for (token, (start, base)) in starts.iter_mut().zip(BASES).enumerate() {
            while high < base {
                rest = (rest * ratio) >> 16;
                high += 1;
            }
            let before = (FREE as u64 * ((1 << 32) - rest)) >> 32;
            *start = before as i16 + LEAST as i16 * token as i16;
        }
        Self { starts, used: 0 }
    }

    /// Where a token begins, and its frequency.
    #[inline(always)]
    pub(super) fn range(&self, token: usize) -> (u32, u32) {
        let token = token % TOKENS;
        let [start, end] = [token, token + 1].map(|at| self.starts[at].cast_unsigned());
        (u32::from(start), u32::from(end - start))
    }

    /// How many tokens begin up to a number below all frequencies together: it falls to the last.
    #[inline(always)]
    pub(super) fn find<C: Core>(&self, core: C, number: u32) -> usize {
        let [starts @ .., _] = &self.starts;
        core.count_up_to(starts, number as i16)
    }

    /// A token was seen.
    #[inline(always)]
    pub(super) fn follow<C: Core>(&mut self, core: C, token: usize) {
        let rate = RATES[usize::from(self.used)];
        self.used = self.used.saturating_add(1);
        let [starts @ .., _] = &mut self.starts;
        *starts = core.nearer(starts, &TARGETS[token % TOKENS], rate);
    }
}

/// All sets as they are at first.
pub(super) fn sets() -> [Set; SETS] {
    static FIRST: LazyLock<[Set; SETS]> =
        LazyLock::new(|| std::array::from_fn(|set| Set::new(set.min(81))));
    *FIRST
}

#[cfg(test)]
mod tests {
    use super::super::core::Plain;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes_come_back() {
        for low in 0..=low_bits(81) {
            for code in 0..=u16::MAX {
                let (token, plain, bits) = split(code, low);
                let (told, base) = plain_bits(token + 1, low);
                assert_eq!((told, base + plain), (bits, u32::from(code)), "{code} {low}");
                assert!(plain >> bits == 0);
            }
        }
    }

    #[test]
    fn sets_are_quarters_of_octaves() {
        let sets: Vec<usize> = (4..13).map(set_of).collect();
        assert_eq!(sets, [4, 5, 6, 7, 8, 8, 9, 9, 10]);
        // The largest sizes that there are.
        assert_eq!(set_of(10 * 4 * 65_535 + 4), 80);
        for sum in (4..3_000_000).step_by(7) {
            let first = (sum as f32).to_bits() >> 21;
            assert_eq!(set_of(sum), (first as u16 - TAKEN_FROM_OCTAVES) as usize);
        }
    }

    proptest! {
        /// However frequencies move, none becomes too small, and each number falls to its token.
        #[test]
        fn frequencies_stay_sound(set in 4..82usize, tokens: Vec<(u8, u8)>) {
            let mut set = Set::new(set);
            for (token, times) in tokens {
                for _ in 0..=times {
                    set.follow(Plain, usize::from(token) % TOKENS);
                }
                let mut next = 0;
                for token in 0..TOKENS {
                    let (start, count) = set.range(token);
                    prop_assert_eq!(start, next);
                    prop_assert!(count >= LEAST.cast_unsigned());
                    next = start + count;
                    prop_assert_eq!(set.find(Plain, start), token + 1);
                    prop_assert_eq!(set.find(Plain, next - 1), token + 1);
                }
                prop_assert_eq!(next, TOTAL.cast_unsigned());
            }
        }
    }
}
