//! Groups of eight codes, each packed in as many bits as its largest needs.
//!
//! Eight codes of `b` bits are `b` bytes: every whole group begins and ends with a byte.

/// Codes in a group.
pub(super) const GROUP: usize = 8;

/// Codes of two groups, which are worked on at once.
pub(super) const PAIR: usize = 2 * GROUP;

/// Bits of a code by the index of a width. Fifteen is left out so that an index has four bits.
pub(super) const WIDTH_BITS: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16];

/// A group as it lies packed: its own bytes, then what means nothing.
pub(super) type Packed = [u8; 16];

/// The index of the smallest width that holds a code.
#[inline(always)]
pub(super) fn index_of(largest: u16) -> u8 {
    let bits = (16 - largest.leading_zeros()) as u8;
    // Sixteen becomes 15, without a branch that noise would mislead.
    bits - bits / 16
}

/// Bits of a code, which is how many bytes a whole group takes.
#[inline(always)]
pub(super) fn bits_of(index: u8) -> usize {
    usize::from(WIDTH_BITS[usize::from(index % 16)])
}

/// Bytes that `codes` of a group take, at most [`GROUP`].
#[inline(always)]
pub(super) fn bytes_of(index: u8, codes: usize) -> usize {
    (bits_of(index) * codes).div_ceil(8)
}

/// Packs a group whose codes all have the width.
#[inline(always)]
pub(super) fn pack(codes: &[u16; GROUP], index: u8) -> Packed {
    let bits = WIDTH_BITS[usize::from(index % 16)];
    let all = codes.iter().rev().fold(0u128, |all, code| all << bits | u128::from(*code));
    all.to_le_bytes()
}

/// Undoes [`pack`], whatever stands behind the group's own bytes.
#[inline(always)]
pub(super) fn unpack(packed: &Packed, index: u8) -> [u16; GROUP] {
    let bits = usize::from(WIDTH_BITS[usize::from(index % 16)]);
    let all = u128::from_le_bytes(*packed);
    std::array::from_fn(|i| (all >> (i * bits)) as u16 & ((1u32 << bits) - 1) as u16)
}
