//! The catalog: what there is and where it lies, as rows that can be searched.
//!
//! It names bytes, it does not hold any: everything here can be made again from packs
//! ([`crate::rebuild`]). One trait, so that an engine for many nodes can join the embedded one. Calls
//! block; they belong on threads that may.

pub mod collection;
pub mod editions;
pub mod entrusted;
mod names;
pub mod outbox;
mod schema;
pub mod search;
pub mod seqs;
mod sqlite;
mod sqlite_collection;
mod sqlite_commitment;
mod sqlite_editions;
mod sqlite_entrusted;
mod sqlite_narrow;
mod sqlite_outbox;
mod sqlite_read;
mod sqlite_rows;
mod sqlite_schema;
mod sqlite_search;
mod sqlite_shared;
mod sqlite_write;
mod values;

pub use collection::Collection;
pub use editions::Editions;
pub use entrusted::Entrusted;
pub use outbox::Outbox;
pub use search::{Found, Reach, Search, Stop};
pub use seqs::Seqs;
pub use sqlite::SqliteCatalog;

use cairn_chunker::id::{ChunkId, DatasetHash, LeafHash, PixelDigest};
use cairn_chunker::manifest::Manifest;
use cairn_chunker::tree::Leaf;
use cairn_dicom::attributes::Attributes;

use crate::commit::{DeletionEntry, InstanceEntry, Outcome, StudyEntry, Target};
use crate::error::Result;
use crate::keys::StoredId;
use crate::pack::PackId;

/// A pack's number in this catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackNo(pub i64);

/// Where a pack is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum PackState {
    /// Being written, in the journal.
    Open = 0,
    /// Complete, in the journal, on its way to the bucket.
    Sealed = 1,
    /// In the bucket, checked there.
    Stored = 2,
    /// All that is needed of it lies in other packs, in the bucket: it is to be removed.
    Condemned = 3,
    /// It was removed.
    Gone = 4,
}

impl PackState {
    /// Is what was in it, as far as it is needed, in the bucket?
    #[must_use]
    pub fn is_archived(self) -> bool {
        match self {
            Self::Open | Self::Sealed => false,
            Self::Stored | Self::Condemned | Self::Gone => true,
        }
    }
}

/// A pack as the catalog knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackRow {
    /// Its number.
    pub no: PackNo,
    /// Its name.
    pub id: PackId,
    /// Where it is.
    pub state: PackState,
    /// Length of what is durable, in bytes; of all of it once sealed.
    pub bytes: u64,
    /// BLAKE3 of the whole, once sealed.
    pub checksum: Option<[u8; 32]>,
    /// When it was begun, in ms since 1970; 0 if its header cannot tell.
    pub created_ms: u64,
}

/// Where a chunk lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The pack.
    pub pack: PackNo,
    /// Offset of the record.
    pub offset: u64,
    /// Length of the record, header included.
    pub record_bytes: u32,
    /// Where in the decoded block the chunk starts; `None` if the record is the chunk.
    pub inner: Option<u32>,
    /// Plain length of the chunk.
    pub bytes: u32,
}

/// An instance to be named.
#[derive(Clone, Copy, Debug)]
pub struct NewInstance<'a> {
    /// Its place in the order of everything.
    pub seq: u64,
    /// What is committed.
    pub entry: &'a InstanceEntry,
    /// Its manifest.
    pub manifest: &'a Manifest,
}

/// What becomes visible together.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The pack that ends with this commit.
    pub pack: PackNo,
    /// How much of it is durable.
    pub pack_bytes: u64,
    /// Where new chunks lie.
    pub locations: &'a [(StoredId, Location)],
    /// New versions of instances.
    pub instances: &'a [NewInstance<'a>],
    /// New study records, with their sequence numbers.
    pub studies: &'a [(u64, StudyEntry)],
    /// Deletions, with their sequence numbers: they cover what has a smaller one.
    pub deletions: &'a [(u64, DeletionEntry)],
    /// With these study records, every study's newest content has one.
    pub all_recorded: bool,
    /// Sequence numbers below this one are used up, named here or not; 0 where that says nothing new.
    pub next_seq: u64,
}

/// One version of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRow {
    /// Its place in the order of everything.
    pub seq: u64,
    /// Study Instance UID.
    pub study_uid: String,
    /// Series Instance UID.
    pub series_uid: String,
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// SOP Class UID.
    pub sop_class_uid: String,
    /// Transfer syntax UID.
    pub transfer_syntax_uid: String,
    /// Name of its manifest.
    pub manifest: ChunkId,
    /// Hash of its data set.
    pub dataset_hash: DatasetHash,
    /// Length of its data set in bytes.
    pub dataset_bytes: u64,
    /// What its pixels are.
    pub pixels: PixelDigest,
    /// Frames found.
    pub frames: u64,
    /// `cairn_dicom::flags::Flags` bits.
    pub flags: u32,
    /// What it was to what was there.
    pub outcome: Outcome,
    /// When it was received, in ms since 1970.
    pub received_ms: u64,
    /// It is the one that is shown.
    pub visible: bool,
    /// It was deleted: its bytes are given to nobody, and gone once they were collected.
    pub deleted: bool,
    /// The pack that holds its commit.
    pub commit_pack: PackNo,
    /// It is here for as long as another site's grant lasts: see [`entrusted`].
    pub entrusted: bool,
}

impl VersionRow {
    /// The instance as the study tree sees it.
    #[must_use]
    pub fn leaf(&self) -> Leaf {
        Leaf {
            sop_instance_uid: self.sop_instance_uid.clone(),
            sop_class_uid: self.sop_class_uid.clone(),
            transfer_syntax_uid: self.transfer_syntax_uid.clone(),
            dataset_bytes: self.dataset_bytes,
            dataset_hash: self.dataset_hash,
        }
    }

    /// Hash of [`VersionRow::leaf`].
    #[must_use]
    pub fn leaf_hash(&self) -> LeafHash {
        self.leaf().hash()
    }
}

/// A study in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudyRow {
    /// Study Instance UID.
    pub study_uid: String,
    /// As received, or empty.
    pub patient_name: String,
    /// As received, or empty.
    pub patient_id: String,
    /// As received (YYYYMMDD), or empty.
    pub study_date: String,
    /// As received, or empty.
    pub accession_number: String,
    /// As received, or empty.
    pub description: String,
    /// Modalities of its series, each once, joined by a backslash.
    pub modalities: String,
    /// Series with something visible.
    pub series: u64,
    /// Visible instances.
    pub instances: u64,
    /// Length of their data sets.
    pub bytes: u64,
    /// Versions kept beside the visible ones.
    pub other_versions: u64,
}

/// A series in a study.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesRow {
    /// Series Instance UID.
    pub series_uid: String,
    /// As received, or empty.
    pub modality: String,
    /// As received, or empty.
    pub number: String,
    /// As received, or empty.
    pub description: String,
    /// Visible instances.
    pub instances: u64,
    /// Length of their data sets.
    pub bytes: u64,
}

/// Is something by a name here?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    /// Something under it is shown.
    Present,
    /// It was here, and all of it was deleted.
    Gone,
    /// Never heard of.
    Unknown,
}

/// What is visible of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesState {
    /// Visible instances.
    pub instances: u64,
    /// Length of their data sets.
    pub bytes: u64,
    /// Sequence number of the last change: what was made from the series before it is out of date.
    pub changed: u64,
}

/// A storage commitment that was asked for. The texts are the asker's own affair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitmentRow {
    /// What was asked.
    pub request: String,
    /// What was answered; `None`: nothing yet.
    pub result: Option<String>,
}

/// Sums over the archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Studies.
    pub studies: u64,
    /// Series.
    pub series: u64,
    /// Instances.
    pub instances: u64,
    /// Versions that were not deleted, the visible ones included.
    pub versions: u64,
    /// Length of all versions' data sets.
    pub dataset_bytes: u64,
    /// Chunks.
    pub chunks: u64,
    /// Plain length of the chunks.
    pub chunk_bytes: u64,
    /// Packs.
    pub packs: u64,
    /// Length of the packs.
    pub pack_bytes: u64,
    /// Versions with a flag.
    pub flagged: u64,
    /// Versions that were corrections.
    pub corrections: u64,
    /// Versions that were conflicts.
    pub conflicts: u64,
}

/// Visits rows without holding them all; an error from the visitor ends the walk.
pub type Visitor<'a, T> = &'a mut dyn FnMut(T) -> Result<()>;

/// See the [module](self).
pub trait Catalog: Send + Sync + std::fmt::Debug {
    /// Remembers the bucket at the first opening. Returns the one remembered if it is another.
    fn bind_bucket(&self, id: &str) -> Result<Option<String>>;

    /// Adds an open pack, or finds it.
    fn add_pack(&self, id: PackId, created_ms: u64) -> Result<PackNo>;

    /// All packs that are needed, by number.
    fn packs(&self) -> Result<Vec<PackRow>>;

    /// One pack, needed or not.
    fn pack(&self, no: PackNo) -> Result<PackRow>;

    /// A pack is complete: its length and hash. Durable when this returns.
    fn seal_pack(&self, no: PackNo, bytes: u64, checksum: [u8; 32]) -> Result<()>;

    /// A sealed pack is in the bucket. Durable when this returns.
    fn store_pack(&self, no: PackNo) -> Result<()>;

    /// A pack was found in the bucket while rebuilding. Its hash as sealed is not known any more.
    fn seal_stored(&self, no: PackNo, bytes: u64) -> Result<()>;

    /// Forgets a pack that never held anything.
    fn drop_pack(&self, no: PackNo) -> Result<()>;

    /// Makes a batch visible, entirely or not at all. Applying one again changes nothing.
    fn commit(&self, batch: &Batch<'_>) -> Result<()>;

    /// The next free sequence number.
    fn next_seq(&self) -> Result<u64>;

    /// Where a chunk lies.
    fn locate(&self, chunk: &StoredId) -> Result<Option<Location>>;

    /// All versions of an instance, by sequence number.
    fn versions(&self, study: &str, series: &str, sop: &str) -> Result<Vec<VersionRow>>;

    /// Versions of every instance with this SOP Instance UID, whatever their study.
    fn versions_of_sop(&self, sop: &str) -> Result<Vec<VersionRow>>;

    /// Studies, by date and UID; `None`: all of them, else those with this UID.
    fn studies(&self, uid: Option<&str>, visit: Visitor<'_, StudyRow>) -> Result<()>;

    /// The series of a study, by number and UID.
    fn series(&self, study: &str) -> Result<Vec<SeriesRow>>;

    /// Versions in a study (visible ones only, unless `all`), by series and SOP Instance UID.
    fn study_versions(&self, study: &str, all: bool, visit: Visitor<'_, VersionRow>) -> Result<()>;

    /// Visible versions in a series, by SOP Instance UID.
    fn series_versions(
        &self,
        study: &str,
        series: &str,
        visit: Visitor<'_, VersionRow>,
    ) -> Result<()>;

    /// What is visible of a series; `None`: it was never here.
    fn series_state(&self, study: &str, series: &str) -> Result<Option<SeriesState>>;

    /// Is it here, was it, or never?
    fn existence(&self, target: &Target) -> Result<Existence>;

    /// Attributes of the version that is shown, at all levels; `None` if nothing is.
    fn attributes(&self, study: &str, series: &str, sop: &str) -> Result<Option<Attributes>>;

    /// What matches a query, in the order of [`Found::number`].
    fn search(&self, search: &Search<'_>, visit: Visitor<'_, Found>) -> Result<Reach>;

    /// The newest record of a study.
    fn study_record(&self, study: &str) -> Result<Option<StudyEntry>>;

    /// Does the newest record of a study stand behind the last change of what is visible?
    fn record_is_current(&self, study: &str) -> Result<bool>;

    /// Studies whose newest content has no record yet. Costs nothing where the last ingest ended well.
    fn unrecorded_studies(&self) -> Result<Vec<String>>;

    /// Sums over the archive.
    fn totals(&self) -> Result<Totals>;

    /// Notes a storage commitment under its transaction UID, durably, and forgets those asked for before
    /// `forget_before_ms`. False if the UID is in use.
    fn begin_commitment(
        &self,
        uid: &str,
        request: &str,
        now_ms: u64,
        forget_before_ms: u64,
    ) -> Result<bool>;

    /// Notes what a storage commitment came to. The first result stands.
    fn settle_commitment(&self, uid: &str, result: &str) -> Result<()>;

    /// Storage commitments without a result, the oldest first: transaction UID and request.
    fn open_commitments(&self) -> Result<Vec<(String, String)>>;

    /// A storage commitment by its transaction UID.
    fn commitment(&self, uid: &str) -> Result<Option<CommitmentRow>>;

    /// What is shared with other sites, and what came from them.
    fn editions(&self) -> &dyn Editions;

    /// What is owed to others.
    fn outbox(&self) -> &dyn Outbox;

    /// What came from other sites and may not be kept.
    fn entrusted(&self) -> &dyn Entrusted;

    /// What a collection asks and tells.
    fn collection(&self) -> &dyn Collection;

    /// Takes over what is owed to others, and what is shared, from an older catalog, in place of what is here: a rebuild
    /// names everything anew, and nothing of that has just arrived.
    fn take_over_outbox(&self, older: &std::path::Path) -> Result<()>;

    /// Before the archive is closed: what is soon done so that it is found in order.
    fn tidy(&self) -> Result<()>;

    /// Puts everything committed into the main file; keeps side files small.
    fn checkpoint(&self) -> Result<()>;
}
