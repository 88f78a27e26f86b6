//! The steps of the demo.

use std::path::{Path, PathBuf};
use std::time::Instant;

use cairn_store::catalog::VersionRow;
use cairn_store::rebuild::rebuild;
use cairn_store::verify::Scope;
use cairn_store::{Access, IngestConfig, Store, StoreConfig};
use walkdir::WalkDir;

use super::super::import::{self, Summary};
use super::super::{Session, export, proof, verify};
use super::damage::copy_and_flip;
use super::source::{self, Exported, Lines, Report};
use super::table::Row;
use crate::config::threads;
use crate::error::{Error, Result};
use crate::output::{counted, factor, factor_text, size};
use crate::progress::Progress;

/// The archive, in the demo's folder.
pub(super) const DATA: &str = "data";

/// Synthetic studies, in the demo's folder.
pub(super) const ORIGINALS: &str = "originals";

/// What the steps share.
pub(super) struct Demo<'a> {
    session: &'a Session,
    folder: &'a Path,
    paths: Vec<PathBuf>,
    synthetic: bool,
    /// What the archive took after the first import.
    first_bytes: u64,
    first: Report,
    corrections: Report,
    handed_in: u64,
}

impl<'a> Demo<'a> {
    pub(super) fn new(session: &'a Session, folder: &'a Path, paths: Vec<PathBuf>) -> Self {
        let synthetic = paths.is_empty();
        let paths = if synthetic { vec![folder.join(ORIGINALS)] } else { paths };
        Self {
            session,
            folder,
            paths,
            synthetic,
            first_bytes: 0,
            first: Report::default(),
            corrections: Report::default(),
            handed_in: 0,
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.join(DATA)
    }

    fn corrected(&self) -> PathBuf {
        self.folder.join("corrected")
    }

    fn open(&self, access: Access) -> Result<Store> {
        Ok(Store::open(&StoreConfig::new(self.data()), access)?)
    }

    fn progress(&self, what: &'static str) -> Progress {
        Progress::new(&self.session.output, what)
    }

    /// Imports into a store opened for this, so that what is measured afterwards is at rest.
    fn take_in(&self, paths: &[PathBuf]) -> Result<(Summary, Report)> {
        let store = self.open(Access::Write)?;
        let lines = Lines::default();
        let job = import::Job {
            store: &store,
            ingest: IngestConfig::default(),
            paths,
            readers: threads().clamp(2, 8),
            report: Some(Box::new(lines.clone())),
            all_names: false,
        };
        let summary = import::import(job, &self.progress("importing"))?;
        Ok((summary, Report::read(&lines)))
    }

    pub(super) fn make_studies(&mut self, scale: u32) -> Result<Row> {
        let begun = Instant::now();
        let (files, bytes) = source::make_studies(&self.paths[0], scale)?;
        let row = Row::new("make studies", files, bytes, begun.elapsed().as_secs_f64());
        Ok(row.judge(files > 0, "synthetic CT, MR, US cine, MG and SR of one patient"))
    }

    pub(super) fn import(&mut self) -> Result<Row> {
        let (summary, report) = self.take_in(&self.paths)?;
        self.first = report;
        self.first_bytes = folder_bytes(&self.data());
        self.handed_in = summary.instances;
        let took = factor_text(factor(summary.bytes_in, self.first_bytes));
        let mut verdict = format!(
            "{took} times smaller with catalog and keys; dedup {}, compression {}",
            factor_text(summary.dedup_factor),
            factor_text(summary.compression_factor)
        );
        if summary.left_alone > 0 {
            let left_alone = counted(summary.left_alone, "file");
            verdict = format!("{verdict}; {left_alone} not DICOM, left alone");
        }
        let held = summary.is_good() && summary.instances > 0;
        let verdict = if held { verdict } else { why_not(&summary) };
        Ok(row("import", &summary).grew(self.first_bytes, self.first_bytes).judge(held, verdict))
    }

    pub(super) fn import_again(&mut self) -> Result<Row> {
        let before = folder_bytes(&self.data());
        let (summary, _) = self.take_in(&self.paths)?;
        let grown = folder_bytes(&self.data()).saturating_sub(before);
        let held = summary.is_good()
            && summary.duplicates == self.handed_in
            && summary.new_bytes == 0
            && summary.stored_bytes == 0;
        let verdict = if held {
            format!("all {} are duplicates, nothing is stored", summary.duplicates)
        } else {
            why_not(&summary)
        };
        Ok(row("import again", &summary).grew(grown, self.first_bytes).judge(held, verdict))
    }

    pub(super) fn make_corrections(&mut self) -> Result<Row> {
        let begun = Instant::now();
        let made = source::correct(&self.paths, &self.first, &self.corrected())?;
        let row =
            Row::new("correct headers", made.files, made.bytes, begun.elapsed().as_secs_f64());
        let mut verdict = "copies with another name, ID and accession number".to_owned();
        if made.skipped > 0 {
            verdict = format!("{verdict}; {} cannot be edited", counted(made.skipped, "file"));
        }
        Ok(row.judge(made.files > 0 || !self.synthetic, verdict))
    }

    pub(super) fn import_corrections(&mut self) -> Result<Row> {
        let before = folder_bytes(&self.data());
        let (summary, report) = self.take_in(&[self.corrected()])?;
        self.corrections = report;
        let grown = folder_bytes(&self.data()).saturating_sub(before);
        let exact = summary.corrections == summary.files;
        let held = summary.is_good() && (exact || !self.synthetic);
        let verdict = if held {
            let mut words =
                format!("{}, pixels not stored again", counted(summary.corrections, "correction"));
            if !exact {
                words = format!("{words}; {} with other pixel bytes", summary.conflicts);
            }
            words
        } else {
            why_not(&summary)
        };
        Ok(row("import corrected", &summary).grew(grown, self.first_bytes).judge(held, verdict))
    }

    pub(super) fn export_and_compare(&mut self) -> Result<Row> {
        let begun = Instant::now();
        let store = self.open(Access::Read)?;
        let folder = self.folder.join("export");
        let job = export::Job {
            store: &store,
            study: None,
            directory: &folder,
            all_versions: true,
            force: false,
            threads: threads(),
        };
        let report = export::export(&job, &self.progress("exporting"))?;
        let seconds = begun.elapsed().as_secs_f64();
        let exported = Exported::read(&folder)?;
        let first = source::compare(&self.paths, &self.first, &exported);
        let second = source::compare(&[self.corrected()], &self.corrections, &exported);
        let missing: Vec<_> = first.missing.iter().chain(&second.missing).collect();
        let equal = first.equal + second.equal;
        let held = report.is_good() && missing.is_empty() && equal > 0;
        let verdict = match missing.first() {
            None if held => format!(
                "all {equal} files ({}), corrected ones and first ones, equal byte for byte",
                size(first.bytes + second.bytes)
            ),
            None => {
                format!("{} could not be written", counted(report.failures.len() as u64, "file"))
            }
            Some(name) => format!("{} differ, the first is {name}", missing.len()),
        };
        Ok(Row::new("export, compare", report.files, report.bytes, seconds).judge(held, verdict))
    }

    pub(super) fn verify(&mut self) -> Result<Row> {
        let begun = Instant::now();
        let store = self.open(Access::Read)?;
        let progress = self.progress("verifying");
        let report = verify::check(&store, &Scope::All, threads(), &progress)?;
        let row =
            Row::new("verify --all", report.instances, report.bytes, begun.elapsed().as_secs_f64());
        Ok(match report.findings.first() {
            None => {
                row.judge(report.instances > 0, "every chunk, instance, root and pack is right")
            }
            Some(finding) => row.judge(false, finding.text()),
        })
    }

    pub(super) fn rebuild(&mut self) -> Result<Row> {
        let before = roots(&self.open(Access::Read)?)?;
        let begun = Instant::now();
        let report = rebuild(&StoreConfig::new(self.data()), &|_, _| {})?;
        let seconds = begun.elapsed().as_secs_f64();
        let after = roots(&self.open(Access::Read)?)?;
        let held = report.damage.is_empty() && before == after && !after.is_empty();
        let bytes = folder_bytes(&self.data().join("bucket"));
        let verdict = if held {
            let studies = after.len();
            format!("the catalog from packs alone; the roots of all {studies} studies are the same")
        } else {
            format!(
                "{} of {} roots came back",
                after.iter().filter(|r| before.contains(r)).count(),
                before.len()
            )
        };
        Ok(Row::new("rebuild", report.versions, bytes, seconds).judge(held, verdict))
    }

    pub(super) fn prove(&mut self) -> Result<Row> {
        let begun = Instant::now();
        let store = self.open(Access::Read)?;
        let version = any_instance(&store)?;
        let made = proof::make(&store, &version.study_uid, &version.sop_instance_uid)?;
        let (file, dicom) = (self.folder.join("one.proof"), self.folder.join("one.dcm"));
        let mut encoded = made.encode();
        std::fs::write(&file, &encoded).map_err(Error::io("write", &file))?;
        let mut out = std::fs::File::create(&dicom).map_err(Error::io("create", &dicom))?;
        let bytes = store.reader().write_instance(&version, &mut out)?;
        drop((out, store));
        let good = proof::check(&file, Some(made.root), Some(&dicom))?.valid;
        let length = encoded.len();
        encoded[length / 2] ^= 1;
        std::fs::write(&file, &encoded).map_err(Error::io("write", &file))?;
        // Refused either way: it cannot be read any more, or it leads nowhere.
        let refused = !proof::check(&file, Some(made.root), Some(&dicom)).is_ok_and(|c| c.valid);
        let verdict = match (good, refused) {
            (true, true) => format!("{length} bytes prove an instance offline; altered, refused"),
            (false, _) => "a good proof is refused".to_owned(),
            (true, false) => "an altered proof is not refused".to_owned(),
        };
        let row = Row::new("proof", 1, bytes, begun.elapsed().as_secs_f64());
        Ok(row.judge(good && refused, verdict))
    }

    pub(super) fn flip_a_bit(&mut self) -> Result<Row> {
        let copy = self.folder.join("damaged");
        let flipped = copy_and_flip(&self.data(), &copy)?;
        let begun = Instant::now();
        let store = Store::open(&StoreConfig::new(&copy), Access::Read)?;
        let progress = self.progress("verifying");
        let report = verify::check(&store, &Scope::All, threads(), &progress)?;
        let seconds = begun.elapsed().as_secs_f64();
        let named = report.findings.iter().find(|finding| {
            finding.pack.as_deref() == Some(&flipped.pack)
                && finding.offset.is_some_and(|offset| offset <= flipped.offset)
        });
        let row = Row::new("flip one bit", report.instances, report.bytes, seconds);
        let Some(named) = named else {
            return Ok(row.judge(false, "verify does not name the damaged pack"));
        };
        let mut returned = false;
        if let Some(sop) = &named.sop_instance_uid {
            let versions = store.catalog().versions_of_sop(sop)?;
            let reader = store.reader();
            returned =
                versions.iter().all(|v| reader.write_instance(v, &mut std::io::sink()).is_ok());
        }
        let place = format!(
            "pack {}… at {}, {} of {} instances; never returned as data",
            flipped.pack.get(..8).unwrap_or(&flipped.pack),
            named.offset.unwrap_or_default(),
            report.findings.iter().filter(|finding| finding.sop_instance_uid.is_some()).count(),
            report.instances
        );
        Ok(row.judge(!returned, format!("verify names {place}")))
    }
}

fn row(step: &'static str, summary: &Summary) -> Row {
    Row::new(step, summary.files, summary.bytes_in, summary.seconds)
}

fn why_not(summary: &Summary) -> String {
    if let Some(error) = &summary.error {
        return error.clone();
    }
    let failure = summary.failures.first().map_or_else(String::new, |failure| {
        format!("; {}: {}", failure.named.names.first().map_or("", String::as_str), failure.reason)
    });
    format!(
        "{} failed, {} archived, {} duplicates, {} corrections, {} conflicts{failure}",
        summary.failed,
        summary.archived,
        summary.duplicates,
        summary.corrections,
        summary.conflicts
    )
}

/// Everything at rest under a folder, without the catalog that a rebuild put aside.
fn folder_bytes(folder: &Path) -> u64 {
    let files = WalkDir::new(folder).into_iter().flatten();
    let kept = files.filter(|entry| !entry.file_name().to_string_lossy().ends_with("-rebuild"));
    kept.filter_map(|entry| entry.metadata().ok().filter(std::fs::Metadata::is_file))
        .map(|meta| meta.len())
        .sum()
}

/// Every study's root, as its content is now.
fn roots(store: &Store) -> Result<Vec<(String, String)>> {
    let mut studies = Vec::new();
    store.catalog().studies(None, &mut |study| {
        studies.push(study.study_uid);
        Ok(())
    })?;
    let named = studies.into_iter().map(|study| {
        let root = store.study_tree(&study)?.root().to_string();
        Ok((study, root))
    });
    named.collect()
}

/// One that is shown.
fn any_instance(store: &Store) -> Result<VersionRow> {
    let mut found: Option<VersionRow> = None;
    for (study, _) in roots(store)? {
        store.catalog().study_versions(&study, false, &mut |version| {
            found.get_or_insert(version);
            Ok(())
        })?;
        if found.is_some() {
            break;
        }
    }
    found.ok_or_else(|| Error::Demo("the archive is empty".into()))
}
