//! Holds of any bytes, in any framing:
//! - the splitter neither panics nor takes more memory than its limits allow;
//! - the boundaries and the object are the same in one window and in many, when all bytes that are
//!   settled are dropped as soon as they may be;
//! - spans tile the object: they start at 0, ascend, and none is empty;
//! - `settled` never goes back, is never over the window's end or more than the lookahead behind it,
//!   and no boundary is given out late or early;
//! - frames lie inside the data set, and each starts a span.
#![no_main]

use cairn_chunker::frames::Frames;
use cairn_chunker::span::{Boundary, SpanKind};
use cairn_dicom::limits::{
    ATTRIBUTE_BYTES_MAX, ENVELOPE_BYTES_MAX, LOOKAHEAD_BYTES, UID_BYTES_MAX,
};
use cairn_dicom::{Framing, Object, PROBE_BYTES, Refused, Splitter, envelope, probe};
use cairn_fuzz::arrival::Arrival;
use cairn_fuzz::input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(([framing, windows], bytes)) = data.split_first_chunk::<2>() else { return };
    let framing = input::framing(*framing).or_else(|| {
        let head = &bytes[..bytes.len().min(PROBE_BYTES)];
        probe(head, head.len() == bytes.len()).ok()
    });
    let Some(framing) = framing else { return };
    let whole = split(framing.clone(), bytes, &mut Arrival::new(0, 1), bytes.len());
    // From windows of a few bytes to such that hold most objects.
    let most = 1 << (windows % 16);
    let mut arrival = Arrival::new(u64::from(*windows), most);
    let parts = split(framing, bytes, &mut arrival, bytes.len().min(bytes.len() / 2048 + 1));
    assert_eq!(whole, parts, "windows change what is found");
    if let Ok((spans, object)) = whole {
        check(&object, &spans, bytes.len() as u64);
    }
});

/// Splits in windows of `least` bytes and a piece of the arrival.
fn split(
    framing: Framing,
    bytes: &[u8],
    arrival: &mut Arrival,
    least: usize,
) -> Result<(Vec<Boundary>, Object), Refused> {
    let mut splitter = Splitter::new(framing);
    let mut spans: Vec<Boundary> = Vec::new();
    let mut end = 0;
    loop {
        end = bytes.len().min(end + least + arrival.piece() - 1);
        let last = end == bytes.len();
        let settled_before = splitter.settled();
        let given = spans.len();
        let from = settled_before as usize - arrival.below(3).min(settled_before as usize);
        splitter.advance(&bytes[from..end], from as u64, last, &mut spans)?;
        let settled = splitter.settled();
        assert!(settled >= settled_before, "settled goes back");
        assert!(settled <= end as u64, "settled is over the end");
        assert!(settled + LOOKAHEAD_BYTES as u64 >= end as u64, "stays too far behind");
        assert!(spans[given..].iter().all(|span| span.at >= settled_before), "given out late");
        assert!(spans.iter().all(|span| span.at < settled), "given out early");
        if last {
            assert_eq!(settled, end as u64, "the end is not settled");
            return Ok((spans, splitter.finish()));
        }
    }
}

fn check(object: &Object, spans: &[Boundary], bytes: u64) {
    assert_eq!(spans.first().map(|span| span.at), (bytes > 0).then_some(0), "starts elsewhere");
    assert!(spans.is_sorted_by(|a, b| a.at < b.at), "an empty span");
    assert!(spans.last().is_none_or(|span| span.at < bytes), "an empty span at the end");
    assert!(spans.iter().skip(1).all(|span| span.kind != SpanKind::Envelope));
    let dataset = object.envelope_bytes;
    assert!(dataset <= bytes && dataset <= ENVELOPE_BYTES_MAX, "the envelope is too long");
    if dataset > 0 && dataset < bytes {
        assert!(starts_span(spans, dataset).is_some(), "no span starts with the data set");
    }
    match &object.frames {
        Frames::None => {}
        Frames::Native { offset, frame_bytes, count } => {
            assert!(*frame_bytes > 0 && dataset + offset + frame_bytes * count <= bytes);
            let kind = starts_span(spans, dataset + offset);
            let same =
                |kind| matches!(kind, SpanKind::Pixels { frame_bytes: b, .. } if b == *frame_bytes);
            assert!(*count == 0 || kind.is_some_and(same), "frames lie elsewhere");
        }
        Frames::Encapsulated { starts, end } => {
            assert!(starts.is_sorted_by(|a, b| a < b), "frames do not ascend");
            assert!(starts.last().is_some_and(|start| start < end) && dataset + end <= bytes);
            let frame = |start: &u64| starts_span(spans, dataset + start) == Some(SpanKind::Frame);
            assert!(starts.iter().all(frame), "a frame starts no span");
        }
    }
    assert!(object.attributes.iter().all(|(_, value)| value.len() <= ATTRIBUTE_BYTES_MAX));
    let identity = object.identity(&[7; 32]);
    let named = [&identity.study_uid, &identity.series_uid, &identity.sop_instance_uid];
    assert!(named.iter().all(|uid| !uid.is_empty() && uid.len() <= UID_BYTES_MAX));
    let made = envelope::synthesize(&identity);
    assert_eq!(probe(&made, true), Ok(Framing::Part10), "an export would not be DICOM");
}

fn starts_span(spans: &[Boundary], at: u64) -> Option<SpanKind> {
    let found = spans.binary_search_by_key(&at, |span| span.at).ok()?;
    Some(spans[found].kind)
}
