//! Spans of days, by which a whole archive is asked for.

use jiff::civil::Date;
use jiff::{Span, ToSpan};

/// Days from one to another, both of them in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slice {
    first: Date,
    last: Date,
}

/// How long a slice is to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum By {
    /// A calendar month
    Month,
    /// Seven days
    Week,
    /// A day
    Day,
}

impl Slice {
    /// Reads `20100101-20101231`, or one day; `None` if it is none, or goes backwards.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let slice = Self { first: day(first)?, last: day(last)? };
        (slice.first <= slice.last).then_some(slice)
    }

    /// In pieces, the earliest first.
    pub(crate) fn cut(self, by: By) -> Vec<Self> {
        let mut pieces = Vec::new();
        let mut first = self.first;
        loop {
            let end = match by {
                By::Month => first.last_of_month(),
                By::Week => after(first, 6.days()),
                By::Day => first,
            };
            pieces.push(Self { first, last: end.min(self.last) });
            // Compared with what it ends with, not with what would follow: the calendar ends somewhere.
            if end >= self.last {
                return pieces;
            }
            first = after(end, 1.day());
        }
    }

    /// Two halves; `None`: it is a day.
    pub(crate) fn halves(self) -> Option<(Self, Self)> {
        if self.first == self.last {
            return None;
        }
        let days = (self.last - self.first).get_days();
        let middle = after(self.first, (i64::from(days) / 2).days());
        let (early, late) = (
            Self { first: self.first, last: middle },
            Self { first: after(middle, 1.day()), last: self.last },
        );
        Some((early, late))
    }

    /// As it is matched (PS3.4 §C.2.2.2.5).
    pub(crate) fn text(self) -> String {
        let text = |day: Date| day.strftime("%Y%m%d").to_string();
        if self.first == self.last {
            text(self.first)
        } else {
            format!("{}-{}", text(self.first), text(self.last))
        }
    }
}

fn day(text: &str) -> Option<Date> {
    let plain = text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| Date::strptime("%Y%m%d", text).ok()).flatten()
}

fn after(day: Date, span: Span) -> Date {
    day.checked_add(span).unwrap_or(Date::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn texts(slices: &[Slice]) -> Vec<String> {
        slices.iter().map(|slice| slice.text()).collect()
    }

    #[test]
    fn slices_cover_every_day_once() {
        let all = Slice::parse("20200115-20200310").unwrap();
        let months = ["20200115-20200131", "20200201-20200229", "20200301-20200310"];
        assert_eq!(texts(&all.cut(By::Month)), months);
        assert_eq!(all.cut(By::Day).len(), 56);
        let weeks = all.cut(By::Week);
        assert_eq!((weeks.len(), weeks[0].text().as_str()), (8, "20200115-20200121"));
        assert_eq!(Slice::parse("20200229").unwrap().text(), "20200229");
        for bad in ["2020", "20200230", "20200301-20200201", "2020-01-01", "", "20200101-", "x"] {
            assert_eq!(Slice::parse(bad), None, "{bad}");
        }
        assert_eq!(Slice::parse("99991201-99991231").unwrap().cut(By::Week).len(), 5);
    }

    #[test]
    fn halves_end_with_days() {
        let mut left = vec![Slice::parse("20200101-20200331").unwrap()];
        let mut days = Vec::new();
        while let Some(slice) = left.pop() {
            match slice.halves() {
                Some((early, late)) => left.extend([late, early]),
                None => days.push(slice),
            }
        }
        assert_eq!(days, Slice::parse("20200101-20200331").unwrap().cut(By::Day));
    }
}
