//! The attributes that an archive indexes: which they are, and their values for one object.
//!
//! Only top-level elements. Values are UTF-8, trimmed as DICOM pads, several values joined by
//! backslashes, each bounded by [`ATTRIBUTE_BYTES_MAX`]. They are patient data: nothing here prints
//! them.

use std::fmt;

use crate::limits::ATTRIBUTE_BYTES_MAX;

/// Which entity an attribute describes (PS3.3 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// The patient.
    Patient,
    /// The study.
    Study,
    /// The series.
    Series,
    /// The SOP instance.
    Instance,
}

/// One attribute that is indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Group in the upper half, element in the lower.
    pub tag: u32,
    /// Keyword of PS3.6.
    pub name: &'static str,
    /// VR of PS3.6, for data sets that do not say it.
    pub vr: [u8; 2],
    /// What it describes.
    pub level: Level,
}

/// Tags by their PS3.6 keywords, for those that this crate itself looks at.
pub mod tags {
    #![allow(missing_docs)] // the names are the documentation
    pub const SPECIFIC_CHARACTER_SET: u32 = 0x0008_0005;
    pub const SOP_CLASS_UID: u32 = 0x0008_0016;
    pub const SOP_INSTANCE_UID: u32 = 0x0008_0018;
    pub const STUDY_INSTANCE_UID: u32 = 0x0020_000D;
    pub const SERIES_INSTANCE_UID: u32 = 0x0020_000E;
    pub const SAMPLES_PER_PIXEL: u32 = 0x0028_0002;
    pub const PHOTOMETRIC_INTERPRETATION: u32 = 0x0028_0004;
    pub const PLANAR_CONFIGURATION: u32 = 0x0028_0006;
    pub const NUMBER_OF_FRAMES: u32 = 0x0028_0008;
    pub const ROWS: u32 = 0x0028_0010;
    pub const COLUMNS: u32 = 0x0028_0011;
    pub const BITS_ALLOCATED: u32 = 0x0028_0100;
    pub const BITS_STORED: u32 = 0x0028_0101;
    pub const HIGH_BIT: u32 = 0x0028_0102;
    pub const PIXEL_REPRESENTATION: u32 = 0x0028_0103;
    pub const ENCAPSULATED_DOCUMENT: u32 = 0x0042_0011;
    pub const EXTENDED_OFFSET_TABLE: u32 = 0x7FE0_0001;
    pub const EXTENDED_OFFSET_TABLE_LENGTHS: u32 = 0x7FE0_0002;
    pub const ENCAPSULATED_VALUE_TOTAL_LENGTH: u32 = 0x7FE0_0003;
    pub const FLOAT_PIXEL_DATA: u32 = 0x7FE0_0008;
    pub const DOUBLE_FLOAT_PIXEL_DATA: u32 = 0x7FE0_0009;
    pub const PIXEL_DATA: u32 = 0x7FE0_0010;
}

macro_rules! table {
    ($($tag:literal $name:ident $vr:literal $level:ident,)*) => {
        /// Everything that is indexed, ascending by tag: PS3.18 tables 10.6.3-3 to 10.6.3-5, and what
        /// viewers ask for besides (DESIGN §5).
        pub const TABLE: &[Entry] = &[$(
            Entry { tag: $tag, name: stringify!($name), vr: *$vr, level: Level::$level },
        )*];
    };
}

table! {
    0x0008_0005 SpecificCharacterSet b"CS" Instance,
    0x0008_0008 ImageType b"CS" Instance,
    0x0008_0012 InstanceCreationDate b"DA" Instance,
    0x0008_0013 InstanceCreationTime b"TM" Instance,
    0x0008_0016 SOPClassUID b"UI" Instance,
    0x0008_0018 SOPInstanceUID b"UI" Instance,
    0x0008_0020 StudyDate b"DA" Study,
    0x0008_0021 SeriesDate b"DA" Series,
    0x0008_0022 AcquisitionDate b"DA" Instance,
    0x0008_0023 ContentDate b"DA" Instance,
    0x0008_002A AcquisitionDateTime b"DT" Instance,
    0x0008_0030 StudyTime b"TM" Study,
    0x0008_0031 SeriesTime b"TM" Series,
    0x0008_0032 AcquisitionTime b"TM" Instance,
    0x0008_0033 ContentTime b"TM" Instance,
    0x0008_0050 AccessionNumber b"SH" Study,
    0x0008_0060 Modality b"CS" Series,
    0x0008_0070 Manufacturer b"LO" Series,
    0x0008_0080 InstitutionName b"LO" Study,
    0x0008_0090 ReferringPhysicianName b"PN" Study,
    0x0008_0201 TimezoneOffsetFromUTC b"SH" Study,
    0x0008_1010 StationName b"SH" Series,
    0x0008_1030 StudyDescription b"LO" Study,
    0x0008_103E SeriesDescription b"LO" Series,
    0x0008_1040 InstitutionalDepartmentName b"LO" Series,
    0x0008_1050 PerformingPhysicianName b"PN" Series,
    0x0008_1060 NameOfPhysiciansReadingStudy b"PN" Study,
    0x0008_1090 ManufacturerModelName b"LO" Series,
    0x0010_0010 PatientName b"PN" Patient,
    0x0010_0020 PatientID b"LO" Patient,
    0x0010_0021 IssuerOfPatientID b"LO" Patient,
    0x0010_0030 PatientBirthDate b"DA" Patient,
    0x0010_0032 PatientBirthTime b"TM" Patient,
    0x0010_0040 PatientSex b"CS" Patient,
    0x0010_1010 PatientAge b"AS" Study,
    0x0010_1020 PatientSize b"DS" Study,
    0x0010_1030 PatientWeight b"DS" Study,
    0x0018_0015 BodyPartExamined b"CS" Series,
    0x0018_1030 ProtocolName b"LO" Series,
    0x0018_5100 PatientPosition b"CS" Series,
    0x0020_000D StudyInstanceUID b"UI" Study,
    0x0020_000E SeriesInstanceUID b"UI" Series,
    0x0020_0010 StudyID b"SH" Study,
    0x0020_0011 SeriesNumber b"IS" Series,
    0x0020_0012 AcquisitionNumber b"IS" Instance,
    0x0020_0013 InstanceNumber b"IS" Instance,
    0x0020_0052 FrameOfReferenceUID b"UI" Series,
    0x0020_0060 Laterality b"CS" Series,
    0x0020_0062 ImageLaterality b"CS" Instance,
    0x0028_0002 SamplesPerPixel b"US" Instance,
    0x0028_0004 PhotometricInterpretation b"CS" Instance,
    0x0028_0006 PlanarConfiguration b"US" Instance,
    0x0028_0008 NumberOfFrames b"IS" Instance,
    0x0028_0010 Rows b"US" Instance,
    0x0028_0011 Columns b"US" Instance,
    0x0028_0100 BitsAllocated b"US" Instance,
    0x0028_0101 BitsStored b"US" Instance,
    0x0028_0102 HighBit b"US" Instance,
    0x0028_0103 PixelRepresentation b"US" Instance,
    0x0028_0301 BurnedInAnnotation b"CS" Instance,
    0x0028_2110 LossyImageCompression b"CS" Instance,
    0x0032_1060 RequestedProcedureDescription b"LO" Study,
    0x0040_0244 PerformedProcedureStepStartDate b"DA" Series,
    0x0040_0245 PerformedProcedureStepStartTime b"TM" Series,
    0x0040_0253 PerformedProcedureStepID b"SH" Series,
    0x0040_0254 PerformedProcedureStepDescription b"LO" Series,
    0x0040_A491 CompletionFlag b"CS" Instance,
    0x0040_A493 VerificationFlag b"CS" Instance,
    0x0042_0010 DocumentTitle b"ST" Instance,
    0x0042_0012 MIMETypeOfEncapsulatedDocument b"LO" Instance,
    0x0070_0080 ContentLabel b"CS" Instance,
}

/// The entry of a tag, if it is indexed.
#[must_use]
pub fn entry(tag: u32) -> Option<&'static Entry> {
    TABLE.binary_search_by_key(&tag, |entry| entry.tag).ok().and_then(|i| TABLE.get(i))
}

/// What the attribute describes, if it is indexed.
#[must_use]
pub fn level(tag: u32) -> Option<Level> {
    entry(tag).map(|entry| entry.level)
}

/// The indexed values of one object, ascending by tag.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Attributes(Vec<(u32, String)>);

impl Attributes {
    /// Sets a value, cut to [`ATTRIBUTE_BYTES_MAX`] bytes at a character border.
    pub fn set(&mut self, tag: u32, mut value: String) {
        let cut =
            (0..=ATTRIBUTE_BYTES_MAX.min(value.len())).rev().find(|i| value.is_char_boundary(*i));
        value.truncate(cut.unwrap_or_default());
        match self.0.binary_search_by_key(&tag, |(tag, _)| *tag) {
            Ok(i) => self.0[i].1 = value,
            Err(i) => self.0.insert(i, (tag, value)),
        }
    }

    /// The value of `tag`; empty if the element was there with no value.
    #[must_use]
    pub fn get(&self, tag: u32) -> Option<&str> {
        let i = self.0.binary_search_by_key(&tag, |(tag, _)| *tag).ok()?;
        self.0.get(i).map(|(_, value)| value.as_str())
    }

    /// Sets all values of another object.
    pub fn extend(&mut self, others: &Self) {
        for (tag, value) in others.iter() {
            self.set(tag, value.to_owned());
        }
    }

    /// Tags and values, ascending by tag.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, &str)> {
        self.0.iter().map(|(tag, value)| (*tag, value.as_str()))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the attribute describes, if it is indexed: [`level`].
    #[must_use]
    pub fn level(tag: u32) -> Option<Level> {
        level(tag)
    }
}

impl FromIterator<(u32, String)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (u32, String)>>(values: I) -> Self {
        let mut attributes = Self::default();
        for (tag, value) in values {
            attributes.set(tag, value);
        }
        attributes
    }
}

/// Tags only: values are patient data, and this ends up in logs.
impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut set = f.debug_set();
        for (tag, _) in &self.0 {
            set.entry(&format_args!("{tag:08X}"));
        }
        set.finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};

    #[test]
    fn table_is_sorted_and_agrees_with_the_dictionary() {
        assert!(TABLE.is_sorted_by(|a, b| a.tag < b.tag));
        for row in TABLE {
            let tag = dicom_core::Tag((row.tag >> 16) as u16, row.tag as u16);
            let known = dicom_dictionary_std::StandardDataDictionary.by_tag(tag).unwrap();
            assert_eq!(known.alias(), row.name);
            assert_eq!(known.vr().relaxed().to_bytes(), row.vr, "{}", row.name);
        }
        assert_eq!(level(0x0010_0010), Some(Level::Patient));
        assert_eq!(level(0x0010_0011), None);
    }

    #[test]
    fn values_are_bounded_and_never_printed() {
        let long = "ä".repeat(2000);
        let attributes = Attributes::from_iter([(0x0020_000D, "1.2".into()), (0x0010_0010, long)]);
        assert_eq!(attributes.get(0x0010_0010).unwrap().len(), ATTRIBUTE_BYTES_MAX);
        assert_eq!(
            attributes.iter().map(|(tag, _)| tag).collect::<Vec<_>>(),
            [0x0010_0010, 0x0020_000D]
        );
        assert_eq!(format!("{attributes:?}"), "{00100010, 0020000D}");
    }
}
