//! Very many tiny instances, made by patching the bytes of a few templates.

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};

use super::PhantomFile;
use super::header::Series;
use super::rng::{Rng, uid};

/// Instances of a series.
const SERIES_INSTANCES: u64 = 500;
/// Series of a study.
const STUDY_SERIES: u64 = 4;
/// Sides of the square pictures of one series after the other: instances of 5 to 18 KB.
const SIDES: [u16; 3] = [48, 64, 88];
/// Noise on each pixel: its lowest four bits.
const NOISE_MASK: u64 = 0x000f_000f_000f_000f;
/// Stand-ins of fixed width for what is patched.
const NUMBER_SLOT: &str = "77770001";
const NAME_SLOT: &str = "Small^P77770002";
const ID_SLOT: &str = "SM77770003";

/// An instance with places to patch.
struct Template {
    bytes: Vec<u8>,
    instance: Vec<usize>,
    series: Vec<usize>,
    study: Vec<usize>,
    number: Vec<usize>,
    name: Vec<usize>,
    id: Vec<usize>,
    pixels: usize,
}

/// Where `slot` stands in `bytes`.
fn places(bytes: &[u8], slot: &str) -> Vec<usize> {
    let found = bytes.windows(slot.len()).enumerate();
    found.filter(|(_, window)| *window == slot.as_bytes()).map(|(at, _)| at).collect()
}

/// Writes `text` at each of the places.
fn patch(bytes: &mut [u8], places: &[usize], text: &str) {
    for &at in places {
        bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
}

impl Template {
    /// The template of a series with pictures of `side` x `side` pixels.
    fn new(seed: u64, side: u16) -> Self {
        let series = Series {
            seed,
            study: "small template",
            modality: "MR",
            sop_class: uids::MR_IMAGE_STORAGE,
            number: 1,
            study_description: "fMRI",
            description: "ep2d_bold",
        };
        let mut header = series.header(1);
        header.text(tags::INSTANCE_NUMBER, VR::IS, NUMBER_SLOT);
        header.text(tags::PATIENT_NAME, VR::PN, NAME_SLOT);
        header.text(tags::PATIENT_ID, VR::LO, ID_SLOT);
        header.image(side, side, 12, false);
        header.shorts(&[(tags::BITS_ALLOCATED, 16)]);
        let middle = f32::from(side) / 2.0;
        let pixels: Vec<u8> = (0..u32::from(side).pow(2))
            .flat_map(|pixel| {
                let (x, y) = (pixel % u32::from(side), pixel / u32::from(side));
                let far = (x as f32 - middle).hypot(y as f32 - middle) / middle;
                ((1200.0 * (1.0 - far * far).max(0.0)) as u16).to_le_bytes()
            })
            .collect();
        let pixel_bytes = pixels.len();
        header.bytes(tags::PIXEL_DATA, VR::OW, pixels);
        let bytes = header.into_file();
        Self {
            instance: places(&bytes, &series.instance_uid(1)),
            series: places(&bytes, &series.series_uid()),
            study: places(&bytes, &series.study_uid()),
            number: places(&bytes, NUMBER_SLOT),
            name: places(&bytes, NAME_SLOT),
            id: places(&bytes, ID_SLOT),
            pixels: bytes.len() - pixel_bytes,
            bytes,
        }
    }

    /// Instance `index` of all.
    fn instance(&self, seed: u64, index: u64) -> PhantomFile {
        let series = index / SERIES_INSTANCES;
        let study = series / STUDY_SERIES;
        let number = index % SERIES_INSTANCES + 1;
        let mut bytes = self.bytes.clone();
        patch(&mut bytes, &self.instance, &uid(seed, "small instance", index));
        patch(&mut bytes, &self.series, &uid(seed, "small series", series));
        patch(&mut bytes, &self.study, &uid(seed, "small study", study));
        patch(&mut bytes, &self.number, &format!("{number:08}"));
        patch(&mut bytes, &self.name, &format!("Small^P{:08}", study % 100_000_000));
        patch(&mut bytes, &self.id, &format!("SM{:08}", study % 100_000_000));
        let mut rng = Rng::new(seed, "small noise", index);
        for word in bytes[self.pixels..].as_chunks_mut().0 {
            // The picture stays far below 16 bits, so no sum carries into its neighbour.
            let noisy = u64::from_le_bytes(*word) + (rng.next_u64() & NOISE_MASK);
            *word = noisy.to_le_bytes();
        }
        let name = format!("SMALL/{study:04}/{series:05}/IM{number:04}.dcm");
        PhantomFile { name, bytes }
    }
}

/// `count` instances of 6 to 18 KB, each with its own UID and pixels: series of 500, studies of
/// four series, a patient to each study. Made for load: tens of thousands a second.
pub fn many_small(seed: u64, count: u64) -> impl Iterator<Item = PhantomFile> {
    let templates = SIDES.map(|side| Template::new(seed, side));
    (0..count).map(move |index| {
        let kind = index / SERIES_INSTANCES % SIDES.len() as u64;
        templates[kind as usize].instance(seed, index)
    })
}
