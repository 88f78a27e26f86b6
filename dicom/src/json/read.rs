//! DICOM JSON and bulk data parts to a Part 10 object (PS3.18 §10.5.1.4, annex F).
//!
//! The result is Explicit VR Little Endian, or encapsulated where the pixel data part is. dicom-json is
//! not used here: it passes over every BulkDataURI, and refuses what clients send (numbers as text, names
//! as text). Invariants: what is written ascends and has unique tags; nothing is longer than the JSON and the
//! parts together, but for parts that are named again, which are bounded.

use std::collections::HashSet;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::explicit::{element, element_head, item_head};
use super::place::{Placed, place};
use super::text::rules;
use super::vr::resolve;
use super::{base64, scalar};
use crate::attributes::tags;
use crate::element::{ITEM, ITEM_DELIMITER, SEQUENCE_DELIMITER, UNDEFINED, Vr};
use crate::envelope::synthesize;
use crate::limits::{DEPTH_MAX, LARGE_BYTES, REPEATED_BULK_BYTES_MAX};
use crate::object::Identity;
use crate::split::is_pixel_data;
use crate::syntax::EXPLICIT_LE;

/// A value that came in parts of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bulk {
    /// The value; each part is one frame if it is encapsulated.
    pub parts: Vec<Bytes>,
    /// The transfer syntax that the parts were sent in, if they said one.
    pub transfer_syntax: Option<String>,
    /// The media type that the parts were sent as, without parameters, if they said one.
    pub media_type: Option<String>,
}

/// A Part 10 object that was put together.
#[derive(Clone, Debug)]
pub struct Composed {
    /// Its bytes, preamble first.
    pub pieces: Vec<Bytes>,
    /// What its File Meta Information says; study and series come from the data set. Any may be empty.
    pub identity: Identity,
}

/// Why JSON is no data set. Messages name tags, never values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A data set, an attribute or an item is not a JSON object.
    #[error("a data set, attribute or sequence item is not a JSON object")]
    NotAnObject,
    /// A name that is not eight hexadecimal digits.
    #[error("an attribute is not named by eight hexadecimal digits")]
    BadTag,
    /// The VR is not one of PS3.5 table 6.2-1.
    #[error("({:04X},{:04X}) has no known VR", .0 >> 16, .0 & 0xFFFF)]
    BadVr(u32),
    /// The value does not fit the VR.
    #[error("the value of ({:04X},{:04X}) does not fit its VR", .0 >> 16, .0 & 0xFFFF)]
    BadValue(u32),
    /// There is no part for a BulkDataURI.
    #[error("there is no bulk data part for ({:04X},{:04X})", .0 >> 16, .0 & 0xFFFF)]
    NoBulk(u32),
    /// Pixel data parts of a transfer syntax or media type that can't be used for a value.
    #[error("the pixel data parts have a transfer syntax or media type that does not fit")]
    BadTransferSyntax,
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("sequences are nested too deeply")]
    TooDeep,
    /// A value longer than DICOM can say, or parts that are used again and again.
    #[error("the value of ({:04X},{:04X}) is too long", .0 >> 16, .0 & 0xFFFF)]
    TooLong(u32),
}

/// Puts one data set together from its JSON object and the bulk data that it names.
///
/// # Errors
/// [`ReadError`], for the first thing that is wrong.
pub fn read(value: &Value, bulk: &dyn Fn(&str) -> Option<Bulk>) -> Result<Composed, ReadError> {
    let object = value.as_object().ok_or(ReadError::NotAnObject)?;
    let mut writer = Writer {
        bulk,
        seen: HashSet::new(),
        repeated: 0,
        utf8: beyond_ascii(value, 0)?,
        transfer_syntax: None,
        buffer: Vec::new(),
        pieces: Vec::new(),
    };
    writer.data_set(object, 0)?;
    writer.flush();
    let text = |tag: &str| {
        let value = object.get(tag).and_then(|attribute| attribute.get("Value"));
        let first = value.and_then(|values| values.get(0)).and_then(Value::as_str);
        crate::uid::usable(first.unwrap_or_default())
    };
    let identity = Identity {
        study_uid: text("0020000D"),
        series_uid: text("0020000E"),
        sop_instance_uid: text("00080018"),
        sop_class_uid: text("00080016"),
        transfer_syntax_uid: writer.transfer_syntax.unwrap_or_else(|| EXPLICIT_LE.to_owned()),
    };
    let mut pieces = writer.pieces;
    pieces.insert(0, synthesize(&identity).into());
    Ok(Composed { pieces, identity })
}

/// Is there any text that the default repertoire lacks? Then the data set is in UTF-8 (ISO_IR 192).
fn beyond_ascii(value: &Value, depth: usize) -> Result<bool, ReadError> {
    // An item is three levels below the item around it.
    if depth > 3 * DEPTH_MAX + 3 {
        return Err(ReadError::TooDeep);
    }
    let mut found = false;
    match value {
        Value::String(text) => found = !text.is_ascii(),
        Value::Array(values) => {
            for value in values {
                found |= beyond_ascii(value, depth + 1)?;
            }
        }
        Value::Object(members) => {
            for value in members.values() {
                found |= beyond_ascii(value, depth + 1)?;
            }
        }
        _ => {}
    }
    Ok(found)
}

struct Writer<'b> {
    bulk: &'b dyn Fn(&str) -> Option<Bulk>,
    seen: HashSet<&'b str>,
    /// Bytes of bulk data that were used again.
    repeated: u64,
    utf8: bool,
    transfer_syntax: Option<String>,
    buffer: Vec<u8>,
    pieces: Vec<Bytes>,
}

impl<'b> Writer<'b> {
    fn flush(&mut self) {
        if !self.buffer.is_empty() {
            self.pieces.push(std::mem::take(&mut self.buffer).into());
        }
    }

    fn data_set(&mut self, object: &'b Map<String, Value>, depth: usize) -> Result<(), ReadError> {
        if depth > DEPTH_MAX {
            return Err(ReadError::TooDeep);
        }
        let mut attributes = Vec::with_capacity(object.len() + 1);
        for (name, attribute) in object {
            let digits = name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
            let tag = u32::from_str_radix(name, 16).ok().filter(|_| digits);
            attributes.push((tag.ok_or(ReadError::BadTag)?, attribute));
        }
        attributes.sort_by_key(|(tag, _)| *tag);
        attributes.dedup_by_key(|(tag, _)| *tag);
        let mut charset_due = self.utf8 && depth == 0;
        for (tag, attribute) in attributes {
            // Group lengths, commands, file meta information and delimiters have no place in a data set.
            if tag as u16 == 0 || matches!(tag >> 16, 0 | 2 | 0xFFFE) {
                continue;
            }
            if charset_due && tag >= tags::SPECIFIC_CHARACTER_SET {
                charset_due = false;
                let value = b"ISO_IR 192";
                element(&mut self.buffer, tags::SPECIFIC_CHARACTER_SET, Vr(*b"CS"), value);
            }
            // Whatever the text was in before it became JSON, it is UTF-8 now (CP-2518).
            if self.utf8 && tag == tags::SPECIFIC_CHARACTER_SET {
                continue;
            }
            self.attribute(tag, attribute, depth)?;
        }
        Ok(())
    }

    fn attribute(&mut self, tag: u32, value: &'b Value, depth: usize) -> Result<(), ReadError> {
        let members = value.as_object().ok_or(ReadError::NotAnObject)?;
        let said = match members.get("vr").map(|vr| vr.as_str().map(str::as_bytes)) {
            None => Vr::NONE,
            Some(Some(&[v, w])) if Vr([v, w]).is_known() => Vr([v, w]),
            Some(_) => return Err(ReadError::BadVr(tag)),
        };
        let vr = if said == Vr::NONE { resolve(tag, said, false) } else { said };
        if let Some(uri) = members.get("BulkDataURI") {
            let uri = uri.as_str().ok_or(ReadError::BadValue(tag))?;
            return self.bulk(tag, vr, uri);
        }
        if let Some(text) = members.get("InlineBinary") {
            let bytes = text.as_str().and_then(base64::decode).ok_or(ReadError::BadValue(tag))?;
            element(&mut self.buffer, tag, vr, &bytes);
            return Ok(());
        }
        let values = match members.get("Value") {
            None | Some(Value::Null) => &[],
            Some(Value::Array(values)) => values.as_slice(),
            Some(_) => return Err(ReadError::BadValue(tag)),
        };
        if vr.0 == *b"SQ" {
            return self.sequence(tag, values, depth);
        }
        let bytes = scalar::bytes(vr, values).ok_or(ReadError::BadValue(tag))?;
        element(&mut self.buffer, tag, vr, &bytes);
        Ok(())
    }

    fn sequence(&mut self, tag: u32, items: &'b [Value], depth: usize) -> Result<(), ReadError> {
        element_head(&mut self.buffer, tag, Vr(*b"SQ"), u64::from(UNDEFINED));
        for item in items {
            item_head(&mut self.buffer, ITEM, UNDEFINED);
            match item {
                Value::Object(object) => self.data_set(object, depth + 1)?,
                Value::Null => {}
                _ => return Err(ReadError::NotAnObject),
            }
            item_head(&mut self.buffer, ITEM_DELIMITER, 0);
        }
        item_head(&mut self.buffer, SEQUENCE_DELIMITER, 0);
        Ok(())
    }

    fn bulk(&mut self, tag: u32, vr: Vr, uri: &'b str) -> Result<(), ReadError> {
        let bulk = (self.bulk)(uri).ok_or(ReadError::NoBulk(tag))?;
        let length: u64 = bulk.parts.iter().map(|part| part.len() as u64).sum();
        if !self.seen.insert(uri) {
            self.repeated += length;
        }
        if length >= u64::from(UNDEFINED) - 1 || self.repeated > REPEATED_BULK_BYTES_MAX {
            return Err(ReadError::TooLong(tag));
        }
        let parts = if is_pixel_data(tag) {
            match place(bulk)? {
                Placed::Native(parts) => parts,
                Placed::Encapsulated(uid, parts) => return self.fragments(tag, &uid, parts),
            }
        } else {
            bulk.parts
        };
        let odd = length & 1;
        element_head(&mut self.buffer, tag, vr, length + odd);
        for part in parts {
            self.push(part);
        }
        if odd == 1 {
            self.buffer.push(if rules(vr).is_some() && vr.0 != *b"UI" { b' ' } else { 0 });
        }
        Ok(())
    }

    /// Encapsulated pixel data, one fragment a frame, with an empty offset table (PS3.5 A.4).
    fn fragments(&mut self, tag: u32, uid: &str, parts: Vec<Bytes>) -> Result<(), ReadError> {
        let other = self.transfer_syntax.as_deref().is_some_and(|other| other != uid);
        if other || tag != tags::PIXEL_DATA {
            return Err(ReadError::BadTransferSyntax);
        }
        self.transfer_syntax = Some(uid.to_owned());
        element_head(&mut self.buffer, tag, Vr(*b"OB"), u64::from(UNDEFINED));
        item_head(&mut self.buffer, ITEM, 0);
        for part in parts {
            let odd = part.len() & 1;
            item_head(&mut self.buffer, ITEM, (part.len() + odd) as u32);
            self.push(part);
            self.buffer.extend_from_slice(if odd == 1 { &[0] } else { &[] });
        }
        item_head(&mut self.buffer, SEQUENCE_DELIMITER, 0);
        Ok(())
    }

    /// A large part is kept as it is, not copied.
    fn push(&mut self, part: Bytes) {
        if (part.len() as u64) < LARGE_BYTES {
            self.buffer.extend_from_slice(&part);
        } else {
            self.flush();
            self.pieces.push(part);
        }
    }
}
