//! What was promised, beside what was measured.

use serde::{Deserialize, Deserializer, Serialize};

use crate::table::Table;

/// Which side of the limit is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    /// The measured value has to be below the limit, or at it.
    AtMost,
    /// The measured value has to be above the limit, or at it.
    AtLeast,
}

/// One promise.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Goal {
    pub(crate) what: String,
    unit: String,
    /// Not a number where it could not be measured, which is `null` in JSON.
    #[serde(deserialize_with = "number_or_null")]
    measured: f64,
    side: Side,
    limit: f64,
    holds: bool,
}

fn number_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Option::<f64>::deserialize(from).map(|number| number.unwrap_or(f64::NAN))
}

impl Goal {
    /// `measured` is at most `limit`.
    pub(crate) fn at_most(what: impl Into<String>, unit: &str, m: f64, limit: f64) -> Self {
        Self::new(what.into(), unit, m, Side::AtMost, limit, m <= limit)
    }

    /// `measured` is at least `limit`.
    pub(crate) fn at_least(what: impl Into<String>, unit: &str, m: f64, limit: f64) -> Self {
        Self::new(what.into(), unit, m, Side::AtLeast, limit, m >= limit)
    }

    fn new(what: String, unit: &str, measured: f64, side: Side, limit: f64, holds: bool) -> Self {
        Self { what, unit: unit.to_owned(), measured, side, limit, holds }
    }

    /// Was the promise kept?
    pub(crate) fn holds(&self) -> bool {
        self.holds
    }

    /// Is it further from being kept, or less well kept, than another of the same limit?
    pub(crate) fn is_worse_than(&self, other: &Self) -> bool {
        match self.side {
            _ if self.measured.is_nan() => true,
            Side::AtMost => self.measured > other.measured,
            Side::AtLeast => self.measured < other.measured,
        }
    }

    /// The limit as people read it.
    pub(crate) fn promise(&self) -> String {
        let sign = if self.side == Side::AtMost { "<=" } else { ">=" };
        format!("{sign} {} {}", self.limit, self.unit)
    }

    /// What was measured as people read it.
    pub(crate) fn found(&self) -> String {
        if !self.measured.is_finite() {
            return "not measured".to_owned();
        }
        format!("{:.3} {}", self.measured, self.unit)
    }
}

/// All promises as a table.
pub(crate) fn text(goals: &[Goal]) -> String {
    let mut table = Table::new(["GOAL", "LIMIT", "MEASURED", "HOLDS"]);
    for goal in goals {
        table.row([
            goal.what.clone(),
            goal.promise(),
            goal.found(),
            if goal.holds { "yes" } else { "NO" }.to_owned(),
        ]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides() {
        assert!(Goal::at_most("m", "MB", 400.0, 400.0).holds());
        assert!(!Goal::at_most("m", "MB", 400.1, 400.0).holds());
        assert!(Goal::at_least("f", "x", 5.0, 5.0).holds());
        assert!(!Goal::at_least("f", "x", 4.9, 5.0).holds());
        // What could not be measured does not hold.
        assert!(!Goal::at_most("m", "MB", f64::NAN, 400.0).holds());
    }
}
