//! JPEG XL (PS3.5 §8.2.15), by jxl-oxide.

use bytes::Bytes;
use jxl_oxide::image::BitDepth;
use jxl_oxide::{AllocTracker, FrameBufferSample, ImageStream, JxlImage};

use super::jpeg_head::agree;
use super::{Decoded, ImageLayout, Photometric, PixelError, samples};
use crate::limits::JPEG_XL_BYTES_MAX;

/// One frame. What the encoder turned into XYB, or took over from a JPEG as colour differences, comes
/// out as RGB; the rest keeps the colours that the header says.
pub(super) fn decode(layout: &ImageLayout, stream: &Bytes) -> Result<Decoded, PixelError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| PixelError::Codec {
        codec: "JPEG XL",
        message: error.to_string(),
    };
    let tracker = AllocTracker::with_limit(JPEG_XL_BYTES_MAX);
    let image = JxlImage::builder().alloc_tracker(tracker).read(stream.as_ref()).map_err(failed)?;
    agree("columns", layout.columns, image.width())?;
    agree("rows", layout.rows, image.height())?;
    let ybr = image.frame_header(0).is_some_and(|header| header.do_ycbcr);
    let metadata = &image.image_header().metadata;
    let converted = metadata.xyb_encoded || ybr;
    let bits = metadata.bit_depth;
    let render = image.render_frame(0).map_err(failed)?;
    let mut pixels = render.stream_no_alpha();
    agree("components", layout.samples, pixels.channels())?;
    let mut layout = layout.interleaved();
    if converted && layout.samples == 3 {
        layout.photometric = Photometric::Rgb;
    }
    let count = layout.pixels() * layout.samples as usize;
    let bytes = match (bits, layout.bits_allocated) {
        (BitDepth::IntegerSample { bits_per_sample: 8 }, 8) => take::<u8>(&mut pixels, count)?,
        (BitDepth::IntegerSample { bits_per_sample: bits @ 9..=16 }, 16)
        | (BitDepth::IntegerSample { bits_per_sample: bits @ 1..=8 }, 8 | 16) => {
            // Asked for another depth than its own, the decoder scales; as a fraction nothing is lost.
            let full = ((1u32 << bits) - 1) as f32;
            let values = take::<f32>(&mut pixels, count)?;
            let values = values.iter().map(|value| (value * full).round().clamp(0.0, full) as i32);
            samples::write(&layout, bits, values)
        }
        _ => return Err(PixelError::Unsupported("this depth of JPEG XL")),
    };
    let bytes = if layout.signed && layout.bits_allocated == 8 {
        samples::write(&layout, layout.bits_stored, bytes.iter().map(|value| i32::from(*value)))
    } else {
        bytes
    };
    Ok(Decoded { bytes: Bytes::from(bytes), layout })
}

/// Exactly `count` samples.
fn take<S: FrameBufferSample + Default + Clone>(
    pixels: &mut ImageStream<'_>,
    count: usize,
) -> Result<Vec<S>, PixelError> {
    let mut out = vec![S::default(); count];
    let found = pixels.write_to_buffer(&mut out);
    if found == count {
        return Ok(out);
    }
    Err(PixelError::Short { wanted: count as u64, found: found as u64 })
}
