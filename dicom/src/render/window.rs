//! Windows: which values become black, white and grey between (PS3.3 C.11.2.1.2).

/// How greys run between the borders (VOI LUT Function).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// `LINEAR`: borders half a unit inside, as if values were whole numbers.
    #[default]
    Linear,
    /// `LINEAR_EXACT`.
    LinearExact,
    /// `SIGMOID`.
    Sigmoid,
}

impl Shape {
    /// From (0028,1056) or the third part of the query parameter `window` (PS3.18 §8.3.5.1.4).
    #[must_use]
    pub fn of(value: &str) -> Option<Self> {
        match value.trim().to_ascii_lowercase().replace('-', "_").as_str() {
            "" | "linear" => Some(Self::Linear),
            "linear_exact" => Some(Self::LinearExact),
            "sigmoid" => Some(Self::Sigmoid),
            _ => None,
        }
    }
}

/// A window in the units that come out of the modality transformation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// The value in the middle.
    pub center: f64,
    /// How many values it is wide.
    pub width: f64,
    /// How greys run.
    pub shape: Shape,
}

impl Window {
    /// A window, if it is one: finite, and as wide as its shape needs (at least 1 if linear, over 0
    /// otherwise).
    #[must_use]
    pub fn new(center: f64, width: f64, shape: Shape) -> Option<Self> {
        let wide = if shape == Shape::Linear { width >= 1.0 } else { width > 0.0 };
        (center.is_finite() && width.is_finite() && wide).then_some(Self { center, width, shape })
    }

    /// From the darkest to the brightest value.
    pub(super) fn between(low: f64, high: f64) -> Self {
        let (center, width) = (f64::midpoint(low, high), high - low);
        Self { center, width, shape: Shape::LinearExact }
    }

    /// The grey of `x`: 0.0 is black, 1.0 is white.
    #[must_use]
    pub fn grey(&self, x: f64) -> f64 {
        let Self { center, width, .. } = *self;
        let grey = match self.shape {
            Shape::Linear if width <= 1.0 => step(x, center - 0.5),
            Shape::Linear => (x - (center - 0.5)) / (width - 1.0) + 0.5,
            Shape::LinearExact if width <= 0.0 => step(x, center),
            Shape::LinearExact => (x - center) / width + 0.5,
            Shape::Sigmoid => 1.0 / (1.0 + (-4.0 * (x - center) / width).exp()),
        };
        if grey.is_nan() { 0.0 } else { grey.clamp(0.0, 1.0) }
    }
}

fn step(x: f64, at: f64) -> f64 {
    if x <= at { 0.0 } else { 1.0 }
}

/// As 8 bits, rounded.
pub(super) fn byte(grey: f64) -> u8 {
    (grey * 255.0).round() as u8
}
