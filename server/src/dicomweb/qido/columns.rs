//! Which attributes a result has (PS3.18 tables 10.6.3-3 to -5).

use cairn_dicom::attributes::{Level, TABLE};
use cairn_dicom::element::Vr;
use cairn_dicom::query::path::vr_of;
use cairn_dicom::query::{Path, Query};
use cairn_store::catalog::search::{computed, level_of};

/// An attribute that results have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) tag: u32,
    pub(super) vr: Vr,
    /// It stands there also where it has no value.
    pub(super) required: bool,
}

const SPECIFIC_CHARACTER_SET: u32 = 0x0008_0005;
const STUDY_INSTANCE_UID: u32 = 0x0020_000D;
const SERIES_INSTANCE_UID: u32 = 0x0020_000E;

/// Table 10.6.3-3; true: required. The description is not in it, but is what people look for.
const STUDY: &[(u32, bool)] = &[
    (0x0008_0020, true), // Study Date
    (0x0008_0030, true), // Study Time
    (0x0008_0050, true), // Accession Number
    (computed::INSTANCE_AVAILABILITY, false),
    // Required, but left out where no series has a modality: OHIF 3.12 takes an element without a value
    // for an error, and shows no study at all.
    (computed::MODALITIES_IN_STUDY, false),
    (0x0008_0090, true),  // Referring Physician's Name
    (0x0008_0201, false), // Timezone Offset From UTC
    (0x0008_1030, false), // Study Description
    (super::RETRIEVE_URL, true),
    (0x0010_0010, true), // Patient's Name
    (0x0010_0020, true), // Patient ID
    (0x0010_0030, true), // Patient's Birth Date
    (0x0010_0040, true), // Patient's Sex
    (STUDY_INSTANCE_UID, true),
    (0x0020_0010, true), // Study ID
    (computed::NUMBER_OF_STUDY_RELATED_SERIES, true),
    (computed::NUMBER_OF_STUDY_RELATED_INSTANCES, true),
];

/// Table 10.6.3-4 but for Request Attributes Sequence, which is returned where it is asked for. Date and
/// time are not in it; OHIF sorts by them.
const SERIES: &[(u32, bool)] = &[
    (0x0008_0021, false), // Series Date
    (0x0008_0031, false), // Series Time
    (0x0008_0060, true),  // Modality
    (0x0008_0201, false), // Timezone Offset From UTC
    (0x0008_103E, false), // Series Description
    (super::RETRIEVE_URL, true),
    (SERIES_INSTANCE_UID, true),
    (0x0020_0011, true), // Series Number
    (computed::NUMBER_OF_SERIES_RELATED_INSTANCES, true),
    (0x0040_0244, false), // Performed Procedure Step Start Date
    (0x0040_0245, false), // Performed Procedure Step Start Time
];

/// Table 10.6.3-5, and Available Transfer Syntax UID that §10.6.3.3.3 allows.
const INSTANCE: &[(u32, bool)] = &[
    (0x0008_0016, true), // SOP Class UID
    (0x0008_0018, true), // SOP Instance UID
    (computed::INSTANCE_AVAILABILITY, false),
    (0x0008_0201, false), // Timezone Offset From UTC
    (super::RETRIEVE_URL, true),
    (computed::AVAILABLE_TRANSFER_SYNTAX_UID, false),
    (0x0020_0013, true),  // Instance Number
    (0x0028_0008, false), // Number of Frames
    (0x0028_0010, false), // Rows
    (0x0028_0011, false), // Columns
    (0x0028_0100, false), // Bits Allocated
];

/// The columns of a search: what is mandatory at its level, the levels above where the resource does not
/// name them, and what is asked for besides. UIDs of all levels always: clients want to go on from
/// each result.
pub(super) fn columns(query: &Query) -> Vec<Column> {
    let level = query.level;
    let mut tags = vec![(STUDY_INSTANCE_UID, true)];
    if level <= Level::Study || query.study.is_none() {
        tags.extend(STUDY);
    }
    if level >= Level::Series {
        tags.push((SERIES_INSTANCE_UID, true));
    }
    if level == Level::Series || level == Level::Instance && query.series.is_none() {
        tags.extend(SERIES);
    }
    if level == Level::Instance {
        tags.extend(INSTANCE);
    }
    let wanted = |tag: u32| level_of(tag).is_some_and(|of| of <= level.max(Level::Study));
    if query.fields.all {
        tags.extend(TABLE.iter().map(|entry| (entry.tag, false)).filter(|(tag, _)| wanted(*tag)));
    }
    let asked = query.fields.paths.iter().filter_map(Path::top_level);
    tags.extend(asked.filter(|tag| wanted(*tag)).map(|tag| (tag, true)));
    // How an object was encoded says nothing of this answer, which is UTF-8.
    tags.retain(|(tag, _)| *tag != SPECIFIC_CHARACTER_SET);
    tags.sort_unstable_by_key(|(tag, required)| (*tag, !required));
    tags.dedup_by_key(|(tag, _)| *tag);
    tags.into_iter().map(|(tag, required)| Column { tag, vr: vr_of(tag), required }).collect()
}
