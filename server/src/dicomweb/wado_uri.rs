//! GET `/wado` (PS3.18 §9): one object by a query, as a DICOM file or as a picture. The oldest of the web
//! services, and the one that reports and scripts link to.
//!
//! `contentType` goes before Accept. With neither, a picture is meant where there is one (§9.3); of an
//! instance of several frames, of reports and the like it is the DICOM file. Parameters that are unknown
//! do not count. `anonymize` is refused: nothing here removes names, and giving them out instead would be
//! worse than nothing.

use std::sync::Arc;
use std::time::Instant;

use cairn_dicom::limits::VIEWPORT_MAX;
use cairn_dicom::render::{Shape, Viewport, Window};
use cairn_dicom::syntax::EXPLICIT_LE;
use cairn_store::catalog::VersionRow;
use hyper::StatusCode;
use hyper::header::{ACCEPT, CONTENT_LOCATION, HeaderMap};

use super::accept::{Accept, DICOM, Offer};
use super::image::Image;
use super::rendered::Document;
use super::rendered::picture::{Pictures, may_show};
use super::rendered::wish::{Wish, bad, chosen, offers};
use super::retrieve;
use super::subject::{self, hex};
use super::transcode::encodings;
use crate::http::query::Query;
use crate::http::route::Scope;
use crate::http::{Answer, App, Ask, Problem, Reply};

/// Longest UID (PS3.5 §9.1).
const UID_BYTES_MAX: usize = 64;

/// A request.
struct Request {
    scope: Scope,
    accept: Accept,
    /// `transferSyntax`, for DICOM files.
    syntax: Option<String>,
    /// From 0.
    frame: Option<u64>,
    wish: Wish,
    area: Area,
    base: String,
    headers: HeaderMap,
}

/// `rows`, `columns` and `region`.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Area {
    rows: Option<u32>,
    columns: Option<u32>,
    /// Left, top, right and bottom, in parts of the whole.
    region: Option<[f64; 4]>,
}

/// GET `/wado`.
pub(crate) async fn wado_uri(app: &Arc<App>, ask: Ask) -> Answer {
    let request = Request::of(ask)?;
    let shared = Arc::clone(app);
    app.blocking(move |app| {
        let begun = Instant::now();
        let reply = request.answer(app, shared)?;
        app.metrics.read("rendered", begun.elapsed());
        Ok(reply)
    })
    .await
}

impl Request {
    fn of(ask: Ask) -> Result<Self, Problem> {
        let query = &ask.query;
        if value(query, "requestType") != Some("WADO") {
            return Err(Problem::bad("requestType is not WADO"));
        }
        let scope = Scope {
            study: Some(uid(query, "studyUID")?),
            series: Some(uid(query, "seriesUID")?),
            instance: Some(uid(query, "objectUID")?),
        };
        if value(query, "anonymize").is_some_and(|asked| asked != "no") {
            let message = "this server does not anonymize";
            return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, message));
        }
        let frame = number(query, "frameNumber", "frameNumber is not a number from 1")?;
        let accept = match value(query, "contentType") {
            Some(types) => Accept::parse(types),
            None => Accept::parse(ask.list(&ACCEPT).as_deref().unwrap_or("*/*")),
        };
        Ok(Self {
            scope,
            accept,
            syntax: value(query, "transferSyntax").map(str::to_owned),
            frame: frame.map(|number| u64::from(number) - 1),
            wish: wish(query)?,
            area: Area::of(query)?,
            base: ask.dicomweb(),
            headers: ask.headers,
        })
    }

    fn answer(mut self, app: &App, shared: Arc<App>) -> Answer {
        let version = subject::instance(app, &self.scope)?;
        let image = Image::open(app, version.clone())?;
        let document = if self.frame.is_none() { Document::of(&image)? } else { None };
        let mut all = match &document {
            Some(document) => document.offers(),
            None if may_show(app, &version) => offers(true, false),
            None => Vec::new(),
        };
        all.retain(|offer| !offer.multipart);
        let file = Offer::single(DICOM);
        // What stands first is what is given where anything will do.
        let is_whole = version.frames != 1 && document.is_none() && self.frame.is_none();
        all.insert(if is_whole { 0 } else { all.len() }, file);
        let offer = chosen(&self.accept, &all)?;
        if offer == file {
            return self.file(app, shared, version);
        }
        if let Some(document) = document {
            return document.answer(app, &self.accept, &self.headers, &self.base);
        }
        self.wish.take(&offer);
        self.picture(app, &image)
    }

    /// The DICOM file: Explicit VR Little Endian, if nothing else is asked for and pixels can be had so
    /// (PS3.18 §8.7.3: what there is only in a lossy form goes out as that).
    fn file(&self, app: &App, shared: Arc<App>, version: VersionRow) -> Answer {
        let stored = version.transfer_syntax_uid.clone();
        let explicit = encodings(&stored).iter().any(|it| it.syntax(&stored) == EXPLICIT_LE);
        let syntax = match &self.syntax {
            Some(syntax) => syntax,
            None if explicit => EXPLICIT_LE,
            None => "*",
        };
        if !syntax.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'*')) {
            return Err(Problem::bad("transferSyntax is not a UID"));
        }
        let accept = Accept::parse(&format!("{DICOM}; transfer-syntax={syntax}"));
        let (scope, headers) = (&self.scope, &self.headers);
        retrieve::single(app, shared, scope, version, &accept, &self.base, headers)
    }

    fn picture(mut self, app: &App, image: &Image) -> Answer {
        let pictures = Pictures::open(app, image)?;
        let index = self.frame.unwrap_or(0);
        if index >= pictures.count() {
            // Here it is a parameter that is wrong, not the name of a resource (PS3.18 §9.5.2).
            return Err(Problem::bad("there is no frame of that number"));
        }
        if self.frame.is_none() && pictures.count() > 1 {
            let count = pictures.count();
            self.wish.note(format!("the first of {count} frames; frameNumber gives the others"));
        }
        self.wish.parameters.viewport = self.area.viewport(pictures.size());
        let tag = self.wish.tag(&hex(pictures.version().leaf_hash().as_bytes()), &[index]);
        if tag.is_known(&self.headers) {
            return Ok(tag.not_modified());
        }
        let picture = pictures.picture(app, index, &self.wish.parameters)?;
        let media_type = self.wish.parameters.format.media_type();
        let reply = Reply::new(StatusCode::OK).content_type(media_type).bytes(picture);
        let reply = reply.text_header(CONTENT_LOCATION, &pictures.location(&self.base, index));
        Ok(self.wish.warn(tag.mark(reply), &self.base))
    }
}

/// Window, quality, and what is not done. What must not be asked for together is refused (PS3.18
/// §9.5.1.2.6).
fn wish(query: &Query) -> Result<Wish, Problem> {
    let mut wish = Wish::default();
    let window = ["windowCenter", "windowWidth"].iter().any(|name| value(query, name).is_some());
    if window && asks_for_dicom(query) {
        return Err(Problem::bad("a window is for pictures, and contentType is application/dicom"));
    }
    if window && value(query, "presentationUID").is_some() {
        return Err(Problem::bad("a window and a presentation state do not go together"));
    }
    wish.parameters.window = match (value(query, "windowCenter"), value(query, "windowWidth")) {
        (None, None) => None,
        (Some(center), Some(width)) => {
            let parsed = |text: &str| text.trim().parse().ok();
            let window = parsed(center).zip(parsed(width));
            let window =
                window.and_then(|(center, width)| Window::new(center, width, Shape::Linear));
            Some(window.ok_or_else(|| Problem::bad("windowCenter and windowWidth are no window"))?)
        }
        _ => return Err(Problem::bad("windowCenter and windowWidth come together or not at all")),
    };
    if let Some(quality) = value(query, "imageQuality") {
        wish.parameters.set_quality(quality).map_err(bad)?;
    }
    // By its name of today, and that of earlier editions.
    for name in ["imageAnnotation", "annotation"] {
        if let Some(keywords) = value(query, name) {
            wish.annotate(keywords)?;
        }
    }
    if value(query, "presentationUID").is_some() {
        wish.note("presentationUID is not supported: the image is shown without it");
    }
    Ok(wish)
}

/// Is `contentType` the DICOM file and nothing else?
fn asks_for_dicom(query: &Query) -> bool {
    let essence = |range: &str| range.split(';').next().unwrap_or_default().trim().to_owned();
    value(query, "contentType").is_some_and(|types| {
        types.split(',').all(|range| essence(range).eq_ignore_ascii_case(DICOM))
    })
}

impl Area {
    fn of(query: &Query) -> Result<Self, Problem> {
        let region = match value(query, "region") {
            None => None,
            Some(text) => Some(region(text).ok_or_else(|| {
                Problem::bad("region is not left,top,right,bottom from 0 to 1 in that order")
            })?),
        };
        let side = |name| {
            let side = number(query, name, "rows and columns are numbers from 1")?;
            if side.is_some_and(|side| side > VIEWPORT_MAX) {
                return Err(Problem::bad("rows or columns is over 8192"));
            }
            Ok(side)
        };
        Ok(Self { rows: side("rows")?, columns: side("columns")?, region })
    }

    /// What it means for an image of this size. The picture keeps its proportions (PS3.18 §9.5.1.2.4).
    fn viewport(&self, (columns, rows): (u32, u32)) -> Option<Viewport> {
        if *self == Self::default() {
            return None;
        }
        let (wide, high) = (f64::from(columns), f64::from(rows));
        let [left, top, right, bottom] = self.region.unwrap_or([0.0, 0.0, 1.0, 1.0]);
        let (width, height) = ((right - left) * wide, (bottom - top) * high);
        let size = if self.rows.is_none() && self.columns.is_none() {
            // Pixel by pixel.
            (width.ceil() as u32, height.ceil() as u32)
        } else {
            (self.columns.unwrap_or(VIEWPORT_MAX), self.rows.unwrap_or(VIEWPORT_MAX))
        };
        Some(Viewport::of_region(size, (left * wide, top * high), (width, height)))
    }
}

fn region(text: &str) -> Option<[f64; 4]> {
    let numbers: Vec<f64> =
        text.split(',').map(|part| part.trim().parse().ok()).collect::<Option<_>>()?;
    let region: [f64; 4] = numbers.try_into().ok()?;
    let [left, top, right, bottom] = region;
    let in_order = 0.0 <= left && left < right && right <= 1.0;
    (in_order && 0.0 <= top && top < bottom && bottom <= 1.0).then_some(region)
}

/// A parameter that says something.
fn value<'q>(query: &'q Query, name: &str) -> Option<&'q str> {
    query.get(name).map(str::trim).filter(|value| !value.is_empty())
}

/// A number from 1.
fn number(query: &Query, name: &str, fault: &'static str) -> Result<Option<u32>, Problem> {
    let Some(text) = value(query, name) else { return Ok(None) };
    let number = text.parse().ok().filter(|number| *number > 0);
    number.map(Some).ok_or_else(|| Problem::bad(fault))
}

/// A UID that has to be there.
fn uid(query: &Query, name: &'static str) -> Result<String, Problem> {
    let uid = value(query, name).filter(|uid| uid.len() <= UID_BYTES_MAX);
    let uid = uid.filter(|uid| !uid.chars().any(char::is_control));
    uid.map(str::to_owned).ok_or_else(|| Problem::bad(format!("{name} is missing or no UID")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn areas_keep_proportions() {
        let area = Area { rows: Some(10), ..Area::default() };
        let whole = Viewport::of_region((VIEWPORT_MAX, 10), (0.0, 0.0), (200.0, 100.0));
        assert_eq!(area.viewport((200, 100)), Some(whole));
        assert_eq!(Area::default().viewport((200, 100)), None);
        let area = Area { region: region("0.5,0,1,0.25"), ..Area::default() };
        let corner = Viewport::of_region((100, 25), (100.0, 0.0), (100.0, 25.0));
        assert_eq!(area.viewport((200, 100)), Some(corner));
        for wrong in
            ["", "0,0,1", "0,0,1,1,1", "1,0,0,1", "0,0,1,1.1", "-1,0,1,1", "a,0,1,1", "NaN,0,1,1"]
        {
            assert_eq!(region(wrong), None, "{wrong}");
        }
    }
}
