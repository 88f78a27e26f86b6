//! Coding anew what is coded: for another purpose, by a better codec.
//!
//! What an encoder was told of a chunk is not kept beside it; what it needs of that stands in the coded
//! bytes themselves, and any geometry is safe on any bytes.

use super::{Codec, Compression, Content, Effort, Encoded, comes_back, encode};
use crate::span::Geometry;

/// What a chunk is, as far as its coded bytes tell.
#[must_use]
pub fn content_of(codec: Codec, coded: &[u8]) -> Content {
    let geometry = match codec {
        Codec::Stored => return Content::Dense,
        Codec::Zstd => return Content::Text,
        Codec::PixelMed => geometry(coded, 2),
        Codec::PixelClassed | Codec::PixelContext | Codec::PixelPacked | Codec::PixelAdaptive => {
            geometry(coded, 4)
        }
    };
    geometry.map_or(Content::Text, Content::Pixels)
}

/// From a header that begins with flags and the samples to the left neighbour.
fn geometry(coded: &[u8], above_at: usize) -> Option<Geometry> {
    let flags = *coded.first()?;
    let above = coded.get(above_at..)?.first_chunk::<4>()?;
    Some(Geometry {
        sample_bytes: if flags & 1 == 1 { 2 } else { 1 },
        big_endian: flags & 2 == 2,
        left: (*coded.get(1)?).max(1),
        above: u32::from_le_bytes(*above).max(1),
    })
}

impl Effort {
    /// The effort that leaves what `codec` made about as long as it is.
    #[must_use]
    pub fn keeping(codec: Codec) -> Self {
        let compression = match codec {
            Codec::PixelAdaptive => Compression::Cold,
            _ => Compression::Default,
        };
        Self { compression, ..Self::default() }
    }

    /// May what is coded like that become shorter with this effort?
    #[must_use]
    pub fn betters(self, codec: Codec) -> bool {
        if !self.compress || !self.filter {
            return false;
        }
        match self.compression {
            Compression::Turbo => false,
            Compression::Default => {
                matches!(codec, Codec::PixelMed | Codec::PixelPacked | Codec::PixelClassed)
            }
            Compression::Cold => {
                !matches!(codec, Codec::Stored | Codec::Zstd | Codec::PixelAdaptive)
            }
        }
    }
}

/// The same chunk coded with another effort, if that makes it shorter than `coded` by 1/64. It was decoded
/// again and compared.
#[must_use]
pub fn recode(codec: Codec, coded: &[u8], plain: &[u8], effort: Effort) -> Option<Encoded> {
    let made = encode(plain, content_of(codec, coded), effort);
    let bytes = made.payload(plain).len();
    let shorter = bytes + bytes / 64 < coded.len();
    (shorter && comes_back(&made, plain)).then_some(made)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::super::{decode, encode_filtered};
    use super::*;

    fn picture(geometry: Geometry, rows: usize) -> Vec<u8> {
        let samples = geometry.above as usize * rows;
        let value = |i: usize| {
            let (x, y) = (i % geometry.above as usize, i / geometry.above as usize);
            // Noise as scanners have it: small more often than large.
            let dice = blake3::hash(&(i as u64).to_le_bytes());
            let noise = dice.as_bytes()[..4].iter().map(|die| u16::from(*die)).sum::<u16>() / 32;
            (x * 3 + y * 5) as u16 + noise
        };
        (0..samples)
            .flat_map(|i| match (geometry.sample_bytes, geometry.big_endian) {
                (1, _) => vec![value(i) as u8],
                (_, true) => value(i).to_be_bytes().to_vec(),
                (_, false) => value(i).to_le_bytes().to_vec(),
            })
            .collect()
    }

    #[test]
    fn what_was_coded_for_speed_becomes_shorter() {
        let turbo = Effort { compression: Compression::Turbo, ..Effort::default() };
        let effort = Effort::default();
        for (sample_bytes, big_endian, left) in
            [(2, false, 1), (2, true, 1), (1, false, 1), (1, false, 3)]
        {
            let geometry = Geometry { sample_bytes, big_endian, left, above: 240 };
            let plain = picture(geometry, 200);
            let fast = encode(&plain, Content::Pixels(geometry), turbo);
            assert_eq!(fast.codec, Codec::PixelPacked);
            assert!(effort.betters(fast.codec) && !turbo.betters(fast.codec));
            assert_eq!(content_of(fast.codec, &fast.bytes), Content::Pixels(geometry));
            let small = recode(fast.codec, &fast.bytes, &plain, effort).unwrap();
            assert_eq!(small, encode(&plain, Content::Pixels(geometry), effort));
            assert!(small.bytes.len() < fast.bytes.len());
            // Who wonders whether codec 3 is of an older build has to try.
            assert_eq!(effort.betters(small.codec), sample_bytes == 1);
            assert_eq!(content_of(small.codec, &small.bytes), Content::Pixels(geometry));
            if let Some(old) = encode_filtered(Codec::PixelClassed, &plain, geometry) {
                let made = recode(old.codec, &old.bytes, &plain, effort);
                assert_eq!(made.is_some(), sample_bytes == 2);
            }
            assert_eq!(decode(small.codec, &small.bytes, plain.len()).unwrap(), plain);
            assert_eq!(recode(small.codec, &small.bytes, &plain, effort), None);
        }
    }

    #[test]
    fn what_is_kept_for_long_becomes_shorter_once() {
        let cold = Effort { compression: Compression::Cold, ..Effort::default() };
        for big_endian in [false, true] {
            let geometry = Geometry { sample_bytes: 2, big_endian, left: 1, above: 240 };
            let plain = picture(geometry, 200);
            for codec in [Codec::PixelMed, Codec::PixelClassed, Codec::PixelPacked] {
                let old = encode_filtered(codec, &plain, geometry).unwrap();
                assert!(cold.betters(codec));
                let made = recode(codec, &old.bytes, &plain, cold).unwrap();
                assert_eq!(made, encode(&plain, Content::Pixels(geometry), cold));
                assert!(comes_back(&made, &plain));
                assert_eq!(content_of(made.codec, &made.bytes), Content::Pixels(geometry));
                assert_eq!(recode(made.codec, &made.bytes, &plain, cold), None);
            }
            let small = encode_filtered(Codec::PixelAdaptive, &plain, geometry).unwrap();
            assert!(!cold.betters(small.codec) && !Effort::default().betters(small.codec));
            // The usual effort never undoes it.
            assert_eq!(recode(small.codec, &small.bytes, &plain, Effort::default()), None);
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(codec in 0u8..7, coded: Vec<u8>, plain: Vec<u8>) {
            if let Ok(codec) = Codec::from_id(codec) {
                let _ = content_of(codec, &coded);
                if let Some(made) = recode(codec, &coded, &plain, Effort::default()) {
                    prop_assert!(made.payload(&plain).len() < coded.len());
                    prop_assert!(comes_back(&made, &plain));
                }
            }
        }
    }
}
