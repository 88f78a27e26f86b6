//! Two axes with grid, marks and names: what most plots are drawn into.

use super::axis::Axis;
use super::svg::{Anchor, Sheet, WIDTH, text_width};

/// Units beside the plot.
const LEFT: f64 = 46.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 36.0;
/// Units from top to bottom, with everything.
const HEIGHT: f64 = 276.0;

/// How a value is written beside a mark.
pub(super) type Format = fn(f64) -> String;

/// An axis with its name, and how its marks read.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) axis: Axis,
    pub(super) name: String,
    pub(super) format: Format,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Frame {
    x: Named,
    y: Named,
    pub(super) sheet: Sheet,
}

impl Frame {
    pub(super) fn new(x: Named, y: Named) -> Self {
        let mut frame = Self { x, y, sheet: Sheet::new(HEIGHT) };
        frame.grid();
        frame
    }

    /// Left, top, right and bottom of the plot itself.
    pub(super) fn bounds() -> (f64, f64, f64, f64) {
        (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)
    }

    /// Where a point lies.
    pub(super) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let (left, top, right, bottom) = Self::bounds();
        let x = left + self.x.axis.at(x) * (right - left);
        (x, bottom - self.y.axis.at(y) * (bottom - top))
    }

    fn grid(&mut self) {
        let (left, top, right, bottom) = Self::bounds();
        for tick in self.x.axis.ticks() {
            let x = left + self.x.axis.at(tick) * (right - left);
            self.sheet.line("grid", (x, top), (x, bottom));
            let text = (self.x.format)(tick);
            // The last one must not be cut off.
            let over = (x + text_width(&text) / 2.0 - WIDTH).max(0.0);
            self.sheet.text("tick", (x - over, bottom + 14.0), Anchor::Middle, &text);
        }
        for tick in self.y.axis.ticks() {
            let y = bottom - self.y.axis.at(tick) * (bottom - top);
            self.sheet.line("grid", (left, y), (right, y));
            let text = (self.y.format)(tick);
            self.sheet.text("tick", (left - 5.0, y + 4.0), Anchor::End, &text);
        }
        self.sheet.line("edge", (left, bottom), (right, bottom));
        self.sheet.line("edge", (left, top), (left, bottom));
        let middle = f64::midpoint(left, right);
        self.sheet.text("axis", (middle, HEIGHT - 6.0), Anchor::Middle, &self.x.name);
        self.sheet.text("axis", (2.0, 11.0), Anchor::Start, &self.y.name);
    }
}
