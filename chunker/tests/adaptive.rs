//! Codec 6 decoded a second time, slowly, after the words of `FORMAT.md` §4.7.
#![allow(clippy::unwrap_used, clippy::cast_possible_wrap)]

use std::collections::HashMap;

use cairn_chunker::codec::{Codec, decode, encode_filtered};
use cairn_chunker::span::Geometry;

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn number(&mut self, bytes: usize) -> u32 {
        let (number, rest) = self.0.split_at(bytes);
        self.0 = rest;
        number.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn number(&mut self, bits: u32) -> u32 {
        let bit = |at: usize| u32::from(self.bytes[at / 8] >> (at % 8) & 1);
        let number = (0..bits).map(|place| bit(self.at + place as usize) << place).sum();
        self.at += bits as usize;
        number
    }
}

const BASES: [u32; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 40, 72, 136];
const BITS: [u32; 15] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6];

struct Set {
    starts: Vec<i32>,
    used: u32,
}

fn low_bits(set: u32) -> u32 {
    (set / 4).saturating_sub(4).min(15)
}

impl Set {
    fn new(set: u32) -> Self {
        let m = ((9 + 2 * (u64::from(set) % 4)) << (set / 4 - 1)).saturating_sub(8).max(1);
        let q = (m << 16) / (m + (40 << low_bits(set)));
        let r = |base: u32| (0..base).fold(1u64 << 32, |r, _| (r * q) >> 16);
        let start = |(t, base): (usize, u32)| {
            24 * t as i32 + ((32_384 * ((1 << 32) - r(base))) >> 32) as i32
        };
        Self { starts: BASES.into_iter().enumerate().map(start).collect(), used: 0 }
    }

    fn token(&mut self, v: i32) -> (usize, i32, i32) {
        let token = (0..16).rfind(|t| self.starts[*t] <= v).unwrap();
        let end = self.starts.get(token + 1).copied().unwrap_or(32_768);
        let (start, frequency) = (self.starts[token], end - self.starts[token]);
        let rate = match self.used {
            0..16 => 4,
            16..48 => 5,
            48..120 => 6,
            120..250 => 7,
            _ => 8,
        };
        self.used += 1;
        for (t, start) in self.starts.iter_mut().enumerate() {
            let target = 24 * t as i32 + if t > token { 32_384 } else { 0 };
            *start += (target - *start) >> rate;
        }
        (token, start, frequency)
    }
}

/// Numbers and sizes of all samples so far.
struct Picture {
    width: usize,
    numbers: Vec<i32>,
    sizes: Vec<i32>,
}

impl Picture {
    /// The place of a neighbour of what comes next; above the first row the first one stands.
    fn place(&self, dx: isize, up: usize) -> Option<usize> {
        let (x, y) = (self.numbers.len() % self.width, self.numbers.len() / self.width);
        let x = x as isize + dx;
        match up {
            0 if x < 0 => y.checked_sub(1).map(|y| y * self.width),
            0 => Some(y * self.width + x as usize),
            _ if y == 0 => None,
            _ => {
                let x = x.clamp(0, self.width as isize - 1) as usize;
                Some(y.saturating_sub(up) * self.width + x)
            }
        }
    }

    fn number(&self, dx: isize, up: usize) -> i32 {
        self.place(dx, up).map_or(0, |at| self.numbers[at])
    }

    fn size(&self, dx: isize, up: usize) -> i32 {
        let y = self.numbers.len() / self.width;
        if up > y { 0 } else { self.place(dx, up).map_or(0, |at| self.sizes[at]) }
    }
}

fn by_the_book(coded: &[u8]) -> Vec<u8> {
    let mut header = Bytes(coded);
    let flags = header.number(1);
    let left = header.number(1);
    assert_eq!(header.number(2), 0);
    let width = header.number(4) as usize;
    let plain_bytes = header.number(4) as usize;
    let offset = header.number(2);
    let limit = 8 * header.number(2) as i32;
    let bounds = [0; 2].map(|_| header.number(2) as i32);
    let weights =
        [[0; 11]; 3].map(|row| row.map(|_: i32| i32::from(header.number(2) as u16 as i16)));
    let mut states = [0; 4].map(|_: u32| header.number(4));
    let words = header.number(4) as usize;
    let mut levels = None;
    if flags & 8 != 0 {
        let mut bits = Bits { bytes: header.0, at: 0 };
        let mut next = 0;
        let count = bits.number(17);
        let level = |_| {
            let mut ones = 0;
            while bits.number(1) == 1 {
                ones += 1;
            }
            next += (1 << ones) + bits.number(ones);
            next - 1
        };
        levels = Some((0..count).map(level).collect::<Vec<u32>>());
        header.0 = &header.0[bits.at.div_ceil(8)..];
    }
    let (mut words, bits) = (Bytes(&header.0[..2 * words]), &header.0[2 * words..]);
    let sample_bytes = if flags & 1 == 1 { 2 } else { 1 };
    let odd = plain_bytes % sample_bytes;
    let (bits, odd) = bits.split_at(bits.len() - odd);
    let mut bits = Bits { bytes: bits, at: 0 };
    let mut sets: HashMap<u32, Set> = HashMap::new();
    let samples = plain_bytes / sample_bytes;
    let rows = samples.div_ceil(width);
    let first = if flags & 16 == 0 { rows } else { rows.div_ceil(2) } * width;
    let ends = [first.min(samples), samples];
    let mut pictures = [0; 2].map(|_| Picture { width, numbers: Vec::new(), sizes: Vec::new() });
    let places = (0..first).flat_map(|i| [(0, i), (1, first + i)]);
    let places = places.filter(|(part, at)| *at < ends[*part]);
    for (i, (part, at)) in places.enumerate() {
        let picture = &mut pictures[part];
        let (number, size) = (|dx, up| picture.number(dx, up), |dx, up| picture.size(dx, up));
        let mut sum = 4 + 2 * size(-1, 0) + size(-2, 0);
        let p = if at % first < width {
            8 * number(-1, 0)
        } else {
            sum += 2 * size(0, 1) + 2 * size(1, 1) + size(-1, 1) + size(2, 1) + size(0, 2);
            let (n, ne) = (number(0, 1), number(1, 1));
            let rough = (n - number(-1, 1)).abs()
                + (ne - n).abs()
                + (n - number(0, 2)).abs()
                + (ne - number(1, 2)).abs();
            let class = bounds.iter().filter(|bound| rough > **bound).count();
            let near = [
                (-1, 0),
                (-1, 1),
                (1, 1),
                (-2, 0),
                (0, 2),
                (1, 2),
                (-2, 1),
                (2, 1),
                (-1, 2),
                (-3, 0),
                (0, 3),
            ];
            let told =
                near.into_iter().zip(weights[class]).fold(0i32, |sum, ((dx, up), weight)| {
                    sum.wrapping_add((number(dx, up) - n).wrapping_mul(weight))
                });
            (8 * n + (told >> 9)).clamp(0, limit)
        };
        let o = (sum as u32).ilog2() - 2;
        let set = 4 * o + (sum as u32 >> o);
        let state = states[i % 4];
        let v = state % 32_768;
        let (token, start, frequency) =
            sets.entry(set).or_insert_with(|| Set::new(set)).token(v as i32);
        let next = frequency as u32 * (state >> 15) + v - start as u32;
        states[i % 4] = if next < 1 << 16 { next << 16 | words.number(2) } else { next };
        let low = low_bits(set);
        let code = match BITS.get(token) {
            Some(extra) => (BASES[token] << low) + bits.number(low + extra),
            None => bits.number(16),
        };
        let z = if code % 2 == 1 { -1 - (code / 2) as i32 } else { (code / 2) as i32 };
        let near = (p + 4) >> 3;
        let number = i32::from((if 8 * near > p { near + z } else { near - z }) as u16);
        picture.numbers.push(number);
        picture.sizes.push((8 * number - p).abs() >> 1);
    }
    assert_eq!(states, [1 << 16; 4]);
    assert!(words.0.is_empty() && bits.at.div_ceil(8) == bits.bytes.len());
    let sample = |number: &i32| {
        let level = levels.as_ref().map_or(*number as u32, |levels| levels[*number as usize]);
        (level + offset) as u16
    };
    let mut samples: Vec<u16> =
        pictures.iter().flat_map(|part| &part.numbers).map(sample).collect();
    if flags & 4 != 0 {
        assert_eq!(left, 3);
        for row in samples.chunks_mut(width) {
            let pixels = row.len() / 3;
            let parted = row.to_vec();
            for pixel in 0..pixels {
                let second = parted[pixel];
                row[3 * pixel] = parted[pixels + pixel].wrapping_add(second);
                row[3 * pixel + 1] = second;
                row[3 * pixel + 2] = parted[2 * pixels + pixel].wrapping_add(second);
            }
        }
    }
    let bytes = samples.into_iter().flat_map(|sample| match (sample_bytes, flags & 2) {
        (1, _) => vec![sample as u8],
        (_, 0) => sample.to_le_bytes().to_vec(),
        _ => sample.to_be_bytes().to_vec(),
    });
    bytes.chain(odd.iter().copied()).collect()
}

#[test]
fn what_the_encoder_makes_is_as_the_format_says() {
    let (mut made, mut ranked, mut halved) = (0, 0, 0);
    for (seed, (width, rows, left)) in [
        (64, 50, 1),
        (80, 80, 1),
        (201, 40, 1),
        (1, 900, 1),
        (5, 300, 1),
        (150, 41, 3),
        (700, 9, 1),
    ]
    .into_iter()
    .enumerate()
    {
        for (sample_bytes, big_endian) in [(1, false), (2, false), (2, true)] {
            for sparse in [false, true] {
                let value = |i: usize| {
                    let (x, y) = ((i % width) as f64, (i / width) as f64);
                    let noise = blake3::hash(&((i + 7777 * seed) as u64).to_le_bytes());
                    let noise = i32::from(noise.as_bytes()[0] >> if x > 40.0 { 3 } else { 6 });
                    let scale = if sample_bytes == 1 { 40.0 } else { 900.0 };
                    let wave = (scale * (x / 19.0).sin() * (y / 17.0).cos()) as i32 + noise;
                    // Spikes take the last token.
                    let spike = if i % 997 == 5 { 20_000 } else { 0 };
                    if sparse { wave * 3 } else { wave + spike }
                };
                let mut plain: Vec<u8> = Vec::new();
                for value in (0..width * rows - width / 4).map(value) {
                    match (sample_bytes, big_endian) {
                        (1, _) => plain.push(value as u8),
                        (_, false) => plain.extend((value as u16).to_le_bytes()),
                        _ => plain.extend((value as u16).to_be_bytes()),
                    }
                }
                if seed % 2 == 1 {
                    plain.push(0xa5);
                }
                let above = width as u32;
                let geometry = Geometry { sample_bytes, big_endian, left, above };
                let Some(coded) = encode_filtered(Codec::PixelAdaptive, &plain, geometry) else {
                    continue;
                };
                made += 1;
                ranked += u32::from(coded.bytes[0] & 8 != 0);
                halved += u32::from(coded.bytes[0] & 16 != 0);
                assert!(by_the_book(&coded.bytes) == plain, "{geometry:?} {sparse}");
                assert!(decode(coded.codec, &coded.bytes, plain.len()).unwrap() == plain);
            }
        }
    }
    assert!(made > 30 && ranked > 5 && halved > 10, "{made} of 42, {ranked}, {halved}");
}
