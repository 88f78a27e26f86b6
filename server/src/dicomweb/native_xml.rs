//! DICOM JSON as the Native DICOM Model in XML (PS3.19 §A.1).
//!
//! Made from the JSON, so that the two cannot disagree. Keywords are those of the indexed attributes;
//! tag and VR are there for all.

use std::fmt::{self, Write};

use quick_xml::escape::escape;
use serde_json::{Map, Value};

use crate::http::Problem;

/// A data set in DICOM JSON (PS3.18 §F.2.2); its tags ascend.
pub(crate) type Object = Map<String, Value>;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<NativeDicomModel \
    xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\" xml:space=\"preserve\">";

/// The parts of a person's name, in order (PS3.5 §6.2.1.1).
const NAME_PARTS: [&str; 5] = ["FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"];

/// A document that grows.
struct Xml(String);

impl Xml {
    fn text(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn put(&mut self, text: fmt::Arguments<'_>) {
        // Writing into a string does not fail.
        let _ = self.0.write_fmt(text);
    }
}

/// The document of one instance. Nesting is bounded by the reader of the JSON.
///
/// # Errors
/// What is no DICOM JSON.
pub(crate) fn document(object: &Object) -> Result<String, Problem> {
    let mut out = Xml(HEAD.to_owned());
    data_set(object, &mut out)?;
    out.text("</NativeDicomModel>\n");
    Ok(out.0)
}

fn data_set(object: &Object, out: &mut Xml) -> Result<(), Problem> {
    for (tag, attribute) in object {
        let fault = || Problem::internal("stored metadata are not DICOM JSON");
        let attribute = attribute.as_object().ok_or_else(fault)?;
        let vr = attribute.get("vr").and_then(Value::as_str).unwrap_or("UN");
        out.put(format_args!("<DicomAttribute tag=\"{}\" vr=\"{}\"", escape(tag), escape(vr)));
        if let Some(keyword) = keyword(tag) {
            out.put(format_args!(" keyword=\"{keyword}\""));
        }
        if let Some(creator) = creator(object, tag) {
            out.put(format_args!(" privateCreator=\"{}\"", escape(plain(creator))));
        }
        out.text(">");
        content(attribute, vr, out)?;
        out.text("</DicomAttribute>");
    }
    Ok(())
}

fn content(attribute: &Object, vr: &str, out: &mut Xml) -> Result<(), Problem> {
    if let Some(uri) = attribute.get("BulkDataURI").and_then(Value::as_str) {
        out.put(format_args!("<BulkData uri=\"{}\"/>", escape(uri)));
    } else if let Some(binary) = attribute.get("InlineBinary").and_then(Value::as_str) {
        out.put(format_args!("<InlineBinary>{}</InlineBinary>", escape(binary)));
    }
    let values = attribute.get("Value").and_then(Value::as_array);
    for (value, number) in values.into_iter().flatten().zip(1..) {
        match value {
            Value::Object(item) if vr == "SQ" => {
                out.put(format_args!("<Item number=\"{number}\">"));
                data_set(item, out)?;
                out.text("</Item>");
            }
            Value::Object(name) => person(name, number, out),
            Value::String(text) => {
                out.put(format_args!("<Value number=\"{number}\">{}</Value>", escape(plain(text))));
            }
            Value::Null => {} // the number of the next one tells of it
            other => out.put(format_args!("<Value number=\"{number}\">{other}</Value>")),
        }
    }
    Ok(())
}

fn person(name: &Object, number: usize, out: &mut Xml) {
    out.put(format_args!("<PersonName number=\"{number}\">"));
    for group in ["Alphabetic", "Ideographic", "Phonetic"] {
        let Some(text) = name.get(group).and_then(Value::as_str) else { continue };
        out.put(format_args!("<{group}>"));
        for (part, word) in text.splitn(NAME_PARTS.len(), '^').zip(NAME_PARTS) {
            if !part.is_empty() {
                out.put(format_args!("<{word}>{}</{word}>", escape(plain(part))));
            }
        }
        out.put(format_args!("</{group}>"));
    }
    out.text("</PersonName>");
}

/// Text without the characters that XML 1.0 has no way to write.
fn plain(text: &str) -> String {
    let written = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{80}'..);
    text.chars().map(|c| if written(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

fn keyword(tag: &str) -> Option<&'static str> {
    let tag = u32::from_str_radix(tag, 16).ok()?;
    let table = cairn_dicom::attributes::TABLE;
    let place = table.binary_search_by_key(&tag, |entry| entry.tag).ok()?;
    table.get(place).map(|entry| entry.name)
}

/// Who owns a private attribute (PS3.5 §7.8.1): the value of `gggg00bb` for `ggggbbxx`.
fn creator<'a>(object: &'a Object, tag: &str) -> Option<&'a str> {
    let (group, element) = tag.split_at_checked(4)?;
    let odd = u32::from_str_radix(group, 16).is_ok_and(|group| group % 2 == 1);
    let block = element.get(..2).filter(|block| odd && *block != "00")?;
    let creator = object.get(&format!("{group}00{block}"))?;
    creator.get("Value")?.get(0)?.as_str()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn behaviour_12_xml_says_what_json_says() {
        let json = r#"{
            "00080005":{"vr":"CS","Value":["ISO_IR 192"]},
            "00100010":{"vr":"PN","Value":[{"Alphabetic":"A&B^C^^Dr","Ideographic":"山田^太郎"}]},
            "00080096":{"vr":"SQ","Value":[{"00080050":{"vr":"SH"}},{}]},
            "00280010":{"vr":"US","Value":[512]},
            "00181020":{"vr":"LO","Value":["1",null,"3\u0007"]},
            "00190010":{"vr":"LO","Value":["ME <X>"]},
            "00191001":{"vr":"OB","InlineBinary":"AAE="},
            "7FE00010":{"vr":"OW","BulkDataURI":"http://h/a?b&c"}
        }"#;
        let xml = document(&serde_json::from_str(json).unwrap()).unwrap();
        for part in [
            "<DicomAttribute tag=\"00080005\" vr=\"CS\" keyword=\"SpecificCharacterSet\">\
             <Value number=\"1\">ISO_IR 192</Value></DicomAttribute>",
            "<PersonName number=\"1\"><Alphabetic><FamilyName>A&amp;B</FamilyName>\
             <GivenName>C</GivenName><NamePrefix>Dr</NamePrefix></Alphabetic><Ideographic>",
            "<Item number=\"1\"><DicomAttribute tag=\"00080050\" vr=\"SH\" \
             keyword=\"AccessionNumber\"></DicomAttribute></Item><Item number=\"2\"></Item>",
            "<Value number=\"1\">512</Value>",
            "<Value number=\"1\">1</Value><Value number=\"3\">3\u{FFFD}</Value>",
            "<DicomAttribute tag=\"00191001\" vr=\"OB\" privateCreator=\"ME &lt;X&gt;\">\
             <InlineBinary>AAE=</InlineBinary>",
            "<BulkData uri=\"http://h/a?b&amp;c\"/>",
        ] {
            assert!(xml.contains(part), "{part}\n{xml}");
        }
    }
}
