//! What the header says about the samples of a frame (PS3.3 C.7.6.3), checked and bounded.

use super::PixelError;
use crate::attributes::{Attributes, tags};
use crate::limits::FRAME_BYTES_MAX;

/// How colours are coded (PS3.3 C.7.6.3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Photometric {
    /// Low values are white.
    Monochrome1,
    /// Low values are black.
    Monochrome2,
    /// Indices into a palette.
    PaletteColor,
    /// Red, green, blue.
    Rgb,
    /// Luminance and colour differences, full range.
    YbrFull,
    /// The same, two pixels sharing their colour: native as Y Y Cb Cr.
    YbrFull422,
    /// Luminance of 16 to 235, two pixels sharing their colour (retired).
    YbrPartial422,
    /// Four pixels sharing their colour: video only.
    YbrPartial420,
    /// Irreversible colour transform of JPEG 2000.
    YbrIct,
    /// Reversible colour transform of JPEG 2000.
    YbrRct,
    /// The colour space of JPEG XL.
    Xyb,
    /// HSV, CMYK, ARGB (retired), or nothing that the standard knows.
    Other,
}

impl Photometric {
    const NAMES: [(Self, &'static str); 11] = [
        (Self::Monochrome1, "MONOCHROME1"),
        (Self::Monochrome2, "MONOCHROME2"),
        (Self::PaletteColor, "PALETTE COLOR"),
        (Self::Rgb, "RGB"),
        (Self::YbrFull, "YBR_FULL"),
        (Self::YbrFull422, "YBR_FULL_422"),
        (Self::YbrPartial422, "YBR_PARTIAL_422"),
        (Self::YbrPartial420, "YBR_PARTIAL_420"),
        (Self::YbrIct, "YBR_ICT"),
        (Self::YbrRct, "YBR_RCT"),
        (Self::Xyb, "XYB"),
    ];

    /// From the value of (0028,0004).
    #[must_use]
    pub fn of(value: &str) -> Self {
        let value = value.trim();
        Self::NAMES.iter().find(|(_, name)| *name == value).map_or(Self::Other, |(found, _)| *found)
    }

    /// The defined term; empty for [`Self::Other`].
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(known, _)| *known == self).map_or("", |(_, name)| name)
    }

    /// Luminance and colour differences of any kind.
    #[must_use]
    pub fn is_ybr(self) -> bool {
        matches!(
            self,
            Self::YbrFull
                | Self::YbrFull422
                | Self::YbrPartial422
                | Self::YbrPartial420
                | Self::YbrIct
                | Self::YbrRct
        )
    }

    /// Two pixels share their colour.
    #[must_use]
    pub fn is_halved(self) -> bool {
        matches!(self, Self::YbrFull422 | Self::YbrPartial422)
    }
}

/// What a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Whole numbers: Pixel Data.
    Whole,
    /// 32-bit floats: Float Pixel Data.
    Float,
    /// 64-bit floats: Double Float Pixel Data.
    Double,
}

/// How the samples of each frame lie. One made by [`ImageLayout::of`] has at most
/// [`FRAME_BYTES_MAX`] bytes a frame, and `bits_stored` and `high_bit` that fit into `bits_allocated`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLayout {
    /// Rows; 1 to 65535.
    pub rows: u32,
    /// Columns; 1 to 65535.
    pub columns: u32,
    /// Samples of a pixel; 1 to 4.
    pub samples: u32,
    /// Bits that a sample takes up: 1, 8, 16, 32 or 64.
    pub bits_allocated: u32,
    /// Bits of a sample that count.
    pub bits_stored: u32,
    /// The highest of them.
    pub high_bit: u32,
    /// Two's complement.
    pub signed: bool,
    /// Colour.
    pub photometric: Photometric,
    /// Samples of one kind lie together.
    pub planar: bool,
    /// Whole or floating.
    pub numbers: Numbers,
    /// Frames that the header announces; at least 1. Only [`super::Frames`](cairn_chunker::frames::Frames)
    /// knows how many there are.
    pub frames: u64,
    /// 8-bit samples lie in big-endian 16-bit words (Explicit VR Big Endian, VR OW): each pair is
    /// swapped. False from [`Self::of`]; see [`super::in_words`].
    pub in_words: bool,
}

impl ImageLayout {
    /// From the indexed attributes. What is missing or impossible and can be told from the rest is
    /// repaired (bits stored, high bit, photometric interpretation); the rest is refused.
    ///
    /// The attributes do not say which pixel data element there is. 32 bits with neither Bits Stored
    /// nor Pixel Representation is Float Pixel Data, and so 64 bits (PS3.3 C.7.6.24, C.7.6.25: those
    /// modules have neither).
    pub fn of(attributes: &Attributes) -> Result<Self, PixelError> {
        let number = |tag| first_number(attributes.get(tag)?);
        let need = |tag, what| number(tag).ok_or(PixelError::Layout(what));
        let rows = need(tags::ROWS, "Rows is missing")?;
        let columns = need(tags::COLUMNS, "Columns is missing")?;
        let samples = number(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
        let bits_allocated = need(tags::BITS_ALLOCATED, "Bits Allocated is missing")?;
        let bits_stored = number(tags::BITS_STORED);
        let representation = number(tags::PIXEL_REPRESENTATION);
        let numbers = match (bits_allocated, bits_stored, representation) {
            (32, None, None) => Numbers::Float,
            (64, None, None) => Numbers::Double,
            _ => Numbers::Whole,
        };
        let usable = |bits: &u64| (1..=bits_allocated).contains(bits);
        let bits_stored = bits_stored.filter(usable).unwrap_or(bits_allocated);
        let high_bit = number(tags::HIGH_BIT)
            .filter(|bit| (bits_stored..=bits_allocated).contains(&(bit + 1)))
            .unwrap_or(bits_stored.saturating_sub(1));
        let photometric = match attributes.get(tags::PHOTOMETRIC_INTERPRETATION) {
            None | Some("") if samples == 3 => Photometric::Rgb,
            None | Some("") => Photometric::Monochrome2,
            Some(value) => Photometric::of(value),
        };
        let layout = Self {
            rows: narrow(rows),
            columns: narrow(columns),
            samples: narrow(samples),
            bits_allocated: narrow(bits_allocated),
            bits_stored: narrow(bits_stored),
            high_bit: narrow(high_bit),
            signed: representation == Some(1),
            photometric,
            planar: samples > 1 && number(tags::PLANAR_CONFIGURATION) == Some(1),
            numbers,
            frames: number(tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1),
            in_words: false,
        };
        layout.check()?;
        Ok(layout)
    }

    /// Holds the bounds that everything else here relies on; for layouts that were made by hand.
    pub fn check(&self) -> Result<(), PixelError> {
        let dimension = 1..=u32::from(u16::MAX);
        if !dimension.contains(&self.rows) || !dimension.contains(&self.columns) {
            return Err(PixelError::Layout("Rows or Columns is not 1 to 65535"));
        }
        if !(1..=4).contains(&self.samples) {
            return Err(PixelError::Layout("Samples per Pixel is not 1 to 4"));
        }
        if !matches!(self.bits_allocated, 1 | 8 | 16 | 32 | 64) {
            return Err(PixelError::Layout("Bits Allocated is not 1, 8, 16, 32 or 64"));
        }
        let stored = (1..=self.bits_allocated).contains(&self.bits_stored);
        let high = (self.bits_stored..=self.bits_allocated).contains(&(self.high_bit + 1));
        if !stored || !high {
            return Err(PixelError::Layout("Bits Stored or High Bit is not within Bits Allocated"));
        }
        let floating = match self.numbers {
            Numbers::Whole => true,
            Numbers::Float => self.bits_allocated == 32,
            Numbers::Double => self.bits_allocated == 64,
        };
        if !floating {
            return Err(PixelError::Layout("floating samples are not as long as Bits Allocated"));
        }
        if self.photometric.is_halved() && self.samples != 3 {
            return Err(PixelError::Layout("colour differences without three samples"));
        }
        // At most 2^16 * 2^16 * 4 * 64 bits: no overflow.
        let bytes = self.bits().div_ceil(8);
        if bytes > FRAME_BYTES_MAX {
            return Err(PixelError::TooLarge { bytes, limit: FRAME_BYTES_MAX });
        }
        Ok(())
    }

    /// Pixels of a frame.
    #[must_use]
    pub fn pixels(&self) -> usize {
        self.rows as usize * self.columns as usize
    }

    /// Bytes of one sample; 0 for 1-bit samples, which share bytes.
    #[must_use]
    pub fn sample_bytes(&self) -> usize {
        self.bits_allocated as usize / 8
    }

    /// Bytes of one frame, samples lying as this layout says. 1-bit frames start at a byte.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.bits().div_ceil(8) as usize
    }

    /// Do frames of native data start and end within bytes? Then none but the first has a byte range:
    /// the splitter takes the whole value for one frame, and [`super::bit_frame`] cuts them out of it.
    #[must_use]
    pub fn shares_bytes(&self) -> bool {
        !self.bits().is_multiple_of(8)
    }

    /// Bits of one frame.
    fn bits(&self) -> u64 {
        let pixels = u64::from(self.rows) * u64::from(self.columns);
        let samples = if self.photometric.is_halved() {
            // Y Y Cb Cr for each two pixels.
            pixels * 2
        } else {
            pixels * u64::from(self.samples)
        };
        samples * u64::from(self.bits_allocated)
    }

    /// The same image with the samples of a pixel side by side and each pixel with all of them.
    pub(super) fn interleaved(self) -> Self {
        let photometric = match self.photometric {
            Photometric::YbrFull422 => Photometric::YbrFull,
            other => other,
        };
        Self { planar: false, in_words: false, photometric, ..self }
    }
}

fn first_number(value: &str) -> Option<u64> {
    let first = value.split('\\').next()?.trim();
    first.strip_prefix('+').unwrap_or(first).parse().ok()
}

/// What does not fit is out of every range that is allowed.
fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
