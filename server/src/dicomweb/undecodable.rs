//! Which objects turned out to be undecodable, though their transfer syntax is one that is decoded.
//!
//! That is found out in the middle of a reply, which then breaks off; the next one leaves the object out
//! and says so by its status. Only a memory: whoever is forgotten is found out again.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use cairn_chunker::id::DatasetHash;

/// Objects that are remembered.
const REMEMBERED_MAX: usize = 4096;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Undecodable {
    hashes: Mutex<HashSet<[u8; 32]>>,
}

impl Undecodable {
    /// Remembers the object whose data set has this hash.
    pub(crate) fn add(&self, hash: DatasetHash) {
        let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        if hashes.len() >= REMEMBERED_MAX {
            hashes.clear();
        }
        hashes.insert(hash.0);
    }

    /// Is it known to be undecodable?
    pub(crate) fn has(&self, hash: DatasetHash) -> bool {
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner).contains(&hash.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded() {
        let memory = Undecodable::default();
        for n in 0..=REMEMBERED_MAX as u64 {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_le_bytes());
            memory.add(DatasetHash(hash));
            assert!(memory.has(DatasetHash(hash)));
        }
        assert_eq!(memory.hashes.lock().map(|hashes| hashes.len()).ok(), Some(1));
        assert!(!memory.has(DatasetHash([0; 32])));
    }
}
