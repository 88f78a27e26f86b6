//! What is shared with other sites, and what came from them.
//!
//! An **edition** is a version of a study as this site registered it on its ledger: the random name under
//! which others know it, the root, what blinds the root there, and which versions of instances it is
//! made of. A grant names one edition, and that one stays servable whatever is received later.
//!
//! A **fetched** study is a version of another site's, with what it cost and whether its receipt is
//! logged.
//!
//! Both are durable when a method returns. An edition is written down before its ledger entry, or a
//! crash could leave an entry on the ledger whose opening nobody knows; one without a sequence number is
//! matched with the ledger when the site is opened, or dropped.
//!
//! None of this can be made again from packs: a rebuild takes it over from the old catalog, if it can.
//! Names of sites and studies are the 32 bytes that the ledger knows; what they mean is its affair.

use cairn_chunker::id::StudyRoot;

use super::seqs::Seqs;
use crate::error::Result;

/// A version of a study as it is registered.
#[derive(Clone, PartialEq, Eq)]
pub struct Edition {
    /// The study's name on the ledger.
    pub study: [u8; 32],
    /// Its version there, from 1.
    pub version: u64,
    /// Study Instance UID.
    pub study_uid: String,
    /// Of version 1 if it was registered here: what its name was made from.
    pub salt: Option<[u8; 32]>,
    /// Names its content.
    pub root: StudyRoot,
    /// Hides the root on the ledger. Whoever has it can test copies of the images against the ledger.
    pub blinding: [u8; 32],
    /// Sequence numbers of the versions of instances that it is made of.
    pub seqs: Seqs,
    /// Instances.
    pub instances: u64,
    /// Length of their data sets.
    pub bytes: u64,
    /// Its entry in the site's log; `None`: not there, as far as is known.
    pub sequence: Option<u64>,
    /// When it was made, in ms since 1970.
    pub created_ms: u64,
}

/// Neither UIDs nor secrets are for logs.
impl std::fmt::Debug for Edition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, ..] = self.study;
        write!(f, "Edition({a:02x}{b:02x}{c:02x}{d:02x}…, version {})", self.version)
    }
}

/// How far a study from another site is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FetchState {
    /// On its way.
    UnderWay = 0,
    /// All of it is here; the receipt is not logged yet.
    ReceiptDue = 1,
    /// The receipt is logged.
    Receipted = 2,
    /// And what was only entrusted of it was given back when the grant had ended.
    GivenBack = 3,
}

impl FetchState {
    /// The state with this number.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        [Self::UnderWay, Self::ReceiptDue, Self::Receipted, Self::GivenBack]
            .into_iter()
            .find(|state| *state as u64 == code)
    }
}

/// A version of another site's study.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Whose it is.
    pub owner: [u8; 32],
    /// Its name on the ledger.
    pub study: [u8; 32],
    /// Its version there.
    pub version: u64,
    /// Names its content.
    pub root: StudyRoot,
    /// Study Instance UID; empty until it is known.
    pub study_uid: String,
    /// What for: the ledger's number of the purpose.
    pub purpose: u8,
    /// Whose log has the entry under which it came.
    pub right_site: [u8; 32],
    /// Where in that log.
    pub right_sequence: u64,
    /// Hash of that entry.
    pub right_leaf: [u8; 32],
    /// Counts the accesses under that entry, from 1.
    pub number: u64,
    /// How far it is.
    pub state: FetchState,
    /// How it ended: the ledger's number of the outcome.
    pub outcome: u8,
    /// Instances.
    pub instances: u64,
    /// Length of their data sets.
    pub bytes: u64,
    /// Bytes that came over the network.
    pub bytes_moved: u64,
    /// Bytes that did not have to, since they were here.
    pub bytes_saved: u64,
    /// When it began, in ms since 1970.
    pub began_ms: u64,
    /// When all was here, in ms since 1970; 0: it is not.
    pub ended_ms: u64,
}

impl std::fmt::Debug for Fetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, ..] = self.study;
        let (version, state) = (self.version, self.state);
        write!(f, "Fetched({a:02x}{b:02x}{c:02x}{d:02x}…, version {version}, {state:?})")
    }
}

/// See the [module](self). Part of every [`Catalog`](super::Catalog).
pub trait Editions {
    /// Writes an edition down that is to be logged. An error if it is there already.
    fn add_edition(&self, edition: &Edition) -> Result<()>;

    /// Writes an edition down in the place of one of the same study and version, if there is one.
    fn replace_edition(&self, edition: &Edition) -> Result<()>;

    /// An edition is on the ledger, at this place.
    fn edition_logged(&self, study: &[u8; 32], version: u64, sequence: u64) -> Result<()>;

    /// Forgets an edition that never came to the ledger; one that did stays.
    fn drop_edition(&self, study: &[u8; 32], version: u64) -> Result<()>;

    /// One edition.
    fn edition(&self, study: &[u8; 32], version: u64) -> Result<Option<Edition>>;

    /// Editions of a study by its UID, or all of them, the oldest first.
    fn editions(&self, study_uid: Option<&str>) -> Result<Vec<Edition>>;

    /// Editions of studies of which something was ever deleted.
    fn editions_deleted_from(&self) -> Result<Vec<Edition>>;

    /// Editions of which it is not known that they are on the ledger.
    fn unlogged_editions(&self) -> Result<Vec<Edition>>;

    /// Writes down how far a study from another site is, in place of what was known of it.
    fn put_fetched(&self, fetched: &Fetched) -> Result<()>;

    /// What is known of a study from another site.
    fn fetched(&self, owner: &[u8; 32], study: &[u8; 32], version: u64) -> Result<Option<Fetched>>;

    /// Studies from other sites by their UID, or all of them, the oldest first.
    fn all_fetched(&self, study_uid: Option<&str>) -> Result<Vec<Fetched>>;
}
