//! What a JPEG or JPEG-LS stream says about itself before its first scan (ISO/IEC 10918-1 annex B,
//! 14495-1 annex C), so that nothing is allocated before it agrees with the header of the object.

use super::{ImageLayout, PixelError};

/// One component of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Horizontal and vertical sampling factor.
    pub(super) sampling: (u8, u8),
    /// Quantization table.
    pub(super) table: u8,
}

/// The head of a code stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    /// Low nibble of the frame marker, 0xF7 for JPEG-LS.
    pub(super) process: u8,
    pub(super) precision: u32,
    pub(super) rows: u32,
    pub(super) columns: u32,
    pub(super) components: Vec<Component>,
    /// Colour transform of an Adobe APP14 segment.
    pub(super) adobe: Option<u8>,
    /// A JFIF APP0 segment is there.
    pub(super) jfif: bool,
    /// Interleave mode of the first scan of JPEG-LS.
    pub(super) interleave: u8,
}

/// The process of a JPEG-LS frame in [`Head::process`].
pub(super) const JPEG_LS: u8 = 0xF7;
const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const APP0: u8 = 0xE0;
const APP14: u8 = 0xEE;

impl Head {
    /// Reads up to the first scan.
    pub(super) fn of(stream: &[u8]) -> Result<Self, PixelError> {
        let mut markers = Markers::new(stream);
        if markers.next() != Some((SOI, &[])) {
            return Err(PixelError::Coding("a JPEG stream does not start with SOI"));
        }
        let mut head = Self::default();
        for (marker, body) in markers {
            match marker {
                0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | JPEG_LS => {
                    if !head.components.is_empty() {
                        return Err(PixelError::Unsupported("hierarchical JPEG"));
                    }
                    head.frame(marker, body)?;
                }
                APP0 if body.starts_with(b"JFIF\0") => head.jfif = true,
                APP14 if body.starts_with(b"Adobe") => head.adobe = body.get(11).copied(),
                SOS if head.components.is_empty() => break,
                SOS => {
                    let count = usize::from(body.first().copied().unwrap_or_default());
                    head.interleave = body.get(2 + 2 * count).copied().unwrap_or_default();
                    return Ok(head);
                }
                EOI => break,
                _ => {}
            }
        }
        Err(PixelError::Coding("a JPEG stream ends before its first scan"))
    }

    fn frame(&mut self, marker: u8, body: &[u8]) -> Result<(), PixelError> {
        let Some((&[precision, h, i, w, x, count], rest)) = body.split_first_chunk::<6>() else {
            return Err(PixelError::Coding("a JPEG frame header is cut off"));
        };
        self.process = if marker == JPEG_LS { JPEG_LS } else { marker & 0x0F };
        self.precision = u32::from(precision);
        self.rows = u32::from(u16::from_be_bytes([h, i]));
        self.columns = u32::from(u16::from_be_bytes([w, x]));
        let components = rest.as_chunks::<3>().0.iter().take(usize::from(count));
        self.components = components
            .map(|&[id, hv, table]| Component { id, sampling: (hv >> 4, hv & 0x0F), table })
            .collect();
        if count == 0 || self.components.len() != usize::from(count) {
            return Err(PixelError::Coding("a JPEG frame header is cut off"));
        }
        Ok(())
    }

    /// Do size, components and precision agree with the object's header?
    pub(super) fn check(&self, layout: &ImageLayout) -> Result<(), PixelError> {
        agree("rows", layout.rows, self.rows)?;
        agree("columns", layout.columns, self.columns)?;
        agree("components", layout.samples, self.components.len() as u32)?;
        if !(2..=layout.bits_allocated).contains(&self.precision) {
            let (header, stream) = (layout.bits_allocated, self.precision);
            return Err(PixelError::Mismatch {
                what: "bits",
                header: u64::from(header),
                stream: u64::from(stream),
            });
        }
        Ok(())
    }
}

/// Refuses a stream that is another image than the header says.
pub(super) fn agree(what: &'static str, header: u32, stream: u32) -> Result<(), PixelError> {
    if header == stream {
        return Ok(());
    }
    Err(PixelError::Mismatch { what, header: u64::from(header), stream: u64::from(stream) })
}

/// Marker segments up to the first entropy-coded data.
pub(super) struct Markers<'a> {
    rest: &'a [u8],
}

impl<'a> Markers<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// What follows the last segment that was given out.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Markers<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // B.1.1.2: any number of fill bytes. Some writers leave garbage between segments.
        let at = self.rest.windows(2).position(|pair| matches!(pair, [0xFF, 1..=0xFE]))?;
        let (&[_, marker], rest) = self.rest.get(at..)?.split_first_chunk::<2>()?;
        self.rest = rest;
        if matches!(marker, SOI | EOI | 0x01 | 0xD0..=0xD7) {
            return Some((marker, &[]));
        }
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk::<2>()?));
        let body = rest.get(2..length.max(2))?;
        self.rest = rest.get(length.max(2)..)?;
        Some((marker, body))
    }
}
