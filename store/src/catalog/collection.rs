//! What a collection ([`crate::collect`]) asks of the catalog, and tells it.
//!
//! Chunks are rows with numbers here: who marks millions of them needs a bit for each, not a name.

use cairn_chunker::id::ChunkId;

use super::{Location, PackNo, PackRow, Visitor};
use crate::error::Result;
use crate::keys::StoredId;

/// A chunk's number in this catalog. Numbers grow; one that is free again may be given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkNo(pub u64);

/// A chunk as the catalog knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRow {
    /// Its number.
    pub no: ChunkNo,
    /// Its name at rest.
    pub id: StoredId,
    /// Where it lies.
    pub place: Location,
}

/// What took the place of a pack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// Chunks that were copied, and where they lie now.
    pub moved: Vec<(ChunkNo, Location)>,
    /// Chunks that nobody needs.
    pub dead: Vec<ChunkNo>,
}

/// See the [module](self). Part of every [`Catalog`](super::Catalog).
pub trait Collection {
    /// The greatest number of a chunk so far.
    fn last_chunk(&self) -> Result<ChunkNo>;

    /// The number of a chunk, and where it lies.
    fn chunk(&self, id: &StoredId) -> Result<Option<ChunkRow>>;

    /// The numbers of those of these chunks that the catalog knows, in one look.
    fn chunk_numbers(&self, ids: &[StoredId], found: &mut Vec<ChunkNo>) -> Result<()>;

    /// Sequence number and manifest of every version that was not deleted, and of every one that is
    /// [left out](Self::leave_out), some at a time: no transaction outlasts a call of `visit`.
    fn live_versions(&self, visit: Visitor<'_, Vec<(u64, ChunkId)>>) -> Result<()>;

    /// Chunks up to a number, in order, some at a time.
    fn chunks(&self, last: ChunkNo, visit: Visitor<'_, Vec<ChunkRow>>) -> Result<()>;

    /// The chunks in a pack whose numbers are in a range, by offset.
    fn chunks_in(&self, pack: PackNo, first: ChunkNo, last: ChunkNo) -> Result<Vec<ChunkRow>>;

    /// Packs in the bucket that hold commits with entries of deleted versions, and how many.
    fn dead_entries(&self) -> Result<Vec<(PackNo, u64)>>;

    /// Manifests of versions that were deleted after this sequence number, whose commits were copied out of
    /// their packs before: nobody knows where to, but each lies in the pack of its manifest.
    fn moved_dead_entries(&self, after: u64) -> Result<Vec<ChunkId>>;

    /// Are there entries of deleted versions in packs that are not in the bucket yet?
    fn has_waiting_entries(&self) -> Result<bool>;

    /// An entry of a commit was not applied, since something of it is missing. What is there of it is
    /// kept: somebody may find the rest.
    fn leave_out(&self, seq: u64, manifest: &ChunkId) -> Result<()>;

    /// Chunks of a pack lie elsewhere from now on, or are gone; the pack itself is condemned. Chunks that
    /// are not where they were stay as they are. Durable when this returns.
    fn retire(&self, pack: PackNo, retired: &Retired) -> Result<()>;

    /// Packs that are condemned and may be in the bucket still.
    fn condemned(&self) -> Result<Vec<PackRow>>;

    /// A condemned pack is not in the bucket any more.
    fn forget_pack(&self, pack: PackNo) -> Result<()>;

    /// Forgets what is said of studies and series of which nothing is shown: names of patients among it.
    /// Gives how many studies that was.
    fn forget_descriptions(&self) -> Result<u64>;

    /// Up to which sequence number everything deleted was collected.
    fn collected_seq(&self) -> Result<u64>;

    /// Everything deleted up to this sequence number was collected.
    fn note_collected(&self, seq: u64) -> Result<()>;

    /// All packs begun before this, in ms since 1970, were looked at for coding anew.
    fn recoded_ms(&self) -> Result<u64>;

    /// So they were.
    fn note_recoded(&self, before_ms: u64) -> Result<()>;

    /// The newest deletion's sequence number; 0: none.
    fn last_deletion(&self) -> Result<u64>;
}
