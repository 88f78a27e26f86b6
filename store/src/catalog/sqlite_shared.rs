//! The embedded catalog: rows that the instances of a batch share, of studies, series, SOP classes and
//! transfer syntaxes. Each is looked up and written once a batch, if its attributes stay the same.

use std::collections::{BTreeMap, HashMap};

use cairn_dicom::attributes::{Attributes, Level};
use cairn_dicom::query::moment::Date;
use cairn_dicom::query::name::fold_names;
use rusqlite::{OptionalExtension, Transaction, params};

use super::values::pack_values;

type Result<T> = rusqlite::Result<T>;

const NAME_STUDY: &str = "INSERT OR IGNORE INTO study_name VALUES (?1, ?2)";
const UNNAME_STUDY: &str = "DELETE FROM study_name WHERE name = ?1 AND study = ?2";

/// See the [module](self).
pub(super) struct SharedRows<'a> {
    transaction: &'a Transaction<'a>,
    /// Studies and series met in this batch, with the attributes last written: most instances of a
    /// batch bring the same ones.
    studies: HashMap<String, (i64, Vec<u8>)>,
    series: HashMap<(i64, String), (i64, Vec<u8>)>,
    /// SOP classes and transfer syntaxes met in this batch.
    terms: HashMap<String, i64>,
    /// By how much series grow.
    growth: BTreeMap<i64, Growth>,
}

/// What becomes visible in a series.
#[derive(Default)]
struct Growth {
    instances: i64,
    /// Of their data sets.
    bytes: i64,
    /// The last sequence number.
    changed: i64,
}

impl<'a> SharedRows<'a> {
    pub(super) fn new(transaction: &'a Transaction<'a>) -> Self {
        Self {
            transaction,
            studies: HashMap::new(),
            series: HashMap::new(),
            terms: HashMap::new(),
            growth: BTreeMap::new(),
        }
    }

    /// Finds or makes the study's row; a visible version brings its attributes up to date.
    pub(super) fn study_no(
        &mut self,
        uid: &str,
        attributes: &Attributes,
        update: bool,
    ) -> Result<i64> {
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

    /// The same for a series.
    pub(super) fn series_no(
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

    /// The number of a UID that repeats.
    pub(super) fn term_no(&mut self, uid: &str) -> Result<i64> {
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

    /// So many instances more are visible in a series, whose data sets have so many bytes more in all.
    pub(super) fn grow(&mut self, series: i64, instances: i64, bytes: i64, seq: i64) {
        let growth = self.growth.entry(series).or_default();
        growth.instances += instances;
        growth.bytes += bytes;
        growth.changed = growth.changed.max(seq);
    }

    /// Writes what [`Self::grow`] was told.
    pub(super) fn write_growth(&mut self) -> Result<()> {
        let mut update = self.transaction.prepare_cached(
            "UPDATE series SET instances = instances + ?2, bytes = bytes + ?3,
                changed = max(changed, ?4) WHERE no = ?1",
        )?;
        for (series, Growth { instances, bytes, changed }) in std::mem::take(&mut self.growth) {
            update.execute([series, instances, bytes, changed])?;
        }
        Ok(())
    }
}

/// The value of an attribute, or nothing.
pub(super) fn text(attributes: &Attributes, tag: u32) -> &str {
    attributes.get(tag).unwrap_or_default()
}
