//! Who could be compared with, and who is there.

use std::path::Path;
use std::process::Command;

use clap::ValueEnum;

use super::document::Found;
use crate::contestant::{Contestant, Peer};
use crate::dimse;
use crate::measure::first_line;
use crate::reference;
use crate::service::Who;

/// Everybody, with versions or without.
pub(super) fn find(python: &Path) -> Vec<Found> {
    let named = |name: &str, purpose: &str, version: Option<String>| Found {
        name: name.to_owned(),
        version,
        purpose: purpose.to_owned(),
    };
    let stores = Peer::value_variants().iter().filter(|peer| **peer != Peer::BorgFine);
    let mut found: Vec<Found> = stores
        .map(|peer| {
            let who = Contestant::Peer(*peer);
            named(who.name(), "storing and giving back a set", about(who))
        })
        .collect();
    let taskset = first_line(Command::new("taskset").arg("--version"));
    found.extend([
        named("b3sum", "reading and hashing alone", about(Contestant::Hash)),
        named("imagecodecs", "JPEG-LS, HTJ2K, JPEG 2000, JPEG XL", reference::library(python)),
        named("Orthanc", "DICOMweb and DIMSE", Who::Orthanc { compressed: false }.about()),
        named("DCMTK", "clients of DIMSE", dimse::clients()),
        named("taskset", "fewer cores than there are", taskset),
    ]);
    found
}

/// What a contestant says of itself, without its name.
fn about(who: Contestant) -> Option<String> {
    let about = who.about()?;
    Some(about.strip_prefix(&format!("{}: ", who.name())).unwrap_or(&about).to_owned())
}
