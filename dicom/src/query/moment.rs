//! Dates and times, compared by what they mean (PS3.4 §C.2.2.2.1.3 and §C.2.2.2.5, PS3.5 §6.2).
//!
//! A text that is less precise than it could be (`10`, `202601`) stands for all that it covers where
//! it bounds a search, and for its first moment where it is a value that is searched. Two date times
//! are compared in UTC where both say their offset, else as they stand.

/// Microseconds.
const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// From one moment to another, both included; `None` is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range<T> {
    /// The first.
    pub from: Option<T>,
    /// The last.
    pub to: Option<T>,
}

impl<T: PartialOrd> Range<T> {
    /// Is `moment` in it?
    pub fn contains(&self, moment: &T) -> bool {
        self.from.as_ref().is_none_or(|from| from <= moment)
            && self.to.as_ref().is_none_or(|to| moment <= to)
    }
}

/// A date as the number YYYYMMDD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date(pub u32);

/// A time of day in microseconds since midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(pub u64);

/// A moment, and how far its clock is from UTC if that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DateTime {
    /// Microseconds since 1970 on its own clock.
    local: i64,
    /// Minutes east of UTC.
    offset: Option<i16>,
}

impl PartialOrd for DateTime {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        let shift = match (self.offset, other.offset) {
            (Some(mine), Some(theirs)) => MINUTE * (i64::from(mine) - i64::from(theirs)),
            _ => 0,
        };
        Some((self.local - shift).cmp(&other.local))
    }
}

impl Date {
    /// Reads YYYYMMDD, or YYYY.MM.DD as before 1993.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.trim().as_bytes();
        let digits: [u8; 8] = match bytes {
            [y @ .., b'.', m1, m2, b'.', d1, d2] if y.len() == 4 => {
                [y[0], y[1], y[2], y[3], *m1, *m2, *d1, *d2]
            }
            _ => bytes.try_into().ok()?,
        };
        let date = number(&digits)?;
        let (month, day) = (date / 100 % 100, date % 100);
        ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some(Self(date))
    }
}

impl Time {
    /// Reads HH\[MM\[SS\[.F\]\]\], also with colons: the first moment that it covers, and the last.
    #[must_use]
    pub fn parse(text: &str) -> Option<(Self, Self)> {
        let text = text.trim();
        let plain: String;
        let digits = if text.contains(':') {
            plain = text.replace(':', "");
            &plain
        } else {
            text
        };
        let (first, unit) = clock(digits.as_bytes())?;
        Some((Self(first as u64), Self((first + unit - 1) as u64)))
    }
}

impl DateTime {
    /// Reads YYYY\[MM\[DD\[HH\[MM\[SS\[.F\]\]\]\]\]\]\[±ZZXX\]: the first moment that it covers, and the
    /// last.
    #[must_use]
    pub fn parse(text: &str) -> Option<(Self, Self)> {
        let text = text.trim();
        let (text, offset) = match text.find(['+', '-']) {
            Some(at) => (&text[..at], Some(utc_offset(&text[at..])?)),
            None => (text, None),
        };
        let digits = text.as_bytes();
        let part = |from: usize, length: usize| digits.get(from..from + length);
        let year = number(part(0, 4)?)?;
        let month = part(4, 2).map_or(Some(1), number)?;
        let day = part(6, 2).map_or(Some(1), number)?;
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let midnight = days(year, month, day) * DAY;
        let (first, end) = match digits.len() {
            4 => (midnight, days(year + 1, 1, 1) * DAY),
            6 if month == 12 => (midnight, days(year + 1, 1, 1) * DAY),
            6 => (midnight, days(year, month + 1, 1) * DAY),
            8 => (midnight, midnight + DAY),
            length if length > 8 => {
                let (first, unit) = clock(&digits[8..])?;
                (midnight + first, midnight + first + unit)
            }
            _ => return None,
        };
        Some((Self { local: first, offset }, Self { local: end - 1, offset }))
    }
}

/// Reads one date or a range of them; `None` if it is neither.
pub(super) fn date_range(key: &str) -> Option<Range<Date>> {
    let one = |text: &str| Date::parse(text).map(|date| (date, date));
    range(key, one, key.match_indices('-').map(|(at, _)| at))
}

/// Reads one time or a range of them; `None` if it is neither.
pub(super) fn time_range(key: &str) -> Option<Range<Time>> {
    range(key, Time::parse, key.match_indices('-').map(|(at, _)| at))
}

/// Reads one date time or a range of them; `None` if it is neither. Where a hyphen may be read both
/// ways it belongs to an offset from UTC.
pub(super) fn date_time_range(key: &str) -> Option<Range<DateTime>> {
    if let Some((from, to)) = DateTime::parse(key) {
        return Some(Range { from: Some(from), to: Some(to) });
    }
    range(key, DateTime::parse, key.match_indices('-').map(|(at, _)| at))
}

/// `a`, `a-b`, `-b` or `a-`, cut at the first hyphen that leaves something to read on both sides.
fn range<T: Copy>(
    key: &str,
    one: impl Fn(&str) -> Option<(T, T)>,
    mut hyphens: impl Iterator<Item = usize>,
) -> Option<Range<T>> {
    let key = key.trim();
    if let Some((from, to)) = one(key) {
        return Some(Range { from: Some(from), to: Some(to) });
    }
    let end = |text: &str| {
        if text.trim().is_empty() { Some(None) } else { one(text).map(Some) }
    };
    hyphens.find_map(|at| {
        let (from, to) = (end(key.get(..at)?)?, end(key.get(at + 1..)?)?);
        (from.is_some() || to.is_some())
            .then(|| Range { from: from.map(|pair| pair.0), to: to.map(|pair| pair.1) })
    })
}

/// HH\[MM\[SS\[.F\]\]\] as microseconds since midnight, and how many the text leaves open.
fn clock(digits: &[u8]) -> Option<(i64, i64)> {
    let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let part = |at: usize| whole.get(at..at + 2).map_or(Some(0), number).map(i64::from);
    let (hour, minute, second) = (part(0)?, part(2)?, part(4)?);
    // 24 and 60 occur: midnight at the end of the day, and leap seconds.
    if hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    let time = hour * HOUR + minute * MINUTE + second * SECOND;
    match (whole.len(), fraction) {
        (2, None) => Some((time, HOUR)),
        (4, None) => Some((time, MINUTE)),
        (6, None) => Some((time, SECOND)),
        (6, Some(fraction)) if (1..=6).contains(&fraction.len()) => {
            let unit = 10i64.pow(6 - fraction.len() as u32);
            Some((time + i64::from(number(fraction)?) * unit, unit))
        }
        _ => None,
    }
}

/// ±ZZXX in minutes; the earth has −12 to +14 hours.
fn utc_offset(text: &str) -> Option<i16> {
    let (sign, digits) = match text.as_bytes() {
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let value = number(<&[u8; 4]>::try_from(digits).ok()?)?;
    let minutes = sign * (value / 100 * 60 + value % 100) as i16;
    (value % 100 < 60 && (-720..=840).contains(&minutes)).then_some(minutes)
}

/// Decimal digits and nothing else; at most eight.
fn number(digits: &[u8]) -> Option<u32> {
    let digit =
        |sum: u32, byte: &u8| byte.is_ascii_digit().then(|| sum * 10 + u32::from(*byte - b'0'));
    if digits.len() > 8 { None } else { digits.iter().try_fold(0, digit) }
}

/// Days since 1970 in the Gregorian calendar; days past the end of a month run into the next.
fn days(year: u32, month: u32, day: u32) -> i64 {
    // Years that begin in March: the leap day comes last.
    let shifted = i64::from(year) - i64::from(month <= 2);
    let of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    shifted * 365 + shifted.div_euclid(4) - shifted.div_euclid(100)
        + shifted.div_euclid(400)
        + of_year
        - 719_468
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn calendar() {
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(2000, 3, 1) - days(2000, 2, 28), 2);
        assert_eq!(days(1900, 3, 1) - days(1900, 2, 28), 1);
        assert_eq!(days(2026, 11, 23), 20_780);
    }

    #[test]
    fn dates() {
        assert_eq!(Date::parse("20260228"), Some(Date(20_260_228)));
        assert_eq!(Date::parse("1992.12.31"), Some(Date(19_921_231)));
        for bad in ["", "2026", "2026022", "20261301", "20260100", "2026-02-28", "2026022x", "*"] {
            assert_eq!(Date::parse(bad), None, "{bad}");
        }
        let in_range = |key: &str, date: &str| {
            date_range(key).map(|range| range.contains(&Date::parse(date).unwrap()))
        };
        for key in
            ["20260228", "20260101-20260228", "20260228-", "-20260228", "20260228 - 20260301"]
        {
            assert_eq!(in_range(key, "20260228"), Some(true), "{key}");
        }
        for key in ["20260227", "20260301-", "-20260227", "20270101-20250101"] {
            assert_eq!(in_range(key, "20260228"), Some(false), "{key}");
        }
        for bad in ["-", "--", "", "20260101-x", "2026-01-01", "20260101-20260102-20260103"] {
            assert_eq!(date_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn times() {
        let in_range = |key: &str, time: &str| {
            time_range(key).map(|range| range.contains(&Time::parse(time).unwrap().0))
        };
        for (key, time) in [
            ("2230", "223000"),
            ("22:30", "223000.5"),
            ("10", "105959.999999"),
            ("1000-1800", "180059"),
            ("-10", "105900"),
            ("1030-", "1030"),
            ("103000.5", "103000.500001"),
        ] {
            assert_eq!(in_range(key, time), Some(true), "{key} {time}");
        }
        for (key, time) in [("1030", "1031"), ("1030", "10"), ("1800-1000", "12"), ("10-", "0959")]
        {
            assert_eq!(in_range(key, time), Some(false), "{key} {time}");
        }
        for bad in ["1", "25", "1060", "10.5", "103000.", "103000.1234567", "-"] {
            assert_eq!(time_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn date_times() {
        let in_range = |key: &str, moment: &str| {
            date_time_range(key).map(|range| range.contains(&DateTime::parse(moment).unwrap().0))
        };
        for (key, moment) in [
            ("19980128103000", "19980128103000.0000"),
            ("19980128103000+0000", "19980128073000-0300"),
            ("199801", "19980131235959"),
            ("1998", "19981231"),
            ("1997-1999", "1998"),
            ("-1998", "19981231235959.999999"),
            ("19980128-0500-19980129-0500", "19980128060000+0000"),
            ("19980128-", "19990101"),
        ] {
            assert_eq!(in_range(key, moment), Some(true), "{key} {moment}");
        }
        for (key, moment) in [
            ("19980128103000+0000", "19980128103000-0300"),
            ("1998-0500", "1999"), // an offset, not a range
            ("19980128-0500-19980129-0500", "19980128045959+0000"),
        ] {
            assert_eq!(in_range(key, moment), Some(false), "{key} {moment}");
        }
        for bad in ["", "-", "199", "19981301", "1998+9900", "x-1998"] {
            assert_eq!(date_time_range(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[0-9.+:-]{0,30}") {
            let _ = (date_range(&text), time_range(&text), date_time_range(&text));
        }
    }
}
