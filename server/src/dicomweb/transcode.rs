//! One instance as a DICOM file: as it is stored, or as Explicit VR Little Endian.
//!
//! Nothing is converted silently: what comes out says its transfer syntax, in the File Meta Information
//! and in the Content-Type around it. A converted object keeps its UIDs: it is the same instance in
//! another encoding. Pixels that were coded lossily stay marked so.

use bytes::Bytes;
use cairn_chunker::frames::Frames;
use cairn_chunker::manifest::{Envelope, Manifest};
use cairn_dicom::attributes::tags;
use cairn_dicom::element::{UNDEFINED, Vr};
use cairn_dicom::envelope::synthesize;
use cairn_dicom::json::{self, Piece, Rewritten};
use cairn_dicom::object::Identity;
use cairn_dicom::pixels::{Change, Numbers, pixel_data_vr, transcodable};
use cairn_dicom::syntax::{DEFLATED, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE};
use cairn_store::catalog::VersionRow;
use hyper::StatusCode;

use super::body::{Body, native_bytes};
use super::image::{Image, Pixels, unreadable};
use crate::http::{App, Problem};
use crate::metrics::ErrorKind;

/// What a Part 10 file has behind its preamble (PS3.10 §7.1).
const MAGIC: &[u8] = b"DICM";
const PREAMBLE_BYTES: usize = 128;

/// The encoding in which an instance goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it is stored, byte for byte.
    Stored,
    /// Explicit VR Little Endian.
    Explicit,
}

impl Encoding {
    /// The transfer syntax UID of an instance that is stored in `stored`.
    pub(crate) fn syntax(self, stored: &str) -> &str {
        match self {
            Self::Stored => stored,
            Self::Explicit => EXPLICIT_LE,
        }
    }
}

/// How instances of a transfer syntax can go out, the best first. Implicit VR and big endian never do
/// (PS3.18 §8.7.3).
pub(crate) fn encodings(stored: &str) -> &'static [Encoding] {
    match stored {
        IMPLICIT_LE | EXPLICIT_BE => &[Encoding::Explicit],
        EXPLICIT_LE => &[Encoding::Stored],
        other if other == DEFLATED || transcodable(other) => {
            &[Encoding::Stored, Encoding::Explicit]
        }
        _ => &[Encoding::Stored],
    }
}

/// One run of a file.
pub(crate) enum Section {
    /// At hand.
    Bytes(Bytes),
    /// To be read, or decoded.
    Body(Body),
}

/// A file, section by section. Large values are not read before they are sent.
pub(crate) struct Part10 {
    /// In order.
    pub(crate) sections: Vec<Section>,
}

impl Part10 {
    /// Prepares an instance.
    ///
    /// # Errors
    /// 406 for what cannot be converted; what is damaged.
    pub(crate) fn of(app: &App, image: &Image, encoding: Encoding) -> Result<Self, Problem> {
        match encoding {
            Encoding::Stored => stored(image),
            Encoding::Explicit => explicit(app, image),
        }
    }

    /// How long the file is.
    pub(crate) fn length(&self) -> u64 {
        let lengths = self.sections.iter().map(|section| match section {
            Section::Bytes(bytes) => bytes.len() as u64,
            Section::Body(body) => body.length(),
        });
        lengths.sum()
    }
}

fn stored(image: &Image) -> Result<Part10, Problem> {
    let envelope = match &image.manifest.envelope {
        Envelope::Inline(bytes) if is_part10(bytes) => Bytes::copy_from_slice(bytes),
        Envelope::Chunked(chunks) => {
            let mut all = Vec::new();
            for chunk in chunks {
                all.extend_from_slice(&image.reader().chunk(&chunk.id)?);
            }
            if is_part10(&all) { all.into() } else { header(image, image.syntax()) }
        }
        // It came by DIMSE, or as a file without a header: a file on the web has one (PS3.10 §7.1).
        Envelope::Inline(_) | Envelope::Absent => header(image, image.syntax()),
    };
    let range = 0..image.manifest.dataset_bytes;
    let piece = Piece::Stored { range, unit: 1 };
    let body = Body::Value { image: image.clone(), piece };
    Ok(Part10 { sections: vec![Section::Bytes(envelope), Section::Body(body)] })
}

fn is_part10(envelope: &[u8]) -> bool {
    envelope.get(PREAMBLE_BYTES..PREAMBLE_BYTES + MAGIC.len()) == Some(MAGIC)
}

fn header(image: &Image, syntax: &str) -> Bytes {
    let Manifest { sop_instance_uid, sop_class_uid, .. } = &*image.manifest;
    let VersionRow { study_uid, series_uid, .. } = &*image.version;
    synthesize(&Identity {
        study_uid: study_uid.clone(),
        series_uid: series_uid.clone(),
        sop_instance_uid: sop_instance_uid.clone(),
        sop_class_uid: sop_class_uid.clone(),
        transfer_syntax_uid: syntax.to_owned(),
    })
    .into()
}

fn explicit(app: &App, image: &Image) -> Result<Part10, Problem> {
    let decoding = match image.manifest.frames {
        Frames::Encapsulated { .. } => Some(Decoding::of(app, image)?),
        Frames::None | Frames::Native { .. } => None,
    };
    let changes = decoding.as_ref().map(|decoding| decoding.changes.as_slice());
    let mut source = image.source();
    let rewritten = json::explicit_le(&mut source, image.syntax(), changes.unwrap_or_default());
    let mut rewritten = rewritten.map_err(|error| unreadable(&mut source, error))?;
    if rewritten.cut {
        return Err(unconvertible("it is nested too deeply"));
    }
    let mut sections = vec![Section::Bytes(header(image, EXPLICIT_LE))];
    match decoding {
        None => {
            let coded = rewritten.pixels.as_ref().is_some_and(|pixels| pixels.encapsulated);
            if coded {
                return Err(unconvertible("its frames were not found"));
            }
            let too_long = |pixels: &json::Found| pixels.value.len() >= u64::from(UNDEFINED);
            if rewritten.pixels.as_ref().is_some_and(too_long) {
                return Err(unconvertible("its pixels are too long for one value"));
            }
            if let Some(pixels) = &mut rewritten.pixels {
                image.turn_whole_samples(pixels)?;
            }
            sections.extend(pieces(image, rewritten.into_pieces()));
        }
        Some(decoding) => decoding.write(image, rewritten, &mut sections)?,
    }
    Ok(Part10 { sections })
}

fn pieces(image: &Image, pieces: Vec<Piece>) -> impl Iterator<Item = Section> {
    pieces.into_iter().map(|piece| match piece {
        Piece::Bytes(bytes) => Section::Bytes(bytes),
        piece @ Piece::Stored { .. } => Section::Body(Body::Value { image: image.clone(), piece }),
    })
}

/// Coded pixels that go out decoded.
struct Decoding {
    pixels: Pixels,
    /// The element that they become: tag, VR, length.
    head: [u8; 12],
    first: Bytes,
    changes: Vec<json::Change>,
}

impl Decoding {
    /// Decodes the first frame, since that tells what the others will be.
    fn of(app: &App, image: &Image) -> Result<Self, Problem> {
        let pixels = image.pixels(app)?;
        if pixels.count() != pixels.layout.frames {
            return Err(unconvertible("it has not as many frames as its header says"));
        }
        let first = pixels.decoded(0)?;
        if first.layout.numbers != Numbers::Whole {
            return Err(unconvertible("its samples are floating"));
        }
        let frame_bytes = first.bytes.len() as u64;
        let length = native_bytes(&pixels, frame_bytes);
        let length = u32::try_from(length).ok().filter(|length| *length < UNDEFINED);
        let length =
            length.ok_or_else(|| unconvertible("its pixels are too long for one value"))?;
        let (tag, vr) = pixel_data_vr(&first.layout);
        let [l, m, n, o] = length.to_le_bytes();
        let [group, element] = [(tag >> 16) as u16, tag as u16].map(u16::to_le_bytes);
        let head = [group[0], group[1], element[0], element[1], vr[0], vr[1], 0, 0, l, m, n, o];
        let changes = first.header_changes(&pixels.layout).into_iter().map(change).collect();
        Ok(Self { pixels, head, first: first.bytes, changes })
    }

    fn write(
        self,
        image: &Image,
        rewritten: Rewritten,
        sections: &mut Vec<Section>,
    ) -> Result<(), Problem> {
        debug_assert_eq!(self.head[..4], [0xE0, 0x7F, 0x10, 0], "{:08X}", tags::PIXEL_DATA);
        if rewritten.pixels.is_none() {
            return Err(unconvertible("its pixel data were not found"));
        }
        sections.extend(pieces(image, rewritten.head));
        sections.push(Section::Bytes(Bytes::copy_from_slice(&self.head)));
        let pixels = Box::new(self.pixels);
        sections.push(Section::Body(Body::Frames { pixels, first: self.first }));
        sections.extend(pieces(image, rewritten.tail));
        Ok(())
    }
}

fn change(change: Change) -> json::Change {
    match change {
        Change::Set { tag, vr, value } => json::Change::set(tag, Vr(vr), value),
        Change::Remove { tag } => json::Change::remove(tag),
    }
}

/// 406: it can be had as it is stored, and in no other form.
fn unconvertible(why: &'static str) -> Problem {
    let message = "it cannot be converted; transfer-syntax=* gives it as it is stored";
    Problem::new(StatusCode::NOT_ACCEPTABLE, message).kind(ErrorKind::Pixels).detail(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaviour_4_implicit_and_big_endian_never_go_out() {
        for uid in [IMPLICIT_LE, EXPLICIT_BE] {
            assert_eq!(encodings(uid), [Encoding::Explicit]);
        }
        for uid in [DEFLATED, "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.5"] {
            assert_eq!(encodings(uid), [Encoding::Stored, Encoding::Explicit], "{uid}");
        }
        // Video, private and unknown syntaxes: nobody can decode them.
        for uid in ["1.2.840.10008.1.2.4.102", "1.2.3", "", EXPLICIT_LE] {
            assert_eq!(encodings(uid), [Encoding::Stored], "{uid}");
        }
    }
}
