//! Deflated data sets (PS3.5 A.5): attributes from the beginning of the stream, bounded.

use cairn_chunker::span::Boundary;
use flate2::{Decompress, FlushDecompress, Status};

use super::kept::Kept;
use super::{Splitter, State, Step, View};
use crate::flags::Flags;
use crate::limits::{INFLATE_BYTES_MAX, INFLATE_PIECE_BYTES, INFLATE_STEP_BYTES};
use crate::probe::Framing;
use crate::syntax::EXPLICIT_LE;

/// Inflates the beginning of a data set into a scanner of its own.
#[derive(Debug)]
pub(super) struct Inflater {
    stream: Decompress,
    /// The start of the next piece, which is not whole yet.
    piece: Vec<u8>,
    inner: Splitter,
    /// Inflated bytes that the inner scanner still wants, from offset `window_at` of the data set.
    window: Vec<u8>,
    window_at: u64,
    state: Progress,
    flags: Flags,
    /// Boundaries inside of what is stored as one span: of no use.
    ignored: Vec<Boundary>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Going,
    /// All that is wanted has been seen, or nothing more can be had.
    Done,
}

impl Splitter {
    /// All bytes at hand go to the inflater; none are waited for but the first two.
    pub(super) fn deflated(&mut self, view: View<'_>) -> Step {
        let input = view.up_to(self.at, u64::MAX);
        let inflater = match &mut self.inflater {
            Some(inflater) => inflater,
            None if input.len() < 2 => {
                if view.last && !input.is_empty() {
                    self.flags |= Flags::TRUNCATED;
                }
                return Step::Wait;
            }
            None => self.inflater.insert(Box::new(Inflater::new(has_zlib_head(input)))),
        };
        inflater.feed(input, view.last);
        self.at = self.at.max(view.end());
        Step::Wait
    }
}

impl Inflater {
    fn new(zlib: bool) -> Self {
        let mut inner = Splitter::new(Framing::Dataset { transfer_syntax: EXPLICIT_LE.to_owned() });
        inner.stop_at_pixels = true;
        Self {
            stream: Decompress::new(zlib),
            piece: Vec::new(),
            inner,
            window: Vec::new(),
            window_at: 0,
            state: Progress::Going,
            flags: Flags::empty(),
            ignored: Vec::new(),
        }
    }

    /// Goes on with `input`, in pieces that do not depend on how it was cut.
    fn feed(&mut self, mut input: &[u8], last: bool) {
        while self.state == Progress::Going {
            let missing = INFLATE_PIECE_BYTES - self.piece.len();
            let (more, rest) = input.split_at(missing.min(input.len()));
            self.piece.extend_from_slice(more);
            input = rest;
            let whole = self.piece.len() == INFLATE_PIECE_BYTES;
            if !whole && !last {
                return;
            }
            let piece = std::mem::take(&mut self.piece);
            self.inflate(&piece);
            if !whole {
                return self.stop(Flags::TRUNCATED, false);
            }
        }
    }

    /// Inflates all of a piece.
    fn inflate(&mut self, mut input: &[u8]) {
        while self.state == Progress::Going {
            let room = (INFLATE_BYTES_MAX - self.stream.total_out()).min(INFLATE_STEP_BYTES as u64);
            if room == 0 {
                self.stop(Flags::DEFLATE_PREFIX, false);
                return;
            }
            let mut step = [0; INFLATE_STEP_BYTES];
            let (taken, given) = (self.stream.total_in(), self.stream.total_out());
            let step_out = step.get_mut(..room as usize).unwrap_or_default();
            let status = self.stream.decompress(input, step_out, FlushDecompress::None);
            let (taken, given) = (self.stream.total_in() - taken, self.stream.total_out() - given);
            input = input.get(taken as usize..).unwrap_or_default();
            self.window.extend_from_slice(step.get(..given as usize).unwrap_or_default());
            match status {
                Ok(Status::StreamEnd) => return self.stop(Flags::empty(), true),
                Err(_) => return self.stop(Flags::UNPARSED, false),
                Ok(_) => self.scan(false),
            }
            if taken == 0 && given == 0 {
                return;
            }
        }
    }

    fn stop(&mut self, flag: Flags, complete: bool) {
        // What came out before the end counts first: the scanner may have seen all that it wants.
        self.scan(complete);
        if self.state == Progress::Going {
            self.flags |= flag;
            self.state = Progress::Done;
        }
    }

    fn scan(&mut self, last: bool) {
        // A data set inside is never refused: only an envelope can say that it is a DICOMDIR.
        let _never = self.inner.advance(&self.window, self.window_at, last, &mut self.ignored);
        self.ignored.clear();
        let used = (self.inner.settled() - self.window_at).min(self.window.len() as u64);
        self.window.drain(..used as usize);
        self.window_at += used;
        if matches!(self.inner.state, State::Rest) {
            self.state = Progress::Done;
            self.window = Vec::new();
        }
    }

    /// What was found.
    pub(super) fn finish(self) -> (Kept, Flags) {
        (self.inner.kept, self.flags | self.inner.flags)
    }
}

/// PS3.5 A.5 wants a bare deflate stream; some writers put zlib's two bytes first (RFC 1950 §2.2). As
/// deflate, the same bits would be a stored block with dirty padding.
pub(crate) fn has_zlib_head(input: &[u8]) -> bool {
    matches!(input, [0x78, flags, ..] if (0x7800 + u32::from(*flags)).is_multiple_of(31))
}
