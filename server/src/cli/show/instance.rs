//! An instance: all its versions, what is odd about them, and how they are put together.

use std::fmt::Write as _;

use cairn_chunker::manifest::{ChunkRef, Class, Envelope, Manifest};
use cairn_dicom::Flags;
use cairn_store::Store;
use cairn_store::catalog::VersionRow;
use serde::Serialize;

use super::super::Session;
use crate::error::Result;
use crate::output::{Align, Table, clean, count, pairs, size, time};

/// A version as JSON has it.
#[derive(Debug, Serialize)]
pub(super) struct VersionLine<'a> {
    seq: u64,
    study_uid: &'a str,
    series_uid: &'a str,
    sop_instance_uid: &'a str,
    sop_class_uid: &'a str,
    transfer_syntax_uid: &'a str,
    visible: bool,
    deleted: bool,
    outcome: &'static str,
    flags: Vec<&'static str>,
    dataset_hash: String,
    dataset_bytes: u64,
    pixel_digest: String,
    leaf_hash: String,
    manifest: String,
    frames: u64,
    /// Seconds since 1970.
    received: f64,
}

impl<'a> From<&'a VersionRow> for VersionLine<'a> {
    fn from(row: &'a VersionRow) -> Self {
        Self {
            seq: row.seq,
            study_uid: &row.study_uid,
            series_uid: &row.series_uid,
            sop_instance_uid: &row.sop_instance_uid,
            sop_class_uid: &row.sop_class_uid,
            transfer_syntax_uid: &row.transfer_syntax_uid,
            visible: row.visible,
            deleted: row.deleted,
            outcome: row.outcome.name(),
            flags: Flags::from_bits(row.flags).names().collect(),
            dataset_hash: row.dataset_hash.to_string(),
            dataset_bytes: row.dataset_bytes,
            pixel_digest: row.pixels.to_string(),
            leaf_hash: row.leaf_hash().to_string(),
            manifest: row.manifest.to_string(),
            frames: row.frames,
            received: row.received_ms as f64 / 1000.0,
        }
    }
}

/// How a version is put together.
#[derive(Debug, Serialize)]
struct ManifestLine {
    envelope: &'static str,
    envelope_bytes: u64,
    chunks: u64,
    /// With `-v`.
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk_list: Option<Vec<ChunkLine>>,
}

#[derive(Debug, Serialize)]
struct ChunkLine {
    chunk: String,
    class: &'static str,
    bytes: u64,
    pack: String,
    offset: u64,
    /// Length of the record; a block is shared by many chunks.
    record_bytes: u64,
    in_block: bool,
}

#[derive(Debug, Serialize)]
struct InstanceObject<'a> {
    sop_instance_uid: &'a str,
    versions: Vec<VersionObject<'a>>,
}

#[derive(Debug, Serialize)]
struct VersionObject<'a> {
    #[serde(flatten)]
    version: VersionLine<'a>,
    flag_sentences: Vec<&'static str>,
    /// None: it was deleted, and collected.
    #[serde(flatten)]
    manifest_parts: Option<ManifestLine>,
}

pub(super) fn show(session: &Session, store: &Store, versions: &[VersionRow]) -> Result<()> {
    let mut objects = Vec::new();
    for row in versions {
        let manifest_parts = match store.reader().manifest(&row.manifest) {
            Err(_) if row.deleted => None,
            read => parts(store, &read?, session.output.verbose > 0)
                .map(Some)
                .or_else(|error| if row.deleted { Ok(None) } else { Err(error) })?,
        };
        objects.push(VersionObject {
            version: row.into(),
            flag_sentences: Flags::from_bits(row.flags).describe().collect(),
            manifest_parts,
        });
    }
    if session.output.json {
        let sop_instance_uid = versions.first().map_or("", |row| row.sop_instance_uid.as_str());
        return session.output.object(&InstanceObject { sop_instance_uid, versions: objects });
    }
    let texts: Vec<String> =
        versions.iter().zip(&objects).map(|(row, object)| text(row, object)).collect();
    session.output.text(&texts.join("\n"))
}

fn parts(store: &Store, manifest: &Manifest, list: bool) -> Result<ManifestLine> {
    let (envelope, envelope_bytes) = match &manifest.envelope {
        Envelope::Absent => ("absent", 0),
        Envelope::Inline(bytes) => ("inline", bytes.len() as u64),
        Envelope::Chunked(chunks) => {
            ("chunked", chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum())
        }
    };
    let chunk_list = list
        .then(|| manifest.all_chunks().map(|chunk| chunk_line(store, chunk)).collect())
        .transpose()?;
    let chunks = manifest.all_chunks().count() as u64;
    Ok(ManifestLine { envelope, envelope_bytes, chunks, chunk_list })
}

fn chunk_line(store: &Store, chunk: &ChunkRef) -> Result<ChunkLine> {
    let place = store.reader().locate(&chunk.id)?;
    Ok(ChunkLine {
        chunk: chunk.id.to_string(),
        class: class_name(chunk.class),
        bytes: u64::from(chunk.bytes),
        pack: store.catalog().pack(place.pack)?.id.to_string(),
        offset: place.offset,
        record_bytes: u64::from(place.record_bytes),
        in_block: place.inner.is_some(),
    })
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Header => "header",
        Class::Bulk => "bulk",
        Class::Pixels => "pixels",
        Class::Frame => "frame",
        Class::FrameTable => "frame_table",
        Class::Opaque => "opaque",
    }
}

fn text(row: &VersionRow, object: &VersionObject<'_>) -> String {
    let shown = match (row.visible, row.deleted) {
        (true, _) => "yes",
        (false, true) => "no: it was deleted",
        (false, false) => "no: another version is",
    };
    let mut rows = vec![
        ("instance", clean(&row.sop_instance_uid)),
        ("version", format!("{}, received {}", row.seq, time(row.received_ms))),
        ("outcome", row.outcome.name().to_owned()),
        ("shown", shown.to_owned()),
        ("study", clean(&row.study_uid)),
        ("series", clean(&row.series_uid)),
        ("SOP class", clean(&row.sop_class_uid)),
        ("transfer syntax", clean(&row.transfer_syntax_uid)),
        ("data set", format!("{}, BLAKE3 {}", size(row.dataset_bytes), row.dataset_hash)),
        ("frames", count(row.frames)),
        ("leaf", row.leaf_hash().to_string()),
        ("manifest", row.manifest.to_string()),
    ];
    match &object.manifest_parts {
        Some(parts) => rows.extend([
            ("envelope", format!("{}, {}", parts.envelope, size(parts.envelope_bytes))),
            ("chunks", count(parts.chunks)),
        ]),
        None => rows.push(("chunks", "collected".to_owned())),
    }
    let mut text = pairs(&rows);
    for sentence in &object.flag_sentences {
        let _ = writeln!(text, "  flag: {sentence}");
    }
    let list = object.manifest_parts.as_ref().and_then(|parts| parts.chunk_list.as_ref());
    if let Some(chunks) = list {
        text += &chunk_table(chunks);
    }
    text
}

fn chunk_table(chunks: &[ChunkLine]) -> String {
    let mut table = Table::new(&[
        ("CHUNK", Align::Left),
        ("CLASS", Align::Left),
        ("BYTES", Align::Right),
        ("PACK", Align::Left),
        ("OFFSET", Align::Right),
        ("RECORD", Align::Right),
    ]);
    for chunk in chunks {
        let record = if chunk.in_block {
            format!("block of {}", count(chunk.record_bytes))
        } else {
            count(chunk.record_bytes)
        };
        table.row(vec![
            chunk.chunk.clone(),
            chunk.class.to_owned(),
            count(chunk.bytes),
            chunk.pack.clone(),
            count(chunk.offset),
            record,
        ]);
    }
    table.render()
}
