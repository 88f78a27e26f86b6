//! Everything that a run of `cairn-bench all` came to: its JSON, and what the page is drawn from.

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::report::{Heading, Report};

/// What the JSON says that it is; grows with what a reader could not understand.
pub(crate) const FORMAT: &str = "cairn-bench all 1";

/// A kind of measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Memory, BLAKE3, disk and loopback alone
    Limits,
    /// Pixel codecs and zstd
    Codec,
    /// JPEG-LS, HTJ2K, JPEG 2000, JPEG XL by imagecodecs
    Reference,
    /// Import, re-import, export, changed import, beside other stores
    Ingest,
    /// The same by number of cores
    Cores,
    /// Imports by size of an instance
    Sizes,
    /// Commits and searches by size of the catalog
    Catalog,
    /// Imports into an archive that fills
    Many,
    /// One instance larger than memory may be
    Giant,
    /// DICOMweb, beside Orthanc
    Dicomweb,
    /// DIMSE, beside Orthanc
    Dimse,
}

/// How far a part came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Not begun: the run ended before, or goes on.
    Waiting,
    /// In work when this was written: interrupted, if the run is over.
    Running,
    /// Measured.
    Done,
    /// Not measured; the reason is beside it.
    Failed,
}

/// One measurement of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) kind: Kind,
    pub(crate) label: String,
    /// What repeats it by itself, after `cairn-bench`.
    pub(crate) command: String,
    pub(crate) state: State,
    pub(crate) reason: Option<String>,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Load of the machine when it began, over one, five and fifteen minutes.
    pub(crate) load_before: String,
    pub(crate) report: Report,
}

/// Who is compared with, there or not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) name: String,
    /// What it says that it is; `None` if it is missing.
    pub(crate) version: Option<String>,
    /// What is compared.
    pub(crate) purpose: String,
}

/// See the [module](self).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Document {
    pub(crate) format: String,
    /// UTC, to the minute.
    pub(crate) began: String,
    #[serde(flatten)]
    pub(crate) heading: Heading,
    /// So small that figures only show that everything runs.
    pub(crate) quick: bool,
    /// By a signal: parts that wait or run were not measured.
    pub(crate) interrupted: bool,
    /// What the sets are, a sentence each.
    pub(crate) sets: Vec<String>,
    pub(crate) peers: Vec<Found>,
    pub(crate) parts: Vec<Part>,
}

impl Document {
    /// Out of the JSON that a run left.
    pub(crate) fn from_json(json: &[u8]) -> Result<Self> {
        let document: Self =
            serde_json::from_slice(json).context("no JSON of `cairn-bench all`")?;
        ensure!(document.format == FORMAT, "{:?} is not {FORMAT:?}", document.format);
        Ok(document)
    }

    /// Parts of a kind that were measured.
    pub(crate) fn done(&self, kind: Kind) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| part.kind == kind && part.state == State::Done)
    }

    /// Was everything measured, and do all goals hold?
    pub(crate) fn is_good(&self) -> bool {
        self.parts.iter().all(|part| part.state == State::Done && part.report.goals_hold())
    }
}
