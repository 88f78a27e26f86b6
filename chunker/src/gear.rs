//! Content-defined cuts: a gear hash over a frozen table.
//!
//! Where bytes have no known structure, a cut is made where the hash of the 64 bytes before it has
//! its top [`GEAR_MASK_BITS`] bits zero. The rule is part of the format: a change moves cuts and
//! silently ends deduplication against what is stored, so table, mask and vectors are frozen here.
//! Hashing starts 64 bytes before the shortest cut, so that a cut depends on content alone.

use crate::limits::{GEAR_BYTES_MAX, GEAR_BYTES_MIN, GEAR_MASK_BITS};

/// Bytes that influence the hash: each step shifts an older byte out by one bit.
const WINDOW_BYTES: usize = 64;

const MASK: u64 = !(u64::MAX >> GEAR_MASK_BITS);

static TABLE: [u64; 256] = table();

/// 256 outputs of splitmix64 (Steele et al. 2014) from the seed "CairnGr1".
const fn table() -> [u64; 256] {
    let mut out = [0; 256];
    let mut state = u64::from_le_bytes(*b"CairnGr1");
    let mut i = 0;
    while i < 256 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        out[i] = z ^ (z >> 31);
        i += 1;
    }
    out
}

/// Length of the first chunk of `bytes`, or `None` if more bytes are needed to tell.
///
/// `ended` says that nothing follows. Never returns more than [`GEAR_BYTES_MAX`].
#[must_use]
pub fn first_cut(bytes: &[u8], ended: bool) -> Option<usize> {
    let end = bytes.len().min(GEAR_BYTES_MAX);
    if end > GEAR_BYTES_MIN {
        let mut hash = 0u64;
        let warm = GEAR_BYTES_MIN - WINDOW_BYTES;
        for byte in &bytes[warm..GEAR_BYTES_MIN] {
            hash = (hash << 1).wrapping_add(TABLE[*byte as usize]);
        }
        for (i, byte) in bytes[GEAR_BYTES_MIN..end].iter().enumerate() {
            if hash & MASK == 0 {
                return Some(GEAR_BYTES_MIN + i);
            }
            hash = (hash << 1).wrapping_add(TABLE[*byte as usize]);
        }
    }
    (ended || end == GEAR_BYTES_MAX).then_some(end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
        out
    }

    fn cuts(bytes: &[u8]) -> Vec<usize> {
        let mut at = 0;
        let mut out = Vec::new();
        while at < bytes.len() {
            at += first_cut(&bytes[at..], true).unwrap();
            out.push(at);
        }
        out
    }

    /// The rule said plainly: hash the 64 bytes before each candidate afresh.
    fn naive_cut(bytes: &[u8]) -> usize {
        let end = bytes.len().min(GEAR_BYTES_MAX);
        for at in GEAR_BYTES_MIN..end {
            let hash = bytes[at - WINDOW_BYTES..at]
                .iter()
                .fold(0u64, |h, b| (h << 1).wrapping_add(TABLE[*b as usize]));
            if hash & MASK == 0 {
                return at;
            }
        }
        end
    }

    #[test]
    fn frozen_vectors() {
        assert_eq!(TABLE[0], 0x1c35_fc18_c501_93f4);
        assert_eq!(cuts(&noise(1, 600_000)), FROZEN_CUTS);
    }

    const FROZEN_CUTS: &[usize] = &[28_711, 79_727, 341_871, 451_958, 528_360, 585_829, 600_000];

    #[test]
    fn agrees_with_the_naive_twin() {
        for seed in 0..20 {
            let bytes = noise(seed, 300_000);
            assert_eq!(first_cut(&bytes, true).unwrap(), naive_cut(&bytes));
        }
    }

    #[test]
    fn an_insertion_moves_few_cuts() {
        let before = noise(7, 3_000_000);
        let mut after = before.clone();
        after.splice(10..10, *b"inserted");
        let old: std::collections::HashSet<_> =
            cuts(&before).into_iter().map(|cut| cut + 8).collect();
        let new = cuts(&after);
        let kept = new.iter().filter(|cut| old.contains(cut)).count();
        assert!(kept + 2 >= new.len(), "{kept} of {} cuts kept", new.len());
    }

    #[test]
    fn constant_bytes_are_cut_at_the_longest() {
        assert_eq!(first_cut(&vec![0; 1 << 20], false), Some(GEAR_BYTES_MAX));
        assert_eq!(first_cut(&[0; 100], false), None);
        assert_eq!(first_cut(&[0; 100], true), Some(100));
    }
}
