//! Command sets (PS3.7 §6.3, annex E): always Implicit VR Little Endian, always short.
//!
//! Read here and not by dicom-object, which reserves what a length declares before its bytes are
//! there. Invariants: no more is kept than was received; elements are few; nothing nests.

use super::end::End;
use super::limits::COMMAND_ELEMENTS_MAX;
use super::pdu::text;

/// Elements of group 0000 (PS3.7 table E.1-1).
pub(super) mod field {
    pub(in crate::dimse) const AFFECTED_CLASS: u16 = 0x0002;
    pub(in crate::dimse) const REQUESTED_CLASS: u16 = 0x0003;
    pub(in crate::dimse) const COMMAND: u16 = 0x0100;
    pub(in crate::dimse) const MESSAGE_ID: u16 = 0x0110;
    pub(in crate::dimse) const RESPONDED_ID: u16 = 0x0120;
    pub(in crate::dimse) const MOVE_DESTINATION: u16 = 0x0600;
    pub(in crate::dimse) const PRIORITY: u16 = 0x0700;
    pub(in crate::dimse) const DATA_SET_TYPE: u16 = 0x0800;
    pub(in crate::dimse) const STATUS: u16 = 0x0900;
    pub(in crate::dimse) const ERROR_COMMENT: u16 = 0x0902;
    pub(in crate::dimse) const AFFECTED_INSTANCE: u16 = 0x1000;
    pub(in crate::dimse) const REQUESTED_INSTANCE: u16 = 0x1001;
    pub(in crate::dimse) const EVENT_TYPE: u16 = 0x1002;
    pub(in crate::dimse) const ACTION_TYPE: u16 = 0x1008;
    pub(in crate::dimse) const REMAINING: u16 = 0x1020;
    pub(in crate::dimse) const COMPLETED: u16 = 0x1021;
    pub(in crate::dimse) const FAILED: u16 = 0x1022;
    pub(in crate::dimse) const WARNING: u16 = 0x1023;
    pub(in crate::dimse) const MOVE_ORIGINATOR: u16 = 0x1030;
    pub(in crate::dimse) const MOVE_ORIGINATOR_ID: u16 = 0x1031;
}

/// Values of (0000,0100).
pub(super) mod operation {
    pub(in crate::dimse) const STORE: u16 = 0x0001;
    pub(in crate::dimse) const GET: u16 = 0x0010;
    pub(in crate::dimse) const FIND: u16 = 0x0020;
    pub(in crate::dimse) const MOVE: u16 = 0x0021;
    pub(in crate::dimse) const ECHO: u16 = 0x0030;
    pub(in crate::dimse) const EVENT_REPORT: u16 = 0x0100;
    pub(in crate::dimse) const ACTION: u16 = 0x0130;
    pub(in crate::dimse) const CANCEL: u16 = 0x0FFF;
    /// Set in every response.
    pub(in crate::dimse) const RESPONSE: u16 = 0x8000;
}

/// (0000,0000).
const GROUP_LENGTH: u16 = 0x0000;
/// (0000,0800) where no data set follows; anything else says that one does.
const NO_DATA_SET: u16 = 0x0101;

/// A command set, ascending by element, without its group length, which is written anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Command(Vec<(u16, Vec<u8>)>);

impl Command {
    /// Reads a command set. Elements of other groups behind those of a command are passed over: Orthanc
    /// 1.10 puts the Failed SOP Instance UID List there.
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self, End> {
        let mut elements = Vec::new();
        while !bytes.is_empty() {
            let (head, rest) =
                bytes.split_first_chunk::<8>().ok_or(End::Malformed("a command is cut off"))?;
            let [g, r, e, l, length @ ..] = *head;
            let length = u32::from_le_bytes(length) as usize;
            let (value, rest) =
                rest.split_at_checked(length).ok_or(End::Malformed("a command is cut off"))?;
            bytes = rest;
            if u16::from_le_bytes([g, r]) != 0 {
                if elements.is_empty() {
                    return Err(End::Malformed("a command begins with what is no command"));
                }
                continue;
            }
            let element = u16::from_le_bytes([e, l]);
            if element == GROUP_LENGTH {
                continue;
            }
            if elements.len() == COMMAND_ELEMENTS_MAX {
                return Err(End::Malformed("a command has too many elements"));
            }
            elements.push((element, value.to_vec()));
        }
        // Of an element that comes twice, the first counts.
        elements.sort_by_key(|(element, _)| *element);
        elements.dedup_by_key(|(element, _)| *element);
        Ok(Self(elements))
    }

    /// The same again, with its group length first (PS3.7 §6.3.1).
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; 12];
        for (element, value) in &self.0 {
            write(&mut out, *element, value);
        }
        let length = (out.len() - 12) as u32;
        let mut first = Vec::with_capacity(12);
        write(&mut first, 0, &length.to_le_bytes());
        out[..12].copy_from_slice(&first);
        out
    }

    /// A command of this kind, without a data set.
    pub(super) fn new(kind: u16) -> Self {
        Self::default().number(field::COMMAND, kind).number(field::DATA_SET_TYPE, NO_DATA_SET)
    }

    /// The answer to this request.
    pub(super) fn answer(&self, status: u16) -> Self {
        let kind = self.get(field::COMMAND).unwrap_or(0) | operation::RESPONSE;
        let mut answer = Self::new(kind)
            .number(field::RESPONDED_ID, self.get(field::MESSAGE_ID).unwrap_or(0))
            .number(field::STATUS, status);
        let pairs = [
            (field::AFFECTED_CLASS, field::REQUESTED_CLASS),
            (field::AFFECTED_INSTANCE, field::REQUESTED_INSTANCE),
        ];
        for (affected, requested) in pairs {
            if let Some(uid) = self.uid(affected).or_else(|| self.uid(requested)) {
                answer = answer.with_uid(affected, &uid);
            }
        }
        answer
    }

    /// With a number.
    pub(super) fn number(self, element: u16, value: u16) -> Self {
        self.with(element, value.to_le_bytes().to_vec())
    }

    /// With a UID, padded as PS3.5 §9.1 has it.
    pub(super) fn with_uid(self, element: u16, uid: &str) -> Self {
        self.padded(element, uid, 0)
    }

    /// With text: an AE title, or a comment of at most 64 characters (VR LO).
    pub(super) fn with_text(self, element: u16, text: &str) -> Self {
        let plain: String = text.chars().filter(|c| (' '..='~').contains(c)).take(64).collect();
        self.padded(element, &plain, b' ')
    }

    /// Says that a data set follows.
    pub(super) fn with_data_set(self) -> Self {
        self.number(field::DATA_SET_TYPE, 0x0001)
    }

    /// Does a data set follow?
    pub(super) fn has_data_set(&self) -> bool {
        self.get(field::DATA_SET_TYPE).is_some_and(|kind| kind != NO_DATA_SET)
    }

    /// A number.
    pub(super) fn get(&self, element: u16) -> Option<u16> {
        self.value(element)?.first_chunk().copied().map(u16::from_le_bytes)
    }

    /// A UID, without its padding; `None` if it is empty.
    pub(super) fn uid(&self, element: u16) -> Option<String> {
        self.value(element).map(text).filter(|uid| !uid.is_empty())
    }

    /// Text, without its padding.
    pub(super) fn text(&self, element: u16) -> Option<String> {
        self.uid(element)
    }

    fn value(&self, element: u16) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| *known == element).map(|(_, value)| value.as_slice())
    }

    fn padded(self, element: u16, value: &str, pad: u8) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        if bytes.len() % 2 == 1 {
            bytes.push(pad);
        }
        self.with(element, bytes)
    }

    fn with(mut self, element: u16, value: Vec<u8>) -> Self {
        match self.0.binary_search_by_key(&element, |(known, _)| *known) {
            Ok(place) => self.0[place].1 = value,
            Err(place) => self.0.insert(place, (element, value)),
        }
        self
    }
}

fn write(out: &mut Vec<u8>, element: u16, value: &[u8]) {
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&element.to_le_bytes());
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_back() {
        let command = Command::new(operation::STORE)
            .number(field::MESSAGE_ID, 7)
            .with_uid(field::AFFECTED_CLASS, "1.2.3")
            .with_uid(field::AFFECTED_INSTANCE, "1.2.33");
        let bytes = command.encode();
        assert_eq!(bytes.len() % 2, 0);
        assert_eq!(u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize, bytes.len() - 12);
        let read = Command::parse(&bytes).unwrap();
        assert_eq!(read.get(field::MESSAGE_ID), Some(7));
        assert_eq!(read.uid(field::AFFECTED_CLASS).unwrap(), "1.2.3");
        assert!(!read.has_data_set());
        let answer = read.answer(0xA700);
        assert_eq!(answer.get(field::COMMAND), Some(0x8001));
        assert_eq!(answer.get(field::RESPONDED_ID), Some(7));
        assert_eq!(answer.uid(field::AFFECTED_INSTANCE).unwrap(), "1.2.33");
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for bytes in [
            &b"\0\0\0\x01\xFF\xFF\xFF\xFF"[..],
            b"\0\0\0\x01\x02\0\0\0\0",
            b"\0\0\0",
            b"\x08\0\0\x01\0\0\0\0",
        ] {
            assert!(Command::parse(bytes).is_err(), "{bytes:?}");
        }
        let many = b"\0\0\0\x01\0\0\0\0".repeat(COMMAND_ELEMENTS_MAX + 1);
        assert!(Command::parse(&many).is_err());
        let full: Vec<u8> = (1..=COMMAND_ELEMENTS_MAX as u16)
            .rev()
            .flat_map(|element| [[0, 0], element.to_le_bytes(), [0, 0], [0, 0]].concat())
            .collect();
        let read = Command::parse(&full).unwrap();
        assert_eq!(Command::parse(&read.encode()).unwrap(), read, "with its group length");
        assert_eq!(Command::parse(b"").unwrap().get(field::COMMAND), None);
        let mut more = Command::new(operation::ECHO).encode();
        more.extend_from_slice(b"\x08\0\x58\0\x02\0\0\x001\0");
        let read = Command::parse(&more).unwrap();
        assert_eq!(read.get(field::COMMAND), Some(operation::ECHO));
        assert_eq!(read.get(0x58), None);
    }
}
