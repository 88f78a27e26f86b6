//! What became of every file: counted, named where it was not archived, and reported as it happens.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use cairn_store::commit::Outcome;
use cairn_store::ingest::Receipt;
use cairn_store::{Error as StoreError, Kind};
use serde::Serialize;

/// Lines that may wait for a slow reader of the report before acknowledging waits for it.
const LINES_MAX: usize = 4096;
/// Files named in the summary for each reason, unless all are asked for.
pub(super) const NAMES_MAX: usize = 20;

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// New here.
    Archived,
    /// The very same was here.
    Duplicate,
    /// Another version, with the same pixels.
    Correction,
    /// Another version, with other pixels.
    Conflict,
    /// Not DICOM; not taken.
    LeftAlone,
    /// Should have been taken and was not.
    Failed,
}

impl From<Outcome> for Status {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::New => Self::Archived,
            Outcome::Duplicate => Self::Duplicate,
            Outcome::Correction => Self::Correction,
            Outcome::Conflict => Self::Conflict,
        }
    }
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Line<'a> {
    path: &'a str,
    status: Status,
    reason: Option<&'a str>,
    flags: Vec<&'static str>,
    visible: Option<bool>,
    study_uid: Option<&'a str>,
    series_uid: Option<&'a str>,
    sop_instance_uid: Option<&'a str>,
    dataset_bytes: Option<u64>,
}

/// Files that share a reason.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Named {
    /// How many.
    pub(crate) files: u64,
    /// The first of them by name.
    pub(crate) names: Vec<String>,
}

/// What became of all files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) archived: u64,
    pub(crate) duplicates: u64,
    pub(crate) corrections: u64,
    pub(crate) conflicts: u64,
    pub(crate) left_alone: u64,
    pub(crate) failed: u64,
    /// Archived with something odd about them.
    pub(crate) flagged: u64,
    /// How often each flag was set.
    pub(crate) flags: BTreeMap<&'static str, u64>,
    pub(crate) left_alone_reasons: BTreeMap<String, Named>,
    pub(crate) failures: BTreeMap<String, Named>,
    /// What stopped the import.
    pub(crate) fatal: Option<String>,
}

impl Counts {
    /// Files that are in the archive now, and were acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.archived + self.duplicates + self.corrections + self.conflicts
    }

    /// All files that something was said about.
    pub(crate) fn files(&self) -> u64 {
        self.acknowledged() + self.left_alone + self.failed
    }
}

/// See the [module](self). Shared by everybody who learns of a file's fate.
pub(super) struct Tally {
    counts: Mutex<Counts>,
    report: Mutex<Option<SyncSender<String>>>,
    names_max: usize,
    stop: AtomicBool,
    settled: AtomicU64,
}

impl Tally {
    /// With a report, the second value is the thread that writes it.
    pub(super) fn new(
        names_max: usize,
        report: Option<Box<dyn Write + Send>>,
    ) -> (Self, Option<JoinHandle<std::io::Result<()>>>) {
        let (sender, writer) = match report {
            None => (None, None),
            Some(out) => {
                let (sender, lines) = sync_channel(LINES_MAX);
                (Some(sender), Some(std::thread::spawn(move || write_lines(out, &lines))))
            }
        };
        let tally = Self {
            counts: Mutex::default(),
            report: Mutex::new(sender),
            names_max,
            stop: AtomicBool::new(false),
            settled: AtomicU64::new(0),
        };
        (tally, writer)
    }

    /// Shall nothing more be handed in?
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || crate::interrupt::asked()
    }

    /// Files whose fate is known.
    pub(super) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the import; the first cause is kept.
    pub(super) fn stop(&self, cause: String) {
        self.stop.store(true, Ordering::Relaxed);
        self.counts().fatal.get_or_insert(cause);
    }

    /// The last line was given to the report.
    pub(super) fn close_report(&self) {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// The archive answered.
    pub(super) fn answer(&self, name: &str, answer: Result<Receipt, StoreError>) {
        match answer {
            Ok(receipt) => self.acknowledged(name, &receipt),
            Err(error) => self.refused(name, &error),
        }
    }

    fn acknowledged(&self, name: &str, receipt: &Receipt) {
        let status = Status::from(receipt.outcome);
        let flags: Vec<_> = receipt.flags.names().collect();
        self.settled.fetch_add(1, Ordering::Relaxed);
        {
            let mut counts = self.counts();
            match status {
                Status::Duplicate => counts.duplicates += 1,
                Status::Correction => counts.corrections += 1,
                Status::Conflict => counts.conflicts += 1,
                _ => counts.archived += 1,
            }
            counts.flagged += u64::from(!flags.is_empty());
            for flag in &flags {
                *counts.flags.entry(flag).or_default() += 1;
            }
        }
        self.report(&Line {
            path: name,
            status,
            reason: None,
            flags,
            visible: Some(receipt.visible),
            study_uid: Some(&receipt.study_uid),
            series_uid: Some(&receipt.series_uid),
            sop_instance_uid: Some(&receipt.sop_instance_uid),
            dataset_bytes: Some(receipt.dataset_bytes),
        });
    }

    fn refused(&self, name: &str, error: &StoreError) {
        let status = match error {
            StoreError::NotDicom(_) | StoreError::Refused(_) => Status::LeftAlone,
            _ => Status::Failed,
        };
        if error.kind() != Kind::Input {
            self.stop(cause(error));
        }
        // The words of the error without "not DICOM:", which the status says.
        let why = match error {
            StoreError::NotDicom(why) => why.to_string(),
            other => cause(other),
        };
        self.odd(name, status, &why);
    }

    /// A file that was not taken.
    pub(super) fn odd(&self, name: &str, status: Status, why: &str) {
        self.settled.fetch_add(1, Ordering::Relaxed);
        {
            let mut counts = self.counts();
            let counts = &mut *counts;
            let reasons = if status == Status::LeftAlone {
                counts.left_alone += 1;
                &mut counts.left_alone_reasons
            } else {
                counts.failed += 1;
                &mut counts.failures
            };
            let named = reasons.entry(why.to_owned()).or_default();
            named.files += 1;
            if named.names.len() < self.names_max {
                named.names.push(name.to_owned());
            }
        }
        self.report(&Line {
            path: name,
            status,
            reason: Some(why),
            flags: Vec::new(),
            visible: None,
            study_uid: None,
            series_uid: None,
            sop_instance_uid: None,
            dataset_bytes: None,
        });
    }

    fn report(&self, line: &Line<'_>) {
        // The lock is not held while waiting for the writer.
        let sender = self.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(sender) = sender else { return };
        let sent = serde_json::to_string(line).is_ok_and(|line| sender.send(line).is_ok());
        if !sent {
            // The writer's own error, told at the end, says more.
            self.stop("the report cannot be written".into());
        }
    }
}

/// What stopped the store, without the words that it stopped.
pub(super) fn cause(error: &StoreError) -> String {
    match error {
        StoreError::Stopped(cause) => cause.to_string(),
        other => other.to_string(),
    }
}

/// Each line goes out whole and at once: whoever follows the report knows what is acknowledged.
fn write_lines(mut out: Box<dyn Write + Send>, lines: &Receiver<String>) -> std::io::Result<()> {
    for mut line in lines {
        line.push('\n');
        out.write_all(line.as_bytes())?;
        out.flush()?;
    }
    Ok(())
}
