//! A torso from the top of the lungs to the kidneys, in Hounsfield units.

use super::noise::{Lattice, grain};
use super::{Canvas, Ellipse, ellipse, smoothstep};
use crate::phantom::rng::Rng;

/// Outside the scan circle, as scanners write it.
pub(in crate::phantom) const PADDING_HU: i16 = -2000;
/// The lowest value a scanner stores.
const FLOOR_HU: f32 = -1024.0;
/// Deviation of the noise in the middle of the body.
const NOISE_HU: f32 = 11.0;
/// How far reconstruction ties neighbouring pixels together.
const NOISE_BLUR: f32 = 0.9;

/// One synthetic person.
pub(in crate::phantom) struct Torso {
    lattice: Lattice,
    seed: u64,
    girth: f32,
    contrast: f32,
}

impl Torso {
    /// The person of a seed.
    pub(in crate::phantom) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, "ct person", 0);
        let (girth, contrast) = (rng.between(0.94, 1.04), rng.between(60.0, 140.0));
        Self { lattice: Lattice::new(&mut rng), seed, girth, contrast }
    }

    /// The slice at height `t` (0 apex of the lungs, 1 kidneys); `index` seeds its noise only.
    pub(in crate::phantom) fn slice(&self, index: u64, t: f32, size: usize) -> Vec<i16> {
        let mut canvas = Canvas::new(size, size, -1000.0);
        table(&mut canvas);
        self.wall(&mut canvas, t);
        self.organs(&mut canvas, t);
        self.spine(&mut canvas, t);
        self.finish(&canvas, index)
    }

    /// Tissue texture of a given strength in Hounsfield units.
    fn texture(&self, t: f32, fineness: f32, strength: f32) -> impl Fn(f32, f32) -> f32 {
        move |x, y| strength * self.lattice.fractal(x * fineness, y * fineness, t * 30.0, 2)
    }

    /// Skin, fat, muscle and ribs.
    fn wall(&self, canvas: &mut Canvas, t: f32) {
        let g = self.girth * (1.0 + 0.04 * (t * 5.0).sin());
        let (fat, muscle) = (self.texture(t, 9.0, 14.0), self.texture(t, 14.0, 16.0));
        canvas.paint(ellipse(0.0, 0.03, 0.80 * g, 0.57 * g), |_, _| 10.0);
        canvas.paint(ellipse(0.0, 0.03, 0.79 * g, 0.56 * g), |x, y| -105.0 + fat(x, y));
        canvas.paint(ellipse(0.0, 0.04, 0.73 * g, 0.50 * g), |x, y| 52.0 + muscle(x, y));
        canvas.paint(ellipse(0.0, 0.02, 0.64 * g, 0.42 * g), |x, y| -90.0 + fat(x, y));
        let bone = self.texture(t, 25.0, 90.0);
        for rib in 0u8..14 {
            let angle = f32::from(rib) * std::f32::consts::TAU / 14.0 + t * 6.0;
            let (sin, cos) = angle.sin_cos();
            let shape = Ellipse {
                x: cos * 0.685 * g,
                y: 0.03 + sin * 0.46 * g,
                a: 0.05,
                b: 0.018,
                turn: (0.46 * cos).atan2(-0.685 * sin),
            };
            canvas.paint(shape, |x, y| 420.0 + bone(x, y));
        }
    }

    /// Lungs, heart, great vessels; below them liver, spleen, kidneys and bowel.
    fn organs(&self, canvas: &mut Canvas, t: f32) {
        let lung = smoothstep(-0.25, 0.2, t) * (1.0 - smoothstep(0.55, 0.8, t));
        let lower = smoothstep(0.45, 0.65, t);
        let soft = self.texture(t, 11.0, 14.0);
        let tree = |x: f32, y: f32| {
            let strand = 1.0 - self.lattice.fractal(x * 7.0, y * 7.0, t * 20.0, 3).abs() * 7.0;
            let haze = self.lattice.at(x * 4.0, y * 4.0 + 7.0, t * 10.0);
            let branch = self.lattice.at(x * 5.0 + 9.0, y * 5.0, t * 14.0).max(0.0);
            -865.0 + 45.0 * haze + 1300.0 * strand.max(0.0) * branch
        };
        canvas.paint(ellipse(-0.35, 0.02, 0.27 * lung, 0.37 * lung), tree);
        canvas.paint(ellipse(0.36, 0.02, 0.26 * lung, 0.36 * lung), tree);
        let beat = smoothstep(0.1, 0.35, t) * (1.0 - smoothstep(0.5, 0.65, t));
        let blood = 40.0 + self.contrast;
        canvas.paint(ellipse(0.1, -0.08, 0.24 * beat, 0.21 * beat), |x, y| 48.0 + soft(x, y));
        canvas.paint(ellipse(0.13, -0.07, 0.10 * beat, 0.12 * beat), |x, y| blood + soft(x, y));
        let liver = |x: f32, y: f32| 55.0 + self.contrast * 0.5 + soft(x, y);
        canvas.paint(ellipse(-0.25, -0.03, 0.36 * lower, 0.34 * lower), liver);
        canvas.paint(ellipse(0.46, 0.1, 0.13 * lower, 0.2 * lower), |x, y| 60.0 + soft(x, y));
        let kidney = smoothstep(0.65, 0.85, t);
        for x in [-0.3, 0.3] {
            canvas.paint(ellipse(x, 0.25, 0.1 * kidney, 0.13 * kidney), |_, _| blood + 30.0);
            canvas.paint(ellipse(x, 0.25, 0.04 * kidney, 0.06 * kidney), |x, y| 5.0 + soft(x, y));
        }
        canvas.paint(ellipse(0.22, -0.22, 0.13 * kidney, 0.09 * kidney), |_, _| -780.0);
        canvas.paint(ellipse(0.07, 0.22, 0.055, 0.055), |_, _| blood + 20.0);
        let trachea = 0.045 * (1.0 - smoothstep(0.2, 0.3, t));
        canvas.paint(ellipse(0.0, 0.02, trachea, trachea), |_, _| -980.0);
    }

    /// Vertebra or disc, canal and spinous process.
    fn spine(&self, canvas: &mut Canvas, t: f32) {
        let disc = smoothstep(0.55, 0.85, (t * 45.0).sin());
        let bone = self.texture(t, 28.0, 90.0);
        let shell = 640.0 - 520.0 * disc;
        let core = 210.0 - 120.0 * disc;
        canvas.paint(ellipse(0.0, 0.36, 0.115, 0.09), |_, _| shell);
        canvas.paint(ellipse(0.0, 0.36, 0.1, 0.075), |x, y| core + (1.0 - disc) * bone(x, y));
        for x in [-0.11, 0.11] {
            let turn = x * 6.0;
            canvas.paint(Ellipse { x, y: 0.48, a: 0.09, b: 0.022, turn }, |_, _| 380.0);
        }
        canvas.paint(ellipse(0.0, 0.545, 0.018, 0.055), |_, _| 450.0);
        canvas.paint(ellipse(0.0, 0.455, 0.04, 0.035), |_, _| 25.0);
    }

    /// Lays noise over the picture, stronger behind more body, and cuts the scan circle.
    fn finish(&self, canvas: &Canvas, index: u64) -> Vec<i16> {
        let size = canvas.width;
        let mut rng = Rng::new(self.seed, "ct noise", index);
        let noise = grain(&mut rng, size, size, NOISE_BLUR);
        let mut out = Vec::with_capacity(size * size);
        for row in 0..size {
            let y = canvas.place(row, size);
            for column in 0..size {
                let x = canvas.place(column, size);
                let far = x * x + y * y;
                let at = row * size + column;
                let sigma = NOISE_HU * (1.15 - 0.75 * smoothstep(0.0, 0.9, far));
                let value = (canvas.values[at] + sigma * noise[at]).round().max(FLOOR_HU);
                out.push(if far > 1.0 { PADDING_HU } else { value as i16 });
            }
        }
        out
    }
}

/// The couch under the patient: a thin shell filled with foam.
fn table(canvas: &mut Canvas) {
    let (width, height) = (canvas.width, canvas.height);
    for row in 0..height {
        let y = canvas.place(row, height);
        for column in 0..width {
            let x = canvas.place(column, width);
            let depth = y - (0.70 - 0.14 * x * x);
            if x.abs() < 0.75 && (0.0..0.11).contains(&depth) {
                let shell = !(0.014..0.096).contains(&depth);
                canvas.values[row * width + column] = if shell { -480.0 } else { -930.0 };
            }
        }
    }
}
