//! A private block of a few KB in the form of the vendor headers found in real files: a binary
//! table of named text values, most of them the same in all slices of a series.

use dicom_core::{Tag, VR};

use super::header::Header;
use super::rng::Rng;

/// Bytes of a field name, padded with zeros.
const NAME_BYTES: usize = 64;
/// Slots of each field; those not used are empty.
const SLOTS: usize = 6;
/// Marks the end of a head.
const MARK: u32 = 77;

/// Fields of the block of each slice.
const IMAGE_FIELDS: [&str; 30] = [
    "SliceLocation",
    "ImagePosition",
    "TimeAfterStart",
    "TableLocation",
    "ReconDiameter",
    "ReconKernelGain",
    "BeamHardening",
    "DetectorGain",
    "TubeCurrentNow",
    "TubeVoltageNow",
    "FilterWedge",
    "FocalSpotX",
    "FocalSpotY",
    "GantryAngle",
    "RotationPhase",
    "DoseModulation",
    "CollimationLow",
    "CollimationHigh",
    "PitchFactor",
    "AirCalibration",
    "OffsetCorrection",
    "RingCorrection",
    "ScatterKernel",
    "MatrixOrigin",
    "MatrixStep",
    "WindowSuggestion",
    "NoiseIndex",
    "CoolingState",
    "WaterTemperature",
    "SequenceMask",
];
/// Fields of the block that a whole series shares.
const SERIES_FIELDS: [&str; 16] = [
    "ProtocolChecksum",
    "PatientOrientation",
    "CoilString",
    "SystemSerial",
    "CalibrationDay",
    "GradientMode",
    "FlowCompensation",
    "TxReference",
    "RxGain",
    "ShimCurrents",
    "IsocentreShift",
    "ScanRegion",
    "UserScaling",
    "PhaseCorrection",
    "RegridMode",
    "ServiceFlags",
];

/// Adds both blocks to a header; `place` is what differs from slice to slice.
pub(super) fn add(header: &mut Header, seed: u64, place: f64) {
    header.text(Tag(0x0029, 0x0010), VR::LO, "CAIRN PHANTOM HEADER");
    header.text(Tag(0x0029, 0x1008), VR::CS, "IMAGE NUM 4");
    header.text(Tag(0x0029, 0x1009), VR::LO, "20260101");
    header.bytes(Tag(0x0029, 0x1010), VR::OB, table(&IMAGE_FIELDS, seed, Some(place)));
    header.text(Tag(0x0029, 0x1018), VR::CS, "SERIES");
    header.bytes(Tag(0x0029, 0x1020), VR::OB, table(&SERIES_FIELDS, seed, None));
    header.text(Tag(0x0019, 0x0010), VR::LO, "CAIRN PHANTOM STATE");
    header.text(Tag(0x0019, 0x1008), VR::CS, "NORMAL");
    header.text(Tag(0x0019, 0x1009), VR::DS, format!("{place:.3}"));
    header.text(Tag(0x0019, 0x100a), VR::DS, "0.98\\1.02\\1.00\\0.99");
}

/// A table of fields with values that follow from the seed, the first four from `place`.
fn table(fields: &[&str], seed: u64, place: Option<f64>) -> Vec<u8> {
    let mut rng = Rng::new(seed, "private block", fields.len() as u64);
    let mut out = b"SV10\x04\x03\x02\x01".to_vec();
    put(&mut out, &[fields.len() as u32, MARK]);
    for (index, name) in fields.iter().enumerate() {
        let used = 1 + rng.next_u64() as usize % 3;
        let mut padded = [0; NAME_BYTES];
        padded[..name.len()].copy_from_slice(name.as_bytes());
        out.extend_from_slice(&padded);
        put(&mut out, &[used as u32]);
        out.extend_from_slice(b"DS\0\0");
        put(&mut out, &[3, SLOTS as u32, MARK]);
        for slot in 0..SLOTS {
            let constant = f64::from(rng.between(-400.0, 400.0));
            let value = match place {
                Some(place) if index < 4 => place + slot as f64,
                _ => constant,
            };
            let text = if slot < used { format!("{value:.8}\0") } else { String::new() };
            let length = text.len() as u32;
            put(&mut out, &[length, length, MARK, length]);
            out.extend_from_slice(text.as_bytes());
            out.resize(out.len().next_multiple_of(4), 0);
        }
    }
    out
}

/// Appends little-endian words.
fn put(out: &mut Vec<u8>, words: &[u32]) {
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}
