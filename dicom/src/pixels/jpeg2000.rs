//! JPEG 2000 and HTJ2K (PS3.5 §8.2.4 and §8.2.14), by openjp2.

use bytes::Bytes;
use jpeg2k::{DecodeParameters, Image, ImageComponent};

use super::jpeg_head::agree;
use super::{Decoded, ImageLayout, Photometric, PixelError, samples};

const SOC_SIZ: [u8; 4] = [0xFF, 0x4F, 0xFF, 0x51];
const COD: u8 = 0x52;
const SOT: u8 = 0x90;

/// One frame. Streams with a multiple component transform come out as RGB, the others with the colours
/// that the header says (the two transforms themselves cannot be left: those become RGB too).
pub(super) fn decode(layout: &ImageLayout, stream: &Bytes) -> Result<Decoded, PixelError> {
    let head = Head::of(stream)?;
    head.check(layout)?;
    // The decoder would hand out a truncated stream as a blurred image: that must not look decoded.
    let parameters = DecodeParameters::new().strict(true).ignore_pclr_cmap_cdef();
    let image = Image::from_bytes_with(stream, parameters)
        .map_err(|error| PixelError::Codec { codec: "JPEG 2000", message: error.to_string() })?;
    let components = image.components();
    agree("components", layout.samples, components.len() as u32)?;
    let mut layout = layout.interleaved();
    if layout.samples == 3
        && (head.transform
            || matches!(layout.photometric, Photometric::YbrIct | Photometric::YbrRct))
    {
        layout.photometric = Photometric::Rgb;
    }
    let bits = components.iter().map(ImageComponent::precision).max().unwrap_or_default();
    if !(1..=layout.bits_allocated).contains(&bits) {
        return Err(PixelError::Mismatch {
            what: "bits",
            header: u64::from(layout.bits_allocated),
            stream: u64::from(bits),
        });
    }
    let planes: Vec<Plane<'_>> = components.iter().map(|c| Plane::of(c, &layout)).collect();
    if planes
        .iter()
        .any(|plane| plane.data.len() < plane.columns * plane.rows || plane.data.is_empty())
    {
        return Err(PixelError::Short { wanted: layout.pixels() as u64, found: 0 });
    }
    let bytes = match &*planes {
        [plane] if plane.whole => samples::write(&layout, bits, plane.data.iter().copied()),
        [r, g, b] if planes.iter().all(|plane| plane.whole) => {
            let pixels = r.data.iter().zip(g.data).zip(b.data);
            samples::write(&layout, bits, pixels.flat_map(|((r, g), b)| [*r, *g, *b]))
        }
        _ => {
            let (rows, columns) = (layout.rows as usize, layout.columns as usize);
            let places = (0..rows).flat_map(|y| (0..columns).map(move |x| (x, y)));
            let values = places.flat_map(|(x, y)| planes.iter().map(move |plane| plane.at(x, y)));
            samples::write(&layout, bits, values)
        }
    };
    Ok(Decoded { bytes: Bytes::from(bytes), layout })
}

/// Samples of one component, which may have fewer than there are pixels.
struct Plane<'a> {
    data: &'a [i32],
    columns: usize,
    rows: usize,
    image: (usize, usize),
    /// One sample for each pixel.
    whole: bool,
}

impl<'a> Plane<'a> {
    fn of(component: &'a ImageComponent, layout: &ImageLayout) -> Self {
        let (columns, rows) = (component.width() as usize, component.height() as usize);
        let image = (layout.columns as usize, layout.rows as usize);
        let data = component.data();
        let whole = (columns, rows) == image && data.len() == columns * rows;
        Self { data, columns, rows, image, whole }
    }

    fn at(&self, x: usize, y: usize) -> i32 {
        let (x, y) = (x * self.columns / self.image.0, y * self.rows / self.image.1);
        self.data.get(y * self.columns + x).copied().unwrap_or_default()
    }
}

/// What the main header says.
struct Head {
    columns: u32,
    rows: u32,
    components: u32,
    /// Colours are transformed.
    transform: bool,
}

impl Head {
    /// Finds the main header: at the start, or inside the boxes of a JP2 file, which DICOM does not
    /// want and some writers make.
    fn of(stream: &[u8]) -> Result<Self, PixelError> {
        let start = stream.windows(4).position(|bytes| bytes == SOC_SIZ);
        let siz = start.and_then(|at| stream.get(at + 4..)).unwrap_or_default();
        let number = |at: usize| {
            let bytes = siz.get(at..).and_then(<[u8]>::first_chunk::<4>);
            bytes.map(|bytes| u32::from_be_bytes(*bytes))
        };
        let short = || PixelError::Coding("a JPEG 2000 header is cut off");
        let [x, y, left, top] = [4, 8, 12, 16].map(number);
        let (x, left) = (x.ok_or_else(short)?, left.ok_or_else(short)?);
        let (y, top) = (y.ok_or_else(short)?, top.ok_or_else(short)?);
        let components = siz.get(36..).and_then(<[u8]>::first_chunk::<2>).ok_or_else(short)?;
        Ok(Self {
            columns: x.saturating_sub(left),
            rows: y.saturating_sub(top),
            components: u32::from(u16::from_be_bytes(*components)),
            transform: transforms(siz),
        })
    }

    fn check(&self, layout: &ImageLayout) -> Result<(), PixelError> {
        agree("rows", layout.rows, self.rows)?;
        agree("columns", layout.columns, self.columns)?;
        agree("components", layout.samples, self.components)
    }
}

/// Does the default coding style (COD) ask for a component transform? `rest` starts with the length of
/// the SIZ segment.
fn transforms(mut rest: &[u8]) -> bool {
    loop {
        let length = rest.first_chunk::<2>().map(|bytes| usize::from(u16::from_be_bytes(*bytes)));
        let Some(next) = length.and_then(|length| rest.get(length.max(2)..)) else { return false };
        match next {
            // Lcod, Scod, progression, two bytes of layers, then the transform.
            [0xFF, COD, body @ ..] => return body.get(6) == Some(&1),
            [0xFF, SOT, ..] => return false,
            [0xFF, _, body @ ..] => rest = body,
            _ => return false,
        }
    }
}
