//! Searching the catalog: what is asked, what is found, and which keys the catalog can answer.
//!
//! **Order.** Results come in the order in which studies, series or instances first arrived (their
//! numbers ascend). What arrives while somebody pages through joins at the end, so pages by offset
//! neither skip nor repeat what was there; only a deletion moves what stands behind it.
//!
//! **Truth.** Indexes only narrow down what is looked at. Whether something matches is decided by
//! `cairn_dicom::query`, on the attributes of the row.

use cairn_dicom::attributes::{Attributes, Level, level};
use cairn_dicom::query::{Key, Pair, Path, Query};

/// Attributes that are no element of an object but are known of a study or series (PS3.4 §C.3.4). They
/// can be matched, and are among the attributes of what is found.
pub mod computed {
    #![allow(missing_docs)] // the names are the documentation
    pub const INSTANCE_AVAILABILITY: u32 = 0x0008_0056;
    pub const MODALITIES_IN_STUDY: u32 = 0x0008_0061;
    pub const SOP_CLASSES_IN_STUDY: u32 = 0x0008_0062;
    pub const AVAILABLE_TRANSFER_SYNTAX_UID: u32 = 0x0008_3002;
    pub const NUMBER_OF_STUDY_RELATED_SERIES: u32 = 0x0020_1206;
    pub const NUMBER_OF_STUDY_RELATED_INSTANCES: u32 = 0x0020_1208;
    pub const NUMBER_OF_SERIES_RELATED_INSTANCES: u32 = 0x0020_1209;
}

/// A page of a search.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// What is searched for. Its keys that [`is_indexed`] does not know are not looked at; neither are
    /// its limit and offset.
    pub query: &'a Query,
    /// Only what has a greater [`Found::number`]; 0: everything.
    pub after: u64,
    /// How many matches to pass over.
    pub skip: u64,
    /// How many to give at most.
    pub take: u64,
    /// How many rows to look at, where only a look at each tells whether it matches; at least one.
    /// Heeded in searches for instances that name no study, which could look at all of an archive.
    pub rows_max: u64,
}

/// How far a search came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Rows that were looked at, of those that count against [`Search::rows_max`].
    pub rows: u64,
    /// It ended because of that bound: neither is the page full, nor is there nothing more.
    pub stopped: Option<Stop>,
}

/// Where a search ended that may look at no more rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// All up to this number were looked at, and none behind it: [`Search::after`] goes on from here.
    pub number: u64,
    /// How many of them match, those passed over included.
    pub matches: u64,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its place in the order of results.
    pub number: u64,
    /// Study Instance UID, or a local handle.
    pub study_uid: String,
    /// Series Instance UID, or a local handle; for series and instances.
    pub series_uid: Option<String>,
    /// SOP Instance UID, or a local handle; for instances.
    pub sop_instance_uid: Option<String>,
    /// What is indexed, from the patient down to the level of the search, [`computed`] ones included.
    pub attributes: Attributes,
}

/// Can the catalog match this attribute, and give it back?
#[must_use]
pub fn is_indexed(path: &Path) -> bool {
    path.top_level().is_some_and(|tag| level_of(tag).is_some())
}

/// What an attribute describes, computed ones included.
#[must_use]
pub fn level_of(tag: u32) -> Option<Level> {
    match tag {
        computed::INSTANCE_AVAILABILITY
        | computed::MODALITIES_IN_STUDY
        | computed::SOP_CLASSES_IN_STUDY
        | computed::NUMBER_OF_STUDY_RELATED_SERIES
        | computed::NUMBER_OF_STUDY_RELATED_INSTANCES => Some(Level::Study),
        computed::NUMBER_OF_SERIES_RELATED_INSTANCES => Some(Level::Series),
        computed::AVAILABLE_TRANSFER_SYNTAX_UID => Some(Level::Instance),
        _ => level(tag),
    }
}

/// Keys that are matched together.
#[derive(Debug, Default)]
pub(super) struct Tests<'q> {
    keys: Vec<&'q Key>,
    pairs: Vec<&'q Pair>,
}

impl Tests<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.pairs.is_empty()
    }

    /// Do the attributes match all of them?
    pub(super) fn hold(&self, attributes: &Attributes) -> bool {
        let value = |path: &Path| attributes.get(path.last()).unwrap_or_default();
        self.keys.iter().all(|key| key.matches(value(&key.path)))
            && self.pairs.iter().all(|pair| pair.matches(value(&pair.date), value(&pair.time)))
    }
}

/// The keys of a query by what they are matched with.
#[derive(Debug, Default)]
pub(super) struct Plan<'q> {
    /// Attributes of patient and study.
    pub(super) study: Tests<'q>,
    /// What is computed for a study.
    pub(super) study_sums: Tests<'q>,
    /// Attributes of a series, and what is computed for it.
    pub(super) series: Tests<'q>,
    /// Attributes of an instance, and its transfer syntax.
    pub(super) instance: Tests<'q>,
    /// SOP Classes in Study is matched or returned: it alone needs a look at every instance.
    pub(super) classes: bool,
}

impl<'q> Plan<'q> {
    pub(super) fn new(query: &'q Query) -> Self {
        let mut plan = Self::default();
        for key in query.keys.iter().filter(|key| is_indexed(&key.path)) {
            let tag = key.path.last();
            let is_sum = level(tag).is_none();
            plan.tests(tag, is_sum).keys.push(key);
        }
        for pair in query.pairs.iter().filter(|pair| is_indexed(&pair.date)) {
            plan.tests(pair.date.last(), false).pairs.push(pair);
        }
        let classes = Some(computed::SOP_CLASSES_IN_STUDY);
        plan.classes = query.fields.paths.iter().any(|path| path.top_level() == classes)
            || query.keys.iter().any(|key| key.path.top_level() == classes);
        plan
    }

    fn tests(&mut self, tag: u32, is_sum: bool) -> &mut Tests<'q> {
        match level_of(tag) {
            Some(Level::Series) => &mut self.series,
            Some(Level::Instance) => &mut self.instance,
            _ if is_sum => &mut self.study_sums,
            _ => &mut self.study,
        }
    }
}
