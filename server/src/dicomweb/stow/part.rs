//! One instance on its way in, as something that can be read.

use std::collections::VecDeque;
use std::io::{self, Read};

use bytes::{Buf, Bytes, BytesMut};
use cairn_dicom::attributes::tags;
use cairn_dicom::probe::{PROBE_BYTES, probe};
use cairn_dicom::split::Splitter;

/// How much of a part is here before the store is asked for memory. The store lends a fixed amount
/// to all senders together; who holds some of it while a slow line fills it keeps others waiting. Most
/// single slices are whole within this.
pub(super) const PART_AHEAD_BYTES: usize = 1 << 20;

/// Pieces below this length are joined,
const SHORT_BYTES: usize = 1024;
/// until so much is together.
const JOINED_BYTES: usize = 16 << 10;

/// Where more of a part comes from; `None` at its end.
pub(super) type More<'a> = &'a mut (dyn FnMut() -> io::Result<Option<Bytes>> + Send);

/// Reads a part: what is here already, then what comes.
pub(super) struct Part<'a> {
    ahead: VecDeque<Bytes>,
    more: More<'a>,
    ended: bool,
}

impl<'a> Part<'a> {
    /// Waits until the part, or the beginning of it, is here.
    pub(super) fn begin(more: More<'a>) -> io::Result<Self> {
        let mut part = Self { ahead: VecDeque::new(), more, ended: false };
        let mut bytes = 0;
        while bytes < PART_AHEAD_BYTES {
            let Some(piece) = (part.more)()? else {
                part.ended = true;
                break;
            };
            bytes += piece.len();
            part.lay_aside(piece);
        }
        Ok(part)
    }

    /// Keeps a piece for later. Short ones are joined: a body that comes byte by byte would otherwise
    /// cost thirty times its length.
    fn lay_aside(&mut self, piece: Bytes) {
        if piece.len() >= SHORT_BYTES {
            self.ahead.push_back(piece);
            return;
        }
        let last = self.ahead.pop_back();
        let mut joined = match last.map(Bytes::try_into_mut) {
            Some(Ok(last)) if last.len() < JOINED_BYTES => last,
            Some(Ok(last)) => {
                self.ahead.push_back(last.freeze());
                BytesMut::with_capacity(JOINED_BYTES)
            }
            Some(Err(last)) => {
                self.ahead.push_back(last);
                BytesMut::with_capacity(JOINED_BYTES)
            }
            None => BytesMut::with_capacity(JOINED_BYTES),
        };
        joined.extend_from_slice(&piece);
        self.ahead.push_back(joined.freeze());
    }

    /// Its length, if all of it is here.
    pub(super) fn length(&self) -> Option<u64> {
        self.ended.then(|| self.ahead.iter().map(|piece| piece.len() as u64).sum())
    }

    /// SOP Class and SOP Instance UID as far as the beginning of the part tells: a refusal has to
    /// name what it refuses, and the store tells only what it took.
    pub(super) fn names(&self) -> (String, String) {
        let mut head = Vec::new();
        for piece in &self.ahead {
            let room = PROBE_BYTES.saturating_sub(head.len());
            head.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        let whole = self.length() == Some(head.len() as u64);
        let Ok(framing) = probe(&head, whole) else { return Default::default() };
        let mut splitter = Splitter::new(framing);
        if splitter.advance(&head, 0, whole, &mut Vec::new()).is_err() {
            return Default::default();
        }
        let object = splitter.finish();
        let said = |tag: u32, meta: &str| {
            let uid = object.attributes.get(tag).filter(|uid| !uid.is_empty()).unwrap_or(meta);
            cairn_dicom::uid::usable(uid)
        };
        (
            said(tags::SOP_CLASS_UID, &object.meta_sop_class_uid),
            said(tags::SOP_INSTANCE_UID, &object.meta_sop_instance_uid),
        )
    }
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(piece) = self.ahead.front_mut() {
                let bytes = piece.len().min(buffer.len());
                buffer[..bytes].copy_from_slice(&piece[..bytes]);
                piece.advance(bytes);
                if piece.is_empty() {
                    self.ahead.pop_front();
                }
                if bytes > 0 || buffer.is_empty() {
                    return Ok(bytes);
                }
                continue;
            }
            if self.ended {
                return Ok(0);
            }
            match (self.more)()? {
                Some(piece) => self.ahead.push_back(piece),
                None => self.ended = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_part_is_read_whole_and_named() {
        let file = cairn_dicom::phantom::ct(7, 1, 128).next().unwrap().bytes;
        let mut pieces = file.chunks(1000).map(Bytes::copy_from_slice).collect::<Vec<_>>();
        pieces.insert(3, Bytes::new());
        let mut pieces = pieces.into_iter();
        let mut more = || Ok(pieces.next());
        let mut part = Part::begin(&mut more).unwrap();
        assert_eq!(part.length(), Some(file.len() as u64));
        let (class, instance) = part.names();
        assert_eq!(class, "1.2.840.10008.5.1.4.1.1.2");
        assert!(cairn_dicom::uid::is_valid(&instance));
        let mut back = Vec::new();
        part.read_to_end(&mut back).unwrap();
        assert_eq!(back, &file[..]);
    }

    #[test]
    fn a_part_that_comes_byte_by_byte_costs_its_length() {
        let bytes: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        let mut left = Bytes::copy_from_slice(&bytes);
        let mut more = || Ok((!left.is_empty()).then(|| left.split_to(1)));
        let mut part = Part::begin(&mut more).unwrap();
        assert!(part.ahead.len() < 20, "{}", part.ahead.len());
        let mut back = Vec::new();
        part.read_to_end(&mut back).unwrap();
        assert_eq!(back, bytes);
    }

    #[test]
    fn a_long_part_is_not_held() {
        let mut given = 0;
        let mut more = || {
            given += 1;
            Ok((given <= 100).then(|| Bytes::from(vec![0; 100_000])))
        };
        let mut part = Part::begin(&mut more).unwrap();
        assert_eq!((part.length(), part.ahead.len()), (None, 11));
        assert_eq!(part.names(), Default::default());
        let mut back = Vec::new();
        part.read_to_end(&mut back).unwrap();
        assert_eq!(back.len(), 10_000_000);
    }
}
