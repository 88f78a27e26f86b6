//! Textures: smooth lattice noise for tissue, correlated grain for detectors.

use crate::phantom::rng::Rng;

/// Points of the lattice along each axis before it repeats; a power of two.
const PERIOD: u16 = 32;

/// Smooth noise in space, the same at the same place: neighbouring slices share it.
pub(in crate::phantom) struct Lattice {
    values: Vec<f32>,
}

/// The lattice cell of a coordinate and the smoothed way through it.
fn cell(place: f32) -> (usize, f32) {
    let floor = place.floor();
    let t = place - floor;
    ((floor as i32).rem_euclid(i32::from(PERIOD)) as usize, t * t * (3.0 - 2.0 * t))
}

impl Lattice {
    /// A lattice of values in [-1, 1).
    pub(in crate::phantom) fn new(rng: &mut Rng) -> Self {
        Self { values: (0..u32::from(PERIOD).pow(3)).map(|_| rng.between(-1.0, 1.0)).collect() }
    }

    /// Noise at a place: one lattice cell to a unit of length.
    pub(in crate::phantom) fn at(&self, x: f32, y: f32, z: f32) -> f32 {
        let ((xi, xt), (yi, yt), (zi, zt)) = (cell(x), cell(y), cell(z));
        let side = usize::from(PERIOD);
        let next = |i: usize| (i + 1) % side;
        let row = |z: usize, y: usize| {
            let row = &self.values[(z * side + y) * side..][..side];
            row[xi] + (row[next(xi)] - row[xi]) * xt
        };
        let plane = |z: usize| {
            let near = row(z, yi);
            near + (row(z, next(yi)) - near) * yt
        };
        let near = plane(zi);
        near + (plane(next(zi)) - near) * zt
    }

    /// Noise with detail: each octave twice as fine and half as strong.
    pub(in crate::phantom) fn fractal(&self, x: f32, y: f32, z: f32, octaves: u32) -> f32 {
        let (mut sum, mut scale) = (0.0, 1.0);
        for _ in 0..octaves {
            sum += self.at(x * scale, y * scale, z * scale) / scale;
            scale *= 2.0;
        }
        sum
    }
}

/// A grid of detector noise of mean 0 and deviation 1. `blur` in 0..=1 ties neighbours together, as
/// reconstruction and interpolation do: 0 is white, 1 a full (1 2 1)/4 filter both ways.
pub(in crate::phantom) fn grain(rng: &mut Rng, width: usize, height: usize, blur: f32) -> Vec<f32> {
    let mut grid: Vec<f32> = (0..width * height).map(|_| rng.normal()).collect();
    if blur <= 0.0 {
        return grid;
    }
    let (side, middle) = (blur / 4.0, 1.0 - blur / 2.0);
    let gain = 1.0 / (middle * middle + 2.0 * side * side);
    for row in grid.chunks_exact_mut(width) {
        let mut before = row[0];
        for x in 0..width {
            let (here, after) = (row[x], row[(x + 1).min(width - 1)]);
            row[x] = side * (before + after) + middle * here;
            before = here;
        }
    }
    let mut above = grid[..width].to_vec();
    for y in 0..height {
        let (head, below) = grid.split_at_mut((y + 1) * width);
        let here = &mut head[y * width..];
        for x in 0..width {
            let value = here[x];
            let under = below.get(x).copied().unwrap_or(value);
            here[x] = (side * (above[x] + under) + middle * value) * gain;
            above[x] = value;
        }
    }
    grid
}
