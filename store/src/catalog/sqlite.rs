//! The embedded catalog: one SQLite file.
//!
//! Write-ahead log with `synchronous = NORMAL`: a commit here need not reach the disk before the
//! sender is answered, since the journal holds the same facts and is replayed. What ends a journal
//! (sealing a pack, storing it) is committed with `synchronous = FULL`. One writing connection behind
//! a lock, a pool of reading ones beside it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, params};

use super::names::{self, Kind, Names};
use super::sqlite_schema;
use super::sqlite_write::BatchWriter;
use super::{Batch, Location, PackNo};
use crate::error::{Error, Result};
use crate::keys::StoredId;
use crate::pack::PackId;

/// Page cache of the connection that writes. A commit touches the ends of the tables and the names that
/// came last; only studies and series are looked up all over.
const WRITER_CACHE_KIB: i64 = 16 * 1024;

/// Pages (of 4 KiB) that the write-ahead log takes before they are brought into the file: 64 MiB. The
/// longer that waits, the more of them were written several times.
const CHECKPOINT_PAGES: i64 = 16 * 1024;

/// At the end the log is brought in if it is no longer than this: soon done, and a small catalog is
/// one file. A longer one is left to whoever opens the catalog next.
const CLOSING_LOG_BYTES_MAX: u64 = 16 << 20;

/// Page cache of each connection that reads. There are as many as threads read at once, and the
/// system's own cache stands behind them.
const READER_CACHE_KIB: i64 = 4 * 1024;

/// How long a reader waits for a writer of another process.
const BUSY: Duration = Duration::from_secs(30);

/// The catalog in one SQLite file. Opens connections as readers need them.
pub struct SqliteCatalog {
    path: std::path::PathBuf,
    /// No other process commits to it for as long as this lives.
    alone: bool,
    /// Somebody asked for a name.
    asked: AtomicBool,
    names: Names,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl std::fmt::Debug for SqliteCatalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteCatalog").field("path", &self.path).finish_non_exhaustive()
    }
}

/// For `map_err`.
pub(super) fn fault(action: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    move |source| Error::Catalog { action, source: Box::new(source) }
}

impl SqliteCatalog {
    /// Opens the catalog, making it if it is not there, and bringing one of an older build up to date.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_as(path, true)
    }

    /// The same beside a process that writes: one of an older build is left alone, since that process
    /// could not go on with it.
    pub fn open_beside(path: &Path) -> Result<Self> {
        Self::open_as(path, false)
    }

    fn open_as(path: &Path, alone: bool) -> Result<Self> {
        let mut writer = Connection::open(path).map_err(fault("open"))?;
        prepare(&writer, WRITER_CACHE_KIB)?;
        writer
            .pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
            .and_then(|()| writer.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true))
            .map_err(fault("be set up"))?;
        if alone {
            sqlite_schema::bring_up_to_date(&mut writer)?;
        } else {
            sqlite_schema::require_up_to_date(&mut writer)?;
        }
        Ok(Self {
            path: path.to_owned(),
            alone: false,
            asked: AtomicBool::new(false),
            names: Names::default(),
            writer: Mutex::new(writer),
            readers: Mutex::default(),
        })
    }

    /// For the process that alone commits to it, for as long as this lives: what names there are is told
    /// from memory where that is enough. Whoever opens it to replay, and lets others commit later, must not.
    #[must_use]
    pub fn kept_alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Who keeps it alone learns what names there are when it is asked for the first one, and not with its
    /// first commit: thousands are asked for before that. Others who ask meanwhile look into the tables.
    pub(super) fn learn_names(&self) {
        if !self.alone || self.asked.swap(true, Ordering::Relaxed) {
            return;
        }
        // Who writes learns them as well. If they cannot be read, whoever looks for one will say so.
        if let Ok(mut connection) = self.writer.try_lock() {
            let learned = connection.transaction().and_then(|all| self.names.watch(&all));
            if let Err(error) = learned {
                tracing::debug!(%error, "the names that there are could not be read");
            }
        }
    }

    /// Is the write-ahead log soon brought in?
    pub(super) fn log_is_short(&self) -> bool {
        let mut path = self.path.clone().into_os_string();
        path.push("-wal");
        std::fs::metadata(path).is_ok_and(|log| log.len() <= CLOSING_LOG_BYTES_MAX)
    }

    pub(super) fn write(&self) -> MutexGuard<'_, Connection> {
        // A panic while holding the lock leaves an open transaction at worst, which SQLite rolls back
        // when the next one begins: the connection itself stays sound.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered of runs of names.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Runs `job` on a reading connection of its own, in one transaction: all that it reads is of one
    /// moment.
    pub(super) fn read<T>(&self, job: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let pooled = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = if let Some(connection) = pooled {
            connection
        } else {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let made = Connection::open_with_flags(&self.path, flags).map_err(fault("open"))?;
            prepare(&made, READER_CACHE_KIB)?;
            made
        };
        let result = snapshot(&connection).and_then(|()| job(&connection));
        if !connection.is_autocommit() {
            connection
                .prepare_cached("ROLLBACK")
                .and_then(|mut end| end.execute([]))
                .map_err(fault("be read"))?;
        }
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        result
    }

    /// Runs `job` in a transaction that is on disk when this returns.
    pub(super) fn write_durably(
        &self,
        action: &'static str,
        job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<()> {
        let mut connection = self.write();
        connection.pragma_update(None, "synchronous", "FULL").map_err(fault(action))?;
        let result = (|| {
            let transaction = connection.transaction()?;
            job(&transaction)?;
            transaction.commit()
        })();
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(fault(action))?;
        result.map_err(fault(action))
    }

    pub(super) fn add_pack_row(&self, id: PackId, created_ms: u64) -> Result<PackNo> {
        let connection = self.write();
        (|| {
            connection.execute(
                "INSERT OR IGNORE INTO pack (id, state, bytes, created) VALUES (?1, 0, 0, ?2)",
                params![id.0, created_ms.cast_signed()],
            )?;
            connection.query_row("SELECT no FROM pack WHERE id = ?1", [id.0], |row| {
                row.get(0).map(PackNo)
            })
        })()
        .map_err(fault("add a pack"))
    }

    pub(super) fn commit_batch(&self, batch: &Batch<'_>) -> Result<()> {
        let mut connection = self.write();
        (|| {
            let transaction = connection.transaction()?;
            if self.alone {
                self.names.watch(&transaction)?;
            }
            let chunks = write_locations(&transaction, &self.names, batch)?;
            let writer = BatchWriter::new(&transaction, &self.names, batch.pack)?;
            let instances = writer.write(batch)?;
            let last = batch.instances.iter().map(|instance| instance.seq);
            let last = last.chain(batch.studies.iter().map(|(seq, _)| *seq));
            if let Some(last) = last.chain(batch.deletions.iter().map(|(seq, _)| *seq)).max() {
                transaction.execute(
                    "UPDATE counter SET value = max(value, ?1) WHERE name = 'next_seq'",
                    [last.cast_signed() + 1],
                )?;
            }
            if batch.all_recorded {
                transaction.execute(
                    "UPDATE counter SET value =
                        (SELECT value FROM counter WHERE name = 'next_seq')
                     WHERE name = 'recorded_seq'",
                    [],
                )?;
            }
            transaction.execute(
                "UPDATE pack SET bytes = max(bytes, ?2) WHERE no = ?1 AND state = 0",
                params![batch.pack.0, batch.pack_bytes.cast_signed()],
            )?;
            names::settle(&transaction, Kind::Chunk, chunks)?;
            names::settle(&transaction, Kind::Instance, instances)?;
            transaction.commit()
        })()
        .map_err(fault("take a commit"))?;
        self.names.committed(&connection);
        Ok(())
    }
}

fn prepare(connection: &Connection, cache_kib: i64) -> Result<()> {
    connection.set_prepared_statement_cache_capacity(64);
    (|| {
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "WAL").or_else(|error| {
            // A reading connection may not set it, and need not.
            if connection.is_readonly("main").unwrap_or(false) { Ok(()) } else { Err(error) }
        })?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "cache_size", -cache_kib)?;
        connection.pragma_update(None, "temp_store", "MEMORY")
    })()
    .map_err(fault("be set up"))
}

fn snapshot(connection: &Connection) -> Result<()> {
    connection
        .prepare_cached("BEGIN")
        .and_then(|mut begin| begin.execute([]))
        .map_err(fault("be read"))?;
    Ok(())
}

/// Gives how many were new.
fn write_locations(
    transaction: &Transaction<'_>,
    names: &Names,
    batch: &Batch<'_>,
) -> rusqlite::Result<u64> {
    let mut added = 0;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO chunk (id, pack, offset, record, inner, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (id, place) in batch.locations {
        if locate(transaction, names, id)?.is_some() {
            continue;
        }
        insert.execute(params![
            id.0,
            place.pack.0,
            place.offset.cast_signed(),
            place.record_bytes,
            place.inner,
            place.bytes,
        ])?;
        names.add(transaction, Kind::Chunk, chunk_key(id), transaction.last_insert_rowid())?;
        added += 1;
    }
    Ok(added)
}

/// Where a chunk lies.
pub(super) fn locate(
    connection: &Connection,
    names: &Names,
    id: &StoredId,
) -> rusqlite::Result<Option<Location>> {
    for no in names.find(connection, Kind::Chunk, chunk_key(id))? {
        let found = connection
            .prepare_cached(
                "SELECT pack, offset, record, inner, bytes FROM chunk WHERE no = ?1 AND id = ?2",
            )?
            .query_row(params![no, id.0], location)
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn location(row: &Row<'_>) -> rusqlite::Result<Location> {
    Ok(Location {
        pack: PackNo(row.get(0)?),
        offset: row.get::<_, i64>(1)? as u64,
        record_bytes: row.get(2)?,
        inner: row.get(3)?,
        bytes: row.get(4)?,
    })
}

/// What entries of chunks hold of a name.
pub(super) fn chunk_key(id: &StoredId) -> i64 {
    i64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| id.0[i]))
}

/// What entries of instances hold of a SOP Instance UID.
pub(super) fn uid_key(uid: &str) -> i64 {
    chunk_key(&StoredId(*blake3::hash(uid.as_bytes()).as_bytes()))
}
