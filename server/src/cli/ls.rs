//! `cairn ls`: the studies.

use cairn_store::catalog::StudyRow;
use clap::Args;
use serde::Serialize;

use super::{Exit, Session};
use crate::error::Result;
use crate::output::{Align, Table, clean, count, date, size};

/// List the studies
#[derive(Debug, Args)]
#[command(after_help = "\
Sorted by date. Shows patients: mind where the output goes.

Exit codes: 0 listed, also if there is none; 1 there is no archive, or it cannot be read.

Examples:
  cairn ls
  cairn ls --json | jq -r .study_uid")]
pub(crate) struct LsArgs {}

/// A study as JSON has it.
#[derive(Debug, Serialize)]
pub(super) struct StudyLine<'a> {
    study_uid: &'a str,
    patient_name: &'a str,
    patient_id: &'a str,
    study_date: &'a str,
    accession_number: &'a str,
    description: &'a str,
    modalities: Vec<&'a str>,
    series: u64,
    instances: u64,
    bytes: u64,
    other_versions: u64,
}

impl<'a> From<&'a StudyRow> for StudyLine<'a> {
    fn from(row: &'a StudyRow) -> Self {
        Self {
            study_uid: &row.study_uid,
            patient_name: &row.patient_name,
            patient_id: &row.patient_id,
            study_date: &row.study_date,
            accession_number: &row.accession_number,
            description: &row.description,
            modalities: row.modalities.split('\\').filter(|m| !m.is_empty()).collect(),
            series: row.series,
            instances: row.instances,
            bytes: row.bytes,
            other_versions: row.other_versions,
        }
    }
}

const COLUMNS: [(&str, Align); 8] = [
    ("STUDY", Align::Left),
    ("PATIENT", Align::Left),
    ("ID", Align::Left),
    ("DATE", Align::Left),
    ("MODALITIES", Align::Left),
    ("SERIES", Align::Right),
    ("INSTANCES", Align::Right),
    ("SIZE", Align::Right),
];

pub(super) fn run(session: &Session, _: &LsArgs) -> Result<Exit> {
    let store = session.open_to_read()?;
    let output = &session.output;
    let mut table = Table::new(&COLUMNS);
    let (mut studies, mut bytes) = (0, 0);
    let mut printed = Ok(());
    store.catalog().studies(None, &mut |row| {
        studies += 1;
        bytes += row.bytes;
        if output.json {
            if printed.is_ok() {
                printed = output.object(&StudyLine::from(&row));
            }
            return Ok(());
        }
        table.row(vec![
            clean(&row.study_uid),
            clean(&row.patient_name),
            clean(&row.patient_id),
            date(&row.study_date),
            clean(&row.modalities.replace('\\', ",")),
            count(row.series),
            count(row.instances),
            size(row.bytes),
        ]);
        Ok(())
    })?;
    printed?;
    if !output.json {
        output.text(&table.render())?;
        if !output.quiet {
            let studies =
                if studies == 1 { "1 study".into() } else { format!("{} studies", count(studies)) };
            output.text(&format!("{studies}, {}\n", size(bytes)))?;
        }
    }
    Ok(Exit::Good)
}
