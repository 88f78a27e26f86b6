//! What can be said of the instances of a request.

use std::collections::HashMap;
use std::time::Duration;

use cairn_store::catalog::VersionRow;
use serde::{Deserialize, Serialize};

use crate::http::{App, Problem};

/// How long the spool is waited for: whoever asked is told to come back, and what is owed is tried again.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);

/// No such object instance (PS3.3 C.14.1.1).
pub(crate) const NO_SUCH_INSTANCE: u16 = 0x0112;
/// The SOP Class is not that of the instance (PS3.3 C.14.1.1).
pub(crate) const CLASS_CONFLICT: u16 = 0x0119;

/// An instance that somebody wants to have committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reference {
    pub(crate) class: String,
    pub(crate) sop: String,
    /// Where it is said to be, if it came in the form that says so. Requests that were kept by versions
    /// before this one have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<Place>,
}

/// The study and series that an instance was named under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) study: String,
    pub(crate) series: String,
}

/// An instance that is in the archive for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Committed {
    pub(crate) reference: Reference,
    pub(crate) study: String,
    pub(crate) series: String,
    /// Root of the study, as it was when this was said.
    pub(crate) root: String,
    /// The instance's leaf under that root.
    pub(crate) leaf: String,
}

/// An instance that is not, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failed {
    pub(crate) reference: Reference,
    pub(crate) reason: u16,
}

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) committed: Vec<Committed>,
    pub(crate) failed: Vec<Failed>,
    /// Here, and not in the bucket yet.
    waiting: u64,
}

impl Verdict {
    /// Looks every instance up.
    pub(crate) fn of(app: &App, asked: &[Reference]) -> Result<Self, Problem> {
        let mut verdict = Self::default();
        // Of what is still spooled nothing final can be said. It may be another study's instance of the
        // same UID, which has to be safe too, so nothing is looked up before.
        if !app.settle(None, SETTLE_PATIENCE) {
            verdict.waiting = asked.len() as u64;
            return Ok(verdict);
        }
        let mut roots: HashMap<String, String> = HashMap::new();
        for reference in asked {
            let catalog = app.store.catalog();
            let versions = match &reference.place {
                Some(place) => catalog.versions(&place.study, &place.series, &reference.sop)?,
                None => catalog.versions_of_sop(&reference.sop)?,
            };
            // The same UID may be shown in several studies; then all of them have to be safe.
            let is_shown = |version: &VersionRow| version.visible && !version.deleted;
            let shown: Vec<_> = versions.into_iter().filter(is_shown).collect();
            let fits = |class: &str| reference.class.is_empty() || reference.class == class;
            let Some(first) = shown.iter().find(|version| fits(&version.sop_class_uid)) else {
                let reason = if shown.is_empty() { NO_SUCH_INSTANCE } else { CLASS_CONFLICT };
                verdict.failed.push(Failed { reference: reference.clone(), reason });
                continue;
            };
            let mut safe = true;
            for version in &shown {
                safe &= app.store.is_archived(version)?;
            }
            if !safe {
                verdict.waiting += 1;
                continue;
            }
            let root = if let Some(root) = roots.get(&first.study_uid) {
                root.clone()
            } else {
                let root = app.store.study_tree(&first.study_uid)?.root().to_string();
                roots.insert(first.study_uid.clone(), root.clone());
                root
            };
            verdict.committed.push(Committed {
                reference: Reference { class: first.sop_class_uid.clone(), ..reference.clone() },
                study: first.study_uid.clone(),
                series: first.series_uid.clone(),
                root,
                leaf: first.leaf_hash().to_string(),
            });
        }
        Ok(verdict)
    }

    /// There are instances of which nothing final can be said yet.
    pub(crate) fn is_open(&self) -> bool {
        self.waiting > 0
    }

    pub(crate) fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn decode(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// A request that came by DIMSE, as the catalog keeps it: its result has to be reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reported {
    pub(crate) asked: Vec<Reference>,
    /// AE title of who asked.
    pub(crate) report_to: String,
}

impl Reported {
    pub(crate) fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn decode(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// A request as the catalog keeps it.
pub(crate) fn encode(asked: &[Reference]) -> String {
    serde_json::to_string(asked).unwrap_or_default()
}

/// Reads [`encode`].
pub(crate) fn decode(text: &str) -> Option<Vec<Reference>> {
    let listed = serde_json::from_str(text).ok();
    listed.or_else(|| Reported::decode(text).map(|reported| reported.asked))
}
