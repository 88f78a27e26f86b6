//! `cairn import`: files into the archive.
//!
//! Every file is archived or named with the reason why not. One thread walks, several read, the
//! store does the rest; a file counts as archived only when the store acknowledged it.

mod feed;
mod summary;
mod tally;
mod walk;
mod zipped;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use cairn_store::ingest::Ingest;
use cairn_store::{Access, IngestConfig, Store};
use clap::Args;

pub(crate) use summary::Summary;
pub(crate) use walk::walk;

use super::{Exit, Session};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::output::{factor, gb_per_second, round};
use crate::progress::Progress;
use feed::Feed;
use tally::{NAMES_MAX, Tally, cause};

/// Archive files, folders, and what is inside .zip files
#[derive(Debug, Args)]
#[command(after_help = "\
What is DICOM in any part is archived byte for byte; what is odd about it (truncated, no preamble, \
unknown transfer syntax) is kept as flags. What is not DICOM is left alone and named. Zip files \
are read without unpacking them; links to folders are not followed. Importing the same files again \
stores nothing.

--report writes one JSON object a line for each file, as soon as it is durable or refused:
  {\"path\":…,\"status\":\"archived|duplicate|correction|conflict|left_alone|failed\",\"reason\":…,
   \"flags\":[…],\"visible\":…,\"study_uid\":…,\"series_uid\":…,\"sop_instance_uid\":…,
   \"dataset_bytes\":…}

Exit codes: 0 every file was archived, or is not DICOM and was left alone; 1 a file failed, or the \
archive did (what was acknowledged before is safe); 2 wrong usage; 130 interrupted.

Examples:
  cairn import /mnt/cd study.zip
  cairn --store s3://archive/cairn import /exports --report imported.jsonl")]
pub(crate) struct ImportArgs {
    /// Files, folders and .zip files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Write what became of each file here, as JSON lines; - for standard output
    #[arg(long, value_name = "FILE|-")]
    report: Option<PathBuf>,
    /// Files read at once [default: cores, at least 2, at most 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    readers: Option<u16>,
}

/// One import.
pub(crate) struct Job<'a> {
    pub(crate) store: &'a Store,
    pub(crate) ingest: IngestConfig,
    pub(crate) paths: &'a [PathBuf],
    pub(crate) readers: usize,
    pub(crate) report: Option<Box<dyn Write + Send>>,
    /// Name all files that were not taken, however many.
    pub(crate) all_names: bool,
}

pub(super) fn run(session: &Session, args: &ImportArgs) -> Result<Exit> {
    let config = session.config()?;
    let report_to_stdout = args.report.as_ref().is_some_and(|path| path.as_os_str() == "-");
    let report: Option<Box<dyn Write + Send>> = match &args.report {
        None => None,
        Some(_) if report_to_stdout => Some(Box::new(std::io::stdout())),
        Some(path) => Some(Box::new(File::create(path).map_err(Error::io("create", path))?)),
    };
    let store = Store::open(&session.store_config()?, Access::Write)?;
    interrupt::listen();
    let job = Job {
        store: &store,
        // Nobody waits for them yet; whoever first asks for a series' metadata has them made.
        ingest: IngestConfig { metadata: false, ..config.ingest_config() },
        paths: &args.paths,
        readers: config.readers(args.readers.map(usize::from)),
        report,
        all_names: session.output.verbose > 0,
    };
    let mut summary = import(job, &Progress::new(&session.output, "importing"))?;
    summary.key_created = created_key(session, &store)?;
    tell(session, &summary, report_to_stdout)?;
    Ok(match (summary.interrupted, summary.is_good()) {
        (true, _) => Exit::Interrupted,
        (false, good) => Exit::good_if(good),
    })
}

/// The file of the site key, if this opening made it.
fn created_key(session: &Session, store: &Store) -> Result<Option<String>> {
    if !store.created_key() {
        return Ok(None);
    }
    let key = match session.store_config()?.key_file {
        Some(path) => path,
        None => store.layout().data.join("keys").join("site.key"),
    };
    let key = key.canonicalize().unwrap_or(key);
    Ok(Some(key.display().to_string()))
}

/// Says so if this opening made the site key. Told even with --quiet: who loses this file loses the
/// archive.
pub(super) fn tell_key(session: &Session, store: &Store) -> Result<()> {
    if let Some(key) = created_key(session, store)? {
        eprintln!("{}", key_note(&key));
    }
    Ok(())
}

fn key_note(key: &str) -> String {
    format!(
        "\nA new site key was made: {key}\nBack it up now, apart from the archive: without it \
         nothing in the bucket can be read again, by anybody."
    )
}

fn tell(session: &Session, summary: &Summary, report_to_stdout: bool) -> Result<()> {
    let output = &session.output;
    if output.json {
        output.object(summary)?;
    } else if report_to_stdout {
        output.note(summary.text().trim_end());
    } else if !output.quiet {
        output.text(&summary.text())?;
    } else if let Some(error) = &summary.error {
        eprintln!("cairn: the import stopped: {error}");
    }
    if let Some(key) = &summary.key_created {
        // Told even with --quiet.
        eprintln!("{}", key_note(key));
    }
    Ok(())
}

/// Imports, and says what became of it. An error means that it could not begin; what fails on the
/// way is in the summary.
pub(crate) fn import(job: Job<'_>, progress: &Progress) -> Result<Summary> {
    let begun = Instant::now();
    let packs_before = pack_bytes(job.store)?;
    let avoid = avoid(job.store);
    let ingest = job.store.ingest(job.ingest)?;
    let names_max = if job.all_names { usize::MAX } else { NAMES_MAX };
    let (tally, report_writer) = Tally::new(names_max, job.report);
    let tally = Arc::new(tally);
    Feed {
        paths: job.paths,
        avoid: &avoid,
        readers: job.readers,
        ingest: &ingest,
        tally: &tally,
        progress,
        read_bytes: AtomicU64::new(0),
        total_files: AtomicU64::new(0),
        total_bytes: AtomicU64::new(0),
        counted: AtomicBool::new(false),
    }
    .run();
    progress.finishing("naming studies, storing packs");
    let mut summary = end(ingest, &tally);
    tally.close_report();
    if let Some(Ok(Err(error))) = report_writer.map(std::thread::JoinHandle::join) {
        tally.counts().fatal = Some(format!("the report cannot be written: {error}"));
    }
    summary.count(&tally.counts());
    summary.interrupted = interrupt::asked();
    summary.stored_bytes = pack_bytes(job.store)?.saturating_sub(packs_before);
    summary.compression_factor = factor(summary.new_bytes, summary.stored_bytes);
    summary.seconds = round(begun.elapsed().as_secs_f64());
    summary.gb_per_second = gb_per_second(summary.bytes_in, summary.seconds);
    Ok(summary)
}

/// Waits for what was handed in, and takes over the store's figures.
fn end(ingest: Ingest, tally: &Tally) -> Summary {
    let drained = ingest.drain();
    let counters = ingest.counters();
    let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (bytes_in, new_bytes) = (value(&counters.bytes_in), value(&counters.new_bytes));
    let duplicate_bytes = value(&counters.duplicate_bytes);
    let faults = value(&counters.encoding_faults);
    if faults > 0 {
        tracing::warn!(
            faults,
            "chunks did not decode to what they were: check this machine's memory"
        );
    }
    let studies = match drained.and_then(|()| ingest.finish()) {
        Ok(studies) => studies,
        Err(error) => {
            tally.stop(cause(&error));
            Vec::new()
        }
    };
    Summary {
        studies: studies.into_iter().map(Into::into).collect(),
        bytes_in,
        new_bytes,
        duplicate_bytes,
        dedup_factor: factor(bytes_in, new_bytes),
        ..Summary::default()
    }
}

/// What the packs take, those in the journal included.
fn pack_bytes(store: &Store) -> Result<u64> {
    Ok(store.catalog().packs()?.iter().map(|pack| pack.bytes).sum())
}

/// Folders that an import must not enter: they are what it writes to.
fn avoid(store: &Store) -> Vec<PathBuf> {
    let bucket = store.bucket().directory();
    let folders = [Some(store.layout().data.as_path()), bucket];
    folders.into_iter().flatten().filter_map(|folder| folder.canonicalize().ok()).collect()
}
