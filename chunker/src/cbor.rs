//! Deterministic CBOR (RFC 8949 §4.2): the one encoding of everything that is hashed or signed.
//!
//! Only what Cairn writes: unsigned integers, byte and text strings, arrays, `null`. Integers take
//! their shortest form and lengths are definite; the reader refuses anything else, so that each value
//! has exactly one encoding.

use crate::{Error, Result};

const UINT: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const NULL: u8 = 0xf6;

/// Additional information in a head (RFC 8949 §3): the value follows in 1, 2, 4 or 8 bytes.
const IN_1: u8 = 24;
const IN_2: u8 = 25;
const IN_4: u8 = 26;
const IN_8: u8 = 27;

/// Writes one value after the other.
#[derive(Default, Debug)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes written so far.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn head(&mut self, major: u8, value: u64) -> &mut Self {
        let major = major << 5;
        match value {
            0..=23 => self.0.push(major | value as u8),
            24..=0xff => self.0.extend([major | IN_1, value as u8]),
            0x100..=0xffff => {
                self.0.push(major | IN_2);
                self.0.extend((value as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.0.push(major | IN_4);
                self.0.extend((value as u32).to_be_bytes());
            }
            _ => {
                self.0.push(major | IN_8);
                self.0.extend(value.to_be_bytes());
            }
        }
        self
    }

    /// An unsigned integer.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        self.head(UINT, value)
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.head(BYTES, value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// A text string.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.head(TEXT, value.len() as u64);
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    /// The head of an array of `count` values, which follow.
    pub fn array(&mut self, count: usize) -> &mut Self {
        self.head(ARRAY, count as u64)
    }

    /// The value `null`.
    pub fn null(&mut self) -> &mut Self {
        self.0.push(NULL);
        self
    }
}

/// Reads values back; every method fails on anything that [`Writer`] would not have written.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`; `what` names the structure in errors.
    #[must_use]
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// An error about the structure being read.
    #[must_use]
    pub fn fault(&self, why: &'static str) -> Error {
        Error::Encoding { what: self.what, why }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.fault("it ends too early"));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| self.fault("it ends too early"))
    }

    fn head(&mut self, major: u8) -> Result<u64> {
        let [first] = self.fixed()?;
        if first >> 5 != major {
            return Err(self.fault("a value has another type"));
        }
        let (value, least) = match first & 31 {
            small @ 0..=23 => return Ok(u64::from(small)),
            IN_1 => (u64::from(u8::from_be_bytes(self.fixed()?)), 24),
            IN_2 => (u64::from(u16::from_be_bytes(self.fixed()?)), 0x100),
            IN_4 => (u64::from(u32::from_be_bytes(self.fixed()?)), 0x1_0000),
            IN_8 => (u64::from_be_bytes(self.fixed()?), 0x1_0000_0000),
            _ => return Err(self.fault("a length is indefinite")),
        };
        if value < least {
            return Err(self.fault("a number is not in its shortest form"));
        }
        Ok(value)
    }

    fn length(&mut self, major: u8, max: usize) -> Result<usize> {
        let value = self.head(major)?;
        usize::try_from(value)
            .ok()
            .filter(|length| *length <= max)
            .ok_or_else(|| self.fault("a length is over its bound"))
    }

    /// An unsigned integer.
    pub fn uint(&mut self) -> Result<u64> {
        self.head(UINT)
    }

    /// A byte string of at most `max` bytes.
    pub fn bytes(&mut self, max: usize) -> Result<&'a [u8]> {
        let length = self.length(BYTES, max)?;
        self.take(length)
    }

    /// A byte string of exactly 32 bytes.
    pub fn hash(&mut self) -> Result<[u8; 32]> {
        let bytes = self.bytes(32)?;
        bytes.try_into().map_err(|_| self.fault("a hash does not have 32 bytes"))
    }

    /// A text string of at most `max` bytes.
    pub fn text(&mut self, max: usize) -> Result<&'a str> {
        let length = self.length(TEXT, max)?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.fault("a text is not UTF-8"))
    }

    /// The head of an array; each element takes at least one byte, which bounds the count.
    pub fn array(&mut self) -> Result<usize> {
        let max = self.rest.len();
        self.length(ARRAY, max)
    }

    /// The head of an array of exactly `count` values.
    pub fn array_of(&mut self, count: usize) -> Result<()> {
        if self.array()? != count {
            return Err(self.fault("an array has another length"));
        }
        Ok(())
    }

    /// Takes a `null` if one stands here.
    pub fn null(&mut self) -> bool {
        let is_null = self.rest.first() == Some(&NULL);
        if is_null {
            self.rest = &self.rest[1..];
        }
        is_null
    }

    /// Does an array stand here?
    #[must_use]
    pub fn at_array(&self) -> bool {
        self.rest.first().is_some_and(|first| first >> 5 == ARRAY)
    }

    /// Fails unless everything was read.
    pub fn end(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.fault("bytes follow its end")) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_follow_rfc_8949_appendix_a() {
        let cases: [(u64, &str); 9] = [
            (0, "00"),
            (23, "17"),
            (24, "1818"),
            (100, "1864"),
            (1000, "1903e8"),
            (1_000_000, "1a000f4240"),
            (1_000_000_000_000, "1b000000e8d4a51000"),
            (u32::MAX as u64, "1affffffff"),
            (u64::MAX, "1bffffffffffffffff"),
        ];
        for (value, encoded) in cases {
            let mut writer = Writer::new();
            writer.uint(value);
            assert_eq!(hex::encode(writer.finish()), encoded);
        }
    }

    #[test]
    fn other_forms_of_the_same_value_are_refused() {
        for bytes in [&[0x18, 0x17][..], &[0x19, 0, 1], &[0x1f], &[0x1b, 0, 0, 0, 0, 0, 0, 0, 1]] {
            assert!(Reader::new(bytes, "test").uint().is_err());
        }
        assert!(Reader::new(&[0x5f, 0xff], "test").bytes(9).is_err());
        assert!(Reader::new(&[0x62, 0xff, 0xff], "test").text(9).is_err());
        assert!(Reader::new(&[0x9a, 0xff, 0xff, 0xff, 0xff], "test").array().is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(n: u64, b: Vec<u8>, t in ".*") {
            let mut writer = Writer::new();
            writer.array(4).uint(n).bytes(&b).text(&t).null();
            let encoded = writer.finish();
            let mut reader = Reader::new(&encoded, "test");
            reader.array_of(4).unwrap();
            prop_assert_eq!(reader.uint().unwrap(), n);
            prop_assert_eq!(reader.bytes(usize::MAX).unwrap(), &b[..]);
            prop_assert_eq!(reader.text(usize::MAX).unwrap(), &t);
            prop_assert!(reader.null());
            prop_assert!(reader.end().is_ok());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes, "test");
            let _ = reader.uint();
            let _ = reader.array();
            let _ = reader.bytes(10);
            let _ = reader.text(10);
        }
    }
}
