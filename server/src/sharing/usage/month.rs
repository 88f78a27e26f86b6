//! A month of the calendar in UTC: sites in two time zones count the same access in the same one.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Months of a year.
const MONTHS: u16 = 12;
/// Latest year that is told: times beyond it, which no clock shows, count in its last month.
const YEAR_MAX: u16 = 9999;

/// See the [module](self). Counted from January of year 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Month(u32);

impl Month {
    const LAST: Self = Self(YEAR_MAX as u32 * MONTHS as u32 + MONTHS as u32 - 1);

    /// The month of a time in seconds since 1970.
    pub(super) fn of(seconds: u64) -> Self {
        let at = i64::try_from(seconds).ok().and_then(|at| Timestamp::from_second(at).ok());
        let date = at.map(|at| at.to_zoned(TimeZone::UTC).date());
        let counted = date.and_then(|date| {
            let (year, month) = (u32::try_from(date.year()).ok()?, date.month().unsigned_abs());
            Some(Self(year * u32::from(MONTHS) + u32::from(month) - 1))
        });
        counted.unwrap_or(Self::LAST)
    }

    /// This one and those after it, up to and with another.
    pub(crate) fn through(self, last: Self) -> impl Iterator<Item = Self> {
        (self.0..=last.0).map(Self)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let months = u32::from(MONTHS);
        write!(f, "{:04}-{:02}", self.0 / months, self.0 % months + 1)
    }
}

impl FromStr for Month {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "a month is YEAR-MONTH, as 2026-11";
        let (year, month) = text.split_once('-').ok_or(SHAPE)?;
        let digits = |text: &str, count: usize| {
            text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !digits(year, 4) || !digits(month, 2) {
            return Err(SHAPE);
        }
        let (year, month): (u32, u32) =
            (year.parse().map_err(|_| SHAPE)?, month.parse().map_err(|_| SHAPE)?);
        if !(1..=u32::from(MONTHS)).contains(&month) {
            return Err(SHAPE);
        }
        Ok(Self(year * u32::from(MONTHS) + month - 1))
    }
}

impl From<Month> for String {
    fn from(month: Month) -> Self {
        month.to_string()
    }
}

impl TryFrom<String> for Month {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn months_begin_and_end_in_utc() {
        let told = |seconds| Month::of(seconds).to_string();
        assert_eq!(told(0), "1970-01");
        assert_eq!(told(1_764_547_199), "2025-11", "30 November, 23:59:59");
        assert_eq!(told(1_764_547_200), "2025-12");
        assert_eq!(told(1_709_164_800), "2024-02", "29 February");
        assert_eq!(told(u64::MAX), "9999-12");
        assert_eq!(told(u64::MAX / 4), "9999-12");
    }

    #[test]
    fn months_are_read_as_they_are_written() {
        for text in ["2026-11", "0000-01", "9999-12"] {
            assert_eq!(text.parse::<Month>().unwrap().to_string(), text);
        }
        for bad in ["", "2026", "2026-13", "2026-00", "2026-1", "26-11", "2026-+1", "2026-11-01"] {
            assert!(bad.parse::<Month>().is_err(), "{bad}");
        }
        let (first, last) = ("2025-11".parse::<Month>().unwrap(), "2026-02".parse().unwrap());
        let all: Vec<_> = first.through(last).map(|month| month.to_string()).collect();
        assert_eq!(all, ["2025-11", "2025-12", "2026-01", "2026-02"]);
        assert_eq!(first.through("2025-10".parse().unwrap()).count(), 0);
    }
}
