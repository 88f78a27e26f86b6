//! Of an instance's metadata what says how its values are to be seen, and nothing else: the functional
//! groups of a large multi-frame take a hundred times as much.
//!
//! To make the metadata of an instance takes as long as its header is, and a viewer asks for frame after
//! frame. So what is kept of it stays in memory, the part of each frame as text, which a tree of values
//! would multiply by ten. A manifest's name stands for the bytes of one version, so nothing here is ever
//! out of date.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_chunker::id::ChunkId;
use cairn_store::catalog::VersionRow;
use moka::sync::Cache;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::http::{App, Problem};

/// Headers kept, in bytes: some ten of multi-frames of ten thousand frames, thousands of others.
const CACHE_BYTES: u64 = 16 << 20;
/// What a value in memory takes, in lengths of its text.
const TREE_FACTOR: usize = 10;
/// What a frame takes besides its text.
const FRAME_BYTES: usize = 16;

/// Per-Frame Functional Groups Sequence.
const FRAME_GROUPS: &str = "52009230";
/// Functional groups, shared and of each frame (PS3.3 C.7.6.16).
const GROUPS: [&str; 2] = ["52009229", FRAME_GROUPS];
/// Of those: Pixel Value Transformation, Frame VOI LUT.
const OF_GROUPS: [&str; 2] = ["00289145", "00289132"];
/// The group of image pixels, windows and tables.
const IMAGE: &str = "0028";
/// Presentation LUT Shape.
const SHAPE: &str = "20500020";

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Header {
    /// What is true of all frames, as DICOM JSON.
    pub(super) common: Value,
    /// For each frame its functional groups, as text; one after the other they are often the same.
    frames: Vec<Arc<[u8]>>,
    /// What it takes in memory, roughly.
    bytes: usize,
}

impl Header {
    /// From a DICOM JSON object.
    ///
    /// # Errors
    /// 500 for text that is none: this archive wrote it.
    fn read(text: &[u8]) -> Result<Self, Problem> {
        let fault = |error| Problem::internal(format!("metadata cannot be read: {error}"));
        let mut reader = serde_json::Deserializer::from_slice(text);
        let mut common = Kept::DataSet.deserialize(&mut reader).map_err(fault)?;
        let groups = common.as_object_mut().and_then(|all| all.remove(FRAME_GROUPS));
        let items = groups.as_ref().and_then(|groups| groups.get("Value")?.as_array());
        let mut frames = Vec::<Arc<[u8]>>::new();
        let mut bytes = common.to_string().len() * TREE_FACTOR;
        for item in items.into_iter().flatten() {
            let text = item.to_string();
            let same = frames.last().filter(|last| ***last == *text.as_bytes());
            let (frame, more) = match same {
                Some(same) => (Arc::clone(same), 0),
                None => (Arc::from(text.as_bytes()), text.len()),
            };
            frames.push(frame);
            bytes += FRAME_BYTES + more;
        }
        Ok(Self { common, frames, bytes })
    }

    /// The functional groups of frame `index`, from 0, if it has some of its own.
    pub(super) fn frame(&self, index: u64) -> Option<Value> {
        let text = self.frames.get(usize::try_from(index).ok()?)?;
        serde_json::from_slice(text).ok()
    }
}

/// Headers of those instances of which pictures were asked for, by the names of their manifests.
#[derive(Debug)]
pub(crate) struct Headers {
    kept: Cache<ChunkId, Arc<Header>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Default for Headers {
    fn default() -> Self {
        let weight =
            |_: &ChunkId, header: &Arc<Header>| u32::try_from(header.bytes).unwrap_or(u32::MAX);
        let kept = Cache::builder().max_capacity(CACHE_BYTES).weigher(weight).build();
        Self { kept, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }
}

impl Headers {
    /// The header of a version. Who asks for the same at once waits for the first to read it.
    ///
    /// # Errors
    /// What is damaged or cannot be read.
    pub(super) fn of(&self, app: &App, version: &VersionRow) -> Result<Arc<Header>, Problem> {
        if let Some(header) = self.kept.get(&version.manifest) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(header);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let read = || Header::read(&app.store.metadata().instance(version)?).map(Arc::new);
        let read = self.kept.try_get_with(version.manifest, read);
        read.map_err(|problem| Problem::clone(&problem))
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> u64 {
        // What was put in of late is not counted before.
        self.kept.run_pending_tasks();
        self.kept.weighted_size()
    }

    /// How often one was in memory, and how often not.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }
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
        let common = json!({
            "00281050": {"vr": "DS", "Value": [40]},
            "20500020": {"vr": "CS", "Value": ["INVERSE"]},
            "52009229": {},
        });
        let header = Header::read(all.to_string().as_bytes()).unwrap();
        assert_eq!(header.common, common);
        let frames = [json!({"00289132": window}), Value::Null, json!({})].map(Some);
        assert_eq!([0, 1, 2].map(|index| header.frame(index)), frames);
        assert_eq!((header.frame(3), header.frame(u64::MAX)), (None, None));
        assert!(Header::read(b"{").is_err() && Header::read(b"7").is_err());
    }

    #[test]
    fn what_is_the_same_in_frames_is_held_once() {
        let of = |windows: &[i32]| {
            let items: Vec<Value> = windows
                .iter()
                .map(|center| json!({"00289132": {"Value": [{"00281050": {"Value": [center]}}]}}))
                .collect();
            let all = json!({"52009230": {"vr": "SQ", "Value": items}});
            Header::read(all.to_string().as_bytes()).unwrap().bytes
        };
        let each: Vec<i32> = (100..200).collect();
        let (one, same, others) = (of(&[10]), of(&[10; 100]), of(&each));
        assert_eq!(same, one + 99 * FRAME_BYTES);
        assert!(others > one + 99 * 50 && others < one + 99 * 200, "{others}");
    }
}
