//! Buckets of bits that are set for each key: a blocked Bloom filter.
//!
//! A key has five bits in its bucket. Of what is not there 0.01 % are let through with 16 keys to a bucket, 0.2 %
//! with 32, and 1.5 % with 56.

use super::filter::BUCKET_BYTES;

/// Bits that a key has.
const KEY_BITS: u32 = 5;

/// Places of a key's bits in its bucket, from the last bits of the key: the first ones are alike there.
fn bits_of(key: u64) -> impl Iterator<Item = (usize, u8)> {
    (0..KEY_BITS).map(move |bit| {
        let place = key >> (9 * bit);
        (place as usize / 8 % BUCKET_BYTES, 1 << (place % 8))
    })
}

pub(super) fn may_hold(bucket: &[u8; BUCKET_BYTES], key: u64) -> bool {
    bits_of(key).all(|(byte, bit)| bucket[byte] & bit != 0)
}

pub(super) fn add(bucket: &mut [u8; BUCKET_BYTES], key: u64) {
    for (byte, bit) in bits_of(key) {
        bucket[byte] |= bit;
    }
}
