//! A head in T1 weighting, from the base of the skull to the vertex.

use super::noise::{Lattice, grain};
use super::{Canvas, ellipse, smoothstep};
use crate::phantom::rng::Rng;

/// Deviation of the noise of each of the two receiver channels.
const NOISE: f32 = 9.0;
/// How far interpolation ties neighbouring pixels together.
const NOISE_BLUR: f32 = 0.8;
/// The highest stored value: 12 bits.
const CEILING: f32 = 4095.0;

/// One synthetic head.
pub(in crate::phantom) struct Head {
    lattice: Lattice,
    seed: u64,
}

impl Head {
    /// The head of a seed.
    pub(in crate::phantom) fn new(seed: u64) -> Self {
        Self { lattice: Lattice::new(&mut Rng::new(seed, "mr head", 0)), seed }
    }

    /// The slice at height `t` (0 skull base, 1 vertex); `index` seeds its noise only.
    pub(in crate::phantom) fn slice(&self, index: u64, t: f32, size: usize) -> Vec<u16> {
        let mut canvas = Canvas::new(size, size, 0.0);
        let up = (t - 0.4) / 0.75;
        let p = (1.0 - up * up).max(0.05).sqrt();
        canvas.paint(ellipse(0.0, 0.0, 0.72 * p, 0.88 * p), |x, y| {
            780.0 + 90.0 * self.lattice.at(x * 12.0, y * 12.0, t * 20.0)
        });
        canvas.paint(ellipse(0.0, 0.0, 0.67 * p, 0.83 * p), |_, _| 70.0);
        canvas.paint(ellipse(0.0, 0.0, 0.62 * p, 0.78 * p), |_, _| 190.0);
        canvas.paint(ellipse(0.0, 0.0, 0.60 * p, 0.76 * p), |x, y| self.brain(x, y, t, p));
        let open = smoothstep(0.25, 0.4, t) * (1.0 - smoothstep(0.6, 0.75, t));
        for side in [-1.0, 1.0] {
            let deep = ellipse(side * 0.19, 0.05, 0.1 * open, 0.14 * open);
            canvas.paint(deep, |_, _| 540.0);
            canvas.paint(ellipse(side * 0.07, -0.02, 0.05 * open, 0.24 * open), |_, _| 160.0);
        }
        self.finish(&canvas, index)
    }

    /// Grey matter folded over white matter, with fluid in the folds.
    fn brain(&self, x: f32, y: f32, t: f32, p: f32) -> f32 {
        let depth = 1.0 - ((x / (0.60 * p)).powi(2) + (y / (0.76 * p)).powi(2)).sqrt();
        let fold = self.lattice.fractal(x * 6.5, y * 6.5, t * 9.0, 2).abs();
        let inside = depth + fold;
        let tissue = 430.0 + 230.0 * smoothstep(0.26, 0.36, inside);
        let fluid = 1.0 - smoothstep(0.09, 0.17, inside);
        let gap = 1.0 - smoothstep(0.008, 0.02, x.abs());
        let tissue = tissue + 18.0 * self.lattice.at(x * 20.0, y * 20.0, t * 25.0);
        tissue + (180.0 - tissue) * fluid.max(gap)
    }

    /// Coil shading and the noise of a magnitude image: Rician, never below zero.
    fn finish(&self, canvas: &Canvas, index: u64) -> Vec<u16> {
        let size = canvas.width;
        let mut rng = Rng::new(self.seed, "mr noise", index);
        let real = grain(&mut rng, size, size, NOISE_BLUR);
        let imaginary = grain(&mut rng, size, size, NOISE_BLUR);
        let mut out = Vec::with_capacity(size * size);
        for row in 0..size {
            let y = canvas.place(row, size);
            for column in 0..size {
                let x = canvas.place(column, size);
                let at = row * size + column;
                let shade = 1.05 + 0.2 * self.lattice.at(x * 0.8, y * 0.8, 3.5);
                let signal = canvas.values[at] * shade + NOISE * real[at];
                let value = signal.hypot(NOISE * imaginary[at]).round();
                out.push(value.min(CEILING) as u16);
            }
        }
        out
    }
}
