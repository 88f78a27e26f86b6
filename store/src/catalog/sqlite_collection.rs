//! The embedded catalog: what a collection asks of it.

use cairn_chunker::id::ChunkId;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::collection::{ChunkNo, ChunkRow, Collection, Retired};
use super::names::Kind;
use super::sqlite::{SqliteCatalog, chunk_key, fault};
use super::sqlite_read::{collect, one, pack_row};
use super::{Location, PackNo, PackRow, Visitor};
use crate::error::Result;
use crate::keys::StoredId;

const ACTION: &str = "be collected";

/// Rows read in one transaction: writers beside it can go on checkpointing the log.
const ROWS_AT_ONCE: usize = 8192;

const CHUNK_COLUMNS: &str = "no, id, pack, offset, record, inner, bytes FROM chunk";

fn chunk_row(row: &Row<'_>) -> rusqlite::Result<ChunkRow> {
    Ok(ChunkRow {
        no: ChunkNo(row.get::<_, i64>(0)?.cast_unsigned()),
        id: StoredId(row.get(1)?),
        place: Location {
            pack: PackNo(row.get(2)?),
            offset: row.get::<_, i64>(3)?.cast_unsigned(),
            record_bytes: row.get(4)?,
            inner: row.get(5)?,
            bytes: row.get(6)?,
        },
    })
}

impl SqliteCatalog {
    fn chunk_row(
        &self,
        connection: &Connection,
        id: &StoredId,
    ) -> rusqlite::Result<Option<ChunkRow>> {
        let sql = format!("SELECT {CHUNK_COLUMNS} WHERE no = ?1 AND id = ?2");
        for no in self.names().find(connection, Kind::Chunk, chunk_key(id))? {
            let mut statement = connection.prepare_cached(&sql)?;
            let found = statement.query_row(params![no, id.0], chunk_row).optional()?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

impl Collection for SqliteCatalog {
    fn last_chunk(&self) -> Result<ChunkNo> {
        let sql = "SELECT coalesce(max(no), 0) FROM chunk";
        let last = self.read(|connection| one(connection, ACTION, sql, [], |row| row.get(0)))?;
        Ok(ChunkNo(last.map_or(0, i64::cast_unsigned)))
    }

    fn chunk(&self, id: &StoredId) -> Result<Option<ChunkRow>> {
        self.read(|connection| self.chunk_row(connection, id).map_err(fault("find a chunk")))
    }

    fn chunk_numbers(&self, ids: &[StoredId], found: &mut Vec<ChunkNo>) -> Result<()> {
        self.read(|connection| {
            for id in ids {
                let row = self.chunk_row(connection, id).map_err(fault("find a chunk"))?;
                found.extend(row.map(|row| row.no));
            }
            Ok(())
        })
    }

    fn live_versions(&self, visit: Visitor<'_, Vec<(u64, ChunkId)>>) -> Result<()> {
        let live = |row: &Row<'_>| {
            Ok((row.get::<_, i64>("seq")?.cast_unsigned(), ChunkId(row.get("manifest")?)))
        };
        let sql = "SELECT seq, manifest FROM left_out";
        visit(self.read(|connection| collect(connection, ACTION, sql, [], live))?)?;
        // What is committed meanwhile under a smaller number keeps its chunks alive by itself.
        let sql = format!(
            "SELECT seq, manifest, instance FROM version
             WHERE (instance, seq) > (?1, ?2) AND deleted = 0
             ORDER BY instance, seq LIMIT {ROWS_AT_ONCE}"
        );
        let mut after = (0i64, 0i64);
        loop {
            let rows = self.read(|connection| {
                collect(connection, ACTION, &sql, params![after.0, after.1], |row| {
                    Ok((row.get("instance")?, live(row)?))
                })
            })?;
            let Some((instance, (seq, _))) = rows.last() else { return Ok(()) };
            after = (*instance, seq.cast_signed());
            visit(rows.into_iter().map(|(_, live)| live).collect())?;
        }
    }

    fn chunks(&self, last: ChunkNo, visit: Visitor<'_, Vec<ChunkRow>>) -> Result<()> {
        let sql = format!(
            "SELECT {CHUNK_COLUMNS} WHERE no > ?1 AND no <= ?2 ORDER BY no LIMIT {ROWS_AT_ONCE}"
        );
        let mut after = 0i64;
        loop {
            let rows = self.read(|connection| {
                let range = params![after, last.0.cast_signed()];
                collect(connection, ACTION, &sql, range, chunk_row)
            })?;
            let Some(row) = rows.last() else { return Ok(()) };
            after = row.no.0.cast_signed();
            visit(rows)?;
        }
    }

    fn chunks_in(&self, pack: PackNo, first: ChunkNo, last: ChunkNo) -> Result<Vec<ChunkRow>> {
        let sql = format!(
            "SELECT {CHUNK_COLUMNS} WHERE no BETWEEN ?1 AND ?2 AND pack = ?3 ORDER BY offset, inner"
        );
        let which = params![first.0.cast_signed(), last.0.cast_signed(), pack.0];
        self.read(|connection| collect(connection, ACTION, &sql, which, chunk_row))
    }

    fn dead_entries(&self) -> Result<Vec<(PackNo, u64)>> {
        let sql = "SELECT pack, count(*) FROM version WHERE deleted <> 0
             AND pack IN (SELECT no FROM pack WHERE state = 2) GROUP BY pack";
        self.read(|connection| {
            collect(connection, ACTION, sql, [], |row| {
                Ok((PackNo(row.get(0)?), row.get::<_, i64>(1)?.cast_unsigned()))
            })
        })
    }

    fn moved_dead_entries(&self, after: u64) -> Result<Vec<ChunkId>> {
        let sql = "SELECT manifest FROM version WHERE deleted > ?1
             AND pack IN (SELECT no FROM pack WHERE state > 2)";
        let after = after.cast_signed();
        self.read(|connection| {
            collect(connection, ACTION, sql, [after], |row| Ok(ChunkId(row.get(0)?)))
        })
    }

    fn has_waiting_entries(&self) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM version WHERE deleted <> 0
             AND pack IN (SELECT no FROM pack WHERE state < 2))";
        let found = self.read(|connection| one(connection, ACTION, sql, [], |row| row.get(0)))?;
        Ok(found.unwrap_or(false))
    }

    fn leave_out(&self, seq: u64, manifest: &ChunkId) -> Result<()> {
        self.write()
            .execute(
                "INSERT OR IGNORE INTO left_out VALUES (?1, ?2)",
                params![seq.cast_signed(), manifest.0],
            )
            .map(|_| ())
            .map_err(fault("note what was left out"))
    }

    fn retire(&self, pack: PackNo, retired: &Retired) -> Result<()> {
        self.write_durably(ACTION, |transaction| {
            let mut set = transaction.prepare_cached(
                "UPDATE chunk SET pack = ?3, offset = ?4, record = ?5, inner = ?6
                 WHERE no = ?1 AND pack = ?2",
            )?;
            for (no, place) in &retired.moved {
                set.execute(params![
                    no.0.cast_signed(),
                    pack.0,
                    place.pack.0,
                    place.offset.cast_signed(),
                    place.record_bytes,
                    place.inner,
                ])?;
            }
            let mut remove =
                transaction.prepare_cached("DELETE FROM chunk WHERE no = ?1 AND pack = ?2")?;
            for no in &retired.dead {
                remove.execute(params![no.0.cast_signed(), pack.0])?;
            }
            transaction.execute("UPDATE pack SET state = 3 WHERE no = ?1", [pack.0]).map(|_| ())
        })
    }

    fn condemned(&self) -> Result<Vec<PackRow>> {
        let sql =
            "SELECT no, id, state, bytes, checksum, created FROM pack WHERE state = 3 ORDER BY no";
        self.read(|connection| collect(connection, ACTION, sql, [], pack_row))
    }

    fn forget_pack(&self, pack: PackNo) -> Result<()> {
        // The row stays: versions say in which pack their commits were, and numbers are not used again.
        self.write()
            .execute("UPDATE pack SET state = 4 WHERE no = ?1", [pack.0])
            .map(|_| ())
            .map_err(fault(ACTION))
    }

    fn forget_descriptions(&self) -> Result<u64> {
        let mut connection = self.write();
        (|| {
            let transaction = connection.transaction()?;
            transaction.execute(
                "UPDATE series SET number = '', description = '', body_part = '', date = '',
                    time = '', attributes = x''
                 WHERE instances = 0 AND attributes <> x''",
                [],
            )?;
            let empty = "NOT EXISTS
                 (SELECT 1 FROM series WHERE series.study = study.no AND series.instances > 0)
                 AND attributes <> x''";
            transaction.execute(
                &format!(
                    "DELETE FROM study_name WHERE study IN (SELECT no FROM study WHERE {empty})"
                ),
                [],
            )?;
            let studies = transaction.execute(
                &format!(
                    "UPDATE study SET patient_name = '', patient_id = '', birth_date = '', sex = '',
                        date = '', time = '', accession = '', id = '', description = '',
                        referring = '', attributes = x'', day = 0
                     WHERE {empty}"
                ),
                [],
            )?;
            transaction.commit()?;
            Ok(studies as u64)
        })()
        .map_err(fault("forget what was deleted"))
    }

    fn collected_seq(&self) -> Result<u64> {
        self.counted("collected_seq")
    }

    fn note_collected(&self, seq: u64) -> Result<()> {
        self.count_up("collected_seq", seq)
    }

    fn recoded_ms(&self) -> Result<u64> {
        self.counted("recoded_ms")
    }

    fn note_recoded(&self, before_ms: u64) -> Result<()> {
        self.count_up("recoded_ms", before_ms)
    }

    fn last_deletion(&self) -> Result<u64> {
        let sql = "SELECT coalesce(max(seq), 0) FROM tombstone";
        let seq = self.read(|connection| one(connection, ACTION, sql, [], |row| row.get(0)))?;
        Ok(seq.map_or(0, i64::cast_unsigned))
    }
}

impl SqliteCatalog {
    /// A counter; 0 if nothing was noted.
    fn counted(&self, name: &str) -> Result<u64> {
        let sql = "SELECT value FROM counter WHERE name = ?1";
        let value =
            self.read(|connection| one(connection, ACTION, sql, [name], |row| row.get(0)))?;
        Ok(value.map_or(0, i64::cast_unsigned))
    }

    /// Counters never go back.
    fn count_up(&self, name: &str, to: u64) -> Result<()> {
        let sql = "INSERT INTO counter VALUES (?1, ?2)
                   ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)";
        let counted = self.write().execute(sql, params![name, to.cast_signed()]);
        counted.map(|_| ()).map_err(fault(ACTION))
    }
}
