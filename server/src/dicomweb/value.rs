//! One bulk data value: what it is, the forms in which it can be given, and its bytes.
//!
//! Numbers are little-endian, whatever the stored transfer syntax (PS3.18 §8.7.3.3.1). Compressed
//! pixels go out frame by frame as they are stored, or decoded as one value; video and encapsulated
//! documents under their own media type.

use cairn_chunker::frames::Frames;
use cairn_dicom::attributes::tags;
use cairn_dicom::json::{self, Found, Piece};
use cairn_dicom::syntax::EXPLICIT_LE;

use super::accept::{OCTETS, Offer, video_type_of};
use super::body::Body;
use super::frames::{self, Shape, content_type};
use super::image::{Image, unreadable};
use super::multipart::Writer;
use super::subject::{hex, instance_url};
use crate::http::conditional::Tag;
use crate::http::problem::gone;
use crate::http::{App, Feed, Problem};

/// Media types that encapsulated documents are given out as. Others are bytes: nothing that a browser
/// would run may come out of an archive.
const DOCUMENTS: [&str; 6] =
    ["application/pdf", "model/stl", "model/obj", "model/mtl", "image/jpeg", "image/png"];

/// MIME Type of Encapsulated Document.
const MIME_TYPE: u32 = 0x0042_0012;

/// Where frames are.
const PIXEL_DATA: &str = "7FE00010";

/// What a value can be given as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Bytes, or a document of this type.
    Plain(&'static str),
    /// Frames in code streams.
    Coded,
    /// One stream without frames, of this type.
    Stream(&'static str),
}

/// See the [module](self).
pub(crate) struct Value {
    image: Image,
    path: String,
    found: Found,
    kind: Kind,
}

impl Value {
    /// Finds a value by its bulk path.
    ///
    /// # Errors
    /// What is damaged or cannot be read.
    pub(crate) fn find(image: &Image, path: &str) -> Result<Option<Self>, Problem> {
        let mut source = image.source();
        let found = json::find(&mut source, image.syntax(), path);
        let found = found.map_err(|error| unreadable(&mut source, error))?;
        let Some(mut found) = found else { return Ok(None) };
        if path == PIXEL_DATA {
            image.turn_whole_samples(&mut found)?;
        }
        let kind = if found.encapsulated {
            match (&image.manifest.frames, video_type_of(image.syntax())) {
                (_, Some(video)) => Kind::Stream(video),
                (Frames::Encapsulated { .. }, None) if path == PIXEL_DATA => Kind::Coded,
                (_, None) => Kind::Stream(OCTETS),
            }
        } else if path == format!("{:08X}", tags::ENCAPSULATED_DOCUMENT) {
            Kind::Plain(document_type(image)?)
        } else {
            Kind::Plain(OCTETS)
        };
        Ok(Some(Self { image: image.clone(), path: path.to_owned(), found, kind }))
    }

    /// The type of a document or video, if it is one that may be shown.
    pub(crate) fn shown_as(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Plain(shown) | Kind::Stream(shown) => Some(shown).filter(|name| *name != OCTETS),
            Kind::Coded => None,
        }
    }

    /// Its URL, which is the one in the metadata.
    pub(crate) fn location(&self, base: &str) -> String {
        format!("{}/bulkdata/{}", instance_url(base, &self.image.version), self.path)
    }

    /// Its forms, the one that is liked best first. Alone, frames go out decoded only, if there are
    /// several.
    pub(crate) fn offers(&self, multipart: bool) -> Vec<Offer<'_>> {
        let syntax = self.image.syntax();
        let offer = |media_type| Offer { media_type, syntax: None, multipart };
        let plain = offer(OCTETS).syntax(EXPLICIT_LE);
        match self.kind {
            Kind::Plain(OCTETS) => vec![plain],
            Kind::Plain(document) => vec![offer(document), plain],
            Kind::Stream(OCTETS) => vec![plain.syntax(syntax)],
            Kind::Stream(video) => vec![offer(video).syntax(syntax), plain.syntax(syntax)],
            Kind::Coded => {
                let several = self.image.manifest.frames.count() != 1;
                let mut all = frames::offers(syntax, true, multipart);
                all.retain(|offer| multipart || !several || offer.syntax == Some(EXPLICIT_LE));
                all
            }
        }
    }

    /// All of it as one body, in the form of `offer`.
    ///
    /// # Errors
    /// What is damaged, or 406 for pixels that cannot be decoded.
    pub(crate) fn body(&self, app: &App, offer: &Offer<'_>) -> Result<Body, Problem> {
        let image = self.image.clone();
        match (self.kind, &self.found.value) {
            (Kind::Coded, _) if offer.syntax == Some(EXPLICIT_LE) => {
                Body::frames(image.pixels(app)?)
            }
            (Kind::Coded, _) => {
                let frame = Shape::of(app, &image, image.syntax())?.frame(0)?;
                Ok(Body::Value { image, piece: Piece::Bytes(frame) })
            }
            (Kind::Stream(_), Piece::Stored { range, .. }) => Body::fragments(image, range.clone()),
            (_, piece) => Ok(Body::Value { image, piece: piece.clone() }),
        }
    }

    /// What it is called in the form of `offer`.
    pub(crate) fn tag(&self, offer: &Offer<'_>) -> Tag {
        let mut name = blake3::Hasher::new();
        name.update(self.image.version.dataset_hash.as_bytes());
        name.update(self.path.as_bytes());
        name.update(content_type(offer).as_bytes());
        let tag = Tag::new(&format!("{}-bulk1", hex(&name.finalize().as_bytes()[..16])));
        if offer.multipart { tag.weak() } else { tag }
    }

    /// Sends it as parts in the form of `offer`: one, or one for each frame. Their locations begin with
    /// `base`.
    ///
    /// # Errors
    /// What is damaged or cannot be decoded: the reply must break off.
    pub(crate) fn send(
        &self,
        app: &App,
        offer: &Offer<'_>,
        base: &str,
        writer: &mut Writer,
        feed: &mut Feed,
    ) -> Result<(), Problem> {
        let content_type = content_type(offer);
        if self.kind == Kind::Coded && offer.syntax != Some(EXPLICIT_LE) {
            let url = instance_url(base, &self.image.version);
            let shape = Shape::of(app, &self.image, self.image.syntax())?;
            let count = shape.count();
            for (frame, number) in shape.ahead(0..count).zip(1_u64..) {
                let frame = frame?;
                let length = Some(frame.len() as u64);
                let location = format!("{url}/frames/{number}");
                writer.part(feed, &content_type, Some(&location), length)?;
                feed.send(frame).map_err(gone)?;
            }
            return Ok(());
        }
        let body = self.body(app, offer)?;
        let length = body.length();
        writer.part(feed, &content_type, Some(&self.location(base)), Some(length))?;
        body.send(feed, 0..length)
    }
}

/// The type of an encapsulated document, if it is one that is safe to name.
fn document_type(image: &Image) -> Result<&'static str, Problem> {
    let said = image.small_value(MIME_TYPE)?.unwrap_or_default();
    let said = String::from_utf8_lossy(&said).trim_matches([' ', '\0']).to_ascii_lowercase();
    Ok(DOCUMENTS.into_iter().find(|known| *known == said).unwrap_or(OCTETS))
}
