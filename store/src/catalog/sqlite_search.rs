//! The embedded catalog: searching.
//!
//! A search first collects numbers of what matches, in ascending order and no more than the page needs,
//! then reads the rows of the page. Going down from matching studies to their series and instances, not
//! all children have to be seen: rows are numbered as they arrive and are never taken away, so the
//! first series of a later study has a greater number than that of an earlier one, and the same holds
//! for the first instances of series. Once a page is full of smaller numbers than the first child could
//! have, nothing behind can matter.

use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use cairn_dicom::attributes::{Attributes, Level};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::Visitor;
use super::search::{Found, Plan, Search, computed};
use super::sqlite::fault;
use super::sqlite_narrow::{Narrow, infix_name};
use super::values::unpack_values;
use crate::error::Result;

const STUDY_INSTANCE_UID: u32 = 0x0020_000D;
const SERIES_INSTANCE_UID: u32 = 0x0020_000E;
const SOP_INSTANCE_UID: u32 = 0x0008_0018;
const SOP_CLASS_UID: u32 = 0x0008_0016;
const ACTION: &str = "search";

/// Of a row of `study`: something of it is shown.
const SHOWN: &str = "EXISTS (SELECT 1 FROM series s WHERE s.study = study.no AND s.instances > 0)";

const CONTINUE: Result<ControlFlow<()>> = Ok(ControlFlow::Continue(()));
const STOP: Result<ControlFlow<()>> = Ok(ControlFlow::Break(()));

/// What is done with each number; `Break` ends the walk.
type Each<'a> = &'a mut dyn FnMut(i64) -> Result<ControlFlow<()>>;

/// Runs a search on one snapshot of the catalog.
pub(super) fn search(
    connection: &Connection,
    search: &Search<'_>,
    visit: Visitor<'_, Found>,
) -> Result<()> {
    if search.take == 0 {
        return Ok(());
    }
    let transaction = connection.unchecked_transaction().map_err(fault(ACTION))?;
    let searcher = Searcher {
        connection: &transaction,
        search,
        plan: Plan::new(search.query),
        after: i64::try_from(search.after).unwrap_or(i64::MAX),
    };
    let skip = usize::try_from(search.skip).unwrap_or(usize::MAX);
    let take = usize::try_from(search.take).unwrap_or(usize::MAX);
    let numbers = searcher.numbers(skip.saturating_add(take))?;
    let mut parents = Parents::default();
    for number in numbers.into_iter().skip(skip) {
        visit(searcher.found(number, &mut parents)?)?;
    }
    Ok(())
}

/// The smallest numbers of those it was given.
struct Smallest {
    room: usize,
    heap: BinaryHeap<i64>,
}

impl Smallest {
    fn has_no_room_for(&self, number: i64) -> bool {
        self.heap.len() >= self.room && self.heap.peek().is_some_and(|largest| *largest < number)
    }

    fn push(&mut self, number: i64) {
        self.heap.push(number);
        if self.heap.len() > self.room {
            self.heap.pop();
        }
    }
}

/// Attributes of the study and series of the last row, which the next one often shares.
#[derive(Default)]
struct Parents {
    study: Option<(i64, String, Attributes)>,
    series: Option<(i64, String, Attributes)>,
}

struct Searcher<'a> {
    connection: &'a Connection,
    search: &'a Search<'a>,
    plan: Plan<'a>,
    after: i64,
}

impl Searcher<'_> {
    /// The numbers of the first `room` matches, ascending.
    fn numbers(&self, room: usize) -> Result<Vec<i64>> {
        let mut smallest = Smallest { room, heap: BinaryHeap::new() };
        match self.search.query.level {
            Level::Patient | Level::Study => self.find_studies(&mut smallest)?,
            Level::Series if self.narrows_studies() => {
                self.find_series_of_studies(&mut smallest)?;
            }
            Level::Series => self.find_series(&mut smallest)?,
            Level::Instance => {
                let narrow = Narrow::sop_instances(self.search.query);
                if !narrow.is_empty() || !self.narrows_studies() && !self.narrows_series() {
                    self.find_instances(&narrow, &mut smallest)?;
                } else {
                    self.find_instances_of_series(&mut smallest)?;
                }
            }
        }
        Ok(smallest.heap.into_sorted_vec())
    }

    fn narrows_studies(&self) -> bool {
        let Plan { study, study_sums, .. } = &self.plan;
        self.search.query.study.is_some() || !study.is_empty() || !study_sums.is_empty()
    }

    fn narrows_series(&self) -> bool {
        self.search.query.series.is_some() || !self.plan.series.is_empty()
    }

    fn find_studies(&self, smallest: &mut Smallest) -> Result<()> {
        let looks_below = self.narrows_series() || !self.plan.instance.is_empty();
        self.each_study(self.after, &mut |study| {
            let mut matches = !looks_below;
            if looks_below {
                self.each_series_of(study, 0, &mut |series| {
                    matches = self.plan.instance.is_empty() || self.has_instance(series)?;
                    if matches { STOP } else { CONTINUE }
                })?;
            }
            if matches {
                smallest.push(study);
            }
            if smallest.heap.len() >= smallest.room { STOP } else { CONTINUE }
        })
    }

    fn find_series_of_studies(&self, smallest: &mut Smallest) -> Result<()> {
        self.each_study(0, &mut |study| {
            let first = "SELECT min(no) FROM series WHERE study = ?1";
            if !smallest.heap.is_empty()
                && smallest.heap.len() >= smallest.room
                && smallest.has_no_room_for(self.number(first, study)?)
            {
                return STOP;
            }
            self.each_series_of(study, self.after, &mut |series| {
                if smallest.has_no_room_for(series) {
                    return STOP;
                }
                if self.plan.instance.is_empty() || self.has_instance(series)? {
                    smallest.push(series);
                }
                CONTINUE
            })
            .map(ControlFlow::Continue)
        })
    }

    fn find_series(&self, smallest: &mut Smallest) -> Result<()> {
        self.each_series(self.after, &mut |series| {
            if self.plan.instance.is_empty() || self.has_instance(series)? {
                smallest.push(series);
            }
            if smallest.heap.len() >= smallest.room { STOP } else { CONTINUE }
        })
    }

    /// Instances that are known by their UIDs, or all of them.
    fn find_instances(&self, narrow: &Narrow, smallest: &mut Smallest) -> Result<()> {
        let sql = format!(
            "SELECT no, series FROM instance WHERE no > ?1 AND visible <> 0{} ORDER BY no",
            narrow.sql
        );
        let mut values = vec![Value::Integer(self.after)];
        values.extend(narrow.values.iter().cloned());
        self.walk(&sql, &values, &mut |row| {
            let (instance, series): (i64, i64) = (integer(row, 0)?, integer(row, 1)?);
            if self.instance_holds(instance)? && self.ancestors_hold(series)? {
                smallest.push(instance);
            }
            if smallest.heap.len() >= smallest.room { STOP } else { CONTINUE }
        })
    }

    fn find_instances_of_series(&self, smallest: &mut Smallest) -> Result<()> {
        if !self.narrows_studies() {
            return self.each_series(0, &mut |series| self.take_instances(series, smallest));
        }
        self.each_study(0, &mut |study| {
            let first = "SELECT min(no) FROM instance
                WHERE series = (SELECT min(no) FROM series WHERE study = ?1)";
            if smallest.heap.len() >= smallest.room
                && smallest.has_no_room_for(self.number(first, study)?)
            {
                return STOP;
            }
            self.each_series_of(study, 0, &mut |series| self.take_instances(series, smallest))
                .map(ControlFlow::Continue)
        })
    }

    /// Adds the instances of a series; stops where no later series can have any that matter.
    fn take_instances(&self, series: i64, smallest: &mut Smallest) -> Result<ControlFlow<()>> {
        let first = "SELECT min(no) FROM instance WHERE series = ?1";
        if smallest.heap.len() >= smallest.room
            && smallest.has_no_room_for(self.number(first, series)?)
        {
            return STOP;
        }
        self.each_instance_of(series, self.after, &mut |instance| {
            if smallest.has_no_room_for(instance) {
                return STOP;
            }
            smallest.push(instance);
            CONTINUE
        })
        .map(ControlFlow::Continue)
    }

    /// Studies whose own keys match and of which something is shown, ascending.
    fn each_study(&self, after: i64, each: Each<'_>) -> Result<()> {
        let by_name = self.studies_by_name()?;
        let narrow = Narrow::studies(self.search.query);
        if let (Some(studies), true) = (&by_name, narrow.is_empty()) {
            for study in studies.iter().copied().filter(|study| *study > after) {
                let shown =
                    self.number(&format!("SELECT no FROM study WHERE no = ?1 AND {SHOWN}"), study)?;
                if shown == study && self.study_holds(study)? && each(study)?.is_break() {
                    break;
                }
            }
            return Ok(());
        }
        let sql =
            format!("SELECT no FROM study WHERE +no > ?1{} AND {SHOWN} ORDER BY no", narrow.sql);
        let mut values = vec![Value::Integer(after)];
        values.extend(narrow.values);
        self.walk(&sql, &values, &mut |row| {
            let study = integer(row, 0)?;
            let named = by_name.as_ref().is_none_or(|known| known.binary_search(&study).is_ok());
            if named && self.study_holds(study)? { each(study) } else { CONTINUE }
        })
    }

    /// Studies with a name that has to be looked for letter by letter; `None`: the query has none.
    fn studies_by_name(&self) -> Result<Option<Vec<i64>>> {
        let Some(pattern) = infix_name(self.search.query) else { return Ok(None) };
        let mut studies = Vec::new();
        self.walk("SELECT name, study FROM study_name", &[], &mut |row| {
            let name = row.get_ref(0).and_then(|name| Ok(name.as_str()?)).map_err(fault(ACTION))?;
            if pattern.fits(name) {
                studies.push(integer(row, 1)?);
            }
            CONTINUE
        })?;
        studies.sort_unstable();
        studies.dedup();
        Ok(Some(studies))
    }

    /// Series whose own keys match, ascending, whatever their study.
    fn each_series(&self, after: i64, each: Each<'_>) -> Result<()> {
        let narrow = Narrow::series(self.search.query);
        let sql = format!(
            "SELECT no FROM series WHERE +no > ?1 AND instances > 0{} ORDER BY no",
            narrow.sql
        );
        let mut values = vec![Value::Integer(after)];
        values.extend(narrow.values);
        self.walk(&sql, &values, &mut |row| {
            let series = integer(row, 0)?;
            if self.series_holds(series)? { each(series) } else { CONTINUE }
        })
    }

    /// Series of a study whose own keys match, ascending.
    fn each_series_of(&self, study: i64, after: i64, each: Each<'_>) -> Result<()> {
        let sql =
            "SELECT no FROM series WHERE study = ?1 AND +no > ?2 AND instances > 0 ORDER BY no";
        self.walk(sql, &[Value::Integer(study), Value::Integer(after)], &mut |row| {
            let series = integer(row, 0)?;
            if self.series_holds(series)? { each(series) } else { CONTINUE }
        })
    }

    /// Instances of a series whose own keys match, ascending.
    fn each_instance_of(&self, series: i64, after: i64, each: Each<'_>) -> Result<()> {
        let sql =
            "SELECT no FROM instance WHERE series = ?1 AND no > ?2 AND visible <> 0 ORDER BY no";
        self.walk(sql, &[Value::Integer(series), Value::Integer(after)], &mut |row| {
            let instance = integer(row, 0)?;
            if self.instance_holds(instance)? { each(instance) } else { CONTINUE }
        })
    }

    fn has_instance(&self, series: i64) -> Result<bool> {
        let mut found = false;
        self.each_instance_of(series, 0, &mut |_| {
            found = true;
            STOP
        })?;
        Ok(found)
    }

    /// Do a series' keys match, and those of its study?
    fn ancestors_hold(&self, series: i64) -> Result<bool> {
        if !self.series_holds(series)? {
            return Ok(false);
        }
        if !self.narrows_studies() {
            return Ok(true);
        }
        self.study_holds(self.number("SELECT study FROM series WHERE no = ?1", series)?)
    }

    fn study_holds(&self, study: i64) -> Result<bool> {
        let Plan { study: own, study_sums, .. } = &self.plan;
        if let Some(uid) = &self.search.query.study {
            let sql = "SELECT count(*) FROM study WHERE no = ?1 AND uid = ?2";
            let values = [Value::Integer(study), Value::Text(uid.clone())];
            if self.one(sql, &values, |row| row.get::<_, i64>(0))? == Some(0) {
                return Ok(false);
            }
        }
        let stored = own.is_empty() || own.hold(&self.study(study)?.1);
        Ok(stored && (study_sums.is_empty() || study_sums.hold(&self.study_sums(study)?)))
    }

    fn series_holds(&self, series: i64) -> Result<bool> {
        if !self.narrows_series() {
            return Ok(true);
        }
        let (uid, attributes) = self.series(series)?;
        let in_scope = self.search.query.series.as_ref().is_none_or(|wanted| *wanted == uid);
        Ok(in_scope && self.plan.series.hold(&attributes))
    }

    fn instance_holds(&self, instance: i64) -> Result<bool> {
        Ok(self.plan.instance.is_empty() || self.plan.instance.hold(&self.instance(instance)?.2))
    }

    /// UID and attributes of a study, sums excluded.
    fn study(&self, study: i64) -> Result<(String, Attributes)> {
        let sql = "SELECT uid, attributes FROM study WHERE no = ?1";
        self.row(sql, study, STUDY_INSTANCE_UID)
    }

    /// UID and attributes of a series, sums included.
    fn series(&self, series: i64) -> Result<(String, Attributes)> {
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
    fn instance(&self, instance: i64) -> Result<(i64, String, Attributes)> {
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
    fn study_sums(&self, study: i64) -> Result<Attributes> {
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
    fn found(&self, number: i64, parents: &mut Parents) -> Result<Found> {
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

    fn number(&self, sql: &str, of: i64) -> Result<i64> {
        let number = self.one(sql, &[Value::Integer(of)], |row| row.get::<_, Option<i64>>(0))?;
        Ok(number.flatten().unwrap_or_default())
    }

    fn one<T>(
        &self,
        sql: &str,
        values: &[Value],
        map: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        (|| {
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query(params_from_iter(values))?;
            rows.next()?.map(map).transpose()
        })()
        .map_err(fault(ACTION))
    }

    fn walk(
        &self,
        sql: &str,
        values: &[Value],
        each: &mut dyn FnMut(&Row<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut statement = self.connection.prepare_cached(sql).map_err(fault(ACTION))?;
        let mut rows = statement.query(params_from_iter(values)).map_err(fault(ACTION))?;
        while let Some(row) = rows.next().map_err(fault(ACTION))? {
            if each(row)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn integer(row: &Row<'_>, column: usize) -> Result<i64> {
    row.get(column).map_err(fault(ACTION))
}
