//! The codes of a chunk, shared by its stripes: one for the classes in each context, one for the
//! symbols of each class.

use super::bits::{Reader, Writer};
use super::classes;
use super::groups::{CLASSES, alphabet};
use super::huffman::{self, Words};

/// Longest word for the length of a word, in bits.
const LENGTH_BITS_MAX: usize = 7;
/// Lengths that there are: none to [`huffman::WORD_BITS_MAX`].
const LENGTHS: usize = huffman::WORD_BITS_MAX + 1;

/// How often each symbol occurs in each class.
pub(super) type SymbolCounts = Vec<[u32; 256]>;

/// Nothing counted.
pub(super) fn no_symbols() -> SymbolCounts {
    vec![[0; 256]; CLASSES]
}

/// The words of all codes.
pub(super) struct Encoding {
    pub(super) contexts: Vec<Words>,
    pub(super) classes: Vec<Words>,
}

impl Default for Encoding {
    fn default() -> Self {
        Self { contexts: vec![[0; 256]; CLASSES], classes: vec![[0; 256]; CLASSES] }
    }
}

/// The decoding tables of all codes.
pub(super) struct Decoding {
    pub(super) contexts: Vec<[u16; classes::TABLE]>,
    pub(super) classes: Vec<[u16; huffman::TABLE]>,
}

impl Default for Decoding {
    fn default() -> Self {
        Self {
            contexts: vec![[0; classes::TABLE]; CLASSES],
            classes: vec![[0; huffman::TABLE]; CLASSES],
        }
    }
}

/// The lengths of all words, as they are written.
#[derive(Default)]
struct Told {
    contexts: u32,
    classes: u32,
    lengths: Vec<u8>,
}

/// Makes the codes for what was counted, appends them to `out`, and gives how many bits all classes
/// and symbols take.
pub(super) fn make(
    contexts: &classes::Counts,
    symbols: &SymbolCounts,
    encoding: &mut Encoding,
    out: &mut Vec<u8>,
) -> u64 {
    let mut told = Told::default();
    let mut bits = 0;
    for (context, counts) in contexts.iter().enumerate() {
        if counts.iter().any(|count| *count > 0) {
            told.contexts |= 1 << context;
            let words = &mut encoding.contexts[context];
            bits += one_code(counts, classes::WORD_BITS_MAX, words, &mut told.lengths);
        }
    }
    for (class, counts) in symbols.iter().enumerate() {
        let counts = &counts[..alphabet(class)];
        if counts.iter().any(|count| *count > 0) {
            told.classes |= 1 << class;
            let words = &mut encoding.classes[class];
            bits += one_code(counts, huffman::WORD_BITS_MAX, words, &mut told.lengths);
        }
    }
    told.write(out);
    bits
}

fn one_code(counts: &[u32], bits_max: usize, words: &mut Words, told: &mut Vec<u8>) -> u64 {
    let begun = told.len();
    told.resize(begun + counts.len(), 0);
    let lengths = &mut told[begun..];
    huffman::lengths(counts, lengths, bits_max);
    *words = huffman::words(lengths);
    counts.iter().zip(words).map(|(count, word)| u64::from(*count) * u64::from(*word >> 16)).sum()
}

impl Told {
    fn write(&self, out: &mut Vec<u8>) {
        let mut counts = [0; LENGTHS];
        for bits in &self.lengths {
            counts[usize::from(*bits)] += 1;
        }
        let mut lengths = [0; LENGTHS];
        huffman::lengths(&counts, &mut lengths, LENGTH_BITS_MAX);
        let words = huffman::words(&lengths);
        let mut writer = Writer::new(out);
        writer.put(self.contexts, CLASSES as u32);
        writer.put(self.classes, CLASSES as u32);
        for bits in lengths {
            writer.put(u32::from(bits), 3);
        }
        for bits in &self.lengths {
            let word = words[usize::from(*bits)];
            writer.put(word & 0xffff, word >> 16);
        }
        writer.finish();
    }
}

/// Reads the codes at the start of `coded`, and gives how many bytes they take and which classes have
/// one; `None` if they are not ones that an encoder writes.
pub(super) fn read(coded: &[u8], decoding: &mut Decoding) -> Option<(usize, u32)> {
    let mut reader = Reader::new(coded);
    let contexts = reader.number(CLASSES);
    let classes = reader.number(CLASSES);
    let lengths: [u8; LENGTHS] = std::array::from_fn(|_| reader.number(3) as u8);
    let mut table = [0; 1 << LENGTH_BITS_MAX];
    if !huffman::fill_table(&lengths, &mut table) {
        return None;
    }
    let mut next = |lengths: &mut [u8]| {
        for length in lengths {
            let entry = table[reader.peek() as usize % table.len()];
            reader.skip(usize::from(entry & 7));
            *length = (entry >> 8) as u8;
        }
    };
    let mut lengths = [0; 256];
    for (context, table) in decoding.contexts.iter_mut().enumerate() {
        if contexts >> context & 1 == 0 {
            // A class that there is not, and with it an error.
            table.fill(0xff00);
            continue;
        }
        let lengths = &mut lengths[..CLASSES];
        next(lengths);
        if !huffman::fill_table(lengths, table) {
            return None;
        }
    }
    for (class, table) in decoding.classes.iter_mut().enumerate() {
        if classes >> class & 1 == 1 {
            let lengths = &mut lengths[..alphabet(class)];
            next(lengths);
            if !huffman::fill_table(lengths, table) {
                return None;
            }
        }
    }
    let bytes = reader.bytes_read();
    (bytes <= coded.len()).then_some((bytes, classes))
}
