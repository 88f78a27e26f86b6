//! The one thread that appends to the journal and decides what an instance is.
//!
//! Chunks come ready from rayon and are appended at once, or gathered into blocks. Instances join the
//! open batch when all chunks they need are placed. A batch is closed by size, by age, or when the
//! committer is free; its blocks are coded on rayon; then its commit record follows everything that it
//! names, and the committer takes over.

mod outcome;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::{Duration, Instant};

use cairn_chunker::codec::Content;
use cairn_chunker::id::{ChunkId, DatasetHash, PixelDigest};

use self::outcome::Decision;
use super::batch::{Batch, BlockKey, BlockOf, Gathering, merged};
use super::buffer::Charge;
use super::claims::Claim;
use super::encode::{Met, encode_checked, meet};
use super::journal::Journal;
use super::message::{Assembled, CommitJob, Committed, Form, Group, Message, ReadyChunk, Receipt};
use super::{Pipeline, Stage, now_ms};
use crate::commit::{DeletionEntry, InstanceEntry, Outcome, Source, StudyEntry, Target};
use crate::config::Acknowledge;
use crate::error::{Error, Result};
use crate::limits::{ENTRY_BYTES, SMALL_BYTES_MAX};
use crate::pack::{Block, BlockBuilder};

/// How often a thread with nothing to do looks whether another one failed.
const LOOK: Duration = Duration::from_millis(100);

/// How long a batch waits for company when somebody is in a hurry and others are still on their way.
const HURRY: Duration = Duration::from_millis(5);

/// How long objects out of the spool wait for one that came before them: coding one side by side with
/// others takes some ms longer or shorter; who waits longer waits for a sender.
const LATE_MAX: Duration = Duration::from_millis(250);

/// A version that is decided on and not yet in the catalog.
#[derive(Clone)]
struct PendingVersion {
    batch: u64,
    dataset_hash: DatasetHash,
    class_uid: String,
    syntax_uid: String,
    pixels: PixelDigest,
    visible: bool,
    entrusted: bool,
}

type InstanceKey = (String, String, String);

struct Writer<'a> {
    pipeline: &'a Arc<Pipeline>,
    own: &'a SyncSender<Message>,
    committer: &'a SyncSender<CommitJob>,
    journal: Journal,
    next_seq: u64,
    open: Batch,
    closing: VecDeque<Batch>,
    /// Instances that wait for chunks of others: how many each, and who waits for which.
    waiting: HashMap<u64, (Box<Assembled>, usize)>,
    waiters: HashMap<ChunkId, Vec<u64>>,
    next_waiting: u64,
    /// Instances out of the spool that are ready before their turn, and whose turn it is.
    early: BTreeMap<u64, Assembled>,
    turn: u64,
    /// Since when the one whose turn it is keeps others waiting.
    late_since: Option<Instant>,
    pending: HashMap<InstanceKey, Vec<PendingVersion>>,
    /// Instances that arrived, of those submitted.
    arrived: u64,
    drains: Vec<Sender<()>>,
    /// Deletions that the catalog may not know yet, with their batches.
    deleting: Vec<(u64, Target)>,
    /// Since when somebody wants the open batch to end.
    hurried: Option<Instant>,
    close: Option<(Vec<StudyEntry>, Sender<()>)>,
}

pub(super) fn run(
    pipeline: &Arc<Pipeline>,
    messages: &Receiver<Message>,
    own: &SyncSender<Message>,
    committer: &SyncSender<CommitJob>,
    first_seq: u64,
) {
    let mut writer = Writer {
        pipeline,
        own,
        committer,
        journal: Journal::new(Arc::clone(pipeline)),
        next_seq: first_seq,
        open: Batch { no: 1, ..Batch::default() },
        closing: VecDeque::new(),
        waiting: HashMap::new(),
        waiters: HashMap::new(),
        next_waiting: 0,
        early: BTreeMap::new(),
        turn: 0,
        late_since: None,
        pending: HashMap::new(),
        arrived: 0,
        drains: Vec::new(),
        deleting: Vec::new(),
        hurried: None,
        close: None,
    };
    loop {
        let message = match messages.recv_timeout(writer.patience()) {
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
        };
        if pipeline.failure.get().is_some() {
            // Whoever waits hears of the failure when what they wait on is dropped.
            drop(message);
            writer.give_up();
            continue;
        }
        if let Err(error) = writer.step(message) {
            tracing::error!(%error, "ingest stopped");
            pipeline.fail(error);
        }
    }
}

impl Writer<'_> {
    fn patience(&self) -> Duration {
        let interval = self.pipeline.config.commit_interval;
        if let Some(since) = self.hurried.filter(|_| !self.open.acks.is_empty()) {
            let left = HURRY.saturating_sub(since.elapsed());
            // Past it, only the committer is waited for, and it says when it is idle.
            return if left.is_zero() { LOOK } else { left };
        }
        match self.open.opened {
            Some(opened) if !self.open.acks.is_empty() && !interval.is_zero() => {
                interval.saturating_sub(opened.elapsed()).min(LOOK)
            }
            _ => LOOK,
        }
    }

    fn give_up(&mut self) {
        self.open = Batch { no: self.open.no, ..Batch::default() };
        self.closing.clear();
        self.waiting.clear();
        self.waiters.clear();
        self.early.clear();
        self.drains.clear();
        self.close = None;
    }

    fn step(&mut self, message: Option<Message>) -> Result<()> {
        match message {
            Some(Message::Chunks(group, chunks)) => {
                for chunk in chunks {
                    self.chunk(&group, chunk)?;
                }
            }
            Some(Message::Instance(instance)) => {
                self.arrived += 1;
                self.instance(instance)?;
            }
            Some(Message::Block { batch, block, charge }) => {
                self.block(batch, &block)?;
                drop(charge);
            }
            Some(Message::Hurry) => drop(self.hurried.get_or_insert_with(Instant::now)),
            Some(Message::Delete(target, answer)) => self.delete(vec![target], answer),
            Some(Message::GiveBack(targets, answer)) => self.give_back(targets, answer)?,
            Some(Message::Record(studies, answer)) => {
                let batch = self.open.touch();
                batch.studies.extend(studies);
                batch.told.push(answer);
                self.close_batch();
            }
            Some(Message::Seal(answer)) => {
                let batch = self.open.touch();
                batch.seal = true;
                batch.notify.push(answer);
                self.close_batch();
            }
            Some(Message::Drain(answer)) => self.drains.push(answer),
            Some(Message::Close(studies, answer)) => self.close = Some((studies, answer)),
            Some(Message::Idle | Message::Stop) | None => {}
        }
        self.take_turns()?;
        self.close_batch_if_due();
        self.commit_ready()
    }

    // ---- chunks

    fn chunk(&mut self, group: &Group, chunk: ReadyChunk) -> Result<()> {
        let ReadyChunk { id, plain, form } = chunk;
        match form {
            Form::Known => {
                self.wake(id)?;
                self.pipeline.claims.release(&id);
                return Ok(());
            }
            Form::Record(coded) => {
                self.open.touch().new_bytes += plain.len() as u64;
                let payload = coded.payload(&plain);
                self.journal.append_chunk(id, coded.codec, payload, plain.len() as u32)?;
                if self.journal.is_full() {
                    self.rotate()?;
                }
            }
            Form::Member(content) => {
                self.member(&(group.clone(), content, BlockOf::Chunks), id, &plain);
            }
        }
        self.placed(id)
    }

    fn member(&mut self, key: &BlockKey, id: ChunkId, plain: &bytes::Bytes) {
        let content = key.1;
        let batch = self.open.touch();
        batch.small_bytes += plain.len() as u64;
        batch.new_bytes += plain.len() as u64;
        let pool = &self.pipeline.pool;
        let gathering = batch.builders.entry(key.clone()).or_insert_with(|| Gathering {
            builder: BlockBuilder::new(content),
            charge: Charge::new(pool),
        });
        gathering.builder.push(id, plain);
        gathering.charge.add(plain.len());
        if gathering.builder.is_full()
            && let Some(full) = batch.builders.remove(key)
        {
            batch.blocks += 1;
            let no = batch.no;
            self.code_block(no, full);
        }
    }

    fn code_block(&self, batch: u64, gathering: Gathering) {
        let Gathering { builder, charge } = gathering;
        let pipeline = Arc::clone(self.pipeline);
        let own = self.own.clone();
        rayon::spawn(move || {
            let effort = pipeline.config.effort;
            let verify = pipeline.config.verify_encoding;
            let work = std::panic::AssertUnwindSafe(|| {
                pipeline.time(Stage::Encode, || builder.finish(effort, verify))
            });
            match std::panic::catch_unwind(work) {
                Ok(block) => drop(own.send(Message::Block { batch, block, charge })),
                Err(_) => drop(pipeline.fail(Error::Internal("a block could not be coded"))),
            }
        });
    }

    fn block(&mut self, batch: u64, block: &Block) -> Result<()> {
        self.journal.append_block(block)?;
        let all = self.closing.iter_mut().chain(std::iter::once(&mut self.open));
        if let Some(batch) = all.into_iter().find(|other| other.no == batch) {
            batch.blocks -= 1;
        }
        Ok(())
    }

    /// A chunk is certain to stand before the next commit: instances that waited for it go on.
    fn placed(&mut self, id: ChunkId) -> Result<()> {
        self.pipeline.claims.place(id);
        self.wake(id)
    }

    fn wake(&mut self, id: ChunkId) -> Result<()> {
        for key in self.waiters.remove(&id).unwrap_or_default() {
            let Some((_, left)) = self.waiting.get_mut(&key) else { continue };
            *left -= 1;
            if *left == 0
                && let Some((instance, _)) = self.waiting.remove(&key)
            {
                self.decide(*instance)?;
            }
        }
        Ok(())
    }

    // ---- instances

    fn instance(&mut self, instance: Box<Assembled>) -> Result<()> {
        let missing: HashSet<ChunkId> = instance
            .depends
            .iter()
            .filter(|id| self.pipeline.claims.of(id) == Some(Claim::Made))
            .copied()
            .collect();
        if missing.is_empty() {
            return self.decide(*instance);
        }
        let key = self.next_waiting;
        self.next_waiting += 1;
        for id in &missing {
            self.waiters.entry(*id).or_default().push(key);
        }
        self.waiting.insert(key, (instance, missing.len()));
        Ok(())
    }

    /// Decides on an instance, and on those that only waited for it. What comes out of the spool is
    /// coded side by side, and enters the archive in the order in which it came.
    fn decide(&mut self, instance: Assembled) -> Result<()> {
        let Some(turn) = instance.turn.filter(|turn| *turn >= self.turn) else {
            return self.judge(instance);
        };
        self.early.insert(turn, instance);
        self.take_turns()
    }

    /// Judges those whose turn it is. One that is kept by a chunk of somebody else, who may be slow, does
    /// not keep the others for long.
    fn take_turns(&mut self) -> Result<()> {
        while let Some(first) = self.early.first_entry() {
            let is_due = *first.key() == self.turn
                || self.late_since.is_some_and(|since| since.elapsed() >= LATE_MAX);
            if !is_due {
                self.late_since.get_or_insert_with(Instant::now);
                return Ok(());
            }
            let (turn, instance) = first.remove_entry();
            self.turn = turn + 1;
            self.late_since = None;
            self.judge(instance)?;
        }
        self.late_since = None;
        Ok(())
    }

    fn judge(&mut self, instance: Assembled) -> Result<()> {
        let Assembled { manifest, group, attributes, flags, source, received_ms, era, ack, .. } =
            instance;
        let key =
            (group.study.to_string(), group.series.to_string(), manifest.sop_instance_uid.clone());
        let mut version = PendingVersion {
            batch: self.open.no,
            dataset_hash: manifest.dataset_hash,
            class_uid: manifest.sop_class_uid.clone(),
            syntax_uid: manifest.transfer_syntax_uid.clone(),
            pixels: manifest.pixel_digest(),
            visible: false,
            entrusted: source == Source::Entrusted,
        };
        let Decision { outcome, visible, is_noted } = match self.outcome(&key, &version) {
            Ok(decided) => decided,
            Err(Error::Duplicate) => {
                ack.answer(Err(Error::Duplicate));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let receipt = Receipt {
            study_uid: key.0.clone(),
            series_uid: key.1.clone(),
            sop_instance_uid: key.2.clone(),
            outcome,
            visible,
            flags,
            dataset_bytes: manifest.dataset_bytes,
        };
        // A duplicate of something not yet durable is answered with it, not before it.
        self.open.touch().acks.push((ack, receipt));
        if !is_noted {
            return Ok(());
        }
        // What was only entrusted is noted as if nothing were here: commits know no duplicates.
        let outcome = if outcome == Outcome::Duplicate { Outcome::New } else { outcome };
        let encoded = bytes::Bytes::from(manifest.encode());
        let id = ChunkId::of(&encoded);
        self.place_manifest(&group, id, &encoded)?;
        self.touched(&key.0);
        version.visible = visible;
        self.pending.entry(key.clone()).or_default().push(version);
        let entry = InstanceEntry {
            manifest: id,
            study_uid: key.0,
            series_uid: key.1,
            flags: flags.bits(),
            received_ms,
            source,
            outcome,
            visible,
            attributes,
        };
        let pool = &self.pipeline.pool;
        self.open.charge.get_or_insert_with(|| Charge::new(pool)).add(ENTRY_BYTES);
        self.open.entries.push((entry, manifest));
        self.open.keep(era);
        Ok(())
    }

    /// What is decided and not yet in the catalog goes as well; what is decided later is new again, and
    /// belongs to a later batch.
    fn delete(&mut self, targets: Vec<Target>, answer: Sender<()>) {
        for target in targets {
            self.pending.retain(|(study, series, sop), _| !target.covers(study, series, sop));
            self.touched(&target.study_uid);
            self.deleting.push((self.open.no, target.clone()));
            let deletion = DeletionEntry { target, deleted_ms: now_ms() };
            self.open.touch().deletions.push(deletion);
        }
        self.open.touch().told.push(answer);
        self.close_batch();
    }

    fn touched(&self, study: &str) {
        let mut touched = super::lock(&self.pipeline.touched);
        match touched.get_mut(study) {
            Some(last) => *last = Instant::now(),
            None => drop(touched.insert(study.to_owned(), Instant::now())),
        }
    }

    fn place_manifest(&mut self, group: &Group, id: ChunkId, encoded: &bytes::Bytes) -> Result<()> {
        match meet(self.pipeline, id)? {
            Met::New => {}
            Met::UnderWay => return Ok(()),
            Met::Known => {
                self.pipeline.claims.release(&id);
                return Ok(());
            }
        }
        if encoded.len() <= SMALL_BYTES_MAX {
            self.member(&(group.clone(), Content::Text, BlockOf::Manifests), id, encoded);
        } else {
            let coded = encode_checked(self.pipeline, encoded, Content::Text);
            let payload = coded.payload(encoded);
            self.journal.append_chunk(id, coded.codec, payload, encoded.len() as u32)?;
        }
        self.placed(id)
    }

    // ---- batches

    /// Everything handed in has arrived and waits for nobody.
    fn is_settled(&self) -> bool {
        self.waiting.is_empty()
            && self.early.is_empty()
            && self.arrived == self.pipeline.submitted.load(Ordering::SeqCst)
    }

    fn close_batch_if_due(&mut self) {
        let settled = self.is_settled();
        if settled && !self.drains.is_empty() {
            self.open.touch().notify.append(&mut self.drains);
            return self.close_batch();
        }
        if settled && let Some((studies, answer)) = self.close.take() {
            let batch = self.open.touch();
            batch.studies = studies;
            batch.all_recorded = true;
            batch.seal = true;
            batch.notify.push(answer);
            return self.close_batch();
        }
        let Some(opened) = self.open.opened else { return };
        let interval = self.pipeline.config.commit_interval;
        let idle =
            self.closing.is_empty() && self.pipeline.commits_under_way.load(Ordering::SeqCst) == 0;
        let waits = !self.open.acks.is_empty();
        let hurried = self.hurried.is_some_and(|since| settled || since.elapsed() >= HURRY) && idle;
        let aged = opened.elapsed() >= interval && (idle || !interval.is_zero());
        let due = (aged || hurried) && waits;
        if self.open.is_full(self.pipeline.pool.budget()) || due {
            self.close_batch();
        }
    }

    fn close_batch(&mut self) {
        self.hurried = None;
        let next = Batch { no: self.open.no + 1, ..Batch::default() };
        let mut batch = std::mem::replace(&mut self.open, next);
        for gathering in merged(std::mem::take(&mut batch.builders)) {
            batch.blocks += 1;
            self.code_block(batch.no, gathering);
        }
        self.closing.push_back(batch);
        let committed = self.pipeline.committed_batch.load(Ordering::SeqCst);
        self.deleting.retain(|(batch, _)| *batch > committed);
        self.pending.retain(|_, versions| {
            versions.retain(|version| version.batch > committed);
            !versions.is_empty()
        });
    }

    fn commit_ready(&mut self) -> Result<()> {
        while self.closing.front().is_some_and(|batch| batch.blocks == 0) {
            let Some(batch) = self.closing.pop_front() else { break };
            self.commit(batch)?;
        }
        Ok(())
    }

    fn commit(&mut self, mut batch: Batch) -> Result<()> {
        let first_seq = self.next_seq;
        let count = batch.entries.len() + batch.studies.len() + batch.deletions.len();
        if count > 0 {
            let Batch { entries, studies, deletions, .. } = &batch;
            self.journal.append_commit(first_seq, entries, studies, deletions)?;
            self.next_seq += count as u64;
        }
        let instances: Vec<_> = (first_seq..)
            .zip(std::mem::take(&mut batch.entries))
            .map(|(seq, (entry, manifest))| Committed { seq, entry, manifest })
            .collect();
        let studies: Vec<_> = (first_seq + instances.len() as u64..)
            .zip(std::mem::take(&mut batch.studies))
            .collect();
        let deletions = (first_seq + (instances.len() + studies.len()) as u64..)
            .zip(std::mem::take(&mut batch.deletions))
            .collect();
        let archive = self.pipeline.config.acknowledge == Acknowledge::Archive;
        let seal = batch.seal || archive || self.journal.is_full();
        let Some(mut job) = self.journal.job(seal)? else {
            // Nothing was ever written: nobody can be waiting for more than that.
            return self.answer_empty(batch);
        };
        job.instances = instances;
        job.studies = studies;
        job.deletions = deletions;
        job.told = batch.told;
        job.all_recorded = batch.all_recorded;
        job.acks = batch.acks;
        job.notify = batch.notify;
        job.batch = Some(batch.no);
        job.charge = batch.charge;
        job.eras = batch.eras;
        self.send(job)
    }

    /// No pack is open, so nothing has to be synced: a job without a pack would have no file.
    fn answer_empty(&self, batch: Batch) -> Result<()> {
        let mut job = self.journal.barrier();
        job.all_recorded = batch.all_recorded;
        job.acks = batch.acks;
        job.told = batch.told;
        job.notify = batch.notify;
        self.send(job)
    }

    /// The pack is full in the middle of a batch: it ends here, and what it holds is named.
    fn rotate(&mut self) -> Result<()> {
        match self.journal.job(true)? {
            Some(job) => self.send(job),
            None => Ok(()),
        }
    }

    fn send(&self, job: CommitJob) -> Result<()> {
        if job.batch.is_some() {
            self.pipeline.commits_under_way.fetch_add(1, Ordering::SeqCst);
        }
        self.committer.send(job).map_err(|_| Error::Internal("the commit thread is gone"))
    }
}
