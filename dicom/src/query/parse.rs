//! Query parameters of QIDO-RS (PS3.18 §8.3.4) to a [`Query`].

use super::key::Key;
use super::limits::{FIELDS_MAX, KEYS_MAX};
use super::moment::{Date, Range, Time};
use super::path::{Path, vr_of};
use super::{BadQuery, Note, Pair, Pattern, Query, Rule};

/// Parameters of PS3.18 §8.3.3 that speak of the answer's form: whoever writes the answer reads them.
const OF_THE_ANSWER: &[&str] = &["accept", "charset"];

/// How dates and times of one event are called (PS3.6).
const DATE_AND_TIME: &[(u32, u32)] = &[
    (0x0008_0012, 0x0008_0013), // Instance Creation
    (0x0008_0020, 0x0008_0030), // Study
    (0x0008_0021, 0x0008_0031), // Series
    (0x0008_0022, 0x0008_0032), // Acquisition
    (0x0008_0023, 0x0008_0033), // Content
    (0x0010_0030, 0x0010_0032), // Patient's Birth
    (0x0040_0002, 0x0040_0003), // Scheduled Procedure Step Start
    (0x0040_0004, 0x0040_0005), // Scheduled Procedure Step End
    (0x0040_0244, 0x0040_0245), // Performed Procedure Step Start
    (0x0040_0250, 0x0040_0251), // Performed Procedure Step End
];

const SPECIFIC_CHARACTER_SET: u32 = 0x0008_0005;
const TIMEZONE_OFFSET_FROM_UTC: u32 = 0x0008_0201;

impl Query {
    /// Adds what the parameters of a request ask for. Names and values are percent-decoded.
    ///
    /// A name that is neither a parameter nor an attribute is an error: to ignore a misspelt key would
    /// answer with every study.
    pub fn with_parameters<N: AsRef<str>, V: AsRef<str>>(
        mut self,
        parameters: &[(N, V)],
    ) -> Result<Self, BadQuery> {
        let mut seen = Vec::new();
        let mut keys = Vec::new();
        for (name, value) in parameters {
            let (name, value) = (name.as_ref(), value.as_ref());
            if name != "includefield" && seen.contains(&name) {
                return Err(BadQuery::Twice { name: name.to_owned() });
            }
            match name {
                "includefield" => self.include(value)?,
                "fuzzymatching" => self.modes.fuzzy = truth("fuzzymatching", value)?,
                "emptyvaluematching" => self.modes.empty = truth("emptyvaluematching", value)?,
                "multiplevaluematching" => {
                    self.modes.multiple = truth("multiplevaluematching", value)?;
                }
                "limit" => self.limit = Some(count("limit", value)?),
                "offset" => self.offset = count("offset", value)?,
                _ if OF_THE_ANSWER.contains(&name) => {}
                _ => keys.push((name, value)),
            }
            seen.push(name);
            if seen.len() > KEYS_MAX + FIELDS_MAX {
                return Err(BadQuery::TooMuch { what: "parameters", max: KEYS_MAX + FIELDS_MAX });
            }
        }
        for (name, value) in keys {
            self.match_attribute(name, value)?;
        }
        self.pair_dates_with_times();
        Ok(self)
    }

    /// Adds a matching key, read by [`Query::modes`]; for names as [`Path::parse`] takes them.
    fn match_attribute(&mut self, name: &str, value: &str) -> Result<(), BadQuery> {
        let path = Path::parse(name).ok_or_else(|| BadQuery::Unknown { name: name.to_owned() })?;
        self.match_path(path, value)
    }

    /// Adds a matching key, read by [`Query::modes`], and returns the attribute.
    pub fn match_path(&mut self, path: Path, value: &str) -> Result<(), BadQuery> {
        if self.keys.iter().any(|key| key.path == path) {
            return Err(BadQuery::Twice { name: path.to_string() });
        }
        match path.last() {
            // Says how the query is encoded, is never matched (PS3.4 §C.2.2.2).
            SPECIFIC_CHARACTER_SET => {}
            TIMEZONE_OFFSET_FROM_UTC => {
                if !value.is_empty() {
                    self.note(Note::Timezone);
                }
            }
            tag => {
                let key = Key::new(path.clone(), vr_of(tag), value, self.modes)?;
                self.keys.extend(key);
            }
        }
        if self.keys.len() > KEYS_MAX {
            return Err(BadQuery::TooMuch { what: "keys", max: KEYS_MAX });
        }
        self.return_path(path)
    }

    /// PS3.18 §8.3.4.3: attributes, or `all`.
    fn include(&mut self, list: &str) -> Result<(), BadQuery> {
        for field in list.split(',').map(str::trim).filter(|field| !field.is_empty()) {
            match (field, Path::parse(field)) {
                ("all", _) => self.fields.all = true,
                (_, Some(path)) => self.return_path(path)?,
                // A newer edition may have it; the rest of the answer is as good without.
                (_, None) => self.note(Note::UnknownField),
            }
        }
        Ok(())
    }

    fn return_path(&mut self, path: Path) -> Result<(), BadQuery> {
        if self.fields.paths.contains(&path) {
            return Ok(());
        }
        if self.fields.paths.len() == FIELDS_MAX {
            return Err(BadQuery::TooMuch { what: "fields", max: FIELDS_MAX });
        }
        self.fields.paths.push(path);
        Ok(())
    }

    fn note(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// PS3.18 §8.3.4.1.1 asks for PS3.4 §C.2.2.2.5.4: a range of dates and one of times, both of the
    /// same form, are one span.
    pub fn pair_dates_with_times(&mut self) {
        for &(date_tag, time_tag) in DATE_AND_TIME {
            let dates: Vec<Path> = self.keys.iter().map(|key| key.path.clone()).collect();
            for date in dates.into_iter().filter(|path| path.last() == date_tag) {
                let time = date.sibling(time_tag);
                if let Some(span) = self.span(&date, &time) {
                    self.keys.retain(|key| key.path != time);
                    self.pairs.push(Pair { date, time, span });
                }
            }
        }
    }

    fn span(&self, date: &Path, time: &Path) -> Option<Range<(Date, Time)>> {
        let only = |path: &Path| {
            let key = self.keys.iter().find(|key| key.path == *path)?;
            let Rule::Any(patterns) = &key.rule else { return None };
            if let [pattern] = &patterns[..] { Some(pattern) } else { None }
        };
        let (Pattern::Date(dates), Pattern::Time(times)) = (only(date)?, only(time)?) else {
            return None;
        };
        let one_day = dates.from == dates.to;
        let same_form = dates.from.is_some() == times.from.is_some()
            && dates.to.is_some() == times.to.is_some();
        (same_form && !one_day)
            .then(|| Range { from: dates.from.zip(times.from), to: dates.to.zip(times.to) })
    }
}

fn truth(name: &'static str, value: &str) -> Result<bool, BadQuery> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(BadQuery::Parameter { name, expected: "true or false" }),
    }
}

fn count(name: &'static str, value: &str) -> Result<u64, BadQuery> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse().ok().filter(|_| digits);
    number.ok_or(BadQuery::Parameter { name, expected: "a whole number" })
}
