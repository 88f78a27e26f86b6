//! Bit streams: the first bit is the lowest of the first byte, numbers begin with their lowest bit.

/// The 64 bits from a byte on; zeros stand where the bytes have ended.
#[inline(always)]
pub(in crate::codec) fn window(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..at.wrapping_add(8)).and_then(|window| window.first_chunk()) {
        Some(whole) => u64::from_le_bytes(*whole),
        None => last_window(bytes, at),
    }
}

#[cold]
fn last_window(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().rev().fold(0, |window, byte| window << 8 | u64::from(*byte))
}

/// Where a stream of words is being read: the bits not read yet, with a one above them that tells how
/// many were.
#[derive(Clone, Copy)]
pub(in crate::codec) struct Cursor {
    held: u64,
    at: usize,
}

impl Cursor {
    /// At a byte.
    pub(in crate::codec) fn new(at: usize) -> Self {
        Self { held: 1 << 63, at }
    }

    /// Makes 56 bits ready.
    #[inline(always)]
    pub(in crate::codec) fn refill(&mut self, coded: &[u8]) {
        let read = self.held.leading_zeros();
        self.at += read as usize / 8;
        self.held = (window(coded, self.at) | 1 << 63) >> (read % 8);
    }

    /// The symbol that is next by a table of what bits begin with: symbol (high byte) and how many bits
    /// it has (low byte).
    #[inline(always)]
    pub(in crate::codec) fn symbol<const TABLE: usize>(&mut self, table: &[u16; TABLE]) -> u8 {
        let entry = table[self.held as usize % TABLE];
        self.held >>= entry & 63;
        (entry >> 8) as u8
    }

    /// Behind the last byte that was begun.
    pub(in crate::codec) fn end(self) -> usize {
        self.at + self.held.leading_zeros().div_ceil(8) as usize
    }
}

/// Reads numbers of any width.
pub(in crate::codec) struct Reader<'a> {
    bytes: &'a [u8],
    /// Bits read, also past the end.
    at: usize,
}

impl<'a> Reader<'a> {
    pub(in crate::codec) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next 57 bits or more, and how many of them are to be had before [`Self::skip`].
    #[inline(always)]
    pub(in crate::codec) fn peek(&self) -> u64 {
        window(self.bytes, self.at / 8) >> (self.at % 8)
    }

    #[inline(always)]
    pub(in crate::codec) fn skip(&mut self, bits: usize) {
        self.at += bits;
    }

    /// A number of up to 32 bits.
    pub(in crate::codec) fn number(&mut self, bits: usize) -> u32 {
        let number = self.peek() & ((1 << bits) - 1);
        self.skip(bits);
        number as u32
    }

    /// Bytes that were begun.
    pub(in crate::codec) fn bytes_read(&self) -> usize {
        self.at.div_ceil(8)
    }
}

/// Writes a stream to the end of a vector.
pub(in crate::codec) struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    held: u64,
    bits: u32,
}

impl<'a> Writer<'a> {
    pub(in crate::codec) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes, held: 0, bits: 0 }
    }

    /// A number of up to 32 bits.
    #[inline(always)]
    pub(in crate::codec) fn put(&mut self, number: u32, bits: u32) {
        self.held |= u64::from(number) << self.bits;
        self.bits += bits;
        if self.bits >= 32 {
            self.bytes.extend((self.held as u32).to_le_bytes());
            self.held >>= 32;
            self.bits -= 32;
        }
    }

    /// What is left of the last byte is zero.
    pub(in crate::codec) fn finish(self) {
        let whole = self.held.to_le_bytes();
        self.bytes.extend(&whole[..self.bits.div_ceil(8) as usize]);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(numbers: Vec<(u32, u8)>) {
            let numbers: Vec<(u32, u32)> = numbers
                .into_iter()
                .map(|(number, bits)| (u64::from(number), u32::from(bits) % 33))
                .map(|(number, bits)| ((number & ((1 << bits) - 1)) as u32, bits))
                .collect();
            let mut bytes = vec![0xff];
            let mut writer = Writer::new(&mut bytes);
            for (number, bits) in &numbers {
                writer.put(*number, *bits);
            }
            writer.finish();
            let mut reader = Reader::new(&bytes[1..]);
            for (number, bits) in numbers {
                prop_assert_eq!(reader.number(bits as usize), number);
            }
            prop_assert_eq!(reader.bytes_read(), bytes.len() - 1);
        }
    }

    #[test]
    fn past_the_end_stand_zeros() {
        let bytes = [0xff; 9];
        assert_eq!(window(&bytes, 1), u64::MAX);
        assert_eq!(window(&bytes, 7), 0xffff);
        assert_eq!(window(&bytes, 9), 0);
        assert_eq!(window(&bytes, usize::MAX), 0);
        assert_eq!(window(&bytes, usize::MAX - 8), 0);
    }
}
