//! Metadata of studies, series and instances (PS3.18 §10.4.1.1.2): DICOM JSON, or the Native DICOM
//! Model in XML.
//!
//! The JSON of a series is kept ready by the store; what happens here is that its bulk data URIs become
//! absolute. Everything of one reply is of one moment: the kept files are opened before the first byte
//! is sent.

use std::sync::Arc;

use bytes::Bytes;
use cairn_store::Error;
use cairn_store::metadata::SeriesMetadata;
use hyper::header::CONTENT_LOCATION;
use memchr::memmem::Finder;

use super::accept::{Accept, DICOM_JSON, DICOM_XML, Offer};
use super::multipart::Writer;
use super::native_xml;
use super::subject::{self, hex, scope_url, segment};
use crate::http::conditional::Tag;
use crate::http::problem::gone;
use crate::http::route::Scope;
use crate::http::{Answer, App, Ask, Feed, Problem, Reply};
use crate::metrics::ErrorKind;

/// What bulk data URIs begin with in stored metadata. It cannot occur inside a JSON string.
const URI: &str = "\"BulkDataURI\":\"";

/// How metadata can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    DicomJson,
    Json,
    Xml,
}

const FORMS: [(Form, Offer<'static>); 3] = [
    (Form::DicomJson, Offer { media_type: DICOM_JSON, syntax: None, multipart: false }),
    (Form::Json, Offer { media_type: "application/json", syntax: None, multipart: false }),
    (Form::Xml, Offer { media_type: DICOM_XML, syntax: None, multipart: true }),
];

/// Objects of one series with commas between them, and where they are addressed.
enum Part {
    /// A series as it is kept.
    Series { uid: String, kept: SeriesMetadata, prefix: String },
    /// One instance.
    Instance { text: Bytes, prefix: String },
}

/// GET metadata.
pub(crate) async fn metadata(app: &Arc<App>, scope: Scope, ask: Ask) -> Answer {
    let form = form(&Accept::of(&ask))?;
    let base = ask.dicomweb();
    let looked_up = base.clone();
    let begun = std::time::Instant::now();
    let (parts, root, scope) = app
        .blocking(move |app| {
            let (parts, root) = parts(app, &scope, &looked_up)?;
            app.metrics.read("metadata", begun.elapsed());
            Ok((parts, root, scope))
        })
        .await?;
    // The URIs in it hang on the URL by which this client reaches the server.
    let under = blake3::hash(base.as_bytes());
    let word = match form {
        Form::DicomJson | Form::Json => "json",
        Form::Xml => "xml",
    };
    let tag = Tag::new(&format!("{root}-{word}1-{}", hex(&under.as_bytes()[..4])));
    if tag.is_known(&ask.headers) {
        return Ok(tag.not_modified());
    }
    let app = Arc::clone(app);
    let url = format!("{}/metadata", scope_url(&base, &scope));
    let reply = tag.mark(match form {
        Form::DicomJson => json(app, scope, parts, DICOM_JSON),
        Form::Json => json(app, scope, parts, "application/json"),
        // Each part has its own.
        Form::Xml => return Ok(tag.mark(xml(app, scope, parts)?)),
    });
    Ok(reply.text_header(CONTENT_LOCATION, &url))
}

fn form(accept: &Accept) -> Result<Form, Problem> {
    let place = accept.choose(&FORMS.map(|(_, offer)| offer))?;
    FORMS.get(place).map(|(form, _)| *form).ok_or_else(Problem::not_acceptable)
}

/// Opens everything that a reply consists of, and names it.
fn parts(app: &App, scope: &Scope, base: &str) -> Result<(Vec<Part>, String), Problem> {
    let study = scope.study.clone().unwrap_or_default();
    let prefix =
        |series: &str| format!("{base}/studies/{}/series/{}/", segment(&study), segment(series));
    let metadata = app.store.metadata();
    if scope.instance.is_some() {
        let version = subject::instance(app, scope)?;
        let text = metadata.instance(&version)?;
        let part = Part::Instance { text, prefix: prefix(&version.series_uid) };
        return Ok((vec![part], hex(version.leaf_hash().as_bytes())));
    }
    let series = if let Some(series) = &scope.series {
        vec![series.clone()]
    } else {
        let rows = app.store.catalog().series(&study)?;
        rows.into_iter().map(|row| row.series_uid).collect()
    };
    let mut parts = Vec::new();
    let mut roots = blake3::Hasher::new();
    for uid in series {
        let Some(kept) = metadata.series(&study, &uid)? else { continue };
        roots.update(kept.root().as_bytes());
        let prefix = prefix(&uid);
        parts.push(Part::Series { uid, kept, prefix });
    }
    if parts.is_empty() {
        return Err(subject::absent(app, scope)?);
    }
    let root = match (&scope.series, parts.first()) {
        (Some(_), Some(Part::Series { kept, .. })) => hex(kept.root().as_bytes()),
        _ => hex(roots.finalize().as_bytes()),
    };
    Ok((parts, root))
}

fn json(app: Arc<App>, scope: Scope, parts: Vec<Part>, media_type: &'static str) -> Reply {
    Reply::stream(media_type, None, move |feed| {
        // What stands before the next run.
        let mut before = b'[';
        visit(&app, &scope, parts, &mut |run, prefix| {
            let text = addressed(run, prefix, before);
            before = b',';
            feed.send(text).map_err(gone)
        })?;
        feed.send(Bytes::from_static(b"]")).map_err(gone)
    })
}

fn xml(app: Arc<App>, scope: Scope, parts: Vec<Part>) -> Result<Reply, Problem> {
    let mut writer = Writer::new()?;
    let content_type = writer.content_type(DICOM_XML);
    Ok(Reply::stream(&content_type, None, move |feed| {
        visit(&app, &scope, parts, &mut |run, prefix| {
            let text = addressed(run, prefix, b'[');
            xml_parts(&mut writer, feed, &text, prefix)
        })?;
        writer.end(feed)
    }))
}

/// One document for each instance. `prefix` is the URL of their series.
fn xml_parts(
    writer: &mut Writer,
    feed: &mut Feed,
    run: &[u8],
    prefix: &str,
) -> Result<(), Problem> {
    let objects = run.get(1..).unwrap_or_default();
    let mut at = 0;
    while at < objects.len() {
        let mut stream =
            serde_json::Deserializer::from_slice(objects.get(at..).unwrap_or_default())
                .into_iter::<native_xml::Object>();
        let object = stream.next().transpose();
        let fault = |_| Problem::internal("stored metadata are not JSON");
        let Some(object) = object.map_err(fault)? else { break };
        at += stream.byte_offset() + 1; // the comma
        let document = native_xml::document(&object)?;
        let length = Some(document.len() as u64);
        writer.part(feed, DICOM_XML, location(&object, prefix).as_deref(), length)?;
        feed.send(document.into()).map_err(gone)?;
    }
    Ok(())
}

/// The URL of the metadata of one instance. One whose UID cannot be used has a name that its metadata do
/// not hold, and no location.
fn location(object: &native_xml::Object, prefix: &str) -> Option<String> {
    let said = object.get("00080018")?.get("Value")?.get(0)?.as_str()?;
    let uid = cairn_dicom::uid::usable(said);
    (!uid.is_empty()).then(|| format!("{prefix}instances/{}/metadata", segment(&uid)))
}

type Visit<'a> = &'a mut dyn FnMut(&Bytes, &str) -> Result<(), Problem>;

/// Hands out all runs, with what their URIs begin with.
fn visit(app: &App, scope: &Scope, parts: Vec<Part>, see: Visit<'_>) -> Result<(), Problem> {
    for part in parts {
        match part {
            Part::Instance { text, prefix } => see(&text, &prefix)?,
            Part::Series { uid, mut kept, prefix } => {
                let study = scope.study.as_deref().unwrap_or_default();
                for index in 0..kept.runs() {
                    let run = match kept.run(index) {
                        Err(Error::Derived { .. }) => {
                            kept = made_again(app, study, &uid, &kept)?;
                            kept.run(index)?
                        }
                        run => run?,
                    };
                    see(&run, &prefix)?;
                }
            }
        }
    }
    Ok(())
}

/// The metadata of a series whose kept file is damaged. The same instances give the same runs; if the
/// series has changed meanwhile, the reply breaks off rather than mix two moments.
fn made_again(
    app: &App,
    study: &str,
    series: &str,
    damaged: &SeriesMetadata,
) -> Result<SeriesMetadata, Problem> {
    app.metrics.error(ErrorKind::Derived);
    let metadata = app.store.metadata();
    metadata.forget(study, series);
    let made = metadata.series(study, series)?;
    made.filter(|made| made.root() == damaged.root() && made.runs() == damaged.runs())
        .ok_or_else(|| Problem::busy("the series has changed; ask again"))
}

/// A run with absolute URIs, and `before` in front of it.
fn addressed(run: &[u8], prefix: &str, before: u8) -> Bytes {
    let finder = Finder::new(URI);
    let mut out = Vec::with_capacity(run.len() + run.len() / 16 + 1);
    out.push(before);
    let mut at = 0;
    for found in finder.find_iter(run) {
        let end = found + URI.len();
        out.extend_from_slice(run.get(at..end).unwrap_or_default());
        out.extend_from_slice(prefix.as_bytes());
        at = end;
    }
    out.extend_from_slice(run.get(at..).unwrap_or_default());
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaviour_12_uris_become_absolute() {
        let run = br#"{"7FE00010":{"vr":"OW","BulkDataURI":"instances/1.2/bulkdata/7FE00010"}},{}"#;
        let text = addressed(run, "http://h/studies/1/series/2/", b'[');
        let expected = br#"[{"7FE00010":{"vr":"OW","BulkDataURI":"http://h/studies/1/series/2/instances/1.2/bulkdata/7FE00010"}},{}"#;
        assert_eq!(text, &expected[..]);
        assert_eq!(addressed(b"{}", "x", b','), &b",{}"[..]);
    }

    #[test]
    fn behaviour_2_forms_of_metadata() {
        let chosen = |text| form(&Accept::parse(text)).ok();
        assert_eq!(chosen("*/*"), Some(Form::DicomJson));
        assert_eq!(chosen("application/json"), Some(Form::Json));
        assert_eq!(chosen("application/dicom+json, application/json"), Some(Form::DicomJson));
        assert_eq!(chosen("multipart/related; type=\"application/dicom+xml\""), Some(Form::Xml));
        assert_eq!(chosen("text/html"), None);
    }
}
