//! A structured report: a tree of content items and no pixels (PS3.3 §C.17.3).

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use super::PhantomFile;
use super::header::{Code, Header, Series, code, reference};
use super::rng::Rng;
use super::slices::ct_series;

/// Lesions that a report measures.
const LESIONS: u32 = 6;
/// Measurements of each lesion.
const MEASURES: [Code; 5] = [
    ("103339001", "SCT", "Long axis"),
    ("103340004", "SCT", "Short axis"),
    ("118565006", "SCT", "Volume"),
    ("112031", "DCM", "Attenuation Coefficient"),
    ("130541006", "SCT", "Diameter"),
];

/// A content item without a value yet.
fn item(relation: &str, kind: &str, concept: Code) -> Header {
    let mut item = Header(InMemDicomObject::new_empty());
    item.text(tags::RELATIONSHIP_TYPE, VR::CS, relation);
    item.text(tags::VALUE_TYPE, VR::CS, kind);
    item.items(tags::CONCEPT_NAME_CODE_SEQUENCE, vec![code(concept)]);
    item
}

/// A container with the items in it.
fn container(relation: &str, concept: Code, content: Vec<InMemDicomObject>) -> InMemDicomObject {
    let mut container = item(relation, "CONTAINER", concept);
    container.text(tags::CONTINUITY_OF_CONTENT, VR::CS, "SEPARATE");
    container.items(tags::CONTENT_SEQUENCE, content);
    container.0
}

/// A number with its unit.
fn number(concept: Code, value: f32) -> InMemDicomObject {
    let mut measured = Header(InMemDicomObject::new_empty());
    measured.text(tags::NUMERIC_VALUE, VR::DS, format!("{value:.2}"));
    let unit = code(("mm", "UCUM", "mm"));
    measured.items(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, vec![unit]);
    let mut item = item("CONTAINS", "NUM", concept);
    item.items(tags::MEASURED_VALUE_SEQUENCE, vec![measured.0]);
    item.0
}

/// A text.
fn text(relation: &str, concept: Code, value: &str) -> InMemDicomObject {
    let mut item = item(relation, "TEXT", concept);
    item.text(tags::TEXT_VALUE, VR::UT, value);
    item.0
}

/// A lesion: where it is, on which slice, how large.
fn lesion(rng: &mut Rng, index: u32, series: &Series) -> InMemDicomObject {
    let slice = 1 + (rng.next_u64() % 40) as u32;
    let mut image = item("CONTAINS", "IMAGE", ("121112", "DCM", "Source of Measurement"));
    let shown = reference(series.sop_class, &series.instance_uid(slice));
    image.items(tags::REFERENCED_SOP_SEQUENCE, vec![shown]);
    let name = format!("Lesion {index}");
    let mut content = vec![
        text("HAS OBS CONTEXT", ("112039", "DCM", "Tracking Identifier"), &name),
        text("CONTAINS", ("363698007", "SCT", "Finding Site"), "Right lower lobe"),
        image.0,
    ];
    content.extend(MEASURES.iter().map(|&measure| number(measure, rng.between(2.0, 40.0))));
    container("CONTAINS", ("125007", "DCM", "Measurement Group"), content)
}

/// A report on the CT study of the same seed: three levels of nested content, measurements that
/// refer to slices, free text. In the study of [`ct`](super::ct), in a series of its own.
#[must_use]
pub fn structured_report(seed: u64) -> PhantomFile {
    let images = ct_series(seed);
    let series = Series {
        modality: "SR",
        sop_class: uids::COMPREHENSIVE_SR_STORAGE,
        number: 99,
        description: "Radiology report",
        ..images.clone()
    };
    let mut rng = Rng::new(seed, "report", 0);
    let lesions = (1..=LESIONS).map(|index| lesion(&mut rng, index, &images)).collect();
    let narrative = "No consolidation, no effusion. Several small nodules, see measurements. \
                     Compared with the prior examination without relevant change.";
    let mut header = series.header(1);
    header.texts(&[
        (tags::VALUE_TYPE, VR::CS, "CONTAINER"),
        (tags::CONTINUITY_OF_CONTENT, VR::CS, "SEPARATE"),
        (tags::COMPLETION_FLAG, VR::CS, "COMPLETE"),
        (tags::VERIFICATION_FLAG, VR::CS, "UNVERIFIED"),
    ]);
    let title = ("126000", "DCM", "Imaging Measurement Report");
    header.items(tags::CONCEPT_NAME_CODE_SEQUENCE, vec![code(title)]);
    header.items(
        tags::CONTENT_SEQUENCE,
        vec![
            text("HAS OBS CONTEXT", ("121008", "DCM", "Person Observer Name"), "Reader^Rowan"),
            container("CONTAINS", ("126010", "DCM", "Imaging Measurements"), lesions),
            container(
                "CONTAINS",
                ("121070", "DCM", "Findings"),
                vec![text("CONTAINS", ("121071", "DCM", "Finding"), narrative)],
            ),
        ],
    );
    PhantomFile { name: "SR/REPORT.dcm".to_owned(), bytes: header.into_file() }
}
