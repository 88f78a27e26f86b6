//! Look-up tables (PS3.3 C.11.1.1, C.11.2.1.1, C.7.6.3.1.5), also segmented (C.7.9.2).

/// The largest number that a descriptor can give, written there as 0.
const ENTRIES_MAX: usize = 65536;

/// A table of at most [`ENTRIES_MAX`] values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lut {
    /// Input of the first entry.
    first: i64,
    /// Bits of an entry that count.
    bits: u32,
    entries: Vec<u16>,
}

impl Lut {
    /// From a descriptor and data: little-endian words, or bytes if there are too few for words.
    pub(super) fn of(descriptor: &[i64], data: &[u8]) -> Option<Self> {
        let (count, first, bits) = described(descriptor)?;
        Self::filled(first, bits, words(data, count))
    }

    /// From segmented data.
    pub(super) fn of_segments(descriptor: &[i64], data: &[u8]) -> Option<Self> {
        let (count, first, bits) = described(descriptor)?;
        let data: Vec<u16> = if bits == 8 && !data.len().is_multiple_of(2) {
            data.iter().map(|byte| u16::from(*byte)).collect()
        } else {
            data.as_chunks::<2>().0.iter().map(|word| u16::from_le_bytes(*word)).collect()
        };
        Self::filled(first, bits, expanded(&data, count)?)
    }

    /// Corrects what writers get wrong about the bits.
    fn filled(first: i64, bits: u32, mut entries: Vec<u16>) -> Option<Self> {
        let most = u32::from(*entries.iter().max()?);
        let mut bits = bits;
        if bits <= 8 && most > 0xFF {
            // Eight bits in the upper half of words.
            for entry in &mut entries {
                *entry >>= 8;
            }
        } else if bits == 16 && most <= 0xFF && entries.len() <= 256 {
            // Eight bits that call themselves sixteen: white would be black.
            bits = 8;
        }
        Some(Self { first, bits, entries })
    }

    /// The entry for `input`; the first or last one for what lies outside.
    pub(super) fn get(&self, input: i64) -> u16 {
        let at = input.saturating_sub(self.first).max(0) as usize;
        self.entries.get(at).or(self.entries.last()).copied().unwrap_or_default()
    }

    /// The entry for `input` as a share of the largest possible one.
    pub(super) fn share(&self, input: i64) -> f64 {
        let full = f64::from((1u32 << self.bits) - 1);
        (f64::from(self.get(input)) / full).min(1.0)
    }

    /// The entry for `input`, 8 bits of it.
    pub(super) fn byte(&self, input: i64) -> u8 {
        let entry = self.get(input);
        let byte = if self.bits > 8 { entry >> (self.bits - 8) } else { entry << (8 - self.bits) };
        byte.min(255) as u8
    }
}

fn described(descriptor: &[i64]) -> Option<(usize, i64, u32)> {
    let &[count, first, bits, ..] = descriptor else { return None };
    let count = if count == 0 { ENTRIES_MAX } else { usize::try_from(count).ok()? };
    let bits = u32::try_from(bits).ok().filter(|bits| (1..=16).contains(bits))?;
    (count <= ENTRIES_MAX).then_some((count, first, bits))
}

fn words(data: &[u8], count: usize) -> Vec<u16> {
    if data.len() < count * 2 && data.len() >= count {
        return data.iter().take(count).map(|byte| u16::from(*byte)).collect();
    }
    let words = data.as_chunks::<2>().0.iter().take(count);
    words.map(|word| u16::from_le_bytes(*word)).collect()
}

/// Segments written out: 0 values as they are, 1 a straight line, 2 earlier segments again.
fn expanded(data: &[u16], count: usize) -> Option<Vec<u16>> {
    let mut out = Vec::with_capacity(count);
    let mut at = 0;
    while let Some(&kind) = data.get(at) {
        if out.len() >= count {
            break;
        }
        if kind == 2 {
            let &[_, copies, low, high] = data.get(at..)?.first_chunk::<4>()?;
            // A byte offset. Segments there may not be of this kind again (C.7.9.2.2.3).
            let mut from = (usize::from(low) | usize::from(high) << 16) / 2;
            for _ in 0..copies {
                from = segment(data, from, count, &mut out)?;
            }
            at += 4;
        } else {
            at = segment(data, at, count, &mut out)?;
        }
    }
    out.truncate(count);
    (!out.is_empty()).then_some(out)
}

/// Writes out one segment of kind 0 or 1; where the next one starts.
fn segment(data: &[u16], at: usize, count: usize, out: &mut Vec<u16>) -> Option<usize> {
    let &[kind, length] = data.get(at..)?.first_chunk::<2>()?;
    let room = count.saturating_sub(out.len());
    let length = usize::from(length);
    match kind {
        0 => {
            let end = at + 2 + length;
            out.extend_from_slice(data.get(at + 2..at + 2 + length.min(room))?);
            Some(end)
        }
        1 => {
            let (from, to) = (f64::from(*out.last()?), f64::from(*data.get(at + 2)?));
            let step = (to - from) / length.max(1) as f64;
            out.extend((1..=length.min(room)).map(|i| (from + step * i as f64).round() as u16));
            Some(at + 3)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tables_of_words_and_of_bytes() {
        let lut = Lut::of(&[3, -1, 16], &[0, 0, 0, 0x80, 0xFF, 0xFF]).unwrap();
        assert_eq!([-5, -1, 0, 1, 9].map(|i| lut.get(i)), [0, 0, 0x8000, 0xFFFF, 0xFFFF]);
        assert_eq!([0, 1].map(|i| lut.byte(i)), [0x80, 0xFF]);
        let bytes = Lut::of(&[3, 0, 8], &[1, 2, 3, 0]).unwrap();
        assert_eq!([0, 1, 2].map(|i| bytes.byte(i)), [1, 2, 3]);
        let shifted = Lut::of(&[2, 0, 8], &[0, 0x10, 0, 0xFF]).unwrap();
        assert_eq!([0, 1].map(|i| shifted.byte(i)), [0x10, 0xFF]);
        assert_eq!(Lut::of(&[3, 0], &[0; 6]), None);
        assert_eq!(Lut::of(&[3, 0, 17], &[0; 6]), None);
        assert_eq!(Lut::of(&[3, 0, 8], &[]), None);
    }

    /// The example of PS3.3 C.7.9.2.2 in kind: values, a line, and both again.
    #[test]
    fn segments() {
        let data = [0u16, 2, 10, 20, 1, 4, 40, 2, 1, 0, 0, 0, 1, 7];
        let out = expanded(&data, 100).unwrap();
        assert_eq!(out, [10, 20, 25, 30, 35, 40, 10, 20, 7]);
        assert_eq!(expanded(&data, 3).unwrap(), [10, 20, 25]);
        for hostile in
            [&[1u16, 5, 5][..], &[2, 9, 0, 0], &[2, 1, 0xFFFF, 0xFFFF], &[0, 9, 1], &[3, 1]]
        {
            assert_eq!(expanded(hostile, 100), None);
        }
    }
}
