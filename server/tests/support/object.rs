//! Small DICOM files in any encoding, element by element.

#![allow(dead_code)]

pub(crate) const IMPLICIT_LE: &str = "1.2.840.10008.1.2";
pub(crate) const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";
pub(crate) const EXPLICIT_BE: &str = "1.2.840.10008.1.2.2";
pub(crate) const RLE: &str = "1.2.840.10008.1.2.5";
pub(crate) const MPEG4: &str = "1.2.840.10008.1.2.4.102";

/// A value, whatever the byte order.
#[derive(Clone)]
pub(crate) enum Value {
    Text(String),
    Number(u16),
    Bytes(Vec<u8>),
    /// 16-bit numbers.
    Words(Vec<u16>),
    Fragments(Vec<Vec<u8>>),
}

/// A file to be.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) syntax: &'static str,
    pub(crate) sop: String,
    elements: Vec<(u32, [u8; 2], Value)>,
}

impl Object {
    /// Study `1.2.3`, series `1.2.3.4`, a secondary capture.
    pub(crate) fn new(syntax: &'static str, sop: &str) -> Self {
        let class = "1.2.840.10008.5.1.4.1.1.7";
        let object = Self { syntax, sop: sop.into(), elements: Vec::new() };
        object
            .text(0x0008_0016, *b"UI", class)
            .text(0x0008_0018, *b"UI", sop)
            .text(0x0008_0060, *b"CS", "OT")
            .text(0x0010_0010, *b"PN", "Doe^Jane")
            .text(0x0020_000D, *b"UI", "1.2.3")
            .text(0x0020_000E, *b"UI", "1.2.3.4")
    }

    pub(crate) fn with(mut self, tag: u32, vr: [u8; 2], value: Value) -> Self {
        self.elements.push((tag, vr, value));
        self.elements.sort_by_key(|(tag, ..)| *tag);
        self
    }

    pub(crate) fn text(self, tag: u32, vr: [u8; 2], value: &str) -> Self {
        self.with(tag, vr, Value::Text(value.into()))
    }

    /// Of another study, series and modality.
    pub(crate) fn of_study(mut self, study: &str, series: &str, modality: &str) -> Self {
        self.elements.retain(|(tag, ..)| !matches!(*tag, 0x0008_0060 | 0x0020_000D | 0x0020_000E));
        self.text(0x0008_0060, *b"CS", modality).text(0x0020_000D, *b"UI", study).text(
            0x0020_000E,
            *b"UI",
            series,
        )
    }

    /// Grey pixels of these dimensions.
    pub(crate) fn image(self, rows: u16, columns: u16, bits: u16, frames: u16) -> Self {
        let number = |object: Self, tag, value| object.with(tag, *b"US", Value::Number(value));
        let mut object = self.text(0x0028_0004, *b"CS", "MONOCHROME2");
        object = object.text(0x0028_0008, *b"IS", &frames.to_string());
        for (tag, value) in [
            (0x0028_0002, 1),
            (0x0028_0010, rows),
            (0x0028_0011, columns),
            (0x0028_0100, bits),
            (0x0028_0101, bits),
            (0x0028_0102, bits - 1),
            (0x0028_0103, 0),
        ] {
            object = number(object, tag, value);
        }
        object
    }

    pub(crate) fn pixels(self, vr: [u8; 2], value: Value) -> Self {
        self.with(0x7FE0_0010, vr, value)
    }

    /// The file.
    pub(crate) fn file(&self) -> Vec<u8> {
        let mut meta = Vec::new();
        for (tag, value) in [
            (0x0002_0002, "1.2.840.10008.5.1.4.1.1.7"),
            (0x0002_0003, self.sop.as_str()),
            (0x0002_0010, self.syntax),
        ] {
            write(&mut meta, EXPLICIT_LE, tag, *b"UI", &Value::Text(value.into()));
        }
        let mut out = vec![0; 128];
        out.extend_from_slice(b"DICM");
        let length = (meta.len() as u32).to_le_bytes().to_vec();
        write(&mut out, EXPLICIT_LE, 0x0002_0000, *b"UL", &Value::Bytes(length));
        out.extend_from_slice(&meta);
        for (tag, vr, value) in &self.elements {
            write(&mut out, self.syntax, *tag, *vr, value);
        }
        out
    }
}

fn write(out: &mut Vec<u8>, syntax: &str, tag: u32, vr: [u8; 2], value: &Value) {
    let big = syntax == EXPLICIT_BE;
    let word = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let long = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let mut bytes = match value {
        Value::Text(text) => text.clone().into_bytes(),
        Value::Number(number) => word(*number).to_vec(),
        Value::Bytes(bytes) => bytes.clone(),
        Value::Words(words) => words.iter().flat_map(|n| word(*n)).collect(),
        Value::Fragments(_) => Vec::new(),
    };
    if bytes.len() % 2 == 1 {
        bytes.push(if matches!(value, Value::Text(_)) && vr != *b"UI" { b' ' } else { 0 });
    }
    out.extend_from_slice(&word((tag >> 16) as u16));
    out.extend_from_slice(&word(tag as u16));
    if let Value::Fragments(fragments) = value {
        out.extend_from_slice(b"OB\0\0\xFF\xFF\xFF\xFF");
        let table: &[u8] = &[];
        for item in std::iter::once(table).chain(fragments.iter().map(Vec::as_slice)) {
            out.extend_from_slice(b"\xFE\xFF\x00\xE0");
            out.extend_from_slice(&(item.len() as u32).to_le_bytes());
            out.extend_from_slice(item);
        }
        out.extend_from_slice(b"\xFE\xFF\xDD\xE0\0\0\0\0");
        return;
    }
    let length = bytes.len() as u32;
    if syntax == IMPLICIT_LE {
        out.extend_from_slice(&long(length));
    } else if matches!(&vr, b"OB" | b"OW" | b"UN" | b"UT" | b"SQ" | b"OF") {
        out.extend_from_slice(&vr);
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&long(length));
    } else {
        out.extend_from_slice(&vr);
        out.extend_from_slice(&word(length as u16));
    }
    out.extend_from_slice(&bytes);
}

/// One 8-bit frame in RLE (PS3.5 annex G): literal runs only.
pub(crate) fn rle(frame: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 64];
    out[0] = 1;
    out[4] = 64;
    for run in frame.chunks(128) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
    if out.len() % 2 == 1 {
        out.push(0);
    }
    out
}
