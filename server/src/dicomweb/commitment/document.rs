//! Requests and results as DICOM JSON (PS3.18 §13.4, annex J, annex F).

use hyper::header::{ACCEPT, CONTENT_TYPE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::verdict::{Committed, Failed, Reference, Verdict};
use crate::http::{Ask, Problem};

/// The one media type of this service here.
pub(super) const JSON: &str = "application/dicom+json";

/// Instances in one request.
const INSTANCES_MAX: usize = 100_000;
/// Longest UID (PS3.5 §9.1).
const UID_BYTES_MAX: usize = 64;

const REFERENCED_SOP_SEQUENCE: &str = "00081199";
const FAILED_SOP_SEQUENCE: &str = "00081198";
const FAILURE_REASON: &str = "00081197";
const RETRIEVE_URL: &str = "00081190";
const REFERENCED_CLASS: &str = "00081150";
const REFERENCED_INSTANCE: &str = "00081155";
/// A private block (PS3.5 §7.8): the names under which the archive can be held to its word.
const CREATOR: (&str, &str) = ("00990010", "CAIRN");
const STUDY_ROOT: &str = "00991001";
const INSTANCE_LEAF: &str = "00991002";

/// 406 unless JSON is taken, which is what an Accept that does not speak of it takes as well.
pub(super) fn check_accept(ask: &Ask) -> Result<(), Problem> {
    let Some(accept) = ask.list(&ACCEPT) else { return Ok(()) };
    let takes = |range: &str| {
        let name = range.split(';').next().unwrap_or_default().trim();
        ["*/*", "application/*", JSON, "application/json"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
    };
    if accept.split(',').any(takes) { Ok(()) } else { Err(Problem::not_acceptable()) }
}

/// 415 for a body in another form.
pub(super) fn check_content_type(ask: &Ask) -> Result<(), Problem> {
    let named = ask.text(&CONTENT_TYPE).unwrap_or(JSON);
    let name = named.split(';').next().unwrap_or_default().trim();
    if [JSON, "application/json"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    Err(Problem::media_type("commitments are asked for in application/dicom+json"))
}

/// The instances that a request names.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Reference>, Problem> {
    let bad = |why: &'static str| Problem::bad(why);
    let value: Value = serde_json::from_slice(body).map_err(|_| bad("the body is not JSON"))?;
    let object = match &value {
        Value::Array(objects) if objects.len() == 1 => &objects[0],
        value => value,
    };
    let items = object[REFERENCED_SOP_SEQUENCE]["Value"].as_array();
    let items = items
        .filter(|items| !items.is_empty())
        .ok_or_else(|| bad("there is no Referenced SOP Sequence (0008,1199) with items"))?;
    if items.len() > INSTANCES_MAX {
        return Err(Problem::too_large());
    }
    items
        .iter()
        .map(|item| {
            let uid = |tag: &str| item[tag]["Value"][0].as_str().map(str::trim).unwrap_or_default();
            let (class, sop) = (uid(REFERENCED_CLASS), uid(REFERENCED_INSTANCE));
            if sop.is_empty() || sop.len() > UID_BYTES_MAX || class.len() > UID_BYTES_MAX {
                return Err(bad("an item has no usable Referenced SOP Instance UID (0008,1155)"));
            }
            Ok(Reference { class: class.to_owned(), sop: sop.to_owned() })
        })
        .collect()
}

fn reference(reference: &Reference) -> Value {
    let mut item = json!({
        REFERENCED_INSTANCE: { "vr": "UI", "Value": [reference.sop] },
    });
    item[REFERENCED_CLASS] = if reference.class.is_empty() {
        json!({ "vr": "UI" })
    } else {
        json!({ "vr": "UI", "Value": [reference.class] })
    };
    item
}

fn committed(row: &Committed, root: &str) -> Value {
    let uid = |uid: &str| utf8_percent_encode(uid, UNRESERVED).to_string();
    let url = format!(
        "{root}/studies/{}/series/{}/instances/{}",
        uid(&row.study),
        uid(&row.series),
        uid(&row.reference.sop)
    );
    let mut item = reference(&row.reference);
    item[RETRIEVE_URL] = json!({ "vr": "UR", "Value": [url] });
    item[CREATOR.0] = json!({ "vr": "LO", "Value": [CREATOR.1] });
    item[STUDY_ROOT] = json!({ "vr": "LO", "Value": [row.root] });
    item[INSTANCE_LEAF] = json!({ "vr": "LO", "Value": [row.leaf] });
    item
}

fn failed(row: &Failed) -> Value {
    let mut item = reference(&row.reference);
    item[FAILURE_REASON] = json!({ "vr": "US", "Value": [row.reason] });
    item
}

/// A path keeps its dots.
const UNRESERVED: &percent_encoding::AsciiSet =
    &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// The result; a sequence without items is left out. `root` is the URL of the DICOMweb root.
pub(super) fn write(verdict: &Verdict, root: &str) -> String {
    let mut result = serde_json::Map::new();
    let mut add = |tag: &str, items: Vec<Value>| {
        if !items.is_empty() {
            result.insert(tag.to_owned(), json!({ "vr": "SQ", "Value": items }));
        }
    };
    add(FAILED_SOP_SEQUENCE, verdict.failed.iter().map(failed).collect());
    let rows = verdict.committed.iter().map(|row| committed(row, root));
    add(REFERENCED_SOP_SEQUENCE, rows.collect());
    Value::Object(result).to_string()
}
