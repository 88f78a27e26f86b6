//! Ultrasound loops and mammograms: few instances, large ones.

use dicom_core::{Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use super::PhantomFile;
use super::header::{Header, Row, Series, code};
use super::image::mg::Breast;
use super::image::us::Loop;

/// The views of a mammography in their order: side and projection.
const MG_VIEWS: [(&str, &str); 4] = [("L", "CC"), ("R", "CC"), ("L", "MLO"), ("R", "MLO")];

/// Elements of each mammogram that never change.
const MG_ROWS: [Row; 27] = [
    (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY"),
    (tags::PRESENTATION_INTENT_TYPE, VR::CS, "FOR PRESENTATION"),
    (tags::BODY_PART_EXAMINED, VR::CS, "BREAST"),
    (tags::KVP, VR::DS, "29"),
    (tags::DISTANCE_SOURCE_TO_DETECTOR, VR::DS, "660"),
    (tags::DISTANCE_SOURCE_TO_PATIENT, VR::DS, "633"),
    (tags::ESTIMATED_RADIOGRAPHIC_MAGNIFICATION_FACTOR, VR::DS, "1.042"),
    (tags::EXPOSURE_TIME, VR::IS, "904"),
    (tags::X_RAY_TUBE_CURRENT, VR::IS, "100"),
    (tags::EXPOSURE, VR::IS, "90"),
    (tags::EXPOSURE_INU_AS, VR::IS, "90400"),
    (tags::IMAGER_PIXEL_SPACING, VR::DS, "0.07\\0.07"),
    (tags::GRID, VR::CS, "RECIPROCATING\\FOCUSED"),
    (tags::FOCAL_SPOTS, VR::DS, "0.3"),
    (tags::ANODE_TARGET_MATERIAL, VR::CS, "RHODIUM"),
    (tags::BODY_PART_THICKNESS, VR::DS, "52"),
    (tags::COMPRESSION_FORCE, VR::DS, "110"),
    (tags::FILTER_MATERIAL, VR::CS, "RHODIUM"),
    (tags::DETECTOR_TYPE, VR::CS, "SCINTILLATOR"),
    (tags::DETECTOR_ID, VR::SH, "PH-DET-01"),
    (tags::EXPOSURE_CONTROL_MODE, VR::CS, "AUTOMATIC"),
    (tags::PIXEL_INTENSITY_RELATIONSHIP, VR::CS, "LOG"),
    (tags::RESCALE_INTERCEPT, VR::DS, "0"),
    (tags::RESCALE_SLOPE, VR::DS, "1"),
    (tags::PRESENTATION_LUT_SHAPE, VR::CS, "IDENTITY"),
    (tags::BURNED_IN_ANNOTATION, VR::CS, "NO"),
    (tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00"),
];

/// Elements of a loop that never change.
const US_ROWS: [Row; 17] = [
    (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\ADULT_HEART\\0001"),
    (tags::BODY_PART_EXAMINED, VR::CS, "HEART"),
    (tags::CINE_RATE, VR::IS, "30"),
    (tags::FRAME_TIME, VR::DS, "33.333"),
    (tags::FRAME_DELAY, VR::DS, "0"),
    (tags::HEART_RATE, VR::IS, "75"),
    (tags::START_TRIM, VR::IS, "1"),
    (tags::RECOMMENDED_DISPLAY_FRAME_RATE, VR::IS, "30"),
    (tags::TRANSDUCER_DATA, VR::LO, "S5-1"),
    (tags::PROCESSING_FUNCTION, VR::LO, "COMPRESSION_7"),
    (tags::MECHANICAL_INDEX, VR::DS, "1.4"),
    (tags::BONE_THERMAL_INDEX, VR::DS, "2.2"),
    (tags::SOFT_TISSUE_THERMAL_INDEX, VR::DS, "1.1"),
    (tags::DEPTH_OF_SCAN_FIELD, VR::IS, "160"),
    (tags::PATIENT_ORIENTATION, VR::CS, ""),
    (tags::BURNED_IN_ANNOTATION, VR::CS, "NO"),
    (tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00"),
];

/// A loop of `frames` frames of `size` x `size` 8-bit RGB pixels, in one multi-frame instance.
#[must_use]
pub fn ultrasound_cine(seed: u64, frames: u32, size: u16) -> PhantomFile {
    let series = Series {
        seed,
        study: "study of the heart",
        modality: "US",
        sop_class: uids::ULTRASOUND_MULTI_FRAME_IMAGE_STORAGE,
        number: 1,
        study_description: "ECHOCARDIOGRAPHY",
        description: "Apical four chamber",
    };
    let picture = Loop::new(seed, size.into());
    let mut pixels = Vec::with_capacity(frames as usize * usize::from(size).pow(2) * 3);
    for frame in 0..frames {
        picture.frame(frame, &mut pixels);
    }
    let mut header = series.header(1);
    header.texts(&US_ROWS);
    header.image(size, size, 8, false);
    header.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "RGB");
    header.shorts(&[(tags::SAMPLES_PER_PIXEL, 3), (tags::PLANAR_CONFIGURATION, 0)]);
    header.text(tags::NUMBER_OF_FRAMES, VR::IS, frames.to_string());
    header.text(tags::STOP_TRIM, VR::IS, frames.to_string());
    let pointer = dicom_core::PrimitiveValue::Tags([tags::FRAME_TIME].as_slice().into());
    header.0.put(dicom_core::DataElement::new(tags::FRAME_INCREMENT_POINTER, VR::AT, pointer));
    header.items(tags::SEQUENCE_OF_ULTRASOUND_REGIONS, vec![region(size)]);
    // Pixels of one byte are OB or OW; this vendor takes OB (PS3.5 A.2).
    header.bytes(tags::PIXEL_DATA, VR::OB, pixels);
    PhantomFile { name: "US/CINE.dcm".to_owned(), bytes: header.into_file() }
}

/// Where the fan lies in the picture and what a pixel of it measures.
fn region(size: u16) -> InMemDicomObject {
    let mut item = Header(InMemDicomObject::new_empty());
    let longs: [(Tag, u32); 5] = [
        (tags::REGION_LOCATION_MIN_X0, 0),
        (tags::REGION_LOCATION_MIN_Y0, u32::from(size) / 20),
        (tags::REGION_LOCATION_MAX_X1, u32::from(size) - 1),
        (tags::REGION_LOCATION_MAX_Y1, u32::from(size) - 1),
        (tags::REGION_FLAGS, 3),
    ];
    for (tag, value) in longs {
        let value = dicom_core::PrimitiveValue::from(value);
        item.0.put(dicom_core::DataElement::new(tag, VR::UL, value));
    }
    item.shorts(&[
        (tags::REGION_SPATIAL_FORMAT, 1),
        (tags::REGION_DATA_TYPE, 1),
        (tags::PHYSICAL_UNITS_X_DIRECTION, 3),
        (tags::PHYSICAL_UNITS_Y_DIRECTION, 3),
    ]);
    item.double(tags::PHYSICAL_DELTA_X, 16.0 / f64::from(size));
    item.double(tags::PHYSICAL_DELTA_Y, 16.0 / f64::from(size));
    item.0
}

/// A mammography of `views` instances of `rows` x `columns` 12-bit pixels in 16: left and right
/// from above, left and right oblique, and again. Made one at a time. A real one has 3,328 x 2,560
/// pixels.
pub fn mammography(
    seed: u64,
    views: u32,
    rows: u16,
    columns: u16,
) -> impl Iterator<Item = PhantomFile> {
    let breast = Breast::new(seed);
    let series = Series {
        seed,
        study: "study of the breast",
        modality: "MG",
        sop_class: uids::DIGITAL_MAMMOGRAPHY_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION,
        number: 1,
        study_description: "MAMMOGRAPHY SCREENING",
        description: "Screening",
    };
    (1..=views).map(move |number| {
        let (side, projection) = MG_VIEWS[(number as usize - 1) % MG_VIEWS.len()];
        let values = breast.view(number - 1, rows.into(), columns.into());
        let pixels = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut header = series.header(number);
        header.texts(&MG_ROWS);
        header.image(rows, columns, 12, false);
        header.shorts(&[(tags::BITS_ALLOCATED, 16)]);
        header.text(tags::IMAGE_LATERALITY, VR::CS, side);
        header.text(tags::VIEW_POSITION, VR::CS, projection);
        header.text(tags::WINDOW_CENTER, VR::DS, "1600");
        header.text(tags::WINDOW_WIDTH, VR::DS, "3200");
        let view = match projection {
            "CC" => ("399162004", "SCT", "cranio-caudal"),
            _ => ("399368009", "SCT", "medio-lateral oblique"),
        };
        header.items(tags::VIEW_CODE_SEQUENCE, vec![code(view)]);
        let breast = ("76752008", "SCT", "Breast");
        header.items(tags::ANATOMIC_REGION_SEQUENCE, vec![code(breast)]);
        header.bytes(tags::PIXEL_DATA, VR::OW, pixels);
        let name = format!("MG/{number:02}-{side}{projection}.dcm");
        PhantomFile { name, bytes: header.into_file() }
    })
}
