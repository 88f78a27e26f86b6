//! Which names there may be, told from memory alone.
//!
//! Nearly every name of a new study is new, and is asked for several times on its way: when a chunk is met,
//! when an instance is judged, when both are committed. Where one process alone commits, it keeps the keys
//! of the recent names beside the filters of the runs, and most of these questions never reach the tables.
//!
//! What is kept is never less than what is committed, nor than what the transaction under way has added:
//! a key is here before its transaction ends, and goes only once a run that has it is read. A transaction
//! that is undone leaves keys behind, which only cost a look into the tables.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use rusqlite::{Connection, Transaction};

use super::{Kind, Names, Result, Run};

/// Names of one kind.
#[derive(Debug)]
pub(super) struct Present {
    epoch: i64,
    runs: Arc<Vec<Run>>,
    recent: HashSet<i64>,
}

impl Present {
    fn may_hold(&self, key: i64) -> bool {
        let in_run = |run: &Run| run.filter.may_hold(key.cast_unsigned());
        self.recent.contains(&key) || self.runs.iter().any(in_run)
    }
}

impl Names {
    /// False only if no row has the name: neither one that is committed, nor one of the transaction that
    /// writes.
    pub(in crate::catalog) fn may_be_there(&self, kind: Kind, key: i64) -> bool {
        let present = self.present[kind as usize].read().unwrap_or_else(PoisonError::into_inner);
        present.as_ref().is_none_or(|present| present.may_hold(key))
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
            *present.write().unwrap_or_else(PoisonError::into_inner) = next;
        }
    }

    /// Notes a key that is about to be added.
    pub(super) fn expect(&self, kind: Kind, key: i64) {
        let mut present =
            self.present[kind as usize].write().unwrap_or_else(PoisonError::into_inner);
        if let Some(present) = &mut *present {
            present.recent.insert(key);
        }
    }

    fn load_present(&self, connection: &Connection, kind: Kind) -> Result<Present> {
        let epoch = super::epoch(connection, kind)?;
        let runs = self.runs(connection, kind)?;
        let mut statement =
            connection.prepare_cached(&format!("SELECT key FROM {}", kind.table()))?;
        let recent = statement.query_map([], |row| row.get(0))?.collect::<Result<_>>()?;
        Ok(Present { epoch, runs, recent })
    }
}
