//! What is committed together: instances, and the blocks that gather small chunks meanwhile.

use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::time::Instant;

use cairn_chunker::codec::Content;
use cairn_chunker::manifest::Manifest;

use super::message::{Ack, Group, Receipt};
use crate::commit::{InstanceEntry, StudyEntry};
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
    pub(super) all_recorded: bool,
    pub(super) acks: Vec<(Ack, Receipt)>,
    pub(super) builders: HashMap<BlockKey, BlockBuilder>,
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

    pub(super) fn is_full(&self) -> bool {
        self.new_bytes >= BATCH_NEW_BYTES
            || self.small_bytes >= BATCH_SMALL_BYTES
            || self.entries.len() >= BATCH_INSTANCES
    }
}

/// Small blocks of one study are put together, series by series: a block costs a header and a
/// compression window, and two series of one study are much alike.
pub(super) fn merged(builders: HashMap<BlockKey, BlockBuilder>) -> Vec<BlockBuilder> {
    let mut sorted: Vec<_> = builders.into_iter().collect();
    sorted.sort_by(|((a, _, a_of), _), ((b, _, b_of), _)| (a, a_of).cmp(&(b, b_of)));
    let mut out: Vec<(BlockKey, BlockBuilder)> = Vec::new();
    for (key, builder) in sorted {
        let joins = |(other, last): &(BlockKey, BlockBuilder)| {
            other.0.study == key.0.study
                && other.1 == key.1
                && other.2 == key.2
                && last.plain_bytes() + builder.plain_bytes() <= BLOCK_MERGE_BYTES
        };
        match out.last_mut().filter(|last| joins(last)) {
            Some((_, last)) => last.append(&builder),
            None => out.push((key, builder)),
        }
    }
    out.into_iter().map(|(_, builder)| builder).collect()
}
