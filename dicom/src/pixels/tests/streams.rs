//! Small code streams, and naive encoders for those that no crate at hand writes.

use proptest::prelude::*;

/// 8 x 8 samples of 12 bits: `61 * i % 4096`.
pub(super) fn ramp() -> Vec<u16> {
    (0..64u32).map(|i| (i * 61 % 4096) as u16).collect()
}

/// 8 x 8 pixels of three 8-bit samples.
pub(super) fn colours() -> Vec<u8> {
    (0..64u16).flat_map(|i| [(i * 3) as u8, (255 - i * 2) as u8, i as u8]).collect()
}

/// [`ramp`] by OpenJPEG, reversible.
pub(super) const J2K: &str = "ff4fff5100290000000000080000000800000000000000000000000800000008000000000000\
000000010b0101ff52000c00000001000004040001ff5c00044060ff640025000143726561746564206279204f70656e4a504547\
2076657273696f6e20322e352e34ff90000a00000000006e0001ff93dfe174122b030b0b0ee78c621ed28796a48d770b2a65d596\
bd90a65ba6736004b18c390c1e3617520d9a8138125b466a2b2c8f36a93f745c5dae0c4c60f6a406404099a08a785be04da80599\
5791d5b4bab69478c44eb8070d86c361b0d86c3fffd9";

/// [`colours`] by OpenJPEG, reversible with component transform.
pub(super) const J2K_RCT: &str = "ff4fff51002f0000000000080000000800000000000000000000000800000008000000000\
00000000003070101070101070101ff52000c00000001010004040001ff5c00044040ff640025000143726561746564206279204\
f70656e4a5045472076657273696f6e20322e352e34ff90000a0000000000960001ff93c0241150549fdf8200115053df196744e\
b35284539a7e42cd45de0e8f0e5af0c3175d9d9d56eed460b141e2b058b5b0910dc37ab1b88f0e20cf749d6fada5d5b4bc386c36\
1b0d86c35df81e011501664e5268b0183f87c49fa7a66e98847ff0e2ccc54263faca71b81e1e92ab8d1f5cfa57b95e39ed276c34\
907a4eb71c7607b170a5e5e5e5f1911ffd9";

/// [`ramp`] by OpenJPH, reversible.
pub(super) const HTJ2K: &str = "ff4fff51002940000000000800000008000000000000000000000008000000080000000000\
00000000010f0101ff50000800020000000aff52000c00020001000504044001ff5c001320889090909090909090909090908888\
88ff64001700014f70656e4a50482056657220302e32362e332eff90000a00000000005a0001ff93c0002635f6050774000000c0\
0013400013002afe0207740064f103877400c000134000138010100182740092288900c35400c0002a20001560388ee3aa708275\
00ce3b77eefcc04201ecb600ffd9";

/// [`ramp`] by libjxl, lossless.
pub(super) const JXL: &str = "ff0a416050b40808040100c8004b2837c6dfae2b28488a8ba709f0133333334f333333f33433\
33334f333333f3343333334f333333f3343333334f33333333";

/// [`colours`] by libjxl, lossless.
pub(super) const JXL_RGB: &str = "ff0a414024080401000c014b2834161e858f828292020505ea88181163ac3a213fc6188d1\
863640cdec81863e405e2078042380088b5d423222e20622462525082651c7f98a46efda2ff0113ff03";

/// [`colours`] by CharLS, samples apart.
pub(super) const JLS_PLANES: &str = "ffd8ffe800205350494646000200000300000008000000080a0806010000012c000001\
2cffe8000800000001ffd8fff70011080008000803011100021100031100ffda000c030100020003000002004e648baf956de96a\
e0008010232445ebd72cd920004009e9ce73bb459e735777777ad6316bbbbbbd6a9495dddddcaa0a85dddddcd31137777773ffd9";

/// [`ramp`] as lossless JPEG by liblj92.
pub(super) const LOSSLESS: &str = "ffd8ffc4001700010101010000000000000000000000000809060cffc3000b0c00080008\
01001100ffda0008010000060000e7ff00deef77bbddeef77b7a1e8f47a3d1e8f47a5e87a3d1e8f47a3d1e97a1e8f47a3d1e8f47\
a5e87a3d1e8f47a3d1e97a1e8f47a3d1e8f47a5e87a3d1e8f47a3d1e97a1e8f47a3d1e8f47a0ffd9";

/// An item with its head, as it lies in encapsulated pixel data.
pub(super) fn item(value: &[u8]) -> Vec<u8> {
    let mut out = vec![0xFE, 0xFF, 0x00, 0xE0];
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(value);
    out
}

/// PackBits without any cleverness: runs of one value, or single values.
pub(super) fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for run in bytes.chunk_by(|a, b| a == b) {
        for run in run.chunks(128) {
            match run {
                [one] => out.extend([0, *one]),
                [value, ..] => out.extend([(257 - run.len()) as u8, *value]),
                [] => {}
            }
        }
    }
    out
}

/// RLE Lossless: one segment for each byte of a sample, samples lying side by side.
pub(super) fn rle(pixels: &[u8], samples: usize, sample_bytes: usize) -> Vec<u8> {
    let step = samples * sample_bytes;
    let mut header = vec![(samples * sample_bytes) as u32];
    let mut body = Vec::new();
    for sample in 0..samples {
        for byte in (0..sample_bytes).rev() {
            header.push(64 + body.len() as u32);
            let plane: Vec<u8> =
                pixels.iter().skip(sample * sample_bytes + byte).step_by(step).copied().collect();
            body.extend(pack(&plane));
        }
    }
    header.resize(16, 0);
    header.iter().flat_map(|n| n.to_le_bytes()).chain(body).collect()
}

/// Bits, with the stuffing of JPEG.
#[derive(Default)]
pub(super) struct BitWriter {
    out: Vec<u8>,
    held: u32,
    count: u32,
}

impl BitWriter {
    fn put(&mut self, value: u32, count: u32) {
        for i in (0..count).rev() {
            self.held = self.held << 1 | (value >> i & 1);
            self.count += 1;
            if self.count == 8 {
                self.out.push(self.held as u8);
                if self.held as u8 == 0xFF {
                    self.out.push(0);
                }
                (self.held, self.count) = (0, 0);
            }
        }
    }

    /// A difference or coefficient behind its category's code.
    fn number(&mut self, value: i32, size: u32) {
        let bits = if value < 0 { value - 1 } else { value };
        self.put((bits as u32) & ((1u64 << size) as u32).wrapping_sub(1), size);
    }

    fn align(&mut self) {
        while self.count > 0 {
            self.put(1, 1);
        }
    }
}

fn size_of(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}

fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0xFF, marker];
    out.extend_from_slice(&(body.len() as u16 + 2).to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// A table in which value `i` has the code `i` of `length` bits.
fn table(class: u8, length: usize, values: u8) -> Vec<u8> {
    let mut body = vec![class << 4];
    body.extend((1..=16).map(|bits| if bits == length { values } else { 0 }));
    body.extend(0..values);
    segment(0xC4, &body)
}

/// What is to be coded as lossless JPEG.
#[derive(Clone, Debug)]
pub(super) struct Lossless {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) components: usize,
    pub(super) precision: u32,
    pub(super) predictor: u8,
    pub(super) low: u32,
    /// In rows; 0 for none.
    pub(super) restart: usize,
    pub(super) samples: Vec<u16>,
}

pub(super) fn lossless() -> impl Strategy<Value = Lossless> {
    let shape = (1usize..7, 1usize..9, prop_oneof![Just(1usize), Just(3)]);
    let coding = (2u32..=16, 1u8..=7, 0u32..3, 0usize..4);
    (shape, coding, any::<u64>()).prop_map(|(shape, coding, seed)| {
        let (rows, columns, components) = shape;
        let (precision, predictor, low, restart) = coding;
        let low = low.min(precision - 1);
        let noise = |i: usize| (seed.wrapping_mul(2 * i as u64 + 1) >> 31) as u32;
        let sample = |i| (noise(i) & ((1 << precision) - 1)) >> low << low;
        let samples = (0..rows * columns * components).map(|i| sample(i) as u16).collect();
        Lossless { rows, columns, components, precision, predictor, low, restart, samples }
    })
}

/// ISO/IEC 10918-1 annex H, written down plainly.
pub(super) fn lossless_stream(image: &Lossless) -> Vec<u8> {
    let Lossless { rows, columns, components, precision, predictor, low, restart, .. } = *image;
    let mut out = vec![0xFF, 0xD8];
    let mut frame = vec![precision as u8, 0, rows as u8, 0, columns as u8, components as u8];
    let mut scan = vec![components as u8];
    for i in 0..components as u8 {
        frame.extend([i, 0x11, 0]);
        scan.extend([i, 0]);
    }
    scan.extend([predictor, 0, low as u8]);
    out.extend(table(0, 5, 17));
    if restart > 0 {
        out.extend(segment(0xDD, &((restart * columns) as u16).to_be_bytes()));
    }
    out.extend(segment(0xC3, &frame));
    out.extend(segment(0xDA, &scan));
    let at = |row: usize, column: usize, component: usize| {
        i32::from(image.samples[(row * columns + column) * components + component] >> low)
    };
    let mut bits = BitWriter::default();
    for row in 0..rows {
        let fresh = row == 0 || restart > 0 && row % restart == 0;
        if fresh && row > 0 {
            bits.align();
            bits.out.extend([0xFF, 0xD0 + ((row / restart - 1) % 8) as u8]);
        }
        for column in 0..columns {
            for c in 0..components {
                let left = || at(row, column - 1, c);
                let above = || at(row - 1, column, c);
                let corner = || at(row - 1, column - 1, c);
                let prediction = match (fresh, column, predictor) {
                    (true, 0, _) => 1 << (precision - low - 1),
                    (true, _, _) | (false, 1.., 1) => left(),
                    (false, 0, _) | (false, _, 2) => above(),
                    (_, _, 3) => corner(),
                    (_, _, 4) => left() + above() - corner(),
                    (_, _, 5) => left() + ((above() - corner()) >> 1),
                    (_, _, 6) => above() + ((left() - corner()) >> 1),
                    _ => (left() + above()) >> 1,
                };
                let difference =
                    i32::from(((at(row, column, c) - prediction) as u16).cast_signed());
                if difference == -32768 {
                    bits.put(16, 5);
                } else {
                    bits.put(size_of(difference), 5);
                    bits.number(difference, size_of(difference));
                }
            }
        }
    }
    bits.align();
    out.extend(bits.out);
    out.extend([0xFF, 0xD9]);
    out
}

/// Sequential JPEG of 12 bits by the definition of the cosine transform, quantized by 1.
pub(super) fn extended_stream(
    rows: usize,
    columns: usize,
    restart: u16,
    samples: &[u16],
) -> Vec<u8> {
    let mut out = vec![0xFF, 0xD8];
    out.extend(segment(0xDB, &[&[0][..], &[1; 64]].concat()));
    out.extend(table(0, 5, 17));
    out.extend(table(1, 9, 255));
    out.extend(segment(0xDD, &restart.to_be_bytes()));
    out.extend(segment(0xC1, &[12, 0, rows as u8, 0, columns as u8, 1, 1, 0x11, 0]));
    out.extend(segment(0xDA, &[1, 1, 0, 0, 63, 0]));
    let mut bits = BitWriter::default();
    let (mut last, mut count) = (0, 0);
    for top in (0..rows).step_by(8) {
        for left in (0..columns).step_by(8) {
            if restart > 0 && count > 0 && count % u32::from(restart) == 0 {
                bits.align();
                bits.out.extend([0xFF, 0xD0 + ((count / u32::from(restart) - 1) % 8) as u8]);
                last = 0;
            }
            count += 1;
            let sample = |x: usize, y: usize| {
                let (x, y) = ((left + x).min(columns - 1), (top + y).min(rows - 1));
                f64::from(samples[y * columns + x]) - 2048.0
            };
            let coefficients: Vec<i32> = (0..64).map(|k| coefficient(k, &sample)).collect();
            let size = size_of(coefficients[0] - last);
            bits.put(size, 5);
            bits.number(coefficients[0] - last, size);
            last = coefficients[0];
            let mut zeros = 0;
            for value in &coefficients[1..] {
                if *value == 0 {
                    zeros += 1;
                    continue;
                }
                for _ in 0..zeros / 16 {
                    bits.put(0xF0, 9);
                }
                bits.put(((zeros % 16) << 4) | size_of(*value), 9);
                bits.number(*value, size_of(*value));
                zeros = 0;
            }
            if zeros > 0 {
                bits.put(0, 9);
            }
        }
    }
    bits.align();
    out.extend(bits.out);
    out.extend([0xFF, 0xD9]);
    out
}

/// Coefficient `k` of the stream's order.
fn coefficient(k: usize, sample: &dyn Fn(usize, usize) -> f64) -> i32 {
    // Zigzag, by walking it.
    let (mut u, mut v) = (0usize, 0usize);
    for _ in 0..k {
        let up = (u + v) % 2 == 0;
        match (up, u, v) {
            (true, 7, _) | (false, 0, 0..=6) => v += 1,
            (true, _, 0) | (false, _, 7) => u += 1,
            (true, ..) => (u, v) = (u + 1, v - 1),
            (false, ..) => (u, v) = (u - 1, v + 1),
        }
    }
    let scale = |f: usize| if f == 0 { std::f64::consts::FRAC_1_SQRT_2 } else { 1.0 };
    let wave =
        |f: usize, i: usize| ((2 * i + 1) as f64 * f as f64 * std::f64::consts::PI / 16.0).cos();
    let mut sum = 0.0;
    for y in 0..8 {
        for x in 0..8 {
            sum += sample(x, y) * wave(u, x) * wave(v, y);
        }
    }
    (sum * scale(u) * scale(v) / 4.0).round() as i32
}
