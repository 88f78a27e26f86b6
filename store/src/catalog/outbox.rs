//! What is owed to others: arrivals that no rule has looked at yet, and objects that are to be sent.
//!
//! ```text
//! commit of instances ─▶ arrival ─▶ (rules) ─▶ parcels, one for each destination ─▶ sent
//!        one transaction        one transaction                     └▶ undelivered
//! ```
//!
//! **Nothing acknowledged is forgotten.** An arrival is written in the transaction that names its
//! instances, which comes before their acknowledgement. What a power cut takes from the catalog, the
//! journal gives back, and the arrival with it: who sent an object stands in its commit record. An
//! arrival goes in the transaction that adds its parcels, a parcel once each of its objects was
//! answered or is in the list of undelivered ones. So what a crash repeats is sent twice, which every
//! archive takes for the duplicate that it is; and nothing is left out.
//!
//! **It costs ingest little.** An arrival is a row for each series and sender in a commit, not for
//! each instance; a duplicate makes none.
//!
//! None of this is part of the archive: a rebuild takes it over from the old catalog, if it can.

use super::Visitor;
use super::seqs::Seqs;
use crate::catalog::VersionRow;
use crate::commit::Source;
use crate::error::Result;

/// Instances of one series that one sender brought in one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its place in the order of arrivals.
    pub no: u64,
    /// Study Instance UID.
    pub study_uid: String,
    /// Series Instance UID.
    pub series_uid: String,
    /// How they came.
    pub source: Source,
    /// AE title of who sent them, or empty.
    pub calling: String,
    /// AE title under which this archive was called, or empty.
    pub called: String,
    /// Their sequence numbers.
    pub seqs: Seqs,
    /// When the last of them was received, in ms since 1970.
    pub received_ms: u64,
}

/// Objects of one series that are owed to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Its number; 0 until it is in the catalog.
    pub no: u64,
    /// The rule that asks for it.
    pub route: String,
    /// AE title of whom it goes to.
    pub peer: String,
    /// Study Instance UID.
    pub study_uid: String,
    /// Series Instance UID; empty: no objects, but the priors of a study are to be looked for.
    pub series_uid: String,
    /// Sequence numbers of what is still to be sent.
    pub seqs: Seqs,
    /// Higher goes first.
    pub priority: i64,
    /// How often the peer has refused it.
    pub tries: u32,
    /// Status of the last refusal.
    pub status: u16,
    /// When it was added, in ms since 1970.
    pub added_ms: u64,
    /// Not before this, in ms since 1970.
    pub due_ms: u64,
}

/// An object that a peer does not take, or that cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// Its number in the list.
    pub no: u64,
    /// The parcel that it belonged to, with this one object in it.
    pub parcel: Parcel,
    /// When it was given up, in ms since 1970.
    pub failed_ms: u64,
}

/// How much a rule owes a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// The rule.
    pub route: String,
    /// The peer.
    pub peer: String,
    /// Parcels.
    pub parcels: u64,
    /// Objects in them.
    pub instances: u64,
    /// When the oldest of them was added, in ms since 1970; 0: there is none.
    pub oldest_ms: u64,
    /// Objects that are not delivered, and not tried any more.
    pub undelivered: u64,
}

/// Which rows of the list of undelivered objects, or of the queue. What is not given is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Which {
    /// Of this rule.
    pub route: Option<String>,
    /// For this peer.
    pub peer: Option<String>,
}

/// What a study and a series are, for rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Study Description.
    pub study_description: String,
    /// Patient ID; of nobody's if it is empty.
    pub patient_id: String,
    /// Issuer of Patient ID.
    pub patient_issuer: String,
    /// Study Date (YYYYMMDD).
    pub study_date: String,
    /// Referring Physician's Name.
    pub referring_physician: String,
    /// Institution Name.
    pub institution: String,
    /// Modality of the series.
    pub modality: String,
    /// Body Part Examined of the series.
    pub body_part: String,
    /// Series Description.
    pub series_description: String,
}

/// See the [module](self). Part of every [`Catalog`](super::Catalog).
pub trait Outbox {
    /// Arrivals in their order, at most so many.
    fn arrivals(&self, take: usize) -> Result<Vec<Arrival>>;

    /// Arrivals up to this number were looked at: these parcels are owed for them, and they are
    /// forgotten. Where a parcel is for later, those of the same rule, peer and study that are not due
    /// yet wait as long. One without a series is left out if the rule has looked for priors of the
    /// study before.
    fn dispatch(&self, up_to: u64, parcels: &[Parcel]) -> Result<()>;

    /// Parcels for a peer that are due, the most urgent first, at most so many.
    fn due(&self, peer: &str, now_ms: u64, take: usize) -> Result<Vec<Parcel>>;

    /// A parcel was tried: it goes, `rest` comes in its place, and `undelivered` is given up.
    fn tried(&self, no: u64, rest: &[Parcel], undelivered: &[Parcel], now_ms: u64) -> Result<()>;

    /// How much is owed, by rule and peer.
    fn depths(&self) -> Result<Vec<Depth>>;

    /// Objects that were given up, the oldest first.
    fn undelivered(&self, which: &Which, visit: Visitor<'_, Undelivered>) -> Result<()>;

    /// Puts undelivered objects back into the queue, due at once; how many.
    fn retry(&self, which: &Which, now_ms: u64) -> Result<u64>;

    /// Forgets undelivered objects, and with `waiting` what is owed as well; how many objects.
    fn forget(&self, which: &Which, waiting: bool) -> Result<u64>;

    /// The sequence number from which a rule counts. The first time that it is asked for, that is the
    /// next one: a new rule is not about what was there before it.
    fn route_since(&self, route: &str) -> Result<u64>;

    /// A rule need not look for priors of this study: it is one itself.
    fn is_prior(&self, route: &str, study_uid: &str, now_ms: u64) -> Result<()>;

    /// Versions of a series with these numbers that are shown at this moment, by number.
    fn shown_of(&self, study: &str, series: &str, seqs: &Seqs) -> Result<Vec<VersionRow>>;

    /// What a series is; `None`: it is not here.
    fn subject(&self, study: &str, series: &str) -> Result<Option<Subject>>;
}
