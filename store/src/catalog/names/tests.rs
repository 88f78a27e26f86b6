#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::filter::{FilterWriter, Layout};
use super::run::{RunWriter, State};
use super::*;

fn open() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(NAMES).unwrap();
    connection
}

/// The same in a file, for several connections.
fn open_file() -> (tempfile::TempDir, std::path::PathBuf, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("names");
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.execute_batch(NAMES).unwrap();
    (folder, path, connection)
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

/// Makes the tables of schema 8: the filters of whole runs, and those that are being made, are of bits.
pub(in crate::catalog) fn tell_by_bits(connection: &Connection) {
    let sql = "SELECT no, buckets FROM name_run WHERE state <> 2";
    let mut runs = connection.prepare(sql).unwrap();
    let runs = runs.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
    for run in runs.unwrap() {
        let (run, buckets) = run.unwrap();
        let rows = [run::first_row(run), run::last_row(run)];
        connection.execute("DELETE FROM name_filter WHERE no BETWEEN ?1 AND ?2", rows).unwrap();
        let layout = (buckets.cast_unsigned(), Told::ByBits);
        let mut filter = FilterWriter::resume(connection, run, layout, None).unwrap();
        let sql = "SELECT entries FROM name_block WHERE no BETWEEN ?1 AND ?2 ORDER BY no";
        let mut blocks = connection.prepare(sql).unwrap();
        for block in blocks.query_map(rows, |row| row.get::<_, Vec<u8>>(0)).unwrap() {
            for entry in block.unwrap().as_chunks::<13>().0 {
                let key = u64::from_be_bytes(*entry.first_chunk().unwrap());
                filter.add(connection, key).unwrap();
            }
        }
        filter.write(connection).unwrap();
    }
    connection.execute_batch("ALTER TABLE name_run DROP COLUMN told").unwrap();
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
        let level = "SELECT count(*) FROM name_run WHERE level = 0 AND state = 0 AND target = 0";
        assert!(count(&connection, level) < 8);
        for no in [0, from / 3, from / 2, from] {
            assert_eq!(found(&names, &mut connection, key_of(no)), rows[&key_of(no)], "{no}");
        }
    }
    for (key, rows) in &rows {
        assert_eq!(found(&names, &mut connection, *key), *rows);
    }
    // Nothing is there twice, nothing that was merged is left, and reads meet few runs.
    let unknown =
        (0..2000).filter(|no| !found(&names, &mut connection, key_of(all + 64 + no)).is_empty());
    assert_eq!(unknown.count(), 0);
    assert!(runs_most < 40, "{runs_most}");
    assert_eq!(count(&connection, "SELECT max(level) FROM name_run"), 2);
    while count(&connection, "SELECT count(*) FROM name_run WHERE state <> 0") > 0 {
        merge::work(&connection.transaction().unwrap(), Kind::Chunk, 1).unwrap();
        let transaction = connection.transaction().unwrap();
        merge::work(&transaction, Kind::Chunk, 100_000).unwrap();
        transaction.commit().unwrap();
    }
    let blocks = "SELECT count(*) FROM name_block WHERE no >> 39 NOT IN (SELECT no FROM name_run)";
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
        let mut entries: Vec<Entry> =
            (from..to).map(|no| Entry { key: key_of(2 * no + 1).cast_unsigned(), no }).collect();
        entries.sort_unstable();
        entries
    };
    let all = entries(0, 100_000);
    let others = entries(100_000, 200_000);
    let transaction = connection.transaction().unwrap();
    for (level, bytes, expected) in
        [(1, 400_000, 0..30), (2, 200_000, 100..400), (3, 114_304, 250..600)]
    {
        transaction.execute("DELETE FROM name_run", []).unwrap();
        let sorted = all.iter().copied().map(Ok);
        run::write_whole(&transaction, Kind::Chunk, level, 100_000, sorted).unwrap();
        let (no, buckets): (i64, i64) = transaction
            .query_row("SELECT no, buckets FROM name_run", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(buckets * 64, bytes);
        let told = Layout::of(level, 100_000).told;
        let filter = Filter::load(&transaction, no, buckets.cast_unsigned(), told).unwrap();
        let may_hold = |entry: &&Entry| filter.may_hold(Asked::of(entry.key));
        assert!(all.iter().all(|entry| may_hold(&entry)));
        let through = others.iter().filter(may_hold).count();
        assert!(expected.contains(&through), "{through}");
        let blocks = format!("SELECT count(*) FROM name_block WHERE no >> 39 = {no}");
        let full = 100_000u64.div_ceil(run::BLOCK_ENTRIES as u64).cast_signed();
        assert_eq!(count(&transaction, &blocks), full);
    }
}

#[test]
fn what_a_reader_saw_stays_whole_while_others_go_on() {
    let (_folder, path, mut writer) = open_file();
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
    let (_folder, path, mut writer) = open_file();
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

    /// Wherever writing was interrupted, and however often.
    #[test]
    fn a_filter_that_is_written_in_steps_has_every_key(
        steps in prop::collection::vec(1usize..700, 1..12),
        by_equations: bool,
    ) {
        let mut connection = open();
        let transaction = connection.transaction().unwrap();
        let all = steps.iter().sum::<usize>() as u64;
        let mut keys: Vec<u64> = (0..all).map(|no| key_of(no).cast_unsigned()).collect();
        keys.sort_unstable();
        let told = if by_equations { Told::ByEquations } else { Told::ByBits };
        let layout = Layout { buckets: all.div_ceil(56), bucket_keys: 56, told };
        let run = run::begin(&transaction, Kind::Chunk, 3, State::Made, layout).unwrap();
        let (mut rest, mut behind) = (&*keys, None);
        for step in steps {
            let filter = (layout.buckets, told);
            let target = (run, NumberedBy::Last);
            let mut writer = RunWriter::resume(&transaction, target, filter, behind).unwrap();
            // Never between two of one key.
            let step = step.min(rest.len());
            let alike = rest[step..].iter().take_while(|key| rest[..step].last() == Some(*key));
            let (now, later) = rest.split_at(step + alike.count());
            for key in now {
                writer.push(&transaction, Entry { key: *key, no: 0 }).unwrap();
            }
            writer.write(&transaction).unwrap();
            (rest, behind) = (later, now.last().copied().or(behind));
        }
        let filter = Filter::load(&transaction, run, layout.buckets, told).unwrap();
        for key in keys {
            prop_assert!(filter.may_hold(Asked::of(key)));
        }
        let others = (all + 64..all + 1064).map(|no| Asked::of(key_of(no).cast_unsigned()));
        let through = others.filter(|asked| filter.may_hold(*asked)).count();
        prop_assert!(through < 100, "{through} of 1000");
    }

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
