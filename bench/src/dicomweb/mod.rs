//! `cairn-bench dicomweb`: `cairn serve` beside Orthanc, over HTTP on loopback.
//!
//! Every run begins with empty archives. In a run, the steps follow one another, and within a step
//! the servers, beginning with another one in each run; only one server runs at a time, and each step
//! has a fresh process. Nothing is dropped from the page cache: a cold process finds its files in
//! memory. What comes back is compared with what was stored, after the clock was stopped.

mod contest;
mod request;
mod summary;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use crate::instances::Set;
use crate::measure::Bench;
use crate::report::Report;
use crate::service::Who;
use contest::Contest;
pub(crate) use request::{check_stored, referenced, uids};

/// A series has to be this long for the goal of metadata to be about it.
const GOAL_SERIES_INSTANCES: u32 = 600;

/// Another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// Orthanc with its DICOMweb plugin, as Debian has them
    Orthanc,
}

/// Store, search and retrieve over DICOMweb, beside Orthanc
#[derive(Debug, Args)]
pub(crate) struct DicomwebArgs {
    /// Folders of real studies to measure beside the synthetic set; each is held in memory
    #[arg(long, value_name = "DIR", num_args = 1..)]
    set: Vec<PathBuf>,
    /// The server to compare with; left out if it is not installed
    #[arg(long, value_enum, default_value_t = Peer::Orthanc)]
    peer: Peer,
    /// Compare with nobody
    #[arg(long, conflicts_with = "peer")]
    no_peer: bool,
    /// How often everything is done, with empty archives
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Slices of 512 x 512 in the synthetic CT series
    #[arg(long, default_value_t = GOAL_SERIES_INSTANCES)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=4000))]
    slices: u32,
    /// Frames of 400 x 400 RGB in the synthetic loop
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(2..=2000))]
    cine_frames: u32,
    /// Leave the synthetic set out
    #[arg(long, requires = "set")]
    no_synthetic: bool,
    /// Random frames that are read in each run
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    frames: u32,
}

/// Measures, and adds the tables and goals.
pub(crate) fn run(bench: &Bench<'_>, args: &DicomwebArgs, report: &mut Report) -> Result<()> {
    for folder in &args.set {
        ensure!(folder.exists(), "{} is not there", folder.display());
    }
    let servers = installed(args, report);
    report.note(
        "every step has a fresh process; the page cache is not dropped, so a cold process finds its \
         files in memory",
    );
    report.note(
        "alternating, one server at a time; replies are checked against the files after the clock \
         was stopped; the client shares the cores with the server",
    );
    if !args.no_synthetic {
        eprintln!("making the synthetic set");
        measure(bench, args, &Set::synthetic(args.slices, args.cine_frames)?, &servers, report)?;
    }
    for folder in &args.set {
        measure(bench, args, &Set::folder(folder)?, &servers, report)?;
    }
    Ok(())
}

/// `cairn`, and the peers that are there.
fn installed(args: &DicomwebArgs, report: &mut Report) -> Vec<Who> {
    let Peer::Orthanc = args.peer;
    let mut all = vec![Who::Cairn];
    if !args.no_peer {
        all.extend([false, true].map(|compressed| Who::Orthanc { compressed }));
    }
    all.retain(|who| {
        let about = who.about();
        let is_there = about.is_some();
        report.note(about.unwrap_or_else(|| format!("{}: NOT INSTALLED, left out", who.name())));
        is_there
    });
    all
}

/// One set, in all runs.
fn measure(
    bench: &Bench<'_>,
    args: &DicomwebArgs,
    set: &Set,
    servers: &[Who],
    report: &mut Report,
) -> Result<()> {
    eprintln!("{}", set.about());
    let mut contest = Contest::new(bench, set, servers, args.frames);
    for run in 0..args.runs as usize {
        contest.run(run)?;
    }
    summary::add(set, &contest.samples, args.runs, report)
}
