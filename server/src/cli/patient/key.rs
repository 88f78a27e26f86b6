//! Making a key, and showing its card.

use std::io::IsTerminal;
use std::path::PathBuf;

use cairn_ledger::patient::PatientSecret;
use clap::Args;
use serde_json::json;

use super::super::{Exit, Session};
use super::qr;
use crate::error::Result;

#[derive(Debug, Args)]
pub(super) struct KeygenArgs {
    /// Where the key goes; it is never written over another
    #[arg(value_name = "FILE", default_value = "patient.key")]
    file: PathBuf,
    /// Draw the card as a QR code: what a hospital is shown
    #[arg(long, value_name = "SVG")]
    card: Option<PathBuf>,
    /// Draw the key itself as a QR code, for a copy on paper: keep it as safe as the key
    #[arg(long, value_name = "SVG")]
    paper: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct CardArgs {
    /// The key
    #[arg(long, value_name = "FILE", default_value = "patient.key")]
    key: PathBuf,
    /// Draw it as a QR code
    #[arg(long, value_name = "SVG")]
    draw: Option<PathBuf>,
}

pub(super) fn keygen(session: &Session, args: &KeygenArgs) -> Result<Exit> {
    let secret = PatientSecret::generate()?;
    secret.save(&args.file)?;
    if let Some(paper) = &args.paper {
        qr::draw(&secret.line(), paper, true)?;
    }
    if let Some(card) = &args.card {
        qr::draw(&secret.card().to_string(), card, false)?;
    }
    let file = args.file.display().to_string();
    session.output.note(&format!("The key is in {file}. Keep a copy of it in a safe place."));
    show(session, &secret, json!({ "file": file }))
}

pub(super) fn card(session: &Session, args: &CardArgs) -> Result<Exit> {
    let secret = PatientSecret::load(&args.key)?;
    if let Some(file) = &args.draw {
        qr::draw(&secret.card().to_string(), file, false)?;
    }
    show(session, &secret, json!({}))
}

/// Prints the card; on a terminal as a picture too.
fn show(session: &Session, secret: &PatientSecret, mut told: serde_json::Value) -> Result<Exit> {
    let card = secret.card().to_string();
    if session.output.json {
        told["card"] = card.into();
        session.output.object(&told)?;
        return Ok(Exit::Good);
    }
    if std::io::stdout().is_terminal() {
        session.output.text(&qr::terminal(&card)?)?;
    }
    session.output.text(&format!("{card}\n"))?;
    Ok(Exit::Good)
}
