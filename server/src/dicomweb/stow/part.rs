//! One instance on its way in, as something that can be read.

use std::collections::VecDeque;
use std::io::{self, Read};

use bytes::{Buf, Bytes};
use cairn_dicom::attributes::tags;
use cairn_dicom::probe::{PROBE_BYTES, probe};
use cairn_dicom::split::Splitter;

/// How much of a part is here before the store is asked for memory. The store lends a fixed amount
/// to all senders together; who holds some of it while a slow line fills it keeps others waiting. Most
/// single slices are whole within this.
pub(super) const PART_AHEAD_BYTES: usize = 1 << 20;

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
            part.ahead.push_back(piece);
        }
        Ok(part)
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
