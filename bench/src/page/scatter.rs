//! Named points, and lines that nothing can pass.

use super::axis::Axis;
use super::frame::{Format, Frame, Named};
use super::svg::{Anchor, cut, number, text_width};

/// Units that a name has across at most.
const NAME_MAX: f64 = 150.0;

/// One point; the spread in x is drawn as a line through it.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) name: String,
    pub(super) class: &'static str,
    pub(super) x: f64,
    pub(super) x_ends: (f64, f64),
    pub(super) y: f64,
}

/// A value of x that nothing can pass.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    pub(super) name: String,
    pub(super) x: f64,
}

/// What is drawn; x is logarithmic, y begins at `y_low`.
#[derive(Debug)]
pub(super) struct Scatter<'a> {
    pub(super) points: &'a [Point],
    pub(super) limits: &'a [Limit],
    pub(super) x_name: &'a str,
    pub(super) y_name: &'a str,
    pub(super) y_low: f64,
    pub(super) x_format: Format,
}

/// Left, top, right, bottom.
type Box = (f64, f64, f64, f64);

impl Scatter<'_> {
    pub(super) fn svg(&self, label: &str) -> String {
        let xs = self.points.iter().flat_map(|point| [point.x_ends.0, point.x_ends.1]);
        let x = Axis::log(xs.chain(self.limits.iter().map(|limit| limit.x * 1.15)));
        let y = Axis::linear(self.y_low, self.points.iter().map(|point| point.y * 1.05));
        let mut frame = Frame::new(
            Named { axis: x, name: self.x_name.to_owned(), format: self.x_format },
            Named { axis: y, name: self.y_name.to_owned(), format: number },
        );
        let mut taken = self.draw_limits(&mut frame);
        for point in self.points {
            let (x, y) = frame.at(point.x, point.y);
            let (low, high) =
                (frame.at(point.x_ends.0, point.y), frame.at(point.x_ends.1, point.y));
            frame.sheet.line(&format!("spread {}", point.class), low, high);
            let about = format!("{}: {} at {}", point.name, number(point.y), number(point.x));
            frame.sheet.dot(point.class, (x, y), 5.0, &about);
            taken.push((x - 6.0, y - 6.0, x + 6.0, y + 6.0));
        }
        // What stands out is named first, and gets the best place.
        let mut order: Vec<&Point> = self.points.iter().collect();
        order.sort_by_key(|point| point.class != "cairn");
        for point in order {
            let at = frame.at(point.x, point.y);
            let name = cut(&point.name, NAME_MAX);
            let strong = if point.class == "cairn" { " strong" } else { "" };
            let class = format!("name {}{strong}", point.class);
            let place = place(at, text_width(&name), &taken);
            let near = (at.0.clamp(place.0, place.2), at.1.clamp(place.1 + 3.0, place.3 - 3.0));
            if (near.0 - at.0).hypot(near.1 - at.1) > 14.0 {
                frame.sheet.line(&format!("leader {}", point.class), at, near);
            }
            frame.sheet.text(&class, (place.0, place.3 - 3.0), Anchor::Start, &name);
            taken.push(place);
        }
        frame.sheet.finish(label)
    }

    /// Gives what their names take.
    fn draw_limits(&self, frame: &mut Frame) -> Vec<Box> {
        let (left, top, _, bottom) = Frame::bounds();
        let mut taken = Vec::new();
        for (row, limit) in self.limits.iter().enumerate() {
            let (x, _) = frame.at(limit.x, 0.0);
            frame.sheet.line("limit", (x, top), (x, bottom));
            let y = bottom - 6.0 - 13.0 * row as f64;
            let width = text_width(&limit.name);
            frame.sheet.text("limit-name", (x - 4.0, y), Anchor::End, &limit.name);
            taken.push(((x - 4.0 - width).max(left), y - 11.0, x, y + 3.0));
        }
        taken
    }
}

/// A place for a name beside a point: the first of several that is free, or the least crowded one.
fn place((x, y): (f64, f64), width: f64, taken: &[Box]) -> Box {
    let (left, top, right, bottom) = Frame::bounds();
    let mut best = (f64::INFINITY, (x, y, x, y));
    for distance in [0.0, 10.0, 20.0, 32.0, 46.0, 60.0] {
        let corners = [
            (x + 8.0, y - 7.0 - distance),
            (x - 8.0 - width, y - 7.0 - distance),
            (x + 8.0, y - 7.0 + distance),
            (x - 8.0 - width, y - 7.0 + distance),
            (x - width / 2.0, y - 22.0 - distance),
            (x - width / 2.0, y + 8.0 + distance),
        ];
        for (x, y) in corners {
            let place = (x, y, x + width, y + 14.0);
            let outside = (left - x).max(0.0) + (x + width - right - 8.0).max(0.0);
            let outside = outside + (top - y).max(0.0) + (y + 14.0 - bottom).max(0.0);
            let crowd: f64 = taken.iter().map(|other| overlap(place, *other)).sum();
            let cost = outside * 50.0 + crowd + distance / 100.0;
            if cost < best.0 {
                best = (cost, place);
            }
        }
        if best.0 < 1.0 {
            break;
        }
    }
    best.1
}

/// The area that two have in common.
fn overlap(a: Box, b: Box) -> f64 {
    let width = a.2.min(b.2) - a.0.max(b.0);
    let height = a.3.min(b.3) - a.1.max(b.1);
    width.max(0.0) * height.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_lie_on_each_other() {
        let mut taken = Vec::new();
        for n in 0..4 {
            let at = (200.0 + f64::from(n) * 5.0, 120.0);
            taken.push((at.0 - 6.0, 114.0, at.0 + 6.0, 126.0));
        }
        for n in 0..4 {
            let found = place((200.0 + f64::from(n) * 5.0, 120.0), 60.0, &taken);
            let crowd: f64 = taken.iter().map(|other| overlap(found, *other)).sum();
            assert!(crowd < 1.0, "{n}: {found:?}");
            taken.push(found);
        }
    }
}
