//! What a measurement came to, as text and as JSON.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::goals::{self, Goal};
use crate::machine::Machine;
use crate::measure::Bench;
use crate::table::Table;

/// See the [module](self).
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    /// The binary that was measured, and what it says that it is.
    cairn: String,
    /// Everything that was measured, by name.
    #[serde(flatten)]
    measured: Map<String, Value>,
    notes: Vec<String>,
    goals: Vec<Goal>,
    #[serde(skip)]
    text: String,
}

impl Report {
    pub(crate) fn new(bench: &Bench<'_>) -> Self {
        Self {
            machine: Machine::here(bench.scratch.path()),
            cairn: bench.about_cairn(),
            measured: Map::new(),
            notes: Vec::new(),
            goals: Vec::new(),
            text: String::new(),
        }
    }

    /// What is known before the measurement.
    pub(crate) fn heading(&self) -> String {
        format!("machine: {}\ncairn:   {}", self.machine.text(), self.cairn)
    }

    /// Adds figures to the JSON.
    pub(crate) fn figures(&mut self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        self.measured.insert(name.to_owned(), serde_json::to_value(value)?);
        Ok(())
    }

    /// Adds a table to the text.
    pub(crate) fn table(&mut self, title: &str, table: &Table) {
        let _ = write!(self.text, "\n{title}\n{}", table.text());
    }

    /// Adds a sentence to both.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds a goal to both.
    pub(crate) fn goal(&mut self, goal: Goal) {
        self.goals.push(goal);
    }

    /// Do all goals hold?
    pub(crate) fn goals_hold(&self) -> bool {
        self.goals.iter().all(Goal::holds)
    }

    /// Tables, goals and notes.
    pub(crate) fn text(&self) -> String {
        let mut out = self.text.clone();
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
