//! `cairn verify`: is everything what it was? And, offline: does a proof hold?

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use cairn_chunker::id::StudyRoot;
use cairn_store::Store;
use cairn_store::verify::{Finding, Scope, VerifyReport, verify};
use clap::Args;
use serde::Serialize;

use super::{Exit, Session, proof};
use crate::config::threads;
use crate::error::Result;
use crate::output::{clean, count, counted, gb_per_second, pairs, round, size};
use crate::progress::Progress;

/// Read everything back and check it, or check a proof file offline
#[derive(Debug, Args)]
#[command(after_help = "\
Every chunk is compared with its name, every instance with the hash of its data set, every study \
with its recorded root; with --all also every byte of every pack. What is damaged is named by \
study, instance, pack and offset.

With --proof nothing but the named files is read: no archive is needed, none is made.

Exit codes: 0 everything read was right; 1 something was not, or could not be read; 2 wrong usage.

Examples:
  cairn verify --all
  cairn verify 1.2.840.113619.2.5 --json
  cairn verify --proof 1.2.3.proof --root 5f0c…e1 --dataset 1.2.3.dcm")]
pub(crate) struct VerifyArgs {
    /// Study Instance UIDs
    #[arg(value_name = "UID", required_unless_present_any = ["all", "proof"])]
    uids: Vec<String>,
    /// All studies and all packs
    #[arg(long, conflicts_with_all = ["uids", "proof"])]
    all: bool,
    /// Check this proof file, as `cairn show STUDY --proof` writes it
    #[arg(long, value_name = "FILE", conflicts_with = "uids")]
    proof: Option<PathBuf>,
    /// The root that the proof has to lead to
    #[arg(long, value_name = "HEX", requires = "proof", value_parser = parse_root)]
    root: Option<StudyRoot>,
    /// A DICOM file that has to be the instance that the proof speaks of
    #[arg(long, value_name = "FILE", requires = "proof")]
    dataset: Option<PathBuf>,
    /// Instances read at once [default: cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

fn parse_root(text: &str) -> std::result::Result<StudyRoot, String> {
    StudyRoot::from_hex(text).ok_or_else(|| "a root is 64 hexadecimal digits".to_owned())
}

/// What was read and found, as JSON has it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    studies: u64,
    pub(crate) instances: u64,
    pub(crate) bytes: u64,
    packs: u64,
    pub(crate) findings: Vec<FindingLine>,
    seconds: f64,
    gb_per_second: f64,
}

/// Something wrong.
#[derive(Debug, Serialize)]
pub(crate) struct FindingLine {
    pub(crate) study_uid: Option<String>,
    pub(crate) sop_instance_uid: Option<String>,
    pub(crate) pack: Option<String>,
    pub(crate) offset: Option<u64>,
    pub(crate) why: String,
}

impl From<Finding> for FindingLine {
    fn from(finding: Finding) -> Self {
        Self {
            study_uid: finding.study_uid,
            sop_instance_uid: finding.sop_instance_uid,
            pack: finding.pack.map(|pack| pack.to_string()),
            offset: finding.offset,
            why: finding.why,
        }
    }
}

impl FindingLine {
    /// On one line, for people.
    pub(crate) fn text(&self) -> String {
        let mut place = Vec::new();
        if let Some(study) = &self.study_uid {
            place.push(format!("study {}", clean(study)));
        }
        if let Some(instance) = &self.sop_instance_uid {
            place.push(format!("instance {}", clean(instance)));
        }
        if let Some(pack) = &self.pack {
            place.push(format!("pack {pack}"));
        }
        if let Some(offset) = self.offset {
            place.push(format!("offset {offset}"));
        }
        format!("{}: {}", place.join(", "), clean(&self.why))
    }
}

pub(super) fn run(session: &Session, args: &VerifyArgs) -> Result<Exit> {
    if let Some(file) = &args.proof {
        let checked = proof::check(file, args.root, args.dataset.as_deref())?;
        if session.output.json {
            session.output.object(&checked)?;
        } else if !session.output.quiet || !checked.valid {
            session.output.text(&checked.text())?;
        }
        return Ok(Exit::good_if(checked.valid));
    }
    let store = session.open_to_read()?;
    let scope = if args.all { Scope::All } else { Scope::Studies(args.uids.clone()) };
    let threads = args.threads.map_or_else(threads, usize::from);
    let report = check(&store, &scope, threads, &Progress::new(&session.output, "verifying"))?;
    if session.output.json {
        session.output.object(&report)?;
    } else if !session.output.quiet || !report.findings.is_empty() {
        session.output.text(&report.text())?;
    }
    Ok(Exit::good_if(report.findings.is_empty()))
}

/// Reads and checks what `scope` says.
pub(crate) fn check(
    store: &Store,
    scope: &Scope,
    threads: usize,
    progress: &Progress,
) -> Result<Report> {
    let begun = Instant::now();
    let found =
        verify(store, scope, threads, &|at| progress.at(at.done_bytes, at.total_bytes, ""))?;
    Ok(Report::new(found, begun.elapsed().as_secs_f64()))
}

impl Report {
    fn new(report: VerifyReport, seconds: f64) -> Self {
        Self {
            studies: report.studies,
            instances: report.instances,
            bytes: report.bytes,
            packs: report.packs,
            findings: report.findings.into_iter().map(Into::into).collect(),
            seconds: round(seconds),
            gb_per_second: gb_per_second(report.bytes, seconds),
        }
    }

    fn text(&self) -> String {
        let mut text = pairs(&[
            ("studies", count(self.studies)),
            ("instances", format!("{}, {}", count(self.instances), size(self.bytes))),
            ("packs", count(self.packs)),
            ("seconds", format!("{:.2}", self.seconds)),
            ("GB/s", format!("{:.3}", self.gb_per_second)),
        ]);
        for finding in &self.findings {
            let _ = writeln!(text, "damaged: {}", finding.text());
        }
        let _ = match self.findings.len() as u64 {
            0 => writeln!(text, "Everything read is what it was."),
            n => writeln!(text, "{}.", counted(n, "finding")),
        };
        text
    }
}
