//! Streams of one stripe. Groups of a row are dealt to them in turn, so that a decoder has as many
//! under way at once; within a stream each of the four samples of a group has a state of its own.
//!
//! A group is the bits that move its states, then the low bits of its codes, then extra bits of those
//! that have them. A stream is decoded from its first bit on and encoded from its last one.

use super::ans::{Decoding, EXTRA, Encoding, TOKEN_SHIFT};
use super::bits::window;
use super::contexts::{CONTEXTS, GROUP, LOW_BITS};
use super::take_length;
use super::tokens::{DIRECT, TOKENS, extra_bits, join, split};

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
    /// All of them, one after the other.
    pub(super) bytes: &'a [u8],
    /// The next bit of each.
    pub(super) at: [u64; STREAMS],
    /// States with the last tokens above them, by the place of the sample in its group, then by stream.
    pub(super) states: [[u64; STREAMS]; GROUP],
    /// Where each ends, in bits.
    ends: [u64; STREAMS],
}

impl<'a> Sources<'a> {
    /// The streams of a stripe.
    pub(super) fn of(mut coded: &'a [u8], log: u32) -> Option<Self> {
        let mut lengths = [0; STREAMS];
        for length in &mut lengths[..STREAMS - 1] {
            *length = take_length(&mut coded)?;
        }
        lengths[STREAMS - 1] = coded.len().checked_sub(lengths.iter().sum())?;
        Self::new(coded, lengths, log)
    }

    /// At the first groups. Below these stand the states, and below them a one above zeros.
    fn new(bytes: &'a [u8], lengths: [usize; STREAMS], log: u32) -> Option<Self> {
        let none = [0; STREAMS];
        let mut sources = Self { bytes, at: none, states: [none; GROUP], ends: none };
        let mut start = 0;
        for (stream, length) in lengths.into_iter().enumerate() {
            let first = bytes.get(start).filter(|first| **first != 0 && length > 0)?;
            sources.at[stream] = 8 * start as u64 + u64::from(first.trailing_zeros()) + 1;
            for i in 0..GROUP {
                sources.states[i][stream] = sources.take(stream, log);
            }
            start += length;
            sources.ends[stream] = 8 * start as u64;
        }
        Some(sources)
    }

    #[inline(always)]
    fn peek(&self, stream: usize) -> u64 {
        let at = self.at[stream];
        window(self.bytes, at as usize / 8) >> (at % 8)
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
        // Only their lowest bytes count; what is above them may wrap.
        let bits = a.wrapping_add(b).wrapping_add(c).wrapping_add(d) & 0xff;
        self.at[stream] += u64::from(bits + 4 * low);
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
        for (i, code) in codes[..count].iter_mut().enumerate() {
            let token = (self.states[i][stream] >> TOKEN_SHIFT) as u32;
            let extra = self.take(stream, extra_bits(token)) as u32;
            *code |= join(token, extra) << low;
        }
        codes.map(|code| code as u16)
    }

    /// Reads the extra bits of a group of each stream, whose codes are right but for these.
    #[cfg(target_arch = "x86_64")]
    #[cold]
    #[inline(never)]
    pub(super) fn with_extra(
        &mut self,
        contexts: [u8; STREAMS],
        mut codes: [[u16; GROUP]; STREAMS],
    ) -> [[u16; GROUP]; STREAMS] {
        for (stream, codes) in codes.iter_mut().enumerate() {
            let low = u32::from(LOW_BITS[usize::from(contexts[stream]).min(CONTEXTS - 1)]);
            for (i, code) in codes.iter_mut().enumerate() {
                let token = (self.states[i][stream] >> TOKEN_SHIFT) as u32;
                if token >= DIRECT {
                    let extra = self.take(stream, extra_bits(token)) as u32;
                    let kept = *code & !(u16::MAX << low);
                    *code = (join(token, extra) << low) as u16 | kept;
                }
            }
        }
        codes
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
        self.at == self.ends && self.states.as_flattened().iter().map(state).all(|state| state == 0)
    }
}

/// Streams that are being written, from their ends on.
pub(super) struct Sinks<'a> {
    /// Room for all of them, one after the other.
    bytes: &'a mut [u8],
    /// Where the room of each ends.
    ends: [usize; STREAMS],
    /// Bytes from here on are written.
    pub(super) at: [u64; STREAMS],
    /// The bits before those, the last one lowest, and how many.
    pub(super) held: [u64; STREAMS],
    pub(super) bits: [u64; STREAMS],
    /// States above `2^log`, by the place of the sample in its group, then by stream.
    pub(super) states: [[u64; STREAMS]; GROUP],
}

/// The most bytes that a stream of so many samples takes, and some that are written before them. A
/// sample takes up to 10 bits that move its state and 16 that are kept.
pub(super) fn region_bytes(samples: usize) -> usize {
    samples * 26 / 8 + 32
}

impl<'a> Sinks<'a> {
    /// The room of each stream ends at one of `ends`, the last one at that of `bytes`; each has
    /// [`region_bytes`].
    pub(super) fn new(bytes: &'a mut [u8], ends: [usize; STREAMS], log: u32) -> Self {
        let none = [0; STREAMS];
        let states = [[1 << log; STREAMS]; GROUP];
        Self { bytes, ends, at: ends.map(|end| end as u64), held: none, bits: none, states }
    }

    /// Puts bits before all others; up to 57 in all between two calls of [`Self::flush`].
    #[inline(always)]
    fn put(&mut self, stream: usize, number: u64, bits: u32) {
        self.held[stream] = self.held[stream] << bits | number;
        self.bits[stream] += u64::from(bits);
    }

    #[inline(always)]
    fn flush(&mut self, stream: usize) {
        let bits = self.bits[stream];
        self.store(self.at[stream], self.held[stream] << (63 - bits) << 1);
        self.at[stream] -= bits / 8;
        self.bits[stream] %= 8;
    }

    /// Writes eight bytes before a place.
    #[inline(always)]
    pub(super) fn store(&mut self, at: u64, upper: u64) {
        // Of a number of 32 bits it is known that eight more are no overflow: one comparison will do.
        let start = (at as u32).wrapping_sub(8) as usize;
        let to = self.bytes.get_mut(start..start.wrapping_add(8));
        if let Some(to) = to.and_then(|to| to.first_chunk_mut()) {
            *to = upper.to_le_bytes();
        }
    }

    /// Puts a whole group before the others.
    #[inline(always)]
    fn group(
        &mut self,
        stream: usize,
        encoding: &Encoding,
        context: u8,
        [codes, places]: [&[u16; GROUP]; 2],
    ) {
        let low = u32::from(LOW_BITS[usize::from(context).min(CONTEXTS - 1)]);
        let any_extra = places.iter().any(|place| u32::from(*place) & DIRECT == DIRECT);
        if any_extra || low > LOW_BITS_QUICK {
            return self.some(stream, encoding, context, codes);
        }
        let mut moved = 0;
        let mut bits = 0;
        for (states, place) in self.states.iter_mut().zip(places) {
            let (out, count) = encoding.moved(*place, &mut states[stream]);
            moved |= out << bits;
            bits += count;
        }
        let all = (0..GROUP).fold(0, |all, i| all | u64::from(codes[i]) << (16 * i));
        self.put(stream, extract(all, low), 4 * low);
        self.put(stream, moved, bits);
        self.flush(stream);
    }

    /// Puts a group of up to [`GROUP`] samples, whatever they are, before the others.
    #[inline(never)]
    pub(super) fn some(&mut self, stream: usize, encoding: &Encoding, context: u8, codes: &[u16]) {
        let context = usize::from(context).min(CONTEXTS - 1);
        let low = u32::from(LOW_BITS[context]);
        for code in codes.iter().rev() {
            let (_, bits, extra) = split(u32::from(*code) >> low);
            self.put(stream, extra.into(), bits);
            self.flush(stream);
        }
        for code in codes.iter().rev() {
            self.put(stream, u64::from(code & !(u16::MAX << low)), low);
            self.flush(stream);
        }
        for (i, code) in codes.iter().enumerate().rev() {
            let (token, _, _) = split(u32::from(*code) >> low);
            let place = (context * TOKENS) as u16 + token as u16;
            let (out, bits) = encoding.moved(place, &mut self.states[i][stream]);
            self.put(stream, out, bits);
        }
        self.flush(stream);
    }

    /// Puts the extra bits of a group of each stream before the others.
    #[cfg(target_arch = "x86_64")]
    #[cold]
    #[inline(never)]
    pub(super) fn put_extra(&mut self, contexts: [u8; STREAMS], codes: &[u16; STREAMS * GROUP]) {
        for (stream, codes) in codes.as_chunks::<GROUP>().0.iter().enumerate() {
            let low = u32::from(LOW_BITS[usize::from(contexts[stream]).min(CONTEXTS - 1)]);
            for code in codes.iter().rev() {
                let (_, bits, extra) = split(u32::from(*code) >> low);
                self.put(stream, extra.into(), bits);
                self.flush(stream);
            }
        }
    }

    /// Puts what of a row is behind whole turns of all streams before the rows below it.
    #[inline(always)]
    pub(super) fn rest_of_row(
        &mut self,
        encoding: &Encoding,
        contexts: &[u8],
        [codes, places]: [&[u16]; 2],
    ) {
        let (groups, rest) = codes.as_chunks::<GROUP>();
        if let Some(context) = contexts.get(groups.len()).filter(|_| !rest.is_empty()) {
            self.some(groups.len() % STREAMS, encoding, *context, rest);
        }
        let groups = groups.iter().zip(places.as_chunks::<GROUP>().0).zip(contexts);
        for (number, ((codes, places), context)) in groups.enumerate().rev() {
            self.group(number % STREAMS, encoding, *context, [codes, places]);
        }
    }

    /// Puts the states before all, and gives each stream.
    pub(super) fn finish(mut self, log: u32) -> [&'a [u8]; STREAMS] {
        for stream in 0..STREAMS {
            for i in (0..GROUP).rev() {
                self.put(stream, self.states[i][stream] - (1 << log), log);
                self.flush(stream);
            }
            self.put(stream, 1, 1);
            self.flush(stream);
            let bits = self.bits[stream] as u32;
            if bits > 0 {
                self.put(stream, 0, 8 - bits);
                self.flush(stream);
            }
        }
        let Self { bytes, ends, at, .. } = self;
        let bytes: &[u8] = bytes;
        std::array::from_fn(|stream| &bytes[at[stream] as usize..ends[stream]])
    }
}
