//! The embedded catalog: searching.
//!
//! A search first collects numbers of what matches, in ascending order and no more than the page needs,
//! then reads the rows of the page. Going down from matching studies to their series and instances, not
//! all children have to be seen: rows are numbered as they arrive and are never taken away, so the
//! first series of a later study has a greater number than that of an earlier one, and the same holds
//! for the first instances of series. Once a page is full of smaller numbers than the first child could
//! have, nothing behind can matter.
//!
//! A search for instances in no study may have to look at each of them. It looks at so many rows and
//! then says how far it came. What goes down from series is not in the order of numbers, so what it has
//! found by then is no beginning of the whole: it is dropped, and instances are looked at in their order.

use std::cell::Cell;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use cairn_dicom::attributes::Level;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::Visitor;
use super::names::{Kind, Names};
use super::search::{Found, Plan, Reach, Search, Stop};
use super::sqlite::{fault, uid_key};
use super::sqlite_narrow::{Narrow, infix_name, sop_instance_uids};
use super::sqlite_rows::Parents;
use crate::error::Result;

pub(super) const ACTION: &str = "search";

/// Of a row of `study`: something of it is shown.
const SHOWN: &str = "EXISTS (SELECT 1 FROM series s WHERE s.study = study.no AND s.instances > 0)";

pub(super) const CONTINUE: Result<ControlFlow<()>> = Ok(ControlFlow::Continue(()));
const STOP: Result<ControlFlow<()>> = Ok(ControlFlow::Break(()));

/// What is done with each number; `Break` ends the walk.
type Each<'a> = &'a mut dyn FnMut(i64) -> Result<ControlFlow<()>>;

/// Runs a search on the snapshot that the connection reads.
pub(super) fn search(
    connection: &Connection,
    names: &Names,
    search: &Search<'_>,
    visit: Visitor<'_, Found>,
) -> Result<Reach> {
    if search.take == 0 {
        return Ok(Reach::default());
    }
    let searcher = Searcher {
        connection,
        names,
        search,
        plan: Plan::new(search.query),
        after: i64::try_from(search.after).unwrap_or(i64::MAX),
        rows: Cell::new(0),
        rows_max: Cell::new(u64::MAX),
        stopped: Cell::new(None),
    };
    let skip = usize::try_from(search.skip).unwrap_or(usize::MAX);
    let take = usize::try_from(search.take).unwrap_or(usize::MAX);
    let numbers = searcher.numbers(skip.saturating_add(take))?;
    let matches = numbers.len() as u64;
    let mut parents = Parents::default();
    for number in numbers.into_iter().skip(skip) {
        visit(searcher.found(number, &mut parents)?)?;
    }
    let stopped = searcher.stopped.get().map(|number| Stop { number: number as u64, matches });
    Ok(Reach { rows: searcher.rows.get(), stopped })
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

pub(super) struct Searcher<'a> {
    connection: &'a Connection,
    names: &'a Names,
    pub(super) search: &'a Search<'a>,
    pub(super) plan: Plan<'a>,
    after: i64,
    /// Rows that were looked at,
    rows: Cell<u64>,
    /// and how many may be: with more, whatever goes on ends.
    rows_max: Cell<u64>,
    /// The last number that was looked at when no more rows may be.
    stopped: Cell<Option<i64>>,
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
            Level::Instance => self.find_instances(&mut smallest)?,
        }
        Ok(smallest.heap.into_sorted_vec())
    }

    /// The bound on rows, if there is one for this search.
    fn bound(&self) -> u64 {
        let bounded = self.search.query.study.is_none();
        if bounded { self.search.rows_max.max(1) } else { u64::MAX }
    }

    /// A row is looked at.
    fn look(&self) {
        self.rows.set(self.rows.get() + 1);
    }

    fn is_spent(&self) -> bool {
        self.rows.get() >= self.rows_max.get()
    }

    /// Rows of instances that may have a UID that is asked for; `None`: none is.
    fn named(&self) -> Result<Option<Vec<i64>>> {
        let Some(uids) = sop_instance_uids(self.search.query) else { return Ok(None) };
        let mut rows = Vec::new();
        for uid in uids {
            let found = self.names.find(self.connection, Kind::Instance, uid_key(&uid));
            rows.extend(found.map_err(fault(ACTION))?);
        }
        Ok(Some(rows))
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

    fn find_instances(&self, smallest: &mut Smallest) -> Result<()> {
        let narrow = Narrow::sop_instances(self.named()?.as_deref());
        if !narrow.is_empty() || !self.narrows_studies() && !self.narrows_series() {
            return self.find_instances_in_order(&narrow, smallest);
        }
        self.rows_max.set(self.bound());
        self.find_instances_of_series(smallest)?;
        let spent = self.is_spent();
        self.rows_max.set(u64::MAX);
        if spent {
            smallest.heap.clear();
            self.find_instances_in_order(&narrow, smallest)?;
        }
        Ok(())
    }

    /// Instances that are known by their UIDs, or all of them.
    fn find_instances_in_order(&self, narrow: &Narrow, smallest: &mut Smallest) -> Result<()> {
        // Where nothing is to be looked at, a page ends by itself.
        let looks = self.narrows_studies() || self.narrows_series();
        let looks = looks || !self.plan.instance.is_empty();
        let mut left = if looks { self.bound() } else { u64::MAX };
        let (mut last, mut last_series) = (self.after, None);
        let sql = format!(
            "SELECT no, series FROM instance WHERE no > ?1 AND visible <> 0{} ORDER BY no",
            narrow.sql
        );
        let mut values = vec![Value::Integer(self.after)];
        values.extend(narrow.values.iter().cloned());
        self.walk(&sql, &values, &mut |row| {
            if left == 0 {
                self.stopped.set(Some(last));
                return STOP;
            }
            left -= 1;
            let (instance, series): (i64, i64) = (integer(row, 0)?, integer(row, 1)?);
            if self.instance_holds(instance)? {
                // Instances of a series mostly arrive together.
                let holds = match last_series {
                    Some((known, holds)) if known == series => holds,
                    _ => self.ancestors_hold(series)?,
                };
                last_series = Some((series, holds));
                if holds {
                    smallest.push(instance);
                }
            }
            last = instance;
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
        let narrow = Narrow::studies(self.search.query, self.named()?.as_deref());
        if let (Some(studies), true) = (&by_name, narrow.is_empty()) {
            for study in studies.iter().copied().filter(|study| *study > after) {
                let shown =
                    self.number(&format!("SELECT no FROM study WHERE no = ?1 AND {SHOWN}"), study)?;
                if shown == study && self.study_holds(study)? && each(study)?.is_break() {
                    break;
                }
                if self.is_spent() {
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
        let narrow = Narrow::series(self.search.query, self.named()?.as_deref());
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
        self.look();
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
        self.look();
        let (uid, attributes) = self.series(series)?;
        let in_scope = self.search.query.series.as_ref().is_none_or(|wanted| *wanted == uid);
        Ok(in_scope && self.plan.series.hold(&attributes))
    }

    fn instance_holds(&self, instance: i64) -> Result<bool> {
        if self.plan.instance.is_empty() {
            return Ok(true);
        }
        self.look();
        Ok(self.plan.instance.hold(&self.instance(instance)?.2))
    }

    pub(super) fn number(&self, sql: &str, of: i64) -> Result<i64> {
        let number = self.one(sql, &[Value::Integer(of)], |row| row.get::<_, Option<i64>>(0))?;
        Ok(number.flatten().unwrap_or_default())
    }

    pub(super) fn one<T>(
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

    pub(super) fn walk(
        &self,
        sql: &str,
        values: &[Value],
        each: &mut dyn FnMut(&Row<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut statement = self.connection.prepare_cached(sql).map_err(fault(ACTION))?;
        let mut rows = statement.query(params_from_iter(values)).map_err(fault(ACTION))?;
        while let Some(row) = rows.next().map_err(fault(ACTION))? {
            if each(row)?.is_break() || self.is_spent() {
                break;
            }
        }
        Ok(())
    }
}

pub(super) fn integer(row: &Row<'_>, column: usize) -> Result<i64> {
    row.get(column).map_err(fault(ACTION))
}
