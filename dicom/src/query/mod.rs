//! Queries: one [`Query`] for QIDO-RS (PS3.18 §10.6) and C-FIND (PS3.4 §C.4.1), so that the two
//! cannot disagree, and the rules by which attributes match (PS3.4 §C.2.2.2).
//!
//! A query is parsed once; everything in it is checked and bounded by [`limits`] then. Matching never
//! fails, and takes time proportional to the values.
//!
//! Who searches an index may use any key to narrow down what it looks at; [`Key::matches`] decides.

pub mod key;
pub mod limits;
pub mod moment;
pub mod name;
pub mod path;
pub mod wildcard;

mod json;
mod parse;
#[cfg(test)]
mod tests;

pub use key::{Key, Modes, Pattern, Rule};
pub use path::Path;

use crate::attributes::Level;
use moment::{Date, Range, Time};

/// What was wrong with a query. Names attributes, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuery {
    /// A parameter that is neither defined by PS3.18 nor an attribute.
    #[error("{} is neither a query parameter nor an attribute of PS3.6", Shown(name))]
    Unknown {
        /// As it was given.
        name: String,
    },
    /// A parameter or attribute that stands there twice.
    #[error("{} is given twice", Shown(name))]
    Twice {
        /// As it was given.
        name: String,
    },
    /// A parameter whose value cannot be read.
    #[error("{name} is {expected}")]
    Parameter {
        /// Of the parameter.
        name: &'static str,
        /// What its value may be.
        expected: &'static str,
    },
    /// A key whose value cannot be read.
    #[error("the value of {} cannot be matched: {why}", Named(path))]
    Value {
        /// The attribute.
        path: Path,
        /// What was expected.
        why: &'static str,
    },
    /// More than one query may ask.
    #[error("there are more than {max} {what}")]
    TooMuch {
        /// What is counted.
        what: &'static str,
        /// How many are allowed.
        max: usize,
    },
}

/// A name that came from outside, if it looks like one.
struct Shown<'a>(&'a str);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plain =
            self.0.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        let is_name = plain && (1..=128).contains(&self.0.len());
        f.write_str(if is_name { self.0 } else { "a parameter" })
    }
}

struct Named<'a>(&'a Path);

impl std::fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match path::keyword_of(self.0.last()) {
            Some(keyword) => f.write_str(keyword),
            None => self.0.fmt(f),
        }
    }
}

/// Something that was asked for and is not done; the answer says so (PS3.18 §8.3.4, Warning 299).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Note {
    /// A field to be returned that PS3.6 does not know.
    UnknownField,
    /// Timezone Offset From UTC: dates and times are matched as they stand.
    Timezone,
}

/// A date and a time that bound one span together (PS3.4 §C.2.2.2.5.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The attribute of VR DA.
    pub date: Path,
    /// The attribute of VR TM.
    pub time: Path,
    /// From which date and time to which.
    pub span: Range<(Date, Time)>,
}

impl Pair {
    /// Is this date and time within? A time that is not there is midnight.
    #[must_use]
    pub fn matches(&self, date: &str, time: &str) -> bool {
        let first = |text: &'_ str| text.split('\\').next().map(str::to_owned).unwrap_or_default();
        let time = Time::parse(&first(time)).map_or(Time(0), |time| time.0);
        Date::parse(&first(date)).is_some_and(|date| self.span.contains(&(date, time)))
    }
}

/// What to return beside what is always returned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Everything that there is at the level.
    pub all: bool,
    /// These attributes: by `includefield`, and by keys, with or without a value.
    pub paths: Vec<Path>,
}

/// A search.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// What is searched for: studies, series or instances.
    pub level: Level,
    /// Only in this study.
    pub study: Option<String>,
    /// Only in this series.
    pub series: Option<String>,
    /// What has to match; all of them.
    pub keys: Vec<Key>,
    /// What has to match besides: each date is also among [`Query::keys`], its time is not.
    pub pairs: Vec<Pair>,
    /// What to return.
    pub fields: Fields,
    /// How keys were read.
    pub modes: Modes,
    /// How many results at most.
    pub limit: Option<u64>,
    /// How many results to skip.
    pub offset: u64,
    /// What was asked for and will not be done.
    pub notes: Vec<Note>,
}

impl Query {
    /// A search for everything at a level.
    #[must_use]
    pub fn all(level: Level) -> Self {
        Self {
            level,
            study: None,
            series: None,
            keys: Vec::new(),
            pairs: Vec::new(),
            fields: Fields::default(),
            modes: Modes::default(),
            limit: None,
            offset: 0,
            notes: Vec::new(),
        }
    }

    /// Narrowed to a study, as in `/studies/{study}/series`.
    #[must_use]
    pub fn in_study(mut self, uid: &str) -> Self {
        self.study = Some(uid.to_owned());
        self
    }

    /// Narrowed to a series, as in `/studies/{study}/series/{series}/instances`.
    #[must_use]
    pub fn in_series(mut self, uid: &str) -> Self {
        self.series = Some(uid.to_owned());
        self
    }

    /// The key of a top-level attribute.
    #[must_use]
    pub fn key(&self, tag: u32) -> Option<&Key> {
        self.keys.iter().find(|key| key.path.top_level() == Some(tag))
    }
}
