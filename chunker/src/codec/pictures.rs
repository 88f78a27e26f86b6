//! Pictures and geometries for tests of whole codecs.

use proptest::prelude::*;

use super::classed::vector::{AT_MOST, Can};
use crate::span::Geometry;

/// Flat, smooth and noisy areas of any loudness, of which some leave values out.
pub(super) fn picture(seed: u8, bytes: usize, row: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut noise);
    let value = |i: usize| match (i % row / 50 + i / row / 9) % 5 {
        0 => 3,
        1 => (i % row / 2) as u8 ^ (noise[i] & 1),
        2 => noise[i] >> (i / row % 9).min(7),
        3 => (i % row / 5 + i / row) as u8 / 4 * 4,
        _ if i % 2 == 1 => noise[i] >> (seed % 8),
        _ => noise[i],
    };
    (0..bytes).map(value).collect()
}

pub(super) fn any_geometry() -> impl Strategy<Value = Geometry> {
    let left = prop_oneof![4 => Just(1), 2 => Just(3), 1 => 0u8..6];
    let above = prop_oneof![2 => 1u32..80, 4 => 1u32..700, 1 => any::<u32>()];
    (1u8..3, any::<bool>(), left, above).prop_map(|(sample_bytes, big_endian, left, above)| {
        let above = if left == 3 && above < 700 { 3 * above } else { above };
        Geometry { sample_bytes, big_endian, left, above }
    })
}

/// What `work` comes to on a core that can do no more than told.
pub(super) fn on<T>(at_most: Can, work: impl FnOnce() -> T) -> T {
    AT_MOST.set(at_most);
    let done = work();
    AT_MOST.set(Can::All);
    done
}

/// What `work` comes to on a core that can do no more than every one of its kind.
pub(super) fn plainly<T>(work: impl FnOnce() -> T) -> T {
    on(Can::Least, work)
}
