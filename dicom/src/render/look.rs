//! What the header says about how values are to be seen, for one frame.

use bytes::Bytes;
use serde_json::Value;

use super::lut::Lut;
use super::{Shape, Window};
use crate::json::base64;
use crate::limits::LUT_BYTES_MAX;

const MODALITY_LUT: &str = "00283000";
const LUT_DESCRIPTOR: &str = "00283002";
const LUT_DATA: &str = "00283006";
const VOI_LUT: &str = "00283010";
const RESCALE_INTERCEPT: &str = "00281052";
const RESCALE_SLOPE: &str = "00281053";
const WINDOW_CENTER: &str = "00281050";
const WINDOW_WIDTH: &str = "00281051";
const VOI_LUT_FUNCTION: &str = "00281056";
const PADDING: &str = "00280120";
const PADDING_LIMIT: &str = "00280121";
const PRESENTATION_SHAPE: &str = "20500020";
const SHARED_GROUPS: &str = "52009229";
const VALUE_TRANSFORMATION: &str = "00289145";
const FRAME_VOI_LUT: &str = "00289132";
const PALETTES: [(&str, &str, &str); 3] = [
    ("00281101", "00281201", "00281221"),
    ("00281102", "00281202", "00281222"),
    ("00281103", "00281203", "00281223"),
];

/// Fetches the value behind a BulkDataURI, little-endian; `None` if it is not to be had.
pub type BulkData<'a> = dyn FnMut(&str) -> Option<Bytes> + 'a;

/// How the values of a frame are to be seen.
#[derive(Clone, Debug, Default)]
pub struct Look {
    pub(super) modality: Modality,
    /// The first window of the header.
    pub(super) window: Option<Window>,
    pub(super) voi_lut: Option<Lut>,
    /// Stored values that are no measurement.
    pub(super) padding: Option<(i64, i64)>,
    /// Presentation LUT Shape is INVERSE.
    pub(super) inverse: bool,
    pub(super) palette: Option<[Lut; 3]>,
}

/// From stored values to those of the modality.
#[derive(Clone, Debug)]
pub(super) enum Modality {
    Linear { slope: f64, intercept: f64 },
    Table(Lut),
}

impl Default for Modality {
    fn default() -> Self {
        Self::Linear { slope: 1.0, intercept: 0.0 }
    }
}

impl Look {
    /// From an instance's DICOM JSON object, and of an enhanced multi-frame the frame's item in the
    /// Per-Frame Functional Groups Sequence, which need not be in the object. What is missing or damaged
    /// is as if it were not there.
    ///
    /// Functional groups go before the top level, those of the frame before shared ones (PS3.3 C.7.6.16).
    #[must_use]
    pub fn of(instance: &Value, frame: Option<&Value>, fetch: &mut BulkData<'_>) -> Self {
        let groups = [frame, item(instance, SHARED_GROUPS, 0)];
        let group = |tag| groups.iter().flatten().find_map(|group| item(group, tag, 0));
        let rescale = group(VALUE_TRANSFORMATION).unwrap_or(instance);
        let voi = group(FRAME_VOI_LUT).unwrap_or(instance);
        let palette = PALETTES.map(|tags| palette(instance, tags, fetch));
        Self {
            modality: modality(instance, rescale, fetch),
            window: window(voi),
            voi_lut: item(voi, VOI_LUT, 0).and_then(|item| table(item, fetch)),
            padding: padding(instance),
            inverse: text(instance, PRESENTATION_SHAPE) == Some("INVERSE"),
            palette: match palette {
                [Some(red), Some(green), Some(blue)] => Some([red, green, blue]),
                _ => None,
            },
        }
    }
}

fn modality(instance: &Value, rescale: &Value, fetch: &mut BulkData<'_>) -> Modality {
    if let Some(table) = item(instance, MODALITY_LUT, 0).and_then(|item| table(item, fetch)) {
        return Modality::Table(table);
    }
    let first = |tag| numbers(rescale, tag).first().copied().filter(|n: &f64| n.is_finite());
    let slope = first(RESCALE_SLOPE).filter(|slope| *slope != 0.0).unwrap_or(1.0);
    Modality::Linear { slope, intercept: first(RESCALE_INTERCEPT).unwrap_or(0.0) }
}

fn window(voi: &Value) -> Option<Window> {
    let center = *numbers(voi, WINDOW_CENTER).first()?;
    let width = *numbers(voi, WINDOW_WIDTH).first()?;
    let shape = text(voi, VOI_LUT_FUNCTION).and_then(Shape::of).unwrap_or_default();
    Window::new(center, width, shape)
}

fn padding(instance: &Value) -> Option<(i64, i64)> {
    let value = *numbers(instance, PADDING).first()? as i64;
    let limit = numbers(instance, PADDING_LIMIT).first().map_or(value, |limit| *limit as i64);
    Some((value.min(limit), value.max(limit)))
}

fn palette(
    instance: &Value,
    (descriptor, data, segments): (&str, &str, &str),
    fetch: &mut BulkData<'_>,
) -> Option<Lut> {
    let descriptor = whole_numbers(instance, descriptor);
    if let Some(data) = words(instance, data, fetch) {
        return Lut::of(&descriptor, &data);
    }
    Lut::of_segments(&descriptor, &words(instance, segments, fetch)?)
}

/// The table in an item of a modality or VOI LUT sequence.
fn table(item: &Value, fetch: &mut BulkData<'_>) -> Option<Lut> {
    let descriptor = whole_numbers(item, LUT_DESCRIPTOR);
    Lut::of(&descriptor, &words(item, LUT_DATA, fetch)?)
}

fn item<'a>(data_set: &'a Value, tag: &str, index: usize) -> Option<&'a Value> {
    data_set.get(tag)?.get("Value")?.get(index)
}

fn text<'a>(data_set: &'a Value, tag: &str) -> Option<&'a str> {
    item(data_set, tag, 0)?.as_str().map(str::trim)
}

/// Values that are numbers, or say one.
fn numbers(data_set: &Value, tag: &str) -> Vec<f64> {
    let values = data_set.get(tag).and_then(|element| element.get("Value")?.as_array());
    let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    values.map(|values| values.iter().map_while(number).collect()).unwrap_or_default()
}

fn whole_numbers(data_set: &Value, tag: &str) -> Vec<i64> {
    numbers(data_set, tag).iter().map(|number| *number as i64).collect()
}

/// A value as little-endian words: numbers, bytes inline, or bytes elsewhere.
fn words(data_set: &Value, tag: &str, fetch: &mut BulkData<'_>) -> Option<Bytes> {
    let element = data_set.get(tag)?;
    if let Some(uri) = element.get("BulkDataURI").and_then(Value::as_str) {
        return fetch(uri).map(|bytes| bytes.slice(..bytes.len().min(LUT_BYTES_MAX)));
    }
    if let Some(inline) = element.get("InlineBinary").and_then(Value::as_str) {
        return base64::decode(inline).map(Bytes::from);
    }
    let values = numbers(data_set, tag);
    if values.is_empty() {
        return None;
    }
    Some(values.iter().flat_map(|value| (*value as i64 as u16).to_le_bytes()).collect())
}
