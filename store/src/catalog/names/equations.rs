//! Buckets that are solutions of equations.
//!
//! A key has a fingerprint of so many bits and four slots of its bucket; slots are filled so that those of each
//! key, added without carrying, come to its fingerprint. Whatever is not there comes to its own by chance: of
//! 56 keys in 63 slots of eight bits 0.4 % do, where bits that are set for each key ([`super::bits`]) let 1.5 %
//! through in as much memory. It takes ten times as long to make, and twice as long to ask. A bucket that came to have more keys has more and smaller slots.
//! (M. Dietzfelbinger, R. Pagh: Succinct data structures for retrieval and approximate membership, 2008.)
//!
//! The last byte of a bucket tells its form: bits of a slot, and in the upper three bits which of eight ways to
//! choose slots has a solution. 0 is an empty bucket, [`FULL`] one with more keys than it can tell.

use super::filter::BUCKET_BYTES;

/// A bucket, and its form in the last byte.
pub(super) type Bucket = [u8; BUCKET_BYTES];

const FORM: usize = BUCKET_BYTES - 1;
/// Any key may be in such a bucket.
const FULL: u8 = 7 << 5;
/// Bits for slots.
const SLOT_BITS: usize = FORM * 8;
/// Bits of the smallest and the largest slot.
const BITS_MIN: usize = 4;
const BITS_MAX: usize = 16;
/// Slots that a bucket may have.
const SLOTS_MAX: usize = SLOT_BITS / BITS_MIN;
/// Keys of a bucket that is not full.
pub(super) const KEYS_MAX: usize = SLOTS_MAX - SLOTS_SPARE;
/// Slots of a key, and what a bucket needs beyond one for each: with these, most systems have a solution.
const KEY_SLOTS: usize = 4;
const SLOTS_SPARE: usize = 2;
/// Ways to choose a key's slots that are tried before smaller slots are.
const WAYS: u8 = 4;

/// Slots of a bucket whose slots have so many bits; none where they would be too small or too large.
const SLOTS: [u8; 32] = {
    let mut slots = [0; 32];
    let mut bits = BITS_MIN;
    while bits <= BITS_MAX {
        slots[bits] = (SLOT_BITS / bits) as u8;
        bits += 1;
    }
    slots
};

/// What a key has in every bucket, whatever its form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hashed {
    hash: u64,
    /// Of which a bucket takes the last bits.
    fingerprint: u32,
}

impl Hashed {
    pub(super) fn of(key: u64) -> Self {
        // Keys of one bucket begin alike. (The constants are of SplitMix64, G. Steele and others, 2014.)
        let mixed = key.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let hash = (mixed ^ mixed >> 31).wrapping_mul(0x94d0_49bb_1331_11eb);
        let fingerprint = (hash ^ hash >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        Self { hash, fingerprint: fingerprint as u32 }
    }

    /// Some may be the same, of which an even number counts as none.
    fn slots(self, way: u8, slots: u64) -> [usize; KEY_SLOTS] {
        let hash = self.hash.rotate_left(17 * u32::from(way));
        std::array::from_fn(|slot| ((((hash >> (12 * slot)) & 0xfff) * slots) >> 12) as usize)
    }
}

/// Four bytes that begin with a slot, or have it: reading them never goes past the bucket.
fn place(slot: usize, bits: usize) -> (usize, usize) {
    let bit = slot * bits;
    let byte = (bit / 8).min(BUCKET_BYTES - 4);
    (byte, bit - byte * 8)
}

pub(super) fn may_hold(bucket: &Bucket, key: Hashed) -> bool {
    let (bits, way) = (usize::from(bucket[FORM] & 31), bucket[FORM] >> 5);
    let slots = u64::from(SLOTS[bits]);
    if slots == 0 {
        // What was damaged tells nothing.
        return bucket[FORM] != 0;
    }
    let sum = key.slots(way, slots).into_iter().fold(key.fingerprint, |sum, slot| {
        let (byte, shift) = place(slot, bits);
        let four = [bucket[byte], bucket[byte + 1], bucket[byte + 2], bucket[byte + 3]];
        sum ^ u32::from_le_bytes(four) >> shift
    });
    sum << (32 - bits) == 0
}

/// The bucket of keys of which no two are alike.
pub(super) fn solve(keys: &[u64]) -> Bucket {
    let mut bucket = [0; BUCKET_BYTES];
    if keys.is_empty() {
        return bucket;
    }
    let keys: Vec<Hashed> = keys.iter().map(|key| Hashed::of(*key)).collect();
    let enough = |bits: &usize| usize::from(SLOTS[*bits]) >= keys.len() + SLOTS_SPARE;
    for bits in (BITS_MIN..=BITS_MAX).rev().filter(enough) {
        for way in 0..WAYS {
            if let Some(slots) = solution(&keys, way, bits) {
                for (slot, value) in slots[..usize::from(SLOTS[bits])].iter().enumerate() {
                    let (byte, shift) = place(slot, bits);
                    let value = (u32::from(*value) << shift).to_le_bytes();
                    bucket[byte..].iter_mut().zip(value).for_each(|(to, from)| *to |= from);
                }
                bucket[FORM] = way << 5 | bits as u8;
                return bucket;
            }
        }
    }
    bucket[FORM] = FULL;
    bucket
}

/// Slots that come to every key's fingerprint, by Gauss's elimination; `None` if there are none.
fn solution(keys: &[Hashed], way: u8, bits: usize) -> Option<[u16; SLOTS_MAX]> {
    // Of each slot the equation whose first it is, and what that comes to.
    let mut firsts = [(0u128, 0u16); SLOTS_MAX];
    let mask = u16::MAX >> (16 - bits);
    for key in keys {
        let slots = key.slots(way, u64::from(SLOTS[bits]));
        let mut row = slots.into_iter().fold(0u128, |row, slot| row ^ 1 << slot);
        let mut value = key.fingerprint as u16 & mask;
        while row != 0 {
            let first = &mut firsts[row.trailing_zeros() as usize];
            if first.0 == 0 {
                *first = (row, value);
                break;
            }
            row ^= first.0;
            value ^= first.1;
        }
        if row == 0 && value != 0 {
            return None;
        }
    }
    let mut slots = [0; SLOTS_MAX];
    for (slot, (row, value)) in firsts.iter().enumerate().rev() {
        // Those behind it are known.
        let (mut rest, mut value) = (row & row.wrapping_sub(1), *value);
        while rest != 0 {
            value ^= slots[rest.trailing_zeros() as usize];
            rest &= rest - 1;
        }
        slots[slot] = value;
    }
    Some(slots)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn key(no: u64) -> u64 {
        u64::from_le_bytes(*blake3::hash(&no.to_le_bytes()).as_bytes().first_chunk().unwrap())
    }

    #[test]
    fn fewer_keys_have_longer_fingerprints() {
        let through = |count: u64| {
            let (mut through, mut asked) = (0, 0);
            for from in (0..400_000).step_by(1000) {
                let keys: Vec<u64> = (from..from + count).map(key).collect();
                let bucket = solve(&keys);
                assert!(keys.iter().all(|key| may_hold(&bucket, Hashed::of(*key))), "{count}");
                let others = (from + count..from + 1000).map(key);
                asked += 1000 - count;
                through += others.filter(|key| may_hold(&bucket, Hashed::of(*key))).count();
            }
            through as f64 / asked as f64
        };
        assert_eq!(solve(&[]), [0; BUCKET_BYTES]);
        for (count, at_most) in [
            (0, 0.0),
            (1, 0.000_1),
            (32, 0.000_2),
            (44, 0.001_2),
            (56, 0.005),
            (80, 0.02),
            (100, 0.065),
        ] {
            assert!(through(count) <= at_most, "{count} keys: {}", through(count));
        }
    }

    #[test]
    fn what_a_bucket_cannot_tell_it_lets_through() {
        let keys: Vec<u64> = (0..=KEYS_MAX as u64).map(key).collect();
        let bucket = solve(&keys);
        assert!((0..1000).all(|no| may_hold(&bucket, Hashed::of(key(no)))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Keys of any kind, alike but for a few bits, or hashes.
        #[test]
        fn every_key_is_found(mut keys in prop::collection::vec(any::<u64>(), 0..150), kept: u64) {
            for key in &mut keys {
                *key &= kept;
            }
            keys.sort_unstable();
            keys.dedup();
            let bucket = solve(&keys);
            for key in keys {
                prop_assert!(may_hold(&bucket, Hashed::of(key)));
            }
        }

        /// Whatever stands in a bucket, it is no more than a wrong answer.
        #[test]
        fn any_bucket_is_read(bytes in prop::collection::vec(any::<u8>(), BUCKET_BYTES), key: u64) {
            may_hold(bytes.as_slice().first_chunk().unwrap(), Hashed::of(key));
        }
    }
}
