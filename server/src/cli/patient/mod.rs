//! `cairn patient`: keys that patients hold.

mod ask;
mod check;
mod key;
mod qr;
mod sheet;
mod site;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{Exit, Session};
use crate::error::{Error, Result};
use crate::sharing::PURPOSES;

/// Longest file that is read here: a sheet has some 2 KB for each study.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Keys that patients hold: make one, bind it, let sites read by it
#[derive(Debug, Args)]
#[command(after_help = "\
A patient has one key and shows its card. A hospital that knows the person binds the card to their \
studies (`bind`) and hands out a sheet. With key and sheet, on any machine and without an archive, the \
patient lists who may read and who has (`studies`), lets a site read (`grant`), and takes it back \
(`revoke`).

What `grant` writes counts by the patient's signature alone. The patient hands it to the hospital that \
shall read, which shows it (`cairn fetch --consent FILE`), or to the owner (`take`, or `grant --server`). \
Anybody can check it with the binding's proof (`check`): these two files and the ledger's keys are \
enough.

Exit codes: 0 it is done, or holds; 1 it is not, or does not; 2 wrong usage or settings.

Examples:
  cairn patient keygen patient.key --card card.svg
  cairn patient bind 1.2.840.113619.2.5 --card card.txt > sheet.json
  cairn patient studies --key patient.key --sheet sheet.json --server https://a.example
  cairn patient grant --key patient.key --sheet sheet.json --study 8b1f --to b.example/cairn > consent.txt
  cairn patient proof --sheet sheet.json --study 8b1f > binding.tlog-proof
  cairn patient check consent.txt binding.tlog-proof
  cairn patient revoke --key patient.key --sheet sheet.json --study 8b1f --server https://a.example")]
pub(crate) struct PatientArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a key, and show its card
    Keygen(key::KeygenArgs),
    /// Show the card of a key again
    Card(key::CardArgs),
    /// At a hospital: bind a patient's card to their studies, and print the sheet that goes with them
    Bind(site::BindArgs),
    /// At a hospital: list the patients whose keys are known
    Ls,
    /// At a hospital: grant what a patient signed
    Take {
        /// What was signed
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// As a patient: list studies, who may read them, and who has
    Studies(ask::StudiesArgs),
    /// As a patient: let a site read a study, by signature alone
    Grant(ask::GrantArgs),
    /// As a patient: end what others may do with a study
    Revoke(ask::RevokeArgs),
    /// As a patient: print the proof that a study is bound to the key
    Proof(sheet::Meant),
    /// As anybody: check what a patient signed, from two files
    Check(check::CheckArgs),
}

pub(super) fn run(session: &Session, args: &PatientArgs) -> Result<Exit> {
    match &args.what {
        What::Keygen(args) => key::keygen(session, args),
        What::Card(args) => key::card(session, args),
        What::Bind(args) => site::bind(session, args),
        What::Ls => site::list(session),
        What::Take { file } => site::take(session, file),
        What::Studies(args) => ask::studies(session, args),
        What::Grant(args) => ask::grant(session, args),
        What::Revoke(args) => ask::revoke(session, args),
        What::Proof(meant) => ask::proof(session, meant),
        What::Check(args) => check::check(session, args),
    }
}

/// A small text file.
pub(super) fn text_of(file: &Path) -> Result<String> {
    let opened = File::open(file).map_err(Error::io("read", file))?;
    let mut text = String::new();
    let mut bounded = opened.take(FILE_BYTES_MAX);
    bounded.read_to_string(&mut text).map_err(Error::io("read", file))?;
    Ok(text)
}
