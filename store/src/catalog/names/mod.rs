//! Which row a name has: sorted runs, and beside them what came last.
//!
//! Names of chunks and instances are hashes, so an ordinary index over them is touched at random: with
//! millions of rows every commit dirties a page for each name, and costs more the more there are. Here
//! a commit writes its names into a small table. Once that is full it becomes a *run*: entries in order,
//! in blocks of one page each, never changed again. Runs of one size are merged into one of the next,
//! a little with each commit, in proportion to what it brought. So a name is written some four times in
//! all, always in order, however many there are.
//!
//! A run has a *filter*: a byte or two for each name, in memory, that tells of nearly every name that it
//! is not in the run. All of it is rows of the catalog's own file: a transaction has it whole or not,
//! and a reader sees the runs of its snapshot while others are being merged.
//!
//! An entry is eight bytes of a name ([`Entry::key`]) and a row's number. Whoever looks up compares the
//! whole name in the row; an entry whose row is gone does no harm.

mod bits;
mod equations;
mod filter;
mod merge;
mod present;
mod run;
#[cfg(test)]
pub(super) mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rusqlite::{Connection, Row, Transaction, params};

use filter::{Asked, Filter, Told};
use present::Present;
use run::NumberedBy;

type Result<T> = rusqlite::Result<T>;

/// The tables. Runs are whole (state 0), being made (1) or leaving (2).
pub(super) const NAMES: &str = "
CREATE TABLE recent_chunk (
    key INTEGER NOT NULL,
    no  INTEGER NOT NULL,
    PRIMARY KEY (key, no)
) WITHOUT ROWID;
CREATE TABLE recent_instance (
    key INTEGER NOT NULL,
    no  INTEGER NOT NULL,
    PRIMARY KEY (key, no)
) WITHOUT ROWID;
CREATE TABLE name_state (
    kind   INTEGER PRIMARY KEY,
    -- Rows of the table of recent names.
    recent INTEGER NOT NULL,
    -- Entries that are to be merged before the runs are as few as they should be, at most.
    owed   INTEGER NOT NULL,
    -- Changes whenever other runs are to be read.
    epoch  INTEGER NOT NULL
);
INSERT INTO name_state VALUES (0, 0, 0, 0), (1, 0, 0, 0);
CREATE TABLE name_run (
    -- Never used again: blocks and filters are found, and remembered, by it.
    no      INTEGER PRIMARY KEY AUTOINCREMENT,
    kind    INTEGER NOT NULL,
    level   INTEGER NOT NULL,
    state   INTEGER NOT NULL,
    -- Buckets of its filter, and for how many keys each is meant.
    buckets INTEGER NOT NULL,
    bucket_keys INTEGER NOT NULL DEFAULT 64,
    -- Which keys of its blocks these are numbered by: the first ones (0) or the last ones (1).
    numbered_by INTEGER NOT NULL DEFAULT 0,
    -- How its filter tells names: by bits (0) or by equations (1).
    told INTEGER NOT NULL DEFAULT 0,
    -- While it is made: the key behind which merging goes on; NULL at first.
    behind  INTEGER,
    -- The run that it is being merged into; 0: none.
    target  INTEGER NOT NULL
);
-- Entries in order, by the number of the run (24 bits) and the first 39 bits of a key.
CREATE TABLE name_block (
    no      INTEGER PRIMARY KEY,
    entries BLOB NOT NULL
);
-- Parts of filters, by the number of the run (24 bits) and of the part (39 bits). What is not there
-- is empty.
CREATE TABLE name_filter (
    no   INTEGER PRIMARY KEY,
    bits BLOB NOT NULL
);
";

/// What the tables of an older schema lack: all its filters are of 64 keys to a bucket.
pub(super) const BUCKET_KEYS: &str =
    "ALTER TABLE name_run ADD COLUMN bucket_keys INTEGER NOT NULL DEFAULT 64";

/// What the tables of schema 7 lack: its runs are numbered by first keys.
pub(super) const NUMBERED_BY: &str =
    "ALTER TABLE name_run ADD COLUMN numbered_by INTEGER NOT NULL DEFAULT 0";

/// What the tables of schema 8 lack: the filters of all its runs are of bits.
pub(super) const TOLD: &str = "ALTER TABLE name_run ADD COLUMN told INTEGER NOT NULL DEFAULT 0";

/// Recent names of a kind that become a run. The table is some 40 pages then, and a commit of hundreds
/// of names writes each page once.
const RECENT_MAX: u64 = 8192;

/// Pages that a connection keeps while filters are read for the first time.
const LOADING_CACHE_PAGES: i64 = 64;

/// Whose names they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rows of `chunk`.
    Chunk = 0,
    /// Rows of `instance`.
    Instance = 1,
}

impl Kind {
    fn table(self) -> &'static str {
        match self {
            Self::Chunk => "recent_chunk",
            Self::Instance => "recent_instance",
        }
    }
}

/// A name's key and its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// Eight bytes of a hash.
    pub(super) key: u64,
    /// The row's number, below 2^40.
    pub(super) no: u64,
}

/// A run that can be read.
#[derive(Clone, Debug)]
struct Run {
    no: i64,
    numbered: NumberedBy,
    filter: Arc<Filter>,
}

/// Runs of a kind, newest first, as of an epoch.
#[derive(Clone, Debug, Default)]
struct Runs {
    epoch: i64,
    runs: Arc<Vec<Run>>,
}

/// What a process remembers of the runs, for all its connections.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: Mutex<[Runs; 2]>,
    /// Held by who loads filters. With tens of millions of names these take a tenth of a second and tens of
    /// megabytes, and when a catalog is opened all its connections need them at once.
    loading: [Mutex<()>; 2],
    /// What there may be; nothing where others may add names as well.
    present: [RwLock<Option<Present>>; 2],
}

impl Names {
    /// Rows that may have the name; all that do are among them. The connection has to be in a
    /// transaction, or runs could go while they are read; and in one that writes, this comes before
    /// [`settle`]: what is remembered here must never be undone.
    pub(super) fn find(&self, connection: &Connection, kind: Kind, key: i64) -> Result<Vec<i64>> {
        // Names are never taken back, so what is not there now was not there in an older snapshot.
        if !self.may_be_there(kind, key) {
            return Ok(Vec::new());
        }
        let Runs { epoch, runs } = self.runs(connection, kind)?;
        let mut found = Vec::new();
        if !self.is_not_recent(kind, key, epoch) {
            let recent = match kind {
                Kind::Chunk => "SELECT no FROM recent_chunk WHERE key = ?1",
                Kind::Instance => "SELECT no FROM recent_instance WHERE key = ?1",
            };
            let mut recent = connection.prepare_cached(recent)?;
            for no in recent.query_map([key], |row| row.get(0))? {
                found.push(no?);
            }
        }
        let (key_bits, asked) = (key.cast_unsigned(), Asked::of(key.cast_unsigned()));
        for run in runs.iter().filter(|run| run.filter.may_hold(asked)) {
            run::find(connection, (run.no, run.numbered), key_bits, &mut found)?;
        }
        if found.is_empty() {
            self.in_vain(kind, key, epoch);
        }
        Ok(found)
    }

    /// The runs of the connection's snapshot.
    fn runs(&self, connection: &Connection, kind: Kind) -> Result<Runs> {
        let epoch = epoch(connection, kind)?;
        let known = self.known(kind);
        if known.epoch == epoch {
            return Ok(known);
        }
        if known.epoch > epoch {
            // Whoever reads an older snapshot leaves what is known of a newer one, and nobody waits for it.
            let runs = load(connection, kind, &known).map(Arc::new)?;
            return Ok(Runs { epoch, runs });
        }
        let _alone = self.loading[kind as usize].lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known(kind);
        if known.epoch == epoch {
            return Ok(known);
        }
        let now = Runs { epoch, runs: Arc::new(load(connection, kind, &known)?) };
        if known.epoch < epoch {
            let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            all[kind as usize] = now.clone();
        }
        Ok(now)
    }

    /// Notes a row's name. [`settle`] has to follow in the same transaction, with how many there were.
    pub(super) fn add(
        &self,
        transaction: &Transaction<'_>,
        kind: Kind,
        key: i64,
        no: i64,
    ) -> Result<()> {
        self.expect(kind, key);
        let sql = match kind {
            Kind::Chunk => "INSERT OR IGNORE INTO recent_chunk VALUES (?1, ?2)",
            Kind::Instance => "INSERT OR IGNORE INTO recent_instance VALUES (?1, ?2)",
        };
        transaction.prepare_cached(sql)?.execute([key, no])?;
        Ok(())
    }

    fn known(&self, kind: Kind) -> Runs {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)[kind as usize].clone()
    }
}

/// Which runs are to be read, of all that there were.
fn epoch(connection: &Connection, kind: Kind) -> Result<i64> {
    connection
        .prepare_cached("SELECT epoch FROM name_state WHERE kind = ?1")?
        .query_row([kind as i64], |row| row.get(0))
}

/// Runs that are whole; their filters are taken from what is known where they are there.
fn load(connection: &Connection, kind: Kind, known: &Runs) -> Result<Vec<Run>> {
    if !known.runs.is_empty() {
        return load_runs(connection, kind, known);
    }
    // Filters are read once, and then kept here: in the connection's own cache all their pages would
    // stand a second time, in memory that is got for them.
    let pages: i64 = connection.pragma_query_value(None, "cache_size", |row| row.get(0))?;
    connection.pragma_update(None, "cache_size", LOADING_CACHE_PAGES)?;
    let loaded = load_runs(connection, kind, known);
    connection.pragma_update(None, "cache_size", pages)?;
    loaded
}

fn load_runs(connection: &Connection, kind: Kind, known: &Runs) -> Result<Vec<Run>> {
    let filters: HashMap<i64, &Arc<Filter>> =
        known.runs.iter().map(|run| (run.no, &run.filter)).collect();
    let mut statement = connection.prepare_cached(
        "SELECT no, numbered_by, buckets, told FROM name_run WHERE kind = ?1 AND state = 0
         ORDER BY no DESC",
    )?;
    let rows = statement
        .query_map([kind as i64], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    rows.map(|row| {
        let (no, numbered, buckets, told): (i64, NumberedBy, i64, Told) = row?;
        let filter = match filters.get(&no) {
            Some(filter) => Arc::clone(filter),
            None => Arc::new(Filter::load(connection, no, buckets.cast_unsigned(), told)?),
        };
        Ok(Run { no, numbered, filter })
    })
    .collect()
}

/// After names were added: counts them, and does a share of the merging. The last thing in a
/// transaction that has to do with names.
pub(super) fn settle(transaction: &Transaction<'_>, kind: Kind, added: u64) -> Result<()> {
    if added == 0 {
        return Ok(());
    }
    let (recent, owed): (i64, i64) = transaction
        .prepare_cached(
            "UPDATE name_state SET recent = recent + ?2, owed = owed + ?3 WHERE kind = ?1
             RETURNING recent, owed",
        )?
        .query_row(
            params![kind as i64, added.cast_signed(), (added * merge::SHARE).cast_signed()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
    if recent.cast_unsigned() >= RECENT_MAX {
        let entries = recent_entries(transaction, kind)?;
        run::write_whole(transaction, kind, 0, entries.len() as u64, entries.into_iter().map(Ok))?;
        transaction.execute(&format!("DELETE FROM {}", kind.table()), [])?;
        transaction.execute("UPDATE name_state SET recent = 0 WHERE kind = ?1", [kind as i64])?;
    }
    if owed.cast_unsigned() >= merge::STEP_MIN {
        merge::work(transaction, kind, owed.cast_unsigned())?;
        transaction.execute("UPDATE name_state SET owed = 0 WHERE kind = ?1", [kind as i64])?;
    }
    Ok(())
}

fn recent_entries(transaction: &Transaction<'_>, kind: Kind) -> Result<Vec<Entry>> {
    let mut statement =
        transaction.prepare_cached(&format!("SELECT key, no FROM {}", kind.table()))?;
    let mut entries: Vec<Entry> = statement.query_map([], entry)?.collect::<Result<_>>()?;
    // Signed numbers in the table, unsigned ones in a run.
    entries.sort_unstable();
    Ok(entries)
}

/// Makes one run for each index of the schema before, which the caller then drops.
pub(super) fn adopt(transaction: &Transaction<'_>) -> Result<()> {
    for (kind, table) in [(Kind::Chunk, "chunk"), (Kind::Instance, "instance")] {
        let count: i64 =
            transaction
                .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
        if count == 0 {
            continue;
        }
        // The index holds signed numbers; in a run they are unsigned, negative ones last.
        let part =
            |sign| format!("SELECT key, no FROM {table} WHERE key {sign} 0 ORDER BY key, no");
        let mut low = transaction.prepare(&part(">="))?;
        let mut high = transaction.prepare(&part("<"))?;
        let entries = low.query_map([], entry)?.chain(high.query_map([], entry)?);
        run::write_whole(transaction, kind, merge::level_of(count as u64), count as u64, entries)?;
    }
    Ok(())
}

fn entry(row: &Row<'_>) -> Result<Entry> {
    Ok(Entry { key: row.get::<_, i64>(0)?.cast_unsigned(), no: row.get::<_, i64>(1)? as u64 })
}
