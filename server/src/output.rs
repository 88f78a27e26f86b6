//! What a command prints: aligned text for people, JSON for programs.
//!
//! Data goes to standard output, everything else to standard error. Text from objects is shown
//! without control characters, so that a patient's name cannot steer a terminal.

use std::io::{BufWriter, IsTerminal, Stdout, Write};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::error::{Error, Result};

/// Where and how a command prints.
pub(crate) struct Output {
    /// One JSON object, or one a line, rather than text.
    pub(crate) json: bool,
    /// Errors and asked-for data only.
    pub(crate) quiet: bool,
    /// How often `-v` was given.
    pub(crate) verbose: u8,
    out: Mutex<BufWriter<Stdout>>,
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool, verbose: u8) -> Self {
        Self { json, quiet, verbose, out: Mutex::new(BufWriter::new(std::io::stdout())) }
    }

    /// Prints one object on a line of its own.
    pub(crate) fn object(&self, value: &impl Serialize) -> Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::to_writer(&mut *out, value).map_err(|error| Error::Output(error.into()))?;
        out.write_all(b"\n").map_err(Error::Output)
    }

    /// Prints text, which ends its lines itself.
    pub(crate) fn text(&self, text: &str) -> Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(text.as_bytes()).map_err(Error::Output)
    }

    /// Hands on what was printed so far.
    pub(crate) fn flush(&self) -> Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.flush().map_err(Error::Output)
    }

    /// Tells the person at the terminal something that is not data.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }

    /// Is there a person to show progress to?
    pub(crate) fn shows_progress(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }
}

/// How a column is set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows under headings, every column as wide as its widest cell.
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    /// The table, indented by two spaces; empty without rows.
    pub(crate) fn render(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let width = |i: usize, heading: &str| {
            let cells = self.rows.iter().map(|row| row[i].chars().count());
            cells.max().unwrap_or(0).max(heading.len())
        };
        let widths: Vec<usize> =
            self.columns.iter().enumerate().map(|(i, (heading, _))| width(i, heading)).collect();
        let headings: Vec<String> = self.columns.iter().map(|(h, _)| (*h).to_owned()).collect();
        let mut out = String::new();
        for cells in std::iter::once(&headings).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), (_, align)) in cells.iter().zip(&widths).zip(&self.columns) {
                line.push_str("  ");
                line.push_str(&pad(cell, *width, *align));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// Names and values, one pair a line, values aligned.
pub(crate) fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (name, value) in rows {
        out.push_str(format!("  {name:width$}  {value}").trim_end());
        out.push('\n');
    }
    out
}

fn pad(cell: &str, width: usize, align: Align) -> String {
    let blank = " ".repeat(width.saturating_sub(cell.chars().count()));
    match align {
        Align::Left => format!("{cell}{blank}"),
        Align::Right => format!("{blank}{cell}"),
    }
}

/// A size for people: `709.0 MB`. Decimal, as disks and networks count.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A count for people: `2,040`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 file`, `2 files`.
pub(crate) fn counted(value: u64, singular: &str) -> String {
    let of_y = singular.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    match (value, of_y) {
        (1, _) => format!("1 {singular}"),
        (_, Some(stem)) => format!("{} {stem}ies", count(value)),
        (_, None) => format!("{} {singular}s", count(value)),
    }
}

/// How many times `whole` holds `part`; `None` where that says nothing.
pub(crate) fn factor(whole: u64, part: u64) -> Option<f64> {
    (whole > 0 && part > 0).then(|| round(whole as f64 / part as f64))
}

/// A factor for people.
pub(crate) fn factor_text(factor: Option<f64>) -> String {
    factor.map_or_else(|| "-".into(), |factor| format!("{factor:.2}"))
}

/// Four digits after the point: enough for any figure here, and JSON stays readable.
pub(crate) fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// Bytes per second in GB/s.
pub(crate) fn gb_per_second(bytes: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { round(bytes as f64 / seconds / 1e9) } else { 0.0 }
}

/// Text that came from outside, safe for a terminal.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if is_unsafe(c) { '\u{FFFD}' } else { c }).collect()
}

/// Control characters, and those that reorder or hide what follows.
fn is_unsafe(c: char) -> bool {
    let steers = matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}');
    steers || c.is_control() || matches!(c, '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// A DICOM date for people: `2024-05-17`; what is none as it is.
pub(crate) fn date(value: &str) -> String {
    let digits = value.len() == 8 && value.bytes().all(|b| b.is_ascii_digit());
    if digits { format!("{}-{}-{}", &value[..4], &value[4..6], &value[6..]) } else { clean(value) }
}

/// A time for people, in UTC.
pub(crate) fn time(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| "-".into(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_counts_read_well() {
        let sizes = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (709_000_000, "709.0 MB"),
            (999_960, "1.0 MB"),
            (999_999_999, "1.0 GB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(count(2040), "2,040");
        assert_eq!(count(7), "7");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "file"), "1 file");
    }

    #[test]
    fn outside_text_cannot_steer_a_terminal() {
        assert_eq!(clean("A\u{1b}[31mB\n"), "A\u{FFFD}[31mB\u{FFFD}");
        assert_eq!(clean("山田^太郎"), "山田^太郎");
        assert_eq!(date("20240517"), "2024-05-17");
        assert_eq!(date("2024"), "2024");
    }

    #[test]
    fn tables_align() {
        let mut table = Table::new(&[("NAME", Align::Left), ("SIZE", Align::Right)]);
        table.row(vec!["a".into(), "1.0 kB".into()]);
        table.row(vec!["longer".into(), "9 B".into()]);
        assert_eq!(table.render(), "  NAME      SIZE\n  a       1.0 kB\n  longer     9 B\n");
        assert_eq!(time(1_700_000_000_123), "2023-11-14 22:13:20 UTC");
    }
}
