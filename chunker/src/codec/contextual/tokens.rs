//! How a code becomes a token, which is coded, and bits, which are kept as they are.

use super::contexts::{CONTEXTS, GROUP, LOW_BITS};

/// Tokens that stand for themselves.
pub(super) const DIRECT: u32 = 48;

/// All tokens: behind the direct ones, one for each number of bits that what is left over can have.
pub(super) const TOKENS: usize = 64;

/// The token of a code without its low bits, and how many extra bits it has, and those.
#[inline(always)]
pub(super) fn split(high: u32) -> (u32, u32, u32) {
    if high < DIRECT {
        return (high, 0, 0);
    }
    let over = high - (DIRECT - 1);
    let bits = over.ilog2();
    (DIRECT + bits, bits, over - (1 << bits))
}

/// Undoes [`split`].
#[inline(always)]
pub(super) fn join(token: u32, extra: u32) -> u32 {
    if token < DIRECT { token } else { DIRECT - 1 + (1 << (token - DIRECT)) + extra }
}

/// Extra bits of a token.
#[inline(always)]
pub(super) fn extra_bits(token: u32) -> u32 {
    token.saturating_sub(DIRECT)
}

/// The place of each token among those of all contexts.
#[inline(always)]
pub(super) fn places_of(codes: &[u16], contexts: &[u8], places: &mut [u16]) {
    let groups = codes.chunks(GROUP).zip(places.chunks_mut(GROUP)).zip(contexts);
    for ((codes, places), context) in groups {
        let context = usize::from(*context).min(CONTEXTS - 1);
        for (code, place) in codes.iter().zip(places) {
            let (token, _, _) = split(u32::from(*code) >> LOW_BITS[context]);
            *place = (context * TOKENS) as u16 + token as u16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_back() {
        for code in 0..=u32::from(u16::MAX) {
            let (token, bits, extra) = split(code);
            assert!((token as usize) < TOKENS && extra >> bits == 0);
            assert_eq!((join(token, extra), extra_bits(token)), (code, bits));
        }
    }
}
