//! `cairn export`: studies out again, byte for byte.

pub(super) mod names;
mod write;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use cairn_store::catalog::VersionRow;
use cairn_store::{Error as StoreError, Kind, Store};
use clap::Args;
use serde::Serialize;

use super::{Exit, Session};
use crate::config::threads;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::output::{clean, count, gb_per_second, pairs, round, size};
use crate::progress::Progress;
use names::Names;
use write::{Written, write};

/// Write a study's files, byte for byte as they were received
#[derive(Debug, Args)]
#[command(override_usage = "cairn export [OPTIONS] <STUDY> <DIR>\n       \
                      cairn export [OPTIONS] --all <DIR>")]
#[command(after_help = "\
Writes DIR/<SOP Instance UID>.dcm, with --all DIR/<Study Instance UID>/<SOP Instance UID>.dcm. \
Each file gets its name only after all of its bytes were verified. Characters that do not belong \
into a UID are percent-encoded; where two series share a SOP Instance UID the second file bears \
its series in front. Files that are there with the same content stay; with other content they are \
not touched without --force.

Exit codes: 0 all are written; 1 some are damaged or could not be written (they are named, the \
others are there); 2 wrong usage; 130 interrupted.

Examples:
  cairn export 1.2.840.113619.2.5 out/
  cairn export --all --all-versions /mnt/copy")]
pub(crate) struct ExportArgs {
    /// Study Instance UID (not with --all), then the folder to write to
    #[arg(value_names = ["STUDY", "DIR"], num_args = 1..=2, required = true)]
    targets: Vec<String>,
    /// Every study, each in a folder of its own
    #[arg(long)]
    all: bool,
    /// Also the versions that are not shown, as UID.vNUMBER.dcm
    #[arg(long)]
    all_versions: bool,
    /// Replace files that have other content
    #[arg(long)]
    force: bool,
    /// Files written at once [default: cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

/// What is to be written, and how.
pub(crate) struct Job<'a> {
    pub(crate) store: &'a Store,
    /// One study, or all.
    pub(crate) study: Option<&'a str>,
    pub(crate) directory: &'a Path,
    pub(crate) all_versions: bool,
    pub(crate) force: bool,
    pub(crate) threads: usize,
}

/// What was written.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) directory: String,
    pub(crate) studies: u64,
    /// Files that are there now.
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Of these, files that were there before.
    pub(crate) already_there: u64,
    pub(crate) failures: Vec<Failure>,
    pub(crate) seconds: f64,
    pub(crate) gb_per_second: f64,
    pub(crate) interrupted: bool,
}

/// An instance that could not be written.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    study_uid: String,
    series_uid: String,
    sop_instance_uid: String,
    why: String,
}

pub(super) fn run(session: &Session, args: &ExportArgs) -> Result<Exit> {
    let (study, directory) = match (&args.targets[..], args.all) {
        ([study, directory], false) => (Some(study.as_str()), directory),
        ([directory], true) => (None, directory),
        (_, false) => {
            return Err(Error::Usage("export wants a STUDY and a DIR, or --all and a DIR"));
        }
        (_, true) => return Err(Error::Usage("with --all export wants a DIR only")),
    };
    let store = session.open_to_read()?;
    interrupt::listen();
    let job = Job {
        store: &store,
        study,
        directory: Path::new(directory),
        all_versions: args.all_versions,
        force: args.force,
        threads: args.threads.map_or_else(threads, usize::from),
    };
    let report = export(&job, &Progress::new(&session.output, "exporting"))?;
    if session.output.json {
        session.output.object(&report)?;
    } else if !session.output.quiet || !report.failures.is_empty() {
        session.output.text(&report.text())?;
    }
    Ok(if report.interrupted { Exit::Interrupted } else { Exit::good_if(report.is_good()) })
}

impl Report {
    /// Is everything written?
    pub(crate) fn is_good(&self) -> bool {
        self.failures.is_empty() && !self.interrupted
    }

    fn text(&self) -> String {
        let mut text = pairs(&[
            ("studies", count(self.studies)),
            ("files", format!("{} in {}", count(self.files), self.directory)),
            ("bytes", size(self.bytes)),
            ("already there", count(self.already_there)),
            ("failed", count(self.failures.len() as u64)),
            ("seconds", format!("{:.2}", self.seconds)),
            ("GB/s", format!("{:.3}", self.gb_per_second)),
        ]);
        for failure in &self.failures {
            let _ = writeln!(
                text,
                "failed: study {} instance {}: {}",
                clean(&failure.study_uid),
                clean(&failure.sop_instance_uid),
                failure.why
            );
        }
        text
    }
}

/// Writes what `job` says. Damaged instances are in the report; an error means that it had to stop.
pub(crate) fn export(job: &Job<'_>, progress: &Progress) -> Result<Report> {
    let begun = Instant::now();
    let mut studies = Vec::new();
    let mut total_bytes = 0;
    job.store.catalog().studies(job.study, &mut |row| {
        total_bytes += row.bytes;
        studies.push(row.study_uid);
        Ok(())
    })?;
    if let (Some(study), true) = (job.study, studies.is_empty()) {
        return Err(StoreError::NotFound { what: "study", name: study.to_owned() }.into());
    }
    let walk = Walk {
        job,
        progress,
        done_bytes: AtomicU64::new(0),
        total_bytes,
        report: Mutex::new(Report {
            directory: job.directory.display().to_string(),
            ..Report::default()
        }),
    };
    let mut folders = Names::default();
    for study in &studies {
        if interrupt::asked() {
            break;
        }
        let folder = match job.study {
            Some(_) => job.directory.to_owned(),
            None => job.directory.join(folders.folder(study)),
        };
        walk.study(study, &folder)?;
    }
    let mut report = walk.report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.interrupted = interrupt::asked();
    report.failures.sort_by(|a, b| a.sop_instance_uid.cmp(&b.sop_instance_uid));
    report.seconds = round(begun.elapsed().as_secs_f64());
    report.gb_per_second = gb_per_second(report.bytes, report.seconds);
    Ok(report)
}

struct Walk<'a> {
    job: &'a Job<'a>,
    progress: &'a Progress,
    done_bytes: AtomicU64,
    total_bytes: u64,
    report: Mutex<Report>,
}

impl Walk<'_> {
    fn study(&self, study: &str, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let mut versions = Vec::new();
        self.job.store.catalog().study_versions(study, self.job.all_versions, &mut |version| {
            versions.extend(Some(version).filter(|version| !version.deleted));
            Ok(())
        })?;
        let mut names = Names::default();
        // What is shown chooses its names first, so that they do not depend on what else is kept.
        versions.sort_by_key(|version| !version.visible);
        let tasks: Vec<(VersionRow, PathBuf)> = versions
            .into_iter()
            .map(|version| {
                let path = folder.join(names.name(&version));
                (version, path)
            })
            .collect();
        self.report.lock().unwrap_or_else(PoisonError::into_inner).studies += 1;
        // As they came they lie in packs, and are read from there in long runs.
        let mut tasks = tasks;
        tasks.sort_by_key(|(version, _)| version.seq);
        self.write_all(&tasks)
    }

    fn write_all(&self, tasks: &[(VersionRow, PathBuf)]) -> Result<()> {
        let next = AtomicUsize::new(0);
        let fatal = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..self.job.threads.clamp(1, tasks.len().max(1)) {
                scope.spawn(|| {
                    while let Some((version, path)) =
                        tasks.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let outcome = self.write_one(version, path);
                        if outcome.is_err() || interrupt::asked() {
                            next.store(tasks.len(), Ordering::Relaxed);
                        }
                        if let Err(error) = outcome {
                            fatal
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .get_or_insert(error);
                        }
                    }
                });
            }
        });
        fatal.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// An error here ends the export: the disk is full, or the archive out of reach.
    fn write_one(&self, version: &VersionRow, path: &Path) -> Result<()> {
        let written = write(self.job.store.reader(), version, path, self.job.force);
        let done = self.done_bytes.fetch_add(version.dataset_bytes, Ordering::Relaxed);
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        match written {
            Ok(Written::New(bytes) | Written::Same(bytes)) => {
                report.files += 1;
                report.bytes += bytes;
                report.already_there += u64::from(matches!(written, Ok(Written::Same(_))));
            }
            Err(error) if is_its_own(&error) => report.failures.push(Failure {
                study_uid: version.study_uid.clone(),
                series_uid: version.series_uid.clone(),
                sop_instance_uid: version.sop_instance_uid.clone(),
                why: error.to_string(),
            }),
            Err(error) => return Err(error),
        }
        let message = format!("{} files", count(report.files));
        drop(report);
        self.progress.at(done + version.dataset_bytes, self.total_bytes, &message);
        Ok(())
    }
}

/// Does the error concern this instance alone?
fn is_its_own(error: &Error) -> bool {
    match error {
        Error::Store(error) => {
            matches!(error.kind(), Kind::Damage | Kind::NotFound)
                || matches!(error, StoreError::Key { .. })
        }
        Error::Exists { .. } => true,
        _ => false,
    }
}
