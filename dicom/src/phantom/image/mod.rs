//! Pixels of the phantoms, as plain numbers: no DICOM in here.
//!
//! A picture is painted from soft-edged ellipses in units of half its smaller side, (0, 0) in the
//! middle, y downwards; then noise of the modality's kind is laid over it.

pub(super) mod ct;
pub(super) mod mg;
pub(super) mod mr;
pub(super) mod noise;
pub(super) mod us;

/// Width of a soft edge in pixels: a scanner's point spread.
const EDGE_PIXELS: f32 = 1.6;

/// A grid of values to paint on.
pub(super) struct Canvas {
    /// Pixels in a row.
    pub(super) width: usize,
    /// Rows.
    pub(super) height: usize,
    /// Row after row.
    pub(super) values: Vec<f32>,
}

/// An ellipse: its middle, its half axes and its turn in radians.
#[derive(Clone, Copy)]
pub(super) struct Ellipse {
    /// Middle, from left to right.
    pub(super) x: f32,
    /// Middle, from top to bottom.
    pub(super) y: f32,
    /// Half axis along x before turning.
    pub(super) a: f32,
    /// Half axis along y before turning.
    pub(super) b: f32,
    /// Turn in radians.
    pub(super) turn: f32,
}

/// An ellipse that is not turned.
pub(super) fn ellipse(x: f32, y: f32, a: f32, b: f32) -> Ellipse {
    Ellipse { x, y, a, b, turn: 0.0 }
}

/// 0 up to `low`, 1 from `high` on, smooth between.
pub(super) fn smoothstep(low: f32, high: f32, value: f32) -> f32 {
    let t = ((value - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

impl Canvas {
    /// A canvas filled with one value.
    pub(super) fn new(width: usize, height: usize, value: f32) -> Self {
        Self { width, height, values: vec![value; width * height] }
    }

    /// Pixels to one unit of length.
    pub(super) fn unit_pixels(&self) -> f32 {
        self.width.min(self.height) as f32 / 2.0
    }

    /// The place of a column or row of `count` in units.
    pub(super) fn place(&self, pixel: usize, count: usize) -> f32 {
        (pixel as f32 + 0.5 - count as f32 / 2.0) / self.unit_pixels()
    }

    /// The pixels of `count` that lie within `reach` of `middle`.
    fn span(&self, middle: f32, reach: f32, count: usize) -> std::ops::Range<usize> {
        let pixel = |place: f32| place * self.unit_pixels() + count as f32 / 2.0;
        let low = pixel(middle - reach).floor().max(0.0) as usize;
        let high = pixel(middle + reach).ceil().max(0.0) as usize;
        low.min(count)..high.min(count)
    }

    /// Paints an ellipse; `value` gives its inside at a place.
    pub(super) fn paint(&mut self, shape: Ellipse, value: impl Fn(f32, f32) -> f32) {
        if shape.a <= 0.0 || shape.b <= 0.0 {
            return;
        }
        let reach = shape.a.max(shape.b) + EDGE_PIXELS / self.unit_pixels();
        let steep = shape.a.min(shape.b) * self.unit_pixels() / EDGE_PIXELS;
        let (sin, cos) = shape.turn.sin_cos();
        let columns = self.span(shape.x, reach, self.width);
        for row in self.span(shape.y, reach, self.height) {
            let y = self.place(row, self.height);
            for column in columns.clone() {
                let x = self.place(column, self.width);
                let (dx, dy) = (x - shape.x, y - shape.y);
                let u = (dx * cos + dy * sin) / shape.a;
                let v = (dy * cos - dx * sin) / shape.b;
                let cover = ((1.0 - (u * u + v * v).sqrt()) * steep + 0.5).clamp(0.0, 1.0);
                if cover > 0.0 {
                    let pixel = &mut self.values[row * self.width + column];
                    *pixel += (value(x, y) - *pixel) * cover;
                }
            }
        }
    }
}
