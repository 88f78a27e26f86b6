//! Instances that come as JSON metadata and parts of bulk data (PS3.18 §10.5.1.4, §8.7.3.2).
//!
//! The first part is the DICOM JSON of all instances; the others are values, each under the
//! Content-Location that a BulkDataURI names. Only when all of it is here can an instance be put
//! together, so such a request is held in memory, and is bounded; whoever has more sends files.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use cairn_dicom::json::{Bulk, ReadError, read};
use serde_json::Value;

use super::codes::{CANNOT_UNDERSTAND, TRANSFER_SYNTAX};
use super::results::Names;
use super::worker::Desk;
use super::{DICOM_JSON, parameter};
use crate::dicomweb::multipart::{Fault, Headers, Reader};

/// Longest metadata: that of a thousand instances. As a tree it takes some ten times as much.
const METADATA_BYTES_MAX: usize = 8 << 20;
/// All bulk data of a request.
const BULK_BYTES_MAX: usize = 256 << 20;

/// The bulk data of a request, by location.
#[derive(Default)]
struct Parts {
    by_location: HashMap<String, Bulk>,
    bytes: usize,
}

/// Takes in all instances of a body.
pub(super) fn take<S>(desk: &mut Desk<'_>, reader: &mut Reader<S>) -> Result<(), Fault>
where
    S: FnMut() -> std::io::Result<Option<Bytes>> + Send,
{
    let missing = Fault::Malformed("the first part has to be the metadata, as DICOM JSON");
    let Some(head) = reader.next_part()? else { return Err(missing) };
    let kind = head.get("content-type").unwrap_or(DICOM_JSON);
    if !essence(kind).eq_ignore_ascii_case(DICOM_JSON) {
        return Err(missing);
    }
    let text = body(reader, METADATA_BYTES_MAX)?;
    let instances = match serde_json::from_slice(&text) {
        Ok(Value::Array(instances)) => instances,
        Ok(instance @ Value::Object(_)) => vec![instance],
        _ => return Err(Fault::Malformed("the metadata is no DICOM JSON")),
    };
    let mut parts = Parts::default();
    while let Some(head) = reader.next_part()? {
        let bytes = body(reader, BULK_BYTES_MAX - parts.bytes)?;
        parts.keep(&head, bytes);
    }
    for instance in instances {
        match read(&instance, &|uri| parts.by_location.get(uri).cloned()) {
            Ok(composed) => {
                let mut pieces = composed.pieces.into_iter();
                desk.take(&mut || Ok(pieces.next()))?;
            }
            Err(error) => {
                // Its words name tags, never values.
                tracing::debug!(%error, "metadata could not be made an instance");
                let reason = match error {
                    ReadError::BadTransferSyntax => TRANSFER_SYNTAX,
                    _ => CANNOT_UNDERSTAND,
                };
                desk.results.refused(names(&instance), reason);
            }
        }
        desk.gather();
    }
    Ok(())
}

impl Parts {
    /// Several parts of one location are the frames of one value, in order.
    fn keep(&mut self, head: &Headers, bytes: Bytes) {
        self.bytes += bytes.len();
        let Some(location) = head.get("content-location") else { return };
        let bulk = self.by_location.entry(location.to_owned()).or_default();
        let kind = head.get("content-type").unwrap_or("");
        if let Some(syntax) = parameter(kind, "transfer-syntax") {
            bulk.transfer_syntax.get_or_insert_with(|| syntax.to_owned());
        }
        if !essence(kind).is_empty() {
            bulk.media_type.get_or_insert_with(|| essence(kind).to_owned());
        }
        bulk.parts.push(bytes);
    }
}

/// The whole of a part's body.
fn body<S>(reader: &mut Reader<S>, bytes_max: usize) -> Result<Bytes, Fault>
where
    S: FnMut() -> std::io::Result<Option<Bytes>>,
{
    let mut all = BytesMut::new();
    while let Some(bytes) = reader.next_bytes()? {
        if all.len() + bytes.len() > bytes_max {
            return Err(Fault::TooLong);
        }
        all.extend_from_slice(&bytes);
    }
    Ok(all.freeze())
}

fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or("").trim()
}

/// What an instance that cannot be made is called.
fn names(instance: &Value) -> Names {
    let text = |tag: &str| {
        let value = instance.get(tag).and_then(|attribute| attribute.get("Value"));
        let uid = value.and_then(|values| values.get(0)).and_then(Value::as_str);
        cairn_dicom::uid::usable(uid.unwrap_or_default())
    };
    Names::from((text("00080016"), text("00080018")))
}
