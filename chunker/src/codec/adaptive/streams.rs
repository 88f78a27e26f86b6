//! Where tokens and plain bits go, and come from.
//!
//! Tokens are coded by four states in turn (range asymmetric numeral systems), which share one stream
//! of words, so that no token waits for the one just before it. Numeral systems give back last what
//! they were given first: an encoder notes its tokens and codes them from the last to the first.

use super::core::Core;
use super::model::{SETS, Set, TOKENS, TOTAL_BITS, low_bits, plain_bits, sets, split};
use crate::codec::classed::bits::Reader;

/// States in turn.
pub(super) const STATES: usize = 4;

/// What a state is at the end of decoding, and the least that it ever is between tokens.
const REST: u32 = 1 << 16;

/// Notes what tokens there are.
pub(super) struct Sink<'a> {
    sets: [Set; SETS],
    /// Start and frequency of each token.
    tokens: std::slice::IterMut<'a, [u16; 2]>,
    bits: Bits<'a>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(
        samples: usize,
        tokens: &'a mut Vec<[u16; 2]>,
        bits: &'a mut Vec<u8>,
    ) -> Self {
        tokens.resize(samples, [0; 2]);
        let bits = Bits::new(samples, bits);
        Self { sets: sets(), tokens: tokens.iter_mut(), bits }
    }

    #[inline(always)]
    pub(super) fn put<C: Core>(&mut self, core: C, set: usize, code: u16) {
        let (token, plain, bits) = split(code, low_bits(set));
        let set = &mut self.sets[set % SETS];
        let (start, count) = set.range(token);
        if let Some(to) = self.tokens.next() {
            *to = [start as u16, count as u16];
        }
        set.follow(core, token);
        self.bits.put(plain, bits);
    }

    /// Ends the stream of plain bits.
    pub(super) fn finish(self) {
        self.bits.finish();
    }
}

/// Most bytes that the plain bits of a code have.
const PLAIN_BYTES: usize = 3;

/// A stream of plain bits to which no branch leads: when a byte is full cannot be foreseen.
struct Bits<'a> {
    bytes: &'a mut Vec<u8>,
    held: u64,
    /// Bits held.
    count: u32,
    at: usize,
}

impl<'a> Bits<'a> {
    fn new(samples: usize, bytes: &'a mut Vec<u8>) -> Self {
        bytes.resize(PLAIN_BYTES * samples + 8, 0);
        Self { bytes, held: 0, count: 0, at: 0 }
    }

    #[inline(always)]
    fn put(&mut self, number: u32, bits: u32) {
        self.held |= u64::from(number) << self.count;
        if let Some(to) = self.bytes[self.at..].first_chunk_mut() {
            *to = self.held.to_le_bytes();
        }
        self.count += bits;
        self.at += self.count as usize / 8;
        self.held >>= self.count & 0x38;
        self.count %= 8;
    }

    fn finish(mut self) {
        self.put(0, 7);
        self.bytes.truncate(self.at);
    }
}

/// Codes tokens from the last to the first; leaves the words from the last to the first as well.
#[inline(always)]
pub(super) fn encode(tokens: &[[u16; 2]], words: &mut Vec<u16>) -> [u32; STATES] {
    words.clear();
    words.resize(tokens.len(), 0);
    let mut states = [REST; STATES];
    let mut written = 0;
    for (place, [start, count]) in tokens.iter().enumerate().rev() {
        let state = states[place % STATES];
        let count = u32::from(*count).max(1);
        // Each token leaves a word or none: which of both cannot be foreseen, so that both are done.
        let is_full = state >= count << (32 - TOTAL_BITS);
        if let Some(word) = words.get_mut(written) {
            *word = state as u16;
        }
        written += usize::from(is_full);
        let state = if is_full { state >> 16 } else { state };
        let by_count = state / count;
        let rest = state - by_count * count;
        states[place % STATES] = (by_count << TOTAL_BITS) + rest + u32::from(*start);
    }
    words.truncate(written);
    states
}

/// Decodes what a [`Sink`] took.
pub(super) struct Source<'a> {
    sets: [Set; SETS],
    states: [u32; STATES],
    place: usize,
    words: &'a [[u8; 2]],
    /// Words read, also past the end.
    read: usize,
    bits: Reader<'a>,
    bit_bytes: usize,
}

impl<'a> Source<'a> {
    pub(super) fn new(states: [u32; STATES], words: &'a [[u8; 2]], bits: &'a [u8]) -> Self {
        let bit_bytes = bits.len();
        let bits = Reader::new(bits);
        Self { sets: sets(), states, place: 0, words, read: 0, bits, bit_bytes }
    }

    /// Was all of it read, and no more?
    pub(super) fn is_done(&self) -> bool {
        self.states == [REST; STATES]
            && self.read == self.words.len()
            && self.bits.bytes_read() == self.bit_bytes
    }
}

impl Source<'_> {
    /// The next code.
    #[inline(always)]
    pub(super) fn code<C: Core>(&mut self, core: C, set: usize) -> u16 {
        let low = low_bits(set);
        let set = &mut self.sets[set % SETS];
        let state = &mut self.states[self.place % STATES];
        self.place = self.place.wrapping_add(1);
        let number = *state & ((1 << TOTAL_BITS) - 1);
        let tokens = set.find(core, number);
        let token = tokens.wrapping_sub(1) % TOKENS;
        let (start, count) = set.range(token);
        let next = count.wrapping_mul(*state >> TOTAL_BITS).wrapping_add(number - start);
        let word = self.words.get(self.read).map_or(0, |word| u16::from_le_bytes(*word));
        let is_short = next < REST;
        *state = if is_short { next << 16 | u32::from(word) } else { next };
        self.read += usize::from(is_short);
        set.follow(core, token);
        let (bits, base) = plain_bits(tokens, low);
        let plain = self.bits.peek() as u32 & ((1 << bits) - 1);
        self.bits.skip(bits as usize);
        base.wrapping_add(plain) as u16
    }
}
