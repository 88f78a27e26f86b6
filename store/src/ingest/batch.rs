//! What is committed together: instances, and the blocks that gather small chunks meanwhile.

use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::time::Instant;

use cairn_chunker::codec::Content;
use cairn_chunker::manifest::Manifest;

use super::Era;
use super::buffer::Charge;
use super::message::{Ack, Group, Receipt};
use crate::commit::{DeletionEntry, InstanceEntry, StudyEntry};
use crate::limits::{BATCH_INSTANCES, BATCH_NEW_BYTES, BATCH_SMALL_BYTES, BLOCK_MERGE_BYTES};
use crate::pack::BlockBuilder;

/// What goes together into blocks: chunks of one series that are coded alike.
pub(super) type BlockKey = (Group, Content, BlockOf);

/// Manifests are mostly hashes, headers mostly words: apart they compress better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum BlockOf {
    Chunks,
    Manifests,
}

/// What will be committed together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) no: u64,
    pub(super) opened: Option<Instant>,
    pub(super) entries: Vec<(InstanceEntry, Manifest)>,
    pub(super) studies: Vec<StudyEntry>,
    /// Last in the commit, so that they cover what stands before them.
    pub(super) deletions: Vec<DeletionEntry>,
    pub(super) all_recorded: bool,
    pub(super) acks: Vec<(Ack, Receipt)>,
    pub(super) told: Vec<Sender<()>>,
    pub(super) builders: HashMap<BlockKey, Gathering>,
    /// For names and attributes of the entries, until they are in the catalog.
    pub(super) charge: Option<Charge>,
    /// Eras of the entries: one, or those before and after the beginning of a collection.
    pub(super) eras: Vec<Era>,
    /// Blocks being coded.
    pub(super) blocks: usize,
    pub(super) new_bytes: u64,
    pub(super) small_bytes: u64,
    pub(super) seal: bool,
    pub(super) notify: Vec<Sender<()>>,
}

impl Batch {
    pub(super) fn touch(&mut self) -> &mut Self {
        self.opened.get_or_insert_with(Instant::now);
        self
    }

    pub(super) fn keep(&mut self, era: Era) {
        if !self.eras.contains(&era) {
            self.eras.push(era);
        }
    }

    pub(super) fn is_full(&self, budget: usize) -> bool {
        self.new_bytes >= BATCH_NEW_BYTES
            || self.small_bytes >= BATCH_SMALL_BYTES.min(budget as u64 / 3)
            || self.entries.len() >= BATCH_INSTANCES
    }
}

/// A block being gathered, and the memory that it takes.
#[derive(Debug)]
pub(super) struct Gathering {
    pub(super) builder: BlockBuilder,
    pub(super) charge: Charge,
}

/// Small blocks of one study are put together, series by series: a block costs a header and a
/// compression window, and two series of one study are much alike.
pub(super) fn merged(builders: HashMap<BlockKey, Gathering>) -> Vec<Gathering> {
    let mut sorted: Vec<_> = builders.into_iter().collect();
    sorted.sort_by(|((a, _, a_of), _), ((b, _, b_of), _)| (a, a_of).cmp(&(b, b_of)));
    let mut out: Vec<(BlockKey, Gathering)> = Vec::new();
    for (key, gathering) in sorted {
        let joins = |(other, last): &(BlockKey, Gathering)| {
            other.0.study == key.0.study
                && other.1 == key.1
                && other.2 == key.2
                && last.builder.plain_bytes() + gathering.builder.plain_bytes() <= BLOCK_MERGE_BYTES
        };
        match out.last_mut().filter(|last| joins(last)) {
            Some((_, last)) => {
                last.builder.append(&gathering.builder);
                last.charge.join(gathering.charge);
            }
            None => out.push((key, gathering)),
        }
    }
    out.into_iter().map(|(_, gathering)| gathering).collect()
}
