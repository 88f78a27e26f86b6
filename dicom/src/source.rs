//! The bytes of a stored data set, by offset, wherever they are kept.

use std::io;

use bytes::Bytes;

/// Bytes of a data set, by offset. What is large is fetched only when somebody asks for it.
///
/// Nothing here asks for bytes that it does not need: the value of pixel data is passed over by its
/// length, and a read never begins inside a value that is not wanted.
pub trait Source {
    /// Bytes at `at`: at least one unless `at` is the end; as many as come cheaply (a chunk), at most
    /// `most`.
    fn read(&mut self, at: u64, most: usize) -> io::Result<Bytes>;

    /// Length of the data set.
    fn len(&self) -> u64;

    /// Is there nothing?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Offset of the delimiter that ends encapsulated pixel data, if that is known without looking at
    /// every fragment: `Frames::Encapsulated::end`. Without it, what follows the frames is found by
    /// reading eight bytes at each fragment.
    fn fragments_end(&self) -> Option<u64> {
        None
    }
}

/// Bytes at hand are a source; nothing is copied.
impl Source for Bytes {
    fn read(&mut self, at: u64, most: usize) -> io::Result<Bytes> {
        let length = Self::len(self);
        let start = usize::try_from(at).unwrap_or(usize::MAX).min(length);
        Ok(self.slice(start..start.saturating_add(most).min(length)))
    }

    fn len(&self) -> u64 {
        Self::len(self) as u64
    }
}
