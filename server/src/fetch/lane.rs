//! A lane: one connection to the owner, one thread. Asks, checks every chunk before it is laid down, and
//! hands instances that have everything to the archive.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_chunker::id::ChunkId;
use cairn_chunker::manifest::Manifest;
use cairn_store::ingest::{Admission, Incoming};

use super::assemble::Instance;
use super::borrow::borrow;
use super::error::Error;
use super::plan::{Complete, Item, Job};
use super::{Fetching, INTERRUPT_EVERY};
use crate::peer::wire::wants::{Want, Wants};
use crate::peer::{self, Client};

/// Pauses after a break: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Works until there is nothing more to do.
pub(super) fn run(fetching: &Arc<Fetching>, client: &Client) {
    let mut pause = PAUSE.0;
    while let Some(job) = fetching.plan.take() {
        let mut left = Some(job);
        let done = work(fetching, client, &mut left);
        fetching.plan.put_back(left);
        match done {
            Ok(()) => pause = PAUSE.0,
            Err(error) if error.is_passing() => {
                if fetching.is_hopeless() {
                    fetching.plan.fail(error);
                    break;
                }
                tracing::debug!(%error, "a lane broke off; it tries again");
                wait(fetching, pause);
                pause = (pause * 2).min(PAUSE.1);
            }
            Err(error) => {
                fetching.plan.fail(error);
                break;
            }
        }
        if (fetching.interrupted)() {
            fetching.plan.fail(Error::Interrupted);
        }
    }
}

fn wait(fetching: &Fetching, pause: Duration) {
    let until = Instant::now() + pause;
    while Instant::now() < until && !fetching.plan.is_over() && !(fetching.interrupted)() {
        std::thread::sleep(INTERRUPT_EVERY.min(pause));
    }
}

/// Does a job. What is not done of it stays in `left`.
fn work(fetching: &Arc<Fetching>, client: &Client, left: &mut Option<Job>) -> Result<(), Error> {
    match left {
        Some(Job::Manifests(range)) => {
            let wants = Wants::Manifests(range.clone());
            stream(fetching, client, &wants, |bytes| {
                let instance = range.start;
                fetching.plan.manifest(instance, manifest(fetching, instance, &bytes)?);
                range.start += 1;
                Ok(range.start >= range.end)
            })?;
            if range.start < range.end {
                return Err(Error::Lie("it sent fewer manifests than it has"));
            }
        }
        Some(Job::Chunks(items)) => {
            borrow(fetching, client, items)?;
            if items.is_empty() {
                *left = None;
                return take_in(fetching);
            }
            let (wants, mut done) = (wants(items), 0);
            let streamed = stream(fetching, client, &wants, |bytes| {
                let item = items.get(done).ok_or(Error::Lie("it sent more than was asked for"))?;
                chunk(fetching, item, &bytes)?;
                done += 1;
                Ok(done == items.len())
            });
            items.drain(..done);
            streamed?;
            if !items.is_empty() {
                return Err(Error::Lie("it sent fewer chunks than it has"));
            }
        }
        None => {}
    }
    *left = None;
    // Also where this job brought nothing new: chunks may have been here already.
    take_in(fetching)
}

/// Brings what is wanted, and gives each chunk to `take`, until that has all.
fn stream(
    fetching: &Arc<Fetching>,
    client: &Client,
    wants: &Wants,
    mut take: impl FnMut(Bytes) -> Result<bool, Error>,
) -> Result<(), Error> {
    let runtime = &fetching.runtime;
    let mut stream = runtime.block_on(client.chunks(&fetching.subject, wants))?;
    let mut over = false;
    loop {
        let next = runtime.block_on(stream.next());
        fetching.moved.fetch_add(stream.take_bytes(), Ordering::Relaxed);
        let Some(packed) = next? else { return Ok(()) };
        if over {
            return Err(Error::Lie("it sent more than was asked for"));
        }
        for bytes in packed.unpack().map_err(|malformed| Error::Peer(stream.wrong(malformed)))? {
            over = take(bytes)?;
        }
        take_in(fetching)?;
        fetching.alive();
        if fetching.plan.is_over() || (fetching.interrupted)() {
            return Err(Error::Interrupted);
        }
    }
}

/// What is asked for, neighbours together.
pub(super) fn wants(items: &[Item]) -> Wants {
    let mut wants: Vec<Want> = Vec::new();
    for item in items {
        let next =
            |last: &&mut Want| last.instance == item.instance && last.chunks.end == item.index;
        if let Some(last) = wants.last_mut().filter(next) {
            last.chunks.end += 1;
        } else {
            let chunks = item.index..item.index + 1;
            wants.push(Want { instance: item.instance, chunks });
        }
    }
    Wants::Chunks(wants)
}

/// Is it the manifest that the owner signed for, of the instance that it registered?
fn manifest(fetching: &Fetching, instance: u32, bytes: &[u8]) -> Result<Manifest, Error> {
    let expected = fetching.instance(instance)?;
    if ChunkId::of(bytes) != expected.manifest {
        return Err(Error::Lie("a manifest does not have the hash in the record"));
    }
    let manifest = Manifest::decode(bytes).map_err(|_| Error::Lie("a manifest cannot be read"))?;
    if manifest.leaf() != expected.leaf {
        return Err(Error::Lie("a manifest is of another instance"));
    }
    fetching.fetched.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    Ok(manifest)
}

/// Is it the chunk that was asked for? Before any of it is written.
pub(super) fn chunk(fetching: &Fetching, item: &Item, bytes: &Bytes) -> Result<(), Error> {
    if bytes.len() != item.chunk.bytes as usize || ChunkId::of(bytes) != item.chunk.id {
        return Err(Error::Lie("a chunk does not have its name"));
    }
    fetching.fetched.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    fetching.plan.chunk(item, bytes)
}

/// Hands over what has all its chunks.
fn take_in(fetching: &Arc<Fetching>) -> Result<(), Error> {
    while let Some(complete) = fetching.plan.complete() {
        take_in_one(fetching, complete)?;
    }
    Ok(())
}

fn take_in_one(fetching: &Arc<Fetching>, complete: Complete) -> Result<(), Error> {
    let Complete { instance, manifest, staged } = complete;
    let expected = fetching.instance(instance)?;
    let ingest = fetching.app.ingest().map_err(|_| Error::Interrupted)?;
    let dataset_bytes = expected.leaf.dataset_bytes;
    let chunks: Vec<ChunkId> = staged.keys().copied().collect();
    let mut reader = Instance::new(manifest, staged, fetching.app.store.reader());
    let (bytes, arrival) = (reader.bytes(), reader.arrival());
    let incoming = Incoming {
        early: None,
        bytes: Some(bytes),
        source: fetching.source,
        arrival,
        admission: Admission {
            study_uid: Some(fetching.record.study_uid.clone()),
            sop_instance_uid: Some(expected.leaf.sop_instance_uid.clone()),
            ..Admission::default()
        },
        reader: &mut reader,
    };
    fetching.handed_in();
    let told = Arc::clone(fetching);
    let taken = ingest.receive(incoming, move |receipt| {
        match receipt {
            Ok(_) => told.plan.release(chunks.into_iter()),
            Err(error) => told.not_taken(&error.to_string()),
        }
        told.answered(dataset_bytes);
    });
    if let Err(error) = taken {
        fetching.answered(0);
        return match error {
            // The only source is this one: a chunk that changed, or a data set with another hash.
            cairn_store::Error::Source(fault)
                if fault.to_string() == super::assemble::OTHER_HASH =>
            {
                Err(Error::Lie(super::assemble::OTHER_HASH))
            }
            cairn_store::Error::Source(fault) => Err(Error::Stage(fault)),
            other => {
                fetching.not_taken(&other.to_string());
                Ok(())
            }
        };
    }
    // Somebody may wait for the first image.
    ingest.hurry();
    Ok(())
}

impl From<peer::wire::frames::Malformed> for Error {
    fn from(_: peer::wire::frames::Malformed) -> Self {
        Self::Lie("what it sent cannot be read")
    }
}
