//! A hospital's side: binding cards, and granting what patients signed.

use std::path::{Path, PathBuf};

use clap::Args;

use super::super::{Exit, Session};
use super::{sheet, text_of};
use crate::error::Result;
use crate::output::{Align, Table, clean, count, time};
use crate::sharing::Shared;
use crate::sharing::control::Request;
use crate::sharing::patients::{BindPatient, PatientLine, Sheet};

#[derive(Debug, Args)]
pub(super) struct BindArgs {
    /// Study Instance UID of one of the patient's studies here; the card is bound to all of them
    #[arg(value_name = "STUDY")]
    study: String,
    /// The patient's card: its text, or a file with it
    #[arg(long, value_name = "CARD|FILE")]
    card: String,
    /// From now on, and for good, grant these studies with the patient's signature only
    #[arg(long)]
    required: bool,
    /// Write the sheet here, and print a list instead
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
}

pub(super) fn bind(session: &Session, args: &BindArgs) -> Result<Exit> {
    let path = Path::new(&args.card);
    let card = if path.is_file() { text_of(path)? } else { args.card.clone() };
    let wish = BindPatient {
        study_uid: args.study.clone(),
        card: card.trim().to_owned(),
        required: args.required,
    };
    let bound: Sheet = session.ask(Request::BindPatient(wish))?;
    match &args.sheet {
        None => session.output.object(&bound)?,
        Some(file) => {
            sheet::write(file, &bound)?;
            if session.output.json {
                session.output.object(&bound)?;
            } else {
                session.output.text(&sheet::told(&bound))?;
            }
        }
    }
    session.output.note("The sheet is for the patient alone: hand it over, and keep no copy.");
    Ok(Exit::Good)
}

pub(super) fn list(session: &Session) -> Result<Exit> {
    let mut table = Table::new(&[
        ("PATIENT", Align::Left),
        ("KEY", Align::Left),
        ("STUDIES", Align::Right),
        ("SIGNATURE", Align::Left),
        ("SINCE", Align::Left),
    ]);
    session.ask_each(Request::Patients, &mut |line: PatientLine| {
        if session.output.json {
            return session.output.object(&line);
        }
        table.row(vec![
            clean(&line.patient_id),
            line.key.chars().take(12).collect(),
            count(line.studies as u64),
            if line.required { "needed".into() } else { "not needed".into() },
            time(line.added * 1000),
        ]);
        Ok(())
    })?;
    session.output.text(&table.render())?;
    Ok(Exit::Good)
}

pub(super) fn take(session: &Session, file: &Path) -> Result<Exit> {
    let shared: Shared = session.ask(Request::Consent { statement: text_of(file)? })?;
    if session.output.json {
        session.output.object(&shared)?;
    } else {
        session.output.text(&super::super::share::told(&shared))?;
    }
    Ok(Exit::Good)
}
