//! Grey values to 8 bits.

use super::look::Modality;
use super::window::byte;
use super::{Look, Raster, Window};
use crate::pixels::{Decoded, ImageLayout, Numbers, Photometric};

/// Up to so many stored bits, greys are looked up: as many entries as a frame of 256 x 256 has pixels.
const TABLE_BITS_MAX: u32 = 16;

/// The greys of a frame. A window that is asked for goes before the header's window, that before its
/// table; with none of them, 8 bits or fewer are shown in full, and others from the lowest value that
/// occurs to the highest, padding left out.
pub(super) fn raster(decoded: &Decoded, look: &Look, asked: Option<Window>) -> Raster {
    let layout = &decoded.layout;
    let samples = Samples::of(decoded);
    let inverted = look.inverse || layout.photometric == Photometric::Monochrome1;
    let shown = asked.or(look.window);
    let voi = match (shown, &look.voi_lut) {
        (Some(window), _) => Voi::Window(window),
        (None, Some(table)) => Voi::Table(table),
        (None, None) => Voi::Window(whole_range(&samples, look)),
    };
    let grey = |stored: Stored| {
        let value = modality(&look.modality, stored);
        let grey = match &voi {
            Voi::Window(window) => window.grey(value),
            Voi::Table(table) => table.share(value.round() as i64),
        };
        byte(if inverted { 1.0 - grey } else { grey })
    };
    let pixels = layout.pixels();
    let tabled = layout.numbers == Numbers::Whole
        && layout.bits_stored <= TABLE_BITS_MAX
        && pixels >= 1 << layout.bits_stored;
    let data = if tabled {
        // Indexed by the stored bits, without their sign.
        let table: Vec<u8> = (0..1u64 << layout.bits_stored)
            .map(|bits| grey(Stored::Whole(signed(bits, layout))))
            .collect();
        let at = |i| table.get(samples.bits(i) as usize).copied().unwrap_or_default();
        (0..pixels).map(at).collect()
    } else {
        (0..pixels).map(|i| grey(samples.get(i))).collect()
    };
    Raster { columns: layout.columns as usize, rows: layout.rows as usize, samples: 1, data }
}

enum Voi<'a> {
    Window(Window),
    Table(&'a super::lut::Lut),
}

/// A stored value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stored {
    Whole(i64),
    Float(f64),
}

fn modality(modality: &Modality, stored: Stored) -> f64 {
    match (modality, stored) {
        (Modality::Table(table), Stored::Whole(value)) => f64::from(table.get(value)),
        (Modality::Table(_), Stored::Float(value)) => value,
        (Modality::Linear { slope, intercept }, Stored::Whole(value)) => {
            value as f64 * slope + intercept
        }
        (Modality::Linear { slope, intercept }, Stored::Float(value)) => value * slope + intercept,
    }
}

/// All of the range of short samples, or what occurs of it.
fn whole_range(samples: &Samples<'_>, look: &Look) -> Window {
    let layout = samples.layout;
    let plain = matches!(look.modality, Modality::Linear { .. });
    if plain && layout.numbers == Numbers::Whole && layout.bits_stored <= 8 && !layout.signed {
        let top = (1i64 << layout.bits_stored) - 1;
        let ends = [0, top].map(|end| modality(&look.modality, Stored::Whole(end)));
        return Window::between(ends[0].min(ends[1]), ends[0].max(ends[1]));
    }
    let padded = |stored: &Stored| match (stored, look.padding) {
        (Stored::Whole(value), Some((low, high))) => (low..=high).contains(value),
        _ => false,
    };
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for stored in (0..layout.pixels()).map(|i| samples.get(i)).filter(|stored| !padded(stored)) {
        let value = modality(&look.modality, stored);
        if value.is_finite() {
            low = low.min(value);
            high = high.max(value);
        }
    }
    if low > high { Window::between(0.0, 0.0) } else { Window::between(low, high) }
}

/// The samples of a frame, by their place.
pub(super) struct Samples<'a> {
    bytes: &'a [u8],
    layout: &'a ImageLayout,
}

impl<'a> Samples<'a> {
    pub(super) fn of(decoded: &'a Decoded) -> Self {
        Self { bytes: &decoded.bytes, layout: &decoded.layout }
    }

    /// Sample `i` as it lies there.
    fn raw(&self, i: usize) -> u64 {
        let bytes = self.bytes;
        match self.layout.bits_allocated {
            1 => bytes.get(i / 8).map_or(0, |byte| u64::from(byte >> (i % 8) & 1)),
            8 => bytes.get(i).map_or(0, |byte| u64::from(*byte)),
            16 => chunk(bytes, i).map_or(0, |b| u64::from(u16::from_le_bytes(b))),
            32 => chunk(bytes, i).map_or(0, |b| u64::from(u32::from_le_bytes(b))),
            _ => chunk(bytes, i).map_or(0, u64::from_le_bytes),
        }
    }

    /// The bits of sample `i` that count: what lies above and below is overlay or padding.
    pub(super) fn bits(&self, i: usize) -> u64 {
        let ImageLayout { bits_stored, high_bit, .. } = *self.layout;
        let shifted = self.raw(i) >> (high_bit + 1 - bits_stored);
        shifted & (u64::MAX >> (64 - bits_stored))
    }

    pub(super) fn get(&self, i: usize) -> Stored {
        match self.layout.numbers {
            Numbers::Whole => Stored::Whole(signed(self.bits(i), self.layout)),
            Numbers::Float => Stored::Float(f64::from(f32::from_bits(self.raw(i) as u32))),
            Numbers::Double => Stored::Float(f64::from_bits(self.raw(i))),
        }
    }

    /// Sample `i` as 8 bits of colour.
    pub(super) fn colour(&self, i: usize) -> u8 {
        let bits = self.layout.bits_stored;
        let value = self.bits(i);
        match bits {
            8 => value as u8,
            9.. => (value >> (bits - 8)) as u8,
            _ => (value * 255 / ((1 << bits) - 1)) as u8,
        }
    }
}

fn chunk<const N: usize>(bytes: &[u8], i: usize) -> Option<[u8; N]> {
    bytes.get(i * N..)?.first_chunk::<N>().copied()
}

/// Two's complement of `bits_stored` bits, if the samples are signed.
fn signed(bits: u64, layout: &ImageLayout) -> i64 {
    if !layout.signed {
        return bits.cast_signed();
    }
    let unused = 64 - layout.bits_stored;
    (bits << unused).cast_signed() >> unused
}
