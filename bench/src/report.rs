//! What a measurement came to: figures, tables, goals and notes, from which text, JSON and page are drawn.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::goals::{self, Goal};
use crate::machine::Machine;
use crate::measure::Bench;
use crate::table::Table;

/// On what something is measured, known before it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Heading {
    pub(crate) machine: Machine,
    /// The binary that is measured, and what it says that it is.
    pub(crate) cairn: String,
}

impl Heading {
    pub(crate) fn new(bench: &Bench<'_>) -> Self {
        Self { machine: Machine::here(bench.scratch.path()), cairn: bench.about_cairn() }
    }

    /// As two lines.
    pub(crate) fn text(&self) -> String {
        format!("machine: {}\ncairn:   {}", self.machine.text(), self.cairn)
    }
}

/// A table and what it is of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Titled {
    pub(crate) title: String,
    #[serde(flatten)]
    pub(crate) table: Table,
}

/// See the [module](self).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Everything that was measured, by name.
    #[serde(flatten)]
    pub(crate) measured: Map<String, Value>,
    #[serde(default)]
    pub(crate) tables: Vec<Titled>,
    #[serde(default)]
    pub(crate) notes: Vec<String>,
    #[serde(default)]
    pub(crate) goals: Vec<Goal>,
}

impl Report {
    /// Adds figures.
    pub(crate) fn figures(&mut self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        self.measured.insert(name.to_owned(), serde_json::to_value(value)?);
        Ok(())
    }

    /// Adds a table.
    pub(crate) fn table(&mut self, title: &str, table: &Table) {
        self.tables.push(Titled { title: title.to_owned(), table: table.clone() });
    }

    /// Adds a sentence.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds a goal.
    pub(crate) fn goal(&mut self, goal: Goal) {
        self.goals.push(goal);
    }

    /// Do all goals hold?
    pub(crate) fn goals_hold(&self) -> bool {
        self.goals.iter().all(Goal::holds)
    }

    /// Tables, goals and notes.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        for Titled { title, table } in &self.tables {
            // Writing to a String cannot fail.
            let _ = write!(out, "\n{title}\n{}", table.text());
        }
        if !self.goals.is_empty() {
            let _ = write!(out, "\ngoals\n{}", goals::text(&self.goals));
        }
        if !self.notes.is_empty() {
            out += "\nnotes\n";
        }
        for note in &self.notes {
            let _ = writeln!(out, "  - {note}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn json_gives_the_report_again() {
        let mut report = Report::default();
        let mut table = Table::new(["WHO", "S"]);
        table.row(["cairn".to_owned(), "1.25".to_owned()]);
        report.table("times", &table);
        report.figures("bytes", &17).unwrap();
        report.goal(Goal::at_most("stored", "x", f64::NAN, 0.7));
        report.note("on a loaded machine");
        let json = serde_json::to_string(&report).unwrap();
        let again: Report = serde_json::from_str(&json).unwrap();
        assert_eq!(again.text(), report.text());
        assert_eq!(again.measured["bytes"], 17);
        assert!(!again.goals_hold(), "what could not be measured does not hold");
    }
}
