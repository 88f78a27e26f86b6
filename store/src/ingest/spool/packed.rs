//! An object of native pixels, packed for its time in the spool.
//!
//! ```text
//! count (2) | count times: codec (1), plain bytes (4), coded bytes (4) | the parts, one after the other
//! ```
//! Packing pixels takes less time than encrypting and syncing what it saves. The codec is the one that
//! is quickest; in the archive they are coded anew. Parts are the object from its start to its end.

use std::ops::Range;
use std::sync::Arc;

use cairn_chunker::codec::{self, Codec, Encoded};
use cairn_chunker::span::{Boundary, Geometry, SpanKind};

use super::packers::{self, Packers, Part};
use crate::ingest::Observer;

/// Shorter objects are not worth it: a block or two less to be synced.
const OBJECT_BYTES_MIN: usize = 16 << 10;
/// Pixels that are coded together: few enough to be still in the cache when they are compared, and so
/// that a sender has not sent the last ones when the first are done.
const PART_BYTES: usize = 128 << 10;
/// The same where rows are long.
const PART_BYTES_MAX: usize = 1 << 20;
/// Parts there may be. An object has few more than eight times its MiB.
const PARTS_MAX: usize = 64;
const ENTRY_BYTES: usize = 9;

/// An object that is being packed, as far as it is there.
#[derive(Default)]
pub(in crate::ingest) struct Packing {
    pieces: Vec<Piece>,
    /// Parts before this are coded, offered, or written as they are.
    written: usize,
    /// What stands between that and this is no pixels.
    at: usize,
    /// The span that `at` is in.
    span: usize,
}

/// A part in the making.
struct Piece {
    plain: Range<usize>,
    how: How,
}

enum How {
    Plain,
    Coded(Encoded),
    Offered(Arc<Part>),
}

impl Packing {
    /// Begins with another object.
    pub(in crate::ingest) fn begin(&mut self) {
        for piece in self.pieces.drain(..) {
            if let How::Offered(part) = piece.how {
                part.withdraw();
            }
        }
        (self.written, self.at, self.span) = (0, 0, 0);
    }

    /// Packs what can be packed of the first bytes of an object, of which all spans up to `settled` are
    /// known. `verify`: each part is decoded and compared.
    pub(in crate::ingest) fn advance(
        &mut self,
        object: &[u8],
        boundaries: &[Boundary],
        settled: usize,
        (packers, verify): (&Packers, bool),
    ) {
        self.pack(object, boundaries, (settled.min(object.len()), false), (packers, verify));
    }

    /// Packs the rest of an object; `None`: it is not worth it.
    pub(super) fn finish(
        &mut self,
        object: &[u8],
        boundaries: &[Boundary],
        (packers, verify): (&Packers, bool),
    ) -> Option<Vec<u8>> {
        if object.len() < OBJECT_BYTES_MIN {
            return None;
        }
        self.pack(object, boundaries, (object.len(), true), (packers, verify));
        if self.pieces.is_empty() || self.at != object.len() {
            return None;
        }
        self.keep_between();
        // From the last one on, since packers are at the first ones.
        for piece in self.pieces.iter().rev() {
            if let How::Offered(part) = &piece.how {
                part.pack_if_offered(&Observer::default());
            }
        }
        let mut parts = Vec::with_capacity(self.pieces.len());
        for piece in self.pieces.drain(..) {
            let coded = match piece.how {
                How::Plain => None,
                How::Coded(coded) => Some(coded),
                How::Offered(part) => part.packed(),
            };
            parts.push((object.get(piece.plain)?, coded));
        }
        written(&parts).filter(|packed| packed.len() <= object.len() / 4 * 3)
    }

    fn pack(
        &mut self,
        object: &[u8],
        boundaries: &[Boundary],
        (settled, is_last): (usize, bool),
        (packers, verify): (&Packers, bool),
    ) {
        while self.pieces.len() <= PARTS_MAX
            && let Some((end, geometry)) = self.next(boundaries, settled, is_last)
        {
            let Some(geometry) = geometry else {
                self.at = end;
                continue;
            };
            self.keep_between();
            let Some(plain) = object.get(self.at..end) else { return };
            let how = match packers.offer(plain, geometry, verify) {
                Some(part) => How::Offered(part),
                None => packers::pack(plain, geometry, verify).map_or(How::Plain, How::Coded),
            };
            self.pieces.push(Piece { plain: self.at..end, how });
            (self.written, self.at) = (end, end);
        }
    }

    /// Where the next part ends and, if it is one of pixels, how they lie.
    fn next(
        &mut self,
        boundaries: &[Boundary],
        settled: usize,
        is_last: bool,
    ) -> Option<(usize, Option<Geometry>)> {
        let start = |span: usize| boundaries.get(span).map(|span| span.at as usize);
        while start(self.span + 1).is_some_and(|next| next <= self.at) {
            self.span += 1;
        }
        let known = start(self.span + 1);
        let end = known.unwrap_or(settled).min(settled);
        if end <= self.at {
            return None;
        }
        let is_whole = is_last || known.is_some_and(|known| known <= settled);
        let kind = boundaries.get(self.span).filter(|span| span.at as usize <= self.at);
        let Some(SpanKind::Pixels { geometry: Some(geometry), .. }) = kind.map(|span| span.kind)
        else {
            return is_whole.then_some((end, None));
        };
        let most = part_bytes(geometry);
        let part =
            if end - self.at >= most { Some(self.at + most) } else { is_whole.then_some(end) };
        part.map(|end| (end, Some(geometry)))
    }

    /// Adds what is between parts of pixels as it is.
    fn keep_between(&mut self) {
        if self.written < self.at {
            self.pieces.push(Piece { plain: self.written..self.at, how: How::Plain });
            self.written = self.at;
        }
    }
}

/// The object as it is written, of its parts and of what was coded of them.
fn written(parts: &[(&[u8], Option<Encoded>)]) -> Option<Vec<u8>> {
    if parts.len() > PARTS_MAX {
        return None;
    }
    let part = |(plain, coded): &(&'_ [u8], Option<Encoded>)| match coded {
        Some(coded) => (coded.codec, plain.len(), coded.bytes.len()),
        None => (Codec::Stored, plain.len(), plain.len()),
    };
    let coded_bytes: usize = parts.iter().map(|it| part(it).2).sum();
    let mut packed = Vec::with_capacity(2 + parts.len() * ENTRY_BYTES + coded_bytes);
    packed.extend((parts.len() as u16).to_le_bytes());
    for (codec, plain, coded) in parts.iter().map(part) {
        Entry { codec, plain, coded }.write(&mut packed);
    }
    for (plain, coded) in parts {
        packed.extend_from_slice(coded.as_ref().map_or(plain, |coded| &coded.bytes));
    }
    Some(packed)
}

/// Whole rows that are coded together.
fn part_bytes(geometry: Geometry) -> usize {
    let row = (geometry.above as usize).saturating_mul(usize::from(geometry.sample_bytes)).max(1);
    (PART_BYTES / row).max(1).saturating_mul(row).min(PART_BYTES_MAX)
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

/// A part: how it is coded, and its lengths.
#[derive(Debug)]
struct Entry {
    codec: Codec,
    plain: usize,
    coded: usize,
}

impl Entry {
    fn write(&self, to: &mut Vec<u8>) {
        to.push(self.codec.id());
        to.extend((self.plain as u32).to_le_bytes());
        to.extend((self.coded as u32).to_le_bytes());
    }
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

    /// Packed at once, and again while it comes, in steps of `step` bytes: the same.
    fn pack_in_steps(object: &[u8], boundaries: &[Boundary], step: usize) -> Option<Vec<u8>> {
        let packers = Packers::start(&Observer::default());
        let mut packing = Packing::default();
        for end in (0..object.len()).step_by(step) {
            let known = boundaries.iter().filter(|it| it.at as usize <= end).count();
            packing.advance(
                &object[..end],
                &boundaries[..known],
                end.saturating_sub(9),
                (&packers, true),
            );
        }
        packing.finish(object, boundaries, (&packers, true))
    }

    fn pack(object: &[u8], boundaries: &[Boundary], verify: bool) -> Option<Vec<u8>> {
        let mut packing = Packing::default();
        let packed = packing.finish(object, boundaries, (&Packers::none(), verify));
        packing.begin();
        let packers = Packers::start(&Observer::default());
        let again = packing.finish(object, boundaries, (&packers, verify));
        assert_eq!(again, packed, "packers come to the same");
        packed
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
            for step in [1009, 70_000, PART_BYTES, 5 << 20] {
                assert!(pack_in_steps(&object, &boundaries, step).unwrap() == packed, "{step}");
            }
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
            let in_steps = pack_in_steps(&object, &boundaries, 100_000);
            for packed in [pack(&object, &boundaries, true), in_steps].into_iter().flatten() {
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
