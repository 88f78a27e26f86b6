//! Brings sealed packs into the bucket, in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::committer::answer;
use super::message::StoreJob;
use super::{Pipeline, Stage};
use crate::error::Result;
use crate::store::Shared;

/// Tries beside those that the object store client makes itself.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

pub(super) fn run(pipeline: &Arc<Pipeline>, jobs: &Receiver<StoreJob>) {
    while let Ok(job) = jobs.recv() {
        let Err(error) = store(pipeline, job) else {
            continue;
        };
        // The pack stays in the journal, durable and readable; the next ingest tries again.
        tracing::error!(%error, "a pack could not be brought into the bucket");
        pipeline.fail(error);
    }
}

fn store(pipeline: &Pipeline, job: StoreJob) -> Result<()> {
    // After a failure the order is broken: acks that wait for the archive must not be given.
    pipeline.check()?;
    if let Some(pack) = &job.pack {
        patiently(&pipeline.shared, || {
            pipeline.time(Stage::Upload, || pipeline.shared.store_sealed(pack))
        })?;
        pipeline.waiting_bytes.fetch_sub(pack.bytes, Ordering::SeqCst);
    }
    answer(pipeline, job.acks);
    for notify in job.notify {
        let _ = notify.send(());
    }
    Ok(())
}

/// Tries again what a remote bucket did not take.
pub(crate) fn patiently(shared: &Shared, mut job: impl FnMut() -> Result<()>) -> Result<()> {
    let mut pause = FIRST_PAUSE;
    let mut tries = 1;
    while let Err(error) = job() {
        if tries == TRIES || shared.bucket.directory().is_some() {
            return Err(error);
        }
        tracing::warn!(%error, tries, "the bucket did not take a pack; trying again");
        std::thread::sleep(pause);
        pause *= 2;
        tries += 1;
    }
    Ok(())
}
