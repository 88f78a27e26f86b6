//! Identifiers: the data sets of queries and retrievals, in and out (PS3.4 §C.2.2).
//!
//! In, they are read by the walk that reads stored objects, into the DICOM JSON model: character sets
//! are decoded, depth and size are bounded. Out, they are made from that model.

use bytes::Bytes;
use cairn_dicom::json;
use cairn_dicom::query::path::vr_of;
use cairn_dicom::query::{BadQuery, Path, Query};
use cairn_dicom::syntax::IMPLICIT_LE;
use serde_json::{Map, Value};

use super::end::End;
use super::implicit::Implicit;
use super::service::Model;

/// (0008,0005): says how the identifier itself is encoded.
const SPECIFIC_CHARACTER_SET: u32 = 0x0008_0005;
/// (0008,0052).
pub(super) const QUERY_RETRIEVE_LEVEL: u32 = 0x0008_0052;
/// (0008,0053): classic or enhanced images; there is one view here.
const QUERY_RETRIEVE_VIEW: u32 = 0x0008_0053;
/// (0008,0054): this server, whatever is asked.
pub(super) const RETRIEVE_AE_TITLE: u32 = 0x0008_0054;
/// (0008,1190): a URL for HTTP.
const RETRIEVE_URL: u32 = 0x0008_1190;

/// What says nothing of what is looked for.
const NOT_KEYS: [u32; 5] = [
    SPECIFIC_CHARACTER_SET,
    QUERY_RETRIEVE_LEVEL,
    QUERY_RETRIEVE_VIEW,
    RETRIEVE_AE_TITLE,
    RETRIEVE_URL,
];

/// Attributes that cannot be encoded, before an answer is given up.
const UNENCODABLE_MAX: usize = 32;

/// A level of PS3.4 §C.6, which has one more than a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Patient,
    Study,
    Series,
    Image,
}

impl Level {
    /// The word of (0008,0052), if the model has it.
    fn of(word: &str, model: Model) -> Option<Self> {
        let level = match word {
            "PATIENT" => Self::Patient,
            "STUDY" => Self::Study,
            "SERIES" => Self::Series,
            "IMAGE" => Self::Image,
            _ => return None,
        };
        let is_in_model = match model {
            Model::Patient => true,
            Model::Study => level != Self::Patient,
            Model::PatientStudy => matches!(level, Self::Patient | Self::Study),
        };
        is_in_model.then_some(level)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Patient => "PATIENT",
            Self::Study => "STUDY",
            Self::Series => "SERIES",
            Self::Image => "IMAGE",
        }
    }

    /// What is searched for: patients are found by their studies.
    pub(super) fn searched(self) -> cairn_dicom::Level {
        match self {
            Self::Patient | Self::Study => cairn_dicom::Level::Study,
            Self::Series => cairn_dicom::Level::Series,
            Self::Image => cairn_dicom::Level::Instance,
        }
    }

    /// Its unique key (PS3.4 §C.6.1.1).
    pub(super) fn unique_key(self) -> u32 {
        match self {
            Self::Patient => 0x0010_0020,
            Self::Study => 0x0020_000D,
            Self::Series => 0x0020_000E,
            Self::Image => 0x0008_0018,
        }
    }
}

/// An identifier as it came.
#[derive(Debug)]
pub(super) struct Identifier {
    pub(super) level: Level,
    attributes: Map<String, Value>,
}

/// Reads a data set into the DICOM JSON model.
pub(super) fn read(bytes: Vec<u8>, transfer_syntax: &str) -> Option<Map<String, Value>> {
    let mut text = Vec::new();
    let mut source = Bytes::from(bytes);
    let written = json::write(&mut source, transfer_syntax, "", &mut text).ok()?;
    if written.cut {
        return None;
    }
    serde_json::from_slice(&text).ok()
}

impl Identifier {
    /// Reads one; `None` if it is no data set, or of no level of the model.
    pub(super) fn parse(bytes: Vec<u8>, transfer_syntax: &str, model: Model) -> Option<Self> {
        let attributes = read(bytes, transfer_syntax)?;
        let word = attributes.get(&hex(QUERY_RETRIEVE_LEVEL)).map(values)?;
        let level = Level::of(word.trim(), model)?;
        Some(Self { level, attributes })
    }

    /// The values of an attribute, joined by backslashes; `None` if there is none.
    pub(super) fn text(&self, tag: u32) -> Option<String> {
        self.attributes.get(&hex(tag)).map(values).filter(|text| !text.is_empty())
    }

    /// Adds all of it to a query: what has a value has to match, and everything is returned.
    pub(super) fn add_to(&self, query: &mut Query) -> Result<(), BadQuery> {
        for (name, element) in &self.attributes {
            let Some(path) = key(name) else { continue };
            let items = element.get("Value").and_then(Value::as_array);
            let first = items.and_then(|items| items.first()).and_then(Value::as_object);
            match first.filter(|_| is_sequence(element)) {
                // A sequence has one item, whose attributes are keys (PS3.4 §C.2.2.2.6), and is
                // returned whole.
                Some(item) => {
                    for (below, element) in item {
                        if let Some(path) = Path::parse(&format!("{name}.{below}")) {
                            query.match_path(path, &values(element))?;
                        }
                    }
                    query.match_path(path, "")?;
                }
                None => query.match_path(path, &values(element))?,
            }
        }
        Ok(())
    }

    /// The same as parameters of QIDO-RS (PS3.18 §8.3.4): other sites are asked by them.
    pub(super) fn parameters(&self, fuzzy: bool) -> Vec<(String, String)> {
        let mut parameters = Vec::new();
        for (name, element) in self.attributes.iter().filter(|(name, _)| key(name).is_some()) {
            let items = element.get("Value").and_then(Value::as_array);
            let first = items.and_then(|items| items.first()).and_then(Value::as_object);
            if let Some(item) = first.filter(|_| is_sequence(element)) {
                let below =
                    item.iter().map(|(below, key)| (format!("{name}.{below}"), values(key)));
                parameters.extend(below.filter(|(_, value)| !value.is_empty()));
                parameters.push(("includefield".into(), name.clone()));
                continue;
            }
            match values(element) {
                empty if empty.is_empty() => {
                    parameters.push(("includefield".into(), name.clone()));
                }
                value => parameters.push((name.clone(), value)),
            }
        }
        if fuzzy {
            parameters.push(("fuzzymatching".into(), "true".into()));
        }
        parameters
    }

    /// An answer: what was asked for, from `found`, whether or not it has a value (PS3.4 §C.2.2.2).
    pub(super) fn answer(&self, mut found: Map<String, Value>, title: &str) -> Map<String, Value> {
        let mut answer = Map::new();
        let unique = hex(self.level.unique_key());
        for name in self.attributes.keys().chain(std::iter::once(&unique)) {
            let Some(path) = key(name) else { continue };
            let vr = String::from_utf8_lossy(&vr_of(path.last()).0).into_owned();
            let element = found.remove(name).filter(|element| !is_bulk(element));
            if !answer.contains_key(name) {
                answer.insert(name.clone(), element.unwrap_or_else(|| empty(&vr)));
            }
        }
        answer.insert(hex(QUERY_RETRIEVE_LEVEL), text("CS", self.level.word()));
        answer.insert(hex(RETRIEVE_AE_TITLE), text("AE", title));
        answer
    }
}

/// The attribute that a name in JSON stands for, if it is a key.
fn key(name: &str) -> Option<Path> {
    let path = Path::parse(name)?;
    (!NOT_KEYS.contains(&path.last()) && path.last() & 0xFFFF != 0).then_some(path)
}

/// Encodes a data set in one of the two syntaxes that are negotiated for identifiers.
pub(super) fn encode(
    mut attributes: Map<String, Value>,
    transfer_syntax: &str,
) -> Result<Vec<u8>, End> {
    attributes.values_mut().for_each(drop_bulk);
    let mut value = Value::Object(attributes);
    for _ in 0..UNENCODABLE_MAX {
        let tag = match json::read(&value, &|_| None) {
            Ok(composed) => {
                // The first is preamble and group 0002.
                let explicit: Vec<u8> = composed.pieces.iter().skip(1).flatten().copied().collect();
                return in_syntax(explicit, transfer_syntax);
            }
            Err(json::ReadError::BadValue(tag) | json::ReadError::BadVr(tag)) => tag,
            Err(_) => break,
        };
        // A stored value that its VR does not allow: the attribute goes out without one.
        let vr = String::from_utf8_lossy(&vr_of(tag).0).into_owned();
        let top = value.as_object_mut().filter(|top| top.contains_key(&hex(tag)));
        let Some(top) = top else { break };
        top.insert(hex(tag), empty(&vr));
    }
    Err(End::Failed("an answer could not be encoded"))
}

fn in_syntax(explicit: Vec<u8>, transfer_syntax: &str) -> Result<Vec<u8>, End> {
    if transfer_syntax != IMPLICIT_LE {
        return Ok(explicit);
    }
    let mut out = Vec::with_capacity(explicit.len());
    let mut implicit = Implicit::default();
    implicit.push(&explicit, &mut |bytes| {
        out.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok(out)
}

/// An element without a value.
fn empty(vr: &str) -> Value {
    serde_json::json!({ "vr": vr })
}

/// An element with one value.
pub(super) fn text(vr: &str, value: &str) -> Value {
    serde_json::json!({ "vr": vr, "Value": [value] })
}

/// The name of an attribute in JSON.
pub(super) fn hex(tag: u32) -> String {
    format!("{tag:08X}")
}

fn is_sequence(element: &Value) -> bool {
    element.get("vr").and_then(Value::as_str) == Some("SQ")
}

fn is_bulk(element: &Value) -> bool {
    element.get("BulkDataURI").is_some()
}

/// What lies elsewhere is no part of an answer. The reader of JSON bounds the depth.
fn drop_bulk(element: &mut Value) {
    let Some(Value::Array(items)) = element.get_mut("Value") else { return };
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        item.retain(|_, element| !is_bulk(element));
        item.values_mut().filter(|element| element.is_object()).for_each(drop_bulk);
    }
}

/// The values of an element as keys take them.
pub(super) fn values(element: &Value) -> String {
    let values = element.get("Value").and_then(Value::as_array);
    let one = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Object(name) => {
            let group = |word| name.get(word).and_then(Value::as_str).unwrap_or_default();
            let groups = ["Alphabetic", "Ideographic", "Phonetic"].map(group).join("=");
            groups.trim_end_matches('=').to_owned()
        }
        _ => String::new(),
    };
    values.into_iter().flatten().map(one).collect::<Vec<_>>().join("\\")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cairn_dicom::syntax::EXPLICIT_LE;

    use super::*;

    fn object(pairs: &[(u32, Value)]) -> Map<String, Value> {
        pairs.iter().map(|(tag, value)| (hex(*tag), value.clone())).collect()
    }

    #[test]
    fn behaviour_32_what_is_asked_for_comes_back_also_without_a_value() {
        let asked = object(&[
            (0x0008_0052, text("CS", "STUDY")),
            (0x0010_0010, serde_json::json!({"vr": "PN", "Value": [{"Alphabetic": "Müller*"}]})),
            (0x0008_1030, empty("LO")),
            (0x0040_0275, serde_json::json!({"vr": "SQ", "Value": [{"00400009": {"vr": "SH"}}]})),
        ]);
        for syntax in [EXPLICIT_LE, IMPLICIT_LE] {
            let bytes = encode(asked.clone(), syntax).unwrap();
            let identifier = Identifier::parse(bytes, syntax, Model::Study).unwrap();
            assert_eq!(identifier.text(0x0010_0010).unwrap(), "Müller*");
            let mut query = Query::all(identifier.level.searched());
            identifier.add_to(&mut query).unwrap();
            assert_eq!((query.keys.len(), query.fields.paths.len()), (1, 4));
            let found = object(&[(0x0008_1030, text("LO", "Head")), (0x0008_0050, empty("SH"))]);
            let answer = identifier.answer(found, "CAIRN");
            let mut names: Vec<&str> = answer.keys().map(String::as_str).collect();
            names.sort_unstable();
            let expected = ["00080052", "00080054", "00081030", "00100010", "0020000D", "00400275"];
            assert_eq!(names, expected);
            assert_eq!(values(&answer["00081030"]), "Head");
        }
        let bytes = encode(asked, EXPLICIT_LE).unwrap();
        assert!(Identifier::parse(bytes, EXPLICIT_LE, Model::PatientStudy).is_some());
        let image = object(&[(0x0008_0052, text("CS", "IMAGE"))]);
        let bytes = encode(image, EXPLICIT_LE).unwrap();
        assert!(Identifier::parse(bytes, EXPLICIT_LE, Model::PatientStudy).is_none());
        assert!(Identifier::parse(b"rubbish".to_vec(), EXPLICIT_LE, Model::Study).is_none());
    }

    #[test]
    fn values_that_cannot_be_encoded_go_out_empty() {
        let odd = object(&[
            (0x0028_0010, serde_json::json!({"vr": "US", "Value": ["many"]})),
            (0x0042_0011, serde_json::json!({"vr": "OB", "BulkDataURI": "x"})),
            (
                0x0040_0275,
                serde_json::json!({"vr": "SQ", "Value": [{"00091010":
                {"vr": "UN", "BulkDataURI": "x"}}]}),
            ),
        ]);
        let mut odd = odd;
        odd.retain(|_, element| !is_bulk(element));
        let bytes = encode(odd, EXPLICIT_LE).unwrap();
        let back = read(bytes, EXPLICIT_LE).unwrap();
        assert_eq!(back.len(), 2);
        assert_eq!(values(&back["00280010"]), "");
    }
}
