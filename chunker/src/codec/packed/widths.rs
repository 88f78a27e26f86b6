//! How the widths of groups are told: mostly in two bits, as what they differ from those above.
//!
//! A symbol is the difference modulo 4 if that is -1, 0 or 1, else [`ESCAPE`], and the index itself is
//! told apart, in four bits. Symbols of a row are put together by eight, and all arithmetic on them is
//! on eight bytes at once.

/// Groups whose symbols are put together.
pub(super) const BATCH: usize = 8;

/// The symbol of an index that is told apart.
const ESCAPE: u8 = 2;

/// Bytes of the symbols of a row of so many groups.
pub(super) fn row_bytes(groups: usize) -> usize {
    groups.div_ceil(4)
}

/// Appends the symbols of a row to `symbols`, and indices that are told apart to `escapes`, one a byte.
/// `above` and `indices` have as many entries, a multiple of [`BATCH`], of which `groups` count.
#[inline(always)]
pub(super) fn write(
    above: &[u8],
    indices: &[u8],
    groups: usize,
    symbols: &mut Vec<u8>,
    escapes: &mut Vec<u8>,
) {
    let end = symbols.len() + row_bytes(groups);
    let batches = above.as_chunks::<BATCH>().0.iter().zip(indices.as_chunks::<BATCH>().0);
    for (turn, (above, indices)) in batches.take(groups.div_ceil(BATCH)).enumerate() {
        let mut batch = [0; BATCH];
        for (symbol, (above, index)) in batch.iter_mut().zip(above.iter().zip(indices)) {
            let difference = index.wrapping_sub(*above);
            let near = difference.wrapping_add(1) <= 2;
            *symbol = if near { difference & 3 } else { ESCAPE };
        }
        // Behind the last group stands nothing.
        let counted = (groups - turn * BATCH).min(BATCH);
        batch[counted..].fill(0);
        let mut escaped = escaped(u64::from_le_bytes(batch));
        while escaped != 0 {
            escapes.push(indices[escaped.trailing_zeros() as usize / 8]);
            escaped &= escaped - 1;
        }
        symbols.extend(gathered(batch));
    }
    symbols.truncate(end);
}

/// A one in the lowest bit of each byte that is [`ESCAPE`], of bytes below 4.
#[inline(always)]
fn escaped(batch: u64) -> u64 {
    batch >> 1 & !batch & 0x0101_0101_0101_0101
}

/// Eight times two bits, the first lowest.
#[inline(always)]
fn gathered(batch: [u8; BATCH]) -> [u8; 2] {
    let pairs = u64::from_le_bytes(batch);
    let pairs = (pairs | pairs >> 6) & 0x000f_000f_000f_000f;
    let fours = (pairs | pairs >> 12) & 0x0000_00ff_0000_00ff;
    ((fours | fours >> 24) as u16).to_le_bytes()
}

/// Undoes [`gathered`].
#[inline(always)]
fn scattered(bits: u16) -> u64 {
    let fours = u64::from(bits);
    let fours = (fours | fours << 24) & 0x0000_00ff_0000_00ff;
    let pairs = (fours | fours << 12) & 0x000f_000f_000f_000f;
    (pairs | pairs << 6) & 0x0303_0303_0303_0303
}

/// Where indices that are told apart are read from: two a byte, the first lower.
pub(super) struct Escapes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Escapes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next index; zero behind the end.
    #[inline(always)]
    fn next(&mut self) -> u8 {
        let byte = self.bytes.get(self.at / 2).copied().unwrap_or(0);
        let index = byte >> (4 * (self.at % 2)) & 15;
        self.at += 1;
        index
    }

    /// How many were read, also behind the end.
    pub(super) fn read(&self) -> usize {
        self.at
    }
}

/// Appends indices that are told apart, two a byte.
pub(super) fn put_escapes(escapes: &[u8], out: &mut Vec<u8>) {
    out.extend(escapes.chunks(2).map(|pair| pair[0] | pair.get(1).unwrap_or(&0) << 4));
}

/// Puts the indices of a row in place of those of the row above; those behind `groups` become zero.
/// `symbols` has [`row_bytes`]; what does not fit into four bits is cut to them.
#[inline(always)]
pub(super) fn read(symbols: &[u8], groups: usize, indices: &mut [u8], escapes: &mut Escapes<'_>) {
    const LOW: u64 = 0x0101_0101_0101_0101;
    for (batch, bits) in indices.as_chunks_mut::<BATCH>().0.iter_mut().zip(symbols.chunks(2)) {
        let bits = u16::from_le_bytes([bits[0], bits.get(1).copied().unwrap_or(0)]);
        let symbols = scattered(bits);
        let one = symbols & LOW;
        let minus_one = symbols >> 1 & one;
        // One becomes 1, three becomes 15: sums stay in their bytes, and count modulo 16.
        let sums = u64::from_le_bytes(*batch) + (one | (minus_one * 15));
        *batch = (sums & (15 * LOW)).to_le_bytes();
        let mut escaped = escaped(symbols);
        while escaped != 0 {
            batch[escaped.trailing_zeros() as usize / 8] = escapes.next();
            escaped &= escaped - 1;
        }
    }
    indices[groups..].fill(0);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn indices_come_back(rows in prop::collection::vec((0usize..40, any::<[u8; 40]>()), 1..9)) {
            let (mut symbols, mut escapes) = (Vec::new(), Vec::new());
            let mut above = [0u8; 40];
            let mut expected = Vec::new();
            for (groups, noise) in &rows {
                let mut indices = [0; 40];
                for i in 0..*groups {
                    // Half of them near the one above.
                    indices[i] = match noise[i] % 8 {
                        0..4 => noise[i] >> 4,
                        4 => above[i].saturating_sub(1),
                        5 => (above[i] + 1).min(15),
                        _ => above[i],
                    };
                }
                write(&above, &indices, *groups, &mut symbols, &mut escapes);
                expected.push(indices);
                above = indices;
            }
            let mut nibbles = Vec::new();
            put_escapes(&escapes, &mut nibbles);
            let mut reader = Escapes::new(&nibbles);
            let mut indices = [0u8; 40];
            let mut rest = symbols.as_slice();
            for ((groups, _), expected) in rows.iter().zip(expected) {
                let (mine, behind) = rest.split_at(row_bytes(*groups));
                read(mine, *groups, &mut indices, &mut reader);
                prop_assert_eq!(indices, expected);
                rest = behind;
            }
            prop_assert!(rest.is_empty());
            prop_assert_eq!(reader.read(), escapes.len());
        }
    }
}
