//! `cairn-bench`: what `cairn` costs as a whole process, beside other stores on the same machine.
//!
//! Every figure but those of `codec`, `limits` and `catalog` is of real binaries run as children: wall time, user and system
//! time and peak memory come from the kernel's account of the child, stored bytes from the lengths
//! of the files it left. Everything is written below one scratch folder, which is removed at the end,
//! also on an error, SIGINT or SIGTERM.
//!
//! Exit codes: 0 the measurement was made, whether or not the goals hold (`--strict` makes a missed
//! goal 1); 1 it could not be made; 2 wrong usage.

mod all;
mod catalog;
mod codec;
mod contestant;
mod cores;
mod dice;
mod dicomweb;
mod dimse;
mod figures;
mod files;
mod giant;
mod goals;
mod home;
mod ingest;
mod instances;
mod latency;
mod limits;
mod line;
mod machine;
mod many;
mod measure;
mod multipart;
mod page;
mod reference;
mod report;
mod scratch;
mod service;
mod sizes;
mod soak;
mod study;
mod table;
mod web;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use measure::Bench;
use report::{Heading, Report};

/// Measures cairn as a whole process, beside other stores on the same machine
#[derive(Debug, Parser)]
#[command(
    name = "cairn-bench",
    version,
    after_help = "\
Exit codes: 0 measured; 1 not measured, or with --strict a goal was missed; 2 wrong usage.

Examples:
  cairn-bench all --corpus corpus --html all.html
  cairn-bench ingest --set s1 --changed s2 --runs 3 --json ingest.json
  cairn-bench giant --gib 5 --scratch /mnt/large
  cairn-bench many --count 100000
  cairn-bench codec s1/fnndsc
  cairn-bench reference s1/fnndsc --python venv/bin/python
  cairn-bench cores --set s1
  cairn-bench catalog --instances 1000000
  cairn-bench dicomweb --set s1/fnndsc --runs 3
  cairn-bench dimse --runs 3
  cairn-bench soak --minutes 10 --hostile"
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every measurement takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The binary to measure [default: `cairn` beside this program]
    #[arg(long, global = true, value_name = "PATH")]
    cairn: Option<PathBuf>,
    /// Make all repositories and temporary files below this folder [default: the system's]
    #[arg(long, global = true, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Also write everything that was measured here, as JSON
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Before each timed step, wait up to so many seconds for other processes to be idle
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 0)]
    quiet_wait: u64,
    /// Exit with 1 if a goal is missed
    #[arg(long, global = true)]
    strict: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    All(all::AllArgs),
    Report(all::ReportArgs),
    Limits(limits::LimitsArgs),
    Ingest(ingest::IngestArgs),
    Giant(giant::GiantArgs),
    Many(many::ManyArgs),
    Codec(codec::CodecArgs),
    Reference(reference::ReferenceArgs),
    Cores(cores::CoresArgs),
    Sizes(sizes::SizesArgs),
    Catalog(catalog::CatalogArgs),
    Dicomweb(dicomweb::DicomwebArgs),
    Dimse(dimse::DimseArgs),
    Soak(soak::SoakArgs),
    Study(study::StudyArgs),
    /// Becomes a command, with no signal blocked: how this program starts servers
    #[command(hide = true)]
    OpenToSignals {
        /// The command
        #[arg(required = true, last = true)]
        words: Vec<OsString>,
    },
    /// Runs a command and writes what it used: how this program measures its children
    #[command(hide = true)]
    Measured {
        /// Where to write the figures
        #[arg(long)]
        report: PathBuf,
        /// The command
        #[arg(required = true, last = true)]
        words: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Measured { report, words } = &cli.command {
        return measure::measured(report, words).unwrap_or_else(|error| fail(&error));
    }
    if let Command::OpenToSignals { words } = &cli.command {
        return measure::open_to_signals(words).unwrap_or_else(|error| fail(&error));
    }
    if let Command::Study(args) = &cli.command {
        return study::write(args).map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS);
    }
    if let Command::Report(args) = &cli.command {
        return all::write_page(args).map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS);
    }
    match run(&cli) {
        Ok(is_good) if cli.common.strict && !is_good => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("cairn-bench: {error:#}");
    ExitCode::FAILURE
}

/// Measures what was asked for, prints it and writes it; do all goals hold?
fn run(cli: &Cli) -> Result<bool> {
    let common = &cli.common;
    // Refuse an unwritable file before the measuring, not after.
    let json = common.json.as_ref().map(std::fs::File::create).transpose();
    let json = json.context("the JSON file cannot be written")?;
    let scratch = scratch::Scratch::new(common.scratch.as_deref())?;
    let bench = Bench::new(common, &scratch)?;
    let heading = Heading::new(&bench);
    println!("{}", heading.text());
    if let Command::All(args) = &cli.command {
        return all::run(&bench, args, common.json.as_deref());
    }
    let mut report = Report::default();
    measure(&bench, &cli.command, &mut report)?;
    print!("{}", report.text());
    if let Some(file) = json {
        let whole = Whole { heading, report: &report };
        serde_json::to_writer_pretty(file, &whole).context("writing the JSON file")?;
    }
    Ok(report.goals_hold())
}

/// The JSON of one measurement.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    heading: Heading,
    #[serde(flatten)]
    report: &'a Report,
}

/// One measurement.
fn measure(bench: &Bench<'_>, command: &Command, report: &mut Report) -> Result<()> {
    match command {
        Command::Limits(args) => limits::run(bench, args, report),
        Command::Ingest(args) => ingest::run(bench, args, report),
        Command::Giant(args) => giant::run(bench, args, report),
        Command::Many(args) => many::run(bench, args, report),
        Command::Codec(args) => codec::run(args, report),
        Command::Reference(args) => reference::run(bench, args, report),
        Command::Cores(args) => cores::run(bench, args, report),
        Command::Sizes(args) => sizes::run(bench, args, report),
        Command::Catalog(args) => catalog::run(bench, args, report),
        Command::Dicomweb(args) => dicomweb::run(bench, args, report),
        Command::Dimse(args) => dimse::run(bench, args, report),
        Command::Soak(args) => soak::run(bench, args, report),
        // Did not come here.
        Command::All(_)
        | Command::Report(_)
        | Command::Study(_)
        | Command::Measured { .. }
        | Command::OpenToSignals { .. } => Ok(()),
    }
}
