//! What comes from a peer: bytes, PDUs, presentation data values, messages.
//!
//! Invariants: only [`READ_BYTES`] are held, whatever lengths are declared; every wait has a
//! deadline; a data set ends with its last fragment and with nothing else.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::command::Command;
use super::end::End;
use super::limits::{
    ANSWER, ASSOCIATE_BYTES_MAX, BYTES_PER_SECOND_MIN, COMMAND_BYTES_MAX, DRAIN_QUIET,
    IDENTIFIER_BYTES_MAX, LOOK_BYTES_MIN, LOOK_EVERY, LOOKS_MAX, PDU_BYTES_BELIEVED, READ_BYTES,
    TICK,
};
use super::pdu::{ABORT, DATA, RELEASE_RQ};
use super::transport::{Reading, is_timeout};

/// Bytes of a PDU's type, reserved byte and length.
const HEAD_BYTES: usize = 6;
/// First byte of a client that speaks TLS (RFC 8446 §5.1); no PDU has this type.
const TLS_HANDSHAKE: u8 = 0x16;
/// Bytes of a presentation data value besides its fragment: length, context, control header.
const VALUE_HEAD_BYTES: u32 = 6;

/// How long a peer may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From the connection to the end of the A-ASSOCIATE-RQ (PS3.8 §9.1.5, ARTIM).
    pub(super) request: Duration,
    /// Without a message.
    pub(super) idle: Duration,
    /// Without a byte in the middle of one.
    pub(super) stall: Duration,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Request,
    Idle,
    /// Something was sent that has to be answered.
    Answer,
    Message,
}

/// Is the store short of memory?
pub(super) type Short = Box<dyn Fn() -> bool + Send>;

/// A presentation data value that has begun (PS3.8 §9.3.5.1, annex E.2).
#[derive(Debug, Clone, Copy)]
struct Value {
    context: u8,
    is_command: bool,
    is_last: bool,
    /// Of its fragment still to come.
    left: u32,
}

/// What comes where a message may begin.
enum Next {
    Value(Value),
    Release,
}

/// See the [module](self).
pub(super) struct Inbound {
    stream: Reading,
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
    /// Of the P-DATA-TF PDU under way still to come.
    pdu_left: u32,
    patience: Patience,
    phase: Phase,
    since: Instant,
    brought: u64,
    /// Set while the peer's object holds memory of the store.
    short: Option<Short>,
    looked: Instant,
    look_brought: u64,
    looks: u32,
    stopping: Arc<AtomicBool>,
    /// Bytes received.
    pub(super) received: u64,
}

impl Inbound {
    pub(super) fn new(
        stream: Reading,
        patience: Patience,
        stopping: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        stream.socket().set_read_timeout(Some(TICK))?;
        let now = Instant::now();
        Ok(Self {
            stream,
            buffer: vec![0; READ_BYTES].into(),
            from: 0,
            to: 0,
            pdu_left: 0,
            patience,
            phase: Phase::Request,
            since: now,
            brought: 0,
            short: None,
            looked: now,
            look_brought: 0,
            looks: 0,
            stopping,
            received: 0,
        })
    }

    /// The next PDU that is no P-DATA-TF: its type and what stands behind its head. For setting up an
    /// association, and for ending one.
    pub(super) fn pdu(&mut self) -> Result<(u8, Vec<u8>), End> {
        let (kind, length) = self.head()?;
        if kind == TLS_HANDSHAKE {
            return Err(End::Unexpected("the peer speaks TLS on the port without it"));
        }
        if length > ASSOCIATE_BYTES_MAX {
            return Err(End::Malformed("an association PDU is too long"));
        }
        let mut body = Vec::new();
        while body.len() < length as usize {
            let piece = self.available(length as usize - body.len())?;
            body.extend_from_slice(piece);
        }
        Ok((kind, body))
    }

    /// The next command, and its presentation context. `None`: the peer wants to release.
    pub(super) fn command(&mut self) -> Result<Option<(u8, Command)>, End> {
        self.command_in(Phase::Idle)
    }

    /// The same where an answer is due.
    pub(super) fn answer(&mut self) -> Result<Option<(u8, Command)>, End> {
        self.command_in(Phase::Answer)
    }

    fn command_in(&mut self, phase: Phase) -> Result<Option<(u8, Command)>, End> {
        self.enter(phase);
        let mut value = match self.next_value()? {
            Next::Value(value) => value,
            Next::Release => return Ok(None),
        };
        self.enter(Phase::Message);
        let context = value.context;
        let mut bytes = Vec::new();
        loop {
            if !value.is_command || value.context != context {
                return Err(End::Unexpected("a data set came where a command was due"));
            }
            if bytes.len() + value.left as usize > COMMAND_BYTES_MAX {
                return Err(End::Malformed("a command is too long"));
            }
            while value.left > 0 {
                let piece = self.available(value.left as usize)?;
                let length = piece.len() as u32;
                bytes.extend_from_slice(piece);
                value.left -= length;
                self.pdu_left -= length;
            }
            if value.is_last {
                return Ok(Some((context, Command::parse(&bytes)?)));
            }
            value = match self.next_value()? {
                Next::Value(value) => value,
                Next::Release => {
                    return Err(End::Unexpected("a release in the middle of a command"));
                }
            };
        }
    }

    /// The data set that follows a command.
    pub(super) fn dataset(&mut self, context: u8) -> Dataset<'_> {
        self.enter(Phase::Message);
        Dataset { inbound: self, context, value: None, ended: false, broken: None }
    }

    /// A whole short data set.
    pub(super) fn identifier(&mut self, context: u8) -> Result<Vec<u8>, End> {
        let mut dataset = self.dataset(context);
        let mut bytes = Vec::new();
        let read = (&mut dataset).take(IDENTIFIER_BYTES_MAX + 1).read_to_end(&mut bytes);
        if read.is_err() {
            return Err(dataset.broken.unwrap_or(End::Closed));
        }
        if bytes.len() as u64 > IDENTIFIER_BYTES_MAX {
            return Err(End::Malformed("an identifier is too long"));
        }
        Ok(bytes)
    }

    /// Has something come, without waiting for it? Also if the peer is gone.
    pub(super) fn is_due(&mut self) -> bool {
        self.from < self.to || self.stream.is_due()
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
        self.brought = 0;
    }

    /// The head of the next PDU: type and length.
    fn head(&mut self) -> Result<(u8, u32), End> {
        let mut head = [0; HEAD_BYTES];
        let mut filled = 0;
        while filled < HEAD_BYTES {
            let piece = self.available(HEAD_BYTES - filled)?;
            head[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
            if matches!(self.phase, Phase::Idle | Phase::Answer) {
                self.enter(Phase::Message);
            }
        }
        let [kind, _, a, b, c, d] = head;
        Ok((kind, u32::from_be_bytes([a, b, c, d])))
    }

    /// The head of the next presentation data value; values of no bytes at all are let pass.
    fn next_value(&mut self) -> Result<Next, End> {
        while self.pdu_left == 0 {
            let (kind, length) = self.head()?;
            match kind {
                DATA if length > PDU_BYTES_BELIEVED => {
                    return Err(End::Malformed("a P-DATA-TF PDU is longer than anybody sends"));
                }
                DATA => self.pdu_left = length,
                RELEASE_RQ => return Ok(Next::Release),
                ABORT => return Err(End::Aborted),
                _ => return Err(End::Unexpected("a PDU that does not belong here")),
            }
        }
        if self.pdu_left < VALUE_HEAD_BYTES {
            return Err(End::Malformed("a P-DATA-TF PDU has no room for a value"));
        }
        let mut head = [0; VALUE_HEAD_BYTES as usize];
        let mut filled = 0;
        while filled < head.len() {
            let piece = self.available(head.len() - filled)?;
            head[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
        }
        self.pdu_left -= VALUE_HEAD_BYTES;
        let [a, b, c, d, context, control] = head;
        // The length counts context and control header (PS3.8 table 9-23).
        let left = u32::from_be_bytes([a, b, c, d]).checked_sub(2);
        match left {
            Some(left) if left <= self.pdu_left => Ok(Next::Value(Value {
                context,
                is_command: control & 1 != 0,
                is_last: control & 2 != 0,
                left,
            })),
            _ => Err(End::Malformed("a presentation data value is longer than its PDU")),
        }
    }

    /// Bytes that are here, at least one and at most `most`; waits for them.
    fn available(&mut self, most: usize) -> Result<&[u8], End> {
        if self.from == self.to {
            let mut buffer = std::mem::take(&mut self.buffer);
            let got = self.receive(&mut buffer);
            self.buffer = buffer;
            (self.from, self.to) = (0, got?);
        }
        let from = self.from;
        self.from = self.to.min(from + most);
        Ok(&self.buffer[from..self.from])
    }

    /// The same into `out`; long runs do not pass through the buffer.
    fn read_some(&mut self, out: &mut [u8]) -> Result<usize, End> {
        if self.from == self.to && out.len() >= READ_BYTES / 2 {
            return self.receive(out);
        }
        let piece = self.available(out.len())?;
        out[..piece.len()].copy_from_slice(piece);
        Ok(piece.len())
    }

    fn receive(&mut self, out: &mut [u8]) -> Result<usize, End> {
        loop {
            match self.stream.read(out) {
                Ok(0) => return Err(End::Closed),
                Ok(got) => {
                    self.received += got as u64;
                    self.brought += got as u64;
                    self.look_brought += got as u64;
                    self.check()?;
                    return Ok(got);
                }
                Err(error) if is_timeout(&error) => self.check()?,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(End::Insecure);
                }
                Err(_) => return Err(End::Closed),
            }
        }
    }

    /// Is the peer within its time?
    fn check(&mut self) -> Result<(), End> {
        let waited = self.since.elapsed();
        match self.phase {
            Phase::Request if waited > self.patience.request => return Err(End::Slow),
            Phase::Idle if waited > self.patience.idle => return Err(End::Idle),
            Phase::Answer if waited > ANSWER => return Err(End::Slow),
            Phase::Idle if waited > DRAIN_QUIET && self.stopping.load(Ordering::Relaxed) => {
                return Err(End::Stopped);
            }
            Phase::Message if waited > self.patience.stall => {
                if self.brought < self.patience.stall.as_secs().max(1) * BYTES_PER_SECOND_MIN {
                    return Err(End::Slow);
                }
                self.enter(Phase::Message);
            }
            _ => {}
        }
        if let Some(short) = self.short.as_ref().filter(|_| self.looked.elapsed() > LOOK_EVERY) {
            let fails = self.look_brought < LOOK_BYTES_MIN && short();
            self.looks = if fails { self.looks + 1 } else { 0 };
            (self.looked, self.look_brought) = (Instant::now(), 0);
            if self.looks >= LOOKS_MAX {
                return Err(End::Slow);
            }
        }
        Ok(())
    }
}

/// A data set on its way in, exactly as its fragments bring it.
pub(super) struct Dataset<'a> {
    inbound: &'a mut Inbound,
    context: u8,
    value: Option<Value>,
    ended: bool,
    /// What broke it, once something did.
    pub(super) broken: Option<End>,
}

impl Dataset<'_> {
    /// Was its last byte read?
    pub(super) fn is_ended(&self) -> bool {
        let last = self.value.is_some_and(|value| value.is_last && value.left == 0);
        self.ended || last
    }

    /// From now on it holds memory of the store, and has to bring bytes while that is `short`.
    pub(super) fn borrows(&mut self, short: Short) {
        let inbound = &mut *self.inbound;
        (inbound.looked, inbound.look_brought, inbound.looks) = (Instant::now(), 0, 0);
        inbound.short = Some(short);
    }

    /// Reads what is left of it and throws it away: its command is answered all the same.
    pub(super) fn pass_over(&mut self) -> Result<(), End> {
        match io::copy(self, &mut io::sink()) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.broken.unwrap_or(End::Closed)),
        }
    }

    fn read_part(&mut self, out: &mut [u8]) -> Result<usize, End> {
        loop {
            if let Some(value) = self.value.as_mut().filter(|value| value.left > 0) {
                let most = out.len().min(value.left as usize);
                let got = self.inbound.read_some(&mut out[..most])?;
                value.left -= got as u32;
                self.inbound.pdu_left -= got as u32;
                return Ok(got);
            }
            if self.is_ended() {
                self.ended = true;
                return Ok(0);
            }
            let value = match self.inbound.next_value()? {
                Next::Value(value) => value,
                Next::Release => {
                    return Err(End::Unexpected("a release in the middle of a data set"));
                }
            };
            if value.is_command {
                return Err(End::Unexpected("a command came in the middle of a data set"));
            }
            if value.context != self.context {
                return Err(End::Malformed("a data set changes its presentation context"));
            }
            self.value = Some(value);
        }
    }
}

impl Read for Dataset<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        if let Some(end) = self.broken {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, end));
        }
        self.read_part(out).map_err(|end| {
            self.broken = Some(end);
            io::Error::new(io::ErrorKind::UnexpectedEof, end)
        })
    }
}

impl Drop for Dataset<'_> {
    fn drop(&mut self) {
        self.inbound.short = None;
    }
}
