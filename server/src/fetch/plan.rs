//! What is still to be asked for, and which instances have all their chunks.
//!
//! Shared by the lanes. Manifests are asked for in batches that grow, so that the first image is soon
//! there; from each manifest follow the chunks that are neither here nor on their way. A chunk that
//! several instances share comes once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cairn_chunker::id::ChunkId;
use cairn_chunker::manifest::{ChunkRef, Manifest};

use super::error::Error;
use super::stage::{Stage, Staged};

/// Instances whose manifests are asked for first, and at most, in one request.
const MANIFESTS: Range<usize> = 4..256;
/// Plain bytes of chunks that are asked for first, and at most, in one request: what a break can cost
/// is a part of one.
const JOB_BYTES: Range<u64> = 64 << 10..4 << 20;
/// How long a lane without work waits before it looks again.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One chunk that is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) instance: u32,
    pub(super) index: u32,
    pub(super) chunk: ChunkRef,
}

/// What a lane does next.
#[derive(Debug)]
pub(super) enum Job {
    /// Ask for the manifests of these instances.
    Manifests(Range<u32>),
    /// Ask for these chunks.
    Chunks(Vec<Item>),
}

/// An instance that has everything.
#[derive(Debug)]
pub(super) struct Complete {
    pub(super) instance: u32,
    pub(super) manifest: Arc<Manifest>,
    /// Its chunks that were fetched; the others are in the archive.
    pub(super) staged: HashMap<ChunkId, Staged>,
}

struct OpenInstance {
    manifest: Arc<Manifest>,
    missing: usize,
}

struct State {
    stage: Stage,
    /// Instances whose manifests are still to be asked for.
    ahead: VecDeque<Range<u32>>,
    batch: usize,
    jobs: VecDeque<Job>,
    job_bytes: u64,
    next: Vec<Item>,
    next_bytes: u64,
    /// Jobs that lanes work on.
    out: usize,
    open: HashMap<u32, OpenInstance>,
    /// Chunks that are asked for or about to be, and who waits for them.
    awaited: HashMap<ChunkId, Vec<u32>>,
    complete: VecDeque<u32>,
    failure: Option<Error>,
}

/// See the [module](self).
pub(super) struct Plan {
    state: Mutex<State>,
    changed: Condvar,
    /// Chunks in the archive that may be used: see [`super::lineage`].
    held: HashSet<ChunkId>,
}

impl Plan {
    /// `todo`: the instances that are not here, by their place in the record, ascending.
    pub(super) fn new(todo: &[u32], held: HashSet<ChunkId>, stage: Stage) -> Self {
        let mut ahead: VecDeque<Range<u32>> = VecDeque::new();
        for instance in todo {
            match ahead.back_mut().filter(|range| range.end == *instance) {
                Some(range) => range.end += 1,
                None => ahead.push_back(*instance..*instance + 1),
            }
        }
        let state = State {
            stage,
            ahead,
            batch: MANIFESTS.start,
            jobs: VecDeque::new(),
            job_bytes: JOB_BYTES.start,
            next: Vec::new(),
            next_bytes: 0,
            out: 0,
            open: HashMap::new(),
            awaited: HashMap::new(),
            complete: VecDeque::new(),
            failure: None,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), held }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job; `None` when there is nothing more to do, or something failed for good.
    pub(super) fn take(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.failure.is_some() {
                return None;
            }
            if let Some(job) = state.next_job() {
                state.out += 1;
                return Some(job);
            }
            // What is out may come back, or bring manifests from which more follows.
            if state.out == 0 {
                return None;
            }
            let waited = self.changed.wait_timeout(state, LOOK_EVERY);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A job is done; what is left of it is asked for again.
    pub(super) fn put_back(&self, left: Option<Job>) {
        let mut state = self.lock();
        state.out -= 1;
        if let Some(left) = left {
            state.jobs.push_front(left);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Nothing more shall be asked for. The first failure is the one that is told.
    pub(super) fn fail(&self, error: Error) {
        self.lock().failure.get_or_insert(error);
        self.changed.notify_all();
    }

    /// What failed.
    pub(super) fn failure(&self) -> Option<Error> {
        self.lock().failure.take()
    }

    /// Has anything failed for good?
    pub(super) fn is_over(&self) -> bool {
        self.lock().failure.is_some()
    }

    /// A manifest came, which is the one of its instance.
    pub(super) fn manifest(&self, instance: u32, manifest: Manifest) {
        let mut state = self.lock();
        let manifest = Arc::new(manifest);
        let mut missing = 0;
        let mut seen = HashSet::new();
        for (index, chunk) in manifest.all_chunks().enumerate() {
            if self.held.contains(&chunk.id) || !seen.insert(chunk.id) {
                continue;
            }
            if state.stage.contains(&chunk.id) {
                state.stage.hold(&chunk.id);
                continue;
            }
            missing += 1;
            let waiting = state.awaited.entry(chunk.id).or_default();
            waiting.push(instance);
            if waiting.len() == 1 {
                state.want(Item { instance, index: index as u32, chunk: *chunk });
            }
        }
        state.open.insert(instance, OpenInstance { manifest, missing });
        if missing == 0 {
            state.complete.push_back(instance);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// A chunk came whose bytes have its name.
    pub(super) fn chunk(&self, item: &Item, bytes: &Bytes) -> Result<(), Error> {
        let mut state = self.lock();
        state.stage.put(item.chunk.id, bytes).map_err(Error::Stage)?;
        for instance in state.awaited.remove(&item.chunk.id).unwrap_or_default() {
            state.stage.hold(&item.chunk.id);
            if let Some(open) = state.open.get_mut(&instance) {
                open.missing -= 1;
                if open.missing == 0 {
                    state.complete.push_back(instance);
                }
            }
        }
        Ok(())
    }

    /// An instance that has all its chunks.
    pub(super) fn complete(&self) -> Option<Complete> {
        let mut state = self.lock();
        let instance = state.complete.pop_front()?;
        let manifest = state.open.remove(&instance)?.manifest;
        let fetched = manifest.all_chunks().filter(|chunk| !self.held.contains(&chunk.id));
        let staged = fetched.filter_map(|chunk| Some((chunk.id, state.stage.get(&chunk.id)?)));
        Some(Complete { instance, staged: staged.collect(), manifest })
    }

    /// These chunks of an instance are in the archive now.
    pub(super) fn release(&self, chunks: impl Iterator<Item = ChunkId>) {
        let mut state = self.lock();
        chunks.for_each(|id| state.stage.release(&id));
    }

    /// Everything is in the archive: what was kept meanwhile goes. Not left to whoever lets the plan go last:
    /// the archive may still be about to when the fetch is over.
    pub(super) fn clear(&self) {
        self.lock().stage.clear();
    }
}

impl State {
    fn want(&mut self, item: Item) {
        self.next.push(item);
        self.next_bytes += u64::from(item.chunk.bytes);
        if self.next_bytes >= self.job_bytes {
            self.close_job();
        }
    }

    fn close_job(&mut self) {
        if !self.next.is_empty() {
            self.jobs.push_back(Job::Chunks(std::mem::take(&mut self.next)));
            self.next_bytes = 0;
            self.job_bytes = (self.job_bytes * 4).min(JOB_BYTES.end);
        }
    }

    fn next_job(&mut self) -> Option<Job> {
        if let Some(job) = self.jobs.pop_front() {
            return Some(job);
        }
        if let Some(mut range) = self.ahead.pop_front() {
            let end = range.end.min(range.start.saturating_add(self.batch as u32));
            self.batch = (self.batch * 2).min(MANIFESTS.end);
            let batch = range.start..end;
            range.start = end;
            if !range.is_empty() {
                self.ahead.push_front(range);
            }
            return Some(Job::Manifests(batch));
        }
        self.close_job();
        self.jobs.pop_front()
    }
}
