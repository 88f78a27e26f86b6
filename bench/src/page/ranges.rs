//! How long requests took: half of them, 95 of 100, 99 of 100, the slowest.

use super::axis::Axis;
use super::svg::{Anchor, Sheet, WIDTH, cut, number};

const LEFT: f64 = 96.0;
const RIGHT: f64 = 16.0;
const ROW: f64 = 17.0;
const GROUP: f64 = 22.0;

/// Percentiles of one kind of request to one server, in ms.
#[derive(Clone, Debug)]
pub(super) struct Range {
    pub(super) name: String,
    pub(super) class: &'static str,
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

/// Ranges under a title.
#[derive(Clone, Debug)]
pub(super) struct RangeGroup {
    pub(super) title: String,
    pub(super) ranges: Vec<Range>,
}

/// Draws them on one logarithmic axis; `limit` is a time that nothing can be below.
pub(super) fn svg(groups: &[RangeGroup], limit: Option<(&str, f64)>, label: &str) -> String {
    let ranges = || groups.iter().flat_map(|group| &group.ranges);
    let ends = ranges().flat_map(|range| [range.p50, range.max]);
    let axis = Axis::log(ends.chain(limit.map(|(_, ms)| ms)));
    let top = 18.0;
    let bottom = top + ranges().count() as f64 * ROW + groups.len() as f64 * GROUP + 6.0;
    let mut sheet = Sheet::new(bottom + 34.0);
    let x = |value: f64| LEFT + axis.at(value) * (WIDTH - LEFT - RIGHT);
    for tick in axis.ticks() {
        sheet.line("grid", (x(tick), top), (x(tick), bottom));
        sheet.text("tick", (x(tick), bottom + 13.0), Anchor::Middle, &number(tick));
    }
    let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
    sheet.text("axis", (middle, bottom + 29.0), Anchor::Middle, "milliseconds, logarithmic");
    if let Some((name, ms)) = limit {
        sheet.line("limit", (x(ms), top - 2.0), (x(ms), bottom));
        let anchor = if x(ms) < WIDTH / 2.0 { Anchor::Start } else { Anchor::End };
        sheet.text("limit-name", (x(ms), top - 6.0), anchor, name);
    }
    let mut y = top;
    for group in groups {
        let title = cut(&group.title, WIDTH - 4.0);
        sheet.text("group", (2.0, y + 16.0), Anchor::Start, &title);
        y += GROUP;
        for range in &group.ranges {
            draw(&mut sheet, range, y + ROW / 2.0, &x);
            y += ROW;
        }
    }
    sheet.finish(label)
}

fn draw(sheet: &mut Sheet, range: &Range, y: f64, x: &dyn Fn(f64) -> f64) {
    let strong = if range.class == "cairn" { " strong" } else { "" };
    let name = cut(&range.name, LEFT - 6.0);
    sheet.text(&format!("name{strong}"), (LEFT - 5.0, y + 4.0), Anchor::End, &name);
    let class = format!("spread {}", range.class);
    sheet.line(&class, (x(range.p50), y), (x(range.max), y));
    for (value, half) in [(range.p95, 3.0), (range.p99, 5.0), (range.max, 2.0)] {
        sheet.line(&class, (x(value), y - half), (x(value), y + half));
    }
    let [p50, p95, p99, max] = [range.p50, range.p95, range.p99, range.max].map(number);
    let about = format!("{}: median {p50} ms, p95 {p95}, p99 {p99}, slowest {max}", range.name);
    sheet.dot(range.class, (x(range.p50), y), 4.5, &about);
}
