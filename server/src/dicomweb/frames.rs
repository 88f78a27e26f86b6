//! GET frames (PS3.18 §10.4.1.1.6): a list of frames of one instance, as they are stored or decoded.
//!
//! One native frame is the path that viewers wait for: catalog, one range of the data set, check, send.

use std::sync::Arc;

use bytes::Bytes;
use cairn_chunker::frames::Frames;
use cairn_dicom::pixels::transcodable;
use cairn_dicom::syntax::{EXPLICIT_LE, Syntax};
use hyper::header::{CONTENT_LOCATION, HeaderMap};

use super::accept::{Accept, OCTETS, Offer, media_type_of};
use super::ahead::{Ahead, Job};
use super::image::{Image, Pixels, no_frame};
use super::multipart::Writer;
use super::subject::{self, hex, instance_url};
use crate::http::conditional::{self, Part, Tag};
use crate::http::problem::gone;
use crate::http::route::Scope;
use crate::http::{Answer, App, Ask, Problem, Reply};

/// Frames that are made ahead hold at most about this much.
const AHEAD_BYTES: u64 = 32 << 20;

/// GET frames.
pub(crate) async fn frames(app: &Arc<App>, scope: Scope, list: Vec<u32>, ask: Ask) -> Answer {
    let (accept, base) = (Accept::of(&ask), ask.dicomweb());
    let headers = ask.headers;
    app.blocking(move |app| {
        let begun = std::time::Instant::now();
        let image = Image::open(app, subject::instance(app, &scope)?)?;
        let reply = answer(app, &image, &list, &accept, &headers, &base)?;
        app.metrics.read("frame", begun.elapsed());
        Ok(reply)
    })
    .await
}

/// How pixels of a transfer syntax can be given, in the order in which they are liked: as they are
/// stored, under their own name and as bytes, or decoded (PS3.18 table 8.7.3-5).
pub(crate) fn offers(syntax: &str, encapsulated: bool, multipart: bool) -> Vec<Offer<'_>> {
    let offer = |media_type| Offer { media_type, syntax: None, multipart };
    let plain = offer(OCTETS).syntax(EXPLICIT_LE);
    if !encapsulated {
        return vec![plain];
    }
    let mut offers = vec![offer(media_type_of(syntax)).syntax(syntax)];
    if media_type_of(syntax) != OCTETS {
        offers.push(offer(OCTETS).syntax(syntax));
    }
    if transcodable(syntax) {
        offers.push(plain);
    }
    offers
}

/// A media type with its transfer syntax; behaviour 7.
pub(crate) fn content_type(offer: &Offer<'_>) -> String {
    match offer.syntax.filter(|syntax| !syntax.is_empty()) {
        Some(syntax) => format!("{}; transfer-syntax={syntax}", offer.media_type),
        None => offer.media_type.to_owned(),
    }
}

/// Frames in the form that was chosen.
#[derive(Clone)]
pub(crate) enum Shape {
    /// Native and little-endian: ranges of the data set are what is asked for.
    Native(Image),
    /// Code streams without item heads.
    Coded(Image),
    /// Decoded, or put in order.
    Plain(Box<Pixels>),
}

impl Shape {
    /// Of `image`, in `syntax`.
    ///
    /// # Errors
    /// 404 if it has no frames, 406 if its header describes none.
    pub(crate) fn of(app: &App, image: &Image, syntax: &str) -> Result<Self, Problem> {
        image.agrees()?;
        if image.is_encapsulated() && syntax == image.syntax() {
            return Ok(Self::Coded(image.clone()));
        }
        let stored = Syntax::of(image.syntax());
        let plain = !stored.big_endian_pixels && !stored.deflated;
        match image.manifest.frames {
            Frames::None if !stored.deflated => Err(no_frame()),
            // A single one may be several of bits.
            Frames::Native { count: 1, .. } if plain => match image.pixels(app) {
                Ok(pixels) if pixels.layout.bits_allocated == 1 => Ok(Self::Plain(pixels.into())),
                _ => Ok(Self::Native(image.clone())),
            },
            Frames::Native { .. } if plain => Ok(Self::Native(image.clone())),
            _ => Ok(Self::Plain(image.pixels(app)?.into())),
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::Native(image) | Self::Coded(image) => image.manifest.frames.count(),
            Self::Plain(pixels) => pixels.count(),
        }
    }

    /// Frame `index`, from 0.
    pub(crate) fn frame(&self, index: u64) -> Result<Bytes, Problem> {
        match self {
            Self::Native(image) => image.raw(index),
            Self::Coded(image) => {
                let stored = image.raw(index)?;
                cairn_dicom::pixels::codestream(&stored).map_err(super::image::undecodable)
            }
            Self::Plain(pixels) => Ok(pixels.decoded(index)?.bytes),
        }
    }

    /// What a frame takes, about.
    fn frame_bytes(&self) -> u64 {
        match self {
            Self::Native(image) | Self::Coded(image) => {
                image.manifest.dataset_bytes / image.manifest.frames.count().max(1)
            }
            Self::Plain(pixels) => pixels.layout.frame_bytes() as u64,
        }
    }

    /// Frames in order, some of them made ahead.
    pub(crate) fn ahead(
        self,
        indices: impl Iterator<Item = u64>,
    ) -> impl Iterator<Item = Result<Bytes, Problem>> {
        let room = AHEAD_BYTES / self.frame_bytes().max(1);
        let depth = room.min(rayon::current_num_threads() as u64 + 1) as usize;
        let jobs = indices.map(move |index| {
            let shape = self.clone();
            let job: Job<Bytes> = Box::new(move || shape.frame(index));
            job
        });
        Ahead::with_depth(jobs, depth)
    }
}

fn answer(
    app: &App,
    image: &Image,
    list: &[u32],
    accept: &Accept,
    headers: &HeaderMap,
    base: &str,
) -> Answer {
    let version = Arc::clone(&image.version);
    let syntax = version.transfer_syntax_uid.as_str();
    let encapsulated = image.is_encapsulated();
    if image.manifest.frames == Frames::None && !Syntax::of(syntax).deflated {
        return Err(no_frame());
    }
    let mut all = offers(syntax, encapsulated, true);
    if list.len() == 1 {
        all.extend(offers(syntax, encapsulated, false));
    }
    let chosen = accept.choose(&all)?;
    let offer = *all.get(chosen).ok_or_else(Problem::not_acceptable)?;
    let shape = Shape::of(app, image, offer.syntax.unwrap_or(EXPLICIT_LE))?;
    let indices: Vec<u64> = list.iter().map(|number| u64::from(*number) - 1).collect();
    if indices.iter().any(|index| *index >= shape.count()) {
        return Err(no_frame());
    }
    let tag = tag(image, &indices, &offer);
    if tag.is_known(headers) {
        return Ok(tag.not_modified());
    }
    if let [index] = indices.as_slice() {
        app.prefetch.after(image, *index);
    }
    let url = instance_url(base, &version);
    match indices.as_slice() {
        [index] if !offer.multipart => {
            let reply = one(&shape, *index, &offer, &tag, headers)?;
            Ok(reply.text_header(CONTENT_LOCATION, &location(&url, *index)))
        }
        _ => Ok(tag.mark(several(shape, indices, &offer, url)?)),
    }
}

/// The URL of frame `index`, from 0, of the instance at `url`.
fn location(url: &str, index: u64) -> String {
    format!("{url}/frames/{}", index + 1)
}

/// What these frames are called in this form.
fn tag(image: &Image, indices: &[u64], offer: &Offer<'_>) -> Tag {
    let mut name = blake3::Hasher::new();
    name.update(image.version.dataset_hash.as_bytes());
    name.update(content_type(offer).as_bytes());
    for index in indices {
        name.update(&index.to_le_bytes());
    }
    let tag = Tag::new(&format!("{}-frames1", hex(&name.finalize().as_bytes()[..16])));
    if offer.multipart { tag.weak() } else { tag }
}

/// One frame alone, or a range of it.
fn one(shape: &Shape, index: u64, offer: &Offer<'_>, tag: &Tag, headers: &HeaderMap) -> Answer {
    let frame = shape.frame(index)?;
    let length = frame.len() as u64;
    let reply = Reply::new(hyper::StatusCode::OK).content_type(&content_type(offer));
    Ok(tag.mark(match conditional::part(headers, length, tag)? {
        Part::Whole => conditional::rangeable(reply.bytes(frame)),
        Part::Bytes(range) => {
            let bytes = frame.slice(range.start as usize..range.end as usize);
            conditional::partial(reply.bytes(bytes), &range, length)
        }
    }))
}

/// A part for each frame, in the order of the list. The first is made before the reply begins, so that
/// what is bad from the start is told by a status. A single one is sent from where it is made: to wake
/// other threads would take longer than to copy it.
fn several(shape: Shape, indices: Vec<u64>, offer: &Offer<'_>, url: String) -> Answer {
    let mut writer = Writer::new()?;
    let (part_type, whole_type) = (content_type(offer), writer.content_type(offer.media_type));
    if let [index] = *indices {
        let frame = shape.frame(index)?;
        let length = Some(frame.len() as u64);
        let head = writer.head(&part_type, Some(&location(&url, index)), length);
        let mut pieces = vec![head, frame, writer.close()];
        pieces.retain(|piece| !piece.is_empty());
        return Ok(Reply::new(hyper::StatusCode::OK).content_type(&whole_type).pieces(pieces));
    }
    let mut frames = shape.ahead(indices.clone().into_iter());
    let first = frames.next().ok_or_else(no_frame)??;
    Ok(Reply::stream(&whole_type, None, move |feed| {
        for (frame, index) in std::iter::once(Ok(first)).chain(frames).zip(indices) {
            let frame = frame?;
            let length = Some(frame.len() as u64);
            writer.part(feed, &part_type, Some(&location(&url, index)), length)?;
            feed.send(frame).map_err(gone)?;
        }
        writer.end(feed)
    }))
}
