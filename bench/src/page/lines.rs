//! Values that go with another: by cores, by size, by how full something is.

use super::axis::Axis;
use super::frame::{Format, Frame, Named};
use super::svg::{Anchor, escaped, number};

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) class: &'static str,
    /// In the order of x.
    pub(super) points: Vec<(f64, f64)>,
}

/// A value of y that nothing can pass, or that was promised.
#[derive(Clone, Debug)]
pub(super) struct Level {
    pub(super) name: String,
    pub(super) y: f64,
}

/// What is drawn.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    pub(super) series: &'a [Series],
    pub(super) levels: &'a [Level],
    pub(super) x_name: &'a str,
    pub(super) y_name: &'a str,
    pub(super) x_is_log: bool,
    pub(super) y_is_log: bool,
    pub(super) x_format: Format,
    /// Many points are a curve without dots.
    pub(super) has_dots: bool,
}

impl Lines<'_> {
    pub(super) fn svg(&self, label: &str) -> String {
        let points = || self.series.iter().flat_map(|series| series.points.iter());
        let xs = || points().map(|(x, _)| *x);
        let ys = points().map(|(_, y)| *y).chain(self.levels.iter().map(|level| level.y));
        let x = if self.x_is_log { Axis::log(xs()) } else { Axis::linear(0.0, xs()) };
        let y = if self.y_is_log { Axis::log(ys) } else { Axis::linear(0.0, ys) };
        let mut frame = Frame::new(
            Named { axis: x, name: self.x_name.to_owned(), format: self.x_format },
            Named { axis: y, name: self.y_name.to_owned(), format: number },
        );
        let (left, _, right, _) = Frame::bounds();
        let heights: Vec<f64> = self.levels.iter().map(|level| frame.at(0.0, level.y).1).collect();
        for y in &heights {
            frame.sheet.line("limit", (left, *y), (right, *y));
        }
        for series in self.series {
            let places: Vec<_> = series.points.iter().map(|(x, y)| frame.at(*x, *y)).collect();
            frame.sheet.path(&format!("curve {}", series.class), &places);
            for (place, (x, y)) in places.iter().zip(&series.points).filter(|_| self.has_dots) {
                let about = format!("{}: {} at {}", series.name, number(*y), (self.x_format)(*x));
                frame.sheet.dot(series.class, *place, 3.5, &about);
            }
        }
        // Names last: nothing is drawn over them.
        for (level, y) in self.levels.iter().zip(heights) {
            frame.sheet.text("limit-name", (right - 3.0, y - 4.0), Anchor::End, &level.name);
        }
        let names = self.series.iter().map(|series| (series.class, &*series.name));
        legend(names) + &frame.sheet.finish(label)
    }
}

/// Names beside their colours.
pub(super) fn legend<'a>(names: impl IntoIterator<Item = (&'static str, &'a str)>) -> String {
    let entry = |(class, name)| format!("<li><i class=\"{class}\"></i>{}</li>", escaped(name));
    format!("<ul class=\"legend\">{}</ul>", names.into_iter().map(entry).collect::<String>())
}
