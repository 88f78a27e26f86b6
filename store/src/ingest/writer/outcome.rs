//! What an instance is to what is here.

use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;

use super::{InstanceKey, PendingVersion, Writer};
use crate::commit::{Outcome, Target};
use crate::config::OnDuplicate;
use crate::error::{Error, Result};

/// What becomes of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decision {
    /// What its sender is told.
    pub(super) outcome: Outcome,
    /// It is the version that is shown.
    pub(super) visible: bool,
    /// It is written down: no duplicate, or one of what was only entrusted.
    pub(super) is_noted: bool,
}

impl Writer<'_> {
    /// Versions of an instance that were not deleted, in the catalog and before it.
    fn known(&self, key: &InstanceKey) -> Result<Vec<PendingVersion>> {
        let committed = self.pipeline.committed_batch.load(Ordering::SeqCst);
        let rows = self.pipeline.shared.catalog.versions(&key.0, &key.1, &key.2)?;
        // A deletion on its way covers all that the catalog names; what came after it is pending.
        let going = self
            .deleting
            .iter()
            .any(|(batch, target)| *batch > committed && target.covers(&key.0, &key.1, &key.2));
        let rows = rows.into_iter().filter(|row| !row.deleted && !going);
        let mut known: Vec<_> = rows
            .map(|row| PendingVersion {
                batch: 0,
                dataset_hash: row.dataset_hash,
                class_uid: row.sop_class_uid,
                syntax_uid: row.transfer_syntax_uid,
                pixels: row.pixels,
                visible: row.visible,
                entrusted: row.entrusted,
            })
            .collect();
        known.extend(self.pending.get(key).into_iter().flatten().cloned());
        Ok(known)
    }

    /// What the instance is to what is here, and whether it will be shown.
    pub(super) fn outcome(&self, key: &InstanceKey, new: &PendingVersion) -> Result<Decision> {
        let known = self.known(key)?;
        let same = |version: &&PendingVersion| {
            version.dataset_hash == new.dataset_hash
                && version.class_uid == new.class_uid
                && version.syntax_uid == new.syntax_uid
        };
        if let Some(first) = known.iter().find(same) {
            // Whoever brings what is only entrusted makes it this archive's own, and has to be sure of
            // that.
            let is_noted =
                !new.entrusted && known.iter().filter(same).all(|version| version.entrusted);
            let (outcome, visible) = (Outcome::Duplicate, first.visible);
            return Ok(Decision { outcome, visible, is_noted });
        }
        let same_pixels = known.iter().any(|version| version.pixels == new.pixels);
        let policy = self.pipeline.config.duplicates;
        let (outcome, rule) = match (known.is_empty(), same_pixels) {
            (true, _) => {
                return Ok(Decision { outcome: Outcome::New, visible: true, is_noted: true });
            }
            (false, true) => (Outcome::Correction, policy.correction),
            (false, false) => (Outcome::Conflict, policy.conflict),
        };
        match rule {
            OnDuplicate::First => Ok(Decision { outcome, visible: false, is_noted: true }),
            OnDuplicate::Latest => Ok(Decision { outcome, visible: true, is_noted: true }),
            OnDuplicate::Reject => Err(Error::Duplicate),
        }
    }

    /// Deletes instances of which nothing is here that is not entrusted. Decided here, where what arrives
    /// is decided on as well: what came otherwise a moment ago stays.
    pub(super) fn give_back(&mut self, targets: Vec<Target>, answer: Sender<()>) -> Result<()> {
        let mut entrusted = Vec::with_capacity(targets.len());
        for target in targets {
            let Target { study_uid, series_uid: Some(series), sop_instance_uid: Some(sop) } =
                &target
            else {
                continue; // what is entrusted is given back instance by instance
            };
            let known = self.known(&(study_uid.clone(), series.clone(), sop.clone()))?;
            if !known.is_empty() && known.iter().all(|version| version.entrusted) {
                entrusted.push(target);
            }
        }
        self.delete(entrusted, answer);
        Ok(())
    }
}
