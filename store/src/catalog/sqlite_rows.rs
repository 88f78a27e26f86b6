//! The embedded catalog: what a search reads of its rows, and gives back.

use cairn_dicom::attributes::{Attributes, Level};
use rusqlite::Row;
use rusqlite::types::Value;

use super::search::{Found, computed};
use super::sqlite::fault;
use super::sqlite_search::{ACTION, CONTINUE, Searcher, integer};
use super::values::unpack_values;
use crate::error::Result;

const STUDY_INSTANCE_UID: u32 = 0x0020_000D;
const SERIES_INSTANCE_UID: u32 = 0x0020_000E;
const SOP_INSTANCE_UID: u32 = 0x0008_0018;
const SOP_CLASS_UID: u32 = 0x0008_0016;

/// Attributes of the study and series of the last row, which the next one often shares.
#[derive(Default)]
pub(super) struct Parents {
    study: Option<(i64, String, Attributes)>,
    series: Option<(i64, String, Attributes)>,
}

impl Searcher<'_> {
    /// UID and attributes of a study, sums excluded.
    pub(super) fn study(&self, study: i64) -> Result<(String, Attributes)> {
        let sql = "SELECT uid, attributes FROM study WHERE no = ?1";
        self.row(sql, study, STUDY_INSTANCE_UID)
    }

    /// UID and attributes of a series, sums included.
    pub(super) fn series(&self, series: i64) -> Result<(String, Attributes)> {
        let sql = "SELECT uid, attributes, instances FROM series WHERE no = ?1";
        let mut count = 0i64;
        let (uid, mut attributes) = self.row_with(sql, series, SERIES_INSTANCE_UID, |row| {
            count = row.get(2)?;
            Ok(())
        })?;
        attributes.set(computed::NUMBER_OF_SERIES_RELATED_INSTANCES, count.to_string());
        Ok((uid, attributes))
    }

    /// Series, UID and attributes of an instance.
    pub(super) fn instance(&self, instance: i64) -> Result<(i64, String, Attributes)> {
        let sql = "SELECT i.uid, i.attributes, i.series, class.uid, syntax.uid FROM instance i
            JOIN version v ON v.instance = i.no AND v.seq = i.visible
            JOIN term class ON class.no = v.class JOIN term syntax ON syntax.no = v.syntax
            WHERE i.no = ?1";
        let (mut series, mut class, mut syntax) = (0i64, String::new(), String::new());
        let (uid, mut attributes) = self.row_with(sql, instance, SOP_INSTANCE_UID, |row| {
            (series, class, syntax) = (row.get(2)?, row.get(3)?, row.get(4)?);
            Ok(())
        })?;
        attributes.set(SOP_CLASS_UID, class);
        attributes.set(computed::AVAILABLE_TRANSFER_SYNTAX_UID, syntax);
        Ok((series, uid, attributes))
    }

    /// What is computed for a study.
    pub(super) fn study_sums(&self, study: i64) -> Result<Attributes> {
        let (mut modalities, mut series, mut instances) = (Vec::<String>::new(), 0u64, 0u64);
        let sql = "SELECT modality, instances FROM series WHERE study = ?1 AND instances > 0
            ORDER BY no";
        self.walk(sql, &[Value::Integer(study)], &mut |row| {
            let modality: String = row.get(0).map_err(fault(ACTION))?;
            if !modality.is_empty() && !modalities.contains(&modality) {
                modalities.push(modality);
            }
            series += 1;
            instances += integer(row, 1)? as u64;
            CONTINUE
        })?;
        let mut sums = Attributes::from_iter([
            (computed::INSTANCE_AVAILABILITY, "ONLINE".to_owned()),
            (computed::MODALITIES_IN_STUDY, modalities.join("\\")),
            (computed::NUMBER_OF_STUDY_RELATED_SERIES, series.to_string()),
            (computed::NUMBER_OF_STUDY_RELATED_INSTANCES, instances.to_string()),
        ]);
        if self.plan.classes {
            sums.set(computed::SOP_CLASSES_IN_STUDY, self.classes(study)?);
        }
        Ok(sums)
    }

    /// SOP classes of a study, in the order in which they came.
    fn classes(&self, study: i64) -> Result<String> {
        let mut classes = Vec::<String>::new();
        let sql = "SELECT term.uid FROM series JOIN instance i ON i.series = series.no
            JOIN version v ON v.instance = i.no AND v.seq = i.visible
            JOIN term ON term.no = v.class WHERE series.study = ?1 GROUP BY term.no";
        self.walk(sql, &[Value::Integer(study)], &mut |row| {
            classes.push(row.get(0).map_err(fault(ACTION))?);
            CONTINUE
        })?;
        Ok(classes.join("\\"))
    }

    /// Everything about one result.
    pub(super) fn found(&self, number: i64, parents: &mut Parents) -> Result<Found> {
        let (mut instance, mut series, mut study) = (None, None, number);
        if self.search.query.level == Level::Instance {
            let (of, uid, attributes) = self.instance(number)?;
            instance = Some((uid, attributes));
            series = Some(of);
        }
        if self.search.query.level == Level::Series {
            series = Some(number);
        }
        if let Some(series) = series {
            if parents.series.as_ref().is_none_or(|(known, ..)| *known != series) {
                let (uid, attributes) = self.series(series)?;
                parents.series = Some((series, uid, attributes));
            }
            study = self.number("SELECT study FROM series WHERE no = ?1", series)?;
        }
        if parents.study.as_ref().is_none_or(|(known, ..)| *known != study) {
            let (uid, mut attributes) = self.study(study)?;
            attributes.extend(&self.study_sums(study)?);
            parents.study = Some((study, uid, attributes));
        }
        let (study_uid, mut attributes) = parents
            .study
            .as_ref()
            .map(|(_, uid, all)| (uid.clone(), all.clone()))
            .unwrap_or_default();
        let of_series = parents.series.as_ref().filter(|_| series.is_some());
        if let Some((.., of_series)) = of_series {
            attributes.extend(of_series);
        }
        if let Some((_, of_instance)) = &instance {
            attributes.extend(of_instance);
        }
        Ok(Found {
            number: number as u64,
            study_uid,
            series_uid: of_series.map(|(_, uid, _)| uid.clone()),
            sop_instance_uid: instance.map(|(uid, _)| uid),
            attributes,
        })
    }

    fn row(&self, sql: &str, no: i64, uid_tag: u32) -> Result<(String, Attributes)> {
        self.row_with(sql, no, uid_tag, |_| Ok(()))
    }

    /// A row whose first columns are a UID and packed attributes.
    fn row_with(
        &self,
        sql: &str,
        no: i64,
        uid_tag: u32,
        rest: impl FnOnce(&Row<'_>) -> rusqlite::Result<()>,
    ) -> Result<(String, Attributes)> {
        let mut attributes = Attributes::default();
        let mut unpacked = Ok(());
        let uid = self.one(sql, &[Value::Integer(no)], |row| {
            unpacked = unpack_values(row.get_ref(1)?.as_blob()?, &mut attributes);
            rest(row)?;
            row.get::<_, String>(0)
        })?;
        unpacked?;
        let uid = uid.unwrap_or_default();
        attributes.set(uid_tag, uid.clone());
        Ok((uid, attributes))
    }
}
