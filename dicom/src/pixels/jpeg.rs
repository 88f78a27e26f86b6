//! JPEG (PS3.5 §8.2.1): baseline, extended, progressive and lossless.

use bytes::Bytes;
use jpeg_decoder::{ColorTransform, Decoder};

use super::jpeg_head::Head;
use super::{Decoded, ImageLayout, Photometric, PixelError, samples};

const LOSSLESS: u8 = 3;

/// One frame.
///
/// Three components of a lossy stream come out as RGB: colour differences that share pixels have no
/// native form any more, and PS3.5 §8.2.1 leaves the choice. Lossless streams hold what the header
/// says, and stay as they are.
pub(super) fn decode(layout: &ImageLayout, stream: &Bytes) -> Result<Decoded, PixelError> {
    let head = Head::of(stream)?;
    head.check(layout)?;
    let mut decoded_layout = layout.interleaved();
    let mut decoder = Decoder::new(stream.as_ref());
    decoder.set_max_decoding_buffer_size(layout.frame_bytes().max(1) * 2);
    if head.components.len() == 3 {
        let converts = head.process != LOSSLESS && is_ybr(&head, layout.photometric);
        // Not `None`: that leaves the three samples of each line apart.
        decoder.set_color_transform(if converts {
            ColorTransform::YCbCr
        } else {
            ColorTransform::RGB
        });
        if head.process != LOSSLESS {
            decoded_layout.photometric = Photometric::Rgb;
        }
    } else if head.components.len() == 4 {
        return Err(PixelError::Unsupported("JPEG of four components"));
    }
    let decoded = decoder
        .decode()
        .map_err(|error| PixelError::Codec { codec: "JPEG", message: error.to_string() })?;
    // The decoder gives exactly 8-bit lossless samples as bytes, all others as native 16-bit numbers.
    let bytes = if head.precision == 8 {
        let values = decoded.iter().map(|value| i32::from(*value));
        if layout.sample_bytes() == 1 && !layout.signed {
            decoded
        } else {
            samples::write(&decoded_layout, head.precision, values)
        }
    } else {
        let values = decoded.as_chunks::<2>().0.iter().map(|b| i32::from(u16::from_ne_bytes(*b)));
        samples::write(&decoded_layout, head.precision, values)
    };
    Ok(Decoded { bytes: Bytes::from(bytes), layout: decoded_layout })
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
