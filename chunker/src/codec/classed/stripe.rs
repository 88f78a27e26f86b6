//! One stripe of a chunk: rows that are predicted and coded without any other.

use super::classes;
use super::colour;
use super::groups::{
    self, CLASSES, GROUP, Sorted, alphabet, low_bytes_of, pack, symbols_of, unpack,
};
use super::huffman::{self, put_length, take_length};
use super::tables::{Decoding, Encoding, SymbolCounts, no_symbols};
use super::{Sample, Shape};

/// Buffers of one stripe, used again for the next chunk.
pub(super) struct Stripe<S> {
    samples: Vec<S>,
    codes: Vec<S>,
    classes: Vec<u8>,
    sorted: Sorted,
    symbols: Vec<u8>,
    low: Vec<u8>,
    spare: Vec<u8>,
    /// What the stripe is coded as.
    pub(super) coded: Vec<u8>,
    pub(super) class_counts: classes::Counts,
    pub(super) symbol_counts: SymbolCounts,
}

impl<S> Default for Stripe<S> {
    fn default() -> Self {
        Self {
            samples: Vec::new(),
            codes: Vec::new(),
            classes: Vec::new(),
            sorted: Sorted::default(),
            symbols: Vec::new(),
            low: Vec::new(),
            spare: Vec::new(),
            coded: Vec::new(),
            class_counts: classes::Counts::default(),
            symbol_counts: no_symbols(),
        }
    }
}

impl<S: Sample> Stripe<S> {
    /// Predicts, sorts and counts: all that has to be known before codes are made.
    #[inline(always)]
    pub(super) fn prepare(&mut self, plain: &[u8], shape: &Shape) {
        S::load(plain, shape.big_endian, &mut self.samples);
        if shape.colour.parted() {
            self.codes.resize(self.samples.len(), S::default());
            colour::part(&self.samples, shape.above, shape.colour, &mut self.codes);
            std::mem::swap(&mut self.samples, &mut self.codes);
        }
        // Behind the last sample, zeros make the last group whole.
        self.codes.resize(self.samples.len().next_multiple_of(GROUP), S::default());
        self.codes[self.samples.len()..].fill(S::default());
        let codes = &mut self.codes[..self.samples.len()];
        S::residuals(&self.samples, shape.left(), shape.above, codes);
        groups::classify(&self.codes, &mut self.classes);
        self.sorted.sort(&self.classes);
        classes::count(&self.classes, shape.groups_above(), &mut self.class_counts);

        let bytes = (1..CLASSES).map(|class| self.sorted.of(class).len() * symbols_of(class)).sum();
        if self.symbols.len() < bytes {
            self.symbols.resize(bytes, 0);
        }
        self.low.clear();
        let codes = self.codes.as_chunks::<GROUP>().0;
        let mut rest = &mut self.symbols[..bytes];
        for class in 1..CLASSES {
            let members = self.sorted.of(class);
            let (symbols, behind) = rest.split_at_mut(members.len() * symbols_of(class));
            rest = behind;
            let counts = &mut self.symbol_counts[class];
            counts[..alphabet(class)].fill(0);
            if !members.is_empty() {
                pack(class, codes, members, symbols, &mut self.low);
                count(symbols, counts);
            }
        }
    }

    /// Bytes of low bits, which are kept as they are.
    pub(super) fn low_bytes(&self) -> usize {
        self.low.len()
    }

    /// Codes what was prepared.
    #[inline(always)]
    pub(super) fn encode(&mut self, encoding: &Encoding, shape: &Shape) {
        let Self { classes, sorted, symbols, low, spare, coded, .. } = self;
        spare.clear();
        classes::encode(classes, shape.groups_above(), &encoding.contexts, spare);
        coded.clear();
        put_length(spare.len(), coded);
        coded.extend(&*spare);
        let (mut symbols, mut low) = (symbols.as_slice(), low.as_slice());
        for class in 1..CLASSES {
            let members = sorted.of(class).len();
            if members == 0 {
                continue;
            }
            let (mine, rest) = symbols.split_at(members * symbols_of(class));
            symbols = rest;
            huffman::encode(mine, &encoding.classes[class], spare, coded);
            let (mine, rest) = low.split_at(members * low_bytes_of(class));
            low = rest;
            coded.extend(mine);
        }
    }

    /// Fills `plain` from the whole of `coded`, or says what is wrong.
    #[inline(always)]
    pub(super) fn decode(
        &mut self,
        mut coded: &[u8],
        decoding: &Decoding,
        known: u32,
        shape: &Shape,
        plain: &mut [u8],
    ) -> Result<(), &'static str> {
        const SHORT: &str = "a stripe is cut short";
        let samples = plain.len() / size_of::<S>();
        let groups = samples.div_ceil(GROUP);
        self.classes.resize(groups, 0);
        let length = take_length(&mut coded).ok_or(SHORT)?;
        let (stream, mut coded) = coded.split_at_checked(length).ok_or(SHORT)?;
        let above = shape.groups_above();
        if !classes::decode(stream, above, &decoding.contexts, &mut self.classes) {
            return Err("its classes are not ones that an encoder writes");
        }
        self.sorted.sort(&self.classes);
        // Every group is written over, but those of class 0.
        self.codes.resize(groups * GROUP, S::default());
        let codes = self.codes.as_chunks_mut::<GROUP>().0;
        self.sorted.of(0).iter().for_each(|group| codes[*group as usize] = [S::default(); GROUP]);
        for class in 1..CLASSES {
            let members = self.sorted.of(class);
            if members.is_empty() {
                continue;
            }
            if known >> class & 1 == 0 {
                return Err("a class has no code");
            }
            let symbols = members.len() * symbols_of(class);
            if self.symbols.len() < symbols {
                self.symbols.resize(symbols, 0);
            }
            let symbols = &mut self.symbols[..symbols];
            let table = &decoding.classes[class];
            let rest = huffman::decode(coded, table, symbols)
                .ok_or("a stream is not one of so many symbols")?;
            let (low, rest) =
                rest.split_at_checked(members.len() * low_bytes_of(class)).ok_or(SHORT)?;
            coded = rest;
            unpack(class, codes, members, symbols, low);
        }
        if !coded.is_empty() {
            return Err("something is left over");
        }
        let codes = &mut self.codes[..samples];
        S::restore(codes, shape.left(), shape.above);
        if shape.colour.parted() {
            self.samples.resize(samples, S::default());
            colour::join(codes, shape.above, shape.colour, &mut self.samples);
            S::store(&self.samples, shape.big_endian, plain);
        } else {
            S::store(codes, shape.big_endian, plain);
        }
        Ok(())
    }
}

/// Four counts at once: a symbol often follows one like it, and would wait for its count.
#[inline(always)]
fn count(symbols: &[u8], counts: &mut [u32; 256]) {
    let mut parts = [[0u32; 256]; 4];
    let (fours, rest) = symbols.as_chunks::<4>();
    for four in fours {
        for (part, symbol) in parts.iter_mut().zip(four) {
            part[usize::from(*symbol)] += 1;
        }
    }
    for symbol in rest {
        parts[0][usize::from(*symbol)] += 1;
    }
    for (i, count) in counts.iter_mut().enumerate() {
        *count = parts.iter().map(|part| part[i]).sum();
    }
}
