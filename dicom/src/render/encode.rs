//! Rasters to files.

use bytes::Bytes;

use super::{Raster, RenderError};

/// Baseline JPEG of a quality from 1 to 100.
pub(super) fn jpeg(raster: &Raster, quality: u8) -> Result<Bytes, RenderError> {
    let failed = |message: String| RenderError::Encoder { format: "JPEG", message };
    let size = |pixels: usize| u16::try_from(pixels).map_err(|error| failed(error.to_string()));
    let colour = match raster.samples {
        1 => jpeg_encoder::ColorType::Luma,
        _ => jpeg_encoder::ColorType::Rgb,
    };
    let mut out = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut out, quality.clamp(1, 100));
    encoder
        .encode(&raster.data, size(raster.columns)?, size(raster.rows)?, colour)
        .map_err(|error| failed(error.to_string()))?;
    Ok(Bytes::from(out))
}

/// PNG of 8 bits.
pub(super) fn png(raster: &Raster) -> Result<Bytes, RenderError> {
    let failed = |error: png::EncodingError| RenderError::Encoder {
        format: "PNG",
        message: error.to_string(),
    };
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, raster.columns as u32, raster.rows as u32);
    encoder.set_color(if raster.samples == 1 {
        png::ColorType::Grayscale
    } else {
        png::ColorType::Rgb
    });
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&raster.data).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(Bytes::from(out))
}
