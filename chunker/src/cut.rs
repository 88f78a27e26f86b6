//! Where spans are cut into chunks.
//!
//! The rule (version 1, frozen with the format):
//! - a header, bulk, frame table or envelope span of up to [`CHUNK_BYTES_MAX`] is one chunk; a longer
//!   one is cut by content;
//! - native pixel data is cut at frame borders: frames under [`FRAME_GROUP_BYTES`] go together, as
//!   many whole ones as fit; a frame over [`CHUNK_BYTES_MAX`] is cut into bands from its own start;
//! - an encapsulated frame is one chunk, or bands if it is longer than [`CHUNK_BYTES_MAX`];
//! - opaque spans are cut by content;
//! - a rest of up to [`TAIL_BYTES_MAX`] at the end of pixel data or a frame joins the chunk before it.
//!
//! Cuts depend on the bytes and spans alone, never on how the bytes arrived.

use crate::gear;
use crate::limits::{CHUNK_BYTES_MAX, FRAME_GROUP_BYTES, TAIL_BYTES_MAX};
use crate::span::SpanKind;

/// Cuts one span.
#[derive(Debug)]
pub struct Cutter {
    kind: SpanKind,
    /// Bytes of the span that are cut off already.
    cut: u64,
}

impl Cutter {
    /// Starts a span of kind `kind`.
    #[must_use]
    pub fn new(kind: SpanKind) -> Self {
        Self { kind, cut: 0 }
    }

    /// The kind of the span being cut.
    #[must_use]
    pub fn kind(&self) -> SpanKind {
        self.kind
    }

    /// Length of the next chunk at the start of `bytes`, or `None` if more bytes are needed to tell.
    ///
    /// `bytes` are the span's bytes that are not cut yet, as far as received; `ended` says that the
    /// span ends with them. With `ended` and bytes left the answer is never `None`; a chunk is never
    /// longer than [`CHUNK_BYTES_MAX`] + [`TAIL_BYTES_MAX`].
    pub fn next(&mut self, bytes: &[u8], ended: bool) -> Option<usize> {
        if bytes.is_empty() {
            return None;
        }
        let length = match self.kind {
            SpanKind::Opaque => gear::first_cut(bytes, ended)?,
            SpanKind::Pixels { frame_bytes, .. } => {
                let left = pixels_until_cut(frame_bytes.max(1), self.cut);
                whole(bytes.len(), left, ended)?
            }
            SpanKind::Frame => whole(bytes.len(), CHUNK_BYTES_MAX, ended)?,
            SpanKind::Envelope | SpanKind::Header | SpanKind::Bulk | SpanKind::FrameTable => {
                self.short_or_by_content(bytes, ended)?
            }
        };
        self.cut += length as u64;
        Some(length)
    }

    fn short_or_by_content(&self, bytes: &[u8], ended: bool) -> Option<usize> {
        if self.cut > 0 || bytes.len() > CHUNK_BYTES_MAX {
            return gear::first_cut(bytes, ended);
        }
        ended.then_some(bytes.len())
    }
}

/// Takes `want` bytes once they are here and the rest behind them is known to be long enough.
fn whole(have: usize, want: usize, ended: bool) -> Option<usize> {
    if have > want + TAIL_BYTES_MAX {
        Some(want)
    } else if ended {
        Some(have)
    } else {
        None
    }
}

/// Bytes from position `at` of native pixel data to the next cut.
fn pixels_until_cut(frame_bytes: u64, at: u64) -> usize {
    let max = CHUNK_BYTES_MAX as u64;
    let left = if frame_bytes > max {
        let in_frame = at % frame_bytes;
        (max - in_frame % max).min(frame_bytes - in_frame)
    } else {
        let frames = (FRAME_GROUP_BYTES as u64 / frame_bytes).max(1);
        let group = frames * frame_bytes;
        group - at % group
    };
    left as usize
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn pixels(frame_bytes: u64) -> SpanKind {
        SpanKind::Pixels { frame_bytes, geometry: None }
    }

    fn lengths(kind: SpanKind, bytes: &[u8]) -> Vec<usize> {
        let mut cutter = Cutter::new(kind);
        let mut rest = bytes;
        let mut out = Vec::new();
        while !rest.is_empty() {
            let length = cutter.next(rest, true).unwrap();
            out.push(length);
            rest = &rest[length..];
        }
        out
    }

    #[test]
    fn one_chunk_per_frame() {
        assert_eq!(lengths(pixels(524_288), &vec![1; 3 * 524_288]), [524_288; 3]);
    }

    #[test]
    fn small_frames_go_together() {
        let frame = 12_800; // 20 fit into 256 KiB
        assert_eq!(lengths(pixels(12_800), &vec![1; 45 * frame]), [256_000, 256_000, 64_000]);
    }

    #[test]
    fn large_frames_become_bands_from_their_own_start() {
        let frame = 2_500_000;
        let mib = CHUNK_BYTES_MAX;
        let rest = frame - 2 * mib;
        assert_eq!(
            lengths(pixels(frame as u64), &vec![1; 2 * frame]),
            [mib, mib, rest, mib, mib, rest]
        );
    }

    #[test]
    fn a_pad_byte_joins_the_last_frame() {
        assert_eq!(lengths(pixels(99_999), &vec![1; 100_000]), [100_000]);
        assert_eq!(lengths(pixels(600_001), &vec![1; 1_200_003]), [600_001, 600_002]);
    }

    #[test]
    fn headers_are_one_chunk_unless_huge() {
        assert_eq!(lengths(SpanKind::Header, &vec![1; 20_000]), [20_000]);
        assert!(lengths(SpanKind::Header, &vec![1; 1_500_000]).len() > 3);
    }

    fn any_kind() -> impl Strategy<Value = SpanKind> {
        prop_oneof![
            Just(SpanKind::Header),
            Just(SpanKind::Bulk),
            Just(SpanKind::Frame),
            Just(SpanKind::Opaque),
            (1u64..3_000_000).prop_map(pixels),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Feeding the span piece by piece cuts it exactly as having it whole does.
        #[test]
        fn cuts_do_not_depend_on_arrival(
            kind in any_kind(),
            length in 1usize..4_000_000,
            seed: u8,
            steps in prop::collection::vec(1usize..1_500_000, 1..8),
        ) {
            let mut bytes = vec![0; length];
            blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
            let expected = lengths(kind, &bytes);
            prop_assert!(expected.iter().all(|l| *l <= CHUNK_BYTES_MAX + TAIL_BYTES_MAX));

            let mut cutter = Cutter::new(kind);
            let (mut start, mut end, mut got) = (0, 0, Vec::new());
            for step in steps.iter().cycle() {
                end = (end + step).min(length);
                while let Some(cut) = cutter.next(&bytes[start..end], end == length) {
                    got.push(cut);
                    start += cut;
                }
                if end == length {
                    break;
                }
            }
            prop_assert_eq!(got, expected);
        }
    }
}
