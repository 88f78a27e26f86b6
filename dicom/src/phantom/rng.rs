//! Seeded numbers and UIDs: everything a phantom shows follows from its seed.
//!
//! xoshiro256++ seeded by splitmix64 (Blackman and Vigna, public domain). Not for secrets.

use std::fmt::Write as _;

/// Smallest leading hex digit of the 128-bit number in a UID. Numbers that start with 5 or more
/// have 39 decimal digits, so every UID has the same 44 characters and can be patched in place.
const UID_LEAD_MIN: u8 = 5;

/// Characters of every UID made here: "2.25." and 39 digits. Even, so no padding follows it.
pub(super) const UID_CHARS: usize = 44;

/// One step of splitmix64: spreads `value` over all 64 bits.
pub(super) fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number that follows from a seed, a label and an index.
pub(super) fn derive(seed: u64, label: &str, index: u64) -> u64 {
    let labelled = label.bytes().fold(mix(seed), |h, byte| mix(h ^ u64::from(byte)));
    mix(labelled ^ index)
}

/// A UID in the 2.25 arc (PS3.5 B.2): a version 8 UUID as a decimal number.
pub(super) fn uid(seed: u64, label: &str, index: u64) -> String {
    let high = derive(seed, label, index);
    let low = mix(high ^ seed.rotate_left(17) ^ index);
    let lead = UID_LEAD_MIN + (high >> 60) as u8 % (16 - UID_LEAD_MIN);
    let high = (high & 0x0fff_ffff_ffff_0fff) | u64::from(lead) << 60 | 0x8000;
    let low = (low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
    let mut text = String::with_capacity(UID_CHARS);
    // Writing to a String cannot fail.
    let _ = write!(text, "2.25.{}", u128::from(high) << 64 | u128::from(low));
    debug_assert_eq!(text.len(), UID_CHARS);
    text
}

/// The generator.
#[derive(Clone, Debug)]
pub(super) struct Rng([u64; 4]);

impl Rng {
    /// The generator of one purpose (`label`, `index`) under a seed.
    pub(super) fn new(seed: u64, label: &str, index: u64) -> Self {
        let mut word = derive(seed, label, index);
        Self(std::array::from_fn(|_| {
            word = mix(word);
            word
        }))
    }

    /// The next 64 bits.
    pub(super) fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let out = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.0 = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        out
    }

    /// A number in [0, 1).
    pub(super) fn unit(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// A number in [`low`, `high`).
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// A nearly normal number of mean 0 and deviation 1: four uniform ones summed.
    pub(super) fn normal(&mut self) -> f32 {
        let bits = self.next_u64();
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        (sum as f32 - 131_070.0) / 37_837.2
    }

    /// Fills `out` with random bytes.
    pub(super) fn fill(&mut self, out: &mut [u8]) {
        let mut words = out.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.next_u64().to_le_bytes());
        }
        let rest = words.into_remainder();
        let last = self.next_u64().to_le_bytes();
        rest.copy_from_slice(&last[..rest.len()]);
    }
}
