//! An object of native pixels, packed for its time in the spool.
//!
//! ```text
//! count (2) | count times: codec (1), plain bytes (4), coded bytes (4) | the parts, one after the other
//! ```
//! Packing pixels takes less time than encrypting and syncing what it saves. The codec is the one that
//! is quickest; in the archive they are coded anew. Parts are the object from its start to its end.

use std::ops::Range;

use cairn_chunker::codec::{self, Codec};
use cairn_chunker::span::{Boundary, Geometry, SpanKind};

/// Shorter objects are not worth it: a block or two less to be synced.
const OBJECT_BYTES_MIN: usize = 16 << 10;
/// Pixels that are coded together.
const PART_BYTES: usize = 1 << 20;
/// Parts there may be. An object has few more than MiB.
const PARTS_MAX: usize = 64;
const ENTRY_BYTES: usize = 9;
/// The quickest there is.
const CODEC: Codec = Codec::PixelPacked;

/// An object packed; `None`: it is not worth it. `verify`: each part is decoded and compared.
pub(super) fn pack(object: &[u8], boundaries: &[Boundary], verify: bool) -> Option<Vec<u8>> {
    if object.len() < OBJECT_BYTES_MIN {
        return None;
    }
    let pixels = pixels(object, boundaries);
    let parts = parts(object.len(), pixels);
    if parts.len() > PARTS_MAX || parts.iter().all(|(_, geometry)| geometry.is_none()) {
        return None;
    }
    let mut packed = Vec::with_capacity(object.len() * 5 / 8);
    packed.extend((parts.len() as u16).to_le_bytes());
    packed.resize(2 + parts.len() * ENTRY_BYTES, 0);
    for (no, (range, geometry)) in parts.iter().enumerate() {
        let plain = object.get(range.clone())?;
        let coded = geometry
            .and_then(|geometry| codec::encode_filtered(CODEC, plain, geometry))
            .filter(|coded| !verify || codec::comes_back(coded, plain));
        let before = packed.len();
        let codec = if let Some(coded) = &coded {
            packed.extend(&coded.bytes);
            coded.codec
        } else {
            packed.extend(plain);
            Codec::Stored
        };
        let bytes = (packed.len() - before) as u32;
        let entry = &mut packed[2 + no * ENTRY_BYTES..][..ENTRY_BYTES];
        entry[0] = codec.id();
        entry[1..5].copy_from_slice(&(plain.len() as u32).to_le_bytes());
        entry[5..].copy_from_slice(&bytes.to_le_bytes());
    }
    // Not worth it, unless it saves a quarter.
    (packed.len() <= object.len() / 4 * 3).then_some(packed)
}

/// Where native pixels stand, and how they lie.
fn pixels(object: &[u8], boundaries: &[Boundary]) -> Vec<(Range<usize>, Geometry)> {
    let ends = boundaries.iter().skip(1).map(|next| next.at as usize).chain([object.len()]);
    let spans = boundaries.iter().zip(ends);
    spans
        .filter_map(|(span, end)| match span.kind {
            SpanKind::Pixels { geometry: Some(geometry), .. } => {
                Some((span.at as usize..end, geometry))
            }
            _ => None,
        })
        .collect()
}

/// The whole object: pixels in parts of bounded length, and what is between them.
fn parts(
    length: usize,
    pixels: Vec<(Range<usize>, Geometry)>,
) -> Vec<(Range<usize>, Option<Geometry>)> {
    let (mut parts, mut at) = (Vec::new(), 0);
    for (range, geometry) in pixels {
        if range.start > at {
            parts.push((at..range.start, None));
        }
        let starts = range.clone().step_by(PART_BYTES);
        parts.extend(starts.map(|from| (from..range.end.min(from + PART_BYTES), Some(geometry))));
        at = range.end;
    }
    if at < length {
        parts.push((at..length, None));
    }
    parts
}

/// How long the object is; `None`: this is none that was packed, or longer than `most`.
pub(super) fn plain_bytes(packed: &[u8], most: usize) -> Option<usize> {
    let (entries, _) = entries(packed)?;
    let total = entries.iter().try_fold(0usize, |total, entry| total.checked_add(entry.plain))?;
    (total <= most).then_some(total)
}

/// Fills `plain`, which is as long as [`plain_bytes`] says. False: this is none that was packed.
pub(super) fn unpack(packed: &[u8], mut plain: &mut [u8]) -> bool {
    let Some((entries, mut coded)) = entries(packed) else { return false };
    for entry in entries {
        let (Some((part, coded_rest)), Some((into, plain_rest))) = (
            coded.split_at_checked(entry.coded),
            std::mem::take(&mut plain).split_at_mut_checked(entry.plain),
        ) else {
            return false;
        };
        (coded, plain) = (coded_rest, plain_rest);
        if codec::decode_into(entry.codec, part, into).is_err() {
            return false;
        }
    }
    coded.is_empty() && plain.is_empty()
}

struct Entry {
    codec: Codec,
    plain: usize,
    coded: usize,
}

/// The table, and what follows it.
fn entries(packed: &[u8]) -> Option<(Vec<Entry>, &[u8])> {
    let (count, rest) = packed.split_first_chunk::<2>()?;
    let count = usize::from(u16::from_le_bytes(*count));
    if count > PARTS_MAX {
        return None;
    }
    let (table, rest) = rest.split_at_checked(count * ENTRY_BYTES)?;
    let entry = |[codec, a, b, c, d, e, f, g, h]: &[u8; ENTRY_BYTES]| {
        Some(Entry {
            codec: Codec::from_id(*codec).ok()?,
            plain: u32::from_le_bytes([*a, *b, *c, *d]) as usize,
            coded: u32::from_le_bytes([*e, *f, *g, *h]) as usize,
        })
    };
    let entries = table.as_chunks().0.iter().map(entry).collect::<Option<_>>()?;
    Some((entries, rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const GEOMETRY: Geometry = Geometry { sample_bytes: 2, big_endian: false, left: 1, above: 512 };

    /// A header, two spans of smooth pixels, and what is behind them.
    fn object(first: usize, second: usize) -> (Vec<u8>, Vec<Boundary>) {
        let pixels = |bytes: usize| {
            let sample = |i: usize| (1000 + (i / 7) % 40 + (i / 512) % 30) as u16;
            (0..bytes.div_ceil(2)).flat_map(move |i| sample(i).to_le_bytes()).take(bytes)
        };
        let mut object = vec![7; 1001];
        let kind = SpanKind::Pixels { frame_bytes: 1 << 19, geometry: Some(GEOMETRY) };
        let mut boundaries = vec![Boundary { at: 0, kind: SpanKind::Header }];
        for bytes in [first, second] {
            boundaries.push(Boundary { at: object.len() as u64, kind });
            object.extend(pixels(bytes));
        }
        boundaries.push(Boundary { at: object.len() as u64, kind: SpanKind::Opaque });
        object.extend([9; 77]);
        (object, boundaries)
    }

    fn back(packed: &[u8]) -> Vec<u8> {
        let mut plain = vec![1; plain_bytes(packed, 4 << 20).unwrap()];
        assert!(unpack(packed, &mut plain));
        plain
    }

    #[test]
    fn pixels_are_packed_and_come_back() {
        for (first, second) in [(1 << 19, 0), (3 << 20, 2 << 18), (PART_BYTES, PART_BYTES + 1)] {
            let (object, boundaries) = object(first, second);
            let packed = pack(&object, &boundaries, true).unwrap();
            assert!(packed.len() < object.len() / 2, "{} of {}", packed.len(), object.len());
            assert!(back(&packed) == object);
        }
    }

    #[test]
    fn what_is_small_or_noise_or_without_pixels_stays_as_it_is() {
        let (small, boundaries) = object(14 << 10, 0);
        assert_eq!(pack(&small, &boundaries, true), None);
        let (large, _) = object(1 << 20, 0);
        assert_eq!(pack(&large, &[Boundary { at: 0, kind: SpanKind::Opaque }], true), None);
        let (mut noise, boundaries) = object(1 << 20, 0);
        blake3::Hasher::new().finalize_xof().fill(&mut noise[1001..]);
        assert_eq!(pack(&noise, &boundaries, true), None);
    }

    #[test]
    fn boundaries_that_lie_do_no_harm() {
        let (object, _) = object(1 << 20, 0);
        let kind = SpanKind::Pixels { frame_bytes: 2, geometry: Some(GEOMETRY) };
        for places in [[1, 9 << 20], [5 << 20, 6 << 20], [900_000, 10]] {
            let boundaries = places.map(|at| Boundary { at, kind });
            if let Some(packed) = pack(&object, &boundaries, true) {
                assert!(back(&packed) == object);
            }
        }
    }

    proptest! {
        #[test]
        fn damage_is_noticed_or_harmless(at: prop::sample::Index, with in 1u8.., cut: prop::sample::Index) {
            let (object, boundaries) = object(1 << 18, 0);
            let mut packed = pack(&object, &boundaries, false).unwrap();
            let short = &packed[..cut.index(packed.len())];
            if let Some(bytes) = plain_bytes(short, 4 << 20) {
                prop_assert!(!unpack(short, &mut vec![0; bytes]) || bytes == 0);
            }
            let near = packed.len().min(100);
            packed[at.index(near)] ^= with;
            if let Some(bytes) = plain_bytes(&packed, 4 << 20) {
                let _ = unpack(&packed, &mut vec![0; bytes]);
            }
        }
    }
}
