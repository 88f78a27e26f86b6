//! A cardiac ultrasound loop: a fan of speckle with the scanner's writing around it.

use super::noise::grain;
use super::smoothstep;
use crate::phantom::rng::Rng;

/// Samples along a scan line.
const DEPTHS: usize = 384;
/// Scan lines in the fan.
const LINES: usize = 192;
/// Half the opening angle of the fan in radians.
const OPENING: f32 = 0.68;
/// How fast speckle changes from frame to frame, in radians of phase.
const DRIFT: f32 = 0.12;
/// Frames of one heart beat.
const BEAT_FRAMES: f32 = 24.0;

/// One loop.
pub(in crate::phantom) struct Loop {
    size: usize,
    /// For each pixel of the fan: its offset in the picture, depth and line in the polar grid.
    fan: Vec<(u32, f32, f32)>,
    /// Two complex speckle fields; a frame shows them mixed by its phase.
    speckle: [Vec<f32>; 4],
    /// Writing and scales, the same in each frame, RGB.
    overlay: Vec<u8>,
}

impl Loop {
    /// The loop of a seed in square frames of `size` pixels a side.
    pub(in crate::phantom) fn new(seed: u64, size: usize) -> Self {
        let mut rng = Rng::new(seed, "us speckle", 0);
        let speckle = std::array::from_fn(|_| grain(&mut rng, LINES, DEPTHS, 1.0));
        Self { size, fan: fan(size), speckle, overlay: overlay(&mut rng, size) }
    }

    /// Appends frame `index` as interleaved RGB.
    pub(in crate::phantom) fn frame(&self, index: u32, out: &mut Vec<u8>) {
        let polar = self.polar(index);
        let start = out.len();
        out.extend_from_slice(&self.overlay);
        let frame = &mut out[start..];
        for &(pixel, depth, line) in &self.fan {
            let (d, l) = (depth as usize, line as usize);
            let (td, tl) = (depth.fract(), line.fract());
            let at = d * LINES + l;
            let near = polar[at] + (polar[at + 1] - polar[at]) * tl;
            let far = polar[at + LINES] + (polar[at + LINES + 1] - polar[at + LINES]) * tl;
            let grey = (near + (far - near) * td) as u8;
            frame[pixel as usize * 3..][..3].fill(grey);
        }
        debug_assert_eq!(frame.len(), self.size * self.size * 3);
    }

    /// One frame along the scan lines: log-compressed speckle under beating anatomy.
    fn polar(&self, index: u32) -> Vec<f32> {
        let (sin, cos) = (index as f32 * DRIFT).sin_cos();
        let beat = 0.5 + 0.5 * (index as f32 * std::f32::consts::TAU / BEAT_FRAMES).sin();
        let [a, b, c, d] = &self.speckle;
        let mut out = Vec::with_capacity(DEPTHS * LINES);
        for depth in 0..DEPTHS {
            let r = depth as f32 / DEPTHS as f32;
            for line in 0..LINES {
                let at = depth * LINES + line;
                let real = a[at] * cos + b[at] * sin;
                let imaginary = c[at] * cos + d[at] * sin;
                let side = line as f32 / LINES as f32 - 0.5;
                let echo = echo(r, side, beat) * real.hypot(imaginary);
                out.push((62.0 + 24.0 * echo.max(1e-3).log2()).clamp(0.0, 255.0));
            }
        }
        out
    }
}

/// How strongly a place reflects: bright walls round two dark chambers, less with depth.
fn echo(r: f32, side: f32, beat: f32) -> f32 {
    let chamber = |middle: f32, at: f32, size: f32| {
        let away = (((r - middle) / 1.5).powi(2) + (side - at).powi(2)).sqrt() / size;
        let wall = 5.0 * (1.0 - ((away - 1.15) / 0.18).abs()).max(0.0);
        (smoothstep(0.92, 1.08, away), wall)
    };
    let (left, wall_left) = chamber(0.45, -0.12, 0.13 + 0.04 * beat);
    let (right, wall_right) = chamber(0.62, 0.2, 0.14 - 0.03 * beat);
    let tissue = 3.2 * (1.0 - 0.75 * r);
    (tissue * left * right + wall_left.max(wall_right)).max(0.04)
}

/// The pixels of the fan with their places in the polar grid.
fn fan(size: usize) -> Vec<(u32, f32, f32)> {
    let mut out = Vec::new();
    let half = size as f32 / 2.0;
    for row in 0..size {
        let y = (row as f32 - size as f32 * 0.06) / (size as f32 * 0.9);
        for column in 0..size {
            let x = (column as f32 - half) / (size as f32 * 0.9);
            let (depth, angle) = ((x.hypot(y) - 0.04) / 0.96, x.atan2(y));
            if (0.0..1.0).contains(&depth) && angle.abs() < OPENING {
                let line = (angle / OPENING * 0.5 + 0.5) * (LINES - 2) as f32;
                out.push(((row * size + column) as u32, depth * (DEPTHS - 2) as f32, line));
            }
        }
    }
    out
}

/// Letters, a grey scale, depth marks and a trace, in a picture that is black elsewhere.
fn overlay(rng: &mut Rng, size: usize) -> Vec<u8> {
    let mut out = vec![0u8; size * size * 3];
    let mut dot = |x: usize, y: usize, colour: [u8; 3]| {
        if x < size && y < size {
            out[(y * size + x) * 3..][..3].copy_from_slice(&colour);
        }
    };
    for letter in 0..60 {
        let (left, top) = (6 + letter % 12 * 8, 6 + letter / 12 * 12);
        let shape = rng.next_u64() & rng.next_u64();
        for bit in (0..35).filter(|bit| shape >> bit & 1 == 1) {
            dot(left + bit % 5, top + bit / 5, [220, 220, 200]);
        }
    }
    for y in 0..size / 2 {
        let grey = 255 - (y * 510 / size).min(255) as u8;
        (0..10).for_each(|x| dot(size - 16 + x, size / 5 + y, [grey; 3]));
    }
    for mark in 0..10 {
        (0..4 + mark % 2 * 4).for_each(|x| dot(size - 30 + x, (mark + 1) * size / 11, [255; 3]));
    }
    for x in 0..size {
        let phase = (x * 4 % size) as f32 / size as f32;
        let spike = (1.0 - ((phase - 0.3) / 0.02).abs()).max(0.0) * 0.06;
        let y = size as f32 * (0.97 - spike - 0.01 * (phase * 9.0).sin().max(0.0));
        dot(x, y as usize, [40, 230, 90]);
    }
    out
}
