//! Of an instance's metadata what says how its values are to be seen, and nothing else: the functional
//! groups of a large multi-frame take a hundred times as much.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::http::Problem;

/// Functional groups, shared and of each frame (PS3.3 C.7.6.16).
const GROUPS: [&str; 2] = ["52009229", "52009230"];
/// Of those: Pixel Value Transformation, Frame VOI LUT.
const OF_GROUPS: [&str; 2] = ["00289145", "00289132"];
/// The group of image pixels, windows and tables.
const IMAGE: &str = "0028";
/// Presentation LUT Shape.
const SHAPE: &str = "20500020";

/// Reads a DICOM JSON object.
///
/// # Errors
/// 500 for text that is none: this archive wrote it.
pub(super) fn read(text: &[u8]) -> Result<Value, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let kept = Kept::DataSet.deserialize(&mut reader);
    kept.map_err(|error| Problem::internal(format!("metadata cannot be read: {error}")))
}

/// What is read, and so what is kept of it.
#[derive(Clone, Copy)]
enum Kept {
    /// A data set: the group of images, and groups of frames.
    DataSet,
    /// An element that is a sequence of functional groups.
    Element,
    /// Its items.
    Items,
    /// One of those.
    Group,
}

/// What becomes of the value of a key.
enum Fate {
    Dropped,
    Whole,
    Part(Kept),
}

impl Kept {
    fn fate(self, key: &str) -> Fate {
        let whole_if = |wanted: bool| if wanted { Fate::Whole } else { Fate::Dropped };
        match self {
            Self::DataSet if GROUPS.contains(&key) => Fate::Part(Self::Element),
            Self::DataSet => whole_if(key.starts_with(IMAGE) || key == SHAPE),
            Self::Element if key == "Value" => Fate::Part(Self::Items),
            Self::Element => Fate::Dropped,
            Self::Items | Self::Group => whole_if(OF_GROUPS.contains(&key)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Kept {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Kept {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list of the DICOM JSON model")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null) // an empty item
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            match self.fate(&key) {
                Fate::Dropped => {
                    map.next_value::<IgnoredAny>()?;
                }
                Fate::Whole => {
                    kept.insert(key, map.next_value()?);
                }
                Fate::Part(inner) => {
                    kept.insert(key, map.next_value_seed(inner)?);
                }
            }
        }
        Ok(Value::Object(kept))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Self::Group)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_looked_at_is_kept() {
        let window = json!({"vr": "SQ", "Value": [{"00281050": {"vr": "DS", "Value": [1]}}]});
        let position = json!({"vr": "SQ", "Value": [{"00200032": {"vr": "DS", "Value": [1]}}]});
        let item = json!({"00289132": window, "00209113": position});
        let all = json!({
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]},
            "00281050": {"vr": "DS", "Value": [40]},
            "20500020": {"vr": "CS", "Value": ["INVERSE"]},
            "52009229": {"vr": "SQ"},
            "52009230": {"vr": "SQ", "Value": [item, null, {}]},
        });
        let kept = json!({
            "00281050": {"vr": "DS", "Value": [40]},
            "20500020": {"vr": "CS", "Value": ["INVERSE"]},
            "52009229": {},
            "52009230": {"Value": [{"00289132": window}, null, {}]},
        });
        assert_eq!(read(all.to_string().as_bytes()).unwrap(), kept);
        assert!(read(b"{").is_err() && read(b"7").is_err());
    }
}
