//! STOW-RS: taking instances in over HTTP (PS3.18 §10.5).
//!
//! ```text
//! socket ─▶ hyper ─▶ task: pace, bound ─▶ channel ─▶ thread: multipart ─▶ Ingest::receive ─▶ receipts
//! ```
//!
//! The body is read as it comes and never held: the channel has a few pieces, the thread reads one
//! part ahead as far as [`PART_AHEAD_BYTES`](part::PART_AHEAD_BYTES). The reply is made when every
//! instance of the request is durable, or was refused. A connection that breaks takes the part under
//! way with it; parts before it are whole instances, and stay.

pub(crate) mod codes;
mod feed;
mod metadata;
mod part;
mod reply;
mod results;
mod worker;

use std::sync::Arc;

use cairn_store::limits::SLAB_BYTES;
use hyper::header::{CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER};

use super::accept::{Accept, DICOM, DICOM_JSON, DICOM_XML, Offer, RESULTS, parameter};
use super::multipart::{self, Writer};
use crate::http::limits::RETRY_AFTER_SECONDS;
use crate::http::problem::gone;
use crate::http::stream::Gone;
use crate::http::{Answer, App, Ask, Problem, Reply};
use results::{Results, Status};
use worker::Worker;

/// Results up to this many are written into memory and not streamed: some 500 bytes each.
const AT_HAND_MAX: usize = 2000;

/// How the instances lie in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// One, which is all of the body.
    Single,
    /// In parts, between these boundaries.
    Multipart(String),
    /// As metadata in JSON, and parts of bulk data.
    Metadata(String),
}

impl Form {
    /// Reads Content-Type.
    ///
    /// # Errors
    /// 415 for what this server does not take, 400 for a multipart type that cannot be read.
    fn of(content_type: Option<&str>) -> Result<Self, Problem> {
        let content_type = content_type.ok_or_else(|| {
            Problem::media_type("a body has to say what it is: there is no Content-Type")
        })?;
        let essence = content_type.split(';').next().unwrap_or("").trim();
        if essence.eq_ignore_ascii_case(DICOM) {
            return Ok(Self::Single);
        }
        if !essence.eq_ignore_ascii_case("multipart/related") {
            let message = "instances come as multipart/related or application/dicom";
            return Err(Problem::media_type(message));
        }
        // Without a type, each part says for itself what it is.
        let kind = parameter(content_type, "type").unwrap_or(DICOM);
        let form = if kind.eq_ignore_ascii_case(DICOM) {
            Self::Multipart
        } else if kind.eq_ignore_ascii_case(DICOM_JSON) {
            Self::Metadata
        } else {
            let message = "the parts have to be of application/dicom or application/dicom+json";
            return Err(Problem::media_type(message));
        };
        let boundary = multipart::boundary(content_type);
        boundary.map(form).ok_or_else(|| {
            Problem::bad("the Content-Type has no boundary of 1 to 70 plain characters")
        })
    }
}

/// Stores what the body holds; with `study`, all of it has to belong there.
pub(crate) async fn store(app: &Arc<App>, study: Option<String>, ask: Ask) -> Answer {
    let form = Form::of(ask.text(&CONTENT_TYPE));
    let checked = form.and_then(|form| {
        let place = Accept::of(&ask).choose(&RESULTS)?;
        ask.body.refuse_early()?;
        if app.is_draining() {
            return Err(Problem::busy("the server is ending"));
        }
        Ok((form, RESULTS[place], app.ingest()?))
    });
    let (form, offer, ingest) = match checked {
        Ok(checked) => checked,
        Err(problem) => {
            // Nothing of the body is wanted, but its sender may not look before it is through.
            ask.body.linger();
            return Err(problem);
        }
    };
    let wanted = match &form {
        Form::Metadata(_) => app.compose_place().await,
        Form::Single | Form::Multipart(_) => app.store_place().await,
    };
    let place = match wanted {
        Ok(place) => place,
        Err(problem) => {
            ask.body.linger();
            return Err(problem);
        }
    };
    let base = ask.dicomweb();
    let (lender, lent_max) = (Arc::clone(&ingest), app.in_flight_bytes_max);
    let short = Box::new(move || lender.in_flight_bytes() + SLAB_BYTES > lent_max);
    let (source, pump) = feed::pair(ask.body, short);
    let worker = Worker { ingest, study: study.clone(), source };
    let work = tokio::task::spawn_blocking(move || {
        let _place = place;
        worker.run(&form)
    });
    // Ends with the body, or when the thread wants no more of it.
    let left = pump.run().await;
    let results = work.await.map_err(|_| Problem::internal("storing panicked"))?;
    if let Some(body) = left {
        body.linger();
    }
    for (outcome, count) in results.outcomes() {
        app.metrics.instances(outcome, count);
    }
    answer(results, base, study, offer)
}

/// The reply to what became of a request.
fn answer(results: Results, base: String, study: Option<String>, offer: Offer<'static>) -> Answer {
    let (status, problem) = results.status();
    if let Some(problem) = problem {
        return Err(problem);
    }
    let is_busy = status == Status::Busy;
    let studies = results.studies();
    let location = reply::study_url(&results, &base, study.as_deref());
    let xml = offer.media_type == DICOM_XML;
    let (mut writer, content_type) = if offer.multipart {
        let writer = Writer::new()?;
        let content_type = writer.content_type(offer.media_type);
        (Some(writer), content_type)
    } else {
        (None, offer.media_type.to_owned())
    };
    let reply = if results.len() <= AT_HAND_MAX {
        let mut text = Vec::new();
        reply::write(&results, &base, study.as_deref(), xml, &mut text)
            .map_err(|error| Problem::internal(error.to_string()))?;
        let mut out = Vec::new();
        if let Some(writer) = &mut writer {
            out.extend(writer.head(offer.media_type, None, Some(text.len() as u64)));
        }
        out.append(&mut text);
        out.extend(writer.map(|writer| writer.close()).unwrap_or_default());
        Reply::new(status.code()).content_type(&content_type).bytes(out)
    } else {
        let reply = Reply::stream(&content_type, None, move |feed| {
            if let Some(writer) = &mut writer {
                writer.part(feed, offer.media_type, None, None)?;
            }
            reply::write(&results, &base, study.as_deref(), xml, feed).map_err(|_| gone(Gone))?;
            writer.map_or(Ok(()), |writer| writer.end(feed))
        });
        reply.status(status.code())
    };
    // One study is the resource that was created, or added to (table 10.5.3-2).
    let reply = match location {
        Some(url) => reply.text_header(LOCATION, &url),
        None => reply,
    };
    let reply = reply.about(studies);
    Ok(if is_busy {
        reply.header(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS))
    } else {
        reply
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use hyper::StatusCode;

    use super::*;

    #[test]
    fn behaviour_25_what_is_taken_and_what_is_415() {
        let form = |text: &str| Form::of(Some(text)).map_err(|problem| problem.status);
        let parts = |boundary: &str| Ok(Form::Multipart(boundary.into()));
        assert_eq!(form("application/dicom"), Ok(Form::Single));
        assert_eq!(form("Application/DICOM; transfer-syntax=1.2"), Ok(Form::Single));
        assert_eq!(form("multipart/related; type=\"application/dicom\"; boundary=b"), parts("b"));
        assert_eq!(
            form("multipart/related; boundary=\"b c\"; type=application/dicom"),
            parts("b c")
        );
        assert_eq!(form("multipart/related; boundary=b"), parts("b"));
        let metadata = form("multipart/related; type=\"application/dicom+json\"; boundary=b");
        assert_eq!(metadata, Ok(Form::Metadata("b".into())));
        for text in [
            "text/plain",
            "multipart/form-data; boundary=b",
            "",
            "application/json",
            "multipart/related; type=\"image/jpeg\"; boundary=b",
        ] {
            assert_eq!(form(text), Err(StatusCode::UNSUPPORTED_MEDIA_TYPE), "{text}");
        }
        let none = Form::of(None).unwrap_err();
        assert_eq!(none.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let text = "multipart/related; type=\"application/dicom\"";
        assert_eq!(form(text), Err(StatusCode::BAD_REQUEST));
    }
}
