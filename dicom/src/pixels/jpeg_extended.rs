//! Extended sequential JPEG of 12 bits and one component (ISO/IEC 10918-1 annex F), which `jpeg-decoder`
//! does not know. Colours of 12 bits do not occur in DICOM (PS3.5 Table 8.2.1-1).

use super::PixelError;
use super::jpeg_entropy::{Bits, Huffman, scans};
use super::jpeg_head::Head;

const SIDE: usize = 8;

/// Where the coefficients of the stream's order belong (figure A.6).
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// The samples of the only component.
pub(super) fn decode(head: &Head, stream: &[u8]) -> Result<Vec<u16>, PixelError> {
    let [component] = &*head.components else {
        return Err(PixelError::Unsupported("12-bit JPEG in colour"));
    };
    let (rows, columns) = (head.rows as usize, head.columns as usize);
    let top = ((1u32 << head.precision) - 1) as f32;
    let cosines = cosines();
    let mut out = vec![0; rows * columns];
    scans(stream, |scan, bits| {
        let [found] = &*scan.components else {
            return Err(PixelError::Coding("a scan of an unknown component"));
        };
        let (dc, ac) = (scan.tables.dc(found.dc)?, scan.tables.ac(found.ac)?);
        let quantization = scan.tables.quantization(component.table)?;
        let mut last = 0;
        let mut until_restart = scan.restart;
        for block_row in 0..rows.div_ceil(SIDE) {
            for block_column in 0..columns.div_ceil(SIDE) {
                if scan.restart > 0 {
                    if until_restart == 0 {
                        bits.restart()?;
                        (until_restart, last) = (scan.restart, 0);
                    }
                    until_restart -= 1;
                }
                let block = block(bits, dc, ac, quantization, &mut last)?;
                let block = transformed(&block, &cosines);
                for (y, line) in block.chunks_exact(SIDE).enumerate().take(rows - block_row * SIDE)
                {
                    let at = (block_row * SIDE + y) * columns + block_column * SIDE;
                    let wide = SIDE.min(columns - block_column * SIDE);
                    let to = out.get_mut(at..at + wide).unwrap_or_default();
                    for (to, value) in to.iter_mut().zip(line) {
                        *to = (value + f32::midpoint(top, 1.0)).round().clamp(0.0, top) as u16;
                    }
                }
            }
        }
        Ok(true)
    })?;
    Ok(out)
}

/// The coefficients of one block, dequantized (F.2.2).
fn block(
    bits: &mut Bits<'_>,
    dc: &Huffman,
    ac: &Huffman,
    quantization: &[u16; 64],
    last: &mut i32,
) -> Result<[f32; 64], PixelError> {
    const WRONG: PixelError = PixelError::Coding("an impossible coefficient");
    let mut out = [0.0; 64];
    let size = bits.value(dc)?;
    if size > 15 {
        return Err(WRONG);
    }
    // 16 bits of differences cannot overflow 32 within the blocks that a frame has room for.
    *last = last.wrapping_add(bits.number(size)?);
    let mut place = 0;
    let mut put = |at: usize, value: i32| {
        let (to, factor) = (ZIGZAG.get(at).ok_or(WRONG)?, quantization.get(at).ok_or(WRONG)?);
        *out.get_mut(usize::from(*to)).ok_or(WRONG)? = value as f32 * f32::from(*factor);
        Ok::<(), PixelError>(())
    };
    put(0, *last)?;
    while place < 63 {
        let code = bits.value(ac)?;
        let (zeros, size) = (usize::from(code >> 4), code & 0x0F);
        match (zeros, size) {
            (15, 0) => place += 16,
            (_, 0) => break,
            _ => {
                place += zeros + 1;
                put(place, bits.number(size)?)?;
            }
        }
    }
    Ok(out)
}

/// By sample and frequency: the factors of the one-dimensional transform (A.3.3).
fn cosines() -> [[f32; SIDE]; SIDE] {
    let mut table = [[0.0; SIDE]; SIDE];
    for (x, line) in table.iter_mut().enumerate() {
        for (u, entry) in line.iter_mut().enumerate() {
            let scale = if u == 0 { std::f64::consts::FRAC_1_SQRT_2 } else { 1.0 };
            let angle = (2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / 16.0;
            *entry = (scale * angle.cos() / 2.0) as f32;
        }
    }
    table
}

/// The inverse cosine transform: rows, then columns.
fn transformed(block: &[f32; 64], cosines: &[[f32; SIDE]; SIDE]) -> [f32; 64] {
    let mut half = [0.0; 64];
    for (line, half) in block.chunks_exact(SIDE).zip(half.chunks_exact_mut(SIDE)) {
        for (to, factors) in half.iter_mut().zip(cosines) {
            *to = line.iter().zip(factors).map(|(value, factor)| value * factor).sum();
        }
    }
    let mut out = [0.0; 64];
    for (to, factors) in out.chunks_exact_mut(SIDE).zip(cosines) {
        for (line, factor) in half.chunks_exact(SIDE).zip(factors) {
            for (to, value) in to.iter_mut().zip(line) {
                *to += value * factor;
            }
        }
    }
    out
}
