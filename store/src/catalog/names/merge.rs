//! Merging: eight runs of a level become one of the next.
//!
//! It is done in steps, each in the transaction of a commit, and where it stands is in the tables: the
//! next step, of this process or another, goes on from there, and a crash undoes a step as it does the
//! commit.

use rusqlite::{OptionalExtension, Transaction, params};

use super::filter::{Layout, Told};
use super::run::{self, BLOCK_ENTRIES, Cursor, NumberedBy, RunWriter, State};
use super::{Kind, RECENT_MAX, Result};

/// Runs of a level that are merged into one of the next.
const FAN_IN: u64 = 8;
/// Entries that may be merged for each that is added. A name is written once on each level, of which ten
/// million names have four; the rest is for removing what was merged.
pub(super) const SHARE: u64 = 8;
/// Fewer are not worth a step, which reads a block of each run and writes one.
pub(super) const STEP_MIN: u64 = 4096;
/// Removing a block costs about as much as merging so many entries.
const REMOVAL_ENTRIES: u64 = BLOCK_ENTRIES as u64 / 4;

/// The level of a run of so many entries.
pub(super) fn level_of(entries: u64) -> u32 {
    (entries / RECENT_MAX).max(1).ilog(FAN_IN)
}

/// Merges and removes up to about `entries`, if there is as much to do.
pub(super) fn work(transaction: &Transaction<'_>, kind: Kind, entries: u64) -> Result<()> {
    let mut left = entries;
    while left > 0 {
        let made = made(transaction, kind)?;
        // A long merge does not keep short ones waiting: runs that pile up are read one by one.
        if begin(transaction, kind, made.as_ref().map_or(u32::MAX, |merge| merge.level))? {
            continue;
        }
        let done = match made {
            Some(merge) => merge.step(transaction, left)?,
            None => remove(transaction, kind, left)?,
        };
        if done == 0 {
            break;
        }
        left = left.saturating_sub(done);
    }
    Ok(())
}

/// A run that is being made.
struct Merge {
    kind: Kind,
    level: u32,
    target: i64,
    numbered: NumberedBy,
    /// Of its filter.
    buckets: u64,
    told: Told,
    behind: Option<u64>,
}

/// The one of the lowest level: those above can wait longer.
fn made(transaction: &Transaction<'_>, kind: Kind) -> Result<Option<Merge>> {
    transaction
        .prepare_cached(
            "SELECT no, buckets, behind, level, numbered_by, told FROM name_run
             WHERE kind = ?1 AND state = ?2 ORDER BY level LIMIT 1",
        )?
        .query_row([kind as i64, State::Made as i64], |row| {
            Ok(Merge {
                kind,
                target: row.get(0)?,
                buckets: row.get::<_, i64>(1)?.cast_unsigned(),
                behind: row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned),
                level: row.get(3)?,
                numbered: row.get(4)?,
                told: row.get(5)?,
            })
        })
        .optional()
}

/// Begins to merge the lowest level that has runs enough into one below `limit`. False if none has.
fn begin(transaction: &Transaction<'_>, kind: Kind, limit: u32) -> Result<bool> {
    let full: Option<(u32, i64)> = transaction
        .prepare_cached(
            "SELECT level, sum(buckets * bucket_keys) FROM name_run
             WHERE kind = ?1 AND state = ?2 AND target = 0 AND level + 1 < ?4
             GROUP BY level HAVING count(*) >= ?3 ORDER BY level LIMIT 1",
        )?
        .query_row(params![kind as i64, State::Whole as i64, FAN_IN.cast_signed(), limit], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((level, keys)) = full else { return Ok(false) };
    let filter = Layout::of(level + 1, keys.cast_unsigned());
    let target = run::begin(transaction, kind, level + 1, State::Made, filter)?;
    transaction
        .prepare_cached(
            "UPDATE name_run SET target = ?1
             WHERE kind = ?2 AND level = ?3 AND state = ?4 AND target = 0",
        )?
        .execute(params![target, kind as i64, level, State::Whole as i64])?;
    Ok(true)
}

impl Merge {
    /// Merges up to about `entries`; gives how many.
    fn step(&self, transaction: &Transaction<'_>, entries: u64) -> Result<u64> {
        let mut cursors = self.cursors(transaction)?;
        let target = (self.target, self.numbered);
        let filter = (self.buckets, self.told);
        let mut writer = RunWriter::resume(transaction, target, filter, self.behind)?;
        let (mut done, mut last) = (0, self.behind);
        loop {
            let next = cursors.iter_mut().filter_map(|cursor| Some((cursor.entry()?, cursor)));
            let Some((entry, cursor)) = next.min_by_key(|(entry, _)| *entry) else {
                return self.end(transaction, &mut writer, done);
            };
            // Never between two of one key: the next step begins behind it.
            if done >= entries && Some(entry.key) != last {
                break;
            }
            last = Some(entry.key);
            writer.push(transaction, entry)?;
            cursor.step(transaction)?;
            done += 1;
        }
        writer.write(transaction)?;
        transaction
            .prepare_cached("UPDATE name_run SET behind = ?2 WHERE no = ?1")?
            .execute(params![self.target, last.map(u64::cast_signed)])?;
        Ok(done)
    }

    fn cursors(&self, transaction: &Transaction<'_>) -> Result<Vec<Cursor>> {
        let mut statement = transaction.prepare_cached(
            "SELECT no, numbered_by FROM name_run WHERE target = ?1 AND state = 0",
        )?;
        let runs = statement.query_map([self.target], |row| Ok((row.get(0)?, row.get(1)?)))?;
        runs.map(|run| Cursor::seek(transaction, run?, self.behind)).collect()
    }

    /// From now on the run is read, and not those that were merged.
    fn end(&self, transaction: &Transaction<'_>, writer: &mut RunWriter, done: u64) -> Result<u64> {
        writer.write(transaction)?;
        let states = [
            ("UPDATE name_run SET state = ?2 WHERE target = ?1", State::Leaving),
            ("UPDATE name_run SET state = ?2, behind = NULL WHERE no = ?1", State::Whole),
        ];
        for (sql, state) in states {
            transaction.prepare_cached(sql)?.execute([self.target, state as i64])?;
        }
        run::next_epoch(transaction, self.kind)?;
        Ok(done.max(1))
    }
}

/// Removes rows of runs that were merged, for what so many entries cost; gives what it did cost.
fn remove(transaction: &Transaction<'_>, kind: Kind, entries: u64) -> Result<u64> {
    let leaving: Option<i64> = transaction
        .prepare_cached("SELECT min(no) FROM name_run WHERE kind = ?1 AND state = ?2")?
        .query_row([kind as i64, State::Leaving as i64], |row| row.get(0))?;
    let Some(leaving) = leaving else { return Ok(0) };
    let rows = (entries / REMOVAL_ENTRIES).max(1);
    let mut removed = 0;
    for table in ["name_block", "name_filter"] {
        let sql = format!(
            "DELETE FROM {table} WHERE no IN
                (SELECT no FROM {table} WHERE no BETWEEN ?1 AND ?2 ORDER BY no LIMIT ?3)"
        );
        let left = rows.saturating_sub(removed);
        removed += transaction.prepare_cached(&sql)?.execute(params![
            run::first_row(leaving),
            run::last_row(leaving),
            left.cast_signed(),
        ])? as u64;
    }
    if removed < rows {
        transaction.execute("DELETE FROM name_run WHERE no = ?1", [leaving])?;
    }
    Ok((removed * REMOVAL_ENTRIES).max(1))
}
