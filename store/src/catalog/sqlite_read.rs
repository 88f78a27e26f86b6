//! The embedded catalog as a [`Catalog`]: its questions.

use cairn_chunker::id::{ChunkId, DatasetHash, PixelDigest, StudyRoot};
use cairn_dicom::attributes::Attributes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::names::Kind;
use super::sqlite::{SqliteCatalog, chunk_key, fault, uid_key};
use super::values::unpack_values;
use super::{
    Batch, Catalog, Collection, CommitmentRow, Editions, Entrusted, Existence, Found, Location,
    Outbox, PackNo, PackRow, PackState, Reach, Search, SeriesRow, SeriesState, StudyRow, Totals,
    VersionRow, Visitor, sqlite, sqlite_search,
};
use crate::commit::{Outcome, StudyEntry, Target};
use crate::error::{Error, Result};
use crate::keys::StoredId;
use crate::pack::PackId;

pub(super) const VERSION_COLUMNS: &str = "
    v.seq, study.uid, series.uid, i.uid, class.uid, syntax.uid, v.manifest, v.dataset, v.bytes,
    v.pixels, v.frames, v.flags, v.outcome, v.received, i.visible = v.seq, v.deleted <> 0, v.pack,
    EXISTS (SELECT 1 FROM entrusted WHERE entrusted.instance = v.instance AND entrusted.seq = v.seq)
    FROM study JOIN series ON series.study = study.no JOIN instance i ON i.series = series.no
    JOIN version v ON v.instance = i.no
    JOIN term class ON class.no = v.class JOIN term syntax ON syntax.no = v.syntax";

pub(super) fn version_row(row: &Row<'_>) -> rusqlite::Result<VersionRow> {
    Ok(VersionRow {
        seq: row.get::<_, i64>(0)? as u64,
        study_uid: row.get(1)?,
        series_uid: row.get(2)?,
        sop_instance_uid: row.get(3)?,
        sop_class_uid: row.get(4)?,
        transfer_syntax_uid: row.get(5)?,
        manifest: ChunkId(row.get(6)?),
        dataset_hash: DatasetHash(row.get(7)?),
        dataset_bytes: row.get::<_, i64>(8)? as u64,
        pixels: PixelDigest(row.get(9)?),
        frames: row.get::<_, i64>(10)? as u64,
        flags: row.get(11)?,
        outcome: Outcome::from_code(row.get::<_, i64>(12)? as u64).unwrap_or(Outcome::New),
        received_ms: row.get::<_, i64>(13)? as u64,
        visible: row.get(14)?,
        deleted: row.get(15)?,
        commit_pack: PackNo(row.get(16)?),
        entrusted: row.get(17)?,
    })
}

pub(super) fn pack_row(row: &Row<'_>) -> rusqlite::Result<PackRow> {
    Ok(PackRow {
        no: PackNo(row.get(0)?),
        id: PackId(row.get(1)?),
        state: match row.get::<_, i64>(2)? {
            0 => PackState::Open,
            1 => PackState::Sealed,
            2 => PackState::Stored,
            3 => PackState::Condemned,
            _ => PackState::Gone,
        },
        bytes: row.get::<_, i64>(3)? as u64,
        checksum: row.get(4)?,
        created_ms: row.get::<_, i64>(5)?.cast_unsigned(),
    })
}

pub(super) fn collect<T>(
    connection: &Connection,
    action: &'static str,
    sql: &str,
    parameters: impl rusqlite::Params,
    map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    (|| {
        let mut statement = connection.prepare_cached(sql)?;
        statement.query_map(parameters, map)?.collect::<rusqlite::Result<Vec<T>>>()
    })()
    .map_err(fault(action))
}

pub(super) fn one<T>(
    connection: &Connection,
    action: &'static str,
    sql: &str,
    parameters: impl rusqlite::Params,
    map: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>> {
    (|| connection.prepare_cached(sql)?.query_row(parameters, map).optional())()
        .map_err(fault(action))
}

/// Hands rows out as they come; a reader holds no lock that a writer waits for.
pub(super) fn walk<T>(
    connection: &Connection,
    action: &'static str,
    sql: &str,
    parameters: impl rusqlite::Params,
    map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    visit: Visitor<'_, T>,
) -> Result<()> {
    let mut statement = connection.prepare_cached(sql).map_err(fault(action))?;
    let rows = statement.query_map(parameters, map).map_err(fault(action))?;
    for row in rows {
        visit(row.map_err(fault(action))?)?;
    }
    Ok(())
}

impl SqliteCatalog {
    /// What `read` finds of each row of `instance` that may have a SOP Instance UID; it has to compare
    /// the whole.
    fn of_instances<T>(
        &self,
        sop: &str,
        read: impl Fn(&Connection, i64) -> Result<Vec<T>>,
    ) -> Result<Vec<T>> {
        let key = uid_key(sop);
        self.learn_names();
        // Before a snapshot is taken, which costs more than this.
        if !self.names().may_be_there(Kind::Instance, key) {
            return Ok(Vec::new());
        }
        self.read(|connection| {
            let rows = self.names().find(connection, Kind::Instance, key);
            let mut found = Vec::new();
            for no in rows.map_err(fault("find an instance"))? {
                found.extend(read(connection, no)?);
            }
            Ok(found)
        })
    }
}

impl SqliteCatalog {
    /// Is there a deletion of just this, or of what it is part of?
    fn is_buried(&self, target: &Target) -> Result<bool> {
        let sql = "SELECT 1 FROM tombstone WHERE study = ?1
             AND (series = '' OR series = ?2) AND (sop = '' OR sop = ?3) LIMIT 1";
        let Target { study_uid, series_uid, sop_instance_uid } = target;
        let series = series_uid.as_deref().unwrap_or_default();
        let sop = sop_instance_uid.as_deref().unwrap_or_default();
        let which = params![study_uid, series, sop];
        let found = self.read(|connection| {
            one(connection, "find a deletion", sql, which, |row| row.get::<_, i64>(0))
        })?;
        Ok(found.is_some())
    }
}

impl Catalog for SqliteCatalog {
    fn bind_bucket(&self, id: &str) -> Result<Option<String>> {
        let connection = self.write();
        let known: Option<String> = connection
            .query_row("SELECT id FROM bucket", [], |row| row.get(0))
            .optional()
            .map_err(fault("read its bucket"))?;
        if known.is_none() {
            connection
                .execute("INSERT INTO bucket VALUES (?1)", [id])
                .map_err(fault("note its bucket"))?;
        }
        Ok(known.filter(|known| known != id))
    }

    fn add_pack(&self, id: PackId, created_ms: u64) -> Result<PackNo> {
        self.add_pack_row(id, created_ms)
    }

    fn packs(&self) -> Result<Vec<PackRow>> {
        let sql =
            "SELECT no, id, state, bytes, checksum, created FROM pack WHERE state <= 2 ORDER BY no";
        self.read(|connection| collect(connection, "list packs", sql, [], pack_row))
    }

    fn pack(&self, no: PackNo) -> Result<PackRow> {
        let sql = "SELECT no, id, state, bytes, checksum, created FROM pack WHERE no = ?1";
        let found = self.read(|connection| {
            (|| connection.prepare_cached(sql)?.query_row([no.0], pack_row).optional())()
                .map_err(fault("find a pack"))
        })?;
        found.ok_or_else(|| Error::NotFound { what: "pack", name: no.0.to_string() })
    }

    fn seal_pack(&self, no: PackNo, bytes: u64, checksum: [u8; 32]) -> Result<()> {
        self.write_durably("seal a pack", |transaction| {
            transaction
                .execute(
                    "UPDATE pack SET state = max(state, 1), bytes = ?2, checksum = ?3 WHERE no = ?1",
                    params![no.0, bytes.cast_signed(), checksum],
                )
                .map(|_| ())
        })
    }

    fn store_pack(&self, no: PackNo) -> Result<()> {
        self.write_durably("store a pack", |transaction| {
            transaction
                .execute("UPDATE pack SET state = max(state, 2) WHERE no = ?1", [no.0])
                .map(|_| ())
        })
    }

    fn seal_stored(&self, no: PackNo, bytes: u64) -> Result<()> {
        self.write_durably("find a pack", |transaction| {
            transaction
                .execute(
                    "UPDATE pack SET state = 2, bytes = ?2 WHERE no = ?1",
                    params![no.0, bytes.cast_signed()],
                )
                .map(|_| ())
        })
    }

    fn drop_pack(&self, no: PackNo) -> Result<()> {
        self.write_durably("drop a pack", |transaction| {
            transaction
                .execute(
                    "DELETE FROM pack WHERE no = ?1
                     AND NOT EXISTS (SELECT 1 FROM chunk WHERE pack = ?1)",
                    [no.0],
                )
                .map(|_| ())
        })
    }

    fn commit(&self, batch: &Batch<'_>) -> Result<()> {
        self.commit_batch(batch)
    }

    fn next_seq(&self) -> Result<u64> {
        self.read(|connection| {
            connection
                .query_row("SELECT value FROM counter WHERE name = 'next_seq'", [], |row| {
                    row.get::<_, i64>(0)
                })
                .map(|value| value as u64)
                .map_err(fault("read its counter"))
        })
    }

    fn locate(&self, chunk: &StoredId) -> Result<Option<Location>> {
        self.learn_names();
        if !self.names().may_be_there(Kind::Chunk, chunk_key(chunk)) {
            return Ok(None);
        }
        self.read(|connection| {
            sqlite::locate(connection, self.names(), chunk).map_err(fault("find a chunk"))
        })
    }

    fn versions(&self, study: &str, series: &str, sop: &str) -> Result<Vec<VersionRow>> {
        let sql = format!(
            "SELECT {VERSION_COLUMNS}
             WHERE i.no = ?4 AND i.uid = ?3 AND series.uid = ?2 AND study.uid = ?1
             ORDER BY v.seq"
        );
        self.of_instances(sop, |connection, no| {
            collect(connection, "list versions", &sql, params![study, series, sop, no], version_row)
        })
    }

    fn versions_of_sop(&self, sop: &str) -> Result<Vec<VersionRow>> {
        let sql = format!("SELECT {VERSION_COLUMNS} WHERE i.no = ?2 AND i.uid = ?1 ORDER BY v.seq");
        let mut versions = self.of_instances(sop, |connection, no| {
            collect(connection, "list versions", &sql, params![sop, no], version_row)
        })?;
        versions.sort_by_key(|version| version.seq);
        Ok(versions)
    }

    fn studies(&self, uid: Option<&str>, visit: Visitor<'_, StudyRow>) -> Result<()> {
        let sql = "
            SELECT study.uid, patient_name, patient_id, study.date, accession, study.description,
                (SELECT group_concat(modality, '\\') FROM (SELECT DISTINCT modality FROM series
                    WHERE study = study.no AND instances > 0 ORDER BY 1)),
                count(*), sum(series.instances), sum(series.bytes),
                (SELECT count(*) FROM series s JOIN instance i ON i.series = s.no
                    JOIN version v ON v.instance = i.no
                    WHERE s.study = study.no AND v.seq <> i.visible AND v.deleted = 0)
            FROM study JOIN series ON series.study = study.no
            WHERE series.instances > 0 AND (?1 IS NULL OR study.uid = ?1)
            GROUP BY study.no ORDER BY study.date, study.uid";
        let map = |row: &Row<'_>| {
            Ok(StudyRow {
                study_uid: row.get(0)?,
                patient_name: row.get(1)?,
                patient_id: row.get(2)?,
                study_date: row.get(3)?,
                accession_number: row.get(4)?,
                description: row.get(5)?,
                modalities: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
                series: row.get::<_, i64>(7)? as u64,
                instances: row.get::<_, i64>(8)? as u64,
                bytes: row.get::<_, i64>(9)? as u64,
                other_versions: row.get::<_, i64>(10)? as u64,
            })
        };
        self.read(|connection| walk(connection, "list studies", sql, [uid], map, visit))
    }

    fn series(&self, study: &str) -> Result<Vec<SeriesRow>> {
        let sql = "
            SELECT series.uid, modality, series.number, series.description, instances, bytes
            FROM study JOIN series ON series.study = study.no
            WHERE study.uid = ?1 AND instances > 0
            ORDER BY CAST(series.number AS INTEGER), series.uid";
        self.read(|connection| {
            collect(connection, "list series", sql, [study], |row| {
                Ok(SeriesRow {
                    series_uid: row.get(0)?,
                    modality: row.get(1)?,
                    number: row.get(2)?,
                    description: row.get(3)?,
                    instances: row.get::<_, i64>(4)? as u64,
                    bytes: row.get::<_, i64>(5)? as u64,
                })
            })
        })
    }

    fn study_versions(&self, study: &str, all: bool, visit: Visitor<'_, VersionRow>) -> Result<()> {
        let sql = format!(
            "SELECT {VERSION_COLUMNS} WHERE study.uid = ?1 AND (?2 OR i.visible = v.seq)
             ORDER BY series.uid, i.uid, v.seq"
        );
        self.read(|connection| {
            walk(connection, "list instances", &sql, params![study, all], version_row, visit)
        })
    }

    fn series_versions(
        &self,
        study: &str,
        series: &str,
        visit: Visitor<'_, VersionRow>,
    ) -> Result<()> {
        let sql = format!(
            "SELECT {VERSION_COLUMNS} WHERE study.uid = ?1 AND series.uid = ?2 AND i.visible = v.seq
             ORDER BY i.uid"
        );
        let which = params![study, series];
        self.read(|connection| walk(connection, "list instances", &sql, which, version_row, visit))
    }

    fn series_state(&self, study: &str, series: &str) -> Result<Option<SeriesState>> {
        let sql = "SELECT instances, bytes, changed FROM series
             WHERE study = (SELECT no FROM study WHERE uid = ?1) AND uid = ?2";
        self.read(|connection| {
            one(connection, "find a series", sql, params![study, series], |row| {
                Ok(SeriesState {
                    instances: row.get::<_, i64>(0)? as u64,
                    bytes: row.get::<_, i64>(1)? as u64,
                    changed: row.get::<_, i64>(2)? as u64,
                })
            })
        })
    }

    fn existence(&self, target: &Target) -> Result<Existence> {
        let Target { study_uid, series_uid, sop_instance_uid } = target;
        let series = series_uid.as_deref().unwrap_or_default();
        let shown: Option<i64> = if let Some(sop) = sop_instance_uid {
            let sql = "SELECT i.visible FROM instance i
                 JOIN series ON series.no = i.series JOIN study ON study.no = series.study
                 WHERE i.no = ?1 AND i.uid = ?2 AND series.uid = ?3 AND study.uid = ?4";
            let shown = self.of_instances(sop, |connection, no| {
                let which = params![no, sop, series, study_uid];
                collect(connection, "find an instance", sql, which, |row| row.get(0))
            })?;
            shown.into_iter().max()
        } else {
            let sql = "SELECT sum(instances) FROM series
                 WHERE study = (SELECT no FROM study WHERE uid = ?1) AND (?2 = '' OR uid = ?2)";
            let which = params![study_uid, series];
            self.read(|connection| one(connection, "find a study", sql, which, |row| row.get(0)))?
                .flatten()
        };
        Ok(match shown {
            Some(0) => Existence::Gone,
            Some(_) => Existence::Present,
            // A catalog that was rebuilt does not know what was collected.
            None if self.is_buried(target)? => Existence::Gone,
            None => Existence::Unknown,
        })
    }

    fn attributes(&self, study: &str, series: &str, sop: &str) -> Result<Option<Attributes>> {
        let sql = "SELECT study.attributes, series.attributes, i.attributes FROM instance i
             JOIN series ON series.no = i.series JOIN study ON study.no = series.study
             WHERE i.no = ?1 AND i.uid = ?2 AND series.uid = ?3 AND study.uid = ?4
                AND i.visible <> 0";
        let packed: Vec<[Vec<u8>; 3]> = self.of_instances(sop, |connection, no| {
            let which = params![no, sop, series, study];
            collect(connection, "find an instance", sql, which, |row| {
                Ok([row.get(0)?, row.get(1)?, row.get(2)?])
            })
        })?;
        let Some(packed) = packed.first() else { return Ok(None) };
        let mut attributes = Attributes::default();
        for level in packed {
            unpack_values(level, &mut attributes)?;
        }
        Ok(Some(attributes))
    }

    fn search(&self, search: &Search<'_>, visit: Visitor<'_, Found>) -> Result<Reach> {
        self.read(|connection| sqlite_search::search(connection, self.names(), search, visit))
    }

    fn study_record(&self, study: &str) -> Result<Option<StudyEntry>> {
        let sql = "SELECT r.version, r.root, r.previous, r.instances, r.bytes, r.created
            FROM study JOIN study_record r ON r.study = study.no
            WHERE study.uid = ?1 ORDER BY r.seq DESC LIMIT 1";
        self.read(|connection| {
            (|| {
                connection
                    .prepare_cached(sql)?
                    .query_row([study], |row| {
                        Ok(StudyEntry {
                            study_uid: study.to_owned(),
                            version: row.get::<_, i64>(0)? as u64,
                            root: StudyRoot(row.get(1)?),
                            previous: row.get::<_, Option<[u8; 32]>>(2)?.map(StudyRoot),
                            instances: row.get::<_, i64>(3)? as u64,
                            bytes: row.get::<_, i64>(4)? as u64,
                            created_ms: row.get::<_, i64>(5)? as u64,
                        })
                    })
                    .optional()
            })()
            .map_err(fault("find a study record"))
        })
    }

    fn record_is_current(&self, study: &str) -> Result<bool> {
        let sql = "SELECT (SELECT max(changed) FROM series WHERE study = study.no)
                < (SELECT max(seq) FROM study_record r WHERE r.study = study.no)
             FROM study WHERE uid = ?1";
        let current: Option<Option<bool>> = self.read(|connection| {
            one(connection, "find a study record", sql, [study], |row| row.get(0))
        })?;
        Ok(current.flatten().unwrap_or(false))
    }

    fn unrecorded_studies(&self) -> Result<Vec<String>> {
        const FAULT: &str = "list studies";
        let recorded = "SELECT value FROM counter WHERE name = 'recorded_seq'";
        let sql = "
            SELECT study.uid FROM study JOIN series ON series.study = study.no
            WHERE series.changed >= ?1 GROUP BY study.no
            HAVING max(series.changed) > coalesce(
                (SELECT max(seq) FROM study_record r WHERE r.study = study.no), 0)
            ORDER BY study.uid";
        let next = self.next_seq()?.cast_signed();
        self.read(|connection| {
            let recorded: i64 =
                connection.query_row(recorded, [], |row| row.get(0)).map_err(fault(FAULT))?;
            if recorded == next {
                return Ok(Vec::new());
            }
            collect(connection, FAULT, sql, [recorded], |row| row.get(0))
        })
    }

    fn totals(&self) -> Result<Totals> {
        let sql = "SELECT
            (SELECT count(DISTINCT study) FROM series WHERE instances > 0),
            (SELECT count(*) FROM series WHERE instances > 0),
            (SELECT coalesce(sum(instances), 0) FROM series),
            (SELECT count(*) FROM version WHERE deleted = 0),
            (SELECT coalesce(sum(bytes), 0) FROM version WHERE deleted = 0),
            (SELECT count(*) FROM chunk), (SELECT coalesce(sum(bytes), 0) FROM chunk),
            (SELECT count(*) FROM pack WHERE state <= 2),
            (SELECT coalesce(sum(bytes), 0) FROM pack WHERE state <= 2),
            (SELECT count(*) FROM version WHERE flags <> 0 AND deleted = 0),
            (SELECT count(*) FROM version WHERE outcome = 1 AND deleted = 0),
            (SELECT count(*) FROM version WHERE outcome = 2 AND deleted = 0)";
        self.read(|connection| {
            connection
                .query_row(sql, [], |row| {
                    let value = |i| row.get::<_, i64>(i).map(|value| value as u64);
                    Ok(Totals {
                        studies: value(0)?,
                        series: value(1)?,
                        instances: value(2)?,
                        versions: value(3)?,
                        dataset_bytes: value(4)?,
                        chunks: value(5)?,
                        chunk_bytes: value(6)?,
                        packs: value(7)?,
                        pack_bytes: value(8)?,
                        flagged: value(9)?,
                        corrections: value(10)?,
                        conflicts: value(11)?,
                    })
                })
                .map_err(fault("add up"))
        })
    }

    fn begin_commitment(
        &self,
        uid: &str,
        request: &str,
        now_ms: u64,
        forget_before_ms: u64,
    ) -> Result<bool> {
        self.begin(uid, request, now_ms, forget_before_ms)
    }

    fn settle_commitment(&self, uid: &str, result: &str) -> Result<()> {
        self.settle(uid, result)
    }

    fn open_commitments(&self) -> Result<Vec<(String, String)>> {
        self.unsettled()
    }

    fn commitment(&self, uid: &str) -> Result<Option<CommitmentRow>> {
        self.find_commitment(uid)
    }

    fn editions(&self) -> &dyn Editions {
        self
    }

    fn collection(&self) -> &dyn Collection {
        self
    }

    fn outbox(&self) -> &dyn Outbox {
        self
    }

    fn entrusted(&self) -> &dyn Entrusted {
        self
    }

    fn take_over_outbox(&self, older: &std::path::Path) -> Result<()> {
        self.take_over(older)
    }

    fn tidy(&self) -> Result<()> {
        if self.log_is_short() { self.checkpoint() } else { Ok(()) }
    }

    fn checkpoint(&self) -> Result<()> {
        const FAULT: &str = "be written out";
        // A reader in the way is told by a value, not by an error.
        let blocked: bool = self
            .write()
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map_err(fault(FAULT))?;
        if blocked {
            let source = "somebody reads what was before".into();
            return Err(Error::Catalog { action: FAULT, source });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_checkpoint_that_a_reader_blocks_is_no_success() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let catalog = SqliteCatalog::open(&path).unwrap();
        let log = || std::fs::metadata(folder.path().join("catalog.sqlite-wal")).unwrap().len();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN; SELECT count(*) FROM pack;").unwrap();
        catalog.write().busy_timeout(std::time::Duration::from_millis(50)).unwrap();
        catalog.add_pack(PackId([1; 16]), 0).unwrap();
        assert!(catalog.checkpoint().is_err());
        assert!(log() > 0);
        other.execute_batch("COMMIT").unwrap();
        catalog.tidy().unwrap();
        assert_eq!(log(), 0);
        drop(catalog);
        assert_eq!(SqliteCatalog::open(&path).unwrap().packs().unwrap().len(), 1);
    }
}
