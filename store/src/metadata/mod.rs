//! Metadata of a series: the DICOM JSON of all its visible instances, made once and kept.
//!
//! Whoever asks gets the whole series from one file, without a look at any instance (PS3.18 §10.4). The
//! file is derived: it lies beside the catalog, is made while objects come in or when somebody asks
//! first, and is made again when the series has changed. What did not change is taken over from the old
//! one, so a series that grows is not read again and again.

mod builder;
mod file;

pub(crate) use builder::Builder;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cairn_chunker::id::{ChunkId, SeriesRoot};
use cairn_chunker::tree::{InstanceNode, SeriesTree};
use cairn_dicom::json;
use rayon::prelude::*;

use crate::catalog::{SeriesState, VersionRow};
use crate::error::{Error, Result};
use crate::keys::{NONCE_BYTES, StoredId};
use crate::limits::{METADATA_LOCKS, METADATA_REUSE_BYTES, METADATA_RUN_BYTES};
use crate::read::Reader;
use crate::store::Shared;

use file::{Entry, Header, Run};

/// Zstandard level of runs: they are read far more often than written, and compress well at any.
const LEVEL: i32 = 3;

/// Makes, keeps and reads the metadata of series.
#[derive(Debug)]
pub struct Metadata {
    shared: Arc<Shared>,
    reader: Arc<Reader>,
    /// One builder for a series at a time: the second finds the work done.
    locks: [Mutex<()>; METADATA_LOCKS],
}

/// The metadata of one series, as of one moment.
#[derive(Debug, Clone)]
pub struct SeriesMetadata {
    header: Header,
    /// The sealed runs.
    runs: Vec<Bytes>,
    context: Context,
    shared: Arc<Shared>,
}

/// What a run's seal is bound to.
#[derive(Debug, Clone, Copy)]
struct Context {
    series: StoredId,
    changed: u64,
}

impl Context {
    fn of(self, run: usize) -> [u8; 48] {
        let mut out = [0; 48];
        out[..32].copy_from_slice(&self.series.0);
        out[32..40].copy_from_slice(&self.changed.to_le_bytes());
        out[40..].copy_from_slice(&(run as u64).to_le_bytes());
        out
    }
}

impl SeriesMetadata {
    /// Names the content that is described: changes whenever any visible instance does.
    #[must_use]
    pub fn root(&self) -> SeriesRoot {
        self.header.root
    }

    /// How many runs there are; none for a series without anything visible.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// How many instances are described.
    #[must_use]
    pub fn instances(&self) -> usize {
        self.header.runs.iter().map(|run| run.entries.len()).sum()
    }

    /// Length of all JSON, commas included.
    #[must_use]
    pub fn plain_bytes(&self) -> u64 {
        self.header.runs.iter().map(|run| u64::from(run.plain_bytes)).sum()
    }

    /// One run: whole JSON objects with commas between them. `BulkDataURI`s are relative to the series.
    ///
    /// # Errors
    /// [`Error::Derived`] if the bytes are not what was written: [`Metadata::forget`] helps.
    pub fn run(&self, index: usize) -> Result<Bytes> {
        let damaged = || Error::Derived { what: "series metadata" };
        let (run, sealed) =
            self.header.runs.get(index).zip(self.runs.get(index)).ok_or_else(damaged)?;
        let frame = open(&self.shared, self.context, index, sealed)?;
        let plain = zstd::bulk::decompress(&frame, run.plain_bytes as usize);
        let plain = plain.ok().filter(|plain| plain.len() == run.plain_bytes as usize);
        plain.map(Bytes::from).ok_or_else(damaged)
    }
}

fn seal(shared: &Shared, context: Context, run: usize, mut frame: Vec<u8>) -> Result<Bytes> {
    if !shared.encrypt {
        let check =
            *blake3::keyed_hash(blake3::hash(&context.of(run)).as_bytes(), &frame).as_bytes();
        frame.extend_from_slice(&check);
        return Ok(frame.into());
    }
    let key = shared.site.derived_key();
    let (nonce, tag) = key.seal(&context.series, &context.of(run), &mut frame)?;
    frame.extend_from_slice(&tag);
    frame.extend_from_slice(&nonce);
    Ok(frame.into())
}

fn open(shared: &Shared, context: Context, run: usize, sealed: &[u8]) -> Result<Vec<u8>> {
    let damaged = || Error::Derived { what: "series metadata" };
    if !shared.encrypt {
        let (frame, check) = sealed.split_last_chunk::<32>().ok_or_else(damaged)?;
        let found = blake3::keyed_hash(blake3::hash(&context.of(run)).as_bytes(), frame);
        return if found.as_bytes() == check { Ok(frame.to_vec()) } else { Err(damaged()) };
    }
    let (body, nonce) = sealed.split_last_chunk::<NONCE_BYTES>().ok_or_else(damaged)?;
    let mut body = body.to_vec();
    let key = shared.site.derived_key();
    let length = key.open(&context.series, *nonce, &context.of(run), &mut body);
    body.truncate(length.ok_or_else(damaged)?);
    Ok(body)
}

impl Metadata {
    pub(crate) fn new(shared: Arc<Shared>, reader: Arc<Reader>) -> Self {
        Self { shared, reader, locks: std::array::from_fn(|_| Mutex::new(())) }
    }

    fn name(&self, study: &str, series: &str) -> StoredId {
        let both = [study.as_bytes(), b"\0", series.as_bytes()].concat();
        self.shared.site.stored_id(&ChunkId::of(&both))
    }

    fn path(&self, name: StoredId) -> PathBuf {
        let name = hex::encode(name.0);
        self.shared.layout.metadata().join(&name[..2]).join(format!("{name}.metadata"))
    }

    /// The metadata of a series as it is now; `None` if nothing of it is visible.
    pub fn series(&self, study: &str, series: &str) -> Result<Option<SeriesMetadata>> {
        let state = self.shared.catalog.series_state(study, series)?;
        let Some(state) = state.filter(|state| state.instances > 0) else { return Ok(None) };
        let name = self.name(study, series);
        let kept = self.load(name);
        if let Some(kept) = kept.filter(|kept| kept.header.changed == state.changed) {
            return Ok(Some(kept));
        }
        let stripe = usize::from(name.0[0]) % METADATA_LOCKS;
        let _one = self.locks[stripe].lock().unwrap_or_else(PoisonError::into_inner);
        let kept = self.load(name);
        match kept {
            Some(kept) if kept.header.changed == state.changed => Ok(Some(kept)),
            kept => self.make(study, series, name, state, kept.as_ref()).map(Some),
        }
    }

    /// The JSON of one instance. It is taken from nowhere but its own header.
    pub fn instance(&self, version: &VersionRow) -> Result<Bytes> {
        self.describe(version).map(Bytes::from)
    }

    /// Drops what is kept of a series, so that it is made anew.
    pub fn forget(&self, study: &str, series: &str) {
        // Not there, or not to be removed: either way the next look decides by what it finds.
        let _ = std::fs::remove_file(self.path(self.name(study, series)));
    }

    fn load(&self, series: StoredId) -> Option<SeriesMetadata> {
        let file = Bytes::from(std::fs::read(self.path(series)).ok()?);
        let (header, mut at) = Header::decode(&file)?;
        let mut runs = Vec::with_capacity(header.runs.len());
        for run in &header.runs {
            let end = at.checked_add(run.stored_bytes as usize).filter(|end| *end <= file.len())?;
            runs.push(file.slice(at..end));
            at = end;
        }
        let context = Context { series, changed: header.changed };
        Some(SeriesMetadata { header, runs, context, shared: Arc::clone(&self.shared) })
    }

    fn make(
        &self,
        study: &str,
        series: &str,
        name: StoredId,
        state: SeriesState,
        old: Option<&SeriesMetadata>,
    ) -> Result<SeriesMetadata> {
        let mut versions = Vec::new();
        self.shared.catalog.series_versions(study, series, &mut |version| {
            versions.push(version);
            Ok(())
        })?;
        let kept = old.map(known).unwrap_or_default();
        let context = Context { series: name, changed: state.changed };
        let header = Header { changed: state.changed, root: root(series, &versions), runs: vec![] };
        let mut packer = Packer::new(&self.shared, context, header);
        // Some at a time, so that a series of any length takes the same memory.
        for some in versions.chunks(rayon::current_num_threads() * 16) {
            let texts: Vec<Bytes> = some
                .par_iter()
                .map(|version| match kept.get(&version.manifest) {
                    Some(text) => Ok(text.clone()),
                    None => self.describe(version).map(Bytes::from),
                })
                .collect::<Result<_>>()?;
            for (version, text) in some.iter().zip(&texts) {
                packer.add(version.manifest, text)?;
            }
        }
        let (header, runs) = packer.finish()?;
        let made = SeriesMetadata { header, runs, context, shared: Arc::clone(&self.shared) };
        self.keep(name, &made);
        Ok(made)
    }

    fn describe(&self, version: &VersionRow) -> Result<Vec<u8>> {
        let manifest = self.reader.served_manifest(&version.manifest)?;
        let mut source = self.reader.source(&manifest);
        let mut text = Vec::new();
        let syntax = &version.transfer_syntax_uid;
        match json::write(&mut source, syntax, &version.sop_instance_uid, &mut text) {
            Ok(_) => Ok(text),
            Err(error) => Err(source.fault(error)),
        }
    }

    /// Not synced: what a crash leaves of it is found out by its checks, and made anew.
    fn keep(&self, name: StoredId, made: &SeriesMetadata) {
        let path = self.path(name);
        let write = || {
            let folder = path.parent().unwrap_or(&path);
            std::fs::create_dir_all(folder)?;
            let part = path.with_extension(format!("{:016x}.part", rand_name()));
            let mut all = made.header.encode();
            made.runs.iter().for_each(|run| all.extend_from_slice(run));
            std::fs::write(&part, &all)
                .and_then(|()| std::fs::rename(&part, &path))
                .inspect_err(|_| drop(std::fs::remove_file(&part)))
        };
        if let Err(error) = write() {
            tracing::warn!(%error, "the metadata of a series cannot be kept; they are made again");
        }
    }
}

/// Puts texts into runs.
struct Packer<'a> {
    shared: &'a Shared,
    context: Context,
    header: Header,
    runs: Vec<Bytes>,
    plain: Vec<u8>,
    entries: Vec<Entry>,
}

impl<'a> Packer<'a> {
    fn new(shared: &'a Shared, context: Context, header: Header) -> Self {
        Self { shared, context, header, runs: vec![], plain: vec![], entries: vec![] }
    }

    fn add(&mut self, manifest: ChunkId, text: &[u8]) -> Result<()> {
        if !self.plain.is_empty() {
            self.plain.push(b',');
        }
        self.plain.extend_from_slice(text);
        self.entries.push(Entry { manifest, bytes: text.len() as u32 });
        if self.plain.len() >= METADATA_RUN_BYTES { self.end_run() } else { Ok(()) }
    }

    fn end_run(&mut self) -> Result<()> {
        let frame = zstd::bulk::compress(&self.plain, LEVEL)
            .map_err(|_| Error::Internal("metadata cannot be compressed"))?;
        let sealed = seal(self.shared, self.context, self.runs.len(), frame)?;
        self.header.runs.push(Run {
            plain_bytes: self.plain.len() as u32,
            stored_bytes: sealed.len() as u32,
            entries: std::mem::take(&mut self.entries),
        });
        self.runs.push(sealed);
        self.plain.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<(Header, Vec<Bytes>)> {
        if !self.entries.is_empty() {
            self.end_run()?;
        }
        Ok((self.header, self.runs))
    }
}

/// Tells apart parts of files that two processes write at once.
fn rand_name() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

fn root(series: &str, versions: &[VersionRow]) -> SeriesRoot {
    let nodes = versions.iter().map(|version| InstanceNode {
        leaf: version.leaf_hash(),
        sop_instance_uid: version.sop_instance_uid.clone(),
        dataset_bytes: version.dataset_bytes,
    });
    SeriesTree::new(series.to_owned(), nodes.collect()).root()
}

/// What is known of instances that may not have changed. Damage costs time only.
fn known(old: &SeriesMetadata) -> HashMap<ChunkId, Bytes> {
    let mut out = HashMap::new();
    let mut left = METADATA_REUSE_BYTES;
    for (index, run) in old.header.runs.iter().enumerate() {
        left = left.saturating_sub(run.plain_bytes as usize);
        if left == 0 {
            break;
        }
        let Ok(plain) = old.run(index) else { continue };
        let mut at = 0;
        for entry in &run.entries {
            let end = at + entry.bytes as usize;
            if end > plain.len() {
                break;
            }
            out.insert(entry.manifest, plain.slice(at..end));
            at = end + 1; // the comma
        }
    }
    out
}
