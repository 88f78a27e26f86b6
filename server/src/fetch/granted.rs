//! Which study is behind a grant, as far as owners have said: names on ledgers mean nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use cairn_ledger::id::{SiteId, StudyId};

/// A version of a study: whose, which, and which version.
pub(super) type Version = (SiteId, StudyId, u64);

/// Most that are remembered; some 150 bytes each.
const GRANTS_MAX: usize = 100_000;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Granted(Mutex<HashMap<Version, String>>);

impl Granted {
    pub(super) fn uid(&self, version: &Version) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(version).cloned()
    }

    pub(super) fn learn(&self, version: Version, study_uid: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= GRANTS_MAX {
            // They are asked again.
            known.clear();
        }
        known.insert(version, study_uid.to_owned());
    }
}
