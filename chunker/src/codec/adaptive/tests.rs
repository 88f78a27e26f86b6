//! Of the whole codec: all cores come to the same, and back.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::codec::classed::vector::PLAIN;

/// Flat, smooth and noisy areas of any loudness.
fn picture(seed: u8, bytes: usize, row: usize) -> Vec<u8> {
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

fn any_geometry() -> impl Strategy<Value = Geometry> {
    let left = prop_oneof![4 => Just(1), 2 => Just(3), 1 => 0u8..6];
    let above = prop_oneof![2 => 1u32..80, 4 => 1u32..700, 1 => any::<u32>()];
    (1u8..3, any::<bool>(), left, above).prop_map(|(sample_bytes, big_endian, left, above)| {
        let above = if left == 3 && above < 700 { 3 * above } else { above };
        Geometry { sample_bytes, big_endian, left, above }
    })
}

/// What `work` comes to on a core that can do no more than every one of its kind.
fn plainly<T>(work: impl FnOnce() -> T) -> T {
    PLAIN.set(true);
    let done = work();
    PLAIN.set(false);
    done
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn cores_agree(geometry in any_geometry(), seed: u8, bytes in 0usize..12_000) {
        let plain = picture(seed, bytes, (geometry.above as usize).clamp(10, 1400));
        let coded = encode(&plain, geometry);
        prop_assert_eq!(&coded, &plainly(|| encode(&plain, geometry)));
        let Some(coded) = coded else { return Ok(()) };
        let mut back = vec![1; plain.len()];
        decode(&coded, &mut back).unwrap();
        prop_assert!(back == plain);
        back.fill(2);
        plainly(|| decode(&coded, &mut back)).unwrap();
        prop_assert!(back == plain);
    }

    #[test]
    fn damaged_chunks_never_panic(
        geometry in any_geometry(),
        seed: u8,
        bytes in 64usize..20_000,
        at: prop::sample::Index,
        with in 1u8..,
        cut: prop::sample::Index,
    ) {
        let plain = picture(seed, bytes, 200);
        let Some(mut coded) = encode(&plain, geometry) else { return Ok(()) };
        let mut back = vec![0; plain.len()];
        prop_assert!(decode(&coded[..cut.index(coded.len())], &mut back).is_err());
        coded.push(0);
        prop_assert!(decode(&coded, &mut back).is_err());
        coded.pop();
        // Half of the damage to where it matters most. Whatever comes of it, cores agree.
        let near = if with % 2 == 0 { coded.len() } else { coded.len().min(300) };
        coded[at.index(near)] ^= with;
        let done = decode(&coded, &mut back);
        let mut back_plainly = vec![0; plain.len()];
        prop_assert_eq!(&done, &plainly(|| decode(&coded, &mut back_plainly)));
        prop_assert!(done.is_err() || back == back_plainly);
        back.push(0);
        prop_assert!(decode(&coded, &mut back).is_err());
    }
}

#[test]
fn odd_sizes_come_back() {
    let mut made = 0;
    for width in (1..40).chain([127, 128, 129]) {
        for rows in [1, 2, 3, 4, 5, 40] {
            let value = |i: usize| {
                let (x, y) = ((i % width) as f64, (i / width) as f64);
                (900.0 * (x / 9.0).sin() * (y / 7.0).cos()) as i16
            };
            let plain: Vec<u8> = (0..width * rows + width / 3)
                .flat_map(|i| value(i).to_le_bytes())
                .chain([7])
                .collect();
            let above = width as u32;
            let geometry = Geometry { sample_bytes: 2, big_endian: false, left: 1, above };
            let Some(coded) = encode(&plain, geometry) else { continue };
            made += 1;
            let mut back = vec![0; plain.len()];
            decode(&coded, &mut back).unwrap();
            assert!(back == plain, "{width} × {rows}");
        }
    }
    assert!(made > 60, "{made}");
}

/// A header cannot ask for more than the plain bytes are.
#[test]
fn rows_longer_than_the_chunk_are_refused() {
    let geometry = Geometry { sample_bytes: 2, big_endian: false, left: 1, above: 100 };
    let plain = vec![9; 100 * 2 * 30];
    let mut coded = encode(&plain, geometry).unwrap();
    let mut back = vec![0; plain.len()];
    decode(&coded, &mut back).unwrap();
    coded[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(decode(&coded, &mut back).is_err());
    coded[4..8].copy_from_slice(&0u32.to_le_bytes());
    assert!(decode(&coded, &mut back).is_err());
}
