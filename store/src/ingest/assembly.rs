//! Putting one instance together while its chunks are worked on in any order.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_chunker::id::{ChunkId, DatasetHash};
use cairn_chunker::manifest::{ChunkRef, Class, Envelope, Manifest};
use cairn_chunker::span::SpanKind;
use cairn_dicom::object::{Identity, Object};

use super::message::{Ack, Assembled, Group, Message, ReadyChunk};
use super::{Era, Pipeline};
use crate::commit::Source;
use crate::error::Error;

/// Which chunk of an instance: of its envelope or its data set, and the how manieth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    in_envelope: bool,
    index: usize,
}

/// What is known once the last byte was received.
pub(super) struct Ending {
    /// The envelope, if it is short; `None`: it was cut into chunks.
    pub(super) envelope: Option<Vec<u8>>,
    pub(super) dataset_bytes: u64,
    pub(super) object: Object,
    pub(super) identity: Identity,
    pub(super) dataset_hash: DatasetHash,
    pub(super) source: Source,
    pub(super) received_ms: u64,
    /// Its place among those out of the spool, which enter the archive in their order.
    pub(super) turn: Option<u64>,
    pub(super) ack: Ack,
}

const UNNAMED: ChunkId = ChunkId([0; 32]);

#[derive(Default)]
struct Parts {
    envelope: Vec<ChunkRef>,
    dataset: Vec<ChunkRef>,
    depends: Vec<ChunkId>,
    /// Small chunks met before the study was known.
    held: Vec<ReadyChunk>,
    /// Nothing is held any more: others may wait for it.
    holds_nothing: bool,
    /// Chunks not named yet, and one more until the ending is known.
    open: usize,
    ending: Option<Ending>,
}

/// See the [module](self).
pub(super) struct Assembly {
    pub(super) pipeline: Arc<Pipeline>,
    messages: SyncSender<Message>,
    /// Where small chunks go; `None` until the ending is known.
    group: Option<Group>,
    era: Era,
    parts: Mutex<Parts>,
}

/// Small chunks held back for their group are let go without it beyond this.
const HELD_MAX: usize = 64;

impl Assembly {
    pub(super) fn new(
        pipeline: Arc<Pipeline>,
        messages: SyncSender<Message>,
        group: Option<Group>,
    ) -> Arc<Self> {
        let parts = Mutex::new(Parts { open: 1, ..Parts::default() });
        let era = pipeline.collecting.era();
        Arc::new(Self { pipeline, messages, group, era, parts })
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces the next chunk.
    pub(super) fn expect(&self, kind: SpanKind, bytes: usize) -> Place {
        let mut parts = self.parts();
        parts.open += 1;
        let in_envelope = kind == SpanKind::Envelope;
        let list = if in_envelope { &mut parts.envelope } else { &mut parts.dataset };
        list.push(ChunkRef { id: UNNAMED, bytes: bytes as u32, class: Class::of(kind) });
        Place { in_envelope, index: list.len() - 1 }
    }

    /// Names chunks; `depends` of them are on their way to the journal. Hands new ones to the writer.
    pub(super) fn named(
        &self,
        named: &[(Place, ChunkId)],
        depends: &[ChunkId],
        ready: Vec<ReadyChunk>,
    ) {
        let mut parts = self.parts();
        for (place, id) in named {
            let list = if place.in_envelope { &mut parts.envelope } else { &mut parts.dataset };
            if let Some(slot) = list.get_mut(place.index) {
                slot.id = *id;
            }
        }
        parts.depends.extend_from_slice(depends);
        let (group, ready) = match &self.group {
            Some(group) => (group.clone(), ready),
            None => Self::hold(&mut parts, ready),
        };
        drop(parts);
        if !ready.is_empty() {
            self.send(Message::Chunks(group, ready));
        }
        self.closed(named.len());
    }

    /// Keeps small chunks until the study is known; records go on at once.
    fn hold(parts: &mut Parts, ready: Vec<ReadyChunk>) -> (Group, Vec<ReadyChunk>) {
        let anonymous = Group { study: "".into(), series: "".into() };
        let (members, records): (Vec<_>, Vec<_>) =
            ready.into_iter().partition(ReadyChunk::is_member);
        if parts.holds_nothing || parts.held.len() + members.len() > HELD_MAX {
            let mut all = std::mem::take(&mut parts.held);
            all.extend(members);
            all.extend(records);
            return (anonymous, all);
        }
        // A small chunk is copied out of its buffer, which would be held back with it otherwise.
        parts.held.extend(members.into_iter().map(ReadyChunk::detached));
        (anonymous, records)
    }

    /// Lets small chunks go without their group: somebody this object waits for may wait for them.
    pub(super) fn let_go(&self) {
        let mut parts = self.parts();
        parts.holds_nothing = true;
        let (group, held) = Self::hold(&mut parts, Vec::new());
        drop(parts);
        if !held.is_empty() {
            self.send(Message::Chunks(group, held));
        }
    }

    /// All bytes were received.
    pub(super) fn end(&self, ending: Ending) {
        self.parts().ending = Some(ending);
        self.closed(1);
    }

    fn closed(&self, count: usize) {
        let mut parts = self.parts();
        parts.open -= count;
        if parts.open > 0 {
            return;
        }
        let parts = std::mem::take(&mut *parts);
        let Some(ending) = parts.ending else {
            return;
        };
        let Ending { object, identity, .. } = ending;
        let group = self.group.clone().unwrap_or_else(|| Group {
            study: identity.study_uid.as_str().into(),
            series: identity.series_uid.as_str().into(),
        });
        if !parts.held.is_empty() {
            self.send(Message::Chunks(group.clone(), parts.held));
        }
        let envelope = match ending.envelope {
            _ if !object.had_envelope => Envelope::Absent,
            Some(bytes) => Envelope::Inline(bytes),
            None => Envelope::Chunked(parts.envelope),
        };
        let manifest = Manifest {
            sop_instance_uid: identity.sop_instance_uid,
            sop_class_uid: identity.sop_class_uid,
            transfer_syntax_uid: identity.transfer_syntax_uid,
            dataset_bytes: ending.dataset_bytes,
            dataset_hash: ending.dataset_hash,
            envelope,
            chunks: parts.dataset,
            frames: object.frames,
        };
        self.send(Message::Instance(Box::new(Assembled {
            manifest,
            group,
            attributes: object.attributes,
            flags: object.flags,
            source: ending.source,
            received_ms: ending.received_ms,
            turn: ending.turn,
            depends: parts.depends,
            era: self.era.clone(),
            ack: ending.ack,
        })));
    }

    fn send(&self, message: Message) {
        if self.messages.send(message).is_err() {
            self.pipeline.fail(Error::Internal("the writer thread is gone"));
        }
    }
}

impl Drop for Assembly {
    /// An object that broke off: its chunks were claimed, so they must reach the journal all the same,
    /// or another instance with the same chunk would wait for ever.
    fn drop(&mut self) {
        let held = std::mem::take(&mut self.parts().held);
        if !held.is_empty() {
            self.send(Message::Chunks(Group { study: "".into(), series: "".into() }, held));
        }
    }
}
