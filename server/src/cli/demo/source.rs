//! The files that the demo works on: synthetic ones, somebody's, and corrected copies of either.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cairn_dicom::phantom::{correct_demographics, demo_studies};
use serde::Deserialize;

use super::super::import::walk;
use crate::error::{Error, Result};

/// Any seed will do; this one makes the same studies in every demo.
const SEED: u64 = 2026;
/// Files above this are not corrected: the editing library holds them whole, more than once.
const CORRECTED_BYTES_MAX: u64 = 256 << 20;

/// Makes the synthetic studies under `folder`; number and length of the files.
pub(super) fn make_studies(folder: &Path, scale: u32) -> Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for file in demo_studies(SEED, scale) {
        put(&folder.join(&file.name), &file.bytes)?;
        files += 1;
        bytes += file.bytes.len() as u64;
    }
    Ok((files, bytes))
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    }
    std::fs::write(path, bytes).map_err(Error::io("write", path))
}

/// What became of corrected copies.
#[derive(Debug, Default)]
pub(super) struct Corrected {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Files that cannot be edited.
    pub(super) skipped: u64,
}

/// Writes a copy with another name, ID and accession number of every file in `paths` that `report`
/// says was archived.
pub(super) fn correct(paths: &[PathBuf], report: &Report, folder: &Path) -> Result<Corrected> {
    let mut corrected = Corrected::default();
    let mut failed = None;
    walk(paths, &[], &mut |item| {
        if !report.is_archived(&item.name()) {
            return true;
        }
        match item.read(|reader, bytes| read_whole(reader, bytes)) {
            Ok(Some(bytes)) => {
                let made = correct_demographics(&bytes, "Corrected^Demo", "DEMO-4711", "A-4711");
                let Ok(made) = made else {
                    corrected.skipped += 1;
                    return true;
                };
                let path = folder.join(format!("{:06}.dcm", corrected.files));
                corrected.files += 1;
                corrected.bytes += made.len() as u64;
                failed = put(&path, &made).err();
            }
            Ok(None) | Err(_) => corrected.skipped += 1,
        }
        failed.is_none()
    });
    failed.map_or(Ok(corrected), Err)
}

/// `None` if it is too long, or breaks off.
fn read_whole(reader: &mut dyn Read, bytes: u64) -> Option<Vec<u8>> {
    let mut whole = Vec::with_capacity(bytes.min(CORRECTED_BYTES_MAX) as usize);
    reader.take(CORRECTED_BYTES_MAX + 1).read_to_end(&mut whole).ok()?;
    (whole.len() as u64 <= CORRECTED_BYTES_MAX).then_some(whole)
}

/// The lines of an import's report, by path.
#[derive(Debug, Default)]
pub(super) struct Report(HashMap<String, String>);

#[derive(Deserialize)]
struct Line {
    path: String,
    status: String,
}

impl Report {
    pub(super) fn read(lines: &Lines) -> Self {
        let bytes = lines.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = bytes.split(|byte| *byte == b'\n');
        let parsed = lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok());
        Self(parsed.map(|line| (line.path, line.status)).collect())
    }

    /// Is what this file holds in the archive as its first, or as another version?
    pub(super) fn is_archived(&self, path: &str) -> bool {
        let status = self.0.get(path).map_or("", String::as_str);
        matches!(status, "archived" | "correction" | "conflict")
    }
}

/// A report that stays in memory.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What came of comparing.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) equal: u64,
    pub(super) bytes: u64,
    /// Files that no exported file is equal to.
    pub(super) missing: Vec<String>,
}

/// Compares every archived file in `paths` with what stands under `exported`.
pub(super) fn compare(paths: &[PathBuf], report: &Report, exported: &Exported) -> Compared {
    let mut compared = Compared::default();
    walk(paths, &[], &mut |item| {
        let name = item.name();
        if report.is_archived(&name) {
            match item.read(|reader, _| exported.has(reader)) {
                Ok(Some(bytes)) => {
                    compared.equal += 1;
                    compared.bytes += bytes;
                }
                Ok(None) | Err(_) => compared.missing.push(name),
            }
        }
        true
    });
    compared
}

/// Exported files by their content.
pub(super) struct Exported(BTreeMap<([u8; 32], u64), PathBuf>);

impl Exported {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        for entry in walkdir::WalkDir::new(folder) {
            let entry = entry.map_err(|error| Error::Demo(error.to_string()))?;
            if entry.file_type().is_file() {
                let path = entry.into_path();
                let mut file = std::fs::File::open(&path).map_err(Error::io("read", &path))?;
                let name = digest(&mut file).map_err(Error::io("read", &path))?;
                files.insert(name, path);
            }
        }
        Ok(Self(files))
    }

    /// The length of the stream if a file with the same bytes was exported.
    fn has(&self, reader: &mut dyn Read) -> Option<u64> {
        let name = digest(reader).ok()?;
        self.0.contains_key(&name).then_some(name.1)
    }
}

/// BLAKE3 and length: two files that share both are equal byte for byte.
fn digest(reader: &mut dyn Read) -> std::io::Result<([u8; 32], u64)> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(reader)?;
    Ok((*hasher.finalize().as_bytes(), hasher.count()))
}
