//! `cairn show`: a study or an instance in detail, and proofs.

mod instance;
mod study;

use std::path::PathBuf;

use cairn_store::{Error as StoreError, Store};
use clap::Args;
use serde::Serialize;

use super::export::names::safe;
use super::{Exit, Session, proof};
use crate::error::{Error, Result};
use crate::output::{clean, pairs};

/// Show a study or an instance, or write a proof that an instance belongs to its study
#[derive(Debug, Args)]
#[command(after_help = "\
UID is a Study Instance UID or a SOP Instance UID. A study is shown with its root, which names its \
content; an instance with all its versions. -v lists the instances of a study, and the chunks of \
an instance. Shows patients: mind where the output goes.

A proof file says that an instance is part of the study with a given root. `cairn verify --proof` \
checks it anywhere, with no archive at hand.

Exit codes: 0 shown; 1 there is no such UID, or the archive cannot be read.

Examples:
  cairn show 1.2.840.113619.2.5 -v
  cairn show 1.2.840.113619.2.5 --proof 1.2.840.113619.2.5.7 --out slice.proof")]
pub(crate) struct ShowArgs {
    /// Study Instance UID or SOP Instance UID
    uid: String,
    /// Write a proof that this instance is in the study
    #[arg(long, value_name = "SOP_UID")]
    proof: Option<String>,
    /// Where to write it [default: <SOP_UID>.proof]
    #[arg(long, value_name = "FILE", requires = "proof")]
    out: Option<PathBuf>,
}

/// A proof that was written, as JSON has it.
#[derive(Debug, Serialize)]
struct Written {
    file: String,
    bytes: u64,
    study_uid: String,
    sop_instance_uid: String,
    root: String,
}

pub(super) fn run(session: &Session, args: &ShowArgs) -> Result<Exit> {
    let store = session.open_to_read()?;
    if let Some(sop) = &args.proof {
        return write_proof(session, &store, args, sop);
    }
    let mut row = None;
    store.catalog().studies(Some(&args.uid), &mut |found| {
        row = Some(found);
        Ok(())
    })?;
    if let Some(row) = row {
        study::show(session, &store, &row)?;
        return Ok(Exit::Good);
    }
    let versions = store.catalog().versions_of_sop(&args.uid)?;
    if versions.is_empty() {
        let name = args.uid.clone();
        return Err(StoreError::NotFound { what: "study or instance", name }.into());
    }
    instance::show(session, &store, &versions)?;
    Ok(Exit::Good)
}

fn write_proof(session: &Session, store: &Store, args: &ShowArgs, sop: &str) -> Result<Exit> {
    let proof = proof::make(store, &args.uid, sop)?;
    let path = match &args.out {
        Some(path) => path.clone(),
        None => PathBuf::from(format!("{}.proof", safe(sop))),
    };
    let encoded = proof.encode();
    std::fs::write(&path, &encoded).map_err(Error::io("write", &path))?;
    let written = Written {
        file: path.display().to_string(),
        bytes: encoded.len() as u64,
        study_uid: proof.study_uid,
        sop_instance_uid: proof.leaf.sop_instance_uid,
        root: proof.root.to_string(),
    };
    if session.output.json {
        session.output.object(&written)?;
    } else {
        session.output.text(&pairs(&[
            ("proof", format!("{}, {} bytes", written.file, written.bytes)),
            ("study", clean(&written.study_uid)),
            ("instance", clean(&written.sop_instance_uid)),
            ("root", written.root.clone()),
        ]))?;
    }
    Ok(Exit::Good)
}
