//! Small blocks and commits, put together while packs are rewritten.
//!
//! What arrives alone is committed alone: a header of some kB in a block of its own, which has nothing
//! before it to be like, and a commit of one entry. Written again they stand together, as if they had come
//! in one batch. A dictionary would bring headers most of that when they come, and have to be kept and
//! fetched for ever after; this needs nothing to be read but the block.
//!
//! Invariants:
//! - A commit stands behind the members that it names, in the same pack.
//! - Commits are joined only to such as a batch makes: instances first, then what is said of studies, then
//!   deletions, their numbers without a gap.

use bytes::Bytes;
use cairn_chunker::codec::{Codec, Content, Effort};
use cairn_chunker::id::ChunkId;
use cairn_chunker::manifest::Manifest;

use crate::catalog::PackNo;
use crate::catalog::collection::ChunkNo;
use crate::commit::{Commit, Entry};
use crate::limits::{BATCH_INSTANCES, BLOCK_MERGE_BYTES};
use crate::pack::{Block, BlockBuilder};

/// A stored block up to this length is taken for words that are too few to be shorter in any code.
const STORED_BYTES_MAX: u32 = 4 << 10;

/// Is a block one of headers or manifests that may have company?
pub(super) fn joins(codec: Codec, plain_bytes: u32) -> bool {
    match codec {
        Codec::Zstd => (plain_bytes as usize) < BLOCK_MERGE_BYTES,
        Codec::Stored => plain_bytes <= STORED_BYTES_MAX,
        _ => false,
    }
}

/// A block that is being put together, and whose its members are.
pub(super) struct Joined {
    builder: BlockBuilder,
    members: Vec<(PackNo, ChunkNo)>,
    /// Blocks that it is made of.
    pub(super) blocks: u64,
}

impl Joined {
    fn new() -> Self {
        Self { builder: BlockBuilder::new(Content::Text), members: Vec::new(), blocks: 0 }
    }

    /// Adds a member; `true`: it is full.
    pub(super) fn push(&mut self, from: (PackNo, ChunkNo), id: ChunkId, bytes: &Bytes) -> bool {
        self.builder.push(id, bytes);
        self.members.push(from);
        self.builder.is_full()
    }

    /// The block, and whose its members are, in their order.
    pub(super) fn finish(self) -> (Block, Vec<(PackNo, ChunkNo)>) {
        (self.builder.finish(Effort::default(), true), self.members)
    }
}

/// What waits for company.
#[derive(Default)]
pub(super) struct Joining {
    /// Manifests are mostly hashes, headers mostly words: apart they compress better.
    blocks: [Option<Joined>; 2],
    commits: Vec<Commit>,
    entries: usize,
}

impl Joining {
    /// The block for members of which this is the first.
    pub(super) fn block_for(&mut self, first: &[u8]) -> &mut Joined {
        let place = usize::from(Manifest::decode(first).is_ok());
        self.blocks[place].get_or_insert_with(Joined::new)
    }

    /// Takes the block out that such members go to.
    pub(super) fn take(&mut self, first: &[u8]) -> Option<Joined> {
        self.blocks[usize::from(Manifest::decode(first).is_ok())].take()
    }

    /// Adds a commit; `true`: enough of them wait.
    pub(super) fn commit(&mut self, commit: Commit) -> bool {
        self.entries += commit.entries.len();
        match self.commits.last_mut().filter(|last| goes_on(last, &commit)) {
            Some(last) => last.entries.extend(commit.entries),
            None => self.commits.push(commit),
        }
        self.entries >= BATCH_INSTANCES
    }

    /// Takes everything out: blocks, then commits.
    pub(super) fn take_all(&mut self) -> (impl Iterator<Item = Joined> + use<>, Vec<Commit>) {
        self.entries = 0;
        let blocks = std::mem::take(&mut self.blocks);
        (blocks.into_iter().flatten(), std::mem::take(&mut self.commits))
    }
}

/// May `next` be one with the commit before it?
fn goes_on(last: &Commit, next: &Commit) -> bool {
    let are_instances = last.entries.iter().all(|entry| matches!(entry, Entry::Instance(_)));
    are_instances
        && last.first_seq + last.entries.len() as u64 == next.first_seq
        && last.entries.len() + next.entries.len() <= BATCH_INSTANCES
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::commit::{DeletionEntry, InstanceEntry, Outcome, Source, StudyEntry, Target};
    use cairn_chunker::id::StudyRoot;

    fn instance() -> Entry {
        Entry::Instance(Box::new(InstanceEntry {
            manifest: ChunkId([3; 32]),
            study_uid: "1.2".into(),
            series_uid: "1.2.3".into(),
            flags: 0,
            received_ms: 5,
            source: Source::Import,
            outcome: Outcome::New,
            visible: true,
            attributes: FromIterator::from_iter([]),
        }))
    }

    fn study() -> Entry {
        Entry::Study(StudyEntry {
            study_uid: "1.2".into(),
            version: 1,
            root: StudyRoot([1; 32]),
            previous: None,
            instances: 1,
            bytes: 8,
            created_ms: 9,
        })
    }

    fn deletion() -> Entry {
        let target = Target { study_uid: "1.2".into(), series_uid: None, sop_instance_uid: None };
        Entry::Deletion(DeletionEntry { target, deleted_ms: 10 })
    }

    /// What comes of commits that follow each other without a gap.
    fn lengths(commits: Vec<Vec<Entry>>) -> Vec<usize> {
        let mut joining = Joining::default();
        let mut first_seq = 7;
        for entries in commits {
            let count = entries.len() as u64;
            joining.commit(Commit { first_seq, entries });
            first_seq += count;
        }
        let (_, made) = joining.take_all();
        let mut next = 7;
        for commit in &made {
            assert_eq!(commit.first_seq, next);
            next += commit.entries.len() as u64;
        }
        made.iter().map(|commit| commit.entries.len()).collect()
    }

    #[test]
    fn a_joined_commit_is_one_that_a_batch_makes() {
        assert_eq!(lengths(vec![vec![instance()], vec![instance(), instance()]]), [3]);
        assert_eq!(lengths(vec![vec![instance()], vec![instance(), study()]]), [3]);
        assert_eq!(lengths(vec![vec![instance()], vec![deletion()], vec![instance()]]), [2, 1]);
        assert_eq!(lengths(vec![vec![study()], vec![instance()], vec![instance()]]), [1, 2]);
    }

    #[test]
    fn commits_with_a_gap_between_them_stay_apart() {
        let mut joining = Joining::default();
        for first_seq in [1, 2, 4] {
            joining.commit(Commit { first_seq, entries: vec![instance()] });
        }
        let (_, made) = joining.take_all();
        let made: Vec<_> = made.iter().map(|one| (one.first_seq, one.entries.len())).collect();
        assert_eq!(made, [(1, 2), (4, 1)]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut joining = Joining::default();
        let full = (0..BATCH_INSTANCES as u64 * 2)
            .find(|n| joining.commit(Commit { first_seq: *n, entries: vec![instance()] }));
        assert_eq!(full, Some(BATCH_INSTANCES as u64 - 1));
        let (_, made) = joining.take_all();
        assert_eq!(made.len(), 1);
        assert!(!joining.commit(Commit { first_seq: 1, entries: vec![instance()] }));
    }

    /// Headers and manifests go into blocks of their own, and each says whose its members are.
    #[test]
    fn members_keep_their_places() {
        let mut joining = Joining::default();
        for n in 0..3u8 {
            let bytes = Bytes::from(vec![n; 10]);
            let from = (PackNo(i64::from(n)), ChunkNo(u64::from(n)));
            assert!(!joining.block_for(&bytes).push(from, ChunkId::of(&bytes), &bytes));
        }
        let (blocks, commits) = joining.take_all();
        let blocks: Vec<_> = blocks.map(Joined::finish).collect();
        assert_eq!((blocks.len(), commits.len()), (1, 0));
        let (block, members) = &blocks[0];
        assert_eq!(block.members[2], (ChunkId::of(&[2; 10]), 20..30));
        assert_eq!(members[2], (PackNo(2), ChunkNo(2)));
    }
}
