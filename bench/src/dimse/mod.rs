//! `cairn-bench dimse`: `cairn serve` beside Orthanc, with DCMTK's programs as clients, on loopback.
//!
//! Every run begins with empty archives. In a run, the steps follow one another, and within a step
//! the servers, beginning with another one in each run; only one server runs at a time, and each step
//! has a fresh process. The clients are whole processes: their start, and what they read and convert,
//! is in every figure. How much that is at least is measured too, with a receiver that throws away
//! what it gets.

mod client;
mod contest;
mod summary;

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Args;

use crate::instances::Set;
use crate::measure::Bench;
use crate::report::Report;
use crate::service::Who;
use contest::Contest;

/// A study has to be this long for the goals of retrieval to be about it.
const GOAL_STUDY_INSTANCES: u32 = 1000;

/// C-STORE, C-GET and C-MOVE with DCMTK's clients, beside Orthanc
#[derive(Debug, Args)]
pub(crate) struct DimseArgs {
    /// Folders of real studies to measure beside the synthetic study; each is held in memory
    #[arg(long, value_name = "DIR", num_args = 1..)]
    set: Vec<PathBuf>,
    /// Compare with nobody
    #[arg(long)]
    no_peer: bool,
    /// How often everything is done, with empty archives
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Slices of 512 x 512 in the synthetic study
    #[arg(long, default_value_t = GOAL_STUDY_INSTANCES)]
    #[arg(value_parser = clap::value_parser!(u32).range(8..=4000))]
    slices: u32,
    /// Leave the synthetic study out
    #[arg(long, requires = "set")]
    no_synthetic: bool,
}

/// Measures, and adds the tables and goals.
pub(crate) fn run(bench: &Bench<'_>, args: &DimseArgs, report: &mut Report) -> Result<()> {
    for folder in &args.set {
        ensure!(folder.exists(), "{} is not there", folder.display());
    }
    let Some(dcmtk) = client::about() else {
        bail!("the clients are DCMTK's storescu, getscu, movescu and storescp: install dcmtk");
    };
    report.note(format!("clients: {dcmtk}, TCP_NODELAY=1 on both sides of every connection"));
    report.note(
        "every step has a fresh process; the page cache is not dropped; alternating, one server at \
         a time; the clients share the cores with the server",
    );
    let mut servers = vec![Who::Cairn];
    if !args.no_peer {
        servers.push(Who::Orthanc { compressed: false });
    }
    servers.retain(|who| {
        let about = who.about();
        let is_there = about.is_some();
        report.note(about.unwrap_or_else(|| format!("{}: NOT INSTALLED, left out", who.name())));
        is_there
    });
    if !args.no_synthetic {
        eprintln!("making the synthetic study");
        measure(bench, args, &Set::synthetic_ct(args.slices)?, &servers, report)?;
    }
    for folder in &args.set {
        measure(bench, args, &Set::folder(folder)?, &servers, report)?;
    }
    Ok(())
}

/// One set, in all runs.
fn measure(
    bench: &Bench<'_>,
    args: &DimseArgs,
    set: &Set,
    servers: &[Who],
    report: &mut Report,
) -> Result<()> {
    eprintln!("{}", set.about());
    let mut contest = Contest::new(bench, set, servers)?;
    for run in 0..args.runs as usize {
        contest.run(run)?;
    }
    summary::add(set, &contest.samples, args.runs, report)
}
