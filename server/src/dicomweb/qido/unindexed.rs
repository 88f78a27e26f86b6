//! Attributes that the catalog does not hold: matched and returned from the metadata of series.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use cairn_dicom::attributes::Level;
use cairn_dicom::query::{Path, Query};
use cairn_store::catalog::search::{is_indexed, level_of};
use cairn_store::catalog::{Catalog, Found};
use cairn_store::metadata::Metadata;
use cairn_store::{Error, Result};
use serde_json::{Map, Value};

/// Instances whose metadata one search reads: a second or two of one core.
pub(super) const INSTANCES_MAX: usize = 20_000;

const SOP_INSTANCE_UID: &str = "00080018";

/// The metadata of series, object by object.
pub(super) trait SeriesObjects {
    /// Hands out the instances of a series in the DICOM JSON model until `each` breaks.
    fn objects(
        &mut self,
        study: &str,
        series: &str,
        each: &mut dyn FnMut(Value) -> ControlFlow<()>,
    ) -> Result<()>;
}

impl SeriesObjects for &Metadata {
    fn objects(
        &mut self,
        study: &str,
        series: &str,
        each: &mut dyn FnMut(Value) -> ControlFlow<()>,
    ) -> Result<()> {
        let Some(metadata) = self.series(study, series)? else { return Ok(()) };
        for run in 0..metadata.runs() {
            let text = [&b"["[..], &metadata.run(run)?, b"]"].concat();
            let objects: Vec<Value> = serde_json::from_slice(&text)
                .map_err(|_| Error::Derived { what: "series metadata" })?;
            for object in objects {
                if each(object).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// What one search looks up, and how much it may.
pub(super) struct Unindexed<'a> {
    query: &'a Query,
    catalog: &'a dyn Catalog,
    objects: &'a mut dyn SeriesObjects,
    base_url: &'a str,
    /// Fields to be returned that the catalog does not hold.
    fields: Vec<&'a Path>,
    has_keys: bool,
    /// Series read so far, reduced to what is matched or returned; in the order of their metadata.
    series: HashMap<(String, String), Vec<Value>>,
    room: usize,
    /// There was more to read than one search may.
    exhausted: bool,
    /// What is kept of a series could not be read.
    unreadable: bool,
}

impl<'a> Unindexed<'a> {
    pub(super) fn new(
        query: &'a Query,
        catalog: &'a dyn Catalog,
        objects: &'a mut dyn SeriesObjects,
        base_url: &'a str,
        instances_max: usize,
    ) -> Self {
        let fields = query.fields.paths.iter();
        Self {
            query,
            catalog,
            objects,
            base_url,
            fields: fields.filter(|path| is_of_level(path, query.level)).collect(),
            has_keys: query.keys.iter().any(|key| !is_indexed(&key.path)),
            series: HashMap::new(),
            room: instances_max,
            exhausted: false,
            unreadable: false,
        }
    }

    /// Does the query have keys that the catalog cannot match?
    pub(super) fn has_keys(&self) -> bool {
        self.has_keys
    }

    /// Was there more to read than one search may?
    pub(super) fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// Was something not looked at?
    pub(super) fn is_incomplete(&self) -> bool {
        self.exhausted || self.unreadable
    }

    /// Does some instance of what was found match the keys that the catalog did not decide?
    pub(super) fn holds(&mut self, found: &Found) -> Result<bool> {
        let (query, level) = (self.query, self.query.level);
        // Keys of lower levels again, so that one and the same instance matches all of them.
        let undecided = |path: &Path| match path.top_level().and_then(level_of) {
            Some(of) => of > level && cairn_dicom::attributes::level(path.last()).is_some(),
            None => true,
        };
        for series in self.series_of(found)? {
            let objects = self.read(&found.study_uid, &series)?;
            let mut objects = objects.iter().filter(|object| is_instance(object, found));
            let matches = objects.any(|object| query.keys_match_json(&undecided, object));
            if matches {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds fields that the catalog does not hold, of the first instance that has them.
    pub(super) fn add_fields(
        &mut self,
        found: &Found,
        elements: &mut BTreeMap<u32, Vec<u8>>,
    ) -> Result<()> {
        if self.fields.is_empty() {
            return Ok(());
        }
        let fields = self.fields.clone();
        for series in self.series_of(found)?.into_iter().take(1) {
            let mut objects = self.read(&found.study_uid, &series)?.iter();
            let has_one = |object: &&Value| {
                is_instance(object, found)
                    && fields.iter().any(|path| object.get(hex(path.first())).is_some())
            };
            let Some(object) = objects.find(has_one) else { continue };
            for tag in fields.iter().map(|path| path.first()) {
                let below = fields.iter().filter(|path| path.first() == tag);
                let below: Vec<&[u32]> = below.filter_map(|path| path.tags().get(1..)).collect();
                if let Some(element) = object.get(hex(tag)) {
                    elements.insert(tag, pick(element, &below).to_string().into_bytes());
                }
            }
        }
        Ok(())
    }

    fn series_of(&self, found: &Found) -> Result<Vec<String>> {
        if let Some(series) = &found.series_uid {
            return Ok(vec![series.clone()]);
        }
        let series = self.catalog.series(&found.study_uid)?;
        Ok(series.into_iter().map(|row| row.series_uid).collect())
    }

    fn read(&mut self, study: &str, series: &str) -> Result<&[Value]> {
        let name = (study.to_owned(), series.to_owned());
        if !self.series.contains_key(&name) {
            let wanted = self.wanted();
            let below = format!(
                "{}/studies/{}/series/{}/",
                self.base_url,
                super::segment(study),
                super::segment(series)
            );
            let (room, exhausted) = (&mut self.room, &mut self.exhausted);
            let mut kept = Vec::new();
            let read = self.objects.objects(study, series, &mut |object| {
                if *room == 0 {
                    *exhausted = true;
                    return ControlFlow::Break(());
                }
                *room -= 1;
                let Value::Object(object) = object else { return ControlFlow::Continue(()) };
                let kept_of = object.into_iter().filter(|(tag, _)| wanted.contains(tag));
                let mut object: Map<String, Value> = kept_of.collect();
                object.values_mut().for_each(|element| resolve(element, &below));
                kept.push(Value::Object(object));
                ControlFlow::Continue(())
            });
            match read {
                // Cannot be read as it is kept: the rest of the answer is as good.
                Err(Error::Derived { .. }) => self.unreadable = true,
                other => other?,
            }
            self.series.insert(name.clone(), kept);
        }
        Ok(self.series.get(&name).map(Vec::as_slice).unwrap_or_default())
    }

    /// Top-level attributes that are looked at.
    fn wanted(&self) -> Vec<String> {
        let keys = self.query.keys.iter().map(|key| key.path.first());
        let times = self.query.pairs.iter().map(|pair| pair.time.first());
        let fields = self.fields.iter().map(|path| path.first());
        let mut tags: Vec<String> = keys.chain(times).chain(fields).map(hex).collect();
        tags.push(SOP_INSTANCE_UID.to_owned());
        tags
    }
}

/// Is it a field to be looked up, and not one of the image where studies or series are listed (PS3.18
/// §10.6.3.3: fields of lower levels are not returned)? Of what is not indexed only the group says so.
fn is_of_level(path: &Path, level: Level) -> bool {
    let of_image = matches!(path.first() >> 16, 0x0028 | 0x5000..=0x60FF | 0x7FE0);
    !is_indexed(path) && (level == Level::Instance || !of_image)
}

fn is_instance(object: &Value, found: &Found) -> bool {
    let Some(sop) = &found.sop_instance_uid else { return true };
    let value = object.get(SOP_INSTANCE_UID).and_then(|element| element.get("Value"));
    value.and_then(|values| values.get(0)).and_then(Value::as_str) == Some(sop)
}

fn hex(tag: u32) -> String {
    format!("{tag:08X}")
}

/// An element with only those attributes in its items; all of them if one path ends here.
fn pick(element: &Value, below: &[&[u32]]) -> Value {
    let items = element.get("Value").and_then(Value::as_array);
    let (Some(items), false) = (items, below.iter().any(|path| path.is_empty())) else {
        return element.clone();
    };
    let picked = items.iter().filter_map(Value::as_object).map(|item| {
        let wanted = item.iter().filter_map(|(tag, element)| {
            let deeper: Vec<&[u32]> = below
                .iter()
                .filter(|path| path.first().is_some_and(|first| hex(*first) == *tag))
                .filter_map(|path| path.get(1..))
                .collect();
            (!deeper.is_empty()).then(|| (tag.clone(), pick(element, &deeper)))
        });
        Value::Object(wanted.collect())
    });
    let mut out = element.clone();
    out["Value"] = Value::Array(picked.collect());
    out
}

/// Makes links to bulk data absolute. Depth is bounded by the reader of JSON.
fn resolve(element: &mut Value, below: &str) {
    if let Some(Value::String(uri)) = element.get_mut("BulkDataURI") {
        uri.insert_str(0, below);
    }
    let Some(Value::Array(values)) = element.get_mut("Value") else { return };
    for item in values.iter_mut().filter_map(Value::as_object_mut) {
        item.values_mut().for_each(|element| resolve(element, below));
    }
}
