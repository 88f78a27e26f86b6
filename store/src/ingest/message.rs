//! What the threads of the pipeline tell each other.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use bytes::Bytes;
use cairn_chunker::codec::{Content, Encoded};
use cairn_chunker::id::{ChunkId, StudyRoot};
use cairn_chunker::manifest::Manifest;
use cairn_dicom::attributes::Attributes;
use cairn_dicom::flags::Flags;

use super::Era;
use super::buffer::Charge;
use super::in_flight::Reservation;
use crate::commit::{DeletionEntry, Outcome, Source, StudyEntry, Target};
use crate::disk::DiskSync;
use crate::error::{Error, Result};
use crate::pack::Block;

/// What a sender is told about an instance that is acknowledged.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Study Instance UID, or the local handle.
    pub study_uid: String,
    /// Series Instance UID, or the local handle.
    pub series_uid: String,
    /// SOP Instance UID, or the local handle.
    pub sop_instance_uid: String,
    /// What it is to what was there.
    pub outcome: Outcome,
    /// It is the version that is shown.
    pub visible: bool,
    /// What is odd about it.
    pub flags: Flags,
    /// Length of its data set in bytes.
    pub dataset_bytes: u64,
}

/// Tells the sender. From [`Ack::owed`] on exactly once: dropped unanswered, it answers that ingest
/// stopped.
pub(super) struct Ack {
    done: Option<Box<dyn FnOnce(Result<Receipt>) + Send>>,
    owed: bool,
    /// The sender was answered long ago, and the spool is to be told of the commit.
    spooled: bool,
    /// The name of the instance, kept until it is in the catalog.
    reservation: Option<Reservation>,
}

impl Ack {
    /// Not owed yet: dropped, it says nothing.
    pub(super) fn new(done: impl FnOnce(Result<Receipt>) + Send + 'static) -> Self {
        Self { done: Some(Box::new(done)), owed: false, spooled: false, reservation: None }
    }

    /// Of an object that comes out of the spool: told at the commit, and no sender.
    pub(super) fn spooled(done: impl FnOnce(Result<Receipt>) + Send + 'static) -> Self {
        let mut made = Self::new(done);
        made.spooled = true;
        made
    }

    /// Is it the spool that is told?
    pub(super) fn is_spooled(&self) -> bool {
        self.spooled
    }

    /// Keeps the instance's name until the sender is told.
    pub(super) fn holding(mut self, reservation: Reservation) -> Self {
        self.reservation = Some(reservation);
        self
    }

    /// The object was taken: the sender will be told.
    pub(super) fn owed(mut self) -> Self {
        self.owed = true;
        self
    }

    pub(super) fn answer(mut self, result: Result<Receipt>) {
        // Whoever is told may send the same instance again at once.
        self.reservation = None;
        if let Some(done) = self.done.take() {
            done(result);
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if let Some(done) = self.done.take().filter(|_| self.owed) {
            done(Err(Error::Internal("ingest ended before the object was durable")));
        }
    }
}

/// Where a chunk belongs when it is put into blocks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Group {
    pub(super) study: Arc<str>,
    pub(super) series: Arc<str>,
}

/// A new chunk that is ready for the journal.
pub(super) struct ReadyChunk {
    pub(super) id: ChunkId,
    pub(super) plain: Bytes,
    pub(super) form: Form,
}

/// How it goes there.
pub(super) enum Form {
    /// In a record of its own.
    Record(Encoded),
    /// In a block with others.
    Member(Content),
    /// Not at all: it is there. Whoever waits for it goes on, and its claim ends.
    Known,
}

/// An instance, all of whose chunks are named.
pub(super) struct Assembled {
    pub(super) manifest: Manifest,
    pub(super) group: Group,
    pub(super) attributes: Attributes,
    pub(super) flags: Flags,
    pub(super) source: Source,
    pub(super) received_ms: u64,
    /// Its place among those out of the spool, from 0 on and without gaps.
    pub(super) turn: Option<u64>,
    /// Chunks that were on their way when this instance met them.
    pub(super) depends: Vec<ChunkId>,
    /// Since when what it is made of must stay.
    pub(super) era: Era,
    pub(super) ack: Ack,
}

/// To the writer.
pub(super) enum Message {
    Chunks(Group, Vec<ReadyChunk>),
    Instance(Box<Assembled>),
    /// A coded block; its memory counts until it is appended.
    Block {
        batch: u64,
        block: Block,
        charge: Charge,
    },
    /// The committer is free again.
    Idle,
    /// Somebody waits for answers and hands in nothing more: commit as soon as the disk is free.
    Hurry,
    /// Delete this; answer once the tombstone is durable.
    Delete(Target, Sender<()>),
    /// Delete those of these instances that are entrusted; answer once that is durable.
    GiveBack(Vec<Target>, Sender<()>),
    /// Commit these study records; answer once they are durable.
    Record(Vec<StudyEntry>, Sender<()>),
    /// End the open pack; answer once it is in the bucket.
    Seal(Sender<()>),
    /// Answer once everything submitted so far is committed.
    Drain(Sender<()>),
    /// Commit these study records, which cover everything, and seal the pack; answer once the pack
    /// is stored.
    Close(Vec<StudyEntry>, Sender<()>),
    /// Nothing more comes.
    Stop,
}

/// An instance entry that was written to the journal.
pub(super) struct Committed {
    pub(super) seq: u64,
    pub(super) entry: crate::commit::InstanceEntry,
    pub(super) manifest: Manifest,
}

/// To the committer: make this durable, name it, answer.
pub(super) struct CommitJob {
    pub(super) pack: crate::catalog::PackNo,
    pub(super) pack_bytes: u64,
    pub(super) path: std::path::PathBuf,
    pub(super) syncer: Box<dyn DiskSync>,
    pub(super) locations: Vec<(crate::keys::StoredId, crate::catalog::Location)>,
    pub(super) released: Vec<ChunkId>,
    pub(super) instances: Vec<Committed>,
    pub(super) studies: Vec<(u64, StudyEntry)>,
    pub(super) deletions: Vec<(u64, DeletionEntry)>,
    pub(super) all_recorded: bool,
    pub(super) acks: Vec<(Ack, Receipt)>,
    /// Told once the job is durable and named, without waiting for the bucket.
    pub(super) told: Vec<Sender<()>>,
    pub(super) batch: Option<u64>,
    /// Ends when the job is done.
    pub(super) charge: Option<Charge>,
    /// Of the instances, which are named from then on: their eras.
    pub(super) eras: Vec<Era>,
    /// The pack ends here: its length and hash.
    pub(super) seal: Option<(u64, [u8; 32])>,
    pub(super) notify: Vec<Sender<()>>,
}

/// To the uploader.
pub(super) struct StoreJob {
    pub(super) pack: Option<crate::catalog::PackRow>,
    pub(super) acks: Vec<(Ack, Receipt)>,
    pub(super) notify: Vec<Sender<()>>,
}

/// A study's new name, for the summary of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudySummary {
    /// Study Instance UID, or the local handle.
    pub study_uid: String,
    /// Its root.
    pub root: StudyRoot,
    /// Version of the study record.
    pub version: u64,
    /// Visible instances.
    pub instances: u64,
    /// Length of their data sets.
    pub bytes: u64,
}

impl ReadyChunk {
    pub(super) fn is_member(&self) -> bool {
        matches!(self.form, Form::Member(_))
    }

    /// The same, holding nothing but its own bytes.
    pub(super) fn detached(self) -> Self {
        Self { plain: Bytes::copy_from_slice(&self.plain), ..self }
    }
}
