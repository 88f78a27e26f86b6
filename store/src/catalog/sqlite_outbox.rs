//! The embedded catalog: what is owed to others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::outbox::{Arrival, Depth, Outbox, Parcel, Subject, Undelivered, Which};
use super::schema::{EDITION_TABLES, KEPT_TABLE, OUTBOX_TABLES};
use super::seqs::Seqs;
use super::sqlite::{SqliteCatalog, fault};
use super::sqlite_read::{VERSION_COLUMNS, collect, one, version_row, walk};
use super::values::unpack_values;
use super::{NewInstance, VersionRow, Visitor};
use crate::commit::Source;
use crate::error::Result;
use crate::ingest::{RECEIVING_AE, SENDING_AE};

/// A study that never comes to rest is not waited for longer than this, from its first arrival.
const WAIT_MS_MAX: i64 = 3_600_000;
/// How long a rule remembers whose priors it looked for, in ms: what still comes of a study comes within
/// days, and looking twice does no harm.
const PRIORS_KEPT_MS: u64 = 90 * 24 * 3_600_000;

/// Sequence numbers of one parcel, as text, to which more are added.
const MERGED_BYTES_MAX: i64 = 64 << 10;

const PARCEL_COLUMNS: &str = "no, route, peer, study, series, seqs, priority, tries, status, added";

/// Arrivals of one commit on their way into their table.
#[derive(Default)]
pub(super) struct Arrivals<'a>(BTreeMap<Sender<'a>, (Seqs, u64)>);

type Sender<'a> = (&'a str, &'a str, u8, &'a str, &'a str);

impl<'a> Arrivals<'a> {
    /// One more instance was named that was not known.
    pub(super) fn add(&mut self, new: &NewInstance<'a>) {
        let entry = new.entry;
        let title = |tag| entry.attributes.get(tag).unwrap_or_default();
        let (calling, called) = (title(SENDING_AE), title(RECEIVING_AE));
        let key = (
            entry.study_uid.as_str(),
            entry.series_uid.as_str(),
            entry.source as u8,
            calling,
            called,
        );
        let (seqs, received) = self.0.entry(key).or_default();
        seqs.add(new.seq);
        *received = entry.received_ms.max(*received);
    }

    pub(super) fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut insert = transaction.prepare_cached(
            "INSERT INTO arrival (study, series, source, calling, called, seqs, received)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        for ((study, series, source, calling, called), (seqs, received)) in &self.0 {
            let seqs = seqs.to_string();
            let received = received.cast_signed();
            insert.execute(params![study, series, source, calling, called, seqs, received])?;
        }
        Ok(())
    }
}

fn arrival(row: &Row<'_>) -> rusqlite::Result<Arrival> {
    Ok(Arrival {
        no: row.get::<_, i64>(0)? as u64,
        study_uid: row.get(1)?,
        series_uid: row.get(2)?,
        source: Source::from_code(row.get::<_, i64>(3)? as u64).unwrap_or(Source::Peer),
        calling: row.get(4)?,
        called: row.get(5)?,
        seqs: seqs(row, 6)?,
        received_ms: row.get::<_, i64>(7)? as u64,
    })
}

fn seqs(row: &Row<'_>, column: usize) -> rusqlite::Result<Seqs> {
    let text: String = row.get(column)?;
    Seqs::parse(&text).ok_or(rusqlite::Error::InvalidColumnType(
        column,
        "seqs".into(),
        rusqlite::types::Type::Text,
    ))
}

/// From [`PARCEL_COLUMNS`], and one more column with a time.
fn parcel(row: &Row<'_>) -> rusqlite::Result<Parcel> {
    Ok(Parcel {
        no: row.get::<_, i64>(0)? as u64,
        route: row.get(1)?,
        peer: row.get(2)?,
        study_uid: row.get(3)?,
        series_uid: row.get(4)?,
        seqs: seqs(row, 5)?,
        priority: row.get(6)?,
        tries: row.get(7)?,
        status: row.get(8)?,
        added_ms: row.get::<_, i64>(9)? as u64,
        due_ms: row.get::<_, i64>(10)? as u64,
    })
}

fn undelivered(row: &Row<'_>) -> rusqlite::Result<Undelivered> {
    let parcel = parcel(row)?;
    Ok(Undelivered { no: parcel.no, failed_ms: parcel.due_ms, parcel })
}

fn add(
    transaction: &Transaction<'_>,
    table: &'static str,
    parcel: &Parcel,
    time_ms: u64,
) -> rusqlite::Result<()> {
    let time = if table == "parcel" { "due" } else { "failed" };
    let sql = format!(
        "INSERT INTO {table} (route, peer, study, series, seqs, instances, priority, tries, status,
            added, {time}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
    );
    transaction
        .prepare_cached(&sql)?
        .execute(params![
            parcel.route,
            parcel.peer,
            parcel.study_uid,
            parcel.series_uid,
            parcel.seqs.to_string(),
            parcel.seqs.count().cast_signed(),
            parcel.priority,
            parcel.tries,
            parcel.status,
            parcel.added_ms.cast_signed(),
            time_ms.cast_signed(),
        ])
        .map(|_| ())
}

const CHOSEN: &str = "(?1 IS NULL OR route = ?1) AND (?2 IS NULL OR peer = ?2)";

impl SqliteCatalog {
    /// Not durable at once: what a power cut takes is sent again.
    fn write_outbox<T>(
        &self,
        action: &'static str,
        job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let mut connection = self.write();
        (|| {
            let transaction = connection.transaction()?;
            let done = job(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })()
        .map_err(fault(action))
    }

    pub(super) fn take_over(&self, older: &Path) -> Result<()> {
        const FAULT: &str = "take over what is owed to others";
        let mut connection = self.write();
        connection.execute("DELETE FROM arrival", []).map_err(fault(FAULT))?;
        if !older.exists() {
            return Ok(());
        }
        (|| {
            connection.execute("ATTACH DATABASE ?1 AS older", [older.to_string_lossy()])?;
            let taken = (|| {
                let transaction = connection.transaction()?;
                for table in OUTBOX_TABLES.iter().chain(&EDITION_TABLES).chain(&[KEPT_TABLE]) {
                    // An older build's catalog has fewer of them.
                    let known: bool = transaction.query_row(
                        "SELECT count(*) > 0 FROM older.sqlite_master
                         WHERE type = 'table' AND name = ?1",
                        [table],
                        |row| row.get(0),
                    )?;
                    if !known {
                        continue;
                    }
                    transaction.execute_batch(&format!(
                        "DELETE FROM main.{table};
                         INSERT INTO main.{table} SELECT * FROM older.{table};"
                    ))?;
                }
                transaction.execute(
                    "DELETE FROM main.entrusted WHERE seq IN (SELECT seq FROM main.kept)",
                    [],
                )?;
                transaction.commit()
            })();
            connection.execute("DETACH DATABASE older", [])?;
            taken
        })()
        .map_err(fault(FAULT))
    }
}

impl Outbox for SqliteCatalog {
    fn arrivals(&self, take: usize) -> Result<Vec<Arrival>> {
        let sql = "SELECT no, study, series, source, calling, called, seqs, received
            FROM arrival ORDER BY no LIMIT ?1";
        self.read(|connection| collect(connection, "list arrivals", sql, [take as u32], arrival))
    }

    fn dispatch(&self, up_to: u64, parcels: &[Parcel]) -> Result<()> {
        self.write_outbox("note what is owed", |transaction| {
            let mut begun = BTreeSet::new();
            for parcel in parcels {
                if parcel.series_uid.is_empty() {
                    let key = (&parcel.route, &parcel.study_uid);
                    let is_new = begun.contains(&key)
                        || begin_priors(transaction, key.0, key.1, parcel.added_ms)?;
                    if !is_new {
                        continue;
                    }
                    begun.insert(key);
                }
                let merged = with_what_waits(transaction, parcel)?;
                add(transaction, "parcel", &merged, merged.due_ms)?;
                transaction
                    .prepare_cached(
                        "UPDATE parcel SET due = max(due, min(?4, added + ?6))
                         WHERE study = ?1 AND route = ?2 AND peer = ?3 AND tries = 0 AND due > ?5",
                    )?
                    .execute(params![
                        parcel.study_uid,
                        parcel.route,
                        parcel.peer,
                        parcel.due_ms.cast_signed(),
                        parcel.added_ms.cast_signed(),
                        WAIT_MS_MAX,
                    ])?;
            }
            transaction.execute("DELETE FROM arrival WHERE no <= ?1", [up_to.cast_signed()])?;
            Ok(())
        })
    }

    fn due(&self, peer: &str, now_ms: u64, take: usize) -> Result<Vec<Parcel>> {
        let sql = format!(
            "SELECT {PARCEL_COLUMNS}, due FROM parcel WHERE peer = ?1 AND due <= ?2
             ORDER BY priority DESC, no LIMIT ?3"
        );
        let which = params![peer, now_ms.cast_signed(), take as u32];
        self.read(|connection| collect(connection, "list what is owed", &sql, which, parcel))
    }

    fn tried(&self, no: u64, rest: &[Parcel], given_up: &[Parcel], now_ms: u64) -> Result<()> {
        self.write_outbox("note what was sent", |transaction| {
            let gone = transaction
                .prepare_cached("DELETE FROM parcel WHERE no = ?1")?
                .execute([no.cast_signed()])?;
            // Dropped meanwhile by somebody who wants nothing more of it sent.
            if gone == 0 {
                return Ok(());
            }
            for parcel in rest {
                add(transaction, "parcel", parcel, parcel.due_ms)?;
            }
            for parcel in given_up {
                add(transaction, "undelivered", parcel, now_ms)?;
            }
            Ok(())
        })
    }

    fn depths(&self) -> Result<Vec<Depth>> {
        let sql = "SELECT route, peer, sum(parcels), sum(owed), max(oldest), sum(given_up) FROM (
                SELECT route, peer, count(*) AS parcels, sum(instances) AS owed,
                    min(added) AS oldest, 0 AS given_up FROM parcel GROUP BY route, peer
                UNION ALL
                SELECT route, peer, 0, 0, 0, sum(instances) FROM undelivered GROUP BY route, peer)
            GROUP BY route, peer ORDER BY route, peer";
        self.read(|connection| {
            collect(connection, "count what is owed", sql, [], |row| {
                let number = |column| row.get::<_, i64>(column).map(|value| value as u64);
                Ok(Depth {
                    route: row.get(0)?,
                    peer: row.get(1)?,
                    parcels: number(2)?,
                    instances: number(3)?,
                    oldest_ms: number(4)?,
                    undelivered: number(5)?,
                })
            })
        })
    }

    fn undelivered(&self, which: &Which, visit: Visitor<'_, Undelivered>) -> Result<()> {
        let sql =
            format!("SELECT {PARCEL_COLUMNS}, failed FROM undelivered WHERE {CHOSEN} ORDER BY no");
        let which = params![which.route, which.peer];
        self.read(|connection| {
            walk(connection, "list what is undelivered", &sql, which, undelivered, visit)
        })
    }

    fn retry(&self, which: &Which, now_ms: u64) -> Result<u64> {
        self.write_outbox("put back what is undelivered", |transaction| {
            let chosen = params![which.route, which.peer, now_ms.cast_signed()];
            let sql = format!(
                "INSERT INTO parcel (route, peer, study, series, seqs, instances, priority, tries,
                    status, added, due)
                 SELECT route, peer, study, series, seqs, instances, priority, 0, 0, ?3, ?3
                    FROM undelivered WHERE {CHOSEN}"
            );
            transaction.execute(&sql, chosen)?;
            take_out(transaction, "undelivered", which)
        })
    }

    fn forget(&self, which: &Which, waiting: bool) -> Result<u64> {
        self.write_outbox("drop what is owed", |transaction| {
            let mut objects = take_out(transaction, "undelivered", which)?;
            if waiting {
                objects += take_out(transaction, "parcel", which)?;
            }
            Ok(objects)
        })
    }

    fn route_since(&self, route: &str) -> Result<u64> {
        self.write_outbox("note a rule", |transaction| {
            transaction.execute(
                "INSERT OR IGNORE INTO route
                 SELECT ?1, value FROM counter WHERE name = 'next_seq'",
                [route],
            )?;
            transaction.query_row("SELECT since FROM route WHERE name = ?1", [route], |row| {
                row.get::<_, i64>(0).map(|since| since as u64)
            })
        })
    }

    fn is_prior(&self, route: &str, study_uid: &str, now_ms: u64) -> Result<()> {
        self.write_outbox("note a prior", |transaction| {
            begin_priors(transaction, route, study_uid, now_ms).map(|_| ())
        })
    }

    fn shown_of(&self, study: &str, series: &str, seqs: &Seqs) -> Result<Vec<VersionRow>> {
        let Some((first, last)) = seqs.bounds() else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT {VERSION_COLUMNS}
             WHERE study.uid = ?1 AND series.uid = ?2 AND i.visible = v.seq
                AND i.visible BETWEEN ?3 AND ?4 ORDER BY v.seq"
        );
        let which = params![study, series, first.cast_signed(), last.cast_signed()];
        let all = self
            .read(|connection| collect(connection, "list instances", &sql, which, version_row))?;
        Ok(all.into_iter().filter(|version| seqs.contains(version.seq)).collect())
    }

    fn subject(&self, study: &str, series: &str) -> Result<Option<Subject>> {
        const ISSUER: u32 = 0x0010_0021;
        const REFERRING_PHYSICIAN: u32 = 0x0008_0090;
        const INSTITUTION: u32 = 0x0008_0080;
        let sql = "SELECT study.description, patient_id, study.date, modality, body_part,
                series.description, study.attributes
             FROM study JOIN series ON series.study = study.no
             WHERE study.uid = ?1 AND series.uid = ?2";
        let found = self.read(|connection| {
            one(connection, "find a series", sql, params![study, series], |row| {
                let packed: Vec<u8> = row.get(6)?;
                let subject = Subject {
                    study_description: row.get(0)?,
                    patient_id: row.get(1)?,
                    patient_issuer: String::new(),
                    study_date: row.get(2)?,
                    referring_physician: String::new(),
                    institution: String::new(),
                    modality: row.get(3)?,
                    body_part: row.get(4)?,
                    series_description: row.get(5)?,
                };
                Ok((subject, packed))
            })
        })?;
        let Some((mut subject, packed)) = found else { return Ok(None) };
        let mut attributes = cairn_dicom::attributes::Attributes::default();
        unpack_values(&packed, &mut attributes)?;
        for (tag, field) in [
            (ISSUER, &mut subject.patient_issuer),
            (REFERRING_PHYSICIAN, &mut subject.referring_physician),
            (INSTITUTION, &mut subject.institution),
        ] {
            attributes.get(tag).unwrap_or_default().clone_into(field);
        }
        Ok(Some(subject))
    }
}

/// A parcel for later, with those of the same series that are not due yet: a sender that waits for each
/// answer brings an arrival for each object, and a study would be as many rows, all of which have to
/// wait longer with each that is added. The others get a new number: should somebody have begun to
/// send them at this very moment, what they note is of no effect, and they are sent again.
fn with_what_waits(transaction: &Transaction<'_>, parcel: &Parcel) -> rusqlite::Result<Parcel> {
    let mut merged = parcel.clone();
    if parcel.due_ms <= parcel.added_ms || parcel.series_uid.is_empty() {
        return Ok(merged);
    }
    let which = params![
        parcel.study_uid,
        parcel.route,
        parcel.peer,
        parcel.series_uid,
        parcel.added_ms.cast_signed(),
        MERGED_BYTES_MAX,
    ];
    let waiting = transaction
        .prepare_cached(
            "DELETE FROM parcel WHERE study = ?1 AND route = ?2 AND peer = ?3 AND series = ?4
                AND tries = 0 AND due > ?5 AND length(seqs) < ?6 RETURNING seqs, added",
        )?
        .query_map(which, |row| Ok((seqs(row, 0)?, row.get::<_, i64>(1)? as u64)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for (seqs, added) in waiting {
        merged.seqs.merge(&seqs);
        merged.added_ms = merged.added_ms.min(added);
    }
    merged.due_ms = merged.due_ms.min(merged.added_ms + WAIT_MS_MAX as u64);
    Ok(merged)
}

/// False if they were looked for before.
fn begin_priors(
    transaction: &Transaction<'_>,
    route: &str,
    study_uid: &str,
    now_ms: u64,
) -> rusqlite::Result<bool> {
    let sql = "INSERT OR IGNORE INTO priors VALUES (?1, ?2, ?3)";
    let added = transaction.execute(sql, params![route, study_uid, now_ms.cast_signed()])?;
    if added == 1 {
        let sql = "DELETE FROM priors WHERE route = ?1 AND begun < ?2";
        let old = now_ms.saturating_sub(PRIORS_KEPT_MS).cast_signed();
        transaction.execute(sql, params![route, old])?;
    }
    Ok(added == 1)
}

/// Deletes chosen rows; how many objects they held.
fn take_out(
    transaction: &Transaction<'_>,
    table: &'static str,
    which: &Which,
) -> rusqlite::Result<u64> {
    let chosen = params![which.route, which.peer];
    let objects: Option<i64> = transaction
        .query_row(&format!("SELECT sum(instances) FROM {table} WHERE {CHOSEN}"), chosen, |row| {
            row.get(0)
        })
        .optional()?
        .flatten();
    transaction.execute(&format!("DELETE FROM {table} WHERE {CHOSEN}"), chosen)?;
    Ok(objects.unwrap_or(0) as u64)
}

#[cfg(test)]
#[path = "sqlite_outbox_tests.rs"]
mod tests;
