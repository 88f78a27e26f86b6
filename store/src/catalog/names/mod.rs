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

mod filter;
mod merge;
mod present;
mod run;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rusqlite::{Connection, Row, Transaction, params};

use filter::Filter;
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
        let key_bits = key.cast_unsigned();
        for run in runs.iter().filter(|run| run.filter.may_hold(key_bits)) {
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
        "SELECT no, numbered_by, buckets FROM name_run WHERE kind = ?1 AND state = 0
         ORDER BY no DESC",
    )?;
    let rows =
        statement.query_map([kind as i64], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.map(|row| {
        let (no, numbered, buckets): (i64, NumberedBy, i64) = row?;
        let filter = match filters.get(&no) {
            Some(filter) => Arc::clone(filter),
            None => Arc::new(Filter::load(connection, no, buckets.cast_unsigned())?),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn open() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(NAMES).unwrap();
        connection
    }

    /// A key that looks like a hash. Of 64 numbers two share theirs.
    fn key_of(no: u64) -> i64 {
        let no = if no % 64 == 1 { no - 1 } else { no };
        let hash = *blake3::hash(&no.to_le_bytes()).as_bytes();
        i64::from_le_bytes(*hash.first_chunk().unwrap())
    }

    /// Numbers of a key, out of those below `end`.
    fn alike(no: u64, end: u64) -> Vec<u64> {
        let pair = if no % 64 < 2 { no / 64 * 64..no / 64 * 64 + 2 } else { no..no + 1 };
        pair.filter(|no| *no < end).collect()
    }

    fn add_some(names: &Names, connection: &mut Connection, numbers: std::ops::Range<u64>) {
        let transaction = connection.transaction().unwrap();
        let added = numbers.end - numbers.start;
        for no in numbers {
            names.add(&transaction, Kind::Chunk, key_of(no), no.cast_signed()).unwrap();
        }
        settle(&transaction, Kind::Chunk, added).unwrap();
        transaction.commit().unwrap();
    }

    fn count(connection: &Connection, sql: &str) -> i64 {
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn found(names: &Names, connection: &mut Connection, key: i64) -> Vec<u64> {
        let transaction = connection.transaction().unwrap();
        let found = names.find(&transaction, Kind::Chunk, key).unwrap();
        let mut found: Vec<u64> = found.into_iter().map(i64::cast_unsigned).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn every_name_is_found_while_runs_are_made_merged_and_removed() {
        let (mut connection, names) = (open(), Names::default());
        let (all, commit) = (700_000u64, 1237u64);
        let mut rows: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
        let mut runs_most = 0;
        for from in (0..all).step_by(commit as usize) {
            add_some(&names, &mut connection, from..all.min(from + commit));
            for no in from..all.min(from + commit) {
                rows.entry(key_of(no)).or_default().push(no);
            }
            runs_most = runs_most.max(count(&connection, "SELECT count(*) FROM name_run"));
            // Those of the lowest level do not wait for a merge of one above.
            let level =
                "SELECT count(*) FROM name_run WHERE level = 0 AND state = 0 AND target = 0";
            assert!(count(&connection, level) < 8);
            for no in [0, from / 3, from / 2, from] {
                assert_eq!(found(&names, &mut connection, key_of(no)), rows[&key_of(no)], "{no}");
            }
        }
        for (key, rows) in &rows {
            assert_eq!(found(&names, &mut connection, *key), *rows);
        }
        // Nothing is there twice, nothing that was merged is left, and reads meet few runs.
        let unknown = (0..2000)
            .filter(|no| !found(&names, &mut connection, key_of(all + 64 + no)).is_empty());
        assert_eq!(unknown.count(), 0);
        assert!(runs_most < 40, "{runs_most}");
        assert_eq!(count(&connection, "SELECT max(level) FROM name_run"), 2);
        while count(&connection, "SELECT count(*) FROM name_run WHERE state <> 0") > 0 {
            merge::work(&connection.transaction().unwrap(), Kind::Chunk, 1).unwrap();
            let transaction = connection.transaction().unwrap();
            merge::work(&transaction, Kind::Chunk, 100_000).unwrap();
            transaction.commit().unwrap();
        }
        let blocks =
            "SELECT count(*) FROM name_block WHERE no >> 39 NOT IN (SELECT no FROM name_run)";
        assert_eq!(count(&connection, blocks), 0);
        let entries = "SELECT sum(length(entries)) / 13 FROM name_block";
        let recent = count(&connection, "SELECT count(*) FROM recent_chunk");
        assert_eq!(count(&connection, entries) + recent, all.cast_signed());
    }

    #[test]
    fn what_is_there_is_known_from_memory_as_well() {
        let (mut connection, names) = (open(), Names::default());
        add_some(&names, &mut connection, 0..20_000);
        assert!(names.may_be_there(Kind::Chunk, key_of(1_000_002)), "nobody watches");
        let unknown = |names: &Names, end: u64| {
            let there = (end + 64..end + 2064)
                .filter(|no| names.may_be_there(Kind::Chunk, key_of(*no)))
                .count();
            assert!(there < 100, "{there}");
        };
        for from in (20_000..400_000u64).step_by(977) {
            let end = from + 977;
            let transaction = connection.transaction().unwrap();
            names.watch(&transaction).unwrap();
            for no in from..end {
                names.add(&transaction, Kind::Chunk, key_of(no), no.cast_signed()).unwrap();
                assert!(names.may_be_there(Kind::Chunk, key_of(no)));
            }
            settle(&transaction, Kind::Chunk, 977).unwrap();
            if from % 5 == 0 {
                // It is undone, and tried again.
                drop(transaction);
                names.committed(&connection);
                let transaction = connection.transaction().unwrap();
                names.watch(&transaction).unwrap();
                for no in from..end {
                    names.add(&transaction, Kind::Chunk, key_of(no), no.cast_signed()).unwrap();
                }
                settle(&transaction, Kind::Chunk, 977).unwrap();
                transaction.commit().unwrap();
            } else {
                transaction.commit().unwrap();
            }
            // Between a commit and what is learned of it nothing is missing either.
            for no in (0..end).step_by(101) {
                assert!(names.may_be_there(Kind::Chunk, key_of(no)), "{no} of {end}");
            }
            names.committed(&connection);
            for no in (0..end).step_by(101).chain(from..end) {
                assert!(names.may_be_there(Kind::Chunk, key_of(no)), "{no} of {end}");
            }
            unknown(&names, end);
        }
        let others = Names::default();
        let transaction = connection.transaction().unwrap();
        others.watch(&transaction).unwrap();
        drop(transaction);
        unknown(&others, 500_000);
        for no in 0..399_900 {
            assert!(others.may_be_there(Kind::Chunk, key_of(no)), "{no}");
        }
    }

    #[test]
    fn filters_let_little_through_for_one_or_two_bytes_a_name() {
        let connection = &mut open();
        let entries = |from: u64, to: u64| {
            let mut entries: Vec<Entry> = (from..to)
                .map(|no| Entry { key: key_of(2 * no + 1).cast_unsigned(), no })
                .collect();
            entries.sort_unstable();
            entries
        };
        let all = entries(0, 100_000);
        let others = entries(100_000, 200_000);
        let transaction = connection.transaction().unwrap();
        for (level, bytes, expected) in
            [(1, 200_000, 100..400), (2, 145_472, 400..1_200), (3, 114_304, 1_000..3_000)]
        {
            transaction.execute("DELETE FROM name_run", []).unwrap();
            let sorted = all.iter().copied().map(Ok);
            run::write_whole(&transaction, Kind::Chunk, level, 100_000, sorted).unwrap();
            let (no, buckets): (i64, i64) = transaction
                .query_row("SELECT no, buckets FROM name_run", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .unwrap();
            assert_eq!(buckets * 64, bytes);
            let filter = Filter::load(&transaction, no, buckets.cast_unsigned()).unwrap();
            assert!(all.iter().all(|entry| filter.may_hold(entry.key)));
            let through = others.iter().filter(|entry| filter.may_hold(entry.key)).count();
            assert!(expected.contains(&through), "{through}");
            let blocks = format!("SELECT count(*) FROM name_block WHERE no >> 39 = {no}");
            let full = 100_000u64.div_ceil(run::BLOCK_ENTRIES as u64).cast_signed();
            assert_eq!(count(&transaction, &blocks), full);
        }
    }

    #[test]
    fn what_a_reader_saw_stays_whole_while_others_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names");
        let mut writer = Connection::open(&path).unwrap();
        writer.pragma_update(None, "journal_mode", "WAL").unwrap();
        writer.execute_batch(NAMES).unwrap();
        let names = Names::default();
        add_some(&names, &mut writer, 0..100_000);
        let mut reader = Connection::open(&path).unwrap();
        let old = reader.transaction().unwrap();
        assert_eq!(names.find(&old, Kind::Chunk, key_of(2)).unwrap(), [2]);
        for from in (100_000..400_000).step_by(1000) {
            add_some(&names, &mut writer, from..from + 1000);
            assert_eq!(found(&names, &mut writer, key_of(from)), alike(from, from + 1000));
        }
        for no in (0..100_000).step_by(97) {
            let found = names.find(&old, Kind::Chunk, key_of(no)).unwrap();
            assert_eq!(found.len(), alike(no, 100_000).len(), "{no}");
        }
        assert_eq!(names.find(&old, Kind::Chunk, key_of(300_001)).unwrap(), [0i64; 0]);
    }

    #[test]
    fn who_looks_into_an_older_snapshot_hides_nothing_that_came_since() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names");
        let mut writer = Connection::open(&path).unwrap();
        writer.pragma_update(None, "journal_mode", "WAL").unwrap();
        writer.execute_batch(NAMES).unwrap();
        let names = Names::default();
        add_some(&names, &mut writer, 0..20_000);
        names.watch(&writer.transaction().unwrap()).unwrap();
        let mut reader = Connection::open(&path).unwrap();
        // Within an epoch, and over several.
        for (from, commits) in [(20_000, 1), (30_000, 40)] {
            let commits = (from..).step_by(1000).take(commits);
            let end = commits.clone().last().unwrap() + 1000;
            let old = reader.transaction().unwrap();
            assert_eq!(names.find(&old, Kind::Chunk, key_of(2)).unwrap(), [2]);
            for from in commits {
                // Looked for in vain, and then added.
                for no in from..from + 1000 {
                    names.find(&old, Kind::Chunk, key_of(no)).unwrap();
                }
                assert!(!names.may_be_there(Kind::Chunk, key_of(from)), "{from}");
                add_some(&names, &mut writer, from..from + 1000);
                for no in from..from + 1000 {
                    assert_eq!(names.find(&old, Kind::Chunk, key_of(no)).unwrap(), [0i64; 0]);
                }
                names.committed(&writer);
                for no in from..from + 1000 {
                    names.find(&old, Kind::Chunk, key_of(no)).unwrap();
                    assert!(names.may_be_there(Kind::Chunk, key_of(no)), "{no}");
                }
            }
            drop(old);
            for no in from..end {
                assert_eq!(found(&names, &mut reader, key_of(no)).len(), alike(no, end).len());
            }
        }
    }

    #[test]
    fn a_commit_that_is_undone_leaves_no_trace() {
        let (mut connection, names) = (open(), Names::default());
        add_some(&names, &mut connection, 0..60_000);
        for from in (60_000..80_000).step_by(1000) {
            let transaction = connection.transaction().unwrap();
            for no in from..from + 1000 {
                names.add(&transaction, Kind::Chunk, key_of(no), -1).unwrap();
                names.find(&transaction, Kind::Chunk, key_of(no)).unwrap();
            }
            settle(&transaction, Kind::Chunk, 30_000).unwrap();
            drop(transaction);
            assert_eq!(found(&names, &mut connection, key_of(from + 63)), [0u64; 0]);
            add_some(&names, &mut connection, from..from + 1000);
        }
        for no in 0..80_000 {
            assert_eq!(found(&names, &mut connection, key_of(no)), alike(no, 80_000));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Keys of which many are alike, or alike in what tells blocks apart.
        #[test]
        fn alike_keys_are_all_found(
            keys in prop::collection::vec((0u64..4, 0u64..3, 0u64..3), 1..3000),
            steps in prop::collection::vec(1u64..2000, 1..20),
        ) {
            let mut connection = open();
            let mut rows: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            let transaction = connection.transaction().unwrap();
            for part in keys.chunks(keys.len().div_ceil(8)) {
                let mut entries: Vec<Entry> = Vec::new();
                for (high, middle, low) in part {
                    let key = high << 62 | middle << 25 | low;
                    let no = rows.values().map(|rows| rows.len() as u64).sum();
                    rows.entry(key).or_default().push(no);
                    entries.push(Entry { key, no });
                }
                entries.sort_unstable();
                let count = entries.len() as u64;
                run::write_whole(&transaction, Kind::Chunk, 0, count, entries.into_iter().map(Ok)).unwrap();
            }
            let names = Names::default();
            for step in steps {
                merge::work(&transaction, Kind::Chunk, step).unwrap();
                for (key, rows) in &rows {
                    let mut found = names.find(&transaction, Kind::Chunk, key.cast_signed()).unwrap();
                    found.sort_unstable();
                    let found: Vec<u64> = found.into_iter().map(i64::cast_unsigned).collect();
                    prop_assert_eq!(&found, rows);
                }
            }
        }
    }
}
