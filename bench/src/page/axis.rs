//! Where a value lies on a line, and which values get a mark.

/// A span of values; positions on it go from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    is_log: bool,
}

impl Axis {
    /// From `low` to a round number at the largest value or above it.
    pub(super) fn linear(low: f64, values: impl IntoIterator<Item = f64>) -> Self {
        let most = values.into_iter().filter(|value| value.is_finite()).fold(low, f64::max);
        let step = step(most - low);
        let high = low + ((most - low) / step).ceil().max(1.0) * step;
        Self { low, high, is_log: false }
    }

    /// From one round number to another; only values above 0 count.
    pub(super) fn log(values: impl IntoIterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for value in values.into_iter().filter(|value| value.is_finite() && *value > 0.0) {
            low = low.min(value);
            high = high.max(value);
        }
        if high == 0.0 {
            return Self { low: 1.0, high: 10.0, is_log: true };
        }
        let low = round_log(low, false);
        let high = round_log(high, true).max(low * 2.0);
        Self { low, high, is_log: true }
    }

    /// Where a value lies; those beyond an end lie at it.
    pub(super) fn at(&self, value: f64) -> f64 {
        let part = if self.is_log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Is it between the ends?
    pub(super) fn has(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Round values, both ends among them where they are round.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if !self.is_log {
            let step = step(self.high - self.low);
            let count = ((self.high - self.low) / step).round() as u32;
            return (0..=count).map(|n| self.low + f64::from(n) * step).collect();
        }
        let decades = (self.high / self.low).log10();
        let factors: &[f64] = if decades > 2.5 {
            &[1.0]
        } else if decades > 1.2 {
            &[1.0, 3.0]
        } else {
            &[1.0, 2.0, 5.0]
        };
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let every = ((last - first) / 7 + 1) as usize;
        let powers = (first..=last).step_by(every).map(|power| 10_f64.powi(power));
        let ticks = powers.flat_map(|power| factors.iter().map(move |factor| factor * power));
        ticks.filter(|tick| self.has(*tick * 1.000_001) || self.has(*tick)).collect()
    }
}

/// A round step that divides `span` into five parts at most.
fn step(span: f64) -> f64 {
    if span <= 0.0 || !span.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf((span / 5.0).log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0, 10.0];
    let steps = factor.map(|factor| factor * power);
    steps.into_iter().find(|step| span / step <= 5.000_001).unwrap_or(10.0 * power)
}

/// 1, 2 or 5 times a power of ten: the next above the value, or below it.
fn round_log(value: f64, is_up: bool) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    if is_up {
        steps.into_iter().find(|step| *step >= value).unwrap_or(value)
    } else {
        steps.into_iter().rev().find(|step| *step <= value).unwrap_or(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ends_at_a_round_number() {
        let axis = Axis::linear(0.0, [3.0, 41.0, f64::NAN]);
        assert_eq!(axis.ticks(), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert!((axis.at(25.0) - 0.5).abs() < 1e-9);
        assert!(axis.at(1e9) <= 1.0 && axis.at(f64::NAN) >= 0.0);
        assert_eq!(Axis::linear(0.0, []).ticks().len(), 6);
    }

    #[test]
    fn logarithms_go_by_decades_or_finer() {
        let axis = Axis::log([0.4, 7000.0, -1.0]);
        assert_eq!(axis.ticks(), [1.0, 10.0, 100.0, 1000.0, 10000.0]);
        assert!((axis.at(0.2) - 0.0).abs() < 1e-9);
        let axis = Axis::log([110.0, 480.0]);
        assert_eq!(axis.ticks(), [100.0, 200.0, 500.0]);
        assert!(axis.at(200.0) > 0.4 && axis.at(200.0) < 0.5);
        // One value has room too, and none is no reason to fail.
        assert!(Axis::log([50.0]).ticks().len() >= 2);
        assert!(!Axis::log([]).ticks().is_empty());
    }
}
