//! `cairn-bench dimse`: `cairn serve` beside Orthanc, with DCMTK's programs as clients, and with lean
//! ones, on loopback.
//!
//! Every run begins with empty archives. In a run, the steps follow one another, and within a step
//! the servers, beginning with another one in each run; only one server runs at a time, and each step
//! has a fresh process. DCMTK's clients are whole processes: their start, and what they read and convert,
//! is in every figure. The lean ones ([`lean`]) cost next to nothing. What either takes at least is
//! measured too, with a peer that throws away what it gets and sends out of memory.

mod client;
mod contest;
mod lean;
mod summary;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::Args;

use crate::instances::Set;
use crate::measure::Bench;
use crate::report::Report;
use crate::service::Who;
use contest::{Clients, Contest, EVERY_KIND};

/// A study has to be this long for the goals of retrieval to be about it.
const GOAL_STUDY_INSTANCES: u32 = 1000;

/// C-STORE, C-GET and C-MOVE with DCMTK's clients and with lean ones, beside Orthanc
#[derive(Debug, Args)]
pub(crate) struct DimseArgs {
    /// Folders of real studies to measure beside the synthetic study; each is held in memory
    #[arg(long, value_name = "DIR", num_args = 1..)]
    set: Vec<PathBuf>,
    /// Compare with nobody
    #[arg(long)]
    no_peer: bool,
    /// By one kind of client alone; all by default
    #[arg(long, value_enum)]
    clients: Option<Clients>,
    /// How often everything is done, with empty archives
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Slices of 512 x 512 in the synthetic study
    #[arg(long, default_value_t = GOAL_STUDY_INSTANCES)]
    #[arg(value_parser = clap::value_parser!(u32).range(8..=4000))]
    slices: u32,
    /// Seconds that a server with an empty archive runs before anything is sent to it
    #[arg(long, default_value_t = 8, value_name = "SECONDS")]
    #[arg(value_parser = clap::value_parser!(u64).range(..=600))]
    head_start: u64,
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
    report.note(format!(
        "clients: {dcmtk}; as they come, with Nagle's algorithm on, and with TCP_NODELAY=1; servers \
         and lean clients have it off"
    ));
    report.note(
        "every step has a fresh process; the page cache is not dropped; alternating, one server at \
         a time; the clients share the cores with the server",
    );
    report.note(
        "DCMTK: its programs, in processes of their own; lean: threads of this process, which send \
         out of memory and throw away what they receive; (nobody): the same against a peer in this \
         process that does no more; client CPU: with the receiver of a C-MOVE",
    );
    let head_start_s = args.head_start;
    report.note(format!(
        "a server with an empty archive runs for {head_start_s} s before it is used"
    ));
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
        let later = Set::other_synthetic_ct(args.slices)?;
        measure(bench, args, Set::synthetic_ct(args.slices)?, Some(later), &servers, report)?;
    }
    for folder in &args.set {
        measure(bench, args, Set::folder(folder)?, None, &servers, report)?;
    }
    Ok(())
}

/// Version of DCMTK's programs, if they are installed.
pub(crate) fn clients() -> Option<String> {
    client::about()
}

/// One set, in all runs.
fn measure(
    bench: &Bench<'_>,
    args: &DimseArgs,
    set: Set,
    later: Option<Set>,
    servers: &[Who],
    report: &mut Report,
) -> Result<()> {
    eprintln!("{}", set.about());
    let set = Arc::new(set);
    let clients = args.clients.map_or(EVERY_KIND.to_vec(), |one| vec![one]);
    let mut contest = Contest::new(bench, Arc::clone(&set), later, servers, &clients)?;
    contest.head_start = Duration::from_secs(args.head_start);
    for run in 0..args.runs as usize {
        contest.run(run)?;
    }
    summary::add(&set, &contest.samples, args.runs, report)
}
