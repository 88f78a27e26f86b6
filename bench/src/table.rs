//! Aligned text: rows under headings, the first column to the left, the others to the right.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// See the [module](self).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) headings: Vec<String>,
    /// Each as long as the headings.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self { headings: headings.map(str::to_owned).to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        assert_eq!(N, self.headings.len(), "a cell for each heading");
        self.rows.push(Vec::from(cells));
    }

    /// The table, indented by two spaces.
    pub(crate) fn text(&self) -> String {
        let lines = || std::iter::once(&self.headings).chain(&self.rows);
        let chars = |line: &Vec<String>, column: usize| {
            line.get(column).map_or(0, |cell| cell.chars().count())
        };
        let widths: Vec<usize> = (0..self.headings.len())
            .map(|column| lines().map(|line| chars(line, column)).max().unwrap_or(0))
            .collect();
        let mut out = String::new();
        for line in lines() {
            let mut text = String::new();
            for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
                // Writing to a String cannot fail.
                let _ = match column {
                    0 => write!(text, "  {cell:<width$}"),
                    _ => write!(text, "  {cell:>width$}"),
                };
            }
            out += text.trim_end();
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["WHO", "S"]);
        table.row(["cairn".to_owned(), "1.25".to_owned()]);
        table.row(["µ".to_owned(), "10".to_owned()]);
        assert_eq!(table.text(), "  WHO       S\n  cairn  1.25\n  µ        10\n");
    }
}
