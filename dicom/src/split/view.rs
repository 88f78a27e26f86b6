//! The part of an object that is at hand.

/// A window on the object's bytes, addressed by offsets from the object's start.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    bytes: &'a [u8],
    at: u64,
    /// Nothing follows.
    pub(super) last: bool,
}

impl<'a> View<'a> {
    pub(super) fn new(bytes: &'a [u8], at: u64, last: bool) -> Self {
        Self { bytes, at, last }
    }

    /// Offset of the first byte that is not at hand.
    pub(super) fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    /// Exactly `length` bytes from `at`, if they are all at hand.
    pub(super) fn peek(&self, at: u64, length: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(at.checked_sub(self.at)?).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        self.bytes.get(start..end)
    }

    /// As many of `length` bytes from `at` as are at hand.
    pub(super) fn up_to(&self, at: u64, length: u64) -> &'a [u8] {
        let length = length.min(self.end().saturating_sub(at));
        self.peek(at, length).unwrap_or_default()
    }
}
