//! Streams of one stripe. Groups of a row are dealt to them in turn, so that a decoder has as many
//! under way at once; within a stream each of the four samples of a group has a state of its own.
//!
//! A group is the bits that move its states, then the low bits of its codes, then extra bits of those
//! that have them. A stream is decoded from its first bit on and encoded from its last one.

use super::ans::{Decoding, EXTRA, Encoding, TOKEN_SHIFT};
use super::bits::window;
use super::contexts::{CONTEXTS, GROUP, low_bits};
use super::tokens::{DIRECT, extra_bits, join, split};

/// Streams of a stripe of many samples, and of one of few.
pub(super) const STREAMS: usize = 4;
pub(super) const STREAMS_SMALL: usize = 2;

/// A stripe with fewer samples than this has few streams: each costs several bytes.
const MANY_SAMPLES: usize = 16 << 10;

/// The most low bits of a context for which a group is told by what one look brings.
const LOW_BITS_QUICK: u32 = 4;

/// How many streams so many samples have.
pub(super) fn streams(samples: usize) -> usize {
    if samples < MANY_SAMPLES { STREAMS_SMALL } else { STREAMS }
}

/// The same bits of each of four codes.
const fn in_each(bits: u64) -> u64 {
    bits * 0x0001_0001_0001_0001
}

/// Gives each of four codes its low bits of those that follow one another from the lowest on; up to
/// [`LOW_BITS_QUICK`] each, so that what is moved does not meet.
#[inline(always)]
fn deposit(bits: u64, low: u32) -> u64 {
    let bits = bits & !(u64::MAX << (4 * low));
    let pairs = bits | bits << (2 * (16 - low));
    (pairs | pairs << (16 - low)) & in_each((1 << low) - 1)
}

/// Undoes [`deposit`].
#[inline(always)]
fn extract(codes: u64, low: u32) -> u64 {
    let codes = codes & in_each((1 << low) - 1);
    let pairs = codes | codes >> (16 - low);
    (pairs | pairs >> (2 * (16 - low))) & !(u64::MAX << (4 * low))
}

/// Low bits by context.
pub(super) const LOW_BITS: [u8; CONTEXTS] = {
    let mut all = [0; CONTEXTS];
    let mut context = 0;
    while context < CONTEXTS {
        all[context] = low_bits(context) as u8;
        context += 1;
    }
    all
};

/// A stream that is being read.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    bytes: &'a [u8],
    /// The next bit.
    at: usize,
    /// States, with the last tokens above them.
    states: [u32; GROUP],
}

impl<'a> Source<'a> {
    /// At the first group. Below it stand the states, and below them a one above zeros.
    pub(super) fn new(bytes: &'a [u8], log: u32) -> Option<Self> {
        let first = bytes.first().filter(|first| **first != 0)?;
        let mut source = Self { bytes, at: first.trailing_zeros() as usize + 1, states: [0; GROUP] };
        for i in 0..GROUP {
            source.states[i] = source.take(log) as u32;
        }
        Some(source)
    }

    #[inline(always)]
    fn peek(&self) -> u64 {
        window(self.bytes, self.at / 8) >> (self.at % 8)
    }

    #[inline(always)]
    fn take(&mut self, bits: u32) -> u64 {
        let taken = self.peek() & !(u64::MAX << bits);
        self.at += bits as usize;
        taken
    }

    /// The codes of a whole group.
    #[inline(always)]
    fn group(&mut self, decoding: &Decoding, context: u8) -> [u16; GROUP] {
        let context = usize::from(context).min(CONTEXTS - 1);
        let (offset, low) = (decoding.offsets[context], u32::from(LOW_BITS[context]));
        let entries = self.states.map(|state| decoding.entry(offset, state));
        let [a, b, c, d] = entries;
        if (a | b | c | d) & EXTRA != 0 || low > LOW_BITS_QUICK {
            return self.some(GROUP, decoding, context);
        }
        // Up to 4 × (10 + 4) bits.
        let mut held = self.peek();
        let mut codes = 0;
        for (i, (state, entry)) in self.states.iter_mut().zip(entries).enumerate() {
            *state = (entry >> 16) + (held & !(u64::MAX << (entry & 63))) as u32;
            held >>= entry & 63;
            codes |= u64::from(*state) << (16 * i);
        }
        self.at += ((a & 0xff) + (b & 0xff) + (c & 0xff) + (d & 0xff) + 4 * low) as usize;
        let codes = codes >> TOKEN_SHIFT & in_each(63);
        let codes = codes << low | deposit(held, low);
        std::array::from_fn(|i| (codes >> (16 * i)) as u16)
    }

    /// The codes of a group of `count` samples, whatever they are.
    #[inline(never)]
    fn some(&mut self, count: usize, decoding: &Decoding, context: usize) -> [u16; GROUP] {
        let offset = decoding.offsets[context];
        for i in 0..count {
            let entry = decoding.entry(offset, self.states[i]);
            self.states[i] = (entry >> 16) + self.take(entry & 63) as u32;
        }
        let low = u32::from(LOW_BITS[context]);
        let mut codes = [0; GROUP];
        for code in &mut codes[..count] {
            *code = self.take(low) as u32;
        }
        for (code, state) in codes[..count].iter_mut().zip(self.states) {
            let token = state >> TOKEN_SHIFT;
            let extra = self.take(extra_bits(token)) as u32;
            *code |= join(token, extra) << low;
        }
        codes.map(|code| code as u16)
    }

    /// Has all been read, and has every state come to where the encoder began?
    pub(super) fn is_done(&self) -> bool {
        let state = |state: &u32| state & ((1 << TOKEN_SHIFT) - 1);
        self.at == 8 * self.bytes.len() && self.states.iter().map(state).all(|state| state == 0)
    }
}

/// Decodes the codes of a row.
#[inline(always)]
pub(super) fn decode_row<const N: usize>(
    sources: &mut [Source<'_>; N],
    decoding: &Decoding,
    contexts: &[u8],
    row: &mut [u16],
) {
    let (groups, rest) = row.as_chunks_mut::<GROUP>();
    let (turns, last) = groups.as_chunks_mut::<N>();
    let (turn_contexts, last_contexts) = contexts.as_chunks::<N>();
    for (turn, contexts) in turns.iter_mut().zip(turn_contexts) {
        for i in 0..N {
            turn[i] = sources[i].group(decoding, contexts[i]);
        }
    }
    // Contexts behind whole turns may be as many as streams.
    let last_contexts =
        if turns.len() < turn_contexts.len() { &turn_contexts[turns.len()][..] } else { last_contexts };
    let mut sources = sources.iter_mut().zip(last_contexts);
    for (group, (source, context)) in last.iter_mut().zip(&mut sources) {
        *group = source.group(decoding, *context);
    }
    if let Some((source, context)) = sources.next().filter(|_| !rest.is_empty()) {
        let context = usize::from(*context).min(CONTEXTS - 1);
        let codes = source.some(rest.len(), decoding, context);
        rest.copy_from_slice(&codes[..rest.len()]);
    }
}

/// A stream that is being written, from its end on.
pub(super) struct Sink<'a> {
    bytes: &'a mut [u8],
    /// Bytes from here on are written.
    at: usize,
    /// The bits before those, the last one lowest.
    held: u64,
    bits: u32,
    /// States, above `2^log`.
    states: [u32; GROUP],
}

/// The most bytes that a group takes, rounded up.
pub(super) const GROUP_BYTES_MAX: usize = 13;

impl<'a> Sink<'a> {
    /// `bytes` have room for all groups and 24 bytes more.
    pub(super) fn new(bytes: &'a mut [u8], log: u32) -> Self {
        let at = bytes.len();
        Self { bytes, at, held: 0, bits: 0, states: [1 << log; GROUP] }
    }

    /// Puts bits before all others; up to 57 in all between two calls of [`Self::flush`].
    #[inline(always)]
    fn put(&mut self, number: u64, bits: u32) {
        self.held = self.held << bits | number;
        self.bits += bits;
    }

    #[inline(always)]
    fn flush(&mut self) {
        let upper = self.held << (63 - self.bits) << 1;
        let to = self.at.checked_sub(8).and_then(|from| self.bytes.get_mut(from..self.at));
        if let Some(to) = to.and_then(|to| to.first_chunk_mut()) {
            *to = upper.to_le_bytes();
        }
        self.at -= self.bits as usize / 8;
        self.bits %= 8;
    }

    /// Puts a whole group before the others.
    #[inline(always)]
    fn group(&mut self, encoding: &Encoding, context: u8, codes: &[u16; GROUP]) {
        let context = usize::from(context).min(CONTEXTS - 1);
        let (table, low) = (encoding.tables[context], u32::from(LOW_BITS[context]));
        let tokens = codes.map(|code| u32::from(code) >> low);
        let any_extra = tokens.iter().any(|token| *token >= DIRECT);
        if any_extra || low > LOW_BITS_QUICK {
            return self.some(encoding, context, codes);
        }
        let mut moved = 0;
        let mut bits = 0;
        for (state, token) in self.states.iter_mut().zip(tokens) {
            let (out, count) = encoding.step(table, token, state);
            moved |= u64::from(out) << bits;
            bits += count;
        }
        let all = (0..GROUP).fold(0, |all, i| all | u64::from(codes[i]) << (16 * i));
        self.put(extract(all, low), 4 * low);
        self.put(moved, bits);
        self.flush();
    }

    /// Puts a group of up to [`GROUP`] samples, whatever they are, before the others.
    #[inline(never)]
    fn some(&mut self, encoding: &Encoding, context: usize, codes: &[u16]) {
        let (table, low) = (encoding.tables[context], u32::from(LOW_BITS[context]));
        for code in codes.iter().rev() {
            let (_, bits, extra) = split(u32::from(*code) >> low);
            self.put(extra.into(), bits);
            self.flush();
        }
        for code in codes.iter().rev() {
            self.put(u64::from(code & !(u16::MAX << low)), low);
            self.flush();
        }
        for (code, state) in codes.iter().zip(&mut self.states).rev() {
            let (token, _, _) = split(u32::from(*code) >> low);
            let (out, bits) = encoding.step(table, token, state);
            self.held = self.held << bits | u64::from(out);
            self.bits += bits;
        }
        self.flush();
    }

    /// Puts the states before all, and gives where the stream begins.
    pub(super) fn finish(mut self, log: u32) -> usize {
        for i in (0..GROUP).rev() {
            self.put(u64::from(self.states[i]) - (1 << log), log);
            self.flush();
        }
        self.put(1, 1);
        self.flush();
        if self.bits > 0 {
            self.put(0, 8 - self.bits);
            self.flush();
        }
        self.at
    }
}

/// Puts the codes of a row before those of the rows below it.
#[inline(always)]
pub(super) fn encode_row<const N: usize>(
    sinks: &mut [Sink<'_>; N],
    encoding: &Encoding,
    contexts: &[u8],
    row: &[u16],
) {
    let (groups, rest) = row.as_chunks::<GROUP>();
    if let Some(context) = contexts.get(groups.len()).filter(|_| !rest.is_empty()) {
        let context = usize::from(*context).min(CONTEXTS - 1);
        sinks[groups.len() % N].some(encoding, context, rest);
    }
    let contexts = &contexts[..groups.len()];
    let (turns, last) = groups.as_chunks::<N>();
    let (turn_contexts, last_contexts) = contexts.as_chunks::<N>();
    let lasts = last.iter().zip(last_contexts).zip(sinks.iter_mut());
    for ((codes, context), sink) in lasts {
        sink.group(encoding, *context, codes);
    }
    for (turn, contexts) in turns.iter().zip(turn_contexts).rev() {
        for i in 0..N {
            sinks[i].group(encoding, contexts[i], &turn[i]);
        }
    }
}
