//! The embedded catalog: one SQLite file.
//!
//! Write-ahead log with `synchronous = NORMAL`: a commit here need not reach the disk before the
//! sender is answered, since the journal holds the same facts and is replayed. What ends a journal
//! (sealing a pack, storing it) is committed with `synchronous = FULL`. One writing connection behind
//! a lock, a pool of reading ones beside it.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_dicom::attributes::Attributes;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, params};

use super::schema::{SCHEMA, SCHEMA_VERSION};
use super::{Batch, NewInstance, PackNo};
use crate::commit::StudyEntry;
use crate::error::{Error, Result};
use crate::keys::StoredId;
use crate::pack::PackId;

/// How long a reader waits for a writer of another process.
const BUSY: Duration = Duration::from_secs(30);

/// The catalog in one SQLite file. Opens connections as readers need them.
pub struct SqliteCatalog {
    path: std::path::PathBuf,
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
    /// Opens the catalog, making it if it is not there.
    pub fn open(path: &Path) -> Result<Self> {
        let writer = Connection::open(path).map_err(fault("open"))?;
        prepare(&writer)?;
        let version: i64 = writer
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(fault("read its version"))?;
        match version {
            0 => {
                let script =
                    format!("BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;");
                writer.execute_batch(&script).map_err(fault("make its tables"))?;
            }
            SCHEMA_VERSION => {}
            _ => {
                return Err(Error::Catalog {
                    action: "be opened",
                    source: format!("it has schema {version}; this build knows {SCHEMA_VERSION}")
                        .into(),
                });
            }
        }
        Ok(Self { path: path.to_owned(), writer: Mutex::new(writer), readers: Mutex::default() })
    }

    pub(super) fn write(&self) -> MutexGuard<'_, Connection> {
        // A panic while holding the lock leaves an open transaction at worst, which SQLite rolls back
        // when the next one begins: the connection itself stays sound.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `job` on a reading connection of its own.
    pub(super) fn read<T>(&self, job: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let pooled = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = if let Some(connection) = pooled {
            connection
        } else {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let made = Connection::open_with_flags(&self.path, flags).map_err(fault("open"))?;
            prepare(&made)?;
            made
        };
        let result = job(&connection);
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
            write_locations(&transaction, batch)?;
            for instance in batch.instances {
                write_instance(&transaction, instance)?;
            }
            for (seq, study) in batch.studies {
                write_study_record(&transaction, *seq, study)?;
            }
            let last = batch.instances.iter().map(|instance| instance.seq);
            if let Some(last) = last.chain(batch.studies.iter().map(|(seq, _)| *seq)).max() {
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
            transaction.commit()
        })()
        .map_err(fault("take a commit"))
    }
}

fn prepare(connection: &Connection) -> Result<()> {
    connection.set_prepared_statement_cache_capacity(64);
    (|| {
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "WAL").or_else(|error| {
            // A reading connection may not set it, and need not.
            if connection.is_readonly("main").unwrap_or(false) { Ok(()) } else { Err(error) }
        })?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "cache_size", -32_000)?;
        connection.pragma_update(None, "temp_store", "MEMORY")
    })()
    .map_err(fault("be set up"))
}

fn write_locations(transaction: &Transaction<'_>, batch: &Batch<'_>) -> rusqlite::Result<()> {
    // Sorted, so that the tree is walked in order: twice as fast for thousands of random keys.
    let mut sorted: Vec<_> = batch.locations.iter().collect();
    sorted.sort_unstable_by_key(|(id, _)| *id);
    let mut insert = transaction.prepare_cached(
        "INSERT INTO chunk (id, pack, offset, record, inner, bytes, key)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
         WHERE NOT EXISTS (SELECT 1 FROM chunk WHERE key = ?7 AND id = ?1)",
    )?;
    for (id, place) in sorted {
        insert.execute(params![
            id.0,
            place.pack.0,
            place.offset.cast_signed(),
            place.record_bytes,
            place.inner,
            place.bytes,
            chunk_key(id),
        ])?;
    }
    Ok(())
}

/// What the chunk index holds of a name.
pub(super) fn chunk_key(id: &StoredId) -> i64 {
    i64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| id.0[i]))
}

/// What the instance index holds of a SOP Instance UID.
pub(super) fn uid_key(uid: &str) -> i64 {
    chunk_key(&StoredId(*blake3::hash(uid.as_bytes()).as_bytes()))
}

fn text(attributes: &Attributes, tag: u32) -> &str {
    attributes.get(tag).unwrap_or_default()
}

/// Finds or makes the study's row; a visible version brings its attributes up to date.
fn study_no(
    transaction: &Transaction<'_>,
    uid: &str,
    attributes: &Attributes,
    update: bool,
) -> rusqlite::Result<i64> {
    let known = transaction
        .prepare_cached("SELECT no FROM study WHERE uid = ?1")?
        .query_row([uid], |row| row.get(0))
        .optional()?;
    let sql = match known {
        None => {
            "INSERT INTO study (uid, patient_name, patient_id, birth_date, sex, date, time,
                accession, id, description, referring)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        }
        Some(no) if !update => return Ok(no),
        Some(_) => {
            "UPDATE study SET patient_name = ?2, patient_id = ?3, birth_date = ?4, sex = ?5,
                date = ?6, time = ?7, accession = ?8, id = ?9, description = ?10, referring = ?11
             WHERE uid = ?1"
        }
    };
    transaction.prepare_cached(sql)?.execute(params![
        uid,
        text(attributes, 0x0010_0010),
        text(attributes, 0x0010_0020),
        text(attributes, 0x0010_0030),
        text(attributes, 0x0010_0040),
        text(attributes, 0x0008_0020),
        text(attributes, 0x0008_0030),
        text(attributes, 0x0008_0050),
        text(attributes, 0x0020_0010),
        text(attributes, 0x0008_1030),
        text(attributes, 0x0008_0090),
    ])?;
    Ok(known.unwrap_or_else(|| transaction.last_insert_rowid()))
}

fn series_no(
    transaction: &Transaction<'_>,
    study: i64,
    uid: &str,
    attributes: &Attributes,
    update: bool,
) -> rusqlite::Result<i64> {
    let known = transaction
        .prepare_cached("SELECT no FROM series WHERE study = ?1 AND uid = ?2")?
        .query_row(params![study, uid], |row| row.get(0))
        .optional()?;
    let sql = match known {
        None => {
            "INSERT INTO series (study, uid, modality, number, description, body_part, date, time)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
        }
        Some(no) if !update => return Ok(no),
        Some(_) => {
            "UPDATE series SET modality = ?3, number = ?4, description = ?5, body_part = ?6,
                date = ?7, time = ?8 WHERE study = ?1 AND uid = ?2"
        }
    };
    transaction.prepare_cached(sql)?.execute(params![
        study,
        uid,
        text(attributes, 0x0008_0060),
        text(attributes, 0x0020_0011),
        text(attributes, 0x0008_103E),
        text(attributes, 0x0018_0015),
        text(attributes, 0x0008_0021),
        text(attributes, 0x0008_0031),
    ])?;
    Ok(known.unwrap_or_else(|| transaction.last_insert_rowid()))
}

fn term_no(transaction: &Transaction<'_>, uid: &str) -> rusqlite::Result<i64> {
    let known = transaction
        .prepare_cached("SELECT no FROM term WHERE uid = ?1")?
        .query_row([uid], |row| row.get(0))
        .optional()?;
    if let Some(no) = known {
        return Ok(no);
    }
    transaction.execute("INSERT INTO term (uid) VALUES (?1)", [uid])?;
    Ok(transaction.last_insert_rowid())
}

fn write_instance(transaction: &Transaction<'_>, new: &NewInstance<'_>) -> rusqlite::Result<()> {
    let NewInstance { seq, entry, manifest } = *new;
    let attributes = &entry.attributes;
    let study = study_no(transaction, &entry.study_uid, attributes, entry.visible)?;
    let series = series_no(transaction, study, &entry.series_uid, attributes, entry.visible)?;
    let key = uid_key(&manifest.sop_instance_uid);
    let known: Option<i64> = transaction
        .prepare_cached("SELECT no FROM instance WHERE key = ?3 AND uid = ?1 AND series = ?2")?
        .query_row(params![manifest.sop_instance_uid, series, key], |row| row.get(0))
        .optional()?;
    let instance = if let Some(no) = known {
        no
    } else {
        transaction
            .prepare_cached(
                "INSERT INTO instance (series, uid, number, visible, key)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                series,
                manifest.sop_instance_uid,
                text(attributes, 0x0020_0013),
                seq.cast_signed(),
                key,
            ])?;
        transaction.last_insert_rowid()
    };
    if known.is_some() && is_named_already(transaction, instance, new)? {
        return Ok(());
    }
    if known.is_some() && entry.visible {
        transaction
            .prepare_cached(
                "UPDATE instance SET visible = max(visible, ?2), number = ?3 WHERE no = ?1",
            )?
            .execute(params![instance, seq.cast_signed(), text(attributes, 0x0020_0013)])?;
    }
    let class = term_no(transaction, &manifest.sop_class_uid)?;
    let syntax = term_no(transaction, &manifest.transfer_syntax_uid)?;
    transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO version (instance, seq, class, syntax, manifest, dataset, bytes,
                pixels, frames, flags, outcome, received)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            instance,
            seq.cast_signed(),
            class,
            syntax,
            entry.manifest.0,
            manifest.dataset_hash.0,
            manifest.dataset_bytes.cast_signed(),
            manifest.pixel_digest().0,
            manifest.frames.count().cast_signed(),
            entry.flags,
            entry.outcome as u8,
            entry.received_ms.cast_signed(),
        ])?;
    Ok(())
}

/// The same content under another sequence number: an entry that a crash left without its chunks, and
/// that became whole when the object was sent again. One of the two is enough.
fn is_named_already(
    transaction: &Transaction<'_>,
    instance: i64,
    new: &NewInstance<'_>,
) -> rusqlite::Result<bool> {
    transaction
        .prepare_cached(
            "SELECT 1 FROM version v JOIN term class ON class.no = v.class
                JOIN term syntax ON syntax.no = v.syntax
             WHERE v.instance = ?1 AND v.seq <> ?2 AND v.dataset = ?3
                AND class.uid = ?4 AND syntax.uid = ?5",
        )?
        .exists(params![
            instance,
            new.seq.cast_signed(),
            new.manifest.dataset_hash.0,
            new.manifest.sop_class_uid,
            new.manifest.transfer_syntax_uid,
        ])
}

fn write_study_record(
    transaction: &Transaction<'_>,
    seq: u64,
    entry: &StudyEntry,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO study_record
                (study, version, seq, root, previous, instances, bytes, created)
             SELECT no, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM study WHERE uid = ?1",
        )?
        .execute(params![
            entry.study_uid,
            entry.version.cast_signed(),
            seq.cast_signed(),
            entry.root.0,
            entry.previous.map(|root| root.0),
            entry.instances.cast_signed(),
            entry.bytes.cast_signed(),
            entry.created_ms.cast_signed(),
        ])?;
    Ok(())
}
