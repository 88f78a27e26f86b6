//! Boundaries on their way out.

use cairn_chunker::span::{Boundary, SpanKind};

/// Collects boundaries in ascending order. The newest is held back: a span that turns out empty is
/// replaced by what really starts there.
#[derive(Debug, Default)]
pub(super) struct Spans {
    before: Option<SpanKind>,
    pending: Option<Boundary>,
    ready: Vec<Boundary>,
}

impl Spans {
    /// A span of `kind` starts at `at`. Runs of the same kind are one span, but for those that have a
    /// unit of their own (a frame, a large value).
    pub(super) fn start(&mut self, at: u64, kind: SpanKind) {
        if let Some(pending) = self.pending.take_if(|pending| pending.at != at) {
            debug_assert!(pending.at < at, "spans ascend");
            if pending.kind == kind && merges(kind) {
                self.pending = Some(pending);
                return;
            }
            self.before = Some(pending.kind);
            self.ready.push(pending);
        }
        let goes_on = self.before == Some(kind) && merges(kind);
        self.pending = (!goes_on).then_some(Boundary { at, kind });
    }

    /// Gives out every boundary below `settled`.
    pub(super) fn flush(&mut self, settled: u64, out: &mut Vec<Boundary>) {
        out.append(&mut self.ready);
        if let Some(pending) = self.pending.take_if(|pending| pending.at < settled) {
            self.before = Some(pending.kind);
            out.push(pending);
        }
    }
}

fn merges(kind: SpanKind) -> bool {
    matches!(kind, SpanKind::Header | SpanKind::FrameTable | SpanKind::Opaque)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_spans_vanish_and_runs_merge() {
        let mut spans = Spans::default();
        let mut out = Vec::new();
        for (at, kind) in [
            (0, SpanKind::Envelope),
            (10, SpanKind::Header),
            (10, SpanKind::Bulk),
            (20, SpanKind::Bulk),
            (30, SpanKind::Header),
            (40, SpanKind::Header),
            (50, SpanKind::Frame),
            (50, SpanKind::Header),
            (60, SpanKind::Frame),
            (70, SpanKind::Header),
        ] {
            spans.start(at, kind);
        }
        spans.flush(70, &mut out);
        let starts: Vec<_> = out.iter().map(|b| (b.at, b.kind)).collect();
        assert_eq!(
            starts,
            [
                (0, SpanKind::Envelope),
                (10, SpanKind::Bulk),
                (20, SpanKind::Bulk),
                (30, SpanKind::Header),
                (60, SpanKind::Frame),
            ]
        );
    }
}
