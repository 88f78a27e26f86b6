//! A study: whom it shows, what its content is called, its series.

use cairn_store::Store;
use cairn_store::catalog::{SeriesRow, StudyRow, VersionRow};
use serde::Serialize;

use super::super::Session;
use super::super::ls::StudyLine;
use super::instance::VersionLine;
use crate::error::Result;
use crate::output::{Align, Table, clean, count, date, pairs, size, time};

#[derive(Debug, Serialize)]
struct StudyObject<'a> {
    #[serde(flatten)]
    study: StudyLine<'a>,
    /// Of the content as it is now.
    root: String,
    record: Option<Record>,
    series_list: Vec<SeriesLine<'a>>,
    /// With `-v`.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_list: Option<Vec<VersionLine<'a>>>,
}

/// The newest study record.
#[derive(Debug, Serialize)]
struct Record {
    version: u64,
    root: String,
    previous_root: Option<String>,
    instances: u64,
    bytes: u64,
    /// Seconds since 1970.
    created: f64,
}

#[derive(Debug, Serialize)]
struct SeriesLine<'a> {
    series_uid: &'a str,
    modality: &'a str,
    number: &'a str,
    description: &'a str,
    instances: u64,
    bytes: u64,
}

pub(super) fn show(session: &Session, store: &Store, row: &StudyRow) -> Result<()> {
    let root = store.study_tree(&row.study_uid)?.root().to_string();
    let record = store.catalog().study_record(&row.study_uid)?.map(|record| Record {
        version: record.version,
        root: record.root.to_string(),
        previous_root: record.previous.map(|root| root.to_string()),
        instances: record.instances,
        bytes: record.bytes,
        created: record.created_ms as f64 / 1000.0,
    });
    let series = store.catalog().series(&row.study_uid)?;
    let mut versions = Vec::new();
    if session.output.verbose > 0 {
        store.catalog().study_versions(&row.study_uid, true, &mut |version| {
            versions.push(version);
            Ok(())
        })?;
    }
    if session.output.json {
        let verbose = session.output.verbose > 0;
        return session.output.object(&StudyObject {
            study: row.into(),
            root,
            record,
            series_list: series.iter().map(series_line).collect(),
            instance_list: verbose.then(|| versions.iter().map(Into::into).collect()),
        });
    }
    let mut text = attributes(row, &root, record.as_ref());
    text.push('\n');
    text += &series_table(&series);
    if !versions.is_empty() {
        text.push('\n');
        text += &version_table(&versions);
    }
    session.output.text(&text)
}

fn series_line(row: &SeriesRow) -> SeriesLine<'_> {
    SeriesLine {
        series_uid: &row.series_uid,
        modality: &row.modality,
        number: &row.number,
        description: &row.description,
        instances: row.instances,
        bytes: row.bytes,
    }
}

fn attributes(row: &StudyRow, root: &str, record: Option<&Record>) -> String {
    let recorded = match record {
        None => "not recorded yet; the next import does".to_owned(),
        Some(record) if record.root == root => {
            format!("version {}, {}", record.version, time((record.created * 1000.0) as u64))
        }
        Some(record) => format!("version {} is older than the content", record.version),
    };
    pairs(&[
        ("study", clean(&row.study_uid)),
        ("patient", clean(&row.patient_name)),
        ("patient id", clean(&row.patient_id)),
        ("date", date(&row.study_date)),
        ("accession number", clean(&row.accession_number)),
        ("description", clean(&row.description)),
        ("modalities", clean(&row.modalities.replace('\\', ", "))),
        ("instances", format!("{} in {} series", count(row.instances), count(row.series))),
        ("size", size(row.bytes)),
        ("other versions", count(row.other_versions)),
        ("root", root.to_owned()),
        ("record", recorded),
    ])
}

fn series_table(series: &[SeriesRow]) -> String {
    let mut table = Table::new(&[
        ("SERIES", Align::Left),
        ("NO", Align::Right),
        ("MODALITY", Align::Left),
        ("DESCRIPTION", Align::Left),
        ("INSTANCES", Align::Right),
        ("SIZE", Align::Right),
    ]);
    for row in series {
        table.row(vec![
            clean(&row.series_uid),
            clean(&row.number),
            clean(&row.modality),
            clean(&row.description),
            count(row.instances),
            size(row.bytes),
        ]);
    }
    table.render()
}

fn version_table(versions: &[VersionRow]) -> String {
    let mut table = Table::new(&[
        ("INSTANCE", Align::Left),
        ("SHOWN", Align::Left),
        ("OUTCOME", Align::Left),
        ("FRAMES", Align::Right),
        ("SIZE", Align::Right),
        ("FLAGS", Align::Left),
    ]);
    for version in versions {
        let flags: Vec<_> = cairn_dicom::Flags::from_bits(version.flags).names().collect();
        table.row(vec![
            clean(&version.sop_instance_uid),
            if version.visible { "yes" } else { "no" }.to_owned(),
            version.outcome.name().to_owned(),
            count(version.frames),
            size(version.dataset_bytes),
            flags.join(", "),
        ]);
    }
    table.render()
}
