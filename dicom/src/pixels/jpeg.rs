//! JPEG (PS3.5 §8.2.1): baseline, extended, progressive and lossless.

use bytes::Bytes;
use jpeg_decoder::{ColorTransform, Decoder};

use super::jpeg_head::Head;
use super::{Decoded, ImageLayout, Photometric, PixelError, jpeg_extended, jpeg_lossless, samples};

const EXTENDED: u8 = 1;
const LOSSLESS: u8 = 3;

/// One frame.
///
/// Three components of a lossy stream come out as RGB: colour differences that share pixels have no
/// native form any more, and PS3.5 §8.2.1 leaves the choice. Lossless streams hold what the header
/// says, and stay as they are.
pub(super) fn decode(layout: &ImageLayout, stream: &Bytes) -> Result<Decoded, PixelError> {
    let head = Head::of(stream)?;
    head.check(layout)?;
    let stored = layout.photometric;
    let mut layout = layout.interleaved();
    let values = match (head.process, head.precision) {
        (LOSSLESS, _) => jpeg_lossless::decode(&head, stream)?,
        (EXTENDED, 9..=12) => jpeg_extended::decode(&head, stream)?,
        (_, 8) => {
            let bytes = lossy(&head, stored, &layout, stream)?;
            if layout.samples == 3 {
                layout.photometric = Photometric::Rgb;
            }
            if layout.bits_allocated == 8 && !layout.signed {
                return Ok(Decoded { bytes: Bytes::from(bytes), layout });
            }
            bytes.into_iter().map(u16::from).collect()
        }
        _ => return Err(PixelError::Unsupported("progressive JPEG of more than 8 bits")),
    };
    let bytes = samples::write(&layout, head.precision, values.into_iter().map(i32::from));
    Ok(Decoded { bytes: Bytes::from(bytes), layout })
}

/// 8-bit samples of a cosine-transformed stream, three of them as RGB.
fn lossy(
    head: &Head,
    stored: Photometric,
    layout: &ImageLayout,
    stream: &Bytes,
) -> Result<Vec<u8>, PixelError> {
    let mut decoder = Decoder::new(stream.as_ref());
    decoder.set_max_decoding_buffer_size(layout.pixels() * layout.samples as usize);
    match head.components.len() {
        1 => {}
        // Not `None` for what stays: that leaves the three samples of each line apart.
        3 if is_ybr(head, stored) => decoder.set_color_transform(ColorTransform::YCbCr),
        3 => decoder.set_color_transform(ColorTransform::RGB),
        _ => return Err(PixelError::Unsupported("JPEG of two or four components")),
    }
    let failed = |error: jpeg_decoder::Error| PixelError::Codec {
        codec: "JPEG",
        message: error.to_string(),
    };
    decoder.decode().map_err(failed)
}

/// Does a lossy stream hold colour differences? An Adobe segment says so; component names may; JFIF
/// knows nothing else; the header is the last to ask, as it often describes the image before it was
/// compressed.
fn is_ybr(head: &Head, photometric: Photometric) -> bool {
    let ids: Vec<u8> = head.components.iter().map(|component| component.id).collect();
    match head.adobe {
        Some(transform) => transform != 0,
        None if ids == *b"RGB" => false,
        None if head.jfif => true,
        None => photometric != Photometric::Rgb,
    }
}
