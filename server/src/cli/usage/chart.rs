//! Bars by month, as SVG: two for each month, side by side, the same scale in every chart of a kind.

use std::fmt::Write;

use super::page::escape;

/// Size of a chart in units of its view box.
const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 150.0;
/// Room around the bars: for numbers at the left, for months below.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 6.0;
const TOP: f64 = 10.0;
const BELOW: f64 = 22.0;
/// Widest bar.
const BAR_MAX: f64 = 20.0;
/// Lines across.
const STEPS: u32 = 4;
/// Months that are named below; of more, every second, third …
const NAMES_MAX: usize = 6;

/// One month in one chart.
#[derive(Debug, Clone, Default)]
pub(super) struct Bars {
    /// The month's name.
    pub(super) month: String,
    /// Heights.
    pub(super) values: [u64; 2],
    /// Of both together what is drawn hatched, from the top of the first on.
    pub(super) hatched: [u64; 2],
}

/// A chart. `top`: what the scale has to reach; `told`: a value for people.
pub(super) fn chart(
    title: &str,
    names: [&str; 2],
    months: &[Bars],
    top: u64,
    told: fn(u64) -> String,
) -> String {
    let top = scale(top);
    let (wide, high) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BELOW);
    let y = |value: f64| TOP + high * (1.0 - (value / top).clamp(0.0, 1.0));
    let mut out = format!(
        "<figure><figcaption>{} <span class=\"key a\">{}</span> <span class=\"key b\">{}</span>\
         </figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escape(title),
        escape(names[0]),
        escape(names[1]),
        escape(title)
    );
    for step in 0..=STEPS {
        let value = top * f64::from(step) / f64::from(STEPS);
        let at = y(value);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"number\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 5.0,
            at + 3.5,
            escape(&told(value.round() as u64))
        );
    }
    let slot = wide / months.len().max(1) as f64;
    let bar = (slot * 0.38).min(BAR_MAX);
    let every = months.len().div_ceil(NAMES_MAX).max(1);
    for (place, bars) in months.iter().enumerate() {
        let middle = LEFT + slot * (place as f64 + 0.5);
        for (side, (value, hatched)) in bars.values.iter().zip(bars.hatched).enumerate() {
            let x = if side == 0 { middle - bar - 0.5 } else { middle + 0.5 };
            let tip = format!("{} {}: {}", bars.month, names[side], told(*value));
            let class = if side == 0 { "a" } else { "b" };
            let at = y(*value as f64);
            let _ = write!(
                out,
                "<g><title>{}</title><rect class=\"{class}\" x=\"{x:.1}\" y=\"{at:.1}\" \
                 width=\"{bar:.1}\" height=\"{:.1}\"/>",
                escape(&tip),
                y(0.0) - at
            );
            if hatched > 0 {
                let _ = write!(
                    out,
                    "<rect class=\"hatch\" x=\"{x:.1}\" y=\"{at:.1}\" width=\"{bar:.1}\" \
                     height=\"{:.1}\"/>",
                    y(value.saturating_sub(hatched) as f64) - at
                );
            }
            out.push_str("</g>");
        }
        if place % every == 0 {
            let _ = write!(
                out,
                "<text class=\"month\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>",
                HEIGHT - 7.0,
                escape(&bars.month)
            );
        }
    }
    out.push_str("</svg></figure>");
    out
}

/// The next number above that divides well: 4, 8, 20, 40, 80, 200 …
fn scale(top: u64) -> f64 {
    let mut step = 1.0;
    loop {
        for factor in [4.0, 8.0, 20.0] {
            if factor * step >= top as f64 {
                return factor * step;
            }
        }
        step *= 10.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_above_the_highest_bar() {
        for (top, scaled) in [(0, 4.0), (4, 4.0), (5, 8.0), (9, 20.0), (21, 40.0), (1001, 2000.0)] {
            assert!((scale(top) - scaled).abs() < 1e-9, "{top}: {}", scale(top));
        }
        assert!(scale(u64::MAX) >= u64::MAX as f64);
    }

    #[test]
    fn a_chart_has_a_bar_for_each_value_and_escapes_what_it_is_given() {
        let bars = |values, hatched| Bars { month: "2026-11".into(), values, hatched };
        let months = [bars([3, 0], [0, 0]), bars([1, 8], [0, 2])];
        let svg = chart("<x>", ["a", "&b"], &months, 8, |value| value.to_string());
        assert_eq!(svg.matches("<rect class=\"a\"").count(), 2);
        assert_eq!(svg.matches("<rect class=\"hatch\"").count(), 1);
        assert!(svg.contains("2026-11 &amp;b: 8") && !svg.contains("<x>"), "{svg}");
        assert!(!svg.contains("NaN"), "{svg}");
        assert!(!chart("", ["", ""], &[], 0, |value| value.to_string()).contains("NaN"));
    }
}
