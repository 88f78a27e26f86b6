//! A region of a raster, scaled: each pixel of a smaller picture is the mean of the area that it covers,
//! each of a larger one lies between its neighbours.

use super::Raster;

/// What is taken from where, and how large it becomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) columns: usize,
    pub(super) rows: usize,
    x: Stretch,
    y: Stretch,
}

/// A stretch of one axis, in pixels and parts of them; it lies within the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stretch {
    pub(super) start: f64,
    pub(super) length: f64,
    pub(super) flipped: bool,
}

impl Plan {
    /// Everything, as it is.
    pub(super) fn whole((columns, rows): (f64, f64)) -> Self {
        let all = |length| Stretch { start: 0.0, length, flipped: false };
        Self { columns: columns as usize, rows: rows as usize, x: all(columns), y: all(rows) }
    }

    /// The region `x`, `y`, as large as fits into `columns` and `rows` with its proportions kept.
    pub(super) fn fitted(
        x: Stretch,
        y: Stretch,
        (columns, rows): (u32, u32),
        enlarge: bool,
    ) -> Self {
        let mut factor = (f64::from(columns) / x.length).min(f64::from(rows) / y.length);
        if !enlarge {
            factor = factor.min(1.0);
        }
        let size =
            |length: f64, most: u32| ((length * factor).round() as u32).clamp(1, most) as usize;
        Self { columns: size(x.length, columns), rows: size(y.length, rows), x, y }
    }
}

/// The picture that `plan` asks for.
pub(super) fn scaled(raster: Raster, plan: &Plan) -> Raster {
    if *plan == Plan::whole((raster.columns as f64, raster.rows as f64)) {
        return raster;
    }
    let across = shares(plan.x, plan.columns, raster.columns);
    let down = shares(plan.y, plan.rows, raster.rows);
    let row_bytes = raster.columns * raster.samples;
    let mut data = Vec::with_capacity(plan.columns * plan.rows * raster.samples);
    // Source rows that were scaled across already: neighbours in the picture share at most two.
    let mut held: [(usize, Vec<f32>); 2] = [(usize::MAX, Vec::new()), (usize::MAX, Vec::new())];
    let mut sum = vec![0f32; plan.columns * raster.samples];
    for share in &down {
        sum.fill(0.0);
        for (i, weight) in share.weights.iter().enumerate() {
            let row = share.first + i;
            let slot = row % 2;
            if let Some((number, values)) = held.get_mut(slot) {
                if *number != row {
                    let source = raster.data.get(row * row_bytes..).unwrap_or_default();
                    across_row(source, raster.samples, &across, values);
                    *number = row;
                }
                for (sum, value) in sum.iter_mut().zip(values.iter()) {
                    *sum += value * weight;
                }
            }
        }
        data.extend(sum.iter().map(|sum| sum.round().clamp(0.0, 255.0) as u8));
    }
    Raster { columns: plan.columns, rows: plan.rows, samples: raster.samples, data }
}

fn across_row(source: &[u8], samples: usize, shares: &[Share], out: &mut Vec<f32>) {
    out.clear();
    for share in shares {
        let from = source.get(share.first * samples..).unwrap_or_default();
        for sample in 0..samples {
            let values = from.iter().skip(sample).step_by(samples);
            out.push(values.zip(&share.weights).map(|(v, weight)| f32::from(*v) * weight).sum());
        }
    }
}

/// The source pixels that a pixel of the picture is made of, along one axis. The weights add up to 1.
struct Share {
    first: usize,
    weights: Vec<f32>,
}

/// One for each of `count` pixels of the picture, in its order; the axis of the image has `pixels`.
fn shares(stretch: Stretch, count: usize, pixels: usize) -> Vec<Share> {
    let step = stretch.length / count as f64;
    let one = |i: usize| {
        let i = if stretch.flipped { count - 1 - i } else { i };
        let start = stretch.start + i as f64 * step;
        if step > 1.0 {
            covered(start, start + step, pixels)
        } else {
            between(start + step / 2.0, stretch, pixels)
        }
    };
    (0..count).map(one).collect()
}

/// Pixels by how much of them lies in `start..end`.
fn covered(start: f64, end: f64, pixels: usize) -> Share {
    let last = pixels.saturating_sub(1);
    let first = (start.floor() as usize).min(last);
    let end_pixel = (end.ceil() as usize).clamp(first + 1, pixels.max(1));
    let part = |i: usize| (end.min(i as f64 + 1.0) - start.max(i as f64)).max(0.0);
    let parts: Vec<f64> = (first..end_pixel).map(part).collect();
    let all: f64 = parts.iter().sum();
    Share { first, weights: parts.iter().map(|part| (part / all) as f32).collect() }
}

/// The two pixels whose middles `at` lies between, or the outermost of the stretch.
fn between(at: f64, stretch: Stretch, pixels: usize) -> Share {
    let low = stretch.start.floor();
    let high = (stretch.start + stretch.length).ceil().min(pixels as f64) - 1.0;
    let middle = (at - 0.5).clamp(low, high.max(low));
    let first = middle.floor();
    let part = (middle - first) as f32;
    let weights = if part == 0.0 { vec![1.0] } else { vec![1.0 - part, part] };
    Share { first: first as usize, weights }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a picture is by definition, pixel by pixel.
    fn naive(raster: &Raster, plan: &Plan) -> Vec<f64> {
        let pixel = |x: usize, y: usize, s: usize| {
            f64::from(raster.data[(y * raster.columns + x) * raster.samples + s])
        };
        let weight = |stretch: Stretch, count: usize, i: usize, p: usize, pixels: usize| {
            let step = stretch.length / count as f64;
            let i = if stretch.flipped { count - 1 - i } else { i };
            let start = stretch.start + i as f64 * step;
            if step > 1.0 {
                return ((start + step).min(p as f64 + 1.0) - start.max(p as f64)).max(0.0) / step;
            }
            let low = stretch.start.floor();
            let high = (stretch.start + stretch.length).ceil().min(pixels as f64) - 1.0;
            let at = (start + step / 2.0 - 0.5).clamp(low, high.max(low));
            (1.0 - (at - p as f64).abs()).max(0.0)
        };
        let mut out = Vec::new();
        for y in 0..plan.rows {
            for x in 0..plan.columns {
                for s in 0..raster.samples {
                    let mut sum = 0.0;
                    for py in 0..raster.rows {
                        let down = weight(plan.y, plan.rows, y, py, raster.rows);
                        for px in 0..raster.columns {
                            let across = weight(plan.x, plan.columns, x, px, raster.columns);
                            sum += pixel(px, py, s) * down * across;
                        }
                    }
                    out.push(sum);
                }
            }
        }
        out
    }

    fn stretch(pixels: usize, from: f64, part: f64, flipped: bool) -> Stretch {
        let start = from * (pixels as f64 - 0.5);
        Stretch { start, length: (pixels as f64 - start) * part.max(0.05), flipped }
    }

    proptest! {
        #[test]
        fn as_the_naive_one(
            (columns, rows, colour) in (1usize..24, 1usize..24, any::<bool>()),
            seed in any::<u64>(),
            (x, w, y, h) in (0.0..1.0f64, 0.0..=1.0f64, 0.0..1.0f64, 0.0..=1.0f64),
            flips in any::<(bool, bool)>(),
            viewport in (1u32..40, 1u32..40),
            enlarge in any::<bool>(),
        ) {
            let samples = if colour { 3 } else { 1 };
            let noise = |i: usize| (seed.wrapping_mul(i as u64 * 2 + 1) >> 29) as u8;
            let data = (0..columns * rows * samples).map(noise).collect();
            let raster = Raster { columns, rows, samples, data };
            let plan = Plan::fitted(stretch(columns, x, w, flips.0), stretch(rows, y, h, flips.1), viewport, enlarge);
            prop_assert!(plan.columns <= viewport.0 as usize && plan.rows <= viewport.1 as usize);
            let picture = scaled(raster.clone(), &plan);
            let wanted = naive(&raster, &plan);
            prop_assert_eq!(picture.data.len(), wanted.len());
            for (found, wanted) in picture.data.iter().zip(wanted) {
                prop_assert!((f64::from(*found) - wanted).abs() < 0.51, "{} {}", found, wanted);
            }
        }
    }
}
