//! How a chunk's bytes are coded at rest.
//!
//! A codec id is part of the pack format and never changes meaning; a better codec gets a new id. A
//! filter is exactly invertible on any bytes, so that identity never rests on a header being true.
//! Nothing is trusted on the way back: lengths are bounded by the caller, and the chunk's name is
//! checked by whoever asked for it.

mod adaptive;
mod alone;
mod classed;
mod contextual;
mod packed;
#[cfg(test)]
mod pictures;
mod pixel;
mod recode;
mod scratch;
mod zstandard;

pub use alone::alone;
pub use recode::{content_of, recode};

use std::borrow::Cow;
use std::cell::Cell;

use crate::limits::MANIFEST_BYTES_MAX;
use crate::span::Geometry;
use crate::{Error, Result};

/// A codec id as it stands in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// The bytes as they are.
    Stored = 0,
    /// One Zstandard frame (RFC 8878).
    Zstd = 1,
    /// MED prediction, zigzag, byte planes, Zstandard: see `FORMAT.md`.
    PixelMed = 2,
    /// MED prediction, zigzag, groups by magnitude, prefix codes: see `FORMAT.md`.
    PixelClassed = 3,
    /// MED or fitted linear prediction, contexts from rows above, tANS: see `FORMAT.md`.
    PixelContext = 4,
    /// MED prediction, zigzag, groups packed in as many bits as they need: see `FORMAT.md`.
    PixelPacked = 5,
    /// Predictions fitted by class, frequencies that adapt: see `FORMAT.md`.
    PixelAdaptive = 6,
}

impl Codec {
    /// The codec with this id.
    pub fn from_id(id: u8) -> Result<Self> {
        match id {
            0 => Ok(Self::Stored),
            1 => Ok(Self::Zstd),
            2 => Ok(Self::PixelMed),
            3 => Ok(Self::PixelClassed),
            4 => Ok(Self::PixelContext),
            5 => Ok(Self::PixelPacked),
            6 => Ok(Self::PixelAdaptive),
            _ => Err(Error::Codec { codec: id, why: "this build does not know the codec" }),
        }
    }

    /// The id as it stands in a pack.
    #[must_use]
    pub fn id(self) -> u8 {
        self as u8
    }
}

/// What a chunk is, as far as choosing a codec goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Headers, manifests, private blobs: text and small numbers.
    Text,
    /// Native pixels that the pixel filter applies to.
    Pixels(Geometry),
    /// Most likely compressed already, or noise.
    Dense,
}

/// What new chunks are coded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compression {
    /// For size, at a speed that keeps up with networks and disks.
    #[default]
    Default,
    /// For speed: pixels by [`Codec::PixelPacked`], text at level 1 at most.
    Turbo,
    /// For size alone: pixels by [`Codec::PixelAdaptive`] where that is shorter. It takes several times
    /// as long, both ways.
    Cold,
}

/// How hard to try. Never changes a name or a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Zstandard level for text; 3 unless set.
    pub text_level: i32,
    /// Zstandard level behind the pixel filter; 1 unless set (higher ones gain nothing).
    pub pixel_level: i32,
    /// For size or for speed.
    pub compression: Compression,
    /// Apply the pixel filter.
    pub filter: bool,
    /// Compress at all.
    pub compress: bool,
}

impl Default for Effort {
    fn default() -> Self {
        Self {
            text_level: 3,
            pixel_level: 1,
            compression: Compression::Default,
            filter: true,
            compress: true,
        }
    }
}

impl Effort {
    /// The filter for pixels. In samples of eight bits the groups of codec 3 find more than contexts do.
    fn pixel_codec(self, geometry: Geometry) -> Codec {
        match self.compression {
            Compression::Turbo => Codec::PixelPacked,
            _ if geometry.sample_bytes == 2 => Codec::PixelContext,
            _ => Codec::PixelClassed,
        }
    }

    /// The level for what is not filtered.
    fn plain_level(self) -> i32 {
        match self.compression {
            Compression::Default | Compression::Cold => self.text_level,
            Compression::Turbo => self.text_level.min(1),
        }
    }

    /// How many times shorter plain matching has to be, at least, for it to be preferred.
    fn drawn_ratio(self) -> usize {
        match self.compression {
            Compression::Default | Compression::Cold => 1,
            Compression::Turbo => 2,
        }
    }
}

/// A chunk as it is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// How `bytes` are coded.
    pub codec: Codec,
    /// The coded bytes; empty for [`Codec::Stored`], where the plain bytes stand for themselves.
    pub bytes: Vec<u8>,
}

impl Encoded {
    const STORED: Self = Self { codec: Codec::Stored, bytes: Vec::new() };

    /// The bytes to write: coded, or the plain ones where nothing was gained.
    #[must_use]
    pub fn payload<'a>(&'a self, plain: &'a [u8]) -> &'a [u8] {
        if self.codec == Codec::Stored { plain } else { &self.bytes }
    }
}

/// Bytes of a dense chunk that are tried before compressing all of it.
const SAMPLE_BYTES: usize = 16 << 10;

/// Bytes of an image that are tried before choosing how to code all of it.
const DRAWN_SAMPLE_BYTES: usize = 48 << 10;
/// Of one of 16 bits, so many are tried before that: they tell unless one way takes less than so many halves
/// of what the other does.
const DRAWN_GLANCE_BYTES: usize = 6 << 10;
const DRAWN_CLEAR_HALVES: usize = 3;

/// Samples of a 16-bit image that are looked at for a palette; values that it may have, and how far
/// they are apart at least, on average. Dark images have few values too, but leave none out.
const VALUES_SAMPLED: usize = 4096;
/// So many samples are counted before it is asked whether there are too many values already.
const VALUES_AT_ONCE: usize = 64;
const PALETTE_VALUES: u32 = 256;
const PALETTE_STEP: u32 = 32;

/// An image that became so many times shorter is all but empty.
const EMPTY_RATIO: usize = 40;

/// Codes `plain`, choosing the codec by `content`. Never longer than the plain bytes.
#[must_use]
pub fn encode(plain: &[u8], content: Content, effort: Effort) -> Encoded {
    if !effort.compress {
        return Encoded::STORED;
    }
    let best = match content {
        Content::Text => compressed(plain, effort.plain_level()),
        Content::Dense => dense(plain),
        Content::Pixels(geometry) if effort.filter => {
            let usual = pixels(plain, geometry, effort);
            if effort.compression == Compression::Cold {
                adapted(plain, geometry, usual)
            } else {
                usual
            }
        }
        Content::Pixels(_) => compressed(plain, effort.pixel_level),
    };
    // A gain under 1/64 is not worth a decompression at every read.
    match best {
        Some(coded) if coded.bytes.len() + plain.len() / 64 < plain.len() => coded,
        _ => Encoded::STORED,
    }
}

fn compressed(plain: &[u8], level: i32) -> Option<Encoded> {
    let bytes = zstandard::compress(plain, level)?;
    Some(Encoded { codec: Codec::Zstd, bytes })
}

fn dense(plain: &[u8]) -> Option<Encoded> {
    let middle = (plain.len() / 2).saturating_sub(SAMPLE_BYTES / 2);
    let sample = &plain[middle..plain.len().min(middle + SAMPLE_BYTES)];
    let tried = zstandard::compress(sample, 1)?;
    if tried.len() + sample.len() / 32 < sample.len() { compressed(plain, 1) } else { None }
}

/// By codec 6, where that is shorter by 1/64 than what else there is: it takes longer to read.
fn adapted(plain: &[u8], geometry: Geometry, usual: Option<Encoded>) -> Option<Encoded> {
    let most = usual.as_ref().map_or(plain.len(), |usual| usual.bytes.len());
    let adapted = encode_filtered(Codec::PixelAdaptive, plain, geometry);
    adapted.filter(|adapted| adapted.bytes.len() + most / 64 < most).or(usual)
}

fn pixels(plain: &[u8], geometry: Geometry, effort: Effort) -> Option<Encoded> {
    let turbo = effort.compression == Compression::Turbo;
    if !matches!(geometry.sample_bytes, 1 | 2) {
        return dense(plain);
    }
    let maybe_drawn = geometry.sample_bytes == 1 || (!turbo && has_few_values(plain, geometry));
    if maybe_drawn && looks_drawn(plain, geometry, effort) {
        return compressed(plain, effort.plain_level());
    }
    match encode_filtered(effort.pixel_codec(geometry), plain, geometry) {
        // Of what is all but empty, Zstandard makes still less, and it is quick there.
        Some(coded) if coded.bytes.len() < plain.len() / EMPTY_RATIO => {
            let direct = compressed(plain, effort.plain_level());
            direct.filter(|direct| direct.bytes.len() < coded.bytes.len()).or(Some(coded))
        }
        Some(coded) => Some(coded),
        // What prediction does not make shorter is noise, or repeats itself.
        None => dense(plain),
    }
}

/// Eight-bit images are often drawn (palettes, text, flat areas), where prediction loses to plain
/// matching: samples tell.
fn looks_drawn(plain: &[u8], geometry: Geometry, effort: Effort) -> bool {
    let tried = |bytes| {
        let sample = sample_of(plain, geometry, bytes);
        let filtered = encode_filtered(effort.pixel_codec(geometry), &sample, geometry)
            .map_or(usize::MAX / DRAWN_CLEAR_HALVES, |filtered| filtered.bytes.len());
        let direct = zstandard::compress(&sample, effort.plain_level())?;
        Some((filtered, direct.len() * effort.drawn_ratio()))
    };
    if geometry.sample_bytes == 2
        && let Some((filtered, direct)) = tried(DRAWN_GLANCE_BYTES)
    {
        if direct * DRAWN_CLEAR_HALVES < filtered * 2 {
            return true;
        }
        if filtered * DRAWN_CLEAR_HALVES < direct * 2 {
            return false;
        }
    }
    tried(DRAWN_SAMPLE_BYTES).is_some_and(|(filtered, direct)| direct < filtered)
}

/// Three pieces of an image, of so many bytes together and whole rows; all of a small one.
fn sample_of(plain: &[u8], geometry: Geometry, bytes: usize) -> Cow<'_, [u8]> {
    let row = (geometry.above as usize).max(1) * usize::from(geometry.sample_bytes);
    let piece = (bytes / 3).next_multiple_of(row);
    if plain.len() <= 3 * piece {
        return plain.into();
    }
    let quarter = plain.len() / 4;
    let pieces = [1, 2, 3].map(|at| &plain[quarter * at / row * row..][..piece.min(quarter)]);
    pieces.concat().into()
}

/// Few values, far apart, are a sign of a palette.
fn has_few_values(plain: &[u8], geometry: Geometry) -> bool {
    if geometry.big_endian {
        are_few(plain, u16::from_be_bytes)
    } else {
        are_few(plain, u16::from_le_bytes)
    }
}

fn are_few(plain: &[u8], value: impl Fn([u8; 2]) -> u16) -> bool {
    let pairs = plain.as_chunks::<2>().0;
    let step = (pairs.len() / VALUES_SAMPLED).max(1);
    let mut sampled = (0..pairs.len()).step_by(step).map(|at| value(pairs[at]));
    let highest = match step {
        // All of them, in vectors.
        1 => pairs.iter().map(|pair| value(*pair)).max(),
        _ => sampled.clone().max(),
    };
    let highest = highest.unwrap_or_default();
    // So many at most; of most images the first few hundred samples have more.
    let most = PALETTE_VALUES.min(u32::from(highest) / PALETTE_STEP);
    // A byte each: what is written does not depend on what was there, so none waits for the one before.
    let mut seen = vec![false; usize::from(highest) + 1];
    let (mut values, mut left) = (0, sampled.len());
    while left > 0 {
        let some = left.min(VALUES_AT_ONCE);
        for value in sampled.by_ref().take(some) {
            values += u32::from(!seen[usize::from(value)]);
            seen[usize::from(value)] = true;
        }
        if values > most {
            return false;
        }
        left -= some;
    }
    true
}

/// Codes `plain` with a pixel filter, whatever comes of it: for comparing codecs. `None` where the
/// filter does not apply or gains nothing.
#[must_use]
pub fn encode_filtered(codec: Codec, plain: &[u8], geometry: Geometry) -> Option<Encoded> {
    let bytes = match codec {
        Codec::PixelMed => pixel::encode(plain, geometry, Effort::default().pixel_level),
        Codec::PixelClassed => classed::encode(plain, geometry),
        Codec::PixelContext => contextual::encode(plain, geometry),
        Codec::PixelPacked => packed::encode(plain, geometry),
        Codec::PixelAdaptive => adaptive::encode(plain, geometry),
        Codec::Stored | Codec::Zstd => None,
    }?;
    Some(Encoded { codec, bytes })
}

/// Decodes into exactly `plain_bytes` bytes, or fails; never allocates more.
///
/// The caller bounds `plain_bytes` by what it is ready to hold.
pub fn decode(codec: Codec, coded: &[u8], plain_bytes: usize) -> Result<Vec<u8>> {
    if plain_bytes > MANIFEST_BYTES_MAX {
        return Err(Error::Codec { codec: codec.id(), why: "its plain length is over the bound" });
    }
    let mut plain = vec![0; plain_bytes];
    decode_into(codec, coded, &mut plain)?;
    Ok(plain)
}

/// Decodes into memory that the caller has, filling it exactly, or fails; what is in it then means
/// nothing.
pub fn decode_into(codec: Codec, coded: &[u8], plain: &mut [u8]) -> Result<()> {
    match codec {
        Codec::Stored if coded.len() == plain.len() => {
            plain.copy_from_slice(coded);
            Ok(())
        }
        Codec::Stored => Err(Error::Codec { codec: 0, why: "it has another length" }),
        Codec::Zstd => zstandard::decompress(codec, coded, plain),
        Codec::PixelMed => pixel::decode(coded, plain),
        Codec::PixelClassed => classed::decode(coded, plain),
        Codec::PixelContext => contextual::decode(coded, plain),
        Codec::PixelPacked => packed::decode(coded, plain),
        Codec::PixelAdaptive => adaptive::decode(coded, plain),
    }
}

thread_local! {
    /// What [`comes_back`] decodes into: memory that was used just before is quicker than new. Taken
    /// for the time of a call: a thread that waits for others may be given another chunk.
    static DECODED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bytes that a thread keeps for [`comes_back`]: any chunk but a very long manifest.
const DECODED_KEPT_BYTES: usize = 2 << 20;

/// Does `encoded` decode to `plain`?
#[must_use]
pub fn comes_back(encoded: &Encoded, plain: &[u8]) -> bool {
    let mut decoded = DECODED.take();
    decoded.resize(plain.len(), 0);
    let done = decode_into(encoded.codec, encoded.payload(plain), &mut decoded);
    let same = done.is_ok() && decoded == plain;
    decoded.truncate(DECODED_KEPT_BYTES);
    decoded.shrink_to(DECODED_KEPT_BYTES);
    DECODED.set(decoded);
    same
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn any_geometry() -> impl Strategy<Value = Geometry> {
        (0u8..4, any::<bool>(), 0u8..5, prop_oneof![0u32..600, any::<u32>()]).prop_map(
            |(sample_bytes, big_endian, left, above)| Geometry {
                sample_bytes,
                big_endian,
                left,
                above,
            },
        )
    }

    fn any_content() -> impl Strategy<Value = Content> {
        prop_oneof![
            Just(Content::Text),
            Just(Content::Dense),
            any_geometry().prop_map(Content::Pixels)
        ]
    }

    fn any_compression() -> impl Strategy<Value = Compression> {
        prop_oneof![Just(Compression::Default), Just(Compression::Turbo), Just(Compression::Cold)]
    }

    fn smooth(seed: u8, length: usize) -> Vec<u8> {
        let mut noise = vec![0; length];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut noise);
        (0..length).map(|i| (i / 97) as u8 ^ (noise[i] & 3)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn any_bytes_come_back(
            content in any_content(),
            seed: u8,
            length in 0usize..20_000,
            raw: Vec<u8>,
            filter: bool,
            compression in any_compression(),
        ) {
            let effort = Effort { compression, filter, ..Effort::default() };
            for plain in [smooth(seed, length), raw] {
                let coded = encode(&plain, content, effort);
                let payload = coded.payload(&plain);
                prop_assert!(payload.len() <= plain.len());
                prop_assert_eq!(decode(coded.codec, payload, plain.len()).unwrap(), plain);
            }
        }

        #[test]
        fn hostile_bytes_never_panic(id in 0u8..8, coded: Vec<u8>, length in 0usize..100_000) {
            if let Ok(codec) = Codec::from_id(id) {
                let _ = decode(codec, &coded, length);
            }
        }

        #[test]
        fn a_flipped_byte_never_panics(seed: u8, at: prop::sample::Index, with in 1u8..) {
            let plain = smooth(seed, 4096);
            let geometry = Geometry { sample_bytes: 2, big_endian: false, left: 1, above: 64 };
            let mut coded = encode(&plain, Content::Pixels(geometry), Effort::default());
            let at = at.index(coded.bytes.len());
            coded.bytes[at] ^= with;
            let _ = decode(coded.codec, &coded.bytes, plain.len());
        }
    }

    #[test]
    fn smooth_sixteen_bit_images_gain_from_the_filter() {
        let geometry = Geometry { sample_bytes: 2, big_endian: false, left: 1, above: 256 };
        let mut noise = vec![0; 256 * 256];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let value = |i: usize| (i % 256 * 7 + i / 256 * 5) as u16 + u16::from(noise[i] % 4);
        let plain: Vec<u8> = (0..256 * 256).flat_map(|i| value(i).to_le_bytes()).collect();
        let filtered = encode(&plain, Content::Pixels(geometry), Effort::default());
        let plainly = encode(&plain, Content::Text, Effort::default());
        assert_eq!(filtered.codec, Codec::PixelContext);
        assert!(filtered.bytes.len() * 2 < plainly.payload(&plain).len());
    }

    type Image<'a> = &'a dyn Fn(usize) -> [u8; 2];

    #[test]
    fn of_what_is_all_but_empty_the_least_is_taken() {
        let geometry = Geometry { sample_bytes: 2, big_endian: false, left: 1, above: 256 };
        let mut noise = vec![0; 256 * 256];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let dots = |i: usize| if i.is_multiple_of(4099) { [i as u8, 1] } else { [0, 0] };
        let spot = |i: usize| {
            let is_within = (100..120).contains(&(i % 256)) && i < 256 * 100;
            if is_within { [noise[i] % 16 + (i % 256) as u8, 0] } else { [0, 0] }
        };
        for (image, codec) in [(&dots as Image<'_>, Codec::Zstd), (&spot, Codec::PixelContext)] {
            let plain: Vec<u8> = (0..256 * 256).flat_map(image).collect();
            let coded = encode(&plain, Content::Pixels(geometry), Effort::default());
            let contexts = encode_filtered(Codec::PixelContext, &plain, geometry).unwrap();
            let plainly = compressed(&plain, Effort::default().text_level).unwrap();
            assert!(contexts.bytes.len() < plain.len() / EMPTY_RATIO);
            assert_eq!(coded.bytes.len(), contexts.bytes.len().min(plainly.bytes.len()));
            assert_eq!(coded.codec, codec);
        }
    }

    #[test]
    fn contexts_are_shorter_than_classes() {
        let geometry = Geometry { sample_bytes: 2, big_endian: false, left: 1, above: 128 };
        let mut noise = vec![0; 128 * 128];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let value = |i: usize| (i % 128 * 5 + i / 128 * 3) as u16 + u16::from(noise[i] % 16);
        let plain: Vec<u8> = (0..128 * 128).flat_map(|i| value(i).to_le_bytes()).collect();
        let coded = encode(&plain, Content::Pixels(geometry), Effort::default());
        assert_eq!(coded.codec, Codec::PixelContext);
        let classed = encode_filtered(Codec::PixelClassed, &plain, geometry).unwrap();
        assert!(coded.bytes.len() < classed.bytes.len());
    }

    /// A geometry may say anything, and samples of no bytes once led to a division by zero.
    #[test]
    fn samples_of_no_bytes_are_no_pixels() {
        for sample_bytes in [0, 3, 255] {
            let geometry = Geometry { sample_bytes, big_endian: false, left: 1, above: 64 };
            for plain in [&[][..], &vec![1; 100_000]] {
                for compression in [Compression::Default, Compression::Turbo] {
                    let effort = Effort { compression, ..Effort::default() };
                    let coded = encode(plain, Content::Pixels(geometry), effort);
                    let back = decode(coded.codec, coded.payload(plain), plain.len()).unwrap();
                    assert_eq!(back, plain);
                }
            }
        }
    }

    #[test]
    fn turbo_packs_pixels_and_stores_noise() {
        let turbo = Effort { compression: Compression::Turbo, ..Effort::default() };
        let geometry = Geometry { sample_bytes: 2, big_endian: false, left: 1, above: 64 };
        let smooth: Vec<u8> =
            (0..64u16 * 64).flat_map(|i| (i % 64 * 3 + i / 64).to_le_bytes()).collect();
        let coded = encode(&smooth, Content::Pixels(geometry), turbo);
        assert_eq!(coded.codec, Codec::PixelPacked);
        assert!(comes_back(&coded, &smooth));
        let mut noise = vec![0; 100_000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        assert_eq!(encode(&noise, Content::Pixels(geometry), turbo).codec, Codec::Stored);
    }

    /// Eight-bit drawings, where bits by the group are many times what matching leaves.
    #[test]
    fn turbo_knows_a_drawing() {
        let turbo = Effort { compression: Compression::Turbo, ..Effort::default() };
        let geometry = Geometry { sample_bytes: 1, big_endian: false, left: 1, above: 256 };
        let drawn: Vec<u8> = (0..65_536).map(|i| (i % 7 * 40) as u8).collect();
        assert_eq!(encode(&drawn, Content::Pixels(geometry), turbo).codec, Codec::Zstd);
    }

    /// Of 16-bit images with few values, far apart, samples tell which are drawn.
    #[test]
    fn few_values_are_not_yet_a_drawing() {
        let geometry = Geometry { sample_bytes: 2, big_endian: false, left: 1, above: 256 };
        let image = |value: &dyn Fn(usize, usize) -> u16| -> Vec<u8> {
            (0..256 * 256).flat_map(|i| value(i % 256, i / 256).to_le_bytes()).collect()
        };
        let drawn = image(&|x, y| (x / 3 * 5 + y / 4 * 3) as u16 % 7 * 4000);
        let mut noise = vec![0; 256 * 256];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let taken =
            image(&|x, y| ((x + y) / 8) as u16 * 256 + u16::from(noise[y * 256 + x] % 4) * 256);
        for (plain, codec) in [(drawn, Codec::Zstd), (taken, Codec::PixelContext)] {
            assert!(has_few_values(&plain, geometry));
            assert_eq!(encode(&plain, Content::Pixels(geometry), Effort::default()).codec, codec);
        }
    }

    #[test]
    fn noise_is_stored() {
        let mut noise = vec![0; 100_000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let wide = Geometry { sample_bytes: 2, big_endian: false, left: 1, above: 300 };
        let narrow = Geometry { sample_bytes: 1, ..wide };
        for content in
            [Content::Text, Content::Dense, Content::Pixels(wide), Content::Pixels(narrow)]
        {
            assert_eq!(encode(&noise, content, Effort::default()).codec, Codec::Stored);
        }
    }
}
