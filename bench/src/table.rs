//! Aligned text: rows under headings, the first column to the left, the others to the right.

use std::fmt::Write as _;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Table {
    /// The headings, then the rows; all of one length.
    lines: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self { lines: vec![headings.map(str::to_owned).to_vec()] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        assert_eq!(N, self.lines[0].len(), "a cell for each heading");
        self.lines.push(Vec::from(cells));
    }

    /// The table, indented by two spaces.
    pub(crate) fn text(&self) -> String {
        let chars = |line: &Vec<String>, column: usize| line[column].chars().count();
        let columns = self.lines[0].len();
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.lines.iter().map(|line| chars(line, column)).max().unwrap_or(0))
            .collect();
        let mut out = String::new();
        for line in &self.lines {
            let mut text = format!("  {:<width$}", line[0], width = widths[0]);
            for (cell, &width) in line.iter().zip(&widths).skip(1) {
                // Writing to a String cannot fail.
                let _ = write!(text, "  {cell:>width$}");
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
