//! What was promised, beside what was measured.

use serde::Serialize;

use crate::table::Table;

/// Which side of the limit is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    /// The measured value has to be below the limit, or at it.
    AtMost,
    /// The measured value has to be above the limit, or at it.
    AtLeast,
}

/// One promise.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Goal {
    what: String,
    unit: &'static str,
    measured: f64,
    side: Side,
    limit: f64,
    holds: bool,
}

impl Goal {
    /// `measured` is at most `limit`.
    pub(crate) fn at_most(what: impl Into<String>, unit: &'static str, m: f64, limit: f64) -> Self {
        Self { what: what.into(), unit, measured: m, side: Side::AtMost, limit, holds: m <= limit }
    }

    /// `measured` is at least `limit`.
    pub(crate) fn at_least(
        what: impl Into<String>,
        unit: &'static str,
        m: f64,
        limit: f64,
    ) -> Self {
        Self { what: what.into(), unit, measured: m, side: Side::AtLeast, limit, holds: m >= limit }
    }

    /// Was the promise kept?
    pub(crate) fn holds(&self) -> bool {
        self.holds
    }
}

/// All promises as a table.
pub(crate) fn text(goals: &[Goal]) -> String {
    let mut table = Table::new(["GOAL", "LIMIT", "MEASURED", "HOLDS"]);
    for goal in goals {
        let sign = if goal.side == Side::AtMost { "<=" } else { ">=" };
        table.row([
            goal.what.clone(),
            format!("{sign} {} {}", goal.limit, goal.unit),
            format!("{:.3} {}", goal.measured, goal.unit),
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
