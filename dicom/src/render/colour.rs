//! Colours to RGB of 8 bits.

use super::grey::{Samples, Stored};
use super::{Look, Raster, RenderError};
use crate::pixels::{Decoded, Photometric};

/// Indices through a palette (PS3.3 C.7.6.3.1.5).
pub(super) fn from_palette(decoded: &Decoded, look: &Look) -> Result<Raster, RenderError> {
    let palette = look.palette.as_ref().ok_or(RenderError::Table("palette"))?;
    let samples = Samples::of(decoded);
    let layout = &decoded.layout;
    let mut data = Vec::with_capacity(layout.pixels() * 3);
    for i in 0..layout.pixels() {
        let Stored::Whole(index) = samples.get(i) else {
            return Err(RenderError::Unsupported("floating indices"));
        };
        data.extend(palette.iter().map(|lut| lut.byte(index)));
    }
    Ok(Raster { columns: layout.columns as usize, rows: layout.rows as usize, samples: 3, data })
}

/// Three samples a pixel, however they lie and whatever they mean.
pub(super) fn raster(decoded: &Decoded) -> Raster {
    let layout = &decoded.layout;
    let samples = Samples::of(decoded);
    let pixels = layout.pixels();
    let at = |i: usize| -> [u8; 3] {
        let places = if layout.photometric.is_halved() {
            // Y1 Y2 Cb Cr, the colour between the two.
            let pair = i / 2 * 4;
            [pair + i % 2, pair + 2, pair + 3]
        } else if layout.planar {
            [i, pixels + i, 2 * pixels + i]
        } else {
            [3 * i, 3 * i + 1, 3 * i + 2]
        };
        places.map(|place| samples.colour(place))
    };
    let convert: fn([u8; 3]) -> [u8; 3] = match layout.photometric {
        Photometric::YbrPartial422 | Photometric::YbrPartial420 => from_ybr_partial,
        photometric if photometric.is_ybr() => from_ybr_full,
        _ => |rgb| rgb,
    };
    let data = (0..pixels).flat_map(|i| convert(at(i))).collect();
    Raster { columns: layout.columns as usize, rows: layout.rows as usize, samples: 3, data }
}

/// PS3.3 C.7.6.3.1.2, the inverse of YBR_FULL.
fn from_ybr_full([y, b, r]: [u8; 3]) -> [u8; 3] {
    let [y, b, r] = [f32::from(y), f32::from(b) - 128.0, f32::from(r) - 128.0];
    [y + 1.402 * r, y - 0.344_136 * b - 0.714_136 * r, y + 1.772 * b].map(|v| v.round() as u8)
}

/// The inverse of YBR_PARTIAL: 16 to 235 and 16 to 240.
fn from_ybr_partial([y, b, r]: [u8; 3]) -> [u8; 3] {
    let [y, b, r] = [f32::from(y) - 16.0, f32::from(b) - 128.0, f32::from(r) - 128.0];
    let y = 1.164_4 * y;
    [y + 1.596 * r, y - 0.391_8 * b - 0.813 * r, y + 2.017_2 * b].map(|v| v.round() as u8)
}
