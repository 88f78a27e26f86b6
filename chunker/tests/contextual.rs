//! Codec 4 decoded a second time, slowly, after the words of `FORMAT.md` §4.6.
//!
//! The crate's decoder reads four streams and restores sixteen rows at once; this one takes a bit after
//! the other. What the encoder makes has to be the same to both.
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

    /// Ones before a zero, but not more than `most`, behind which there is none.
    fn ones(&mut self, most: u32) -> u32 {
        let mut ones = 0;
        while ones < most && self.bit() == 1 {
            ones += 1;
        }
        ones
    }
}

fn unzigzag(code: u32) -> i64 {
    let half = i64::from(code >> 1);
    if code & 1 == 1 { -1 - half } else { half }
}

/// Token, bits and base of each place.
type Table = Vec<(u32, u32, u32)>;

struct Chunk {
    sample_bytes: usize,
    /// As prediction takes it.
    left: usize,
    above: usize,
    offset: u32,
    ranks: Option<Vec<u32>>,
    shift: u32,
    log: u32,
    first: usize,
    weights: Option<[i64; 5]>,
    /// By context.
    tables: Vec<Table>,
}

fn levels(bits: &mut Bits<'_>) -> Vec<u32> {
    let last = bits.number(6);
    let j = bits.number(2);
    let mut levels = vec![i64::from(bits.number(6))];
    for _ in 0..last {
        let ones = bits.ones(12);
        let z = if ones < 12 { (ones << j) + bits.number(j) } else { bits.number(7) };
        levels.push(levels[levels.len() - 1] + unzigzag(z));
    }
    levels.into_iter().map(|level| u32::try_from(level).unwrap()).collect()
}

fn table(levels: &[u32], log: u32) -> Table {
    let weights: Vec<u64> = levels
        .iter()
        .map(|level| match level {
            0 => 0,
            _ => [256, 304, 362, 431][*level as usize % 4] << (level / 4),
        })
        .collect();
    let sum: u64 = weights.iter().sum();
    let mut frequencies: Vec<u64> = weights
        .iter()
        .map(|weight| if *weight == 0 { 0 } else { (weight * (1 << log) / sum).max(1) })
        .collect();
    let length = 1u64 << log;
    let first_of_largest = |frequencies: &[u64]| {
        let largest = frequencies.iter().max().unwrap();
        frequencies.iter().position(|frequency| frequency == largest).unwrap()
    };
    while frequencies.iter().sum::<u64>() > length {
        let at = first_of_largest(&frequencies);
        frequencies[at] -= 1;
    }
    let missing = length - frequencies.iter().sum::<u64>();
    let at = first_of_largest(&frequencies);
    frequencies[at] += missing;

    let mut tokens = vec![0; length as usize];
    let mut place = 0;
    for (token, frequency) in frequencies.iter().enumerate() {
        for _ in 0..*frequency {
            tokens[place] = token;
            place = (place + (1 << (log - 1)) + (1 << (log - 3)) + 3) % length as usize;
        }
    }
    let mut next = frequencies;
    let entry = |token: usize| {
        let x = next[token] as u32;
        next[token] += 1;
        let bits = log - x.ilog2();
        (token as u32, bits, (x << bits) - (1 << log))
    };
    tokens.into_iter().map(entry).collect()
}

fn by_the_book(coded: &[u8]) -> Vec<u8> {
    let number = |at: usize| u32::from_le_bytes(coded[at..at + 4].try_into().unwrap()) as usize;
    let flags = coded[0];
    let parted = flags & 4 != 0;
    let (stripes, plain_bytes) = (usize::from(coded[2]), number(8));
    let mut at = 16;
    let weights = (coded[3] == 1).then(|| {
        at += 10;
        std::array::from_fn(|i| {
            i64::from(i16::from_le_bytes([coded[16 + 2 * i], coded[17 + 2 * i]]))
        })
    });
    let mut bits = Bits { bytes: &coded[at..], at: 0 };
    let ranks = (flags & 8 != 0).then(|| {
        let mut last = -1;
        let count = bits.number(17);
        let rank = |_| {
            let e = bits.ones(32);
            last += i64::from((1 << e) + bits.number(e));
            last as u32
        };
        (0..count).map(rank).collect()
    });
    let log = u32::from(coded[14] >> 4);
    let begins: Vec<u32> = (0..36).map(|_| bits.bit()).collect();
    let mut tables: Vec<Table> = Vec::new();
    let made: Vec<Table> =
        (0..begins.iter().sum()).map(|_| table(&levels(&mut bits), log)).collect();
    let mut made = made.into_iter();
    for begins in begins {
        let same = tables.last().cloned();
        tables.push(if begins == 1 { made.next().unwrap() } else { same.unwrap() });
    }
    let chunk = Chunk {
        sample_bytes: if flags & 1 == 1 { 2 } else { 1 },
        left: if parted { 1 } else { coded[1].into() },
        above: number(4),
        offset: u32::from(coded[12]) | u32::from(coded[13]) << 8,
        ranks,
        shift: u32::from(coded[14] & 15),
        log,
        first: coded[15].into(),
        weights,
        tables,
    };

    at += bits.at.div_ceil(8);
    let samples = plain_bytes / chunk.sample_bytes;
    let rows = samples.div_ceil(chunk.above);
    let mut rest = &coded[at + 4 * stripes..];
    let mut plain = Vec::new();
    for stripe in 0..stripes {
        let end = |stripe| samples.min(rows * stripe / stripes * chunk.above);
        let (stripe_bytes, behind) = rest.split_at(number(at));
        (rest, at) = (behind, at + 4);
        let count = end(stripe + 1) - end(stripe);
        let mut samples = stripe_of(stripe_bytes, count, &chunk);
        if parted {
            samples = samples.chunks(chunk.above).flat_map(joined).collect();
        }
        for sample in samples {
            match (chunk.sample_bytes, flags & 2) {
                (1, _) => plain.push(sample as u8),
                (_, 0) => plain.extend((sample as u16).to_le_bytes()),
                _ => plain.extend((sample as u16).to_be_bytes()),
            }
        }
    }
    plain.extend(rest);
    plain
}

fn joined(row: &[u32]) -> Vec<u32> {
    let p = row.len() / 3;
    let mut out: Vec<u32> =
        (0..p).flat_map(|i| [row[p + i] + row[i], row[i], row[2 * p + i] + row[i]]).collect();
    out.extend(&row[3 * p..]);
    out
}

fn stripe_of(mut rest: &[u8], count: usize, chunk: &Chunk) -> Vec<u32> {
    if count == 0 {
        assert!(rest.is_empty());
        return Vec::new();
    }
    let mut lengths = Vec::new();
    for _ in 0..3 {
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = rest[0];
            rest = &rest[1..];
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        lengths.push(length);
    }
    lengths.push(rest.len() - lengths.iter().sum::<usize>());
    let mut streams: Vec<(Bits<'_>, [u32; 4])> = Vec::new();
    for length in lengths {
        let (bytes, behind) = rest.split_at(length);
        rest = behind;
        let mut bits = Bits { bytes, at: 0 };
        while bits.bit() == 0 {}
        let states = std::array::from_fn(|_| bits.number(chunk.log));
        streams.push((bits, states));
    }

    let mut codes: Vec<u32> = Vec::new();
    while codes.len() < count {
        let row = codes.len() / chunk.above;
        let width = chunk.above.min(count - codes.len());
        for g in 0..width.div_ceil(4) {
            let context = context(&codes, row, g, chunk);
            let m = (width - 4 * g).min(4);
            let (bits, states) = &mut streams[g % 4];
            codes.extend(group(bits, &mut states[..m], context, &chunk.tables[context]));
        }
    }
    for (bits, states) in streams {
        assert_eq!(bits.at, 8 * bits.bytes.len());
        assert_eq!(states, [0; 4]);
    }
    restored(&codes, chunk)
}

fn context(codes: &[u32], row: usize, g: usize, chunk: &Chunk) -> usize {
    if row == 0 {
        return chunk.first;
    }
    let code = |row: usize, column: isize| match usize::try_from(column) {
        Ok(column) if column < chunk.above => codes[row * chunk.above + column],
        _ => 0,
    };
    let x = isize::try_from(4 * g).unwrap();
    let sum = |row: usize| (0..4).map(|i| code(row, x + i)).sum::<u32>();
    let above = row - 1;
    let t = sum(row.saturating_sub(2));
    let left = code(above, x - 2) + 2 * code(above, x - 1);
    let right = 2 * code(above, x + 4) + code(above, x + 5);
    let v = 1 + 2 * sum(above) + left + right + t;
    let octave = v.ilog2();
    let half = if octave == 0 { 0 } else { v >> (octave - 1) & 1 };
    (2 * octave + half).min(35) as usize
}

fn group(bits: &mut Bits<'_>, states: &mut [u32], context: usize, table: &Table) -> Vec<u32> {
    let k = (context as u32 / 2).saturating_sub(6).min(10);
    let mut tokens = Vec::new();
    for state in states {
        let (token, count, base) = table[*state as usize];
        *state = base + bits.number(count);
        tokens.push(token);
    }
    let low: Vec<u32> = tokens.iter().map(|_| bits.number(k)).collect();
    let high = tokens.into_iter().map(|token| match token {
        0..48 => token,
        _ => 47 + (1 << (token - 48)) + bits.number(token - 48),
    });
    high.zip(low).map(|(high, low)| (high << k | low) & 0xffff).collect()
}

fn med(w: u32, n: u32, nw: u32) -> u32 {
    if nw >= w.max(n) {
        w.min(n)
    } else if nw <= w.min(n) {
        w.max(n)
    } else {
        w + n - nw
    }
}

fn restored(codes: &[u32], chunk: &Chunk) -> Vec<u32> {
    let (left, above, h) = (chunk.left, chunk.above, chunk.shift);
    let mut s: Vec<u32> = Vec::new();
    for (i, code) in codes.iter().enumerate() {
        let (row, column) = (i / above, i % above);
        let predicted = if row == 0 {
            if column < left { 0 } else { s[i - left] }
        } else {
            let n = s[i - above];
            let (w, nw) = if column < left { (n, n) } else { (s[i - left], s[i - above - left]) };
            match chunk.weights {
                None => med(w, n, nw),
                Some(weights) => {
                    let ww = if column > 1 { s[i - 2] } else { w };
                    let ne = if column + 1 < above { s[i - above + 1] } else { n };
                    let nn = if row > 1 { s[i - 2 * above] } else { n };
                    let terms = [w, nw, ne, ww, nn]
                        .map(|x| i64::from((x.wrapping_sub(n) as u16).cast_signed()));
                    let sum: i64 =
                        terms.iter().zip(weights).map(|(a, c)| (((a * c) >> 14) + 1) >> 1).sum();
                    let p = (i64::from(n) + sum + ((1 << h) >> 1)) as u16;
                    u32::from(p >> h << h)
                }
            }
        };
        s.push((i64::from(predicted) + (unzigzag(*code) << h)) as u16 as u32);
    }
    let sample = |number: u32| match &chunk.ranks {
        None => (number + chunk.offset) & 0xffff,
        Some(ranks) => ranks.get(number as usize).map_or(0, |rank| (rank + chunk.offset) & 0xffff),
    };
    s.into_iter().map(|number| sample(number >> h)).collect()
}

/// Areas that are flat, smooth, noisy by any number of bits, and drawn; of some, every third level.
fn picture(seed: u32, samples: usize, row: usize, bits: u32) -> Vec<u32> {
    let mut noise = vec![0; samples * 2];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut noise);
    let loudest = seed % (bits + 1);
    let value = |i: usize| {
        let (x, y) = (i % row, i / row);
        let noise = u32::from(u16::from_le_bytes([noise[2 * i], noise[2 * i + 1]]));
        let wave = 400.0 + 90.0 * (x as f64 / 11.0).sin() * (y as f64 / 8.0).cos();
        match (seed % 3, (x / 40 + y / 7) as u32 % 5) {
            (1, _) => (wave as u32 + (noise & 1)) * 3,
            (2, _) => wave as u32 + (noise & 3),
            (_, 0) => 12,
            (_, 1) => (x * 3 + y * 2) as u32 + (noise & 3),
            (_, 2) => 400 + (noise & ((1 << loudest) - 1)),
            (_, 3) => 1000 + noise % ((y as u32 % 60) + 1),
            _ => (x as u32 / 9 % 2) * ((1 << bits) - 1) + (noise & 1),
        }
    };
    (0..samples).map(|i| value(i) & ((1 << bits) - 1)).collect()
}

#[test]
fn what_the_encoder_makes_is_as_the_format_says() {
    let (mut made, mut linear, mut ranked) = (0, 0, 0);
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
        (3_000, 1, 1),
        (40_000, 80, 1),
    ]
    .into_iter()
    .enumerate()
    {
        for sample_bytes in [1, 2] {
            for big_endian in [false, true] {
                let bits = 8 * u32::from(sample_bytes);
                let mut plain: Vec<u8> = Vec::new();
                let seed = seed as u32 * 7 + bits / 8 + u32::from(big_endian);
                for value in picture(seed, samples, row, bits) {
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
                let coded = encode_filtered(Codec::PixelContext, &plain, geometry);
                let Some(Encoded { codec, bytes }) = coded else { continue };
                made += 1;
                linear += u32::from(bytes[3] == 1);
                ranked += u32::from(bytes[0] & 8 != 0);
                assert!(by_the_book(&bytes) == plain, "{geometry:?} {samples}");
                assert!(decode(codec, &bytes, plain.len()).unwrap() == plain, "{geometry:?}");
            }
        }
    }
    assert!(made > 35 && linear > 5 && ranked > 5, "{made} of 48, {linear}, {ranked}");
}
