//! Runs: entries in order, in blocks of one page.
//!
//! A block is numbered by 39 bits of its last key. Keys that are alike in these stand in one block, whatever
//! its length: so the block with the least number at or above that of a key is the one that has it, and the
//! one page that is read for it. Runs of older builds are numbered by first keys, which costs two: a tree
//! finds what is at or below a number behind the page that has what is above it.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::filter::{self, FilterWriter, Layout, Told};
use super::{Entry, Kind, Result};

/// Bits of a key in the number of a block.
const PLACE_BITS: u32 = 39;
/// Runs there may ever be: at 8,192 names for each, enough for 10^11.
const RUN_MAX: i64 = (1 << 24) - 1;
/// Bytes of an entry: the key so that bytes are in its order, then five of the row's number.
const ENTRY_BYTES: usize = 13;
/// Entries of a block: with its row's head it fits a page of 4 KiB without one that overflows.
pub(super) const BLOCK_ENTRIES: usize = 310;

/// Where the rows of a run begin, in both tables.
pub(super) fn first_row(run: i64) -> i64 {
    run << PLACE_BITS
}

/// And where they end.
pub(super) fn last_row(run: i64) -> i64 {
    first_row(run + 1) - 1
}

fn place(key: u64) -> u64 {
    key >> (64 - PLACE_BITS)
}

fn row_of(run: i64, key: u64) -> i64 {
    first_row(run) | place(key).cast_signed()
}

/// Which key of a block its number is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberedBy {
    /// Runs that were begun before schema 8.
    First = 0,
    /// All others.
    Last = 1,
}

impl FromSql for NumberedBy {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_i64()? {
            0 => Ok(Self::First),
            1 => Ok(Self::Last),
            other => Err(FromSqlError::OutOfRange(other)),
        }
    }
}

fn pack(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for entry in entries {
        bytes.extend(entry.key.to_be_bytes());
        bytes.extend(&entry.no.to_be_bytes()[3..]);
    }
    bytes
}

fn unpack(entry: &[u8; ENTRY_BYTES]) -> Entry {
    let [a, b, c, d, e, f, g, h, no @ ..] = *entry;
    let no = no.iter().fold(0, |no, byte| no << 8 | u64::from(*byte));
    Entry { key: u64::from_be_bytes([a, b, c, d, e, f, g, h]), no }
}

fn entries_of(block: &[u8]) -> &[[u8; ENTRY_BYTES]] {
    block.as_chunks().0
}

/// Adds the rows that a key has in a run.
pub(super) fn find(
    connection: &Connection,
    (run, numbered): (i64, NumberedBy),
    key: u64,
    rows: &mut Vec<i64>,
) -> Result<()> {
    let (sql, range) = match numbered {
        NumberedBy::First => (
            "SELECT entries FROM name_block WHERE no BETWEEN ?1 AND ?2 ORDER BY no DESC LIMIT 1",
            [first_row(run), row_of(run, key)],
        ),
        NumberedBy::Last => (
            "SELECT entries FROM name_block WHERE no BETWEEN ?1 AND ?2 ORDER BY no LIMIT 1",
            [row_of(run, key), last_row(run)],
        ),
    };
    connection
        .prepare_cached(sql)?
        .query_row(range, |row| {
            let entries = entries_of(row.get_ref(0)?.as_blob()?);
            let first = entries.partition_point(|entry| unpack(entry).key < key);
            let mine = entries[first..].iter().map(unpack).take_while(|entry| entry.key == key);
            rows.extend(mine.map(|entry| entry.no.cast_signed()));
            Ok(())
        })
        .optional()
        .map(Option::unwrap_or_default)
}

/// Reads a run from a key on, block by block.
#[derive(Debug)]
pub(super) struct Cursor {
    run: i64,
    /// The row of the block that is read.
    row: i64,
    block: Vec<u8>,
    at: usize,
}

impl Cursor {
    /// At the first entry behind `behind`.
    pub(super) fn seek(
        connection: &Connection,
        (run, numbered): (i64, NumberedBy),
        behind: Option<u64>,
    ) -> Result<Self> {
        let mut cursor = Self { run, row: first_row(run) - 1, block: Vec::new(), at: 0 };
        let Some(behind) = behind else {
            cursor.turn(connection)?;
            return Ok(cursor);
        };
        cursor.row = match numbered {
            NumberedBy::Last => row_of(run, behind) - 1,
            NumberedBy::First => {
                let sql = "SELECT no FROM name_block WHERE no BETWEEN ?1 AND ?2
                           ORDER BY no DESC LIMIT 1";
                let range = [first_row(run), row_of(run, behind)];
                let mut block = connection.prepare_cached(sql)?;
                let block: Option<i64> = block.query_row(range, |row| row.get(0)).optional()?;
                block.map_or(cursor.row, |row| row - 1)
            }
        };
        cursor.turn(connection)?;
        while cursor.entry().is_some_and(|entry| entry.key <= behind) {
            cursor.step(connection)?;
        }
        Ok(cursor)
    }

    /// The entry that is next.
    pub(super) fn entry(&self) -> Option<Entry> {
        entries_of(&self.block).get(self.at).map(unpack)
    }

    pub(super) fn step(&mut self, connection: &Connection) -> Result<()> {
        self.at += 1;
        if self.at >= entries_of(&self.block).len() { self.turn(connection) } else { Ok(()) }
    }

    /// To the next block; at the end there is no entry.
    fn turn(&mut self, connection: &Connection) -> Result<()> {
        self.at = 0;
        self.block.clear();
        let sql =
            "SELECT no, entries FROM name_block WHERE no BETWEEN ?1 AND ?2 ORDER BY no LIMIT 1";
        connection
            .prepare_cached(sql)?
            .query_row([self.row + 1, last_row(self.run)], |row| {
                self.row = row.get(0)?;
                self.block.extend(row.get_ref(1)?.as_blob()?);
                Ok(())
            })
            .optional()
            .map(Option::unwrap_or_default)
    }
}

/// Writes a run, entry by entry.
#[derive(Debug)]
pub(super) struct RunWriter {
    run: i64,
    numbered: NumberedBy,
    block: Vec<Entry>,
    /// The row that has the block as it was when writing was interrupted.
    written: Option<i64>,
    filter: FilterWriter,
}

impl RunWriter {
    /// Goes on behind `behind`; from the start if there is none.
    pub(super) fn resume(
        connection: &Connection,
        (run, numbered): (i64, NumberedBy),
        (buckets, told): (u64, Told),
        behind: Option<u64>,
    ) -> Result<Self> {
        let mut filter = FilterWriter::resume(connection, run, (buckets, told), behind)?;
        if let Some(behind) = behind.filter(|_| told == Told::ByEquations) {
            let before = filter::first_beside(behind, buckets).checked_sub(1);
            let mut cursor = Cursor::seek(connection, (run, numbered), before)?;
            while let Some(entry) = cursor.entry() {
                filter.add(connection, entry.key)?;
                cursor.step(connection)?;
            }
        }
        let last: Option<(i64, Vec<u8>)> = connection
            .prepare_cached(
                "SELECT no, entries FROM name_block WHERE no BETWEEN ?1 AND ?2
                 ORDER BY no DESC LIMIT 1",
            )?
            .query_row([first_row(run), last_row(run)], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (written, last) = last.unzip();
        let block = entries_of(&last.unwrap_or_default()).iter().map(unpack).collect();
        Ok(Self { run, numbered, block, written, filter })
    }

    /// Entries come in order.
    pub(super) fn push(&mut self, connection: &Connection, entry: Entry) -> Result<()> {
        let is_full = self.block.len() >= BLOCK_ENTRIES;
        if is_full && self.block.last().is_none_or(|last| place(last.key) != place(entry.key)) {
            self.write_block(connection)?;
            self.block.clear();
            self.written = None;
        }
        self.block.push(entry);
        self.filter.add(connection, entry.key)
    }

    /// Writes what is not written yet; more may follow.
    pub(super) fn write(&mut self, connection: &Connection) -> Result<()> {
        self.write_block(connection)?;
        self.filter.write(connection)
    }

    fn write_block(&self, connection: &Connection) -> Result<()> {
        let numbered = match self.numbered {
            NumberedBy::First => self.block.first(),
            NumberedBy::Last => self.block.last(),
        };
        let Some(numbered) = numbered else { return Ok(()) };
        let row = row_of(self.run, numbered.key);
        if let Some(written) = self.written.filter(|written| *written != row) {
            connection
                .prepare_cached("DELETE FROM name_block WHERE no = ?1")?
                .execute([written])?;
        }
        connection
            .prepare_cached("INSERT OR REPLACE INTO name_block VALUES (?1, ?2)")?
            .execute(params![row, pack(&self.block)])?;
        Ok(())
    }
}

/// Begins a run, in this state, whose blocks are numbered by their last keys.
pub(super) fn begin(
    transaction: &Transaction<'_>,
    kind: Kind,
    level: u32,
    state: State,
    filter: Layout,
) -> Result<i64> {
    transaction
        .prepare_cached(
            "INSERT INTO name_run
                (kind, level, state, buckets, bucket_keys, numbered_by, told, behind, target)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, 0)",
        )?
        .execute(params![
            kind as i64,
            level,
            state as i64,
            filter.buckets.cast_signed(),
            filter.bucket_keys.cast_signed(),
            NumberedBy::Last as i64,
            filter.told as i64,
        ])?;
    let run = transaction.last_insert_rowid();
    if run > RUN_MAX {
        let full = "the catalog has no numbers left for runs of names";
        return Err(rusqlite::Error::ToSqlConversionFailure(full.into()));
    }
    Ok(run)
}

/// What a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// To be read.
    Whole = 0,
    /// Others are being merged into it.
    Made = 1,
    /// Another one has its entries; its rows are being removed.
    Leaving = 2,
}

/// Writes `count` entries, which come in order, as a run that is read from now on.
pub(super) fn write_whole(
    transaction: &Transaction<'_>,
    kind: Kind,
    level: u32,
    count: u64,
    entries: impl Iterator<Item = Result<Entry>>,
) -> Result<()> {
    let filter = Layout::of(level, count);
    let run = begin(transaction, kind, level, State::Whole, filter)?;
    let (target, filter) = ((run, NumberedBy::Last), (filter.buckets, filter.told));
    let mut writer = RunWriter::resume(transaction, target, filter, None)?;
    for entry in entries {
        writer.push(transaction, entry?)?;
    }
    writer.write(transaction)?;
    next_epoch(transaction, kind)
}

/// Other runs are to be read.
pub(super) fn next_epoch(transaction: &Transaction<'_>, kind: Kind) -> Result<()> {
    transaction
        .prepare_cached("UPDATE name_state SET epoch = epoch + 1 WHERE kind = ?1")?
        .execute([kind as i64])
        .map(drop)
}
