//! Lying bars in groups: who took how long, or kept how much.

use super::axis::Axis;
use super::frame::Format;
use super::svg::{Anchor, Sheet, WIDTH, cut, text_width};

/// Units for names on the left, and for values on the right.
const LEFT: f64 = 96.0;
const RIGHT: f64 = 62.0;
const ROW: f64 = 17.0;
const GROUP: f64 = 22.0;

/// One bar.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) class: &'static str,
    pub(super) value: f64,
    /// Smallest and largest, if it was measured several times.
    pub(super) ends: Option<(f64, f64)>,
    /// What is added to the value, drawn paler.
    pub(super) more: f64,
}

/// Bars under a title.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) title: String,
    pub(super) bars: Vec<Bar>,
}

/// A value that nothing can pass, or that was promised.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) name: String,
    pub(super) value: f64,
}

/// What is drawn.
#[derive(Debug)]
pub(super) struct Bars<'a> {
    pub(super) groups: &'a [Group],
    pub(super) marks: &'a [Mark],
    pub(super) axis_name: &'a str,
    pub(super) format: Format,
    /// Bars begin at the left edge all the same: they are for comparing places then, not lengths.
    pub(super) is_log: bool,
}

impl Bars<'_> {
    pub(super) fn svg(&self, label: &str) -> String {
        let bars = || self.groups.iter().flat_map(|group| &group.bars);
        let most = |bar: &Bar| (bar.value + bar.more).max(bar.ends.map_or(0.0, |(_, high)| high));
        let marks = self.marks.iter().map(|mark| mark.value);
        let axis = if self.is_log {
            Axis::log(bars().map(most).chain(bars().map(|bar| bar.value * 0.7)).chain(marks))
        } else {
            Axis::linear(0.0, bars().map(most).chain(marks))
        };
        let top = 6.0 + 13.0 * self.marks.len() as f64;
        let rows = bars().count() as f64 * ROW;
        let titles = self.groups.iter().filter(|group| !group.title.is_empty()).count() as f64;
        let bottom = top + rows + titles * GROUP + 6.0;
        let mut sheet = Sheet::new(bottom + 34.0);
        let x = |value: f64| LEFT + axis.at(value) * (WIDTH - LEFT - RIGHT);
        for tick in axis.ticks() {
            sheet.line("grid", (x(tick), top), (x(tick), bottom));
            let text = (self.format)(tick);
            sheet.text("tick", (x(tick), bottom + 13.0), Anchor::Middle, &text);
        }
        let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
        sheet.text("axis", (middle, bottom + 29.0), Anchor::Middle, self.axis_name);
        let mut y = top;
        for group in self.groups {
            if !group.title.is_empty() {
                let title = cut(&group.title, WIDTH - 4.0);
                sheet.text("group", (2.0, y + 16.0), Anchor::Start, &title);
                y += GROUP;
            }
            for bar in &group.bars {
                self.draw(&mut sheet, bar, y, &x);
                y += ROW;
            }
        }
        for (row, mark) in self.marks.iter().enumerate() {
            let at = x(mark.value);
            let y = 11.0 + 13.0 * row as f64;
            sheet.line("limit", (at, y + 3.0), (at, bottom));
            let anchor = if at + text_width(&mark.name) / 2.0 > WIDTH {
                Anchor::End
            } else {
                Anchor::Middle
            };
            sheet.text("limit-name", (at, y), anchor, &mark.name);
        }
        sheet.finish(label)
    }

    fn draw(&self, sheet: &mut Sheet, bar: &Bar, y: f64, x: &dyn Fn(f64) -> f64) {
        let strong = if bar.class == "cairn" { " strong" } else { "" };
        let name = cut(&bar.name, LEFT - 6.0);
        sheet.text(&format!("name{strong}"), (LEFT - 5.0, y + 12.5), Anchor::End, &name);
        let whole = bar.value + bar.more;
        let text = (self.format)(whole);
        let about = format!("{}: {text}", bar.name);
        if bar.more > 0.0 {
            let at = (x(bar.value), y + 3.0);
            let class = format!("{} pale", bar.class);
            sheet.rect(&class, at, (x(whole) - x(bar.value), ROW - 5.0), &about);
        }
        sheet.rect(bar.class, (LEFT, y + 3.0), (x(bar.value) - LEFT, ROW - 5.0), &about);
        let mut end = x(whole);
        if let Some((low, high)) = bar.ends.filter(|(low, high)| low < high) {
            let middle = y + 3.0 + (ROW - 5.0) / 2.0;
            sheet.line("whisker", (x(low), middle), (x(high), middle));
            end = end.max(x(high));
        }
        sheet.text(&format!("value{strong}"), (end + 4.0, y + 12.5), Anchor::Start, &text);
    }
}
