//! Streams of one stripe. Groups of a row are dealt to them in turn, so that a decoder has as many
//! under way at once; within a stream each of the four samples of a group has a state of its own.
//!
//! A group is the bits that move its states, then the low bits of its codes, then extra bits of those
//! that have them. A stream is decoded from its first bit on and encoded from its last one.

use super::ans::{Decoding, EXTRA, Encoding, TOKEN_SHIFT};
use super::bits::window;
use super::contexts::{CONTEXTS, GROUP, LOW_BITS};
use super::tokens::{DIRECT, extra_bits, join, split};

/// Streams of a stripe.
pub(super) const STREAMS: usize = 4;

/// The most low bits of a context for which a group is told by what one look brings.
pub(super) const LOW_BITS_QUICK: u32 = 4;

/// The same bits of each of four codes.
pub(super) const fn in_each(bits: u64) -> u64 {
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

/// Streams that are being read.
pub(super) struct Sources<'a> {
    pub(super) bytes: [&'a [u8]; STREAMS],
    /// The next bit of each.
    pub(super) at: [u64; STREAMS],
    /// States with the last tokens above them, by the place of the sample in its group, then by stream.
    pub(super) states: [[u64; STREAMS]; GROUP],
}

impl<'a> Sources<'a> {
    /// At the first groups. Below these stand the states, and below them a one above zeros.
    pub(super) fn new(bytes: [&'a [u8]; STREAMS], log: u32) -> Option<Self> {
        let mut sources = Self { bytes, at: [0; STREAMS], states: [[0; STREAMS]; GROUP] };
        for (stream, bytes) in bytes.iter().enumerate() {
            let first = bytes.first().filter(|first| **first != 0)?;
            sources.at[stream] = u64::from(first.trailing_zeros()) + 1;
            for i in 0..GROUP {
                sources.states[i][stream] = sources.take(stream, log);
            }
        }
        Some(sources)
    }

    #[inline(always)]
    fn peek(&self, stream: usize) -> u64 {
        let at = self.at[stream];
        window(self.bytes[stream], at as usize / 8) >> (at % 8)
    }

    #[inline(always)]
    fn take(&mut self, stream: usize, bits: u32) -> u64 {
        let taken = self.peek(stream) & !(u64::MAX << bits);
        self.at[stream] += u64::from(bits);
        taken
    }

    /// The codes of a whole group.
    #[inline(always)]
    fn group(&mut self, stream: usize, decoding: &Decoding, context: u8) -> [u16; GROUP] {
        let (offset, low) = decoding.context(context);
        let entries: [u32; GROUP] =
            std::array::from_fn(|i| decoding.entry(offset, self.states[i][stream]));
        let [a, b, c, d] = entries;
        if (a | b | c | d) & EXTRA != 0 || low > LOW_BITS_QUICK {
            return self.some(stream, GROUP, decoding, context);
        }
        // Up to 4 × (10 + 4) bits.
        let mut held = self.peek(stream);
        let mut codes = 0;
        for (i, entry) in entries.into_iter().enumerate() {
            let state = u64::from(entry >> 16) + (held & !(u64::MAX << (entry & 63)));
            held >>= entry & 63;
            codes |= state << (16 * i);
            self.states[i][stream] = state;
        }
        self.at[stream] += u64::from((a + b + c + d & 0xff) + 4 * low);
        let codes = (codes >> TOKEN_SHIFT & in_each(63)) << low | deposit(held, low);
        std::array::from_fn(|i| (codes >> (16 * i)) as u16)
    }

    /// The codes of a group of `count` samples, whatever they are.
    #[inline(never)]
    pub(super) fn some(
        &mut self,
        stream: usize,
        count: usize,
        decoding: &Decoding,
        context: u8,
    ) -> [u16; GROUP] {
        let (offset, low) = decoding.context(context);
        for i in 0..count {
            let entry = decoding.entry(offset, self.states[i][stream]);
            self.states[i][stream] = u64::from(entry >> 16) + self.take(stream, entry & 63);
        }
        let mut codes = [0; GROUP];
        for code in &mut codes[..count] {
            *code = self.take(stream, low) as u32;
        }
        for i in 0..count {
            let token = (self.states[i][stream] >> TOKEN_SHIFT) as u32;
            let extra = self.take(stream, extra_bits(token)) as u32;
            codes[i] |= join(token, extra) << low;
        }
        codes.map(|code| code as u16)
    }

    /// Decodes what of a row is behind whole turns of all streams.
    #[inline(always)]
    pub(super) fn rest_of_row(&mut self, decoding: &Decoding, contexts: &[u8], row: &mut [u16]) {
        let (groups, rest) = row.as_chunks_mut::<GROUP>();
        let mut turns = (0..).zip(contexts);
        for (group, (stream, context)) in groups.iter_mut().zip(&mut turns) {
            *group = self.group(stream % STREAMS, decoding, *context);
        }
        if let Some((stream, context)) = turns.next().filter(|_| !rest.is_empty()) {
            let codes = self.some(stream % STREAMS, rest.len(), decoding, *context);
            rest.copy_from_slice(&codes[..rest.len()]);
        }
    }

    /// Has all been read, and has every state come to where the encoder began?
    pub(super) fn are_done(&self) -> bool {
        let state = |state: &u64| state & ((1 << TOKEN_SHIFT) - 1);
        self.at.iter().zip(self.bytes).all(|(at, bytes)| *at == 8 * bytes.len() as u64)
            && self.states.as_flattened().iter().map(state).all(|state| state == 0)
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
pub(super) fn encode_row(
    sinks: &mut [Sink<'_>; STREAMS],
    encoding: &Encoding,
    contexts: &[u8],
    row: &[u16],
) {
    let (groups, rest) = row.as_chunks::<GROUP>();
    if let Some(context) = contexts.get(groups.len()).filter(|_| !rest.is_empty()) {
        let context = usize::from(*context).min(CONTEXTS - 1);
        sinks[groups.len() % STREAMS].some(encoding, context, rest);
    }
    let contexts = &contexts[..groups.len()];
    let (turns, last) = groups.as_chunks::<STREAMS>();
    let (turn_contexts, last_contexts) = contexts.as_chunks::<STREAMS>();
    let lasts = last.iter().zip(last_contexts).zip(sinks.iter_mut());
    for ((codes, context), sink) in lasts {
        sink.group(encoding, *context, codes);
    }
    for (turn, contexts) in turns.iter().zip(turn_contexts).rev() {
        for i in 0..STREAMS {
            sinks[i].group(encoding, contexts[i], &turn[i]);
        }
    }
}
