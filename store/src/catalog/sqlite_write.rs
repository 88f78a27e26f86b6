//! The embedded catalog as a [`Catalog`](super::Catalog): writing a batch.
//!
//! Every write can be repeated, in the order of sequence numbers or not: a replay after a crash applies
//! commits that the catalog may know already.

use std::collections::{BTreeMap, HashMap};

use cairn_dicom::attributes::{Attributes, Level};
use cairn_dicom::query::moment::Date;
use cairn_dicom::query::name::fold_names;
use rusqlite::{OptionalExtension, Transaction, params};

use super::names::{Kind, Names};
use super::sqlite::uid_key;
use super::sqlite_outbox::Arrivals;
use super::values::pack_values;
use super::{Batch, NewInstance, PackNo};
use crate::commit::{DeletionEntry, StudyEntry};

type Result<T> = rusqlite::Result<T>;

/// The instances that a deletion covers.
const COVERED: &str = "SELECT i.no FROM study JOIN series ON series.study = study.no
     JOIN instance i ON i.series = series.no
     WHERE study.uid = ?1 AND (?2 = '' OR series.uid = ?2) AND (?3 = '' OR i.uid = ?3)";

const NAME_STUDY: &str = "INSERT OR IGNORE INTO study_name VALUES (?1, ?2)";
const UNNAME_STUDY: &str = "DELETE FROM study_name WHERE name = ?1 AND study = ?2";

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
    /// Studies and series met in this batch, with the attributes last written: most instances of a
    /// batch bring the same ones.
    studies: HashMap<String, (i64, Vec<u8>)>,
    series: HashMap<(i64, String), (i64, Vec<u8>)>,
    /// SOP classes and transfer syntaxes met in this batch.
    terms: HashMap<String, i64>,
    /// What becomes visible in each series.
    shown: BTreeMap<i64, Shown>,
}

/// By how much a series grows.
#[derive(Default)]
struct Shown {
    instances: i64,
    bytes: i64,
    /// The last sequence number.
    changed: i64,
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
            studies: HashMap::new(),
            series: HashMap::new(),
            terms: HashMap::new(),
            shown: BTreeMap::new(),
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
        self.count_shown()?;
        arrivals.write(self.transaction)?;
        for (seq, study) in batch.studies {
            self.study_record(*seq, study)?;
        }
        for (seq, deletion) in batch.deletions {
            self.deletion(*seq, deletion)?;
        }
        Ok(self.added)
    }

    /// Finds or makes the study's row; a visible version brings its attributes up to date.
    fn study_no(&mut self, uid: &str, attributes: &Attributes, update: bool) -> Result<i64> {
        let packed = pack_values(attributes, |level| level <= Level::Study);
        if let Some((no, known)) = self.studies.get(uid)
            && (!update || *known == packed)
        {
            return Ok(*no);
        }
        let known = self
            .transaction
            .prepare_cached("SELECT no, patient_name FROM study WHERE uid = ?1")?
            .query_row([uid], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))
            .optional()?;
        let sql = match known {
            None => {
                "INSERT INTO study (uid, patient_name, patient_id, birth_date, sex, date, time,
                    accession, id, description, referring, attributes, day)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
            }
            Some((no, _)) if !update => return Ok(no),
            Some(_) => {
                "UPDATE study SET patient_name = ?2, patient_id = ?3, birth_date = ?4, sex = ?5,
                    date = ?6, time = ?7, accession = ?8, id = ?9, description = ?10,
                    referring = ?11, attributes = ?12, day = ?13
                 WHERE uid = ?1"
            }
        };
        self.transaction.prepare_cached(sql)?.execute(params![
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
            packed,
            Date::parse(text(attributes, 0x0008_0020)).map_or(0, |day| day.0),
        ])?;
        let (no, before) =
            known.unwrap_or_else(|| (self.transaction.last_insert_rowid(), String::new()));
        let name = text(attributes, 0x0010_0010);
        if before != name {
            self.name_study(no, &before, UNNAME_STUDY)?;
            self.name_study(no, name, NAME_STUDY)?;
        }
        self.studies.insert(uid.to_owned(), (no, packed));
        Ok(no)
    }

    /// Runs `sql` for each group of a name as it is searched.
    fn name_study(&self, study: i64, name: &str, sql: &str) -> Result<()> {
        let folded = fold_names(name);
        for group in folded.split(['\\', '=']).filter(|group| !group.is_empty()) {
            self.transaction.prepare_cached(sql)?.execute(params![group, study])?;
        }
        Ok(())
    }

    fn series_no(
        &mut self,
        study: i64,
        uid: &str,
        attributes: &Attributes,
        update: bool,
    ) -> Result<i64> {
        let packed = pack_values(attributes, |level| level == Level::Series);
        let key = (study, uid.to_owned());
        if let Some((no, known)) = self.series.get(&key)
            && (!update || *known == packed)
        {
            return Ok(*no);
        }
        let known = self
            .transaction
            .prepare_cached("SELECT no FROM series WHERE study = ?1 AND uid = ?2")?
            .query_row(params![study, uid], |row| row.get(0))
            .optional()?;
        let sql = match known {
            None => {
                "INSERT INTO series (study, uid, modality, number, description, body_part, date,
                    time, attributes, instances, bytes, changed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, 0, 0)"
            }
            Some(no) if !update => return Ok(no),
            Some(_) => {
                "UPDATE series SET modality = ?3, number = ?4, description = ?5, body_part = ?6,
                    date = ?7, time = ?8, attributes = ?9 WHERE study = ?1 AND uid = ?2"
            }
        };
        self.transaction.prepare_cached(sql)?.execute(params![
            study,
            uid,
            text(attributes, 0x0008_0060),
            text(attributes, 0x0020_0011),
            text(attributes, 0x0008_103E),
            text(attributes, 0x0018_0015),
            text(attributes, 0x0008_0021),
            text(attributes, 0x0008_0031),
            packed,
        ])?;
        let no = known.unwrap_or_else(|| self.transaction.last_insert_rowid());
        self.series.insert(key, (no, packed));
        Ok(no)
    }

    fn term_no(&mut self, uid: &str) -> Result<i64> {
        if let Some(no) = self.terms.get(uid) {
            return Ok(*no);
        }
        let known: Option<i64> = self
            .transaction
            .prepare_cached("SELECT no FROM term WHERE uid = ?1")?
            .query_row([uid], |row| row.get(0))
            .optional()?;
        let no = if let Some(no) = known {
            no
        } else {
            self.transaction.execute("INSERT INTO term (uid) VALUES (?1)", [uid])?;
            self.transaction.last_insert_rowid()
        };
        self.terms.insert(uid.to_owned(), no);
        Ok(no)
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
        let study = self.study_no(&entry.study_uid, &entry.attributes, shown)?;
        let series = self.series_no(study, &entry.series_uid, &entry.attributes, shown)?;
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
            self.grow(series, 1, manifest.dataset_bytes.cast_signed(), visible);
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

    fn grow(&mut self, series: i64, instances: i64, bytes: i64, seq: i64) {
        let shown = self.shown.entry(series).or_default();
        shown.instances += instances;
        shown.bytes += bytes;
        shown.changed = shown.changed.max(seq);
    }

    fn count_shown(&mut self) -> Result<()> {
        let mut update = self.transaction.prepare_cached(
            "UPDATE series SET instances = instances + ?2, bytes = bytes + ?3,
                changed = max(changed, ?4) WHERE no = ?1",
        )?;
        for (series, Shown { instances, bytes, changed }) in std::mem::take(&mut self.shown) {
            update.execute([series, instances, bytes, changed])?;
        }
        Ok(())
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
        self.grow(series, i64::from(before == 0), bytes, seq.cast_signed());
        Ok(())
    }

    fn version(&mut self, instance: i64, deleted: i64, new: &NewInstance<'_>) -> Result<bool> {
        let NewInstance { seq, entry, manifest } = *new;
        let class = self.term_no(&manifest.sop_class_uid)?;
        let syntax = self.term_no(&manifest.transfer_syntax_uid)?;
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

fn text(attributes: &Attributes, tag: u32) -> &str {
    attributes.get(tag).unwrap_or_default()
}
