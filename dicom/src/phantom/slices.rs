//! CT and MR series: one instance a slice.

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};

use super::header::{Header, Row, Series, code, reference};
use super::image::ct::{PADDING_HU, Torso};
use super::image::mr::Head;
use super::rng::uid;
use super::{PhantomFile, csa};

/// Slices from the apex of the lungs to the kidneys at the coarsest spacing. A shorter series shows
/// a part of the body and a longer one has thinner slices, so that neighbours always look alike.
const CT_SLICES_MIN: u32 = 120;
/// The same for a head.
const MR_SLICES_MIN: u32 = 96;
/// What the torso measures from top to bottom.
const CT_HEIGHT_MM: f64 = 320.0;
/// What the head measures from top to bottom.
const MR_HEIGHT_MM: f64 = 160.0;
/// What unsigned CT values are raised by.
const CT_OFFSET_HU: i16 = 1024;

/// Elements of each CT slice that never change.
const CT_ROWS: [Row; 37] = [
    (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SPI"),
    (tags::CONTRAST_BOLUS_AGENT, VR::LO, "CE"),
    (tags::BODY_PART_EXAMINED, VR::CS, "CHEST"),
    (tags::SCAN_OPTIONS, VR::CS, "HELIX"),
    (tags::KVP, VR::DS, "120"),
    (tags::DATA_COLLECTION_DIAMETER, VR::DS, "500"),
    (tags::CONTRAST_BOLUS_ROUTE, VR::LO, "IV"),
    (tags::CONTRAST_BOLUS_VOLUME, VR::DS, "90"),
    (tags::CONTRAST_FLOW_RATE, VR::DS, "3.5"),
    (tags::CONTRAST_BOLUS_INGREDIENT, VR::CS, "IODINE"),
    (tags::RECONSTRUCTION_DIAMETER, VR::DS, "400"),
    (tags::DISTANCE_SOURCE_TO_DETECTOR, VR::DS, "1085.6"),
    (tags::DISTANCE_SOURCE_TO_PATIENT, VR::DS, "595"),
    (tags::GANTRY_DETECTOR_TILT, VR::DS, "0"),
    (tags::TABLE_HEIGHT, VR::DS, "151.5"),
    (tags::ROTATION_DIRECTION, VR::CS, "CW"),
    (tags::EXPOSURE_TIME, VR::IS, "500"),
    (tags::X_RAY_TUBE_CURRENT, VR::IS, "221"),
    (tags::EXPOSURE, VR::IS, "110"),
    (tags::FILTER_TYPE, VR::SH, "FLAT"),
    (tags::GENERATOR_POWER, VR::IS, "26"),
    (tags::FOCAL_SPOTS, VR::DS, "1.2"),
    (tags::DATE_OF_LAST_CALIBRATION, VR::DA, "20260102"),
    (tags::TIME_OF_LAST_CALIBRATION, VR::TM, "065911.000000"),
    (tags::CONVOLUTION_KERNEL, VR::SH, "B30f"),
    (tags::PATIENT_POSITION, VR::CS, "HFS"),
    (tags::ACQUISITION_TYPE, VR::CS, "SPIRAL"),
    (tags::EXPOSURE_MODULATION_TYPE, VR::CS, "XYZ_EC"),
    (tags::RECONSTRUCTION_ALGORITHM, VR::CS, "FILTER_BACK_PROJ"),
    (tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0"),
    (tags::POSITION_REFERENCE_INDICATOR, VR::LO, ""),
    (tags::WINDOW_CENTER, VR::DS, "40\\-600"),
    (tags::WINDOW_WIDTH, VR::DS, "400\\1500"),
    (tags::RESCALE_SLOPE, VR::DS, "1"),
    (tags::RESCALE_TYPE, VR::LO, "HU"),
    (tags::WINDOW_CENTER_WIDTH_EXPLANATION, VR::LO, "SOFT TISSUE\\LUNG"),
    (tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00"),
];

/// Elements of each MR slice that never change.
const MR_ROWS: [Row; 34] = [
    (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\M\\ND\\NORM"),
    (tags::BODY_PART_EXAMINED, VR::CS, "BRAIN"),
    (tags::SCANNING_SEQUENCE, VR::CS, "GR\\IR"),
    (tags::SEQUENCE_VARIANT, VR::CS, "SP\\MP"),
    (tags::SCAN_OPTIONS, VR::CS, "IR\\WE"),
    (tags::MR_ACQUISITION_TYPE, VR::CS, "3D"),
    (tags::SEQUENCE_NAME, VR::SH, "*tfl3d1_16ns"),
    (tags::ANGIO_FLAG, VR::CS, "N"),
    (tags::REPETITION_TIME, VR::DS, "2300"),
    (tags::ECHO_TIME, VR::DS, "2.98"),
    (tags::INVERSION_TIME, VR::DS, "900"),
    (tags::NUMBER_OF_AVERAGES, VR::DS, "1"),
    (tags::IMAGING_FREQUENCY, VR::DS, "123.256"),
    (tags::IMAGED_NUCLEUS, VR::SH, "1H"),
    (tags::ECHO_NUMBERS, VR::IS, "1"),
    (tags::MAGNETIC_FIELD_STRENGTH, VR::DS, "3"),
    (tags::NUMBER_OF_PHASE_ENCODING_STEPS, VR::IS, "255"),
    (tags::ECHO_TRAIN_LENGTH, VR::IS, "1"),
    (tags::PERCENT_SAMPLING, VR::DS, "100"),
    (tags::PERCENT_PHASE_FIELD_OF_VIEW, VR::DS, "100"),
    (tags::PIXEL_BANDWIDTH, VR::DS, "240"),
    (tags::TRANSMIT_COIL_NAME, VR::SH, "Body"),
    (tags::IN_PLANE_PHASE_ENCODING_DIRECTION, VR::CS, "ROW"),
    (tags::FLIP_ANGLE, VR::DS, "9"),
    (tags::VARIABLE_FLIP_ANGLE_FLAG, VR::CS, "N"),
    (tags::SAR, VR::DS, "0.061"),
    (tags::D_BDT, VR::DS, "0"),
    (tags::PATIENT_POSITION, VR::CS, "HFS"),
    (tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0"),
    (tags::POSITION_REFERENCE_INDICATOR, VR::LO, ""),
    (tags::WINDOW_CENTER, VR::DS, "420"),
    (tags::WINDOW_WIDTH, VR::DS, "880"),
    (tags::WINDOW_CENTER_WIDTH_EXPLANATION, VR::LO, "Algo1"),
    (tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00"),
];

/// The CT series of a seed, shared with the report on it.
pub(super) fn ct_series(seed: u64) -> Series {
    Series {
        seed,
        study: "study of the chest",
        modality: "CT",
        sop_class: uids::CT_IMAGE_STORAGE,
        number: 2,
        study_description: "CT CHEST WITH CONTRAST",
        description: "CHEST 2.5 B30f",
    }
}

/// A chest CT of `slices` instances of `size` x `size` 16-bit pixels, made one at a time. Odd seeds
/// store signed Hounsfield units, even ones 12 bits above -1024, as one vendor and another do.
pub fn ct(seed: u64, slices: u32, size: u16) -> impl Iterator<Item = PhantomFile> {
    let (series, torso) = (ct_series(seed), Torso::new(seed));
    (1..=slices).map(move |number| {
        let stack = Stack::new(slices, CT_SLICES_MIN, CT_HEIGHT_MM, 0.3);
        let hounsfield = torso.slice(u64::from(number), stack.height(number), size.into());
        let signed = seed % 2 == 1;
        let stored = |hu: i16| {
            let raised = if hu == PADDING_HU { 0 } else { (hu + CT_OFFSET_HU).clamp(0, 4095) };
            if signed { hu } else { raised }
        };
        let pixels = hounsfield.iter().flat_map(|&hu| stored(hu).to_le_bytes()).collect();
        let mut header = series.header(number);
        header.texts(&CT_ROWS);
        header.image(size, size, if signed { 16 } else { 12 }, signed);
        header.text(tags::RESCALE_INTERCEPT, VR::DS, if signed { "0" } else { "-1024" });
        // Stored as US or SS by sign; the bit pattern is what counts.
        header.shorts(&[(tags::PIXEL_PADDING_VALUE, stored(PADDING_HU).cast_unsigned())]);
        ct_numbers(&mut header);
        stack.place(&mut header, &series, number, 400.0 / f64::from(size));
        header.bytes(tags::PIXEL_DATA, VR::OW, pixels);
        file("CT", number, header)
    })
}

/// A head MR of `slices` instances of `size` x `size` 12-bit pixels, made one at a time.
pub fn mr(seed: u64, slices: u32, size: u16) -> impl Iterator<Item = PhantomFile> {
    let head = Head::new(seed);
    let series = Series {
        seed,
        study: "study of the head",
        modality: "MR",
        sop_class: uids::MR_IMAGE_STORAGE,
        number: 5,
        study_description: "MR HEAD",
        description: "t1_mprage_tra_p2_iso",
    };
    (1..=slices).map(move |number| {
        let stack = Stack::new(slices, MR_SLICES_MIN, MR_HEIGHT_MM, 0.4);
        let values = head.slice(u64::from(number), stack.height(number), size.into());
        let pixels = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut header = series.header(number);
        header.texts(&MR_ROWS);
        header.image(size, size, 12, false);
        header.shorts(&[(tags::SMALLEST_IMAGE_PIXEL_VALUE, 0)]);
        let largest = values.iter().copied().max().unwrap_or(0);
        header.shorts(&[(tags::LARGEST_IMAGE_PIXEL_VALUE, largest)]);
        stack.place(&mut header, &series, number, 240.0 / f64::from(size));
        header.bytes(tags::PIXEL_DATA, VR::OW, pixels);
        file("MR", number, header)
    })
}

/// The doubles of a spiral CT.
fn ct_numbers(header: &mut Header) {
    for (tag, value) in [
        (tags::REVOLUTION_TIME, 0.5),
        (tags::SINGLE_COLLIMATION_WIDTH, 0.6),
        (tags::TOTAL_COLLIMATION_WIDTH, 38.4),
        (tags::TABLE_SPEED, 61.4),
        (tags::TABLE_FEED_PER_ROTATION, 30.72),
        (tags::SPIRAL_PITCH_FACTOR, 0.8),
        (tags::CTD_IVOL, 7.411_820_5),
    ] {
        header.double(tag, value);
    }
}

/// Where the slices of a series lie.
struct Stack {
    first: f32,
    step: f32,
    spacing_mm: f64,
}

impl Stack {
    /// `slices` of a body that takes `slices_min` to cross; few are taken from around `middle`.
    fn new(slices: u32, slices_min: u32, height_mm: f64, middle: f32) -> Self {
        let steps = slices.max(slices_min);
        let step = 1.0 / steps as f32;
        let first = (middle - slices as f32 * step / 2.0).clamp(0.0, 1.0 - slices as f32 * step);
        Self { first, step, spacing_mm: height_mm / f64::from(steps) }
    }

    /// The height of slice `number` in the body, from 0 to 1.
    fn height(&self, number: u32) -> f32 {
        self.first + self.step * (number - 1) as f32
    }

    /// Adds the Image Plane module, references and the private block of slice `number`.
    fn place(&self, header: &mut Header, series: &Series, number: u32, pixel_mm: f64) {
        let z = 180.0 - f64::from(number) * self.spacing_mm;
        let frame = uid(series.seed, series.study, 9);
        for (tag, vr, value) in [
            (tags::SLICE_THICKNESS, VR::DS, format!("{:.4}", self.spacing_mm)),
            (tags::SPACING_BETWEEN_SLICES, VR::DS, format!("{:.4}", self.spacing_mm)),
            (tags::PIXEL_SPACING, VR::DS, format!("{pixel_mm:.9}\\{pixel_mm:.9}")),
            (tags::IMAGE_POSITION_PATIENT, VR::DS, format!("-199.609\\-199.609\\{z:.4}")),
            (tags::SLICE_LOCATION, VR::DS, format!("{z:.4}")),
            (tags::FRAME_OF_REFERENCE_UID, VR::UI, frame),
        ] {
            header.text(tag, vr, value);
        }
        let localizer = |index| reference(series.sop_class, &uid(series.seed, "localizer", index));
        header.items(tags::REFERENCED_IMAGE_SEQUENCE, vec![localizer(1), localizer(2)]);
        header.items(tags::SOURCE_IMAGE_SEQUENCE, vec![localizer(3)]);
        let region = ("51185008", "SCT", "Chest");
        header.items(tags::ANATOMIC_REGION_SEQUENCE, vec![code(region)]);
        csa::add(header, series.seed, z);
    }
}

/// The file of slice `number`.
fn file(folder: &str, number: u32, header: Header) -> PhantomFile {
    PhantomFile { name: format!("{folder}/IM{number:04}.dcm"), bytes: header.into_file() }
}
