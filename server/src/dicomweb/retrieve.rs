//! GET studies, series and instances (PS3.18 §10.4): DICOM files, alone or in parts, as they are stored
//! or as Explicit VR Little Endian.
//!
//! Of each stored transfer syntax the client takes the file as it is, converted, or not at all. If it
//! takes none there is 406; if some are left out the status is 206 (PS3.18 §10.4.3.1): never a body that
//! looks whole. An object that turns out to be undecodable in the middle of a body breaks the connection,
//! and is left out of the next answer.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use cairn_chunker::id::DatasetHash;
use cairn_dicom::syntax::{EXPLICIT_LE, is_encapsulated};
use cairn_store::catalog::VersionRow;
use hyper::StatusCode;
use hyper::header::{CONTENT_LOCATION, HeaderMap};

use super::accept::{Accept, DICOM, LEFT_OPEN, OCTETS, Offer, media_type_of, video_type_of};
use super::ahead::{Ahead, Job};
use super::bulkdata::{self, Which};
use super::frames::content_type;
use super::image::Image;
use super::multipart::Writer;
use super::subject::{self, instance_url};
use super::transcode::{Encoding, Part10, Section, encodings};
use crate::http::conditional::Tag;
use crate::http::problem::gone;
use crate::http::route::{Level, Scope};
use crate::http::{Answer, App, Ask, Feed, Problem, Reply};

/// Files up to this length are made whole ahead of the one that is being sent, a few at once. Longer
/// ones are read as they are sent.
const WHOLE_BYTES_MAX: u64 = 8 << 20;

/// What a request for instances comes to.
enum Chosen {
    Files(Plan),
    BulkData,
}

/// How each stored transfer syntax goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plan {
    multipart: bool,
    encodings: HashMap<String, Encoding>,
    /// Some cannot be given as asked.
    partial: bool,
}

/// GET a study, series or instance.
pub(crate) async fn retrieve(app: &Arc<App>, scope: Scope, ask: Ask) -> Answer {
    let accept = Accept::of(&ask);
    let base = ask.dicomweb();
    let headers = ask.headers.clone();
    let shared = Arc::clone(app);
    let asked = scope.clone();
    let answer = app
        .blocking(move |app| {
            let versions = subject::versions(app, &asked)?;
            match choose(&accept, &versions, asked.level() == Some(Level::Instance))? {
                Chosen::BulkData => Ok(None),
                Chosen::Files(plan) => {
                    files(app, shared, &asked, versions, plan, base, &headers).map(Some)
                }
            }
        })
        .await?;
    match answer {
        Some(reply) => Ok(reply),
        None => bulkdata::all(app, scope, ask, Which::All).await,
    }
}

/// One instance as one file, without parts (PS3.18 §9.4).
pub(crate) fn single(
    app: &App,
    shared: Arc<App>,
    scope: &Scope,
    version: VersionRow,
    accept: &Accept,
    base: &str,
    headers: &HeaderMap,
) -> Answer {
    let versions = vec![version];
    match choose(accept, &versions, true)? {
        Chosen::Files(plan) if !plan.multipart => {
            files(app, shared, scope, versions, plan, base.to_owned(), headers)
        }
        _ => Err(Problem::not_acceptable()),
    }
}

/// What is accepted of what there is.
fn choose(accept: &Accept, versions: &[VersionRow], single: bool) -> Result<Chosen, Problem> {
    let mut syntaxes: Vec<&str> =
        versions.iter().map(|version| version.transfer_syntax_uid.as_str()).collect();
    syntaxes.sort_unstable();
    syntaxes.dedup();
    let files: Vec<Vec<Offer<'_>>> =
        syntaxes.iter().map(|syntax| file_offers(syntax, single)).collect();
    // Bulk data last: it is only meant by those who ask for nothing else.
    let bulk = syntaxes
        .iter()
        .filter(|syntax| is_encapsulated(syntax))
        .map(|syntax| Offer::multipart(media_type_of(syntax)).syntax(syntax))
        .chain([Offer::multipart(OCTETS).syntax(EXPLICIT_LE)]);
    let all: Vec<Offer<'_>> = files.iter().flatten().copied().chain(bulk).collect();
    let best = accept.choose(&all)?;
    let Some(best) = all.get(best).filter(|offer| offer.media_type == DICOM) else {
        return Ok(Chosen::BulkData);
    };
    let mut plan = Plan { multipart: best.multipart, encodings: HashMap::new(), partial: false };
    for (syntax, mut offers) in syntaxes.into_iter().zip(files) {
        offers.retain(|offer| offer.multipart == plan.multipart);
        match accept.choose(&offers).ok().and_then(|place| offers.get(place)) {
            Some(offer) => {
                let stored = offer.syntax.is_none_or(|uid| uid == syntax || uid == LEFT_OPEN);
                let encoding = if stored { Encoding::Stored } else { Encoding::Explicit };
                plan.encodings.insert(syntax.to_owned(), encoding);
            }
            None => plan.partial = true,
        }
    }
    Ok(Chosen::Files(plan))
}

/// The forms of a file that is stored in `syntax`. Video has no other syntax than its own: it goes out
/// in that also where the client leaves the syntax open (PS3.18 §8.7.3: "unless the origin server has
/// only access to the pixel data in lossy compressed form").
fn file_offers(syntax: &str, single: bool) -> Vec<Offer<'_>> {
    let forms: &[bool] = if single { &[true, false] } else { &[true] };
    let mut offers = Vec::new();
    for &multipart in forms {
        let offer = Offer { media_type: DICOM, syntax: None, multipart };
        let encodings = encodings(syntax).iter();
        offers.extend(encodings.map(|encoding| offer.syntax(encoding.syntax(syntax))));
        if video_type_of(syntax).is_some() {
            offers.push(offer.syntax(LEFT_OPEN));
        }
    }
    offers
}

fn files(
    app: &App,
    shared: Arc<App>,
    scope: &Scope,
    mut versions: Vec<VersionRow>,
    mut plan: Plan,
    base: String,
    headers: &HeaderMap,
) -> Answer {
    let root = subject::root(scope, &versions);
    let all = versions.len();
    versions.retain(|version| {
        let encoding = plan.encodings.get(&version.transfer_syntax_uid);
        let known = || app.undecodable.has(version.dataset_hash);
        encoding.is_some_and(|encoding| *encoding == Encoding::Stored || !known())
    });
    if versions.is_empty() {
        return Err(Problem::not_acceptable());
    }
    plan.partial |= versions.len() < all;
    let tag_if_partial = tag(&root, &Plan { partial: true, ..plan.clone() });
    let tag = tag(&root, &plan);
    if tag.is_known(headers) {
        return Ok(tag.not_modified());
    }
    if !plan.multipart {
        let version = versions.pop().ok_or_else(Problem::not_acceptable)?;
        let location = instance_url(&base, &version);
        let reply = tag.mark(alone(app, version, &plan)?);
        return Ok(reply.text_header(CONTENT_LOCATION, &location));
    }
    let mut writer = Writer::new()?;
    let whole_type = writer.content_type(DICOM);
    let mut partial = plan.partial;
    let mut files = made(shared, versions, plan, base);
    // The first before the reply begins: what is bad from the start has a status, and what cannot be
    // decoded is left out as it will be the next time.
    let first = loop {
        match files.next().ok_or_else(Problem::not_acceptable)? {
            Ok(file) => break file,
            Err(problem) if problem.status == StatusCode::NOT_ACCEPTABLE => partial = true,
            Err(problem) => return Err(problem),
        }
    };
    let (status, tag) =
        if partial { (StatusCode::PARTIAL_CONTENT, tag_if_partial) } else { (StatusCode::OK, tag) };
    let reply = Reply::stream(&whole_type, None, move |feed| {
        for file in std::iter::once(Ok(first)).chain(files) {
            let file = file?;
            let length = Some(file.length);
            writer.part(feed, &file.content_type, Some(&file.location), length)?;
            send(file.content, feed)?;
        }
        writer.end(feed)
    });
    Ok(tag.mark(reply.status(status)))
}

fn tag(root: &str, plan: &Plan) -> Tag {
    let mut pairs: Vec<String> = plan
        .encodings
        .iter()
        .map(|(syntax, encoding)| encoding.syntax(syntax).to_owned())
        .collect();
    pairs.sort_unstable();
    let syntaxes = blake3::hash(pairs.join(",").as_bytes());
    let partial = if plan.partial { "-partial" } else { "" };
    let words = subject::hex(&syntaxes.as_bytes()[..8]);
    let tag = Tag::new(&format!("{root}-dicom1-{words}{partial}"));
    if plan.multipart { tag.weak() } else { tag }
}

/// One file, without parts.
fn alone(app: &App, version: VersionRow, plan: &Plan) -> Result<Reply, Problem> {
    let stored = version.transfer_syntax_uid.clone();
    let encoding = plan.encodings.get(&stored).copied().ok_or_else(Problem::not_acceptable)?;
    let image = Image::open(app, version)?;
    let file = prepare(app, &image, encoding)?;
    let content_type = content_type(&Offer::single(DICOM).syntax(encoding.syntax(&stored)));
    let reply = Reply::stream(&content_type, Some(file.length()), move |feed| {
        file.sections.into_iter().try_for_each(|section| send_section(section, feed))
    });
    // Preambles may make it look like something else that a browser opens (PS3.10 §7.5).
    Ok(reply.attachment(&image.version.sop_instance_uid, "dcm"))
}

/// Prepares a file, and remembers if it cannot be had.
fn prepare(app: &App, image: &Image, encoding: Encoding) -> Result<Part10, Problem> {
    Part10::of(app, image, encoding).inspect_err(|problem| {
        if problem.status == StatusCode::NOT_ACCEPTABLE {
            app.undecodable.add(image.version.dataset_hash);
        }
    })
}

/// A file that is ready to be sent.
struct File {
    content_type: String,
    location: String,
    length: u64,
    content: Content,
}

enum Content {
    /// All of it.
    Whole(Vec<Bytes>),
    /// To be read while it is sent.
    Sections(Vec<Section>, Arc<App>, DatasetHash),
}

/// Files in order, some of them made ahead.
fn made(
    app: Arc<App>,
    versions: Vec<VersionRow>,
    plan: Plan,
    base: String,
) -> impl Iterator<Item = Result<File, Problem>> {
    let base: Arc<str> = base.into();
    let jobs = versions.into_iter().map(move |version| {
        let encoding = plan.encodings.get(&version.transfer_syntax_uid).copied();
        let (app, base) = (Arc::clone(&app), Arc::clone(&base));
        let job: Job<File> = Box::new(move || {
            let encoding = encoding.ok_or_else(Problem::not_acceptable)?;
            make(&app, version, encoding, &base)
        });
        job
    });
    Ahead::new(jobs)
}

fn make(
    app: &Arc<App>,
    version: VersionRow,
    encoding: Encoding,
    base: &str,
) -> Result<File, Problem> {
    let location = instance_url(base, &version);
    let syntax = encoding.syntax(&version.transfer_syntax_uid);
    let content_type = content_type(&Offer::multipart(DICOM).syntax(syntax));
    let hash = version.dataset_hash;
    let image = Image::open(app, version)?;
    let file = prepare(app, &image, encoding)?;
    let length = file.length();
    let content = if length > WHOLE_BYTES_MAX {
        Content::Sections(file.sections, Arc::clone(app), hash)
    } else {
        Content::Whole(whole(app, hash, file.sections)?)
    };
    Ok(File { content_type, location, length, content })
}

/// Reads a short file.
fn whole(app: &App, hash: DatasetHash, sections: Vec<Section>) -> Result<Vec<Bytes>, Problem> {
    let mut pieces = Vec::new();
    for section in sections {
        match section {
            Section::Bytes(bytes) => pieces.push(bytes),
            Section::Body(body) => {
                let length = body.length();
                let taken = body.give(0..length, &mut |bytes| {
                    pieces.push(bytes);
                    Ok(())
                });
                taken.inspect_err(|problem| remember(app, hash, problem))?;
            }
        }
    }
    Ok(pieces)
}

fn remember(app: &App, hash: DatasetHash, problem: &Problem) {
    if problem.status == StatusCode::NOT_ACCEPTABLE {
        app.undecodable.add(hash);
    }
}

fn send(content: Content, feed: &mut Feed) -> Result<(), Problem> {
    match content {
        Content::Whole(pieces) => {
            pieces.into_iter().try_for_each(|bytes| feed.send(bytes).map_err(gone))
        }
        Content::Sections(sections, app, hash) => {
            let mut sections = sections.into_iter();
            let sent = sections.try_for_each(|section| send_section(section, feed));
            sent.inspect_err(|problem| remember(&app, hash, problem))
        }
    }
}

fn send_section(section: Section, feed: &mut Feed) -> Result<(), Problem> {
    match section {
        Section::Bytes(bytes) => feed.send(bytes).map_err(gone),
        Section::Body(body) => {
            let length = body.length();
            body.send(feed, 0..length)
        }
    }
}
