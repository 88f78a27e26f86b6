//! Results of commitments (PS3.18 §13.4.3.3, table J.2-1), as DICOM JSON or as the Native DICOM Model in
//! XML, alone or in a part. What was named alone is answered alone, what was named by study by study.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::verdict::{Committed, Failed, Reference, Verdict};
use crate::dicomweb::accept::{Accept, DICOM_JSON, DICOM_XML, Offer, RESULTS};
use crate::dicomweb::multipart::Writer;
use crate::dicomweb::native_xml;
use crate::http::{Answer, Ask, Problem, Reply};

const REFERENCED_STUDY_SEQUENCE: &str = "00081110";
const FAILED_STUDY_SEQUENCE: &str = "0008119B";
const REFERENCED_SERIES_SEQUENCE: &str = "00081115";
const INSTANCES_BY_CLASS_SEQUENCE: &str = "00081112";
const REFERENCED_INSTANCE_SEQUENCE: &str = "0008114A";
const REFERENCED_SOP_SEQUENCE: &str = "00081199";
const FAILED_SOP_SEQUENCE: &str = "00081198";
const FAILURE_REASON: &str = "00081197";
const RETRIEVE_URL: &str = "00081190";
const REFERENCED_CLASS: &str = "00081150";
const REFERENCED_INSTANCE: &str = "00081155";
const STUDY_INSTANCE_UID: &str = "0020000D";
const SERIES_INSTANCE_UID: &str = "0020000E";
/// A private block (PS3.5 §7.8): the names under which the archive can be held to its word.
const CREATOR: (&str, &str) = ("00990010", "CAIRN");
const STUDY_ROOT: &str = "00991001";
const INSTANCE_LEAF: &str = "00991002";

/// A path keeps its dots.
const UNRESERVED: &percent_encoding::AsciiSet =
    &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// An attribute, or an item.
type Object = Map<String, Value>;

/// The form that a client wants its result in.
///
/// # Errors
/// 406 if it takes none of those that there are.
pub(super) fn form(ask: &Ask) -> Result<Offer<'static>, Problem> {
    let place = Accept::of(ask).choose(&RESULTS)?;
    RESULTS.get(place).copied().ok_or_else(Problem::not_acceptable)
}

/// 200 with the result. `root` is the URL of the DICOMweb root.
pub(super) fn reply(verdict: &Verdict, root: &str, form: &Offer<'static>) -> Answer {
    let object = result(verdict, root);
    let text = if form.media_type == DICOM_XML {
        native_xml::document(&object)?
    } else {
        Value::Object(object).to_string()
    };
    if !form.multipart {
        return Ok(Reply::ok(form.media_type, text));
    }
    let mut writer = Writer::new()?;
    let content_type = writer.content_type(form.media_type);
    let head = writer.head(form.media_type, None, Some(text.len() as u64));
    let body = [&head[..], text.as_bytes(), &writer.close()].concat();
    Ok(Reply::ok(DICOM_JSON, body).content_type(&content_type))
}

/// The module; a sequence without items is left out.
fn result(verdict: &Verdict, root: &str) -> Object {
    let (mut alone, mut studies) = (Vec::new(), Studies::default());
    for row in &verdict.committed {
        let (item, reference) = (committed(row, root), &row.reference);
        match &reference.place {
            Some(_) => studies.add(&row.study, &row.series, &reference.class, item),
            None => alone.push(with_class(item, reference)),
        }
    }
    let (mut failed_alone, mut failed_studies) = (Vec::new(), Studies::default());
    for row in &verdict.failed {
        let (item, reference) = (failed(row), &row.reference);
        match &reference.place {
            Some(place) => {
                failed_studies.add(&place.study, &place.series, &reference.class, item);
            }
            None => failed_alone.push(with_class(item, reference)),
        }
    }
    let mut result = Object::new();
    for (tag, items) in [
        (REFERENCED_STUDY_SEQUENCE, studies.into_items()),
        (FAILED_SOP_SEQUENCE, failed_alone),
        (REFERENCED_SOP_SEQUENCE, alone),
        (FAILED_STUDY_SEQUENCE, failed_studies.into_items()),
    ] {
        if !items.is_empty() {
            result.insert(tag.to_owned(), sequence(items));
        }
    }
    result
}

/// Instances by study, series and SOP Class.
#[derive(Default)]
struct Studies<'a>(BTreeMap<&'a str, BTreeMap<&'a str, BTreeMap<&'a str, Vec<Value>>>>);

impl<'a> Studies<'a> {
    fn add(&mut self, study: &'a str, series: &'a str, class: &'a str, item: Value) {
        let series = self.0.entry(study).or_default().entry(series).or_default();
        series.entry(class).or_default().push(item);
    }

    fn into_items(self) -> Vec<Value> {
        let of_class = |(class, items): (&str, Vec<Value>)| json!({ REFERENCED_CLASS: ui(class), REFERENCED_INSTANCE_SEQUENCE: sequence(items) });
        let of_series = |(series, classes): (&str, BTreeMap<&str, Vec<Value>>)| {
            let classes = classes.into_iter().map(of_class).collect();
            json!({
                SERIES_INSTANCE_UID: ui(series),
                INSTANCES_BY_CLASS_SEQUENCE: sequence(classes),
            })
        };
        let studies = self.0.into_iter().map(|(study, series)| {
            let series = series.into_iter().map(of_series).collect();
            json!({ STUDY_INSTANCE_UID: ui(study), REFERENCED_SERIES_SEQUENCE: sequence(series) })
        });
        studies.collect()
    }
}

fn sequence(items: Vec<Value>) -> Value {
    json!({ "vr": "SQ", "Value": Value::Array(items) })
}

fn ui(uid: &str) -> Value {
    if uid.is_empty() { json!({ "vr": "UI" }) } else { json!({ "vr": "UI", "Value": [uid] }) }
}

fn with_class(mut item: Value, reference: &Reference) -> Value {
    item[REFERENCED_CLASS] = ui(&reference.class);
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
    json!({
        REFERENCED_INSTANCE: ui(&row.reference.sop),
        RETRIEVE_URL: { "vr": "UR", "Value": [url] },
        CREATOR.0: { "vr": "LO", "Value": [CREATOR.1] },
        STUDY_ROOT: { "vr": "LO", "Value": [row.root] },
        INSTANCE_LEAF: { "vr": "LO", "Value": [row.leaf] },
    })
}

fn failed(row: &Failed) -> Value {
    json!({
        REFERENCED_INSTANCE: ui(&row.reference.sop),
        FAILURE_REASON: { "vr": "US", "Value": [row.reason] },
    })
}
