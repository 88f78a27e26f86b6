//! What is needed: a bit for each chunk, and one for each sequence number.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::catalog::collection::ChunkNo;

/// Bits up to a number that is known beforehand. Whatever is beyond it counts as set: it came later, and
/// whoever brought it needs it.
#[derive(Debug)]
pub(crate) struct Bits(Vec<AtomicU64>);

impl Bits {
    pub(crate) fn up_to(last: u64) -> Self {
        let words = usize::try_from(last / 64 + 1).unwrap_or(usize::MAX);
        Self((0..words).map(|_| AtomicU64::new(0)).collect())
    }

    fn word(&self, no: u64) -> Option<&AtomicU64> {
        self.0.get(usize::try_from(no / 64).ok()?)
    }

    pub(crate) fn set(&self, no: u64) {
        if let Some(word) = self.word(no) {
            word.fetch_or(1 << (no % 64), Ordering::Relaxed);
        }
    }

    pub(crate) fn has(&self, no: u64) -> bool {
        self.word(no).is_none_or(|word| word.load(Ordering::Relaxed) >> (no % 64) & 1 == 1)
    }
}

/// Chunks that something needs. Marked from the versions in the catalog, and by every object that comes
/// in meanwhile and counts on a chunk that is here.
#[derive(Debug)]
pub(crate) struct Live {
    bits: Bits,
    last: ChunkNo,
}

impl Live {
    pub(crate) fn up_to(last: ChunkNo) -> Self {
        Self { bits: Bits::up_to(last.0), last }
    }

    /// The greatest number that was given when this began.
    pub(crate) fn last(&self) -> ChunkNo {
        self.last
    }

    pub(crate) fn set(&self, no: ChunkNo) {
        self.bits.set(no.0);
    }

    pub(crate) fn has(&self, no: ChunkNo) -> bool {
        no > self.last || self.bits.has(no.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_later_is_needed() {
        let live = Live::up_to(ChunkNo(70));
        for no in [0, 63, 64, 70] {
            assert!(!live.has(ChunkNo(no)));
            live.set(ChunkNo(no));
            assert!(live.has(ChunkNo(no)));
        }
        assert!(!live.has(ChunkNo(65)));
        for no in [71, 127, 128, u64::MAX] {
            live.set(ChunkNo(no));
            assert!(live.has(ChunkNo(no)));
        }
    }
}
