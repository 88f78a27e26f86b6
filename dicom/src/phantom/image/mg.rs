//! A breast as a digital mammography system shows it: one side, the rest of the detector empty.

use super::noise::Lattice;
use super::smoothstep;
use crate::phantom::rng::Rng;

/// The highest stored value: 12 bits.
const CEILING: f32 = 4095.0;
/// Deviation of the quantum noise at full exposure.
const NOISE: f32 = 14.0;

/// One breast.
pub(in crate::phantom) struct Breast {
    lattice: Lattice,
    seed: u64,
}

impl Breast {
    /// The breast of a seed.
    pub(in crate::phantom) fn new(seed: u64) -> Self {
        Self { lattice: Lattice::new(&mut Rng::new(seed, "mg tissue", 0)), seed }
    }

    /// View number `view`: even ones from the left side of the picture, odd ones mirrored; of each
    /// four the last two are oblique and show the pectoral muscle.
    pub(in crate::phantom) fn view(&self, view: u32, rows: usize, columns: usize) -> Vec<u16> {
        let mut rng = Rng::new(self.seed, "mg noise", u64::from(view));
        let depth = view as f32 * 5.0 + 0.5;
        let oblique = view % 4 >= 2;
        let mut out = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            let y = (row as f32 + 0.5) / rows as f32 * 2.0 - 1.0;
            let start = out.len();
            for column in 0..columns {
                let x = (column as f32 + 0.5) / columns as f32;
                let inside = 1.0 - ((x / 0.72).powi(2) + (y / 0.82).powi(2)).sqrt();
                if inside <= 0.0 {
                    out.push(0);
                    continue;
                }
                let muscle = oblique && x * 1.6 < -0.35 - y;
                let signal = self.tissue(x, y, depth, inside) + if muscle { 600.0 } else { 0.0 };
                let sigma = NOISE * (signal / CEILING).sqrt() * 1.4;
                out.push((signal + sigma * rng.normal()).round().clamp(1.0, CEILING) as u16);
            }
            if view % 2 == 1 {
                out[start..].reverse();
            }
        }
        out
    }

    /// Skin line, fat, and strands of gland that thin out towards the skin.
    fn tissue(&self, x: f32, y: f32, depth: f32, inside: f32) -> f32 {
        let strand = 1.0 - self.lattice.fractal(x * 9.0, y * 7.0, depth, 3).abs();
        let patch = self.lattice.at(x * 3.0, y * 3.0, depth + 9.0);
        let gland = smoothstep(0.08, 0.45, inside) * (0.6 + 0.4 * patch);
        let thick = smoothstep(0.0, 0.12, inside);
        let skin = 260.0 * (1.0 - smoothstep(0.0, 0.02, inside));
        250.0 + 900.0 * thick + 1300.0 * gland * strand.max(0.0).powi(3) + skin
    }
}
