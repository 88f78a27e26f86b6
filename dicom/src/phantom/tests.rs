//! What the generators promise.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashSet;
use std::io::{Read, Write as _};

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, OpenFileOptions};

use super::*;

fn parse(bytes: &[u8]) -> DefaultDicomObject {
    OpenFileOptions::new().from_reader(bytes).unwrap()
}

fn text(object: &DefaultDicomObject, tag: Tag) -> String {
    object.element(tag).unwrap().to_str().unwrap().trim_end_matches(['\0', ' ']).to_owned()
}

fn pixels(object: &DefaultDicomObject) -> Vec<u8> {
    object.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap().into_owned()
}

/// How many times smaller deflate makes the bytes: much as zstd 3 does.
fn ratio(bytes: &[u8]) -> f64 {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).unwrap();
    bytes.len() as f64 / encoder.finish().unwrap().len() as f64
}

/// Every kind of file, few and small.
fn samples(seed: u64) -> Vec<PhantomFile> {
    ct(seed, 3, 128)
        .chain(mr(seed, 2, 96))
        .chain([ultrasound_cine(seed, 3, 160), structured_report(seed)])
        .chain(mammography(seed, 4, 200, 150))
        .chain(many_small(seed, 3))
        .collect()
}

#[test]
fn every_file_is_read_back_by_a_parser() {
    let mut names = HashSet::new();
    let mut instances = HashSet::new();
    for file in samples(7) {
        let object = parse(&file.bytes);
        let instance = text(&object, tags::SOP_INSTANCE_UID);
        assert_eq!(object.meta().media_storage_sop_instance_uid(), instance);
        assert_eq!(object.meta().transfer_syntax(), uids::EXPLICIT_VR_LITTLE_ENDIAN);
        for tag in [tags::SOP_INSTANCE_UID, tags::SERIES_INSTANCE_UID, tags::STUDY_INSTANCE_UID] {
            let uid = text(&object, tag);
            assert!(uid.starts_with("2.25.") && uid.len() == 44, "{uid}");
            assert!(uid[5..].parse::<u128>().is_ok(), "{uid}");
        }
        assert!(names.insert(file.name.clone()), "{} twice", file.name);
        assert!(instances.insert(instance), "{} has the UID of another", file.name);
        if !file.name.starts_with("SR") {
            let frames = object.get(tags::NUMBER_OF_FRAMES).map_or(1, |e| e.to_int().unwrap());
            let number = |tag| object.element(tag).unwrap().to_int::<usize>().unwrap();
            let samples = number(tags::ROWS) * number(tags::COLUMNS) * frames;
            let bytes = number(tags::BITS_ALLOCATED) / 8 * number(tags::SAMPLES_PER_PIXEL);
            assert_eq!(pixels(&object).len(), samples * bytes, "{}", file.name);
        }
    }
}

#[test]
fn the_seed_decides_everything() {
    assert_eq!(samples(3), samples(3));
    let (one, other) = (samples(3), samples(4));
    for (one, other) in one.iter().zip(&other) {
        assert_eq!(one.name, other.name);
        assert_ne!(one.bytes, other.bytes, "{}", one.name);
    }
}

#[test]
fn one_seed_is_one_patient_and_one_study_for_ct_and_its_report() {
    let files: Vec<_> = samples(5).into_iter().filter(|f| !f.name.starts_with("SMALL")).collect();
    let ids: HashSet<_> = files.iter().map(|f| text(&parse(&f.bytes), tags::PATIENT_ID)).collect();
    assert_eq!(ids.len(), 1);
    let study = |prefix: &str| {
        let file = files.iter().find(|file| file.name.starts_with(prefix)).unwrap();
        text(&parse(&file.bytes), tags::STUDY_INSTANCE_UID)
    };
    assert_eq!(study("CT"), study("SR"));
    assert_ne!(study("CT"), study("MR"));
}

#[test]
fn slices_have_headers_and_pixels_like_real_ones() {
    for (file, pixel_bytes, low, high) in [
        (ct(1, 60, 512).nth(30).unwrap(), 512 * 512 * 2, 1.9, 2.9),
        (ct(2, 60, 512).nth(30).unwrap(), 512 * 512 * 2, 1.9, 2.9),
        (mr(1, 40, 256).nth(20).unwrap(), 256 * 256 * 2, 1.6, 2.4),
    ] {
        let object = parse(&file.bytes);
        let header_bytes = file.bytes.len() - pixel_bytes;
        assert!((8 << 10..16 << 10).contains(&header_bytes), "{}: {header_bytes}", file.name);
        assert!((100..=200).contains(&object.iter().count()), "{}", object.iter().count());
        let ratio = ratio(&pixels(&object));
        assert!((low..high).contains(&ratio), "{}: {ratio}", file.name);
    }
}

#[test]
fn neighbouring_slices_look_alike() {
    let hounsfield = |file: PhantomFile| -> Vec<i16> {
        pixels(&parse(&file.bytes)).as_chunks().0.iter().map(|b| i16::from_le_bytes(*b)).collect()
    };
    let slices: Vec<_> = ct(1, 30, 128).map(hounsfield).collect();
    let apart = |a: &[i16], b: &[i16]| {
        let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).sum();
        sum / a.len() as f64
    };
    let near = apart(&slices[10], &slices[11]);
    let far = apart(&slices[0], &slices[29]);
    assert!(near < 30.0 && near * 2.0 < far, "near {near}, far {far}");
}

#[test]
fn a_correction_leaves_the_pixels_alone() {
    for file in samples(9) {
        let corrected =
            correct_demographics(&file.bytes, "CORRECTED^NAME", "ID-1", "ACC99887766").unwrap();
        let (before, after) = (parse(&file.bytes), parse(&corrected));
        assert_eq!(text(&after, tags::PATIENT_NAME), "CORRECTED^NAME");
        assert_eq!(text(&after, tags::PATIENT_ID), "ID-1");
        assert_eq!(text(&after, tags::ACCESSION_NUMBER), "ACC99887766");
        assert_eq!(before.get(tags::PIXEL_DATA), after.get(tags::PIXEL_DATA));
        assert_eq!(text(&before, tags::SOP_INSTANCE_UID), text(&after, tags::SOP_INSTANCE_UID));
        assert_eq!(before.iter().count(), after.iter().count());
    }
    assert!(correct_demographics(b"not DICOM", "A", "B", "C").is_err());
}

#[test]
fn small_instances_are_small_distinct_and_grouped() {
    let files: Vec<_> = many_small(11, 2_600).collect();
    let mut contents = HashSet::new();
    let (mut series, mut studies) = (HashSet::new(), HashSet::new());
    for (index, file) in files.iter().enumerate() {
        assert!((4 << 10..20 << 10).contains(&file.bytes.len()), "{}", file.bytes.len());
        assert!(contents.insert(&file.bytes[2_000..]));
        if index % 250 == 0 {
            let object = parse(&file.bytes);
            assert_eq!(text(&object, tags::INSTANCE_NUMBER), format!("{:08}", index % 500 + 1));
            series.insert(text(&object, tags::SERIES_INSTANCE_UID));
            studies.insert(text(&object, tags::STUDY_INSTANCE_UID));
        }
    }
    assert_eq!((series.len(), studies.len()), (6, 2));
}

#[test]
fn a_giant_is_as_long_as_it_says_and_its_frames_can_be_walked() {
    let mut cine = GiantCine::new(1, 3_000_000);
    let (promised, frames) = (cine.len(), cine.frames());
    assert!((3_000_000..3_000_000 + 600_000).contains(&promised));
    let mut bytes = Vec::new();
    cine.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, promised);
    assert_eq!(cine.read(&mut [0; 10]).unwrap(), 0);

    let object = parse(&bytes);
    assert_eq!(object.meta().transfer_syntax(), "1.2.840.10008.1.2.1.98");
    assert_eq!(object.element(tags::NUMBER_OF_FRAMES).unwrap().to_int::<u64>().unwrap(), frames);
    let element = object.element(tags::PIXEL_DATA).unwrap();
    assert!(element.value().offset_table().unwrap().is_empty());
    let fragments = element.value().fragments().unwrap();
    assert_eq!(fragments.len() as u64, frames);
    assert!(fragments.iter().all(|fragment| fragment.len() == 512 << 10));
    let pages: HashSet<_> = fragments.iter().flat_map(|frame| frame.chunks(4096)).collect();
    assert_eq!(pages.len(), fragments.len() * 128);
}

#[test]
fn a_giant_beyond_four_gib_is_counted_before_it_is_made() {
    let cine = GiantCine::new(1, 5 << 30);
    assert!(cine.len() >= 5 << 30 && cine.len() < (5 << 30) + (1 << 20));
    assert_eq!(cine.len() % 2, 0);
}
