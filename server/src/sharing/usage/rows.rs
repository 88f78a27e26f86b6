//! What is told of usage: a line for each hospital and month, for each pair of hospitals and month, and
//! for each ledger that it was counted from.

use serde::{Deserialize, Serialize};

use super::month::Month;

/// Which months are asked for, both included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Period {
    /// `None`: from the first on.
    pub(crate) from: Option<Month>,
    /// `None`: up to the last.
    pub(crate) to: Option<Month>,
}

impl Period {
    /// Is the month in it?
    pub(super) fn has(&self, month: Month) -> bool {
        self.from.is_none_or(|from| from <= month) && self.to.is_none_or(|to| month <= to)
    }
}

/// One hospital in one month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SiteRow {
    /// In UTC.
    pub(crate) month: Month,
    /// Its id.
    pub(crate) site: String,
    /// Its name; the id where no ledger here tells one.
    pub(crate) site_name: String,
    /// Is it the site that counts?
    pub(crate) is_own: bool,
    /// Studies that it registered.
    pub(crate) studies: u64,
    /// Versions of studies that it registered, first ones included.
    pub(crate) versions: u64,
    /// Studies that it handed to others.
    pub(crate) handed_over: u64,
    /// Studies that it took over from others.
    pub(crate) taken_over: u64,
    /// Grants that it gave.
    pub(crate) grants_given: u64,
    /// Grants that it was given.
    pub(crate) grants_received: u64,
    /// Grants of its own that it revoked.
    pub(crate) grants_revoked: u64,
    /// Studies of others that it opened in an emergency.
    pub(crate) glass_broken: u64,
    /// Studies of its own that others opened so.
    pub(crate) glass_suffered: u64,
    /// Versions that it retrieved from others, whole and verified.
    pub(crate) retrieved: u64,
    /// Length of their data sets, as far as it is known here.
    pub(crate) retrieved_bytes: u64,
    /// Versions that others retrieved from it.
    pub(crate) served: u64,
    /// Length of their data sets, as far as it is known here.
    pub(crate) served_bytes: u64,
    /// Of both, those whose length is not known here: this site neither owns nor has read that version.
    pub(crate) bytes_unknown: u64,
    /// Accesses, as reader or owner, where something did not verify: not counted above.
    pub(crate) failed: u64,
    /// Of all accesses above those that stand on one ledger only.
    pub(crate) unconfirmed: u64,
}

/// What went from one hospital to another in one month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PairRow {
    /// In UTC.
    pub(crate) month: Month,
    /// Whose studies.
    pub(crate) owner: String,
    /// Its name.
    pub(crate) owner_name: String,
    /// To whom.
    pub(crate) reader: String,
    /// Its name.
    pub(crate) reader_name: String,
    /// Grants that the owner gave the reader.
    pub(crate) grants: u64,
    /// Of its grants to the reader those that the owner revoked.
    pub(crate) grants_revoked: u64,
    /// Studies of the owner that the reader opened in an emergency.
    pub(crate) glass_broken: u64,
    /// Versions that the reader retrieved, whole and verified.
    pub(crate) retrievals: u64,
    /// Length of their data sets, as far as it is known here.
    pub(crate) bytes: u64,
    /// Retrievals whose length is not known here.
    pub(crate) bytes_unknown: u64,
    /// Accesses where something did not verify: not counted above.
    pub(crate) failed: u64,
    /// Of all accesses those that stand on one ledger only.
    pub(crate) unconfirmed: u64,
}

/// A ledger that was counted, or left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LedgerRow {
    /// Whose.
    pub(crate) site: String,
    /// Its name.
    pub(crate) site_name: String,
    /// Is it the own one?
    pub(crate) is_own: bool,
    /// Entries that were checked and counted.
    pub(crate) entries: u64,
    /// Entries of the own one that others have not cosigned yet: not counted.
    pub(crate) entries_uncounted: u64,
    /// Up to when it is known to be the latest, in seconds since 1970; `null`: nobody says.
    pub(crate) seen_at: Option<u64>,
    /// Receipts in it that the other side's ledger does not bear out: not counted.
    pub(crate) receipts_refused: u64,
    /// Why nothing of it was counted.
    pub(crate) left_out: Option<String>,
}

impl LedgerRow {
    /// Is all of it as it should be?
    pub(crate) fn is_good(&self) -> bool {
        self.left_out.is_none() && self.receipts_refused == 0
    }
}

/// What a request for usage is answered with, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "snake_case")]
pub(crate) enum UsageRow {
    /// See [`LedgerRow`].
    Ledger(LedgerRow),
    /// See [`SiteRow`].
    Site(SiteRow),
    /// See [`PairRow`].
    Pair(PairRow),
}
