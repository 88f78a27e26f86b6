//! PDUs and messages on a connection (PS3.8 §9.3, PS3.7 §6.3), with no byte of a data set copied.

use std::io::{IoSlice, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail, ensure};

/// Kinds of PDU.
const P_DATA: u8 = 4;
const RELEASE_RQ: u8 = 5;
const RELEASE_RP: u8 = 6;
/// A PDV that holds a command, and one that is the last of its message part.
const COMMAND: u8 = 1;
const LAST: u8 = 2;
/// Bytes in front of a PDU's content, and in front of a PDV's.
const PDU_HEADER_BYTES: usize = 6;
const PDV_HEADER_BYTES: usize = 6;
/// What is read at once.
const BUFFER_BYTES: usize = 256 << 10;
/// Longest PDU that is offered: the most that DCMTK sends.
pub(super) const PDU_BYTES_MAX: u32 = 131_072;
/// A command set is some hundred bytes.
const COMMAND_BYTES_MAX: usize = 64 << 10;

/// Elements of a command set.
pub(super) mod field {
    pub(in super::super) const CLASS: u16 = 0x0002;
    pub(in super::super) const KIND: u16 = 0x0100;
    pub(in super::super) const ID: u16 = 0x0110;
    pub(in super::super) const ANSWERED_ID: u16 = 0x0120;
    pub(in super::super) const DESTINATION: u16 = 0x0600;
    pub(in super::super) const PRIORITY: u16 = 0x0700;
    pub(in super::super) const DATA_SET: u16 = 0x0800;
    pub(in super::super) const STATUS: u16 = 0x0900;
    pub(in super::super) const INSTANCE: u16 = 0x1000;
    pub(in super::super) const COMPLETED: u16 = 0x1021;
}

/// No data set follows (PS3.7 §E.1).
pub(super) const NO_DATA_SET: u16 = 0x0101;

/// A command set: its elements in their order, without the group's length.
#[derive(Clone, Debug, Default)]
pub(super) struct Command(Vec<u8>);

impl Command {
    pub(super) fn number(mut self, element: u16, value: u16) -> Self {
        self.element(element, &value.to_le_bytes());
        self
    }

    pub(super) fn text(mut self, element: u16, value: &str, pad: u8) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        if bytes.len() % 2 == 1 {
            bytes.push(pad);
        }
        self.element(element, &bytes);
        self
    }

    fn element(&mut self, element: u16, value: &[u8]) {
        self.0.extend([0, 0]);
        self.0.extend(element.to_le_bytes());
        self.0.extend((value.len() as u32).to_le_bytes());
        self.0.extend(value);
    }

    /// The value of an element.
    fn value(&self, element: u16) -> Option<&[u8]> {
        let mut rest = &self.0[..];
        while let Some((head, behind)) = rest.split_first_chunk::<8>() {
            let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
            let (value, next) = behind.split_at_checked(length)?;
            if head[2..4] == element.to_le_bytes() {
                return Some(value);
            }
            rest = next;
        }
        None
    }

    pub(super) fn word(&self, element: u16) -> Result<u16> {
        let value = self.value(element).and_then(|value| value.first_chunk::<2>());
        value.map(|bytes| u16::from_le_bytes(*bytes)).context("a command lacks an element")
    }

    pub(super) fn uid(&self, element: u16) -> Result<&str> {
        let value = self.value(element).context("a command lacks a UID")?;
        Ok(std::str::from_utf8(value)?.trim_end_matches(['\0', ' ']))
    }

    fn has_data_set(&self) -> bool {
        self.word(field::DATA_SET).is_ok_and(|kind| kind != NO_DATA_SET)
    }
}

/// What came.
#[derive(Debug)]
pub(super) enum Event {
    /// A message under a context. Its data set was thrown away.
    Message(u8, Command),
    /// The peer wants to end the association; it was told that it may.
    Released,
}

/// A connection on which an association is agreed on.
pub(super) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What of the buffer is not taken yet.
    from: usize,
    to: usize,
    /// Longest PDU that the peer takes.
    pub(super) pdu_bytes_max: usize,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        let pdu_bytes_max = PDU_BYTES_MAX as usize;
        Ok(Self { stream, buffer: vec![0; BUFFER_BYTES], from: 0, to: 0, pdu_bytes_max })
    }

    /// Sends bytes as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// A whole PDU, with its header.
    pub(super) fn pdu(&mut self) -> Result<Vec<u8>> {
        let (kind, length) = self.header()?;
        ensure!(length <= 1 << 20, "a PDU of kind {kind} has {length} bytes");
        let mut pdu = vec![kind, 0];
        pdu.extend((length as u32).to_be_bytes());
        self.take(length, &mut pdu)?;
        Ok(pdu)
    }

    /// Sends a message.
    pub(super) fn send(
        &mut self,
        context: u8,
        command: &Command,
        data: Option<&[u8]>,
    ) -> Result<()> {
        let mut group = vec![0, 0, 0, 0, 4, 0, 0, 0];
        group.extend((command.0.len() as u32).to_le_bytes());
        group.extend(&command.0);
        let room = self.pdu_bytes_max - PDV_HEADER_BYTES;
        let fragments = data.unwrap_or_default().chunks(room);
        let count = fragments.len();
        let mut heads = vec![head(context, COMMAND | LAST, group.len())];
        heads.extend(fragments.clone().enumerate().map(|(no, fragment)| {
            head(context, if no + 1 == count { LAST } else { 0 }, fragment.len())
        }));
        let parts = std::iter::once(&group[..]).chain(fragments);
        let mut slices: Vec<_> = heads
            .iter()
            .zip(parts)
            .flat_map(|(head, part)| [&head[..], part])
            .map(IoSlice::new)
            .collect();
        let mut slices = &mut slices[..];
        while !slices.is_empty() {
            let written = self.stream.write_vectored(slices)?;
            ensure!(written > 0, "nothing can be sent");
            IoSlice::advance_slices(&mut slices, written);
        }
        Ok(())
    }

    /// The next message, or the end.
    pub(super) fn next(&mut self) -> Result<Event> {
        let mut command = Command::default();
        let (mut context, mut is_whole) = (0, false);
        loop {
            let (kind, mut left) = self.header()?;
            match kind {
                P_DATA => {}
                RELEASE_RQ => {
                    self.skip(left)?;
                    self.raw(&[RELEASE_RP, 0, 0, 0, 0, 4, 0, 0, 0, 0])?;
                    return Ok(Event::Released);
                }
                _ => bail!("a PDU of kind {kind} came"),
            }
            while left > 0 {
                let [a, b, c, d, id, flags] = self.array()?;
                let length = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(2);
                left = left.checked_sub(length + PDV_HEADER_BYTES).context("a PDV is too long")?;
                context = id;
                if flags & COMMAND == 0 {
                    self.skip(length)?;
                    is_whole = flags & LAST != 0;
                } else {
                    ensure!(command.0.len() + length <= COMMAND_BYTES_MAX, "a command is too long");
                    self.take(length, &mut command.0)?;
                    is_whole = flags & LAST != 0 && !command.has_data_set();
                }
            }
            if is_whole {
                return Ok(Event::Message(context, command));
            }
        }
    }

    /// Ends the association.
    pub(super) fn release(mut self) -> Result<()> {
        self.raw(&[RELEASE_RQ, 0, 0, 0, 0, 4, 0, 0, 0, 0])?;
        let pdu = self.pdu()?;
        ensure!(pdu[0] == RELEASE_RP, "an association cannot be released");
        Ok(())
    }

    /// Kind and length of the next PDU.
    fn header(&mut self) -> Result<(u8, usize)> {
        let [kind, _, a, b, c, d] = self.array::<PDU_HEADER_BYTES>()?;
        Ok((kind, u32::from_be_bytes([a, b, c, d]) as usize))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        while self.to - self.from < N {
            self.fill()?;
        }
        let mut out = [0; N];
        out.copy_from_slice(&self.buffer[self.from..self.from + N]);
        self.from += N;
        Ok(out)
    }

    fn take(&mut self, mut length: usize, into: &mut Vec<u8>) -> Result<()> {
        while length > 0 {
            if self.from == self.to {
                self.fill()?;
            }
            let got = length.min(self.to - self.from);
            into.extend(&self.buffer[self.from..self.from + got]);
            self.from += got;
            length -= got;
        }
        Ok(())
    }

    fn skip(&mut self, mut length: usize) -> Result<()> {
        while length > 0 {
            if self.from == self.to {
                self.fill()?;
            }
            let got = length.min(self.to - self.from);
            self.from += got;
            length -= got;
        }
        Ok(())
    }

    /// Reads some more; what is there moves to the front if nothing fits behind it.
    fn fill(&mut self) -> Result<()> {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        } else if self.to == self.buffer.len() {
            self.buffer.copy_within(self.from.., 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        // Else who has Nagle's algorithm on waits for 40 ms, and not for what is measured.
        #[cfg(target_os = "linux")]
        socket2::SockRef::from(&self.stream).set_tcp_quickack(true)?;
        let got = self.stream.read(&mut self.buffer[self.to..])?;
        ensure!(got > 0, "the peer closed the connection");
        self.to += got;
        Ok(())
    }
}

/// What stands in front of a fragment: a PDU's header and that of the one PDV in it.
fn head(context: u8, flags: u8, length: usize) -> [u8; PDU_HEADER_BYTES + PDV_HEADER_BYTES] {
    let mut out = [0; PDU_HEADER_BYTES + PDV_HEADER_BYTES];
    out[0] = P_DATA;
    out[2..6].copy_from_slice(&((length + PDV_HEADER_BYTES) as u32).to_be_bytes());
    out[6..10].copy_from_slice(&((length + 2) as u32).to_be_bytes());
    (out[10], out[11]) = (context, flags);
    out
}
