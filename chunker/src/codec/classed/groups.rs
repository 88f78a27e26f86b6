//! Groups of sixteen residuals, and how those of one class become symbols.
//!
//! The class of a group is how many bits its largest code has, so that no code of it is an exception.
//! Small codes share a byte, so that a look-up of the decoder gives several; of codes over eight bits
//! the low ones, which are noise, are kept as they are.

use super::Sample;

/// Residuals in a group.
pub(super) const GROUP: usize = 16;

/// Classes: 0 to 16 bits.
pub(super) const CLASSES: usize = 17;

/// Symbols that a group of each class has.
pub(super) const fn symbols_of(class: usize) -> usize {
    match class {
        0 => 0,
        1 => 2,
        2 => 4,
        3 | 4 => 8,
        _ => 16,
    }
}

/// How many symbols there are for a class.
pub(super) const fn alphabet(class: usize) -> usize {
    match class {
        0 => 0,
        3 => 64,
        5..=7 => 1 << class,
        _ => 256,
    }
}

/// Bits of each code that are kept apart from its symbol.
pub(super) const fn low_bits(class: usize) -> usize {
    class.saturating_sub(8)
}

/// Bytes of a group's low bits.
pub(super) const fn low_bytes_of(class: usize) -> usize {
    low_bits(class) * GROUP / 8
}

/// The class of each group.
#[inline(always)]
pub(super) fn classify<S: Sample>(codes: &[S], classes: &mut Vec<u8>) {
    let groups = codes.as_chunks::<GROUP>().0;
    classes.resize(groups.len(), 0);
    for (class, group) in classes.iter_mut().zip(groups) {
        let mut any = 0;
        for code in group {
            any |= code.widen();
        }
        *class = (16 - any.leading_zeros()) as u8;
    }
}

/// Groups in order of class, then of place: `order[starts[class]..starts[class + 1]]`.
#[derive(Default)]
pub(super) struct Sorted {
    pub(super) order: Vec<u32>,
    pub(super) starts: [usize; CLASSES + 1],
}

impl Sorted {
    /// `classes` are all below [`CLASSES`].
    #[inline(always)]
    pub(super) fn sort(&mut self, classes: &[u8]) {
        // Neighbours are often of one class, and would wait for its count: two counts.
        let mut counts = [[0u32; 256]; 2];
        let (pairs, rest) = classes.as_chunks::<2>();
        for [a, b] in pairs {
            counts[0][usize::from(*a)] += 1;
            counts[1][usize::from(*b)] += 1;
        }
        for class in rest {
            counts[0][usize::from(*class)] += 1;
        }
        let mut at = [0usize; 256];
        let mut sum = 0;
        for class in 0..CLASSES {
            (self.starts[class], at[class]) = (sum, sum);
            sum += (counts[0][class] + counts[1][class]) as usize;
        }
        self.starts[CLASSES] = sum;
        self.order.resize(classes.len(), 0);
        let order = self.order.as_mut_slice();
        for (group, class) in classes.iter().enumerate() {
            let place = &mut at[usize::from(*class)];
            if let Some(entry) = order.get_mut(*place) {
                *entry = group as u32;
            }
            *place += 1;
        }
    }

    pub(super) fn of(&self, class: usize) -> &[u32] {
        &self.order[self.starts[class]..self.starts[class + 1]]
    }
}

/// Calls a function of a constant class with the class that is asked for.
macro_rules! with_class {
    ($class:expr, $function:ident::<$sample:ty>($($argument:expr),*)) => {
        match $class {
            1 => $function::<$sample, 1>($($argument),*),
            2 => $function::<$sample, 2>($($argument),*),
            3 => $function::<$sample, 3>($($argument),*),
            4 => $function::<$sample, 4>($($argument),*),
            5..=8 => $function::<$sample, 8>($($argument),*),
            9 => $function::<$sample, 9>($($argument),*),
            10 => $function::<$sample, 10>($($argument),*),
            11 => $function::<$sample, 11>($($argument),*),
            12 => $function::<$sample, 12>($($argument),*),
            13 => $function::<$sample, 13>($($argument),*),
            14 => $function::<$sample, 14>($($argument),*),
            15 => $function::<$sample, 15>($($argument),*),
            _ => $function::<$sample, 16>($($argument),*),
        }
    };
}

/// Appends the symbols of the groups of a class, 1 or more, and their low bits.
#[inline(always)]
pub(super) fn pack<S: Sample>(
    class: usize,
    codes: &[[S; GROUP]],
    groups: &[u32],
    symbols: &mut [u8],
    low: &mut Vec<u8>,
) {
    with_class!(class, pack_class::<S>(codes, groups, symbols, low));
}

#[inline(always)]
fn pack_class<S: Sample, const CLASS: usize>(
    codes: &[[S; GROUP]],
    groups: &[u32],
    symbols: &mut [u8],
    low: &mut Vec<u8>,
) {
    let symbols = symbols.chunks_exact_mut(symbols_of(CLASS));
    for (symbols, group) in symbols.zip(groups) {
        let group = codes[*group as usize].map(S::widen);
        match CLASS {
            1 => symbols.copy_from_slice(&folded::<2>(&group, 1)),
            2 => symbols.copy_from_slice(&folded::<4>(&group, 2)),
            3 => symbols.copy_from_slice(&folded::<8>(&group, 3)),
            4 => symbols.copy_from_slice(&folded::<8>(&group, 4)),
            _ => symbols
                .copy_from_slice(&folded::<16>(&group.map(|code| code >> low_bits(CLASS)), 8)),
        }
        let mut rest = group;
        if low_bits(CLASS) & 8 != 0 {
            low.extend(folded::<16>(&rest, 8));
            rest = rest.map(|code| code >> 8);
        }
        if low_bits(CLASS) & 4 != 0 {
            low.extend(folded::<8>(&rest.map(|code| code & 15), 4));
            rest = rest.map(|code| code >> 4);
        }
        if low_bits(CLASS) & 2 != 0 {
            low.extend(folded::<4>(&rest.map(|code| code & 3), 2));
            rest = rest.map(|code| code >> 2);
        }
        if low_bits(CLASS) & 1 != 0 {
            low.extend(folded::<2>(&rest.map(|code| code & 1), 1));
        }
    }
}

/// Puts the groups of a class, 1 or more, where they belong. `symbols` and `low` are of the lengths
/// that [`pack`] makes; a symbol that the class does not have gives a code that it does not have.
#[inline(always)]
pub(super) fn unpack<S: Sample>(
    class: usize,
    codes: &mut [[S; GROUP]],
    groups: &[u32],
    symbols: &[u8],
    low: &[u8],
) {
    with_class!(class, unpack_class::<S>(codes, groups, symbols, low));
}

#[inline(always)]
fn unpack_class<S: Sample, const CLASS: usize>(
    codes: &mut [[S; GROUP]],
    groups: &[u32],
    symbols: &[u8],
    mut low: &[u8],
) {
    let symbols = symbols.chunks_exact(symbols_of(CLASS));
    for (symbols, group) in symbols.zip(groups) {
        let mut group_codes = match CLASS {
            1 => unfolded::<2>(symbols, 1),
            2 => unfolded::<4>(symbols, 2),
            3 => unfolded::<8>(symbols, 3),
            4 => unfolded::<8>(symbols, 4),
            _ => unfolded::<16>(symbols, 8),
        };
        if low_bits(CLASS) > 0 {
            let (mine, rest) = low.split_at(low_bytes_of(CLASS).min(low.len()));
            low = rest;
            group_codes = with_low_bits::<CLASS>(&group_codes, mine);
        }
        codes[*group as usize] = group_codes.map(S::narrow);
    }
}

#[inline(always)]
fn with_low_bits<const CLASS: usize>(high: &[u16; GROUP], mut low: &[u8]) -> [u16; GROUP] {
    let mut codes = high.map(|code| code << low_bits(CLASS));
    let mut shift = 0;
    let mut add = |part: [u16; GROUP], bits: usize| {
        for (code, part) in codes.iter_mut().zip(part) {
            *code |= part << shift;
        }
        shift += bits;
    };
    let mut take = |bytes: usize| {
        let (taken, rest) = low.split_at(bytes.min(low.len()));
        low = rest;
        taken
    };
    if low_bits(CLASS) & 8 != 0 {
        add(unfolded::<16>(take(16), 8), 8);
    }
    if low_bits(CLASS) & 4 != 0 {
        add(unfolded::<8>(take(8), 4), 4);
    }
    if low_bits(CLASS) & 2 != 0 {
        add(unfolded::<4>(take(4), 2), 2);
    }
    if low_bits(CLASS) & 1 != 0 {
        add(unfolded::<2>(take(2), 1), 1);
    }
    codes
}

/// Byte `t` of `N` holds codes `t`, `t + N`, `t + 2 N`, ..., each `bits` higher than the one before.
#[inline(always)]
fn folded<const N: usize>(codes: &[u16; GROUP], bits: u32) -> [u8; N] {
    let mut bytes = [0u16; N];
    for (turn, codes) in codes.as_chunks::<N>().0.iter().enumerate() {
        for (byte, code) in bytes.iter_mut().zip(codes) {
            *byte |= code << (bits * turn as u32);
        }
    }
    bytes.map(|byte| byte as u8)
}

#[inline(always)]
fn unfolded<const N: usize>(bytes: &[u8], bits: u32) -> [u16; GROUP] {
    let mut codes = [0; GROUP];
    let Some(bytes) = bytes.first_chunk::<N>() else { return codes };
    for (turn, codes) in codes.as_chunks_mut::<N>().0.iter_mut().enumerate() {
        for (code, byte) in codes.iter_mut().zip(bytes) {
            *code = u16::from(*byte) >> (bits * turn as u32) & ((1 << bits) - 1);
        }
    }
    codes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn groups_come_back(
            groups in prop::collection::vec((0u32..=16, any::<[u16; GROUP]>()), 1..60),
        ) {
            let codes: Vec<u16> = groups
                .iter()
                .flat_map(|(bits, codes)| codes.map(|code| (u32::from(code) & ((1 << bits) - 1)) as u16))
                .collect();
            let mut classes = Vec::new();
            classify(&codes, &mut classes);
            let mut sorted = Sorted::default();
            sorted.sort(&classes);
            let groups = codes.as_chunks::<GROUP>().0;
            let mut back = vec![[0u16; GROUP]; groups.len()];
            for class in 1..CLASSES {
                let members = sorted.of(class);
                let mut symbols = vec![0; members.len() * symbols_of(class)];
                let mut low = Vec::new();
                pack(class, groups, members, &mut symbols, &mut low);
                prop_assert_eq!(low.len(), members.len() * low_bytes_of(class));
                prop_assert!(symbols.iter().all(|symbol| usize::from(*symbol) < alphabet(class)));
                unpack(class, &mut back, members, &symbols, &low);
            }
            prop_assert_eq!(back.as_flattened(), codes);
        }
    }
}
