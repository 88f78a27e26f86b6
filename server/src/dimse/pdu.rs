//! PDUs that set up and end an association (PS3.8 §9.3). P-DATA-TF is read and written elsewhere,
//! without ever being whole in memory.
//!
//! dicom-ul's codec is not used here: it takes an item whose length is a lie for one that has not
//! come yet, wants a transfer syntax in refused contexts too, and keeps the NUL that many pad UIDs
//! with. The tests hold this one against it.
//!
//! Invariants: nothing is allocated by a declared length; what is odd but harmless (trailing NUL and
//! spaces, items nobody knows, a missing implementation) is taken.

use std::fmt;

use thiserror::Error;

pub(super) const ASSOCIATE_RQ: u8 = 1;
pub(super) const ASSOCIATE_AC: u8 = 2;
pub(super) const ASSOCIATE_RJ: u8 = 3;
pub(super) const DATA: u8 = 4;
pub(super) const RELEASE_RQ: u8 = 5;
pub(super) const RELEASE_RP: u8 = 6;
pub(super) const ABORT: u8 = 7;

/// The only application context there is (PS3.7 annex A.2.1).
pub(super) const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";

/// Protocol version, called and calling AE title, reserved (PS3.8 table 9-11).
const FIXED_BYTES: usize = 2 + 2 + 16 + 16 + 32;

/// A PDU that cannot be read, and what of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// A presentation context as it is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proposal {
    pub(super) id: u8,
    pub(super) abstract_syntax: String,
    pub(super) transfer_syntaxes: Vec<String>,
}

/// What became of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) id: u8,
    /// [`ACCEPTED`] or why not (PS3.8 table 9-18).
    pub(super) result: u8,
    pub(super) transfer_syntax: String,
}

pub(super) const ACCEPTED: u8 = 0;
pub(super) const USER_REJECTION: u8 = 1;
pub(super) const ABSTRACT_SYNTAX_UNKNOWN: u8 = 3;
pub(super) const TRANSFER_SYNTAXES_UNKNOWN: u8 = 4;

/// SCP/SCU role selection (PS3.7 §D.3.3.4), of the requestor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) class: String,
    pub(super) scu: bool,
    pub(super) scp: bool,
}

/// SOP Class extended negotiation (PS3.7 §D.3.3.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extended {
    pub(super) class: String,
    pub(super) information: Vec<u8>,
}

/// User identity negotiation (PS3.7 §D.3.3.7), of the requestor.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// Its type (PS3.7 table D.3-14).
    pub(super) kind: u8,
    /// The requestor wants to be told that it was taken.
    pub(super) wants_answer: bool,
    /// User name or token.
    pub(super) primary: Vec<u8>,
    /// Passcode.
    pub(super) secondary: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without what is secret of it.
        f.debug_struct("Identity").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// What the user information item says (PS3.7 §D.3.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct User {
    /// Longest PDU that may be sent; 0: any.
    pub(super) pdu_bytes_max: u32,
    pub(super) implementation_class: String,
    pub(super) implementation_version: String,
    /// Operations that the requestor may invoke, and perform, at once; 0: any number.
    pub(super) window: Option<(u16, u16)>,
    pub(super) roles: Vec<Role>,
    pub(super) extended: Vec<Extended>,
    pub(super) identity: Option<Identity>,
    /// The identity was taken (PS3.7 §D.3.3.7.2), of the acceptor.
    pub(super) identity_taken: bool,
}

/// A-ASSOCIATE-RQ or -AC; `C` is [`Proposal`] or [`Outcome`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Associate<C> {
    pub(super) version: u16,
    pub(super) called: String,
    pub(super) calling: String,
    pub(super) application_context: String,
    pub(super) contexts: Vec<C>,
    pub(super) user: User,
}

/// A kind of presentation context item.
pub(super) trait Context: Sized {
    const PDU: u8;
    const ITEM: u8;
    fn read(fields: Fields<'_>) -> Result<Self, Malformed>;
    fn write(&self, out: &mut Vec<u8>);
}

impl Context for Proposal {
    const PDU: u8 = ASSOCIATE_RQ;
    const ITEM: u8 = 0x20;

    fn read(mut fields: Fields<'_>) -> Result<Self, Malformed> {
        let id = fields.u8()?;
        fields.take(3)?;
        let (mut abstract_syntax, mut transfer_syntaxes) = (String::new(), Vec::new());
        while let Some((kind, value)) = fields.item()? {
            match kind {
                0x30 => abstract_syntax = text(value.0),
                0x40 => transfer_syntaxes.push(text(value.0)),
                _ => {}
            }
        }
        Ok(Self { id, abstract_syntax, transfer_syntaxes })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.id, 0, 0, 0]);
        item(out, 0x30, |out| out.extend_from_slice(self.abstract_syntax.as_bytes()));
        for syntax in &self.transfer_syntaxes {
            item(out, 0x40, |out| out.extend_from_slice(syntax.as_bytes()));
        }
    }
}

impl Context for Outcome {
    const PDU: u8 = ASSOCIATE_AC;
    const ITEM: u8 = 0x21;

    fn read(mut fields: Fields<'_>) -> Result<Self, Malformed> {
        let id = fields.u8()?;
        fields.take(1)?;
        let result = fields.u8()?;
        fields.take(1)?;
        let mut transfer_syntax = String::new();
        while let Some((kind, value)) = fields.item()? {
            if kind == 0x40 {
                transfer_syntax = text(value.0);
            }
        }
        Ok(Self { id, result, transfer_syntax })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.id, 0, self.result, 0]);
        item(out, 0x40, |out| out.extend_from_slice(self.transfer_syntax.as_bytes()));
    }
}

impl<C: Context> Associate<C> {
    /// Reads what stands behind the PDU's head.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields(bytes);
        if bytes.len() < FIXED_BYTES {
            return Err(Malformed("an association PDU is too short"));
        }
        let version = fields.u16()?;
        fields.take(2)?;
        let (called, calling) = (text(fields.take(16)?), text(fields.take(16)?));
        fields.take(32)?;
        let mut associate = Self {
            version,
            called,
            calling,
            application_context: String::new(),
            contexts: Vec::new(),
            user: User::default(),
        };
        while let Some((kind, value)) = fields.item()? {
            match kind {
                0x10 => associate.application_context = text(value.0),
                0x50 => associate.user = User::read(value)?,
                _ if kind == C::ITEM => associate.contexts.push(C::read(value)?),
                _ => {}
            }
        }
        Ok(associate)
    }

    /// The whole PDU.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = vec![C::PDU, 0, 0, 0, 0, 0];
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&padded(&self.called));
        out.extend_from_slice(&padded(&self.calling));
        out.extend_from_slice(&[0; 32]);
        item(&mut out, 0x10, |out| out.extend_from_slice(self.application_context.as_bytes()));
        for context in &self.contexts {
            item(&mut out, C::ITEM, |out| context.write(out));
        }
        item(&mut out, 0x50, |out| self.user.write(out));
        let length = (out.len() - 6) as u32;
        out[2..6].copy_from_slice(&length.to_be_bytes());
        out
    }
}

impl User {
    fn read(mut fields: Fields<'_>) -> Result<Self, Malformed> {
        let mut user = Self::default();
        while let Some((kind, mut value)) = fields.item()? {
            match kind {
                0x51 => user.pdu_bytes_max = value.u32()?,
                0x52 => user.implementation_class = text(value.0),
                0x53 => user.window = Some((value.u16()?, value.u16()?)),
                0x54 => {
                    let class = value.counted()?;
                    let (scu, scp) = (value.u8()? == 1, value.u8()? == 1);
                    user.roles.push(Role { class, scu, scp });
                }
                0x55 => user.implementation_version = text(value.0),
                0x56 => {
                    let class = value.counted()?;
                    user.extended.push(Extended { class, information: value.0.to_vec() });
                }
                0x58 => {
                    user.identity = Some(Identity {
                        kind: value.u8()?,
                        wants_answer: value.u8()? == 1,
                        primary: value.counted_bytes()?.to_vec(),
                        // Its length is left out now and then where there is no passcode.
                        secondary: value.counted_bytes().unwrap_or_default().to_vec(),
                    });
                }
                0x59 => user.identity_taken = true,
                _ => {}
            }
        }
        Ok(user)
    }

    fn write(&self, out: &mut Vec<u8>) {
        item(out, 0x51, |out| out.extend_from_slice(&self.pdu_bytes_max.to_be_bytes()));
        item(out, 0x52, |out| out.extend_from_slice(self.implementation_class.as_bytes()));
        if let Some((invoked, performed)) = self.window {
            item(out, 0x53, |out| {
                out.extend_from_slice(&invoked.to_be_bytes());
                out.extend_from_slice(&performed.to_be_bytes());
            });
        }
        for role in &self.roles {
            item(out, 0x54, |out| {
                counted(out, role.class.as_bytes());
                out.extend_from_slice(&[role.scu.into(), role.scp.into()]);
            });
        }
        item(out, 0x55, |out| out.extend_from_slice(self.implementation_version.as_bytes()));
        for extended in &self.extended {
            item(out, 0x56, |out| {
                counted(out, extended.class.as_bytes());
                out.extend_from_slice(&extended.information);
            });
        }
        if let Some(identity) = &self.identity {
            item(out, 0x58, |out| {
                out.extend_from_slice(&[identity.kind, identity.wants_answer.into()]);
                counted(out, &identity.primary);
                counted(out, &identity.secondary);
            });
        }
        if self.identity_taken {
            // What the server answers has no length for the types that are taken here.
            item(out, 0x59, |out| counted(out, b""));
        }
    }
}

/// A PDU of four bytes behind its head: A-ASSOCIATE-RJ, A-RELEASE and A-ABORT.
pub(super) fn short(kind: u8, body: [u8; 4]) -> [u8; 10] {
    let [a, b, c, d] = body;
    [kind, 0, 0, 0, 0, 4, a, b, c, d]
}

/// Bytes that are read from the front.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) =
            self.0.split_at_checked(bytes).ok_or(Malformed("an item is longer than its PDU"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed("an item is too short"))
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// Text with its length before it.
    fn counted(&mut self) -> Result<String, Malformed> {
        self.counted_bytes().map(text)
    }

    /// Bytes with their length before them.
    fn counted_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// The next item: its type and value. `None` at the end.
    fn item(&mut self) -> Result<Option<(u8, Self)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let kind = self.u8()?;
        self.take(1)?;
        let length = self.u16()?;
        self.take(usize::from(length)).map(|value| Some((kind, Self(value))))
    }
}

/// Text without its padding. What is not ASCII is nobody's UID or AE title.
pub(super) fn text(bytes: &[u8]) -> String {
    let text: String =
        bytes.iter().map(|b| if b.is_ascii() { char::from(*b) } else { '?' }).collect();
    text.trim_matches([' ', '\0']).to_owned()
}

fn padded(title: &str) -> [u8; 16] {
    let mut out = [b' '; 16];
    for (place, byte) in out.iter_mut().zip(title.bytes()) {
        *place = byte;
    }
    out
}

fn counted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn item(out: &mut Vec<u8>, kind: u8, value: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&[kind, 0, 0, 0]);
    let start = out.len();
    value(out);
    let length = (out.len() - start) as u16;
    out[start - 2..start].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn request() -> Associate<Proposal> {
        Associate {
            version: 1,
            called: "CAIRN".into(),
            calling: "MODALITY".into(),
            application_context: APPLICATION_CONTEXT.into(),
            contexts: (0..128_u8)
                .map(|n| Proposal {
                    id: 2 * n + 1,
                    abstract_syntax: format!("1.2.{n}"),
                    transfer_syntaxes: vec!["1.2.840.10008.1.2".into(), "1.2.3".into()],
                })
                .collect(),
            user: User {
                pdu_bytes_max: 16384,
                implementation_class: "1.2.3".into(),
                implementation_version: "V".into(),
                window: Some((4, 1)),
                roles: vec![Role { class: "1.2.1".into(), scu: false, scp: true }],
                extended: vec![Extended { class: "1.2.1".into(), information: vec![1, 0, 1] }],
                identity: Some(Identity {
                    kind: 2,
                    wants_answer: true,
                    primary: b"user".into(),
                    secondary: b"secret".into(),
                }),
                identity_taken: false,
            },
        }
    }

    #[test]
    fn reads_back() {
        let request = request();
        assert_eq!(Associate::read(&request.write()[6..]), Ok(request));
    }

    #[test]
    fn behaviour_36_nothing_secret_of_an_identity_is_shown() {
        let shown = format!("{:?}", request());
        assert!(shown.contains("Identity"));
        for hidden in [&b"user"[..], b"secret"] {
            assert!(!shown.contains(&format!("{hidden:?}")), "{shown}");
        }
    }

    #[test]
    fn another_implementation_reads_it() {
        let bytes = request().write();
        let Some(dicom_ul::Pdu::AssociationRQ(read)) =
            dicom_ul::pdu::read_pdu(&bytes[..], 1 << 20, false).unwrap()
        else {
            panic!("not a request")
        };
        assert_eq!(
            (read.presentation_contexts.len(), read.called_ae_title.as_str()),
            (128, "CAIRN")
        );
        let mut back = Vec::new();
        dicom_ul::pdu::write_pdu(&mut back, &dicom_ul::Pdu::AssociationRQ(read)).unwrap();
        assert_eq!(Associate::<Proposal>::read(&back[6..]).unwrap().contexts, request().contexts);
    }

    #[test]
    fn behaviour_29_padding_is_no_part_of_a_name() {
        assert_eq!(text(b"1.2.3\0"), "1.2.3");
        assert_eq!(text(b" CAIRN          "), "CAIRN");
        assert_eq!(text(b"1.2.3 \0"), "1.2.3");
        assert_eq!(text(b"\xC3\xA4"), "??");
    }

    #[test]
    fn any_bytes_are_read_or_refused() {
        let good = request().write();
        for at in 0..good.len() - 6 {
            let _ = Associate::<Proposal>::read(&good[6..6 + at]);
            let mut bad = good[6..].to_vec();
            bad[at] = 0xFF;
            let _ = Associate::<Proposal>::read(&bad);
            let _ = Associate::<Outcome>::read(&bad);
        }
    }
}
