//! What goes to a peer: PDUs, and messages cut into presentation data values (PS3.8 annex E).
//!
//! Invariants: no PDU is longer than the peer announced (§D.1); fragments are of even length but for
//! the last; what fits into one write goes out in one, at once (TCP_NODELAY is set).

use std::io;

use super::command::Command;
use super::end::End;
use super::pdu::DATA;
use super::transport::Writing;

/// Bytes of a PDU's head, and of the head of the one value in it.
const HEAD_BYTES: usize = 6 + 6;
/// Value length, context and control header: what a PDU's length counts besides the fragment.
const COUNTED_BYTES: u32 = 6;
/// Longest fragment that is sent, also to a peer that takes any.
const FRAGMENT_BYTES_MAX: u32 = 256 << 10;
/// What is gathered before it is written.
const GATHER_BYTES: usize = 128 << 10;
/// What is kept for the next: all that one write takes, or the system would be asked for it each time.
const KEPT_BYTES: usize = GATHER_BYTES + FRAGMENT_BYTES_MAX as usize + (64 << 10);

/// See the [module](self).
pub(super) struct Outbound {
    stream: Writing,
    fragment_bytes_max: usize,
    buffer: Vec<u8>,
    /// Bytes sent.
    pub(super) sent: u64,
}

/// The part of a message that is being written.
struct Fragments {
    context: u8,
    control: u8,
    /// Where the open PDU starts in the buffer.
    start: usize,
}

impl Outbound {
    pub(super) fn new(stream: Writing) -> Self {
        Self { stream, fragment_bytes_max: 0, buffer: Vec::new(), sent: 0 }
    }

    /// Sets the longest PDU that the peer takes; 0: any.
    pub(super) fn limit(&mut self, pdu_bytes_max: u32) {
        let fragment = match pdu_bytes_max {
            0 => FRAGMENT_BYTES_MAX,
            // Who takes less than a value of two bytes takes nothing at all.
            max => max.saturating_sub(COUNTED_BYTES).clamp(2, FRAGMENT_BYTES_MAX) & !1,
        };
        self.fragment_bytes_max = fragment as usize;
    }

    /// Sends a PDU as it is.
    pub(super) fn pdu(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.buffer.extend_from_slice(bytes);
        self.flush()
    }

    /// Sends a command without a data set.
    pub(super) fn command(&mut self, context: u8, command: &Command) -> Result<(), End> {
        self.put(context, true, &command.encode())?;
        self.flush()
    }

    /// Sends a command and its short data set.
    pub(super) fn message(
        &mut self,
        context: u8,
        command: &Command,
        data: &[u8],
    ) -> Result<(), End> {
        self.put(context, true, &command.encode())?;
        self.put(context, false, data)?;
        self.flush()
    }

    /// Sends a command; its data set is written piece by piece.
    pub(super) fn begin(&mut self, context: u8, command: &Command) -> Result<DataSet<'_>, End> {
        self.put(context, true, &command.encode())?;
        let fragments = self.open(context, false);
        Ok(DataSet { outbound: self, fragments })
    }

    /// Nothing more will be sent.
    pub(super) fn end(&mut self) {
        self.stream.close();
    }

    fn put(&mut self, context: u8, is_command: bool, bytes: &[u8]) -> Result<(), End> {
        let mut fragments = self.open(context, is_command);
        self.add(&mut fragments, bytes)?;
        self.close(&fragments, true);
        Ok(())
    }

    fn open(&mut self, context: u8, is_command: bool) -> Fragments {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; HEAD_BYTES]);
        Fragments { context, control: u8::from(is_command), start }
    }

    fn add(&mut self, fragments: &mut Fragments, mut bytes: &[u8]) -> Result<(), End> {
        while !bytes.is_empty() {
            let filled = self.buffer.len() - fragments.start - HEAD_BYTES;
            let room = self.fragment_bytes_max.saturating_sub(filled);
            if room == 0 {
                self.close(fragments, false);
                if self.buffer.len() >= GATHER_BYTES {
                    self.flush()?;
                }
                *fragments = Fragments { start: self.buffer.len(), ..*fragments };
                self.buffer.extend_from_slice(&[0; HEAD_BYTES]);
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Fills in the head of the open PDU.
    fn close(&mut self, fragments: &Fragments, is_last: bool) {
        let length = (self.buffer.len() - fragments.start - HEAD_BYTES) as u32;
        let head = &mut self.buffer[fragments.start..fragments.start + HEAD_BYTES];
        head[0] = DATA;
        head[2..6].copy_from_slice(&(length + COUNTED_BYTES).to_be_bytes());
        head[6..10].copy_from_slice(&(length + 2).to_be_bytes());
        head[10] = fragments.context;
        head[11] = fragments.control | if is_last { 2 } else { 0 };
    }

    fn flush(&mut self) -> Result<(), End> {
        let written = self.stream.write_all(&self.buffer);
        self.sent += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES);
        written.map_err(|error| match error.kind() {
            // The write timeout of the socket.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => End::Slow,
            _ => End::Closed,
        })
    }
}

/// A data set on its way out.
pub(super) struct DataSet<'a> {
    outbound: &'a mut Outbound,
    fragments: Fragments,
}

impl DataSet<'_> {
    /// Adds a piece.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.outbound.add(&mut self.fragments, bytes)
    }

    /// It is complete.
    pub(super) fn finish(self) -> Result<(), End> {
        self.outbound.close(&self.fragments, true);
        self.outbound.flush()
    }
}
