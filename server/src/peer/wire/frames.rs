//! Chunks on their way between sites.
//!
//! A stream of frames, each the next chunks that were asked for, in order, so that no frame has to say
//! which they are:
//!
//! ```text
//! kind u8 | codec u8 | chunks u16 | plain bytes u32 | payload bytes u32 | payload
//! ```
//!
//! little-endian. A large chunk travels as it is stored. Small ones travel together, each with its length
//! (u32) before it, compressed in one piece. The last frame says that everything came, or why not.

use bytes::{Buf, Bytes, BytesMut};
use cairn_chunker::codec::{self, Codec};
use cairn_chunker::limits::MANIFEST_BYTES_MAX;

/// Length of what stands before a payload.
pub(crate) const HEAD_BYTES: usize = 12;
/// Longest frame decoded: a manifest, which is the longest chunk there is.
const PLAIN_BYTES_MAX: usize = MANIFEST_BYTES_MAX + 4;
/// A payload is no longer than what it decodes to, but for what a codec says of itself.
const PAYLOAD_BYTES_MAX: usize = PLAIN_BYTES_MAX + 1024;
/// Small chunks travel together up to this many bytes.
pub(crate) const GROUP_BYTES: usize = 256 << 10;
/// And this many of them.
const GROUP_CHUNKS_MAX: usize = 4096;
/// A chunk up to this length is small.
pub(crate) const SMALL_BYTES_MAX: usize = 64 << 10;
/// Level of the compression of small chunks: headers of one series take a twentieth together.
const GROUP_LEVEL: i32 = 3;

const ONE: u8 = 1;
const GROUP: u8 = 2;
const END: u8 = 3;
const STOPPED: u8 = 4;

/// Why bytes are no frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// A frame has no known kind or codec.
    #[error("a frame is of an unknown kind")]
    Kind,
    /// A frame says that it is longer than any.
    #[error("a frame is longer than any")]
    TooLong,
    /// A payload does not decode, or not to what its frame says.
    #[error("a payload does not decode")]
    Payload,
    /// The owner stopped: the grant ended meanwhile, or it cannot read what it stored.
    #[error("the owner stopped before the end")]
    Stopped,
}

/// One chunk as it is stored.
pub(crate) fn one(codec: Codec, plain_bytes: u32, payload: &Bytes) -> [Bytes; 2] {
    [head(ONE, codec, 1, plain_bytes, payload.len()), payload.clone()]
}

fn head(kind: u8, codec: Codec, chunks: usize, plain: u32, payload: usize) -> Bytes {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.extend([kind, codec.id()]);
    head.extend((chunks as u16).to_le_bytes());
    head.extend(plain.to_le_bytes());
    head.extend((payload as u32).to_le_bytes());
    head.into()
}

/// The last frame of a stream that is whole.
pub(crate) fn end() -> Bytes {
    head(END, Codec::Stored, 0, 0, 0)
}

/// The last frame of one that is not.
pub(crate) fn stopped() -> Bytes {
    head(STOPPED, Codec::Stored, 0, 0, 0)
}

/// Small chunks that wait to travel together.
#[derive(Debug, Default)]
pub(crate) struct Group {
    plain: Vec<u8>,
    chunks: usize,
}

impl Group {
    /// Adds a chunk; there is room for it.
    pub(crate) fn add(&mut self, chunk: &[u8]) {
        self.plain.extend((chunk.len() as u32).to_le_bytes());
        self.plain.extend_from_slice(chunk);
        self.chunks += 1;
    }

    /// Must it go before a chunk of this length is added?
    pub(crate) fn is_full_for(&self, bytes: usize) -> bool {
        self.chunks > 0
            && (self.plain.len() + 4 + bytes > GROUP_BYTES || self.chunks == GROUP_CHUNKS_MAX)
    }

    /// The frame, if there is anything in it.
    pub(crate) fn take(&mut self) -> std::io::Result<Option<[Bytes; 2]>> {
        let Self { plain, chunks } = std::mem::take(self);
        if chunks == 0 {
            return Ok(None);
        }
        let packed = zstd::bulk::compress(&plain, GROUP_LEVEL)?;
        let (codec, payload) = if packed.len() < plain.len() {
            (Codec::Zstd, packed)
        } else {
            (Codec::Stored, plain.clone())
        };
        let head = head(GROUP, codec, chunks, plain.len() as u32, payload.len());
        Ok(Some([head, payload.into()]))
    }
}

/// What a stream brings next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The next chunks that were asked for, and the bytes that they took on their way.
    Chunks(Packed),
    /// There is no more: everything that was asked for is there.
    End,
}

/// Chunks as they travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed {
    kind: u8,
    codec: Codec,
    chunks: usize,
    plain_bytes: usize,
    payload: Bytes,
}

impl Packed {
    /// The chunks, whose bytes are anybody's until they are compared with their names.
    pub(crate) fn unpack(self) -> Result<Vec<Bytes>, Malformed> {
        let plain = match self.codec {
            Codec::Stored if self.payload.len() == self.plain_bytes => self.payload,
            Codec::Stored => return Err(Malformed::Payload),
            codec => codec::decode(codec, &self.payload, self.plain_bytes)
                .map_err(|_| Malformed::Payload)?
                .into(),
        };
        if self.kind == ONE {
            return Ok(vec![plain]);
        }
        let (mut rest, mut chunks) = (plain, Vec::new());
        for _ in 0..self.chunks {
            if rest.len() < 4 {
                return Err(Malformed::Payload);
            }
            let bytes = rest.get_u32_le() as usize;
            if bytes > rest.len() {
                return Err(Malformed::Payload);
            }
            chunks.push(rest.split_to(bytes));
        }
        if rest.is_empty() { Ok(chunks) } else { Err(Malformed::Payload) }
    }
}

/// Takes frames out of a stream of bytes.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    buffer: BytesMut,
}

impl Frames {
    /// What came.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, once all of it came.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, Malformed> {
        let Some(head) = self.buffer.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let [kind, codec, a, b, rest @ ..] = *head;
        let chunks = usize::from(u16::from_le_bytes([a, b]));
        let [plain, payload] =
            [[rest[0], rest[1], rest[2], rest[3]], [rest[4], rest[5], rest[6], rest[7]]]
                .map(|bytes| u32::from_le_bytes(bytes) as usize);
        match kind {
            END => return Ok(Some(Frame::End)),
            STOPPED => return Err(Malformed::Stopped),
            ONE | GROUP => {}
            _ => return Err(Malformed::Kind),
        }
        let codec = Codec::from_id(codec).map_err(|_| Malformed::Kind)?;
        if plain > PLAIN_BYTES_MAX || payload > PAYLOAD_BYTES_MAX {
            return Err(Malformed::TooLong);
        }
        if self.buffer.len() < HEAD_BYTES + payload {
            self.buffer.reserve(HEAD_BYTES + payload - self.buffer.len());
            return Ok(None);
        }
        self.buffer.advance(HEAD_BYTES);
        let payload = self.buffer.split_to(payload).freeze();
        Ok(Some(Frame::Chunks(Packed { kind, codec, chunks, plain_bytes: plain, payload })))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8], step: usize) -> Result<Vec<Bytes>, Malformed> {
        let (mut frames, mut chunks) = (Frames::default(), Vec::new());
        for piece in bytes.chunks(step) {
            frames.push(piece);
            while let Some(frame) = frames.next()? {
                match frame {
                    Frame::Chunks(packed) => chunks.extend(packed.unpack()?),
                    Frame::End => return Ok(chunks),
                }
            }
        }
        Ok(chunks)
    }

    #[test]
    fn chunks_come_back_in_order() {
        let mut wire = Vec::new();
        let mut group = Group::default();
        group.add(b"header of one");
        group.add(&[7; 3000]);
        for part in group.take().unwrap().unwrap() {
            wire.extend_from_slice(&part);
        }
        assert!(group.take().unwrap().is_none());
        for part in one(Codec::Stored, 5, &Bytes::from_static(b"large")) {
            wire.extend_from_slice(&part);
        }
        assert!(wire.len() < 200, "small ones are compressed together");
        wire.extend_from_slice(&end());
        for step in [1, 13, wire.len()] {
            let chunks = all(&wire, step).unwrap();
            let lengths: Vec<_> = chunks.iter().map(Bytes::len).collect();
            assert_eq!(lengths, [13, 3000, 5]);
        }
    }

    #[test]
    fn what_lies_about_its_length_is_refused() {
        let one = |plain, payload: &'static [u8]| {
            one(Codec::Stored, plain, &Bytes::from_static(payload)).concat()
        };
        assert_eq!(all(&one(4, b"large"), 99), Err(Malformed::Payload));
        let mut longer = one(5, b"large");
        longer[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(all(&longer, 99), Err(Malformed::TooLong), "before memory is taken for it");
        assert_eq!(all(&stopped(), 99), Err(Malformed::Stopped));
        assert_eq!(all(&[9; 12], 99), Err(Malformed::Kind));
        // A group that decodes to more than it says.
        let mut group = Group::default();
        group.add(&vec![0; 60_000]);
        let mut bomb = group.take().unwrap().unwrap().concat();
        bomb[4..8].copy_from_slice(&100u32.to_le_bytes());
        assert_eq!(all(&bomb, 99), Err(Malformed::Payload));
    }

    proptest! {
        #[test]
        fn hostile_frames_never_panic(bytes: Vec<u8>, kind in 1u8..5, codec in 0u8..5) {
            let _ = all(&bytes, 7);
            let mut wire = vec![kind, codec, 1, 0, 9, 0, 0, 0, bytes.len() as u8, 0, 0, 0];
            wire.extend_from_slice(&bytes);
            let _ = all(&wire, 100);
        }
    }
}
