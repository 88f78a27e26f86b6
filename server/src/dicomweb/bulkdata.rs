//! GET bulk data and pixel data (PS3.18 §10.4.1.1.5 and §10.4.1.1.6): one value by its path, or all that the metadata
//! of instances name by URI.

use std::sync::Arc;

use cairn_dicom::syntax::{EXPLICIT_LE, is_encapsulated};
use cairn_store::catalog::VersionRow;
use hyper::StatusCode;
use hyper::header::{CONTENT_LOCATION, HeaderMap};
use memchr::memmem::Finder;

use super::accept::{Accept, OCTETS, Offer};
use super::frames::{self, content_type};
use super::image::Image;
use super::multipart::Writer;
use super::subject;
use super::value::Value;
use crate::http::conditional::{self, Part, Tag};
use crate::http::route::Scope;
use crate::http::{Answer, App, Ask, Feed, Problem, Reply};

/// The elements that hold pixels.
const PIXELS: [&str; 3] = ["7FE00008", "7FE00009", "7FE00010"];
/// What stands before the path in stored metadata's bulk data URIs.
const URI: &str = "\"BulkDataURI\":\"";

/// Which values of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// All that its metadata name.
    All,
    /// Its pixels.
    Pixels,
}

/// GET bulk data: of one element, or all of a study, series or instance.
pub(crate) async fn bulkdata(
    app: &Arc<App>,
    scope: Scope,
    path: Option<String>,
    ask: Ask,
) -> Answer {
    let Some(path) = path else { return all(app, scope, ask, Which::All).await };
    let base = ask.dicomweb();
    let accept = Accept::of(&ask);
    let headers = ask.headers;
    let shared = Arc::clone(app);
    app.blocking(move |app| {
        let image = Image::open(app, subject::instance(app, &scope)?)?;
        let value = Value::find(&image, &path)?.ok_or_else(missing)?;
        one(app, shared, value, base, &accept, &headers)
    })
    .await
}

fn missing() -> Problem {
    Problem::not_found("there is no bulk data by that path")
}

/// One value, alone or in parts.
fn one(
    app: &App,
    shared: Arc<App>,
    value: Value,
    base: String,
    accept: &Accept,
    headers: &HeaderMap,
) -> Answer {
    let mut offers = value.offers(false);
    let alone = offers.len();
    offers.extend(value.offers(true));
    let place = accept.choose(&offers)?;
    let offer = *offers.get(place).ok_or_else(Problem::not_acceptable)?;
    let tag = value.tag(&offer);
    if tag.is_known(headers) {
        return Ok(tag.not_modified());
    }
    if let Some(place) = place.checked_sub(alone) {
        let mut writer = Writer::new()?;
        let whole_type = writer.content_type(offer.media_type);
        return Ok(tag.mark(Reply::stream(&whole_type, None, move |feed| {
            send(&shared, &value, place, &base, &mut writer, feed)?;
            writer.end(feed)
        })));
    }
    let location = value.location(&base);
    let content_type = content_type(&offer);
    let body = value.body(app, &offer)?;
    let length = body.length();
    let part = conditional::part(headers, length, &tag)?;
    let range = match &part {
        Part::Whole => 0..length,
        Part::Bytes(range) => range.clone(),
    };
    let reply = Reply::stream(&content_type, Some(range.end - range.start), {
        let range = range.clone();
        move |feed| body.send(feed, range)
    });
    let reply = tag.mark(match part {
        Part::Whole => conditional::rangeable(reply),
        Part::Bytes(_) => conditional::partial(reply, &range, length),
    });
    Ok(reply.text_header(CONTENT_LOCATION, &location))
}

/// GET pixel data of a study, series or instance.
pub(crate) async fn pixeldata(app: &Arc<App>, scope: Scope, ask: Ask) -> Answer {
    all(app, scope, ask, Which::Pixels).await
}

/// All values of all instances of a scope, in parts. Also what octets of a study, series or instance
/// mean (PS3.18 §10.4.4; behaviour 6).
pub(crate) async fn all(app: &Arc<App>, scope: Scope, ask: Ask, which: Which) -> Answer {
    let base = ask.dicomweb();
    let accept = Accept::of(&ask);
    let headers = ask.headers;
    let shared = Arc::clone(app);
    app.blocking(move |app| {
        let versions = subject::versions(app, &scope)?;
        let (media_type, status) = acceptable(&accept, &versions)?;
        let name = format!("{}-{media_type}-{which:?}1", subject::root(&scope, &versions));
        let tag = Tag::new(&name).weak();
        if tag.is_known(&headers) {
            return Ok(tag.not_modified());
        }
        let mut values = Values {
            app: Arc::clone(&shared),
            accept,
            which,
            versions: versions.into_iter(),
            ready: Vec::new(),
        };
        let first = values.next().ok_or_else(missing)??;
        let mut writer = Writer::new()?;
        let whole_type = writer.content_type(&media_type);
        let reply = Reply::stream(&whole_type, None, move |feed| {
            for value in std::iter::once(Ok(first)).chain(values) {
                let (value, place) = value?;
                send(&shared, &value, place, &base, &mut writer, feed)?;
            }
            writer.end(feed)
        });
        Ok(tag.mark(reply.status(status)))
    })
    .await
}

fn send(
    app: &App,
    value: &Value,
    place: usize,
    base: &str,
    writer: &mut Writer,
    feed: &mut Feed,
) -> Result<(), Problem> {
    let offers = value.offers(true);
    let offer = offers.get(place).ok_or_else(Problem::not_acceptable)?;
    value.send(app, offer, base, writer, feed)
}

/// The media type that the parts are announced as, and the status: 206 where something will be left
/// out because it cannot be given as asked, 406 where all of it would be (PS3.18 §10.4.3.1).
fn acceptable(accept: &Accept, versions: &[VersionRow]) -> Result<(String, StatusCode), Problem> {
    let plain = [Offer::multipart(OCTETS).syntax(EXPLICIT_LE)];
    let mut syntaxes: Vec<&str> =
        versions.iter().map(|version| version.transfer_syntax_uid.as_str()).collect();
    syntaxes.sort_unstable();
    syntaxes.dedup();
    let (mut media_type, mut left_out) = (None, accept.choose(&plain).is_err());
    for syntax in syntaxes {
        let offers = frames::offers(syntax, is_encapsulated(syntax), true);
        match accept.choose(&offers).ok().and_then(|place| offers.get(place)) {
            Some(offer) => media_type = media_type.or(Some(offer.media_type.to_owned())),
            None => left_out = true,
        }
    }
    let media_type = match media_type {
        Some(media_type) => media_type,
        None if accept.choose(&plain).is_ok() => OCTETS.to_owned(),
        None => return Err(Problem::not_acceptable()),
    };
    let status = if left_out { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    Ok((media_type, status))
}

/// Values that can be given as asked, each with the place of its form; found one instance at a time.
struct Values {
    app: Arc<App>,
    accept: Accept,
    which: Which,
    versions: std::vec::IntoIter<VersionRow>,
    ready: Vec<(Value, usize)>,
}

impl Values {
    fn of_instance(&self, version: VersionRow) -> Result<Vec<(Value, usize)>, Problem> {
        let paths = match self.which {
            Which::Pixels => PIXELS.map(str::to_owned).to_vec(),
            Which::All => paths(&self.app.store.metadata().instance(&version)?),
        };
        let image = Image::open(&self.app, version)?;
        let mut values = Vec::new();
        for path in paths {
            let Some(value) = Value::find(&image, &path)? else { continue };
            let place = self.accept.choose(&value.offers(true)).ok();
            values.extend(place.map(|place| (value, place)));
        }
        Ok(values)
    }
}

impl Iterator for Values {
    type Item = Result<(Value, usize), Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() {
            let version = self.versions.next()?;
            match self.of_instance(version) {
                Ok(values) => self.ready = values,
                Err(problem) => return Some(Err(problem)),
            }
        }
        Some(Ok(self.ready.remove(0)))
    }
}

/// The bulk paths that metadata name.
fn paths(metadata: &[u8]) -> Vec<String> {
    let finder = Finder::new(URI);
    let uris = finder.find_iter(metadata).filter_map(|found| {
        let rest = metadata.get(found + URI.len()..)?;
        let end = memchr::memchr(b'"', rest)?;
        let uri = std::str::from_utf8(rest.get(..end)?).ok()?;
        uri.rsplit_once("/bulkdata/").map(|(_, path)| path.to_owned())
    });
    uris.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_metadata() {
        let text = br#"{"00420011":{"vr":"OB","BulkDataURI":"instances/1/bulkdata/00420011"},
            "x":{"BulkDataURI":"instances/1/bulkdata/54000100.0.54001010"}}"#;
        assert_eq!(paths(text), ["00420011", "54000100.0.54001010"]);
    }
}
