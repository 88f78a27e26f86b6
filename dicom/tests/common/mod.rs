//! Builds small objects byte by byte, and scans them whole or in windows.
// Each test file is a crate of its own and uses its own part of this.
#![allow(dead_code, unreachable_pub, clippy::trivially_copy_pass_by_ref)]

use cairn_chunker::span::{Boundary, SpanKind};
use cairn_dicom::limits::LOOKAHEAD_BYTES;
use cairn_dicom::{Framing, Object, PROBE_BYTES, Splitter, probe};

pub const UNDEFINED: u32 = u32::MAX;
pub const ITEM: u32 = 0xFFFE_E000;
pub const ITEM_END: u32 = 0xFFFE_E00D;
pub const SEQUENCE_END: u32 = 0xFFFE_E0DD;
pub const PIXELS: u32 = 0x7FE0_0010;

pub const IMPLICIT_LE: &str = "1.2.840.10008.1.2";
pub const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";
pub const EXPLICIT_BE: &str = "1.2.840.10008.1.2.2";
pub const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
pub const JPEG: &str = "1.2.840.10008.1.2.4.50";
pub const RLE: &str = "1.2.840.10008.1.2.5";
pub const MPEG4: &str = "1.2.840.10008.1.2.4.102";

/// A data set in the making.
#[derive(Clone)]
pub struct Set {
    pub bytes: Vec<u8>,
    explicit: bool,
    big: bool,
}

impl Set {
    pub fn new(transfer_syntax: &str) -> Self {
        Self {
            bytes: Vec::new(),
            explicit: transfer_syntax != IMPLICIT_LE,
            big: transfer_syntax == EXPLICIT_BE,
        }
    }

    fn n16(&mut self, n: u16) {
        self.bytes.extend(if self.big { n.to_be_bytes() } else { n.to_le_bytes() });
    }

    fn n32(&mut self, n: u32) {
        self.bytes.extend(if self.big { n.to_be_bytes() } else { n.to_le_bytes() });
    }

    /// Tag, VR and length, with no value.
    pub fn head(mut self, tag: u32, vr: &[u8; 2], length: u32) -> Self {
        self.n16((tag >> 16) as u16);
        self.n16(tag as u16);
        if !self.explicit || tag >> 16 == 0xFFFE {
            self.n32(length);
            return self;
        }
        self.bytes.extend(vr);
        if b"OB OW OF OD OL OV SQ UC UR UT UN SV UV".split(|b| *b == b' ').any(|long| long == vr) {
            self.n16(0);
            self.n32(length);
        } else {
            self.n16(length as u16);
        }
        self
    }

    pub fn element(self, tag: u32, vr: &[u8; 2], value: &[u8]) -> Self {
        self.head(tag, vr, value.len() as u32).raw(value)
    }

    pub fn text(self, tag: u32, vr: &[u8; 2], value: &str) -> Self {
        let pad = if vr == b"UI" { '\0' } else { ' ' };
        let mut value = value.to_owned();
        if value.len() % 2 == 1 {
            value.push(pad);
        }
        self.element(tag, vr, value.as_bytes())
    }

    pub fn short(mut self, tag: u32, value: u16) -> Self {
        self = self.head(tag, b"US", 2);
        self.n16(value);
        self
    }

    pub fn item(self, value: &[u8]) -> Self {
        self.element(ITEM, b"  ", value)
    }

    pub fn end(self, tag: u32) -> Self {
        self.head(tag, b"  ", 0)
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    /// SOP, study and series UIDs and a patient.
    pub fn named(self) -> Self {
        self.text(0x0008_0016, b"UI", "1.2.840.10008.5.1.4.1.1.7")
            .text(0x0008_0018, b"UI", "1.2.3.4")
            .text(0x0010_0010, b"PN", "Doe^Jane")
            .text(0x0020_000D, b"UI", "1.2.3.5")
            .text(0x0020_000E, b"UI", "1.2.3.6")
    }

    /// Number of frames, rows, columns, bits.
    pub fn image(self, samples: u16, frames: &str, rows: u16, columns: u16, bits: u16) -> Self {
        self.short(0x0028_0002, samples)
            .text(0x0028_0004, b"CS", if samples == 3 { "RGB" } else { "MONOCHROME2" })
            .short(0x0028_0006, 0)
            .text(0x0028_0008, b"IS", frames)
            .short(0x0028_0010, rows)
            .short(0x0028_0011, columns)
            .short(0x0028_0100, bits)
    }
}

/// Preamble and group 0002.
pub fn envelope(transfer_syntax: &str) -> Vec<u8> {
    let rest = Set::new(EXPLICIT_LE)
        .text(0x0002_0002, b"UI", "1.2.840.10008.5.1.4.1.1.7")
        .text(0x0002_0003, b"UI", "1.2.3.4")
        .text(0x0002_0010, b"UI", transfer_syntax)
        .bytes;
    let length = (rest.len() as u32).to_le_bytes();
    let meta = Set::new(EXPLICIT_LE).element(0x0002_0000, b"UL", &length).raw(&rest);
    [&[0; 128], b"DICM".as_slice(), &meta.bytes].concat()
}

pub fn part10(transfer_syntax: &str, set: &Set) -> Vec<u8> {
    [envelope(transfer_syntax), set.bytes.clone()].concat()
}

pub struct Scanned {
    pub spans: Vec<Boundary>,
    pub object: Object,
    pub bytes: u64,
}

impl Scanned {
    /// Start and length relative to the data set, and kind; without the envelope.
    pub fn dataset_spans(&self) -> Vec<(u64, u64, SpanKind)> {
        let ends = self.spans.iter().skip(1).map(|b| b.at).chain([self.bytes]);
        self.spans
            .iter()
            .zip(ends)
            .filter(|(span, _)| span.at >= self.object.envelope_bytes)
            .map(|(span, end)| (span.at - self.object.envelope_bytes, end - span.at, span.kind))
            .collect()
    }

    pub fn kinds(&self) -> Vec<&'static str> {
        self.spans.iter().map(|span| name(span.kind)).collect()
    }

    pub fn flags(&self) -> Vec<&'static str> {
        self.object.flags.names().collect()
    }
}

pub fn name(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Envelope => "envelope",
        SpanKind::Header => "header",
        SpanKind::Bulk => "bulk",
        SpanKind::Pixels { .. } => "pixels",
        SpanKind::Frame => "frame",
        SpanKind::FrameTable => "table",
        SpanKind::Opaque => "opaque",
    }
}

pub fn scan(bytes: &[u8]) -> Scanned {
    let framing = probe(&bytes[..bytes.len().min(PROBE_BYTES)], bytes.len() <= PROBE_BYTES);
    scan_as(framing.expect("the test builds DICOM"), bytes, &[])
}

/// Scans with windows that end at `cuts` (ascending) and at the end, dropping bytes as soon as allowed.
pub fn scan_as(framing: Framing, bytes: &[u8], cuts: &[usize]) -> Scanned {
    let mut splitter = Splitter::new(framing);
    let mut spans = Vec::new();
    for (i, end) in cuts.iter().copied().chain([bytes.len()]).enumerate() {
        let from = splitter.settled();
        let last = i == cuts.len();
        let given = spans.len();
        splitter
            .advance(&bytes[from as usize..end], from, last, &mut spans)
            .expect("the test builds no DICOMDIR");
        let settled = splitter.settled();
        assert!(settled >= from, "settled goes back");
        assert!(settled + LOOKAHEAD_BYTES as u64 >= end as u64, "stays too far behind");
        assert!(settled <= end as u64);
        assert!(spans[given..].iter().all(|span| span.at >= from), "a boundary came too late");
        assert!(
            spans.iter().all(|span| span.at < settled || last),
            "given out before it is settled"
        );
        if last {
            assert_eq!(settled, end as u64);
        }
    }
    assert!(spans.is_sorted_by(|a, b| a.at < b.at), "boundaries ascend");
    assert_eq!(spans.first().map(|span| span.at), (!bytes.is_empty()).then_some(0));
    assert!(spans.last().is_none_or(|span| span.at < bytes.len() as u64), "an empty span");
    let object = splitter.finish();
    check(&object, &spans, bytes.len() as u64);
    Scanned { spans, object, bytes: bytes.len() as u64 }
}

/// What holds of every object.
fn check(object: &Object, spans: &[Boundary], bytes: u64) {
    use cairn_chunker::frames::Frames;
    assert!(object.envelope_bytes <= bytes);
    let is_envelope = |span: &Boundary| span.kind == SpanKind::Envelope;
    assert!(spans.iter().skip(1).all(|span| !is_envelope(span)));
    if object.envelope_bytes > 0 && object.envelope_bytes < bytes {
        assert!(spans.iter().any(|span| span.at == object.envelope_bytes));
    }
    if let Frames::Encapsulated { starts, end } = &object.frames {
        assert!(starts.is_sorted_by(|a, b| a < b));
        assert!(starts.last().is_some_and(|start| start < end));
        assert!(object.envelope_bytes + end <= bytes);
    }
    if let Frames::Native { offset, frame_bytes, count } = &object.frames {
        assert!(*frame_bytes > 0);
        assert!(object.envelope_bytes + offset + frame_bytes * count <= bytes);
    }
    let identity = object.identity(&[7; 32]);
    for uid in [&identity.study_uid, &identity.series_uid, &identity.sop_instance_uid] {
        assert!(!uid.is_empty() && uid.len() <= 64);
    }
}
