//! Where chunks end, as far as spans are known.

use std::collections::VecDeque;

use cairn_chunker::cut::Cutter;
use cairn_chunker::span::{Boundary, SpanKind};

/// Plain bytes of chunks that make one job for rayon.
pub(super) const JOB_BYTES: usize = 1 << 20;

/// Turns spans into chunks as far as both are known.
pub(super) struct Cuts {
    pub(super) ahead: VecDeque<Boundary>,
    cutter: Cutter,
    /// Next byte of the object to be cut.
    pub(super) at: u64,
}

impl Cuts {
    pub(super) fn new(boundaries: Vec<Boundary>) -> Self {
        Self { ahead: boundaries.into(), cutter: Cutter::new(SpanKind::Opaque), at: 0 }
    }

    /// The next chunk: its kind and its end in the object.
    pub(super) fn next(
        &mut self,
        window: &[u8],
        window_at: u64,
        settled: u64,
        ended: bool,
    ) -> Option<(SpanKind, u64)> {
        while let Some(boundary) = self.ahead.front().filter(|boundary| boundary.at <= self.at) {
            self.cutter = Cutter::new(boundary.kind);
            self.ahead.pop_front();
        }
        let known = self.ahead.front().map(|boundary| boundary.at);
        let end = known.unwrap_or(settled).min(settled);
        let complete = known.is_some_and(|known| known <= settled) || ended;
        let bytes = window.get((self.at - window_at) as usize..(end - window_at) as usize)?;
        let length = self.cutter.next(bytes, complete)?;
        self.at += length as u64;
        Some((self.cutter.kind(), self.at))
    }
}
