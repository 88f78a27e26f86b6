//! One matching key: an attribute, and what its value has to be (PS3.4 §C.2.2.2).
//!
//! What each VR allows:
//!
//! | VR | values separated by | a value is |
//! |---|---|---|
//! | UI | backslash, comma | that UID |
//! | CS | backslash, comma (which no CS holds) | literal, or with wild cards; case counts |
//! | AE LO SH UC UR | backslash | literal, or with wild cards; case counts |
//! | ST LT UT | nothing: they have one value | literal, or with wild cards; case counts |
//! | AS | backslash | literal |
//! | PN | backslash | see [`name`](super::name) |
//! | DA TM DT | backslash | one, or a range; see [`moment`](super::moment) |
//! | IS DS and binary numbers | backslash | equal as numbers: `7` is `+7`, `007` and `7.0` |
//! | AT | backslash | eight hex digits |
//! | UN (private, not known) | backslash | literal, or with wild cards |
//!
//! Several values match any of them. With multiple value matching (§C.2.2.2.8), for the VRs that have
//! it, each has to be among the values of the attribute.

use super::BadQuery;
use super::limits::{VALUE_BYTES_MAX, VALUES_MAX};
use super::moment::{Date, DateTime, Range, Time, date_range, date_time_range, time_range};
use super::name::{FuzzyName, NamePattern, fold_names};
use super::path::Path;
use super::wildcard::Wildcard;
use crate::element::Vr;

/// How values of keys are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// Names of persons are matched fuzzily.
    pub fuzzy: bool,
    /// `""` asks for what has no value.
    pub empty: bool,
    /// Each of several values has to be there.
    pub multiple: bool,
}

/// An attribute and what it has to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Which attribute.
    pub path: Path,
    /// Its VR by PS3.6; UN if it is private or not known.
    pub vr: Vr,
    /// What it has to be.
    pub rule: Rule,
}

/// What the values of an attribute have to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Absent, or without a value.
    Empty,
    /// One of its values fits one of these.
    Any(Vec<Pattern>),
    /// Each of these is fitted by one of its values.
    All(Vec<Pattern>),
}

/// What one value has to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    /// This text.
    Text(String),
    /// A text that this matches.
    Wild(Wildcard),
    /// A number equal to this.
    Number(f64),
    /// This name, literally.
    Name(NamePattern),
    /// A name like this.
    Fuzzy(FuzzyName),
    /// A date in this range.
    Date(Range<Date>),
    /// A time in this range.
    Time(Range<Time>),
    /// A moment in this range.
    DateTime(Range<DateTime>),
}

impl Key {
    /// Reads the value of a key. `None`: it matches everything, and only asks for the attribute.
    pub fn new(path: Path, vr: Vr, value: &str, modes: Modes) -> Result<Option<Self>, BadQuery> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(BadQuery::TooMuch { what: "bytes in one value", max: VALUE_BYTES_MAX });
        }
        let value = trim(vr, value);
        if modes.empty && value == "\"\"" {
            return Ok(Some(Self { path, vr, rule: Rule::Empty }));
        }
        if value.bytes().all(|byte| byte == b'*') {
            return Ok(None);
        }
        let mut patterns = Vec::new();
        let all = modes.multiple && has_multiple_value_matching(vr);
        for one in split(vr, value).map(|one| trim(vr, one)).filter(|one| !one.is_empty()) {
            if patterns.len() == VALUES_MAX {
                return Err(BadQuery::TooMuch { what: "values of one key", max: VALUES_MAX });
            }
            match pattern(vr, one, modes) {
                Ok(Some(pattern)) => patterns.push(pattern),
                Ok(None) if all => {}
                Ok(None) => return Ok(None),
                Err(why) => return Err(BadQuery::Value { path, why }),
            }
        }
        let rule = match patterns.len() {
            0 => return Ok(None),
            _ if all => Rule::All(patterns),
            _ => Rule::Any(patterns),
        };
        Ok(Some(Self { path, vr, rule }))
    }

    /// Do these values match? They are as in [`Attributes`](crate::Attributes): UTF-8, several joined
    /// by backslashes, empty if there is none.
    #[must_use]
    pub fn matches(&self, values: &str) -> bool {
        if matches!(self.rule, Rule::Empty) {
            return is_empty(values);
        }
        if self.vr == Vr(*b"PN") {
            return self.matches_folded(&fold_names(values));
        }
        self.matches_folded(values)
    }

    /// [`Key::matches`] for values of a name that [`fold_names`] has folded; the same for other VRs.
    #[must_use]
    pub fn matches_folded(&self, values: &str) -> bool {
        let mut each = split_stored(self.vr, values).map(|one| trim(self.vr, one));
        match &self.rule {
            Rule::Empty => is_empty(values),
            Rule::Any(patterns) => {
                each.any(|one| !one.is_empty() && patterns.iter().any(|pattern| pattern.fits(one)))
            }
            Rule::All(patterns) => {
                let each: Vec<_> = each.filter(|one| !one.is_empty()).collect();
                patterns.iter().all(|pattern| each.iter().any(|one| pattern.fits(one)))
            }
        }
    }
}

impl Pattern {
    /// Does one value fit? A name is folded by [`fold_names`].
    #[must_use]
    pub fn fits(&self, value: &str) -> bool {
        match self {
            Self::Text(text) => text == value,
            Self::Wild(pattern) => pattern.matches(value),
            Self::Number(number) => parse_number(value).is_some_and(|value| {
                value.partial_cmp(number).is_some_and(std::cmp::Ordering::is_eq)
            }),
            Self::Name(name) => name.matches_folded(value),
            Self::Fuzzy(name) => name.matches_folded(value),
            Self::Date(range) => Date::parse(value).is_some_and(|date| range.contains(&date)),
            Self::Time(range) => Time::parse(value).is_some_and(|time| range.contains(&time.0)),
            Self::DateTime(range) => {
                DateTime::parse(value).is_some_and(|moment| range.contains(&moment.0))
            }
        }
    }
}

/// Is there no value at all?
#[must_use]
pub fn is_empty(values: &str) -> bool {
    values.bytes().all(|byte| byte == b'\\' || byte == b' ')
}

/// One value of a key; `Ok(None)` matches everything; an error says what was expected.
fn pattern(vr: Vr, value: &str, modes: Modes) -> Result<Option<Pattern>, &'static str> {
    const TOO_LONG: &str = "its pattern is too long";
    let wild = Wildcard::is_in(value);
    let made = match &vr.0 {
        b"PN" if modes.fuzzy => Pattern::Fuzzy(FuzzyName::new(value).ok_or(TOO_LONG)?),
        b"PN" => Pattern::Name(NamePattern::new(value).ok_or(TOO_LONG)?),
        b"DA" => Pattern::Date(date_range(value).ok_or("a date is YYYYMMDD, a range has one -")?),
        b"TM" => Pattern::Time(time_range(value).ok_or("a time is HHMMSS, a range has one -")?),
        b"DT" => Pattern::DateTime(date_time_range(value).ok_or("it is no date time or range")?),
        b"AE" | b"CS" | b"LO" | b"LT" | b"SH" | b"ST" | b"UC" | b"UR" | b"UT" | b"UN" if wild => {
            Pattern::Wild(Wildcard::new(value).ok_or(TOO_LONG)?)
        }
        b"UI" | b"IS" | b"DS" | b"AS" | b"AT" if wild => {
            return Err("wild cards are not defined for its VR");
        }
        b"IS" | b"DS" => {
            parse_number(value).map_or_else(|| Pattern::Text(value.to_owned()), Pattern::Number)
        }
        b"US" | b"SS" | b"UL" | b"SL" | b"UV" | b"SV" | b"FL" | b"FD" => {
            Pattern::Number(parse_number(value).ok_or("it is a number")?)
        }
        b"AT" => Pattern::Text(value.to_ascii_uppercase()),
        b"SQ" => return Err("a sequence is matched by attributes in it"),
        b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" => return Err("binary data is not matched"),
        _ => Pattern::Text(value.to_owned()),
    };
    Ok(match &made {
        Pattern::Name(name) if name.is_universal() => None,
        Pattern::Fuzzy(name) if name.is_universal() => None,
        Pattern::Wild(_) if value.bytes().all(|byte| byte == b'*') => None,
        _ => Some(made),
    })
}

fn parse_number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|number| number.is_finite())
}

/// PS3.4 §C.2.2.2.8.
fn has_multiple_value_matching(vr: Vr) -> bool {
    matches!(&vr.0, b"AE" | b"AS" | b"AT" | b"CS" | b"LO" | b"PN" | b"SH" | b"UC")
}

fn has_one_value(vr: Vr) -> bool {
    matches!(&vr.0, b"ST" | b"LT" | b"UT" | b"UR")
}

/// The values of a key.
fn split(vr: Vr, value: &str) -> impl Iterator<Item = &str> {
    let (backslash, comma) = (!has_one_value(vr), matches!(&vr.0, b"UI" | b"CS"));
    value.split(move |c| c == '\\' && backslash || c == ',' && comma)
}

/// The values of a stored attribute.
fn split_stored(vr: Vr, values: &str) -> impl Iterator<Item = &str> {
    let backslash = !has_one_value(vr);
    values.split(move |c| c == '\\' && backslash)
}

/// Blanks that do not count (PS3.5 §6.2), and a trailing NUL that some pad UIDs with.
fn trim(vr: Vr, value: &str) -> &str {
    let end = value.trim_end_matches([' ', '\0']);
    if has_one_value(vr) { end } else { end.trim_start_matches(' ') }
}
