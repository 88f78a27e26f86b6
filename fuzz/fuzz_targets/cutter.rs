//! Holds of a span of any kind, length and content:
//! - chunks tile it, none is empty, none is over its bound;
//! - cuts are the same however the span arrives;
//! - native pixels are cut at frame borders, or inside a frame from its own start; other spans by
//!   their rule.
#![no_main]

use cairn_chunker::cut::Cutter;
use cairn_chunker::limits::{CHUNK_BYTES_MAX, GEAR_BYTES_MAX, GEAR_BYTES_MIN, TAIL_BYTES_MAX};
use cairn_chunker::span::SpanKind;
use cairn_fuzz::arrival::Arrival;
use cairn_fuzz::input::{CUTTER_BYTES, Cutting};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((control, seed)) = data.split_first_chunk::<CUTTER_BYTES>() else { return };
    let cutting = Cutting::new(*control);
    let span = stretched(seed, cutting.span_bytes);
    let whole = cut(cutting.kind, &span, &mut Arrival::new(0, 1), span.len());
    let most = 1 << (10 + cutting.arrival % 12);
    let mut arrival = Arrival::new(cutting.arrival, most);
    let pieces = cut(cutting.kind, &span, &mut arrival, 1 + span.len() / 16);
    assert_eq!(whole, pieces, "arrival moves cuts");
    assert_eq!(whole.iter().sum::<usize>(), span.len(), "chunks do not tile the span");
    check(cutting.kind, &whole, span.len());
});

/// `bytes` long: the seed again and again, with a change in each round so that content differs.
fn stretched(seed: &[u8], bytes: usize) -> Vec<u8> {
    let mut span = Vec::with_capacity(bytes + seed.len());
    let mut round = 0u8;
    while span.len() < bytes {
        match seed {
            [] => span.resize(bytes, 0),
            _ => span.extend(seed.iter().map(|byte| byte ^ round)),
        }
        round = round.wrapping_add(37);
    }
    span.truncate(bytes);
    span
}

/// Chunk lengths when the span comes in steps of `least` bytes and a piece of the arrival.
fn cut(kind: SpanKind, span: &[u8], arrival: &mut Arrival, least: usize) -> Vec<usize> {
    let mut cutter = Cutter::new(kind);
    let (mut start, mut end, mut lengths) = (0, 0, Vec::new());
    loop {
        end = span.len().min(end + least + arrival.piece() - 1);
        let ended = end == span.len();
        while let Some(length) = cutter.next(&span[start..end], ended) {
            assert!(length > 0 && length <= end - start, "a chunk of bytes that are not there");
            lengths.push(length);
            start += length;
        }
        if ended {
            assert_eq!(start, end, "the end is not cut");
            return lengths;
        }
        assert!(end - start <= CHUNK_BYTES_MAX + TAIL_BYTES_MAX, "waits for too many bytes");
    }
}

fn check(kind: SpanKind, lengths: &[usize], span_bytes: usize) {
    assert!(lengths.iter().all(|length| *length <= CHUNK_BYTES_MAX + TAIL_BYTES_MAX));
    let Some((_, before)) = lengths.split_last() else { return };
    let by_content = |all: &[usize], before: &[usize]| {
        all.iter().all(|length| *length <= GEAR_BYTES_MAX)
            && before.iter().all(|length| *length >= GEAR_BYTES_MIN)
    };
    match kind {
        SpanKind::Opaque => assert!(by_content(lengths, before)),
        SpanKind::Frame => assert!(before.iter().all(|length| *length == CHUNK_BYTES_MAX)),
        SpanKind::Envelope | SpanKind::Header | SpanKind::Bulk | SpanKind::FrameTable => {
            assert_eq!(lengths.len() == 1, span_bytes <= CHUNK_BYTES_MAX);
            assert!(lengths.len() == 1 || by_content(lengths, before));
        }
        SpanKind::Pixels { frame_bytes, .. } => {
            let frame = frame_bytes.max(1);
            let mut at = 0u64;
            for length in before {
                at += *length as u64;
                let in_frame = at % frame;
                let in_band = in_frame.is_multiple_of(CHUNK_BYTES_MAX as u64);
                assert!(in_frame == 0 || frame > CHUNK_BYTES_MAX as u64 && in_band, "{at}");
            }
        }
    }
}
