//! A data set as one DICOM JSON object (PS3.18 F.2), written straight to a buffer.
//!
//! Invariants, for any input: the output is one valid JSON object in UTF-8; tags ascend and are unique in
//! every object; no group length, no file meta information, no pixel value; what is left out for its
//! depth or size is told.
//!
//! (0008,0005) is written as it was received. The text itself is UTF-8 in any case (PS3.18 F.2), so for
//! readers of JSON the attribute only says what the stored object has (CP-2518).

use std::borrow::Cow;
use std::io;

use super::text::rules;
use super::value::{binary, hexadecimal, numbers, strings};
use super::walk::{Element, Event, Walk};
use crate::attributes::tags;
use crate::charset::Charset;
use crate::element::Vr;
use crate::flags::Flags;
use crate::limits::{
    DEPTH_MAX, INFLATE_BYTES_MAX, INLINE_ALWAYS_BYTES_MAX, INLINE_BINARY_BYTES_MAX,
    INLINE_NUMBERS_BYTES_MAX, INLINE_TEXT_BYTES_MAX, JSON_BYTES_MAX, JSON_ITEMS_MAX,
};
use crate::source::Source;
use crate::split::is_pixel_data;
use crate::syntax::Syntax;

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Written {
    /// Elements, nested ones included.
    pub elements: u64,
    /// Values that are named by a BulkDataURI.
    pub bulk: u64,
    /// What was odd about the data set.
    pub flags: Flags,
    /// Something was left out: nested deeper than
    /// [`DEPTH_MAX`], more than [`JSON_ITEMS_MAX`] items, or beyond [`JSON_BYTES_MAX`].
    pub cut: bool,
}

/// Appends the data set in `source` to `out`, as one DICOM JSON object.
///
/// Values that are not inline are named `instances/<instance_uid>/bulkdata/<path>`, with the UID
/// percent-encoded where it is not one. `path` is what [`super::find`] takes.
///
/// # Errors
/// Those of the source. `out` is then as it was.
pub fn write(
    source: &mut dyn Source,
    transfer_syntax: &str,
    instance_uid: &str,
    out: &mut Vec<u8>,
) -> io::Result<Written> {
    let start = out.len();
    let syntax = Syntax::of(transfer_syntax);
    let written = if syntax.deflated {
        super::inflate::prefix(source, INFLATE_BYTES_MAX).and_then(|inflated| {
            let mut bytes = inflated.bytes;
            let written = Writer::new(instance_uid, out).run(&mut bytes, syntax);
            written.map(|written| Written { flags: written.flags | inflated.flags, ..written })
        })
    } else {
        Writer::new(instance_uid, out).run(source, syntax)
    };
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// One JSON object that is open: the data set, or an item.
#[derive(Debug)]
struct Object {
    /// Its first entry in [`Writer::entries`].
    first_entry: usize,
    /// Where its text starts, behind the brace.
    start: usize,
    last_tag: Option<u32>,
    ascending: bool,
    /// Its index in [`Writer::charsets`].
    charset: usize,
}

/// A sequence that is open.
#[derive(Debug)]
struct Sequence {
    items: u64,
    /// Length of the path up to it, and up to the item's number.
    path: usize,
    numbered: usize,
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Where `out` starts to be ours.
    start: usize,
    uid: Cow<'o, str>,
    objects: Vec<Object>,
    sequences: Vec<Sequence>,
    /// Tag and start of each attribute of every open object.
    entries: Vec<(u32, usize)>,
    /// The character set of the data set, and of each open item that has one of its own.
    charsets: Vec<Charset>,
    /// `<tag>.<item>.` for each open sequence.
    path: String,
    items: u64,
    written: Written,
}

impl<'o> Writer<'o> {
    fn new(instance_uid: &'o str, out: &'o mut Vec<u8>) -> Self {
        Self {
            start: out.len(),
            out,
            uid: escape(instance_uid),
            objects: Vec::new(),
            sequences: Vec::new(),
            entries: Vec::new(),
            charsets: vec![Charset::new(None)],
            path: String::new(),
            items: 0,
            written: Written::default(),
        }
    }

    fn run(mut self, source: &mut dyn Source, syntax: Syntax) -> io::Result<Written> {
        let mut walk = Walk::new(source, syntax.encoding, DEPTH_MAX)?;
        self.open_object();
        loop {
            match walk.next()? {
                Event::Element(element) => self.element(&mut walk, element)?,
                Event::Sequence(tag) => self.open_sequence(tag),
                Event::Item => self.open_item(&mut walk),
                Event::ItemEnd => self.close_item(),
                Event::SequenceEnd => self.close_sequence(),
                Event::End => break,
            }
            if self.out.len() - self.start > JSON_BYTES_MAX && !self.written.cut {
                self.written.cut = true;
                walk.stop();
            }
        }
        self.close_object();
        self.written.flags |= walk.flags;
        self.written.cut |= walk.too_deep;
        Ok(self.written)
    }

    fn open_object(&mut self) {
        self.out.push(b'{');
        self.objects.push(Object {
            first_entry: self.entries.len(),
            start: self.out.len(),
            last_tag: None,
            ascending: true,
            charset: self.charsets.len() - 1,
        });
    }

    fn close_object(&mut self) {
        let Some(object) = self.objects.pop() else { return };
        if !object.ascending {
            self.sort(&object);
        }
        self.entries.truncate(object.first_entry);
        self.charsets.truncate(object.charset + 1);
        self.out.push(b'}');
    }

    /// Brings the attributes of an object into the order of their tags. Of two with one tag the first
    /// counts, as in the index and in DCMTK.
    fn sort(&mut self, object: &Object) {
        let entries = self.entries.get(object.first_entry..).unwrap_or_default();
        let ends = entries.iter().skip(1).map(|(_, next)| next - 1).chain([self.out.len()]);
        let mut attributes: Vec<_> = entries.iter().zip(ends).collect();
        attributes.sort_by_key(|((tag, _), _)| *tag);
        attributes.dedup_by_key(|((tag, _), _)| *tag);
        let mut sorted = Vec::with_capacity(self.out.len() - object.start);
        for ((_, start), end) in attributes {
            if !sorted.is_empty() {
                sorted.push(b',');
            }
            sorted.extend_from_slice(self.out.get(*start..end).unwrap_or_default());
        }
        self.out.truncate(object.start);
        self.out.append(&mut sorted);
    }

    /// Begins an attribute: `"GGGGEEEE":{"vr":"XX"`.
    fn attribute(&mut self, tag: u32, vr: Vr) {
        let Some(object) = self.objects.last_mut() else { return };
        if object.last_tag.is_some() {
            self.out.push(b',');
        }
        object.ascending &= object.last_tag.is_none_or(|last| tag > last);
        object.last_tag = Some(tag);
        self.entries.push((tag, self.out.len()));
        let mut head = *b"\"GGGGEEEE\":{\"vr\":\"XX\"";
        head[1..9].copy_from_slice(&hexadecimal(tag));
        head[18..20].copy_from_slice(&vr.0);
        self.out.extend_from_slice(&head);
        self.written.elements += 1;
    }

    fn open_sequence(&mut self, tag: u32) {
        self.attribute(tag, Vr(*b"SQ"));
        let path = self.path.len();
        self.path.extend(hexadecimal(tag).map(char::from));
        self.path.push('.');
        self.sequences.push(Sequence { items: 0, path, numbered: self.path.len() });
    }

    fn close_sequence(&mut self) {
        let Some(sequence) = self.sequences.pop() else { return };
        self.path.truncate(sequence.path);
        self.out.extend_from_slice(if sequence.items > 0 { b"]}" } else { b"}" });
    }

    fn open_item(&mut self, walk: &mut Walk<'_>) {
        let Some(sequence) = self.sequences.last_mut() else { return };
        self.out.extend_from_slice(if sequence.items > 0 { b"," } else { b",\"Value\":[" });
        self.path.truncate(sequence.numbered);
        self.path.push_str(&sequence.items.to_string());
        self.path.push('.');
        sequence.items += 1;
        self.items += 1;
        if self.items >= JSON_ITEMS_MAX {
            self.written.cut = true;
            walk.stop();
        }
        self.open_object();
    }

    fn close_item(&mut self) {
        self.close_object();
    }

    fn element(&mut self, walk: &mut Walk<'_>, element: Element) -> io::Result<()> {
        // Group lengths are not in JSON (PS3.18 F.2.2); neither is group 0002, nor command elements.
        if element.tag as u16 == 0 || matches!(element.tag >> 16, 0 | 2) {
            return Ok(());
        }
        self.attribute(element.tag, element.vr);
        if element.length > 0 {
            let text = rules(element.vr);
            let inline_max = match &element.vr.0 {
                _ if is_bulk(&element) => 0,
                // All others may have a BulkDataURI (PS3.18 §F.2.2).
                b"AE" | b"AS" | b"AT" | b"CS" | b"DA" | b"DT" | b"LO" | b"PN" | b"SH" | b"TM"
                | b"UI" | b"UR" => INLINE_ALWAYS_BYTES_MAX,
                _ if text.is_some() => INLINE_TEXT_BYTES_MAX,
                b"OB" | b"UN" => INLINE_BINARY_BYTES_MAX,
                _ => INLINE_NUMBERS_BYTES_MAX,
            };
            if element.length > inline_max {
                self.bulk_uri(element.tag);
            } else {
                let value = walk.value(&element, inline_max)?;
                self.value(&element, value);
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    fn value(&mut self, element: &Element, value: &[u8]) {
        if element.tag == tags::SPECIFIC_CHARACTER_SET {
            self.declare(value);
        }
        if let Some(rules) = rules(element.vr) {
            let Some(charset) = self.charsets.last() else { return };
            if !strings(element.vr, rules, value, charset, self.out) {
                self.written.flags |= Flags::BAD_CHARSET;
            }
        } else if !numbers(element.vr, value, element.big_endian, self.out) {
            binary(element.vr, value, element.big_endian, self.out);
        }
    }

    /// From here on text of this object, and of what it holds, is in another character set.
    fn declare(&mut self, value: &[u8]) {
        let declared = String::from_utf8_lossy(value);
        let charset = Charset::new(Some(declared.trim_end_matches(['\0', ' '])));
        let Some(object) = self.objects.last() else { return };
        let entries = self.entries.get(object.first_entry..).unwrap_or_default();
        let declarations = entries.iter().filter(|(tag, _)| *tag == tags::SPECIFIC_CHARACTER_SET);
        if declarations.count() > 1 {
            return; // the first counts
        }
        if object.charset > 0 || self.objects.len() > 1 {
            self.charsets.truncate(object.charset + 1);
            self.charsets.push(charset);
        } else {
            self.charsets = vec![charset];
        }
    }

    fn bulk_uri(&mut self, tag: u32) {
        self.out.extend_from_slice(b",\"BulkDataURI\":\"instances/");
        self.out.extend_from_slice(self.uid.as_bytes());
        self.out.extend_from_slice(b"/bulkdata/");
        self.out.extend_from_slice(self.path.as_bytes());
        self.out.extend_from_slice(&hexadecimal(tag));
        self.out.push(b'"');
        self.written.bulk += 1;
    }
}

/// Is this a value that is never inline, whatever its length?
fn is_bulk(element: &Element) -> bool {
    element.encapsulated || is_pixel_data(element.tag) || element.tag == tags::ENCAPSULATED_DOCUMENT
}

/// A UID as a path segment (RFC 3986 §3.3); ill-formed ones are archived too.
fn escape(uid: &str) -> Cow<'_, str> {
    let unreserved = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    if uid.bytes().all(|byte| unreserved(&byte)) {
        return Cow::Borrowed(uid);
    }
    let mut out = String::with_capacity(uid.len() + 8);
    for byte in uid.bytes() {
        if unreserved(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend(hexadecimal(u32::from(byte)).iter().skip(6).map(|digit| char::from(*digit)));
        }
    }
    Cow::Owned(out)
}
