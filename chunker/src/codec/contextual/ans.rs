//! Asymmetric numeral systems by table (Duda, "Asymmetric numeral systems", 2013).
//!
//! A state is a number below `2^log`; a token moves it by the table of the token's context, and
//! because all tables have one length, a state can go from one to any other. Tables are those of FSE
//! (RFC 8878 §4.1.1): only how frequencies are told differs.

use std::ops::Range;

use super::contexts::{CONTEXTS, LOW_BITS};
use super::tokens::{DIRECT, TOKENS};

/// Bits of a state, at least and at most.
pub(super) const LOG_MIN: u32 = 8;
pub(super) const LOG_MAX: u32 = 10;

/// How often each token stands in a table; their sum is the table's length.
pub(super) type Frequencies = [u16; TOKENS];

/// Room for all tables at any length, a power of two so that an index is bounded by its type.
const PLACES: usize = 1 << 16;

/// Numbers of all tables.
pub(super) type Table = [u32; PLACES];

/// The smallest weight of each quarter of an octave.
const QUARTERS: [u32; 4] = [256, 304, 362, 431];

/// The highest level of a weight.
pub(super) const LEVEL_MAX: u32 = 48;

/// The weight of a level: four levels are an octave; level 0 is no weight at all.
#[inline(always)]
pub(super) fn weight(level: u32) -> u32 {
    if level == 0 { 0 } else { QUARTERS[level as usize % 4] << (level / 4) }
}

/// Frequencies in the ratio of weights, of which one at least is not zero.
#[inline(always)]
pub(super) fn normalized(levels: &[u8; TOKENS], log: u32) -> Frequencies {
    let weights = levels.map(|level| weight(level.into()));
    let total: u32 = weights.iter().sum();
    // Exact: none of these numbers has more than 33 bits, and so no quotient that is not whole is rounded
    // up to one that is.
    let total = f64::from(total.max(1));
    let mut frequencies = [0; TOKENS];
    for (frequency, weight) in frequencies.iter_mut().zip(weights) {
        let share = (f64::from(weight) * f64::from(1u32 << log) / total) as u32;
        *frequency = (share as u16).max(u16::from(weight > 0));
    }
    let length = 1i32 << log;
    let mut missing = length - frequencies.iter().map(|f| i32::from(*f)).sum::<i32>();
    while missing != 0 {
        // The first of the most frequent ones: these are found at once, and it is among the first.
        let most = frequencies.iter().copied().max().unwrap_or(0);
        let Some(largest) = frequencies.iter_mut().find(|frequency| **frequency == most) else {
            break;
        };
        let change = missing.max(-1);
        *largest = largest.saturating_add_signed(change as i16);
        missing -= change;
    }
    frequencies
}

/// Calls `each` with the places of each token in the order of tokens.
#[inline(always)]
fn spread(frequencies: &Frequencies, log: u32, mut each: impl FnMut(usize, usize)) {
    let length = 1usize << log;
    let step = (length >> 1) + (length >> 3) + 3;
    let mut place = 0;
    for (token, frequency) in frequencies.iter().enumerate() {
        for _ in 0..*frequency {
            each(place, token);
            place = (place + step) % length;
        }
    }
}

/// Set in an entry whose token has extra bits.
pub(super) const EXTRA: u32 = 1 << 15;

/// Where the token stands above the state in the upper half of an entry.
pub(super) const TOKEN_SHIFT: u32 = LOG_MAX;

/// Where low bits stand above the place of a table: only numbers below 16 fit.
pub(super) const LOW_SHIFT: u32 = 28;

/// Decoding tables. An entry has how many bits move the state in its low byte, [`EXTRA`], and in its
/// upper half the token above the state that the bits are added to.
pub(super) struct Decoding {
    entries: Box<Table>,
    /// For each context, where its table begins, and its low bits above [`LOW_SHIFT`].
    contexts: [u32; CONTEXTS.next_power_of_two()],
    /// For each context, where its table begins.
    places: [u16; CONTEXTS.next_power_of_two()],
    pub(super) log: u32,
}

impl Default for Decoding {
    fn default() -> Self {
        const NONE: usize = CONTEXTS.next_power_of_two();
        Self { entries: boxed(), contexts: [0; NONE], places: [0; NONE], log: LOG_MIN }
    }
}

fn boxed<T: Copy + Default, const N: usize>() -> Box<[T; N]> {
    let all = vec![T::default(); N].into_boxed_slice();
    all.try_into().unwrap_or_else(|_| unreachable!("it has this length"))
}

impl Decoding {
    /// Makes table number `table`. The frequencies sum up to `2^log`.
    #[inline(always)]
    pub(super) fn fill(&mut self, table: usize, frequencies: &Frequencies) {
        let log = self.log;
        let Some(entries) = self.entries.get_mut(table << log..(table + 1) << log) else { return };
        spread(frequencies, log, |place, token| {
            if let Some(entry) = entries.get_mut(place) {
                *entry = token as u32;
            }
        });
        let mut next = frequencies.map(u32::from);
        for entry in entries {
            let token = *entry;
            let number = &mut next[token as usize % TOKENS];
            let bits = log - number.ilog2();
            let state = (*number << bits) - (1 << log);
            *number += 1;
            let extra = if token >= DIRECT { EXTRA } else { 0 };
            *entry = bits | extra | (token << TOKEN_SHIFT | state) << 16;
        }
    }

    /// Gives a context a table.
    pub(super) fn share(&mut self, context: usize, table: usize) {
        let place = table << self.log;
        self.contexts[context] = place as u32 | u32::from(LOW_BITS[context]) << LOW_SHIFT;
        self.places[context] = place as u16;
    }

    /// Where the tables of all contexts begin.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn places(&self) -> &[u16; CONTEXTS.next_power_of_two()] {
        &self.places
    }

    /// Where the table of a context begins, and its low bits above [`LOW_SHIFT`].
    #[inline(always)]
    pub(super) fn place(&self, context: u8) -> u32 {
        self.contexts[usize::from(context) % self.contexts.len()]
    }

    /// Where the table of a context begins, and its low bits.
    #[inline(always)]
    pub(super) fn context(&self, context: u8) -> (u16, u32) {
        let place = self.place(context);
        (place as u16, place >> LOW_SHIFT)
    }

    /// All entries.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn entries(&self) -> &Table {
        &self.entries
    }

    /// The entry at a place.
    #[inline(always)]
    pub(super) fn at(&self, place: u16) -> u32 {
        self.entries[usize::from(place)]
    }

    /// The entry of a state (its bits above [`TOKEN_SHIFT`] do not count) in the table at an offset.
    #[inline(always)]
    pub(super) fn entry(&self, offset: u16, state: u64) -> u32 {
        self.at(offset.wrapping_add((state & ((1 << TOKEN_SHIFT) - 1)) as u16))
    }
}

/// By how many bits counts stand higher than states, which are below `2^(LOG_MAX + 1)`.
pub(super) const COUNT_SHIFT: u32 = 12;

/// Encoding tables.
pub(super) struct Encoding {
    /// How tokens move states up, by context and token: in the lower half what, added to a state,
    /// gives how many of its bits go out, [`COUNT_SHIFT`] bits up; in the upper half what, added to what
    /// is left of it, gives where the next state stands.
    steps: Box<Table>,
    states: Box<Table>,
    pub(super) log: u32,
}

impl Default for Encoding {
    fn default() -> Self {
        Self { steps: boxed(), states: boxed(), log: LOG_MIN }
    }
}

impl Encoding {
    /// Makes table number `table`, that of `contexts`. The frequencies sum up to `2^log`.
    pub(super) fn fill(&mut self, table: usize, contexts: Range<usize>, frequencies: &Frequencies) {
        let log = self.log;
        let length = 1u32 << log;
        let base = (table << log) as u32;
        let mut starts = [0u32; TOKENS];
        let mut sum = 0;
        let first = contexts.start * TOKENS;
        for (token, frequency) in frequencies.iter().enumerate() {
            let frequency = u32::from(*frequency);
            starts[token] = sum;
            let bits = match frequency {
                0 => 0,
                1 => (log << COUNT_SHIFT) - length,
                _ => {
                    let most = log - (frequency - 1).ilog2();
                    (most << COUNT_SHIFT) - (frequency << most)
                }
            };
            let next = (base + sum).wrapping_sub(frequency) as u16;
            self.steps[first + token] = bits | u32::from(next) << 16;
            sum += frequency;
        }
        for context in contexts.skip(1) {
            self.steps.copy_within(first..first + TOKENS, context * TOKENS);
        }
        // Places of a token are numbered as they stand in the table.
        let mut tokens = [0u8; 1 << LOG_MAX];
        spread(frequencies, log, |place, token| tokens[place] = token as u8);
        for (place, token) in tokens[..length as usize].iter().enumerate() {
            let start = &mut starts[usize::from(*token)];
            self.states[(base + *start) as usize % PLACES] = length + place as u32;
            *start += 1;
        }
    }

    /// How tokens move states, and the states that stand at places.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn tables(&self) -> [&Table; 2] {
        [&self.steps, &self.states]
    }

    /// How the token at a place moves a state.
    #[inline(always)]
    pub(super) fn step(&self, place: u16) -> u32 {
        self.steps[usize::from(place)]
    }

    /// The state that stands at a place.
    #[inline(always)]
    pub(super) fn state(&self, place: u16) -> u32 {
        self.states[usize::from(place)]
    }

    /// Moves a state, which is its number above `2^log`, by the token at a place, and gives the bits
    /// that go out and how many.
    #[inline(always)]
    pub(super) fn moved(&self, place: u16, state: &mut u64) -> (u64, u32) {
        let step = self.step(place);
        let bits = (*state as u32 + (step & 0xffff)) >> COUNT_SHIFT;
        let out = *state & !(u64::MAX << bits);
        let next = ((*state >> bits) as u16).wrapping_add((step >> 16) as u16);
        *state = self.state(next).into();
        (out, bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frequencies_sum_up(
            levels in prop::collection::vec(0u8..=48, TOKENS),
            some in 0..TOKENS,
            log in LOG_MIN..=LOG_MAX,
        ) {
            let mut levels: [u8; TOKENS] = std::array::from_fn(|i| levels[i]);
            levels[some] = levels[some].max(1);
            let frequencies = normalized(&levels, log);
            prop_assert_eq!(frequencies.iter().map(|f| u32::from(*f)).sum::<u32>(), 1 << log);
            for (level, frequency) in levels.iter().zip(frequencies) {
                prop_assert_eq!(*level > 0, frequency > 0);
            }
        }

        /// Each step of the encoder is undone by one of the decoder, from any state.
        #[test]
        fn steps_are_undone(
            levels in prop::collection::vec(prop_oneof![Just(0u8), 0u8..=48], TOKENS),
            some in 0..TOKENS,
            log in LOG_MIN..=LOG_MAX,
        ) {
            let mut levels: [u8; TOKENS] = std::array::from_fn(|i| levels[i]);
            levels[some] = levels[some].max(1);
            let frequencies = normalized(&levels, log);
            let mut encoding = Encoding { log, ..Encoding::default() };
            let mut decoding = Decoding { log, ..Decoding::default() };
            encoding.fill(3, 7..9, &frequencies);
            decoding.fill(3, &frequencies);
            for (token, _) in levels.iter().enumerate().filter(|(_, level)| **level > 0) {
                for from in 0..1u32 << log {
                    let mut state = u64::from(from) + (1 << log);
                    let place = ((7 + token % 2) * TOKENS + token) as u16;
                    let (out, bits) = encoding.moved(place, &mut state);
                    prop_assert!(out >> bits == 0 && state >> log == 1);
                    let entry = decoding.entry(3 << log, state - (1 << log));
                    let back = (entry >> 16) + out as u32;
                    prop_assert_eq!(entry & 0xff, bits);
                    prop_assert_eq!(entry & EXTRA != 0, token as u32 >= DIRECT);
                    prop_assert_eq!(back, (token as u32) << TOKEN_SHIFT | from);
                }
            }
        }
    }
}
