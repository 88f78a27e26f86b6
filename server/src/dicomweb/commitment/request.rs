//! What a request for commitment names (PS3.18 §13.4.1.4, table J.1-1): instances alone, or by study and
//! series, as DICOM JSON, which may stand in a part.

use bytes::{Bytes, BytesMut};
use serde_json::Value;

use super::verdict::{Place, Reference};
use crate::dicomweb::accept::{DICOM_JSON, parameter};
use crate::dicomweb::multipart::{self, Fault, Reader};
use crate::http::Problem;

/// Instances in one request.
const INSTANCES_MAX: usize = 100_000;
/// Longest UID (PS3.5 §9.1).
const UID_BYTES_MAX: usize = 64;

const REFERENCED_STUDY_SEQUENCE: &str = "00081110";
const REFERENCED_SERIES_SEQUENCE: &str = "00081115";
const INSTANCES_BY_CLASS_SEQUENCE: &str = "00081112";
const REFERENCED_INSTANCE_SEQUENCE: &str = "0008114A";
const REFERENCED_SOP_SEQUENCE: &str = "00081199";
const REFERENCED_CLASS: &str = "00081150";
const REFERENCED_INSTANCE: &str = "00081155";
const STUDY_INSTANCE_UID: &str = "0020000D";
const SERIES_INSTANCE_UID: &str = "0020000E";

/// How the request lies in the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It is all of the body.
    Single,
    /// The first part, between these boundaries.
    Multipart(String),
}

impl Form {
    /// Reads Content-Type. Without one the body is taken for what this service is made for.
    ///
    /// # Errors
    /// 415 for what is not taken, application/dicom+xml among it; 400 for a boundary that is none.
    pub(super) fn of(content_type: Option<&str>) -> Result<Self, Problem> {
        let content_type = content_type.unwrap_or(DICOM_JSON);
        let essence = essence(content_type);
        if is_json(essence) {
            return Ok(Self::Single);
        }
        let kind = parameter(content_type, "type").unwrap_or(DICOM_JSON);
        if !essence.eq_ignore_ascii_case("multipart/related") || !is_json(kind) {
            let message = "commitments are asked for in application/dicom+json, alone or as a part";
            return Err(Problem::media_type(message));
        }
        let boundary = multipart::boundary(content_type);
        boundary.map(Self::Multipart).ok_or_else(|| {
            Problem::bad("the Content-Type has no boundary of 1 to 70 plain characters")
        })
    }
}

fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

fn is_json(essence: &str) -> bool {
    [DICOM_JSON, "application/json"].iter().any(|known| essence.eq_ignore_ascii_case(known))
}

/// The instances that a request names.
pub(super) fn parse(form: &Form, body: Bytes) -> Result<Vec<Reference>, Problem> {
    let text = match form {
        Form::Single => body,
        Form::Multipart(boundary) => first_part(boundary, body)?,
    };
    let value: Value =
        serde_json::from_slice(&text).map_err(|_| Problem::bad("the body is not JSON"))?;
    let object = match &value {
        Value::Array(objects) if objects.len() == 1 => &objects[0],
        value => value,
    };
    let mut found = Vec::new();
    let (alone, studies) = (&object[REFERENCED_SOP_SEQUENCE], &object[REFERENCED_STUDY_SEQUENCE]);
    if alone.is_null() && studies.is_null() {
        let message = "there is neither a Referenced SOP Sequence (0008,1199) nor a Referenced Study \
            Sequence (0008,1110)";
        return Err(Problem::bad(message));
    }
    if !alone.is_null() {
        for item in items(object, REFERENCED_SOP_SEQUENCE)? {
            add(&mut found, &item[REFERENCED_CLASS], item, None)?;
        }
    }
    if !studies.is_null() {
        for study in items(object, REFERENCED_STUDY_SEQUENCE)? {
            of_study(study, &mut found)?;
        }
    }
    Ok(found)
}

fn first_part(boundary: &str, body: Bytes) -> Result<Bytes, Problem> {
    let mut left = Some(body);
    let mut reader = Reader::new(boundary, || Ok(left.take()));
    let bad = |fault: Fault| Problem::bad(fault.to_string());
    let head = reader.next_part().map_err(bad)?;
    let head = head.ok_or_else(|| Problem::bad("there is no part in the body"))?;
    if !is_json(essence(head.get("content-type").unwrap_or(DICOM_JSON))) {
        return Err(Problem::media_type("the first part has to be application/dicom+json"));
    }
    let mut text = BytesMut::new();
    while let Some(bytes) = reader.next_bytes().map_err(bad)? {
        text.extend_from_slice(&bytes);
    }
    Ok(text.freeze())
}

fn of_study(study: &Value, found: &mut Vec<Reference>) -> Result<(), Problem> {
    let study_uid = uid(&study[STUDY_INSTANCE_UID]).filter(|uid| !uid.is_empty());
    let study_uid = study_uid.ok_or_else(|| unusable("Study Instance UID (0020,000D)"))?;
    for series in items(study, REFERENCED_SERIES_SEQUENCE)? {
        let series_uid = uid(&series[SERIES_INSTANCE_UID]).filter(|uid| !uid.is_empty());
        let series_uid = series_uid.ok_or_else(|| unusable("Series Instance UID (0020,000E)"))?;
        let place = Place { study: study_uid.to_owned(), series: series_uid.to_owned() };
        for class in items(series, INSTANCES_BY_CLASS_SEQUENCE)? {
            for item in items(class, REFERENCED_INSTANCE_SEQUENCE)? {
                add(found, &class[REFERENCED_CLASS], item, Some(&place))?;
            }
        }
    }
    Ok(())
}

fn add(
    found: &mut Vec<Reference>,
    class: &Value,
    item: &Value,
    place: Option<&Place>,
) -> Result<(), Problem> {
    if found.len() >= INSTANCES_MAX {
        return Err(Problem::too_large());
    }
    let sop = uid(&item[REFERENCED_INSTANCE]).filter(|uid| !uid.is_empty());
    let sop = sop.ok_or_else(|| unusable("Referenced SOP Instance UID (0008,1155)"))?;
    let class = uid(class).ok_or_else(|| unusable("Referenced SOP Class UID (0008,1150)"))?;
    found.push(Reference { class: class.to_owned(), sop: sop.to_owned(), place: place.cloned() });
    Ok(())
}

/// The items of a sequence, of which there has to be one at least.
fn items<'a>(object: &'a Value, tag: &str) -> Result<&'a Vec<Value>, Problem> {
    let items = object[tag]["Value"].as_array().filter(|items| !items.is_empty());
    items.ok_or_else(|| {
        let (group, element) = tag.split_at(4);
        Problem::bad(format!("the sequence ({group},{element}) is missing or has no items"))
    })
}

/// A UID, empty if it is not there; nothing if it is too long.
fn uid(element: &Value) -> Option<&str> {
    let uid = element["Value"][0].as_str().map(str::trim).unwrap_or_default();
    (uid.len() <= UID_BYTES_MAX).then_some(uid)
}

fn unusable(what: &str) -> Problem {
    Problem::bad(format!("an item has no usable {what}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn forms_of_requests() {
        let form = |text: &str| Form::of(Some(text)).map_err(|problem| problem.status.as_u16());
        assert_eq!(Form::of(None).unwrap(), Form::Single);
        assert_eq!(form("Application/DICOM+JSON; charset=utf-8"), Ok(Form::Single));
        let parts = "multipart/related; type=\"application/dicom+json\"; boundary=b";
        assert_eq!(form(parts), Ok(Form::Multipart("b".to_owned())));
        for (text, status) in [
            ("application/dicom+xml", 415),
            ("multipart/related; type=\"application/dicom+xml\"; boundary=b", 415),
            ("multipart/form-data; boundary=b", 415),
            ("multipart/related; type=\"application/dicom+json\"", 400),
        ] {
            assert_eq!(form(text), Err(status), "{text}");
        }
    }
}
