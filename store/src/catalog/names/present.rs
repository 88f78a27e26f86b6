//! Which names there may be, told from memory alone.
//!
//! Nearly every name of a new study is new, and is asked for several times on its way: when a chunk is met,
//! when an instance is judged, when both are committed. Where one process alone commits, it keeps the keys
//! of the recent names beside the filters of the runs, and most of these questions never reach the tables.
//!
//! What is kept is never less than what is committed, nor than what the transaction under way has added:
//! a key is here before its transaction ends, and goes only once a run that has it is read. A transaction
//! that is undone leaves keys behind, which only cost a look into the tables.
//!
//! What was looked for and is nowhere is kept as well, until it is added: whoever asks for it next need not
//! go through the filters, nor through a run whose filter let it through.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use rusqlite::{Connection, Transaction};

use super::{Asked, Kind, Names, Result, Run};

/// Keys that were looked for in vain are forgotten when there are so many: a megabyte or so. Names on their
/// way in are far fewer.
const VAIN_MAX: usize = 1 << 16;

/// Names of one kind.
#[derive(Debug)]
pub(super) struct Present {
    epoch: i64,
    runs: Arc<Vec<Run>>,
    /// All that was added since the runs are what they are.
    recent: HashSet<i64>,
    /// What is neither in the runs nor recent.
    vain: HashSet<i64>,
}

impl Present {
    fn may_hold(&self, key: i64) -> bool {
        let asked = Asked::of(key.cast_unsigned());
        self.recent.contains(&key) || self.runs.iter().any(|run| run.filter.may_hold(asked))
    }
}

impl Names {
    /// False only if no row has the name: neither one that is committed, nor one of the transaction that
    /// writes.
    pub(in crate::catalog) fn may_be_there(&self, kind: Kind, key: i64) -> bool {
        let present = self.present[kind as usize].read().unwrap_or_else(PoisonError::into_inner);
        let Some(it) = &*present else { return true };
        if it.vain.contains(&key) {
            return false;
        }
        if it.may_hold(key) {
            return true;
        }
        let epoch = it.epoch;
        drop(present);
        self.in_vain(kind, key, epoch);
        false
    }

    /// Notes that no run of an epoch has a key, and that it was not recent in a snapshot of that epoch.
    pub(super) fn in_vain(&self, kind: Kind, key: i64, epoch: i64) {
        let mut present =
            self.present[kind as usize].write().unwrap_or_else(PoisonError::into_inner);
        // It may have been added since; in another epoch, it may be in a run by now.
        if let Some(it) = present.as_mut().filter(|it| it.epoch == epoch)
            && !it.recent.contains(&key)
        {
            if it.vain.len() >= VAIN_MAX {
                it.vain.clear();
            }
            it.vain.insert(key);
        }
    }

    /// True only if no snapshot of an epoch has the name among the recent ones.
    pub(super) fn is_not_recent(&self, kind: Kind, key: i64, epoch: i64) -> bool {
        let present = self.present[kind as usize].read().unwrap_or_else(PoisonError::into_inner);
        // Within an epoch names only become more.
        present.as_ref().is_some_and(|it| it.epoch == epoch && !it.recent.contains(&key))
    }

    /// From now on what is there is kept in memory. Called at the beginning of a transaction that adds
    /// names, by a process that alone adds any; whoever does so calls [`Self::committed`] after each.
    pub(in crate::catalog) fn watch(&self, transaction: &Transaction<'_>) -> Result<()> {
        for kind in [Kind::Chunk, Kind::Instance] {
            let present = &self.present[kind as usize];
            if present.read().unwrap_or_else(PoisonError::into_inner).is_none() {
                let loaded = self.load_present(transaction, kind)?;
                *present.write().unwrap_or_else(PoisonError::into_inner) = Some(loaded);
            }
        }
        Ok(())
    }

    /// Takes over the runs that a transaction left. The caller keeps others from writing.
    pub(in crate::catalog) fn committed(&self, connection: &Connection) {
        for kind in [Kind::Chunk, Kind::Instance] {
            let present = &self.present[kind as usize];
            let epoch =
                present.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|it| it.epoch);
            let Some(epoch) = epoch else { continue };
            // Without them every name may be there, which is right, and slower.
            let next = match super::epoch(connection, kind) {
                Ok(now) if now == epoch => continue,
                Ok(_) => self.load_present(connection, kind).ok(),
                Err(_) => None,
            };
            let mut present = present.write().unwrap_or_else(PoisonError::into_inner);
            // What was added in between is not among them any more.
            let vain = present.take().map(|before| before.vain).unwrap_or_default();
            *present = next.map(|next| Present { vain, ..next });
        }
    }

    /// Notes a key that is about to be added.
    pub(super) fn expect(&self, kind: Kind, key: i64) {
        let mut present =
            self.present[kind as usize].write().unwrap_or_else(PoisonError::into_inner);
        if let Some(present) = &mut *present {
            present.recent.insert(key);
            present.vain.remove(&key);
        }
    }

    fn load_present(&self, connection: &Connection, kind: Kind) -> Result<Present> {
        let epoch = super::epoch(connection, kind)?;
        let runs = self.runs(connection, kind)?.runs;
        let mut statement =
            connection.prepare_cached(&format!("SELECT key FROM {}", kind.table()))?;
        let recent = statement.query_map([], |row| row.get(0))?.collect::<Result<_>>()?;
        Ok(Present { epoch, runs, recent, vain: HashSet::new() })
    }
}
