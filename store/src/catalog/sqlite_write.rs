//! The embedded catalog as a [`Catalog`](super::Catalog): writing a batch.
//!
//! Every write can be repeated, in the order of sequence numbers or not: a replay after a crash applies
//! commits that the catalog may know already.

use cairn_dicom::attributes::Level;
use rusqlite::{OptionalExtension, Transaction, params};

use super::names::{Kind, Names};
use super::sqlite::uid_key;
use super::sqlite_outbox::Arrivals;
use super::sqlite_shared::{SharedRows, text};
use super::values::pack_values;
use super::{Batch, NewInstance, PackNo};
use crate::commit::{DeletionEntry, StudyEntry};

type Result<T> = rusqlite::Result<T>;

/// The instances that a deletion covers.
const COVERED: &str = "SELECT i.no FROM study JOIN series ON series.study = study.no
     JOIN instance i ON i.series = series.no
     WHERE study.uid = ?1 AND (?2 = '' OR series.uid = ?2) AND (?3 = '' OR i.uid = ?3)";

/// One batch on its way into the tables.
pub(super) struct BatchWriter<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    names: &'a Names,
    /// Instances that were not there.
    added: u64,
    /// Anything was ever deleted: without it nobody has to look for tombstones.
    tombstones: bool,
    /// Entries of earlier commits were left out: one of these may be among them.
    left_out: bool,
    /// The pack that holds the commit.
    pack: i64,
    shared: SharedRows<'a>,
}

impl<'a> BatchWriter<'a> {
    pub(super) fn new(
        transaction: &'a Transaction<'a>,
        names: &'a Names,
        pack: PackNo,
    ) -> Result<Self> {
        let is_any = |sql| transaction.prepare_cached(sql)?.query_row([], |row| row.get(0));
        let tombstones = is_any("SELECT EXISTS (SELECT 1 FROM tombstone)")?;
        let left_out = is_any("SELECT EXISTS (SELECT 1 FROM left_out)")?;
        let pack = pack.0;
        Ok(Self {
            transaction,
            names,
            added: 0,
            tombstones,
            left_out,
            pack,
            shared: SharedRows::new(transaction),
        })
    }

    /// Writes everything but the chunks' places; gives how many instances got a name.
    pub(super) fn write(mut self, batch: &Batch<'_>) -> Result<u64> {
        let mut arrivals = Arrivals::default();
        for instance in batch.instances {
            if self.instance(instance)? {
                arrivals.add(instance);
            }
        }
        // Before deletions, which count anew.
        self.shared.write_growth()?;
        arrivals.write(self.transaction)?;
        for (seq, study) in batch.studies {
            self.study_record(*seq, study)?;
        }
        for (seq, deletion) in batch.deletions {
            self.deletion(*seq, deletion)?;
        }
        Ok(self.added)
    }

    /// The sequence number of the oldest deletion after `seq` that covers an instance; 0: none.
    fn deleted_after(&self, seq: u64, study: &str, series: &str, sop: &str) -> Result<i64> {
        if !self.tombstones {
            return Ok(0);
        }
        self.transaction
            .prepare_cached(
                "SELECT coalesce(min(seq), 0) FROM tombstone WHERE study = ?1
                    AND (series = '' OR series = ?2) AND (sop = '' OR sop = ?3) AND seq > ?4",
            )?
            .query_row(params![study, series, sop, seq.cast_signed()], |row| row.get(0))
    }

    /// Names an instance; false if it was named before.
    fn instance(&mut self, new: &NewInstance<'_>) -> Result<bool> {
        let NewInstance { seq, entry, manifest } = *new;
        let sop = manifest.sop_instance_uid.as_str();
        let deleted = self.deleted_after(seq, &entry.study_uid, &entry.series_uid, sop)?;
        let shown = entry.visible && deleted == 0;
        let study = self.shared.study_no(&entry.study_uid, &entry.attributes, shown)?;
        let series = self.shared.series_no(study, &entry.series_uid, &entry.attributes, shown)?;
        let known = self.known_instance(series, sop)?;
        let no = match known {
            Some((no, _)) if self.is_named_already(no, new)? => {
                self.not_only_entrusted(no, new)?;
                return Ok(false);
            }
            Some((no, _)) => no,
            None => self.add_instance(series, new, deleted == 0)?,
        };
        let added = self.version(no, deleted, new)?;
        if added && deleted == 0 {
            self.entrusted(no, new)?;
        }
        if let Some((_, visible)) = known {
            // What was deleted before does not count.
            if deleted == 0 && (entry.visible && visible < seq.cast_signed() || visible == 0) {
                self.show(series, no, visible, new)?;
            }
        }
        Ok(added)
    }

    /// Makes a row for what is the first under its UIDs, and is shown for that unless it is deleted.
    fn add_instance(&mut self, series: i64, new: &NewInstance<'_>, shown: bool) -> Result<i64> {
        let NewInstance { seq, entry, manifest } = *new;
        let sop = manifest.sop_instance_uid.as_str();
        let (mut number, mut visible, mut packed) = ("", 0, Vec::new());
        if shown {
            number = text(&entry.attributes, 0x0020_0013);
            visible = seq.cast_signed();
            packed = pack_values(&entry.attributes, |level| level == Level::Instance);
            self.shared.grow(series, 1, manifest.dataset_bytes.cast_signed(), visible);
        }
        self.transaction
            .prepare_cached(
                "INSERT INTO instance (series, uid, number, visible, attributes)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![series, sop, number, visible, packed])?;
        let no = self.transaction.last_insert_rowid();
        self.names.add(self.transaction, Kind::Instance, uid_key(sop), no)?;
        self.added += 1;
        Ok(no)
    }

    fn known_instance(&self, series: i64, sop: &str) -> Result<Option<(i64, i64)>> {
        for no in self.names.find(self.transaction, Kind::Instance, uid_key(sop))? {
            let sql = "SELECT visible FROM instance WHERE no = ?1 AND uid = ?2 AND series = ?3";
            let visible = self
                .transaction
                .prepare_cached(sql)?
                .query_row(params![no, sop, series], |row| row.get(0))
                .optional()?;
            if let Some(visible) = visible {
                return Ok(Some((no, visible)));
            }
        }
        Ok(None)
    }

    /// Shows a version in the place of another one (`before`, 0: of none).
    fn show(
        &mut self,
        series: i64,
        instance: i64,
        before: i64,
        new: &NewInstance<'_>,
    ) -> Result<()> {
        let NewInstance { seq, entry, manifest } = *new;
        let attributes = &entry.attributes;
        let packed = pack_values(attributes, |level| level == Level::Instance);
        self.transaction
            .prepare_cached(
                "UPDATE instance SET visible = ?2, number = ?3, attributes = ?4 WHERE no = ?1",
            )?
            .execute(params![instance, seq.cast_signed(), text(attributes, 0x0020_0013), packed])?;
        let bytes_before: i64 = if before == 0 {
            0
        } else {
            self.transaction
                .prepare_cached("SELECT bytes FROM version WHERE instance = ?1 AND seq = ?2")?
                .query_row([instance, before], |row| row.get(0))?
        };
        let bytes = manifest.dataset_bytes.cast_signed() - bytes_before;
        self.shared.grow(series, i64::from(before == 0), bytes, seq.cast_signed());
        Ok(())
    }

    fn version(&mut self, instance: i64, deleted: i64, new: &NewInstance<'_>) -> Result<bool> {
        let NewInstance { seq, entry, manifest } = *new;
        let class = self.shared.term_no(&manifest.sop_class_uid)?;
        let syntax = self.shared.term_no(&manifest.transfer_syntax_uid)?;
        let added = self
            .transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO version (instance, seq, class, syntax, manifest, dataset,
                    bytes, pixels, frames, flags, outcome, received, deleted, pack)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
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
                deleted,
                self.pack,
            ])?;
        if self.left_out {
            let seq = [seq.cast_signed()];
            self.transaction.prepare_cached("DELETE FROM left_out WHERE seq = ?1")?.execute(seq)?;
        }
        Ok(added == 1)
    }

    /// The same content under another sequence number: an entry that a crash left without its chunks,
    /// and that became whole when the object was sent again. One of the two is enough. What was deleted
    /// in between does not count.
    fn is_named_already(&self, instance: i64, new: &NewInstance<'_>) -> Result<bool> {
        self.transaction
            .prepare_cached(
                "SELECT 1 FROM version v JOIN term class ON class.no = v.class
                    JOIN term syntax ON syntax.no = v.syntax
                 WHERE v.instance = ?1 AND v.seq <> ?2 AND v.deleted = 0 AND v.dataset = ?3
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

    /// Everything under the target that has a smaller sequence number is gone.
    fn deletion(&mut self, seq: u64, entry: &DeletionEntry) -> Result<()> {
        let target = &entry.target;
        let series = target.series_uid.as_deref().unwrap_or_default();
        let sop = target.sop_instance_uid.as_deref().unwrap_or_default();
        let seq = seq.cast_signed();
        self.tombstones = true;
        self.transaction
            .prepare_cached("INSERT OR IGNORE INTO tombstone VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![target.study_uid, series, sop, seq, entry.deleted_ms.cast_signed()])?;
        let target = params![target.study_uid, series, sop, seq];
        self.transaction.execute(
            &format!(
                "UPDATE version SET deleted = ?4
                 WHERE instance IN ({COVERED}) AND seq < ?4 AND deleted = 0"
            ),
            target,
        )?;
        let back = format!("DELETE FROM entrusted WHERE instance IN ({COVERED}) AND seq < ?4");
        self.transaction.execute(&back, target)?;
        // Visible versions are older than the deletion, unless something came after it already.
        self.transaction.execute(
            &format!(
                "UPDATE instance SET visible = 0, attributes = x''
                 WHERE no IN ({COVERED}) AND visible < ?4"
            ),
            target,
        )?;
        self.transaction.execute(
            "UPDATE series SET changed = max(changed, ?3),
                (instances, bytes) = (SELECT count(*), coalesce(sum(v.bytes), 0) FROM instance i
                    JOIN version v ON v.instance = i.no AND v.seq = i.visible
                    WHERE i.series = series.no)
             WHERE study = (SELECT no FROM study WHERE uid = ?1) AND (?2 = '' OR uid = ?2)",
            params![entry.target.study_uid, series, seq],
        )?;
        Ok(())
    }

    fn study_record(&self, seq: u64, entry: &StudyEntry) -> Result<()> {
        // All that it spoke of may have been collected. Its versions go on counting all the same.
        self.transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO study (uid, patient_name, patient_id, birth_date, sex, date,
                    time, accession, id, description, referring, attributes, day)
                 VALUES (?1, '', '', '', '', '', '', '', '', '', '', x'', 0)",
            )?
            .execute([&entry.study_uid])?;
        self.transaction
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
}
