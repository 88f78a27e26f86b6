//! Of the whole codec: all cores come to the same, and back.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::codec::pictures::{any_geometry, picture, plainly};

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
