//! Pictures: one decoded frame as JPEG or PNG, for people (PS3.18 §8.3.5 and §10.4.1.1.3).
//!
//! The way of a grey value (PS3.3 C.11): stored bits → modality (rescale or table) → values of interest
//! (window or table) → 8 bits, turned over for MONOCHROME1. Colours go to RGB. Then the region that is
//! asked for is scaled into the viewport, and encoded. Everything is 8 bits deep.
//!
//! Not looked at: overlays, presentation states, supplemental palettes, pixel aspect ratio, ICC profiles.

mod colour;
mod encode;
mod grey;
mod look;
mod lut;
mod parameters;
mod scale;
mod window;

use bytes::Bytes;

pub use look::{BulkData, Look};
pub use parameters::{BadParameter, Format, Parameters, Viewport};
pub use window::{Shape, Window};

use crate::limits::PICTURE_PIXELS_MAX;
use crate::pixels::{Decoded, Photometric};

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The pixels have no colours that this module knows.
    #[error("no picture can be made of this: {0}")]
    Unsupported(&'static str),
    /// A table that is needed is missing or damaged.
    #[error("the {0} is missing or damaged")]
    Table(&'static str),
    /// The region lies outside of the image.
    #[error("the region lies outside of the image")]
    Region,
    /// The picture would be too large; a viewport makes it smaller.
    #[error("a picture of {pixels} pixels is over the limit of {limit}")]
    TooLarge {
        /// Pixels of the picture.
        pixels: u64,
        /// The limit.
        limit: u64,
    },
    /// The encoder failed.
    #[error("{format} encoder: {message}")]
    Encoder {
        /// Which one.
        format: &'static str,
        /// What it says.
        message: String,
    },
    /// The decoded frame is not as long as its layout says.
    #[error("the frame is shorter than its layout says")]
    Short,
}

/// 8-bit samples side by side, rows without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Raster {
    columns: usize,
    rows: usize,
    /// 1: grey, 3: RGB.
    samples: usize,
    data: Vec<u8>,
}

/// A picture of one frame.
///
/// `decoded` comes from [`crate::pixels::decode`], `look` from [`Look::of`] for the same frame.
pub fn frame(
    decoded: &Decoded,
    look: &Look,
    parameters: &Parameters,
) -> Result<Bytes, RenderError> {
    let layout = &decoded.layout;
    if decoded.bytes.len() < layout.frame_bytes() {
        return Err(RenderError::Short);
    }
    let whole = (f64::from(layout.columns), f64::from(layout.rows));
    let region = parameters.viewport.map_or_else(
        || Ok(scale::Plan::whole(whole)),
        |viewport| viewport.plan(whole, parameters.enlarge).ok_or(RenderError::Region),
    )?;
    let pixels = region.columns as u64 * region.rows as u64;
    if pixels > PICTURE_PIXELS_MAX {
        return Err(RenderError::TooLarge { pixels, limit: PICTURE_PIXELS_MAX });
    }
    let raster = match (layout.samples, layout.photometric) {
        (1, Photometric::PaletteColor) => colour::from_palette(decoded, look)?,
        (1, _) => grey::raster(decoded, look, parameters.window),
        (3, _) => colour::raster(decoded),
        _ => return Err(RenderError::Unsupported("Samples per Pixel is neither 1 nor 3")),
    };
    let raster = scale::scaled(raster, &region);
    match parameters.format {
        Format::Jpeg => encode::jpeg(&raster, parameters.quality),
        Format::Png => encode::png(&raster),
    }
}
#[cfg(test)]
mod tests;
