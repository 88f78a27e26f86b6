//! Of the whole codec: all cores and numbers of threads come to the same, and back.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::codec::classed::vector::Can;
use crate::codec::pictures::{any_geometry, on, picture};

/// Cores that can do less than the one at hand may.
const LESSER: [Can; 2] = [Can::Least, Can::Avx2];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn cores_and_threads_agree(
        geometry in any_geometry(),
        seed: u8,
        bytes in prop_oneof![3 => 0usize..9000, 1 => 500_000usize..900_000],
    ) {
        let plain = picture(seed, bytes, (geometry.above as usize).clamp(10, 1400));
        let coded = encode(&plain, geometry);
        for lesser in LESSER {
            prop_assert_eq!(&coded, &on(lesser, || encode(&plain, geometry)));
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        prop_assert_eq!(&coded, &pool.install(|| encode(&plain, geometry)));
        let Some(coded) = coded else { return Ok(()) };
        let mut back = vec![1; plain.len()];
        decode(&coded, &mut back).unwrap();
        prop_assert!(back == plain);
        for lesser in LESSER {
            back.fill(2);
            on(lesser, || decode(&coded, &mut back)).unwrap();
            prop_assert!(back == plain);
        }
        back.fill(3);
        pool.install(|| decode(&coded, &mut back)).unwrap();
        prop_assert!(back == plain);
    }

    #[test]
    fn damaged_chunks_never_panic(
        geometry in any_geometry(),
        seed: u8,
        bytes in 64usize..40_000,
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
        for lesser in LESSER {
            let mut also = vec![0; plain.len()];
            prop_assert_eq!(&done, &on(lesser, || decode(&coded, &mut also)));
            prop_assert!(done.is_err() || back == also);
        }
        back.push(0);
        let _ = decode(&coded, &mut back);
    }
}

/// Every width around those of vectors, and every number of rows around those restored at once, by
/// both predictors.
#[test]
fn odd_sizes_come_back() {
    let mut made = [0; 2];
    for width in (1..70).chain([127, 128, 129, 255, 257]) {
        for rows in [1, 2, 3, 4, 5, 16, 17, 18, 19, 33, 40] {
            for smooth in [false, true] {
                let value = |i: usize| {
                    let (x, y) = ((i % width) as f64, (i / width) as f64);
                    let wave = 900.0 * (x / 9.0).sin() * (y / 7.0).cos();
                    if smooth { wave as i16 as u16 } else { (i % width / 7 * 60 + i % 3) as u16 }
                };
                let plain: Vec<u8> =
                    (0..width * rows).flat_map(|i| value(i).to_le_bytes()).collect();
                let above = width as u32;
                let geometry = Geometry { sample_bytes: 2, big_endian: false, left: 1, above };
                let coded = encode(&plain, geometry);
                for lesser in LESSER {
                    assert_eq!(coded, on(lesser, || encode(&plain, geometry)), "{width} × {rows}");
                }
                let Some(coded) = coded else { continue };
                made[usize::from(coded[3])] += 1;
                let mut back = vec![0; plain.len()];
                decode(&coded, &mut back).unwrap();
                assert!(back == plain, "{width} × {rows}");
                for lesser in LESSER {
                    back.fill(0);
                    on(lesser, || decode(&coded, &mut back)).unwrap();
                    assert!(back == plain, "{width} × {rows}");
                }
            }
        }
    }
    assert!(made.iter().all(|made| *made > 100), "{made:?}");
}

/// Weights, shifts and offsets that no encoder would choose: cores agree on what they come to.
#[test]
fn cores_agree_on_strange_predictors() {
    let plain = picture(7, 40_000, 200);
    let geometry = Geometry { sample_bytes: 2, big_endian: false, left: 1, above: 100 };
    let wave = |i: usize| (4000.0 + 900.0 * (i as f64 / 15.0).sin()) as u16;
    let smooth: Vec<u8> = (0..20_000).flat_map(|i| wave(i).to_le_bytes()).collect();
    let mut strange = 0;
    for plain in [plain, smooth] {
        let Some(coded) = encode(&plain, geometry) else { continue };
        if coded[3] != 1 {
            continue;
        }
        for seed in 0..40 {
            let mut coded = coded.clone();
            let mut noise = [0; 12];
            blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut noise);
            coded[12..14].copy_from_slice(&noise[10..]);
            coded[14] = (coded[14] & 0xf0) | (seed % 5);
            coded[16..26].copy_from_slice(&noise[..10]);
            let mut back = vec![0; plain.len()];
            let done = decode(&coded, &mut back);
            for lesser in LESSER {
                let mut also = vec![0; plain.len()];
                assert_eq!(done, on(lesser, || decode(&coded, &mut also)));
                assert!(done.is_err() || back == also);
            }
            strange += usize::from(done.is_ok());
        }
    }
    assert!(strange > 30, "{strange}");
}

#[test]
fn noise_is_refused_and_nothing_costs_next_to_nothing() {
    let geometry = Geometry { sample_bytes: 2, big_endian: false, left: 1, above: 512 };
    let mut noise = vec![0; 300_000];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    assert_eq!(encode(&noise, geometry), None);
    let empty = encode(&vec![0; 512 * 512 * 2], geometry).unwrap();
    assert!(empty.len() < 120, "{}", empty.len());
    assert_eq!(encode(&[], geometry), None);
    assert_eq!(encode(&[1], geometry), None);
}

#[test]
fn what_a_thread_keeps_is_bounded() {
    let geometry = Geometry { sample_bytes: 1, big_endian: false, left: 1, above: 512 };
    let coded = encode(&vec![7; scratch::KEPT_BYTES + 1], geometry).unwrap();
    assert!(SCRATCH.take().is_empty());
    let mut back = vec![0; scratch::KEPT_BYTES + 1];
    decode(&coded, &mut back).unwrap();
    assert!(SCRATCH.take().is_empty());
    assert!(back.iter().all(|byte| *byte == 7));
}

/// Rows as long as the chunk, or of one sample each, take no more memory than several times the chunk.
#[test]
fn any_geometry_will_do() {
    let plain = vec![5; 1 << 20];
    for above in [1, 2, 31, 1 << 19, 1 << 20, u32::MAX] {
        for sample_bytes in [1, 2] {
            let geometry = Geometry { sample_bytes, big_endian: false, left: 1, above };
            SCRATCH.take();
            let coded = encode(&plain, geometry).unwrap();
            let mut back = vec![0; plain.len()];
            decode(&coded, &mut back).unwrap();
            assert!(back == plain);
            let scratch = SCRATCH.take().pop().unwrap();
            let held: usize = scratch.stripes.iter().map(Stripe::bytes_held).sum();
            let held = held + scratch.sampled.bytes_held();
            assert!(held <= 24 * plain.len(), "{held} for rows of {above}");
        }
    }
}
