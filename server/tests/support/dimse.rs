//! A DIMSE client whose PDUs are those of dicom-ul: another implementation than the server's.

#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use dicom_ul::Pdu;
use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, PDataValue, PDataValueType, PresentationContextProposed,
    UserVariableItem, read_pdu, write_pdu,
};

pub(crate) const VERIFICATION: &str = "1.2.840.10008.1.1";
pub(crate) const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";
pub(crate) const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
pub(crate) const IMPLICIT_LE: &str = "1.2.840.10008.1.2";
pub(crate) const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";

/// An open association.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
    pub(crate) accepted: AssociationAC,
    /// Bytes of a fragment that are sent at once.
    pub(crate) fragment: usize,
    next_id: u16,
    /// Values received and not taken yet.
    values: Vec<PDataValue>,
}

/// A message: its context, command elements of group 0000, data set.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) context: u8,
    pub(crate) command: BTreeMap<u16, Vec<u8>>,
    pub(crate) data: Option<Vec<u8>>,
}

impl Message {
    pub(crate) fn number(&self, element: u16) -> u16 {
        self.command.get(&element).map_or(0xDEAD, |v| u16::from_le_bytes([v[0], v[1]]))
    }

    pub(crate) fn status(&self) -> u16 {
        self.number(0x0900)
    }

    pub(crate) fn text(&self, element: u16) -> String {
        let bytes = self.command.get(&element).cloned().unwrap_or_default();
        String::from_utf8(bytes).unwrap().trim_end_matches(['\0', ' ']).to_owned()
    }
}

/// What an association is asked for with.
#[derive(Clone)]
pub(crate) struct Wish {
    pub(crate) called: String,
    pub(crate) calling: String,
    pub(crate) contexts: Vec<(String, Vec<String>)>,
    pub(crate) user: Vec<UserVariableItem>,
}

impl Wish {
    pub(crate) fn new(contexts: &[(&str, &[&str])]) -> Self {
        let owned = |(class, syntaxes): &(&str, &[&str])| {
            ((*class).to_owned(), syntaxes.iter().map(|uid| (*uid).to_owned()).collect())
        };
        Self {
            called: "CAIRN".into(),
            calling: "TEST".into(),
            contexts: contexts.iter().map(owned).collect(),
            user: vec![
                UserVariableItem::MaxLength(16384),
                UserVariableItem::ImplementationClassUID("1.2.3".into()),
            ],
        }
    }

    pub(crate) fn with(mut self, item: UserVariableItem) -> Self {
        self.user.retain(|known| {
            std::mem::discriminant(known) != std::mem::discriminant(&item)
                || matches!(known, UserVariableItem::Unknown(..))
        });
        self.user.push(item);
        self
    }

    pub(crate) fn pdu(&self) -> Vec<u8> {
        let contexts = self.contexts.iter().zip(0_u8..);
        let request = AssociationRQ {
            protocol_version: 1,
            calling_ae_title: self.calling.clone(),
            called_ae_title: self.called.clone(),
            application_context_name: "1.2.840.10008.3.1.1.1".into(),
            presentation_contexts: contexts
                .map(|((class, syntaxes), n)| PresentationContextProposed {
                    id: 2 * n + 1,
                    abstract_syntax: class.clone(),
                    transfer_syntaxes: syntaxes.clone(),
                })
                .collect(),
            user_variables: self.user.clone(),
        };
        let mut bytes = Vec::new();
        write_pdu(&mut bytes, &Pdu::AssociationRQ(request)).unwrap();
        bytes
    }

    /// What the server answers, whatever it is; the stream goes on from there.
    pub(crate) fn ask(&self, address: SocketAddr) -> (Pdu, Client) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&self.pdu()).unwrap();
        let mut client = Client::over(stream);
        let answer = client.pdu().expect("an answer");
        if let Pdu::AssociationAC(accepted) = &answer {
            client.accepted = accepted.clone();
        }
        (answer, client)
    }

    pub(crate) fn open(&self, address: SocketAddr) -> Client {
        let (answer, client) = self.ask(address);
        assert!(matches!(answer, Pdu::AssociationAC(_)), "{answer:?}");
        client
    }
}

impl Client {
    /// Over a connection, on which nothing was agreed yet.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let accepted = AssociationAC {
            protocol_version: 1,
            calling_ae_title: String::new(),
            called_ae_title: String::new(),
            application_context_name: String::new(),
            presentation_contexts: Vec::new(),
            user_variables: Vec::new(),
        };
        Self {
            stream,
            buffer: Vec::new(),
            accepted,
            fragment: 16_000,
            next_id: 1,
            values: Vec::new(),
        }
    }

    pub(crate) fn open(address: SocketAddr, contexts: &[(&str, &[&str])]) -> Self {
        Wish::new(contexts).open(address)
    }

    /// The next PDU; `None` if the server closed.
    pub(crate) fn pdu(&mut self) -> Option<Pdu> {
        loop {
            if let Some(head) = self.buffer.first_chunk::<6>() {
                let length = u32::from_be_bytes([head[2], head[3], head[4], head[5]]) as usize;
                if self.buffer.len() >= 6 + length {
                    let rest = self.buffer.split_off(6 + length);
                    let pdu = std::mem::replace(&mut self.buffer, rest);
                    return read_pdu(&pdu[..], 1 << 20, false).unwrap();
                }
            }
            let mut bytes = [0; 16 << 10];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(got) => self.buffer.extend_from_slice(&bytes[..got]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    /// The next message.
    pub(crate) fn message(&mut self) -> Message {
        self.message_or_end().expect("a message was due, not an end")
    }

    /// The next message; `None` if the peer releases or closes.
    pub(crate) fn message_or_end(&mut self) -> Option<Message> {
        let (context, bytes) = self.whole(&PDataValueType::Command)?;
        let mut command = BTreeMap::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let length = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
            command.insert(u16::from_le_bytes([rest[2], rest[3]]), rest[8..8 + length].to_vec());
            rest = &rest[8 + length..];
        }
        let follows = command.get(&0x0800).is_some_and(|kind| kind[..] != [1, 1]);
        let data = follows.then(|| self.whole(&PDataValueType::Data).unwrap().1);
        Some(Message { context, command, data })
    }

    fn whole(&mut self, kind: &PDataValueType) -> Option<(u8, Vec<u8>)> {
        let mut bytes = Vec::new();
        loop {
            if self.values.is_empty() {
                match self.pdu() {
                    Some(Pdu::PData { data }) => self.values = data,
                    Some(Pdu::ReleaseRQ) | None => return None,
                    other => panic!("a message was due, not {other:?}"),
                }
                continue;
            }
            let value = self.values.remove(0);
            assert_eq!(&value.value_type, kind);
            bytes.extend_from_slice(&value.data);
            if value.is_last {
                return Some((value.presentation_context_id, bytes));
            }
        }
    }

    /// The transfer syntax of an accepted context.
    pub(crate) fn syntax(&self, context: u8) -> Option<&str> {
        let found = self.accepted.presentation_contexts.iter().find(|c| c.id == context)?;
        let accepted = dicom_ul::pdu::PresentationContextResultReason::Acceptance;
        (found.reason == accepted).then_some(found.transfer_syntax.as_str())
    }

    pub(crate) fn id(&mut self) -> u16 {
        self.next_id += 1;
        self.next_id
    }

    /// Sends a command; elements ascend.
    pub(crate) fn command(&mut self, context: u8, elements: &[(u16, Vec<u8>)]) {
        let body = encode(elements);
        self.value(context, true, &body);
    }

    /// Sends one part of a message, cut into fragments of [`Client::fragment`].
    pub(crate) fn value(&mut self, context: u8, is_command: bool, bytes: &[u8]) {
        let pieces: Vec<&[u8]> = match bytes.len() {
            0 => vec![&[]],
            _ => bytes.chunks(self.fragment).collect(),
        };
        let mut out = Vec::new();
        for (n, piece) in pieces.iter().enumerate() {
            out.extend(fragment(context, is_command, n + 1 == pieces.len(), piece));
        }
        self.stream.write_all(&out).unwrap();
    }

    /// Sends a request with or without a data set; its message id.
    pub(crate) fn request(
        &mut self,
        context: u8,
        kind: u16,
        class: &str,
        more: &[(u16, Vec<u8>)],
        data: Option<&[u8]>,
    ) -> u16 {
        let id = self.id();
        let has_data: u16 = if data.is_some() { 1 } else { 0x0101 };
        let mut elements = vec![
            (0x0002, uid(class)),
            (0x0100, number(kind)),
            (0x0110, number(id)),
            (0x0800, number(has_data)),
        ];
        elements.extend_from_slice(more);
        elements.sort();
        self.command(context, &elements);
        if let Some(data) = data {
            self.value(context, false, data);
        }
        id
    }

    pub(crate) fn echo(&mut self, context: u8) -> u16 {
        self.request(context, 0x0030, VERIFICATION, &[], None);
        self.message().status()
    }

    pub(crate) fn send_store(&mut self, context: u8, class: &str, sop: &str, data: &[u8]) -> u16 {
        let more = [(0x0700, number(0)), (0x1000, uid(sop))];
        self.request(context, 0x0001, class, &more, Some(data))
    }

    /// Stores an object; the status.
    pub(crate) fn store(&mut self, context: u8, class: &str, sop: &str, data: &[u8]) -> u16 {
        let id = self.send_store(context, class, sop, data);
        let answer = self.message();
        assert_eq!((answer.number(0x0100), answer.number(0x0120)), (0x8001, id));
        assert_eq!((answer.text(0x1000), answer.context), (sop.to_owned(), context));
        answer.status()
    }

    /// Releases, and sees that the server does.
    pub(crate) fn release(mut self) {
        self.raw(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
        assert_eq!(self.pdu(), Some(Pdu::ReleaseRP));
    }

    pub(crate) fn abort(mut self) {
        self.raw(&[7, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        // A server that refuses early may have closed.
        let _ = self.stream.write_all(bytes);
    }

    /// The server ends it with an A-ABORT.
    pub(crate) fn assert_aborted(mut self) {
        loop {
            match self.pdu() {
                Some(Pdu::AbortRQ { .. }) => return,
                Some(Pdu::PData { .. }) => {}
                other => panic!("an A-ABORT was due, not {other:?}"),
            }
        }
    }
}

/// A P-DATA-TF PDU with one value.
pub(crate) fn fragment(context: u8, is_command: bool, is_last: bool, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![4, 0];
    out.extend_from_slice(&(bytes.len() as u32 + 6).to_be_bytes());
    out.extend_from_slice(&(bytes.len() as u32 + 2).to_be_bytes());
    out.extend_from_slice(&[context, u8::from(is_command) | if is_last { 2 } else { 0 }]);
    out.extend_from_slice(bytes);
    out
}

pub(crate) fn encode(elements: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (element, value) in elements {
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&element.to_le_bytes());
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
        out.extend_from_slice(value);
    }
    out
}

pub(crate) fn number(value: u16) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

pub(crate) fn uid(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes
}

/// A file's class, instance, transfer syntax and data set. Group 0002 is Explicit VR Little Endian.
pub(crate) fn parted(file: &[u8]) -> (String, String, String, Vec<u8>) {
    assert_eq!(&file[128..132], b"DICM");
    let mut rest = &file[132..];
    let mut found = BTreeMap::new();
    while rest.len() > 8 && rest[..2] == [2, 0] {
        let long = matches!(&rest[4..6], b"OB" | b"UN");
        let (length, head) = if long {
            (u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize, 12)
        } else {
            (u16::from_le_bytes([rest[6], rest[7]]) as usize, 8)
        };
        found.insert(u16::from_le_bytes([rest[2], rest[3]]), rest[head..head + length].to_vec());
        rest = &rest[head + length..];
    }
    let text = |element: u16| {
        let text = String::from_utf8(found[&element].clone()).unwrap();
        text.trim_end_matches(['\0', ' ']).to_owned()
    };
    (text(2), text(3), text(0x10), rest.to_vec())
}

/// A flat data set in Implicit VR Little Endian; tags ascend.
pub(crate) fn implicit(elements: &[(u32, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (tag, value) in elements {
        let is_uid = matches!(tag, 0x0008_0016 | 0x0008_0018 | 0x0020_000D | 0x0020_000E)
            || (tag >> 16 == 8 && (0x1150..=0x1195).contains(&(tag & 0xFFFF)));
        let mut bytes = value.as_bytes().to_vec();
        if bytes.len() % 2 == 1 {
            bytes.push(if is_uid { 0 } else { b' ' });
        }
        element(&mut out, *tag, &bytes);
    }
    out
}

/// An element in Implicit VR Little Endian.
pub(crate) fn element(out: &mut Vec<u8>, tag: u32, bytes: &[u8]) {
    out.extend_from_slice(&((tag >> 16) as u16).to_le_bytes());
    out.extend_from_slice(&(tag as u16).to_le_bytes());
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Top-level elements of a data set in Implicit VR Little Endian, as text; sequences as they lie.
pub(crate) fn elements(mut bytes: &[u8]) -> BTreeMap<u32, String> {
    let mut found = BTreeMap::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<8>() {
        let half = |at: usize| u32::from(u16::from_le_bytes([head[at], head[at + 1]]));
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        let length = if length == u32::MAX { sequence(rest) } else { length as usize };
        let text = String::from_utf8_lossy(&rest[..length]);
        let text = text.trim_end_matches([' ', '\0']).to_owned();
        found.insert(half(0) << 16 | half(2), text);
        bytes = &rest[length..];
    }
    found
}

/// Tag and length of what begins here.
fn head(bytes: &[u8]) -> (u32, u32) {
    let half = |at: usize| u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    (half(0) << 16 | half(2), half(6) << 16 | half(4))
}

/// How long a sequence of undefined length is, its delimiter included.
fn sequence(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let (tag, length) = head(&bytes[at..]);
        at += 8;
        match (tag, length) {
            (0xFFFE_E0DD, _) => return at,
            (_, u32::MAX) => at += item(&bytes[at..]),
            (_, length) => at += length as usize,
        }
    }
}

/// The same for an item.
fn item(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let (tag, length) = head(&bytes[at..]);
        at += 8;
        match (tag, length) {
            (0xFFFE_E00D, _) => return at,
            (_, u32::MAX) => at += sequence(&bytes[at..]),
            (_, length) => at += length as usize,
        }
    }
}

/// Sends a query; the matches, the pending statuses and the last one.
pub(crate) fn find(
    client: &mut Client,
    class: &str,
    keys: &[u8],
) -> (Vec<BTreeMap<u32, String>>, u16) {
    let id = client.request(1, 0x0020, class, &[(0x0700, number(0))], Some(keys));
    let mut found = Vec::new();
    loop {
        let answer = client.message();
        assert_eq!((answer.number(0x0100), answer.number(0x0120)), (0x8020, id));
        match answer.status() {
            0xFF00 | 0xFF01 => found.push(elements(answer.data.as_ref().unwrap())),
            last => {
                assert!(answer.data.is_none());
                return (found, last);
            }
        }
    }
}
