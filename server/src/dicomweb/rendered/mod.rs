//! GET rendered studies, series, instances and frames (PS3.18 §10.4.1.1.3): pictures for people.
//!
//! - What is one picture comes alone or as one part; several come in parts only (§10.4.4), made one by
//!   one while they are sent.
//! - An instance of several frames is no picture (§8.7.2, table 8.7.4-1 has GIF and JPEG XL for it, and
//!   neither is made here), yet clients ask for it as one. Alone they get its first frame, with a warning
//!   that says so; in parts they get all of them.
//! - The Content-Location of a picture is that of what it was made of, without `/rendered` (§8.6.1.2).
//! - Documents and videos come as they are. What has no pixels gets 406; in a series it is left out,
//!   and the status is 206.
//! - Nothing is ever written into a picture, least of all names.

mod document;
pub(crate) mod header;
pub(crate) mod picture;
pub(crate) mod wish;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use cairn_dicom::render::Parameters;
use cairn_store::catalog::VersionRow;
use hyper::StatusCode;
use hyper::header::{CONTENT_LOCATION, HeaderMap};

use super::accept::Accept;
use super::image::{Image, no_frame};
use super::multipart::Writer;
use super::subject::{self, hex};
use crate::http::conditional::Tag;
use crate::http::problem::gone;
use crate::http::route::{Level, Scope};
use crate::http::{Answer, App, Ask, Problem, Reply};
pub(crate) use document::Document;
use picture::{Pictures, is_of_one_picture, may_show, no_picture};
use wish::{Wish, chosen, offers};

/// A request for pictures.
struct Request {
    scope: Scope,
    /// From 1; empty for all.
    frames: Vec<u32>,
    wish: Wish,
    accept: Accept,
    base: String,
    headers: HeaderMap,
}

/// GET rendered resources.
pub(crate) async fn rendered(app: &Arc<App>, scope: Scope, frames: Vec<u32>, ask: Ask) -> Answer {
    let wish = Wish::of(&ask.query)?;
    let (accept, base) = (Accept::of(&ask), ask.dicomweb());
    let request = Request { scope, frames, wish, accept, base, headers: ask.headers };
    let shared = Arc::clone(app);
    app.blocking(move |app| {
        let begun = Instant::now();
        let reply = match request.scope.level() {
            Some(Level::Instance) => instance(app, shared, request)?,
            _ => instances(app, shared, request)?,
        };
        app.metrics.read("rendered", begun.elapsed());
        Ok(reply)
    })
    .await
}

/// Of one instance: all of it, or the frames of a list.
fn instance(app: &App, shared: Arc<App>, mut request: Request) -> Answer {
    let image = Image::open(app, subject::instance(app, &request.scope)?)?;
    let whole = request.frames.is_empty();
    if whole && let Some(document) = Document::of(&image)? {
        return document.answer(app, &request.accept, &request.headers, &request.base);
    }
    if !whole && !may_show(app, &image.version) && image.version.frames == 0 {
        return Err(no_frame());
    }
    let offer = chosen(&request.accept, &offers(request.frames.len() < 2, true))?;
    let pictures = Pictures::open(app, &image)?;
    let count = pictures.count();
    let indices: Vec<u64> = match request.frames.as_slice() {
        [] if offer.multipart => (0..count).collect(),
        [] => vec![0],
        list => list.iter().map(|number| u64::from(*number) - 1).collect(),
    };
    if indices.iter().any(|index| *index >= count) {
        return Err(no_frame());
    }
    let wish = &mut request.wish;
    wish.take(&offer);
    let tag = wish.tag(&hex(pictures.version().leaf_hash().as_bytes()), &indices);
    let tag = if offer.multipart { tag.weak() } else { tag };
    if tag.is_known(&request.headers) {
        return Ok(tag.not_modified());
    }
    if !offer.multipart {
        let index = indices.first().copied().ok_or_else(no_frame)?;
        if whole && count > 1 {
            wish.note(format!("the first of {count} frames; multipart/related gives all of them"));
        }
        let picture = pictures.picture(app, index, &wish.parameters)?;
        let reply = Reply::new(StatusCode::OK).content_type(offer.media_type).bytes(picture);
        let reply = reply.text_header(CONTENT_LOCATION, &pictures.location(&request.base, index));
        return Ok(wish.warn(tag.mark(reply), &request.base));
    }
    let mut parts = Parts::new(shared, &request);
    parts.open = Some(Open { pictures, indices: indices.into_iter() });
    let first = parts.next()?.ok_or_else(no_frame)?;
    send(parts, first, offer.media_type, &request, &tag, StatusCode::OK)
}

/// Of all instances of a study or series that can be seen.
fn instances(app: &App, shared: Arc<App>, mut request: Request) -> Answer {
    let mut versions = subject::versions(app, &request.scope)?;
    let offer = chosen(&request.accept, &offers(false, true))?;
    request.wish.take(&offer);
    let root = subject::root(&request.scope, &versions);
    let all = versions.len();
    versions.retain(|version| may_show(app, version));
    let name = |partial: bool| if partial { format!("{root}-partial") } else { root.clone() };
    let partial = versions.len() < all;
    let tag = request.wish.tag(&name(partial), &[]).weak();
    if !versions.is_empty() && tag.is_known(&request.headers) {
        return Ok(tag.not_modified());
    }
    let mut parts = Parts::new(shared, &request);
    let (first, left_out) = parts.begin(versions)?;
    let partial = partial || left_out;
    let tag = request.wish.tag(&name(partial), &[]).weak();
    // PS3.18 §10.4.3.1: some of what is there is not in the answer.
    let status = if partial { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    send(parts, first, offer.media_type, &request, &tag, status)
}

/// Streams parts, the first of which is there already: what is bad from the start has a status.
fn send(
    mut parts: Parts,
    first: Part,
    media_type: &'static str,
    request: &Request,
    tag: &Tag,
    status: StatusCode,
) -> Answer {
    let mut writer = Writer::new()?;
    let whole_type = writer.content_type(media_type);
    let reply = Reply::stream(&whole_type, None, move |feed| {
        let mut next = Some(first);
        while let Some(part) = next {
            let length = Some(part.picture.len() as u64);
            writer.part(feed, media_type, Some(&part.location), length)?;
            feed.send(part.picture).map_err(gone)?;
            next = parts.next()?;
        }
        writer.end(feed)
    });
    Ok(request.wish.warn(tag.mark(reply.status(status)), &request.base))
}

/// One picture, and the URL of the resource that it is of.
struct Part {
    picture: Bytes,
    location: String,
}

/// The instance whose pictures are being made.
struct Open {
    pictures: Pictures,
    indices: std::vec::IntoIter<u64>,
}

/// Pictures of instances, one at a time.
struct Parts {
    app: Arc<App>,
    parameters: Parameters,
    base: String,
    versions: std::vec::IntoIter<VersionRow>,
    open: Option<Open>,
}

impl Parts {
    fn new(app: Arc<App>, request: &Request) -> Self {
        Self {
            app,
            parameters: request.wish.parameters,
            base: request.base.clone(),
            versions: Vec::new().into_iter(),
            open: None,
        }
    }

    /// The first picture that can be made of these versions, and whether some before it cannot.
    fn begin(&mut self, versions: Vec<VersionRow>) -> Result<(Part, bool), Problem> {
        self.versions = versions.into_iter();
        let mut left_out = false;
        loop {
            match self.next() {
                Ok(Some(part)) => return Ok((part, left_out)),
                Ok(None) => return Err(no_picture("nothing of this can be shown as a picture")),
                Err(problem) if is_of_one_picture(&problem) => {
                    self.open = None;
                    left_out = true;
                }
                Err(problem) => return Err(problem),
            }
        }
    }

    fn next(&mut self) -> Result<Option<Part>, Problem> {
        loop {
            if let Some(open) = &mut self.open
                && let Some(index) = open.indices.next()
            {
                let picture = open.pictures.picture(&self.app, index, &self.parameters)?;
                let location = open.pictures.location(&self.base, index);
                return Ok(Some(Part { picture, location }));
            }
            let Some(version) = self.versions.next() else { return Ok(None) };
            self.open = Some(self.open(version)?);
        }
    }

    fn open(&self, version: VersionRow) -> Result<Open, Problem> {
        let pictures = Pictures::open(&self.app, &Image::open(&self.app, version)?)?;
        let indices: Vec<u64> = (0..pictures.count()).collect();
        Ok(Open { pictures, indices: indices.into_iter() })
    }
}
