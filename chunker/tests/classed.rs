//! Codec 3 decoded a second time, slowly, after the words of `FORMAT.md` §4.4.
//!
//! The crate's decoder restores rows on a slant, four streams at once and stripes on several threads;
//! this one takes a bit after the other. What the encoder makes has to be the same to both.
#![allow(clippy::unwrap_used)]

use cairn_chunker::codec::{Codec, Encoded, decode, encode_filtered};
use cairn_chunker::span::Geometry;

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> u32 {
        let bit = self.bytes[self.at / 8] >> (self.at % 8) & 1;
        self.at += 1;
        u32::from(bit)
    }

    fn number(&mut self, bits: u32) -> u32 {
        (0..bits).map(|place| self.bit() << place).sum()
    }

    fn symbol(&mut self, code: &Code) -> usize {
        let mut word = String::new();
        loop {
            if let Some(symbol) = code.iter().position(|known| known.as_ref() == Some(&word)) {
                return symbol;
            }
            word.push(if self.bit() == 1 { '1' } else { '0' });
        }
    }

    fn bytes_begun(&self) -> usize {
        self.at.div_ceil(8)
    }
}

/// The word of each symbol.
type Code = Vec<Option<String>>;

fn code(lengths: &[usize]) -> Code {
    let mut order: Vec<usize> = (0..lengths.len()).filter(|symbol| lengths[*symbol] > 0).collect();
    order.sort_by_key(|symbol| (lengths[*symbol], *symbol));
    let mut code = vec![None; lengths.len()];
    if let [only] = order[..] {
        code[only] = Some(String::new());
        return code;
    }
    let (mut word, mut length) = (0, 0);
    for (place, symbol) in order.into_iter().enumerate() {
        word = (word + usize::from(place > 0)) << (lengths[symbol] - length);
        length = lengths[symbol];
        code[symbol] = Some(format!("{word:0length$b}"));
    }
    code
}

fn length(rest: &mut &[u8]) -> usize {
    let mut sum = 0;
    for place in 0..4 {
        let byte = rest[0];
        *rest = &rest[1..];
        sum |= usize::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            break;
        }
    }
    sum
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> &'a [u8] {
    let (taken, behind) = rest.split_at(bytes);
    *rest = behind;
    taken
}

/// The inverse of `fold`: sixteen numbers of `bits` bits from `2 k` bytes.
fn unfold(bytes: &[u8], bits: usize) -> [u32; 16] {
    std::array::from_fn(|i| {
        u32::from(bytes[i % bytes.len()]) >> (bits * (i / bytes.len())) & ((1 << bits) - 1)
    })
}

struct Shape {
    bits: u32,
    left: usize,
    above: usize,
    colour: u8,
}

fn by_the_book(coded: &[u8]) -> Vec<u8> {
    let number = |at: usize| u32::from_le_bytes(coded[at..at + 4].try_into().unwrap()) as usize;
    let flags = coded[0];
    let (stripes, plain_bytes) = (usize::from(coded[2]), number(8));
    let shape = Shape {
        bits: if flags & 1 == 1 { 16 } else { 8 },
        left: coded[1].into(),
        above: number(4),
        colour: flags >> 2,
    };
    let mut bits = Bits { bytes: &coded[12..], at: 0 };
    let (contexts, classes) = (bits.number(17), bits.number(17));
    let lengths: Vec<usize> = (0..12).map(|_| bits.number(3) as usize).collect();
    let length_code = code(&lengths);
    let mut next = |known: bool, symbols: usize| {
        let lengths: Vec<usize> =
            (0..symbols).filter(|_| known).map(|_| bits.symbol(&length_code)).collect();
        code(&lengths)
    };
    let contexts: Vec<Code> = (0..17).map(|i| next(contexts >> i & 1 == 1, 17)).collect();
    let alphabet = |class| match class {
        3 => 64,
        5..=7 => 1 << class,
        _ => 256,
    };
    let classes: Vec<Code> = (0..17).map(|i| next(classes >> i & 1 == 1, alphabet(i))).collect();

    let mut at = 12 + bits.bytes_begun();
    let samples = plain_bytes / (shape.bits as usize / 8);
    let rows = samples.div_ceil(shape.above);
    let mut rest = &coded[at + 4 * stripes..];
    let mut plain = Vec::new();
    for stripe in 0..stripes {
        let end = |stripe| samples.min(rows * stripe / stripes * shape.above);
        let count = end(stripe + 1) - end(stripe);
        let samples = stripe_of(take(&mut rest, number(at)), count, &shape, &contexts, &classes);
        at += 4;
        for sample in samples {
            match (shape.bits, flags & 2) {
                (8, _) => plain.push(sample as u8),
                (_, 0) => plain.extend((sample as u16).to_le_bytes()),
                _ => plain.extend((sample as u16).to_be_bytes()),
            }
        }
    }
    plain.extend(rest);
    plain
}

fn stripe_of(
    mut rest: &[u8],
    samples: usize,
    shape: &Shape,
    contexts: &[Code],
    classes: &[Code],
) -> Vec<u32> {
    let bytes = length(&mut rest);
    let mut bits = Bits { bytes: take(&mut rest, bytes), at: 0 };
    let mut class_of: Vec<usize> = Vec::new();
    let row = shape.above.div_ceil(16);
    for g in 0..samples.div_ceil(16) {
        let w = if g > 0 { class_of[g - 1] } else { 0 };
        let n = if g < row { w } else { class_of[g - row] };
        class_of.push(bits.symbol(&contexts[usize::midpoint(n, w)]));
    }
    let mut codes = vec![[0u32; 16]; class_of.len()];
    for class in 1..17 {
        let members: Vec<usize> = (0..class_of.len()).filter(|g| class_of[*g] == class).collect();
        if members.is_empty() {
            continue;
        }
        let each = [2, 4, 8, 8, 16][class.min(5) - 1];
        let count = members.len() * each;
        let streams = if count < 512 { 1 } else { 4 };
        let lengths: Vec<usize> = (0..streams).map(|_| length(&mut rest)).collect();
        let mut streams: Vec<Bits<'_>> = lengths
            .into_iter()
            .map(|bytes| Bits { bytes: take(&mut rest, bytes), at: 0 })
            .collect();
        let turns = streams.len();
        let symbols: Vec<u8> =
            (0..count).map(|i| streams[i % turns].symbol(&classes[class]) as u8).collect();
        for (g, symbols) in members.into_iter().zip(symbols.chunks(each)) {
            let mut group = unfold(symbols, class.min(if each == 16 { 8 } else { 4 }));
            let low = class.saturating_sub(8);
            group = group.map(|code| code << low);
            let mut shift = 0;
            for width in [8, 4, 2, 1].into_iter().filter(|width| low & width != 0) {
                let part = unfold(take(&mut rest, 2 * width), width);
                group = std::array::from_fn(|i| group[i] | part[i] << shift);
                shift += width;
            }
            codes[g] = group;
        }
    }
    assert!(rest.is_empty());
    restored(&codes.as_flattened()[..samples], shape)
}

fn restored(codes: &[u32], shape: &Shape) -> Vec<u32> {
    let mask = (1u32 << shape.bits) - 1;
    let (left, above) = (if shape.colour == 0 { shape.left } else { 1 }, shape.above);
    let mut samples: Vec<u32> = Vec::new();
    for (i, code) in codes.iter().enumerate() {
        let (row, column) = (i / above, i % above);
        let predicted = match (row > 0, column >= left) {
            (false, false) => 0,
            (false, true) => samples[i - left],
            (true, false) => samples[i - above],
            (true, true) => {
                let (w, n, nw) = (samples[i - left], samples[i - above], samples[i - above - left]);
                if nw >= w.max(n) {
                    w.min(n)
                } else if nw <= w.min(n) {
                    w.max(n)
                } else {
                    w + n - nw
                }
            }
        };
        let residual = code >> 1 ^ (code & 1).wrapping_neg();
        samples.push(predicted.wrapping_add(residual) & mask);
    }
    if shape.colour == 0 {
        return samples;
    }
    let pixels = |row: &[u32]| {
        let p = row.len() / 3;
        let mut out: Vec<u32> = (0..p)
            .flat_map(|i| match (shape.colour, row[i], row[p + i], row[2 * p + i]) {
                (1, a, b, c) => [a, b, c],
                (_, b, a, c) => [(a + b) & mask, b, (c + b) & mask],
            })
            .collect();
        out.extend(&row[3 * p..]);
        out
    };
    samples.chunks(above).flat_map(pixels).collect()
}

/// Areas that are flat, smooth, noisy by any number of bits, and drawn.
fn picture(seed: u32, samples: usize, row: usize, bits: u32) -> Vec<u32> {
    let mut noise = vec![0; samples * 2];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut noise);
    let loudest = seed % (bits + 1);
    let value = |i: usize| {
        let (x, y) = (i % row, i / row);
        let noise = u32::from(u16::from_le_bytes([noise[2 * i], noise[2 * i + 1]]));
        match (x / 40 + y / 7) as u32 % 5 {
            0 => 12,
            1 => (x * 3 + y * 2) as u32 + (noise & 3),
            2 => 400 + (noise & ((1 << loudest) - 1)),
            3 => 1000 + noise % ((y as u32 % 60) + 1),
            _ => (x as u32 / 9 % 2) * ((1 << bits) - 1) + (noise & 1),
        }
    };
    (0..samples).map(|i| value(i) & ((1 << bits) - 1)).collect()
}

#[test]
fn what_the_encoder_makes_is_as_the_format_says() {
    let mut made = 0;
    for (seed, (samples, row, left)) in [
        (20_000, 128, 1),
        (20_011, 100, 1),
        (30_000, 300, 3),
        (30_001, 300, 3),
        (9_000, 33, 1),
        (12_345, 7, 2),
        (5_000, 100_000, 1),
        (300_000, 512, 1),
        (299_999, 640, 1),
        (270_000, 750, 3),
    ]
    .into_iter()
    .enumerate()
    {
        for sample_bytes in [1, 2] {
            for big_endian in [false, true] {
                let bits = 8 * u32::from(sample_bytes);
                let mut plain: Vec<u8> = Vec::new();
                for value in picture(seed as u32 * 7 + bits, samples, row, bits) {
                    match (sample_bytes, big_endian) {
                        (1, _) => plain.push(value as u8),
                        (_, false) => plain.extend((value as u16).to_le_bytes()),
                        _ => plain.extend((value as u16).to_be_bytes()),
                    }
                }
                if seed % 2 == 1 {
                    plain.push(0xa5);
                }
                let geometry = Geometry { sample_bytes, big_endian, left, above: row as u32 };
                let coded = encode_filtered(Codec::PixelClassed, &plain, geometry);
                let Some(Encoded { codec, bytes }) = coded else { continue };
                made += 1;
                assert!(by_the_book(&bytes) == plain, "{geometry:?} {samples}");
                assert!(decode(codec, &bytes, plain.len()).unwrap() == plain, "{geometry:?}");
            }
        }
    }
    assert!(made > 30, "{made} of 40 were coded");
}
