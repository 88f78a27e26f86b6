//! What the headers of all modalities have in common.

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

use super::Patient;
use super::rng::{derive, uid};

/// A row of a table of elements that never change.
pub(super) type Row = (Tag, VR, &'static str);

/// A data set in the making.
pub(super) struct Header(pub(super) InMemDicomObject);

/// Which series an instance belongs to.
#[derive(Clone)]
pub(super) struct Series {
    /// Where everything follows from.
    pub(super) seed: u64,
    /// Names the study: series with the same label are in the same one.
    pub(super) study: &'static str,
    /// Modality (0008,0060); names the series.
    pub(super) modality: &'static str,
    /// SOP Class UID (0008,0016).
    pub(super) sop_class: &'static str,
    /// Series Number (0020,0011).
    pub(super) number: u32,
    /// Study Description (0008,1030).
    pub(super) study_description: &'static str,
    /// Series Description (0008,103E).
    pub(super) description: &'static str,
}

/// A coded concept: code, scheme, meaning.
pub(super) type Code = (&'static str, &'static str, &'static str);

/// The item of a code sequence (PS3.3 §8.8).
pub(super) fn code((value, scheme, meaning): Code) -> InMemDicomObject {
    let mut item = Header(InMemDicomObject::new_empty());
    item.text(tags::CODE_VALUE, VR::SH, value);
    item.text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, scheme);
    item.text(tags::CODE_MEANING, VR::LO, meaning);
    item.0
}

/// The item that refers to another instance.
pub(super) fn reference(class: &str, instance: &str) -> InMemDicomObject {
    let mut item = Header(InMemDicomObject::new_empty());
    item.text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, class);
    item.text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, instance);
    item.0
}

impl Header {
    /// Adds a textual element; several values are joined by backslashes.
    pub(super) fn text(&mut self, tag: Tag, vr: VR, value: impl Into<String>) {
        self.0.put(DataElement::new(tag, vr, value.into()));
    }

    /// Adds many textual elements.
    pub(super) fn texts(&mut self, rows: &[Row]) {
        for &(tag, vr, value) in rows {
            self.text(tag, vr, value);
        }
    }

    /// Adds unsigned shorts.
    pub(super) fn shorts(&mut self, rows: &[(Tag, u16)]) {
        for &(tag, value) in rows {
            self.0.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
        }
    }

    /// Adds a double.
    pub(super) fn double(&mut self, tag: Tag, value: f64) {
        self.0.put(DataElement::new(tag, VR::FD, PrimitiveValue::from(value)));
    }

    /// Adds bytes, padded to even length.
    pub(super) fn bytes(&mut self, tag: Tag, vr: VR, mut value: Vec<u8>) {
        if value.len() % 2 == 1 {
            value.push(0);
        }
        self.0.put(DataElement::new(tag, vr, PrimitiveValue::U8(value.into())));
    }

    /// Adds a sequence.
    pub(super) fn items(&mut self, tag: Tag, items: Vec<InMemDicomObject>) {
        self.0.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
    }

    /// Adds the Image Pixel module (PS3.3 §C.7.6.3) but for the pixels.
    pub(super) fn image(&mut self, rows: u16, columns: u16, bits: u16, signed: bool) {
        let allocated = bits.next_multiple_of(8);
        self.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
        self.shorts(&[
            (tags::SAMPLES_PER_PIXEL, 1),
            (tags::ROWS, rows),
            (tags::COLUMNS, columns),
            (tags::BITS_ALLOCATED, allocated),
            (tags::BITS_STORED, bits),
            (tags::HIGH_BIT, bits - 1),
            (tags::PIXEL_REPRESENTATION, u16::from(signed)),
        ]);
    }

    /// Writes the object as a file in Explicit VR Little Endian.
    pub(super) fn into_file(self) -> Vec<u8> {
        self.into_file_as(uids::EXPLICIT_VR_LITTLE_ENDIAN)
    }

    /// Writes the object as a file.
    pub(super) fn into_file_as(self, transfer_syntax: &str) -> Vec<u8> {
        let meta = FileMetaTableBuilder::new()
            .transfer_syntax(transfer_syntax)
            .source_application_entity_title("CAIRNPHANTOM");
        let object = self.0.with_meta(meta).expect("every phantom has class and instance UIDs");
        let mut bytes = Vec::new();
        object.write_all(&mut bytes).expect("writing text and numbers to memory cannot fail");
        bytes
    }
}

impl Series {
    /// UID of the study.
    pub(super) fn study_uid(&self) -> String {
        uid(self.seed, self.study, 0)
    }

    /// UID of the series.
    pub(super) fn series_uid(&self) -> String {
        uid(self.seed, self.modality, 0)
    }

    /// UID of instance `number`, from 1.
    pub(super) fn instance_uid(&self, number: u32) -> String {
        uid(self.seed, self.modality, u64::from(number))
    }

    /// Study Date (0008,0020).
    pub(super) fn date(&self) -> String {
        let day = derive(self.seed, self.study, 1);
        format!("2026{:02}{:02}", 1 + day % 9, 1 + day / 9 % 28)
    }

    /// A time of day `seconds` after the study began.
    pub(super) fn time(&self, seconds: f64) -> String {
        let start = 8 * 3600 + derive(self.seed, self.study, 2) % (8 * 3600);
        let millis = start * 1000 + (seconds * 1000.0) as u64;
        let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
        format!("{hours:02}{minutes:02}{:02}.{:03}", millis / 1000 % 60, millis % 1000)
    }

    /// The Patient, Study, Series, Equipment and SOP Common modules of instance `number`.
    pub(super) fn header(&self, number: u32) -> Header {
        let mut header = Header(InMemDicomObject::new_empty());
        self.patient(&mut header);
        let at = f64::from(number) * 0.4 + 120.0;
        for (tag, vr, value) in [
            (tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100".to_owned()),
            (tags::INSTANCE_CREATION_DATE, VR::DA, self.date()),
            (tags::INSTANCE_CREATION_TIME, VR::TM, self.time(at + 9.0)),
            (tags::SOP_CLASS_UID, VR::UI, self.sop_class.to_owned()),
            (tags::SOP_INSTANCE_UID, VR::UI, self.instance_uid(number)),
            (tags::STUDY_DATE, VR::DA, self.date()),
            (tags::SERIES_DATE, VR::DA, self.date()),
            (tags::ACQUISITION_DATE, VR::DA, self.date()),
            (tags::CONTENT_DATE, VR::DA, self.date()),
            (tags::STUDY_TIME, VR::TM, self.time(0.0)),
            (tags::SERIES_TIME, VR::TM, self.time(60.0 * f64::from(self.number))),
            (tags::ACQUISITION_TIME, VR::TM, self.time(at)),
            (tags::CONTENT_TIME, VR::TM, self.time(at + 2.5)),
            (tags::MODALITY, VR::CS, self.modality.to_owned()),
            (tags::STUDY_DESCRIPTION, VR::LO, self.study_description.to_owned()),
            (tags::SERIES_DESCRIPTION, VR::LO, self.description.to_owned()),
            (tags::PROTOCOL_NAME, VR::LO, self.description.to_owned()),
            (tags::STUDY_INSTANCE_UID, VR::UI, self.study_uid()),
            (tags::SERIES_INSTANCE_UID, VR::UI, self.series_uid()),
            (tags::STUDY_ID, VR::SH, (derive(self.seed, self.study, 3) % 100_000).to_string()),
            (tags::SERIES_NUMBER, VR::IS, self.number.to_string()),
            (tags::ACQUISITION_NUMBER, VR::IS, "1".to_owned()),
            (tags::INSTANCE_NUMBER, VR::IS, number.to_string()),
        ] {
            header.text(tag, vr, value);
        }
        self.surroundings(&mut header);
        header
    }

    /// Who is shown.
    fn patient(&self, header: &mut Header) {
        let patient = Patient::of_seed(self.seed);
        let accession = derive(self.seed, self.study, 4) % 1_000_000_000;
        header.text(tags::ACCESSION_NUMBER, VR::SH, format!("A{accession:09}"));
        header.text(tags::PATIENT_NAME, VR::PN, patient.name);
        header.text(tags::PATIENT_ID, VR::LO, patient.id);
        header.text(tags::PATIENT_BIRTH_DATE, VR::DA, patient.birth_date);
        header.text(tags::PATIENT_SEX, VR::CS, patient.sex);
    }

    /// Hospital, device, order.
    fn surroundings(&self, header: &mut Header) {
        header.texts(&[
            (tags::MANUFACTURER, VR::LO, "Cairn Phantom Works"),
            (tags::INSTITUTION_NAME, VR::LO, "Hospital of the Synthetic Sisters"),
            (tags::INSTITUTION_ADDRESS, VR::ST, "1 Example Lane, Nowhere"),
            (tags::REFERRING_PHYSICIAN_NAME, VR::PN, "Referrer^Robin"),
            (tags::STATION_NAME, VR::SH, "PHANTOM01"),
            (tags::INSTITUTIONAL_DEPARTMENT_NAME, VR::LO, "Radiology"),
            (tags::PERFORMING_PHYSICIAN_NAME, VR::PN, "Performer^Pat"),
            (tags::OPERATORS_NAME, VR::PN, "Operator^Olga"),
            (tags::MANUFACTURER_MODEL_NAME, VR::LO, "Seeded Dream 5000"),
            (tags::ISSUER_OF_PATIENT_ID, VR::LO, "SYNTHETIC"),
            (tags::PATIENT_AGE, VR::AS, "058Y"),
            (tags::PATIENT_SIZE, VR::DS, "1.74"),
            (tags::PATIENT_WEIGHT, VR::DS, "72.5"),
            (tags::ADDITIONAL_PATIENT_HISTORY, VR::LT, "None: this patient does not exist."),
            (tags::DEVICE_SERIAL_NUMBER, VR::LO, "000042"),
            (tags::SOFTWARE_VERSIONS, VR::LO, "cairn phantom\\1.0"),
            (tags::REQUESTED_PROCEDURE_DESCRIPTION, VR::LO, "Routine examination"),
            (tags::PERFORMED_PROCEDURE_STEP_DESCRIPTION, VR::LO, "Routine examination"),
            (tags::PERFORMED_PROCEDURE_STEP_ID, VR::SH, "PPS0001"),
        ]);
        let scheduled = "1.2.840.10008.3.1.2.3.3";
        let step = reference(scheduled, &uid(self.seed, "performed step", 0));
        header.items(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, vec![step]);
        let kind = ("77477000", "SCT", "Computed tomography");
        header.items(tags::PROCEDURE_CODE_SEQUENCE, vec![code(kind)]);
        let mut request = Header(InMemDicomObject::new_empty());
        request.texts(&[
            (tags::SCHEDULED_PROCEDURE_STEP_DESCRIPTION, VR::LO, "Routine examination"),
            (tags::SCHEDULED_PROCEDURE_STEP_ID, VR::SH, "SPS0001"),
            (tags::REQUESTED_PROCEDURE_ID, VR::SH, "RP0001"),
        ]);
        request.items(tags::SCHEDULED_PROTOCOL_CODE_SEQUENCE, vec![code(kind)]);
        header.items(tags::REQUEST_ATTRIBUTES_SEQUENCE, vec![request.0]);
    }
}
