//! Is this DICOM, and how does it begin?

use crate::element::{self, HEAD_BYTES_MAX, Read};
use crate::flags::Flags;
use crate::split::Splitter;
use crate::syntax::{EXPLICIT_BE, EXPLICIT_LE, Encoding, IMPLICIT_LE};

/// How much of an object [`probe`] wants to see, in bytes: enough for a long group 0008 in a data set
/// that has nothing before it.
pub const PROBE_BYTES: usize = 16 * 1024;

/// Fewer top-level elements than this are no evidence.
const ELEMENTS_MIN: u64 = 3;

/// How an object's bytes begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Preamble, "DICM", group 0002: a file by the book (PS3.10 §7.1).
    Part10,
    /// Group 0002 without a preamble, or "DICM" at the very start.
    MetaOnly,
    /// A data set alone, in a transfer syntax that was guessed.
    Bare {
        /// One of the three uncompressed ones.
        transfer_syntax: &'static str,
    },
    /// A data set alone, as DIMSE carries it; the sender told the transfer syntax.
    Dataset {
        /// Its UID, as negotiated (PS3.8 §9.3.2).
        transfer_syntax: String,
    },
}

/// Why bytes are not taken for DICOM. The words hold nothing of the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDicom {
    /// No byte at all.
    #[error("the file is empty")]
    Empty,
    /// Another well-known kind of file.
    #[error("this is {0}, not a DICOM file")]
    Other(&'static str),
    /// Nothing known.
    #[error("not a DICOM file: no DICM mark, and the content does not read as a data set")]
    NoMagic,
}

/// Looks at `head`, the first [`PROBE_BYTES`] of an object or all of it (`whole`).
///
/// The mark "DICM" settles it, whatever follows. Without it several elements have to parse, in order,
/// with a SOP Class or SOP Instance UID among them.
///
/// # Errors
/// [`NotDicom`] with a reason for a person.
pub fn probe(head: &[u8], whole: bool) -> Result<Framing, NotDicom> {
    if head.is_empty() {
        return Err(NotDicom::Empty);
    }
    if head.get(128..132) == Some(b"DICM") {
        return Ok(Framing::Part10);
    }
    if head.starts_with(b"DICM") || has_meta(head) {
        return Ok(Framing::MetaOnly);
    }
    for transfer_syntax in [EXPLICIT_LE, IMPLICIT_LE, EXPLICIT_BE] {
        if reads_as(head, whole, transfer_syntax) {
            return Ok(Framing::Bare { transfer_syntax });
        }
    }
    Err(other_kind(head).map_or(NotDicom::NoMagic, NotDicom::Other))
}

/// Two elements of group 0002, one after the other.
fn has_meta(head: &[u8]) -> bool {
    let mut rest = head;
    for _ in 0..2 {
        let bytes = rest.get(..HEAD_BYTES_MAX.min(rest.len())).unwrap_or_default();
        let Read::Known(element) = element::read(bytes, Encoding::EXPLICIT_LE) else {
            return false;
        };
        if element.tag >> 16 != 2 {
            return false;
        }
        let bytes = element.bytes as usize + element.length as usize;
        rest = rest.get(bytes..).unwrap_or_default();
    }
    true
}

fn reads_as(head: &[u8], whole: bool, transfer_syntax: &str) -> bool {
    let mut splitter =
        Splitter::new(Framing::Dataset { transfer_syntax: transfer_syntax.to_owned() });
    if splitter.advance(head, 0, whole, &mut Vec::new()).is_err() {
        return false;
    }
    let (elements, named, flags) = splitter.evidence();
    // The splitter is lenient once it knows that it reads DICOM; here the encoding has to be right.
    let wrong = Flags::BAD_VR | Flags::OUT_OF_ORDER;
    elements >= ELEMENTS_MIN && named && flags.bits() & wrong.bits() == 0
}

/// What people send by mistake.
fn other_kind(head: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 12] = [
        (b"PK\x03\x04", "a zip archive"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"%PDF", "a PDF document"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"\x89PNG", "a PNG image"),
        (b"GIF8", "a GIF image"),
        (b"II*\0", "a TIFF image"),
        (b"MM\0*", "a TIFF image"),
        (b"\x28\xb5\x2f\xfd", "a zstd archive"),
        (b"MZ", "a Windows program"),
        (b"\x7fELF", "a program"),
    ];
    if let Some((_, name)) = KINDS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(name);
    }
    let text = head.trim_ascii_start();
    if text.starts_with(b"<") {
        return Some("an HTML or XML document");
    }
    let sample = head.get(..512.min(head.len())).unwrap_or_default();
    let readable = |b: &u8| matches!(b, b'\t' | b'\n' | b'\r' | 0x20..=0x7E);
    (sample.len() >= 8 && sample.iter().all(readable)).then_some("plain text")
}
