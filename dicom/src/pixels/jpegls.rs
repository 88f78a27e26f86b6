//! JPEG-LS (PS3.5 §8.2.3), by CharLS.

use bytes::Bytes;
use charls::CharLS;

use super::jpeg_head::{Head, JPEG_LS};
use super::{Decoded, ImageLayout, PixelError, samples};

/// A stream with the zeros before its end marker left out: some writers make the length even there
/// (one of NEMA's own samples), and CharLS minds.
fn without_padding(stream: &[u8]) -> Option<Vec<u8>> {
    let end = stream.windows(2).rposition(|pair| pair == [0xFF, 0xD9])?;
    let data = stream.get(..end)?;
    let zeros = data.iter().rev().take_while(|byte| **byte == 0).count();
    let kept = data.get(..end - zeros).filter(|_| zeros > 0)?;
    Some([kept, &[0xFF, 0xD9]].concat())
}

/// One frame. Colours stay as they are; samples come out side by side.
pub(super) fn decode(layout: &ImageLayout, stream: &Bytes) -> Result<Decoded, PixelError> {
    let head = Head::of(stream)?;
    if head.process != JPEG_LS {
        return Err(PixelError::Coding("not a JPEG-LS stream"));
    }
    // CharLS allocates what the stream says.
    head.check(layout)?;
    let decoded = CharLS::default()
        .decode(stream)
        .or_else(|error| {
            without_padding(stream).map_or(Err(error), |s| CharLS::default().decode(&s))
        })
        .map_err(|error| PixelError::Codec { codec: "JPEG-LS", message: error.to_string() })?;
    let layout = layout.interleaved();
    let stream_bytes = if head.precision > 8 { 2 } else { 1 };
    let decoded = if head.interleave == 0 && layout.samples > 1 {
        samples::interleave(&decoded, layout.samples as usize, stream_bytes)
    } else {
        decoded
    };
    let bytes = if stream_bytes == layout.sample_bytes() && !layout.signed {
        decoded
    } else if stream_bytes == 1 {
        samples::write(&layout, head.precision, decoded.iter().map(|value| i32::from(*value)))
    } else {
        let values = decoded.as_chunks::<2>().0.iter().map(|b| i32::from(u16::from_ne_bytes(*b)));
        samples::write(&layout, head.precision, values)
    };
    Ok(Decoded { bytes: Bytes::from(bytes), layout })
}
