//! Codec 5 decoded a second time, slowly, after the words of `FORMAT.md` §4.5.
//!
//! The crate's decoder unpacks two groups and restores sixteen rows at once; this one takes a bit after
//! the other. What the encoder makes has to be the same to both.
#![allow(clippy::unwrap_used)]

use cairn_chunker::codec::{Codec, Encoded, decode, encode_filtered};
use cairn_chunker::span::Geometry;

fn bits(bytes: &[u8], at: usize, count: usize) -> u32 {
    (0..count).map(|i| u32::from(bytes[(at + i) / 8] >> ((at + i) % 8) & 1) << i).sum()
}

fn by_the_book(coded: &[u8]) -> Vec<u8> {
    let number = |at: usize| u32::from_le_bytes(coded[at..at + 4].try_into().unwrap()) as usize;
    let (flags, left) = (coded[0], usize::from(coded[1]));
    let (above, plain_bytes, escape_count) = (number(4), number(8), number(12));
    let sample_bytes = if flags & 1 == 1 { 2 } else { 1 };
    let samples = plain_bytes / sample_bytes;
    let rows: Vec<usize> =
        (0..samples).step_by(above).map(|start| above.min(samples - start)).collect();
    let symbol_bytes: usize = rows.iter().map(|row| row.div_ceil(8).div_ceil(4)).sum();
    let (mut symbols, rest) = coded[16..].split_at(symbol_bytes);
    let (escapes, mut groups) = rest.split_at(escape_count.div_ceil(2));

    let mut next_escape = 0;
    let mut indices = vec![0; above.min(samples).div_ceil(8)];
    let mut codes = Vec::new();
    for row in rows {
        let count = row.div_ceil(8);
        for (g, index) in indices[..count].iter_mut().enumerate() {
            *index = match bits(symbols, 2 * g, 2) {
                0 => *index,
                1 => (*index + 1) % 16,
                3 => (*index + 15) % 16,
                _ => {
                    next_escape += 1;
                    bits(escapes, 4 * (next_escape - 1), 4)
                }
            };
        }
        symbols = &symbols[count.div_ceil(4)..];
        for (g, index) in indices[..count].iter().enumerate() {
            let width = if *index == 15 { 16 } else { *index as usize };
            let k = (row - 8 * g).min(8);
            codes.extend((0..k).map(|i| bits(groups, i * width, width)));
            groups = &groups[(k * width).div_ceil(8)..];
        }
    }
    assert_eq!(next_escape, escape_count);

    let bits = 8 * sample_bytes as u32;
    let parted = flags & 4 != 0;
    let mut samples = restored(&codes, bits, if parted { 1 } else { left }, above);
    if parted {
        samples = samples.chunks(above).flat_map(|row| joined(row, bits)).collect();
    }
    let mut plain = Vec::new();
    for sample in samples {
        match (sample_bytes, flags & 2) {
            (1, _) => plain.push(sample as u8),
            (_, 0) => plain.extend((sample as u16).to_le_bytes()),
            _ => plain.extend((sample as u16).to_be_bytes()),
        }
    }
    plain.extend(groups);
    plain
}

fn restored(codes: &[u32], bits: u32, left: usize, above: usize) -> Vec<u32> {
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
        samples.push(predicted.wrapping_add(residual) & ((1 << bits) - 1));
    }
    samples
}

fn joined(row: &[u32], bits: u32) -> Vec<u32> {
    let p = row.len() / 3;
    let mask = (1 << bits) - 1;
    let mut out: Vec<u32> = (0..p)
        .flat_map(|i| {
            let (b, a, c) = (row[i], row[p + i], row[2 * p + i]);
            [(a + b) & mask, b, (c + b) & mask]
        })
        .collect();
    out.extend(&row[3 * p..]);
    out
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
    let shapes = [
        (20_000, 128, 1),
        (20_011, 100, 1),
        (30_000, 300, 3),
        (30_001, 300, 3),
        (9_000, 33, 1),
        (12_345, 37, 2),
        (5_000, 100_000, 1),
        (70_000, 512, 1),
        (69_999, 1000, 200),
        (67_500, 750, 3),
    ];
    let mut made = 0;
    for (seed, (samples, row, left)) in shapes.into_iter().enumerate() {
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
                let coded = encode_filtered(Codec::PixelPacked, &plain, geometry);
                let Some(Encoded { codec, bytes }) = coded else { continue };
                made += 1;
                assert!(by_the_book(&bytes) == plain, "{geometry:?} {samples}");
                assert!(decode(codec, &bytes, plain.len()).unwrap() == plain, "{geometry:?}");
            }
        }
    }
    assert!(made > 30, "{made} of 40 were coded");
}
