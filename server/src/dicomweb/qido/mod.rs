//! QIDO-RS: from a query to the list of what matches (PS3.18 §10.6).
//!
//! No HTTP here: parameters in, JSON and warnings out. Results stand in the order of arrival, so pages
//! by `limit` and `offset` neither skip nor repeat what was there while more arrives; only a deletion
//! moves what stands behind it.
//!
//! Attributes that the catalog does not hold are looked up in the metadata of series, for what matches
//! otherwise, and within a bound; so are instances that only a look at each can tell. An answer that is
//! not whole says so, and with which offset to ask for what comes next.

mod bookmarks;
mod columns;
mod element;
mod handle;
#[cfg(test)]
mod tests;
mod unindexed;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use cairn_dicom::attributes::Level;
use cairn_dicom::query::{BadQuery, Note, Query};
use cairn_store::catalog::{Catalog, Found, Search, Stop};
use cairn_store::{Result, Store};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

pub(crate) use bookmarks::Bookmarks;
pub(crate) use handle::handle;

use bookmarks::Place;
use columns::Column;
use unindexed::{SeriesObjects, Unindexed};

/// Results of one answer where everything is searched: some 5 MB of JSON.
const RESULTS_MAX: u64 = 5_000;
/// Results of one answer within one study: clients that list a series expect to see all of it.
const RESULTS_IN_STUDY_MAX: u64 = 20_000;
/// Rows of the catalog that one search for instances looks at: half a second or one of one core.
const ROWS_MAX: u64 = 50_000;
/// Candidates fetched at a time where each has to be looked at in metadata as well.
const CANDIDATES: u64 = 256;

/// What stands in a path segment as it is (RFC 3986 §2.3): UIDs do, made-up ones need not.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

const RETRIEVE_URL: u32 = 0x0008_1190;

/// The answer to a search; always with status 200 (CP 2473: also where nothing matches).
#[derive(Debug)]
pub(crate) struct Answer {
    /// An array in the DICOM JSON model: `application/dicom+json`.
    pub(crate) body: Vec<u8>,
    /// A value for each `Warning` header field.
    pub(crate) warnings: Vec<String>,
    /// Something that was asked for was not looked for everywhere.
    pub(crate) is_incomplete: bool,
    /// It ended before its time; the offset that goes on from there.
    pub(crate) stopped_at: Option<u64>,
}

/// Reads what is asked of `/studies`, `/studies/{study}/series`, …; names and values are decoded.
/// An error is status 400; its text can be shown.
pub(crate) fn query(
    level: Level,
    study: Option<&str>,
    series: Option<&str>,
    parameters: &[(String, String)],
) -> std::result::Result<Query, BadQuery> {
    let mut query = Query::all(level);
    if let Some(study) = study {
        query = query.in_study(study);
    }
    if let Some(series) = series {
        query = query.in_series(series);
    }
    query.with_parameters(parameters)
}

/// What one search may look at.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Rows of the catalog.
    rows: u64,
    /// Instances whose metadata are read.
    instances: usize,
}

const BOUNDS: Bounds = Bounds { rows: ROWS_MAX, instances: unindexed::INSTANCES_MAX };

/// Searches. `base_url` is where the client reaches the DICOMweb root, without a slash at the end.
pub(crate) fn search(
    store: &Store,
    bookmarks: &Bookmarks,
    query: &Query,
    base_url: &str,
) -> Result<Answer> {
    let mut objects = &**store.metadata();
    search_in(store.catalog(), &mut objects, bookmarks, BOUNDS, query, base_url)
}

/// [`search`] with its sources and bounds.
fn search_in(
    catalog: &dyn Catalog,
    objects: &mut dyn SeriesObjects,
    bookmarks: &Bookmarks,
    bounds: Bounds,
    query: &Query,
    base_url: &str,
) -> Result<Answer> {
    let max = if query.study.is_some() { RESULTS_IN_STUDY_MAX } else { RESULTS_MAX };
    let mut list = List {
        body: vec![b'['],
        room: query.limit.unwrap_or(max).min(max),
        more: false,
        last: Place { offset: query.offset, after: 0 },
        columns: columns::columns(query),
        level: query.level,
        base_url,
    };
    let mut unindexed = Unindexed::new(query, catalog, objects, base_url, bounds.instances);
    let from = bookmarks.nearest(query);
    let stopped = if unindexed.has_keys() {
        list_filtered(catalog, query, (from, bounds.rows), &mut unindexed, &mut list)?
    } else {
        list_plain(catalog, query, (from, bounds.rows), &mut unindexed, &mut list)?
    };
    list.body.push(b']');
    if let Some(place) = stopped.or(list.next_page().filter(|_| query.study.is_none())) {
        bookmarks.keep(query, place);
    }
    let mut warnings: Vec<String> =
        query.notes.iter().map(|note| note_text(*note).to_owned()).collect();
    if list.more {
        // PS3.18 §8.3.4.4.1 has the number of them in these words. The search ends where the page is
        // full; to count on would make the first page of a large archive as slow as all of it together.
        warnings.push("There are additional results that can be requested".to_owned());
    }
    if let Some(place) = stopped {
        warnings.push(format!(
            "Not everything was searched, since no index holds what was asked for; offset={} goes on \
             from here, and a study or more attributes make it less to search",
            place.offset
        ));
    } else if unindexed.is_incomplete() {
        let text = "Attributes that are not indexed were looked for in a part of the instances only; \
            name a study, or more attributes, to search all of them";
        warnings.push(text.to_owned());
    }
    let warnings = warnings.into_iter().map(|text| format!("299 {base_url}: {text}")).collect();
    let is_incomplete = unindexed.is_incomplete();
    let stopped_at = stopped.map(|place| place.offset);
    Ok(Answer { body: list.body, warnings, is_incomplete, stopped_at })
}

/// Lists what the catalog alone decides on. Returns where it ended before its time.
fn list_plain(
    catalog: &dyn Catalog,
    query: &Query,
    (from, rows_max): (Place, u64),
    unindexed: &mut Unindexed<'_>,
    list: &mut List<'_>,
) -> Result<Option<Place>> {
    let (skip, take) = (query.offset - from.offset, list.room.saturating_add(1));
    let page = Search { query, after: from.after, skip, take, rows_max };
    let reach = catalog.search(&page, &mut |found| {
        // One more than is wanted was asked for, only to see whether it is there.
        list.add(&found, unindexed).map(|_| ())
    })?;
    let place = |stop: Stop| Place { offset: from.offset + stop.matches, after: stop.number };
    Ok(reach.stopped.map(place))
}

/// Lists what also matches by its metadata. Returns where it ended before its time.
fn list_filtered(
    catalog: &dyn Catalog,
    query: &Query,
    (from, mut rows_max): (Place, u64),
    unindexed: &mut Unindexed<'_>,
    list: &mut List<'_>,
) -> Result<Option<Place>> {
    let (mut place, mut is_first) = (from, true);
    loop {
        let mut candidates = Vec::new();
        let page = Search { query, after: place.after, skip: 0, take: CANDIDATES, rows_max };
        let reach = catalog.search(&page, &mut |found| {
            candidates.push(found);
            Ok(())
        })?;
        for found in &candidates {
            let holds = unindexed.holds(found)?;
            if unindexed.is_exhausted() && !is_first {
                // It was not read to its end: the next page begins with it.
                return Ok(Some(place));
            }
            is_first = false;
            if holds {
                if place.offset >= query.offset && list.add(found, unindexed)?.is_break() {
                    return Ok(None);
                }
                place.offset += 1;
            }
            place.after = found.number;
            if unindexed.is_exhausted() {
                return Ok(Some(place));
            }
        }
        rows_max = rows_max.saturating_sub(reach.rows);
        match reach.stopped {
            Some(stop) => return Ok(Some(Place { after: stop.number, ..place })),
            None if candidates.is_empty() => return Ok(None),
            None if rows_max == 0 && query.study.is_none() => return Ok(Some(place)),
            None => {}
        }
    }
}

/// The array as it grows.
struct List<'a> {
    body: Vec<u8>,
    /// How many more results there may be.
    room: u64,
    /// There was one for which there was no room.
    more: bool,
    /// Behind the last one that was added.
    last: Place,
    columns: Vec<Column>,
    level: Level,
    base_url: &'a str,
}

impl List<'_> {
    /// Adds a result; `Break` if it has no room.
    fn add(&mut self, found: &Found, unindexed: &mut Unindexed<'_>) -> Result<ControlFlow<()>> {
        if self.room == 0 {
            self.more = true;
            return Ok(ControlFlow::Break(()));
        }
        self.room -= 1;
        self.last = Place { offset: self.last.offset + 1, after: found.number };
        let mut elements = BTreeMap::new();
        for column in &self.columns {
            let url: String;
            let value = if column.tag == RETRIEVE_URL {
                url = self.retrieve_url(found);
                Some(url.as_str())
            } else {
                found.attributes.get(column.tag)
            };
            if value.is_some_and(|value| !value.is_empty()) || column.required {
                let text = element::element(column.vr, value.unwrap_or_default());
                elements.insert(column.tag, text);
            }
        }
        unindexed.add_fields(found, &mut elements)?;
        if self.body.len() > 1 {
            self.body.push(b',');
        }
        self.body.push(b'{');
        for (i, (tag, text)) in elements.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            self.body.extend_from_slice(format!("{comma}\"{tag:08X}\":").as_bytes());
            self.body.extend_from_slice(text);
        }
        self.body.push(b'}');
        Ok(ControlFlow::Continue(()))
    }

    /// Where the next page begins, if there is one.
    fn next_page(&self) -> Option<Place> {
        (self.more && self.last.after > 0).then_some(self.last)
    }

    fn retrieve_url(&self, found: &Found) -> String {
        let mut url = format!("{}/studies/{}", self.base_url, segment(&found.study_uid));
        if let Some(series) = found.series_uid.as_ref().filter(|_| self.level >= Level::Series) {
            url.push_str("/series/");
            url.extend(segment(series));
        }
        if let Some(sop) = &found.sop_instance_uid {
            url.push_str("/instances/");
            url.extend(segment(sop));
        }
        url
    }
}

fn segment(uid: &str) -> PercentEncode<'_> {
    utf8_percent_encode(uid, SEGMENT)
}

fn note_text(note: Note) -> &'static str {
    match note {
        Note::UnknownField => "A field to be included is not known and is not returned",
        Note::Timezone => {
            "Timezone Offset From UTC is not applied; dates and times are matched as they are stored"
        }
    }
}
