//! Prefix codes: canonical, complete, of bounded length.
//!
//! A code is told by the lengths of its words alone. Words are numbered in order of length, then of
//! symbol, as in RFC 1951 §3.2.2, and go into a stream with their first bit first. Where only one
//! symbol ever occurs its length is told as 1, and its word has no bits at all.
//!
//! Symbols go to [`STREAMS`] bit streams in turn once there are [`STREAMS_FROM`] of them, so that a
//! decoder has as many look-ups under way at once.

use super::bits::Cursor;

/// Longest word of a symbol, in bits: a table of 2^11 entries of two bytes stays in a core's nearest
/// cache, and five words fit in what one refill brings.
pub(super) const WORD_BITS_MAX: usize = 11;

/// Entries of a decoding table.
pub(super) const TABLE: usize = 1 << WORD_BITS_MAX;

/// Streams over which symbols are dealt.
pub(super) const STREAMS: usize = 4;

/// With fewer symbols than this there is one stream: three more lengths would cost more than time.
pub(super) const STREAMS_FROM: usize = 512;

/// Words that are read or written between two moves of whole bytes.
const WORDS: usize = 5;

/// How many streams so many symbols have.
pub(super) fn streams(symbols: usize) -> usize {
    if symbols < STREAMS_FROM { 1 } else { STREAMS }
}

/// Lengths of the words for symbols that occur so often; zero where one never does.
pub(super) fn lengths(counts: &[u32], lengths: &mut [u8], bits_max: usize) {
    lengths.fill(0);
    let mut sorted = [0u64; 256];
    let mut used = 0;
    for (symbol, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        sorted[used] = u64::from(*count) << 8 | symbol as u64;
        used += 1;
    }
    let sorted = &mut sorted[..used];
    if used < 2 {
        if let [only] = sorted {
            lengths[(*only & 0xff) as usize] = 1;
        }
        return;
    }
    sorted.sort_unstable();
    let mut weights = [0u32; 256];
    for (weight, entry) in weights.iter_mut().zip(sorted.iter()) {
        *weight = (entry >> 8) as u32;
    }
    let depths = &mut weights[..used];
    depths_of(depths);
    let of_length = bounded(depths, bits_max);
    // The rarest symbol gets the longest word.
    let mut rarest = sorted.iter();
    for bits in (1..=bits_max).rev() {
        for entry in rarest.by_ref().take(of_length[bits] as usize) {
            lengths[(entry & 0xff) as usize] = bits as u8;
        }
    }
}

/// Depths of the leaves of a Huffman tree in place of their weights, which ascend (Moffat and
/// Katajainen, "In-place calculation of minimum-redundancy codes", 1995).
fn depths_of(a: &mut [u32]) {
    let n = a.len();
    let (mut root, mut leaf) = (0, 0);
    for next in 0..n - 1 {
        // Each inner node joins the two lightest of leaves and inner nodes not joined yet.
        let mut sum = 0;
        for _ in 0..2 {
            if leaf < n && (root >= next || a[leaf] <= a[root]) {
                sum += a[leaf];
                leaf += 1;
            } else {
                sum += a[root];
                a[root] = next as u32;
                root += 1;
            }
        }
        a[next] = sum;
    }
    a[n - 2] = 0;
    for next in (0..n - 2).rev() {
        a[next] = a[a[next] as usize] + 1;
    }
    let (mut open, mut depth, mut inner, mut next) = (1, 0, n - 1, n);
    while open > 0 {
        let mut used = 0;
        while inner > 0 && a[inner - 1] == depth {
            used += 1;
            inner -= 1;
        }
        for _ in used..open {
            next -= 1;
            a[next] = depth;
        }
        (open, depth) = (2 * used, depth + 1);
    }
}

/// How many words of each length a complete code has whose longest word has `bits_max` bits.
fn bounded(depths: &[u32], bits_max: usize) -> [u32; 16] {
    let mut of_length = [0u32; 16];
    for depth in depths {
        of_length[(*depth as usize).min(bits_max)] += 1;
    }
    let taken = |of_length: &[u32; 16]| -> u32 {
        (1..=bits_max).map(|bits| of_length[bits] << (bits_max - bits)).sum()
    };
    // Each word that was cut short takes a place too many: two words of the longest that is shorter
    // than the bound make room for it.
    for _ in (1 << bits_max)..taken(&of_length) {
        of_length[bits_max] -= 1;
        if let Some(bits) = (1..bits_max).rev().find(|bits| of_length[*bits] > 0) {
            of_length[bits] -= 1;
            of_length[bits + 1] += 2;
        }
    }
    of_length
}

/// The words of all symbols, first bit lowest, with their lengths 16 bits above.
pub(super) type Words = [u32; 256];

/// Words by their lengths, which [`lengths`] made.
pub(super) fn words(lengths: &[u8]) -> Words {
    let mut words = [0; 256];
    canonical(lengths, |symbol, bits, word| words[symbol] = (bits as u32) << 16 | word);
    words
}

/// Calls `each` with the symbol, length and word of all symbols in canonical order. Gives how many of
/// 2^16 places the words take.
fn canonical(lengths: &[u8], mut each: impl FnMut(usize, usize, u32)) -> u32 {
    let mut of_length = [0u32; 16];
    for bits in lengths {
        of_length[usize::from(bits & 15)] += 1;
    }
    if of_length[1..].iter().sum::<u32>() == 1 && of_length[1] == 1 {
        if let Some(only) = lengths.iter().position(|bits| *bits == 1) {
            each(only, 0, 0);
        }
        return 1 << 16;
    }
    // Symbols in order of length: a place for each, then what stands there.
    let mut place = [0usize; 16];
    let mut first = [0u32; 16];
    let (mut at, mut word) = (0, 0);
    for bits in 1..16 {
        (place[bits], first[bits]) = (at, word << 1);
        word = first[bits] + of_length[bits];
        at += of_length[bits] as usize;
    }
    let taken = (1..16).map(|bits| of_length[bits] << (16 - bits)).sum();
    if taken > 1 << 16 {
        return taken;
    }
    let mut sorted = [0u8; 256];
    for (symbol, bits) in lengths.iter().enumerate().filter(|(_, bits)| **bits > 0) {
        sorted[place[usize::from(*bits & 15)]] = symbol as u8;
        place[usize::from(*bits & 15)] += 1;
    }
    let mut sorted = sorted.iter();
    for bits in 1..16 {
        for (word, symbol) in (first[bits]..).zip(sorted.by_ref().take(of_length[bits] as usize)) {
            each(usize::from(*symbol), bits, word.reverse_bits() >> (32 - bits));
        }
    }
    taken
}

/// Fills a decoding table of a power of two of entries: of what bits begin with, the symbol (high
/// byte) and how long its word is (low byte). False if the lengths are not those of a complete code
/// with words that the table can tell.
pub(super) fn fill_table(lengths: &[u8], table: &mut [u16]) -> bool {
    let longest = table.len().trailing_zeros() as usize;
    if lengths.len() > 256 || lengths.iter().any(|bits| usize::from(*bits) > longest) {
        return false;
    }
    let mut filled = 1;
    let taken = canonical(lengths, |symbol, bits, word| {
        // What is told by fewer bits is told by more as well.
        while filled < 1 << bits {
            table.copy_within(..filled, filled);
            filled *= 2;
        }
        table[word as usize] = (symbol as u16) << 8 | bits as u16;
    });
    while filled < table.len() {
        table.copy_within(..filled, filled);
        filled *= 2;
    }
    taken == 1 << 16
}

/// Appends the lengths of the streams of `symbols` to `out`, and the streams.
#[inline(always)]
pub(super) fn encode(symbols: &[u8], words: &Words, spare: &mut Vec<u8>, out: &mut Vec<u8>) {
    let streams = streams(symbols.len());
    let region = (symbols.len() / streams + 1) * WORD_BITS_MAX / 8 + 16;
    if spare.len() < region * STREAMS {
        spare.resize(region * STREAMS, 0);
    }
    let mut ends = [0; STREAMS];
    if streams == 1 {
        let mut stream = Appender::new(spare);
        for symbols in symbols.chunks(WORDS) {
            for symbol in symbols {
                stream.put(words[usize::from(*symbol)]);
            }
            stream.flush();
        }
        ends[0] = stream.finish();
    } else {
        let mut rest = spare.as_mut_slice();
        let mut all: [Appender<'_>; STREAMS] = std::array::from_fn(|_| {
            let (mine, behind) = std::mem::take(&mut rest).split_at_mut(region);
            rest = behind;
            Appender::new(mine)
        });
        let (rounds, rest) = symbols.as_chunks::<{ STREAMS * WORDS }>();
        for round in rounds {
            for turn in round.as_chunks::<STREAMS>().0 {
                for (stream, symbol) in all.iter_mut().zip(turn) {
                    stream.put(words[usize::from(*symbol)]);
                }
            }
            for stream in &mut all {
                stream.flush();
            }
        }
        for turn in rest.chunks(STREAMS) {
            for (stream, symbol) in all.iter_mut().zip(turn) {
                stream.put(words[usize::from(*symbol)]);
            }
        }
        for (stream, end) in all.into_iter().zip(&mut ends) {
            *end = stream.finish();
        }
    }
    for end in &ends[..streams] {
        put_length(*end, out);
    }
    for (stream, end) in spare.chunks(region).zip(ends) {
        out.extend(&stream[..end]);
    }
}

/// Writes words to memory that is long enough for them and eight bytes more.
struct Appender<'a> {
    bytes: &'a mut [u8],
    at: usize,
    held: u64,
    bits: u32,
}

impl<'a> Appender<'a> {
    fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0, held: 0, bits: 0 }
    }

    #[inline(always)]
    fn put(&mut self, word: u32) {
        self.held |= u64::from(word & 0xffff) << self.bits;
        self.bits += word >> 16;
    }

    /// At the latest after [`WORDS`] words.
    #[inline(always)]
    fn flush(&mut self) {
        if let Some(to) = self.bytes.get_mut(self.at..).and_then(|rest| rest.first_chunk_mut()) {
            *to = self.held.to_le_bytes();
        }
        self.at += self.bits as usize / 8;
        self.held >>= self.bits & !7;
        self.bits &= 7;
    }

    fn finish(mut self) -> usize {
        self.flush();
        self.at + usize::from(self.bits > 0)
    }
}

/// Decodes `symbols` from the start of `coded`, and gives what follows their streams; `None` if they
/// are not streams of so many symbols.
#[inline(always)]
pub(super) fn decode<'a>(
    mut coded: &'a [u8],
    table: &[u16; TABLE],
    symbols: &mut [u8],
) -> Option<&'a [u8]> {
    let streams = streams(symbols.len());
    let (mut starts, mut ends) = ([0; STREAMS], [0; STREAMS]);
    let mut at = 0;
    for i in 0..streams {
        starts[i] = at;
        at += take_length(&mut coded)?;
        ends[i] = at;
    }
    let rest = coded.get(at..)?;
    let mut cursors = starts.map(Cursor::new);
    if streams == 1 {
        let cursor = &mut cursors[0];
        for symbols in symbols.chunks_mut(WORDS) {
            cursor.refill(coded);
            for symbol in symbols {
                *symbol = cursor.symbol(table);
            }
        }
    } else {
        let (rounds, rest) = symbols.as_chunks_mut::<{ STREAMS * WORDS }>();
        for round in rounds {
            for cursor in &mut cursors {
                cursor.refill(coded);
            }
            for turn in round.as_chunks_mut::<STREAMS>().0 {
                *turn = std::array::from_fn(|i| cursors[i].symbol(table));
            }
        }
        for cursor in &mut cursors {
            cursor.refill(coded);
        }
        for turn in rest.chunks_mut(STREAMS) {
            for (cursor, symbol) in cursors.iter_mut().zip(turn) {
                *symbol = cursor.symbol(table);
            }
        }
    }
    let stops = cursors.map(Cursor::end);
    (stops[..streams] == ends[..streams]).then_some(rest)
}

/// Appends a length: seven bits a byte, the lowest first, all bytes but the last with their high bit
/// set.
pub(in crate::codec) fn put_length(length: usize, out: &mut Vec<u8>) {
    let mut rest = length;
    while rest > 0x7f {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Takes a length of up to 28 bits from the start of `coded`.
pub(in crate::codec) fn take_length(coded: &mut &[u8]) -> Option<usize> {
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let (byte, rest) = coded.split_first()?;
        *coded = rest;
        length |= usize::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn counted(symbols: &[u8]) -> [u32; 256] {
        let mut counts = [0; 256];
        for symbol in symbols {
            counts[usize::from(*symbol)] += 1;
        }
        counts
    }

    fn there_and_back(symbols: &[u8]) -> usize {
        let mut lengths_of = [0; 256];
        lengths(&counted(symbols), &mut lengths_of, WORD_BITS_MAX);
        let mut table = [0; TABLE];
        assert!(fill_table(&lengths_of, &mut table));
        let (mut spare, mut out) = (Vec::new(), Vec::new());
        encode(symbols, &words(&lengths_of), &mut spare, &mut out);
        let coded_bytes = out.len();
        out.extend([0xff; 3]);
        let mut back = vec![0; symbols.len()];
        let rest = decode(&out, &table, &mut back).unwrap();
        assert_eq!(back, symbols);
        assert_eq!(rest, [0xff; 3]);
        coded_bytes
    }

    proptest! {
        #[test]
        fn symbols_come_back(
            symbols in prop::collection::vec(any::<u8>(), 1..3000),
            mask: u8,
            skew in 0u32..8,
        ) {
            let symbols: Vec<u8> =
                symbols.iter().map(|symbol| (symbol & mask) >> (symbol.count_ones().min(skew))).collect();
            there_and_back(&symbols);
        }

        #[test]
        fn any_lengths_are_judged(lengths in prop::collection::vec(0u8..=16, 0..300)) {
            let mut table = [0; TABLE];
            let taken: u32 =
                lengths.iter().filter(|bits| **bits > 0).map(|bits| (1 << 16) >> bits).sum();
            let alone = lengths.iter().filter(|bits| **bits > 0).eq(&[1]);
            let complete = taken == 1 << 16 || alone;
            let told = lengths.len() <= 256 && lengths.iter().all(|bits| *bits <= 11);
            prop_assert_eq!(fill_table(&lengths, &mut table), complete && told);
        }
    }

    #[test]
    fn one_symbol_costs_nothing() {
        assert_eq!(there_and_back(&[77; 2000]), STREAMS);
        assert_eq!(there_and_back(&[0]), 1);
    }

    #[test]
    fn words_are_bounded_and_the_code_is_complete() {
        // Fibonacci weights make the deepest tree.
        let (mut a, mut b) = (1u32, 1u32);
        let mut counts = [0u32; 40];
        for count in &mut counts {
            *count = a;
            (a, b) = (b, a + b);
        }
        for bits_max in [6, 8, 11] {
            let mut of = [0; 40];
            lengths(&counts, &mut of, bits_max);
            let taken: usize = of.iter().map(|bits| 1 << (bits_max - usize::from(*bits))).sum();
            assert_eq!(taken, 1 << bits_max);
            assert!(of.is_sorted_by(|a, b| a >= b));
        }
    }

    #[test]
    fn a_code_is_as_short_as_can_be() {
        let mut of = [0; 6];
        lengths(&[45, 13, 12, 16, 9, 5], &mut of, WORD_BITS_MAX);
        assert_eq!(of, [1, 3, 3, 3, 4, 4]);
    }
}
