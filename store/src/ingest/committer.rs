//! Makes batches durable, names them in the catalog, answers the senders.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, SyncSender};

use super::message::{Ack, CommitJob, Message, Receipt, StoreJob};
use super::{Counters, Pipeline, Stage};
use crate::catalog::{Batch, NewInstance};
use crate::config::Acknowledge;
use crate::error::{Error, Result};

/// Whom the committer tells.
pub(super) struct Outlets {
    pub(super) uploads: Sender<StoreJob>,
    pub(super) writer: SyncSender<Message>,
    /// Study and series of what became visible.
    pub(super) changes: Option<Sender<(String, String)>>,
}

pub(super) fn run(pipeline: &Arc<Pipeline>, jobs: &Receiver<CommitJob>, to: &Outlets) {
    while let Ok(mut job) = jobs.recv() {
        let acks = std::mem::take(&mut job.acks);
        let notify = std::mem::take(&mut job.notify);
        let told = std::mem::take(&mut job.told);
        let batch = job.batch;
        let done =
            pipeline.check().and_then(|()| commit(pipeline, &job, &to.uploads, acks, notify));
        if let Some(batch) = batch {
            pipeline.commits_under_way.fetch_sub(1, Ordering::SeqCst);
            pipeline.committed_batch.fetch_max(batch, Ordering::SeqCst);
        }
        if done.is_ok() {
            tell_changes(&job, to.changes.as_ref());
            for answer in told {
                let _ = answer.send(());
            }
        }
        if let Err(error) = done {
            // Acks and notifications were dropped unanswered: each sender hears that it failed.
            tracing::error!(%error, "ingest stopped");
            pipeline.fail(error);
        }
        // A full queue wakes the writer as well.
        let _ = to.writer.try_send(Message::Idle);
    }
}

fn tell_changes(job: &CommitJob, changes: Option<&Sender<(String, String)>>) {
    let Some(changes) = changes else { return };
    let mut last = None;
    for committed in job.instances.iter().filter(|committed| committed.entry.visible) {
        let series = (&committed.entry.study_uid, &committed.entry.series_uid);
        if last != Some(series) {
            // Whoever asks makes them if nobody listens any more.
            let _ = changes.send((series.0.clone(), series.1.clone()));
            last = Some(series);
        }
    }
}

fn commit(
    pipeline: &Pipeline,
    job: &CommitJob,
    uploads: &Sender<StoreJob>,
    acks: Vec<(Ack, Receipt)>,
    notify: Vec<Sender<()>>,
) -> Result<()> {
    let catalog = &pipeline.shared.catalog;
    pipeline.time(Stage::Sync, || job.syncer.sync()).map_err(Error::io("sync", &job.path))?;
    let instances: Vec<_> = job
        .instances
        .iter()
        .map(|committed| NewInstance {
            seq: committed.seq,
            entry: &committed.entry,
            manifest: &committed.manifest,
        })
        .collect();
    let batch = Batch {
        pack: job.pack,
        pack_bytes: job.pack_bytes,
        locations: &job.locations,
        instances: &instances,
        studies: &job.studies,
        deletions: &job.deletions,
        all_recorded: job.all_recorded,
        next_seq: 0,
    };
    pipeline.time(Stage::Catalog, || catalog.commit(&batch))?;
    for id in &job.released {
        pipeline.claims.release(id);
    }
    let archive = pipeline.config.acknowledge == Acknowledge::Archive;
    let mut later = StoreJob { pack: None, acks: Vec::new(), notify };
    // What comes out of the spool is told of the commit alone: from then on the journal has it.
    let (now, bound): (Vec<_>, Vec<_>) =
        acks.into_iter().partition(|(ack, _)| !archive || ack.is_spooled());
    answer(pipeline, now);
    later.acks = bound;
    if let Some((bytes, checksum)) = job.seal {
        catalog.seal_pack(job.pack, bytes, checksum)?;
        Counters::add(&pipeline.counters.packs, 1);
        pipeline.waiting_bytes.fetch_add(bytes, Ordering::SeqCst);
        later.pack = Some(catalog.pack(job.pack)?);
    }
    if later.pack.is_some() || !later.acks.is_empty() || !later.notify.is_empty() {
        uploads.send(later).map_err(|_| Error::Internal("the upload thread is gone"))?;
    }
    Ok(())
}

/// Tells the senders.
pub(super) fn answer(pipeline: &Pipeline, acks: Vec<(Ack, Receipt)>) {
    let senders = acks.iter().filter(|(ack, _)| !ack.is_spooled()).count();
    Counters::add(&pipeline.counters.acknowledged, senders as u64);
    for (ack, receipt) in acks {
        ack.answer(Ok(receipt));
    }
}
