//! A streaming scanner that keeps offsets: where the parts of an object start.
//!
//! The [`Splitter`] sees the object through windows of any size and never needs more than
//! [`LOOKAHEAD_BYTES`](crate::limits::LOOKAHEAD_BYTES) behind the newest byte. It holds the indexed
//! attributes, offset tables and frame starts, each bounded; everything else passes by.
//!
//! Invariants:
//! - what is found depends on the bytes alone, never on how they were cut into windows: a step asks
//!   for a number of bytes that earlier bytes determine, and does nothing before it has them;
//! - nothing recurses, and nesting costs one counter;
//! - spans tile the object: boundaries ascend from 0, and no span is empty.

mod deflate;
mod elements;
mod fragments;
mod meta;
mod native;
mod sequence;
mod spans;
mod view;

mod kept;

use cairn_chunker::frames::Frames;
use cairn_chunker::span::{Boundary, SpanKind};

use crate::flags::Flags;
use crate::object::Object;
use crate::probe::Framing;
use crate::syntax::{Encoding, Syntax};

pub(crate) use deflate::has_zlib_head;
pub(crate) use elements::Before;
pub(crate) use meta::{is_pixel_data, settle};

use deflate::Inflater;
use fragments::Encapsulated;
use kept::Kept;
use meta::Meta;
use native::Native;
use sequence::Walk;
use spans::Spans;
use view::View;

/// Why an object is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A DICOMDIR: an index of a medium, not an image (PS3.10 §8.6).
    #[error("this is a DICOMDIR, the index of a disc or folder; import the files that it lists")]
    MediaDirectory,
}

/// Where the scanner is.
#[derive(Debug)]
enum State {
    /// Before the envelope.
    Preamble,
    /// At an element of group 0002.
    Meta,
    /// At the first byte of the data set, whose encoding is not settled yet.
    Start,
    /// At a top-level element.
    Elements,
    /// Inside a top-level sequence of undefined length.
    Sequence(Walk),
    /// At an item of encapsulated pixel data.
    Fragments,
    /// Inside a deflated data set.
    Deflated,
    /// Nothing more is looked at.
    Rest,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Something was read; there may be more.
    On,
    /// More bytes are needed, or there are no more.
    Wait,
}

/// Which offset table a passing value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Capture {
    Basic,
    Extended,
}

/// The scanner. See the module.
#[derive(Debug)]
pub struct Splitter {
    framing: Framing,
    state: State,
    /// The next byte to look at.
    at: u64,
    /// Bytes before this one belong to a value that is passed over.
    skip_to: u64,
    /// The value that is passed over is an offset table.
    capture: Option<Capture>,
    spans: Spans,
    meta: Meta,
    dataset_at: u64,
    transfer_syntax: String,
    syntax: Syntax,
    encoding: Encoding,
    last_tag: Option<u32>,
    elements: u64,
    seen_pixels: bool,
    /// Set for the inside of a deflated data set, of which only attributes matter.
    stop_at_pixels: bool,
    kept: Kept,
    native: Option<Native>,
    encapsulated: Encapsulated,
    inflater: Option<Box<Inflater>>,
    frames: Frames,
    flags: Flags,
}

impl Splitter {
    /// A scanner at the start of an object of which [`crate::probe::probe`], or the sender, told how it
    /// begins.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let transfer_syntax = match &framing {
            Framing::Part10 | Framing::MetaOnly => String::new(),
            Framing::Bare { transfer_syntax } => (*transfer_syntax).to_owned(),
            Framing::Dataset { transfer_syntax } => meta::trim_uid(transfer_syntax.as_bytes()),
        };
        let syntax = Syntax::of(&transfer_syntax);
        Self {
            framing,
            state: State::Preamble,
            at: 0,
            skip_to: 0,
            capture: None,
            spans: Spans::default(),
            meta: Meta::default(),
            dataset_at: 0,
            transfer_syntax,
            syntax,
            encoding: syntax.encoding,
            last_tag: None,
            elements: 0,
            seen_pixels: false,
            stop_at_pixels: false,
            kept: Kept::default(),
            native: None,
            encapsulated: Encapsulated::default(),
            inflater: None,
            frames: Frames::None,
            flags: Flags::empty(),
        }
    }

    /// Reads on. `window` holds the object's bytes from offset `window_at`, which is at most
    /// [`Self::settled`], as far as they are there; `last` says that nothing follows.
    ///
    /// Appends to `out` the boundaries that became known: ascending, the first at 0, no two at one
    /// offset, none at the end.
    ///
    /// # Errors
    /// [`Refused`] if the object is not to be archived; the same again on every further call.
    pub fn advance(
        &mut self,
        window: &[u8],
        window_at: u64,
        last: bool,
        out: &mut Vec<Boundary>,
    ) -> Result<(), Refused> {
        debug_assert!(window_at <= self.settled(), "bytes were dropped too early");
        let view = View::new(window, window_at, last);
        while self.pass_over(view) && self.step(view)? == Step::On {}
        if last && matches!(self.state, State::Meta) {
            self.cut_in_meta(view)?;
        }
        if last {
            self.close_pixels();
            self.at = self.at.max(view.end());
            self.state = State::Rest;
        }
        self.spans.flush(self.settled(), out);
        Ok(())
    }

    /// Every boundary below this offset has been given out: bytes below it may be dropped from the
    /// window. At most [`LOOKAHEAD_BYTES`](crate::limits::LOOKAHEAD_BYTES) behind the window's end, and
    /// the end itself after the last window.
    #[must_use]
    pub fn settled(&self) -> u64 {
        match &self.state {
            State::Sequence(walk) => walk.undecided_at().unwrap_or(self.at),
            _ => self.at,
        }
    }

    /// What was found. To be called after the last [`Self::advance`].
    #[must_use]
    pub fn finish(mut self) -> Object {
        self.close_pixels();
        if let Some(inflater) = self.inflater.take() {
            let (kept, flags) = inflater.finish();
            self.kept = kept;
            self.flags |= flags;
        }
        if !self.transfer_syntax.is_empty() && !self.syntax.known {
            self.flags |= Flags::UNKNOWN_TRANSFER_SYNTAX;
        }
        let (attributes, clean) = self.kept.decode();
        if !clean {
            self.flags |= Flags::BAD_CHARSET;
        }
        let mut object = Object {
            envelope_bytes: self.dataset_at,
            had_envelope: !matches!(self.framing, Framing::Dataset { .. }),
            transfer_syntax: self.transfer_syntax,
            attributes,
            frames: self.frames,
            flags: self.flags,
            meta_sop_class_uid: self.meta.sop_class_uid,
            meta_sop_instance_uid: self.meta.sop_instance_uid,
        };
        object.flags |= object.identity_flags();
        object
    }

    /// How many top-level elements were read, and whether a SOP UID was among them that looks like
    /// one: how [`crate::probe`] tells a data set from noise.
    pub(crate) fn evidence(&self) -> (u64, bool, Flags) {
        use crate::attributes::tags::{SOP_CLASS_UID, SOP_INSTANCE_UID};
        let named = [SOP_CLASS_UID, SOP_INSTANCE_UID]
            .iter()
            .any(|tag| self.kept.text(*tag).is_some_and(|uid| crate::uid::is_valid(&uid)));
        (self.elements, named, self.flags)
    }

    fn step(&mut self, view: View<'_>) -> Result<Step, Refused> {
        Ok(match self.state {
            State::Preamble => self.preamble(view),
            State::Meta => self.meta_element(view)?,
            State::Start => self.start(view),
            State::Elements => self.element(view),
            State::Sequence(_) => self.walk(view),
            State::Fragments => self.item(view),
            State::Deflated => self.deflated(view),
            State::Rest => {
                self.at = self.at.max(view.end());
                Step::Wait
            }
        })
    }

    /// Goes on to the end of the value that is being passed over. False if it is not at hand yet.
    fn pass_over(&mut self, view: View<'_>) -> bool {
        if self.at >= self.skip_to {
            return true;
        }
        let stop = self.skip_to.min(view.end()).max(self.at);
        if let Some(capture) = self.capture {
            self.encapsulated.capture(capture, view.up_to(self.at, stop - self.at));
        }
        self.at = stop;
        if self.at < self.skip_to && view.last {
            self.flags |= Flags::TRUNCATED;
        }
        self.at >= self.skip_to
    }

    /// Passes over a value of `length` bytes from `at`.
    fn skip(&mut self, at: u64, length: u32) {
        self.at = at;
        self.skip_to = at + u64::from(length);
        self.capture = None;
    }

    /// There are too few bytes for what stands at [`Self::at`]: wait, or settle what the last few are.
    fn short(&mut self, view: View<'_>) -> Step {
        if !view.last {
            return Step::Wait;
        }
        let rest = view.up_to(self.at, u64::from(u32::MAX));
        if rest.is_empty() {
            if matches!(self.state, State::Sequence(_)) {
                self.flags |= Flags::TRUNCATED; // the delimiter is missing
            }
            return Step::Wait;
        }
        let padding = self.seen_pixels || rest.iter().all(|byte| *byte == 0);
        let trails = padding && matches!(self.state, State::Elements);
        self.give_up(if trails { Flags::TRAILING_BYTES } else { Flags::TRUNCATED })
    }

    /// Nothing from here on is understood.
    fn give_up(&mut self, flag: Flags) -> Step {
        self.flags |= flag;
        self.close_pixels();
        self.spans.start(self.at, SpanKind::Opaque);
        self.state = State::Rest;
        Step::On
    }

    /// Settles the frames of pixel data that ends at [`Self::at`], whatever ended it.
    fn close_pixels(&mut self) {
        self.close_native();
        self.close_fragments();
    }
}
